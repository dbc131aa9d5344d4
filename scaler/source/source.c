#include "scaler/source/source.h"

#include <errno.h>

#include "lib/base/log.h"
#include "scaler/source/source_priv.h"

char *source_key(const char *ns, const char *cluster, const char *pool)
{
	return xasprintf("%s/%s/%s", ns, cluster, pool);
}

static size_t room(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static const char *put_down(char **at, const char *text)
{
	char *here = *at;
	if (!text)
		return NULL;
	memcpy(here, text, room(text));
	*at += room(text);
	return here;
}

static void copy_names(const struct source_target *t, struct entry *e)
{
	free(e->names);
	char *at = xcalloc(1, room(t->ns) + room(t->cluster) + room(t->pool) + room(t->house) +
	                              room(t->fe_ns) + room(t->uid));
	e->names = at;
	e->ns = put_down(&at, t->ns);
	e->cluster = put_down(&at, t->cluster);
	e->pool = put_down(&at, t->pool);
	e->house = put_down(&at, t->house);
	e->fe_ns = put_down(&at, t->fe_ns);
	e->uid = put_down(&at, t->uid);
	e->role = t->role;
}

static void entry_free(void *value)
{
	struct entry *e = value;
	free(e->names);
	free(e->key);
	free(e);
}

/* ---- what was heard --------------------------------------------------------------------------- */

static void pool_failed(struct source *s, struct entry *e, const struct err *err)
{
	if (!e->failed)
		log_warn("pool=%s load unknown: %s", e->key, err->msg);
	e->failed = true;
	s->events.on_failure(s->events.arg, e->key, err);
}

void source_failed(struct source *s, struct fe *f, const struct err *err)
{
	f->failed = true;
	for (size_t i = 0; i < f->pools.n; i++)
		pool_failed(s, f->pools.v[i], err);
}

void source_known(struct source *s, struct fe *f, const struct source_load *load)
{
	f->failed = false;
	for (size_t i = 0; i < f->pools.n; i++) {
		struct entry *e = f->pools.v[i];
		enum source_role role = e->role;
		struct source_snapshot snap = load->of[role];
		struct err err = load->err[role];
		int rc = load->rc[role];
		if (e->house)
			rc = source_load_house(load, e->house, &snap, &err);
		if (rc < 0) {
			pool_failed(s, e, &err);
			continue;
		}
		if (e->failed)
			log_info("pool=%s load known again", e->key);
		e->failed = false;
		s->events.on_snapshot(s->events.arg, e->key, &snap);
	}
}

/* From the thread of a StarRocks cluster. */
static void told(void *arg, const struct source_asker *who, int rc, const struct source_load *load,
                 const struct err *err)
{
	struct source *s = arg;
	size_t at = 0;
	const char *key;
	void *value;
	(void)pthread_mutex_lock(&s->lock);
	while (map_next(s->fes, &at, &key, &value)) {
		struct fe *f = value;
		if (f->asker != who)
			continue;
		f->wanted = rc == -EACCES && f->login.secret            ? SOURCE_PASSWORD
		            : rc == -EKEYREJECTED && f->login.ca_secret ? SOURCE_CA
		                                                        : 0;
		if (rc < 0)
			source_failed(s, f, err);
		else
			source_known(s, f, load);
		break;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

/* ---- what is asked ---------------------------------------------------------------------------- */

int source_start(const struct source_events *events, const struct http_tls *tls,
                 struct source **ret, struct err *err)
{
	struct source *s = xcalloc(1, sizeof(*s));
	s->tls = tls;
	s->events = *events;
	s->entries = map_new(NULL);
	s->fes = map_new(NULL);
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_mutex_lock(&s->lock);
	int rc = source_poller_add(s, err);
	(void)pthread_mutex_unlock(&s->lock);
	if (rc < 0) {
		(void)pthread_mutex_destroy(&s->lock);
		map_free(s->entries);
		map_free(s->fes);
		free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void source_end(struct source *s)
{
	if (!s)
		return;
	size_t at = 0;
	const char *key;
	void *value;
	atomic_store(&s->stop, true);
	(void)pthread_mutex_lock(&s->lock);
	while (map_next(s->fes, &at, &key, &value))
		if (((struct fe *)value)->asker)
			source_asker_stop(((struct fe *)value)->asker);
	(void)pthread_mutex_unlock(&s->lock);
}

void source_stop(struct source *s)
{
	if (!s)
		return;
	size_t at = 0;
	const char *key;
	void *value;
	source_end(s);
	source_pollers_stop(s); /* before the replies that its calls write to */
	/* All, before any FE goes: what an asker tells at the end looks through the table. */
	while (map_next(s->fes, &at, &key, &value))
		source_asker_join(((struct fe *)value)->asker);
	while (s->leaving.n)
		source_asker_join(s->leaving.v[--s->leaving.n]);
	at = 0;
	while (map_next(s->fes, &at, &key, &value))
		source_fe_free(value);
	at = 0;
	while (map_next(s->entries, &at, &key, &value))
		entry_free(value);
	vec_free(&s->leaving);
	map_free(s->entries);
	map_free(s->fes);
	while (s->retired.n)
		source_fe_free(s->retired.v[--s->retired.n]);
	vec_free(&s->retired);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Two pools with the same name of their FE are asked together. */
static char *fe_name(const struct source_target *t, size_t *ret_url_at)
{
	const struct source_login *l = &t->login;
	*ret_url_at = 0;
	if (l->host)
		return xasprintf(
			"%s:%d %d%s %s %s %s %s %s %s %s %s%s", l->host, l->query_port,
			l->http_port, l->https ? "s" : "", l->user_file ? l->user_file : "",
			l->password_file ? l->password_file : "", l->secret ? l->secret : "",
			l->secret_key ? l->secret_key : "", l->user ? l->user : "",
			l->tls_name ? l->tls_name : "", l->ca_secret ? l->ca_secret : "",
			l->ca_file ? l->ca_file : "", l->root_instead ? " instead" : "");
	const char *token = t->token_file ? t->token_file : t->token_later ? "@" : "";
	*ret_url_at = strlen(token) + 1;
	return xasprintf("%s\n%s", token, t->url);
}

/* Under the lock: the old one may be waiting for it, so it is joined at the end. */
void source_stop_asker(struct source *s, struct fe *f)
{
	if (!f->asker)
		return;
	source_asker_stop(f->asker);
	vec_push(&s->leaving, f->asker);
	f->asker = NULL;
}

/* Whether the backends are asked for as well: only while a pool is of them. */
static void tell_roles(struct fe *f)
{
	bool be = false;
	for (size_t i = 0; i < f->pools.n; i++)
		be = be || f->pools.v[i]->role == SOURCE_BE;
	if (f->asker)
		source_asker_want(f->asker, be);
}

void source_start_asker(struct source *s, struct fe *f)
{
	struct err err = ERR_INIT;
	source_stop_asker(s, f);
	if (atomic_load(&s->stop))
		return;
	if (source_asker_start(&f->login, s->tls, told, s, &f->asker, &err) < 0)
		source_failed(s, f, &err);
	tell_roles(f);
}

static struct fe *fe_new(struct source *s, char *name /* taken over */, size_t url_at,
                         const struct source_target *t)
{
	struct fe *f = xcalloc(1, sizeof(*f));
	f->name = name;
	f->url = name + url_at;
	f->token_file = t->token_file ? xstrdup(t->token_file) : NULL;
	f->token_later = t->token_later;
	source_login_copy(&t->login, &f->login);
	if (f->login.host)
		f->wanted = (f->login.secret ? SOURCE_PASSWORD : 0) |
		            (f->login.ca_secret ? SOURCE_CA : 0);
	else
		f->wanted = t->token_later ? SOURCE_TOKEN : 0;
	if (f->login.root_instead)
		log_warn("fe=%s is asked as root: the operator says (condition RootSql) that it "
		         "refuses the user "
		         "of spec.sqlUser",
		         f->login.host);
	f->pools.v =
		xcalloc(1, sizeof(f->pools.v[0])); /* most have one pool, and there are thousands */
	f->pools.cap = 1;
	map_put(s->fes, name, f);
	if (!f->login.host)
		source_poller_join(s, f);
	return f;
}

static void leave_fe(struct source *s, struct entry *e)
{
	struct fe *f = e->fe;
	if (!f)
		return;
	e->fe = NULL;
	f->pools.v[e->at] = f->pools.v[--f->pools.n];
	f->pools.v[e->at]->at = e->at;
	if (f->pools.n) {
		tell_roles(f);
		return;
	}
	(void)map_take(s->fes, f->name);
	source_stop_asker(s, f);
	source_poller_leave(f);
	f->gone = true;
	if (f->busy)
		vec_push(&s->retired, f);
	else
		source_fe_free(f);
}

/* One that stands in the target itself: MYSQL_PWD without a Secret. */
static void take_password(struct source *s, struct fe *f, const struct source_login *l)
{
	if (!l->host || l->secret || str_eqs(str_of(l->password), f->login.password))
		return;
	mem_free_secret(f->login.password);
	f->login.password = l->password ? xstrdup(l->password) : NULL;
	source_start_asker(s, f);
}

static void join_fe(struct source *s, struct entry *e, const struct source_target *t)
{
	size_t url_at = 0;
	char *name = fe_name(t, &url_at);
	struct fe *f = map_get(s->fes, name);
	if (f && f == e->fe) {
		free(name);
		take_password(s, f, &t->login);
		return;
	}
	leave_fe(s, e);
	bool is_new = !f;
	if (f)
		free(name);
	else
		f = fe_new(s, name, url_at, t);
	e->fe = f;
	e->at = f->pools.n;
	vec_push(&f->pools, e);
	if (is_new && source_has_secrets(f))
		source_start_asker(s, f);
	tell_roles(f);
}

void source_put(struct source *s, const struct source_target *t)
{
	autofree char *key = source_key(t->ns, t->cluster, t->pool);
	(void)pthread_mutex_lock(&s->lock);
	struct entry *e = map_get(s->entries, key);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->key = xstrdup(key);
		map_put(s->entries, key, e);
	}
	copy_names(t, e);
	s->events.on_target(s->events.arg, key, t);
	join_fe(s, e, t);
	(void)pthread_mutex_unlock(&s->lock);
}

/* Under the lock; the entry is out of the map. */
static void retire(struct source *s, struct entry *e)
{
	s->events.on_gone(s->events.arg, e->key);
	leave_fe(s, e);
	entry_free(e);
}

void source_remove(struct source *s, const char *key)
{
	(void)pthread_mutex_lock(&s->lock);
	struct entry *e = map_take(s->entries, key);
	if (e)
		retire(s, e);
	(void)pthread_mutex_unlock(&s->lock);
}

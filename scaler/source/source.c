#include "scaler/source/source.h"

#include <errno.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "scaler/source/source_priv.h"

enum {
	TOKEN_MAX = 4096,
	TOKEN_REREAD_MS = 10000,
	SCAN_MIN_MS = 10,
	SCAN_MAX_MS = 100,
	CHUNK_BYTES = 2048
};

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

static void call_free(struct call *c)
{
	if (!c)
		return;
	free(c->url);
	mem_free_secret(c->token);
	http_reply_free(&c->reply);
	free(c);
}

static void entry_free(void *value)
{
	struct entry *e = value;
	free(e->names);
	free(e->key);
	free(e);
}

static void fe_free(void *value)
{
	struct fe *f = value;
	call_free(f->call);
	source_login_free(&f->login);
	mem_free_secret(f->token);
	vec_free(&f->pools);
	free(f->token_file);
	free(f->name);
	free(f);
}

/* ---- asking ----------------------------------------------------------------------------------- */

/* A Secret's file may be replaced at any time. */
static void read_token(struct fe *f, int64_t now)
{
	if (!f->token_file || (f->token && now - f->token_read_ms < TOKEN_REREAD_MS))
		return;
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	struct err err = ERR_INIT;
	f->token_read_ms = now;
	if (fd_read_file(f->token_file, &text, &err) < 0) {
		log_warn("fe=%s %s", f->url, err.msg);
		return;
	}
	struct str rest = { buf_cstr(&text), text.len }, line = { "", 0 };
	(void)str_split(&rest, '\n', &line);
	mem_free_secret(f->token);
	f->token = str_dup(str_trim(line));
	explicit_bzero(text.p, text.len);
}

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

/* snap, rc, err: of each kind of node. */
static void known(struct source *s, struct fe *f, const struct source_load *load)
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

static void ask(struct source *s, struct fe *f, int64_t now)
{
	struct err err = ERR_INIT;
	struct call *c = xcalloc(1, sizeof(*c));
	read_token(f, now);
	c->reply = (struct http_reply)HTTP_REPLY_INIT;
	c->url = xstrdup(f->url);
	c->token = f->token && *f->token ? xstrdup(f->token) : NULL;
	f->next_ms = now + SOURCE_PERIOD_MS;
	struct http_call call = { .url = c->url,
		                  .bearer = c->token,
		                  .by = deadline_in(SOURCE_CALL_MS),
		                  .body_max = SOURCE_BODY_MAX,
		                  .chunk = CHUNK_BYTES,
		                  /* A Service may have led elsewhere while it was young, and a kept
		                   * connection goes on leading there. */
		                  .fresh = f->failed,
		                  .follow_redirects = true };
	if (http_batch_add(s->batch, &call, &c->reply, f, &err) < 0) {
		call_free(c);
		source_failed(s, f, &err);
		return;
	}
	f->call = c;
	f->busy = true;
	f->troubled = f->failed;
	s->in_flight++;
	s->in_flight_troubled += f->troubled;
}

/* FEs that do not answer hold their calls for long: they must not take the room of those that do. */
static bool room_for(const struct source *s, const struct fe *f)
{
	return s->in_flight < SOURCE_IN_FLIGHT &&
	       (!f->failed || s->in_flight_troubled < SOURCE_IN_FLIGHT_TROUBLED);
}

/* A connection for each FE, since most calls are over at once and the next FE's would push it out. Under the lock. */
static void keep_connections(struct source *s)
{
	size_t n = map_count(s->fes) + SOURCE_IN_FLIGHT;
	if (n <= s->kept && n + SOURCE_IN_FLIGHT >= s->kept)
		return;
	s->kept = n + SOURCE_IN_FLIGHT / 2;
	http_batch_keep(s->batch, s->kept);
}

/* Asks every FE that is due and notes when to look again. */
static void ask_due(struct source *s)
{
	int64_t now = clock_mono_ms(), next = now + SCAN_MAX_MS;
	size_t at = s->scanned;
	const char *key;
	void *value;
	if (now < s->scan_ms)
		return;
	(void)pthread_mutex_lock(&s->lock);
	keep_connections(s);
	for (size_t seen = 0, n = map_count(s->fes); seen < n; seen++) {
		size_t here = at;
		if (!map_next(s->fes, &at, &key, &value)) {
			at = 0;
			if (!map_next(s->fes, &at, &key, &value))
				break;
		}
		struct fe *f = value;
		if (f->login.host)
			continue;
		if (!f->busy && now >= f->next_ms && room_for(s, f))
			ask(s, f, now);
		if (s->in_flight >= SOURCE_IN_FLIGHT) {
			s->scanned = here;
			next = now;
			break;
		}
		if (!f->busy && f->next_ms < next)
			next = f->next_ms;
	}
	(void)pthread_mutex_unlock(&s->lock);
	s->scan_ms = next < now + SCAN_MIN_MS ? now + SCAN_MIN_MS : next;
}

static void check_status(struct fe *f, struct err *err)
{
	int status = f->call->reply.status;
	if (status == 401 || status == 403) {
		f->wanted = f->token_later ? SOURCE_TOKEN : 0;
		f->token_read_ms = 0;
	}
	/* These do not heal within a poll, and asking again would only fill the FE's log. */
	if (status == 401 || status == 403 || status == 404)
		f->next_ms = clock_mono_ms() + SOURCE_REFUSED_MS;
	(void)err_set(err, -EACCES, "%s answered %d", f->call->url, status);
}

static void forget_retired(struct source *s, struct fe *f)
{
	for (size_t i = 0; i < s->retired.n; i++) {
		if (s->retired.v[i] == f) {
			s->retired.v[i] = s->retired.v[--s->retired.n];
			break;
		}
	}
	fe_free(f);
}

static void completed(struct source *s, const struct http_done *done)
{
	struct fe *f = done->tag;
	struct source_load load;
	struct err err = done->err;
	int rc = done->rc;
	bool answered = rc == 0 && f->call->reply.status == 200;
	if (answered)
		rc = source_load_parse(
			(struct str){ buf_cstr(&f->call->reply.body), f->call->reply.body.len },
			&load, &err);
	(void)pthread_mutex_lock(&s->lock);
	f->busy = false;
	s->in_flight--;
	s->in_flight_troubled -= f->troubled;
	if (f->gone) {
		forget_retired(s, f);
		f = NULL;
	} else if (answered && rc == 0) {
		known(s, f, &load);
	} else {
		if (done->rc == 0 && !answered)
			check_status(f, &err);
		source_failed(s, f, &err);
	}
	if (f) {
		call_free(f->call);
		f->call = NULL;
	}
	(void)pthread_mutex_unlock(&s->lock);
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
			known(s, f, load);
		break;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

static void *poll_all(void *arg)
{
	struct source *s = arg;
	while (!atomic_load(&s->stop)) {
		struct http_done done;
		struct err err = ERR_INIT;
		ask_due(s);
		int64_t wait = s->scan_ms - clock_mono_ms();
		wait = wait < 0 ? 0 : wait;
		int rc = http_batch_next(s->batch, deadline_in(wait), &done, &err);
		if (rc == 0) {
			completed(s, &done);
		} else if (rc == HTTP_BATCH_IDLE) {
			clock_sleep_ms(wait);
		} else if (rc < 0) {
			log_error("%s", err.msg);
			clock_sleep_ms(SCAN_MAX_MS);
		}
	}
	return NULL;
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
	int rc = http_batch_new(tls, &s->batch, err);
	if (rc == 0 && (errno = pthread_create(&s->thread, NULL, poll_all, s)) != 0)
		rc = err_errno(err, "cannot start a thread");
	if (rc < 0) {
		http_batch_free(s->batch);
		map_free(s->entries);
		map_free(s->fes);
		free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void source_stop(struct source *s)
{
	if (!s)
		return;
	size_t at = 0;
	const char *key;
	void *value;
	atomic_store(&s->stop, true);
	(void)pthread_join(s->thread, NULL);
	http_batch_free(s->batch); /* before the replies that its calls write to */
	while (map_next(s->fes, &at, &key, &value)) {
		source_asker_join(((struct fe *)value)->asker);
		fe_free(value);
	}
	at = 0;
	while (map_next(s->entries, &at, &key, &value))
		entry_free(value);
	while (s->leaving.n)
		source_asker_join(s->leaving.v[--s->leaving.n]);
	vec_free(&s->leaving);
	map_free(s->entries);
	map_free(s->fes);
	while (s->retired.n)
		fe_free(s->retired.v[--s->retired.n]);
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
	f->gone = true;
	if (f->busy)
		vec_push(&s->retired, f);
	else
		fe_free(f);
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

#include "scaler/source/discover.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/data/base64.h"
#include "lib/data/json.h"
#include "lib/kube/watch.h"
#include "scaler/source/config.h"
#include "scaler/source/houses.h"

enum {
	TOKENS_EVERY_MS = 1000,
	SECRET_CALL_MS = 3000,
	SECRET_MAX = 1024 * 1024,
	COMPLAIN_EVERY_MS = 60000
};

struct watch {
	struct source_discover *owner;
	const struct kube_kind *kind;
	char *ns; /* NULL: all */
	pthread_t thread;
	struct map *known; /* keys of its pools; the thread's own */
	struct map *seen;  /* while a list is read; else NULL */
	bool listed;
	bool troubled;
};

struct source_discover {
	struct source_discover_config config;
	struct source_houses *houses;
	VEC(struct watch *) watches;
	_Atomic size_t unlisted;
	pthread_t tokens;
	int64_t quiet_until_ms; /* of that thread: one complaint a minute is enough */
	_Atomic bool stop;
};

/* ---- clusters --------------------------------------------------------------------------------- */

static void drop(struct watch *w, const char *key)
{
	if (map_del(w->known, key))
		source_remove(w->owner->config.source, key);
}

static void put_role(struct watch *w, const json_t *cr, enum source_role role, const char *ns,
                     const char *name)
{
	struct source_target t = { 0 };
	struct err err = ERR_INIT;
	autofree char *key = source_key(ns, name, source_role_pool[role]);
	int rc = source_target_of_cr(cr, role, w->owner->config.dns_suffix, &t, &err);
	if (rc < 0)
		log_warn("cluster=%s/%s %s not scaled: %s", ns, name, source_role_pool[role],
		         err.msg);
	if (rc != 0) {
		drop(w, key);
		return;
	}
	source_put(w->owner->config.source, &t);
	map_put(w->known, key, w);
	if (w->seen)
		map_put(w->seen, key, w);
	source_target_free(&t);
}

static void take_object(struct watch *w, const json_t *object, bool gone)
{
	const char *ns = data_get_str(object, "metadata.namespace");
	const char *name = data_get_str(object, "metadata.name");
	if (w->kind == &KUBE_WAREHOUSE) {
		source_houses_warehouse(w->owner->houses, w, object, gone);
		return;
	}
	source_houses_cluster(w->owner->houses, w, object, gone);
	for (int role = 0; ns && name && role < SOURCE_ROLES; role++) {
		autofree char *key = source_key(ns, name, source_role_pool[role]);
		if (gone)
			drop(w, key);
		else
			put_role(w, object, (enum source_role)role, ns, name);
	}
}

static void listed(struct watch *w)
{
	if (!w->listed && atomic_fetch_sub(&w->owner->unlisted, 1) == 1)
		w->owner->config.on_complete(w->owner->config.arg);
	w->listed = true;
}

/* What was not in the fresh list is gone. */
static void list_ended(struct watch *w)
{
	VEC(char *) gone = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	while (w->seen && map_next(w->known, &at, &key, &value))
		if (!map_get(w->seen, key))
			vec_push(&gone, xstrdup(key));
	for (size_t i = 0; i < gone.n; i++) {
		(void)map_del(w->known, gone.v[i]);
		source_remove(w->owner->config.source, gone.v[i]);
		free(gone.v[i]);
	}
	vec_free(&gone);
	map_free(w->seen);
	w->seen = NULL;
	w->troubled = false;
	source_houses_list_end(w->owner->houses, w);
	listed(w);
}

static void on_change(void *arg, enum kube_change change, json_t *object)
{
	struct watch *w = arg;
	switch (change) {
	case KUBE_LIST_BEGIN:
		map_free(w->seen);
		w->seen = map_new(NULL);
		source_houses_list_begin(w->owner->houses, w);
		break;
	case KUBE_PUT:
		take_object(w, object, false);
		break;
	case KUBE_DELETED:
		take_object(w, object, true);
		break;
	case KUBE_LIST_END:
		list_ended(w);
		break;
	}
}

static void on_trouble(void *arg, int rc, const struct err *err)
{
	struct watch *w = arg;
	/* No such kind here, or not for us: the clusters are all there is, for now. */
	bool without = w->kind == &KUBE_WAREHOUSE && (rc == KUBE_NOT_FOUND || rc == KUBE_FORBIDDEN);
	if (without)
		listed(w);
	if (!w->troubled && rc != KUBE_NOT_FOUND)
		log_warn("watching %s in %s: %s (%d)", w->kind->plural,
		         w->ns ? w->ns : "all namespaces", err->msg, rc);
	w->troubled = true;
}

static bool should_stop(void *arg)
{
	const struct watch *w = arg;
	return atomic_load(&w->owner->stop);
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	_cleanup_(kube_client_freep) struct kube_client *client = NULL;
	struct err err = ERR_INIT;
	if (kube_client_new(w->owner->config.kube, &client, &err) < 0) {
		log_error("%s", err.msg);
		return NULL;
	}
	kube_client_stop_when(client, should_stop, w);
	struct kube_watch_config c = { .query = { .kind = w->kind, .ns = w->ns },
		                       .on_change = on_change,
		                       .on_trouble = on_trouble,
		                       .should_stop = should_stop,
		                       .arg = w };
	kube_watch_run(client, &c);
	return NULL;
}

/* ---- tokens, passwords and CAs ---------------------------------------------------------------- */

struct wanted {
	char *ns, *key, *secret, *secret_key;
	enum source_secret what;
};
typedef VEC(struct wanted) wanted_vec;

static void note_wanted(void *arg, const char *key, const struct source_target *t,
                        enum source_secret what, const char *secret, const char *secret_key)
{
	wanted_vec *v = arg;
	vec_push(v, (struct wanted){ .ns = xstrdup(t->fe_ns ? t->fe_ns : t->ns),
	                             .key = xstrdup(key),
	                             .secret = secret ? xstrdup(secret)
	                                              : xasprintf("%s-roost-token", t->cluster),
	                             .secret_key = xstrdup(secret ? secret_key : "token"),
	                             .what = what });
}

/* rc: of reading the Secret. */
static void not_there(struct source_discover *d, const struct wanted *w, int rc, struct err *err)
{
	bool gone = rc == 0 || rc == KUBE_NOT_FOUND;
	if (rc == KUBE_NOT_FOUND && w->what == SOURCE_TOKEN)
		return; /* the operator makes it soon */
	if (rc == KUBE_NOT_FOUND)
		(void)err_set(err, -ENOENT, "Secret %s is not there", w->secret);
	else if (rc == 0)
		(void)err_set(err, -ENOENT, "Secret %s has no %s, or not in base64", w->secret,
		              w->secret_key);
	else
		err_wrap(err, "Secret %s", w->secret);
	source_no_secret(d->config.source, w->key, w->what, gone, err);
	if (clock_mono_ms() < d->quiet_until_ms)
		return;
	d->quiet_until_ms = clock_mono_ms() + COMPLAIN_EVERY_MS;
	log_warn("pool=%s no %s for its FE: %s", w->key, w->secret_key, err->msg);
}

static void fetch(struct source_discover *d, struct kube_client *client, const struct wanted *w)
{
	struct kube_ref ref = { &KUBE_SECRET, w->ns, w->secret, NULL };
	_cleanup_json_ json_t *secret = NULL;
	struct err err = ERR_INIT;
	int rc = kube_get(client, &ref, &secret, &err);
	if (rc == -ECANCELED)
		return;
	const json_t *data = rc == 0 ? json_object_get(secret, "data") : NULL;
	const char *text = json_string_value(json_object_get(data, w->secret_key));
	_cleanup_buf_ struct buf out = BUF_INIT(SECRET_MAX);
	bool found = text && data_base64_decode(str_of(text), &out) == 0;
	if (found && w->what == SOURCE_TOKEN)
		out.len = str_trim(str_of(buf_cstr(&out))).len; /* no newline at the end */
	/* An empty password is one; an empty CA would trust nobody. */
	if (found && (out.len || w->what != SOURCE_CA))
		source_set_secret(d->config.source, w->key, w->what,
		                  (struct str){ buf_cstr(&out), out.len });
	else
		not_there(d, w, rc, &err);
	if (out.p)
		explicit_bzero(out.p, out.cap);
}

static bool ends(void *arg)
{
	const struct source_discover *d = arg;
	return atomic_load(&d->stop);
}

static void *tokens_main(void *arg)
{
	struct source_discover *d = arg;
	_cleanup_(kube_client_freep) struct kube_client *client = NULL;
	struct err err = ERR_INIT;
	if (kube_client_new(d->config.kube, &client, &err) < 0) {
		log_error("%s", err.msg);
		return NULL;
	}
	kube_client_timeout(client, SECRET_CALL_MS);
	kube_client_stop_when(client, ends, d);
	while (!atomic_load(&d->stop)) {
		wanted_vec v = { 0 };
		source_secrets_wanted(d->config.source, note_wanted, &v);
		for (size_t i = 0; i < v.n; i++) {
			if (!atomic_load(&d->stop))
				fetch(d, client, &v.v[i]);
			free(v.v[i].ns);
			free(v.v[i].key);
			free(v.v[i].secret);
			free(v.v[i].secret_key);
		}
		vec_free(&v);
		for (int ms = 0; ms < TOKENS_EVERY_MS && !atomic_load(&d->stop); ms += 100)
			clock_sleep_ms(100);
	}
	return NULL;
}

/* ---- start and stop --------------------------------------------------------------------------- */

static void add_watches(struct source_discover *d, struct str ns)
{
	const struct kube_kind *const kinds[] = { &KUBE_CLUSTER, &KUBE_WAREHOUSE };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct watch *w = xcalloc(1, sizeof(*w));
		w->owner = d;
		w->kind = kinds[i];
		w->ns = ns.len ? str_dup(ns) : NULL;
		w->known = map_new(NULL);
		vec_push(&d->watches, w);
	}
}

static void free_all(struct source_discover *d)
{
	for (size_t i = 0; i < d->watches.n; i++) {
		struct watch *w = d->watches.v[i];
		map_free(w->known);
		map_free(w->seen);
		free(w->ns);
		free(w);
	}
	vec_free(&d->watches);
	source_houses_free(d->houses);
	free(d);
}

/* Joins what was started: the first n watches. */
static void join(struct source_discover *d, size_t n)
{
	atomic_store(&d->stop, true);
	for (size_t i = 0; i < n; i++)
		(void)pthread_join(d->watches.v[i]->thread, NULL);
}

int source_discover_start(const struct source_discover_config *config, struct source_discover **ret,
                          struct err *err)
{
	struct source_discover *d = xcalloc(1, sizeof(*d));
	d->config = *config;
	d->houses = source_houses_new(config->source, config->dns_suffix);
	struct str rest = str_of(config->namespaces), ns;
	while (str_split(&rest, ',', &ns))
		if (str_trim(ns).len)
			add_watches(d, str_trim(ns));
	if (!d->watches.n)
		add_watches(d, str_of(NULL));
	atomic_store(&d->unlisted, d->watches.n);
	size_t started = 0;
	while (started < d->watches.n &&
	       !(errno = pthread_create(&d->watches.v[started]->thread, NULL, watch_main,
	                                d->watches.v[started])))
		started++;
	if (started < d->watches.n ||
	    (errno = pthread_create(&d->tokens, NULL, tokens_main, d)) != 0) {
		int rc = err_errno(err, "cannot start a thread");
		join(d, started);
		free_all(d);
		return rc;
	}
	*ret = d;
	return 0;
}

void source_discover_end(struct source_discover *d)
{
	if (d)
		atomic_store(&d->stop, true);
}

void source_discover_stop(struct source_discover *d)
{
	if (!d)
		return;
	join(d, d->watches.n);
	(void)pthread_join(d->tokens, NULL);
	free_all(d);
}

#include "operator/observe/watches.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/data/pool.h"
#include "operator/observe/metrics.h"

static const struct {
	const struct kube_kind *kind;
	/* optional: its CRD may be missing; spare: a cluster may do without, so that we need not be allowed to read it */
	bool labelled, metadata_only, optional, spare;
} collections[] = {
	{ .kind = &KUBE_CLUSTER },
	{ .kind = &KUBE_WAREHOUSE, .optional = true },
	{ .kind = &KUBE_STATEFUL_SET, .labelled = true },
	{ .kind = &KUBE_DEPLOYMENT, .labelled = true },
	{ .kind = &KUBE_SERVICE, .labelled = true },
	{ .kind = &KUBE_HPA, .labelled = true, .spare = true },
	{ .kind = &KUBE_POD, .labelled = true },
	{ .kind = &KUBE_CONFIG_MAP, .labelled = true },
	{ .kind = &KUBE_INGRESS, .labelled = true, .spare = true },
	{ .kind = &KUBE_PDB, .labelled = true, .spare = true },
	{ .kind = &KUBE_CONFIG_MAP, .metadata_only = true },
	{ .kind = &KUBE_SCALED_OBJECT, .labelled = true, .optional = true },
	{ .kind = &KUBE_TRIGGER_AUTH, .labelled = true, .optional = true },
};
enum { KINDS = ARRAY_LEN(collections), POOL_BYTES = 64 * 1024, TURN_MS = 5 };
/* A right may come a moment after the program; a trouble that stays is a line each so often. */
enum { REFUSALS = 3, TELL_AGAIN_MS = 600000 };

struct one {
	struct observe_watches *all;
	unsigned number;
	const char *ns;
	pthread_t thread;
	int last_trouble;
	int64_t told_ms;
	bool listing;
	unsigned refusals;
	char *refused; /* the server's words, under the lock; NULL: the kind is seen, or is not there */
};

struct observe_watches {
	struct observe_watches_config config;
	char **namespaces;
	struct one *ones;
	unsigned n, started;
	atomic_bool stop;
	pthread_mutex_t lock;
};

static void set_refused(struct one *o, const char *why)
{
	pthread_mutex_lock(&o->all->lock);
	free(o->refused);
	o->refused = why ? xstrdup(why) : NULL;
	pthread_mutex_unlock(&o->all->lock);
}

char *observe_watches_refusal(struct observe_watches *w, const struct kube_kind *kind,
                              const char *ns)
{
	unsigned i = observe_watch_of(w, kind, ns);
	pthread_mutex_lock(&w->lock);
	char *why = w->ones[i].refused ? xstrdup(w->ones[i].refused) : NULL;
	pthread_mutex_unlock(&w->lock);
	return why;
}

static void on_change(void *arg, enum kube_change change, json_t *object)
{
	struct one *o = arg;
	o->listing = change == KUBE_LIST_BEGIN || (o->listing && change != KUBE_LIST_END);
	if (change != KUBE_LIST_BEGIN)
		o->last_trouble = 0;
	if (change == KUBE_LIST_END) {
		o->refusals = 0;
		set_refused(o, NULL);
	}
	if (object && collections[o->number % KINDS].metadata_only)
		observe_conf_event(o->all->config.conf, change, object);
	else if (collections[o->number % KINDS].metadata_only)
		observe_conf_list(o->all->config.conf, o->ns, change == KUBE_LIST_BEGIN);
	else
		observe_store_event(o->all->config.store, o->number, change, object);
}

static void on_listed(void *arg, struct str item)
{
	struct one *o = arg;
	o->last_trouble = 0;
	observe_store_listed(o->all->config.store, o->number, item);
}

/* Whether the kind is not there for us: its CRD is missing, or what we may not list is something that no cluster needs. */
static bool counts_as_absent(struct one *o, int rc)
{
	bool optional = collections[o->number % KINDS].optional;
	if (rc == KUBE_NOT_FOUND)
		return optional;
	if (rc != KUBE_FORBIDDEN || !o->listing)
		return false;
	return optional || (collections[o->number % KINDS].spare && ++o->refusals >= REFUSALS);
}

static void on_trouble(void *arg, int rc, const struct err *err)
{
	struct one *o = arg;
	int64_t now = clock_mono_ms();
	if (counts_as_absent(o, rc)) {
		/* The watch goes on asking: that is how a later installation, or right, is seen. */
		set_refused(o, rc == KUBE_FORBIDDEN ? err->msg : NULL);
		observe_store_absent(o->all->config.store, o->number);
		if (rc == KUBE_NOT_FOUND)
			return;
	}
	observe_metric_add(OBSERVE_WATCH_TROUBLES, 1);
	observe_count(OBSERVE_WATCH, collections[o->number % KINDS].kind->kind,
	              rc == KUBE_GONE ? "gone" : (rc > 0 ? "refused" : "cut"));
	/* The same trouble again and again is one line. */
	if ((rc != o->last_trouble || now - o->told_ms > TELL_AGAIN_MS) && rc != KUBE_GONE) {
		log_warn("watch=%s namespace=%s %s", collections[o->number % KINDS].kind->plural,
		         o->ns ? o->ns : "*", err->msg);
		o->told_ms = now;
	}
	o->last_trouble = rc;
}

static bool should_stop(void *arg)
{
	struct one *o = arg;
	return atomic_load(&o->all->stop);
}

/* Of the kinds that a step must not be without. */
static bool needed(unsigned number)
{
	return !collections[number % KINDS].metadata_only;
}

static bool needed_synced(const struct observe_watches *w)
{
	for (unsigned i = 0; i < w->n; i++)
		if (needed(i) && !observe_store_synced(w->config.store, i))
			return false;
	return true;
}

/* ConfigMaps are read when they are asked for, and there may be ten thousand that nobody asks for: their names come last. */
static void wait_for_turn(struct one *o)
{
	while (!needed(o->number) && !needed_synced(o->all) && !should_stop(o))
		clock_sleep_ms(TURN_MS);
}

static void *watch_thread(void *arg)
{
	struct one *o = arg;
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	struct err err = ERR_INIT;
	struct kube_watch_config w = {
		.query = { .kind = collections[o->number % KINDS].kind,
		           .ns = o->ns,
		           .labels = collections[o->number % KINDS].labelled
		                             ? "app.starrocks.ownerreference/name"
		                             : NULL,
		           .metadata_only = collections[o->number % KINDS].metadata_only },
		.idle_ms = o->all->config.idle_ms,
		.on_change = on_change,
		.on_trouble = on_trouble,
		.should_stop = should_stop,
		.arg = o,
	};
	if (needed(o->number))
		w.on_listed = on_listed;
	if (kube_client_new(o->all->config.kube, &kube, &err) < 0) {
		log_error("a watch cannot start: %s", err.msg);
		return NULL;
	}
	kube_client_slim(kube, OBSERVE_STORE_WORDS);
	wait_for_turn(o);
	data_pool_keep(POOL_BYTES);
	kube_watch_run(kube, &w);
	data_pool_keep(0);
	return NULL;
}

static struct observe_watches *new_watches(const struct observe_watches_config *config)
{
	struct observe_watches *w = xcalloc(1, sizeof(*w));
	size_t scopes = config->n ? config->n : 1;
	w->config = *config;
	pthread_mutex_init(&w->lock, NULL);
	w->n = (unsigned)(scopes * KINDS);
	w->ones = xcalloc(w->n, sizeof(*w->ones));
	w->namespaces = xcalloc(scopes, sizeof(*w->namespaces));
	for (size_t i = 0; i < config->n; i++)
		w->namespaces[i] = xstrdup(config->namespaces[i]);
	for (unsigned i = 0; i < w->n; i++)
		w->ones[i] = (struct one){ .all = w,
			                   .number = i,
			                   .ns = config->n ? w->namespaces[i / KINDS] : NULL };
	return w;
}

int observe_watches_start(const struct observe_watches_config *config, struct observe_watches **ret,
                          struct err *err)
{
	if (config->n * KINDS > OBSERVE_WATCHES_MAX)
		return err_set(err, -E2BIG, "--namespace names %zu namespaces; at most %d",
		               config->n, (int)(OBSERVE_WATCHES_MAX / KINDS));
	_cleanup_(observe_watches_freep) struct observe_watches *w = new_watches(config);
	for (unsigned i = 0; i < w->n; i++) {
		if (pthread_create(&w->ones[i].thread, NULL, watch_thread, &w->ones[i]) != 0)
			return err_set(err, -EAGAIN, "cannot start a thread");
		w->started++;
	}
	*ret = TAKE_PTR(w);
	return 0;
}

void observe_watches_free(struct observe_watches *w)
{
	if (!w)
		return;
	atomic_store(&w->stop, true);
	for (unsigned i = 0; i < w->started; i++)
		pthread_join(w->ones[i].thread, NULL);
	for (size_t i = 0; i < w->config.n; i++)
		free(w->namespaces[i]);
	free(w->namespaces);
	for (unsigned i = 0; i < w->n; i++)
		free(w->ones[i].refused);
	pthread_mutex_destroy(&w->lock);
	free(w->ones);
	free(w);
}

bool observe_watches_synced(struct observe_watches *w)
{
	return needed_synced(w);
}

unsigned observe_watch_of(struct observe_watches *w, const struct kube_kind *kind, const char *ns)
{
	for (unsigned i = 0; i < w->n; i++) {
		const struct one *o = &w->ones[i];
		if (collections[i % KINDS].kind == kind && !collections[i % KINDS].metadata_only &&
		    (!o->ns || strcmp(o->ns, ns) == 0))
			return i;
	}
	return 0;
}

#include "scaler/serve/pools.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "scaler/policy/foresee.h"
#include "scaler/policy/log.h"
#include "scaler/serve/decisions.h"

enum { SLICE = 64 /* pools copied while the others wait */, NAMES_MAX = 1024 * 1024 };

const char *const serve_series_names[SERVE_SERIES] = {
	[SERVE_DESIRED] = "roost_pool_desired",
	[SERVE_CURRENT] = "roost_pool_current",
	[SERVE_PENDING] = "roost_queue_pending",
	[SERVE_OLDEST_WAIT] = "roost_queue_oldest_wait_seconds",
	[SERVE_REQUIRED_SLOTS] = "roost_queue_required_slots",
	[SERVE_RUNNING] = "roost_running_queries",
	[SERVE_AGE] = "roost_snapshot_age_seconds",
};
const char *const serve_series_help[SERVE_SERIES] = {
	[SERVE_DESIRED] = "Compute nodes wanted.",
	[SERVE_CURRENT] = "Compute nodes alive and not draining.",
	[SERVE_PENDING] = "Queries that wait.",
	[SERVE_OLDEST_WAIT] = "How long the first of them waits.",
	[SERVE_REQUIRED_SLOTS] = "Slots asked for by waiting and running queries.",
	[SERVE_RUNNING] = "Queries that run.",
	[SERVE_AGE] = "How old the last snapshot of the FE is.",
};

struct pool {
	char *names; /* the next three, in one piece */
	const char *ns, *cluster, *pool;
	char *uid;
	struct source_limits limits;
	struct policy_state state;
	struct policy_decision decision;
	struct source_snapshot snap;
	int64_t at_ms;                  /* when the snapshot came; 0: none yet */
	char *problem;                  /* why the last try brought none; NULL: it did */
	struct policy_history *history; /* NULL: it never needed a node */
	int64_t forecast_at;            /* the minute that its forecasts are of */
	int64_t kept_ms;                /* when the history was last handed out to be kept */
	bool history_read;
	bool house;                  /* a warehouse's */
	uint32_t at;                 /* in order */
	uint32_t walk;               /* the last one that saw it */
	int64_t adopted, adopted_ms; /* the leader's word, and when it came; 0: never */
};

struct serve_pools {
	pthread_mutex_t lock;
	struct map *pools;
	VEC(struct pool *) order; /* the same, for walks */
	uint32_t walks;
	size_t unread; /* pools whose history was not looked for yet */
	int64_t max_age_ms;
	_Atomic bool complete;
	struct serve_decisions *decisions;
	bool follows;  /* another replica decides */
	int64_t epoch; /* of the lease */
};

static void pool_free(void *value)
{
	struct pool *p = value;
	free(p->names);
	free(p->uid);
	free(p->problem);
	policy_history_free(p->history);
	free(p);
}

int serve_pools_log(struct serve_pools *p, const char *path, struct err *err)
{
	return path ? serve_decisions_open(path, &p->decisions, err) : 0;
}

struct serve_pools *serve_pools_new(int64_t max_age_ms)
{
	struct serve_pools *p = xcalloc(1, sizeof(*p));
	(void)pthread_mutex_init(&p->lock, NULL);
	p->pools = map_new(pool_free);
	p->max_age_ms = max_age_ms;
	return p;
}

void serve_pools_free(struct serve_pools *p)
{
	if (!p)
		return;
	map_free(p->pools);
	vec_free(&p->order);
	serve_decisions_close(p->decisions);
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

void serve_pools_complete(struct serve_pools *p, bool complete)
{
	atomic_store(&p->complete, complete);
}

bool serve_pools_are_complete(const struct serve_pools *p)
{
	return atomic_load(&p->complete);
}

/* ---- the source's events ---------------------------------------------------------------------- */

static void on_target(void *arg, const char *key, const struct source_target *t)
{
	struct serve_pools *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (!pool) {
		pool = xcalloc(1, sizeof(*pool));
		pool->names = xasprintf("%s%c%s%c%s", t->ns, 0, t->cluster, 0, t->pool);
		pool->ns = pool->names;
		pool->cluster = pool->ns + strlen(t->ns) + 1;
		pool->pool = pool->cluster + strlen(t->cluster) + 1;
		pool->uid = t->uid ? xstrdup(t->uid) : NULL;
		pool->house = t->house != NULL;
		pool->at = (uint32_t)p->order.n;
		vec_push(&p->order, pool);
		p->unread++;
		map_put(p->pools, key, pool);
	}
	pool->limits = t->limits;
	(void)pthread_mutex_unlock(&p->lock);
}

static void on_gone(void *arg, const char *key)
{
	struct serve_pools *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (pool) {
		p->unread -= !pool->history_read;
		p->order.v[pool->at] = p->order.v[--p->order.n];
		p->order.v[pool->at]->at = pool->at;
		(void)map_del(p->pools, key);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

/* Once a minute: the past says little new within one. */
static void look_ahead(struct pool *p, int64_t real_ms)
{
	int64_t minute = real_ms / 60000;
	if (!p->history || p->forecast_at == minute)
		return;
	p->forecast_at = minute;
	policy_foresee(p->history, real_ms, &p->state);
}

static void look_back(struct pool *p, int64_t real_ms)
{
	if (!p->history && p->state.need > 0)
		p->history = policy_history_new();
	if (!p->history)
		return;
	policy_history_note(p->history, real_ms, p->state.need);
}

/* "queue", "panic", "hold"…: what of a reason is not numbers. */
static struct str kind_of(const char *reason)
{
	return (struct str){ reason, strcspn(reason, ":0123456789") };
}

static void adopt(struct pool *p, int64_t desired, const struct source_snapshot *snap, int64_t now)
{
	struct policy_decision *d = &p->decision;
	policy_adopt(&p->limits, now, desired, &p->state);
	if (d->desired == desired)
		return;
	d->desired = desired;
	d->active = desired > 0 || snap->pending > 0 || snap->running > 0;
	(void)snprintf(d->reason, sizeof(d->reason),
	               "leader: %lld, as the replica that leads decided", (long long)desired);
}

static void decide(struct serve_pools *p, const char *key, struct pool *pool,
                   const struct source_snapshot *snap, int64_t now)
{
	struct policy_decision was = pool->decision;
	struct policy_state before = pool->state;
	bool first = !before.begun;
	policy_step(&pool->limits, snap, now, &pool->state, &pool->decision);
	const struct policy_decision *is = &pool->decision;
	bool moved = first || is->desired != was.desired;
	if (moved)
		log_info("pool=%s desired=%lld current=%lld reason=%s", key, (long long)is->desired,
		         (long long)snap->nodes, is->reason);
	if (p->decisions && (moved || is->active != was.active ||
	                     !str_eq(kind_of(is->reason), kind_of(was.reason))))
		serve_decisions_add(p->decisions, key, &pool->limits, snap, now, &before, is);
	if (p->follows && pool->adopted_ms && now - pool->adopted_ms <= SERVE_ADOPT_MS)
		adopt(pool, pool->adopted, snap, now);
}

static void on_snapshot(void *arg, const char *key, const struct source_snapshot *snap)
{
	struct serve_pools *p = arg;
	int64_t now = clock_mono_ms(), real = clock_real_ms();
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (pool) {
		look_ahead(pool, real);
		decide(p, key, pool, snap, now);
		look_back(pool, real);
		pool->snap = *snap;
		pool->at_ms = now;
		free(pool->problem);
		pool->problem = NULL;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

static void on_failure(void *arg, const char *key, const struct err *err)
{
	struct serve_pools *p = arg;
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (pool && (!pool->problem || strcmp(pool->problem, err->msg) != 0)) {
		free(pool->problem);
		pool->problem = xstrdup(err->msg);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

struct source_events serve_pools_events(struct serve_pools *p)
{
	return (struct source_events){ on_target, on_gone, on_snapshot, on_failure, p };
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void add_reason(struct buf *out, const char *reason)
{
	for (const char *c = reason; *c; c++)
		if (*c != '"' && *c != '\\' && (unsigned char)*c >= ' ')
			(void)buf_addc(out, *c);
}

static void write_document(const struct pool *p, int64_t epoch, int64_t age_ms, struct buf *out)
{
	const struct source_snapshot *s = &p->snap;
	(void)buf_addf(
		out,
		"{\"v\":1,\"desired\":%lld,\"active\":%d,\"current\":%lld,\"draining\":%lld,"
		"\"queue\":{\"pending\":%lld,\"oldest_wait_s\":%.3f,\"required_slots\":%lld},"
		"\"running\":%lld,\"age_ms\":%lld,\"ts\":%.3f,\"epoch\":%lld,\"fe_epoch\":%lld,"
		"\"reason\":\"",
		(long long)p->decision.desired, p->decision.active ? 1 : 0, (long long)s->nodes,
		(long long)s->draining, (long long)s->pending, s->oldest_wait_s,
		(long long)s->slots_asked, (long long)s->running, (long long)age_ms,
		(double)(clock_real_ms() - age_ms) / 1000, (long long)epoch, (long long)s->epoch);
	add_reason(out, p->decision.reason);
	(void)buf_adds(out, "\"}");
}

enum serve_found serve_pools_document(struct serve_pools *p, const char *key, struct buf *out,
                                      struct err *err)
{
	int64_t now = clock_mono_ms();
	enum serve_found found = SERVE_FRESH;
	(void)pthread_mutex_lock(&p->lock);
	const struct pool *pool = map_get(p->pools, key);
	if (!pool) {
		found = SERVE_UNKNOWN;
	} else if (pool->at_ms == 0 || now - pool->at_ms > p->max_age_ms) {
		found = SERVE_STALE;
		(void)err_set(err, -ESTALE, "%s: %.300s",
		              pool->at_ms ? "the last load is too old" : "no load yet",
		              pool->problem ? pool->problem : "the FE was not asked yet");
	} else {
		write_document(pool, p->epoch, now - pool->at_ms, out);
	}
	(void)pthread_mutex_unlock(&p->lock);
	return found;
}

/* ---- all pools, without keeping anybody waiting ------------------------------------------------ */

struct walk { /* copies of some pools */
	struct serve_sample v[SLICE];
	size_t names_at[SLICE]; /* "ns", "cluster", "pool" in names */
	size_t n;
	struct buf names;
};

/* Under the lock. */
static void copy_pool(const struct serve_pools *p, const struct pool *pool, int64_t now,
                      struct walk *w)
{
	int64_t age = now - pool->at_ms;
	w->v[w->n] = (struct serve_sample){
		.known = pool->at_ms != 0,
		.fresh = pool->at_ms != 0 && age <= p->max_age_ms,
		.value = { [SERVE_DESIRED] = (double)pool->decision.desired,
		           [SERVE_CURRENT] = (double)pool->snap.nodes,
		           [SERVE_PENDING] = (double)pool->snap.pending,
		           [SERVE_OLDEST_WAIT] = pool->snap.oldest_wait_s,
		           [SERVE_REQUIRED_SLOTS] = (double)pool->snap.slots_asked,
		           [SERVE_RUNNING] = (double)pool->snap.running,
		           [SERVE_AGE] = (double)age / 1000 },
	};
	w->names_at[w->n++] = w->names.len;
	(void)buf_add(&w->names, pool->names,
	              (size_t)(pool->pool - pool->names) + strlen(pool->pool) + 1);
}

static void tell(struct walk *w, void (*fn)(void *arg, const struct serve_sample *s), void *arg)
{
	for (size_t i = 0; i < w->n; i++) {
		struct serve_sample *s = &w->v[i];
		s->ns = w->names.p + w->names_at[i];
		s->cluster = s->ns + strlen(s->ns) + 1;
		s->pool = s->cluster + strlen(s->cluster) + 1;
		fn(arg, s);
	}
	w->n = 0;
	buf_reset(&w->names);
}

/* From the end down, since the last pool takes the place of one that goes: none is left out, and one that was moved has
 * its mark. */
static void copy_slice(struct serve_pools *p, uint32_t mark, size_t *left, struct walk *w)
{
	int64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&p->lock);
	*left = *left < p->order.n ? *left : p->order.n;
	while (*left && w->n < SLICE) {
		struct pool *pool = p->order.v[--*left];
		if (pool->walk != mark)
			copy_pool(p, pool, now, w);
		pool->walk = mark;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

void serve_pools_each(struct serve_pools *p, void (*fn)(void *arg, const struct serve_sample *s),
                      void *arg)
{
	struct walk w = { .names = BUF_INIT(NAMES_MAX) };
	(void)pthread_mutex_lock(&p->lock);
	size_t left = p->order.n;
	uint32_t mark = ++p->walks;
	(void)pthread_mutex_unlock(&p->lock);
	while (left) {
		copy_slice(p, mark, &left, &w);
		tell(&w, fn, arg);
	}
	buf_free(&w.names);
}

void serve_pools_one(struct serve_pools *p, const char *key,
                     void (*fn)(void *arg, const struct serve_sample *s), void *arg)
{
	struct walk w = { .names = BUF_INIT(NAMES_MAX) };
	int64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&p->lock);
	const struct pool *pool = map_get(p->pools, key);
	if (pool)
		copy_pool(p, pool, now, &w);
	(void)pthread_mutex_unlock(&p->lock);
	tell(&w, fn, arg);
	buf_free(&w.names);
}

/* ---- replicas --------------------------------------------------------------------------------- */

void serve_pools_role(struct serve_pools *p, bool leads, int64_t epoch)
{
	(void)pthread_mutex_lock(&p->lock);
	p->follows = !leads;
	p->epoch = epoch;
	(void)pthread_mutex_unlock(&p->lock);
}

struct decisions {
	struct buf *out;
	const char *comma;
};

static void add_decision(void *arg, const struct serve_sample *s)
{
	struct decisions *d = arg;
	if (!s->fresh)
		return;
	(void)buf_addf(d->out, "%s\"%s/%s/%s\":%.0f", d->comma, s->ns, s->cluster, s->pool,
	               s->value[SERVE_DESIRED]);
	d->comma = ",";
}

void serve_pools_decisions(struct serve_pools *p, struct buf *out)
{
	struct decisions d = { out, "" };
	(void)pthread_mutex_lock(&p->lock);
	int64_t epoch = p->epoch;
	(void)pthread_mutex_unlock(&p->lock);
	(void)buf_addf(out, "{\"epoch\":%lld,\"pools\":{", (long long)epoch);
	serve_pools_each(p, add_decision, &d);
	(void)buf_adds(out, "}}");
}

void serve_pools_adopt(struct serve_pools *p, const char *key, int64_t desired)
{
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (pool && desired >= 0 && desired <= SOURCE_NODES_MAX) {
		pool->adopted = desired;
		pool->adopted_ms = clock_mono_ms();
		if (p->follows && pool->state.begun)
			adopt(pool, desired, &pool->snap, pool->adopted_ms);
	}
	(void)pthread_mutex_unlock(&p->lock);
}

/* ---- histories -------------------------------------------------------------------------------- */

void serve_pools_histories(struct serve_pools *p, enum serve_history_kind kind, int64_t before_ms,
                           bool (*fn)(void *arg, const struct serve_history *h), void *arg)
{
	size_t at = 0;
	const char *key;
	void *value;
	bool taken = true;
	int64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&p->lock);
	if (kind == SERVE_HISTORY_UNREAD && !p->unread)
		taken = false; /* asked twice a second */
	while (taken && map_next(p->pools, &at, &key, &value)) {
		struct pool *pool = value;
		_cleanup_buf_ struct buf text = BUF_INIT(SERVE_HISTORY_MAX);
		bool changed = pool->history && pool->history_read && pool->at_ms > pool->kept_ms &&
		               pool->kept_ms < before_ms;
		if (kind == SERVE_HISTORY_CHANGED ? !changed : pool->history_read)
			continue;
		if (kind == SERVE_HISTORY_CHANGED)
			policy_history_write(pool->history, &text);
		struct serve_history h = { key,       pool->ns, pool->cluster, pool->pool,
			                   pool->uid, text.p,   pool->house };
		taken = text.overflow || fn(arg, &h);
		if (taken && kind == SERVE_HISTORY_CHANGED)
			pool->kept_ms = now;
	}
	(void)pthread_mutex_unlock(&p->lock);
}

int serve_pools_history_put(struct serve_pools *p, const char *key, struct str text,
                            struct err *err)
{
	struct policy_history *h = NULL;
	int rc = text.len ? policy_history_parse(text, &h, err) : 0;
	(void)pthread_mutex_lock(&p->lock);
	struct pool *pool = map_get(p->pools, key);
	if (pool) {
		p->unread -= !pool->history_read;
		pool->history_read = true;
		pool->forecast_at = 0;
	}
	if (pool && h) { /* what was noted since the start is minutes; they are noted again */
		policy_history_free(pool->history);
		pool->history = TAKE_PTR(h);
	}
	(void)pthread_mutex_unlock(&p->lock);
	policy_history_free(h);
	return rc;
}

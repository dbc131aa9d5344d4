#include "engine/admit/admit.h"

#include <pthread.h>

#include "engine/sqlerr.h"
#include "lib/base/mem.h"

enum { HISTORY = 256, ASK_CANCELLED_MS = 100 };
enum kind { BE, CN, KINDS };

struct admit_ticket {
	struct admit *owner;
	struct admit_ticket *prev, *next;
	pthread_cond_t granted;
	bool pending;
	int want[KINDS], held[KINDS];
	int64_t since_ts, since_us; /* since_us: monotonic; of the arrival, then of the admission */
	char query_id[40], user[64], group[64], sql[260];
};

struct list {
	struct admit_ticket *first, *last;
	int n;
};

struct admit {
	pthread_mutex_t lock;
	struct list pending, running; /* first come first */
	int capacity[KINDS], used[KINDS];
	double history[HISTORY]; /* seconds, a ring */
	uint64_t finished;
	uint64_t total, timeouts, rejected;
};

static void list_add(struct list *l, struct admit_ticket *t)
{
	t->prev = l->last;
	t->next = NULL;
	if (l->last)
		l->last->next = t;
	else
		l->first = t;
	l->last = t;
	l->n++;
}

static void list_del(struct list *l, struct admit_ticket *t)
{
	if (t->prev)
		t->prev->next = t->next;
	else
		l->first = t->next;
	if (t->next)
		t->next->prev = t->prev;
	else
		l->last = t->prev;
	l->n--;
}

int admit_new(struct admit **ret, struct err *err)
{
	(void)err;
	struct admit *a = xcalloc(1, sizeof(*a));
	pthread_mutex_init(&a->lock, NULL);
	*ret = a;
	return 0;
}

void admit_free(struct admit *a)
{
	if (!a)
		return;
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* What a query gets of a kind: no more than there is, so that a query never waits for slots that cannot come. */
static int share(const struct admit *a, const struct admit_ticket *t, enum kind k)
{
	return t->want[k] < a->capacity[k] ? t->want[k] : a->capacity[k];
}

static void grant(struct admit *a, struct admit_ticket *t)
{
	list_del(&a->pending, t);
	list_add(&a->running, t);
	for (int k = 0; k < KINDS; k++) {
		t->held[k] = share(a, t, (enum kind)k);
		a->used[k] += t->held[k];
	}
	t->pending = false;
	t->since_ts = clock_real_ms();
	t->since_us = clock_mono_us();
	pthread_cond_signal(&t->granted);
}

/* Admits whom it can, first come first served. One that cannot go yet keeps the kinds that it needs from those behind
 * it, so that a wide query is not starved by narrow ones; but one that needs a kind of which there is nothing at all
 * keeps only that kind from them. */
static void dispatch(struct admit *a)
{
	bool blocked[KINDS] = { false, false };
	struct admit_ticket *next = NULL;
	for (struct admit_ticket *t = a->pending.first; t; t = next) {
		next = t->next;
		bool fits = true, possible = true;
		for (int k = 0; k < KINDS; k++) {
			if (t->want[k] == 0)
				continue;
			possible = possible && a->capacity[k] > 0;
			fits = fits && !blocked[k] &&
			       a->used[k] + share(a, t, (enum kind)k) <= a->capacity[k];
		}
		if (possible && fits) {
			grant(a, t);
			continue;
		}
		for (int k = 0; k < KINDS; k++)
			blocked[k] =
				blocked[k] || (t->want[k] > 0 && (possible || a->capacity[k] == 0));
		if (blocked[BE] && blocked[CN])
			return;
	}
}

void admit_set_capacity(struct admit *a, int be_slots, int cn_slots)
{
	pthread_mutex_lock(&a->lock);
	a->capacity[BE] = be_slots > 0 ? be_slots : 0;
	a->capacity[CN] = cn_slots > 0 ? cn_slots : 0;
	dispatch(a);
	pthread_mutex_unlock(&a->lock);
}

static struct admit_ticket *ticket_new(struct admit *a, const struct admit_request *rq)
{
	struct admit_ticket *t = xcalloc(1, sizeof(*t));
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->granted, &attr);
	pthread_condattr_destroy(&attr);
	t->owner = a;
	t->pending = true;
	t->want[BE] = rq->slots_be > 0 ? rq->slots_be : 0;
	t->want[CN] = rq->slots_cn > 0 ? rq->slots_cn : 0;
	t->since_ts = clock_real_ms();
	t->since_us = clock_mono_us();
	(void)snprintf(t->query_id, sizeof(t->query_id), "%s", rq->query_id ? rq->query_id : "");
	(void)snprintf(t->user, sizeof(t->user), "%s", rq->user ? rq->user : "");
	(void)snprintf(t->group, sizeof(t->group), "%s", rq->group ? rq->group : "default_wg");
	(void)snprintf(t->sql, sizeof(t->sql), "%.256s", rq->sql ? rq->sql : "");
	return t;
}

static void ticket_free(struct admit_ticket *t)
{
	pthread_cond_destroy(&t->granted);
	free(t);
}

static void wait_a_little(struct admit *a, struct admit_ticket *t, struct deadline by)
{
	int64_t at_ms = deadline_min(by, deadline_in(ASK_CANCELLED_MS)).at_ms;
	struct timespec at = { .tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000 };
	(void)pthread_cond_timedwait(&t->granted, &a->lock, &at);
}

/* Why a query waited in vain, for its user: what was missing is what an operator acts on. */
static int timed_out(struct admit *a, const struct admit_ticket *t, struct err *err)
{
	a->timeouts++;
	const char *missing = "";
	if (t->want[CN] && a->capacity[CN] == 0)
		missing = ": there is no alive compute node";
	else if (t->want[BE] && a->capacity[BE] == 0)
		missing = ": there is no alive backend";
	return err_set(err, SQL_ERR(1064),
	               "Pending timeout [%lld s] in the query queue%s (wants %d BE and %d CN slots "
	               "of %d and %d; %d queries run)",
	               (long long)((clock_mono_us() - t->since_us) / 1000000), missing, t->want[BE],
	               t->want[CN], a->capacity[BE], a->capacity[CN], a->running.n);
}

/* With the lock; returns with the ticket admitted (0), or out of the queue. */
static int wait_for_slots(struct admit *a, struct admit_ticket *t, const struct admit_request *rq,
                          struct err *err)
{
	int rc = 0;
	while (t->pending && rc == 0) {
		bool cancelled = false;
		if (rq->cancelled) {
			pthread_mutex_unlock(&a->lock);
			cancelled = rq->cancelled(rq->arg);
			pthread_mutex_lock(&a->lock);
		}
		if (!t->pending)
			break;
		if (cancelled)
			rc = err_set(err, SQL_ERR(1317), "Query execution was interrupted");
		else if (deadline_passed(rq->by))
			rc = timed_out(a, t, err);
		else
			wait_a_little(a, t, rq->by);
	}
	if (rc < 0) {
		list_del(&a->pending, t);
		dispatch(a); /* whom it held up */
	}
	return rc;
}

int admit_enter(struct admit *a, const struct admit_request *rq, struct admit_ticket **ret,
                struct err *err)
{
	struct admit_ticket *t = ticket_new(a, rq);
	int rc = 0;
	pthread_mutex_lock(&a->lock);
	a->total++;
	if (a->pending.n >= ADMIT_PENDING_MAX) {
		a->rejected++;
		rc = err_set(err, SQL_ERR(1064),
		             "Need be queued but exceed query queue capacity [%d]",
		             ADMIT_PENDING_MAX);
	} else {
		list_add(&a->pending, t);
		dispatch(a);
		rc = wait_for_slots(a, t, rq, err);
	}
	pthread_mutex_unlock(&a->lock);
	if (rc < 0)
		ticket_free(t);
	else
		*ret = t;
	return rc;
}

void admit_leave(struct admit_ticket *t)
{
	if (!t)
		return;
	struct admit *a = t->owner;
	pthread_mutex_lock(&a->lock);
	list_del(&a->running, t);
	for (int k = 0; k < KINDS; k++)
		a->used[k] -= t->held[k];
	a->history[a->finished++ % HISTORY] = (double)(clock_mono_us() - t->since_us) / 1e6;
	dispatch(a);
	pthread_mutex_unlock(&a->lock);
	ticket_free(t);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

void admit_get_load(struct admit *a, struct admit_load *ret)
{
	double sorted[HISTORY];
	struct admit_load l = { 0 };
	pthread_mutex_lock(&a->lock);
	int64_t now = clock_mono_us(), oldest = now;
	l.pending = a->pending.n;
	l.running = a->running.n;
	l.total = a->total;
	l.timeouts = a->timeouts;
	l.rejected = a->rejected;
	l.running_slots_cn = a->used[CN];
	for (const struct admit_ticket *t = a->pending.first; t; t = t->next) {
		l.required_slots += t->want[CN];
		if (t->want[CN] && t->since_us < oldest)
			oldest = t->since_us;
	}
	for (const struct admit_ticket *t = a->running.first; t; t = t->next)
		l.required_slots += t->want[CN];
	size_t n = a->finished < HISTORY ? (size_t)a->finished : HISTORY;
	memcpy(sorted, a->history, n * sizeof(sorted[0]));
	pthread_mutex_unlock(&a->lock);
	l.oldest_wait_s = (double)(now - oldest) / 1e6;
	if (n) {
		qsort(sorted, n, sizeof(sorted[0]), by_value);
		l.service_p50_s = sorted[(n - 1) / 2];
		l.service_p95_s = sorted[(n - 1) * 95 / 100];
	}
	*ret = l;
}

static void describe(const struct admit_ticket *t, struct admit_query *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->query_id, t->query_id, sizeof(out->query_id));
	memcpy(out->user, t->user, sizeof(out->user));
	memcpy(out->group, t->group, sizeof(out->group));
	memcpy(out->sql, t->sql, sizeof(out->sql));
	out->pending = t->pending;
	out->since_ts = t->since_ts;
	out->slots = t->want[BE] + t->want[CN];
}

size_t admit_queries(struct admit *a, struct admit_query *out, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&a->lock);
	for (const struct admit_ticket *t = a->running.first; t && n < max; t = t->next)
		describe(t, &out[n++]);
	for (const struct admit_ticket *t = a->pending.first; t && n < max; t = t->next)
		describe(t, &out[n++]);
	pthread_mutex_unlock(&a->lock);
	return n;
}

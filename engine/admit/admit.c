#include "engine/admit/admit.h"

#include <pthread.h>

#include "engine/sqlerr.h"
#include "lib/base/mem.h"
#include "lib/base/vec.h"

enum { HISTORY = 256, ASK_CANCELLED_MS = 100 };
enum kind { BE, CN, KINDS };

struct slots { /* of a node; kept while a ticket holds some */
	int64_t id;
	enum kind kind;
	int slots; /* 0: it is gone, or draining */
	int used;
	int refs;     /* holds that name it */
	int owed;     /* to tasks of admitted queries, which come before those that wait */
	bool blocked; /* while dispatch() looks: kept for somebody who came earlier */
};

struct hold {
	struct slots *node;
	int base, held, busy; /* base: kept between tasks */
};

struct admit_ticket {
	struct admit *owner;
	struct admit_ticket *prev, *next;
	pthread_cond_t granted;
	bool pending;
	int want[KINDS];
	int64_t *be, *cn; /* want[BE] of them; n_cn */
	size_t n_cn;
	VEC(struct hold) holds;
	struct slots *owed_by;      /* NULL: nobody */
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
	VEC(struct slots *) nodes;
	int alive[KINDS], blocked[KINDS]; /* nodes */
	double history[HISTORY];          /* seconds, a ring */
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
	for (size_t i = 0; i < a->nodes.n; i++)
		free(a->nodes.v[i]);
	vec_free(&a->nodes);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

static struct slots *find(const struct admit *a, int64_t id)
{
	for (size_t i = 0; i < a->nodes.n; i++) {
		if (a->nodes.v[i]->id == id)
			return a->nodes.v[i];
	}
	return NULL;
}

static bool is_free(const struct slots *n)
{
	return n->used + n->owed < n->slots;
}

static int slots_of(const struct admit *a, enum kind k, bool used)
{
	int sum = 0;
	for (size_t i = 0; i < a->nodes.n; i++) {
		if (a->nodes.v[i]->kind == k)
			sum += used ? a->nodes.v[i]->used : a->nodes.v[i]->slots;
	}
	return sum;
}

static void hold(struct admit_ticket *t, struct slots *n)
{
	n->used++;
	n->refs++;
	vec_push(&t->holds, (struct hold){ .node = n, .base = 1, .held = 1 });
}

static void block(struct admit *a, struct slots *n)
{
	a->blocked[n->kind] += n->slots > 0 && !n->blocked;
	n->blocked = true;
}

/* Compute nodes with a slot for it, up to what it wants: those of its plan, then the emptiest. 0: too few of them. */
static size_t choose_cns(const struct admit *a, const struct admit_ticket *t, struct slots **out)
{
	int want = t->want[CN] < a->alive[CN] ? t->want[CN] : a->alive[CN], n = 0;
	for (size_t i = 0; i < t->n_cn && n < want; i++) {
		struct slots *s = find(a, t->cn[i]);
		if (s && s->kind == CN && is_free(s) && !s->blocked)
			out[n++] = s;
	}
	while (n < want) {
		struct slots *best = NULL;
		for (size_t i = 0; i < a->nodes.n; i++) {
			struct slots *s = a->nodes.v[i];
			bool taken = s->kind != CN || s->blocked || !is_free(s);
			for (int k = 0; k < n && !taken; k++)
				taken = out[k] == s;
			if (!taken && (!best || s->slots - s->used > best->slots - best->used))
				best = s;
		}
		if (!best)
			break;
		out[n++] = best;
	}
	return n >= (want + 1) / 2 ? (size_t)n : 0;
}

static bool bes_are_free(const struct admit *a, const struct admit_ticket *t)
{
	for (int i = 0; i < t->want[BE]; i++) {
		const struct slots *n = find(a, t->be[i]);
		if (n && n->slots > 0 && (n->blocked || !is_free(n)))
			return false;
	}
	return true;
}

/* Admits it when everything that it runs on has a slot for it. */
static bool grant(struct admit *a, struct admit_ticket *t)
{
	size_t n = 0;
	if (!bes_are_free(a, t))
		return false;
	autofree struct slots **cns = xcalloc((size_t)a->alive[CN] + 1, sizeof(struct slots *));
	if (t->want[CN] > 0)
		n = choose_cns(a, t, cns);
	if (t->want[CN] > 0 && n == 0)
		return false;
	for (size_t i = 0; i < n; i++)
		hold(t, cns[i]);
	for (int i = 0; i < t->want[BE]; i++) {
		struct slots *be = find(a, t->be[i]);
		if (be && be->slots > 0)
			hold(t, be);
	}
	list_del(&a->pending, t);
	list_add(&a->running, t);
	t->pending = false;
	t->since_ts = clock_real_ms();
	t->since_us = clock_mono_us();
	pthread_cond_signal(&t->granted);
	return true;
}

/* Whether there is any node of each kind that it wants. */
static bool is_possible(const struct admit *a, const struct admit_ticket *t)
{
	return (t->want[BE] == 0 || a->alive[BE] > 0) && (t->want[CN] == 0 || a->alive[CN] > 0);
}

/* What it waits for is not for those behind it: its backends, and every compute node, since any will do. One that needs
 * a kind of which there is nothing at all keeps nothing of the other from them. */
static void block_for(struct admit *a, const struct admit_ticket *t)
{
	if (!is_possible(a, t))
		return;
	for (int i = 0; i < t->want[BE]; i++) {
		struct slots *n = find(a, t->be[i]);
		if (n)
			block(a, n);
	}
	for (size_t i = 0; i < a->nodes.n && t->want[CN] > 0; i++) {
		if (a->nodes.v[i]->kind == CN)
			block(a, a->nodes.v[i]);
	}
}

/* Admits whom it can, first come first served: a wide query is not starved by narrow ones behind it. */
static void dispatch(struct admit *a)
{
	struct admit_ticket *next = NULL;
	for (size_t i = 0; i < a->nodes.n; i++)
		a->nodes.v[i]->blocked = false;
	memset(a->blocked, 0, sizeof(a->blocked));
	for (struct admit_ticket *t = a->pending.first; t; t = next) {
		next = t->next;
		if (!is_possible(a, t) || !grant(a, t))
			block_for(a, t);
		if (a->blocked[BE] == a->alive[BE] && a->blocked[CN] == a->alive[CN])
			return;
	}
}

void admit_set_nodes(struct admit *a, const struct admit_node *nodes, size_t n)
{
	pthread_mutex_lock(&a->lock);
	size_t kept = 0;
	for (size_t i = 0; i < a->nodes.n; i++) {
		struct slots *s = a->nodes.v[i];
		s->slots = 0;
		if (s->refs > 0 || s->owed > 0)
			a->nodes.v[kept++] = s;
		else
			free(s);
	}
	a->nodes.n = kept;
	memset(a->alive, 0, sizeof(a->alive));
	for (size_t i = 0; i < n; i++) {
		if (nodes[i].slots <= 0)
			continue;
		struct slots *s = find(a, nodes[i].id);
		if (!s) {
			s = xcalloc(1, sizeof(*s));
			s->id = nodes[i].id;
			vec_push(&a->nodes, s);
		}
		s->kind = nodes[i].cn ? CN : BE;
		s->slots = nodes[i].slots;
		a->alive[s->kind]++;
	}
	dispatch(a);
	pthread_mutex_unlock(&a->lock);
}

static void owe(struct admit_ticket *t, struct slots *n)
{
	if (t->owed_by)
		t->owed_by->owed--;
	t->owed_by = n;
	if (n)
		n->owed++;
}

static struct hold *hold_of(struct admit_ticket *t, int64_t id)
{
	for (size_t i = 0; i < t->holds.n; i++) {
		if (t->holds.v[i].node->id == id)
			return &t->holds.v[i];
	}
	return NULL;
}

/* From now on it holds a slot only while a task runs in it. */
static void give_up_idle(struct admit_ticket *t)
{
	for (size_t i = 0; i < t->holds.n; i++) {
		struct hold *h = &t->holds.v[i];
		h->node->used -= h->held - h->busy;
		h->held = h->busy;
		h->base = 0;
	}
}

static enum admit_task task_begin(struct admit *a, struct admit_ticket *t, int64_t id)
{
	struct hold *h = hold_of(t, id);
	if (h && h->busy < h->held) {
		h->busy++;
		return ADMIT_TASK_GO;
	}
	struct slots *n = find(a, id);
	bool mine = h && h->busy > 0;
	if (!n || n->slots == 0)
		return mine ? ADMIT_TASK_WAIT : ADMIT_TASK_GONE;
	/* One more where it runs already only when nobody waits. */
	if (mine ? a->pending.n == 0 && is_free(n) : n->used < n->slots) {
		if (t->owed_by == n)
			owe(t, NULL);
		n->used++;
		if (!h) {
			n->refs++;
			vec_push(&t->holds, (struct hold){ .node = n });
			h = &t->holds.v[t->holds.n - 1];
		}
		h->held++;
		h->busy++;
		return ADMIT_TASK_GO;
	}
	if (!mine) {
		owe(t, n);
		give_up_idle(t);
		dispatch(a);
	}
	return ADMIT_TASK_WAIT;
}

enum admit_task admit_task_begin(struct admit_ticket *t, int64_t node)
{
	if (!t)
		return ADMIT_TASK_GO;
	pthread_mutex_lock(&t->owner->lock);
	enum admit_task rc = task_begin(t->owner, t, node);
	pthread_mutex_unlock(&t->owner->lock);
	return rc;
}

void admit_task_end(struct admit_ticket *t, int64_t node)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->owner->lock);
	struct hold *h = hold_of(t, node);
	h->busy--;
	if (h->held > h->base) {
		h->held--;
		h->node->used--;
		dispatch(t->owner);
	}
	pthread_mutex_unlock(&t->owner->lock);
}

size_t admit_granted(struct admit_ticket *t, int64_t *out, size_t max)
{
	size_t n = 0;
	pthread_mutex_lock(&t->owner->lock);
	for (size_t i = 0; i < t->holds.n; i++) {
		if (t->holds.v[i].node->kind != CN)
			continue;
		if (n < max)
			out[n] = t->holds.v[i].node->id;
		n++;
	}
	pthread_mutex_unlock(&t->owner->lock);
	return n;
}

static int64_t *copy_ids(const int64_t *ids, size_t n)
{
	int64_t *copy = xcalloc(n + 1, sizeof(*copy));
	if (n)
		memcpy(copy, ids, n * sizeof(*copy));
	return copy;
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
	t->want[BE] = (int)rq->n_be;
	t->want[CN] = rq->slots_cn > 0 ? rq->slots_cn : 0;
	t->be = copy_ids(rq->be, rq->n_be);
	t->cn = copy_ids(rq->cn, rq->n_cn);
	t->n_cn = rq->n_cn;
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
	vec_free(&t->holds);
	free(t->be);
	free(t->cn);
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
	if (t->want[CN] && a->alive[CN] == 0)
		missing = ": there is no alive compute node";
	else if (t->want[BE] && a->alive[BE] == 0)
		missing = ": there is no alive backend";
	return err_set(err, SQL_ERR(1064),
	               "Pending timeout [%lld s] in the query queue%s (wants %d BE and %d CN slots "
	               "of %d and %d; %d queries run)",
	               (long long)((clock_mono_us() - t->since_us) / 1000000), missing, t->want[BE],
	               t->want[CN], slots_of(a, BE, false), slots_of(a, CN, false), a->running.n);
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
	for (size_t i = 0; i < t->holds.n; i++) {
		t->holds.v[i].node->used -= t->holds.v[i].held;
		t->holds.v[i].node->refs--;
	}
	owe(t, NULL);
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

/* Whether backends are what it lacks. Not so of one that waits for compute nodes: backends would not help it, and they
 * never leave by themselves. */
static bool waits_for_be(const struct admit *a, const struct admit_ticket *t)
{
	int want = t->want[CN] < a->alive[CN] ? t->want[CN] : a->alive[CN], cns = 0;
	for (size_t i = 0; i < a->nodes.n; i++)
		cns += a->nodes.v[i]->kind == CN && is_free(a->nodes.v[i]);
	return t->want[BE] > 0 && !bes_are_free(a, t) &&
	       (t->want[CN] == 0 || (want > 0 && cns >= (want + 1) / 2));
}

void admit_get_load(struct admit *a, struct admit_load *ret)
{
	double sorted[HISTORY];
	struct admit_load l = { 0 };
	pthread_mutex_lock(&a->lock);
	int64_t now = clock_mono_us(), oldest = now, oldest_be = now;
	l.pending = a->pending.n;
	l.running = a->running.n;
	l.total = a->total;
	l.timeouts = a->timeouts;
	l.rejected = a->rejected;
	l.running_slots_cn = slots_of(a, CN, true);
	for (const struct admit_ticket *t = a->pending.first; t; t = t->next) {
		l.required_slots += t->want[CN];
		bool for_be = waits_for_be(a, t);
		l.be.required_slots += for_be ? t->want[BE] : 0;
		l.be.pending += for_be;
		if (t->want[CN] && t->since_us < oldest)
			oldest = t->since_us;
		if (for_be && t->since_us < oldest_be)
			oldest_be = t->since_us;
	}
	for (const struct admit_ticket *t = a->running.first; t; t = t->next) {
		l.required_slots += t->want[CN];
		l.be.required_slots += t->want[BE];
		l.be.running += t->want[BE] > 0;
	}
	size_t n = a->finished < HISTORY ? (size_t)a->finished : HISTORY;
	memcpy(sorted, a->history, n * sizeof(sorted[0]));
	pthread_mutex_unlock(&a->lock);
	l.oldest_wait_s = (double)(now - oldest) / 1e6;
	l.be.oldest_wait_s = (double)(now - oldest_be) / 1e6;
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

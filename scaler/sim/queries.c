/* The queue, admission, running and ended queries. */
#include <string.h>

#include "scaler/sim/world_priv.h"

static int64_t slots_of(const struct sim_world *w, uint32_t q)
{
	/* A query wider than the pool will ever be takes what there can be. */
	int64_t most = w->pool.slots * w->pool.max, slots = w->trace->v[q].slots;
	return slots < most ? slots : most;
}

/* ---- the queue -------------------------------------------------------------------------------- */

static void push(struct sim_world *w, uint32_t q, bool front)
{
	if (front) {
		w->queue_head = (w->queue_head + w->queue_cap - 1) % w->queue_cap;
		w->queue[w->queue_head] = q;
	} else {
		w->queue[w->queue_tail] = q;
		w->queue_tail = (w->queue_tail + 1) % w->queue_cap;
	}
	w->waiting++;
	w->waiting_slots += slots_of(w, q);
	w->queries[q].state = SIM_WAITS;
}

void sim_queries_arrive(struct sim_world *w)
{
	uint32_t q = (uint32_t)w->arrived++;
	w->queries[q].start_ms = -1;
	push(w, q, false);
	if (w->arrived < w->trace->n)
		sim_heap_push(w, w->trace->v[w->arrived].at_ms, SIM_EV_ARRIVE, 0, 0);
	sim_queries_admit(w);
}

int64_t sim_world_oldest_ms(const struct sim_world *w)
{
	return w->waiting ? w->now - w->trace->v[w->queue[w->queue_head]].at_ms : 0;
}

/* ---- running ---------------------------------------------------------------------------------- */

int64_t sim_world_cpu_ms(struct sim_world *w, struct sim_pod *p)
{
	p->cpu_ms += p->busy * (w->now - p->cpu_at_ms);
	p->cpu_at_ms = w->now;
	return p->cpu_ms;
}

static void take(struct sim_world *w, struct sim_pod *p, int64_t slots)
{
	(void)sim_world_cpu_ms(w, p);
	p->busy += slots;
}

/* Twice as long on a cold cache, as long as written on a warm one. */
static double slowness(const struct sim_pod *p)
{
	return p->work_ms >= SIM_WARM_MS ? 1 : 2 - (double)p->work_ms / (double)SIM_WARM_MS;
}

static uint32_t roomiest(const struct sim_world *w)
{
	uint32_t best = 0;
	int64_t room = -1;
	for (uint32_t i = 0; i < w->n_pods; i++) {
		const struct sim_pod *p = &w->pods[i];
		if (p->state == SIM_POD_READY && w->pool.slots - p->busy > room) {
			room = w->pool.slots - p->busy;
			best = i;
		}
	}
	return best;
}

static void place_one(struct sim_run *r, uint32_t pod)
{
	int32_t k = 0;
	while (k < r->places && r->pod[k] != pod)
		k++;
	if (k == r->places) {
		r->pod[k] = (uint16_t)pod;
		r->slots[k] = 0;
		r->places++;
	}
	r->slots[k]++;
}

static void start(struct sim_world *w, uint32_t q)
{
	struct sim_query *query = &w->queries[q];
	if (w->n_runs == w->cap_runs) {
		w->cap_runs = w->cap_runs ? w->cap_runs * 2 : 64;
		w->runs = xreallocarray(w->runs, w->cap_runs, sizeof(*w->runs));
	}
	struct sim_run *r = &w->runs[w->n_runs];
	double slow = 1;
	r->query = q;
	r->places = 0;
	r->begun_ms = w->now;
	for (int64_t left = slots_of(w, q); left > 0; left--) {
		uint32_t pod = roomiest(w);
		place_one(r, pod);
		take(w, &w->pods[pod], 1);
		w->pods[pod].used = true;
		slow = slowness(&w->pods[pod]) > slow ? slowness(&w->pods[pod]) : slow;
	}
	query->run = (int32_t)w->n_runs++;
	query->state = SIM_RUNS;
	query->attempt++;
	if (query->start_ms < 0)
		query->start_ms = w->now;
	w->running_slots += slots_of(w, q);
	sim_heap_push(w, w->now + (int64_t)((double)w->trace->v[q].service_ms * slow),
	              SIM_EV_FINISH, q, query->attempt);
}

void sim_queries_admit(struct sim_world *w)
{
	int64_t free_slots = 0;
	for (size_t i = 0; i < w->n_pods; i++)
		if (w->pods[i].state == SIM_POD_READY)
			free_slots += w->pool.slots - w->pods[i].busy;
	while (w->waiting) {
		uint32_t q = w->queue[w->queue_head];
		int64_t slots = slots_of(w, q);
		if (slots > free_slots)
			return;
		free_slots -= slots;
		w->queue_head = (w->queue_head + 1) % w->queue_cap;
		w->waiting--;
		w->waiting_slots -= slots;
		start(w, q);
	}
}

/* ---- ended ------------------------------------------------------------------------------------ */

static void release(struct sim_world *w, uint32_t q)
{
	size_t k = (size_t)w->queries[q].run;
	struct sim_run *r = &w->runs[k];
	for (int32_t i = 0; i < r->places; i++) {
		struct sim_pod *p = &w->pods[r->pod[i]];
		take(w, p, -(int64_t)r->slots[i]);
		p->work_ms += r->slots[i] * (w->now - r->begun_ms);
	}
	w->running_slots -= slots_of(w, q);
	*r = w->runs[--w->n_runs];
	if (k < w->n_runs)
		w->queries[r->query].run = (int32_t)k;
}

void sim_queries_left(struct sim_world *w)
{
	for (uint32_t i = 0; i < w->n_pods; i++)
		if (w->pods[i].state == SIM_POD_LEAVING && w->pods[i].busy == 0)
			sim_pods_gone(w, i);
}

void sim_queries_finish(struct sim_world *w, uint32_t q, uint32_t attempt)
{
	struct sim_query *query = &w->queries[q];
	if (query->state != SIM_RUNS || query->attempt != attempt)
		return; /* it was lost meanwhile */
	int64_t begun = w->runs[query->run].begun_ms;
	release(w, q);
	query->state = SIM_DONE;
	query->end_ms = w->now;
	w->finished++;
	w->recent_s[w->n_recent++ % ARRAY_LEN(w->recent_s)] = (double)(w->now - begun) / 1000;
	w->p_stale = true;
	sim_queries_left(w);
	sim_queries_admit(w);
}

static bool runs_on(const struct sim_run *r, uint32_t pod)
{
	for (int32_t i = 0; i < r->places; i++)
		if (r->pod[i] == pod)
			return true;
	return false;
}

void sim_queries_lose(struct sim_world *w, uint32_t pod)
{
	for (size_t i = w->n_runs; i-- > 0;) {
		if (!runs_on(&w->runs[i], pod))
			continue;
		uint32_t q = w->runs[i].query;
		release(w, q);
		if (w->pool.retried) {
			push(w, q, true);
			w->retries++;
		} else {
			w->queries[q].state = SIM_KILLED;
			w->queries[q].end_ms = w->now;
			w->killed++;
		}
	}
	sim_queries_admit(w);
}

#include "scaler/sim/world.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/vec.h"
#include "scaler/sim/world_priv.h"

void sim_world_init(struct sim_world *w, const struct sim_pool *pool,
                    const struct sim_machines *cfg, const struct sim_trace *trace, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	w->pool = *pool;
	w->cfg = *cfg;
	w->trace = trace;
	w->seed = seed;
	w->queue_cap = trace->n + 1;
	w->queue = xcalloc(w->queue_cap, sizeof(*w->queue));
	w->queries = xcalloc(trace->n + 1, sizeof(*w->queries));
	w->machines = xcalloc(SIM_MACHINES_MAX, sizeof(*w->machines));
	if (trace->n)
		sim_heap_push(w, trace->v[0].at_ms, SIM_EV_ARRIVE, 0, 0);
	sim_heap_push(w, 0, SIM_EV_SAMPLE, 0, 0);
}

void sim_world_release(struct sim_world *w)
{
	free(w->queue);
	free(w->queries);
	free(w->machines);
	free(w->runs);
	free(w->heap);
	vec_free(&w->samples);
}

/* ---- what the FE says ------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void service_times(struct sim_world *w)
{
	double v[ARRAY_LEN(w->recent_s)];
	size_t n = w->n_recent < ARRAY_LEN(v) ? w->n_recent : ARRAY_LEN(v);
	if (n == 0 || !w->p_stale)
		return;
	memcpy(v, w->recent_s, n * sizeof(*v));
	qsort(v, n, sizeof(*v), by_size);
	w->p50_s = v[(n - 1) / 2];
	w->p95_s = v[(n - 1) * 95 / 100];
	w->p_stale = false;
}

void sim_world_snapshot(struct sim_world *w, struct source_snapshot *ret)
{
	*ret = (struct source_snapshot){ .ts = (double)w->now / 1000,
		                         .epoch = 1,
		                         .pending = (int64_t)w->waiting,
		                         .running = (int64_t)w->n_runs,
		                         .slots_asked = w->waiting_slots + w->running_slots,
		                         .oldest_wait_s = (double)sim_world_oldest_ms(w) / 1000 };
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct sim_pod *p = &w->pods[i];
		if (p->state != SIM_POD_READY && p->state != SIM_POD_LEAVING)
			continue;
		bool ready = p->state == SIM_POD_READY;
		ret->nodes += ready;
		ret->draining += !ready;
		ret->idle_nodes += ready && p->busy == 0;
		ret->tasks += p->busy;
		ret->slots += ready ? w->pool.slots : 0;
		ret->slots_of_a_node = w->pool.slots;
	}
	service_times(w);
	ret->service_p50_s = w->p50_s;
	ret->service_p95_s = w->p95_s;
}

/* ---- the loop --------------------------------------------------------------------------------- */

static void sample(struct sim_world *w)
{
	vec_push(&w->samples,
	         (struct sim_sample){ .nodes = (float)sim_world_ready(w),
	                              .wanted = (float)w->spec,
	                              .machines = (float)sim_machines_billed(w),
	                              .demand = (float)(w->waiting_slots + w->running_slots) /
	                                        (float)w->pool.slots });
	sim_heap_push(w, w->now + SIM_SAMPLE_MS, SIM_EV_SAMPLE, 0, 0);
}

static void end_grace(struct sim_world *w, uint32_t pod, uint32_t serial)
{
	if (w->pods[pod].serial == serial && w->pods[pod].state == SIM_POD_LEAVING)
		sim_pods_gone(w, pod);
}

static void happen(struct sim_world *w, const struct sim_event *e, const struct sim_decider *d)
{
	switch (e->kind) {
	case SIM_EV_ARRIVE:
		sim_queries_arrive(w);
		break;
	case SIM_EV_FINISH: {
		size_t before = w->finished;
		sim_queries_finish(w, e->a, e->b);
		if (d->finished && w->finished > before)
			d->finished(d->self);
		break;
	}
	case SIM_EV_BATCH:
		sim_machines_batch(w);
		break;
	case SIM_EV_BOOTED:
		sim_machines_booted(w, e->a);
		break;
	case SIM_EV_READY:
		sim_pods_ready(w, e->a, e->b);
		break;
	case SIM_EV_GRACE:
		end_grace(w, e->a, e->b);
		break;
	case SIM_EV_EMPTY:
		sim_machines_empty(w, e->a);
		break;
	case SIM_EV_NOTICE:
		sim_machines_notice(w, e->a);
		break;
	case SIM_EV_RECLAIM:
		sim_machines_reclaim(w, e->a);
		break;
	case SIM_EV_SAMPLE:
		sample(w);
		break;
	case SIM_EV_DECIDE:
		d->step(d->self, w);
		sim_heap_push(w, d->next_ms(d->self), SIM_EV_DECIDE, 0, 0);
		break;
	}
}

void sim_world_run(struct sim_world *w, const struct sim_decider *d)
{
	struct sim_event e;
	int64_t last = w->trace->n ? w->trace->v[w->trace->n - 1].at_ms : 0;
	sim_heap_push(w, d->next_ms(d->self), SIM_EV_DECIDE, 0, 0);
	while (sim_heap_pop(w, &e)) {
		bool over = w->finished + w->killed == w->trace->n && e.at_ms > w->trace->length_ms;
		if (over || e.at_ms > last + SIM_DRAIN_LIMIT_MS)
			break;
		w->now = e.at_ms;
		happen(w, &e, d);
	}
	if (w->now < w->trace->length_ms)
		w->now = w->trace->length_ms;
	for (size_t i = 0; i < w->n_machines; i++)
		if (w->machines[i].state != SIM_OFF)
			w->machines[i].to_ms = w->now;
}

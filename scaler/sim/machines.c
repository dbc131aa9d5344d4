/* Machines as Karpenter buys, empties and loses them. */
#include <string.h>

#include "scaler/sim/world_priv.h"

enum { PURPOSE_MACHINE = 1000 };

static size_t pending(const struct sim_world *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_pods; i++)
		n += w->pods[i].state == SIM_POD_PENDING;
	return n;
}

static size_t booting(const struct sim_world *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_machines; i++)
		n += w->machines[i].state == SIM_BOOTS;
	return n;
}

size_t sim_machines_billed(const struct sim_world *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_machines; i++)
		n += w->machines[i].state != SIM_OFF;
	return n;
}

/* A pending pod opens a batch or makes it wait longer: 1 s of quiet, 10 s at most. */
void sim_machines_ask(struct sim_world *w)
{
	if (pending(w) <= booting(w))
		return;
	if (w->batch_from_ms == 0)
		w->batch_from_ms = w->now + 1;
	w->batch_last_ms = w->now;
	sim_heap_push(w, w->now + SIM_BATCH_IDLE_MS, SIM_EV_BATCH, 0, 0);
}

static void launch(struct sim_world *w)
{
	if (w->n_machines == SIM_MACHINES_MAX)
		return;
	struct sim_machine *m = &w->machines[w->n_machines];
	struct sim_rng r;
	sim_rng_init(&r, w->seed, PURPOSE_MACHINE + w->n_machines);
	*m = (struct sim_machine){ .state = SIM_BOOTS,
		                   .pod = -1,
		                   .spot = w->now >= w->spot_gone_until_ms,
		                   .from_ms = w->now,
		                   .to_ms = -1 };
	double boot_s = sim_rng_between(&r, w->cfg.boot_low_s, w->cfg.boot_high_s);
	sim_heap_push(w, w->now + (int64_t)(boot_s * 1000), SIM_EV_BOOTED, (uint32_t)w->n_machines,
	              0);
	double life_h = w->cfg.spot_mean_h > 0 ? sim_rng_exp(&r, w->cfg.spot_mean_h) : 0;
	if (m->spot && w->cfg.spot_mean_h > 0)
		sim_heap_push(w, w->now + (int64_t)((boot_s + life_h * 3600) * 1000), SIM_EV_NOTICE,
		              (uint32_t)w->n_machines, 0);
	w->n_machines++;
}

void sim_machines_batch(struct sim_world *w)
{
	if (w->batch_from_ms == 0)
		return;
	if (w->now - w->batch_last_ms < SIM_BATCH_IDLE_MS &&
	    w->now - (w->batch_from_ms - 1) < SIM_BATCH_MAX_MS)
		return; /* the event of the later pod closes it */
	w->batch_from_ms = 0;
	for (size_t n = booting(w), want = pending(w); n < want; n++)
		launch(w);
}

static void off(struct sim_world *w, struct sim_machine *m)
{
	m->state = SIM_OFF;
	m->to_ms = w->now;
}

static void now_empty(struct sim_world *w, uint32_t k)
{
	struct sim_machine *m = &w->machines[k];
	m->pod = -1;
	m->empty_ms = w->now;
	sim_heap_push(w, w->now + w->pool.consolidate_ms, SIM_EV_EMPTY, k, 0);
}

void sim_machines_booted(struct sim_world *w, uint32_t k)
{
	w->machines[k].state = SIM_UP;
	now_empty(w, k);
	sim_pods_place(w);
}

void sim_machines_leave(struct sim_world *w, uint32_t k)
{
	struct sim_machine *m = &w->machines[k];
	if (m->state != SIM_UP)
		return;
	if (m->noticed) { /* cordoned: nothing will come any more */
		m->pod = -1;
		off(w, m);
		return;
	}
	now_empty(w, k);
}

void sim_machines_empty(struct sim_world *w, uint32_t k)
{
	struct sim_machine *m = &w->machines[k];
	if (m->state == SIM_UP && m->pod < 0 && w->now - m->empty_ms >= w->pool.consolidate_ms)
		off(w, m);
}

/* Two minutes' notice: cordoned, the pod evicted; a replacement is asked for by whoever owns the pod. */
void sim_machines_notice(struct sim_world *w, uint32_t k)
{
	struct sim_machine *m = &w->machines[k];
	if (m->state != SIM_UP)
		return;
	m->noticed = true;
	w->spot_gone_until_ms = w->now + SIM_SPOT_GONE_MS;
	sim_heap_push(w, w->now + SIM_NOTICE_MS, SIM_EV_RECLAIM, k, 0);
	if (m->pod < 0) {
		off(w, m);
		return;
	}
	if (w->pods[m->pod].state != SIM_POD_LEAVING)
		sim_pods_take(w, (uint32_t)m->pod, w->pool.notice_grace_ms);
	sim_pods_reconcile(w);
}

void sim_machines_reclaim(struct sim_world *w, uint32_t k)
{
	struct sim_machine *m = &w->machines[k];
	if (m->state == SIM_OFF)
		return;
	if (m->pod >= 0) {
		uint32_t pod = (uint32_t)m->pod;
		m->pod = -1;
		off(w, m);
		w->pods[pod].machine = -1;
		w->pods[pod].state = SIM_POD_LEAVING;
		sim_pods_gone(w, pod);
		return;
	}
	off(w, m);
}

/* Pods of the pool: what a StatefulSet or a Deployment makes and takes, and where the scheduler puts them. */
#include <string.h>

#include "scaler/sim/world_priv.h"

static bool alive(const struct sim_pod *p)
{
	return p->state != SIM_POD_NONE && p->state != SIM_POD_LEAVING;
}

int64_t sim_world_ready(const struct sim_world *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->n_pods; i++)
		n += w->pods[i].state == SIM_POD_READY;
	return n;
}

static int64_t count(const struct sim_world *w)
{
	int64_t n = 0;
	for (size_t i = 0; i < w->n_pods; i++)
		n += alive(&w->pods[i]);
	return n;
}

static bool make(struct sim_world *w, int64_t ordinal)
{
	size_t i = 0;
	while (i < w->n_pods && w->pods[i].state != SIM_POD_NONE)
		i++;
	if (i == SIM_PODS_MAX)
		return false;
	if (i == w->n_pods)
		w->n_pods++;
	w->pods[i] = (struct sim_pod){ .state = SIM_POD_PENDING,
		                       .serial = ++w->pod_serial,
		                       .ordinal = ordinal,
		                       .machine = -1,
		                       .cpu_at_ms = w->now };
	return true;
}

void sim_pods_gone(struct sim_world *w, uint32_t pod)
{
	struct sim_pod *p = &w->pods[pod];
	int32_t m = p->machine;
	if (p->busy > 0)
		sim_queries_lose(w, pod);
	if (p->ready_ms && !p->used)
		w->useless++;
	*p = (struct sim_pod){ .state = SIM_POD_NONE, .machine = -1 };
	if (m >= 0)
		sim_machines_leave(w, (uint32_t)m);
	sim_queries_left(w);
	sim_pods_reconcile(w);
}

void sim_pods_take(struct sim_world *w, uint32_t pod, int64_t grace_ms)
{
	struct sim_pod *p = &w->pods[pod];
	if (p->state == SIM_POD_READY && p->busy > 0) {
		p->state = SIM_POD_LEAVING;
		sim_heap_push(w, w->now + grace_ms, SIM_EV_GRACE, pod, p->serial);
		return;
	}
	p->state = SIM_POD_LEAVING;
	sim_pods_gone(w, pod);
}

/* ---- how many, and which goes ----------------------------------------------------------------- */

/* pod-deletion-cost as the operator writes it: what is not there yet, then idle, then few tasks, then cold. */
static bool rather(const struct sim_pod *a, const struct sim_pod *b)
{
	if ((a->state == SIM_POD_READY) != (b->state == SIM_POD_READY))
		return a->state != SIM_POD_READY;
	if (a->state != b->state)
		return a->state == SIM_POD_PENDING;
	if (a->busy != b->busy)
		return a->busy < b->busy;
	if (a->work_ms != b->work_ms)
		return a->work_ms < b->work_ms;
	return a->serial > b->serial;
}

static void reconcile_deployment(struct sim_world *w)
{
	while (count(w) < w->spec && make(w, 0))
		;
	/* Counted anew each time: a pod that is gone at once has brought us here again meanwhile. */
	while (count(w) > w->spec) {
		uint32_t victim = UINT32_MAX;
		for (uint32_t i = 0; i < w->n_pods; i++)
			if (alive(&w->pods[i]) &&
			    (victim == UINT32_MAX || rather(&w->pods[i], &w->pods[victim])))
				victim = i;
		sim_pods_take(w, victim, w->pool.grace_ms);
	}
}

static bool ordinal_in_use(const struct sim_world *w, int64_t ordinal)
{
	for (size_t i = 0; i < w->n_pods; i++)
		if (w->pods[i].state != SIM_POD_NONE && w->pods[i].ordinal == ordinal)
			return true;
	return false;
}

/* A name is free again only when the pod that had it is gone. */
static void reconcile_statefulset(struct sim_world *w)
{
	for (uint32_t i = 0; i < w->n_pods; i++)
		if (alive(&w->pods[i]) && w->pods[i].ordinal >= w->spec)
			sim_pods_take(w, i, w->pool.grace_ms);
	for (int64_t k = 0; k < w->spec; k++)
		if (!ordinal_in_use(w, k))
			(void)make(w, k);
}

void sim_pods_reconcile(struct sim_world *w)
{
	if (w->pool.statefulset)
		reconcile_statefulset(w);
	else
		reconcile_deployment(w);
	w->status = count(w);
	sim_pods_place(w);
}

void sim_world_scale(struct sim_world *w, int64_t replicas)
{
	if (replicas == w->spec)
		return;
	int direction = replicas > w->spec ? 1 : -1;
	w->changes++;
	w->reversals += w->last_direction && direction != w->last_direction;
	w->last_direction = direction;
	w->spec = replicas;
	sim_pods_reconcile(w);
}

/* ---- scheduling ------------------------------------------------------------------------------- */

static uint32_t first_pending(const struct sim_world *w)
{
	uint32_t best = UINT32_MAX;
	for (uint32_t i = 0; i < w->n_pods; i++)
		if (w->pods[i].state == SIM_POD_PENDING &&
		    (best == UINT32_MAX || w->pods[i].serial < w->pods[best].serial))
			best = i;
	return best;
}

static void bind(struct sim_world *w, uint32_t pod, uint32_t m)
{
	struct sim_machine *machine = &w->machines[m];
	double start_s = machine->used ? w->cfg.pod_again_s : w->cfg.pod_new_s;
	machine->pod = (int32_t)pod;
	machine->used = true;
	w->pods[pod].machine = (int32_t)m;
	w->pods[pod].state = SIM_POD_STARTING;
	sim_heap_push(w, w->now + (int64_t)(start_s * 1000), SIM_EV_READY, pod,
	              w->pods[pod].serial);
}

/* One pod a machine; what finds none makes Karpenter buy. */
void sim_pods_place(struct sim_world *w)
{
	for (uint32_t m = 0; m < w->n_machines; m++) {
		const struct sim_machine *machine = &w->machines[m];
		if (machine->state != SIM_UP || machine->pod >= 0 || machine->noticed)
			continue;
		uint32_t pod = first_pending(w);
		if (pod == UINT32_MAX)
			return;
		bind(w, pod, m);
	}
	if (first_pending(w) != UINT32_MAX)
		sim_machines_ask(w);
}

void sim_pods_ready(struct sim_world *w, uint32_t pod, uint32_t serial)
{
	struct sim_pod *p = &w->pods[pod];
	if (p->serial != serial || p->state != SIM_POD_STARTING)
		return;
	p->state = SIM_POD_READY;
	p->ready_ms = w->now;
	p->cpu_at_ms = w->now;
	sim_queries_admit(w);
}

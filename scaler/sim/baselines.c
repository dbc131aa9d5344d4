/* Scalers that ours is measured against: AWS' ScaledObject, HPA on CPU, Knative's KPA, Snowflake's rules, an oracle. */
#include <math.h>
#include <stdlib.h>

#include "scaler/sim/rng.h"
#include "scaler/sim/scalers_priv.h"
#include "scaler/sim/world_priv.h"

enum {
	PURPOSE_PHASE = 7,
	EKS_POLL_MS = 30000,
	CLIENT_RETRY_S = 5, /* with no node a query fails at once and its client tries again */
	CHECK_MS = 60000,
	STANDARD_GAP_MS = 20000,
	SUSPEND_CHECKS = 5,
	LOOK_AHEAD_S = 330, /* the slowest boot, a pod's start and Karpenter's batch */
	ORACLE_MS = 1000,
};

static const double eks_rate_target = 5, eks_connections_target = 20;
static const double eks_rate_active = 0.1, eks_connections_active = 1;
static const double cpu_target = 70, kpa_target = 0.7, kpa_panic = 2;
static const double economy_work_s = 360;

static int64_t phase(const struct sim_world *w, int64_t period_ms)
{
	struct sim_rng r;
	sim_rng_init(&r, w->seed, PURPOSE_PHASE);
	return (int64_t)(sim_rng_unit(&r) * (double)period_ms);
}

static int64_t within(const struct sim_scaling *s, int64_t n)
{
	return n < s->c.min ? s->c.min : n > s->c.max ? s->c.max : n;
}

/* ---- Data-on-EKS ------------------------------------------------------------------------------ */

static void scrape(struct sim_scaling *s, struct sim_world *w)
{
	if (sim_world_ready(w) == 0)
		s->finished +=
			(double)w->waiting * (double)SIM_SCRAPE_MS / 1000 / (double)CLIENT_RETRY_S;
	if (s->scrapes == SIM_SCRAPES) {
		for (int i = 1; i < SIM_SCRAPES; i++)
			s->scraped[i - 1] = s->scraped[i];
		s->scrapes--;
	}
	s->scraped[s->scrapes++] = s->finished;
}

/* sum(rate(starrocks_fe_query_total[2m])): counted when a query ends, so it falls when everything is busy. */
static double rate(const struct sim_scaling *s)
{
	if (s->scrapes < 2)
		return 0;
	return (s->scraped[s->scrapes - 1] - s->scraped[0]) /
	       ((double)(s->scrapes - 1) * (double)SIM_SCRAPE_MS / 1000);
}

static double connections(const struct sim_world *w)
{
	return (double)(w->waiting + w->n_runs);
}

static void eks_poll(struct sim_scaling *s, struct sim_world *w)
{
	bool active = rate(s) > eks_rate_active || connections(w) > eks_connections_active;
	sim_world_scale(w, sim_keda_poll(&s->keda, &s->keda_config, true, active, w->spec, w->now));
}

static void eks_sync(struct sim_scaling *s, struct sim_world *w)
{
	struct sim_hpa_metric m[2] = {
		{ .kind = SIM_HPA_AVERAGE,
		  .known = true,
		  .value = rate(s),
		  .target = eks_rate_target },
		{ .kind = SIM_HPA_AVERAGE,
		  .known = true,
		  .value = connections(w),
		  .target = eks_connections_target },
	};
	sim_world_scale(w, sim_hpa_sync(&s->hpa, &s->hpa_config, m, 2, w->spec, w->status, w->now));
}

void sim_eks_begin(struct sim_scaling *s, struct sim_world *w)
{
	s->keda_config = (struct sim_keda_config){
		.poll_ms = EKS_POLL_MS, .cooldown_ms = 300000, .min = s->c.min, .max = s->c.max
	};
	s->hpa_config = (struct sim_hpa_config){
		.min = 1,
		.max = s->c.max,
		.tolerance = 0.1,
		.up = { .window_ms = 0, .policies = 1, .policy = { { false, 2, 30000 } } },
		.down = { .window_ms = 300000, .policies = 1, .policy = { { false, 1, 60000 } } },
	};
	sim_loop_add(s, SIM_SCRAPE_MS, 0, scrape);
	sim_loop_add(s, EKS_POLL_MS, phase(w, EKS_POLL_MS), eks_poll);
	sim_loop_add(s, SIM_HPA_SYNC_MS, phase(w, SIM_HPA_SYNC_MS), eks_sync);
}

/* ---- HPA on CPU ------------------------------------------------------------------------------- */

static void cpu_scrape(struct sim_scaling *s, struct sim_world *w)
{
	for (size_t i = 0; i < w->n_pods; i++) {
		struct sim_pod *p = &w->pods[i];
		int64_t cpu_ms = p->state == SIM_POD_READY ? sim_world_cpu_ms(w, p) : 0;
		bool again = s->cpu[i].serial == p->serial && p->state == SIM_POD_READY &&
		             p->ready_ms <= w->now - SIM_SCRAPE_MS;
		s->cpu[i].percent = again ? 100 * (double)(cpu_ms - s->cpu[i].cpu_ms) /
		                                    ((double)SIM_SCRAPE_MS * (double)w->pool.slots)
		                          : -1;
		s->cpu[i].serial = p->serial;
		s->cpu[i].cpu_ms = cpu_ms;
	}
}

static void cpu_sync(struct sim_scaling *s, struct sim_world *w)
{
	struct sim_hpa_metric m = { .kind = SIM_HPA_CPU, .known = true, .target = cpu_target };
	for (size_t i = 0; i < w->n_pods; i++) {
		const struct sim_pod *p = &w->pods[i];
		if (p->state == SIM_POD_PENDING || p->state == SIM_POD_STARTING) {
			m.unready++;
		} else if (p->state == SIM_POD_READY && s->cpu[i].serial == p->serial &&
		           s->cpu[i].percent >= 0) {
			m.ready++;
			m.value += s->cpu[i].percent;
		} else if (p->state == SIM_POD_READY) {
			m.missing++;
		}
	}
	sim_world_scale(w,
	                sim_hpa_sync(&s->hpa, &s->hpa_config, &m, 1, w->spec, w->status, w->now));
}

void sim_cpu_begin(struct sim_scaling *s, struct sim_world *w)
{
	s->hpa_config = sim_hpa_defaults(1, s->c.max); /* CPU of no pod says nothing: one stays */
	sim_world_scale(w, 1);
	sim_loop_add(s, SIM_SCRAPE_MS, 0, cpu_scrape);
	sim_loop_add(s, SIM_HPA_SYNC_MS, phase(w, SIM_HPA_SYNC_MS), cpu_sync);
}

/* ---- KPA -------------------------------------------------------------------------------------- */

static double average(const struct sim_scaling *s, int64_t ticks)
{
	double sum = 0;
	int64_t n = s->ticks < ticks ? s->ticks : ticks;
	for (int64_t i = 0; i < n; i++)
		sum += s->concurrency[(s->ticks - 1 - i) % SIM_KPA_TICKS];
	return n ? sum / (double)n : 0;
}

static void kpa(struct sim_scaling *s, struct sim_world *w)
{
	int64_t ready = sim_world_ready(w) > 1 ? sim_world_ready(w) : 1;
	double target = kpa_target * (double)w->pool.slots;
	s->concurrency[s->ticks++ % SIM_KPA_TICKS] = (double)(w->running_slots + w->waiting_slots);
	int64_t stable = (int64_t)ceil(average(s, SIM_KPA_TICKS) / target);
	int64_t panic = (int64_t)ceil(average(s, 3) / target), n = stable;
	if ((double)panic / (double)ready >= kpa_panic)
		s->panic_until_ms = w->now + (int64_t)SIM_KPA_TICK_MS * SIM_KPA_TICKS;
	if (w->now < s->panic_until_ms) {
		n = panic > stable ? panic : stable;
		s->panic_most = n > s->panic_most ? n : s->panic_most;
		n = s->panic_most;
	} else {
		s->panic_most = 0;
	}
	if (n < ready / 2)
		n = ready / 2; /* max-scale-down-rate 2 */
	if (n > 0 || s->idle_since_ms == 0)
		s->idle_since_ms = w->now;
	if (n == 0 && w->now - s->idle_since_ms < 30000)
		n = w->spec > 0 ? 1 : 0; /* scale-to-zero-grace-period */
	sim_world_scale(w, within(s, n));
}

void sim_kpa_begin(struct sim_scaling *s, struct sim_world *w)
{
	sim_loop_add(s, SIM_KPA_TICK_MS, phase(w, SIM_KPA_TICK_MS), kpa);
}

/* ---- Snowflake-like --------------------------------------------------------------------------- */

static double queued_work_s(const struct sim_world *w)
{
	double sum = 0;
	for (size_t i = 0; i < w->waiting; i++) {
		const struct sim_arrival *a =
			&w->trace->v[w->queue[(w->queue_head + i) % w->queue_cap]];
		sum += (double)a->service_ms * a->slots;
	}
	return sum / 1000 / (double)w->pool.slots;
}

static void snowflake_up(struct sim_scaling *s, struct sim_world *w)
{
	bool economy = s->kind == SIM_ECONOMY;
	if (w->waiting == 0)
		return;
	if (w->spec == 0) {
		sim_world_scale(w, 1);
		s->raised_ms = w->now;
	} else if (w->now - s->raised_ms >= (economy ? CHECK_MS : STANDARD_GAP_MS) &&
	           (!economy || queued_work_s(w) >= economy_work_s)) {
		sim_world_scale(w, within(s, w->spec + 1));
		s->raised_ms = w->now;
	}
	s->quiet_checks = 0;
}

static void snowflake_down(struct sim_scaling *s, struct sim_world *w)
{
	bool fewer = w->waiting == 0 && w->running_slots <= (w->spec - 1) * w->pool.slots;
	s->quiet_checks = fewer ? s->quiet_checks + 1 : 0;
	int64_t needed = w->spec == 1 ? SUSPEND_CHECKS : s->kind == SIM_ECONOMY ? 6 : 3;
	if (s->quiet_checks < needed || w->spec == 0 || (w->spec == 1 && w->n_runs))
		return;
	s->quiet_checks = 0;
	sim_world_scale(w, within(s, w->spec - 1));
}

void sim_snowflake_begin(struct sim_scaling *s, struct sim_world *w)
{
	sim_loop_add(s, 1000, 0, snowflake_up);
	sim_loop_add(s, CHECK_MS, phase(w, CHECK_MS), snowflake_down);
}

/* ---- oracle ----------------------------------------------------------------------------------- */

static void oracle(struct sim_scaling *s, struct sim_world *w)
{
	int32_t n = 0;
	for (size_t t = (size_t)(w->now / 1000), k = 0; k <= LOOK_AHEAD_S && t + k < s->seconds;
	     k++)
		n = s->need[t + k] > n ? s->need[t + k] : n;
	int64_t now = w->running_slots + w->waiting_slots;
	int64_t least = (now + w->pool.slots - 1) / w->pool.slots; /* what is late runs too */
	sim_world_scale(w, within(s, n > least ? n : least));
}

void sim_oracle_begin(struct sim_scaling *s, struct sim_world *w)
{
	const struct sim_trace *t = w->trace;
	s->seconds = (size_t)(t->length_ms / 1000) + 2;
	s->need = xcalloc(s->seconds + 1, sizeof(*s->need));
	for (size_t i = 0; i < t->n; i++) {
		size_t from = (size_t)(t->v[i].at_ms / 1000);
		size_t to = (size_t)((t->v[i].at_ms + t->v[i].service_ms) / 1000) + 1;
		s->need[from < s->seconds ? from : s->seconds] += t->v[i].slots;
		s->need[to < s->seconds ? to : s->seconds] -= t->v[i].slots;
	}
	for (size_t k = 1; k < s->seconds; k++)
		s->need[k] += s->need[k - 1];
	for (size_t k = 0; k < s->seconds; k++)
		s->need[k] = (int32_t)((s->need[k] + w->pool.slots - 1) / w->pool.slots);
	sim_loop_add(s, ORACLE_MS, 0, oracle);
}

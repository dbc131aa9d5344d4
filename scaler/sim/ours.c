/* Ours: the policy twice a second, the operator's patch of /scale every second, KEDA and the HPA behind them. */
#include "scaler/sim/rng.h"
#include "scaler/sim/scalers_priv.h"

enum {
	OPERATOR_MS = 1000,
	KEDA_POLL_MS = 5000,
	KEDA_COOLDOWN_MS = 300000,
	MAX_AGE_MS = 3000, /* an older snapshot is 503 */
	PURPOSE_PHASE = 7,
};

static bool silent(const struct sim_scaling *s, const struct sim_world *w)
{
	return s->c.outage_ms && w->now >= s->c.outage_from_ms &&
	       w->now < s->c.outage_from_ms + s->c.outage_ms;
}

/* Once a minute, as the server does. */
static void foresee(struct sim_scaling *s, int64_t now)
{
	if (s->foreseen == now / 60000 + 1)
		return;
	s->foreseen = now / 60000 + 1;
	policy_foresee(s->history, now, &s->policy);
}

static void decide(struct sim_scaling *s, struct sim_world *w)
{
	struct source_snapshot snap;
	if (silent(s, w))
		return;
	sim_world_snapshot(w, &snap);
	foresee(s, w->now);
	policy_step(&s->limits, &snap, w->now, &s->policy, &s->decision);
	s->decided_ms = w->now;
	policy_history_note(s->history, w->now, s->policy.need);
}

static bool known(const struct sim_scaling *s, const struct sim_world *w)
{
	return s->decided_ms && w->now - s->decided_ms <= MAX_AGE_MS;
}

static void patch(struct sim_scaling *s, struct sim_world *w)
{
	if (!known(s, w))
		return;
	/* The limits of the ScaledObject are pinned first, so that the HPA's tolerance cannot take a step of one back. */
	s->hpa_config.min = 1;
	s->hpa_config.max = s->c.max;
	if (!s->c.no_pin && s->decision.desired > 0) {
		s->hpa_config.min = s->decision.desired;
		s->hpa_config.max = s->decision.desired;
	}
	sim_world_scale(w, s->decision.desired);
}

static void poll(struct sim_scaling *s, struct sim_world *w)
{
	int64_t n = sim_keda_poll(&s->keda, &s->keda_config, known(s, w), s->decision.active,
	                          w->spec, w->now);
	/* KEDA's first step is to 1; the operator's next patch follows within a second. */
	sim_world_scale(w, n);
}

static void sync(struct sim_scaling *s, struct sim_world *w)
{
	double value = (double)s->decision.desired;
	struct sim_hpa_metric m = { .kind = SIM_HPA_AVERAGE, .target = 1 };
	m.known = sim_keda_read(&s->keda, &s->keda_config, known(s, w), 1, w->status, &value);
	m.value = value;
	int64_t n = sim_hpa_sync(&s->hpa, &s->hpa_config, &m, 1, w->spec, w->status, w->now);
	if (n == w->spec)
		return;
	s->disagreements += known(s, w) && n != s->decision.desired;
	sim_world_scale(w, n);
}

void sim_ours_begin(struct sim_scaling *s, struct sim_world *w)
{
	struct sim_rng r;
	s->history = policy_history_new();
	sim_rng_init(&r, w->seed, PURPOSE_PHASE);
	s->limits = (struct source_limits){ .min = s->c.min,
		                            .max = s->c.max,
		                            .slots_per_node = s->c.slots,
		                            .wait_target_s = s->c.wait_target_s,
		                            .scale_in_window_ms = s->c.window_ms,
		                            .replicas = 0 };
	s->keda_config = (struct sim_keda_config){ .poll_ms = KEDA_POLL_MS,
		                                   .cooldown_ms = KEDA_COOLDOWN_MS,
		                                   .min = s->c.min,
		                                   .max = s->c.max,
		                                   .failure_threshold = 3,
		                                   .fallback_replicas = s->c.min };
	s->hpa_config = sim_hpa_defaults(1, s->c.max);
	s->hpa_config.down.window_ms = 0;
	sim_loop_add(s, SOURCE_PERIOD_MS, 0, decide);
	sim_loop_add(s, OPERATOR_MS, 500, patch);
	sim_loop_add(s, KEDA_POLL_MS, (int64_t)(sim_rng_unit(&r) * (double)KEDA_POLL_MS), poll);
	sim_loop_add(s, SIM_HPA_SYNC_MS, (int64_t)(sim_rng_unit(&r) * (double)SIM_HPA_SYNC_MS),
	             sync);
}

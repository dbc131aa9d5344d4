#include "scaler/sim/scalers.h"

#include <stdlib.h>

#include "scaler/sim/rng.h"
#include "scaler/sim/scalers_priv.h"

enum {
	STARROCKS_GRACE_MS = 20000, /* loop_count_wait_fragments_finish: 2 of 10 s */
	OUR_GRACE_MS = 4 * 3600000, /* scale-in waits for running work */
	OUR_NOTICE_GRACE_MS = 100000,
	OUR_CONSOLIDATE_MS = 120000,
	AWS_CONSOLIDATE_MS = 600000,
};

static const struct {
	const char *name;
	void (*begin)(struct sim_scaling *s, struct sim_world *w);
	bool ours; /* Deployment, drained, retried */
	int64_t consolidate_ms;
} kinds[SIM_SCALERS] = {
	[SIM_OURS] = { "roost", sim_ours_begin, true, OUR_CONSOLIDATE_MS },
	[SIM_DATA_ON_EKS] = { "data-on-eks", sim_eks_begin, false, AWS_CONSOLIDATE_MS },
	[SIM_DATA_ON_EKS_FAST] = { "data-on-eks, our NodePool", sim_eks_begin, false,
	                           OUR_CONSOLIDATE_MS },
	[SIM_HPA_ON_CPU] = { "HPA on CPU 70%", sim_cpu_begin, false, OUR_CONSOLIDATE_MS },
	[SIM_KPA] = { "KPA-like", sim_kpa_begin, false, OUR_CONSOLIDATE_MS },
	[SIM_STANDARD] = { "Snowflake-like standard", sim_snowflake_begin, true,
	                   OUR_CONSOLIDATE_MS },
	[SIM_ECONOMY] = { "Snowflake-like economy", sim_snowflake_begin, true, OUR_CONSOLIDATE_MS },
	[SIM_ORACLE] = { "oracle", sim_oracle_begin, true, OUR_CONSOLIDATE_MS },
};

const char *sim_scaler_name(enum sim_scaler s)
{
	return s < SIM_SCALERS ? kinds[s].name : NULL;
}

struct sim_pool sim_scaler_pool(enum sim_scaler s, const struct sim_scaler_config *c)
{
	bool ours = kinds[s].ours;
	return (struct sim_pool){ .statefulset = !ours,
		                  .retried = ours,
		                  .grace_ms = ours ? OUR_GRACE_MS : STARROCKS_GRACE_MS,
		                  .notice_grace_ms =
		                          ours ? OUR_NOTICE_GRACE_MS : STARROCKS_GRACE_MS,
		                  .consolidate_ms = kinds[s].consolidate_ms,
		                  .slots = c->slots,
		                  .max = c->max };
}

void sim_loop_add(struct sim_scaling *s, int64_t period_ms, int64_t phase_ms,
                  void (*run)(struct sim_scaling *s, struct sim_world *w))
{
	s->loops[s->n_loops++] = (struct sim_loop){ period_ms, phase_ms + 1, run };
}

struct sim_scaling *sim_scaling_new(enum sim_scaler kind, const struct sim_scaler_config *c,
                                    struct sim_world *w)
{
	struct sim_scaling *s = xcalloc(1, sizeof(*s));
	s->kind = kind;
	s->c = *c;
	kinds[kind].begin(s, w);
	return s;
}

void sim_scaling_free(struct sim_scaling *s)
{
	free(s->need);
	policy_history_free(s->history);
	free(s);
}

static int64_t next_ms(void *self)
{
	const struct sim_scaling *s = self;
	int64_t t = INT64_MAX;
	for (int i = 0; i < s->n_loops; i++)
		t = s->loops[i].at_ms < t ? s->loops[i].at_ms : t;
	return t;
}

static void step(void *self, struct sim_world *w)
{
	struct sim_scaling *s = self;
	for (int i = 0; i < s->n_loops; i++) {
		if (s->loops[i].at_ms > w->now)
			continue;
		s->loops[i].at_ms += s->loops[i].period_ms;
		s->loops[i].run(s, w);
	}
}

static void finished(void *self)
{
	((struct sim_scaling *)self)->finished++;
}

struct sim_decider sim_scaling_decider(struct sim_scaling *s)
{
	return (struct sim_decider){ next_ms, step, finished, s };
}

int64_t sim_scaling_disagreements(const struct sim_scaling *s)
{
	return s->disagreements;
}

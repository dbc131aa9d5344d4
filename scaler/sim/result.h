/* What a run came to, and the mean of many runs with its 95% confidence interval.
 *
 * Thread: plain values. */
#ifndef ROOST_SCALER_SIM_RESULT_H
#define ROOST_SCALER_SIM_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "scaler/sim/scalers.h"
#include "scaler/sim/world.h"

/* key, title, digits, what. Order: as the table prints them. */
#define SIM_MEASURES(X)                                                                          \
	X(WAIT_P50, "wait_p50_s", "p50 s", 2, "wait of the median query")                        \
	X(WAIT_P95, "wait_p95_s", "p95 s", 1, "wait that 95% stay below")                        \
	X(WAIT_P99, "wait_p99_s", "p99 s", 1, "wait that 99% stay below")                        \
	X(NODE_HOURS, "node_hours", "node h", 2, "machines, from launch to end")                 \
	X(COST, "cost_usd", "cost $", 1, "machines at spot or on-demand price")                  \
	X(VIOLATION, "slo_violation_min", "viol. min", 1, "minutes with a wait over the target") \
	X(REVERSALS, "reversals_per_hour", "rev/h", 2, "turns between more and fewer nodes")     \
	X(KILLED, "killed", "killed", 2, "queries that ended with their node")                   \
	X(RETRIED, "retried", "retried", 2, "queries begun again elsewhere")                     \
	X(UNFINISHED, "unfinished", "unfin.", 2,                                                 \
	  "queries not ended four hours after the last arrival")                                 \
	X(OVER, "over_node_hours", "over h", 2, "machine time beyond the slots in use")          \
	X(USELESS, "useless_nodes", "useless", 2, "pods that came and went without a task")      \
	X(DISAGREE, "hpa_disagreements", "HPA diff", 2, "numbers the HPA wrote against the scaler")

enum sim_measure {
#define X(name, key, title, digits, what) SIM_M_##name,
	SIM_MEASURES(X)
#undef X
		SIM_MEASURE_COUNT
};

struct sim_result {
	double v[SIM_MEASURE_COUNT];
	size_t queries;
};

void sim_result_of(struct sim_world *w, const struct sim_scaling *s, double wait_target_s,
                   struct sim_result *ret);

struct sim_mean {
	double mean, half; /* 95%: mean - half to mean + half */
};
struct sim_mean sim_mean_of(const double *v, size_t n);

#endif

/* Every scaler on every seed; the same traffic, boots and reclaims for each of them.
 *
 * Thread: one owner. */
#ifndef ROOST_SCALER_SIM_EXPERIMENT_H
#define ROOST_SCALER_SIM_EXPERIMENT_H

#include "lib/base/buf.h"
#include "scaler/sim/result.h"
#include "scaler/sim/scalers.h"
#include "scaler/sim/trace.h"

enum { SIM_SEEDS_MAX = 1000 };

struct sim_experiment {
	struct sim_load load;
	const struct sim_trace *csv; /* instead of load; NULL: none */
	struct sim_scaler_config scaler;
	struct sim_machines machines;
	uint64_t first_seed;
	size_t seeds;
	/* filled by sim_experiment_run() */
	struct sim_result *results[SIM_SCALERS];  /* by seed */
	struct sim_sample *timeline[SIM_SCALERS]; /* of the first seed, SIM_SAMPLE_MS apart */
	size_t timeline_n[SIM_SCALERS];
	double hours;
};

struct sim_experiment sim_experiment_defaults(void);
void sim_experiment_run(struct sim_experiment *x);
void sim_experiment_release(struct sim_experiment *x);

struct sim_mean sim_experiment_mean(const struct sim_experiment *x, enum sim_scaler s,
                                    enum sim_measure m);
/* ours - baseline, seed by seed. */
struct sim_mean sim_experiment_difference(const struct sim_experiment *x, enum sim_scaler baseline,
                                          enum sim_measure m);
/* No other scaler has both a lower p95 and fewer node hours; the oracle is not asked. */
bool sim_experiment_pareto(const struct sim_experiment *x, enum sim_scaler s);

void sim_report_table(const struct sim_experiment *x, struct buf *out);
void sim_report_json(const struct sim_experiment *x, struct buf *out);
void sim_plot(const struct sim_experiment *x, struct buf *out); /* SVG */

#endif

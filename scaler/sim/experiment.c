#include "scaler/sim/experiment.h"

#include <stdlib.h>
#include <string.h>

#include "scaler/source/config.h"

struct sim_experiment sim_experiment_defaults(void)
{
	return (struct sim_experiment){
		.load = { .pattern = SIM_CAB, .hours = 8, .per_hour = 5508 },
		.scaler = { .min = 0,
		            .max = 10,
		            .slots = 8,
		            .wait_target_s = SOURCE_WAIT_TARGET_S,
		            .window_ms = SOURCE_WINDOW_S * 1000 },
		/* r6i.24xlarge, us-east-1: on demand $6.048; spot taken as 40% of it. */
		.machines = { .boot_low_s = 60,
		              .boot_high_s = 300,
		              .pod_new_s = 25,
		              .pod_again_s = 5,
		              .spot_mean_h = 50,
		              .price_spot = 2.42,
		              .price_on_demand = 6.048 },
		.first_seed = 1,
		.seeds = 30,
	};
}

static void run_one(struct sim_experiment *x, enum sim_scaler kind, const struct sim_trace *trace,
                    size_t k)
{
	struct sim_pool pool = sim_scaler_pool(kind, &x->scaler);
	autofree struct sim_world *w = xcalloc(1, sizeof(*w));
	sim_world_init(w, &pool, &x->machines, trace, x->first_seed + k);
	_cleanup_(sim_scaling_freep) struct sim_scaling *s = sim_scaling_new(kind, &x->scaler, w);
	struct sim_decider d = sim_scaling_decider(s);
	sim_world_run(w, &d);
	sim_result_of(w, s, x->scaler.wait_target_s, &x->results[kind][k]);
	if (k == 0) {
		x->timeline[kind] = w->samples.v;
		x->timeline_n[kind] = w->samples.n;
		memset(&w->samples, 0, sizeof(w->samples));
	}
	sim_world_release(w);
}

void sim_experiment_run(struct sim_experiment *x)
{
	for (int kind = 0; kind < SIM_SCALERS; kind++)
		x->results[kind] = xcalloc(x->seeds, sizeof(*x->results[kind]));
	for (size_t k = 0; k < x->seeds; k++) {
		_cleanup_(sim_trace_free) struct sim_trace made = { 0 };
		if (!x->csv)
			sim_trace_make(&x->load, x->first_seed + k, &made);
		const struct sim_trace *trace = x->csv ? x->csv : &made;
		x->hours = (double)trace->length_ms / 3600000;
		for (enum sim_scaler kind = 0; kind < SIM_SCALERS; kind++)
			run_one(x, kind, trace, k);
	}
}

void sim_experiment_release(struct sim_experiment *x)
{
	for (int kind = 0; kind < SIM_SCALERS; kind++) {
		free(x->results[kind]);
		free(x->timeline[kind]);
	}
}

static struct sim_mean mean(const struct sim_experiment *x, enum sim_scaler s, enum sim_scaler less,
                            enum sim_measure m)
{
	autofree double *v = xcalloc(x->seeds, sizeof(*v));
	for (size_t k = 0; k < x->seeds; k++)
		v[k] = x->results[s][k].v[m] - (less < SIM_SCALERS ? x->results[less][k].v[m] : 0);
	return sim_mean_of(v, x->seeds);
}

struct sim_mean sim_experiment_mean(const struct sim_experiment *x, enum sim_scaler s,
                                    enum sim_measure m)
{
	return mean(x, s, SIM_SCALERS, m);
}

struct sim_mean sim_experiment_difference(const struct sim_experiment *x, enum sim_scaler baseline,
                                          enum sim_measure m)
{
	return mean(x, SIM_OURS, baseline, m);
}

bool sim_experiment_pareto(const struct sim_experiment *x, enum sim_scaler s)
{
	double wait = sim_experiment_mean(x, s, SIM_M_WAIT_P95).mean;
	double hours = sim_experiment_mean(x, s, SIM_M_NODE_HOURS).mean;
	for (enum sim_scaler k = 0; k < SIM_SCALERS; k++) {
		if (k == s || k == SIM_ORACLE)
			continue;
		if (sim_experiment_mean(x, k, SIM_M_WAIT_P95).mean < wait &&
		    sim_experiment_mean(x, k, SIM_M_NODE_HOURS).mean < hours)
			return false;
	}
	return true;
}

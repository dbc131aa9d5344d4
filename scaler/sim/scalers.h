/* What decides on the size of the pool: ours and the baselines, each as a decider of the world.
 *
 * Thread: one owner. ours is policy_step() of scaler/policy on the snapshot that the FE would give, as often as the
 * source asks; the operator patches /scale, KEDA and the HPA read the same number behind it. */
#ifndef ROOST_SCALER_SIM_SCALERS_H
#define ROOST_SCALER_SIM_SCALERS_H

#include "scaler/sim/world.h"

enum sim_scaler {
	SIM_OURS,
	SIM_DATA_ON_EKS,      /* AWS' ScaledObject and NodePool as published */
	SIM_DATA_ON_EKS_FAST, /* the same with our NodePool: empty machines leave as early as ours */
	SIM_HPA_ON_CPU,       /* 70 %, the HPA's default behaviour */
	SIM_KPA,              /* Knative: stable 60 s, panic 6 s at 200 % */
	SIM_STANDARD,         /* Snowflake-like: a node more when queries wait */
	SIM_ECONOMY,          /* Snowflake-like: only for six minutes of work */
	SIM_ORACLE,           /* knows what will arrive */
	SIM_SCALERS,
};

const char *sim_scaler_name(enum sim_scaler s); /* NULL past the end */

struct sim_scaler_config {
	int64_t min, max, slots;
	double wait_target_s;
	int64_t window_ms;
	bool no_pin; /* the operator leaves the ScaledObject's limits alone (shows why it must not) */
	int64_t outage_from_ms, outage_ms; /* the FE is silent meanwhile; 0: never */
};

/* How the pool is run under this scaler. */
struct sim_pool sim_scaler_pool(enum sim_scaler s, const struct sim_scaler_config *c);

struct sim_scaling; /* one run of one scaler */
/* w is the world it will decide on, begun but not run. */
struct sim_scaling *sim_scaling_new(enum sim_scaler s, const struct sim_scaler_config *c,
                                    struct sim_world *w);
void sim_scaling_free(struct sim_scaling *s);
struct sim_decider sim_scaling_decider(struct sim_scaling *s);
/* Times that the HPA wrote another number than the scaler had decided. */
int64_t sim_scaling_disagreements(const struct sim_scaling *s);

DEFINE_CLEANUP(struct sim_scaling, sim_scaling_free)

#endif

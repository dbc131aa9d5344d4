/* Inside of the scalers: loops of one period each. */
#ifndef ROOST_SCALER_SIM_SCALERS_PRIV_H
#define ROOST_SCALER_SIM_SCALERS_PRIV_H

#include "scaler/policy/foresee.h"
#include "scaler/sim/hpa.h"
#include "scaler/sim/keda.h"
#include "scaler/sim/scalers.h"

enum {
	SIM_LOOPS = 4,
	SIM_HPA_SYNC_MS = 15000,
	SIM_SCRAPE_MS = 15000,
	SIM_SCRAPES = 9, /* rate[2m] */
	SIM_KPA_TICK_MS = 2000,
	SIM_KPA_TICKS = 30, /* the stable window */
};

struct sim_loop {
	int64_t period_ms, at_ms;
	void (*run)(struct sim_scaling *s, struct sim_world *w);
};

struct sim_scaling {
	enum sim_scaler kind;
	struct sim_scaler_config c;
	struct sim_loop loops[SIM_LOOPS];
	int n_loops;
	int64_t disagreements;
	/* ours */
	struct source_limits limits;
	struct policy_state policy;
	struct policy_decision decision;
	int64_t decided_ms;
	struct policy_history *history;
	int64_t foreseen; /* the minute it was done for last + 1 */
	/* KEDA, HPA */
	struct sim_hpa_config hpa_config;
	struct sim_hpa hpa;
	struct sim_keda_config keda_config;
	struct sim_keda keda;
	/* Prometheus */
	double finished;
	double scraped[SIM_SCRAPES];
	int scrapes;
	/* metrics-server */
	struct {
		uint32_t serial;
		int64_t cpu_ms;
		double percent; /* below 0: no sample yet */
	} cpu[SIM_PODS_MAX];
	/* KPA */
	double concurrency[SIM_KPA_TICKS];
	int64_t ticks, panic_until_ms, panic_most, idle_since_ms;
	/* Snowflake-like */
	int64_t quiet_checks, raised_ms;
	/* oracle: nodes needed in each second, with no limit */
	int32_t *need;
	size_t seconds;
};

void sim_loop_add(struct sim_scaling *s, int64_t period_ms, int64_t phase_ms,
                  void (*run)(struct sim_scaling *s, struct sim_world *w));

void sim_ours_begin(struct sim_scaling *s, struct sim_world *w);
void sim_eks_begin(struct sim_scaling *s, struct sim_world *w);
void sim_cpu_begin(struct sim_scaling *s, struct sim_world *w);
void sim_kpa_begin(struct sim_scaling *s, struct sim_world *w);
void sim_snowflake_begin(struct sim_scaling *s, struct sim_world *w);
void sim_oracle_begin(struct sim_scaling *s, struct sim_world *w);

#endif

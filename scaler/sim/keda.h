/* KEDA's two readers (2.20): its own loop, which decides between 0 and 1, and the fallback of the value for the HPA.
 *
 * Thread: plain values; no clock. The loop: active is value > activation, strictly; inactive for longer than the
 * cooldown, counted from the last active poll, goes to 0 in one step past the HPA's behaviour. A failed poll holds. The
 * fallback needs more than failureThreshold failures in a row, of polls and of the HPA's reads together. */
#ifndef ROOST_SCALER_SIM_KEDA_H
#define ROOST_SCALER_SIM_KEDA_H

#include <stdbool.h>
#include <stdint.h>

struct sim_keda_config {
	int64_t poll_ms, cooldown_ms;
	int64_t min, max;
	int64_t failure_threshold; /* 0: no fallback */
	int64_t fallback_replicas; /* currentReplicasIfHigher */
};

struct sim_keda { /* zeroed before the first poll */
	int64_t active_ms;
	int64_t failures;
};

/* One poll: the spec.replicas that KEDA writes; spec when it writes nothing. */
int64_t sim_keda_poll(struct sim_keda *k, const struct sim_keda_config *c, bool known, bool active,
                      int64_t spec, int64_t now_ms);

/* The value that the HPA reads: false when it gets an error. Target is that of an AverageValue. */
bool sim_keda_read(struct sim_keda *k, const struct sim_keda_config *c, bool known, double target,
                   int64_t status_replicas, double *value);

#endif

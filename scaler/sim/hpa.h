/* The HorizontalPodAutoscaler's algorithm (Kubernetes 1.34, autoscaling/v2), for one target.
 *
 * Thread: plain values; no clock. What is taken over word for word: the tolerance and what happens inside of it (the
 * answer is status.replicas, which then goes into the spec), averages over pods with unready and missing ones, the
 * maximum of several metrics, stabilisation windows, scaling policies with the history of events, selectPolicy, the
 * limits, and that a target at 0 is left alone (docs "Horizontal Pod Autoscaling", algorithm details). */
#ifndef ROOST_SCALER_SIM_HPA_H
#define ROOST_SCALER_SIM_HPA_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_HPA_POLICIES = 4, SIM_HPA_HISTORY = 512, SIM_HPA_METRICS = 4 };

enum sim_hpa_select { SIM_HPA_MAX, SIM_HPA_MIN, SIM_HPA_DISABLED };

struct sim_hpa_policy {
	bool percent; /* else pods */
	int64_t value;
	int64_t period_ms;
};

struct sim_hpa_rules {
	int64_t window_ms; /* stabilizationWindowSeconds */
	enum sim_hpa_select select;
	int policies;
	struct sim_hpa_policy policy[SIM_HPA_POLICIES];
};

struct sim_hpa_config {
	int64_t min, max;
	double tolerance; /* 0.1 unless --horizontal-pod-autoscaler-tolerance */
	struct sim_hpa_rules up, down;
};

/* The behaviour of an HPA that names none. */
struct sim_hpa_config sim_hpa_defaults(int64_t min, int64_t max);

struct sim_hpa_event {
	int64_t at_ms, change;
};

struct sim_hpa { /* zeroed before the first sync */
	struct sim_hpa_event recommendation[SIM_HPA_HISTORY], up[SIM_HPA_HISTORY],
		down[SIM_HPA_HISTORY];
	int recommendations, ups, downs;
};

enum sim_hpa_kind {
	SIM_HPA_AVERAGE, /* AverageValue of an external metric: value is the total */
	SIM_HPA_CPU,     /* Utilization: value is the sum over pods that are ready, in percent */
};

struct sim_hpa_metric {
	enum sim_hpa_kind kind;
	bool known; /* the metric could be read */
	double value, target;
	int64_t ready, unready, missing; /* pods; SIM_HPA_CPU only */
};

/* What one metric asks for, before behaviour and limits; replicas of the status for an average, of the spec for CPU. */
int64_t sim_hpa_replicas(const struct sim_hpa_metric *m, int64_t replicas, double tolerance);

/* One sync: the spec.replicas that the HPA writes; spec when it writes nothing. */
int64_t sim_hpa_sync(struct sim_hpa *h, const struct sim_hpa_config *c,
                     const struct sim_hpa_metric *m, int metrics, int64_t spec, int64_t status,
                     int64_t now_ms);

#endif

/* What the operator counts about itself, for --metrics-bind-address.
 *
 * Thread: safe (atomic counters). */
#ifndef ROOST_OPERATOR_OBSERVE_METRICS_H
#define ROOST_OPERATOR_OBSERVE_METRICS_H

#include <stdint.h>

#include "lib/base/buf.h"

enum observe_metric {
	OBSERVE_RECONCILES,
	OBSERVE_RECONCILE_US,
	OBSERVE_RECONCILE_ERRORS,
	OBSERVE_QUEUE_DEPTH, /* a gauge: set */
	OBSERVE_WRITES_APPLY,
	OBSERVE_WRITES_ADOPT,
	OBSERVE_WRITES_CREATE,
	OBSERVE_WRITES_DELETE,
	OBSERVE_WRITES_COST,
	OBSERVE_WRITES_STATUS,
	OBSERVE_WRITES_SCALE,
	OBSERVE_WRITES_REFUSED,
	OBSERVE_SQL_ASKS,
	OBSERVE_SQL_FAILURES,
	OBSERVE_SQL_STATEMENTS, /* that change something */
	OBSERVE_WATCH_TROUBLES,
	OBSERVE_SCALER_ASKS,
	OBSERVE_SCALER_UNKNOWN,
	OBSERVE_LEADER, /* a gauge */
	OBSERVE_METRICS,
};

void observe_metric_add(enum observe_metric m, int64_t n);
void observe_metric_set(enum observe_metric m, int64_t value);
int64_t observe_metric(enum observe_metric m);
/* Prometheus text. */
void observe_metrics_text(struct buf *out);

#endif

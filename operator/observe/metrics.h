/* What the operator counts about itself, for --metrics-bind-address.
 *
 * Thread: safe (atomic counters). */
#ifndef ROOST_OPERATOR_OBSERVE_METRICS_H
#define ROOST_OPERATOR_OBSERVE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum observe_metric {
	OBSERVE_RECONCILES,
	OBSERVE_SKIPS, /* changes that no step reads */
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

/* ---- with labels (meters.c) ---- */
enum observe_family {
	OBSERVE_WRITES,
	OBSERVE_REFUSED,
	OBSERVE_SQL,
	OBSERVE_WATCH,
	OBSERVE_FAMILIES
};
/* One more of the series with these two label values. */
void observe_count(enum observe_family f, const char *a, const char *b);
/* By its first two words: what a statement names or sets is in no label. */
void observe_count_statement(const char *sql, const char *outcome);
/* How many CRs of a kind say a condition of themselves: a gauge, kept by those whose CR changes its mind. */
enum observe_condition {
	OBSERVE_IS_READY,
	OBSERVE_IS_PROGRESSING,
	OBSERVE_IS_DEGRADED,
	OBSERVE_CONDITIONS
};
extern const char *const OBSERVE_CONDITION_NAME[OBSERVE_CONDITIONS];
void observe_condition_add(bool warehouse, enum observe_condition c, int64_t n);
enum observe_timer { OBSERVE_RECONCILE_TIME, OBSERVE_ASK_TIME, OBSERVE_TIMERS };
void observe_time(enum observe_timer t, int64_t us);
void observe_meters_text(struct buf *out);

#endif

#include "operator/observe/metrics.h"

#include <stdatomic.h>
#include <stddef.h>

#include "lib/net/prom.h"

static _Atomic int64_t values[OBSERVE_METRICS];

void observe_metric_add(enum observe_metric m, int64_t n)
{
	atomic_fetch_add(&values[m], n);
}

void observe_metric_set(enum observe_metric m, int64_t value)
{
	atomic_store(&values[m], value);
}

int64_t observe_metric(enum observe_metric m)
{
	return atomic_load(&values[m]);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
                enum observe_metric m)
{
	prom_family(out, name, type, help);
	prom_series(out, name, (double)observe_metric(m), NULL);
}

void observe_metrics_text(struct buf *out)
{
	static const struct {
		const char *verb;
		enum observe_metric m;
	} writes[] = { { "apply", OBSERVE_WRITES_APPLY },   { "adopt", OBSERVE_WRITES_ADOPT },
		       { "create", OBSERVE_WRITES_CREATE }, { "delete", OBSERVE_WRITES_DELETE },
		       { "cost", OBSERVE_WRITES_COST },     { "status", OBSERVE_WRITES_STATUS },
		       { "scale", OBSERVE_WRITES_SCALE } };
	one(out, "roost_operator_reconcile_errors_total", "counter",
	    "Steps that will be tried again", OBSERVE_RECONCILE_ERRORS);
	one(out, "roost_operator_reconciles_skipped_total", "counter",
	    "Clusters of which nothing had changed that a reconcile reads", OBSERVE_SKIPS);
	one(out, "roost_operator_queue_depth", "gauge", "Clusters that wait for a worker",
	    OBSERVE_QUEUE_DEPTH);
	prom_family(out, "roost_operator_writes_total", "counter", "Writes to the API server");
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		prom_series(out, "roost_operator_writes_total", (double)observe_metric(writes[i].m),
		            "verb", writes[i].verb, NULL);
	one(out, "roost_operator_writes_refused_total", "counter", "Writes that were refused",
	    OBSERVE_WRITES_REFUSED);
	one(out, "roost_operator_sql_asks_total", "counter", "Times an FE was asked",
	    OBSERVE_SQL_ASKS);
	one(out, "roost_operator_sql_failures_total", "counter", "Times an FE did not answer",
	    OBSERVE_SQL_FAILURES);
	one(out, "roost_operator_sql_statements_total", "counter",
	    "Membership statements sent to FEs", OBSERVE_SQL_STATEMENTS);
	one(out, "roost_operator_watch_troubles_total", "counter", "Watches that had to start over",
	    OBSERVE_WATCH_TROUBLES);
	one(out, "roost_operator_scaler_asks_total", "counter", "Questions to the scaler",
	    OBSERVE_SCALER_ASKS);
	one(out, "roost_operator_scaler_unknown_total", "counter",
	    "Questions that the scaler could not answer", OBSERVE_SCALER_UNKNOWN);
	one(out, "roost_operator_leader", "gauge", "1 while this process holds the lease",
	    OBSERVE_LEADER);
	observe_meters_text(out);
}

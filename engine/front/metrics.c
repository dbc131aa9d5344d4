#include "engine/front/front_priv.h"
#include "lib/net/prom.h"

enum { METRICS_MAX = 1024 * 1024 };

static void one(struct buf *out, const char *name, const char *type, const char *help, double value)
{
	prom_family(out, name, type, help);
	prom_series(out, name, value, NULL);
}

static void of_queries(struct buf *out, const struct front_stats *s, const struct admit_load *l)
{
	one(out, "starrocks_fe_connection_total", "gauge", "Open MySQL connections",
	    (double)s->connections);
	one(out, "starrocks_fe_query_total", "counter", "Queries", (double)s->queries);
	one(out, "starrocks_fe_query_err", "counter", "Queries that failed",
	    (double)s->query_errors);
	one(out, "starrocks_fe_query_success", "counter", "Queries that succeeded",
	    (double)(s->queries - s->query_errors));
	one(out, "starrocks_fe_unfinished_query", "gauge", "Queries that run or wait",
	    (double)(l->running + l->pending));
	prom_family(out, "starrocks_fe_query_latency_ms", "summary", "Latency of queries");
	prom_series(out, "starrocks_fe_query_latency_ms", l->service_p50_s * 1000, "quantile",
	            "0.50", NULL);
	prom_series(out, "starrocks_fe_query_latency_ms", l->service_p95_s * 1000, "quantile",
	            "0.95", NULL);
	prom_series(out, "starrocks_fe_query_latency_ms_sum", s->query_seconds * 1000, NULL);
	prom_series(out, "starrocks_fe_query_latency_ms_count", (double)s->queries, NULL);
}

static void of_queue(struct buf *out, struct front *f, const struct admit_load *l)
{
	static const char name[] = "starrocks_fe_warehouse_query_queue";
	int be = 0, cn = 0;
	cluster_slots(f->config.cluster, &be, &cn);
	one(out, "starrocks_fe_query_queue_pending", "gauge", "Queries that wait for slots",
	    (double)l->pending);
	one(out, "starrocks_fe_query_queue_total", "counter", "Queries that entered the queue",
	    (double)l->total);
	one(out, "starrocks_fe_query_queue_timeout", "counter",
	    "Queries whose pending timeout passed", (double)l->timeouts);
	one(out, "starrocks_fe_query_queue_rejected", "counter",
	    "Queries refused because the queue was full", (double)l->rejected);
	const struct {
		const char *field;
		double value;
	} fields[] = {
		{ "query_pending_length", l->pending },
		{ "query_running_length", l->running },
		{ "max_slots", cn },
		{ "remain_slots", cn > l->running_slots_cn ? cn - l->running_slots_cn : 0 },
		{ "required_slots", l->required_slots },
		{ "earliest_query_wait_time", l->oldest_wait_s },
	};
	prom_family(out, name, "gauge", "The query queue of the warehouse's compute nodes");
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		prom_series(out, name, fields[i].value, "warehouse_name", "default_warehouse",
		            "field", fields[i].field, NULL);
}

static void of_nodes(struct buf *out, struct front *f)
{
	static const char *const types[] = { [META_BE] = "be_node_num", [META_CN] = "cn_node_num" };
	size_t n = 0, total[2] = { 0, 0 }, alive[2] = { 0, 0 }, decommissioned = 0;
	autofree struct cluster_node *nodes =
		cluster_list(f->config.cluster, 1U << META_BE | 1U << META_CN, &n);
	for (size_t i = 0; i < n; i++) {
		total[nodes[i].role]++;
		alive[nodes[i].role] += nodes[i].alive;
		decommissioned += nodes[i].decommissioned;
	}
	prom_family(out, "node_info", "gauge", "Nodes by kind and state");
	prom_series(out, "node_info", 1, "type", "fe_node_num", "state", "total", NULL);
	prom_series(out, "node_info", 1, "type", "fe_node_num", "state", "alive", NULL);
	prom_series(out, "node_info", 1, "type", "is_master", NULL);
	for (int r = META_BE; r <= META_CN; r++) {
		prom_series(out, "node_info", (double)total[r], "type", types[r], "state", "total",
		            NULL);
		prom_series(out, "node_info", (double)alive[r], "type", types[r], "state", "alive",
		            NULL);
	}
	prom_series(out, "node_info", (double)decommissioned, "type", "be_node_num", "state",
	            "decommissioned", NULL);
}

void front_metrics(void *arg, struct http_req *r)
{
	struct front *f = arg;
	_cleanup_buf_ struct buf out = BUF_INIT(METRICS_MAX);
	struct admit_load load;
	struct front_stats stats = front_get_stats(f);
	admit_get_load(f->config.admit, &load);
	of_queries(&out, &stats, &load);
	of_queue(&out, f, &load);
	of_nodes(&out, f);
	one(&out, "starrocks_fe_max_journal_id", "gauge", "Index of the last catalog change",
	    (double)meta_last_applied(f->config.meta));
	http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8",
	            (struct str){ buf_cstr(&out), out.len });
}

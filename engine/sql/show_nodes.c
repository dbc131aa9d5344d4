/* SHOW FRONTENDS, BACKENDS, COMPUTE NODES: columns and order are StarRocks' (scripts read them by number, the
 * operator by name), and no cell is NULL (that panics the operator). */
#include "engine/cluster/cluster.h"
#include "engine/sql/show.h"
#include "lib/base/clock.h"

static const char *yes(bool b)
{
	return b ? "true" : "false";
}

int sql_show_frontends(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                       struct err *err)
{
	const struct sql_server *f = s->server;
	(void)q;
	(void)err;
	sql_rows_init(rows,
	              "Name,IP,EditLogPort,HttpPort,QueryPort,RpcPort,Role,ClusterId,Join,Alive,"
	              "ReplayedJournalId,LastHeartbeat,IsHelper,ErrMsg,StartTime,Version");
	sql_rows_addf(rows, "%s_%d_%lld", f->fe_host, f->edit_log_port, (long long)f->start_ts);
	sql_rows_add(rows, f->fe_host);
	sql_rows_addf(rows, "%d", f->edit_log_port);
	sql_rows_addf(rows, "%d", f->http_port);
	sql_rows_addf(rows, "%d", f->query_port);
	sql_rows_addf(rows, "%d", f->rpc_port);
	sql_rows_add(rows, "LEADER");
	sql_rows_addf(rows, "%lld", (long long)meta_cluster_id(f->meta));
	sql_rows_addn(rows, 2, "true");
	sql_rows_addf(rows, "%lld", (long long)meta_last_applied(f->meta));
	sql_rows_add_time(rows, clock_real_ms());
	sql_rows_add(rows, "true");
	sql_rows_add(rows, "");
	sql_rows_add_time(rows, f->start_ts);
	sql_rows_add(rows, f->version);
	return 0;
}

/* The columns that both kinds begin with: id to ClusterDecommissioned. */
static void add_head(struct sql_rows *rows, const struct cluster_node *n)
{
	sql_rows_addf(rows, "%lld", (long long)n->id);
	sql_rows_add(rows, n->host);
	sql_rows_addf(rows, "%d", n->heartbeat_port);
	sql_rows_addf(rows, "%d", n->be_port);
	sql_rows_addf(rows, "%d", n->http_port);
	sql_rows_addf(rows, "%d", n->brpc_port);
	sql_rows_add_time(rows, n->start_ts);
	sql_rows_add_time(rows, n->last_heartbeat_ts);
	sql_rows_add(rows, yes(n->alive));
	sql_rows_add(rows, yes(n->decommissioned));
	sql_rows_add(rows, "false");
}

/* What is wrong with it, or that it is leaving. */
static void add_error(struct sql_rows *rows, const struct cluster_node *n)
{
	if (n->alive && n->draining)
		sql_rows_add(rows, "SHUTDOWN: draining, takes no new work");
	else
		sql_rows_add(rows, n->alive ? "" : n->error);
}

static void add_backend(struct sql_rows *rows, const struct cluster_node *n)
{
	int64_t used = n->data_used, total = n->disk_total, avail = n->disk_avail;
	add_head(rows, n);
	sql_rows_addf(rows, "%zu", n->tablets);
	sql_rows_add_bytes(rows, used);
	sql_rows_add_bytes(rows, avail);
	sql_rows_add_bytes(rows, total);
	sql_rows_add_percent(rows, total - avail, total); /* UsedPct */
	sql_rows_add_percent(rows, total - avail, total); /* MaxDiskUsedPct: there is one path */
	add_error(rows, n);
	sql_rows_add(rows, n->version);
	char at[CLOCK_RFC3339_MAX] = "";
	if (n->last_heartbeat_ts)
		clock_sql(n->last_heartbeat_ts, at);
	sql_rows_addf(rows, "{\"lastSuccessReportTabletsTime\":\"%s\"}", at[0] ? at : "N/A");
	sql_rows_add_bytes(rows, used + avail); /* DataTotalCapacity */
	sql_rows_add_percent(rows, used, used + avail);
	sql_rows_addf(rows, "%d", n->cpu_cores);
	sql_rows_add_bytes(rows, n->mem_limit);
	sql_rows_addf(rows, "%d", n->running);
	sql_rows_add_percent(rows, n->mem_used, n->mem_limit);
	sql_rows_add(rows, "0.0 %"); /* CpuUsedPct: a worker does not tell */
	sql_rows_add(rows, "N/A");
	sql_rows_add(rows, "");
}

static void add_compute_node(struct sql_rows *rows, const struct cluster_node *n)
{
	add_head(rows, n);
	add_error(rows, n);
	sql_rows_add(rows, n->version);
	sql_rows_addf(rows, "%d", n->cpu_cores);
	sql_rows_addf(rows, "%d", n->running);
	sql_rows_add_percent(rows, n->mem_used, n->mem_limit);
	sql_rows_add(rows, "0.0 %");
	sql_rows_add(rows, yes(n->disk_total > 0)); /* HasStoragePath: for its cache */
	sql_rows_add(rows, "0");                    /* StarletPort: no starlet here */
	sql_rows_addf(rows, "%lld", (long long)n->id);
	sql_rows_add(rows, "default_warehouse");
	sql_rows_add(rows, "0");
}

static void add_nodes(struct sql_session *s, enum meta_role role, struct sql_rows *rows,
                      void (*add)(struct sql_rows *rows, const struct cluster_node *n))
{
	autofree struct cluster_node *nodes = xcalloc(CLUSTER_NODES_MAX, sizeof(*nodes));
	size_t n = cluster_nodes(s->server->cluster, 1u << role, nodes, CLUSTER_NODES_MAX);
	for (size_t i = 0; i < n; i++)
		add(rows, &nodes[i]);
}

int sql_show_backends(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                      struct err *err)
{
	(void)q;
	(void)err;
	sql_rows_init(rows,
	              "BackendId,IP,HeartbeatPort,BePort,HttpPort,BrpcPort,LastStartTime,"
	              "LastHeartbeat,Alive,SystemDecommissioned,ClusterDecommissioned,TabletNum,"
	              "DataUsedCapacity,AvailCapacity,TotalCapacity,UsedPct,MaxDiskUsedPct,"
	              "ErrMsg,Version,Status,DataTotalCapacity,DataUsedPct,CpuCores,MemLimit,"
	              "NumRunningQueries,MemUsedPct,CpuUsedPct,DataCacheMetrics,Location");
	add_nodes(s, META_BE, rows, add_backend);
	return 0;
}

int sql_show_compute_nodes(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                           struct err *err)
{
	(void)q;
	(void)err;
	sql_rows_init(rows, "ComputeNodeId,IP,HeartbeatPort,BePort,HttpPort,BrpcPort,LastStartTime,"
	                    "LastHeartbeat,Alive,SystemDecommissioned,ClusterDecommissioned,ErrMsg,"
	                    "Version,CpuCores,NumRunningQueries,MemUsedPct,CpuUsedPct,"
	                    "HasStoragePath,StarletPort,WorkerId,WarehouseName,TabletNum");
	add_nodes(s, META_CN, rows, add_compute_node);
	return 0;
}

int sql_show_proc(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                  struct err *err)
{
	static const struct {
		const char *path;
		int (*run)(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
		           struct err *err);
	} paths[] = {
		{ "/frontends", sql_show_frontends },
		{ "/backends", sql_show_backends },
		{ "/compute_nodes", sql_show_compute_nodes },
		{ "/dbs", sql_show_databases },
		{ "/current_queries", sql_show_running_queries },
	};
	struct str path = str_of(q->path);
	while (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	if (str_eqs(path, "/") || path.len == 0) {
		sql_rows_init(rows, "name");
		for (size_t i = 0; i < ARRAY_LEN(paths); i++)
			sql_rows_add(rows, paths[i].path + 1);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (str_eqs(path, paths[i].path))
			return paths[i].run(s, q, rows, err);
	}
	return err_set(err, SQL_ERR(1064),
	               "Proc path '%.*s' doesn't exist (SHOW PROC '/' lists them)", STR_ARG(path));
}

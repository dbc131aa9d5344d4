#include "engine/admit/admit.h"
#include "engine/sql/connections.h"
#include "engine/sql/show.h"
#include "engine/sql/vars.h"
#include "lib/base/clock.h"
#include "lib/data/json.h"

int sql_show_variables(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                       struct err *err)
{
	(void)err;
	sql_rows_init(rows, "Variable_name,Value");
	sql_var_list(s, q->global ? SQL_SCOPE_GLOBAL : SQL_SCOPE_SESSION, rows);
	return 0;
}

int sql_show_status(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                    struct err *err)
{
	struct sql_stats stats = { 0 };
	(void)q;
	(void)err;
	if (s->server->connections)
		sql_connections_stats(s->server->connections, &stats);
	sql_rows_init(rows, "Variable_name,Value");
	sql_rows_add(rows, "Queries");
	sql_rows_addf(rows, "%llu", (unsigned long long)stats.statements);
	sql_rows_add(rows, "Threads_connected");
	sql_rows_addf(rows, "%llu", (unsigned long long)stats.connections);
	sql_rows_add(rows, "Uptime");
	sql_rows_addf(rows, "%lld", (long long)(clock_real_ms() - s->server->start_ts) / 1000);
	return 0;
}

/* A SHOW that has columns and never rows here. */
#define EMPTY(name, columns)                                                 \
	int sql_show_##name(struct sql_session *s, const struct sql_show *q, \
	                    struct sql_rows *rows, struct err *err)          \
	{                                                                    \
		(void)s;                                                     \
		(void)q;                                                     \
		(void)err;                                                   \
		sql_rows_init(rows, columns);                                \
		return 0;                                                    \
	}
EMPTY(warnings, "Level,Code:l,Message")
EMPTY(plugins, "Name,Status,Type,Library,License")
EMPTY(routines, "Db,Name,Type,Definer,Modified,Created,Security_type,Comment,"
                "character_set_client,collation_connection,Database Collation")
EMPTY(triggers, "Trigger,Event,Table,Statement,Timing,Created,sql_mode,Definer,"
                "character_set_client,collation_connection,Database Collation")
EMPTY(events, "Db,Name,Definer,Time zone,Type,Execute at,Interval value,Interval field,Starts,Ends,"
              "Status,Originator,character_set_client,collation_connection,Database Collation")

int sql_show_engines(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                     struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Engine,Support,Comment,Transactions,XA,Savepoints");
	sql_rows_add(rows, "OLAP");
	sql_rows_add(rows, "YES");
	sql_rows_add(rows, "Default storage engine: tablets on BEs, or objects in a bucket");
	sql_rows_addn(rows, 3, "NO");
	return 0;
}

int sql_show_collation(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                       struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Collation,Charset,Id:l,Default,Compiled,Sortlen:l");
	static const char *const all[][4] = { { "utf8_general_ci", "utf8", "33", "Yes" },
		                              { "utf8mb4_general_ci", "utf8mb4", "45", "Yes" },
		                              { "binary", "binary", "63", "Yes" } };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (size_t k = 0; k < 4; k++)
			sql_rows_add(rows, all[i][k]);
		sql_rows_add(rows, "Yes");
		sql_rows_add(rows, "1");
	}
	return 0;
}

int sql_show_charset(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                     struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Charset,Description,Default collation,Maxlen:l");
	static const char *const all[][4] = {
		{ "utf8", "UTF-8 Unicode", "utf8_general_ci", "3" },
		{ "utf8mb4", "UTF-8 Unicode", "utf8mb4_general_ci", "4" },
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		for (size_t k = 0; k < 4; k++)
			sql_rows_add(rows, all[i][k]);
	}
	return 0;
}

int sql_show_privileges(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                        struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Privilege,Context,Comment");
	sql_rows_add(rows, "ALL");
	sql_rows_add(rows, "SYSTEM");
	sql_rows_add(rows, "of root, the only user");
	return 0;
}

int sql_show_grants(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                    struct err *err)
{
	const char *user = q->name ? q->name : s->user;
	char hash[SQL_PASSWORD_HASH_MAX];
	if (!sql_server_password(s->server, user, hash))
		return err_set(err, SQL_ERR(1141), "There is no such grant defined for user '%s'",
		               user);
	sql_rows_init(rows, "UserIdentity,Catalog,Grants");
	sql_rows_addf(rows, "'%s'@'%%'", user);
	sql_rows_add(rows, "default_catalog");
	sql_rows_addf(rows, "GRANT ALL ON *.* TO '%s'@'%%'", user);
	return 0;
}

int sql_show_processlist(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                         struct err *err)
{
	enum { CONNECTIONS_MAX = 65536, SHORT_INFO = 100 };
	(void)err;
	sql_rows_init(rows,
	              "Id:l,User,Host,Db,Command,ConnectionStartTime,Time:l,State,Info,IsPending,"
	              "Warehouse");
	if (!s->server->connections)
		return 0;
	autofree struct sql_connection *all = xcalloc(CONNECTIONS_MAX, sizeof(*all));
	size_t n = sql_connections_list(s->server->connections, all, CONNECTIONS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct sql_connection *c = &all[i];
		sql_rows_addf(rows, "%u", c->id);
		sql_rows_add(rows, c->user);
		sql_rows_add(rows, c->peer);
		sql_rows_add(rows, c->db);
		sql_rows_add(rows, c->running ? "Query" : "Sleep");
		sql_rows_add_time(rows, c->connected_ts);
		sql_rows_addf(rows, "%lld", (long long)(clock_mono_ms() - c->since_ms) / 1000);
		sql_rows_add(rows, c->running ? "RUNNING" : "OK");
		sql_rows_addf(rows, "%.*s", q->full ? SQL_INFO_MAX : SHORT_INFO, c->info);
		sql_rows_add(rows, "false");
		sql_rows_add(rows, "default_warehouse");
	}
	return 0;
}

int sql_show_running_queries(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                             struct err *err)
{
	(void)q;
	(void)err;
	sql_rows_init(rows,
	              "QueryId,ResourceGroupId,StartTime,PendingTimeout,QueryTimeout,State,Slots,"
	              "Frontend,FeStartTime");
	autofree struct admit_query *all = xcalloc(ADMIT_PENDING_MAX, sizeof(*all));
	size_t n = admit_queries(s->server->admit, all, ADMIT_PENDING_MAX);
	for (size_t i = 0; i < n; i++) {
		int64_t pending = sql_session_int(s, "query_queue_pending_timeout_second", 300);
		int64_t timeout = sql_session_int(s, "query_timeout", 300);
		sql_rows_add(rows, all[i].query_id);
		sql_rows_add(rows, all[i].group);
		sql_rows_add_time(rows, all[i].since_ts);
		sql_rows_add_time(rows, all[i].since_ts + 1000 * pending);
		sql_rows_add_time(rows, all[i].since_ts + 1000 * timeout);
		sql_rows_add(rows, all[i].pending ? "PENDING" : "RUNNING");
		sql_rows_addf(rows, "%d", all[i].slots);
		sql_rows_add(rows, s->server->fe_host);
		sql_rows_add_time(rows, s->server->start_ts);
	}
	return 0;
}

int sql_show_load(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                  struct err *err)
{
	struct meta *m = s->server->meta;
	const char *db = NULL;
	size_t at = 0;
	int rc = sql_session_resolve(s, q->db, &db, err);
	if (rc < 0)
		return rc;
	sql_rows_init(rows, "JobId:l,Label,State,Progress,Type,Priority,ScanRows:l,FilteredRows:l,"
	                    "UnselectedRows:l,SinkRows:l,EtlInfo,TaskInfo,ErrorMsg,CreateTime,"
	                    "EtlStartTime,EtlFinishTime,LoadStartTime,LoadFinishTime,TrackingSQL,"
	                    "JobDetails");
	meta_rdlock(m);
	for (const struct meta_load *l = meta_next_load(m, &at); l; l = meta_next_load(m, &at)) {
		bool finished = strcmp(l->state, "FINISHED") == 0;
		if (strcmp(l->db, db) != 0)
			continue;
		sql_rows_addf(rows, "%lld", (long long)l->txn);
		sql_rows_add(rows, l->label);
		sql_rows_add(rows, l->state);
		sql_rows_add(rows, finished ? "ETL:100%; LOAD:100%" : "ETL:N/A; LOAD:N/A");
		sql_rows_add(rows, strncmp(l->label, "insert_", 7) == 0 ? "INSERT" : "STREAM_LOAD");
		sql_rows_add(rows, "NORMAL");
		sql_rows_addf(rows, "%llu", (unsigned long long)l->rows);
		sql_rows_addn(rows, 2, "0");
		sql_rows_addf(rows, "%llu", (unsigned long long)l->rows);
		sql_rows_addn(rows, 2, "");
		sql_rows_add(rows, finished || !l->reason ? "" : l->reason);
		for (int i = 0; i < 5; i++)
			sql_rows_add_time(rows, l->ts);
		sql_rows_add(rows, "");
		sql_rows_addf(rows, "{\"bytes\":%llu}", (unsigned long long)l->bytes);
	}
	meta_rdunlock(m);
	return 0;
}

int sql_show_resource_groups(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                             struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows,
	              "name,id,cpu_weight,exclusive_cpu_cores,mem_limit,big_query_cpu_second_limit,"
	              "big_query_scan_rows_limit,big_query_mem_limit,concurrency_limit,"
	              "spill_mem_limit_threshold,classifiers");
	sql_rows_add(rows, "default_wg");
	sql_rows_add(rows, "1");
	sql_rows_add(rows, "1");
	sql_rows_add(rows, "0");
	sql_rows_add(rows, "100.0%");
	sql_rows_addn(rows, 4, "0");
	sql_rows_add(rows, "100%");
	sql_rows_add(rows, "(id=0, weight=0.0)");
	return 0;
}

int sql_show_storage_volumes(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                             struct err *err)
{
	(void)q;
	(void)err;
	sql_rows_init(rows, "Storage Volume");
	if (s->server->s3_json)
		sql_rows_add(rows, "builtin_storage_volume");
	return 0;
}

int sql_show_warehouses(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                        struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Id,Name,State");
	sql_rows_add(rows, "0");
	sql_rows_add(rows, "default_warehouse");
	sql_rows_add(rows, "AVAILABLE");
	return 0;
}

int sql_show_catalogs(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                      struct err *err)
{
	(void)s;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Catalog,Type,Comment");
	sql_rows_add(rows, "default_catalog");
	sql_rows_add(rows, "Internal");
	sql_rows_add(rows, "the tables of this cluster");
	return 0;
}

/* One ask of one FE: membership statements first, then what it knows of its nodes. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "lib/mysql/client.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"
#include "operator/observe/warehouse.h"

enum { LOAD_MS = 1000 };

/* ---- lists ---- */
static int64_t number(const struct mysqlc_result *r, size_t row, const char *column, int64_t absent)
{
	int64_t n = absent;
	const char *text = mysqlc_cell(r, row, column);
	return text && str_to_i64(str_of(text), &n) == 0 ? n : absent;
}

static bool truth(const struct mysqlc_result *r, size_t row, const char *column)
{
	const char *text = mysqlc_cell(r, row, column);
	return text && str_caseeqs(str_of(text), "true");
}

static json_t *row_json(const struct mysqlc_result *r, size_t i, bool backend)
{
	const char *host = mysqlc_cell(r, i, "IP");
	if (!host || !*host)
		return NULL;
	json_t *row = json_pack("{s:s, s:I, s:b}", "host", host, "port",
	                        (json_int_t)number(r, i, "HeartbeatPort", 9050), "alive",
	                        truth(r, i, "Alive"));
	if (!row)
		return NULL;
	if (backend) {
		json_object_set_new(row, "decommissioned",
		                    json_boolean(truth(r, i, "SystemDecommissioned") ||
		                                 truth(r, i, "ClusterDecommissioned")));
		json_object_set_new(row, "tablets", json_integer(number(r, i, "TabletNum", -1)));
		return row;
	}
	const char *house = mysqlc_cell(r, i, "WarehouseName");
	if (house)
		json_object_set_new(row, "warehouse", json_string(house));
	const char *cache = mysqlc_cell(r, i, "DataCacheMetrics");
	json_object_set_new(row, "running", json_integer(number(r, i, "NumRunningQueries", 0)));
	if (cache)
		json_object_set_new(row, "cached_bytes", json_integer(observe_cached_bytes(cache)));
	return row;
}

json_t *observe_frontend(const struct mysqlc_result *r, size_t i)
{
	const char *host = mysqlc_cell(r, i, "IP");
	const char *role = mysqlc_cell(r, i, "Role");
	if (!host || !*host || !role)
		return NULL;
	return json_pack("{s:s, s:I, s:s, s:b, s:b}", "host", host, "port",
	                 (json_int_t)number(r, i, "EditLogPort", 9010), "role", role, "join",
	                 truth(r, i, "Join"), "alive", truth(r, i, "Alive"));
}

json_t *observe_backend(const struct mysqlc_result *r, size_t i)
{
	return row_json(r, i, true);
}

json_t *observe_node(const struct mysqlc_result *r, size_t i)
{
	return row_json(r, i, false);
}

int observe_list(struct ask *a, struct mysqlc *sql, const char *statement, observe_row_fn row,
                 json_t **ret, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	int rc = mysqlc_query(sql, statement, a->by, &r, err);
	observe_count_statement(statement, rc == 0 ? "ok" : (rc > 0 ? "refused" : "failed"));
	if (rc != 0)
		return rc;
	json_t *rows = json_array();
	for (size_t i = 0; i < r.n_rows; i++) {
		json_t *one = row(&r, i);
		if (one)
			json_array_append_new(rows, one);
	}
	*ret = rows;
	return 0;
}

static int ask_list(struct ask *a, struct mysqlc *sql, const char *statement, const char *key,
                    observe_row_fn row, struct err *err)
{
	json_t *rows = NULL;
	int rc = observe_list(a, sql, statement, row, &rows, err);
	if (rc == 0)
		json_object_set_new(a->answer, key, rows);
	return rc;
}

/* ---- what is asked only while a step wants to know it ---- */
/* The replicas that some partition promises: no fewer backends may stay. Absent when the FE cannot say. */
static int ask_replication(struct ask *a, struct mysqlc *sql, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	int rc = mysqlc_query(sql,
	                      "SELECT MAX(REPLICATION_NUM) AS n FROM "
	                      "information_schema.partitions_meta",
	                      a->by, &r, err);
	/* A user without a right on any table is shown no row: nothing is known, and DECOMMISSION itself refuses. */
	const char *state = data_get_str(a->answer, "sql_user");
	if (rc == 0 && state && strcmp(state, "used") == 0 &&
	    (r.n_rows == 0 || !mysqlc_cell(&r, 0, "n")))
		json_object_set_new(a->answer, "replication_hidden", json_true());
	else if (rc == 0)
		json_object_set_new(a->answer, "replication",
		                    json_integer(r.n_rows ? number(&r, 0, "n", 0) : 0));
	else if (rc == MYSQLC_REFUSED)
		json_object_set_new(a->answer, "replication_error", json_string(err->msg));
	return rc == MYSQLC_REFUSED ? 0 : rc;
}

/* Tablets that are short of a replica, and those that wait for their repair or are in it. */
static int ask_health(struct ask *a, struct mysqlc *sql, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result all = { 0 }, repair = { 0 };
	int64_t bad = 0;
	int rc = mysqlc_query(sql, "SHOW PROC '/statistic'", a->by, &all, err);
	if (rc == MYSQLC_REFUSED)
		json_object_set_new(a->answer, "health_error", json_string(err->msg));
	if (rc != 0)
		return rc == MYSQLC_REFUSED ? 0 : rc;
	for (size_t i = 0; i < all.n_rows; i++) {
		const char *id = mysqlc_cell(&all, i, "DbId");
		if (id && str_caseeqs(str_of(id), "total"))
			bad += number(&all, i, "UnhealthyTabletNum", 0) +
			       number(&all, i, "CloningTabletNum", 0);
	}
	rc = mysqlc_query(sql, "SHOW PROC '/cluster_balance'", a->by, &repair, err);
	for (size_t i = 0; rc == 0 && i < repair.n_rows; i++) {
		const char *item = mysqlc_cell(&repair, i, "Item");
		if (item &&
		    (strcmp(item, "pending_tablets") == 0 || strcmp(item, "running_tablets") == 0))
			bad += number(&repair, i, "Number", 0);
	}
	if (rc != 0 && rc != MYSQLC_REFUSED)
		return rc;
	json_object_set_new(a->answer, "unhealthy", json_integer(bad));
	return 0;
}

static int ask_sql(struct ask *a, const json_t *intents, struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *sql = NULL;
	size_t i;
	const json_t *intent;
	int rc = observe_open(a, &sql, err);
	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)(uintptr_t)intents, i, intent)
		observe_carry_out(a, sql, intent);
	rc = ask_list(a, sql, "SHOW BACKENDS", "backends", observe_backend, err);
	if (rc == 0)
		rc = ask_list(a, sql, "SHOW COMPUTE NODES", "nodes", observe_node, err);
	if (rc == 0)
		rc = ask_list(a, sql, "SHOW FRONTENDS", "frontends", observe_frontend, err);
	if (rc == 0 && data_get_bool(a->target, "want.replication", false))
		rc = ask_replication(a, sql, err);
	if (rc == 0 && data_get_bool(a->target, "want.health", false))
		rc = ask_health(a, sql, err);
	return rc;
}

/* Roost's own FE tells what runs where; without it the lists serve. */
static void ask_load(struct ask *a, struct http_client *http)
{
	_cleanup_buf_ struct buf url = BUF_INIT(512);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	json_t *load = NULL;
	struct err err = ERR_INIT;
	buf_adds(&url, "http://");
	http_host_port(data_get_str(a->target, "host"),
	               (int)data_get_int(a->target, "http_port", 8030), &url);
	buf_adds(&url, "/api/roost/load");
	struct http_call call = { .url = url.p, .by = deadline_in(LOAD_MS) };
	if (http_call(http, &call, &reply, &err) != 0 || reply.status != 200 ||
	    data_json_parse((struct str){ buf_cstr(&reply.body), reply.body.len }, &load, &err) < 0)
		return;
	json_object_set_new(a->answer, "load", load);
}

json_t *observe_ask(struct kube_client *kube, struct http_client *http, const json_t *target,
                    const json_t *intents, const struct observe_fe_config *config, int64_t ms)
{
	struct ask a = { kube, target, config, deadline_in(ms), json_object() };
	struct err err = ERR_INIT;
	observe_metric_add(OBSERVE_SQL_ASKS, 1);
	int rc = data_get_str(target, "host")
	                 ? ask_sql(&a, intents, &err)
	                 : err_set(&err, -EHOSTUNREACH, "the FE Service has no address yet");
	if (rc > 0)
		observe_user_doubt(&a);
	json_object_set_new(a.answer, "ok", json_boolean(rc == 0));
	if (rc != 0) {
		observe_metric_add(OBSERVE_SQL_FAILURES, 1);
		json_object_set_new(a.answer, "error", json_string(err.msg));
	} else if (json_object_get(target, "warehouse")) {
		observe_warehouse_feature(http, target, a.answer);
	} else if (data_get_bool(target, "engine", false)) {
		observe_drain(&a, http, intents);
		ask_load(&a, http);
	}
	return a.answer;
}

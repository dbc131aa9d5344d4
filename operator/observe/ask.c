/* One ask of one FE: membership statements first, then what it knows of its nodes. */
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/base64.h"
#include "lib/data/json.h"
#include "lib/mysql/client.h"
#include "operator/observe/fe.h"
#include "operator/observe/metrics.h"

enum { LOAD_MS = 1000, STATEMENT_MAX = 1024, PASSWORD_MAX = 4096 };

struct ask {
	struct kube_client *kube;
	const json_t *target;
	const struct observe_fe_config *config;
	struct deadline by;
	json_t *answer;
};

/* ---- the password: MYSQL_PWD of the FE's environment, itself or by Secret ---- */
static char *secret_value(struct ask *a, const char *name, const char *key)
{
	struct kube_ref ref = { &KUBE_SECRET, data_get_str(a->target, "ns"), name, NULL };
	_cleanup_json_ json_t *secret = NULL;
	struct err err = ERR_INIT;
	if (kube_get(a->kube, &ref, &secret, &err) != 0) {
		log_warn("cluster=%s/%s secret=%s cannot read the root password: %s", ref.ns,
		         data_get_str(a->target, "name"), name, err.msg);
		return NULL;
	}
	const char *text = json_string_value(json_object_get(json_object_get(secret, "data"), key));
	_cleanup_buf_ struct buf out = BUF_INIT(PASSWORD_MAX);
	if (!text || data_base64_decode(str_of(text), &out) < 0)
		return NULL;
	return buf_take(&out);
}

static char *password_of(struct ask *a)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(a->target, "env"), i, e)
	{
		const char *name = data_get_str(e, "name");
		const char *value = data_get_str(e, "value");
		const char *secret = data_get_str(e, "valueFrom.secretKeyRef.name");
		const char *key = data_get_str(e, "valueFrom.secretKeyRef.key");
		if (!name || strcmp(name, "MYSQL_PWD") != 0)
			continue;
		if (value)
			return xstrdup(value);
		if (secret && key)
			return secret_value(a, secret, key);
	}
	return NULL;
}

/* ---- statements ---- */
int observe_statement(const json_t *intent, struct buf *out)
{
	static const struct {
		const char *act, *text;
	} forms[] = {
		{ "drop_node", "ALTER SYSTEM DROP COMPUTE NODE \"%s:%lld\"" },
		{ "decommission", "ALTER SYSTEM DECOMMISSION BACKEND \"%s:%lld\"" },
		{ "cancel_decommission", "CANCEL DECOMMISSION BACKEND \"%s:%lld\"" },
		{ "drop_backend", "ALTER SYSTEM DROP BACKEND \"%s:%lld\"" },
	};
	const char *act = data_get_str(intent, "do");
	const char *host = data_get_str(intent, "host");
	const char *warehouse = data_get_str(intent, "warehouse");
	long long port = (long long)data_get_int(intent, "port", 0);
	/* The host comes from the FE's own list: still, only what is a host goes into a statement. */
	if (!act || !host || !*host || port <= 0 || port > 65535 ||
	    host[strspn(host,
	                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:_")])
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		if (strcmp(forms[i].act, act) != 0)
			continue;
		const char *at = strchr(forms[i].text, '"');
		buf_add(out, forms[i].text, (size_t)(at - forms[i].text));
		buf_addf(out, strchr(host, ':') ? "\"[%s]:%lld\"" : "\"%s:%lld\"", host, port);
		if (warehouse && strcmp(act, "drop_node") == 0 &&
		    warehouse[strspn(warehouse, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST"
		                                "UVWXYZ0123456789_")] == '\0' &&
		    *warehouse)
			buf_addf(out, " FROM WAREHOUSE %s", warehouse);
		return 0;
	}
	return -EINVAL;
}

struct claim {
	const char *host;
	bool found;
};

static int pod_claims(void *arg, json_t *pod)
{
	struct claim *c = arg;
	const char *ip = data_get_str(pod, "status.podIP");
	const char *name = data_get_str(pod, "metadata.name");
	size_t n = name ? strlen(name) : 0;
	if ((!ip && data_get_str(pod, "spec.nodeName")) || (ip && strcmp(ip, c->host) == 0) ||
	    (n > 0 && strncmp(c->host, name, n) == 0 && (c->host[n] == '.' || c->host[n] == '\0')))
		c->found = true;
	return 0;
}

/* The live read before a destructive act: is the wish still the cluster's, and is the node nobody's? */
static bool still_true(struct ask *a, const json_t *intent)
{
	struct kube_ref ref = { &KUBE_CLUSTER, data_get_str(a->target, "ns"),
		                data_get_str(a->target, "name"), NULL };
	_cleanup_json_ json_t *cr = NULL;
	struct err err = ERR_INIT;
	const char *uid = data_get_str(a->target, "uid");
	if (kube_get(a->kube, &ref, &cr, &err) != 0)
		return false;
	const char *live_uid = data_get_str(cr, "metadata.uid");
	if (!live_uid || !uid || strcmp(live_uid, uid) != 0 ||
	    data_get_int(cr, "metadata.generation", -1) != data_get_int(intent, "generation", -2) ||
	    data_get_str(cr, "metadata.deletionTimestamp"))
		return false;
	if (strcmp(data_get_str(intent, "do"), "drop_node") != 0)
		return true;
	struct claim claim = { .host = data_get_str(intent, "host") };
	struct kube_list_query q = { .kind = &KUBE_POD,
		                     .ns = ref.ns,
		                     .labels = data_get_str(a->target, "cn_selector") };
	return kube_list(a->kube, &q, pod_claims, &claim, NULL, &err) == 0 && !claim.found;
}

static void carry_out(struct ask *a, struct mysqlc *sql, const json_t *intent)
{
	_cleanup_buf_ struct buf text = BUF_INIT(STATEMENT_MAX);
	_cleanup_mysqlc_result_ struct mysqlc_result result = { 0 };
	struct err err = ERR_INIT;
	if (observe_statement(intent, &text) < 0 || text.overflow || !still_true(a, intent) ||
	    !a->config->may_write(a->config->arg))
		return;
	int rc = mysqlc_query(sql, text.p, a->by, &result, &err);
	observe_metric_add(OBSERVE_SQL_STATEMENTS, 1);
	log_info("cluster=%s/%s statement=\"%s\" %s", data_get_str(a->target, "ns"),
	         data_get_str(a->target, "name"), text.p, rc == 0 ? "done" : err.msg);
	if (rc != 0)
		json_object_set_new(a->answer, "refused", json_sprintf("%s: %s", text.p, err.msg));
}

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
	json_object_set_new(row, "running", json_integer(number(r, i, "NumRunningQueries", 0)));
	return row;
}

static int ask_list(struct ask *a, struct mysqlc *sql, const char *statement, const char *key,
                    bool backend, struct err *err)
{
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	int rc = mysqlc_query(sql, statement, a->by, &r, err);
	if (rc != 0)
		return rc;
	json_t *rows = json_array();
	for (size_t i = 0; i < r.n_rows; i++) {
		json_t *row = row_json(&r, i, backend);
		if (row)
			json_array_append_new(rows, row);
	}
	json_object_set_new(a->answer, key, rows);
	return 0;
}

static int ask_sql(struct ask *a, const json_t *intents, struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *sql = NULL;
	char *password = password_of(a);
	struct mysqlc_address address = { .host = data_get_str(a->target, "host"),
		                          .port = (int)data_get_int(a->target, "query_port", 9030),
		                          .user = "root",
		                          .password = password };
	size_t i;
	const json_t *intent;
	int rc = mysqlc_open(&address, a->by, &sql, err);
	mem_free_secret(password);
	if (rc != 0)
		return rc;
	json_array_foreach((json_t *)(uintptr_t)intents, i, intent) carry_out(a, sql, intent);
	rc = ask_list(a, sql, "SHOW BACKENDS", "backends", true, err);
	return rc != 0 ? rc : ask_list(a, sql, "SHOW COMPUTE NODES", "nodes", false, err);
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
	json_object_set_new(a.answer, "ok", json_boolean(rc == 0));
	if (rc != 0) {
		observe_metric_add(OBSERVE_SQL_FAILURES, 1);
		json_object_set_new(a.answer, "error", json_string(err.msg));
	} else if (data_get_bool(target, "engine", false)) {
		ask_load(&a, http);
	}
	return a.answer;
}

/* Membership statements: their text, and the live reads that come before one. */
#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"
#include "operator/observe/warehouse.h"

enum { STATEMENT_MAX = 1024 };

int observe_statement(const json_t *intent, struct buf *out)
{
	static const struct {
		const char *act, *text;
	} forms[] = {
		{ "drop_node", "ALTER SYSTEM DROP COMPUTE NODE \"%s:%lld\"" },
		{ "decommission", "ALTER SYSTEM DECOMMISSION BACKEND \"%s:%lld\"" },
		{ "cancel_decommission", "CANCEL DECOMMISSION BACKEND \"%s:%lld\"" },
		{ "drop_backend", "ALTER SYSTEM DROP BACKEND \"%s:%lld\"" },
		{ "drop_follower", "ALTER SYSTEM DROP FOLLOWER \"%s:%lld\"" },
		{ "drop_observer", "ALTER SYSTEM DROP OBSERVER \"%s:%lld\"" },
		{ "add_observer", "ALTER SYSTEM ADD OBSERVER \"%s:%lld\"" },
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

bool observe_pod_claims(const json_t *pod, const char *host, int64_t now_ms)
{
	const char *ip = data_get_str(pod, "status.podIP");
	const char *name = data_get_str(pod, "metadata.name");
	const char *phase = data_get_str(pod, "status.phase");
	const char *gone = data_get_str(pod, "metadata.deletionTimestamp");
	size_t n = name ? strlen(name) : 0;
	int64_t by = 0;
	/* An evicted pod keeps its address for ever, one on a node that is gone until somebody removes it. */
	if (phase && (strcmp(phase, "Failed") == 0 || strcmp(phase, "Succeeded") == 0))
		return false;
	if (gone && clock_from_rfc3339(gone, &by) == 0 && by < now_ms)
		return false;
	/* A pod on its node whose address is not told yet may have registered already. */
	return (!ip && data_get_str(pod, "spec.nodeName")) || (ip && strcmp(ip, host) == 0) ||
	       (n > 0 && strncmp(host, name, n) == 0 && (host[n] == '.' || host[n] == '\0'));
}

struct claim {
	const char *host;
	bool found;
};

static int pod_claims(void *arg, json_t *pod)
{
	struct claim *c = arg;
	c->found = c->found || observe_pod_claims(pod, c->host, clock_real_ms());
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
	/* A warehouse's pods are where the warehouse is. */
	const char *far = data_get_str(a->target, "warehouse.ns");
	struct kube_list_query q = { .kind = &KUBE_POD,
		                     .ns = far ? far : ref.ns,
		                     .labels = data_get_str(a->target, "cn_selector") };
	return kube_list(a->kube, &q, pod_claims, &claim, NULL, &err) == 0 && !claim.found;
}

/* ---- the database's own word, just before ---- */
static const json_t *find(const json_t *rows, const json_t *intent)
{
	const char *host = data_get_str(intent, "host");
	int64_t port = data_get_int(intent, "port", 0);
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (host && strcmp(data_get_str(r, "host"), host) == 0 &&
		    data_get_int(r, "port", -1) == port)
			return r;
	}
	return NULL;
}

static bool empty_backend(const json_t *rows, const json_t *intent)
{
	const json_t *r = find(rows, intent);
	return r &&
	       (data_get_bool(intent, "below", false) ||
	        (data_get_bool(r, "decommissioned", false) && data_get_int(r, "tablets", -1) == 0));
}

static bool dead_node(const json_t *rows, const json_t *intent)
{
	const json_t *r = find(rows, intent);
	return r && !data_get_bool(r, "alive", true);
}

/* Without it, those who vote still have a living majority, and one of them leads. */
static bool spare_follower(const json_t *rows, const json_t *intent)
{
	const json_t *gone = find(rows, intent);
	const char *role = data_get_str(gone, "role");
	int voters = 0, alive = 0, leaders = 0;
	size_t i;
	const json_t *r;
	if (!role || strcmp(role, "FOLLOWER") != 0)
		return false;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *is = data_get_str(r, "role");
		if (r == gone || !is || strcmp(is, "OBSERVER") == 0)
			continue;
		voters++;
		alive += data_get_bool(r, "alive", false);
		leaders += strcmp(is, "LEADER") == 0;
	}
	return leaders == 1 && 2 * alive > voters;
}

static bool is_observer(const json_t *rows, const json_t *intent)
{
	const char *role = data_get_str(find(rows, intent), "role");
	return role && strcmp(role, "OBSERVER") == 0;
}

/* Nobody of that address yet, and one leads who can take it in. */
static bool new_frontend(const json_t *rows, const json_t *intent)
{
	const char *host = data_get_str(intent, "host");
	size_t i;
	const json_t *r;
	bool leads = false;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *role = data_get_str(r, "role");
		if (host && strcmp(data_get_str(r, "host"), host) == 0)
			return false;
		leads = leads || (role && strcmp(role, "LEADER") == 0);
	}
	return leads;
}

static bool database_agrees(struct ask *a, struct mysqlc *sql, const json_t *intent)
{
	static const struct {
		const char *act, *list;
		observe_row_fn row;
		bool (*holds)(const json_t *rows, const json_t *intent);
	} reads[] = {
		{ "drop_backend", "SHOW BACKENDS", observe_backend, empty_backend },
		{ "drop_node", "SHOW COMPUTE NODES", observe_node, dead_node },
		{ "drop_follower", "SHOW FRONTENDS", observe_frontend, spare_follower },
		{ "drop_observer", "SHOW FRONTENDS", observe_frontend, is_observer },
		{ "add_observer", "SHOW FRONTENDS", observe_frontend, new_frontend },
	};
	_cleanup_json_ json_t *rows = NULL;
	for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
		if (strcmp(data_get_str(intent, "do"), reads[i].act) != 0)
			continue;
		return observe_list(a, sql, reads[i].list, reads[i].row, &rows, NULL) == 0 &&
		       reads[i].holds(rows, intent);
	}
	return true;
}

void observe_carry_out(struct ask *a, struct mysqlc *sql, const json_t *intent)
{
	_cleanup_buf_ struct buf text = BUF_INIT(STATEMENT_MAX);
	_cleanup_mysqlc_result_ struct mysqlc_result result = { 0 };
	struct err err = ERR_INIT;
	if (observe_is_warehouse_drop(intent)) {
		observe_warehouse_drop(a->kube, sql, a->by, a->target, intent, a->config,
		                       a->answer);
		return;
	}
	if (observe_statement(intent, &text) < 0 || text.overflow || !still_true(a, intent) ||
	    !database_agrees(a, sql, intent) || !a->config->may_write(a->config->arg))
		return;
	int rc = mysqlc_query(sql, text.p, a->by, &result, &err);
	observe_metric_add(OBSERVE_SQL_STATEMENTS, 1);
	observe_count_statement(text.p, rc == 0 ? "ok" : (rc > 0 ? "refused" : "failed"));
	log_info("cluster=%s/%s statement=\"%s\" %s", data_get_str(a->target, "ns"),
	         data_get_str(a->target, "name"), text.p, rc == 0 ? "done" : err.msg);
	if (rc != 0)
		json_object_set_new(a->answer, "refused", json_sprintf("%s: %s", text.p, err.msg));
}

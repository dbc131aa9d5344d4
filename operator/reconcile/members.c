/* Membership: how many replicas a set may have now, and which nodes the FE must forget.
 *
 * Rows of the FE: backends {host, port, alive, decommissioned, tablets}, nodes (compute nodes) {host, port,
 * alive, warehouse, running}; load.nodes {address, running, draining}. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { ASK_SOON_MS = 1000, LOAD_FRESH_MS = 5000, LOAD_PATIENCE_MS = 10000 };

/* ---- FE ---- */
int64_t reconcile_fe_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_FE].replicas;
	int64_t have = reconcile_live_replicas(s, MODEL_FE, want);
	if (want >= have)
		return want;
	reconcile_trouble(
		s, "FeScaleInNotBuilt",
		"lowering the FE replicas (%lld to %lld) is not built yet: the followers would "
		"have to leave the catalog's quorum first; %lld are kept",
		(long long)have, (long long)want, (long long)have);
	return have;
}

/* ---- BE ---- */
static bool host_is_pod(const char *host, const char *pod)
{
	size_t n = strlen(pod);
	return strncmp(host, pod, n) == 0 && (host[n] == '.' || host[n] == '\0');
}

static const json_t *row_of(const json_t *rows, const char *pod)
{
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *host = data_get_str(r, "host");
		if (host && host_is_pod(host, pod))
			return r;
	}
	return NULL;
}

static bool other_alive(const json_t *rows, const json_t *but)
{
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (r != but && data_get_bool(r, "alive", false))
			return true;
	}
	return false;
}

/* StarRocks wants the warehouse named where it has warehouses; Roost's engine has one pool and no such words. */
static void intent(struct step *s, const char *act, const json_t *row)
{
	const char *warehouse = s->m->engine ? NULL : data_get_str(row, "warehouse");
	json_array_append_new(s->intents,
	                      json_pack("{s:s, s:s*, s:I, s:I, s:s*}", "do", act, "host",
	                                data_get_str(row, "host"), "port",
	                                (json_int_t)data_get_int(row, "port", 0), "generation",
	                                (json_int_t)s->m->generation, "warehouse", warehouse));
	reconcile_ask(s, ASK_SOON_MS);
}

/* Scaling back up while a node drains: the drain is called off. */
static void cancel_decommissions(struct step *s, const json_t *rows, int64_t want)
{
	for (int64_t i = 0; i < want; i++) {
		autofree char *pod = xasprintf("%s-be-%lld", s->m->name, (long long)i);
		const json_t *row = row_of(rows, pod);
		if (row && data_get_bool(row, "decommissioned", false))
			intent(s, "cancel_decommission", row);
	}
}

/* What the last one must go through: DECOMMISSION, no tablets left, DROP, and only then it may leave. */
static bool be_may_leave(struct step *s, const json_t *rows, const char *pod)
{
	const json_t *row = row_of(rows, pod);
	if (!row) {
		if (other_alive(rows, NULL))
			return true;
		reconcile_wait(
			s, "the FE lists no live backend: it is not known whether %s holds data",
			pod);
		return false;
	}
	int64_t tablets = data_get_int(row, "tablets", -1);
	if (!data_get_bool(row, "decommissioned", false)) {
		if (!other_alive(rows, row)) {
			reconcile_trouble(s, "BeScaleInRefused",
			                  "%s cannot be decommissioned: no other backend is alive",
			                  pod);
			return false;
		}
		reconcile_wait(s, "%s is to be decommissioned", pod);
		intent(s, "decommission", row);
	} else if (tablets == 0) {
		reconcile_wait(s, "%s is empty and is to be dropped", pod);
		intent(s, "drop_backend", row);
	} else {
		reconcile_wait(s, "%s is being decommissioned, %lld tablets are left", pod,
		               (long long)tablets);
	}
	return false;
}

static const char *statement_failure(const struct step *s)
{
	return data_get_str(json_object_get(s->world, "fe"), "refused");
}

int64_t reconcile_be_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_BE].replicas;
	int64_t have = reconcile_live_replicas(s, MODEL_BE, want);
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "backends");
	if (want >= have) {
		if (rows)
			cancel_decommissions(s, rows, want);
		return want;
	}
	reconcile_ask(s, ASK_SOON_MS);
	reconcile_requeue(s, 2 * ASK_SOON_MS);
	if (!rows) {
		reconcile_wait(s, "%lld backends are to leave: waiting for the FE to answer",
		               (long long)(have - want));
		return have;
	}
	const char *refused = statement_failure(s);
	if (refused)
		reconcile_trouble(s, "BeScaleInRefused", "%s", refused);
	/* A drain that a lower target no longer concerns would go on for nothing. */
	cancel_decommissions(s, rows, want);
	autofree char *pod = xasprintf("%s-be-%lld", s->m->name, (long long)(have - 1));
	return be_may_leave(s, rows, pod) ? have - 1 : have;
}

bool reconcile_be_removable(struct step *s)
{
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "backends");
	size_t i;
	const json_t *r;
	bool empty = json_is_array(rows);
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (data_get_int(r, "tablets", -1) != 0)
			empty = false;
	}
	if (empty)
		return true;
	reconcile_ask(s, 5000);
	reconcile_trouble(
		s, "BeSpecRemoved",
		"spec.starRocksBeSpec was removed, but the backends hold tablets (or the FE does "
		"not answer); they are kept: drop the tables first, or put the field back");
	return false;
}

/* ---- CN ---- */
static int64_t running_on(const json_t *fe, const char *ip)
{
	size_t i;
	const json_t *n;
	json_array_foreach(data_get(fe, "load.nodes"), i, n)
	{
		const char *a = data_get_str(n, "address");
		size_t len = strlen(ip);
		/* "10.0.0.7:9050" or the address alone; IPv6 in brackets. */
		if (a && *a == '[')
			a++;
		if (a && strncmp(a, ip, len) == 0 && (a[len] == ':' || a[len] == ']' || !a[len]))
			return data_get_int(n, "running", 0);
	}
	json_array_foreach(json_object_get(fe, "nodes"), i, n)
	{
		const char *host = data_get_str(n, "host");
		if (host && strcmp(host, ip) == 0)
			return data_get_int(n, "running", 0);
	}
	return 0;
}

/* The cheapest pod goes first: what it runs is its cost. Written only now, just before fewer are asked for. */
static void write_costs(struct step *s, const json_t *fe)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *ip = data_get_str(pod, "status.podIP");
		const char *was = data_get_str(pod, "metadata.annotations.controller\\.kubernetes"
		                                    "\\.io/pod-deletion-cost");
		if (reconcile_pod_role(s, pod) != MODEL_CN ||
		    data_get_str(pod, "metadata.deletionTimestamp"))
			continue;
		autofree char *cost = xasprintf("%lld", (long long)(ip ? running_on(fe, ip) : -1));
		if (was && strcmp(was, cost) == 0)
			continue;
		json_array_append_new(s->writes,
		                      json_pack("{s:s, s:s, s:s*, s:s*, s:s}", "verb", "cost",
		                                "kind", "Pod", "name",
		                                data_get_str(pod, "metadata.name"), "uid",
		                                data_get_str(pod, "metadata.uid"), "cost", cost));
	}
}

int64_t reconcile_cn_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_CN].replicas;
	int64_t have = reconcile_live_replicas(s, MODEL_CN, want);
	const json_t *fe = json_object_get(s->world, "fe");
	if (want >= have)
		return want;
	/* An FE that does not answer must not hold compute nodes for ever: it runs nothing on them. */
	bool silent = !data_get_bool(fe, "ok", false) &&
	              s->now_ms - data_get_int(fe, "since_ms", 0) > LOAD_PATIENCE_MS;
	bool fresh = data_get_bool(fe, "ok", false) &&
	             s->now_ms - data_get_int(fe, "at_ms", 0) <= LOAD_FRESH_MS;
	if (fresh || (fe && silent)) {
		write_costs(s, fresh ? fe : NULL);
		return want;
	}
	reconcile_wait(s, "compute nodes are to leave: asking the FE which run least");
	reconcile_ask(s, 1);
	reconcile_requeue(s, ASK_SOON_MS);
	return have;
}

/* Whether a pod of ours is, or may be, the node. */
static bool claimed(const struct step *s, const char *host)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *ip = data_get_str(pod, "status.podIP");
		const char *name = data_get_str(pod, "metadata.name");
		if (reconcile_pod_role(s, pod) != MODEL_CN)
			continue;
		/* A pod on its node whose address is not told yet may have registered already. */
		if (!ip && data_get_str(pod, "spec.nodeName"))
			return true;
		if ((ip && strcmp(ip, host) == 0) || (name && host_is_pod(host, name)))
			return true;
	}
	return false;
}

void reconcile_ghosts(struct step *s)
{
	const json_t *fe = reconcile_fe(s);
	size_t i;
	const json_t *n;
	bool dead = false;
	json_array_foreach(json_object_get(fe, "nodes"), i, n)
	{
		const char *host = data_get_str(n, "host");
		const char *house = data_get_str(n, "warehouse");
		if (!host || (house && *house && strcmp(house, "default_warehouse") != 0))
			continue;
		if (claimed(s, host))
			continue;
		/* A node that still answers is not ours to drop: it may be somebody's by hand. */
		if (data_get_bool(n, "alive", true))
			dead = true;
		else
			intent(s, "drop_node", n);
	}
	if (dead)
		reconcile_ask(s, 2 * ASK_SOON_MS);
}

/* Membership: who a pod is to the FE, how many compute nodes there may be, and which nodes the FE must forget.
 *
 * Rows of the FE: backends {host, port, alive, decommissioned, tablets}, nodes (compute nodes) {host, port,
 * alive, warehouse, running}; load.nodes {address, running, draining}. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/observe/fe.h"
#include "operator/reconcile/step_priv.h"

enum { ASK_SOON_MS = 1000, LOAD_FRESH_MS = 2000, LOAD_PATIENCE_MS = 10000 };

/* ---- who is who ---- */
static bool host_is_pod(const char *host, const char *pod)
{
	size_t n = strlen(pod);
	return strncmp(host, pod, n) == 0 && (host[n] == '.' || host[n] == '\0');
}

const json_t *reconcile_pod_named(const struct step *s, const char *name)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *n = data_get_str(pod, "metadata.name");
		if (n && strcmp(n, name) == 0)
			return pod;
	}
	return NULL;
}

const json_t *reconcile_row_of(const struct step *s, const json_t *rows, const char *pod)
{
	const char *ip = data_get_str(reconcile_pod_named(s, pod), "status.podIP");
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *host = data_get_str(r, "host");
		if (host && (host_is_pod(host, pod) || (ip && strcmp(host, ip) == 0)))
			return r;
	}
	return NULL;
}

bool reconcile_answer_covers(struct step *s, const char *name)
{
	const json_t *pod = reconcile_pod_named(s, name);
	int64_t ready = 0, made = 0;
	const char *since = data_get_str(reconcile_condition(pod, "Ready"), "lastTransitionTime");
	const char *created = data_get_str(pod, "metadata.creationTimestamp");
	if (since)
		(void)clock_from_rfc3339(since, &ready);
	if (created)
		(void)clock_from_rfc3339(created, &made);
	/* They have whole seconds. */
	if (data_get_int(reconcile_fe(s), "at_ms", 0) >= (ready > made ? ready : made) + 1000)
		return true;
	reconcile_wait(s, "%s is to leave: asking the FE whether it has joined", name);
	reconcile_ask(s, ASK_SOON_MS);
	return false;
}

static bool is_address(const char *host)
{
	return strchr(host, ':') || host[strspn(host, "0123456789.")] == '\0';
}

const char *reconcile_stranger(const struct step *s, const json_t *rows)
{
	size_t i, j;
	const json_t *r, *pod;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *host = data_get_str(r, "host");
		bool known = !host || !is_address(host);
		json_array_foreach(json_object_get(s->world, "pods"), j, pod)
		{
			const char *ip = data_get_str(pod, "status.podIP");
			known = known || (ip && strcmp(ip, host) == 0);
		}
		if (!known)
			return host;
	}
	return NULL;
}

/* StarRocks wants the warehouse named where it has warehouses; Roost's engine has one pool and no such words. */
json_t *reconcile_intent(struct step *s, const char *act, const json_t *row)
{
	const char *warehouse = s->m->engine ? NULL : data_get_str(row, "warehouse");
	json_t *intent = json_pack("{s:s, s:s, s:I, s:I, s:s*}", "do", act, "host",
	                           data_get_str(row, "host"), "port",
	                           (json_int_t)data_get_int(row, "port", 0), "generation",
	                           (json_int_t)s->m->generation, "warehouse", warehouse);
	json_array_append_new(s->intents, intent);
	reconcile_ask(s, ASK_SOON_MS);
	return intent;
}

/* ---- CN ---- */
/* While an autoscaler owns the number, only /scale may say it: a manifest that is applied again must not. The
 * last such number is in the status; who wrote the present one is in the CR (observe/store.c). */
static int64_t owned_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_CN].replicas;
	int64_t last = data_get_int(s->m->cr, "status.starRocksCnStatus.lastScale", -1);
	const char *by = data_get_str(s->m->cr, "metadata.roostScaledBy");
	s->last_scale = -1;
	if (!s->m->scaling.enabled && !s->m->hpa)
		return want;
	if (by && !*by && last < 0 && want == 1) /* the default of the CRD, which nobody said */
		by = NULL;
	if (by || last < 0) {
		s->last_scale = by ? want : -1;
		return want;
	}
	if (s->m->scaling.enabled) {
		last = last < s->m->scaling.min ? s->m->scaling.min : last;
		last = last > s->m->scaling.max ? s->m->scaling.max : last;
	}
	s->last_scale = last;
	if (last == want)
		return want;
	json_array_append_new(s->writes,
	                      json_pack("{s:s, s:s, s:s, s:I, s:s*}", "verb", "scale", "kind",
	                                s->m->warehouse ? s->m->owner_kind : "StarRocksCluster",
	                                "name", s->m->warehouse ? s->m->owner_name : s->m->name,
	                                "replicas", (json_int_t)last, "version", s->m->version));
	reconcile_event(s, "Normal", "ReplicasPutBack",
	                "spec.%s.replicas was set to %lld while an autoscaler owns it; it is %lld "
	                "again",
	                s->m->warehouse ? "template" : "starRocksCnSpec", (long long)want,
	                (long long)last);
	return last;
}

int64_t reconcile_cn_replicas(struct step *s)
{
	int64_t want = owned_replicas(s);
	int64_t have = reconcile_live_replicas(s, MODEL_CN, want);
	const json_t *fe = json_object_get(s->world, "fe");
	bool fresh = data_get_bool(fe, "ok", false) &&
	             s->now_ms - data_get_int(fe, "at_ms", 0) <= LOAD_FRESH_MS;
	if (want >= have) {
		reconcile_stay(s, want, fresh);
		return want;
	}
	/* An FE that does not answer must not hold compute nodes for ever: it runs nothing on them. */
	bool silent = !data_get_bool(fe, "ok", false) &&
	              s->now_ms - data_get_int(fe, "since_ms", 0) > LOAD_PATIENCE_MS;
	if (fresh || (fe && silent))
		return reconcile_leave(s, fresh ? fe : NULL, want, have);
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
		if (reconcile_pod_role(s, pod) == MODEL_CN &&
		    observe_pod_claims(pod, host, s->now_ms))
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
			reconcile_intent(s, "drop_node", n);
	}
	if (dead)
		reconcile_ask(s, 2 * ASK_SOON_MS);
}

void reconcile_members_status(struct step *s, json_t *status)
{
	json_t *be = json_object_get(status, "starRocksBeStatus");
	json_t *cn = json_object_get(status, "starRocksCnStatus");
	if (be && s->decommission)
		json_object_set_new(be, "decommission", TAKE_PTR(s->decommission));
	if (be && s->be_scaled > 0)
		json_object_set_new(be, "scaledTo", json_integer(s->be_scaled));
	if (cn && s->last_scale >= 0)
		json_object_set_new(cn, "lastScale", json_integer(s->last_scale));
	if (cn && s->drain)
		json_object_set_new(cn, "drain", TAKE_PTR(s->drain));
	json_decref(s->decommission);
	json_decref(s->drain);
	s->decommission = s->drain = NULL;
}

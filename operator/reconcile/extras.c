/* What a cluster may have besides FE, BE and CN: the FE proxy, the Ingress, disruption budgets, and the way
 * through a disaster recovery. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

/* ---- disaster recovery: one FE restores from the snapshot, and everything else waits for it ---- */
static bool restored(const struct step *s, const json_t *pod)
{
	size_t i, j;
	const json_t *c, *e;
	autofree char *generation = xasprintf("%lld", (long long)s->m->dr.generation);
	json_array_foreach(data_get(pod, "spec.containers"), i, c)
	{
		const char *container = data_get_str(c, "name");
		if (!container || strcmp(container, "fe") != 0)
			continue;
		json_array_foreach(json_object_get(c, "env"), j, e)
		{
			const char *name = data_get_str(e, "name");
			const char *value = data_get_str(e, "value");
			if (name && value && strcmp(name, "RESTORE_CLUSTER_GENERATION") == 0 &&
			    strcmp(value, generation) == 0)
				return reconcile_pod_ready(pod);
		}
	}
	return false;
}

/* Every FE pod there is must be one that restored this generation: an old one may still be ready. */
static bool all_restored(const struct step *s)
{
	size_t i, n = 0;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		if (reconcile_pod_role(s, pod) != MODEL_FE)
			continue;
		if (!restored(s, pod))
			return false;
		n++;
	}
	return n > 0;
}

static json_t *recovery_status(const struct step *s, const char *phase, const char *reason)
{
	const json_t *before = data_get(s->m->cr, "status.disasterRecoveryStatus");
	bool same = data_get_int(before, "observedGeneration", -1) == s->m->dr.generation;
	int64_t began = same ? data_get_int(before, "startTimestamp", 0) : 0;
	json_t *now = json_pack("{s:s, s:s, s:I, s:I}", "phase", phase, "reason", reason,
	                        "observedGeneration", (json_int_t)s->m->dr.generation,
	                        "startTimestamp", (json_int_t)(began ? began : s->now_ms / 1000));
	if (strcmp(phase, "done") == 0)
		json_object_set_new(now, "endTimestamp", json_integer(s->now_ms / 1000));
	return now;
}

enum reconcile_recovery reconcile_recovery(struct step *s)
{
	if (!s->m->dr.running)
		return RECOVERY_NONE;
	if (!s->m->dr.snapshot) {
		reconcile_trouble(
			s, "NoSnapshot",
			"spec.disasterRecovery is enabled, but no entry of "
			"starRocksFeSpec.configMaps mounts cluster_snapshot.yaml into fe/conf; "
			"nothing is changed until one does");
		s->recovery = recovery_status(s, "todo", "cluster_snapshot.yaml is not mounted");
		return RECOVERY_BLOCKED;
	}
	if (all_restored(s)) {
		s->recovery = recovery_status(s, "done", "disaster recovery is done");
		reconcile_wait(s, "the FE has restored the snapshot and starts as usual");
	} else {
		s->recovery = recovery_status(s, "doing", "disaster recovery is in progress");
		reconcile_wait(s, "the FE restores generation %lld from the snapshot",
		               (long long)s->m->dr.generation);
	}
	return RECOVERY_RUNNING;
}

/* ---- components of no role ---- */
int64_t reconcile_component_pods(struct step *s, const char *component, json_t *out)
{
	static const char *const keys[] = { "runningInstances", "creatingInstances",
		                            "failedInstances" };
	json_t *lists[3] = { NULL, NULL, NULL };
	int64_t ready = 0;
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *c =
			data_get_str(pod, "metadata.labels.app\\.kubernetes\\.io/component");
		const char *phase = data_get_str(pod, "status.phase");
		if (!c || strcmp(c, component) != 0)
			continue;
		bool failed = phase && strcmp(phase, "Failed") == 0;
		int which = reconcile_pod_ready(pod) ? 0 : failed ? 2 : 1;
		ready += which == 0;
		lists[which] = lists[which] ? lists[which] : json_array();
		json_array_append(lists[which],
		                  json_object_get(json_object_get(pod, "metadata"), "name"));
		reconcile_blame(s, pod);
	}
	for (int k = 0; k < 3; k++)
		if (lists[k])
			json_object_set_new(out, keys[k], lists[k]);
	return ready;
}

/* ---- the FE proxy ---- */
static void proxy_status(struct step *s)
{
	autofree char *service = render_object_name(s->m->name, RENDER_PROXY_SERVICE);
	autofree char *set = render_object_name(s->m->name, RENDER_PROXY_SET);
	const json_t *live = reconcile_live(s, RENDER_PROXY_SET);
	int64_t want = s->m->proxy.replicas;
	json_t *out = json_pack("{s:s, s:[s]}", "serviceName", service, "resourceNames", set);
	int64_t ready = reconcile_component_pods(s, "fe-proxy", out);
	bool settled = live && data_get_int(live, "spec.replicas", 1) == want &&
	               data_get_int(live, "status.observedGeneration", -1) >=
	                       data_get_int(live, "metadata.generation", 0) &&
	               data_get_int(live, "status.updatedReplicas", 0) >= want &&
	               data_get_int(live, "status.readyReplicas", 0) >= want;
	const char *phase = settled                                   ? "running"
	                    : json_object_get(out, "failedInstances") ? "failed"
	                                                              : "reconciling";
	json_object_set_new(out, "phase", json_string(phase));
	if (!settled)
		reconcile_wait(s, "fe-proxy: %lld of %lld pods are ready", (long long)ready,
		               (long long)want);
	s->proxy = out;
}

static void plan_proxy(struct step *s)
{
	static const enum render_object objects[] = { RENDER_PROXY_CONFIG, RENDER_PROXY_SERVICE,
		                                      RENDER_PROXY_SET };
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		if (!render_wanted(s->m, objects[i]))
			reconcile_unwanted(s, objects[i]);
		else if (s->fe_was_up || reconcile_live(s, RENDER_PROXY_SET))
			reconcile_want(s, objects[i], 0);
	}
	if (s->m->proxy.present)
		proxy_status(s);
}

/* ---- all of it ---- */
/* Nodes that are still there need their budget, however few the CR asks for: a scale-in takes hours, and backends that
 * hold tablets stay when their part of the CR is removed. */
static bool outlives_wish(const struct step *s, enum render_object what)
{
	if (what != RENDER_FE_PDB && what != RENDER_BE_PDB)
		return false;
	enum model_role role = what == RENDER_FE_PDB ? MODEL_FE : MODEL_BE;
	return reconcile_live_replicas(s, role, 0) > 1 &&
	       !data_get_bool(s->m->part[role].spec, "podDisruptionBudget.disabled", false);
}

void reconcile_extras(struct step *s)
{
	static const enum render_object objects[] = { RENDER_INGRESS, RENDER_FE_PDB, RENDER_BE_PDB,
		                                      RENDER_CN_PDB, RENDER_PROXY_PDB };
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		if (render_wanted(s->m, objects[i]))
			reconcile_want(s, objects[i], 0);
		else if (!outlives_wish(s, objects[i]))
			reconcile_unwanted(s, objects[i]);
	}
	plan_proxy(s);
}

void reconcile_extras_status(struct step *s, json_t *status)
{
	const char *phase = data_get_str(s->proxy, "phase");
	const char *all = data_get_str(status, "phase");
	if (s->recovery)
		json_object_set_new(status, "disasterRecoveryStatus", s->recovery);
	if (s->proxy)
		json_object_set_new(status, "starRocksFeProxyStatus", s->proxy);
	if (s->observers)
		json_object_set_new(status, "starRocksFeObserverStatus", s->observers);
	/* Upstream calls a cluster running whose proxy is not. */
	if (phase && all && strcmp(all, "running") == 0)
		json_object_set_new(status, "phase", json_string(phase));
	s->recovery = s->proxy = s->observers = NULL;
}

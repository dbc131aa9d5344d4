/* The step of a StarRocksWarehouse: compute nodes of their own beside a cluster, and DROP WAREHOUSE when it goes.
 *
 * Of the world it needs besides what a cluster's step does: cluster {cr, ready}, absent while there is none; fe is what the
 * cluster's FE said, with multi_warehouse (absent: not asked yet) and dropped (the SQL name of a warehouse that is gone). */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

#define FINALIZER "roost.io/warehouse"
#define UPSTREAM_FINALIZER "starrocks.com.starrockswarehouse/protection"
#define KEEP "metadata.annotations.roost\\.io/keep-warehouse"
enum { LOOK_AGAIN_MS = 5000, SETTLED_MS = 60000 };

/* ---- finalizers ---- */
static json_t *without(const json_t *finalizers, const char *name)
{
	json_t *out = json_array();
	size_t i;
	json_t *f;
	json_array_foreach((json_t *)(uintptr_t)finalizers, i, f)
	{
		if (!json_is_string(f) || strcmp(json_string_value(f), name) != 0)
			json_array_append(out, f);
	}
	return out;
}

static bool has(const json_t *object, const char *name)
{
	const json_t *list = data_get(object, "metadata.finalizers");
	_cleanup_json_ json_t *rest = without(list, name);
	return json_array_size(rest) != json_array_size(list);
}

static void finalizer(struct step *s, const char *kind, const json_t *object, const char *name,
                      bool add)
{
	json_t *list = without(data_get(object, "metadata.finalizers"), name);
	if (add)
		json_array_append_new(list, json_string(name));
	json_array_append_new(s->writes,
	                      json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o}", "verb", "finalizers",
	                                "kind", kind, "name", data_get_str(object, "metadata.name"),
	                                "uid", data_get_str(object, "metadata.uid"), "version",
	                                data_get_str(object, "metadata.resourceVersion"),
	                                "finalizers", list));
}

/* ---- may it be there? ---- */
/* Whether anything may be written. What runs already is left alone when it may not. */
static bool admitted(struct step *s)
{
	const struct model_cluster *m = s->m;
	const json_t *cluster = data_get(s->world, "cluster.cr");
	const json_t *fe = reconcile_fe(s);
	if (!json_is_object(cluster)) {
		reconcile_trouble(s, "ClusterMissing", "StarRocksCluster %s/%s does not exist",
		                  m->fe_ns, m->fe_name);
	} else if (strcmp(m->fe_ns, m->ns) != 0 &&
	           !data_has(data_get(cluster, "spec.warehouseNamespaces"), m->ns)) {
		reconcile_trouble(s, "NamespaceNotAllowed",
		                  "StarRocksCluster %s/%s does not name namespace %s in "
		                  "spec.warehouseNamespaces",
		                  m->fe_ns, m->fe_name, m->ns);
	} else if (!m->part[MODEL_FE].ports.shared_data) {
		reconcile_trouble(s, "NotSharedData",
		                  "warehouses need run_mode = shared_data in the FE's "
		                  "configuration");
	} else if (!data_get_bool(s->world, "cluster.ready", false)) {
		reconcile_wait(s, "an FE of %s must be ready", m->fe_name);
	} else if (reconcile_live(s, RENDER_CN_SET) ||
	           data_get_bool(fe, "multi_warehouse", false)) {
		return true;
	} else if (json_object_get(fe, "multi_warehouse")) {
		reconcile_trouble(s, "NoMultiWarehouse",
		                  "the FE does not offer warehouses (/api/v2/feature names no "
		                  "multi-warehouse)");
	} else {
		reconcile_wait(s, "asking the FE whether it offers warehouses");
		reconcile_ask(s, 1);
	}
	reconcile_requeue(s, LOOK_AGAIN_MS);
	return false;
}

/* ---- objects ---- */
/* Upstream's StatefulSet goes once the Deployment carries; the finalizer on it is for its own DROP WAREHOUSE. */
static void retire_set(struct step *s)
{
	autofree char *name = render_object_name(s->m->name, RENDER_CN_SET);
	const json_t *old = reconcile_live_kind(s, "StatefulSet", name);
	const json_t *now = reconcile_live(s, RENDER_CN_SET);
	int64_t ready = data_get_int(now, "status.availableReplicas", 0);
	if (!old || !now || !reconcile_is_ours(s, old))
		return;
	if (ready < data_get_int(now, "spec.replicas", 1) ||
	    ready < data_get_int(old, "status.readyReplicas", 0)) {
		reconcile_wait(s, "compute nodes of Deployment %s take over from the StatefulSet",
		               name);
		return;
	}
	if (has(old, UPSTREAM_FINALIZER))
		finalizer(s, "StatefulSet", old, UPSTREAM_FINALIZER, false);
	else if (!data_get_str(old, "metadata.deletionTimestamp"))
		reconcile_delete(s, "StatefulSet", old);
}

static bool claimed(const struct step *s, const char *host)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *ip = data_get_str(pod, "status.podIP");
		if (reconcile_pod_role(s, pod) != MODEL_CN)
			continue;
		if ((!ip && data_get_str(pod, "spec.nodeName")) || (ip && strcmp(ip, host) == 0))
			return true;
	}
	return false;
}

/* Nodes of this warehouse that are dead and no pod's: dropped by address. */
static void drop_ghosts(struct step *s)
{
	const json_t *cluster = data_get(s->world, "cluster.cr");
	size_t i;
	const json_t *n;
	json_array_foreach(json_object_get(reconcile_fe(s), "nodes"), i, n)
	{
		const char *host = data_get_str(n, "host");
		const char *house = data_get_str(n, "warehouse");
		if (!host || !house || strcmp(house, s->m->warehouse) != 0 ||
		    data_get_bool(n, "alive", true) || claimed(s, host))
			continue;
		json_array_append_new(
			s->intents,
			json_pack("{s:s, s:s, s:I, s:I, s:s}", "do", "drop_node", "host", host,
		                  "port", (json_int_t)data_get_int(n, "port", 0), "generation",
		                  (json_int_t)data_get_int(cluster, "metadata.generation", 0),
		                  "warehouse", house));
	}
}

static void plan_nodes(struct step *s)
{
	static const enum render_object maybe[] = { RENDER_CN_HPA, RENDER_CN_PDB };
	s->replicas[MODEL_CN] = reconcile_cn_replicas(s);
	reconcile_want(s, RENDER_CN_SEARCH, 0);
	reconcile_want(s, RENDER_CN_SERVICE, 0);
	reconcile_want(s, RENDER_CN_SET, s->replicas[MODEL_CN]);
	for (size_t i = 0; i < ARRAY_LEN(maybe); i++) {
		if (render_wanted(s->m, maybe[i]))
			reconcile_want(s, maybe[i], 0);
		else
			reconcile_unwanted(s, maybe[i]);
	}
	reconcile_keda(s);
	retire_set(s);
	drop_ghosts(s);
	reconcile_requeue(s, SETTLED_MS);
}

/* ---- switches: its own, and its cluster's ---- */
static void switches(struct step *s)
{
	const json_t *cluster = data_get(s->world, "cluster.cr");
	s->paused = model_says(json_object_get(s->world, "cr"), "roost.io/paused") ||
	            model_says(cluster, "roost.io/paused");
	s->hibernating = data_get_bool(cluster, "spec.hibernate", false);
}

/* No FE is ready then, so that this waits for none. */
static void sleep_too(struct step *s)
{
	reconcile_unwanted(s, RENDER_CN_HPA);
	reconcile_keda(s);
	if (!reconcile_live(s, RENDER_CN_SET))
		return;
	s->replicas[MODEL_CN] = 0;
	reconcile_want(s, RENDER_CN_SET, 0);
}

/* ---- leaving: no pod any more, DROP WAREHOUSE said by the FE to be done, and only then the CR goes ---- */
static void leave(struct step *s, const json_t *cr)
{
	const json_t *set = NULL;
	const char *keep = data_get_str(cr, KEEP);
	const char *dropped = data_get_str(reconcile_fe(s), "dropped");
	autofree char *sql = model_warehouse_sql(data_get_str(cr, "metadata.name"));
	autofree char *key =
		xasprintf("Deployment/%s-warehouse-cn", data_get_str(cr, "metadata.name"));
	if (!has(cr, FINALIZER))
		return;
	reconcile_requeue(s, LOOK_AGAIN_MS);
	set = json_object_get(json_object_get(s->world, "objects"), key);
	if (set) {
		if (!data_get_str(set, "metadata.deletionTimestamp"))
			reconcile_delete(s, "Deployment", set);
	} else if (json_array_size(json_object_get(s->world, "pods")) > 0) {
		reconcile_wait(s, "compute nodes are leaving");
	} else if ((keep && strcmp(keep, "true") == 0) || !json_object_get(s->world, "cluster") ||
	           (dropped && strcmp(dropped, sql) == 0)) {
		finalizer(s, "StarRocksWarehouse", cr, FINALIZER, false);
	} else {
		json_array_append_new(s->intents, json_pack("{s:s, s:s}", "do", "drop_warehouse",
		                                            "warehouse", sql));
		reconcile_ask(s, 1000);
	}
}

/* ---- status: upstream's lies flat ---- */
static json_t *flat(json_t *status)
{
	json_t *nodes = json_object_get(status, "starRocksCnStatus");
	json_t *out = json_is_object(nodes) ? json_deep_copy(nodes) : json_object();
	static const char *const keys[] = { "phase", "reason", "observedGeneration", "conditions" };
	json_object_del(out, "reason");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_object_get(status, keys[i]))
			json_object_set(out, keys[i], json_object_get(status, keys[i]));
	json_decref(status);
	return out;
}

json_t *reconcile_warehouse(struct step *s, struct model_cluster **ret_model)
{
	const json_t *cr = json_object_get(s->world, "cr");
	struct err why = ERR_INIT;
	if (data_get_str(cr, "metadata.deletionTimestamp")) {
		leave(s, cr);
		return json_deep_copy(json_object_get(cr, "status"));
	}
	if (reconcile_released(cr) || reconcile_released(data_get(s->world, "cluster.cr")))
		return json_deep_copy(json_object_get(cr, "status"));
	if (model_warehouse_decode(cr, data_get(s->world, "cluster.cr"), ret_model, &why) < 0)
		return reconcile_status_invalid(s->world, why.msg);
	s->m = *ret_model;
	for (int r = 0; r < MODEL_ROLES; r++) {
		const char *text =
			data_get_str(json_object_get(s->world, "conf"), MODEL_ROLE_NAME[r]);
		if (r != MODEL_BE)
			model_set_conf(*ret_model, (enum model_role)r, str_of(text));
		s->replicas[r] = -1;
	}
	/* Kept while nothing may be written. */
	s->last_scale = data_get_int(s->m->cr, "status.starRocksCnStatus.lastScale", -1);
	switches(s);
	if (s->hibernating) {
		sleep_too(s);
	} else if (admitted(s)) {
		/* First of all: from the first node on there is something to drop. */
		if (!has(cr, FINALIZER))
			finalizer(s, "StarRocksWarehouse", cr, FINALIZER, true);
		plan_nodes(s);
	}
	reconcile_pause(s);
	json_t *status = reconcile_status(s);
	reconcile_members_status(s, status);
	return flat(status);
}

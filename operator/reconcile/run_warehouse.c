/* What a warehouse's step must be told besides its own objects: the cluster it belongs to, and what its FE says. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

static int conf_text(struct worker *w, const char *key, const struct model_part *p, const char *ns,
                     const char *role, json_t *conf, struct err *err)
{
	autofree char *text = NULL;
	if (!p->present || !p->conf_map || !model_name_ok(p->conf_map))
		return 0;
	int rc = observe_conf_get(w->r->config.conf, w->kube, key, ns, p->conf_map, p->conf_key,
	                          &text, err);
	if (rc == 0)
		json_object_set_new(conf, role, json_string(text));
	return rc;
}

/* The cluster's own target, with the warehouse in it: asked by a task of the warehouse's own. */
static json_t *target_of(struct worker *w, const struct model_cluster *cluster, json_t *world,
                         const json_t *cr)
{
	json_t *target = reconcile_target(w->r, cluster, world);
	const char *name = data_get_str(cr, "metadata.name");
	const char *ns = data_get_str(cr, "metadata.namespace");
	autofree char *as = xasprintf("%s-warehouse", name);
	autofree char *selector = render_selector(as, MODEL_CN);
	if (!target)
		return NULL;
	/* DROP WAREHOUSE is no right of the operator's own user. */
	if (data_get_str(cr, "metadata.deletionTimestamp"))
		json_object_del(target, "sql_user");
	json_object_set_new(target, "cn_selector", json_string(selector));
	json_object_set_new(target, "warehouse",
	                    json_pack("{s:s, s:s, s:s}", "ns", ns, "name", name, "uid",
	                              data_get_str(cr, "metadata.uid")));
	return target;
}

int reconcile_warehouse_world(struct worker *w, const char *key, const struct record *rec,
                              json_t *world, json_t **ret_target, struct err *err)
{
	const json_t *cr = json_object_get(world, "cr");
	const char *ns = NULL, *name = model_warehouse_cluster(cr, &ns);
	autofree char *at = xasprintf("%s/%s", ns ? ns : "", name ? name : "");
	_cleanup_json_ json_t *cluster = name ? observe_store_world(w->r->config.store, at) : NULL;
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL, *own = NULL;
	json_t *conf = json_object();
	json_object_set_new(world, "conf", conf);
	if (!cluster)
		return 0;
	bool ready = reconcile_any_fe_ready(cluster);
	json_object_set_new(
		world, "cluster",
		json_pack("{s:O, s:b}", "cr", json_object_get(cluster, "cr"), "ready", ready));
	if (model_cluster_decode(json_object_get(cluster, "cr"), &m, NULL) < 0)
		return 0;
	int rc = conf_text(w, key, &m->part[MODEL_FE], m->ns, "fe", conf, err);
	if (rc == 0 && model_warehouse_decode(cr, m->cr, &own, NULL) == 0)
		rc = conf_text(w, key, &own->part[MODEL_CN], own->ns, "cn", conf, err);
	if (rc != 0)
		return rc;
	json_t *keda = own ? reconcile_keda_world(w, rec, own) : NULL;
	if (keda)
		json_object_set_new(world, "keda", keda);
	model_set_conf(m, MODEL_FE, str_of(data_get_str(conf, "fe")));
	json_t *answer = observe_fe_answer(w->r->config.fe, key);
	if (answer)
		json_object_set_new(world, "fe", answer);
	if (ready && !m->deleting)
		*ret_target = target_of(w, m, cluster, cr);
	return 0;
}

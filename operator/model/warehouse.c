/* A StarRocksWarehouse is decoded as the compute nodes of a cluster named "<w>-warehouse": one way to render and to
 * reconcile serves both. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/model/cluster_priv.h"

enum { WAREHOUSE_NAME_MAX = MODEL_NAME_MAX - 10 }; /* "-warehouse" */

bool model_is_warehouse(const json_t *cr)
{
	const char *kind = data_get_str(cr, "kind");
	return kind && strcmp(kind, "StarRocksWarehouse") == 0;
}

const char *model_warehouse_cluster(const json_t *cr, const char **ret_ns)
{
	const char *ns = data_get_str(cr, "spec.starRocksClusterNamespace");
	const char *name = data_get_str(cr, "spec.starRocksCluster");
	*ret_ns = ns && *ns ? ns : data_get_str(cr, "metadata.namespace");
	return model_name_ok(name) && model_name_ok(*ret_ns) ? name : NULL;
}

char *model_warehouse_sql(const char *name)
{
	char *sql = xstrdup(name);
	for (char *p = sql; *p; p++)
		if (*p == '-')
			*p = '_';
	return sql;
}

static json_t *as_cluster(const json_t *cr, const json_t *cluster)
{
	json_t *copy = json_pack("{s:{}, s:{}}", "metadata", "spec");
	json_t *template = json_deep_copy(data_get(cr, "spec.template"));
	const char *engine = data_get_str(cluster, "metadata.annotations.roost\\.io/engine");
	static const char *const kept[] = { "namespace",         "uid",
		                            "resourceVersion",   "generation",
		                            "deletionTimestamp", "roostScaledBy" };
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		json_t *v = json_object_get(json_object_get(cr, "metadata"), kept[i]);
		if (v)
			json_object_set(json_object_get(copy, "metadata"), kept[i], v);
	}
	data_set(copy, "metadata.name",
	         json_sprintf("%s-warehouse", data_get_str(cr, "metadata.name")));
	if (engine)
		data_set(copy, "metadata.annotations.roost\\.io/engine", json_string(engine));
	if (json_is_object(template) && json_object_get(template, "envVars")) {
		json_object_set(template, "cnEnvVars", json_object_get(template, "envVars"));
		json_object_del(template, "envVars");
	}
	json_object_set_new(json_object_get(copy, "spec"), "starRocksCnSpec", template);
	/* Its status lies flat; what a step remembers is read where a cluster has it. */
	if (json_is_object(json_object_get(cr, "status"))) {
		json_t *status = json_copy(json_object_get(cr, "status"));
		json_object_set(status, "starRocksCnStatus", json_object_get(cr, "status"));
		json_object_set_new(copy, "status", status);
	}
	return copy;
}

static int check_names(const json_t *cr, struct err *err)
{
	const char *name = data_get_str(cr, "metadata.name");
	const char *ns = NULL;
	const char *cluster = model_warehouse_cluster(cr, &ns);
	if (!model_name_ok(name) || strlen(name) > WAREHOUSE_NAME_MAX)
		return err_set(err, -EINVAL,
		               "metadata.name must be a DNS label of at most %d characters: "
		               "Services are named after it",
		               WAREHOUSE_NAME_MAX);
	if (!cluster)
		return err_set(err, -EINVAL, "spec.starRocksCluster must name a StarRocksCluster");
	if (strcmp(cluster, name) == 0)
		return err_set(err, -EINVAL,
		               "metadata.name is that of the cluster; a warehouse needs a name of "
		               "its own");
	if (!json_is_object(data_get(cr, "spec.template")))
		return err_set(err, -EINVAL, "spec.template is missing");
	return 0;
}

int model_warehouse_decode(const json_t *cr, const json_t *cluster, struct model_cluster **ret,
                           struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	_cleanup_json_ json_t *copy = NULL;
	const char *ns = NULL;
	int rc = check_names(cr, err);
	if (rc < 0)
		return rc;
	copy = as_cluster(cr, cluster);
	rc = model_cluster_decode(copy, &m, err);
	if (rc < 0) {
		/* The paths that the user knows. */
		static const char ours[] = "spec.starRocksCnSpec";
		autofree char *was = err ? xstrdup(err->msg) : NULL;
		const char *at = was ? strstr(was, ours) : NULL;
		return at ? err_set(err, rc, "%.*sspec.template%s", (int)(at - was), was,
		                    at + strlen(ours))
		          : rc;
	}
	const char *name = model_warehouse_cluster(cr, &ns);
	m->owner_kind = "StarRocksWarehouse";
	m->owner_name = xstrdup(data_get_str(cr, "metadata.name"));
	m->fe_name = xstrdup(name);
	m->fe_ns = xstrdup(ns);
	m->warehouse = model_warehouse_sql(m->owner_name);
	model_ports_from_conf(MODEL_FE, str_of(""), &m->part[MODEL_FE].ports);
	if (m->engine && strcmp(ns, m->ns) != 0)
		return err_set(err, -EINVAL,
		               "spec.starRocksClusterNamespace: Roost's own nodes share a token, "
		               "a Secret that pods of another namespace cannot mount");
	*ret = TAKE_PTR(m);
	return 0;
}

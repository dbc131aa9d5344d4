#include "operator/model/cluster.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "operator/model/cluster_priv.h"

#define PART(field_path, field_type, member)             \
	{ .path = (field_path),                          \
	  .type = (field_type),                          \
	  .offset = offsetof(struct model_part, member), \
	  .required = false }

static const struct data_field part_fields[] = {
	PART("replicas", DATA_INT, replicas),
	PART("image", DATA_STR, image),
	PART("runAsNonRoot", DATA_BOOL, run_as_non_root),
	PART("readOnlyRootFilesystem", DATA_BOOL, read_only_root),
	PART("startupProbeFailureSeconds", DATA_INT, startup_s),
	PART("livenessProbeFailureSeconds", DATA_INT, liveness_s),
	PART("readinessProbeFailureSeconds", DATA_INT, readiness_s),
	PART("terminationGracePeriodSeconds", DATA_INT, grace_s),
	PART("drainSeconds", DATA_INT, drain_s),
	PART("observers", DATA_INT, observers),
	PART("configMapInfo.configMapName", DATA_STR, info_map),
	PART("configMapInfo.resolveKey", DATA_STR, info_key),
	PART("configMaps", DATA_JSON, config_maps),
	PART("secrets", DATA_JSON, secrets),
	PART("storageVolumes", DATA_JSON, volumes),
	PART("sidecars", DATA_JSON, sidecars),
	PART("lifecycle", DATA_JSON, lifecycle),
	PART("service", DATA_JSON, service),
	PART("command", DATA_JSON, command),
	PART("args", DATA_JSON, args),
	PART("podLabels", DATA_JSON, pod_labels),
	PART("updateStrategy", DATA_JSON, update_strategy),
};

/* What a compute node needs beside its running work: the preStop hook, the last reports. */
enum { STOP_SECONDS = 10 };

static const char *const spec_path[MODEL_ROLES] = { "spec.starRocksFeSpec", "spec.starRocksBeSpec",
	                                            "spec.starRocksCnSpec" };
static const char *const env_path[MODEL_ROLES] = { "feEnvVars", "beEnvVars", "cnEnvVars" };

static const struct data_field scaling_fields[] = {
	{ "enabled", DATA_BOOL, offsetof(struct model_scaling, enabled), false },
	{ "minReplicas", DATA_INT, offsetof(struct model_scaling, min), false },
	{ "maxReplicas", DATA_INT, offsetof(struct model_scaling, max), true },
	{ "keda.enabled", DATA_BOOL, offsetof(struct model_scaling, keda), false },
	{ "keda.pollingIntervalSeconds", DATA_INT, offsetof(struct model_scaling, poll_s), false },
	{ "keda.cooldownSeconds", DATA_INT, offsetof(struct model_scaling, cooldown_s), false },
	{ "keda.fallbackReplicas", DATA_INT, offsetof(struct model_scaling, fallback), false },
	{ "keda.authenticationRef", DATA_JSON, offsetof(struct model_scaling, auth), false },
};

bool model_name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	if (n == 0 || n > 63 || name[0] == '-' || name[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
		      name[i] == '-'))
			return false;
	return true;
}

/* Every list of the spec that code walks must be a list of objects (a schema without types, or a CRD that
 * was edited, lets anything through). */
static int check_objects(const json_t *list, const char *spec, const char *field, struct err *err)
{
	size_t i;
	const json_t *item;
	if (!list)
		return 0;
	if (!json_is_array(list))
		return err_set(err, -EINVAL, "%s.%s must be a list", spec, field);
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		if (!json_is_object(item))
			return err_set(err, -EINVAL, "%s.%s[%zu] must be an object", spec, field,
			               i);
	}
	return 0;
}

static int check_map(const json_t *map, const char *spec, const char *field, struct err *err)
{
	if (map && !json_is_object(map))
		return err_set(err, -EINVAL, "%s.%s must be an object", spec, field);
	return 0;
}

static int check_list(const json_t *list, const char *spec, const char *field, struct err *err)
{
	if (list && !json_is_array(list))
		return err_set(err, -EINVAL, "%s.%s must be a list", spec, field);
	return 0;
}

static int check_shapes(const struct model_part *p, const char *spec, struct err *err)
{
	int rc = check_objects(p->env, spec, "envVars", err);
	rc = rc < 0 ? rc : check_objects(p->config_maps, spec, "configMaps", err);
	rc = rc < 0 ? rc : check_objects(p->secrets, spec, "secrets", err);
	rc = rc < 0 ? rc : check_objects(p->volumes, spec, "storageVolumes", err);
	rc = rc < 0 ? rc : check_objects(p->sidecars, spec, "sidecars", err);
	rc = rc < 0 ? rc : check_map(p->lifecycle, spec, "lifecycle", err);
	rc = rc < 0 ? rc : check_map(p->service, spec, "service", err);
	rc = rc < 0 ? rc : check_map(p->pod_labels, spec, "podLabels", err);
	rc = rc < 0 ? rc : check_map(p->update_strategy, spec, "updateStrategy", err);
	rc = rc < 0 ? rc : check_list(p->command, spec, "command", err);
	return rc < 0 ? rc : check_list(p->args, spec, "args", err);
}

static int check_volumes(const struct model_part *p, const char *spec, struct err *err)
{
	size_t i;
	const json_t *v;
	json_array_foreach(p->volumes, i, v)
	{
		const char *size = data_get_str(v, "storageSize");
		int64_t bytes = 0;
		if (!data_get_str(v, "name") || !data_get_str(v, "mountPath"))
			return err_set(err, -EINVAL,
			               "%s.storageVolumes[%zu] needs a name and a mountPath", spec,
			               i);
		if (size && *size && data_quantity(str_of(size), &bytes, NULL) < 0)
			return err_set(
				err, -EINVAL,
				"%s.storageVolumes[%zu].storageSize is \"%.64s\"; it must be "
				"a quantity such as 10Gi",
				spec, i, size);
	}
	return 0;
}

static const char *env_value(const json_t *env, const char *name)
{
	size_t i;
	const json_t *e;
	json_array_foreach((json_t *)(uintptr_t)env, i, e)
	{
		const char *n = data_get_str(e, "name");
		if (n && strcmp(n, name) == 0)
			return data_get_str(e, "value");
	}
	return NULL;
}

/* configMapInfo, else the entry of configMaps that is mounted as the conf folder or as the file itself. */
static void find_conf(struct model_part *p, enum model_role role)
{
	static const char *const file[MODEL_ROLES] = { "fe.conf", "be.conf", "cn.conf" };
	autofree char *dir = xasprintf("%s/%s/conf", p->root, MODEL_ROLE_NAME[role]);
	autofree char *path = xasprintf("%s/%s", dir, file[role]);
	size_t i;
	const json_t *m;
	if (p->info_map || p->info_key) {
		if (p->info_map && p->info_key && *p->info_map && *p->info_key) {
			p->conf_map = p->info_map;
			p->conf_key = p->info_key;
		}
		return;
	}
	json_array_foreach(p->config_maps, i, m)
	{
		const char *at = data_get_str(m, "mountPath");
		const char *sub = data_get_str(m, "subPath");
		if (!at)
			continue;
		if (strcmp(at, dir) == 0)
			p->conf_key = file[role];
		else if (sub && strcmp(at, path) == 0)
			p->conf_key = sub;
		else
			continue;
		p->conf_map = data_get_str(m, "name");
		return;
	}
}

int model_part_decode(const json_t *cr, const char *spec, const char *env, enum model_role role,
                      struct model_part *p, struct err *err)
{
	const json_t *j = data_get(cr, spec);
	if (!j || json_is_null(j))
		return 0;
	if (!json_is_object(j))
		return err_set(err, -EINVAL, "%s must be an object", spec);
	p->present = true;
	p->spec = j;
	p->replicas = 1;
	p->startup_s = p->liveness_s = p->readiness_s = -1;
	p->grace_s = 120;
	p->drain_s = -1;
	if (data_decode(j, part_fields, ARRAY_LEN(part_fields), p, err) < 0)
		return err_wrap(err, "%s", spec);
	if (p->drain_s >= 0 && !json_is_integer(data_get(j, "terminationGracePeriodSeconds")))
		p->grace_s = p->drain_s + STOP_SECONDS;
	p->env = data_get(j, env);
	if (json_is_null(p->env))
		p->env = NULL;
	int rc = check_shapes(p, spec, err);
	if (rc < 0 || (rc = check_volumes(p, spec, err)) < 0)
		return rc;
	if (p->replicas < 0 || p->replicas > MODEL_REPLICAS_MAX)
		return err_set(err, -EINVAL, "%s.replicas is %lld; it must be from 0 to %d", spec,
		               (long long)p->replicas, MODEL_REPLICAS_MAX);
	const char *root = env_value(p->env, "STARROCKS_ROOT");
	p->root = root && *root == '/' ? root : "/opt/starrocks";
	if (role == MODEL_ROLES)
		return 0;
	if (!p->image || !*p->image)
		return err_set(err, -EINVAL, "%s.image is missing", spec);
	find_conf(p, role);
	model_ports_from_conf(role, str_of(""), &p->ports);
	return 0;
}

void model_part_release(struct model_part *p)
{
	free(p->image);
	free(p->info_map);
	free(p->info_key);
}

static int decode_scaling(struct model_cluster *m, struct err *err)
{
	const json_t *j = data_get(m->cr, "spec.starRocksCnSpec.roostAutoscaling");
	const json_t *hpa = data_get(m->cr, "spec.starRocksCnSpec.autoScalingPolicy");
	m->hpa = json_is_object(hpa);
	if (!json_is_object(j))
		return 0;
	m->scaling.enabled = m->scaling.keda = true;
	m->scaling.poll_s = 1;
	m->scaling.cooldown_s = 60;
	if (data_decode(j, scaling_fields, ARRAY_LEN(scaling_fields), &m->scaling, err) < 0)
		return err_wrap(err, "spec.starRocksCnSpec.roostAutoscaling");
	if (m->scaling.min < 0 || m->scaling.max < m->scaling.min ||
	    m->scaling.max > MODEL_REPLICAS_MAX)
		return err_set(err, -EINVAL,
		               "spec.starRocksCnSpec.roostAutoscaling: minReplicas must be 0 or "
		               "more and not above maxReplicas (at most %d)",
		               MODEL_REPLICAS_MAX);
	if (m->scaling.poll_s < 1 || m->scaling.poll_s > 30 || m->scaling.cooldown_s < 0 ||
	    m->scaling.fallback < 0 || m->scaling.fallback > m->scaling.max)
		return err_set(err, -EINVAL,
		               "spec.starRocksCnSpec.roostAutoscaling.keda: pollingIntervalSeconds "
		               "must be from 1 to 30, cooldownSeconds 0 or more, fallbackReplicas "
		               "from 1 to maxReplicas");
	if (m->hpa && m->scaling.enabled)
		return err_set(err, -EINVAL,
		               "spec.starRocksCnSpec has autoScalingPolicy and roostAutoscaling: "
		               "both would set the replicas, keep one");
	return 0;
}

static int decode_all(struct model_cluster *m, struct err *err)
{
	m->ns = data_get_str(m->cr, "metadata.namespace");
	m->name = data_get_str(m->cr, "metadata.name");
	m->uid = data_get_str(m->cr, "metadata.uid");
	m->version = data_get_str(m->cr, "metadata.resourceVersion");
	if (!model_name_ok(m->ns) || !model_name_ok(m->name) || !m->uid)
		return err_set(err, -EINVAL, "metadata needs a namespace, a name and a uid");
	if (m->name[0] < 'a' || m->name[0] > 'z')
		return err_set(
			err, -EINVAL,
			"metadata.name must begin with a letter: Services are named after it");
	if (strlen(m->name) > MODEL_NAME_MAX)
		return err_set(
			err, -EINVAL,
			"metadata.name has %zu characters; names of Services and labels made "
			"from it allow %d",
			strlen(m->name), MODEL_NAME_MAX);
	m->generation = data_get_int(m->cr, "metadata.generation", 0);
	m->deleting = data_get_str(m->cr, "metadata.deletionTimestamp") != NULL;
	const char *engine = data_get_str(m->cr, "metadata.annotations.roost\\.io/engine");
	m->engine = engine && strcmp(engine, "true") == 0;
	m->wait_for_full_rollout = data_get_bool(m->cr, "spec.waitForFullRollout", false);
	for (int role = 0; role < MODEL_ROLES; role++) {
		int rc = model_part_decode(m->cr, spec_path[role], env_path[role],
		                           (enum model_role)role, &m->part[role], err);
		if (rc < 0)
			return rc;
	}
	int rc = model_extras_decode(m, err);
	if (rc < 0)
		return rc;
	const char *host_type = env_value(m->part[MODEL_CN].env, "HOST_TYPE");
	if (host_type && strcmp(host_type, "FQDN") == 0)
		return err_set(err, -EINVAL,
		               "spec.starRocksCnSpec.cnEnvVars: HOST_TYPE=FQDN cannot work, since "
		               "pods of a Deployment have no DNS name; leave it out (IP is set)");
	return decode_scaling(m, err);
}

int model_cluster_decode(const json_t *cr, struct model_cluster **ret, struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = xcalloc(1, sizeof(*m));
	m->cr = json_deep_copy(cr);
	if (!json_is_object(m->cr))
		return err_set(err, -EINVAL, "a StarRocksCluster must be an object");
	int rc = decode_all(m, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(m);
	return 0;
}

void model_cluster_free(struct model_cluster *m)
{
	if (!m)
		return;
	for (int role = 0; role < MODEL_ROLES; role++)
		model_part_release(&m->part[role]);
	model_part_release(&m->proxy);
	free(m->owner_name);
	free(m->fe_name);
	free(m->fe_ns);
	free(m->warehouse);
	json_decref(m->cr);
	free(m);
}

void model_set_conf(struct model_cluster *m, enum model_role role, struct str text)
{
	model_ports_from_conf(role, text, &m->part[role].ports);
	if (role == MODEL_FE)
		model_extras_conf(m);
}

bool model_says(const json_t *cr, const char *annotation)
{
	const json_t *all = data_get(cr, "metadata.annotations");
	const char *value = json_string_value(json_object_get(all, annotation));
	return value && strcmp(value, "true") == 0;
}

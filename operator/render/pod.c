/* What C computes for a pod: environment, ports, probes, the stop command, defaults. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/render/render.h"

static const char *const spec_key[MODEL_ROLES] = { "starRocksFeSpec", "starRocksBeSpec",
	                                           "starRocksCnSpec" };

#define HEALTH "/api/health"

/* ---- environment: the user's first, and the user wins ---- */
struct env {
	json_t *list;
	const char *unsupported;
};

static bool listed(const char *names, const char *name)
{
	struct str rest = str_of(names), one;
	while (names && str_split(&rest, ',', &one))
		if (str_eqs(one, name))
			return true;
	return false;
}

static json_t *env_find(const json_t *list, const char *name)
{
	size_t i;
	json_t *e;
	json_array_foreach((json_t *)(uintptr_t)list, i, e)
	{
		const char *n = data_get_str(e, "name");
		if (n && strcmp(n, name) == 0)
			return e;
	}
	return NULL;
}

static void env_add(struct env *e, json_t *one)
{
	const char *name = data_get_str(one, "name");
	if (env_find(e->list, name) || listed(e->unsupported, name))
		json_decref(one);
	else
		json_array_append_new(e->list, one);
}

static void env_value(struct env *e, const char *name, const char *value)
{
	env_add(e, json_pack("{s:s, s:s}", "name", name, "value", value));
}

static void env_field(struct env *e, const char *name, const char *path)
{
	env_add(e, json_pack("{s:s, s:{s:{s:s}}}", "name", name, "valueFrom", "fieldRef",
	                     "fieldPath", path));
}

/* A name given twice is one to Kubernetes (the last counts), and an error to server-side apply. */
static void env_user(struct env *e, const json_t *user)
{
	size_t i;
	json_t *one;
	json_array_foreach((json_t *)(uintptr_t)user, i, one)
	{
		const char *name = data_get_str(one, "name");
		json_t *before = name ? env_find(e->list, name) : NULL;
		if (before) {
			json_object_clear(before);
			json_object_update_new(before, json_deep_copy(one));
		} else {
			json_array_append_new(e->list, json_deep_copy(one));
		}
	}
}

static char *fe_service(const struct model_cluster *m, enum model_role role)
{
	const char *name = m->fe_name ? m->fe_name : m->name;
	const char *ns = m->fe_ns ? m->fe_ns : m->ns;
	bool far = role == MODEL_FE || strcmp(ns, m->ns) != 0;
	return far ? xasprintf("%s-fe-service.%s", name, ns) : xasprintf("%s-fe-service", name);
}

static json_t *pod_env(const struct model_cluster *m, enum model_role role,
                       const struct render_options *options)
{
	const struct model_part *p = &m->part[role];
	const char *r = MODEL_ROLE_NAME[role];
	struct env e = { json_array(), options->unsupported_envs };
	autofree char *service = fe_service(m, role);
	autofree char *query = xasprintf("%d", m->part[MODEL_FE].ports.query);
	env_user(&e, p->env);
	env_field(&e, "POD_NAME", "metadata.name");
	env_field(&e, "POD_IP", "status.podIP");
	env_field(&e, "HOST_IP", "status.hostIP");
	env_field(&e, "POD_NAMESPACE", "metadata.namespace");
	env_value(&e, "HOST_TYPE", role == MODEL_CN ? "IP" : "FQDN");
	env_value(&e, "COMPONENT_NAME", r);
	env_value(&e, "FE_SERVICE_NAME", service);
	if (role != MODEL_FE)
		env_value(&e, "FE_QUERY_PORT", query);
	if (p->info_map && *p->info_map && p->info_key && *p->info_key) {
		autofree char *path = xasprintf("/etc/starrocks/%s/conf", r);
		env_value(&e, "CONFIGMAP_MOUNT_PATH", path);
	}
	const char *secret = data_get_str(m->cr, "spec.rootPasswordSecret.name");
	const char *key = data_get_str(m->cr, "spec.rootPasswordSecret.key");
	if (secret)
		env_add(&e,
		        json_pack("{s:s, s:{s:{s:s, s:s}}}", "name", "MYSQL_PWD", "valueFrom",
		                  "secretKeyRef", "name", secret, "key", key ? key : "password"));
	/* The image's entrypoint makes the warehouse and joins it. */
	if (m->warehouse)
		env_value(&e, "KUBE_STARROCKS_MULTI_WAREHOUSE", m->warehouse);
	if (m->engine)
		env_value(&e, "ROOST_TOKEN_FILE", "/etc/roost/token/token");
	return e.list;
}

/* ---- ports and probes ---- */
static void add_port(json_t *list, const char *name, int port)
{
	json_array_append_new(list, json_pack("{s:s, s:i, s:s}", "name", name, "containerPort",
	                                      port, "protocol", "TCP"));
}

static json_t *pod_ports(const struct model_ports *p, enum model_role role)
{
	json_t *list = json_array();
	if (role == MODEL_FE) {
		add_port(list, "http-port", p->http);
		add_port(list, "rpc-port", p->rpc);
		add_port(list, "query-port", p->query);
		return list;
	}
	add_port(list, role == MODEL_BE ? "be-port" : "thrift-port", p->thrift);
	add_port(list, "webserver-port", p->web);
	add_port(list, "heartbeat-port", p->heartbeat);
	add_port(list, "brpc-port", p->brpc);
	return list;
}

/* NULL (which drops the key) when the user set 0 seconds. */
json_t *render_probe(int64_t seconds, int threshold, const char *path, int port)
{
	if (seconds == 0)
		return NULL;
	json_int_t times = seconds > 0 ? (seconds + 4) / 5 : threshold;
	return json_pack("{s:{s:s, s:i}, s:i, s:I}", "httpGet", "path", path, "port", port,
	                 "periodSeconds", 5, "failureThreshold", times);
}

/* ---- the stop command ---- */
static int version_of(const char *image, int64_t ret[3])
{
	const char *colon = strrchr(image, ':');
	struct str tag = str_of(colon ? colon + 1 : image), core, part;
	int n = 0;
	if (memmem(tag.p, tag.len, "latest", 6))
		return -1;
	str_split(&tag, '-', &core);
	while (str_split(&core, '.', &part))
		if (n == 3 || str_to_i64(part, &ret[n++]) < 0)
			return -1;
	return n == 3 ? 0 : -1;
}

/* Older StarRocks images do not know -g; which ones is known for three minor versions only. */
static bool graceful(enum model_role role, const char *image)
{
	static const int64_t first[2][3][3] = { { { 3, 3, 19 }, { 3, 4, 8 }, { 3, 5, 6 } },
		                                { { 3, 3, 17 }, { 3, 4, 6 }, { 3, 5, 2 } } };
	int64_t v[3];
	if (role == MODEL_FE || version_of(image, v) < 0)
		return true;
	const int64_t(*f)[3] = first[role == MODEL_CN];
	for (int i = 0; i < 3; i++)
		if (v[0] == f[i][0] && v[1] == f[i][1])
			return v[2] >= f[i][2];
	return true;
}

static json_t *pre_stop(const struct model_part *p, enum model_role role)
{
	const char *r = MODEL_ROLE_NAME[role];
	const json_t *own = data_get(p->lifecycle, "preStop");
	if (json_is_object(own))
		return json_deep_copy(own);
	autofree char *command = xasprintf("%s/%s/bin/stop_%s.sh%s", p->root, r, r,
	                                   graceful(role, p->image) ? " -g" : "");
	return json_pack("{s:{s:[s, s, s]}}", "exec", "command", "/bin/bash", "-c", command);
}

/* ---- all of it ---- */
static json_t *pod_labels(const struct model_cluster *m, enum model_role role)
{
	json_t *labels = json_object();
	if (m->part[role].pod_labels)
		json_object_update_new(labels, json_deep_copy(m->part[role].pod_labels));
	json_object_set_new(labels, "app.kubernetes.io/component",
	                    json_string(MODEL_ROLE_NAME[role]));
	json_object_set_new(labels, "app.starrocks.ownerreference/name",
	                    json_sprintf("%s-%s", m->name, MODEL_ROLE_NAME[role]));
	return labels;
}

static json_t *update_strategy(const struct model_part *p, enum model_role role)
{
	if (role == MODEL_CN) {
		const json_t *max = data_get(p->update_strategy, "rollingUpdate.maxUnavailable");
		return max ? json_pack("{s:s, s:{s:o}}", "type", "RollingUpdate", "rollingUpdate",
		                       "maxUnavailable", json_deep_copy(max))
		           : NULL;
	}
	if (p->update_strategy)
		return json_deep_copy(p->update_strategy);
	return json_pack("{s:s, s:{s:i}}", "type", "RollingUpdate", "rollingUpdate", "partition",
	                 0);
}

static void pod_defaults(const struct model_part *p, enum model_role role, json_t *pod)
{
	const char *policy = data_get_str(p->spec, "imagePullPolicy");
	const char *management = data_get_str(p->spec, "podManagementPolicy");
	json_object_set_new(pod, "pullPolicy",
	                    json_string(policy && *policy ? policy : "IfNotPresent"));
	json_object_set_new(pod, "managementPolicy",
	                    json_string(management && *management ? management : "Parallel"));
	json_object_set_new(pod, "grace", json_integer(p->grace_s));
	json_object_set_new(pod, "readOnlyRoot", json_boolean(p->read_only_root));
	if (p->run_as_non_root) {
		json_object_set_new(pod, "uid", json_integer(1000));
		json_object_set_new(pod, "nonRoot", json_true());
	}
	if (strcmp(p->root, "/opt/starrocks") != 0)
		json_object_set_new(pod, "workingDir", json_string(p->root));
	json_object_set_new(pod, "command",
	                    p->command
	                            ? json_deep_copy(p->command)
	                            : json_pack("[o]", json_sprintf("%s/%s_entrypoint.sh", p->root,
	                                                            MODEL_ROLE_NAME[role])));
	json_object_set_new(pod, "args",
	                    p->args ? json_deep_copy(p->args)
	                            : json_pack("[s]", "$(FE_SERVICE_NAME)"));
	if (p->sidecars)
		json_object_set_new(pod, "sidecars", json_deep_copy(p->sidecars));
}

/* Roost's image needs no capability and none of the rarer system calls; upstream's pods stay as they are. */
static void pod_security(const struct model_cluster *m, const struct model_part *p, json_t *pod)
{
	const json_t *own = data_get(p->spec, "capabilities");
	if (json_is_object(own))
		json_object_set_new(pod, "capabilities", json_deep_copy(own));
	else if (m->engine)
		json_object_set_new(pod, "capabilities", json_pack("{s:[s]}", "drop", "ALL"));
	own = data_get(p->spec, "seccompProfile");
	if (json_is_object(own))
		json_object_set_new(pod, "seccomp", json_deep_copy(own));
	else if (m->engine)
		json_object_set_new(pod, "seccomp", json_pack("{s:s}", "type", "RuntimeDefault"));
}

static void set_unless_null(json_t *pod, const char *key, json_t *value)
{
	if (value)
		json_object_set_new(pod, key, value);
}

/* An FE that restores from a snapshot answers no HTTP for a long time: only its query port says that it is
 * done. The entrypoint of StarRocks' image reads the two variables. */
static void recovery(const struct model_cluster *m, json_t *pod)
{
	json_t *env = json_object_get(pod, "env");
	autofree char *generation = xasprintf("%lld", (long long)m->dr.generation);
	json_array_append_new(env, json_pack("{s:s, s:s}", "name", "RESTORE_CLUSTER_GENERATION",
	                                     "value", generation));
	json_array_append_new(
		env, json_pack("{s:s, s:s}", "name", "RESTORE_CLUSTER_SNAPSHOT", "value", "true"));
	json_object_set_new(pod, "readinessProbe",
	                    json_pack("{s:{s:i}, s:i, s:i, s:i}", "tcpSocket", "port",
	                              m->part[MODEL_FE].ports.query, "initialDelaySeconds", 5,
	                              "periodSeconds", 10, "failureThreshold", 3));
}

int render_pod(const struct model_cluster *m, enum model_role role,
               const struct render_options *options, json_t **ret, struct err *err)
{
	const struct model_part *p = &m->part[role];
	_cleanup_json_ json_t *pod = json_object();
	int web = role == MODEL_FE ? p->ports.http : p->ports.web;
	pod_defaults(p, role, pod);
	pod_security(m, p, pod);
	json_object_set_new(pod, "labels", pod_labels(m, role));
	json_object_set_new(pod, "env", pod_env(m, role, options));
	json_object_set_new(pod, "ports", pod_ports(&p->ports, role));
	json_object_set_new(pod, "preStop", pre_stop(p, role));
	set_unless_null(pod, "updateStrategy", update_strategy(p, role));
	if (role == MODEL_FE && m->dr.running) {
		recovery(m, pod);
	} else {
		set_unless_null(pod, "startupProbe", render_probe(p->startup_s, 60, HEALTH, web));
		set_unless_null(pod, "livenessProbe", render_probe(p->liveness_s, 3, HEALTH, web));
		set_unless_null(pod, "readinessProbe",
		                render_probe(p->readiness_s, 3, HEALTH, web));
	}
	if (render_volumes(m, role, options, pod, err) < 0)
		return err_wrap(err, "spec.%s", spec_key[role]);
	*ret = TAKE_PTR(pod);
	return 0;
}

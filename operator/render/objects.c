/* From a model to one object: the context of its template. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/render/render.h"
#include "operator/render/template.h"

/* ---- Services ---- */
/* The user's override of one port: by containerPort first, then by name. */
static const json_t *port_override(const json_t *service, const char *name, int port)
{
	const json_t *ports = data_get(service, "ports");
	size_t i;
	const json_t *p;
	json_array_foreach((json_t *)(uintptr_t)ports, i, p)
	{
		if (data_get_int(p, "containerPort", 0) == port)
			return p;
	}
	json_array_foreach((json_t *)(uintptr_t)ports, i, p)
	{
		const char *n = data_get_str(p, "name");
		if (n && strcmp(n, name) == 0)
			return p;
	}
	return NULL;
}

static void add_port(json_t *list, const json_t *service, const char *name, int port)
{
	const json_t *o = port_override(service, name, port);
	int64_t outer = data_get_int(o, "port", 0);
	int64_t node = data_get_int(o, "nodePort", 0);
	json_t *p = json_pack("{s:s, s:I, s:i, s:s}", "name", name, "port",
	                      (json_int_t)(outer ? outer : port), "targetPort", port, "protocol",
	                      "TCP");
	if (node)
		json_object_set_new(p, "nodePort", json_integer(node));
	if (strcmp(name, "query") == 0 || strcmp(name, "query-port") == 0)
		json_object_set_new(p, "appProtocol", json_string("mysql"));
	json_array_append_new(list, p);
}

static json_t *outer_ports(const struct model_part *p, enum model_role role)
{
	json_t *list = json_array();
	if (role == MODEL_FE) {
		add_port(list, p->service, "http", p->ports.http);
		add_port(list, p->service, "rpc", p->ports.rpc);
		add_port(list, p->service, "query", p->ports.query);
		add_port(list, p->service, "edit-log", p->ports.edit_log);
		if (p->ports.arrow_flight)
			add_port(list, p->service, "arrow-flight", p->ports.arrow_flight);
		return list;
	}
	add_port(list, p->service, role == MODEL_BE ? "be" : "thrift", p->ports.thrift);
	add_port(list, p->service, "webserver", p->ports.web);
	add_port(list, p->service, "heartbeat", p->ports.heartbeat);
	add_port(list, p->service, "brpc", p->ports.brpc);
	return list;
}

static json_t *search_ports(const struct model_part *p, enum model_role role)
{
	json_t *list = json_array();
	if (role == MODEL_FE) {
		add_port(list, NULL, "query-port", p->ports.query);
		return list;
	}
	add_port(list, NULL, "heartbeat", p->ports.heartbeat);
	if (p->ports.arrow_flight)
		add_port(list, NULL, "arrow-flight", p->ports.arrow_flight);
	return list;
}

int render_service(const struct model_cluster *m, enum model_role role, json_t **ret,
                   struct err *err)
{
	const struct model_part *p = &m->part[role];
	const char *type = data_get_str(p->service, "type");
	const json_t *labels = data_get(p->service, "labels");
	const char *ip = data_get_str(p->service, "loadBalancerIP");
	if (labels && !json_is_object(labels))
		return err_set(err, -EINVAL, "service.labels must be an object");
	json_t *all = json_pack("{s:s, s:s}", "app.kubernetes.io/component", MODEL_ROLE_NAME[role],
	                        "app.starrocks.ownerreference/name", m->name);
	if (labels)
		json_object_update_new(all, json_deep_copy(labels));
	type = type && *type ? type : "ClusterIP";
	*ret = json_pack("{s:s, s:o, s:o, s:o}", "type", type, "labels", all, "ports",
	                 outer_ports(p, role), "searchPorts", search_ports(p, role));
	if (ip && *ip && strcmp(type, "LoadBalancer") == 0)
		json_object_set_new(*ret, "loadBalancerIP", json_string(ip));
	return 0;
}

/* ---- any object ---- */
bool render_wanted(const struct model_cluster *m, enum render_object what)
{
	if (what == RENDER_TOKEN)
		return m->engine;
	if (what == RENDER_CN_HPA && !m->hpa)
		return false;
	return m->part[render_object_role(what)].present;
}

char *render_selector(const char *cluster, enum model_role role)
{
	return xasprintf("app.kubernetes.io/component=%s,app.starrocks.ownerreference/name=%s-%s",
	                 MODEL_ROLE_NAME[role], cluster, MODEL_ROLE_NAME[role]);
}

static bool is_set(enum render_object what)
{
	return what == RENDER_FE_SET || what == RENDER_BE_SET || what == RENDER_CN_SET;
}

int render_object(const struct model_cluster *m, enum render_object what,
                  const struct render_values *values, const struct render_options *options,
                  json_t **ret, struct err *err)
{
	enum model_role role = render_object_role(what);
	json_t *part = NULL;
	int rc = 0;
	_cleanup_json_ json_t *ctx =
		json_pack("{s:s, s:s, s:s, s:O*}", "name", m->name, "namespace", m->ns, "uid",
	                  m->uid, "spec", data_get(m->cr, "spec"));
	if (is_set(what)) {
		json_object_set_new(ctx, "replicas", json_integer(values->replicas));
		rc = render_pod(m, role, options, &part, err);
		if (rc == 0)
			json_object_set_new(ctx, "pod", part);
	} else if (what == RENDER_TOKEN) {
		json_object_set_new(ctx, "token", json_string(values->token));
	} else if (what != RENDER_CN_HPA) {
		rc = render_service(m, role, &part, err);
		if (rc == 0)
			json_object_set_new(ctx, "service", part);
	}
	if (rc == 0)
		rc = render_expand(render_template_of(what), ctx, ret, err);
	if (rc < 0) {
		autofree char *name = render_object_name(m->name, what);
		return err_wrap(err, "%s %s", render_object_kind(what)->kind, name);
	}
	return 0;
}

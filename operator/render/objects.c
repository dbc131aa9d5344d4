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

json_t *render_port(const json_t *service, const char *name, int port)
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
	return p;
}

static void add_port(json_t *list, const json_t *service, const char *name, int port)
{
	json_array_append_new(list, render_port(service, name, port));
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

/* What only some types of Service may have is left out of the others: the server would refuse it. */
static void service_type(const struct model_part *p, json_t *service)
{
	const char *type = data_get_str(p->service, "type");
	const char *ip = data_get_str(p->service, "loadBalancerIP");
	const char *class = data_get_str(p->service, "loadBalancerClass");
	const char *traffic = data_get_str(p->service, "externalTrafficPolicy");
	const json_t *ranges = data_get(p->service, "loadBalancerSourceRanges");
	type = type && *type ? type : "ClusterIP";
	bool balanced = strcmp(type, "LoadBalancer") == 0;
	json_object_set_new(service, "type", json_string(type));
	if (balanced && ip && *ip)
		json_object_set_new(service, "loadBalancerIP", json_string(ip));
	if (balanced && class && *class)
		json_object_set_new(service, "loadBalancerClass", json_string(class));
	if (balanced && json_array_size(ranges) > 0)
		json_object_set_new(service, "sourceRanges", json_deep_copy(ranges));
	if (traffic && (balanced || strcmp(type, "NodePort") == 0))
		json_object_set_new(service, "externalTrafficPolicy", json_string(traffic));
}

int render_outer_service(const struct model_cluster *m, const struct model_part *p,
                         const char *component, json_t **ret, struct err *err)
{
	const json_t *labels = data_get(p->service, "labels");
	if (labels && !json_is_object(labels))
		return err_set(err, -EINVAL, "service.labels must be an object");
	json_t *all = json_pack("{s:s, s:s}", "app.kubernetes.io/component", component,
	                        "app.starrocks.ownerreference/name", m->name);
	if (labels)
		json_object_update_new(all, json_deep_copy(labels));
	*ret = json_pack("{s:o}", "labels", all);
	service_type(p, *ret);
	return 0;
}

int render_service(const struct model_cluster *m, enum model_role role, json_t **ret,
                   struct err *err)
{
	const struct model_part *p = &m->part[role];
	int rc = render_outer_service(m, p, MODEL_ROLE_NAME[role], ret, err);
	if (rc < 0)
		return rc;
	json_object_set_new(*ret, "ports", outer_ports(p, role));
	json_object_set_new(*ret, "searchPorts", search_ports(p, role));
	return 0;
}

/* ---- any object ---- */
bool render_wanted(const struct model_cluster *m, enum render_object what)
{
	if (what == RENDER_TOKEN)
		return m->engine;
	if (what == RENDER_CN_HPA && !m->hpa)
		return false;
	if (what >= RENDER_OBSERVER_SEARCH)
		return render_observer_wanted(m, what);
	if (what > RENDER_CN_KEDA)
		return render_extra_wanted(m, what);
	return m->part[render_object_role(what)].present;
}

char *render_selector(const char *cluster, enum model_role role)
{
	return xasprintf("app.kubernetes.io/component=%s,app.starrocks.ownerreference/name=%s-%s",
	                 MODEL_ROLE_NAME[role], cluster, MODEL_ROLE_NAME[role]);
}

static bool is_scaling(enum render_object what)
{
	return what == RENDER_CN_HPA || what == RENDER_CN_KEDA_AUTH || what == RENDER_CN_KEDA;
}

static bool is_set(enum render_object what)
{
	return what == RENDER_FE_SET || what == RENDER_BE_SET || what == RENDER_CN_SET;
}

static json_t *context_of(const struct model_cluster *m)
{
	json_t *owner = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b}", "apiVersion", KUBE_CLUSTER.api,
	                          "kind", m->owner_kind ? m->owner_kind : KUBE_CLUSTER.kind, "name",
	                          m->owner_name ? m->owner_name : m->name, "uid", m->uid,
	                          "controller", 1, "blockOwnerDeletion", 1);
	return json_pack("{s:s, s:s, s:o, s:O*}", "name", m->name, "namespace", m->ns, "owner",
	                 owner, "spec", data_get(m->cr, "spec"));
}

int render_object(const struct model_cluster *m, enum render_object what,
                  const struct render_values *values, const struct render_options *options,
                  json_t **ret, struct err *err)
{
	enum model_role role = render_object_role(what);
	json_t *part = NULL;
	int rc = 0;
	_cleanup_json_ json_t *ctx = context_of(m), *object = NULL;
	if (is_set(what)) {
		json_object_set_new(ctx, "replicas", json_integer(values->replicas));
		rc = render_pod(m, role, options, &part, err);
		if (rc == 0)
			json_object_set_new(ctx, "pod", part);
	} else if (what == RENDER_TOKEN) {
		json_object_set_new(ctx, "token", json_string(values->token));
	} else if (what >= RENDER_OBSERVER_SEARCH) {
		rc = render_observer(m, what, values, options, ctx, err);
	} else if (what > RENDER_CN_KEDA) {
		rc = render_extra(m, what, options, ctx, err);
	} else if (is_scaling(what)) {
		if (values->scale)
			json_object_set_new(ctx, "scale", json_deep_copy(values->scale));
	} else {
		rc = render_service(m, role, &part, err);
		if (rc == 0)
			json_object_set_new(ctx, "service", part);
	}
	if (rc == 0)
		rc = render_expand(render_template_of(what), ctx, &object, err);
	if (rc == 0)
		rc = render_check_lists(object, err);
	if (rc == 0)
		*ret = TAKE_PTR(object);
	if (rc < 0) {
		autofree char *name = render_object_name(m->name, what);
		return err_wrap(err, "%s %s", render_object_kind(what)->kind, name);
	}
	return 0;
}

/* What C computes for the FE proxy, the Ingress and the disruption budgets. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/render/render.h"

enum { PROXY_PORT = 8080, PROXY_UID = 101 };
#define PROXY_IMAGE "nginx:1.24.0"

static const char *suffix_of(const struct render_options *options)
{
	return options->dns_suffix ? options->dns_suffix : "svc.cluster.local";
}

/* ---- the FE proxy: nginx, which follows an FE's redirect for clients that cannot reach a BE ---- */
static bool has_ipv6(const struct model_cluster *m)
{
	size_t i;
	const json_t *f;
	json_array_foreach(data_get(m->cr, "spec.ipFamilies"), i, f)
	{
		const char *family = json_string_value(f);
		if (family && strcmp(family, "IPv6") == 0)
			return true;
	}
	return false;
}

static json_t *proxy_config(const struct model_cluster *m, const struct render_options *options)
{
	const char *resolver = data_get_str(m->proxy.spec, "resolver");
	json_t *c = json_pack("{s:s, s:s, s:i}", "listen",
	                      has_ipv6(m) ? "[::]:8080 ipv6only=off" : "8080", "suffix",
	                      suffix_of(options), "feHttp", m->part[MODEL_FE].ports.http);
	json_object_set_new(c, "resolver",
	                    resolver && *resolver
	                            ? json_string(resolver)
	                            : json_sprintf("kube-dns.kube-system.%s", suffix_of(options)));
	return c;
}

/* nginx reads its file once. What may change in it goes into the pods' annotations, so that they are
 * replaced; the values that upstream's pods run with leave no trace, so that adoption replaces none. */
static json_t *proxy_annotations(const struct model_cluster *m, const json_t *config)
{
	const json_t *own = data_get(m->proxy.spec, "annotations");
	json_t *all = json_is_object(own) ? json_deep_copy(own) : NULL;
	const char *resolver = data_get_str(config, "resolver");
	const char *listen = data_get_str(config, "listen");
	int64_t http = data_get_int(config, "feHttp", 0);
	if (http == 8030 && strcmp(listen, "8080") == 0 &&
	    strcmp(resolver, "kube-dns.kube-system.svc.cluster.local") == 0)
		return all;
	all = all ? all : json_object();
	json_object_set_new(all, "roost.io/proxy-config",
	                    json_sprintf("%s %d %s", listen, (int)http, resolver));
	return all;
}

static json_t *proxy_labels(const struct model_cluster *m)
{
	json_t *labels = json_object();
	if (m->proxy.pod_labels)
		json_object_update_new(labels, json_deep_copy(m->proxy.pod_labels));
	json_object_set_new(labels, "app.kubernetes.io/component", json_string("fe-proxy"));
	json_object_set_new(labels, "app.starrocks.ownerreference/name",
	                    json_sprintf("%s-fe-proxy", m->name));
	return labels;
}

static void set_unless_null(json_t *pod, const char *key, json_t *value)
{
	if (value)
		json_object_set_new(pod, key, value);
}

static int proxy_pod(const struct model_cluster *m, const struct render_options *options,
                     json_t *ctx, struct err *err)
{
	const struct model_part *p = &m->proxy;
	_cleanup_json_ json_t *config = proxy_config(m, options);
	const char *policy = data_get_str(p->spec, "imagePullPolicy");
	json_t *pod = json_pack("{s:s, s:s, s:o, s:i}", "image",
	                        p->image && *p->image && *p->image != ':' ? p->image : PROXY_IMAGE,
	                        "pullPolicy", policy && *policy ? policy : "IfNotPresent", "labels",
	                        proxy_labels(m), "uid", PROXY_UID);
	json_object_set_new(ctx, "pod", pod);
	json_object_set_new(ctx, "replicas", json_integer(p->replicas));
	set_unless_null(pod, "annotations", proxy_annotations(m, config));
	if (p->startup_s > 0)
		set_unless_null(pod, "startupProbe",
		                render_probe(p->startup_s, 60, "/nginx/health", PROXY_PORT));
	set_unless_null(pod, "livenessProbe",
	                render_probe(p->liveness_s, 3, "/nginx/health", PROXY_PORT));
	set_unless_null(pod, "readinessProbe",
	                render_probe(p->readiness_s, 3, "/nginx/health", PROXY_PORT));
	if (render_proxy_volumes(m, options, pod, err) < 0)
		return err_wrap(err, "spec.starRocksFeProxySpec");
	return 0;
}

static int proxy_service(const struct model_cluster *m, json_t *ctx, struct err *err)
{
	json_t *service = NULL;
	int rc = render_outer_service(m, &m->proxy, "fe-proxy", &service, err);
	if (rc < 0)
		return rc;
	json_object_set_new(
		service, "ports",
		json_pack("[o]", render_port(m->proxy.service, "http-port", PROXY_PORT)));
	json_object_set_new(ctx, "service", service);
	return 0;
}

/* ---- the Ingress ---- */
static void ingress(const struct model_cluster *m, json_t *ctx)
{
	const json_t *spec = data_get(m->cr, "spec.ingress");
	const char *secret = data_get_str(spec, "tlsSecretName");
	const char *host = data_get_str(spec, "host");
	json_t *i = json_pack(
		"{s:o, s:s}", "service",
		json_sprintf("%s-%s-service", m->name, m->proxy.present ? "fe-proxy" : "fe"),
		"port", m->proxy.present ? "http-port" : "http");
	if (secret && *secret && host)
		json_object_set_new(
			i, "tls", json_pack("[{s:[s], s:s}]", "hosts", host, "secretName", secret));
	json_object_set_new(ctx, "ingress", i);
}

/* ---- disruption budgets ---- */
static const struct model_part *budget_part(const struct model_cluster *m, enum render_object what)
{
	return what == RENDER_PROXY_PDB ? &m->proxy : &m->part[what - RENDER_FE_PDB];
}

/* NULL: none. A majority of the FEs stays, BEs go one by one (a tablet's other replicas are on them), compute
 * nodes hold nothing. A budget for a single pod would only forbid to drain its node. */
static json_t *budget(const struct model_cluster *m, enum render_object what)
{
	const struct model_part *p = budget_part(m, what);
	const json_t *own = data_get(p->spec, "podDisruptionBudget.maxUnavailable");
	if (!p->present || data_get_bool(p->spec, "podDisruptionBudget.disabled", false))
		return NULL;
	if (own && !json_is_null(own))
		return json_deep_copy(own);
	if (what == RENDER_CN_PDB || p->replicas <= 1)
		return NULL;
	int64_t n = what == RENDER_FE_PDB ? (p->replicas - 1) / 2 : 1;
	return json_integer(n > 1 ? n : 1);
}

bool render_extra_wanted(const struct model_cluster *m, enum render_object what)
{
	if (what == RENDER_INGRESS)
		return m->part[MODEL_FE].present && data_get_str(m->cr, "spec.ingress.host");
	if (what < RENDER_FE_PDB)
		return m->proxy.present;
	_cleanup_json_ json_t *b = budget(m, what);
	return b;
}

int render_extra(const struct model_cluster *m, enum render_object what,
                 const struct render_options *options, json_t *ctx, struct err *err)
{
	switch (what) {
	case RENDER_PROXY_CONFIG:
		json_object_set_new(ctx, "proxy", proxy_config(m, options));
		return 0;
	case RENDER_PROXY_SERVICE:
		return proxy_service(m, ctx, err);
	case RENDER_PROXY_SET:
		return proxy_pod(m, options, ctx, err);
	case RENDER_INGRESS:
		ingress(m, ctx);
		return 0;
	default:
		json_object_set_new(ctx, "maxUnavailable", budget(m, what));
		return 0;
	}
}

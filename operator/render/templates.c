/* The templates, embedded: .incbin reads them from the root of the tree, where make runs. */
#include <errno.h>

#include "lib/data/yaml.h"
#include "operator/render/render.h"

#define TEMPLATE(symbol, file)                                                              \
	__asm__(".pushsection .rodata\n"                                                    \
	        ".global render_tpl_" #symbol "\n.global render_tpl_" #symbol "_end\n"      \
	        "render_tpl_" #symbol ":\n.incbin \"operator/render/templates/" file "\"\n" \
	        "render_tpl_" #symbol "_end:\n.byte 0\n.popsection\n");                     \
	extern const char render_tpl_##symbol[], render_tpl_##symbol##_end[]

TEMPLATE(token, "token_secret.yaml");
TEMPLATE(fe_search, "fe_search.yaml");
TEMPLATE(fe_service, "fe_service.yaml");
TEMPLATE(fe_set, "fe_statefulset.yaml");
TEMPLATE(be_search, "be_search.yaml");
TEMPLATE(be_service, "be_service.yaml");
TEMPLATE(be_set, "be_statefulset.yaml");
TEMPLATE(cn_search, "cn_search.yaml");
TEMPLATE(cn_service, "cn_service.yaml");
TEMPLATE(cn_set, "cn_deployment.yaml");
TEMPLATE(cn_hpa, "cn_hpa.yaml");
TEMPLATE(cn_keda_auth, "cn_keda_auth.yaml");
TEMPLATE(cn_keda, "cn_scaledobject.yaml");
TEMPLATE(proxy_config, "proxy_config.yaml");
TEMPLATE(proxy_service, "proxy_service.yaml");
TEMPLATE(proxy_set, "proxy_deployment.yaml");
TEMPLATE(ingress, "ingress.yaml");
TEMPLATE(fe_pdb, "fe_pdb.yaml");
TEMPLATE(be_pdb, "be_pdb.yaml");
TEMPLATE(cn_pdb, "cn_pdb.yaml");
TEMPLATE(proxy_pdb, "proxy_pdb.yaml");
TEMPLATE(observer_search, "observer_search.yaml");
TEMPLATE(observer_service, "observer_service.yaml");
TEMPLATE(observer_set, "observer_statefulset.yaml");
TEMPLATE(observer_pdb, "observer_pdb.yaml");

static const struct {
	const char *text, *end, *suffix;
	const struct kube_kind *kind;
	enum model_role role;
} templates[RENDER_OBJECTS] = {
#define ROW(symbol, suffix, kind, role) \
	{ render_tpl_##symbol, render_tpl_##symbol##_end, suffix, &(kind), role }
	[RENDER_TOKEN] = ROW(token, "-roost-token", KUBE_SECRET, MODEL_ROLES),
	[RENDER_FE_SEARCH] = ROW(fe_search, "-fe-search", KUBE_SERVICE, MODEL_FE),
	[RENDER_FE_SERVICE] = ROW(fe_service, "-fe-service", KUBE_SERVICE, MODEL_FE),
	[RENDER_FE_SET] = ROW(fe_set, "-fe", KUBE_STATEFUL_SET, MODEL_FE),
	[RENDER_BE_SEARCH] = ROW(be_search, "-be-search", KUBE_SERVICE, MODEL_BE),
	[RENDER_BE_SERVICE] = ROW(be_service, "-be-service", KUBE_SERVICE, MODEL_BE),
	[RENDER_BE_SET] = ROW(be_set, "-be", KUBE_STATEFUL_SET, MODEL_BE),
	[RENDER_CN_SEARCH] = ROW(cn_search, "-cn-search", KUBE_SERVICE, MODEL_CN),
	[RENDER_CN_SERVICE] = ROW(cn_service, "-cn-service", KUBE_SERVICE, MODEL_CN),
	[RENDER_CN_SET] = ROW(cn_set, "-cn", KUBE_DEPLOYMENT, MODEL_CN),
	[RENDER_CN_HPA] = ROW(cn_hpa, "-cn-autoscaler", KUBE_HPA, MODEL_CN),
	[RENDER_CN_KEDA_AUTH] = ROW(cn_keda_auth, "-cn-scaler", KUBE_TRIGGER_AUTH, MODEL_CN),
	[RENDER_CN_KEDA] = ROW(cn_keda, "-cn", KUBE_SCALED_OBJECT, MODEL_CN),
	[RENDER_PROXY_CONFIG] = ROW(proxy_config, "-fe-proxy", KUBE_CONFIG_MAP, MODEL_ROLES),
	[RENDER_PROXY_SERVICE] = ROW(proxy_service, "-fe-proxy-service", KUBE_SERVICE, MODEL_ROLES),
	[RENDER_PROXY_SET] = ROW(proxy_set, "-fe-proxy", KUBE_DEPLOYMENT, MODEL_ROLES),
	[RENDER_INGRESS] = ROW(ingress, "-fe", KUBE_INGRESS, MODEL_ROLES),
	[RENDER_FE_PDB] = ROW(fe_pdb, "-fe", KUBE_PDB, MODEL_ROLES),
	[RENDER_BE_PDB] = ROW(be_pdb, "-be", KUBE_PDB, MODEL_ROLES),
	[RENDER_CN_PDB] = ROW(cn_pdb, "-cn", KUBE_PDB, MODEL_ROLES),
	[RENDER_PROXY_PDB] = ROW(proxy_pdb, "-fe-proxy", KUBE_PDB, MODEL_ROLES),
	[RENDER_OBSERVER_SEARCH] =
		ROW(observer_search, "-fe-observer-search", KUBE_SERVICE, MODEL_ROLES),
	[RENDER_OBSERVER_SERVICE] =
		ROW(observer_service, "-fe-observer-service", KUBE_SERVICE, MODEL_ROLES),
	[RENDER_OBSERVER_SET] = ROW(observer_set, "-fe-observer", KUBE_STATEFUL_SET, MODEL_ROLES),
	[RENDER_OBSERVER_PDB] = ROW(observer_pdb, "-fe-observer", KUBE_PDB, MODEL_ROLES),
#undef ROW
};

static json_t *parsed[RENDER_OBJECTS];

int render_init(struct err *err)
{
	for (int i = 0; i < RENDER_OBJECTS; i++) {
		size_t n = (size_t)(templates[i].end - templates[i].text);
		if (parsed[i])
			continue;
		if (data_yaml_parse((struct str){ templates[i].text, n }, &parsed[i], err) < 0)
			return err_wrap(err, "template of %s", templates[i].suffix);
	}
	return 0;
}

const json_t *render_template_of(enum render_object what)
{
	return parsed[what];
}

char *render_object_name(const char *cluster, enum render_object what)
{
	return xasprintf("%s%s", cluster, templates[what].suffix);
}

const struct kube_kind *render_object_kind(enum render_object what)
{
	return templates[what].kind;
}

enum model_role render_object_role(enum render_object what)
{
	return templates[what].role;
}

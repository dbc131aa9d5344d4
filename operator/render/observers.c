/* What C computes for FE observers: the FE's own pod under another name, and two Services. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/render/render.h"

bool render_observer_wanted(const struct model_cluster *m, enum render_object what)
{
	const struct model_part *fe = &m->part[MODEL_FE];
	/* Roost's own engine has no observers. */
	int64_t n = fe->present && !m->engine && !m->warehouse ? fe->observers : 0;
	if (what == RENDER_OBSERVER_PDB)
		return n > 1 && !data_get_bool(fe->spec, "podDisruptionBudget.disabled", false);
	return n > 0;
}

/* StarRocks' images from 4.1 on read IS_FE_OBSERVER. Older ones find that they are registered already. */
static void as_observer(const struct model_cluster *m, json_t *pod)
{
	json_t *labels = json_object_get(pod, "labels");
	json_object_set_new(labels, "app.kubernetes.io/component", json_string(RENDER_OBSERVER));
	json_object_set_new(labels, "app.starrocks.ownerreference/name",
	                    json_sprintf("%s-" RENDER_OBSERVER, m->name));
	json_array_append_new(json_object_get(pod, "env"),
	                      json_pack("{s:s, s:s}", "name", "IS_FE_OBSERVER", "value", "true"));
}

static json_t *ports_of(const struct model_ports *p)
{
	json_t *list = json_array();
	json_array_append_new(list, render_port(NULL, "http", p->http));
	json_array_append_new(list, render_port(NULL, "query", p->query));
	if (p->arrow_flight)
		json_array_append_new(list, render_port(NULL, "arrow-flight", p->arrow_flight));
	return list;
}

int render_observer(const struct model_cluster *m, enum render_object what,
                    const struct render_values *values, const struct render_options *options,
                    json_t *ctx, struct err *err)
{
	const struct model_ports *ports = &m->part[MODEL_FE].ports;
	json_t *pod = NULL;
	if (what == RENDER_OBSERVER_SET) {
		int rc = render_pod(m, MODEL_FE, options, &pod, err);
		if (rc < 0)
			return rc;
		as_observer(m, pod);
		json_object_set_new(ctx, "pod", pod);
		json_object_set_new(ctx, "replicas", json_integer(values->replicas));
	} else if (what != RENDER_OBSERVER_PDB) {
		json_t *service = json_pack("{s:o, s:[o]}", "ports", ports_of(ports), "searchPorts",
		                            render_port(NULL, "query-port", ports->query));
		json_object_set_new(ctx, "service", service);
	}
	return 0;
}

/* spec.fence: pods that are kept as they are and taken out of service (decision 0121). Pure. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

#define FENCED ".fenced"

static bool named(const json_t *names, const char *pod)
{
	size_t i;
	const json_t *n;
	json_array_foreach((json_t *)(uintptr_t)names, i, n)
	{
		const char *name = json_string_value(n);
		if (name && strcmp(name, pod) == 0)
			return true;
	}
	return false;
}

/* The role that a fenced pod had; MODEL_ROLES: it is none. */
static enum model_role fenced_role(const json_t *pod)
{
	const char *component =
		data_get_str(pod, "metadata.labels.app\\.kubernetes\\.io/component");
	for (int r = 0; component && r < MODEL_ROLES; r++) {
		size_t n = strlen(MODEL_ROLE_NAME[r]);
		if (strncmp(component, MODEL_ROLE_NAME[r], n) == 0 &&
		    strcmp(component + n, FENCED) == 0)
			return (enum model_role)r;
	}
	return MODEL_ROLES;
}

/* owner: while it is fenced the cluster itself owns the pod, so that it does not outlive it. */
static void relabel(struct step *s, const json_t *pod, const char *component, bool owner)
{
	json_t *w = json_pack(
		"{s:s, s:s, s:s*, s:s*, s:s*, s:s}", "verb", "fence", "kind", "Pod", "name",
		data_get_str(pod, "metadata.name"), "uid", data_get_str(pod, "metadata.uid"),
		"version", data_get_str(pod, "metadata.resourceVersion"), "component", component);
	json_t *owners = json_array();
	if (owner)
		json_array_append_new(owners, json_pack("{s:s, s:s, s:s, s:s}", "apiVersion",
		                                        KUBE_CLUSTER.api, "kind", KUBE_CLUSTER.kind,
		                                        "name", s->m->name, "uid", s->m->uid));
	json_object_set_new(w, "owners", owners);
	json_array_append_new(s->writes, w);
}

static void out_of_service(struct step *s, const json_t *pod, enum model_role role)
{
	autofree char *component = xasprintf("%s" FENCED, MODEL_ROLE_NAME[role]);
	relabel(s, pod, component, true);
	reconcile_event(s, "Normal", "Fenced", "pod %s is taken out of service and kept",
	                data_get_str(pod, "metadata.name"));
}

/* A StatefulSet takes its pod back. A Deployment has replaced it long ago. */
static void back(struct step *s, const json_t *pod, enum model_role role)
{
	if (role == MODEL_CN)
		reconcile_delete(s, "Pod", pod);
	else
		relabel(s, pod, MODEL_ROLE_NAME[role], false);
	reconcile_event(s, "Normal", "Unfenced", "pod %s", data_get_str(pod, "metadata.name"));
}

/* The FE asks a fenced compute node no more; it registers itself only when it starts. */
static void forget_node(struct step *s, const json_t *pod)
{
	const char *ip = data_get_str(pod, "status.podIP");
	size_t i;
	const json_t *n;
	json_array_foreach(json_object_get(reconcile_fe(s), "nodes"), i, n)
	{
		const char *host = data_get_str(n, "host");
		if (ip && host && strcmp(host, ip) == 0)
			reconcile_intent(s, "drop_node", n);
	}
}

void reconcile_fence(struct step *s)
{
	const json_t *names = data_get(s->m->cr, "spec.fence");
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *name = data_get_str(pod, "metadata.name");
		enum model_role role = reconcile_pod_role(s, pod), was = fenced_role(pod);
		bool wanted = name && named(names, name);
		if (!name || data_get_str(pod, "metadata.deletionTimestamp"))
			continue;
		if (wanted && role != MODEL_ROLES)
			out_of_service(s, pod, role);
		else if (!wanted && was != MODEL_ROLES)
			back(s, pod, was);
		if (!wanted || was == MODEL_ROLES)
			continue;
		if (was == MODEL_CN)
			forget_node(s, pod);
		size_t used = strlen(s->fenced);
		snprintf(s->fenced + used, sizeof(s->fenced) - used, "%s%s", used ? ", " : "",
		         name);
	}
}

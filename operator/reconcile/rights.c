/* Kinds that the operator may not read, as under the RBAC of upstream's operator: their objects are neither made nor taken away.
 * Whoever asked for one is told that it is missing, and of what comes by itself a condition says that it does not. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step_priv.h"

void reconcile_add_refused(const struct worker *w, json_t *world)
{
	static const struct kube_kind *const kinds[] = { &KUBE_HPA, &KUBE_INGRESS, &KUBE_PDB,
		                                         &KUBE_SCALED_OBJECT };
	const char *ns = data_get_str(json_object_get(world, "cr"), "metadata.namespace");
	_cleanup_json_ json_t *refused = json_object();
	for (size_t i = 0; ns && i < ARRAY_LEN(kinds); i++) {
		autofree char *why = observe_watches_refusal(w->r->config.watches, kinds[i], ns);
		if (why)
			json_object_set_new(refused, kinds[i]->kind, json_string(why));
	}
	if (json_object_size(refused) > 0)
		json_object_set(world, "refused", refused);
}

/* ---- pure from here ---- */
bool reconcile_refused(struct step *s, const char *kind)
{
	const char *why = data_get_str(json_object_get(s->world, "refused"), kind);
	size_t used = strlen(s->without);
	if (!why)
		return false;
	if (strcmp(kind, KUBE_INGRESS.kind) == 0 || strcmp(kind, KUBE_HPA.kind) == 0)
		reconcile_trouble(s, "Forbidden", "%s is asked for and cannot be made: %s", kind,
		                  why);
	else if (!strstr(s->without, kind))
		snprintf(s->without + used, sizeof(s->without) - used, "%s%s is not made: %s",
		         used ? "; " : "", kind, why);
	return true;
}

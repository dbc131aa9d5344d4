/* What a person is told besides: fields without effect, and why an FE says nothing. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

/* ---- why the FE does not answer ---- */
char *reconcile_silence(const struct step *s)
{
	const json_t *fe = json_object_get(s->world, "fe");
	const char *error = data_get_str(fe, "error");
	if (!s->fe_was_up)
		return xstrdup(" (no FE is ready)");
	if (!error || data_get_bool(fe, "ok", false))
		return xstrdup("");
	return xasprintf(" (%s)", error);
}

/* ---- compute nodes are pods of a Deployment ---- */
static void ignored(struct step *s, const char *path, const char *why)
{
	reconcile_event(s, "Warning", "FieldIgnored",
	                "%s.%s has no effect: compute nodes are pods of a Deployment, %s",
	                s->m->warehouse ? "spec.template" : "spec.starRocksCnSpec", path, why);
}

static bool is(const json_t *spec, const char *path, const char *value)
{
	const char *v = data_get_str(spec, path);
	return v && strcmp(v, value) == 0;
}

void reconcile_ignored(struct step *s)
{
	const struct model_part *p = &s->m->part[MODEL_CN];
	/* Once for what is new of the CR. */
	if (data_get_int(s->m->cr, "status.observedGeneration", -1) >= s->m->generation)
		return;
	if (data_get_bool(s->m->cr, "spec.disasterRecovery.enabled", false) && !s->m->dr.enabled)
		reconcile_event(s, "Warning", "FieldIgnored",
		                "spec.disasterRecovery has no effect: it needs run_mode = "
		                "shared_data in the FE's configuration");
	if (!p->present)
		return;
	if (is(p->spec, "podManagementPolicy", "OrderedReady"))
		ignored(s, "podManagementPolicy: OrderedReady", "which start all at once");
	if (is(p->spec, "persistentVolumeClaimRetentionPolicy.whenScaled", "Retain") ||
	    is(p->spec, "persistentVolumeClaimRetentionPolicy.whenDeleted", "Retain"))
		ignored(s, "persistentVolumeClaimRetentionPolicy",
		        "and each of their volumes goes with its pod");
	if (is(p->spec, "updateStrategy.type", "OnDelete"))
		ignored(s, "updateStrategy.type: OnDelete", "which are always replaced one by one");
	if (data_get_int(p->spec, "updateStrategy.rollingUpdate.partition", 0) > 0)
		ignored(s, "updateStrategy.rollingUpdate.partition", "which have no numbers");
}

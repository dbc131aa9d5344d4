/* The volume claims of an FE that has left for good: its catalog says that it was dropped, and would come back as that
 * under the same name (decision 0126). The first half is pure, the second carries the write out. */
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"
#include "operator/reconcile/step_priv.h"

#define OWNER "metadata.labels.app\\.starrocks\\.ownerreference/name"
#define KEEP "metadata.annotations.roost\\.io/keep-claims"

/* ---- what is to go ---- */
void reconcile_forget_claims(struct step *s, const json_t *live, int64_t ordinal)
{
	const char *keep = data_get_str(s->m->cr, KEEP);
	const char *set = data_get_str(live, "metadata.name");
	size_t i;
	const json_t *c;
	if (!set || (keep && strcmp(keep, "true") == 0))
		return;
	json_array_foreach(data_get(live, "spec.volumeClaimTemplates"), i, c)
	{
		const char *volume = data_get_str(c, "metadata.name");
		if (!volume)
			continue;
		autofree char *name = xasprintf("%s-%s-%lld", volume, set, (long long)ordinal);
		json_array_append_new(s->writes,
		                      json_pack("{s:s, s:s, s:s, s:s}", "verb", "forget", "kind",
		                                "PersistentVolumeClaim", "name", name, "set", set));
		reconcile_event(s, "Normal", "ClaimForgotten",
		                "claim %s goes: the FE that had it was dropped", name);
	}
}

/* ---- its going: before its pod, which holds it until then, so that no failure in between leaves it behind ---- */
int reconcile_forget_claim(struct worker *w, const struct kube_ref *ref, const json_t *world,
                           const json_t *write, struct err *err)
{
	_cleanup_json_ json_t *claim = NULL;
	const char *set = data_get_str(write, "set");
	int rc = kube_get(w->kube, ref, &claim, err);
	if (rc == KUBE_NOT_FOUND)
		return 0;
	const char *owner = data_get_str(claim, OWNER);
	const char *keep = data_get_str(claim, KEEP);
	if (rc != 0)
		return rc;
	if (data_get_str(claim, "metadata.deletionTimestamp") || !owner || !set ||
	    strcmp(owner, set) != 0 || (keep && strcmp(keep, "true") == 0))
		return 0;
	rc = reconcile_guard_cluster(w->kube, json_object_get(world, "cr"), err);
	if (rc == 0)
		rc = kube_delete(w->kube, ref, data_get_str(claim, "metadata.uid"),
		                 data_get_str(claim, "metadata.resourceVersion"), err);
	if (rc == 0) {
		observe_metric_add(OBSERVE_WRITES_DELETE, 1);
		log_info("namespace=%s claim %s of an FE that was dropped is deleted", ref->ns,
		         ref->name);
	}
	return rc == KUBE_NOT_FOUND ? 0 : rc;
}

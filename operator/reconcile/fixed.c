/* What cannot be changed of a StatefulSet that exists, in the words of the CR: the server's refusal names fields that the
 * user never wrote, and would keep an image or a number of replicas back as well. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

#define REASON "FixedField"

static const char *const spec_of[MODEL_ROLES] = { "spec.starRocksFeSpec", "spec.starRocksBeSpec",
	                                          "spec.starRocksCnSpec" };

static const json_t *claim_named(const json_t *set, const char *name)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(set, "spec.volumeClaimTemplates"), i, c)
	{
		const char *n = data_get_str(c, "metadata.name");
		if (n && name && strcmp(n, name) == 0)
			return c;
	}
	return NULL;
}

/* A claim that the pods have not got cannot be given to them, so the template that mounts it has to wait as well. */
static bool claims_differ(struct step *s, const char *spec, const json_t *live,
                          const json_t *desired)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(desired, "spec.volumeClaimTemplates"), i, c)
	{
		const char *name = data_get_str(c, "metadata.name");
		const json_t *there = claim_named(live, name);
		const char *class = data_get_str(c, "spec.storageClassName");
		const char *old = data_get_str(there, "spec.storageClassName");
		if (!there) {
			reconcile_trouble(
				s, REASON,
				"%s.storageVolumes: nodes that exist cannot get the volume %s, "
				"since the claims of a StatefulSet are fixed; take it out again "
				"(storageClassName emptyDir or hostPath can be added)",
				spec, name);
			return true;
		}
		if (class && (!old || strcmp(class, old) != 0)) {
			reconcile_trouble(s, REASON,
			                  "%s.storageVolumes: volume %s has the storageClassName "
			                  "%s and cannot get %s; put the old one back",
			                  spec, name, old ? old : "(none)", class);
			return true;
		}
	}
	json_array_foreach(data_get(live, "spec.volumeClaimTemplates"), i, c)
	{
		const char *name = data_get_str(c, "metadata.name");
		if (claim_named(desired, name))
			continue;
		reconcile_trouble(
			s, REASON,
			"%s.storageVolumes: the volume %s cannot be taken from nodes that "
			"exist, since the claims of a StatefulSet are fixed; put it back",
			spec, name);
		return true;
	}
	return false;
}

bool reconcile_fixed(struct step *s, enum model_role role, const json_t *live, json_t *desired)
{
	const char *policy = data_get_str(desired, "spec.podManagementPolicy");
	const char *old = data_get_str(live, "spec.podManagementPolicy");
	if (policy && old && strcmp(policy, old) != 0) {
		reconcile_trouble(s, REASON,
		                  "%s.podManagementPolicy is %s and cannot become %s while the "
		                  "StatefulSet lives; put the old one back",
		                  spec_of[role], old, policy);
		data_set(desired, "spec.podManagementPolicy", json_string(old));
	}
	if (!claims_differ(s, spec_of[role], live, desired))
		return false;
	reconcile_only_replicas(s, live, desired);
	return true;
}

/* Volumes that grow: the claims first, then the StatefulSet, whose claim templates cannot be edited, is deleted
 * without its pods and made anew; it takes the pods over. */
#include <string.h>

#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "operator/reconcile/step_priv.h"

#define STORAGE "spec.resources.requests.storage"

static const json_t *named(const json_t *list, const char *name)
{
	size_t i;
	const json_t *x;
	json_array_foreach((json_t *)(uintptr_t)list, i, x)
	{
		const char *n = data_get_str(x, "metadata.name");
		if (n && name && strcmp(n, name) == 0)
			return x;
	}
	return NULL;
}

static int64_t bytes_of(const json_t *claim)
{
	const char *text = data_get_str(claim, STORAGE);
	int64_t bytes = -1;
	return text && data_quantity(str_of(text), &bytes, NULL) == 0 ? bytes : -1;
}

static void grow(struct step *s, const json_t *live, const char *volume, const char *size)
{
	const char *set = data_get_str(live, "metadata.name");
	int64_t n = data_get_int(live, "spec.replicas", 1);
	int64_t first = data_get_int(live, "spec.ordinals.start", 0);
	for (int64_t i = first; i < first + n; i++) {
		autofree char *claim = xasprintf("%s-%s-%lld", volume, set, (long long)i);
		json_array_append_new(s->writes, json_pack("{s:s, s:s, s:s, s:s}", "verb", "grow",
		                                           "kind", "PersistentVolumeClaim", "name",
		                                           claim, "size", size));
	}
}

/* The one that is desired keeps the live size, except where it may grow: returns whether any does. */
static bool compare(struct step *s, enum model_role role, const json_t *live, json_t *desired)
{
	const json_t *there = data_get(live, "spec.volumeClaimTemplates");
	bool any = false;
	size_t i;
	json_t *claim;
	json_array_foreach(data_get(desired, "spec.volumeClaimTemplates"), i, claim)
	{
		const char *volume = data_get_str(claim, "metadata.name");
		const json_t *old = named(there, volume);
		int64_t was = bytes_of(old), shall = bytes_of(claim);
		if (was < 0 || shall < 0 || was == shall)
			continue;
		if (shall > was) {
			grow(s, live, volume, data_get_str(claim, STORAGE));
			any = true;
		} else {
			reconcile_trouble(s, "VolumeShrinkRefused",
			                  "volume %s of %s has %s and cannot shrink to %s; put the "
			                  "size back, or move the data to new nodes",
			                  volume, MODEL_ROLE_NAME[role], data_get_str(old, STORAGE),
			                  data_get_str(claim, STORAGE));
		}
		data_set(claim, STORAGE, json_deep_copy(data_get(old, STORAGE)));
	}
	return any;
}

bool reconcile_expand(struct step *s, enum model_role role, const json_t *live, json_t *desired)
{
	const char *type = data_get_str(live, "spec.updateStrategy.type");
	size_t before = json_array_size(s->writes);
	if (!compare(s, role, live, desired))
		return true;
	/* Not in the middle of a change: the set that is made anew would begin it again. */
	if (type && strcmp(type, "OnDelete") == 0) {
		while (json_array_size(s->writes) > before)
			json_array_remove(s->writes, json_array_size(s->writes) - 1);
		reconcile_wait(s, "volumes of %s grow after the change of its pods",
		               MODEL_ROLE_NAME[role]);
		return true;
	}
	reconcile_wait(s, "volumes of %s grow", MODEL_ROLE_NAME[role]);
	json_array_append_new(s->writes,
	                      json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "verb", "orphan", "kind",
	                                "StatefulSet", "name", data_get_str(live, "metadata.name"),
	                                "uid", data_get_str(live, "metadata.uid"), "version",
	                                data_get_str(live, "metadata.resourceVersion")));
	return false;
}

/* Statuses under CRDs that are older than this operator: the API server drops the fields that their schema does not have. What
 * it dropped is remembered here, so that it is not written again each second, and so that conditions keep their times and
 * are not told anew. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/release.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"

/* Only what is durable may be relied on when pods are stopped: without it the step says so. */
#define NOTE "hibernatedReplicas"

/* RFC 7386, onto a value that is the caller's; gives what it has become. */
static json_t *merged(json_t *onto, const json_t *patch, const char *but)
{
	const char *key;
	json_t *value;
	if (!json_is_object(patch)) {
		json_decref(onto);
		return json_deep_copy(patch);
	}
	if (!json_is_object(onto)) {
		json_decref(onto);
		onto = json_object();
	}
	json_object_foreach((json_t *)(uintptr_t)patch, key, value)
	{
		if (but && strcmp(key, but) == 0)
			continue;
		if (json_is_null(value))
			json_object_del(onto, key);
		else
			json_object_set_new(
				onto, key,
				merged(json_incref(json_object_get(onto, key)), value, but));
	}
	return onto;
}

json_t *reconcile_unkept(const json_t *patch, const json_t *answer)
{
	const json_t *got = json_object_get(answer, "status");
	_cleanup_json_ json_t *before = json_is_object(got) ? json_deep_copy(got) : json_object();
	_cleanup_json_ json_t *asked = merged(json_deep_copy(before), patch, NULL);
	return reconcile_merge_diff(before, asked);
}

void reconcile_add_unkept(const struct record *rec, json_t *world)
{
	json_t *cr = json_object_get(world, "cr");
	const json_t *kept = json_object_get(cr, "status");
	/* The status of what goes, or is another's, is nobody's concern. */
	if (!rec->unkept || data_get_str(cr, "metadata.deletionTimestamp") ||
	    reconcile_released(cr))
		return;
	json_t *whole = json_is_object(kept) ? json_deep_copy(kept) : json_object();
	json_object_set_new(world, "kept", json_deep_copy(whole));
	json_object_set_new(cr, "status", merged(whole, rec->unkept, NOTE));
	json_object_set(world, "unkept", rec->unkept);
}

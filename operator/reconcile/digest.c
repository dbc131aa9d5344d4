/* Digests and differences of JSON values. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step.h"

void reconcile_digest(const json_t *desired, char out[17])
{
	autofree char *text = data_json_text(desired);
	snprintf(out, 17, "%016llx", (unsigned long long)str_hash(str_of(text), 0x726f6f7374ULL));
}

/* The live values of exactly those fields that are desired. The server adds defaults and writes "1000m" as
 * "1"; comparing its own words of then and now needs to know nothing about either. */
static json_t *project(const json_t *desired, const json_t *live);

/* Maps that Kubernetes takes as one value: a key that somebody added to them is drift as well. */
static bool atomic_map(const char *key)
{
	return strcmp(key, "selector") == 0 || strcmp(key, "nodeSelector") == 0;
}

static json_t *project_key(const char *key, const json_t *desired, const json_t *live)
{
	if (!live)
		return json_null();
	return atomic_map(key) ? json_deep_copy(live) : project(desired, live);
}

static json_t *project(const json_t *desired, const json_t *live)
{
	const char *key;
	json_t *value;
	size_t i;
	json_t *d = (json_t *)(uintptr_t)desired;
	if (json_is_object(desired) && json_is_object(live)) {
		json_t *out = json_object();
		json_object_foreach(d, key, value)
		{
			const json_t *there = json_object_get(live, key);
			json_object_set_new(out, key, project_key(key, value, there));
		}
		return out;
	}
	if (json_is_array(desired) && json_is_array(live)) {
		json_t *out = json_array();
		json_array_foreach((json_t *)(uintptr_t)live, i, value)
		{
			const json_t *wanted = json_array_get(desired, i);
			json_array_append_new(out, wanted ? project(wanted, value)
			                                  : json_deep_copy(value));
		}
		return out;
	}
	return json_deep_copy(live);
}

void reconcile_live_digest(const json_t *desired, const json_t *live, char out[17])
{
	_cleanup_json_ json_t *p = project(desired, live);
	reconcile_digest(p, out);
}

json_t *reconcile_merge_diff(const json_t *from, const json_t *to)
{
	const char *key;
	json_t *value;
	if (!json_is_object(from) || !json_is_object(to))
		return json_equal(from, to) ? NULL : json_deep_copy(to);
	json_t *patch = json_object();
	json_object_foreach((json_t *)(uintptr_t)from, key, value)
	{
		if (!json_object_get(to, key))
			json_object_set_new(patch, key, json_null());
	}
	json_object_foreach((json_t *)(uintptr_t)to, key, value)
	{
		const json_t *old = json_object_get(from, key);
		json_t *d = old ? reconcile_merge_diff(old, value) : json_deep_copy(value);
		if (d)
			json_object_set_new(patch, key, d);
	}
	if (json_object_size(patch) > 0)
		return patch;
	json_decref(patch);
	return NULL;
}

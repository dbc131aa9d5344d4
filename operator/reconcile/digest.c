/* Digests and differences of JSON values. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step.h"

void reconcile_digest(const json_t *value, char out[17])
{
	autofree char *text = data_json_text(value);
	snprintf(out, 17, "%016llx", (unsigned long long)str_hash(str_of(text), 0x726f6f7374ULL));
}

/* ---- without a copy or a text: for this process only ---- */
static uint64_t mix(uint64_t a, uint64_t b)
{
	uint64_t h = (a ^ (b >> 29)) * 0x9e3779b97f4a7c15ULL + b;
	return (h ^ (h >> 32)) * 0xd6e8feb86659fd93ULL;
}

static uint64_t hash_text(const char *p, size_t n)
{
	return str_hash((struct str){ p, n }, 0x74657874ULL);
}

static uint64_t hash_scalar(const json_t *j)
{
	uint64_t bits = 0;
	double d = json_real_value(j);
	switch (json_typeof(j)) {
	case JSON_STRING:
		return hash_text(json_string_value(j), json_string_length(j));
	case JSON_INTEGER:
		return mix(JSON_INTEGER, (uint64_t)json_integer_value(j));
	case JSON_REAL:
		memcpy(&bits, &d, sizeof(bits));
		return mix(JSON_REAL, bits);
	default:
		return mix((uint64_t)json_typeof(j), 1);
	}
}

/* Maps that Kubernetes takes as one value: a key that somebody added to them is drift as well. */
static bool atomic_map(const char *key)
{
	return strcmp(key, "selector") == 0 || strcmp(key, "nodeSelector") == 0;
}

/* The live values of exactly those fields that are desired (NULL: of all). The server adds defaults and writes "1000m"
 * as "1"; comparing its own words of then and now needs to know nothing about either. */
static uint64_t hash(const json_t *desired, const json_t *live)
{
	const char *key;
	json_t *value;
	size_t i;
	uint64_t h = 0;
	if (!live)
		return hash_scalar(json_null());
	if (json_is_object(live)) {
		const json_t *keys = json_is_object(desired) ? desired : live;
		/* Summed: an object has no order. */
		json_object_foreach((json_t *)(uintptr_t)keys, key, value)
		{
			const json_t *wanted = keys == desired && !atomic_map(key) ? value : NULL;
			h += mix(hash_text(key, strlen(key)),
			         hash(wanted, json_object_get(live, key)));
		}
		return mix(JSON_OBJECT, h);
	}
	if (json_is_array(live)) {
		json_array_foreach((json_t *)(uintptr_t)live, i, value) h = mix(
			h, hash(json_is_array(desired) ? json_array_get(desired, i) : NULL, value));
		return mix(JSON_ARRAY, h);
	}
	return hash_scalar(live);
}

void reconcile_live_digest(const json_t *desired, const json_t *live, char out[17])
{
	snprintf(out, 17, "%016llx", (unsigned long long)hash(desired, live));
}

void reconcile_desired_digest(const json_t *desired, char out[17])
{
	snprintf(out, 17, "%016llx", (unsigned long long)hash(NULL, desired));
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

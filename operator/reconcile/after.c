/* What of a round may still be written after something in it was not: an object that the server fails at (a webhook that is
 * away, a store that times out) keeps back what depends on it and whatever takes something away. Pure. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

/* So many in a row are not an object's trouble but the server's; and no cluster takes more of a worker's time (a time-out is ten
 * seconds) from the others. */
enum { IN_A_ROW_MAX = 3, LOST_MAX_MS = 15000 };

static bool is(const json_t *write, const char *key, const char *const *words)
{
	const char *value = data_get_str(write, key);
	for (; value && *words; words++)
		if (strcmp(value, *words) == 0)
			return true;
	return false;
}

static bool is_set(const json_t *write)
{
	static const char *const sets[] = { "StatefulSet", "Deployment", NULL };
	return is(write, "kind", sets);
}

static char *key_of(const json_t *write)
{
	static const char *const forget[] = { "forget", NULL };
	const char *kind = data_get_str(write, "kind");
	const char *name = data_get_str(write, "name");
	/* The claim of a pod goes before the pod: it is the set that depends on it. */
	if (is(write, "verb", forget))
		return xasprintf("StatefulSet/%s", data_get_str(write, "set"));
	return xasprintf("%s/%s", kind ? kind : "", name ? name : "");
}

/* Pods, volumes, objects or a CR go by it, or may. */
static bool takes_away(const json_t *world, const json_t *write)
{
	static const char *const taking[] = { "delete", "drain",      "forget", "fence",
		                              "scale",  "finalizers", NULL };
	if (is(write, "verb", taking))
		return true;
	if (!is_set(write))
		return false;
	autofree char *key = key_of(write);
	const json_t *live = json_object_get(json_object_get(world, "objects"), key);
	return live && data_get_int(write, "object.spec.replicas", 1) <
	                       data_get_int(live, "spec.replicas", 1);
}

bool reconcile_held_back(const struct aftermath *a, const json_t *world, const json_t *write)
{
	static const char *const orphan[] = { "orphan", NULL };
	if (!a->failed)
		return false;
	/* A set goes for being made anew only after all its claims have grown. */
	if (a->all || is(write, "verb", orphan))
		return true;
	autofree char *key = key_of(write);
	if (json_object_get(a->objects, key))
		return true;
	return a->later && (takes_away(world, write) || (a->settings && is_set(write)));
}

void reconcile_not_written(struct aftermath *a, const json_t *write, bool later)
{
	static const char *const finalizers[] = { "finalizers", NULL }, *const forget[] = {
		"forget", NULL
	};
	static const char *const settings[] = { "ConfigMap", "Secret", NULL };
	a->failed = true;
	/* From the first node on there is something that the finalizer is for. */
	a->all = a->all || is(write, "verb", finalizers);
	if (later || is(write, "verb", forget)) {
		autofree char *key = key_of(write);
		json_object_set_new(a->objects, key, json_true());
	}
	if (!later)
		return;
	a->later = true;
	a->settings = a->settings || is(write, "kind", settings);
}

bool reconcile_goes_on(struct aftermath *a, int outcome, int64_t asked_ms, int64_t took_ms)
{
	a->lost_ms += took_ms;
	if (a->lost_ms > LOST_MAX_MS)
		return false;
	/* A server that says when to come again speaks for all objects. */
	if (outcome == KUBE_BUSY && asked_ms <= 0)
		return ++a->in_a_row < IN_A_ROW_MAX;
	return outcome == -ETIMEDOUT;
}

/* Upstream's operator beside this one, without a lease in common: what was adopted is signed by it again, and again. */
#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

/* An adoption is once; a rollback of one is twice. */
enum { TIMES = 3, WITHIN_MS = 60000, TOLD_MS = 300000 };

void reconcile_note_rival(struct record *rec, const struct kube_ref *ref)
{
	int64_t now = clock_mono_ms();
	autofree char *key = xasprintf("%s/%s", ref->kind->kind, ref->name);
	rec->adopted = rec->adopted ? rec->adopted : json_object();
	json_t *times = json_object_get(rec->adopted, key);
	if (!times) {
		times = json_array();
		json_object_set_new(rec->adopted, key, times);
	}
	while (json_array_size(times) > 0 &&
	       now - json_integer_value(json_array_get(times, 0)) > WITHIN_MS)
		json_array_remove(times, 0);
	json_array_append_new(times, json_integer(now));
	if (json_array_size(times) < TIMES)
		return;
	free(rec->rival);
	rec->rival = TAKE_PTR(key);
	rec->rival_at_ms = now;
}

void reconcile_add_rival(const struct record *rec, json_t *world)
{
	if (rec->rival && clock_mono_ms() - rec->rival_at_ms < TOLD_MS)
		json_object_set_new(world, "rival", json_string(rec->rival));
}

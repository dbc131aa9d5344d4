/* Backends follow the scaler up, and never down: they hold data, and emptying one is a person's decision.
 *
 * spec.starRocksBeSpec.replicas is the least, roostAutoscaling.maxReplicas the most; in between stays the highest number
 * that the scaler ever wanted, which the status remembers (scaledTo). Whoever wants fewer again lowers maxReplicas, or
 * takes roostAutoscaling away: then backends leave as they always do, one by one and empty. */
#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { WISH_FRESH_MS = 15000 };

/* What was raised before. Without a status of ours (a CR made anew around its pods) what runs counts. */
static int64_t raised_before(const struct step *s)
{
	const json_t *be = data_get(s->m->cr, "status.starRocksBeStatus");
	return json_is_object(be) ? data_get_int(be, "scaledTo", 0)
	                          : reconcile_live_replicas(s, MODEL_BE, 0);
}

void reconcile_scale_backends(struct step *s, struct model_cluster *m)
{
	struct model_part *part = &m->part[MODEL_BE];
	const json_t *scaling = data_get(part->spec, "roostAutoscaling");
	const json_t *wish = json_object_get(s->world, "wanted_be");
	int64_t max = data_get_int(scaling, "maxReplicas", 0);
	if (!part->present || !json_is_object(scaling) || !data_get_bool(scaling, "enabled", true))
		return;
	int64_t before = raised_before(s), n = before;
	if (s->now_ms - data_get_int(wish, "at_ms", 0) <= WISH_FRESH_MS && !s->paused &&
	    !s->hibernating && data_get_int(wish, "replicas", 0) > n)
		n = data_get_int(wish, "replicas", 0);
	n = n > max ? max : n;
	if (n > before && n > part->replicas)
		reconcile_event(s, "Normal", "BackendsAdded",
		                "queries wait for backends: %lld of them are wanted, at most %lld",
		                (long long)n, (long long)max);
	s->be_scaled = n;
	if (n > part->replicas)
		part->replicas = n;
}

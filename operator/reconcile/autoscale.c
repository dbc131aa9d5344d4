/* KEDA's objects for the compute nodes, when KEDA is installed.
 *
 * The fast path (observe/scale.c) has patched /scale long before KEDA asks; the ScaledObject is there so that the number
 * is still followed when this operator is not, and so that nothing else scales the same target. The two must not fight:
 * an HPA holds a step of less than 10% to be none, and writes the number back that it last saw. So while a step is under
 * way, and for three of the HPA's rounds after it, the number is pinned (decision 0160). */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { PIN_HOLD_MS = 45000, WISH_FRESH_MS = 15000 };

/* Going up the HPA may not go below the wish, going down not above it. */
static void pin(struct step *s, int64_t *min, int64_t *max)
{
	const json_t *w = json_object_get(s->world, "wanted");
	int64_t n = data_get_int(w, "replicas", -1);
	int64_t from = data_get_int(w, "from", n);
	int64_t since = data_get_int(w, "since_ms", 0);
	if (n <= 0 || n == from || s->now_ms - data_get_int(w, "at_ms", 0) > WISH_FRESH_MS)
		return;
	int64_t left = since + PIN_HOLD_MS - s->now_ms;
	if (left <= 0)
		return;
	if (n > from && n > *min)
		*min = n < *max ? n : *max;
	if (n < from && n < *max)
		*max = n > *min ? n : *min;
	reconcile_requeue(s, left + 1);
}

/* {url of the pool's document, limits, how to show oneself}. */
static json_t *scale_of(struct step *s, const json_t *keda)
{
	const struct model_scaling *m = &s->m->scaling;
	const char *secret = data_get_str(keda, "token");
	int64_t min = m->min, max = m->max;
	pin(s, &min, &max);
	int64_t fallback = m->fallback ? m->fallback : (m->min ? m->min : 1);
	autofree char *url = xasprintf("%s/v1/namespaces/%s/clusters/%s/pools/cn",
	                               data_get_str(keda, "url"), s->m->ns, s->m->name);
	json_t *scale = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s*}", "url", url, "min",
	                          (json_int_t)min, "max", (json_int_t)max, "fallback",
	                          (json_int_t)fallback, "poll", (json_int_t)m->poll_s, "cooldown",
	                          (json_int_t)m->cooldown_s, "secret", secret);
	if (s->scale_in_paused)
		json_object_set_new(
			scale, "annotations",
			json_pack("{s:s}", "autoscaling.keda.sh/paused-scale-in", "true"));
	if (json_is_object(m->auth)) {
		json_object_set_new(scale, "authRef", json_deep_copy(m->auth));
	} else if (secret) {
		autofree char *auth = render_object_name(s->m->name, RENDER_CN_KEDA_AUTH);
		json_object_set_new(scale, "authRef", json_pack("{s:s}", "name", auth));
	}
	if (json_object_get(scale, "authRef"))
		json_object_set_new(scale, "authMode", json_string("bearer"));
	return scale;
}

void reconcile_keda(struct step *s)
{
	const json_t *keda = json_object_get(s->world, "keda");
	const char *secret = data_get_str(keda, "token");
	bool wanted = s->m->scaling.enabled && s->m->scaling.keda && s->m->part[MODEL_CN].present &&
	              !s->hibernating;
	if (!keda && wanted)
		reconcile_refused(s, KUBE_SCALED_OBJECT.kind);
	if (!keda)
		return;
	if (!wanted) {
		reconcile_unwanted(s, RENDER_CN_KEDA);
		reconcile_unwanted(s, RENDER_CN_KEDA_AUTH);
		return;
	}
	_cleanup_json_ json_t *scale = scale_of(s, keda);
	struct render_values values = { .scale = scale };
	if (secret && !s->m->scaling.auth) {
		if (!data_get_bool(keda, "have", false))
			json_array_append_new(s->writes,
			                      json_pack("{s:s, s:s, s:s}", "verb", "scaler_secret",
			                                "kind", "Secret", "name", secret));
		reconcile_want_as(s, RENDER_CN_KEDA_AUTH, &values);
	} else {
		reconcile_unwanted(s, RENDER_CN_KEDA_AUTH);
	}
	reconcile_want_as(s, RENDER_CN_KEDA, &values);
}

#include <errno.h>

#include "operator/reconcile/step_for_tests.h"

enum { HOLD_MS = 45000 };

/* A cluster c whose compute nodes follow the queue between min and max, on a server with KEDA. */
static json_t *world(int min, int max)
{
	return json_pack("{s:{s:{s:s,s:s,s:s,s:i,s:s}, s:{s:{s:s}, s:{s:s,s:i,s:{s:i,s:i}}}}, "
	                 "s:{}, s:[], s:{}, s:b, s:I, s:{s:s,s:s,s:b}}",
	                 "cr", "metadata", "name", "c", "namespace", "n", "uid", "u", "generation",
	                 4, "resourceVersion", "9", "spec", "starRocksFeSpec", "image", "i",
	                 "starRocksCnSpec", "image", "i", "replicas", 3, "roostAutoscaling",
	                 "minReplicas", min, "maxReplicas", max, "objects", "pods", "applied",
	                 "token", 1, "now_ms", NOW_MS, "keda", "url", "http://s:1", "token",
	                 "c-cn-scaler-0a", "have", 1);
}

static void wish(json_t *w, int n, int from, int64_t age_ms)
{
	json_object_set_new(w, "wanted",
	                    json_pack("{s:i,s:i,s:I,s:I}", "replicas", n, "from", from, "since_ms",
	                              NOW_MS - (json_int_t)age_ms, "at_ms", NOW_MS));
}

static const json_t *write_of(const json_t *plan, const char *verb, const char *kind)
{
	return write_like(plan, verb, kind, NULL);
}

static void one_trigger_that_only_is_carried_out(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(0, 40), *plan = plan_of(w);
	const json_t *x = write_of(plan, "apply", "ScaledObject");
	assert_non_null(x);
	const json_t *spec = data_get(x, "object.spec");
	const json_t *trigger = json_array_get(json_object_get(spec, "triggers"), 0);
	assert_int_equal(json_array_size(json_object_get(spec, "triggers")), 1);
	assert_string_equal(data_get_str(trigger, "type"), "metrics-api");
	assert_string_equal(data_get_str(trigger, "metricType"), "AverageValue");
	assert_string_equal(data_get_str(trigger, "metadata.targetValue"), "1");
	assert_string_equal(data_get_str(trigger, "metadata.valueLocation"), "desired");
	assert_string_equal(data_get_str(trigger, "metadata.timeout"), "800ms");
	assert_string_equal(data_get_str(trigger, "metadata.authMode"), "bearer");
	assert_string_equal(data_get_str(trigger, "metadata.url"),
	                    "http://s:1/v1/namespaces/n/clusters/c/pools/cn");
	assert_string_equal(data_get_str(trigger, "authenticationRef.name"), "c-cn-scaler");
	assert_string_equal(data_get_str(spec, "scaleTargetRef.kind"), "StarRocksCluster");
	assert_int_equal(data_get_int(spec, "pollingInterval", 0), 1);
	assert_int_equal(data_get_int(spec, "fallback.replicas", 0), 1);
	assert_int_equal(data_get_int(spec, "minReplicaCount", -1), 0);
	assert_int_equal(data_get_int(spec, "maxReplicaCount", -1), 40);
	x = write_of(plan, "apply", "TriggerAuthentication");
	assert_string_equal(
		data_get_str(json_array_get(data_get(x, "object.spec.secretTargetRef"), 0), "name"),
		"c-cn-scaler-0a");
	assert_null(write_of(plan, "scaler_secret", "Secret"));
}

static void steps_are_pinned_until_the_hpa_has_seen_them(void **state)
{
	(void)state;
	static const struct {
		int min, max, n, from;
		int64_t age_ms;
		int want_min, want_max;
	} cases[] = {
		{ 0, 40, 12, 11, 0, 12, 40 },          /* up: not below */
		{ 0, 40, 11, 12, 0, 0, 11 },           /* down: not above */
		{ 2, 40, 11, 12, HOLD_MS - 1, 2, 11 }, /* held for three rounds of the HPA */
		{ 2, 40, 12, 11, HOLD_MS, 2, 40 },     /* and no longer: KEDA may act alone again */
		{ 0, 40, 12, 12, 0, 0, 40 },           /* no step */
		{ 0, 40, 0, 3, 0, 0, 40 },   /* zero is KEDA's by itself; a maximum of 0 is none */
		{ 0, 40, 60, 3, 0, 40, 40 }, /* never outside the user's limits */
		{ 5, 40, 2, 7, 0, 5, 5 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = world(cases[i].min, cases[i].max);
		wish(w, cases[i].n, cases[i].from, cases[i].age_ms);
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *x = write_of(plan, "apply", "ScaledObject");
		assert_non_null(x);
		if (data_get_int(x, "object.spec.minReplicaCount", -1) != cases[i].want_min ||
		    data_get_int(x, "object.spec.maxReplicaCount", -1) != cases[i].want_max)
			fail_msg("case %zu: %lld to %lld", i,
			         (long long)data_get_int(x, "object.spec.minReplicaCount", -1),
			         (long long)data_get_int(x, "object.spec.maxReplicaCount", -1));
	}
}

static void an_old_wish_pins_nothing(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(0, 40);
	wish(w, 12, 11, 20000);
	data_set(w, "wanted.at_ms", json_integer(NOW_MS - 16000));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = write_of(plan, "apply", "ScaledObject");
	assert_int_equal(data_get_int(x, "object.spec.minReplicaCount", -1), 0);
}

static void the_secret_is_made_once_and_not_with_the_users_own_reference(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(0, 40);
	data_set(w, "keda.have", json_false());
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(data_get_str(write_of(plan, "scaler_secret", "Secret"), "name"),
	                    "c-cn-scaler-0a");
	data_set(w, "cr.spec.starRocksCnSpec.roostAutoscaling.keda",
	         json_pack("{s:{s:s,s:s}}", "authenticationRef", "name", "mine", "kind",
	                   "ClusterTriggerAuthentication"));
	_cleanup_json_ json_t *own = plan_of(w);
	const json_t *x = write_of(own, "apply", "ScaledObject");
	const json_t *trigger = json_array_get(data_get(x, "object.spec.triggers"), 0);
	assert_null(write_of(own, "scaler_secret", "Secret"));
	assert_null(write_of(own, "apply", "TriggerAuthentication"));
	assert_string_equal(data_get_str(trigger, "authenticationRef.name"), "mine");
}

/* What is there is taken away again, when it is ours. */
static void not_wanted_is_deleted(void **state)
{
	(void)state;
	static const char *const off[] = { "enabled", "keda" };
	for (size_t i = 0; i < ARRAY_LEN(off); i++) {
		_cleanup_json_ json_t *w = world(0, 40);
		json_t *scaling = data_get(w, "cr.spec.starRocksCnSpec.roostAutoscaling");
		json_object_set_new(scaling, off[i],
		                    i ? json_pack("{s:b}", "enabled", 0) : json_false());
		json_object_set_new(json_object_get(w, "objects"), "ScaledObject/c-cn",
		                    json_pack("{s:{s:s,s:s,s:[{s:s}]}}", "metadata", "name", "c-cn",
		                              "uid", "x", "ownerReferences", "uid", "u"));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_non_null(write_of(plan, "delete", "ScaledObject"));
		assert_null(write_of(plan, "apply", "ScaledObject"));
	}
}

static void nothing_without_keda(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(0, 40);
	json_object_del(w, "keda");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_null(write_of(plan, "apply", "ScaledObject"));
	assert_null(write_of(plan, "apply", "TriggerAuthentication"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_trigger_that_only_is_carried_out),
		cmocka_unit_test(steps_are_pinned_until_the_hpa_has_seen_them),
		cmocka_unit_test(an_old_wish_pins_nothing),
		cmocka_unit_test(the_secret_is_made_once_and_not_with_the_users_own_reference),
		cmocka_unit_test(not_wanted_is_deleted),
		cmocka_unit_test(nothing_without_keda),
	};
	struct err err = ERR_INIT;
	if (render_init(&err) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

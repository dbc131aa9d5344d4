/* What a person is told besides. */
#include "operator/reconcile/testworld.h"

static const json_t *event_saying(const json_t *plan, const char *text)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(plan, "events"), i, e)
	{
		if (strstr(data_get_str(e, "message"), text))
			return e;
	}
	return NULL;
}

static void fields_without_effect_are_named_once(void **state)
{
	(void)state;
	static const struct {
		const char *field, *value, *says;
	} cases[] = {
		{ "podManagementPolicy", "\"OrderedReady\"", "podManagementPolicy" },
		{ "podManagementPolicy", "\"Parallel\"", NULL },
		{ "persistentVolumeClaimRetentionPolicy", "{\"whenScaled\":\"Retain\"}",
		  "persistentVolumeClaimRetentionPolicy" },
		{ "persistentVolumeClaimRetentionPolicy", "{\"whenScaled\":\"Delete\"}", NULL },
		{ "updateStrategy", "{\"type\":\"OnDelete\"}", "updateStrategy.type" },
		{ "updateStrategy", "{\"rollingUpdate\":{\"partition\":2}}", "partition" },
		{ "updateStrategy", "{\"rollingUpdate\":{\"maxUnavailable\":2}}", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(1, 1);
		autofree char *path = xasprintf("cr.spec.starRocksCnSpec.%s", cases[i].field);
		data_set(w, path, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *e = event_saying(plan, "has no effect");
		if ((e != NULL) != (cases[i].says != NULL))
			fail_msg("case %zu", i);
		if (!e)
			continue;
		assert_string_equal(data_get_str(e, "reason"), "FieldIgnored");
		assert_non_null(strstr(data_get_str(e, "message"), "spec.starRocksCnSpec."));
		assert_non_null(strstr(data_get_str(e, "message"), cases[i].says));
		/* The status tells that this generation has been looked at. */
		json_object_set(json_object_get(w, "cr"), "status",
		                json_object_get(plan, "status"));
		_cleanup_json_ json_t *again = plan_of(w);
		assert_null(event_saying(again, "has no effect"));
	}
}

static void a_recovery_that_cannot_be_is_named(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 0);
	data_set(w, "cr.spec.disasterRecovery",
	         json_pack("{s:b, s:i}", "enabled", 1, "generation", 1));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(event_saying(plan, "spec.disasterRecovery has no effect"));
	data_set(w, "conf", json_pack("{s:s}", "fe", "run_mode = shared_data\n"));
	_cleanup_json_ json_t *fine = plan_of(w);
	assert_null(event_saying(fine, "has no effect"));
}

static void a_silent_fe_is_told_with_its_reason(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(3, 0);
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(2));
	json_object_set_new(w, "fe",
	                    json_pack("{s:b, s:I, s:s}", "ok", 0, "at_ms", NOW_MS, "error",
	                              "connect 10.0.0.9:9030: timed out"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(condition(plan, "Progressing", "message"),
	                    "1 BE to leave: waiting for the FE to answer (connect 10.0.0.9:9030: "
	                    "timed out)");
	json_array_remove(json_object_get(w, "pods"), 0);
	_cleanup_json_ json_t *none = plan_of(w);
	assert_non_null(strstr(condition(none, "Progressing", "message"), "(no FE is ready)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_without_effect_are_named_once),
		cmocka_unit_test(a_recovery_that_cannot_be_is_named),
		cmocka_unit_test(a_silent_fe_is_told_with_its_reason),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

/* Backends follow the scaler up, and never down. */
#include "operator/reconcile/testworld.h"

static int64_t shall(const json_t *w, const json_t *plan)
{
	const json_t *x = write_of(plan, "apply", "c-be");
	return x ? data_get_int(x, "object.spec.replicas", -1)
	         : data_get_int(object_of(w, "StatefulSet/c-be"), "spec.replicas", -1);
}

static void only_up(void **state)
{
	(void)state;
	static const struct {
		const char *scaling, *status;
		int spec, wish, age_s; /* wish -1: none */
		int shall;
	} cases[] = {
		{ NULL, "{}", 3, 7, 1, 3 }, /* not asked for */
		{ "{\"maxReplicas\":6}", "{}", 3, -1, 1, 3 },
		{ "{\"maxReplicas\":6}", "{}", 3, 5, 1, 5 },
		{ "{\"maxReplicas\":6}", "{}", 3, 50, 1, 6 },
		{ "{\"maxReplicas\":6}", "{}", 3, 5, 20, 3 }, /* an old wish */
		{ "{\"maxReplicas\":6,\"enabled\":false}", "{\"scaledTo\":5}", 3, 6, 1, 3 },
		/* Less is wanted now, or nothing at all: what was added stays. */
		{ "{\"maxReplicas\":6}", "{\"scaledTo\":5}", 3, 1, 1, 5 },
		{ "{\"maxReplicas\":6}", "{\"scaledTo\":5}", 3, 0, 1, 5 },
		{ "{\"maxReplicas\":6}", "{\"scaledTo\":5}", 3, -1, 1, 5 },
		{ "{\"maxReplicas\":6}", "{\"scaledTo\":5}", 2, 0, 1, 5 },
		/* The user's own number counts where it is more. */
		{ "{\"maxReplicas\":6}", "{\"scaledTo\":5}", 8, 6, 1, 8 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(3, 0);
		_cleanup_json_ json_t *status = parse(cases[i].status);
		data_set(object_of(w, "StatefulSet/c-be"), "spec.replicas",
		         json_integer(data_get_int(status, "scaledTo", 3)));
		data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(cases[i].spec));
		data_set(w, "cr.status.starRocksBeStatus", parse(cases[i].status));
		if (cases[i].scaling)
			data_set(w, "cr.spec.starRocksBeSpec.roostAutoscaling",
			         parse(cases[i].scaling));
		if (cases[i].wish >= 0)
			json_object_set_new(w, "wanted_be",
			                    json_pack("{s:i, s:I}", "replicas", cases[i].wish,
			                              "at_ms", NOW_MS - cases[i].age_s * 1000));
		_cleanup_json_ json_t *plan = plan_of(w);
		int64_t n = shall(w, plan);
		/* Disabled: backends go the usual, careful way; here the FE does not answer, so all stay. */
		bool careful = cases[i].scaling && strstr(cases[i].scaling, "false");
		if (n != (careful ? 5 : cases[i].shall))
			fail_msg("case %zu: %lld", i, (long long)n);
		if (!careful && strstr(cases[i].status, "5") &&
		    data_get_int(plan, "status.starRocksBeStatus.scaledTo", 0) < 5)
			fail_msg("case %zu: what was added is forgotten", i);
	}
}

/* Out is remembered, and said once. */
static void what_was_raised_is_remembered(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(3, 0);
	data_set(w, "cr.status.starRocksBeStatus", parse("{}"));
	data_set(w, "cr.spec.starRocksBeSpec.roostAutoscaling", parse("{\"maxReplicas\":6}"));
	json_object_set_new(w, "wanted_be",
	                    json_pack("{s:i, s:I}", "replicas", 4, "at_ms", NOW_MS));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(shall(w, plan), 4);
	assert_int_equal(data_get_int(plan, "status.starRocksBeStatus.scaledTo", 0), 4);
	assert_string_equal(data_get_str(plan, "events.0.reason"), "BackendsAdded");
	/* Asleep nothing is wished for, and it wakes up to the number with its data. */
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(plan, "status"));
	data_set(w, "cr.spec.hibernate", json_true());
	_cleanup_json_ json_t *asleep = plan_of(w);
	assert_int_equal(data_get_int(asleep, "status.starRocksBeStatus.scaledTo", 0), 4);
}

/* A CR that is made anew around running pods (a restored backup, GitOps after an accident) takes none away. */
static void without_a_status_what_runs_counts(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(5, 0);
	data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(3));
	data_set(w, "cr.spec.starRocksBeSpec.roostAutoscaling", parse("{\"maxReplicas\":6}"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(shall(w, plan), 5);
	assert_int_equal(json_array_size(json_object_get(plan, "intents")), 0);
	/* A lower limit is a person's word: they leave, one by one and empty. */
	data_set(w, "cr.spec.starRocksBeSpec.roostAutoscaling.maxReplicas", json_integer(3));
	set_fe(w, 100,
	       "{\"replication\":1,\"backends\":["
	       "{\"host\":\"c-be-0.x\",\"port\":9050,\"alive\":true,\"tablets\":5},"
	       "{\"host\":\"c-be-4.x\",\"port\":9050,\"alive\":true,\"tablets\":5}]}");
	_cleanup_json_ json_t *less = plan_of(w);
	assert_string_equal(data_get_str(less, "intents.0.do"), "decommission");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_up),
		cmocka_unit_test(what_was_raised_is_remembered),
		cmocka_unit_test(without_a_status_what_runs_counts),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/world_for_tests.h"

static void what_the_server_dropped_is_known(void **state)
{
	(void)state;
	static const struct {
		const char *patch, *got, *lacks; /* NULL: nothing */
	} cases[] = {
		{ "{\"phase\":\"running\"}", "{\"phase\":\"running\"}", NULL },
		{ "{\"phase\":\"running\",\"conditions\":[{}]}", "{\"phase\":\"running\"}",
		  "{\"conditions\":[{}]}" },
		{ "{\"fe\":{\"n\":3,\"phase\":\"x\"}}", "{\"fe\":{\"phase\":\"x\"}}",
		  "{\"fe\":{\"n\":3}}" },
		/* A field taken away, and one that somebody else wrote. */
		{ "{\"reason\":null}", "{\"phase\":\"running\"}", NULL },
		{ "{\"phase\":\"running\"}", "{\"phase\":\"running\",\"other\":1}", NULL },
		{ "{\"phase\":\"running\"}", NULL, "{\"phase\":\"running\"}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *patch = parse(cases[i].patch);
		_cleanup_json_ json_t *answer = json_object();
		if (cases[i].got)
			json_object_set_new(answer, "status", parse(cases[i].got));
		_cleanup_json_ json_t *lacks = reconcile_unkept(patch, answer);
		_cleanup_json_ json_t *want = cases[i].lacks ? parse(cases[i].lacks) : NULL;
		if (want ? !json_equal(lacks, want) : lacks != NULL)
			fail_msg("case %zu", i);
	}
}

/* A step sees what it said before, but for what must be durable before pods stop. */
static void a_step_sees_what_was_dropped(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	_cleanup_json_ json_t *said = json_deep_copy(data_get(w, "cr.status"));
	struct record rec = { .unkept = json_object() };
	json_object_set(rec.unkept, "conditions", json_object_get(said, "conditions"));
	json_object_set_new(rec.unkept, "starRocksFeStatus",
	                    json_pack("{s:i}", "hibernatedReplicas", 1));
	json_object_del(data_get(w, "cr.status"), "conditions");
	_cleanup_json_ json_t *kept = json_deep_copy(data_get(w, "cr.status"));
	data_set(w, "now_ms", json_integer(NOW_MS + 60000));
	reconcile_add_unkept(&rec, w);
	assert_true(json_equal(json_object_get(w, "kept"), kept));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_true(json_equal(json_object_get(plan, "status"), said));
	assert_int_equal(json_array_size(json_object_get(plan, "events")), 0);
	data_set(w, "cr.spec.hibernate", json_true());
	_cleanup_json_ json_t *sleepy = NULL;
	for (int i = 0; i < 4; i++) {
		json_decref(sleepy);
		go(w);
		/* The server's answer again. */
		json_object_del(data_get(w, "cr.status.starRocksFeStatus"), "hibernatedReplicas");
		sleepy = plan_of(w);
	}
	assert_string_equal(condition(sleepy, "Degraded", "reason"), "OldCrd");
	assert_int_equal(data_get_int(object_of(w, "StatefulSet/c-fe"), "spec.replicas", 0), 1);
	json_decref(rec.unkept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_server_dropped_is_known),
		cmocka_unit_test(a_step_sees_what_was_dropped),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

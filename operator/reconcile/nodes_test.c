#include <errno.h>

#include "operator/reconcile/step_for_tests.h"

/* One compute node c-cn-0 on machine m with a startup taint, KEDA there. */
static json_t *world(void)
{
	json_t *w =
		parse("{\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"uid\":\"u\"},"
	              "\"spec\":{"
	              "\"starRocksFeSpec\":{\"image\":\"i\"},\"starRocksCnSpec\":{\"image\":\"i\","
	              "\"replicas\":1,\"roostAutoscaling\":{\"maxReplicas\":9}}}},"
	              "\"objects\":{},\"applied\":{},\"token\":true,"
	              "\"keda\":{\"url\":\"http://s\"},\"pods\":[{\"kind\":\"Pod\",\"metadata\":{"
	              "\"name\":\"c-cn-0\",\"namespace\":\"n\",\"uid\":\"p\",\"labels\":{"
	              "\"app.kubernetes.io/component\":\"cn\"}},\"spec\":{\"nodeName\":\"m\","
	              "\"terminationGracePeriodSeconds\":300},\"status\":{\"podIP\":\"10.0.0.9\","
	              "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}],"
	              "\"nodes\":{\"m\":{\"version\":\"7\",\"karpenter\":true,\"taints\":["
	              "{\"key\":\"roost.io/role\",\"value\":\"cn\",\"effect\":\"NoSchedule\"},"
	              "{\"key\":\"roost.io/starting\",\"effect\":\"NoSchedule\"}]}}}");
	json_object_set_new(w, "now_ms", json_integer(NOW_MS));
	return w;
}

static void running(json_t *w, int n)
{
	json_object_set_new(w, "fe",
	                    json_pack("{s:b,s:I,s:[],s:[],s:{s:[{s:s,s:i}]}}", "ok", 1, "at_ms",
	                              NOW_MS, "backends", "nodes", "load", "nodes", "address",
	                              "10.0.0.9", "running", n));
}

static const json_t *write_of(const json_t *plan, const char *verb)
{
	return write_like(plan, verb, NULL, NULL);
}

static const char *paused(const json_t *plan)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		if (strcmp(data_get_str(x, "kind"), "ScaledObject") == 0)
			return data_get_str(x,
			                    "object.metadata.annotations.autoscaling\\.keda\\.sh/"
			                    "paused-scale-in");
	}
	fail_msg("no ScaledObject");
	return NULL;
}

static json_t *pod_of(json_t *w)
{
	return json_array_get(json_object_get(w, "pods"), 0);
}

static void the_startup_taint_goes_when_the_node_serves(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(), *plan = plan_of(w);
	const json_t *x = write_of(plan, "taints");
	assert_non_null(x);
	assert_string_equal(data_get_str(x, "name"), "m");
	assert_string_equal(data_get_str(x, "version"), "7");
	/* The role's taint stays. */
	assert_int_equal(json_array_size(json_object_get(x, "taints")), 1);
	assert_string_equal(data_get_str(json_array_get(json_object_get(x, "taints"), 0), "key"),
	                    "roost.io/role");
	json_object_set_new(pod_of(w), "status", json_pack("{s:s}", "podIP", "10.0.0.9"));
	_cleanup_json_ json_t *starting = plan_of(w);
	assert_null(write_of(starting, "taints"));
	/* It leaves without having served: nothing would ever take the taint away. */
	json_object_set_new(json_object_get(pod_of(w), "metadata"), "deletionTimestamp",
	                    json_string("t"));
	_cleanup_json_ json_t *gone = plan_of(w);
	assert_non_null(write_of(gone, "taints"));
}

static void a_notice_drains_at_once_and_pauses_scale_in(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(), *calm = plan_of(w);
	assert_null(write_of(calm, "drain"));
	assert_null(paused(calm));
	running(w, 5);
	data_set(w, "nodes.m.notice", json_string("SpotInterrupted"));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = write_of(plan, "drain");
	assert_non_null(x);
	assert_string_equal(data_get_str(x, "uid"), "p");
	/* The machine has two minutes, whatever the pod would like. */
	assert_int_equal(data_get_int(x, "grace_s", 0), 110);
	assert_string_equal(paused(plan), "true");
	/* Nothing may stand in an eviction's way now. */
	assert_null(write_of(plan, "annotate"));
	json_object_set_new(json_object_get(pod_of(w), "metadata"), "deletionTimestamp",
	                    json_string("t"));
	_cleanup_json_ json_t *later = plan_of(w);
	assert_null(write_of(later, "drain"));
	assert_string_equal(paused(later), "true");
}

/* An Event speaks of the machine as it was then; a taint or a claim for as long as it is there. */
static void what_came_after_an_event_stays(void **state)
{
	(void)state;
	static const struct {
		const char *created, *since;
		bool leaves;
	} cases[] = { { "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z", true },
		      { "2026-01-01T10:00:01Z", "2026-01-01T10:00:01Z", true },
		      { "2026-01-01T10:00:02Z", "2026-01-01T10:00:01Z", false },
		      { "2026-01-01T10:00:02Z", NULL, true } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = world();
		json_object_set_new(json_object_get(pod_of(w), "metadata"), "creationTimestamp",
		                    json_string(cases[i].created));
		data_set(w, "nodes.m.notice", json_string("SpotRebalanceRecommendation"));
		if (cases[i].since)
			data_set(w, "nodes.m.notice_since", json_string(cases[i].since));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(write_of(plan, "drain") != NULL, cases[i].leaves);
		assert_string_equal(paused(plan), "true");
	}
}

static void protected_only_while_queries_run(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	_cleanup_json_ json_t *unknown = plan_of(w);
	assert_null(write_of(unknown, "annotate"));
	running(w, 2);
	_cleanup_json_ json_t *busy = plan_of(w);
	const json_t *x = write_of(busy, "annotate");
	assert_string_equal(data_get_str(x, "key"), "karpenter.sh/do-not-disrupt");
	assert_string_equal(data_get_str(x, "value"), "true");
	json_object_set_new(json_object_get(pod_of(w), "metadata"), "annotations",
	                    json_pack("{s:s}", "karpenter.sh/do-not-disrupt", "true"));
	_cleanup_json_ json_t *same = plan_of(w);
	assert_null(write_of(same, "annotate"));
	running(w, 0);
	_cleanup_json_ json_t *idle = plan_of(w);
	assert_true(json_is_null(json_object_get(write_of(idle, "annotate"), "value")));
	/* A machine that is not Karpenter's is nobody's to disrupt. */
	running(w, 2);
	json_object_del(json_object_get(pod_of(w), "metadata"), "annotations");
	data_set(w, "nodes.m.karpenter", json_false());
	_cleanup_json_ json_t *other = plan_of(w);
	assert_null(write_of(other, "annotate"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_startup_taint_goes_when_the_node_serves),
		cmocka_unit_test(a_notice_drains_at_once_and_pauses_scale_in),
		cmocka_unit_test(what_came_after_an_event_stays),
		cmocka_unit_test(protected_only_while_queries_run),
	};
	struct err err = ERR_INIT;
	if (render_init(&err) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

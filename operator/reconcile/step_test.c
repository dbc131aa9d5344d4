#include <errno.h>

#include "operator/reconcile/testworld.h"

/* ---- order, quiet, healing ---- */
static void fe_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(1, 1, 1);
	json_object_set_new(data_get(w, "cr.metadata"), "annotations",
	                    json_pack("{s:s}", "roost.io/engine", "true"));
	json_object_set_new(w, "token", json_false());
	_cleanup_json_ json_t *first = plan_of(w);
	assert_non_null(write_of(first, "create", "c-roost-token"));
	assert_non_null(write_of(first, "apply", "c-fe-search"));
	assert_non_null(write_of(first, "apply", "c-fe"));
	assert_int_equal(data_get_int(write_of(first, "apply", "c-be"), "object.spec.replicas", -1),
	                 0);
	assert_null(write_of(first, "apply", "c-cn"));
	assert_string_equal(data_get_str(first, "status.phase"), "reconciling");
	assert_string_equal(condition(first, "Progressing", "status"), "True");
	add_pod(w, "fe", "c-fe-0", "10.0.0.1", true);
	_cleanup_json_ json_t *second = plan_of(w);
	assert_int_equal(
		data_get_int(write_of(second, "apply", "c-be"), "object.spec.replicas", -1), 1);
	assert_non_null(write_of(second, "apply", "c-cn"));
	assert_string_equal(data_get_str(write_of(second, "apply", "c-cn"), "kind"), "Deployment");
}

/* An empty set is filled once an FE serves; one that runs, or that left its pods behind, is not emptied. */
static void backends_wait_empty(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	json_t *fe = json_array_get(json_object_get(w, "pods"), 0);
	json_t *set = json_object_get(json_object_get(w, "objects"), "StatefulSet/c-be");
	json_object_del(fe, "status");
	_cleanup_json_ json_t *down = plan_of(w);
	assert_null(write_of(down, "apply", "c-be"));
	data_set(set, "spec.replicas", json_integer(0));
	_cleanup_json_ json_t *empty = plan_of(w);
	assert_int_equal(data_get_int(write_of(empty, "apply", "c-be"), "object.spec.replicas", -1),
	                 0);
	assert_string_equal(condition(empty, "Progressing", "status"), "True");
	json_object_del(json_object_get(w, "objects"), "StatefulSet/c-be");
	_cleanup_json_ json_t *orphans = plan_of(w);
	assert_null(write_of(orphans, "apply", "c-be"));
}

static void quiet_at_rest(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 2);
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_string_equal(data_get_str(plan, "status.phase"), "running");
	assert_string_equal(condition(plan, "Ready", "status"), "True");
	assert_string_equal(condition(plan, "Degraded", "status"), "False");
	assert_int_equal(data_get_int(plan, "status.observedGeneration", 0), 4);
	assert_int_equal(data_get_int(plan, "status.starRocksCnStatus.replicas", 0), 2);
	/* The status it asks for, once there, needs no further write; times stay as they were. */
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(plan, "status"));
	data_set(w, "now_ms", json_integer(NOW_MS + 5000));
	_cleanup_json_ json_t *again = plan_of(w);
	_cleanup_json_ json_t *diff = reconcile_merge_diff(json_object_get(plan, "status"),
	                                                   json_object_get(again, "status"));
	assert_null(diff);
}

static void drift_and_loss_are_healed(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	json_object_del(json_object_get(w, "objects"), "Service/c-fe-service");
	/* A key added to a selector, which is one value to Kubernetes. */
	data_set(json_object_get(json_object_get(w, "objects"), "Service/c-cn-service"),
	         "spec.selector.x", json_string("y"));
	data_set(json_object_get(json_object_get(w, "objects"), "StatefulSet/c-be"),
	         "spec.template.spec.containers.0.image", json_string("other"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 3);
	assert_non_null(write_of(plan, "apply", "c-fe-service"));
	assert_non_null(write_of(plan, "apply", "c-cn-service"));
	assert_non_null(write_of(plan, "apply", "c-be"));
}

static void a_foreign_object_is_left_alone(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world(1, -1, -1);
	json_object_set_new(json_object_get(w, "objects"), "Service/c-fe-service",
	                    parse("{\"metadata\":{\"name\":\"c-fe-service\"}}"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_null(write_of(plan, "apply", "c-fe-service"));
	assert_non_null(write_of(plan, "apply", "c-fe"));
	assert_string_equal(condition(plan, "Degraded", "reason"), "NameTaken");
}

/* ---- a CR that cannot be carried out ---- */
static void bad_specs_degrade(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	data_set(w, "cr.spec.starRocksBeSpec.storageVolumes",
	         parse("[{\"name\":\"d\",\"mountPath\":\"/d\",\"storageSize\":\"abc10Gi\"}]"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_string_equal(data_get_str(plan, "status.phase"), "failed");
	assert_string_equal(condition(plan, "Degraded", "status"), "True");
	assert_non_null(strstr(condition(plan, "Degraded", "message"), "storageSize"));
}

static void a_removed_fe_is_kept(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	json_object_del(data_get(w, "cr.spec"), "starRocksFeSpec");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_string_equal(condition(plan, "Degraded", "reason"), "FeSpecRemoved");
}

static void a_removed_be_needs_empty_backends(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	json_object_del(data_get(w, "cr.spec"), "starRocksBeSpec");
	_cleanup_json_ json_t *blind = plan_of(w);
	assert_null(write_of(blind, "delete", "c-be"));
	set_fe(w, 100, "{\"backends\":[{\"host\":\"c-be-0.x\",\"port\":9050,\"tablets\":3}]}");
	_cleanup_json_ json_t *full = plan_of(w);
	assert_null(write_of(full, "delete", "c-be"));
	assert_string_equal(condition(full, "Degraded", "reason"), "BeSpecRemoved");
	set_fe(w, 100, "{\"backends\":[{\"host\":\"c-be-0.x\",\"port\":9050,\"tablets\":0}]}");
	_cleanup_json_ json_t *empty = plan_of(w);
	assert_non_null(write_of(empty, "delete", "c-be"));
	assert_non_null(write_of(empty, "delete", "c-be-search"));
}

/* ---- CN ---- */
static void cheapest_compute_node_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 2);
	data_set(w, "cr.spec.starRocksCnSpec.replicas", json_integer(1));
	/* An old answer does not say who is idle now: ask first. */
	set_fe(w, 8000, "{\"nodes\":[],\"load\":{\"nodes\":[]}}");
	_cleanup_json_ json_t *stale = plan_of(w);
	assert_null(write_of(stale, "apply", "c-cn"));
	assert_int_equal(data_get_int(stale, "ask_ms", 0), 1);
	set_fe(w, 100,
	       "{\"nodes\":[],\"load\":{\"nodes\":[{\"address\":\"10.0.2.0:9050\",\"running\":4},"
	       "{\"address\":\"10.0.2.1:9050\",\"running\":0}]}}");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x0"), "cost"), "4000000");
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x1"), "cost"), "-1000000000");
	assert_int_equal(data_get_int(write_of(plan, "apply", "c-cn"), "object.spec.replicas", 0),
	                 1);
	/* Costs stand before the replicas. */
	assert_string_equal(data_get_str(plan, "writes.0.verb"), "cost");
	/* An FE that has been silent for long holds nobody. */
	json_object_set_new(json_object_get(w, "fe"), "ok", json_false());
	_cleanup_json_ json_t *silent = plan_of(w);
	assert_non_null(write_of(silent, "apply", "c-cn"));
}

static void ghosts_are_dropped_by_identity(void **state)
{
	(void)state;
	static const struct {
		const char *row, *pod_ip; /* pod_ip: of one more pod; "" has none yet */
		bool drop;
	} cases[] = {
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":false}", NULL, true },
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":true}", NULL, false },
		{ "{\"host\":\"10.0.2.0\",\"port\":9050,\"alive\":false}", NULL, false },
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":false}", "10.0.9.9", false },
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":false}", "", false },
		{ "{\"host\":\"c-cn-0.c-cn-search\",\"port\":9050,\"alive\":false}", NULL, true },
		{ "{\"host\":\"c-cn-x0.c-cn-search\",\"port\":9050,\"alive\":false}", NULL, false },
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":false,\"warehouse\":\"w\"}", NULL,
		  false },
		{ "{\"host\":\"10.0.9.9\",\"port\":9050,\"alive\":false,"
		  "\"warehouse\":\"default_warehouse\"}",
		  NULL, true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(1, 1);
		autofree char *fe = xasprintf("{\"nodes\":[%s]}", cases[i].row);
		set_fe(w, 100, fe);
		if (cases[i].pod_ip)
			add_pod(w, "cn", "c-cn-new", *cases[i].pod_ip ? cases[i].pod_ip : NULL,
			        false);
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		if ((act != NULL) != cases[i].drop)
			fail_msg("case %zu: %s", i, act ? act : "no intent");
	}
}

static void the_old_set_goes_when_the_deployment_carries(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 2);
	json_object_set_new(
		json_object_get(w, "objects"), "StatefulSet/c-cn",
		parse("{\"metadata\":{\"name\":\"c-cn\",\"uid\":\"old\",\"ownerReferences\":"
	              "[{\"uid\":\"u\"}]},\"status\":{\"readyReplicas\":3}}"));
	_cleanup_json_ json_t *early = plan_of(w);
	assert_null(write_of(early, "delete", "c-cn"));
	data_set(json_object_get(json_object_get(w, "objects"), "StatefulSet/c-cn"),
	         "status.readyReplicas", json_integer(2));
	_cleanup_json_ json_t *then = plan_of(w);
	assert_string_equal(data_get_str(write_of(then, "delete", "c-cn"), "uid"), "old");
}

/* ---- FE, blame ---- */
static void the_pod_to_blame_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *status, *reason;
	} cases[] = {
		{ "{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"cn\",\"state\":{"
		  "\"waiting\":"
		  "{\"reason\":\"ImagePullBackOff\",\"message\":\"no such image\"}}}]}",
		  "ImagePullBackOff" },
		{ "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"cn\",\"state\":{"
		  "\"waiting\":"
		  "{\"reason\":\"CrashLoopBackOff\"}}}]}",
		  "CrashLoopBackOff" },
		{ "{\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":"
		  "\"False\","
		  "\"reason\":\"Unschedulable\",\"message\":\"0/1 nodes\"}]}",
		  "Unschedulable" },
		{ "{\"phase\":\"Failed\",\"reason\":\"Evicted\"}", "Evicted" },
		{ "{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
		  "\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}],\"containerStatuses\":[{"
		  "\"name\":"
		  "\"cn\",\"started\":true,\"ready\":false,\"state\":{\"running\":{}}}]}",
		  "ProbeFailing" },
		{ "{\"phase\":\"Pending\",\"containerStatuses\":[{\"state\":{\"waiting\":{"
		  "\"reason\":"
		  "\"ContainerCreating\"}}}]}",
		  "AsExpected" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(1, 1);
		json_t *pods = json_object_get(w, "pods");
		json_object_set_new(json_array_get(pods, json_array_size(pods) - 1), "status",
		                    parse(cases[i].status));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_string_equal(condition(plan, "Degraded", "reason"), cases[i].reason);
		assert_string_equal(condition(plan, "Ready", "status"), "False");
	}
}

static void a_refused_write_is_told(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	json_object_set_new(
		w, "problem",
		json_pack("{s:s,s:s}", "reason", "Forbidden", "message", "quota exceeded"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(condition(plan, "Degraded", "reason"), "Forbidden");
	assert_string_equal(data_get_str(plan, "status.reason"), "Forbidden: quota exceeded");
}

static void differences_are_merge_patches(void **state)
{
	(void)state;
	_cleanup_json_ json_t *a = parse("{\"k\":1,\"gone\":2,\"o\":{\"x\":1,\"y\":[1]}}");
	_cleanup_json_ json_t *b = parse("{\"k\":1,\"new\":3,\"o\":{\"x\":1,\"y\":[2]}}");
	_cleanup_json_ json_t *d = reconcile_merge_diff(a, b);
	autofree char *text = data_json_text(d);
	assert_string_equal(text, "{\"gone\":null,\"new\":3,\"o\":{\"y\":[2]}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fe_first),
		cmocka_unit_test(backends_wait_empty),
		cmocka_unit_test(quiet_at_rest),
		cmocka_unit_test(drift_and_loss_are_healed),
		cmocka_unit_test(a_foreign_object_is_left_alone),
		cmocka_unit_test(bad_specs_degrade),
		cmocka_unit_test(a_removed_fe_is_kept),
		cmocka_unit_test(a_removed_be_needs_empty_backends),
		cmocka_unit_test(cheapest_compute_node_first),
		cmocka_unit_test(ghosts_are_dropped_by_identity),
		cmocka_unit_test(the_old_set_goes_when_the_deployment_carries),
		cmocka_unit_test(the_pod_to_blame_is_named),
		cmocka_unit_test(a_refused_write_is_told),
		cmocka_unit_test(differences_are_merge_patches),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

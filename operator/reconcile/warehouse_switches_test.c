/* What a person switches of a warehouse, or of its cluster. */
#include "operator/reconcile/step_for_tests.h"

/* Two nodes that run. */
static json_t *world(void)
{
	json_t *w = parse(
		"{\"cr\":{\"kind\":\"StarRocksWarehouse\",\"metadata\":{\"name\":\"w\","
		"\"namespace\":"
		"\"n\",\"uid\":\"wu\",\"generation\":2,\"resourceVersion\":\"5\","
		"\"annotations\":{},\"finalizers\":[\"roost.io/warehouse\"]},"
		"\"spec\":{\"starRocksCluster\":\"c\",\"template\":{\"image\":\"i\",\"replicas\":2,"
		"\"autoScalingPolicy\":{\"maxReplicas\":3}}}},"
		"\"cluster\":{\"ready\":true,\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":"
		"\"n\",\"uid\":\"cu\",\"generation\":7,\"annotations\":{}},\"spec\":{}}},"
		"\"conf\":{\"fe\":\"run_mode = shared_data\\n\"},"
		"\"objects\":{\"Deployment/w-warehouse-cn\":{\"kind\":\"Deployment\",\"metadata\":"
		"{\"name\":\"w-warehouse-cn\",\"uid\":\"d\",\"ownerReferences\":[{\"uid\":\"wu\"}]}"
		","
		"\"spec\":{\"replicas\":2}},\"HorizontalPodAutoscaler/w-warehouse-cn-autoscaler\":{"
		"\"kind\":\"HorizontalPodAutoscaler\",\"metadata\":{\"name\":"
		"\"w-warehouse-cn-autoscaler\",\"uid\":\"h\",\"ownerReferences\":[{\"uid\":\"wu\"}]"
		"}}},"
		"\"pods\":[],\"applied\":{},\"token\":true}");
	data_set(w, "now_ms", json_integer(NOW_MS));
	return w;
}

static size_t writes(const json_t *plan)
{
	return json_array_size(json_object_get(plan, "writes"));
}

static void a_warehouse_is_paused_by_itself_or_with_its_cluster(void **state)
{
	(void)state;
	static const char *const whose[] = { "cr", "cluster.cr" };
	for (size_t i = 0; i < ARRAY_LEN(whose); i++) {
		_cleanup_json_ json_t *w = world();
		_cleanup_json_ json_t *before = plan_of(w);
		assert_true(writes(before) > 2);
		autofree char *at = xasprintf("%s.metadata.annotations", whose[i]);
		json_object_set_new(data_get(w, at), "roost.io/paused", json_string("true"));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(writes(plan), 0);
		assert_string_equal(condition(plan, "Paused", "status"), "True");
		assert_non_null(strstr(condition(plan, "Progressing", "message"), "paused"));
	}
}

static void its_nodes_sleep_with_the_cluster(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	data_set(w, "cluster.cr.spec.hibernate", json_true());
	data_set(w, "cluster.ready", json_false());
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *set = write_like(plan, "apply", "Deployment", NULL);
	assert_int_equal(data_get_int(set, "object.spec.replicas", -1), 0);
	assert_non_null(write_like(plan, "delete", "HorizontalPodAutoscaler", NULL));
	assert_string_equal(condition(plan, "Hibernated", "status"), "True");
	assert_string_equal(condition(plan, "Degraded", "status"), "False");
	/* Awake: as the CR says. */
	data_set(w, "cluster.cr.spec.hibernate", json_false());
	data_set(w, "cluster.ready", json_true());
	_cleanup_json_ json_t *awake = plan_of(w);
	set = write_like(awake, "apply", "Deployment", NULL);
	assert_int_equal(data_get_int(set, "object.spec.replicas", -1), 2);
	/* Nobody makes nodes for a cluster that sleeps. */
	data_set(w, "cluster.cr.spec.hibernate", json_true());
	json_object_clear(json_object_get(w, "objects"));
	_cleanup_json_ json_t *none = plan_of(w);
	assert_int_equal(writes(none), 0);
}

static void a_released_warehouse_is_left_alone(void **state)
{
	(void)state;
	static const char *const whose[] = { "cr", "cluster.cr" };
	for (size_t i = 0; i < ARRAY_LEN(whose); i++) {
		_cleanup_json_ json_t *w = world();
		autofree char *at = xasprintf("%s.metadata.annotations", whose[i]);
		json_object_set_new(data_get(w, at), "roost.io/released", json_string("true"));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(writes(plan), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_warehouse_is_paused_by_itself_or_with_its_cluster),
		cmocka_unit_test(its_nodes_sleep_with_the_cluster),
		cmocka_unit_test(a_released_warehouse_is_left_alone),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

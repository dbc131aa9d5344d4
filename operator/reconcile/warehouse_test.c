#include <errno.h>

#include "operator/reconcile/step_for_tests.h"

#define NOW_TEXT "1800000000000"

/* Warehouse w-x of cluster c; the FE is ready, runs shared-data and offers warehouses. */
static json_t *world(void)
{
	return parse(
		"{\"cr\":{\"kind\":\"StarRocksWarehouse\",\"metadata\":{\"name\":\"w-x\","
		"\"namespace\":\"n\",\"uid\":\"wu\",\"generation\":2,\"resourceVersion\":\"5\","
		"\"finalizers\":[\"roost.io/warehouse\"]},"
		"\"spec\":{\"starRocksCluster\":\"c\",\"template\":{\"image\":\"i\","
		"\"replicas\":2,\"envVars\":[{\"name\":\"A\",\"value\":\"b\"}]}}},"
		"\"cluster\":{\"ready\":true,\"cr\":{\"metadata\":{\"name\":\"c\","
		"\"namespace\":\"n\",\"uid\":\"cu\",\"generation\":7},\"spec\":{}}},"
		"\"conf\":{\"fe\":\"run_mode = shared_data\\nquery_port = 9031\\n\"},"
		"\"fe\":{\"ok\":true,\"at_ms\":" NOW_TEXT ",\"multi_warehouse\":true},"
		"\"objects\":{},\"pods\":[],\"applied\":{},\"token\":true,\"now_ms\":" NOW_TEXT
		"}");
}

static const json_t *write_of(const json_t *plan, const char *verb, const char *kind)
{
	return write_like(plan, verb, kind, NULL);
}

static const char *degraded(const json_t *plan)
{
	return condition(plan, "Degraded", "reason");
}

static void its_nodes_are_made(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *set = write_of(plan, "apply", "Deployment");
	assert_non_null(set);
	assert_string_equal(data_get_str(set, "name"), "w-x-warehouse-cn");
	assert_string_equal(data_get_str(set, "object.metadata.ownerReferences.0.kind"),
	                    "StarRocksWarehouse");
	assert_string_equal(data_get_str(set, "object.metadata.ownerReferences.0.name"), "w-x");
	autofree char *text = data_json_text(data_get(set, "object.spec.template.spec"));
	assert_non_null(strstr(text, "{\"name\":\"KUBE_STARROCKS_MULTI_WAREHOUSE\","
	                             "\"value\":\"w_x\"}"));
	assert_non_null(strstr(text, "\"c-fe-service\""));
	assert_non_null(strstr(text, "\"9031\""));
	/* Upstream's status of a warehouse lies flat. */
	assert_string_equal(data_get_str(plan, "status.phase"), "reconciling");
	assert_string_equal(data_get_str(plan, "status.serviceName"), "w-x-warehouse-cn-service");
	assert_int_equal(data_get_int(plan, "status.observedGeneration", 0), 2);
	assert_non_null(data_get_str(plan, "status.selector"));
	assert_null(data_get(plan, "status.starRocksCnStatus"));
}

static void the_finalizer_comes_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	json_object_del(data_get(w, "cr.metadata"), "finalizers");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(data_get_str(plan, "writes.0.verb"), "finalizers");
	assert_string_equal(data_get_str(plan, "writes.0.finalizers.0"), "roost.io/warehouse");
	assert_string_equal(data_get_str(plan, "writes.0.version"), "5");
}

static void what_is_missing_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *path, *value, *reason; /* value NULL: removed */
	} cases[] = {
		{ "cluster", NULL, "ClusterMissing" },
		{ "conf.fe", "\"\"", "NotSharedData" },
		{ "fe.multi_warehouse", "false", "NoMultiWarehouse" },
		{ "cr.spec.starRocksClusterNamespace", "\"other\"", "NamespaceNotAllowed" },
		{ "cr.spec.starRocksCluster", "\"w-x\"", "InvalidSpec" },
		{ "cr.spec.template.envVars.0", "{\"name\":\"HOST_TYPE\",\"value\":\"FQDN\"}",
		  "InvalidSpec" },
		{ "cluster.ready", "false", "AsExpected" }, /* waits */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = world();
		if (cases[i].value) {
			autofree char *text = xasprintf("[%s]", cases[i].value);
			_cleanup_json_ json_t *list = parse(text);
			if (strcmp(cases[i].path, "cr.spec.template.envVars.0") == 0)
				json_array_set(data_get(w, "cr.spec.template.envVars"), 0,
				               json_array_get(list, 0));
			else
				data_set(w, cases[i].path, json_deep_copy(json_array_get(list, 0)));
		} else {
			json_object_del(w, cases[i].path);
		}
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
		assert_string_equal(degraded(plan), cases[i].reason);
	}
	_cleanup_json_ json_t *w = world();
	data_set(w, "cr.spec.starRocksClusterNamespace", json_string("other"));
	data_set(w, "cluster.cr.spec.warehouseNamespaces", parse("[\"n\"]"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(write_of(plan, "apply", "Deployment"));
}

static void ghosts_of_the_warehouse_only(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	data_set(w, "fe.nodes",
	         parse("[{\"host\":\"10.0.0.1\",\"port\":9050,\"alive\":false,\"warehouse\":\"w_"
	               "x\"},"
	               "{\"host\":\"10.0.0.2\",\"port\":9050,\"alive\":true,\"warehouse\":\"w_x\"},"
	               "{\"host\":\"10.0.0.3\",\"port\":9050,\"alive\":false,\"warehouse\":"
	               "\"other\"},"
	               "{\"host\":\"10.0.0.4\",\"port\":9050,\"alive\":false,\"warehouse\":\"w_x\"}"
	               "]"));
	json_array_append_new(
		json_object_get(w, "pods"),
		parse("{\"metadata\":{\"name\":\"p\",\"labels\":{\"app.kubernetes.io/component\":"
	              "\"cn\"}},\"status\":{\"podIP\":\"10.0.0.4\"}}"));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *intents = json_object_get(plan, "intents");
	assert_int_equal(json_array_size(intents), 1);
	assert_string_equal(data_get_str(intents, "0.host"), "10.0.0.1");
	/* The live read before it is of the cluster. */
	assert_int_equal(data_get_int(intents, "0.generation", 0), 7);
	/* A warehouse beside a cluster of another namespace leaves none behind either. */
	data_set(w, "cr.spec.starRocksClusterNamespace", json_string("other"));
	data_set(w, "cluster.cr.spec.warehouseNamespaces", parse("[\"n\"]"));
	_cleanup_json_ json_t *far = plan_of(w);
	assert_string_equal(data_get_str(far, "intents.0.host"), "10.0.0.1");
}

static void it_leaves_in_order(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	data_set(w, "cr.metadata.deletionTimestamp", json_string("2027-01-15T08:00:00Z"));
	json_object_set_new(json_object_get(w, "objects"), "Deployment/w-x-warehouse-cn",
	                    parse("{\"metadata\":{\"name\":\"w-x-warehouse-cn\",\"uid\":\"d\","
	                          "\"resourceVersion\":\"3\"}}"));
	json_array_append_new(json_object_get(w, "pods"), parse("{\"metadata\":{\"name\":\"p\"}}"));
	_cleanup_json_ json_t *first = plan_of(w);
	assert_non_null(write_of(first, "delete", "Deployment"));

	json_object_clear(json_object_get(w, "objects"));
	_cleanup_json_ json_t *second = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(second, "writes")), 0);
	assert_int_equal(json_array_size(json_object_get(second, "intents")), 0);

	json_array_clear(json_object_get(w, "pods"));
	_cleanup_json_ json_t *third = plan_of(w);
	assert_string_equal(data_get_str(third, "intents.0.do"), "drop_warehouse");
	assert_string_equal(data_get_str(third, "intents.0.warehouse"), "w_x");
	assert_null(write_of(third, "finalizers", "StarRocksWarehouse"));

	data_set(w, "fe.dropped", json_string("other"));
	_cleanup_json_ json_t *not_ours = plan_of(w);
	assert_null(write_of(not_ours, "finalizers", "StarRocksWarehouse"));

	data_set(w, "fe.dropped", json_string("w_x"));
	_cleanup_json_ json_t *last = plan_of(w);
	const json_t *write = write_of(last, "finalizers", "StarRocksWarehouse");
	assert_non_null(write);
	assert_int_equal(json_array_size(json_object_get(write, "finalizers")), 0);
}

static void without_its_cluster_it_just_leaves(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	data_set(w, "cr.metadata.deletionTimestamp", json_string("2027-01-15T08:00:00Z"));
	json_object_del(w, "cluster");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_non_null(write_of(plan, "finalizers", "StarRocksWarehouse"));

	_cleanup_json_ json_t *kept = world();
	data_set(kept, "cr.metadata.deletionTimestamp", json_string("2027-01-15T08:00:00Z"));
	json_object_del(kept, "fe");
	data_set(kept, "cr.metadata.annotations.roost\\.io/keep-warehouse", json_string("true"));
	_cleanup_json_ json_t *gone = plan_of(kept);
	assert_non_null(write_of(gone, "finalizers", "StarRocksWarehouse"));
	assert_int_equal(json_array_size(json_object_get(gone, "intents")), 0);
}

static void upstreams_set_is_freed_and_goes(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world();
	json_t *objects = json_object_get(w, "objects");
	json_object_set_new(
		objects, "StatefulSet/w-x-warehouse-cn",
		parse("{\"metadata\":{\"name\":\"w-x-warehouse-cn\",\"uid\":\"s\",\"finalizers\":"
	              "[\"starrocks.com.starrockswarehouse/protection\"],\"ownerReferences\":"
	              "[{\"uid\":\"wu\"}]},\"status\":{\"readyReplicas\":2}}"));
	json_object_set_new(
		objects, "Deployment/w-x-warehouse-cn",
		parse("{\"metadata\":{\"name\":\"w-x-warehouse-cn\",\"uid\":\"d\","
	              "\"ownerReferences\":[{\"uid\":\"wu\"}]},\"spec\":{\"replicas\":2},"
	              "\"status\":{\"availableReplicas\":1}}"));
	_cleanup_json_ json_t *early = plan_of(w);
	assert_null(write_of(early, "finalizers", "StatefulSet"));
	data_set(objects, "Deployment/w-x-warehouse-cn.status.availableReplicas", json_integer(2));
	_cleanup_json_ json_t *freed = plan_of(w);
	assert_non_null(write_of(freed, "finalizers", "StatefulSet"));
	json_object_del(data_get(objects, "StatefulSet/w-x-warehouse-cn.metadata"), "finalizers");
	_cleanup_json_ json_t *gone = plan_of(w);
	assert_non_null(write_of(gone, "delete", "StatefulSet"));
}

/* A warehouse whose nodes follow its own queue. */
static json_t *scaled(void)
{
	json_t *w = world();
	data_set(w, "cr.spec.template.roostAutoscaling",
	         parse("{\"minReplicas\":1,\"maxReplicas\":8}"));
	return w;
}

static void its_number_is_the_scalers(void **state)
{
	(void)state;
	static const struct {
		const char *by;
		int last, now, want; /* last -1: none known */
		bool back;
	} cases[] = {
		{ NULL, -1, 2, 2, false }, /* the first apply */
		{ "roost-operator", 3, 5, 5, false },
		{ NULL, 5, 2, 5, true },  /* a manifest applied again */
		{ NULL, 50, 2, 8, true }, /* the limits were lowered meanwhile */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = scaled();
		data_set(w, "cr.spec.template.replicas", json_integer(cases[i].now));
		if (cases[i].by)
			data_set(w, "cr.metadata.roostScaledBy", json_string(cases[i].by));
		if (cases[i].last >= 0)
			data_set(w, "cr.status.lastScale", json_integer(cases[i].last));
		_cleanup_json_ json_t *plan = plan_of(w);
		const json_t *back = write_of(plan, "scale", "StarRocksWarehouse");
		const json_t *set = write_of(plan, "apply", "Deployment");
		assert_string_equal(degraded(plan), "AsExpected");
		assert_int_equal(back != NULL, cases[i].back);
		assert_int_equal(data_get_int(set, "object.spec.replicas", -1), cases[i].want);
		if (back) {
			assert_string_equal(data_get_str(back, "name"), "w-x");
			assert_string_equal(data_get_str(back, "version"), "5");
			assert_int_equal(data_get_int(back, "replicas", -1), cases[i].want);
		}
		bool kept = cases[i].by || cases[i].last >= 0;
		assert_int_equal(data_get_int(plan, "status.lastScale", -1),
		                 kept ? cases[i].want : -1);
	}
	/* It is not forgotten while nothing may be written. */
	_cleanup_json_ json_t *w = scaled();
	data_set(w, "cr.status.lastScale", json_integer(5));
	data_set(w, "cluster.ready", json_false());
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_int_equal(data_get_int(plan, "status.lastScale", -1), 5);
}

static void keda_scales_the_warehouse(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = scaled();
	_cleanup_json_ json_t *without = plan_of(w);
	assert_null(write_of(without, "apply", "ScaledObject"));
	json_object_set_new(
		w, "keda",
		parse("{\"url\":\"http://s:1\",\"token\":\"w-x-warehouse-cn-scaler-0a\","
	              "\"have\":false}"));
	json_object_set_new(w, "wanted",
	                    parse("{\"replicas\":4,\"from\":2,\"since_ms\":" NOW_TEXT
	                          ",\"at_ms\":" NOW_TEXT "}"));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = write_of(plan, "apply", "ScaledObject");
	assert_string_equal(data_get_str(x, "name"), "w-x-warehouse-cn");
	assert_string_equal(data_get_str(x, "object.spec.scaleTargetRef.kind"),
	                    "StarRocksWarehouse");
	assert_string_equal(data_get_str(x, "object.spec.scaleTargetRef.name"), "w-x");
	assert_string_equal(data_get_str(x, "object.spec.triggers.0.metadata.url"),
	                    "http://s:1/v1/namespaces/n/clusters/w-x-warehouse/pools/cn");
	assert_int_equal(data_get_int(x, "object.spec.minReplicaCount", -1), 4); /* pinned */
	assert_int_equal(data_get_int(x, "object.spec.maxReplicaCount", -1), 8);
	assert_non_null(write_of(plan, "scaler_secret", "Secret"));
	/* And no longer once it is switched off. */
	data_set(w, "cr.spec.template.roostAutoscaling.enabled", json_false());
	json_object_set_new(json_object_get(w, "objects"), "ScaledObject/w-x-warehouse-cn",
	                    parse("{\"metadata\":{\"name\":\"w-x-warehouse-cn\",\"uid\":\"k\","
	                          "\"ownerReferences\":[{\"uid\":\"wu\"}]}}"));
	_cleanup_json_ json_t *off = plan_of(w);
	assert_non_null(write_of(off, "delete", "ScaledObject"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_nodes_are_made),
		cmocka_unit_test(the_finalizer_comes_first),
		cmocka_unit_test(what_is_missing_is_told),
		cmocka_unit_test(ghosts_of_the_warehouse_only),
		cmocka_unit_test(it_leaves_in_order),
		cmocka_unit_test(without_its_cluster_it_just_leaves),
		cmocka_unit_test(upstreams_set_is_freed_and_goes),
		cmocka_unit_test(its_number_is_the_scalers),
		cmocka_unit_test(keda_scales_the_warehouse),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

#include <errno.h>

#include "operator/reconcile/step_for_tests.h"

static json_t *world(const char *spec)
{
	json_t *w = parse("{\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"uid\":\"u\","
	                  "\"generation\":4,\"resourceVersion\":\"9\"}},\"objects\":{},\"pods\":[],"
	                  "\"applied\":{},\"token\":true,\"now_ms\":1800000000000}");
	json_object_set_new(json_object_get(w, "cr"), "spec", parse(spec));
	return w;
}

static void add_pod(json_t *w, const char *role, const char *name, const char *env)
{
	json_t *pod = json_pack("{s:{s:s, s:{s:s}}, s:{s:[{s:s, s:[o]}]}, s:{s:[{s:s, s:s}]}}",
	                        "metadata", "name", name, "labels", "app.kubernetes.io/component",
	                        role, "spec", "containers", "name", "fe", "env", parse(env),
	                        "status", "conditions", "type", "Ready", "status", "True");
	json_array_append_new(json_object_get(w, "pods"), pod);
}

static bool applies(const json_t *plan, const char *kind, const char *name)
{
	return write_like(plan, "apply", kind, name);
}

static const char *reason(const json_t *plan, const char *type)
{
	return condition(plan, type, "reason");
}

#define NO_ENV "{\"name\":\"A\",\"value\":\"7\"}"
#define ENV(n) "{\"name\":\"RESTORE_CLUSTER_GENERATION\",\"value\":\"" #n "\"}"

/* ---- the proxy, the Ingress, budgets ---- */
static void the_proxy_waits_for_an_fe(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world("{\"starRocksFeSpec\":{\"image\":\"i\"},"
	                                 "\"starRocksFeProxySpec\":{\"replicas\":2}}");
	_cleanup_json_ json_t *before = plan_of(w);
	assert_false(applies(before, "Deployment", "c-fe-proxy"));
	add_pod(w, "fe", "c-fe-0", NO_ENV);
	_cleanup_json_ json_t *after = plan_of(w);
	assert_true(applies(after, "ConfigMap", "c-fe-proxy"));
	assert_true(applies(after, "Deployment", "c-fe-proxy"));
	assert_true(applies(after, "Service", "c-fe-proxy-service"));
	assert_string_equal(data_get_str(after, "status.starRocksFeProxyStatus.phase"),
	                    "reconciling");
	assert_string_equal(data_get_str(after, "status.phase"), "reconciling");
}

static void what_is_no_longer_asked_for_goes(void **state)
{
	(void)state;
	static const char *const keys[] = { "Deployment/c-fe-proxy", "ConfigMap/c-fe-proxy",
		                            "Service/c-fe-proxy-service", "Ingress/c-fe",
		                            "PodDisruptionBudget/c-fe" };
	_cleanup_json_ json_t *w = world("{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":1}}");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *o = parse("{\"metadata\":{\"uid\":\"x\",\"resourceVersion\":\"1\","
		                  "\"ownerReferences\":[{\"uid\":\"u\"}]}}");
		data_set(o, "metadata.name", json_string(strchr(keys[i], '/') + 1));
		json_object_set_new(json_object_get(w, "objects"), keys[i], o);
	}
	_cleanup_json_ json_t *plan = plan_of(w);
	size_t deletes = 0, i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x) deletes +=
		strcmp(data_get_str(x, "verb"), "delete") == 0;
	assert_int_equal(deletes, ARRAY_LEN(keys));
}

static void budgets_keep_a_majority(void **state)
{
	(void)state;
	static const struct {
		int fe;
		int64_t want; /* 0: none */
	} cases[] = { { 1, 0 }, { 2, 1 }, { 3, 1 }, { 4, 1 }, { 5, 2 }, { 7, 3 } };
	for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
		autofree char *spec = xasprintf(
			"{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":%d}}", cases[k].fe);
		_cleanup_json_ json_t *w = world(spec);
		_cleanup_json_ json_t *plan = plan_of(w);
		int64_t got = 0;
		size_t i;
		const json_t *x;
		json_array_foreach(json_object_get(plan, "writes"), i, x)
		{
			if (strcmp(data_get_str(x, "kind"), "PodDisruptionBudget") == 0)
				got = data_get_int(x, "object.spec.maxUnavailable", -1);
		}
		assert_int_equal(got, cases[k].want);
	}
}

static bool budget_goes(const char *be, int live)
{
	autofree char *spec =
		xasprintf("{\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":1}%s}", be);
	autofree char *objects = xasprintf(
		"{\"PodDisruptionBudget/c-be\":{\"metadata\":{\"name\":\"c-be\",\"uid\":\"x\","
		"\"resourceVersion\":\"1\",\"ownerReferences\":[{\"uid\":\"u\"}]}},"
		"\"StatefulSet/c-be\":{\"metadata\":{\"name\":\"c-be\",\"uid\":\"y\","
		"\"resourceVersion\":\"1\",\"ownerReferences\":[{\"uid\":\"u\"}]},"
		"\"spec\":{\"replicas\":%d}}}",
		live);
	_cleanup_json_ json_t *w = world(spec);
	json_object_set_new(w, "objects", parse(objects));
	_cleanup_json_ json_t *plan = plan_of(w);
	return write_like(plan, "delete", "PodDisruptionBudget", "c-be");
}

static void a_budget_stays_while_nodes_do(void **state)
{
	(void)state;
	/* On the way down from 3, and kept since the tablets on them are. */
	assert_false(budget_goes(",\"starRocksBeSpec\":{\"image\":\"i\",\"replicas\":1}", 3));
	assert_false(budget_goes("", 3));
	assert_true(budget_goes(",\"starRocksBeSpec\":{\"image\":\"i\",\"replicas\":1}", 1));
	assert_true(budget_goes(",\"starRocksBeSpec\":{\"image\":\"i\",\"replicas\":3,"
	                        "\"podDisruptionBudget\":{\"disabled\":true}}",
	                        3));
}

/* ---- disaster recovery ---- */
#define DR_SPEC                                                                       \
	"{\"disasterRecovery\":{\"enabled\":true,\"generation\":7},"                  \
	"\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":3,"                        \
	"\"configMaps\":[{\"name\":\"s\",\"mountPath\":\"/x\",\"subPath\":\"%s\"}]}," \
	"\"starRocksCnSpec\":{\"image\":\"i\",\"replicas\":2},\"starRocksFeProxySpec\":{}}"

static json_t *recovering(const char *mounted)
{
	autofree char *spec = xasprintf(DR_SPEC, mounted);
	json_t *w = world(spec);
	data_set(w, "conf.fe", json_string("run_mode = shared_data\n"));
	return w;
}

static void recovery_is_one_fe_alone(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = recovering("cluster_snapshot.yaml");
	/* Old FEs are ready, and one carries the number in another variable: neither proves anything. */
	add_pod(w, "fe", "c-fe-0", NO_ENV);
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = json_array_get(json_object_get(plan, "writes"), 2);
	assert_true(applies(plan, "StatefulSet", "c-fe"));
	assert_int_equal(data_get_int(x, "object.spec.replicas", -1), 1);
	assert_false(applies(plan, "Deployment", "c-cn"));
	assert_false(applies(plan, "Deployment", "c-fe-proxy"));
	assert_string_equal(data_get_str(plan, "status.disasterRecoveryStatus.phase"), "doing");
	assert_int_equal(data_get_int(plan, "status.disasterRecoveryStatus.startTimestamp", 0),
	                 1800000000);

	json_array_clear(json_object_get(w, "pods"));
	add_pod(w, "fe", "c-fe-0", ENV(6));
	_cleanup_json_ json_t *older = plan_of(w);
	assert_string_equal(data_get_str(older, "status.disasterRecoveryStatus.phase"), "doing");

	json_array_clear(json_object_get(w, "pods"));
	add_pod(w, "fe", "c-fe-0", ENV(7));
	_cleanup_json_ json_t *done = plan_of(w);
	assert_string_equal(data_get_str(done, "status.disasterRecoveryStatus.phase"), "done");
	assert_int_equal(data_get_int(done, "status.disasterRecoveryStatus.observedGeneration", 0),
	                 7);
}

static void recovery_done_is_over(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = recovering("cluster_snapshot.yaml");
	json_object_set_new(json_object_get(w, "cr"), "status",
	                    parse("{\"disasterRecoveryStatus\":{\"phase\":\"done\","
	                          "\"observedGeneration\":7}}"));
	add_pod(w, "fe", "c-fe-0", ENV(7));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = json_array_get(json_object_get(plan, "writes"), 2);
	assert_int_equal(data_get_int(x, "object.spec.replicas", -1), 3);
	assert_true(applies(plan, "Deployment", "c-cn"));
	assert_string_equal(data_get_str(plan, "status.disasterRecoveryStatus.phase"), "done");
	/* A later generation begins anew. */
	data_set(w, "cr.spec.disasterRecovery.generation", json_integer(8));
	_cleanup_json_ json_t *next = plan_of(w);
	assert_string_equal(data_get_str(next, "status.disasterRecoveryStatus.phase"), "doing");
}

static void recovery_without_a_snapshot_changes_nothing(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = recovering("fe.conf");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(plan, "writes")), 0);
	assert_string_equal(reason(plan, "Degraded"), "NoSnapshot");
	assert_string_equal(data_get_str(plan, "status.disasterRecoveryStatus.phase"), "todo");
	/* Shared-nothing has no such recovery: the field is without effect there, as upstream has it. */
	data_set(w, "conf.fe", json_string(""));
	_cleanup_json_ json_t *other = plan_of(w);
	assert_true(applies(other, "StatefulSet", "c-fe"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_proxy_waits_for_an_fe),
		cmocka_unit_test(what_is_no_longer_asked_for_goes),
		cmocka_unit_test(budgets_keep_a_majority),
		cmocka_unit_test(a_budget_stays_while_nodes_do),
		cmocka_unit_test(recovery_is_one_fe_alone),
		cmocka_unit_test(recovery_done_is_over),
		cmocka_unit_test(recovery_without_a_snapshot_changes_nothing),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

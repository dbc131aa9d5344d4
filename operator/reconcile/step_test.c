#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "operator/reconcile/step.h"

enum { NOW = 1800000000 };
#define NOW_MS ((json_int_t)NOW * 1000)

/* ---- making worlds ---- */
static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err err = ERR_INIT;
	if (data_json_parse(str_of(text), &j, &err) < 0)
		fail_msg("%s in %s", err.msg, text);
	return j;
}

/* A cluster c of fe, be and cn replicas; -1: no such spec. */
static json_t *world(int fe, int be, int cn)
{
	static const char *const spec[] = { "starRocksFeSpec", "starRocksBeSpec",
		                            "starRocksCnSpec" };
	const int n[] = { fe, be, cn };
	json_t *w = parse("{\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"uid\":\"u\","
	                  "\"generation\":4,\"resourceVersion\":\"9\"},\"spec\":{}},\"objects\":{},"
	                  "\"pods\":[],\"applied\":{},\"token\":true}");
	data_set(w, "now_ms", json_integer(NOW_MS));
	for (int i = 0; i < 3; i++)
		if (n[i] >= 0)
			json_object_set_new(
				data_get(w, "cr.spec"), spec[i],
				json_pack("{s:s, s:i}", "image", "i", "replicas", n[i]));
	return w;
}

static json_t *plan_of(const json_t *w)
{
	struct render_options options = { .volume_hash = true };
	json_t *plan = NULL;
	struct err err = ERR_INIT;
	if (reconcile_step(w, &options, &plan, &err) < 0)
		fail_msg("%s", err.msg);
	return plan;
}

static const json_t *write_of(const json_t *plan, const char *verb, const char *name)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		if (strcmp(data_get_str(x, "verb"), verb) == 0 &&
		    strcmp(data_get_str(x, "name"), name) == 0)
			return x;
	}
	return NULL;
}

/* What the server would hold after the plan's applies; digests as the writer files them. */
static void accept_plan(json_t *w, const json_t *plan)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		char desired[17], live[17];
		json_t *o = json_deep_copy(json_object_get(x, "object"));
		if (!o)
			continue;
		autofree char *key =
			xasprintf("%s/%s", data_get_str(x, "kind"), data_get_str(x, "name"));
		data_set(o, "metadata.generation", json_integer(1));
		data_set(o, "spec.serverDefault", json_string("added"));
		reconcile_digest(json_object_get(x, "object"), desired);
		reconcile_live_digest(json_object_get(x, "object"), o, live);
		json_object_set_new(json_object_get(w, "objects"), key, o);
		json_object_set_new(json_object_get(w, "applied"), key,
		                    json_pack("{s:s,s:s}", "desired", desired, "live", live));
	}
}

static void add_pod(json_t *w, const char *role, const char *name, const char *ip, bool ready)
{
	json_t *pod = json_pack(
		"{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s}, s:{s:s, s:s*, s:[{s:s, s:s}]}}", "kind",
		"Pod", "metadata", "name", name, "namespace", "n", "uid", name, "labels",
		"app.kubernetes.io/component", role, "spec", "nodeName", "node", "status", "phase",
		"Running", "podIP", ip, "conditions", "type", "Ready", "status",
		ready ? "True" : "False");
	json_array_append_new(json_object_get(w, "pods"), pod);
}

static void settle_set(json_t *w, const char *key, int n)
{
	json_t *o = json_object_get(json_object_get(w, "objects"), key);
	assert_non_null(o);
	json_object_set_new(o, "status",
	                    json_pack("{s:i,s:i,s:i,s:i,s:i}", "observedGeneration", 1, "replicas",
	                              n, "updatedReplicas", n, "readyReplicas", n,
	                              "availableReplicas", n));
}

/* A whole cluster at rest: 1 FE, be BEs, cn CNs. */
static json_t *settled(int be, int cn)
{
	json_t *w = world(1, be, cn);
	add_pod(w, "fe", "c-fe-0", "10.0.0.1", true);
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	settle_set(w, "StatefulSet/c-fe", 1);
	settle_set(w, "StatefulSet/c-be", be);
	settle_set(w, "Deployment/c-cn", cn);
	for (int i = 0; i < be; i++) {
		autofree char *name = xasprintf("c-be-%d", i), *ip = xasprintf("10.0.1.%d", i);
		add_pod(w, "be", name, ip, true);
	}
	for (int i = 0; i < cn; i++) {
		autofree char *name = xasprintf("c-cn-x%d", i), *ip = xasprintf("10.0.2.%d", i);
		add_pod(w, "cn", name, ip, true);
	}
	return w;
}

static void set_fe(json_t *w, int64_t age_ms, const char *rows)
{
	json_t *fe = parse(rows);
	json_object_set_new(fe, "ok", json_true());
	json_object_set_new(fe, "at_ms", json_integer(NOW_MS - age_ms));
	json_object_set_new(fe, "since_ms", json_integer(NOW_MS - 60000));
	json_object_set_new(w, "fe", fe);
}

static const char *condition(const json_t *plan, const char *type, const char *field)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(plan, "status.conditions"), i, c)
	{
		if (strcmp(data_get_str(c, "type"), type) == 0)
			return data_get_str(c, field);
	}
	return "";
}

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
	assert_null(write_of(first, "apply", "c-be"));
	assert_null(write_of(first, "apply", "c-cn"));
	assert_string_equal(data_get_str(first, "status.phase"), "reconciling");
	assert_string_equal(condition(first, "Progressing", "status"), "True");
	add_pod(w, "fe", "c-fe-0", "10.0.0.1", true);
	_cleanup_json_ json_t *second = plan_of(w);
	assert_non_null(write_of(second, "apply", "c-be"));
	assert_non_null(write_of(second, "apply", "c-cn"));
	assert_string_equal(data_get_str(write_of(second, "apply", "c-cn"), "kind"), "Deployment");
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

/* ---- BE scale-in ---- */
static int64_t be_replicas(const json_t *w, const json_t *plan)
{
	const json_t *x = write_of(plan, "apply", "c-be");
	return x ? data_get_int(x, "object.spec.replicas", -1)
	         : data_get_int(json_object_get(json_object_get(w, "objects"), "StatefulSet/c-be"),
	                        "spec.replicas", -1);
}

#define BE(n, alive, gone, tablets)                                                     \
	"{\"host\":\"c-be-" n ".c-be-search.n.svc\",\"port\":9050,\"alive\":" alive "," \
	"\"decommissioned\":" gone ",\"tablets\":" tablets "}"

static void backends_leave_one_by_one(void **state)
{
	(void)state;
	static const struct {
		const char *rows, *act; /* rows NULL: the FE does not answer */
		int want, replicas;
	} cases[] = {
		{ NULL, NULL, 1, 3 },
		{ BE("0", "true", "false", "5") "," BE("1", "true", "false",
		                                       "5") "," BE("2", "true", "false", "5"),
		  "decommission", 1, 3 },
		{ BE("0", "true", "false", "5") "," BE("2", "true", "true", "2"), NULL, 1, 3 },
		{ BE("0", "true", "false", "5") "," BE("2", "true", "true", "0"), "drop_backend", 1,
		  3 },
		/* Gone from the FE's list: one replica less, not two. */
		{ BE("0", "true", "false", "5") "," BE("1", "true", "false", "5"), NULL, 1, 2 },
		/* An FE that lists nobody is not believed. */
		{ "", NULL, 1, 3 },
		/* The last one alive stays. */
		{ BE("2", "true", "false", "5"), NULL, 1, 3 },
		/* Scaled back up: the drain is called off. */
		{ BE("0", "true", "false", "5") "," BE("2", "true", "true", "2"),
		  "cancel_decommission", 3, 3 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled(3, 0);
		data_set(w, "cr.spec.starRocksBeSpec.replicas", json_integer(cases[i].want));
		if (cases[i].rows) {
			autofree char *fe = xasprintf("{\"backends\":[%s]}", cases[i].rows);
			set_fe(w, 100, fe);
		}
		_cleanup_json_ json_t *plan = plan_of(w);
		const char *act = data_get_str(plan, "intents.0.do");
		if (be_replicas(w, plan) != cases[i].replicas ||
		    (cases[i].act ? !act || strcmp(act, cases[i].act) != 0 : act != NULL))
			fail_msg("case %zu: %lld replicas, intent %s", i,
			         (long long)be_replicas(w, plan), act ? act : "none");
		if (act)
			assert_int_equal(data_get_int(plan, "intents.0.generation", 0), 4);
	}
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
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x0"), "cost"), "4");
	assert_string_equal(data_get_str(write_of(plan, "cost", "c-cn-x1"), "cost"), "0");
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
static void fe_is_not_lowered(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled(1, 1);
	data_set(json_object_get(json_object_get(w, "objects"), "StatefulSet/c-fe"),
	         "spec.replicas", json_integer(3));
	_cleanup_json_ json_t *plan = plan_of(w);
	const json_t *x = write_of(plan, "apply", "c-fe");
	assert_int_equal(data_get_int(x, "object.spec.replicas", 3), 3);
	assert_string_equal(condition(plan, "Degraded", "reason"), "FeScaleInNotBuilt");
}

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

static int setup(void **state)
{
	(void)state;
	return render_init(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fe_first),
		cmocka_unit_test(quiet_at_rest),
		cmocka_unit_test(drift_and_loss_are_healed),
		cmocka_unit_test(a_foreign_object_is_left_alone),
		cmocka_unit_test(bad_specs_degrade),
		cmocka_unit_test(a_removed_fe_is_kept),
		cmocka_unit_test(a_removed_be_needs_empty_backends),
		cmocka_unit_test(backends_leave_one_by_one),
		cmocka_unit_test(cheapest_compute_node_first),
		cmocka_unit_test(ghosts_are_dropped_by_identity),
		cmocka_unit_test(the_old_set_goes_when_the_deployment_carries),
		cmocka_unit_test(fe_is_not_lowered),
		cmocka_unit_test(the_pod_to_blame_is_named),
		cmocka_unit_test(a_refused_write_is_told),
		cmocka_unit_test(differences_are_merge_patches),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

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

/* 2027-01-15T08:00:00Z, a Friday. */
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

static json_t *plan_of(const json_t *w)
{
	struct render_options options = { .volume_hash = true };
	json_t *plan = NULL;
	struct err err = ERR_INIT;
	if (reconcile_step(w, &options, &plan, &err) < 0)
		fail_msg("%s", err.msg);
	return plan;
}

/* What the server would hold after the plan's writes. */
static void accept_plan(json_t *w, const json_t *plan)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		char desired[17], live[17];
		json_t *o = json_deep_copy(json_object_get(x, "object"));
		autofree char *key =
			xasprintf("%s/%s", data_get_str(x, "kind"), data_get_str(x, "name"));
		if (!o)
			continue;
		const json_t *old = json_object_get(json_object_get(w, "objects"), key);
		int64_t generation = data_get_int(old, "metadata.generation", 0);
		data_set(o, "metadata.generation", json_integer(generation + 1));
		if (old && json_object_get(old, "status"))
			json_object_set(o, "status", json_object_get(old, "status"));
		reconcile_digest(json_object_get(x, "object"), desired);
		reconcile_live_digest(json_object_get(x, "object"), o, live);
		json_object_set_new(json_object_get(w, "objects"), key, o);
		json_object_set_new(json_object_get(w, "applied"), key,
		                    json_pack("{s:s,s:s}", "desired", desired, "live", live));
	}
}

static json_t *pod(const char *role, const char *name)
{
	return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:{s:s}, s:{s:s, s:[{s:s, s:s}]}}",
	                 "kind", "Pod", "metadata", "name", name, "namespace", "n", "uid", name,
	                 "labels", "app.kubernetes.io/component", role, "spec", "nodeName", "node",
	                 "status", "phase", "Running", "conditions", "type", "Ready", "status",
	                 "True");
}

static json_t *object_of(const json_t *w, const char *key)
{
	return json_object_get(json_object_get(w, "objects"), key);
}

/* The controllers catch up: each set has the pods it asks for. */
static void settle(json_t *w)
{
	static const char *const sets[] = { "StatefulSet/c-fe", "StatefulSet/c-be",
		                            "Deployment/c-cn" };
	static const char *const roles[] = { "fe", "be", "cn" };
	json_t *pods = json_array();
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		json_t *o = object_of(w, sets[i]);
		int64_t n = data_get_int(o, "spec.replicas", 0);
		if (!o)
			continue;
		json_object_set_new(o, "status",
		                    json_pack("{s:I,s:I,s:I,s:I,s:I}", "observedGeneration",
		                              data_get_int(o, "metadata.generation", 0), "replicas",
		                              n, "updatedReplicas", n, "readyReplicas", n,
		                              "availableReplicas", n));
		for (int64_t k = 0; k < n; k++) {
			autofree char *name = xasprintf("c-%s-%lld", roles[i], (long long)k);
			json_array_append_new(pods, pod(roles[i], name));
		}
	}
	json_object_set_new(w, "pods", pods);
}

/* One round: the step, its writes, its status, the controllers. */
static void go(json_t *w)
{
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	settle(w);
	_cleanup_json_ json_t *after = plan_of(w);
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(after, "status"));
}

/* 1 FE, 2 BE, 2 CN at rest, the status written. */
static json_t *settled(void)
{
	json_t *w = parse(
		"{\"cr\":{\"kind\":\"StarRocksCluster\",\"metadata\":{\"name\":\"c\",\"namespace\":"
		"\"n\",\"uid\":\"u\",\"generation\":4,\"resourceVersion\":\"9\"},\"spec\":{"
		"\"starRocksFeSpec\":{\"image\":\"i\",\"replicas\":1},"
		"\"starRocksBeSpec\":{\"image\":\"i\",\"replicas\":2},"
		"\"starRocksCnSpec\":{\"image\":\"i\",\"replicas\":2}}},"
		"\"objects\":{},\"pods\":[],\"applied\":{},\"token\":true}");
	data_set(w, "now_ms", json_integer(NOW_MS));
	for (int i = 0; i < 3; i++)
		go(w);
	return w;
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

static const json_t *event(const json_t *plan, const char *reason)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(plan, "events"), i, e)
	{
		if (strcmp(data_get_str(e, "reason"), reason) == 0)
			return e;
	}
	return NULL;
}

static void set_pod_status(json_t *w, const char *name, json_t *status)
{
	size_t i;
	json_t *p;
	json_array_foreach(json_object_get(w, "pods"), i, p)
	{
		if (strcmp(data_get_str(p, "metadata.name"), name) == 0)
			json_object_set(p, "status", status);
	}
	json_decref(status);
}

/* ---- blame ---- */
#define CONTAINER(rest) "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"cn\"," rest "}]}"
#define NOT_READY(since, rest)                                                                 \
	"{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","     \
	"\"lastTransitionTime\":\"" since "\"}],\"containerStatuses\":[{\"name\":\"cn\"," rest \
	"}]}"

static void a_pod_is_blamed_by_its_own_words(void **state)
{
	(void)state;
	static const struct {
		const char *status, *reason, *stalled, *says;
	} cases[] = {
		/* Between two falls a container runs, or has just ended. */
		{ CONTAINER("\"ready\":false,\"restartCount\":4,\"state\":{\"running\":{}},"
		            "\"lastState\":{\"terminated\":{\"exitCode\":137,\"reason\":"
		            "\"OOMKilled\"}}"),
		  "CrashLoopBackOff", "True", "OOMKilled" },
		{ CONTAINER("\"ready\":false,\"restartCount\":2,\"state\":{\"terminated\":{"
		            "\"exitCode\":1,\"reason\":\"Error\"}}"),
		  "CrashLoopBackOff", "True", "exit code 1" },
		/* One restart, or a restart that was survived, is no loop. */
		{ CONTAINER("\"ready\":false,\"restartCount\":1,\"state\":{\"running\":{}},"
		            "\"lastState\":{\"terminated\":{\"exitCode\":1}}"),
		  "AsExpected", "", "" },
		{ CONTAINER("\"ready\":true,\"restartCount\":9,\"state\":{\"running\":{}},"
		            "\"lastState\":{\"terminated\":{\"exitCode\":1}}"),
		  "AsExpected", "", "" },
		{ "{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"x\",\"state\":{"
		  "\"waiting\":{\"reason\":\"ErrImagePull\",\"message\":\"no such tag\"}}}]}",
		  "ErrImagePull", "", "no such tag" },
		/* Was ready, is so no more: told after a moment; one that starts has longer. */
		{ NOT_READY("2027-01-15T07:59:55Z",
		            "\"started\":true,\"ready\":false,\"state\":{\"running\":{"
		            "\"startedAt\":\"2027-01-15T07:00:00Z\"}}"),
		  "ProbeFailing", "", "readiness" },
		{ NOT_READY("2027-01-15T07:59:54Z",
		            "\"started\":true,\"ready\":false,\"state\":{\"running\":{"
		            "\"startedAt\":\"2027-01-15T07:59:55Z\"}}"),
		  "AsExpected", "", "" },
		{ NOT_READY("2027-01-15T07:58:00Z",
		            "\"started\":false,\"ready\":false,\"state\":{\"running\":{"
		            "\"startedAt\":\"2027-01-15T07:58:02Z\"}}"),
		  "ProbeFailing", "", "startup" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled();
		set_pod_status(w, "c-cn-1", parse(cases[i].status));
		_cleanup_json_ json_t *plan = plan_of(w);
		if (strcmp(condition(plan, "Degraded", "reason"), cases[i].reason) != 0 ||
		    strcmp(condition(plan, "Stalled", "status"), cases[i].stalled) != 0 ||
		    !strstr(condition(plan, "Degraded", "message"), cases[i].says))
			fail_msg("case %zu: %s: %s (stalled: %s)", i,
			         condition(plan, "Degraded", "reason"),
			         condition(plan, "Degraded", "message"),
			         condition(plan, "Stalled", "status"));
		if (*cases[i].says)
			assert_non_null(event(plan, cases[i].reason));
	}
}

static void a_pod_in_its_patience_is_looked_at_again(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	set_pod_status(w, "c-cn-1",
	               parse(NOT_READY("2027-01-15T07:59:54Z",
	                               "\"started\":true,\"ready\":false,\"state\":{\"running\":{"
	                               "\"startedAt\":\"2027-01-15T07:59:55Z\"}}")));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(data_get_int(plan, "requeue_ms", 0), 10000);
}

static void what_only_events_tell(void **state)
{
	(void)state;
	static const char quota[] = "create Pod c-be-1 failed: exceeded quota: q";
	_cleanup_json_ json_t *w = settled();
	json_t *set = object_of(w, "StatefulSet/c-be");
	data_set(set, "kind", json_string("StatefulSet"));
	data_set(set, "status.replicas", json_integer(1));
	json_object_set_new(w, "warnings",
	                    json_pack("{s:{s:s,s:s}}", "StatefulSet/c-be", "reason", "FailedCreate",
	                              "message", quota));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(condition(plan, "Degraded", "reason"), "QuotaExceeded");
	assert_string_equal(condition(plan, "Degraded", "message"), quota);
	assert_int_equal(data_get_int(plan, "requeue_ms", 0), 3000);
	/* An old warning about a set that has its pods is history. */
	data_set(set, "status.replicas", json_integer(2));
	_cleanup_json_ json_t *after = plan_of(w);
	assert_string_equal(condition(after, "Degraded", "status"), "False");
	/* A claim that is not provisioned. */
	json_t *p = json_array_get(json_object_get(w, "pods"), 1);
	json_object_set_new(p, "status", parse("{\"phase\":\"Pending\"}"));
	data_set(
		p, "spec.volumes",
		parse("[{\"name\":\"d\",\"persistentVolumeClaim\":{\"claimName\":\"d-c-be-0\"}}]"));
	json_object_set_new(w, "warnings",
	                    json_pack("{s:{s:s,s:s}}", "PersistentVolumeClaim/d-c-be-0", "reason",
	                              "ProvisioningFailed", "message", "no such class"));
	_cleanup_json_ json_t *claim = plan_of(w);
	assert_string_equal(condition(claim, "Degraded", "reason"), "ProvisioningFailed");
}

static void deployments_have_conditions(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	json_t *o = object_of(w, "Deployment/c-cn");
	data_set(o, "status.conditions",
	         parse("[{\"type\":\"ReplicaFailure\",\"status\":\"True\",\"reason\":"
	               "\"FailedCreate\",\"message\":\"exceeded quota: q\"}]"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(condition(plan, "Degraded", "reason"), "QuotaExceeded");
	data_set(o, "status.conditions",
	         parse("[{\"type\":\"Progressing\",\"status\":\"False\",\"reason\":"
	               "\"ProgressDeadlineExceeded\",\"message\":\"late\"}]"));
	_cleanup_json_ json_t *late = plan_of(w);
	assert_string_equal(condition(late, "Degraded", "reason"), "ProgressDeadlineExceeded");
}

/* ---- what a status may not say ---- */
static void a_changed_cluster_is_not_called_ready(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	_cleanup_json_ json_t *rest = plan_of(w);
	assert_string_equal(condition(rest, "Ready", "status"), "True");
	/* A new image: applied, and the controller has not looked at it. */
	data_set(w, "cr.metadata.generation", json_integer(5));
	data_set(w, "cr.spec.starRocksBeSpec.image", json_string("j"));
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	_cleanup_json_ json_t *applied = plan_of(w);
	assert_int_equal(data_get_int(applied, "status.observedGeneration", 0), 5);
	assert_string_equal(condition(applied, "Ready", "status"), "False");
	assert_string_equal(data_get_str(applied, "status.phase"), "reconciling");
	settle(w);
	/* Writes that did not reach the server. */
	json_object_set_new(w, "unwritten", json_true());
	_cleanup_json_ json_t *later = plan_of(w);
	assert_string_equal(condition(later, "Ready", "status"), "False");
	json_object_del(w, "unwritten");
	_cleanup_json_ json_t *done = plan_of(w);
	assert_string_equal(condition(done, "Ready", "status"), "True");
}

static void a_failed_pod_fails_the_phase(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	set_pod_status(w, "c-fe-0", parse("{\"phase\":\"Pending\"}"));
	set_pod_status(w, "c-cn-1", parse("{\"phase\":\"Failed\"}"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(data_get_str(plan, "status.starRocksFeStatus.phase"), "reconciling");
	assert_string_equal(data_get_str(plan, "status.starRocksCnStatus.phase"), "failed");
	assert_string_equal(data_get_str(plan, "status.phase"), "failed");
}

/* ---- events ---- */
static void events_mark_transitions_only(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = settled();
	_cleanup_json_ json_t *rest = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(rest, "events")), 0);
	set_pod_status(w, "c-cn-1", parse("{\"phase\":\"Failed\",\"reason\":\"Evicted\"}"));
	_cleanup_json_ json_t *bad = plan_of(w);
	assert_string_equal(data_get_str(event(bad, "Evicted"), "type"), "Warning");
	json_object_set(json_object_get(w, "cr"), "status", json_object_get(bad, "status"));
	_cleanup_json_ json_t *again = plan_of(w);
	assert_int_equal(json_array_size(json_object_get(again, "events")), 0);
	settle(w);
	_cleanup_json_ json_t *good = plan_of(w);
	assert_non_null(event(good, "Recovered"));
	assert_non_null(event(good, "Ready"));
}

static int setup(void **state)
{
	(void)state;
	return render_init(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_is_blamed_by_its_own_words),
		cmocka_unit_test(a_pod_in_its_patience_is_looked_at_again),
		cmocka_unit_test(what_only_events_tell),
		cmocka_unit_test(deployments_have_conditions),
		cmocka_unit_test(a_changed_cluster_is_not_called_ready),
		cmocka_unit_test(a_failed_pod_fails_the_phase),
		cmocka_unit_test(events_mark_transitions_only),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

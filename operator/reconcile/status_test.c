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
#include "operator/reconcile/world_for_tests.h"

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

/* The kubelet tells its Event before the pod's status: what may pass is not called stalled in between. */
static void an_image_that_is_not_there(void **state)
{
	(void)state;
	static const struct {
		const char *reason, *message, *told;
	} cases[] = {
		{ "Failed", "Failed to pull image \"a:1\": not found", "ErrImagePull" },
		{ "Failed", "Error: ErrImagePull", "ErrImagePull" },
		{ "Failed", "Error: ImagePullBackOff", "ImagePullBackOff" },
		{ "BackOff", "Back-off pulling image \"a:1\"", "ImagePullBackOff" },
		{ "Failed", "Error: no such command", "Failed" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = settled();
		json_t *pod = json_array_get(json_object_get(w, "pods"), 1);
		json_object_set_new(pod, "status", parse("{\"phase\":\"Pending\"}"));
		autofree char *key = xasprintf("Pod/%s", data_get_str(pod, "metadata.name"));
		json_object_set_new(w, "warnings",
		                    json_pack("{s:{s:s,s:s}}", key, "reason", cases[i].reason,
		                              "message", cases[i].message));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_string_equal(condition(plan, "Degraded", "reason"), cases[i].told);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_is_blamed_by_its_own_words),
		cmocka_unit_test(a_pod_in_its_patience_is_looked_at_again),
		cmocka_unit_test(what_only_events_tell),
		cmocka_unit_test(an_image_that_is_not_there),
		cmocka_unit_test(deployments_have_conditions),
		cmocka_unit_test(a_changed_cluster_is_not_called_ready),
		cmocka_unit_test(a_failed_pod_fails_the_phase),
		cmocka_unit_test(events_mark_transitions_only),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

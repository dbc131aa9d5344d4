#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "operator/reconcile/testworld.h"

#define SET "StatefulSet/c-fe-observer"
#define HOST(n) "c-fe-observer-" #n ".c-fe-observer-search.n.svc.cluster.local"
#define LEADER "{\"host\":\"c-fe-0.x\",\"port\":9010,\"role\":\"LEADER\",\"alive\":true}"
#define OBSERVER(n) \
	",{\"host\":\"" HOST(n) "\",\"port\":9010,\"role\":\"OBSERVER\",\"alive\":false}"

static json_t *with_observers(int n, const char *rows)
{
	json_t *w = settled(0, 0);
	data_set(w, "cr.spec.starRocksFeSpec.observers", json_integer(n));
	autofree char *fe = xasprintf("{\"frontends\":[" LEADER "%s]}", rows);
	set_fe(w, 1000, fe);
	return w;
}

/* The set as it is, its controller done. */
static void have_set(json_t *w, int n)
{
	_cleanup_json_ json_t *plan = plan_of(w);
	accept_plan(w, plan);
	data_set(object_of(w, SET), "spec.replicas", json_integer(n));
	settle_set(w, SET, n);
	for (int i = 1; i <= n; i++) {
		autofree char *name = xasprintf("c-fe-observer-%d", i);
		add_pod(w, "fe-observer", name, NULL, true);
	}
}

static const json_t *intent(const json_t *plan, const char *act, const char *host)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "intents"), i, x)
	{
		if (strcmp(data_get_str(x, "do"), act) == 0 &&
		    strcmp(data_get_str(x, "host"), host) == 0)
			return x;
	}
	return NULL;
}

/* The budget has the same name. */
static const json_t *set_write(const json_t *plan, const char *verb)
{
	return write_like(plan, verb, "StatefulSet", "c-fe-observer");
}

static int64_t set_replicas(const json_t *plan)
{
	return data_get_int(set_write(plan, "apply"), "object.spec.replicas", -1);
}

static void one_is_known_to_the_fe_before_it_starts(void **state)
{
	(void)state;
	static const struct {
		const char *rows;
		int start;
		bool add1, add2;
	} cases[] = {
		{ "", 0, true, true },
		{ OBSERVER(1), 1, false, true },
		{ OBSERVER(2), 0, true, false },
		{ OBSERVER(1) OBSERVER(2), 2, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = with_observers(2, cases[i].rows);
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(set_replicas(plan), cases[i].start);
		assert_int_equal(intent(plan, "add_observer", HOST(1)) != NULL, cases[i].add1);
		assert_int_equal(intent(plan, "add_observer", HOST(2)) != NULL, cases[i].add2);
		assert_string_equal(condition(plan, "Ready", "status"), "False");
	}
}

static void one_that_votes_or_has_no_name_does_not_start(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(
		1,
		",{\"host\":\"" HOST(1) "\",\"port\":9010,\"role\":\"FOLLOWER\",\"alive\":true}");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(set_replicas(plan), 0);
	assert_string_equal(condition(plan, "Degraded", "reason"), "ObserverVotes");
	_cleanup_json_ json_t *v = with_observers(1, "");
	data_set(v, "cr.spec.starRocksFeSpec.feEnvVars",
	         parse("[{\"name\":\"HOST_TYPE\",\"value\":\"IP\"}]"));
	_cleanup_json_ json_t *refused = plan_of(v);
	assert_int_equal(set_replicas(refused), 0);
	assert_null(intent(refused, "add_observer", HOST(1)));
	assert_string_equal(condition(refused, "Degraded", "reason"), "ObserversRefused");
}

static void without_an_answer_nothing_changes(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(2, OBSERVER(1) OBSERVER(2));
	have_set(w, 2);
	for (int n = 0; n <= 3; n += 3) {
		data_set(w, "cr.spec.starRocksFeSpec.observers", json_integer(n));
		data_set(w, "fe.at_ms", json_integer(0));
		_cleanup_json_ json_t *plan = plan_of(w);
		assert_int_equal(json_array_size(json_object_get(plan, "intents")), 0);
		const json_t *set = set_write(plan, "apply");
		assert_true(!set || data_get_int(set, "object.spec.replicas", -1) == 2);
		assert_null(set_write(plan, "delete"));
	}
}

static void they_leave_one_by_one_each_dropped_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(2, OBSERVER(1) OBSERVER(2));
	data_set(w, "cr.spec.starRocksFeSpec.storageVolumes",
	         parse("[{\"name\":\"fe-meta\",\"mountPath\":\"/opt/starrocks/fe/meta\","
	               "\"storageSize\":\"1Gi\"}]"));
	have_set(w, 2);
	data_set(w, "cr.spec.starRocksFeSpec.observers", json_integer(0));
	_cleanup_json_ json_t *first = plan_of(w);
	assert_non_null(intent(first, "drop_observer", HOST(2)));
	assert_null(intent(first, "drop_observer", HOST(1)));
	assert_null(write_like(first, "forget", NULL, NULL));
	assert_true(set_replicas(first) == -1 || set_replicas(first) == 2);
	set_fe(w, 1000, "{\"frontends\":[" LEADER OBSERVER(1) "]}");
	_cleanup_json_ json_t *second = plan_of(w);
	assert_int_equal(set_replicas(second), 1);
	assert_non_null(write_of(second, "forget", "fe-meta-c-fe-observer-2"));
	assert_null(write_of(second, "forget", "fe-meta-c-fe-observer-1"));
	/* And when the last has gone, so has everything that was theirs. */
	json_object_set_new(w, "pods", json_array());
	add_pod(w, "fe", "c-fe-0", "10.0.0.1", true);
	data_set(object_of(w, SET), "spec.replicas", json_integer(0));
	set_fe(w, 1000, "{\"frontends\":[" LEADER "]}");
	_cleanup_json_ json_t *not_yet = plan_of(w);
	assert_null(set_write(not_yet, "delete"));
	settle_set(w, SET, 0);
	_cleanup_json_ json_t *last = plan_of(w);
	assert_non_null(write_like(last, "delete", "StatefulSet", "c-fe-observer"));
	assert_non_null(write_like(last, "delete", "Service", "c-fe-observer-search"));
	assert_non_null(write_like(last, "delete", "Service", "c-fe-observer-service"));
	assert_null(write_like(last, "delete", "StatefulSet", "c-fe"));
}

static void they_have_the_new_image_before_those_that_vote(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(2, OBSERVER(1) OBSERVER(2));
	have_set(w, 2);
	data_set(w, "cr.spec.starRocksFeSpec.image", json_string("j"));
	_cleanup_json_ json_t *first = plan_of(w);
	const json_t *theirs = set_write(first, "apply");
	assert_string_equal(data_get_str(theirs, "object.spec.template.spec.containers.0.image"),
	                    "j");
	assert_null(write_of(first, "apply", "c-fe"));
	accept_plan(w, first);
	/* Applied, and not rolled out. */
	_cleanup_json_ json_t *second = plan_of(w);
	assert_null(write_of(second, "apply", "c-fe"));
	settle_set(w, SET, 2);
	_cleanup_json_ json_t *third = plan_of(w);
	assert_non_null(write_of(third, "apply", "c-fe"));
}

static void they_sleep_with_the_cluster_and_keep_their_place(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(2, OBSERVER(1) OBSERVER(2));
	have_set(w, 2);
	data_set(w, "cr.spec.hibernate", json_true());
	_cleanup_json_ json_t *down = plan_of(w);
	assert_int_equal(set_replicas(down), 0);
	assert_int_equal(json_array_size(json_object_get(down, "intents")), 0);
	data_set(object_of(w, SET), "spec.replicas", json_integer(0));
	data_set(w, "cr.spec.hibernate", json_false());
	_cleanup_json_ json_t *up = plan_of(w);
	assert_int_equal(set_replicas(up), 2);
}

/* A set that is made anew around its pods (volumes grow) begins with as many. */
static void a_set_that_is_made_anew_keeps_its_pods(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(2, OBSERVER(1) OBSERVER(2));
	have_set(w, 2);
	json_object_del(json_object_get(w, "objects"), SET);
	json_object_del(w, "fe");
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_int_equal(set_replicas(plan), 2);
}

static void roosts_engine_has_none(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = with_observers(1, "");
	data_set(w, "cr.metadata.annotations.roost\\.io/engine", json_string("true"));
	_cleanup_json_ json_t *plan = plan_of(w);
	assert_string_equal(condition(plan, "Degraded", "reason"), "NotBuilt");
	assert_non_null(strstr(condition(plan, "Degraded", "message"), "observers"));
	assert_null(set_write(plan, "apply"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_is_known_to_the_fe_before_it_starts),
		cmocka_unit_test(one_that_votes_or_has_no_name_does_not_start),
		cmocka_unit_test(without_an_answer_nothing_changes),
		cmocka_unit_test(they_leave_one_by_one_each_dropped_first),
		cmocka_unit_test(they_have_the_new_image_before_those_that_vote),
		cmocka_unit_test(they_sleep_with_the_cluster_and_keep_their_place),
		cmocka_unit_test(a_set_that_is_made_anew_keeps_its_pods),
		cmocka_unit_test(roosts_engine_has_none),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

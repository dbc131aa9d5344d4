#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	assert_int_equal(data_json_parse(str_of(text), &j, NULL), 0);
	return j;
}

#define W(verb, kind, name) "{\"verb\":\"" verb "\",\"kind\":\"" kind "\",\"name\":\"" name "\""
#define SERVICE W("apply", "Service", "c-fe-service") "}"
#define OTHER W("apply", "Service", "c-be-service") "}"
#define CONFIG W("apply", "ConfigMap", "c-fe-proxy") "}"
#define FORGET W("forget", "PersistentVolumeClaim", "m-c-fe-2") ",\"set\":\"c-fe\"}"
#define SET(name, n) W("apply", "StatefulSet", name) ",\"object\":{\"spec\":{\"replicas\":" n "}}}"

/* What waits after something else was not written: the sets have three replicas. */
static void what_depends_on_it_waits_and_nothing_else(void **state)
{
	(void)state;
	static const struct {
		const char *failed;
		bool later;
		const char *write;
		bool waits;
	} cases[] = {
		{ SERVICE, true, OTHER, false },
		{ SERVICE, true, SERVICE, true },
		{ SERVICE, true, SET("c-fe", "3"), false },
		{ SERVICE, true, SET("c-new", "1"), false },
		{ SERVICE, true, SET("c-be", "2"), true },
		{ SERVICE, true, W("delete", "Service", "c-cn-search") "}", true },
		{ SERVICE, true, W("drain", "Pod", "p") "}", true },
		{ SERVICE, true, W("fence", "Pod", "p") "}", true },
		{ SERVICE, true, W("scale", "StatefulSet", "c-be") ",\"replicas\":1}", true },
		{ SERVICE, true, W("orphan", "StatefulSet", "c-be") "}", true },
		{ SERVICE, true, FORGET, true },
		{ SERVICE, true, W("cost", "Pod", "p") "}", false },
		{ W("cost", "Pod", "p") "}", true, SET("c-be", "2"), true },
		{ CONFIG, true, W("apply", "Deployment", "c-fe-proxy") ",\"object\":{}}", true },
		{ CONFIG, true, OTHER, false },
		{ W("adopt", "StatefulSet", "c-fe") "}", true, SET("c-fe", "3"), true },
		{ W("grow", "PersistentVolumeClaim", "d-c-be-0") "}", false,
		  W("orphan", "StatefulSet", "c-be") "}", true },
		/* Refused, and by itself: the rest goes on as it always did. */
		{ SERVICE, false, SERVICE, false },
		{ SERVICE, false, W("delete", "Service", "c-cn-search") "}", false },
		{ SERVICE, false, SET("c-be", "2"), false },
		/* A pod does not go before its claim, nor does a node come before its finalizer. */
		{ FORGET, false, SET("c-fe", "2"), true },
		{ FORGET, false, SET("c-be", "2"), false },
		{ W("finalizers", "StarRocksWarehouse", "w") "}", false, OTHER, true },
	};
	_cleanup_json_ json_t *world = parse("{\"objects\":{"
	                                     "\"StatefulSet/c-fe\":{\"spec\":{\"replicas\":3}},"
	                                     "\"StatefulSet/c-be\":{\"spec\":{\"replicas\":3}}}}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *failed = parse(cases[i].failed);
		_cleanup_json_ json_t *write = parse(cases[i].write);
		_cleanup_json_ json_t *waiting = json_object();
		struct aftermath a = { .objects = waiting };
		assert_false(reconcile_held_back(&a, world, write));
		reconcile_not_written(&a, failed, cases[i].later);
		if (reconcile_held_back(&a, world, write) != cases[i].waits)
			fail_msg("%zu: after %s: %s", i, cases[i].failed, cases[i].write);
	}
}

static void a_server_in_trouble_is_left_alone(void **state)
{
	(void)state;
	struct aftermath a = { 0 }, b = { 0 }, c = { 0 };
	assert_true(reconcile_goes_on(&a, KUBE_BUSY, -1, 10));
	assert_true(reconcile_goes_on(&a, KUBE_BUSY, -1, 10));
	assert_false(reconcile_goes_on(&a, KUBE_BUSY, -1, 10));
	assert_true(reconcile_goes_on(&b, -ETIMEDOUT, -1, 10000));
	assert_false(reconcile_goes_on(&b, -ETIMEDOUT, -1, 10000));
	/* A slow refusal costs as much. */
	assert_true(reconcile_goes_on(&c, KUBE_BUSY, -1, 9000));
	c.in_a_row = 0;
	assert_false(reconcile_goes_on(&c, KUBE_BUSY, -1, 9000));
	static const int ends[] = { KUBE_CONFLICT, KUBE_GONE, KUBE_UNAUTHORIZED, -ECONNREFUSED,
		                    -EPROTO };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		assert_false(reconcile_goes_on(&(struct aftermath){ 0 }, ends[i], -1, 10));
	assert_false(reconcile_goes_on(&(struct aftermath){ 0 }, KUBE_BUSY, 2000, 10));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_depends_on_it_waits_and_nothing_else),
		cmocka_unit_test(a_server_in_trouble_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/observe/store.h"

static void told(void *arg, const char *key)
{
	int *n = arg;
	assert_string_equal(key, "n/c");
	++*n;
}

static void put(struct observe_store *s, unsigned watch, const char *kind, const char *name)
{
	_cleanup_json_ json_t *o =
		json_pack("{s:s,s:{s:s,s:s,s:s,s:{s:s}}}", "kind", kind, "metadata", "name", name,
	                  "namespace", "n", "resourceVersion", "7", "labels",
	                  "app.starrocks.ownerreference/name", "c");
	observe_store_event(s, watch, KUBE_PUT, o);
}

/* A kind that comes later and goes again: every cluster hears of both, and what it held is gone. */
static void a_kind_may_come_and_go(void **state)
{
	(void)state;
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	observe_store_event(s, 0, KUBE_LIST_BEGIN, NULL);
	put(s, 0, "StarRocksCluster", "c");
	observe_store_event(s, 0, KUBE_LIST_END, NULL);
	assert_false(observe_store_synced(s, 2));
	n = 0;
	observe_store_absent(s, 1);
	assert_true(observe_store_synced(s, 2));
	assert_false(observe_store_present(s, 1));
	assert_int_equal(n, 0);
	observe_store_event(s, 1, KUBE_LIST_BEGIN, NULL);
	observe_store_event(s, 1, KUBE_LIST_END, NULL);
	assert_true(observe_store_present(s, 1));
	assert_int_equal(n, 1);
	put(s, 1, "ScaledObject", "c-cn");
	n = 0;
	observe_store_absent(s, 1);
	assert_true(n > 0);
	_cleanup_json_ json_t *w = observe_store_world(s, "n/c");
	assert_null(data_get(w, "objects.ScaledObject/c-cn"));
}

static void a_new_wish_is_told_and_an_old_one_refreshed(void **state)
{
	(void)state;
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	observe_store_wish(s, "n/none", 3, 1);
	put(s, 0, "StarRocksCluster", "c");
	_cleanup_json_ json_t *before = observe_store_world(s, "n/c");
	assert_null(json_object_get(before, "wanted"));
	n = 0;
	observe_store_wish(s, "n/c", 12, 11);
	assert_int_equal(n, 1);
	_cleanup_json_ json_t *first = observe_store_world(s, "n/c");
	clock_sleep_ms(5);
	observe_store_wish(s, "n/c", 12, 12);
	assert_int_equal(n, 1);
	_cleanup_json_ json_t *second = observe_store_world(s, "n/c");
	/* Where the step began and when it did stay. */
	assert_int_equal(data_get_int(second, "wanted.from", 0), 11);
	assert_int_equal(data_get_int(second, "wanted.replicas", 0), 12);
	assert_int_equal(data_get_int(second, "wanted.since_ms", 0),
	                 data_get_int(first, "wanted.since_ms", 1));
	assert_true(data_get_int(second, "wanted.at_ms", 0) >
	            data_get_int(first, "wanted.at_ms", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kind_may_come_and_go),
		cmocka_unit_test(a_new_wish_is_told_and_an_old_one_refreshed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

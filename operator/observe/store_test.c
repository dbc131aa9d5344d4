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
	assert_false(observe_store_synced(s, 1));
	n = 0;
	observe_store_absent(s, 1);
	assert_true(observe_store_synced(s, 0) && observe_store_synced(s, 1));
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
	observe_store_wish(s, "n/none", false, 3, 1);
	put(s, 0, "StarRocksCluster", "c");
	_cleanup_json_ json_t *before = observe_store_world(s, "n/c");
	assert_null(json_object_get(before, "wanted"));
	n = 0;
	observe_store_wish(s, "n/c", false, 12, 11);
	assert_int_equal(n, 1);
	_cleanup_json_ json_t *first = observe_store_world(s, "n/c");
	clock_sleep_ms(5);
	observe_store_wish(s, "n/c", false, 12, 12);
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

/* ---- what is news, and how urgent ---- */
static struct {
	int now, soon;
} heard;

static void hear(void *arg, const char *key, bool soon)
{
	(void)arg;
	assert_string_equal(key, "n/c");
	heard.now += !soon;
	heard.soon += soon;
}

#define META(version, more)                                                \
	"\"metadata\":{\"namespace\":\"n\",\"resourceVersion\":\"" version \
	"\",\"labels\":{\"app.kubernetes.io/component\":\"fe\","           \
	"\"app.starrocks.ownerreference/name\":" more "}"
#define POD(version, status)                                                                      \
	"{\"kind\":\"Pod\"," META(version, "\"c-fe\"},\"name\":\"c-fe-0\"") ",\"status\":" status \
									    "}"
#define SET(version, more, status)         \
	"{\"kind\":\"StatefulSet\"," META( \
		version, "\"c\"},\"name\":\"c-fe\"" more) ",\"status\":" status "}"
#define READY(value) "{\"conditions\":[{\"type\":\"Ready\",\"status\":\"" value "\"}]}"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	assert_int_equal(data_json_parse(str_of(text), &j, NULL), 0);
	return j;
}

static void news_is_what_a_step_reads(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool gone;
		int now, soon;
	} cases[] = {
		{ SET("1", "", "{}"), false, 1, 0 },
		{ SET("2", "", "{}"), false, 0, 0 }, /* nothing but its version */
		{ SET("3", ",\"managedFields\":[{\"manager\":\"x\"}]", "{}"), false, 0, 0 },
		{ SET("4", "", "{\"replicas\":1}"), false, 0, 1 },
		{ SET("5", ",\"generation\":2", "{\"replicas\":1}"), false, 1, 0 },
		{ SET("6", ",\"generation\":2", "{\"replicas\":1}"), true, 1, 0 },
		{ POD("1", "{}"), false, 0, 1 },
		{ POD("2", "{\"phase\":\"Pending\"}"), false, 0, 1 },
		{ POD("3", READY("True")), false, 1, 0 },
		{ POD("4", READY("False")), false, 1, 0 },
		{ POD("5", READY("False")), true, 1, 0 },
	};
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	observe_store_on_touch(s, hear);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *o = parse(cases[i].text);
		heard.now = heard.soon = 0;
		observe_store_event(s, 0, cases[i].gone ? KUBE_DELETED : KUBE_PUT, o);
		if (heard.now != cases[i].now || heard.soon != cases[i].soon)
			fail_msg("%s: now %d soon %d", cases[i].text, heard.now, heard.soon);
	}
	assert_int_equal(n, 0);
}

#define CR(version, spec, status)                                                          \
	"{\"kind\":\"StarRocksCluster\",\"metadata\":{\"namespace\":\"n\",\"name\":\"c\"," \
	"\"resourceVersion\":\"" version "\"},\"spec\":{\"x\":\"" spec "\"},\"status\":"   \
	"{\"phase\":\"" status "\"}}"

/* The answer to a status of ours shows what a person changed just before it; the event of that change comes too late. */
static void a_change_that_our_status_overtakes_is_told(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool answer; /* to a status write */
		int now;
	} cases[] = {
		{ CR("1", "a", ""), false, 1 },
		{ CR("2", "a", "ours"), true, 0 },
		{ CR("2", "a", "ours"), false, 0 },
		{ CR("4", "b", "ours too"), true, 1 }, /* 3 was b with the old status */
		{ CR("3", "b", "ours"), false, 0 },
		{ CR("4", "b", "ours too"), false, 0 },
		{ CR("5", "c", "ours too"), false, 1 },
		{ CR("6", "c", "again"), true, 0 }, /* the event was here before the answer */
		{ CR("4", "b", "late"), true, 0 },
	};
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	observe_store_on_touch(s, hear);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *o = parse(cases[i].text);
		heard.now = heard.soon = 0;
		if (cases[i].answer)
			observe_store_wrote_status(s, 0, o);
		else
			observe_store_event(s, 0, KUBE_PUT, o);
		if (heard.now != cases[i].now || heard.soon != 0)
			fail_msg("case %zu: now %d soon %d", i, heard.now, heard.soon);
	}
	/* What we wrote ourselves is no news to us. */
	_cleanup_json_ json_t *made = parse(SET("7", ",\"generation\":1", "{}"));
	_cleanup_json_ json_t *changed = parse(SET("8", ",\"generation\":2", "{}"));
	heard.now = heard.soon = 0;
	observe_store_wrote(s, 1, made);
	observe_store_wrote(s, 1, changed);
	assert_int_equal(heard.now + heard.soon + n, 0);
}

static uint64_t rest_of(struct observe_store *s)
{
	return observe_store_digest(s, "n/c").rest;
}

static void a_digest_tells_of_every_change(void **state)
{
	(void)state;
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	_cleanup_json_ json_t *a = parse(SET("1", "", "{\"replicas\":1}"));
	_cleanup_json_ json_t *same = parse(SET("2", "", "{\"replicas\":1}"));
	_cleanup_json_ json_t *b = parse(SET("3", "", "{\"replicas\":2}"));
	assert_int_equal(observe_store_digest(s, "n/c").cr, 0);
	put(s, 0, "StarRocksCluster", "c");
	observe_store_event(s, 1, KUBE_PUT, a);
	struct observe_digest first = observe_store_digest(s, "n/c"), of_world;
	_cleanup_json_ json_t *world = observe_store_world_at(s, "n/c", &of_world);
	assert_int_equal(of_world.cr, first.cr);
	assert_int_equal(of_world.rest, first.rest);
	const json_t *set = data_get(world, "objects.StatefulSet/c-fe");
	observe_store_event(s, 1, KUBE_PUT, same);
	assert_int_equal(rest_of(s), first.rest);
	observe_store_event(s, 1, KUBE_PUT, b);
	assert_int_not_equal(rest_of(s), first.rest);
	/* A world that is brought up to date has the new one, under its version. */
	observe_store_renew(s, "n/c", world, &of_world);
	assert_int_equal(of_world.rest, rest_of(s));
	assert_ptr_not_equal(data_get(world, "objects.StatefulSet/c-fe"), set);
	set = data_get(world, "objects.StatefulSet/c-fe");
	assert_int_equal(data_get_int(set, "status.replicas", 0), 2);
	assert_string_equal(data_get_str(set, "metadata.resourceVersion"), "3");
	observe_store_renew(s, "n/c", world, &of_world);
	assert_ptr_equal(data_get(world, "objects.StatefulSet/c-fe"), set);
	observe_store_event(s, 1, KUBE_DELETED, b);
	observe_store_renew(s, "n/c", world, &of_world);
	assert_null(data_get(world, "objects.StatefulSet/c-fe"));
	_cleanup_json_ json_t *cr = json_deep_copy(json_object_get(world, "cr"));
	data_set(cr, "metadata.resourceVersion", json_string("9"));
	assert_int_equal(observe_store_digest_of(cr).cr, first.cr);
	data_set(cr, "status", json_pack("{s:s}", "phase", "running"));
	assert_int_not_equal(observe_store_digest_of(cr).cr, first.cr);
	assert_int_equal(observe_store_digest_of(cr).lasting, first.lasting);
}

/* What a list told as text counts as what events told, and is news only once. */
static void a_listed_object_is_as_one_of_an_event(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"{\"kind\":\"StarRocksCluster\",\"status\":{\"phase\":\"x\"},\"metadata\":{"
		"\"namespace\":\"n\","
		"\"name\":\"c\",\"resourceVersion\":\"3\",\"managedFields\":[{\"manager\":\"me\","
		"\"subresource\":\"scale\","
		"\"fieldsV1\":{\"f:spec\":{\"f:starRocksCnSpec\":{\"f:replicas\":{}}}}}]}}",
		SET("1", "", "{\"replicas\":1}"),
		POD("1", READY("True")),
	};
	int n = 0;
	_cleanup_(observe_store_freep) struct observe_store *listed = observe_store_new(told, &n);
	_cleanup_(observe_store_freep) struct observe_store *sent = observe_store_new(told, &n);
	observe_store_on_touch(listed, hear);
	for (int round = 0; round < 2; round++) {
		heard.now = heard.soon = 0;
		observe_store_event(listed, 0, KUBE_LIST_BEGIN, NULL);
		for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
			_cleanup_json_ json_t *o = parse(texts[i]);
			observe_store_listed(listed, 0, str_of(texts[i]));
			observe_store_event(sent, 0, KUBE_PUT, o);
		}
		observe_store_event(listed, 0, KUBE_LIST_END, NULL);
		/* The FE's pod that is ready comes at once; all are there after the second list, too. */
		assert_int_equal(heard.now, round == 0 ? 3 : 0);
		assert_int_equal(heard.soon, 0);
	}
	struct observe_digest a, b;
	_cleanup_json_ json_t *one = observe_store_world_at(listed, "n/c", &a);
	_cleanup_json_ json_t *two = observe_store_world_at(sent, "n/c", &b);
	assert_int_equal(a.cr, b.cr);
	assert_int_equal(a.lasting, b.lasting);
	assert_int_equal(a.rest, b.rest);
	json_object_del(json_array_get(json_object_get(one, "pods"), 0), "seen_ms");
	json_object_del(json_array_get(json_object_get(two, "pods"), 0), "seen_ms");
	assert_true(json_equal(one, two));
	assert_string_equal(data_get_str(one, "cr.metadata.roostScaledBy"), "me");
	/* Listed and changed before anybody looked. */
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(told, &n);
	observe_store_on_touch(s, hear);
	observe_store_listed(s, 0, str_of(SET("1", "", "{\"replicas\":1}")));
	heard.now = heard.soon = 0;
	_cleanup_json_ json_t *later = parse(SET("4", "", "{\"replicas\":2}"));
	observe_store_event(s, 0, KUBE_PUT, later);
	assert_int_equal(heard.now, 0);
	assert_int_equal(heard.soon, 1);
}

static void ignore(void *arg, const char *key)
{
	(void)arg;
	(void)key;
}

/* Whose number it is, when it went through /scale. */
static void who_scaled_is_known(void **state)
{
	(void)state;
	static const struct {
		const char *kind, *sub, *part, *key;
		const char *by; /* NULL: a manifest has it; "": nobody signed it */
	} cases[] = {
		{ "StarRocksCluster", "scale", "f:starRocksCnSpec", "n/c", "me" },
		{ "StarRocksCluster", "scale", "f:template", "n/c", "" },
		{ "StarRocksCluster", "", "f:starRocksFeSpec", "n/c", "" },
		{ "StarRocksCluster", "", "f:starRocksCnSpec", "n/c", NULL },
		{ "StarRocksWarehouse", "scale", "f:template", "n/c-warehouse", "me" },
		{ "StarRocksWarehouse", "scale", "f:starRocksCnSpec", "n/c-warehouse", "" },
		{ "StarRocksWarehouse", "", "f:template", "n/c-warehouse", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(observe_store_freep) struct observe_store *s =
			observe_store_new(ignore, NULL);
		_cleanup_json_ json_t *o = json_pack(
			"{s:s, s:{s:s, s:s, s:s, s:[{s:s, s:s, s:{s:{s:{s:{}}}}}]}}", "kind",
			cases[i].kind, "metadata", "name", "c", "namespace", "n", "resourceVersion",
			"7", "managedFields", "manager", "me", "subresource", cases[i].sub,
			"fieldsV1", "f:spec", cases[i].part, "f:replicas");
		observe_store_event(s, 0, KUBE_PUT, o);
		_cleanup_json_ json_t *w = observe_store_world(s, cases[i].key);
		const char *by = data_get_str(w, "cr.metadata.roostScaledBy");
		if ((by != NULL) != (cases[i].by != NULL) || (by && strcmp(by, cases[i].by) != 0))
			fail_msg("case %zu: %s", i, by ? by : "a manifest");
	}
}

/* ---- a warehouse hears of its cluster ---- */
static void hear_key(void *arg, const char *key)
{
	struct buf *heard_of = arg;
	buf_addf(heard_of, "%s ", key);
}

#define HOUSE(ns, name, more)                                                                      \
	"{\"kind\":\"StarRocksWarehouse\",\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name \
	"\",\"resourceVersion\":\"1\"},\"spec\":{\"starRocksCluster\":\"c\"" more "}}"
#define CLUSTER(version, spec, status)                                                     \
	"{\"kind\":\"StarRocksCluster\",\"metadata\":{\"namespace\":\"n\",\"name\":\"c\"," \
	"\"resourceVersion\":\"" version "\"},\"spec\":" spec ",\"status\":" status "}"

static void ignore_touch(void *arg, const char *key, bool soon)
{
	(void)arg;
	(void)key;
	(void)soon;
}

static void a_warehouse_hears_of_its_cluster(void **state)
{
	(void)state;
	static const struct {
		const char *cluster;
		bool gone, wrote, told;
	} cases[] = {
		{ CLUSTER("1", "{}", "{}"), false, false, true },
		{ CLUSTER("2", "{}", "{\"phase\":\"running\"}"), false, false, false },
		{ CLUSTER("3", "{\"hibernate\":true}", "{}"), false, false, true },
		{ CLUSTER("4", "{}", "{}"), false, true, true },
		{ CLUSTER("5", "{}", "{}"), true, false, true },
	};
	static const char *const houses[] = {
		HOUSE("n", "w", ""),
		HOUSE("far", "w", ",\"starRocksClusterNamespace\":\"n\""),
		HOUSE("far", "none", ""),
	};
	_cleanup_buf_ struct buf keys = BUF_INIT(1024);
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(hear_key, &keys);
	observe_store_on_touch(s, ignore_touch);
	for (size_t i = 0; i < ARRAY_LEN(houses); i++) {
		_cleanup_json_ json_t *o = parse(houses[i]);
		observe_store_event(s, 1, KUBE_PUT, o);
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *o = parse(cases[i].cluster);
		buf_reset(&keys);
		if (cases[i].wrote)
			observe_store_wrote(s, 0, o);
		else
			observe_store_event(s, 0, cases[i].gone ? KUBE_DELETED : KUBE_PUT, o);
		const char *text = buf_cstr(&keys);
		bool near = strstr(text, "n/w-warehouse ") != NULL;
		bool far = strstr(text, "far/w-warehouse ") != NULL;
		if (near != cases[i].told || far != cases[i].told || strstr(text, "none"))
			fail_msg("%s: told %s", cases[i].cluster, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kind_may_come_and_go),
		cmocka_unit_test(a_new_wish_is_told_and_an_old_one_refreshed),
		cmocka_unit_test(news_is_what_a_step_reads),
		cmocka_unit_test(a_change_that_our_status_overtakes_is_told),
		cmocka_unit_test(a_digest_tells_of_every_change),
		cmocka_unit_test(a_listed_object_is_as_one_of_an_event),
		cmocka_unit_test(who_scaled_is_known),
		cmocka_unit_test(a_warehouse_hears_of_its_cluster),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

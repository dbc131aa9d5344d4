/* Warehouses: what is read of them, what they take from their cluster, and which of them are pools. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/map.h"
#include "lib/data/json.h"
#include "scaler/source/config.h"
#include "scaler/source/houses.h"
#include "scaler/source/starrocks.h"

/* ---- /metrics --------------------------------------------------------------------------------- */

#define Q(house, field, value)                                                                 \
	"starrocks_fe_warehouse_query_queue{field=\"" field "\",warehouse_id=\"7\",warehouse_" \
	"name=\"" house "\"} " value "\n"
#define HOUSE(h, pending, running, wait, required, remain, slots) \
	Q(h, "query_pending_length", pending)                     \
	Q(h, "query_running_length", running)                     \
	Q(h, "max_query_queue_length", "1024")                    \
	Q(h, "earliest_query_wait_time", wait)                    \
	Q(h, "sum_required_slots", required) Q(h, "remain_slots", remain) Q(h, "max_slots", slots)

/* Two nodes of the cluster, three of "etl" (one is dead, one leaves), one of "bi". */
static char *columns[] = {
	(char *)"Alive",    (char *)"SystemDecommissioned", (char *)"ClusterDecommissioned",
	(char *)"CpuCores", (char *)"NumRunningQueries",    (char *)"WarehouseName"
};
#define ROW(alive, leaves, running, house) \
	(char *)alive, (char *)leaves, (char *)"false", (char *)"8", (char *)running, (char *)house
static char *cells[] = { ROW("true", "false", "1", "default_warehouse"),
	                 ROW("true", "false", "0", ""),
	                 ROW("true", "false", "3", "etl"),
	                 ROW("true", "false", "0", "etl"),
	                 ROW("false", "false", "9", "etl"),
	                 ROW("true", "true", "1", "etl"),
	                 ROW("true", "false", "2", "bi") };
static const struct mysqlc_result nodes = {
	.columns = columns, .cells = cells, .n_columns = 6, .n_rows = 7
};

/* What SHOW RUNNING QUERIES and the metric of all say. */
static struct source_load load_of_all(void)
{
	struct source_load l = { 0 };
	l.of[SOURCE_CN] = (struct source_snapshot){
		.ts = 5,
		.epoch = 9,
		.pending = 6,
		.running = 4,
		.slots_asked = 20,
		.oldest_wait_s = 30,
		.service_p50_s = 1,
	};
	l.of[SOURCE_BE] = l.of[SOURCE_CN];
	return l;
}

static struct source_load read_houses(const char *text)
{
	struct source_load l = load_of_all();
	struct err err = ERR_INIT;
	assert_int_equal(source_starrocks_nodes(&nodes, NULL, &l.of[SOURCE_CN], &err), 0);
	if (source_starrocks_houses(str_of(text), &nodes, &l, &err) < 0)
		fail_msg("%s", err.msg);
	return l;
}

static void a_warehouse_has_its_own_queue_and_nodes(void **state)
{
	(void)state;
	struct source_load l = read_houses(HOUSE("etl", "5", "2", "12.5", "9", "20", "32")
	                                           HOUSE("bi", "0", "1", "77", "0", "0", "0"));
	struct source_snapshot s = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(l.n_houses, 2);
	assert_int_equal(source_load_house(&l, "etl", &s, &err), 0);
	assert_int_equal(s.pending, 5);
	assert_int_equal(s.running, 2);
	assert_int_equal(s.slots_asked, 9 + 12);
	assert_int_equal((int)(s.oldest_wait_s * 10), 125);
	assert_int_equal(s.nodes, 2);
	assert_int_equal(s.idle_nodes, 1);
	assert_int_equal(s.draining, 1);
	assert_int_equal(s.tasks, 4);
	assert_int_equal(s.slots, 32); /* as its queue counts them, not 16 cores */
	assert_int_equal(s.slots_of_a_node, 16);
	assert_int_equal(s.epoch, 9);
	assert_int_equal((int)s.ts, 5);
	/* A queue that counts queries; nobody waits, so the age is of one that runs. */
	assert_int_equal(source_load_house(&l, "bi", &s, &err), 0);
	assert_int_equal(s.slots_asked, 1);
	assert_int_equal((int)s.oldest_wait_s, 0);
	assert_int_equal(s.slots, 8);
	assert_int_equal(s.nodes, 1);
	/* What is left is the cluster's. */
	s = l.of[SOURCE_CN];
	assert_int_equal(s.nodes, 2);
	assert_int_equal(s.tasks, 1);
	assert_int_equal(s.pending, 1);
	assert_int_equal(s.running, 1);
	assert_int_equal(s.slots_asked, 2); /* one each: 20 less 21 and 1 is less */
	assert_int_equal((int)s.oldest_wait_s, 30);
	source_load_free(&l);
	assert_int_equal(l.n_houses, 0);
}

static void the_default_warehouse_speaks_for_the_cluster(void **state)
{
	(void)state;
	/* Alone it changes nothing: there is one queue. */
	struct source_load l =
		read_houses(HOUSE("default_warehouse", "1", "1", "2", "1", "0", "4"));
	assert_int_equal(l.n_houses, 0);
	assert_int_equal(l.of[SOURCE_CN].pending, 6);
	source_load_free(&l);
	l = read_houses(HOUSE("etl", "5", "1", "2", "5", "0", "1")
	                        HOUSE("default_warehouse", "3", "2", "7", "6", "1", "5"));
	assert_int_equal(l.n_houses, 1);
	for (int r = 0; r < SOURCE_ROLES; r++) {
		assert_int_equal(l.of[r].pending, 3);
		assert_int_equal(l.of[r].running, 2);
		assert_int_equal(l.of[r].slots_asked, 10);
		assert_int_equal((int)l.of[r].oldest_wait_s, 7);
	}
	source_load_free(&l);
	/* More waits there than the list of all had a moment ago. */
	l = read_houses(HOUSE("etl", "9", "9", "2", "99", "0", "1"));
	assert_int_equal(l.of[SOURCE_CN].pending, 0);
	assert_int_equal(l.of[SOURCE_CN].running, 0);
	assert_int_equal(l.of[SOURCE_CN].slots_asked, 0);
	assert_int_equal((int)l.of[SOURCE_CN].oldest_wait_s, 0);
	source_load_free(&l);
}

static void what_was_not_said_is_not_zero(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "ALTER WAREHOUSE etl SET (\"enable_query_queue\" = \"true\")" },
		{ HOUSE("bi", "0", "0", "0", "0", "0", "0"), "no queue of warehouse etl" },
		{ HOUSE("etl2", "0", "0", "0", "0", "0", "0"), "no queue of warehouse etl" },
		{ Q("etl", "query_pending_length", "5"), "lacks a number of warehouse etl" },
		{ HOUSE("etl", "NaN", "0", "0", "0", "0", "0"), "lacks" },
		{ HOUSE("etl", "-1", "0", "0", "0", "0", "0"), "lacks" },
		{ HOUSE("etl", "0", "0", "0", "1e308", "0", "0"), "lacks" },
		{ HOUSE("etl", "0", "0", "+Inf", "0", "0", "0"), "lacks" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct source_load l = read_houses(cases[i].text);
		struct source_snapshot s = { .pending = 77 };
		struct err err = ERR_INIT;
		assert_int_equal(source_load_house(&l, "etl", &s, &err), -ENOENT);
		assert_int_equal(s.pending, 77);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
		source_load_free(&l);
	}
}

/* ---- the CR ----------------------------------------------------------------------------------- */

#define CLUSTER(meta, spec)                                                                \
	"{\"metadata\":{\"namespace\":\"data\",\"name\":\"c\"" meta "},\"spec\":{"         \
	"\"sqlUser\":{\"enabled\":true},\"rootPasswordSecret\":{\"name\":\"r\"}" spec "}," \
	"\"status\":{\"conditions\":[{\"type\":\"RootSql\",\"status\":\"False\"},"         \
	"{\"type\":\"Ready\",\"status\":\"True\"}]}}"
#define WAREHOUSE(ns, template)                                                           \
	"{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"big-loads\",\"uid\":\"u1\"}," \
	"\"spec\":{\"starRocksCluster\":\"c\",\"starRocksClusterNamespace\":\"data\","    \
	"\"template\":" template "}}"
#define SCALED "{\"replicas\":2,\"roostAutoscaling\":{\"minReplicas\":1,\"maxReplicas\":6}}"
#define ALLOWED ",\"warehouseNamespaces\":[\"etl\"]"

static void a_warehouse_becomes_a_target(void **state)
{
	(void)state;
	static const struct {
		const char *warehouse, *cluster;
		int rc;
	} cases[] = {
		{ WAREHOUSE("etl", SCALED), CLUSTER("", ALLOWED), 0 },
		{ WAREHOUSE("data", "{\"autoScalingPolicy\":{\"maxReplicas\":3}}"), CLUSTER("", ""),
		  0 },
		{ WAREHOUSE("etl", SCALED), CLUSTER("", ""), -EPERM },
		{ WAREHOUSE("etl", SCALED), CLUSTER("", ",\"warehouseNamespaces\":[\"etl2\"]"),
		  -EPERM },
		{ WAREHOUSE("data", SCALED),
		  CLUSTER(",\"annotations\":{\"roost.io/engine\":\"true\"}", ""), -ENOTSUP },
		{ WAREHOUSE("data", "{\"replicas\":2}"), CLUSTER("", ""), SOURCE_NO_POOL },
		{ WAREHOUSE("data", "{\"roostAutoscaling\":{\"maxReplicas\":3,\"enabled\":false}}"),
		  CLUSTER("", ""), SOURCE_NO_POOL },
		{ WAREHOUSE("data", "{\"roostAutoscaling\":{\"maxReplicas\":\"3\"}}"),
		  CLUSTER("", ""), -EINVAL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = NULL, *c = NULL;
		struct source_target t = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(data_json_parse(str_of(cases[i].warehouse), &w, NULL), 0);
		assert_int_equal(data_json_parse(str_of(cases[i].cluster), &c, NULL), 0);
		int rc = source_target_of_warehouse(w, c, NULL, &t, &err);
		if (rc != cases[i].rc)
			fail_msg("case %zu: %d %s", i, rc, err.msg);
		if (i == 0) {
			assert_string_equal(t.ns, "etl");
			assert_string_equal(t.cluster, "big-loads-warehouse");
			assert_string_equal(t.pool, "cn");
			assert_string_equal(t.house, "big_loads");
			assert_string_equal(t.fe_ns, "data");
			assert_string_equal(t.uid, "u1");
			assert_string_equal(t.login.host, "c-fe-service.data.svc");
			assert_string_equal(t.login.user, "roost_operator");
			assert_string_equal(t.login.secret, "c-roost-sql");
			assert_int_equal(t.limits.max, 6);
			assert_int_equal(t.limits.replicas, 2);
		}
		source_target_free(&t);
	}
}

/* ---- what comes, changes and goes ------------------------------------------------------------- */

static struct map *seen; /* key to its maximum; of the source, which calls under our lock */
static char *secret_ns;

static void on_target(void *arg, const char *key, const struct source_target *t)
{
	(void)arg;
	map_put(seen, key, (void *)(intptr_t)t->limits.max);
}

static void on_gone(void *arg, const char *key)
{
	(void)arg;
	(void)map_del(seen, key);
}

static void on_snapshot(void *arg, const char *key, const struct source_snapshot *s)
{
	(void)arg;
	(void)key;
	(void)s;
}

static void on_failure(void *arg, const char *key, const struct err *err)
{
	(void)arg;
	(void)key;
	(void)err;
}

static void note_secret(void *arg, const char *key, const struct source_target *t,
                        enum source_secret what, const char *secret, const char *secret_key)
{
	(void)arg;
	(void)key;
	(void)secret_key;
	assert_int_equal(what, SOURCE_PASSWORD);
	assert_string_equal(secret, "c-roost-sql");
	free(secret_ns);
	secret_ns = xstrdup(t->fe_ns);
}

static json_t *json_of(const char *text)
{
	json_t *j = NULL;
	assert_int_equal(data_json_parse(str_of(text), &j, NULL), 0);
	return j;
}

static int64_t max_of(void)
{
	return (intptr_t)map_get(seen, "etl/big-loads-warehouse/cn");
}

static void a_pool_follows_both_of_its_crs(void **state)
{
	(void)state;
	struct source_events events = { on_target, on_gone, on_snapshot, on_failure, NULL };
	struct source *source = NULL;
	_cleanup_json_ json_t *w = json_of(WAREHOUSE("etl", SCALED));
	_cleanup_json_ json_t *off = json_of(WAREHOUSE("etl", "{\"replicas\":2}"));
	_cleanup_json_ json_t *no = json_of(CLUSTER("", "")), *yes = json_of(CLUSTER("", ALLOWED));
	int list_c = 0, list_w = 0;
	seen = map_new(NULL);
	assert_int_equal(source_start(&events, NULL, &source, NULL), 0);
	struct source_houses *h = source_houses_new(source, NULL);
	source_houses_warehouse(h, &list_w, w, false);
	assert_int_equal(max_of(), 0); /* no cluster yet */
	source_houses_cluster(h, &list_c, no, false);
	assert_int_equal(max_of(), 0); /* not for this namespace */
	source_houses_cluster(h, &list_c, yes, false);
	assert_int_equal(max_of(), 6);
	/* Its FE's password is where the cluster is. */
	source_secrets_wanted(source, note_secret, NULL);
	assert_string_equal(secret_ns, "data");
	source_houses_warehouse(h, &list_w, off, false);
	assert_int_equal(max_of(), 0);
	source_houses_warehouse(h, &list_w, w, false);
	assert_int_equal(max_of(), 6);
	source_houses_cluster(h, &list_c, yes, true);
	assert_int_equal(max_of(), 0);
	source_houses_cluster(h, &list_c, yes, false);
	assert_int_equal(max_of(), 6);
	/* A list without it; another list is no word about it. */
	source_houses_list_begin(h, &list_c);
	source_houses_cluster(h, &list_c, yes, false);
	source_houses_list_end(h, &list_c);
	assert_int_equal(max_of(), 6);
	source_houses_list_begin(h, &list_w);
	source_houses_list_end(h, &list_w);
	assert_int_equal(max_of(), 0);
	source_houses_warehouse(h, &list_w, w, false);
	assert_int_equal(max_of(), 6);
	source_houses_list_begin(h, &list_c);
	source_houses_list_end(h, &list_c);
	assert_int_equal(max_of(), 0);
	source_houses_free(h);
	source_stop(source);
	map_free(seen);
	free(secret_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_warehouse_has_its_own_queue_and_nodes),
		cmocka_unit_test(the_default_warehouse_speaks_for_the_cluster),
		cmocka_unit_test(what_was_not_said_is_not_zero),
		cmocka_unit_test(a_warehouse_becomes_a_target),
		cmocka_unit_test(a_pool_follows_both_of_its_crs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

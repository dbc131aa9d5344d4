#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/meta/state.h"
#include "engine/meta/txn.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { THREADS = 4, LOADS = 25 };

struct fixture {
	char dir[32];
	struct meta *m;
	int64_t be[2];
	int64_t tablet;
};

static json_t *parse(const char *text)
{
	struct err err = ERR_INIT;
	json_t *j = NULL;
	assert_int_equal(data_json_parse(str_of(text), &j, &err), 0);
	return j;
}

static int64_t submit(struct meta *m, enum meta_command c, json_t *p, const char *field)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *result = NULL;
	assert_int_equal(meta_submit(m, c, p, &result, &err), 0);
	return data_get_int(result, field, 0);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = xcalloc(1, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-txn-XXXXXX");
	if (!mkdtemp(f->dir) || meta_open(f->dir, &f->m, &err) < 0)
		return -1;
	(void)submit(f->m, META_CREATE_DATABASE, parse("{\"name\":\"d\"}"), "id");
	for (int i = 0; i < 2; i++)
		f->be[i] = submit(f->m, META_ADD_NODE,
		                  json_pack("{s:s, s:s, s:i, s:i}", "role", "be", "host", "h",
		                            "heartbeat_port", 9050 + i, "ts", 0),
		                  "id");
	static const char columns[] =
		"[{\"name\":\"k\",\"type\":\"BIGINT\",\"declared\":\"bigint\"}]";
	(void)submit(f->m, META_CREATE_TABLE,
	             json_pack("{s:s, s:s, s:o, s:[s], s:i, s:i, s:s, s:[[I]]}", "db", "d", "name",
	                       "t", "columns", parse(columns), "distribution", "k", "buckets", 1,
	                       "replication_num", 1, "storage", "local", "replicas",
	                       (json_int_t)f->be[0]),
	             "id");
	(void)submit(f->m, META_CREATE_TABLE,
	             json_pack("{s:s, s:s, s:o, s:i, s:i, s:s}", "db", "d", "name", "b", "columns",
	                       parse(columns), "buckets", 1, "replication_num", 1, "storage",
	                       "bucket"),
	             "id");
	meta_rdlock(f->m);
	f->tablet = meta_table(f->m, "d", "t")->tablets[0].id;
	meta_rdunlock(f->m);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	meta_close(f->m);
	int rc = fd_rm_rf(f->dir, &err);
	free(f);
	return rc;
}

static bool alive(void *arg, int64_t node, char *out, size_t size)
{
	const struct fixture *f = arg;
	(void)snprintf(out, size, "h:%lld", (long long)(node - f->be[0]));
	return node == f->be[0];
}

static int begin(struct fixture *f, const char *table, const char *label, struct meta_txn_begun *b)
{
	struct err err = ERR_INIT;
	struct meta_txn_request rq = { .db = "d",
		                       .table = table,
		                       .label = label,
		                       .user = "root",
		                       .resolve = alive,
		                       .resolve_arg = f };
	return meta_txn_begin(f->m, &rq, b, &err);
}

static json_t *rowset(const struct fixture *f, const char *id)
{
	return json_pack("[{s:I, s:s, s:i, s:i, s:s}]", "tablet", (json_int_t)f->tablet, "id", id,
	                 "rows", 1, "bytes", 10, "crc", "00000000");
}

static void a_load_goes_its_way(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t version = 0;
	_cleanup_meta_txn_ struct meta_txn_begun b, other;
	assert_int_equal(begin(f, "t", "l", &b), 0);
	/* Its own age, not the machine's: what no version names is kept for that long. */
	assert_in_range(meta_txn_oldest_ms(f->m), 0, 60000);
	assert_string_equal(data_get_str(b.output, "kind"), "tablets");
	assert_string_equal(data_get_str(b.output, "tablets.0.replicas.0"), "h:0");
	assert_string_equal(data_get_str(b.output, "distribution.0"), "k");
	assert_string_equal(data_get_str(b.columns, "0.type"), "BIGINT");
	assert_int_equal(begin(f, "t", "l", &other), META_TXN_LABEL_EXISTS);
	assert_string_equal(other.existing, "RUNNING");
	_cleanup_json_ json_t *pieces = rowset(f, b.query);
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err), 0);
	assert_int_equal(version, 2);
	version = 0;
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err), 0);
	assert_int_equal(version, 2);
	assert_int_equal(begin(f, "t", "l", &other), META_TXN_LABEL_EXISTS);
	assert_string_equal(other.existing, "FINISHED");
	assert_int_equal(meta_txn_abort(f->m, b.txn, "too late", &err), 0);
	meta_close(f->m);
	assert_int_equal(meta_open(f->dir, &f->m, &err), 0);
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err), 0);
	assert_int_equal(version, 2);
	meta_rdlock(f->m);
	assert_int_equal(meta_table(f->m, "d", "t")->tablets[0].n_rowsets, 1);
	meta_rdunlock(f->m);
}

static void a_cancelled_label_is_free_again(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t version = 0;
	_cleanup_meta_txn_ struct meta_txn_begun b, again;
	assert_int_equal(begin(f, "t", "l", &b), 0);
	assert_int_equal(meta_txn_abort(f->m, b.txn, "bad rows", &err), 0);
	assert_int_equal(meta_txn_running(f->m), 0);
	_cleanup_json_ json_t *pieces = rowset(f, b.query);
	assert_true(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err) < 0);
	assert_non_null(strstr(err.msg, "bad rows"));
	assert_int_equal(begin(f, "t", "l", &again), 0);
	assert_int_equal(meta_txn_commit(f->m, again.txn, 1, 10, pieces, &version, &err), 0);
	assert_true(meta_txn_commit(f->m, 999999, 1, 10, pieces, &version, &err) < 0);
}

static void bad_loads_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t version = 0;
	_cleanup_meta_txn_ struct meta_txn_begun b;
	assert_int_equal(begin(f, "nope", "l", &b), SQL_ERR(1146));
	assert_int_equal(begin(f, "t", "la bel", &b), SQL_ERR(1064));
	assert_int_equal(begin(f, "b", "l", &b), SQL_ERR(1105)); /* no bucket configured */
	assert_int_equal(meta_txn_running(f->m), 0);
	/* A rowset of a tablet that is not the table's: refused, and the transaction is over. */
	assert_int_equal(begin(f, "t", "l", &b), 0);
	_cleanup_json_ json_t *pieces = rowset(f, b.query);
	(void)data_set(pieces, "0.tablet", json_integer(f->tablet + 1));
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err),
	                 SQL_ERR(1105));
	assert_int_equal(meta_txn_running(f->m), 0);
	/* A replica's node is gone. */
	int64_t to = f->be[1];
	assert_int_equal(meta_txn_set_replicas(f->m, f->tablet, &to, 1, 1, &err), 0);
	meta_txn_begun_free(&b);
	assert_int_equal(begin(f, "t", "m", &b), SQL_ERR(1105));
	assert_int_equal(meta_txn_running(f->m), 0);
}

static void objects_go_under_a_prefix(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t version = 0;
	_cleanup_meta_txn_ struct meta_txn_begun b;
	struct meta_txn_request rq = {
		.db = "d", .table = "b", .s3_json = "{\"bucket\":\"k\"}", .s3_path = "base"
	};
	assert_int_equal(meta_txn_begin(f->m, &rq, &b, &err), 0);
	autofree char *want = xasprintf("base/%lld/%lld/", (long long)b.table, (long long)b.txn);
	assert_string_equal(data_get_str(b.output, "prefix"), want);
	assert_string_equal(data_get_str(b.output, "s3.bucket"), "k");
	_cleanup_json_ json_t *pieces =
		parse("[{\"key\":\"base/1/2/a.parquet\",\"etag\":\"e\",\"bytes\":5,\"rows\":1}]");
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 5, pieces, &version, &err), 0);
	meta_rdlock(f->m);
	const struct meta_table *t = meta_table(f->m, "d", "b");
	assert_int_equal(t->n_objects, 1);
	assert_string_equal(t->objects[0].key, "base/1/2/a.parquet");
	assert_int_equal(t->objects[0].version, 2);
	meta_rdunlock(f->m);
}

static void timeouts_end_a_load(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	_cleanup_meta_txn_ struct meta_txn_begun b;
	struct meta_txn_request rq = { .db = "d", .table = "t", .label = "l", .timeout_ms = 1 };
	assert_int_equal(meta_txn_begin(f->m, &rq, &b, &err), 0);
	clock_sleep_ms(5);
	meta_txn_sweep(f->m);
	assert_int_equal(meta_txn_running(f->m), 0);
	meta_rdlock(f->m);
	const struct meta_load *l = meta_load_by_label(f->m, "d", "l");
	assert_string_equal(l->state, "CANCELLED");
	assert_string_equal(l->reason, "timeout");
	meta_rdunlock(f->m);
}

static void tablets_move_between_loads_only(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	int64_t version = 0, to = f->be[1];
	_cleanup_meta_txn_ struct meta_txn_begun b;
	assert_int_equal(begin(f, "t", "l", &b), 0);
	assert_int_equal(meta_txn_set_replicas(f->m, f->tablet, &to, 1, 1, &err), META_TXN_BUSY);
	_cleanup_json_ json_t *pieces = rowset(f, b.query);
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err), 0);
	assert_int_equal(meta_txn_set_replicas(f->m, f->tablet, &to, 1, 1, &err), META_TXN_MOVED);
	assert_int_equal(meta_txn_set_replicas(f->m, f->tablet, &to, 1, version, &err), 0);
	meta_rdlock(f->m);
	assert_int_equal(meta_tablets_on(f->m, f->be[0]), 0);
	assert_int_equal(meta_tablets_on(f->m, f->be[1]), 1);
	meta_rdunlock(f->m);
	to = 12345;
	assert_true(meta_txn_set_replicas(f->m, f->tablet, &to, 1, version, &err) < 0);
	assert_true(meta_txn_set_replicas(f->m, 1, &to, 1, version, &err) < 0);
}

static void passwords(void **state)
{
	struct fixture *f = *state;
	assert_true(meta_password_ok(f->m, "root", ""));
	assert_false(meta_password_ok(f->m, "root", "x"));
	assert_false(meta_password_ok(f->m, "nobody", ""));
	/* SELECT PASSWORD('password'), as MySQL documents it. */
	(void)submit(f->m, META_SET_PASSWORD,
	             json_pack("{s:s, s:s}", "user", "root", "hash",
	                       "*2470c0c06dee42fd1618bb99005adca2ec9d1e19"),
	             "id");
	assert_true(meta_password_ok(f->m, "root", "password"));
	assert_false(meta_password_ok(f->m, "root", "Password"));
	assert_false(meta_password_ok(f->m, "root", ""));
}

static void *load_many(void *arg)
{
	struct fixture *f = arg;
	struct err err = ERR_INIT;
	for (int i = 0; i < LOADS; i++) {
		_cleanup_meta_txn_ struct meta_txn_begun b;
		int64_t version = 0;
		if (begin(f, "t", NULL, &b) != 0)
			return "begin";
		_cleanup_json_ json_t *pieces = rowset(f, b.query);
		if (meta_txn_commit(f->m, b.txn, 1, 10, pieces, &version, &err) < 0)
			return "commit";
		meta_rdlock(f->m);
		bool visible = meta_table(f->m, "d", "t")->version >= version;
		meta_rdunlock(f->m);
		if (!visible)
			return "not visible after commit";
	}
	return NULL;
}

static void loads_side_by_side(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_many, f), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed = NULL;
		(void)pthread_join(threads[i], &failed);
		if (failed)
			fail_msg("%s", (char *)failed);
	}
	meta_rdlock(f->m);
	const struct meta_table *t = meta_table(f->m, "d", "t");
	assert_int_equal(t->version, 1 + THREADS * LOADS);
	assert_int_equal(t->tablets[0].n_rowsets, THREADS * LOADS);
	for (size_t i = 0; i < t->tablets[0].n_rowsets; i++)
		assert_int_equal(t->tablets[0].rowsets[i].version, i + 2);
	meta_rdunlock(f->m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_load_goes_its_way, setup, teardown),
		cmocka_unit_test_setup_teardown(a_cancelled_label_is_free_again, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_loads_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(objects_go_under_a_prefix, setup, teardown),
		cmocka_unit_test_setup_teardown(timeouts_end_a_load, setup, teardown),
		cmocka_unit_test_setup_teardown(tablets_move_between_loads_only, setup, teardown),
		cmocka_unit_test_setup_teardown(passwords, setup, teardown),
		cmocka_unit_test_setup_teardown(loads_side_by_side, setup, teardown),
	};
	(void)setenv("ROOST_LOG", "error", 1);
	log_init("test");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

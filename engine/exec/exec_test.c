#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/exchange/format.h"
#include "engine/exec/exec.h"
#include "engine/exec/frame.h"
#include "engine/rpc.h"
#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

static char dir[] = "/tmp/roost-exec-XXXXXX";
static struct exec *parser;

static struct exec *open_tasks(int64_t memory, int64_t rss, int concurrency)
{
	struct err err = ERR_INIT;
	autofree char *temp = xasprintf("%s/temp", dir);
	const char *const dirs[] = { dir, NULL };
	struct exec_config c = { .mode = EXEC_TASKS,
		                 .memory_limit = memory,
		                 .rss_limit = rss,
		                 .threads = 2,
		                 .concurrency = concurrency,
		                 .temp_dir = temp,
		                 .write_dirs = dirs };
	struct exec *e = NULL;
	int rc = exec_open(&c, &e, &err);
	if (rc < 0)
		print_error("%s\n", err.msg);
	assert_int_equal(rc, 0);
	return e;
}

static int setup(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_non_null(mkdtemp(dir));
	struct exec_config c = { .mode = EXEC_PARSER };
	return exec_open(&c, &parser, &err);
}

static int teardown(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	exec_close(parser);
	return fd_rm_rf(dir, &err);
}

static json_t *request(const char *sql, const char *name)
{
	struct err err = ERR_INIT;
	json_t *ast = NULL;
	int rc = exec_parse(parser, sql, &ast, &err);
	if (rc < 0)
		print_error("%s: %s\n", sql, err.msg);
	assert_int_equal(rc, 0);
	autofree char *path = xasprintf("%s/%s", dir, name);
	return json_pack("{s:s, s:o, s:[], s:{s:s, s:s, s:i}}", "op", "run", "ast", ast, "inputs",
	                 "output", "kind", "exchange", "path", path, "partitions", 1);
}

/* Runs and gives the error's code, or "ok". */
static const char *outcome(struct exec *e, const char *sql, const char *name, int64_t ms)
{
	static _Thread_local char code[32];
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *reply = NULL;
	int rc = exec_run(e, request(sql, name), deadline_in(ms), NULL, NULL, &reply, &err);
	if (rc < 0)
		print_error("%s\n", err.msg);
	assert_true(rc >= 0);
	const char *text = rc == 0 ? "ok" : data_get_str(reply, "error.code");
	(void)snprintf(code, sizeof(code), "%s", text ? text : "?");
	return code;
}

static const char forever[] = "SELECT count(*) FROM range(10000000) a, range(10000000) b";

static void frames_come_in_pieces(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf all = BUF_INIT(4096), in = BUF_INIT(4096);
	_cleanup_json_ json_t *j = json_pack("{s:i}", "id", 7);
	assert_int_equal(exec_frame_add(&all, j, &err), 0);
	assert_int_equal(exec_frame_add(&all, j, &err), 0);
	int got = 0;
	for (size_t i = 0; i < all.len; i++) {
		assert_int_equal(buf_add(&in, all.p + i, 1), 0);
		json_t *one = NULL;
		int rc = exec_frame_take(&in, &one, &err);
		if (rc == 0)
			got++;
		else
			assert_int_equal(rc, EXEC_FRAME_MORE);
		json_decref(one);
	}
	assert_int_equal(got, 2);
	json_t *bad = NULL;
	assert_int_equal(buf_add(&in, "\xff\xff\xff\xff", 4), 0);
	assert_int_equal(exec_frame_take(&in, &bad, &err), -EBADMSG);
	buf_reset(&in);
	assert_int_equal(buf_add(&in, "\x02\x00\x00\x00[]", 6), 0);
	assert_int_equal(exec_frame_take(&in, &bad, &err), -EBADMSG);
}

static void the_parser_parses(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *ast = NULL, *bad = NULL, *columns = NULL;
	assert_int_equal(exec_parse(parser, "SELECT a FROM t WHERE b = 'x''y'", &ast, &err), 0);
	assert_string_equal(data_get_str(ast, "statements.0.node.from_table.table_name"), "t");
	autofree char *sql = NULL;
	assert_int_equal(exec_deparse(parser, ast, &sql, &err), 0);
	assert_string_equal(sql, "SELECT a FROM t WHERE (b = 'x''y')");
	assert_int_equal(exec_parse(parser, "SELEC 1", &bad, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "SELEC"));
	assert_int_equal(exec_parse(parser, "DROP TABLE t", &bad, &err), -EINVAL);
	assert_int_equal(exec_types(parser, NULL, "SELECT 1 + 1 AS x", &columns, &err), 0);
	assert_string_equal(data_get_str(columns, "0.type"), "INTEGER");
	assert_int_equal(exec_types(parser, NULL, "SELECT * FROM absent", &columns, &err), -EINVAL);
	/* Neither files nor the network nor time without end. */
	assert_true(exec_types(parser, NULL, "SELECT * FROM read_text('/etc/passwd')", &columns,
	                       &err) < 0);
	assert_true(exec_types(parser, NULL, "SELECT * FROM 's3://bucket/x.parquet'", &columns,
	                       &err) < 0);
}

static char *nested(const char *open, const char *middle, const char *close, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT(1 << 24);
	(void)buf_adds(&b, "SELECT ");
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(&b, open);
	(void)buf_adds(&b, middle);
	for (size_t i = 0; i < n; i++)
		(void)buf_adds(&b, close);
	return buf_take(&b);
}

/* Whatever becomes of the child: this process goes on, and so does the next statement. */
static void a_hostile_statement_costs_the_child_at_most(void **state)
{
	(void)state;
	autofree char *parens = nested("(", "1", ")", 100000);
	autofree char *minus = nested("- ", "1", "", 100000);
	autofree char *selects = nested("(SELECT ", "1", ")", 20000);
	autofree char *lists = nested("[", "1", "]", 100000);
	autofree char *cases = nested("CASE WHEN 1 THEN ", "1", " END", 30000);
	autofree char *plus = nested("1 + ", "1", "", 200000);
	const char *const hostile[] = {
		parens,
		minus,
		selects,
		lists,
		cases,
		plus,
		"SELECT repeat('a', 4000000000)",
		"",
		"\x01\x02",
		"SELECT $1",
		"SELECT 1;;;",
		"SELECT \xc3\xa4 FROM \"\"\"\"",
	};
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		struct err err = ERR_INIT;
		_cleanup_json_ json_t *ast = NULL, *columns = NULL, *good = NULL;
		(void)exec_parse(parser, hostile[i], &ast, &err);
		(void)exec_types(parser, NULL, hostile[i], &columns, &err);
		/* A loaded machine may need more than one deadline for a new child. */
		int rc = -1;
		for (int tries = 0; rc < 0 && tries < 4; tries++)
			rc = exec_parse(parser, "SELECT 1", &good, &err);
		assert_int_equal(rc, 0);
	}
}

static void a_killed_parser_comes_back(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct err err = ERR_INIT;
		struct exec_stats st;
		_cleanup_json_ json_t *ast = NULL;
		assert_int_equal(exec_parse(parser, "SELECT 1", &ast, &err), 0);
		exec_stats(parser, &st);
		assert_true(st.pid > 0);
		assert_int_equal(kill(st.pid, SIGKILL), 0);
	}
}

static void *stop_for_a_while(void *arg)
{
	pid_t pid = *(pid_t *)arg;
	(void)kill(pid, SIGSTOP);
	clock_sleep_ms(6000);
	(void)kill(pid, SIGCONT);
	return NULL;
}

/* A busy machine gives the child its turn late: that is nobody's fault and costs nobody the parser. */
static void a_late_parser_is_kept(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct exec_stats before, after;
	_cleanup_json_ json_t *ast = NULL, *late = NULL;
	assert_int_equal(exec_parse(parser, "SELECT 1", &ast, &err), 0);
	exec_stats(parser, &before);
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, stop_for_a_while, &before.pid), 0);
	clock_sleep_ms(200);
	assert_int_equal(exec_parse(parser, "SELECT 2", &late, &err), 0);
	(void)pthread_join(t, NULL);
	exec_stats(parser, &after);
	assert_int_equal(after.pid, before.pid);
}

static void a_statement_that_takes_too_much_ends(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *columns = NULL, *good = NULL;
	/* Folded while it is planned: some 40 s of work. */
	assert_int_equal(exec_types(parser, NULL,
	                            "SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))",
	                            &columns, &err),
	                 -ETIMEDOUT);
	assert_int_equal(exec_parse(parser, "SELECT 1", &good, &err), 0);
}

struct client {
	struct exec *e;
	const char *sql;
	bool alone;
	char name[32], code[32];
	int64_t ms;
	atomic_bool stop;
	pthread_t thread;
};

static bool should_stop(void *arg)
{
	struct client *c = arg;
	return atomic_load(&c->stop);
}

static void *client(void *arg)
{
	struct client *c = arg;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *reply = NULL;
	json_t *rq = request(c->sql, c->name);
	(void)json_object_set_new(rq, "alone", json_boolean(c->alone));
	int rc = exec_run(c->e, rq, deadline_in(c->ms), should_stop, c, &reply, &err);
	const char *code = rc == 0 ? "ok" : rc > 0 ? data_get_str(reply, "error.code") : "failed";
	(void)snprintf(c->code, sizeof(c->code), "%s", code);
	return NULL;
}

static void start_clients(struct client *c, size_t n, struct exec *e, const char *sql, int64_t ms)
{
	for (size_t i = 0; i < n; i++) {
		c[i].e = e;
		c[i].sql = sql;
		c[i].ms = ms;
		(void)snprintf(c[i].name, sizeof(c[i].name), "client%zu", i);
		assert_int_equal(pthread_create(&c[i].thread, NULL, client, &c[i]), 0);
	}
}

/* Until so many run and so many wait; negative: however many. */
static void wait_stats(struct exec *e, int running, int waiting)
{
	struct exec_stats st;
	do {
		clock_sleep_ms(10);
		exec_stats(e, &st);
	} while ((running >= 0 && st.running != running) ||
	         (waiting >= 0 && st.waiting != waiting));
}

static void join_clients(struct client *c, size_t n, const char *code)
{
	for (size_t i = 0; i < n; i++) {
		(void)pthread_join(c[i].thread, NULL);
		assert_string_equal(c[i].code, code);
	}
}

static void tasks_run_at_once(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(256 << 20, 0, 4);
	struct client c[8] = { 0 };
	start_clients(c, 8, e, "SELECT sum(range) AS s FROM range(5000000)", 60000);
	join_clients(c, 8, "ok");
	for (size_t i = 0; i < 8; i++) {
		autofree char *path = xasprintf("%s/%s", dir, c[i].name);
		assert_true(fd_exists(path));
	}
}

static void a_killed_executor_fails_its_tasks_only(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(256 << 20, 0, 4);
	struct client c[4] = { 0 };
	start_clients(c, 4, e, forever, 60000);
	wait_stats(e, 4, -1);
	struct exec_stats st;
	exec_stats(e, &st);
	assert_int_equal(kill(st.pid, SIGKILL), 0);
	join_clients(c, 4, RPC_E_CRASHED);
	assert_string_equal(outcome(e, "SELECT 1 AS a", "after", 20000), "ok");
	exec_stats(e, &st);
	assert_int_equal(st.crashes, 1);
	assert_int_equal(st.started, 2);
}

/* Two that run; one that wants to be alone waits for both, and holds up a fourth until it has ended. */
static void who_is_to_be_alone_is(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(256 << 20, 0, 4);
	struct client running[2] = { 0 }, alone[1] = { { .alone = true } }, later[1] = { 0 };
	struct exec_stats st;
	start_clients(running, 2, e, forever, 60000);
	wait_stats(e, 2, -1);
	start_clients(alone, 1, e, forever, 60000);
	wait_stats(e, -1, 1);
	start_clients(later, 1, e, "SELECT 1 AS a", 60000);
	wait_stats(e, -1, 2);
	atomic_store(&running[0].stop, true);
	join_clients(running, 1, RPC_E_CANCELLED);
	wait_stats(e, 1, -1);
	clock_sleep_ms(50);
	exec_stats(e, &st);
	assert_int_equal(st.running, 1);
	assert_int_equal(st.waiting, 2);
	atomic_store(&running[1].stop, true);
	join_clients(running + 1, 1, RPC_E_CANCELLED);
	do {
		clock_sleep_ms(10);
		exec_stats(e, &st);
	} while (st.waiting != 1 || st.running != 1);
	clock_sleep_ms(50);
	exec_stats(e, &st);
	assert_int_equal(st.waiting, 1);
	/* Killed together with nobody. */
	assert_int_equal(kill(st.pid, SIGKILL), 0);
	join_clients(alone, 1, RPC_E_CRASHED);
	join_clients(later, 1, "ok");
}

static void deadlines_and_cancelling_interrupt(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(256 << 20, 0, 2);
	struct client c[2] = { 0 };
	int64_t began = clock_mono_ms();
	start_clients(c, 1, e, forever, 300);
	join_clients(c, 1, RPC_E_TIMEOUT);
	wait_stats(e, 0, -1); /* the child gives up a moment after the caller */
	start_clients(c, 2, e, forever, 60000);
	wait_stats(e, 2, -1);
	/* No free place: a third waits, and stops waiting. */
	assert_string_equal(outcome(e, "SELECT 1 AS a", "third", 100), RPC_E_TIMEOUT);
	for (size_t i = 0; i < 2; i++)
		atomic_store(&c[i].stop, true);
	join_clients(c, 2, RPC_E_CANCELLED);
	/* The places are free again, in the same process. */
	assert_string_equal(outcome(e, "SELECT 1 AS a", "after", 20000), "ok");
	struct exec_stats st;
	exec_stats(e, &st);
	assert_int_equal(st.started, 1);
	assert_true(clock_mono_ms() - began < 30000);
}

static void memory_is_limited_twice(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(128 << 20, 400 << 20, 2);
	struct exec_stats st;
	/* DuckDB notices by itself. */
	assert_string_equal(
		outcome(e, "SELECT len(list(range)) FROM range(60000000)", "oom", 60000),
		RPC_E_OOM);
	exec_stats(e, &st);
	assert_int_equal(st.kills, 0);
	/* What DuckDB does not count: the watchdog does, or the kernel refuses the memory. */
	assert_string_equal(outcome(e, "SELECT len(range(200000000)) AS n", "oom", 60000),
	                    RPC_E_OOM);
	assert_string_equal(outcome(e, "SELECT 1 AS a", "after", 20000), "ok");
}

static void limits_change_while_it_runs(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	static const char sql[] = "SELECT len(list(range)) FROM range(8000000)";
	_cleanup_(exec_closep) struct exec *e = open_tasks(512 << 20, 0, 2);
	assert_string_equal(outcome(e, sql, "big", 60000), "ok");
	_cleanup_json_ json_t *reply = NULL;
	assert_int_equal(exec_run(e,
	                          json_pack("{s:s, s:i}", "op", "limits", "memory_limit", 64 << 20),
	                          deadline_in(60000), NULL, NULL, &reply, &err),
	                 0);
	assert_string_equal(outcome(e, sql, "big", 60000), RPC_E_OOM);
}

/* The folders of the config, and nothing else; asked of the child with DuckDB's own wall in place. */
static void files_outside_are_out_of_reach(void **state)
{
	(void)state;
	_cleanup_(exec_closep) struct exec *e = open_tasks(256 << 20, 0, 2);
	const char *const outside[] = {
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM read_blob('/proc/self/environ')",
		"SELECT * FROM glob('/etc/*')",
		"SELECT * FROM read_csv('/etc/passwd')",
	};
	for (size_t i = 0; i < ARRAY_LEN(outside); i++)
		assert_string_not_equal(outcome(e, outside[i], "outside", 20000), "ok");
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *reply = NULL;
	json_t *elsewhere = request("SELECT 1 AS a", "x");
	assert_int_equal(data_set(elsewhere, "output.path", json_string("/tmp/roost-outside")), 0);
	assert_int_equal(exec_run(e, elsewhere, deadline_in(20000), NULL, NULL, &reply, &err),
	                 EXEC_FAILED);
	assert_false(fd_exists("/tmp/roost-outside"));
}

/* As on a worker: rowsets lie where the executor may only read. */
static void rowsets_are_read_where_nothing_may_be_written(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_(exec_closep) struct exec *writer = open_tasks(256 << 20, 0, 1);
	autofree char *data = xasprintf("%s/data", dir), *work = xasprintf("%s/work", dir);
	assert_int_equal(fd_mkdir_p(data, 0700, &err), 0);
	assert_int_equal(fd_mkdir_p(work, 0700, &err), 0);
	json_t *write = request("SELECT range FROM range(1000)", "x");
	json_t *columns = json_pack("[{s:s, s:s}]", "name", "k", "type", "BIGINT");
	(void)json_object_set_new(write, "output",
	                          json_pack("{s:s, s:s, s:s, s:O, s:[s], s:[], s:i}", "kind",
	                                    "tablets", "dir", data, "prefix", "r", "columns",
	                                    columns, "distribution", "k", "sort", "buckets", 1));
	_cleanup_json_ json_t *written = NULL, *answer = NULL;
	assert_int_equal(exec_run(writer, write, deadline_in(20000), NULL, NULL, &written, &err),
	                 0);
	const char *const reads[] = { data, NULL }, *const writes[] = { work, NULL };
	struct exec_config c = { .mode = EXEC_TASKS, .read_dirs = reads, .write_dirs = writes };
	struct exec *opened = NULL;
	assert_int_equal(exec_open(&c, &opened, &err), 0);
	_cleanup_(exec_closep) struct exec *reader = opened;
	json_t *read = request("SELECT sum(k) AS s FROM t", "work/sum");
	(void)json_object_set_new(read, "inputs",
	                          json_pack("[{s:s, s:s, s:o, s:[s]}]", "name", "t", "kind",
	                                    "tablets", "columns", columns, "files",
	                                    data_get_str(written, "rowsets.0.path")));
	int rc = exec_run(reader, read, deadline_in(20000), NULL, NULL, &answer, &err);
	if (rc != 0)
		print_error("%s\n", data_get_str(answer, "error.message"));
	assert_int_equal(rc, 0);
	assert_string_equal(outcome(reader, "SELECT 1 AS a", "data/x", 20000), RPC_E_INTERNAL);
}

static void closing_ends_what_runs(void **state)
{
	(void)state;
	struct exec *e = open_tasks(256 << 20, 0, 2);
	struct client c[3] = { 0 };
	start_clients(c, 3, e, forever, 60000);
	wait_stats(e, 2, 1); /* nobody comes to one that is closed */
	struct exec_stats st;
	exec_stats(e, &st);
	exec_close(e);
	join_clients(c, 3, RPC_E_CANCELLED);
	assert_int_equal(kill(st.pid, 0), -1);
}

static void a_wrong_program_is_refused(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct exec *e = NULL;
	struct exec_config c = { .mode = EXEC_TASKS, .program = "/nonexistent/roost-duck" };
	assert_int_equal(exec_open(&c, &e, &err), -ENOENT);
	/* One that starts and does not speak is tried again until the caller's deadline. */
	c.program = "/bin/false";
	assert_int_equal(exec_open(&c, &e, &err), 0);
	_cleanup_json_ json_t *reply = NULL;
	assert_int_equal(exec_run(e, json_pack("{s:s}", "op", "run"), deadline_in(300), NULL, NULL,
	                          &reply, &err),
	                 EXEC_FAILED);
	assert_string_equal(data_get_str(reply, "error.code"), RPC_E_TIMEOUT);
	exec_close(e);
}

/* The program as shipped: build/roost-duck, five folders above this test. */
static void name_program(void)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return;
	self[n] = '\0';
	for (int i = 0; i < 6; i++) {
		char *slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
	}
	autofree char *path = xasprintf("%s/roost-duck", self);
	(void)setenv("ROOST_DUCK", path, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_in_pieces),
		cmocka_unit_test(the_parser_parses),
		cmocka_unit_test(a_hostile_statement_costs_the_child_at_most),
		cmocka_unit_test(a_killed_parser_comes_back),
		cmocka_unit_test(a_late_parser_is_kept),
		cmocka_unit_test(a_statement_that_takes_too_much_ends),
		cmocka_unit_test(tasks_run_at_once),
		cmocka_unit_test(a_killed_executor_fails_its_tasks_only),
		cmocka_unit_test(who_is_to_be_alone_is),
		cmocka_unit_test(deadlines_and_cancelling_interrupt),
		cmocka_unit_test(memory_is_limited_twice),
		cmocka_unit_test(limits_change_while_it_runs),
		cmocka_unit_test(files_outside_are_out_of_reach),
		cmocka_unit_test(rowsets_are_read_where_nothing_may_be_written),
		cmocka_unit_test(closing_ends_what_runs),
		cmocka_unit_test(a_wrong_program_is_refused),
	};
	name_program();
	return cmocka_run_group_tests_name("engine/exec", tests, setup, teardown);
}

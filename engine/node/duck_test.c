/* Whole nodes with their real executors: a load, tasks over its rowsets, rows between the nodes. */
#define FIXTURE_REAL_EXEC
#include <limits.h>

#include "engine/node/fixture.h"

static struct exec *parser;

static const char *const csv[] = { "Authorization: Basic cm9vdDpwdw==",
	                           "label: l1",
	                           "column_separator: ,",
	                           "max_filter_ratio: 0.5",
	                           "strict_mode: true",
	                           "Expect:",
	                           NULL };

static struct answer load(struct place *p, const char *body)
{
	struct answer a;
	autofree char *url =
		xasprintf("http://127.0.0.1:%d/api/db/t/_stream_load", node_http_port(p->nodes[0]));
	assert_int_equal(call_with(p->client, "PUT", url, csv, body, &a), 0);
	return a;
}

/* A task of one SELECT; its output is one partition. */
static struct answer run(struct place *p, size_t i, int stage, const char *sql, const char *input)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *ast = NULL;
	if (exec_parse(parser, sql, &ast, &err) < 0)
		fail_msg("%s", err.msg);
	autofree char *tree = data_json_text(ast);
	autofree char *text = xasprintf(
		"{\"v\":1,\"query\":\"" QUERY "\",\"stage\":%d,\"task\":0,\"attempt\":0,\"digest\":"
		"\"d\",\"timeout_ms\":20000,\"mem_limit\":0,\"group\":\"default_wg\",\"settings\":{"
		"},"
		"\"ast\":%s,\"inputs\":[%s],\"output\":{\"kind\":\"exchange\",\"partitions\":1,"
		"\"codec\":\"lz4\"}}",
		stage, tree, input);
	return rpc(p, i, "POST", "/rpc/v1/tasks", text);
}

/* The only value of the task's output, as text. */
static void value(struct place *p, size_t i, int stage, char *out, size_t size)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
	_cleanup_buf_ struct buf text = BUF_INIT(256);
	struct xchg_block block;
	size_t columns;
	autofree char *url =
		xasprintf("http://127.0.0.1:%d/rpc/v1/exchange/" QUERY "/%d/0/0?from=0&to=1",
	                  node_brpc_port(p->nodes[i]), stage);
	const struct http_call call = { .url = url, .bearer = TOKEN, .by = deadline_in(10000) };
	assert_int_equal(http_call(p->client, &call, &reply, NULL), 0);
	assert_int_equal(reply.status, 200);
	assert_int_equal(xchg_reader_open_mem(reply.body.p, reply.body.len, &r, NULL), 0);
	assert_int_equal(xchg_reader_next(r, &block, NULL), 0);
	assert_int_equal(block.rows, 1);
	const struct xchg_column *c = xchg_reader_columns(r, &columns);
	assert_true(xchg_cell_text(&c[0], &block.columns[0], 0, &text));
	(void)snprintf(out, size, "%s", buf_cstr(&text));
}

static char *tablets_input(struct place *p)
{
	_cleanup_json_ json_t *commit = NULL;
	assert_int_equal(data_json_parse(str_of(p->fe.committed), &commit, NULL), 0);
	return xasprintf(
		"{\"name\":\"t\",\"kind\":\"tablets\",\"columns\":[{\"name\":\"a\",\"type\":"
		"\"INTEGER\"}],\"tablets\":[{\"id\":11,\"rowsets\":[{\"id\":\"%s\",\"rows\":"
		"3,\"bytes\":%lld,\"crc\":\"%s\"}]}]}",
		data_get_str(commit, "rowsets.0.id"),
		(long long)data_get_int(commit, "rowsets.0.bytes", 0),
		data_get_str(commit, "rowsets.0.crc"));
}

static void loaded_rows_are_joined_across_nodes(void **state)
{
	struct place *p = *state;
	char text[64];
	_answer_ a = load(p, "1\n2\nnot a number\n40\n");
	if (strcmp(data_get_str(a.json, "Status"), "Success") != 0)
		fail_msg("%s", a.text);
	assert_int_equal(data_get_int(a.json, "NumberTotalRows", -1), 4);
	assert_int_equal(data_get_int(a.json, "NumberFilteredRows", -1), 1);
	assert_non_null(data_get_str(a.json, "ErrorURL"));
	autofree char *tablets = tablets_input(p);
	/* Each replica gives the same. */
	for (size_t i = 0; i < 2; i++) {
		_answer_ sum = run(p, i, (int)i, "SELECT sum(a) AS s FROM t", tablets);
		if (sum.status != 200)
			fail_msg("%s", sum.text);
		value(p, i, (int)i, text, sizeof(text));
		assert_string_equal(text, "43");
	}
	/* And a task on node 1 reads what node 0 made. */
	autofree char *in = xasprintf(
		"{\"name\":\"x\",\"kind\":\"exchange\",\"columns\":[{\"name\":\"s\",\"type\":"
		"\"HUGEINT\"}],\"rows\":2,\"parts\":[{\"addr\":\"%s\",\"stage\":0,\"task\":0,"
		"\"attempt\":0,\"from\":0,\"to\":1},{\"addr\":\"%s\",\"stage\":1,\"task\":0,"
		"\"attempt\":0,\"from\":0,\"to\":1}]}",
		p->fe.replica[0], p->fe.replica[1]);
	_answer_ twice = run(p, 1, 2, "SELECT sum(s) AS s FROM x", in);
	if (twice.status != 200)
		fail_msg("%s", twice.text);
	value(p, 1, 2, text, sizeof(text));
	assert_string_equal(text, "86");
}

static void a_load_over_its_filter_ratio_leaves_nothing(void **state)
{
	struct place *p = *state;
	_answer_ a = load(p, "x\ny\n3\n");
	assert_string_equal(data_get_str(a.json, "Status"), "Fail");
	assert_int_equal(p->fe.commits, 0);
	assert_int_equal(p->fe.aborts, 1);
	_answer_ h = heartbeat(p, 0, 9);
	assert_int_equal(data_get_int(h.json, "tablets", -1), 0);
}

static void errors_of_sql_come_back_as_such(void **state)
{
	struct place *p = *state;
	_answer_ a = run(p, 0, 0, "SELECT no_such_function(1)", "");
	assert_int_equal(a.status, 400);
	assert_string_equal(data_get_str(a.json, "error.code"), RPC_E_SQL);
	assert_false(data_get_bool(a.json, "error.retryable", true));
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

static int open_parser(void **state)
{
	(void)state;
	const struct exec_config config = { .mode = EXEC_PARSER };
	return exec_open(&config, &parser, NULL);
}

static int close_parser(void **state)
{
	(void)state;
	exec_close(parser);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(loaded_rows_are_joined_across_nodes, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(a_load_over_its_filter_ratio_leaves_nothing, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(errors_of_sql_come_back_as_such, setup, teardown),
	};
	name_program();
	return cmocka_run_group_tests(tests, open_parser, close_parser);
}

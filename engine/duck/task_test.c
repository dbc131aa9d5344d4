#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/duck/parse.h"
#include "engine/duck/task.h"
#include "engine/exchange/format.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

/* DuckDB is not instrumented: what the thread sanitizer says of its insides is not so. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "ignore_noninstrumented_modules=1";
}

static char dir[] = "/tmp/roost-duck-XXXXXX";
static struct duck *duck;

static int setup(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_non_null(mkdtemp(dir));
	autofree char *temp = xasprintf("%s/temp", dir);
	_cleanup_json_ json_t *dirs = json_pack("[s]", dir);
	struct duck_config config = { .memory_limit = 256 << 20,
		                      .temp_limit = 1 << 30,
		                      .threads = 2,
		                      .group = "default_wg",
		                      .temp_dir = temp,
		                      .dirs = dirs };
	int rc = duck_open(&config, &duck, &err);
	if (rc < 0)
		print_error("%s\n", err.msg);
	return rc;
}

static int teardown(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	duck_close(duck);
	return fd_rm_rf(dir, &err);
}

static json_t *parsed(const char *sql)
{
	_cleanup_json_ json_t *request =
		json_pack("{s:i, s:s, s:s}", "id", 1, "op", "serialize", "sql", sql);
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 24);
	duck_parse(duck, request, &out);
	json_error_t why;
	json_t *reply = json_loads(buf_cstr(&out), 0, &why);
	if (!reply)
		print_error("%s: %s\n", why.text, buf_cstr(&out));
	assert_non_null(reply);
	return reply;
}

static json_t *ast_of(const char *sql)
{
	_cleanup_json_ json_t *reply = parsed(sql);
	json_t *ast = json_object_get(reply, "ast");
	if (!ast)
		print_error("%s: %s\n", sql, data_get_str(reply, "error.message"));
	assert_non_null(ast);
	return json_incref(ast);
}

/* Runs sql over the inputs; all but sql is stolen. */
static json_t *run(const char *sql, json_t *inputs, json_t *output)
{
	_cleanup_json_ json_t *request =
		json_pack("{s:o, s:o}", "inputs", inputs ? inputs : json_array(), "output", output);
	if (sql)
		(void)json_object_set_new(request, "ast", ast_of(sql));
	struct duck_task t = { 0 };
	json_t *reply = duck_task_run(duck, &t, request);
	duck_task_close(&t);
	return reply;
}

static json_t *run_ok(const char *sql, json_t *inputs, json_t *output)
{
	json_t *reply = run(sql, inputs, output);
	if (!data_get_bool(reply, "ok", false))
		print_error("%s: %s\n", sql, data_get_str(reply, "error.message"));
	assert_true(data_get_bool(reply, "ok", false));
	return reply;
}

static json_t *to_exchange(const char *name, int partitions, const char *key)
{
	autofree char *path = xasprintf("%s/%s", dir, name);
	json_t *keys = key ? json_pack("[s]", key) : json_array();
	return json_pack("{s:s, s:s, s:i, s:o, s:s}", "kind", "exchange", "path", path,
	                 "partitions", partitions, "keys", keys, "codec", "lz4");
}

/* All rows of an exchange file as "a|b\n…"; NULL is "~". */
static char *text_of(const char *name)
{
	struct err err = ERR_INIT;
	autofree char *path = xasprintf("%s/%s", dir, name);
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(xchg_reader_open_fd(fd, &r, &err), 0);
	size_t n = 0;
	const struct xchg_column *columns = xchg_reader_columns(r, &n);
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 24);
	struct xchg_block b;
	int rc = 0;
	while ((rc = xchg_reader_next(r, &b, &err)) == 0)
		for (uint32_t row = 0; row < b.rows; row++)
			for (size_t c = 0; c < n; c++) {
				if (!xchg_cell_text(&columns[c], &b.columns[c], row, &out))
					(void)buf_addc(&out, '~');
				(void)buf_addc(&out, c + 1 < n ? '|' : '\n');
			}
	assert_int_equal(rc, XCHG_END);
	return xstrdup(buf_cstr(&out));
}

static void expect(const char *sql, json_t *inputs, const char *rows)
{
	json_decref(run_ok(sql, inputs, to_exchange("expect", 1, NULL)));
	autofree char *text = text_of("expect");
	assert_string_equal(text, rows);
}

static void expect_failure(const char *sql, json_t *inputs, json_t *output, const char *code,
                           const char *words)
{
	_cleanup_json_ json_t *reply = run(sql, inputs, output);
	if (data_get_bool(reply, "ok", true))
		fail_msg("%s was expected to fail", sql);
	assert_string_equal(data_get_str(reply, "error.code"), code);
	if (!strstr(data_get_str(reply, "error.message"), words))
		fail_msg("%s lacks %s", data_get_str(reply, "error.message"), words);
}

static json_t *columns_kv(void)
{
	return json_pack("[{s:s, s:s}, {s:s, s:s}]", "name", "k", "type", "BIGINT", "name", "v",
	                 "type", "VARCHAR");
}

static json_t *file_list(const char *name)
{
	autofree char *path = xasprintf("%s/%s", dir, name);
	return json_pack("[{s:s}]", "path", path);
}

static json_t *input(const char *name, const char *kind, json_t *columns, json_t *files)
{
	return json_pack("{s:s, s:s, s:o, s:o}", "name", name, "kind", kind, "columns", columns,
	                 "files", files);
}

static void every_type_travels(void **state)
{
	(void)state;
	static const char sql[] =
		"SELECT true AS b, 1::TINYINT AS t, -2::SMALLINT AS s, 3::INTEGER AS i, 4::BIGINT "
		"AS "
		"l, 170141183460469231731687303715884105727::HUGEINT AS h, 1.5::FLOAT AS f, 2.25 "
		"::DOUBLE AS d, 1.50::DECIMAL(4,2) AS d4, -1.50::DECIMAL(9,2) AS d9, 1.50 "
		"::DECIMAL(18,2) AS d18, 12345678901234567890.5::DECIMAL(38,1) AS d38, DATE "
		"'2026-11-21' AS dt, TIMESTAMP '2026-11-21 10:00:00.5' AS ts, 'short' AS v, 'a "
		"text "
		"that is longer than twelve bytes' AS w, 'ab'::BLOB AS bl, 255::UTINYINT AS ut, "
		"NULL AS n, TIME '10:00:01' AS tm, [1,2] AS li, NULL::INTEGER AS ni "
		"UNION ALL SELECT NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,"
		"NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL ORDER BY 1 NULLS LAST";
	static const char rows[] =
		"1|1|-2|3|4|170141183460469231731687303715884105727|1.5|2.25|1.50|-1.50|1.50|"
		"12345678901234567890.5|2026-11-21|2026-11-21 10:00:00.500000|short|a text that is "
		"longer than twelve bytes|ab|255|~|10:00:01|[1, 2]|~\n"
		"~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~\n";
	_cleanup_json_ json_t *reply = run_ok(sql, NULL, to_exchange("types", 1, NULL));
	autofree char *text = text_of("types");
	assert_string_equal(text, rows);
	assert_string_equal(data_get_str(reply, "columns.9.type"), "DECIMAL(9,2)");
	/* And back in, through the table function. */
	json_t *in = input("again", "exchange", json_incref(json_object_get(reply, "columns")),
	                   file_list("types"));
	expect("SELECT * FROM again ORDER BY 1 NULLS LAST", json_pack("[o]", in), rows);
}

static void exchange_keeps_rows_and_counts(void **state)
{
	(void)state;
	_cleanup_json_ json_t *reply = run_ok(
		"SELECT range AS k, CASE WHEN range % 3 = 0 THEN NULL ELSE 'value ' || range END "
		"AS v FROM range(300000)",
		NULL, to_exchange("big", 5, "k"));
	assert_int_equal(data_get_int(reply, "rows", 0), 300000);
	assert_int_equal(json_array_size(data_get(reply, "partitions")), 5);
	assert_true(data_get_int(reply, "partitions.3.rows", 0) > 50000);
	json_t *files = json_array();
	for (int i = 0; i < 5; i += 2) { /* [0,2) [2,4) [4,5) */
		autofree char *path = xasprintf("%s/big", dir);
		(void)json_array_append_new(files,
		                            json_pack("{s:s, s:i, s:i}", "path", path, "from", i,
		                                      "to", i + 2 > 5 ? 5 : i + 2));
	}
	expect("SELECT count(*), count(v), sum(k), count(DISTINCT k), max(v) FROM x",
	       json_pack("[o]", input("x", "exchange", columns_kv(), files)),
	       "300000|200000|44999850000|300000|value 99998\n");
	/* A join of two scans, under the order of the fragment. */
	json_t *both = json_pack("[o, o]", input("x", "exchange", columns_kv(), file_list("big")),
	                         input("y", "exchange", columns_kv(), file_list("big")));
	expect("SELECT count(*) FROM x JOIN y USING (k)", both, "300000\n");
	/* No file at all is no row. */
	expect("SELECT count(*) FROM x",
	       json_pack("[o]", input("x", "exchange", columns_kv(), json_array())), "0\n");
}

static void rowsets_are_written_and_read(void **state)
{
	(void)state;
	json_t *target = json_pack("[{s:s, s:s, s:b}, {s:s, s:s}]", "name", "k", "type", "BIGINT",
	                           "nullable", 0, "name", "v", "type", "VARCHAR");
	json_t *output = json_pack("{s:s, s:s, s:s, s:o, s:[s], s:[s], s:i}", "kind", "tablets",
	                           "dir", dir, "prefix", "r", "columns", target, "distribution",
	                           "k", "sort", "k", "buckets", 4);
	_cleanup_json_ json_t *keep = json_deep_copy(output);
	_cleanup_json_ json_t *reply =
		run_ok("SELECT 9999 - range, 'v' || range FROM range(10000)", NULL, output);
	json_t *rowsets = data_get(reply, "rowsets");
	assert_int_equal(json_array_size(rowsets), 4);
	assert_int_equal(data_get_int(reply, "rows", 0), 10000);
	json_t *files = json_array();
	size_t i = 0;
	json_t *rowset = NULL;
	json_array_foreach(rowsets, i, rowset)
	{
		autofree char *wal = xasprintf("%s.wal", data_get_str(rowset, "path"));
		assert_false(fd_exists(wal));
		assert_int_equal(strlen(data_get_str(rowset, "crc")), 8);
		assert_true(data_get_int(rowset, "rows", 0) > 2000);
		(void)json_array_append_new(files, json_string(data_get_str(rowset, "path")));
	}
	expect("SELECT count(*), sum(k), count(DISTINCT v) FROM t WHERE k >= 10",
	       json_pack("[o]", input("t", "tablets", columns_kv(), json_incref(files))),
	       "9990|49994955|9990\n");
	/* Every row lies in the bucket that its hash names, in the order of the key. */
	expect("SELECT bool_and(hash(CAST(k AS VARCHAR)) % 4 = 0), bool_and(ok) FROM "
	       "(SELECT k, k > lag(k, 1, -1) OVER () AS ok FROM t)",
	       json_pack("[o]", input("t", "tablets", columns_kv(),
	                              json_pack("[O]", json_array_get(files, 0)))),
	       "1|1\n");
	json_decref(files);
	/* The same name used in one connection and a type that was widened since. */
	json_t *wider = json_pack("[{s:s, s:s}]", "name", "k", "type", "HUGEINT");
	json_t *one = json_pack("[s]", data_get_str(rowsets, "1.path"));
	_cleanup_json_ json_t *typed =
		run_ok(NULL, json_pack("[o]", input("t", "tablets", wider, one)),
	               to_exchange("wide", 1, NULL));
	assert_string_equal(data_get_str(typed, "columns.0.type"), "HUGEINT");
	expect("SELECT * FROM t",
	       json_pack("[o]", input("t", "tablets", columns_kv(), json_array())), "");
	expect_failure("SELECT NULL, 'x'", NULL, json_incref(keep), RPC_E_SQL,
	               "Column 'k' cannot be null");
	expect_failure("SELECT * FROM t",
	               json_pack("[o]", input("t", "tablets", columns_kv(),
	                                      json_pack("[s]", "/nonexistent/rowset"))),
	               to_exchange("lost", 1, NULL), RPC_E_INPUT_LOST, "/nonexistent/rowset");
}

static void objects_are_written_and_read(void **state)
{
	(void)state;
	json_t *output =
		json_pack("{s:s, s:s, s:s, s:o, s:i}", "kind", "objects", "dir", dir, "prefix",
	                  "obj-", "columns", columns_kv(), "rows_per_object", 4000);
	_cleanup_json_ json_t *reply =
		run_ok("SELECT range, 'v' || range FROM range(10000)", NULL, output);
	json_t *objects = data_get(reply, "objects");
	assert_int_equal(data_get_int(reply, "rows", 0), 10000);
	assert_true(json_array_size(objects) >= 3);
	expect("SELECT count(*), sum(k) FROM o",
	       json_pack("[o]", input("o", "objects", columns_kv(), json_incref(objects))),
	       "10000|49995000\n");
	expect("SELECT count(*) FROM o",
	       json_pack("[o]", input("o", "objects", columns_kv(), json_array())), "0\n");
}

static json_t *load_input(const char *format, const char *content, const char *options)
{
	struct err err = ERR_INIT;
	autofree char *path = xasprintf("%s/load", dir);
	assert_int_equal(fd_write_file(path, content, strlen(content), 0600, &err), 0);
	json_error_t why;
	json_t *o = json_loads(options, 0, &why);
	assert_non_null(o);
	if (json_object_get(o, "where_sql")) {
		(void)json_object_set_new(o, "where", ast_of(data_get_str(o, "where_sql")));
	}
	return json_pack("[{s:s, s:s, s:s, s:s, s:[{s:s, s:s, s:b}, {s:s, s:s, s:s}], s:o}]",
	                 "name", "in", "kind", "file", "format", format, "path", path, "columns",
	                 "name", "k", "type", "INTEGER", "nullable", 0, "name", "v", "type",
	                 "VARCHAR", "declared", "varchar(5)", "options", o);
}

static void loads_count_what_they_drop(void **state)
{
	(void)state;
	static const struct {
		const char *format, *content, *options;
		const char *rows; /* NULL: fails */
		int loaded, filtered, unselected;
		const char *first;
	} cases[] = {
		{ "csv", "1\ta\n2\t\\N\n", "{}", "1|a\n2|~\n", 2, 0, 0, "" },
		{ "csv", "h,h\r\n1,a\r\n2,b\r\n", "{\"column_separator\":\",\",\"skip_header\":1}",
		  "1|a\n2|b\n", 2, 0, 0, "" },
		{ "csv", "x|1|'a|b'\n",
		  "{\"column_separator\":\"|\",\"enclose\":\"'\",\"columns\":"
		  "[\"skipped\",\"k\",\"v\"]}",
		  "1|a|b\n", 1, 0, 0, "" },
		{ "csv", "1,\"a\"\"b\"\n2,\"\"\"\"\n",
		  "{\"column_separator\":\",\",\"enclose\":\"\\\"\"}", "1|a\"b\n2|\"\n", 2, 0, 0,
		  "" },
		{ "csv", "1\tabcde\n2\t\xc3\xa4\xc3\xa4\xc3\xa4\n", "{\"max_filter_ratio\":0.5}",
		  "1|abcde\n", 1, 1, 0, "column v: the text is longer than 5 bytes (row 2)" },
		{ "csv", "1\tabcde\n2\t\xc3\xa4\xc3\xa4\xc3\xa4\n", "{}", NULL, 1, 1, 0,
		  "column v: the text is longer than 5 bytes (row 2)" },
		{ "csv", "1\ta\nzz\tb\n3\tc\td\n", "{}", NULL, 1, 2, 0, "line 3" },
		{ "csv", "1\ta\nzz\tb\n3\tc\n", "{\"max_filter_ratio\":0.5}", "1|a\n3|c\n", 2, 1, 0,
		  "column k has no value and is not nullable (row 2)" },
		{ "csv", "1\ta\nzz\tb\n3\tc\n", "{\"max_filter_ratio\":0.5,\"strict\":true}",
		  "1|a\n3|c\n", 2, 1, 0, "line 2" },
		{ "csv", "1\ta\n2\tb\n3\tc\n", "{\"where_sql\":\"SELECT k > 1 AND v <> 'c'\"}",
		  "2|b\n", 1, 0, 2, "" },
		{ "csv", "", "{}", "", 0, 0, 0, "" },
		{ "json", "{\"k\":1,\"v\":\"a\"}\n{\"v\":\"b\",\"k\":\"2\"}", "{}", "1|a\n2|b\n", 2,
		  0, 0, "" },
		{ "json", "[{\"k\":1,\"v\":\"a\"},{\"k\":2}]", "{\"strip_outer_array\":true}",
		  "1|a\n2|~\n", 2, 0, 0, "" },
		{ "json", "{\"a\":{\"b\":7},\"c\":[\"x\",\"y\"]}",
		  "{\"columns\":[\"k\",\"v\"],\"jsonpaths\":[\"$.a.b\",\"$.c[1]\"]}", "7|y\n", 1, 0,
		  0, "" },
		{ "json", "{\"k\":\"no\",\"v\":\"a\"}", "{\"strict\":true}", NULL, 0, 1, 0,
		  "(row 1)" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *reply =
			run(NULL, load_input(cases[i].format, cases[i].content, cases[i].options),
		            to_exchange("loaded", 1, NULL));
		if (data_get_bool(reply, "ok", false) != (cases[i].rows != NULL))
			fail_msg("case %zu: %s", i, data_get_str(reply, "error.message"));
		autofree char *text = cases[i].rows ? text_of("loaded") : NULL;
		if (text)
			assert_string_equal(text, cases[i].rows);
		assert_int_equal(data_get_int(reply, "load.loaded", -1), cases[i].loaded);
		assert_int_equal(data_get_int(reply, "load.filtered", -1), cases[i].filtered);
		assert_int_equal(data_get_int(reply, "load.unselected", -1), cases[i].unselected);
		const char *first = data_get_str(reply, "load.first_error");
		if (!strstr(first, cases[i].first) || (!*cases[i].first && *first))
			fail_msg("case %zu: %s", i, first);
	}
}

static void failures_have_their_code(void **state)
{
	(void)state;
	expect_failure("SELECT nothing", NULL, to_exchange("x", 1, NULL), RPC_E_SQL, "nothing");
	/* In the middle of a stream, after rows were given. */
	expect_failure(
		"SELECT CASE WHEN range = 900000 THEN error('late') ELSE range END AS r FROM "
		"range(1000000)",
		NULL, to_exchange("x", 3, "r"), RPC_E_SQL, "late");
	expect_failure("SELECT len(list(range)) FROM range(60000000)", NULL,
	               to_exchange("x", 1, NULL), RPC_E_OOM, "Memory of default_wg exceed limit.");
	expect_failure("SELECT * FROM read_text('/etc/passwd')", NULL, to_exchange("x", 1, NULL),
	               RPC_E_INTERNAL, "disabled by configuration");
	expect_failure("SELECT * FROM roost_exchange('0123456789abcdef0123456789abcdef')", NULL,
	               to_exchange("x", 1, NULL), RPC_E_SQL, "no such input");
	expect_failure("SELECT 1 AS a", NULL, to_exchange("x", 2, "b"), RPC_E_SQL, "no column b");
	expect_failure("SELECT 1 AS a", NULL, json_pack("{s:s}", "kind", "stdout"), RPC_E_SQL,
	               "output.kind");
	struct err err = ERR_INIT;
	autofree char *path = xasprintf("%s/damaged", dir);
	assert_int_equal(fd_write_file(path, "RXCH and so on, no exchange file", 32, 0600, &err),
	                 0);
	expect_failure("SELECT * FROM x",
	               json_pack("[o]", input("x", "exchange", columns_kv(), file_list("damaged"))),
	               to_exchange("x", 1, NULL), RPC_E_INPUT_LOST, "damaged");
}

struct racer {
	int number;
	int64_t sum;
	bool ok;
};

/* Every task calls its input by the same name, and each with other rows. */
static void *race(void *arg)
{
	struct racer *r = arg;
	char file[32], sql[64];
	(void)snprintf(file, sizeof(file), "race%d", r->number);
	for (int i = 0; i < 5; i++) {
		autofree char *path = xasprintf("%s/race%d-%d", dir, r->number, i);
		autofree char *source = xasprintf("%s/race-in%d", dir, r->number);
		(void)snprintf(sql, sizeof(sql), "%s", i % 2 ? "join_order" : "");
		_cleanup_json_ json_t *request = json_pack(
			"{s:{s:s}, s:[{s:s, s:s, s:[{s:s, s:s}], s:[{s:s}]}], s:{s:s, s:s, s:i}}",
			"settings", "disabled_optimizers", sql, "inputs", "name", "x", "kind",
			"exchange", "columns", "name", "n", "type", "BIGINT", "files", "path",
			source, "output", "kind", "exchange", "path", path, "partitions", 1);
		struct duck_task t = { 0 };
		_cleanup_json_ json_t *reply = duck_task_run(duck, &t, request);
		duck_task_close(&t);
		r->ok = data_get_bool(reply, "ok", false) &&
		        data_get_int(reply, "rows", 0) == 1000 + r->number;
		if (!r->ok)
			break;
	}
	return NULL;
}

static void tasks_do_not_see_each_other(void **state)
{
	(void)state;
	struct racer racers[6] = { 0 };
	pthread_t threads[ARRAY_LEN(racers)];
	for (int i = 0; i < (int)ARRAY_LEN(racers); i++) {
		char sql[80], name[32];
		racers[i].number = i;
		(void)snprintf(sql, sizeof(sql), "SELECT range AS n FROM range(%d)", 1000 + i);
		(void)snprintf(name, sizeof(name), "race-in%d", i);
		json_decref(run_ok(sql, NULL, to_exchange(name, 1, NULL)));
	}
	for (size_t i = 0; i < ARRAY_LEN(racers); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(racers); i++) {
		(void)pthread_join(threads[i], NULL);
		assert_true(racers[i].ok);
	}
}

static void the_parser_answers(void **state)
{
	(void)state;
	_cleanup_json_ json_t *bad = parsed("SELECT 1 FRM x");
	assert_false(data_get_bool(bad, "ok", true));
	assert_string_equal(data_get_str(bad, "error.code"), RPC_E_SQL);
	assert_true(data_get_int(bad, "error.position", -1) >= 0);
	_cleanup_json_ json_t *ddl = parsed("CREATE TABLE t (a INTEGER)");
	assert_false(data_get_bool(ddl, "ok", true));
	/* A literal that looks like the unset position stays as it is. */
	_cleanup_json_ json_t *ast =
		ast_of("SELECT 18446744073709551615, '18446744073709551615,\\'");
	_cleanup_json_ json_t *back =
		json_pack("{s:i, s:s, s:O}", "id", 2, "op", "deserialize", "ast", ast);
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	duck_parse(duck, back, &out);
	assert_non_null(strstr(buf_cstr(&out), "SELECT 18446744073709551615, "
	                                       "'18446744073709551615,\\\\'"));
	_cleanup_json_ json_t *types = json_pack(
		"{s:i, s:s, s:s, s:[{s:s, s:s, s:[{s:s, s:s}]}]}", "id", 3, "op", "types", "sql",
		"SELECT sum(a) AS s, a + 1.5 AS d, [a] AS l FROM db.t GROUP BY a", "ddl", "schema",
		"db", "table", "t", "columns", "name", "a", "type", "INTEGER");
	buf_reset(&out);
	duck_parse(duck, types, &out);
	assert_string_equal(buf_cstr(&out),
	                    "{\"ok\":true,\"columns\":[{\"name\":\"s\",\"type\":\"HUGEINT\"},"
	                    "{\"name\":\"d\",\"type\":\"DECIMAL(12,1)\"},"
	                    "{\"name\":\"l\",\"type\":\"VARCHAR\"}],\"id\":3}");
	buf_reset(&out);
	duck_parse(duck, types, &out); /* nothing of the first is left to clash with */
	assert_non_null(strstr(buf_cstr(&out), "\"ok\":true"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_travels),
		cmocka_unit_test(exchange_keeps_rows_and_counts),
		cmocka_unit_test(rowsets_are_written_and_read),
		cmocka_unit_test(objects_are_written_and_read),
		cmocka_unit_test(loads_count_what_they_drop),
		cmocka_unit_test(failures_have_their_code),
		cmocka_unit_test(tasks_do_not_see_each_other),
		cmocka_unit_test(the_parser_answers),
	};
	return cmocka_run_group_tests_name("engine/duck", tests, setup, teardown);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sql/sink.h"
#include "engine/wire/packet.h"
#include "engine/wire/cell.h"
#include "engine/wire/stmt.h"
#include "lib/base/mem.h"

/* The text that an execution runs, or the error. */
static char *bound(const char *sql, struct str payload)
{
	_cleanup_(wire_stmt_freep) struct wire_stmt *s = NULL;
	struct buf out = BUF_INIT(4096);
	struct err err = ERR_INIT;
	assert_int_equal(wire_stmt_new(str_of(sql), 1, &s, NULL), 0);
	int rc = wire_stmt_bind(s, payload, &out, &err);
	if (rc < 0) {
		buf_free(&out);
		return xasprintf("%d", sql_err_no(rc));
	}
	return buf_take(&out);
}

#define HEAD "\0\x01\0\0\0"
#define P(bytes) { HEAD bytes, sizeof(HEAD bytes) - 1 }

static void values_take_the_places(void **state)
{
	(void)state;
	static const struct {
		const char *sql;
		struct str payload;
		const char *want;
	} cases[] = {
		{ "select 1", P(""), "select 1" },
		{ "select '?', `?`, ? -- ?\n", P("\0\x01\x08\0\xff\xff\xff\xff\xff\xff\xff\xff"),
		  "select '?', `?`,  -1" },
		{ "select ?", P("\0\x01\x08\x80\xff\xff\xff\xff\xff\xff\xff\xff"),
		  "select  18446744073709551615" },
		{ "a-?", P("\0\x01\x01\0\xfb"), "a- -5" },
		{ "?,?", P("\x01\x01\x03\0\xfd\0\x05it's\\"), " NULL ,'it\\'s\\\\'" },
		{ "?", P("\0\x01\x06\0"), " NULL " },
		{ "?", P("\0\x01\xfd\0\x03\0';"), "'\\0\\';'" },
		{ "?", P("\0\x01\x05\0\0\0\0\0\0\0\xf8\x3f"), " 1.5000000000000000e+00" },
		{ "?", P("\0\x01\x05\0\0\0\0\0\0\0\xf8\x7f"), "1210" },
		{ "?", P("\0\x01\xf6\0\x05-1.50"), " -1.50" },
		{ "?", P("\0\x01\xf6\0\x05-1;50"), "'-1;50'" },
		{ "?", P("\0\x01\x0a\0\x04\xe8\x07\x02\x1d"), "'2024-02-29'" },
		{ "?", P("\0\x01\x0c\0\x0b\xe8\x07\x02\x1d\x01\x02\x03\x04\0\0\0"),
		  "'2024-02-29 01:02:03.000004'" },
		{ "?", P("\0\x01\x0c\0\x05\xe8\x07\x02\x1d\x01"), "1210" },
		{ "?", P("\0\x01\x0b\0\x08\x01\x01\0\0\0\x02\x03\x04"), "'-26:03:04'" },
		{ "?", P("\0\x01\xfd\0\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"), "1210" },
		{ "?", P("\0\x01\xfd\0"), "1210" },
		{ "?", P("\0\x01\x63\0"), "1210" },
		{ "?", P(""), "1210" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *want = cases[i].want;
		autofree char *got = bound(cases[i].sql, cases[i].payload);
		if (strcmp(got, want) != 0)
			fail_msg("case %zu: %s instead of %s", i, got, want);
	}
}

static void types_are_remembered_and_long_data_counts(void **state)
{
	(void)state;
	_cleanup_(wire_stmt_freep) struct wire_stmt *s = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	assert_int_equal(wire_stmt_new(str_of("f(?)"), 1, &s, NULL), 0);
	struct str first = P("\0\x01\x01\0\x05"), again = P("\0\0\x06"), large = P("\0\0");
	assert_int_equal(wire_stmt_bind(s, first, &out, NULL), 0);
	assert_string_equal(out.p, "f( 5)");
	buf_reset(&out);
	assert_int_equal(wire_stmt_bind(s, again, &out, NULL), 0);
	assert_string_equal(out.p, "f( 6)");
	buf_reset(&out);
	wire_stmt_long_data(s, 0, STR_LIT("ab"));
	wire_stmt_long_data(s, 0, STR_LIT("c'"));
	assert_int_equal(wire_stmt_bind(s, large, &out, NULL), 0);
	assert_string_equal(out.p, "f('abc\\'')");
	wire_stmt_long_data(s, 1, STR_LIT("no such place"));
	assert_int_equal(wire_stmt_bind(s, large, &out, NULL), SQL_ERR(1105));
	wire_stmt_reset(s);
	assert_int_equal(wire_stmt_bind(s, again, &out, NULL), 0);
}

static void what_cannot_be_prepared(void **state)
{
	(void)state;
	struct wire_stmt *s = NULL;
	assert_int_equal(wire_stmt_new(str_of(" -- x"), 1, &s, NULL), SQL_ERR(1065));
	assert_int_equal(wire_stmt_new(str_of("select 1; select 2"), 1, &s, NULL), SQL_ERR(1064));
	assert_int_equal(wire_stmt_new(str_of("select 'x"), 1, &s, NULL), SQL_ERR(1064));
	assert_null(s);
}

static void cells_in_binary(void **state)
{
	(void)state;
	static const struct {
		enum sql_type type;
		const char *cell;
		struct str want;
	} cases[] = {
		{ SQL_TYPE_BOOL, "1", { "\1", 1 } },
		{ SQL_TYPE_TINYINT, "-1", { "\xff", 1 } },
		{ SQL_TYPE_SMALLINT, "258", { "\2\1", 2 } },
		{ SQL_TYPE_INT, "-2", { "\xfe\xff\xff\xff", 4 } },
		{ SQL_TYPE_BIGINT, "1", { "\1\0\0\0\0\0\0\0", 8 } },
		{ SQL_TYPE_DOUBLE, "1.5", { "\0\0\0\0\0\0\xf8\x3f", 8 } },
		{ SQL_TYPE_FLOAT, "1.5", { "\0\0\xc0\x3f", 4 } },
		{ SQL_TYPE_DATE, "2024-02-29", { "\4\xe8\7\2\x1d", 5 } },
		{ SQL_TYPE_DATETIME, "2024-02-29 01:02:03", { "\7\xe8\7\2\x1d\1\2\3", 8 } },
		{ SQL_TYPE_DATETIME,
		  "2024-02-29 01:02:03.5",
		  { "\x0b\xe8\7\2\x1d\1\2\3\x20\xa1\7\0", 12 } },
		{ SQL_TYPE_DECIMAL,
		  "1.50",
		  { "\4"
		    "1.50",
		    5 } },
		{ SQL_TYPE_INT, "x", { NULL, 0 } },
		{ SQL_TYPE_DOUBLE, "", { NULL, 0 } },
		{ SQL_TYPE_DATE, "2024-02", { NULL, 0 } },
		{ SQL_TYPE_DATETIME, "2024-02-29 01:02", { NULL, 0 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT(64);
		struct sql_cell cell = { cases[i].cell, strlen(cases[i].cell) };
		int rc = wire_put_binary(&b, cases[i].type, cell, NULL);
		if (!cases[i].want.p) {
			assert_int_equal(rc, -EINVAL);
			continue;
		}
		assert_int_equal(rc, 0);
		assert_int_equal(b.len, cases[i].want.len);
		assert_memory_equal(b.p, cases[i].want.p, b.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_take_the_places),
		cmocka_unit_test(types_are_remembered_and_long_data_counts),
		cmocka_unit_test(what_cannot_be_prepared),
		cmocka_unit_test(cells_in_binary),
	};
	return cmocka_run_group_tests_name("engine/wire/stmt", tests, NULL, NULL);
}

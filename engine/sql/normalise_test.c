#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sql/lex.h"
#include "engine/sql/mode.h"
#include "engine/sql/normalise.h"
#include "engine/sqlerr.h"
#include "lib/base/mem.h"

struct spelling {
	const char *from, *to;
};

static void check(const struct spelling *cases, size_t n)
{
	int bad = 0;
	for (size_t i = 0; i < n; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1024);
		struct err err = ERR_INIT;
		assert_int_equal(sql_normalise(str_of(cases[i].from), 0, &out, &err), 0);
		if (strcmp(buf_cstr(&out), cases[i].to) != 0)
			print_error("%s\n%s\n%s\n", cases[i].from, buf_cstr(&out), cases[i].to),
				bad++;
	}
	assert_int_equal(bad, 0);
}

static void joins_become_duckdbs(void **state)
{
	(void)state;
	static const struct spelling cases[] = {
		{ "select * from a join b where 1", "select * from a CROSS join b where 1" },
		{ "select * from a inner join b", "select * from a CROSS join b" },
		{ "select * from a join b join c on b.x = c.x, d",
		  "select * from a CROSS join b join c on b.x = c.x, d" },
		{ "select * from a join b on 1 join c using (x) join d",
		  "select * from a join b on 1 join c using (x) CROSS join d" },
		{ "select * from a join b join c on 1 on 2",
		  "select * from a join b join c on 1 on 2" },
		{ "select * from a cross join b on a.x = b.x",
		  "select * from a INNER join b on a.x = b.x" },
		{ "select * from a join b left semi join c on 1 group by x",
		  "select * from a CROSS join b semi join c on 1 group by x" },
		{ "select * from a cross join b join c on 1",
		  "select * from a cross join b join c on 1" },
		{ "select * from a left join b cross join c on 1",
		  "select * from a left join b cross join c on 1" },
		{ "select (select 1 from a join b) from c natural join d",
		  "select (select 1 from a CROSS join b) from c natural join d" },
		{ "select * from a, (b, c join d on 1), (select x, y from e) f",
		  "select * from a, (b CROSS JOIN  c join d on 1), (select x, y from e) f" },
		{ "select * from a left join (b, (c, d)) on 1 where f(1, (2)) in (1, 2)",
		  "select * from a left join (b CROSS JOIN  (c CROSS JOIN  d)) on 1 where f(1, "
		  "(2)) in (1, "
		  "2)" },
		{ "select substring(a from 1), x from t where (a, b) in ((1, 2))",
		  "select substring(a from 1), x from t where (a, b) in ((1, 2))" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void spelling_becomes_duckdbs(void **state)
{
	(void)state;
	static const struct spelling cases[] = {
		{ "select 1", "select 1" },
		{ "select `a b`, `x``y` from `t`;", "select \"a b\", \"x`y\" from \"t\"" },
		{ "select `a\"b`", "select \"a\"\"b\"" },
		{ "select \"it's\", 'it\\'s', 'a''b'", "select 'it''s', 'it''s', 'a''b'" },
		{ "select 'a' 'b'", "select 'ab'" },
		{ "select 'a' \"b\" 'c' 'd'", "select 'abcd'" },
		{ "select 1 as 'total', 2 'two', sum(x) 'three'",
		  "select 1 as \"total\", 2 \"two\", sum(x) \"three\"" },
		{ "select x'ff'", "select x'ff'" },
		{ "select count( * )  /* c */ from t -- end", "select count( * ) from t" },
		{ "select a from t limit 5, 10", "select a from t limit 10 OFFSET 5" },
		{ "select a from t limit 10 offset 5", "select a from t limit 10 offset 5" },
		{ "select (select a from u limit 1,2), b from t limit 3,4",
		  "select (select a from u limit 2 OFFSET 1), b from t limit 4 OFFSET 3" },
		{ "select a<=>b", "select a IS NOT DISTINCT FROM b" },
		{ "select a && b || c", "select a  AND  b  OR  c" },
		{ "select !a, a != b", "select (NOT a), a != b" },
		{ "select a div 2, a mod 2, mod(a, 2)", "select a  //  2, a  %  2, mod(a, 2)" },
		{ "select a regexp '^x'", "select a  ~  '^x'" },
		{ "select a not rlike 'x'", "select a !~  'x'" },
		{ "select regexp(a, b)", "select regexp(a, b)" },
		{ "select a like 'x\\_%'", "select a like 'x\\_%' ESCAPE '\\'" },
		{ "select a like 'x!_' escape '!'", "select a like 'x!_' escape '!'" },
		{ "select cast(a as signed integer), cast(b as unsigned)",
		  "select cast(a as signed ), cast(b as unsigned)" },
		{ "select group_concat(a order by b desc separator ';')",
		  "select group_concat(a , ';' order by b desc )" },
		{ "select group_concat(a separator '-')", "select group_concat(a , '-' )" },
		{ "select * from a left semi join b on a.x = b.x",
		  "select * from a semi join b on a.x = b.x" },
		{ "select left(a, 2) from a left join b on true",
		  "select left(a, 2) from a left join b on true" },
		{ "select d + interval -1 day, d - interval n month, d + interval `a`.`b` year",
		  "select d + INTERVAL (-1) day, d - INTERVAL (n) month, d + INTERVAL "
		  "(\"a\".\"b\") year" },
		{ "select d + interval 3 day, d + interval '3' day",
		  "select d + INTERVAL  3 day, d + INTERVAL  '3' day" },
		{ "select 1 from dual where 1", "select 1  where 1" },
		{ "select date '2020-01-01'", "select date '2020-01-01'" },
		{ "SELECT /*+ SET_VAR(x=1) */ 1", "SELECT 1" },
		{ "select at, t.At from t where at > 1 order by at desc",
		  "select \"at\", t.\"At\" from t where \"at\" > 1 order by \"at\" desc" },
		{ "select offset from t offset limit 1 offset 2",
		  "select \"offset\" from t \"offset\" limit 1 offset 2" },
		{ "select k day, year(d) year, x filter from t",
		  "select k \"day\", year(d) \"year\", x \"filter\" from t" },
		{ "select day, year from t group by year, day",
		  "select \"day\", year from t group by \"year\", day" },
		{ "select extract(day from d), timestampdiff(day, a, b) day",
		  "select extract(day from d), timestampdiff(day, a, b) \"day\"" },
		{ "select d + interval n day from t, u", "select d + INTERVAL (n) day from t, u" },
		{ "select d + interval (n + 1) day, d - interval 1 year from t",
		  "select d + INTERVAL  (n + 1) day, d - INTERVAL  1 year from t" },
		{ "select a = some (select 1), cast(x as double precision)",
		  "select a = some (select 1), cast(x as double precision)" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void not_and_hexadecimals(void **state)
{
	(void)state;
	static const struct spelling cases[] = {
		{ "select !a = 0, ! t.b + 1, !!f(a, (b)) in (1)",
		  "select (NOT a) = 0, (NOT  t.b) + 1, (NOT (NOT f(a, (b)))) in (1)" },
		{ "select !(a = 3) and !-1 or !`x` is null",
		  "select (NOT (a = 3)) and (NOT -1) or (NOT \"x\") is null" },
		{ "select !case when a then 1 end", "select  NOT case when a then 1 end" },
		{ "select 0x4a, 0XABC, 0", "select x'4a', x'0ABC', 0" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void what_cannot_be_said_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *sql, *words;
	} cases[] = {
		{ "select @@version", "variables" },
		{ "select @x", "variables" },
		{ "select ?", "without a value" },
		{ "select a ^ b", "bitxor" },
		{ "select [1]", "not an operator" },
		{ "select {'a': 1}", "not an operator" },
		{ "select a::int", "operator" },
		{ "select 'a\\0b'", "zero byte" },
		{ "select ``", "empty" },
		{ "select 'a", "closing quote" },
		{ "select 1 limit 1, x", "two numbers" },
		{ "select * from t, lateral (select 1) u", "LATERAL" },
		{ "select * from a, (b, c right join d on 1)", "beside a comma" },
		{ "select group_concat(a separator b)", "SEPARATOR" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1024);
		struct err err = ERR_INIT;
		assert_int_equal(sql_normalise(str_of(cases[i].sql), 0, &out, &err), SQL_ERR(1064));
		if (!strstr(err.msg, cases[i].words))
			fail_msg("%s: %s", cases[i].sql, err.msg);
	}
	_cleanup_buf_ struct buf small = BUF_INIT(8);
	struct err err = ERR_INIT;
	assert_true(sql_normalise(STR_LIT("select 'a long text'"), 0, &small, &err) < 0);
}

static void pipes_are_what_sql_mode_says(void **state)
{
	(void)state;
	static const struct {
		unsigned modes;
		const char *to;
	} cases[] = {
		{ 0, "select a OR b, 'x || y' from t where a  AND  b" },
		{ SQL_MODE_PIPES_AS_CONCAT, "select a||b, 'x || y' from t where a  AND  b" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(1024);
		struct err err = ERR_INIT;
		assert_int_equal(sql_normalise(STR_LIT("select a||b, 'x || y' from t where a && b"),
		                               cases[i].modes, &out, &err),
		                 0);
		assert_string_equal(buf_cstr(&out), cases[i].to);
	}
}

static void modes_are_known_or_refused(void **state)
{
	(void)state;
	static const struct {
		const char *value, *refused;
		unsigned is;
	} cases[] = {
		{ "", NULL, 0 },
		{ "0", NULL, 0 },
		{ "32", NULL, 0 },
		{ "2", NULL, SQL_MODE_PIPES_AS_CONCAT },
		{ "34", NULL, SQL_MODE_PIPES_AS_CONCAT },
		{ "4", "ANSI_QUOTES", 0 },
		{ "pipes_as_concat", NULL, SQL_MODE_PIPES_AS_CONCAT },
		{ " ONLY_FULL_GROUP_BY , PIPES_AS_CONCAT,", NULL, SQL_MODE_PIPES_AS_CONCAT },
		{ "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", NULL, 0 },
		{ "STRICT_TRANS_TABLES,ANSI_QUOTES", "ANSI_QUOTES is not supported", 0 },
		{ "NO_BACKSLASH_ESCAPES", "NO_BACKSLASH_ESCAPES is not", 0 },
		{ "PIPES", "PIPES is not supported; PIPES_AS_CONCAT is", 0 },
		{ "-1", "-1 is not", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		unsigned modes = 7;
		int rc = sql_mode_parse(cases[i].value, &modes, &err);
		assert_int_equal(rc, cases[i].refused ? SQL_ERR(1231) : 0);
		if (rc == 0)
			assert_int_equal(modes, cases[i].is);
		else if (!strstr(err.msg, cases[i].refused))
			fail_msg("%s: %s", cases[i].value, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spelling_becomes_duckdbs),
		cmocka_unit_test(joins_become_duckdbs),
		cmocka_unit_test(not_and_hexadecimals),
		cmocka_unit_test(what_cannot_be_said_is_refused),
		cmocka_unit_test(pipes_are_what_sql_mode_says),
		cmocka_unit_test(modes_are_known_or_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

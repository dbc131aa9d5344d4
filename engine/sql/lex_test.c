#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sql/lex.h"
#include "engine/sql/sink.h"
#include "lib/base/mem.h"

/* "kind:text kind:text …", or "error N". */
static char *lexed(const char *sql)
{
	static const char *const kinds[] = { "end", "word", "quoted",  "string", "number",
		                             "op",  "sys",  "uservar", "param" };
	struct sql_lexer lx;
	struct sql_token t;
	struct err err = ERR_INIT;
	struct buf out = BUF_INIT(65536);
	sql_lex_init(&lx, str_of(sql));
	for (;;) {
		int rc = sql_lex_next(&lx, &t, &err);
		if (rc < 0) {
			buf_reset(&out);
			(void)buf_addf(&out, "error %d %s", sql_err_no(rc), err.msg);
			return buf_take(&out);
		}
		if (t.kind == SQL_TOK_END)
			return buf_take(&out);
		(void)buf_addf(&out, "%s%s:%.*s", out.len ? " " : "", kinds[t.kind],
		               STR_ARG(t.text));
	}
}

static void tokens(void **state)
{
	(void)state;
	static const struct {
		const char *sql, *want;
	} cases[] = {
		{ "", "" },
		{ " \t\r\n;", "op:;" },
		{ "select `a``b` from T1", "word:select quoted:`a``b` word:from word:T1" },
		{ "a.b.5", "word:a op:. word:b number:.5" },
		{ "1 1. 1.5 .5 1e5 1.5E-7 0x1F 1e", "error 1064" },
		{ "1 1. 1.5 .5 1e5 1.5E-7 0x1F",
		  "number:1 number:1. number:1.5 number:.5 number:1e5 number:1.5E-7 number:0x1F" },
		{ "1abc", "error 1064" },
		{ "'a''b' 'c\\'d' \"e\"\"f\" 'x\ny'",
		  "string:'a''b' string:'c\\'d' string:\"e\"\"f\" string:'x\ny'" },
		{ "'open", "error 1064" },
		{ "'open\\'", "error 1064" },
		{ "`open", "error 1064" },
		{ "a<=>b<=c>=d<>e!=f||g&&h:=i->j->>k",
		  "word:a op:<=> word:b op:<= word:c op:>= word:d op:<> word:e op:!= word:f op:|| "
		  "word:g op:&& word:h "
		  "op::= word:i op:-> word:j op:->> word:k" },
		{ "a--b\nc -- d\n# e\nf/* g ; ' */h/*! i */j",
		  "word:a word:c word:f word:h word:j" },
		{ "/* open", "error 1064" },
		{ "/*/", "error 1064" },
		{ "@@version_comment @@session.tx_isolation @@`x` @u @'v w' @`z`",
		  "sys:@@version_comment sys:@@session.tx_isolation sys:@@`x` uservar:@u "
		  "uservar:@'v w' "
		  "uservar:@`z`" },
		{ "'root'@'%'", "string:'root' uservar:@'%'" },
		{ "@ x", "error 1064" },
		{ "@@", "error 1064" },
		{ "f(?, ?)", "word:f op:( param:? op:, param:? op:)" },
		{ "é$ü_1", "word:é$ü_1" },
		{ "a \\ b", "error 1064" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *got = lexed(cases[i].sql);
		if (strncmp(cases[i].want, "error", 5) == 0)
			assert_memory_equal(got, cases[i].want, strlen(cases[i].want));
		else
			assert_string_equal(got, cases[i].want);
	}
}

static void values(void **state)
{
	(void)state;
	static const struct {
		const char *sql, *want;
	} cases[] = {
		{ "'a''b\\n\\t\\\\\\x'", "a'b\n\t\\x" },
		{ "\"a\"\"b'c\"", "a\"b'c" },
		{ "'100\\%\\_'", "100\\%\\_" },
		{ "`a``b\\n`", "a`b\\n" },
		{ "''", "" },
		{ "plain", "plain" },
		{ "@@session.x", "session.x" },
		{ "@`a b`", "a b" },
		{ "@'%'", "%" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sql_lexer lx;
		struct sql_token t;
		sql_lex_init(&lx, str_of(cases[i].sql));
		assert_int_equal(sql_lex_next(&lx, &t, NULL), 0);
		autofree char *got = sql_token_value(&t);
		assert_string_equal(got, cases[i].want);
	}
	struct sql_token nul = { .kind = SQL_TOK_STRING, .text = STR_LIT("'a\\0b'") };
	_cleanup_buf_ struct buf b = BUF_INIT(16);
	assert_int_equal(sql_token_bytes(&nul, &b), 0);
	assert_int_equal(b.len, 3);
	assert_memory_equal(b.p, "a\0b", 3);
}

static void depth_and_length_are_bounded(void **state)
{
	(void)state;
	char deep[2 * SQL_DEPTH_MAX + 8];
	memset(deep, '(', SQL_DEPTH_MAX);
	memset(deep + SQL_DEPTH_MAX, ')', SQL_DEPTH_MAX);
	deep[2 * SQL_DEPTH_MAX] = '\0';
	autofree char *fits = lexed(deep);
	assert_memory_equal(fits, "op:(", 4);
	memset(deep, '[', SQL_DEPTH_MAX + 1);
	autofree char *refused = lexed(deep);
	assert_non_null(strstr(refused, "nested parentheses"));

	struct sql_lexer lx;
	struct sql_token t;
	struct err err = ERR_INIT;
	sql_lex_init(&lx, (struct str){ "x", SQL_TEXT_MAX + 1u });
	assert_int_equal(sql_lex_next(&lx, &t, &err), SQL_ERR(1064));
	assert_non_null(strstr(err.msg, "maximum"));
}

/* n times `item`, between `head` and `tail`. */
static char *repeated(const char *head, const char *item, int n, const char *tail)
{
	struct buf b = BUF_INIT(1 << 20);
	(void)buf_adds(&b, head);
	for (int i = 0; i < n; i++)
		(void)buf_adds(&b, item);
	(void)buf_adds(&b, tail);
	return buf_take(&b);
}

static void lists_and_cases_are_bounded(void **state)
{
	(void)state;
	static const struct {
		const char *head, *item, *tail;
		int n;
		const char *says; /* NULL: let through */
	} cases[] = {
		{ "k in (0", ",1", ")", SQL_ITEMS_MAX - 1, NULL },
		{ "k in (0", ",1", ")", SQL_ITEMS_MAX, "child number" },
		{ "[0", ",1", "]", SQL_ITEMS_MAX, "child number" },
		{ "f((1),(0", ",1", "))", SQL_ITEMS_MAX, "child number" },
		{ "values (0)", ",(1,2)", "", SQL_ITEMS_MAX, NULL },
		{ "1", "+1", "", SQL_ITEMS_MAX, NULL },
		{ "1", "+1", "", SQL_ITEMS_MAX + 1, "operators" },
		{ "(1", " or k=1", ")", SQL_ITEMS_MAX + 1, "operators" },
		{ "values (0)", ",(-1,t.a=-2)", "", SQL_ITEMS_MAX, NULL },
		{ "", "case when 1 then ", "", SQL_DEPTH_MAX, NULL },
		{ "", "case when 1 then ", "", SQL_DEPTH_MAX + 1, "nested CASEs" },
		{ "", "Case when 1 then 2 End,", "", 2 * SQL_DEPTH_MAX, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *sql =
			repeated(cases[i].head, cases[i].item, cases[i].n, cases[i].tail);
		struct sql_lexer lx;
		struct sql_token t;
		struct err err = ERR_INIT;
		int rc;
		sql_lex_init(&lx, str_of(sql));
		while ((rc = sql_lex_next(&lx, &t, &err)) == 0 && t.kind != SQL_TOK_END)
			;
		assert_int_equal(rc, cases[i].says ? SQL_ERR(1064) : 0);
		if (cases[i].says)
			assert_non_null(strstr(err.msg, cases[i].says));
	}
}

static void errors_name_the_place(void **state)
{
	(void)state;
	autofree char *got = lexed("select 1,\n  \x01 from t");
	assert_string_equal(got, "error 1064 Getting syntax error at line 2, column 2, near '\x01 "
	                         "from t'. Detail message: "
	                         "not a character of SQL.");
}

static void statements_are_cut(void **state)
{
	(void)state;
	struct str rest = str_of(";; select ';' /* ; */ , `;` ; -- ;\n use x;;-- end");
	struct str one;
	assert_int_equal(sql_split(&rest, &one, NULL), 1);
	assert_true(str_eqs(one, "select ';' /* ; */ , `;`"));
	assert_int_equal(sql_split(&rest, &one, NULL), 1);
	assert_true(str_eqs(one, "use x"));
	assert_int_equal(sql_split(&rest, &one, NULL), 0);
	assert_int_equal(sql_split(&rest, &one, NULL), 0);
	rest = str_of("");
	assert_int_equal(sql_split(&rest, &one, NULL), 0);
	struct err err = ERR_INIT;
	rest = str_of("select 'x");
	assert_int_equal(sql_split(&rest, &one, &err), SQL_ERR(1064));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens),
		cmocka_unit_test(values),
		cmocka_unit_test(depth_and_length_are_bounded),
		cmocka_unit_test(lists_and_cases_are_bounded),
		cmocka_unit_test(errors_name_the_place),
		cmocka_unit_test(statements_are_cut),
	};
	return cmocka_run_group_tests_name("engine/sql/lex", tests, NULL, NULL);
}

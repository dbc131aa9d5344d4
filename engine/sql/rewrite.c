/* MySQL's and StarRocks' functions as DuckDB's: one small maker per PLAN_RW_… of plan/functions.h. */
#include <errno.h>
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "engine/sql/allow.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* A new reference to argument i. */
static json_t *arg(const json_t *call, size_t i)
{
	return json_incref(json_object_get(json_array_get(json_object_get(call, "arguments"), i),
	                                   "expression"));
}

static size_t arg_count(const json_t *call)
{
	return json_array_size(json_object_get(call, "arguments"));
}

static json_t *call1(const char *name, json_t *a)
{
	return ast_new_function(name, json_pack("[o]", a));
}

static json_t *call2(const char *name, json_t *a, json_t *b)
{
	return ast_new_function(name, json_pack("[o,o]", a, b));
}

static json_t *concat(const json_t *call)
{
	json_t *all = ast_new_cast(arg(call, 0), "VARCHAR");
	for (size_t i = 1; i < arg_count(call); i++)
		all = ast_new_operator("||", all, ast_new_cast(arg(call, i), "VARCHAR"));
	return all;
}

/* A constant text where a time is wanted. */
static json_t *as_time(json_t *e)
{
	bool text = strcmp(ast_str(json_object_get(e, "literal"), "kind"), "STRING") == 0;
	return text ? ast_new_cast(e, "TIMESTAMP") : e;
}

/* d + INTERVAL…, where d may be text and a plain number counts days. */
static json_t *date_shift(const json_t *call, const char *op)
{
	json_t *d = as_time(arg(call, 0)), *by = arg(call, 1);
	if (strncmp(ast_str(by, "function_name"), "to_", 3) != 0)
		by = call1("to_days", ast_new_cast(by, "INTEGER"));
	return ast_new_operator(op, d, by);
}

/* The last argument is the time: YEAR(t), DATE_TRUNC('month', t). */
static void cast_time(json_t *call)
{
	size_t last = arg_count(call) - 1;
	json_object_set_new(json_array_get(json_object_get(call, "arguments"), last), "expression",
	                    as_time(arg(call, last)));
}

/* x / 0 is NULL. */
static void divide(json_t *call)
{
	json_t *slot = json_array_get(json_object_get(call, "arguments"), 1);
	const json_t *literal = json_object_get(json_object_get(slot, "expression"), "literal");
	const char *kind = ast_str(literal, "kind");
	double value;
	if ((strcmp(kind, "INTEGER") == 0 || strcmp(kind, "NUMERIC") == 0) &&
	    str_to_double(str_of(ast_str(literal, "text")), &value) == 0 && value != 0)
		return;
	json_object_set_new(slot, "expression", call2("nullif", arg(call, 1), ast_new_int(0)));
}

/* A function of doubles has no value where DuckDB's gives NaN or an infinity. */
static json_t *finite_or_null(json_t *e)
{
	static const char *const none[] = { "nan", "inf", "-inf" };
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		e = call2("nullif", e, ast_new_cast(ast_new_string(none[i]), "DOUBLE"));
	return e;
}

/* NULL when any argument is: DuckDB's own skips them. Sorted, since a repeated argument doubles with each nesting. */
static json_t *extreme(const json_t *call, const char *order)
{
	json_t *all = json_array();
	for (size_t i = 0; i < arg_count(call); i++)
		json_array_append_new(all, arg(call, i));
	json_t *sorted = ast_new_function(
		"list_sort", json_pack("[o,o,o]", ast_new_function("list_value", all),
	                               ast_new_string(order), ast_new_string("NULLS FIRST")));
	return call2("list_extract", sorted, ast_new_int(1));
}

enum {
	REPEAT_MAX =
		100 /* nodes of an expression that is written twice: nesting must not multiply */
};

static int count_object(void *n, json_t *node, struct err *err)
{
	(void)node;
	(void)err;
	++*(int *)n;
	return 0;
}

/* Argument i, an integer: `instead` where it compares to 0 like this. */
static int replace_number(json_t *call, size_t i, const char *compare, int64_t instead,
                          struct err *err)
{
	json_t *slot = json_array_get(json_object_get(call, "arguments"), i);
	json_t *e = json_object_get(slot, "expression");
	int64_t value;
	int nodes = 0;
	if (ast_int(e, &value) && value > 0)
		return 0;
	(void)ast_walk(e, count_object, &nodes, NULL);
	if (nodes > REPEAT_MAX)
		return err_set(err, SQL_ERR(1064),
		               "Too long an expression as a position or length in %s",
		               ast_str(call, "function_name"));
	json_t *test = ast_new_compare(compare, json_deep_copy(e), ast_new_int(0));
	json_object_set_new(slot, "expression",
	                    json_pack("{s:s, s:s, s:s, s:[{s:o, s:o}], s:o}", "class", "CASE",
	                              "type", "CASE_EXPR", "alias", "", "case_checks", "when_expr",
	                              test, "then_expr", ast_new_int(instead), "else_expr",
	                              json_incref(e)));
	return 0;
}

/* Nothing stands at 0, and a length below 0 is none: DuckDB counts from 0 as from 1, and backwards. */
static int part_of_text(enum plan_rewrite how, json_t *call, struct err *err)
{
	if (how == PLAN_RW_LEFT)
		return replace_number(call, 1, "COMPARE_LESSTHAN", 0, err);
	int rc = replace_number(call, 1, "COMPARE_EQUAL", INT32_MAX, err);
	if (rc == 0 && arg_count(call) > 2)
		rc = replace_number(call, 2, "COMPARE_LESSTHAN", 0, err);
	return rc;
}

/* COUNT(DISTINCT a, b): rows in which none is NULL. */
static void count_many(json_t *call)
{
	json_t *row = json_array(), *all = json_array();
	for (size_t i = 0; i < arg_count(call); i++) {
		json_array_append_new(row, arg(call, i));
		json_array_append_new(all, json_pack("{s:s, s:s, s:s, s:[o]}", "class", "OPERATOR",
		                                     "type", "OPERATOR_IS_NOT_NULL", "alias", "",
		                                     "children",
		                                     json_deep_copy(json_array_get(row, i))));
	}
	json_t *e =
		json_pack("{s:s, s:s, s:s, s:[{s:o, s:o}], s:o}", "class", "CASE", "type",
	                  "CASE_EXPR", "alias", "", "case_checks", "when_expr", ast_and(all),
	                  "then_expr", ast_new_function("row", row), "else_expr", ast_new_null());
	json_decref(all);
	json_object_set_new(call, "arguments",
	                    json_pack("[{s:s, s:o}]", "name", "", "expression", e));
}

static int timestamp_diff(const json_t *call, json_t **ret, struct err *err)
{
	static const char *const units[] = { "microsecond", "second", "minute",  "hour", "day",
		                             "week",        "month",  "quarter", "year" };
	_cleanup_json_ json_t *word = arg(call, 0);
	const char *unit =
		json_string_value(json_array_get(json_object_get(word, "column_names"), 0));
	for (size_t i = 0; unit && i < ARRAY_LEN(units); i++) {
		if (!str_caseeqs(str_of(unit), units[i]))
			continue;
		*ret = ast_new_function("date_sub",
		                        json_pack("[o,o,o]", ast_new_string(units[i]),
		                                  ast_new_cast(arg(call, 1), "TIMESTAMP"),
		                                  ast_new_cast(arg(call, 2), "TIMESTAMP")));
		return 0;
	}
	return err_set(err, SQL_ERR(1064),
	               "TIMESTAMPDIFF: the unit is one of MICROSECOND, SECOND, MINUTE, HOUR, DAY, "
	               "WEEK, MONTH, QUARTER, YEAR");
}

/* MySQL's % letters of date formats and strftime's. */
static int date_pattern(const json_t *call, json_t **ret, struct err *err)
{
	static const struct {
		char from;
		const char *to;
	} letters[] = {
		{ 'Y', "%Y" },          { 'y', "%y" },  { 'm', "%m" },  { 'c', "%-m" },
		{ 'd', "%d" },          { 'e', "%-d" }, { 'H', "%H" },  { 'k', "%-H" },
		{ 'h', "%I" },          { 'I', "%I" },  { 'l', "%-I" }, { 'i', "%M" },
		{ 's', "%S" },          { 'S', "%S" },  { 'f', "%f" },  { 'p', "%p" },
		{ 'M', "%B" },          { 'b', "%b" },  { 'W', "%A" },  { 'a', "%a" },
		{ 'j', "%j" },          { 'w', "%w" },  { '%', "%%" },  { 'T', "%H:%M:%S" },
		{ 'r', "%I:%M:%S %p" },
	};
	_cleanup_json_ json_t *pattern = arg(call, 1);
	const json_t *literal = json_object_get(pattern, "literal");
	if (strcmp(ast_str(literal, "kind"), "STRING") != 0)
		return err_set(err, SQL_ERR(1064),
		               "The format of DATE_FORMAT and STR_TO_DATE is a string constant");
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);
	for (const char *p = ast_str(literal, "text"); *p; p++) {
		size_t i = 0;
		if (*p != '%' || !p[1]) {
			(void)buf_addc(&out, *p);
			continue;
		}
		p++;
		while (i < ARRAY_LEN(letters) && letters[i].from != *p)
			i++;
		if (i == ARRAY_LEN(letters))
			return err_set(err, SQL_ERR(1064), "%%%c in a date format is not supported",
			               *p);
		(void)buf_adds(&out, letters[i].to);
	}
	if (out.overflow)
		return err_set(err, SQL_ERR(1064), "A date format of more than 64 KiB");
	*ret = ast_new_string(buf_cstr(&out));
	return 0;
}

static json_t *moment(const struct sql_allow_context *cx, const char *type)
{
	char text[CLOCK_RFC3339_MAX];
	clock_sql(cx->now_ms, text);
	if (strcmp(type, "DATE") == 0)
		text[10] = '\0';
	return ast_new_cast(ast_new_string(text), type);
}

static json_t *unix_timestamp(const struct sql_allow_context *cx, const json_t *call)
{
	if (arg_count(call) == 0)
		return ast_new_cast(ast_new_int(cx->now_ms / 1000), "BIGINT");
	json_t *seconds = call1("epoch", ast_new_cast(arg(call, 0), "TIMESTAMP"));
	return ast_new_cast(call1("floor", seconds), "BIGINT");
}

static json_t *session_value(const struct sql_allow_context *cx, enum plan_rewrite how)
{
	if (how == PLAN_RW_CONNECTION_ID)
		return ast_new_cast(ast_new_int(cx->connection_id), "BIGINT");
	if (how == PLAN_RW_VERSION)
		return ast_new_string(cx->version);
	if (how == PLAN_RW_DATABASE)
		return *cx->db ? ast_new_string(cx->db) : ast_new_cast(ast_new_null(), "VARCHAR");
	autofree char *user = xasprintf("'%s'@'%%'", cx->user);
	return ast_new_string(user);
}

static int rewrite_format(enum plan_rewrite how, const json_t *call, json_t **ret, struct err *err)
{
	json_t *pattern = NULL;
	int rc = date_pattern(call, &pattern, err);
	if (rc < 0)
		return rc;
	*ret = how == PLAN_RW_DATE_FORMAT
	               ? call2("strftime", ast_new_cast(arg(call, 0), "TIMESTAMP"), pattern)
	               : call2("try_strptime", arg(call, 0), pattern);
	return 0;
}

/* Those that need nothing but their arguments. */
static json_t *rewrite_plain(enum plan_rewrite how, json_t *call)
{
	switch (how) {
	case PLAN_RW_REGEXP:
		return call2("regexp_matches", arg(call, 0), arg(call, 1));
	case PLAN_RW_DATE:
		return ast_new_cast(arg(call, 0), "DATE");
	case PLAN_RW_LOCATE:
		return call2("instr", arg(call, 1), arg(call, 0));
	case PLAN_RW_COALESCE:
		return ast_new_coalesce(arg(call, 0), arg(call, 1));
	case PLAN_RW_DAYOFWEEK:
		return ast_new_operator("+", call1("dayofweek", as_time(arg(call, 0))),
		                        ast_new_int(1));
	case PLAN_RW_WEEKDAY:
		return ast_new_operator("-", call1("isodow", as_time(arg(call, 0))),
		                        ast_new_int(1));
	case PLAN_RW_FROM_UNIXTIME:
		return call1("make_timestamp",
		             ast_new_operator("*", ast_new_cast(arg(call, 0), "BIGINT"),
		                              ast_new_int(1000000)));
	case PLAN_RW_CONCAT:
		return concat(call);
	case PLAN_RW_GREATEST:
		return extreme(call, "DESC");
	case PLAN_RW_LEAST:
		return extreme(call, "ASC");
	case PLAN_RW_FINITE:
		return finite_or_null(json_incref(call));
	default: /* PLAN_RW_TEXT */
		return ast_new_cast(json_incref(call), "VARCHAR");
	}
}

static int keep(const struct plan_function *f, json_t *call)
{
	json_object_set_new(call, "function_name", json_string(f->duck ? f->duck : f->name));
	if (f->duck && strchr("%&|", f->duck[0]))
		json_object_set_new(call, "is_operator", json_true());
	return 0;
}

int sql_rewrite(const struct sql_allow_context *cx, const struct plan_function *f, json_t *call,
                json_t **ret_new, struct err *err)
{
	switch (f->rewrite) {
	case PLAN_RW_COUNT:
		if (arg_count(call) > 1)
			count_many(call);
		return keep(f, call);
	case PLAN_RW_DIVIDE:
		divide(call);
		return keep(f, call);
	case PLAN_RW_INT_DIVIDE: /* whole also for operands that are not */
		divide(call);
		*ret_new = ast_new_cast(call1("trunc", json_incref(call)), "BIGINT");
		return 0;
	case PLAN_RW_OF_DATE:
		cast_time(call);
		return keep(f, call);
	case PLAN_RW_SUBSTRING:
	case PLAN_RW_LEFT: {
		int rc = part_of_text(f->rewrite, call, err);
		return rc < 0 ? rc : keep(f, call);
	}
	case PLAN_RW_NONE:
		return keep(f, call);
	case PLAN_RW_DATE_ADD:
	case PLAN_RW_DATE_SUB:
		*ret_new = date_shift(call, f->rewrite == PLAN_RW_DATE_ADD ? "+" : "-");
		return 0;
	case PLAN_RW_DATEDIFF:
		*ret_new = ast_new_function("date_diff",
		                            json_pack("[o,o,o]", ast_new_string("day"),
		                                      ast_new_cast(arg(call, 1), "DATE"),
		                                      ast_new_cast(arg(call, 0), "DATE")));
		return 0;
	case PLAN_RW_TIMESTAMPDIFF:
		return timestamp_diff(call, ret_new, err);
	case PLAN_RW_DATE_FORMAT:
	case PLAN_RW_STR_TO_DATE:
		return rewrite_format(f->rewrite, call, ret_new, err);
	case PLAN_RW_UNIX_TIMESTAMP:
		*ret_new = unix_timestamp(cx, call);
		return 0;
	case PLAN_RW_NOW:
	case PLAN_RW_TODAY:
		*ret_new = moment(cx, f->rewrite == PLAN_RW_NOW ? "TIMESTAMP" : "DATE");
		return 0;
	case PLAN_RW_DATABASE:
	case PLAN_RW_USER:
	case PLAN_RW_VERSION:
	case PLAN_RW_CONNECTION_ID:
		*ret_new = session_value(cx, f->rewrite);
		return 0;
	default:
		*ret_new = rewrite_plain(f->rewrite, call);
		return 0;
	}
}

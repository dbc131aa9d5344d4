#include "engine/plan/functions.h"

#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"

enum { MANY = 255, AGG = PLAN_FN_AGGREGATE, NUM = PLAN_FN_NUMERIC, WIN = PLAN_FN_WINDOW };

#define FN(name, least, most) { name, NULL, least, most, 0, PLAN_RW_NONE }
#define FN_AS(name, duck, least, most) { name, duck, least, most, 0, PLAN_RW_NONE }
#define FN_NUM(name, least, most) { name, NULL, least, most, NUM, PLAN_RW_NONE }
#define FN_FINITE(name, args) { name, NULL, args, args, NUM, PLAN_RW_FINITE }
#define FN_AGG(name, least, most) { name, NULL, least, most, AGG, PLAN_RW_NONE }
#define FN_AGG_AS(name, duck, least, most) { name, duck, least, most, AGG, PLAN_RW_NONE }
#define FN_WIN(name, least, most) { name, NULL, least, most, WIN, PLAN_RW_NONE }
#define FN_RW(name, least, most, how) { name, NULL, least, most, 0, PLAN_RW_##how }

static const struct plan_function table[] = {
	/* operators */
	FN_NUM("+", 1, 2),
	FN_NUM("-", 1, 2),
	FN_NUM("*", 2, 2),
	{ "/", NULL, 2, 2, NUM, PLAN_RW_DIVIDE },
	{ "//", NULL, 2, 2, NUM, PLAN_RW_INT_DIVIDE },
	{ "%", NULL, 2, 2, NUM, PLAN_RW_DIVIDE },
	FN("&", 2, 2),
	FN("|", 2, 2),
	FN("~", 1, 2),
	FN("<<", 2, 2),
	FN(">>", 2, 2),
	FN("||", 2, 2),
	FN("~~", 2, 2),
	FN("!~~", 2, 2),
	FN("~~*", 2, 2),
	FN("!~~*", 2, 2),
	FN("like_escape", 3, 3),
	FN("not_like_escape", 3, 3),
	FN("ilike_escape", 3, 3),
	FN("not_ilike_escape", 3, 3),
	FN("regexp_full_match", 2, 2), /* what SIMILAR TO becomes */
	FN("regexp_matches", 2, 2),    /* what ~ becomes */
	FN("row", 1, MANY),
	/* aggregates */
	FN_AGG("count_star", 0, 0),
	FN_AGG("any_value", 1, 1),
	FN_AGG("approx_count_distinct", 1, 1),
	FN_AGG("avg", 1, 1),
	FN_AGG("bit_and", 1, 1),
	FN_AGG("bit_or", 1, 1),
	FN_AGG("bit_xor", 1, 1),
	FN_AGG("bool_and", 1, 1),
	FN_AGG("bool_or", 1, 1),
	FN_AGG("corr", 2, 2),
	{ "count", NULL, 0, MANY, AGG, PLAN_RW_COUNT },
	FN_AGG("covar_pop", 2, 2),
	FN_AGG("covar_samp", 2, 2),
	FN_AGG_AS("group_concat", "string_agg", 1, 2),
	FN_AGG_AS("max_by", "arg_max", 2, 2),
	FN_AGG_AS("min_by", "arg_min", 2, 2),
	FN_AGG("max", 1, 1),
	FN_AGG("median", 1, 1),
	FN_AGG("min", 1, 1),
	FN_AGG_AS("ndv", "approx_count_distinct", 1, 1),
	FN_AGG_AS("percentile_approx", "approx_quantile", 2, 2),
	FN_AGG_AS("percentile_cont", "quantile_cont", 2, 2),
	FN_AGG_AS("percentile_disc", "quantile_disc", 2, 2),
	FN_AGG_AS("std", "stddev_pop", 1, 1),
	FN_AGG_AS("stddev", "stddev_pop", 1, 1),
	FN_AGG("stddev_pop", 1, 1),
	FN_AGG("stddev_samp", 1, 1),
	FN_AGG("string_agg", 1, 2),
	FN_AGG("sum", 1, 1),
	FN_AGG("var_pop", 1, 1),
	FN_AGG("var_samp", 1, 1),
	FN_AGG_AS("variance", "var_pop", 1, 1),
	/* windows */
	FN_WIN("cume_dist", 0, 0),
	FN_WIN("dense_rank", 0, 0),
	FN_WIN("first_value", 1, 1),
	FN_WIN("lag", 1, 3),
	FN_WIN("last_value", 1, 1),
	FN_WIN("lead", 1, 3),
	FN_WIN("nth_value", 2, 2),
	FN_WIN("ntile", 1, 1),
	FN_WIN("percent_rank", 0, 0),
	FN_WIN("rank", 0, 0),
	FN_WIN("row_number", 0, 0),
	/* numbers */
	FN_NUM("abs", 1, 1),
	FN_FINITE("acos", 1),
	FN_FINITE("asin", 1),
	FN_NUM("atan", 1, 1),
	FN_NUM("atan2", 2, 2),
	FN_AS("bitand", "&", 2, 2),
	FN_AS("bitor", "|", 2, 2),
	FN_AS("bitxor", "xor", 2, 2),
	FN_NUM("ceil", 1, 1),
	FN_NUM("ceiling", 1, 1),
	FN_NUM("cos", 1, 1),
	FN_NUM("degrees", 1, 1),
	FN_FINITE("exp", 1),
	FN_NUM("floor", 1, 1),
	FN_FINITE("ln", 1),
	FN_FINITE("log10", 1),
	FN_FINITE("log2", 1),
	{ "mod", "%", 2, 2, NUM, PLAN_RW_DIVIDE },
	FN_NUM("pi", 0, 0),
	FN_FINITE("pow", 2),
	FN_FINITE("power", 2),
	FN_NUM("radians", 1, 1),
	{ "rand", "random", 0, 0, NUM | PLAN_FN_VOLATILE, PLAN_RW_NONE },
	{ "random", NULL, 0, 0, NUM | PLAN_FN_VOLATILE, PLAN_RW_NONE },
	FN_NUM("round", 1, 2),
	FN_NUM("sign", 1, 1),
	FN_NUM("sin", 1, 1),
	FN_FINITE("sqrt", 1),
	FN_NUM("tan", 1, 1),
	FN_NUM("trunc", 1, 2),
	{ "truncate", "trunc", 2, 2, NUM, PLAN_RW_NONE },
	{ "uuid", NULL, 0, 0, PLAN_FN_VOLATILE, PLAN_RW_TEXT },
	/* text */
	FN("ascii", 1, 1),
	FN_AS("char_length", "length", 1, 1),
	FN_AS("character_length", "length", 1, 1),
	FN("chr", 1, 1),
	FN_RW("concat", 1, MANY, CONCAT),
	FN("concat_ws", 2, MANY),
	FN_AS("ends_with", "suffix", 2, 2),
	FN("from_base64", 1, 1),
	FN("hex", 1, 1),
	FN("instr", 2, 2),
	FN_AS("lcase", "lower", 1, 1),
	FN_RW("left", 2, 2, LEFT),
	FN_AS("length", "strlen", 1, 1), /* MySQL's counts bytes */
	FN_RW("locate", 2, 2, LOCATE),
	FN("lower", 1, 1),
	FN("lpad", 3, 3),
	FN("ltrim", 1, 2),
	FN("md5", 1, 1),
	FN("position", 2, 2), /* of POSITION(a IN b), in the parser's order */
	FN_RW("regexp", 2, 2, REGEXP),
	FN("regexp_extract", 2, 3),
	FN("regexp_replace", 3, 4),
	FN("repeat", 2, 2),
	FN("replace", 3, 3),
	FN("reverse", 1, 1),
	FN_RW("right", 2, 2, LEFT),
	FN("rpad", 3, 3),
	FN("rtrim", 1, 2),
	FN("sha256", 1, 1),
	FN("split_part", 3, 3),
	FN("starts_with", 2, 2),
	FN("strlen", 1, 1),
	FN_AS("strpos", "instr", 2, 2),
	FN_RW("substr", 2, 3, SUBSTRING),
	FN_RW("substring", 2, 3, SUBSTRING),
	FN("to_base64", 1, 1),
	FN("translate", 3, 3),
	FN("trim", 1, 2),
	FN_AS("ucase", "upper", 1, 1),
	FN("unhex", 1, 1),
	FN("upper", 1, 1),
	/* choice */
	FN_RW("greatest", 1, MANY, GREATEST),
	FN("if", 3, 3),
	FN_RW("least", 1, MANY, LEAST),
	FN_NUM("nullif", 2, 2),
	FN_RW("ifnull", 2, 2, COALESCE),
	FN_RW("nvl", 2, 2, COALESCE),
	/* time */
	FN_RW("adddate", 2, 2, DATE_ADD),
	FN_RW("connection_id", 0, 0, CONNECTION_ID),
	FN_RW("curdate", 0, 0, TODAY),
	FN_RW("current_date", 0, 0, TODAY),
	FN_RW("current_timestamp", 0, 1, NOW),
	FN_RW("current_user", 0, 0, USER),
	FN_RW("database", 0, 0, DATABASE),
	FN_RW("date", 1, 1, DATE),
	FN_RW("date_add", 2, 2, DATE_ADD),
	FN("date_diff", 3, 3),
	FN_RW("date_format", 2, 2, DATE_FORMAT),
	FN_RW("date_part", 2, 2, OF_DATE),
	FN_RW("date_sub", 2, 2, DATE_SUB),
	FN_RW("date_trunc", 2, 2, OF_DATE),
	FN_RW("datediff", 2, 2, DATEDIFF),
	FN_RW("day", 1, 1, OF_DATE),
	FN_RW("dayname", 1, 1, OF_DATE),
	{ "dayofmonth", "day", 1, 1, 0, PLAN_RW_OF_DATE },
	FN_RW("dayofweek", 1, 1, DAYOFWEEK),
	FN_RW("dayofyear", 1, 1, OF_DATE),
	FN_RW("days_add", 2, 2, DATE_ADD),
	FN_RW("days_sub", 2, 2, DATE_SUB),
	FN("epoch", 1, 1),
	FN_RW("from_unixtime", 1, 1, FROM_UNIXTIME),
	FN_RW("hour", 1, 1, OF_DATE),
	FN_RW("last_day", 1, 1, OF_DATE),
	FN_RW("localtime", 0, 1, NOW),
	FN_RW("localtimestamp", 0, 1, NOW),
	FN("make_date", 3, 3),
	FN_AS("makedate", "make_date", 3, 3),
	FN_RW("minute", 1, 1, OF_DATE),
	FN_RW("month", 1, 1, OF_DATE),
	FN_RW("monthname", 1, 1, OF_DATE),
	FN_RW("now", 0, 1, NOW),
	FN_RW("quarter", 1, 1, OF_DATE),
	FN_RW("schema", 0, 0, DATABASE),
	FN_RW("second", 1, 1, OF_DATE),
	FN_RW("session_user", 0, 0, USER),
	FN_RW("str_to_date", 2, 2, STR_TO_DATE),
	FN("strftime", 2, 2),
	FN("strptime", 2, 2),
	FN_RW("subdate", 2, 2, DATE_SUB),
	FN_RW("sysdate", 0, 1, NOW),
	FN_RW("timestampdiff", 3, 3, TIMESTAMPDIFF),
	FN_RW("to_date", 1, 1, DATE),
	FN("to_days", 1, 1), /* what INTERVAL becomes in the parser */
	FN("to_hours", 1, 1),
	FN("to_microseconds", 1, 1),
	FN("to_milliseconds", 1, 1),
	FN("to_minutes", 1, 1),
	FN("to_months", 1, 1),
	FN("to_quarters", 1, 1),
	FN("to_seconds", 1, 1),
	FN("to_weeks", 1, 1),
	FN("to_years", 1, 1),
	FN_RW("unix_timestamp", 0, 1, UNIX_TIMESTAMP),
	FN_RW("user", 0, 0, USER),
	FN_RW("utc_timestamp", 0, 1, NOW),
	FN_RW("version", 0, 0, VERSION),
	FN_RW("weekday", 1, 1, WEEKDAY),
	{ "weekofyear", "week", 1, 1, 0, PLAN_RW_OF_DATE },
	FN_RW("year", 1, 1, OF_DATE),
	/* tables */
	{ "generate_series", NULL, 1, 3, PLAN_FN_TABLE, PLAN_RW_NONE },
	{ "range", NULL, 1, 3, PLAN_FN_TABLE, PLAN_RW_NONE },
};

const struct plan_function *plan_function(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (strcasecmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

const struct plan_function *plan_function_called(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (table[i].duck && strcmp(table[i].duck, name) == 0)
			return &table[i];
	}
	return plan_function(name);
}

#include "engine/sql/allow.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "engine/sql/lex.h"
#include "engine/sqlerr.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* JOINS_MAX: planning two hundred takes a worker's planner, which all its queries share, half a minute. */
enum { JOINS_MAX = 100 };

struct allow {
	int joins;
	const struct sql_allow_context *cx;
	struct err *err;
};

/* What each kind of node may say. "key:X", X being E expression(s), R table reference, F table function, N query node, Q {node}, M
 * modifiers, O orders, A arguments, C common table expressions, W when/then pairs, T type, S any scalar or list of
 * scalars, L literal; "key=A|B": one of these words. A key that is not named must be empty, false or null. */
struct kind {
	const char *name, *keys;
};

static const struct kind nodes[] = {
	{ "SELECT_NODE",
	  "modifiers:M cte_map:C select_list:E from_table:R where_clause:E group_expressions:E "
	  "group_sets:S aggregate_handling=STANDARD_HANDLING having:E qualify:E" },
	{ "SET_OPERATION_NODE",
	  "modifiers:M cte_map:C setop_type=UNION|EXCEPT|INTERSECT left:N right:N setop_all:S "
	  "children:N" },
	{ "RECURSIVE_CTE_NODE",
	  "modifiers:M cte_map:C cte_name:S union_all:S left:N right:N aliases:S" },
};

static const struct kind tables[] = {
	{ "BASE_TABLE", "alias:S schema_name:S table_name:S column_name_alias:S" },
	{ "JOIN", "alias:S left:R right:R condition:E join_type=INNER|LEFT|RIGHT|FULL|SEMI|ANTI "
	          "ref_type=REGULAR|CROSS|NATURAL using_columns:S is_implicit:S nearest_count:S "
	          "nearest_order_type:S" },
	{ "SUBQUERY", "alias:S subquery:Q column_name_alias:S" },
	{ "TABLE_FUNCTION",
	  "alias:S function:F column_name_alias:S with_ordinality=WITHOUT_ORDINALITY" },
	{ "EXPRESSION_LIST", "alias:S values:E expected_names:S column_name_alias:S" },
	{ "EMPTY", "alias:S" },
};

static const struct kind modifiers[] = {
	{ "ORDER_MODIFIER", "orders:O" },
	{ "LIMIT_MODIFIER", "limit:E offset:E limit_type=ROW_COUNT" },
	{ "DISTINCT_MODIFIER", "distinct_on_targets:E" },
};

static const struct kind expressions[] = {
	{ "COLUMN_REF", "column_names:S" },
	{ "CONSTANT", "literal:L" },
	{ "FUNCTION", "function_name:S filter:E order_bys:M distinct:S is_operator:S arguments:A" },
	{ "WINDOW", "function_name:S partitions:E orders:O start:S end:S start_expr:E end_expr:E "
	            "offset_expr:E default_expr:E ignore_nulls:S has_ignore_nulls:S filter_expr:E "
	            "exclude_clause=NO_OTHER distinct:S arg_orders:O arguments:A" },
	{ "OPERATOR", "children:E" },
	{ "COMPARISON", "left:E right:E" },
	{ "CONJUNCTION", "children:E" },
	{ "BETWEEN", "input:E lower:E upper:E" },
	{ "CASE", "case_checks:W else_expr:E" },
	{ "CAST", "child:E try_cast:S type_expr:T" },
	{ "SUBQUERY",
	  "subquery_type=SCALAR|EXISTS|NOT_EXISTS|ANY subquery:Q child:E comparison_type:S" },
	{ "STAR", "relation_name:S" },
};

/* The types of the classes above that are let through; the others have one type each. */
static const char *const expression_types[] = {
	"COMPARE_IN",
	"COMPARE_NOT_IN",
	"OPERATOR_NOT",
	"OPERATOR_IS_NULL",
	"OPERATOR_IS_NOT_NULL",
	"OPERATOR_COALESCE",
	"GROUPING_FUNCTION",
	"COMPARE_EQUAL",
	"COMPARE_NOTEQUAL",
	"COMPARE_LESSTHAN",
	"COMPARE_GREATERTHAN",
	"COMPARE_LESSTHANOREQUALTO",
	"COMPARE_GREATERTHANOREQUALTO",
	"COMPARE_DISTINCT_FROM",
	"COMPARE_NOT_DISTINCT_FROM",
	"COMPARE_BETWEEN",
	"CONJUNCTION_AND",
	"CONJUNCTION_OR",
	"COLUMN_REF",
	"VALUE_CONSTANT",
	"FUNCTION",
	"CASE_EXPR",
	"OPERATOR_CAST",
	"SUBQUERY",
	"STAR",
};

/* Types of a CAST: the user's word and DuckDB's. */
static const char *const types[][2] = {
	{ "BIGINT", "BIGINT" },     { "BINARY", "BLOB" },        { "BLOB", "BLOB" },
	{ "BOOL", "BOOLEAN" },      { "BOOLEAN", "BOOLEAN" },    { "BYTEA", "BLOB" },
	{ "CHAR", "VARCHAR" },      { "DATE", "DATE" },          { "DATETIME", "TIMESTAMP" },
	{ "DECIMAL", "DECIMAL" },   { "DECIMAL32", "DECIMAL" },  { "DECIMAL64", "DECIMAL" },
	{ "DECIMALV3", "DECIMAL" }, { "DECIMAL128", "DECIMAL" }, { "DOUBLE", "DOUBLE" },
	{ "FLOAT", "FLOAT" },       { "HUGEINT", "HUGEINT" },    { "INT", "INTEGER" },
	{ "INTEGER", "INTEGER" },   { "LARGEINT", "HUGEINT" },   { "NUMERIC", "DECIMAL" },
	{ "REAL", "FLOAT" },        { "SIGNED", "BIGINT" },      { "SMALLINT", "SMALLINT" },
	{ "STRING", "VARCHAR" },    { "TEXT", "VARCHAR" },       { "TIMESTAMP", "TIMESTAMP" },
	{ "TINYINT", "TINYINT" },   { "UNSIGNED", "UBIGINT" },   { "VARBINARY", "BLOB" },
	{ "VARCHAR", "VARCHAR" },
};

static int refuse(struct allow *a, const char *what, const char *name)
{
	return err_set(a->err, SQL_ERR(1064),
	               "Getting analyzing error. Detail message: %s %s is not supported.", what,
	               *name ? name : "(unnamed)");
}

static bool is_empty(const json_t *v)
{
	if (json_is_object(v) || json_is_array(v))
		return json_object_size(v) == 0 && json_array_size(v) == 0;
	return !v || json_is_null(v) || json_is_false(v) ||
	       (json_is_string(v) && !json_string_length(v));
}

static bool is_scalars(const json_t *v)
{
	size_t i;
	json_t *item;
	json_array_foreach(v, i, item)
	{
		if (!is_scalars(item))
			return false;
	}
	return !json_is_object(v);
}

/* Finds "key:X" or "key=…" in a kind's words; what follows the key goes to *ret (starting with ':' or '='). */
static bool find_rule(const char *keys, const char *key, struct str *ret)
{
	struct str rest = str_of(keys), word;
	size_t n = strlen(key);
	while (str_split(&rest, ' ', &word)) {
		if (word.len > n && memcmp(word.p, key, n) == 0 &&
		    (word.p[n] == ':' || word.p[n] == '=')) {
			*ret = (struct str){ word.p + n, word.len - n };
			return true;
		}
	}
	return false;
}

static bool is_word_of(struct str words, const char *value)
{
	struct str word;
	while (str_split(&words, '|', &word)) {
		if (str_eqs(word, value))
			return true;
	}
	return false;
}

static int allow_value(struct allow *a, json_t *v, char what, json_t **ret_new);

/* Every key of node against the rules of its kind; a value may be replaced by what it is rewritten to. */
static int allow_keys(struct allow *a, json_t *node, const struct kind *k)
{
	const char *key;
	json_t *value;
	json_object_foreach(node, key, value)
	{
		struct str rule;
		if (strcmp(key, "class") == 0 || strcmp(key, "type") == 0 ||
		    strcmp(key, "alias") == 0 || strncmp(key, "query_location", 14) == 0 ||
		    strcmp(key, "qualified_name") == 0)
			continue;
		if (!find_rule(k->keys, key, &rule)) {
			if (!is_empty(value))
				return refuse(a, k->name, key);
			continue;
		}
		if (rule.p[0] == '=') {
			const char *word = json_string_value(value);
			rule = (struct str){ rule.p + 1, rule.len - 1 };
			if (!word || !is_word_of(rule, word))
				return refuse(a, key, word ? word : "");
			continue;
		}
		json_t *fresh = NULL;
		int rc = allow_value(a, value, rule.p[1], &fresh);
		if (rc < 0)
			return rc;
		if (fresh)
			json_object_set_new(node, key,
			                    fresh); /* an existing key: safe in the loop */
	}
	return 0;
}

static int allow_kind(struct allow *a, json_t *node, const struct kind *kinds, size_t n,
                      const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return allow_keys(a, node, &kinds[i]);
	}
	return refuse(a, "statement part", name);
}

static int allow_type(struct allow *a, json_t *t)
{
	const char *name = ast_str(t, "type_name");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (!ast_is(t, "TYPE") || strcasecmp(types[i][0], name) != 0)
			continue;
		json_t *args = json_object_get(t, "children");
		if (strcmp(types[i][1], "DECIMAL") != 0) {
			json_array_clear(args); /* VARCHAR(n): lengths do not matter here */
		} else if (json_array_size(args) == 0) {
			json_object_set_new(t, "children",
			                    json_pack("[o,o]", ast_new_int(10), ast_new_int(0)));
		}
		size_t j;
		json_t *arg;
		int64_t n;
		json_array_foreach(json_object_get(t, "children"), j, arg)
		{
			if (!ast_int(arg, &n))
				return refuse(a, "type", name);
		}
		json_object_set_new(t, "type_name", json_string(types[i][1]));
		json_object_set_new(t, "schema", json_string(""));
		json_object_set_new(t, "catalog", json_string(""));
		return 0;
	}
	return refuse(a, "type", name);
}

static int allow_function(struct allow *a, json_t *e, json_t **ret_new, bool window)
{
	const char *name = ast_str(e, "function_name");
	const struct plan_function *f = plan_function(name);
	size_t n = json_array_size(json_object_get(e, "arguments"));
	int wanted = PLAN_FN_WINDOW | (window ? 0 : PLAN_FN_TABLE);
	if (window ? f && !(f->flags & (PLAN_FN_AGGREGATE | PLAN_FN_WINDOW))
	           : f && (f->flags & wanted))
		f = NULL;
	if (!f)
		return err_set(a->err, SQL_ERR(1064),
		               "Getting analyzing error. Detail message: No matching function: "
		               "%s.",
		               name);
	if (window && n == 0 && strcmp(f->name, "count") == 0)
		return 0;
	if (!(f->flags & PLAN_FN_AGGREGATE) &&
	    (!is_empty(json_object_get(e, "filter")) || !is_empty(json_object_get(e, "distinct")) ||
	     json_array_size(json_object_get(json_object_get(e, "order_bys"), "orders")) > 0))
		return refuse(a, "DISTINCT, FILTER or ORDER BY in function", name);
	if (n < f->min_args || n > f->max_args)
		return err_set(a->err, SQL_ERR(1064),
		               "Getting analyzing error. Detail message: No matching function with "
		               "signature: %s takes %d to %d arguments, not %zu.",
		               name, f->min_args, f->max_args, n);
	if (!window)
		return sql_rewrite(a->cx, f, e, ret_new, a->err);
	if (f->duck)
		json_object_set_new(e, "function_name", json_string(f->duck));
	return 0;
}

/* CURRENT_DATE and its like come as columns. */
static int allow_column(struct allow *a, json_t *e, json_t **ret_new)
{
	static const char *const words[] = { "current_date", "current_timestamp", "localtime",
		                             "localtimestamp", "current_user" };
	json_t *names = json_object_get(e, "column_names");
	const char *name = json_string_value(json_array_get(names, 0));
	for (size_t i = 0; name && json_array_size(names) == 1 && i < ARRAY_LEN(words); i++) {
		if (strcasecmp(name, words[i]) == 0) {
			_cleanup_json_ json_t *call = ast_new_function(words[i], json_array());
			return sql_rewrite(a->cx, plan_function(words[i]), call, ret_new, a->err);
		}
	}
	return 0;
}

/* What replaces an expression keeps its alias and its place in the text, which a result's column names come from. */
static void take_place(json_t *old, json_t *fresh)
{
	int64_t from, to;
	ast_alias(fresh, ast_str(old, "alias"));
	ast_alias(old, ""); /* it may live on inside the new one */
	if (ast_span(old, &from, &to)) {
		json_object_set_new(fresh, "query_location", json_integer(from));
		json_object_set_new(fresh, "query_location_length", json_integer(to - from));
	}
}

/* StarRocks' expr_children_limit: longer lists cost every process on the way many times their text. */
static int allow_children(struct allow *a, const json_t *e)
{
	size_t n = json_array_size(json_object_get(e, "children"));
	size_t m = json_array_size(json_object_get(e, "arguments"));
	if (n <= SQL_ITEMS_MAX + 1 && m <= SQL_ITEMS_MAX) /* the left side of IN is a child */
		return 0;
	return err_set(a->err, SQL_ERR(1064),
	               "Getting analyzing error. Detail message: Expression child number %zu "
	               "exceeded the maximum %d.",
	               n > m ? n : m, SQL_ITEMS_MAX);
}

static int allow_expression(struct allow *a, json_t *e, json_t **ret_new)
{
	const char *class_ = ast_class(e), *type = ast_type(e);
	bool window = strcmp(class_, "WINDOW") == 0;
	int rc = allow_children(a, e);
	if (rc == 0)
		rc = allow_kind(a, e, expressions, ARRAY_LEN(expressions), class_);
	if (rc < 0)
		return rc;
	bool known = window && str_starts(str_of(type), "WINDOW_");
	for (size_t i = 0; !known && i < ARRAY_LEN(expression_types); i++)
		known = strcmp(type, expression_types[i]) == 0;
	if (!known)
		return refuse(a, "expression", type);
	if (window || strcmp(class_, "FUNCTION") == 0)
		rc = allow_function(a, e, ret_new, window);
	if (strcmp(class_, "COLUMN_REF") == 0)
		rc = allow_column(a, e, ret_new);
	if (rc == 0 && *ret_new)
		take_place(e, *ret_new);
	return rc;
}

static int allow_table_function(struct allow *a, json_t *call)
{
	static const struct kind k = { "FUNCTION", "function_name:S arguments:A order_bys:M" };
	const char *name = ast_str(call, "function_name");
	const struct plan_function *f = plan_function(name);
	if (!f || !(f->flags & PLAN_FN_TABLE))
		return refuse(a, "table function", name);
	size_t n = json_array_size(json_object_get(call, "arguments"));
	if (n < f->min_args || n > f->max_args)
		return refuse(a, "this number of arguments of", name);
	return allow_keys(a, call, &k);
}

static int allow_literal(struct allow *a, json_t *v)
{
	const char *kind = ast_str(v, "kind");
	if (!is_word_of(STR_LIT("INTEGER|NUMERIC|STRING|BOOLEAN|NULL_LITERAL|HEX"), kind))
		return refuse(a, "literal", kind);
	return 0;
}

static int allow_ctes(struct allow *a, json_t *v)
{
	static const struct kind k = { "WITH", "aliases:S query_node:N materialized:S" };
	size_t i;
	json_t *entry;
	json_array_foreach(json_object_get(v, "map"), i, entry)
	{
		json_t *cte = json_object_get(entry, "value");
		if (!json_is_string(json_object_get(entry, "key")) || !json_is_object(cte))
			return refuse(a, "WITH", "entry");
		int rc = allow_keys(a, cte, &k);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Objects that have no kind of their own: which of their keys hold what. */
static int allow_plain(struct allow *a, json_t *v, const char *keys)
{
	const struct kind k = { "expression", keys };
	return allow_keys(a, v, &k);
}

static int allow_table(struct allow *a, json_t *t)
{
	size_t rows = json_array_size(json_object_get(t, "values"));
	if (rows > SQL_ITEMS_MAX)
		return err_set(a->err, SQL_ERR(1064),
		               "Getting syntax error. Detail message: The inserted rows are %zu "
		               "exceeded the maximum limit %d (a Stream Load has none).",
		               rows, SQL_ITEMS_MAX);
	a->joins += strcmp(ast_type(t), "JOIN") == 0;
	if (a->joins > JOINS_MAX)
		return err_set(a->err, SQL_ERR(1116),
		               "Too many tables; at most %d joins are allowed in a statement",
		               JOINS_MAX);
	return allow_kind(a, t, tables, ARRAY_LEN(tables), ast_type(t));
}

static int allow_object(struct allow *a, json_t *v, char what, json_t **ret_new)
{
	switch (what) {
	case 'E':
		return allow_expression(a, v, ret_new);
	case 'R':
		return allow_table(a, v);
	case 'F':
		return allow_table_function(a, v);
	case 'N':
		return allow_kind(a, v, nodes, ARRAY_LEN(nodes), ast_type(v));
	case 'M':
		return allow_kind(a, v, modifiers, ARRAY_LEN(modifiers), ast_type(v));
	case 'Q':
		return allow_plain(a, v, "node:N");
	case 'O':
		return allow_plain(a, v, "null_order:S expression:E");
	case 'A':
		return allow_plain(a, v, "expression:E");
	case 'W':
		return allow_plain(a, v, "when_expr:E then_expr:E");
	case 'C':
		return allow_ctes(a, v);
	case 'T':
		return allow_type(a, v);
	case 'L':
		return allow_literal(a, v);
	default:
		return refuse(a, "expression", ast_type(v));
	}
}

static int allow_value(struct allow *a, json_t *v, char what, json_t **ret_new)
{
	if (what == 'S')
		return is_scalars(v) ? 0 : refuse(a, "expression", ast_type(v));
	if (json_is_object(v))
		return allow_object(a, v, what, ret_new);
	if (!json_is_array(v))
		return is_empty(v) ? 0 : refuse(a, "expression", "of this form");
	for (size_t i = 0; i < json_array_size(v); i++) {
		json_t *fresh = NULL;
		int rc = allow_value(a, json_array_get(v, i), what, &fresh);
		if (rc < 0)
			return rc;
		if (fresh)
			json_array_set_new(v, i, fresh);
	}
	return 0;
}

int sql_allow(const struct sql_allow_context *cx, json_t *root, struct err *err)
{
	struct allow a = { .cx = cx, .err = err };
	json_t *none = NULL;
	if (!json_is_object(root))
		return refuse(&a, "statement", "of this form");
	return allow_value(&a, root, 'N', &none);
}

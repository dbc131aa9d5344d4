#include "engine/plan/ast.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

const char *ast_str(const json_t *node, const char *key)
{
	const char *s = json_string_value(json_object_get(node, key));
	return s ? s : "";
}

const char *ast_class(const json_t *node)
{
	return ast_str(node, "class");
}

const char *ast_type(const json_t *node)
{
	return ast_str(node, "type");
}

bool ast_is(const json_t *node, const char *class_)
{
	return strcmp(ast_class(node), class_) == 0;
}

int ast_walk(json_t *root, ast_visit fn, void *arg, struct err *err)
{
	if (json_is_array(root)) {
		size_t i;
		json_t *item;
		json_array_foreach(root, i, item)
		{
			int rc = ast_walk(item, fn, arg, err);
			if (rc < 0)
				return rc;
		}
		return 0;
	}
	if (!json_is_object(root))
		return 0;
	int rc = fn(arg, root, err);
	if (rc < 0)
		return rc;
	if (rc == AST_SKIP)
		return 0;
	const char *key;
	json_t *value;
	json_object_foreach(root, key, value)
	{
		rc = ast_walk(value, fn, arg, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

void ast_replace(json_t *holder, ast_map fn, void *arg)
{
	if (json_is_array(holder)) {
		for (size_t i = 0; i < json_array_size(holder); i++) {
			json_t *item = json_array_get(holder, i);
			json_t *new_item = json_is_object(item) ? fn(arg, item) : NULL;
			if (new_item)
				json_array_set_new(holder, i, new_item);
			else
				ast_replace(item, fn, arg);
		}
		return;
	}
	const char *key;
	json_t *value;
	json_object_foreach(holder, key, value)
	{
		json_t *new_value = json_is_object(value) ? fn(arg, value) : NULL;
		if (new_value)
			json_object_set_new(holder, key,
			                    new_value); /* the key exists: safe in the loop */
		else
			ast_replace(value, fn, arg);
	}
}

static int drop_noise(void *arg, json_t *node, struct err *err)
{
	(void)arg;
	(void)err;
	json_object_del(node, "query_location");
	json_object_del(node, "query_location_length");
	json_object_del(node, "qualified_name");
	if (json_object_get(node, "class") && !json_object_get(node, "alias"))
		json_object_set_new(node, "alias", json_string(""));
	return 0;
}

void ast_canonical(json_t *root)
{
	(void)ast_walk(root, drop_noise, NULL, NULL);
}

struct span {
	int64_t from, to;
};

static int widen(void *arg, json_t *node, struct err *err)
{
	struct span *s = arg;
	(void)err;
	const json_t *at = json_object_get(node, "query_location");
	const json_t *len = json_object_get(node, "query_location_length");
	/* Nodes of the parser's own making are at 2^64 - 1, which is no integer here or a negative one. */
	if (!json_is_integer(at) || !json_is_integer(len) || json_integer_value(at) < 0 ||
	    json_integer_value(len) <= 0 || json_integer_value(at) > INT32_MAX ||
	    json_integer_value(len) > INT32_MAX)
		return 0;
	int64_t from = json_integer_value(at), to = from + json_integer_value(len);
	if (s->from < 0 || from < s->from)
		s->from = from;
	if (to > s->to)
		s->to = to;
	return 0;
}

bool ast_span(json_t *expr, int64_t *ret_from, int64_t *ret_to)
{
	struct span s = { -1, -1 };
	(void)ast_walk(expr, widen, &s, NULL);
	*ret_from = s.from;
	*ret_to = s.to;
	return s.from >= 0;
}

void ast_conjuncts(json_t *expr, json_t *out)
{
	if (strcmp(ast_type(expr), "CONJUNCTION_AND") == 0) {
		size_t i;
		json_t *child;
		json_array_foreach(json_object_get(expr, "children"), i, child)
			ast_conjuncts(child, out);
		return;
	}
	if (json_is_object(expr))
		json_array_append(out, expr);
}

json_t *ast_and(const json_t *conjuncts)
{
	if (json_array_size(conjuncts) == 0)
		return NULL;
	if (json_array_size(conjuncts) == 1)
		return json_deep_copy(json_array_get(conjuncts, 0));
	return json_pack("{s:s, s:s, s:s, s:o}", "class", "CONJUNCTION", "type", "CONJUNCTION_AND",
	                 "alias", "", "children", json_deep_copy(conjuncts));
}

bool ast_column(const json_t *node, const char **ret_relation, const char **ret_column)
{
	const json_t *names = json_object_get(node, "column_names");
	if (!ast_is(node, "COLUMN_REF") || json_array_size(names) != 2)
		return false;
	*ret_relation = json_string_value(json_array_get(names, 0));
	*ret_column = json_string_value(json_array_get(names, 1));
	return *ret_relation && *ret_column;
}

json_t *ast_new_column(const char *relation, const char *column)
{
	return json_pack("{s:s, s:s, s:s, s:[s,s]}", "class", "COLUMN_REF", "type", "COLUMN_REF",
	                 "alias", "", "column_names", relation, column);
}

static json_t *constant(const char *kind, const char *text)
{
	return json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "class", "CONSTANT", "type",
	                 "VALUE_CONSTANT", "alias", "", "literal", "kind", kind, "text", text);
}

json_t *ast_new_int(int64_t value)
{
	autofree char *text = xasprintf("%lld", (long long)value);
	return constant("INTEGER", text);
}

json_t *ast_new_string(const char *text)
{
	return constant("STRING", text);
}

json_t *ast_new_null(void)
{
	return constant("NULL_LITERAL", "");
}

static json_t *function(const char *name, json_t *args, bool is_operator)
{
	json_t *named = json_array();
	size_t i;
	json_t *arg;
	json_array_foreach(args, i, arg) json_array_append_new(
		named, json_pack("{s:s, s:O}", "name", "", "expression", arg));
	json_decref(args);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:n, s:{s:s, s:[]}, s:b, s:b, s:b, s:o}",
	                 "class", "FUNCTION", "type", "FUNCTION", "alias", "", "function_name",
	                 name, "schema", "", "catalog", "", "filter", "order_bys", "type",
	                 "ORDER_MODIFIER", "orders", "distinct", 0, "is_operator", is_operator,
	                 "export_state", 0, "arguments", named);
}

json_t *ast_new_function(const char *name, json_t *args)
{
	return function(name, args, false);
}

json_t *ast_new_operator(const char *name, json_t *left, json_t *right)
{
	return function(name, json_pack("[o,o]", left, right), true);
}

json_t *ast_new_compare(const char *type, json_t *left, json_t *right)
{
	return json_pack("{s:s, s:s, s:s, s:o, s:o}", "class", "COMPARISON", "type", type, "alias",
	                 "", "left", left, "right", right);
}

json_t *ast_new_cast(json_t *expr, const char *type)
{
	struct str rest = str_of(type), name = rest, arg;
	json_t *children = json_array();
	const char *open = strchr(type, '(');
	if (open) {
		name = (struct str){ type, (size_t)(open - type) };
		rest = (struct str){ open + 1, strlen(open + 1) };
		if (str_ends(rest, ")"))
			rest.len--;
		int64_t n;
		while (str_split(&rest, ',', &arg)) {
			if (str_to_i64(str_trim(arg), &n) == 0)
				json_array_append_new(children, ast_new_int(n));
		}
	}
	json_t *t = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s%, s:o}", "class", "TYPE", "type",
	                      "TYPE", "alias", "", "catalog", "", "schema", "", "type_name", name.p,
	                      name.len, "children", children);
	return json_pack("{s:s, s:s, s:s, s:o, s:b, s:o}", "class", "CAST", "type", "OPERATOR_CAST",
	                 "alias", "", "child", expr, "try_cast", 0, "type_expr", t);
}

json_t *ast_new_coalesce(json_t *a, json_t *b)
{
	return json_pack("{s:s, s:s, s:s, s:[o,o]}", "class", "OPERATOR", "type",
	                 "OPERATOR_COALESCE", "alias", "", "children", a, b);
}

json_t *ast_new_table(const char *name)
{
	return json_pack("{s:s, s:s, s:n, s:s, s:s, s:[], s:s, s:n}", "type", "BASE_TABLE", "alias",
	                 "", "sample", "schema_name", "", "table_name", name, "column_name_alias",
	                 "catalog_name", "", "at_clause");
}

json_t *ast_new_subquery(json_t *node, const char *alias)
{
	return json_pack("{s:s, s:s, s:n, s:{s:o, s:[]}, s:[]}", "type", "SUBQUERY", "alias", alias,
	                 "sample", "subquery", "node", node, "named_param_map",
	                 "column_name_alias");
}

json_t *ast_new_join(json_t *left, json_t *right, json_t *condition)
{
	const char *ref = condition ? "REGULAR" : "CROSS";
	/* Never is_implicit: DuckDB writes that as a comma, which does not stand inside another join's parentheses. */
	return json_pack("{s:s, s:s, s:n, s:o, s:o, s:o, s:s, s:s, s:[], s:b, s:[], s:b, s:n}",
	                 "type", "JOIN", "alias", "", "sample", "left", left, "right", right,
	                 "condition", condition ? condition : json_null(), "join_type", "INNER",
	                 "ref_type", ref, "using_columns", "delim_flipped", 0,
	                 "duplicate_eliminated_columns", "is_implicit", 0, "ranking_expression");
}

json_t *ast_new_select(json_t *list, json_t *from, json_t *where)
{
	if (!from)
		from = json_pack("{s:s, s:s, s:n}", "type", "EMPTY", "alias", "", "sample");
	return json_pack("{s:s, s:[], s:{s:[]}, s:o, s:o, s:o, s:[], s:[], s:s, s:n, s:n, s:n}",
	                 "type", "SELECT_NODE", "modifiers", "cte_map", "map", "select_list", list,
	                 "from_table", from, "where_clause", where ? where : json_null(),
	                 "group_expressions", "group_sets", "aggregate_handling",
	                 "STANDARD_HANDLING", "having", "sample", "qualify");
}

json_t *ast_new_limit(json_t *limit, json_t *offset)
{
	return json_pack("{s:s, s:o, s:o, s:s}", "type", "LIMIT_MODIFIER", "limit",
	                 limit ? limit : json_null(), "offset", offset ? offset : json_null(),
	                 "limit_type", "ROW_COUNT");
}

json_t *ast_new_statement(json_t *node)
{
	return json_pack("{s:b, s:[{s:o, s:[]}]}", "error", 0, "statements", "node", node,
	                 "named_param_map");
}

json_t *ast_alias(json_t *expr, const char *alias)
{
	json_object_set_new(expr, "alias", json_string(alias));
	return expr;
}

bool ast_int(const json_t *node, int64_t *ret)
{
	const json_t *literal = json_object_get(node, "literal");
	return ast_is(node, "CONSTANT") && strcmp(ast_str(literal, "kind"), "INTEGER") == 0 &&
	       str_to_i64(str_of(ast_str(literal, "text")), ret) == 0;
}

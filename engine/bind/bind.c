#include "engine/bind/bind.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "engine/bind/scope.h"
#include "engine/plan/ast.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/data/json.h"

/* One SELECT while it is bound. */
struct select {
	struct bind *b;
	const struct bind_cte *ctes;
	json_t *node;
	struct bind_scope scope;
	json_t *items;           /* the select list, stars opened */
	struct bind_names names; /* what the user sees */
	struct bind_names alias; /* the aliases the user gave, else "" */
};

static void add_item(struct select *s, json_t *item, char *name, const char *alias)
{
	ast_alias(item, "");
	json_array_append_new(s->items, item);
	vec_push(&s->names, name);
	vec_push(&s->alias, xstrdup(alias));
}

static int open_star(struct select *s, const json_t *star)
{
	const char *relation = ast_str(star, "relation_name");
	size_t before = s->names.n;
	for (size_t i = 0; i < s->scope.columns.n; i++) {
		const struct bind_column *c = &s->scope.columns.v[i];
		const char *alias = s->scope.relations.v[c->relation].alias;
		if (*relation ? strcasecmp(alias, relation) == 0 : !c->hidden)
			add_item(s, json_deep_copy(*relation ? c->expr : bind_bare(c)),
			         xstrdup(c->name), "");
		if (s->names.n > META_COLUMNS_MAX)
			return err_set(s->b->err, SQL_ERR(1117), "More than %d columns",
			               META_COLUMNS_MAX);
	}
	if (s->names.n > before)
		return 0;
	return *relation ? err_set(s->b->err, SQL_ERR(1051), "Unknown table '%.200s'", relation)
	                 : err_set(s->b->err, SQL_ERR(1096), "No tables used");
}

static struct bind_context context(struct select *s, const char *clause, enum bind_aliases aliases)
{
	return (struct bind_context){ .b = s->b,
		                      .scope = &s->scope,
		                      .ctes = s->ctes,
		                      .clause = clause,
		                      .aliases = aliases,
		                      .alias_names = &s->alias,
		                      .items = s->items };
}

static int bind_items(struct select *s)
{
	json_t *list = json_object_get(s->node, "select_list");
	struct bind_context cx = context(s, "field list", BIND_NO_ALIASES);
	if (json_array_size(list) == 0)
		return err_set(s->b->err, SQL_ERR(1064), "A SELECT without columns");
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *item = json_array_get(list, i);
		if (ast_is(item, "STAR")) {
			int rc = open_star(s, item);
			if (rc < 0)
				return rc;
			continue;
		}
		autofree char *alias = xstrdup(ast_str(item, "alias"));
		autofree char *name = bind_item_name(s->b, item);
		json_t *fresh = NULL;
		int rc = bind_expression(&cx, item, &fresh);
		if (rc < 0)
			return rc;
		add_item(s, fresh ? fresh : json_incref(item), TAKE_PTR(name), alias);
		if (s->names.n > META_COLUMNS_MAX)
			return err_set(s->b->err, SQL_ERR(1117), "More than %d columns",
			               META_COLUMNS_MAX);
	}
	json_object_set(s->node, "select_list", s->items);
	return 0;
}

/* 2 in GROUP BY 2 and ORDER BY 2, checked; 0: no such constant. */
static int ordinal(struct bind *b, const json_t *e, size_t columns, const char *clause,
                   int64_t *ret)
{
	if (!ast_int(e, ret)) {
		*ret = 0;
		return 0;
	}
	if (*ret >= 1 && (uint64_t)*ret <= columns)
		return 0;
	return err_set(b->err, SQL_ERR(1054), "Unknown column '%lld' in '%s'", (long long)*ret,
	               clause);
}

static int bind_groups(struct select *s)
{
	json_t *groups = json_object_get(s->node, "group_expressions");
	struct bind_context cx = context(s, "group statement", BIND_COLUMNS_FIRST);
	for (size_t i = 0; i < json_array_size(groups); i++) {
		int64_t n;
		json_t *fresh = NULL, *e = json_array_get(groups, i);
		int rc = ordinal(s->b, e, s->names.n, "group statement", &n);
		if (rc == 0)
			rc = n ? bind_copy_item(&cx, (size_t)n - 1, &fresh)
			       : bind_expression(&cx, e, &fresh);
		if (rc < 0)
			return rc;
		if (fresh &&
		    ast_is(fresh, "CONSTANT")) /* a bare number would be a position again */
			fresh = ast_new_coalesce(fresh, json_deep_copy(fresh));
		if (fresh)
			json_array_set_new(groups, i, fresh);
	}
	return 0;
}

/* An ORDER BY entry: what is a select item, by number, alias or form, becomes its number. */
static int bind_order(struct select *s, json_t *order)
{
	struct bind_context cx = context(s, "order clause", BIND_ALIASES_FIRST);
	json_t *e = json_object_get(order, "expression");
	int64_t n;
	int rc = ordinal(s->b, e, s->names.n, "order clause", &n);
	if (rc < 0 || n > 0)
		return rc;
	const json_t *names = json_object_get(e, "column_names");
	int alias = -1;
	if (ast_is(e, "COLUMN_REF") && json_array_size(names) == 1 &&
	    json_is_string(json_array_get(names, 0)))
		alias = bind_alias(&cx, json_string_value(json_array_get(names, 0)));
	if (alias < 0) {
		rc = bind_key(&cx, order, "expression");
		if (rc < 0)
			return rc;
		e = json_object_get(order, "expression");
		ast_canonical(e);
		for (size_t i = 0; i < s->names.n && alias < 0; i++) {
			json_t *item = json_array_get(s->items, i);
			ast_canonical(item);
			if (json_equal(e, item))
				alias = (int)i;
		}
	}
	if (alias >= 0)
		json_object_set_new(order, "expression", ast_new_int(alias + 1));
	return 0;
}

static int bind_modifier(struct select *s, json_t *m)
{
	size_t i;
	json_t *order;
	json_array_foreach(json_object_get(m, "orders"), i, order)
	{
		int rc = bind_order(s, order);
		if (rc < 0)
			return rc;
	}
	struct bind_context cx = context(s, "order clause", BIND_ALIASES_FIRST);
	int rc = bind_key(&cx, m, "distinct_on_targets");
	/* LIMIT sees no column. */
	struct bind_context none = { .b = s->b, .ctes = s->ctes, .clause = "limit clause" };
	if (rc == 0)
		rc = bind_key(&none, m, "limit");
	return rc < 0 ? rc : bind_key(&none, m, "offset");
}

static int bind_select_parts(struct select *s)
{
	int rc = bind_from(s->b, s->ctes, &s->scope, json_object_get(s->node, "from_table"));
	if (rc == 0)
		rc = bind_items(s);
	struct bind_context where = context(s, "where clause", BIND_NO_ALIASES);
	if (rc == 0)
		rc = bind_key(&where, s->node, "where_clause");
	if (rc == 0)
		rc = bind_groups(s);
	struct bind_context having = context(s, "having clause", BIND_ALIASES_FIRST);
	if (rc == 0)
		rc = bind_key(&having, s->node, "having");
	if (rc == 0)
		rc = bind_key(&having, s->node, "qualify");
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(s->node, "modifiers"), i, m)
	{
		if (rc == 0)
			rc = bind_modifier(s, m);
	}
	return rc;
}

static int bind_select(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
                       json_t *node, struct bind_names *ret)
{
	_cleanup_json_ json_t *items = json_array();
	struct select s = { .b = b, .ctes = ctes, .node = node, .items = items };
	s.scope.parent = parent;
	int rc = bind_select_parts(&s);
	for (size_t i = 0; rc == 0 && i < s.names.n; i++) {
		char number[24];
		snprintf(number, sizeof(number), "c%zu", i);
		ast_alias(json_array_get(items, i), number);
	}
	bind_scope_free(&s.scope);
	bind_names_free(&s.alias);
	if (rc < 0)
		bind_names_free(&s.names);
	else
		*ret = s.names;
	return rc;
}

/* ORDER BY of a UNION: a number or the name of a column of its first part. */
static int bind_set_modifier(struct bind *b, const struct bind_cte *ctes, json_t *m,
                             const struct bind_names *names)
{
	size_t i;
	json_t *order;
	json_array_foreach(json_object_get(m, "orders"), i, order)
	{
		const json_t *e = json_object_get(order, "expression");
		const json_t *parts = json_object_get(e, "column_names");
		const char *name =
			json_string_value(json_array_get(parts, json_array_size(parts) - 1));
		int64_t n;
		int rc = ordinal(b, e, names->n, "order clause", &n);
		if (rc < 0)
			return rc;
		for (size_t k = 0; !n && name && k < names->n; k++) {
			if (strcasecmp(names->v[k], name) == 0)
				n = (int64_t)k + 1;
		}
		if (!n && name)
			return err_set(b->err, SQL_ERR(1054),
			               "Unknown column '%.200s' in 'order clause'", name);
		if (!n)
			return err_set(b->err, SQL_ERR(1064),
			               "ORDER BY of a UNION takes names or numbers of its columns");
		json_object_set_new(order, "expression", ast_new_int(n));
	}
	if (json_array_size(json_object_get(m, "distinct_on_targets")) > 0)
		return err_set(b->err, SQL_ERR(1064), "DISTINCT ON is not supported here");
	struct bind_context none = { .b = b, .ctes = ctes, .clause = "limit clause" };
	int rc = bind_key(&none, m, "limit");
	return rc < 0 ? rc : bind_key(&none, m, "offset");
}

static int bind_part(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
                     json_t *part, struct bind_names *names, bool first)
{
	struct bind_names own = { 0 };
	int rc = bind_node(b, ctes, parent, part, &own);
	if (rc < 0)
		return rc;
	if (first) {
		*names = own;
		return 0;
	}
	size_t n = own.n;
	bind_names_free(&own);
	return n == names->n ? 0
	                     : err_set(b->err, SQL_ERR(1222),
	                               "The used SELECT statements have a different number of "
	                               "columns");
}

static int bind_set(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
                    json_t *node, struct bind_names *names)
{
	size_t parts = 0, i;
	json_t *part, *m;
	int rc = 0;
	json_array_foreach(json_object_get(node, "children"), i, part)
	{
		if (rc == 0)
			rc = bind_part(b, ctes, parent, part, names, parts++ == 0);
	}
	static const char *const sides[] = { "left", "right" };
	for (i = 0; i < ARRAY_LEN(sides); i++) {
		part = json_object_get(node, sides[i]);
		if (rc == 0 && json_is_object(part))
			rc = bind_part(b, ctes, parent, part, names, parts++ == 0);
	}
	if (rc == 0 && parts < 2)
		rc = err_set(b->err, SQL_ERR(1064), "A UNION of less than two parts");
	json_array_foreach(json_object_get(node, "modifiers"), i, m)
	{
		if (rc == 0)
			rc = bind_set_modifier(b, ctes, m, names);
	}
	return rc;
}

static json_t *numbered_names(size_t n)
{
	json_t *names = json_array();
	for (size_t i = 0; i < n; i++) {
		char number[24];
		snprintf(number, sizeof(number), "c%zu", i);
		json_array_append_new(names, json_string(number));
	}
	return names;
}

static void apply_aliases(const json_t *aliases, struct bind_names *names)
{
	size_t i;
	json_t *name;
	json_array_foreach(aliases, i, name)
	{
		if (i >= names->n || !json_is_string(name))
			continue;
		free(names->v[i]);
		names->v[i] = xstrdup(json_string_value(name));
	}
}

/* The right part of WITH RECURSIVE sees the entry itself, with the columns of the left. */
static int bind_recursive(struct bind *b, struct bind_cte *self, const struct bind_scope *parent,
                          json_t *node, const json_t *aliases)
{
	int rc = bind_part(b, self->outer, parent, json_object_get(node, "left"), &self->names,
	                   true);
	if (rc < 0)
		return rc;
	apply_aliases(aliases, &self->names);
	struct bind_names right = { 0 };
	rc = bind_part(b, self, parent, json_object_get(node, "right"), &right, true);
	if (rc == 0 && right.n != self->names.n)
		rc = err_set(b->err, SQL_ERR(1222),
		             "The used SELECT statements have a different number of columns");
	bind_names_free(&right);
	if (rc == 0 && json_array_size(json_object_get(node, "modifiers")) > 0)
		rc = err_set(b->err, SQL_ERR(1064),
		             "ORDER BY and LIMIT do not stand in WITH RECURSIVE itself");
	json_object_set_new(node, "cte_name", json_string(self->unique));
	json_object_set_new(node, "aliases", numbered_names(self->names.n));
	return rc;
}

static int bind_cte(struct bind *b, struct bind_cte *c, const struct bind_scope *parent,
                    json_t *entry)
{
	json_t *value = json_object_get(entry, "value");
	json_t *node = json_object_get(value, "query_node");
	json_t *aliases = json_object_get(value, "aliases");
	snprintf(c->unique, sizeof(c->unique), "__c%zu", b->ctes++);
	int rc = strcmp(ast_type(node), "RECURSIVE_CTE_NODE") == 0
	                 ? bind_recursive(b, c, parent, node, aliases)
	                 : bind_node(b, c->outer, parent, node, &c->names);
	if (rc < 0)
		return rc;
	if (json_array_size(aliases) > c->names.n)
		return err_set(b->err, SQL_ERR(1353),
		               "'%.200s' has %zu columns, not %zu as its column list says", c->name,
		               c->names.n, json_array_size(aliases));
	apply_aliases(aliases, &c->names);
	json_object_set_new(entry, "key", json_string(c->unique));
	json_object_set_new(value, "aliases", numbered_names(c->names.n));
	return 0;
}

static int bind_body(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
                     json_t *node, struct bind_names *ret)
{
	if (strcmp(ast_type(node), "SELECT_NODE") == 0)
		return bind_select(b, ctes, parent, node, ret);
	if (strcmp(ast_type(node), "SET_OPERATION_NODE") == 0)
		return bind_set(b, ctes, parent, node, ret);
	return err_set(b->err, SQL_ERR(1064), "A %.100s does not stand here", ast_type(node));
}

/* WITH entries one after the other, each in sight of the next, then what they are for. */
static int bind_with(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
                     json_t *node, size_t at, struct bind_names *ret)
{
	json_t *map = json_object_get(json_object_get(node, "cte_map"), "map");
	json_t *entry = json_array_get(map, at);
	if (!entry)
		return bind_body(b, ctes, parent, node, ret);
	autofree char *name = xstrdup(ast_str(entry, "key"));
	struct bind_cte c = { .outer = ctes, .name = name };
	int rc = bind_cte(b, &c, parent, entry);
	if (rc == 0)
		rc = bind_with(b, &c, parent, node, at + 1, ret);
	bind_names_free(&c.names);
	return rc;
}

int bind_node(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
              json_t *node, struct bind_names *ret)
{
	json_t *map = json_object_get(json_object_get(node, "cte_map"), "map");
	if (json_array_size(map) > 256)
		return err_set(b->err, SQL_ERR(1064), "More than 256 entries in WITH");
	return bind_with(b, ctes, parent, node, 0, ret);
}

static int order_nulls(void *arg, json_t *node, struct err *err)
{
	(void)arg;
	(void)err;
	if (strcmp(ast_str(node, "null_order"), "ORDER_DEFAULT") == 0)
		json_object_set_new(node, "null_order",
		                    json_string(strcmp(ast_type(node), "DESCENDING") == 0
		                                        ? "NULLS LAST"
		                                        : "NULLS FIRST"));
	return 0;
}

int bind_query(const struct bind_catalog *catalog, const char *db, const char *text, json_t *node,
               struct plan_query **ret, struct err *err)
{
	_cleanup_(plan_query_freep) struct plan_query *q = plan_query_new();
	struct bind b = { .catalog = catalog,
		          .db = db,
		          .text = text,
		          .text_len = strlen(text),
		          .query = q,
		          .err = err };
	struct bind_names names = { 0 };
	q->node = node;
	int rc = bind_node(&b, NULL, NULL, node, &names);
	q->names = names.v;
	q->n_names = names.n;
	if (rc < 0)
		return rc;
	ast_canonical(node);
	(void)ast_walk(node, order_nulls, NULL, NULL);
	plan_query_collect(q);
	*ret = TAKE_PTR(q);
	return 0;
}

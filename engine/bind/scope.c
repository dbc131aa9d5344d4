#include "engine/bind/scope.h"

#include <string.h>
#include <strings.h>

#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

enum { NAME_SHOWN_MAX = 200 };

void bind_names_free(struct bind_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free(n->v[i]);
	vec_free(n);
}

void bind_scope_free(struct bind_scope *s)
{
	for (size_t i = 0; i < s->relations.n; i++) {
		free(s->relations.v[i].alias);
		free(s->relations.v[i].db);
	}
	for (size_t i = 0; i < s->columns.n; i++) {
		free(s->columns.v[i].name);
		json_decref(s->columns.v[i].expr);
		json_decref(s->columns.v[i].both);
	}
	vec_free(&s->relations);
	vec_free(&s->columns);
}

int bind_add_relation(struct bind *b, struct bind_scope *s, const char *alias, const char *db,
                      const char *relation, const struct bind_names *names, bool numbered)
{
	for (size_t i = 0; i < s->relations.n; i++) {
		const struct bind_relation *r = &s->relations.v[i];
		if (strcasecmp(r->alias, alias) == 0 && (!db || !r->db || strcmp(r->db, db) == 0) &&
		    *alias)
			return err_set(b->err, SQL_ERR(1066), "Not unique table/alias: '%.200s'",
			               alias);
	}
	size_t at = s->relations.n;
	vec_push(&s->relations, (struct bind_relation){ xstrdup(alias), db ? xstrdup(db) : NULL });
	for (size_t i = 0; i < names->n; i++) {
		char number[24];
		snprintf(number, sizeof(number), "c%zu", i);
		vec_push(&s->columns,
		         (struct bind_column){
				 .name = xstrdup(names->v[i]),
				 .expr = ast_new_column(relation, numbered ? number : names->v[i]),
				 .relation = at });
	}
	return 0;
}

const json_t *bind_bare(const struct bind_column *c)
{
	return c->both ? c->both : c->expr;
}

/* Looks in one scope: how many columns answer; the first of them in *ret. */
static size_t look(const struct bind_context *cx, const struct bind_scope *s, const char *db,
                   const char *table, const char *name, const struct bind_column **ret)
{
	size_t found = 0;
	for (size_t i = 0; i < s->columns.n; i++) {
		const struct bind_column *c = &s->columns.v[i];
		const struct bind_relation *r = &s->relations.v[c->relation];
		if (s == cx->scope && c->relation < cx->from_relation)
			continue;
		if (table ? strcasecmp(r->alias, table) != 0 : c->hidden)
			continue;
		if (db && (!r->db || strcmp(r->db, db) != 0))
			continue;
		if (strcasecmp(c->name, name) != 0)
			continue;
		if (!found++)
			*ret = c;
	}
	return found;
}

int bind_alias(const struct bind_context *cx, const char *name)
{
	if (cx->aliases == BIND_NO_ALIASES || cx->in_aggregate > 0)
		return -1;
	for (size_t i = 0; i < cx->alias_names->n; i++) {
		if (*cx->alias_names->v[i] && strcasecmp(cx->alias_names->v[i], name) == 0)
			return (int)i;
	}
	return -1;
}

static int count_node(void *arg, json_t *node, struct err *err)
{
	(void)node;
	(void)err;
	++*(size_t *)arg;
	return 0;
}

int bind_copy_item(struct bind_context *cx, size_t item, json_t **ret)
{
	json_t *e = json_array_get(cx->items, item);
	(void)ast_walk(e, count_node, &cx->b->copied, NULL);
	if (cx->b->copied > BIND_NODES_MAX)
		return err_set(cx->b->err, SQL_ERR(1064),
		               "The statement repeats too long an expression too often");
	*ret = json_deep_copy(e);
	return 0;
}

int bind_resolve(struct bind_context *cx, const json_t *column_ref, json_t **ret)
{
	const json_t *names = json_object_get(column_ref, "column_names");
	size_t n = json_array_size(names);
	const char *name = json_string_value(json_array_get(names, n - 1));
	const char *table = n > 1 ? json_string_value(json_array_get(names, n - 2)) : NULL;
	const char *db = n > 2 ? json_string_value(json_array_get(names, n - 3)) : NULL;
	if (!name || n > 3 || (n > 1 && !table) || (n > 2 && !db))
		return err_set(cx->b->err, SQL_ERR(1064), "A column is [[db.]table.]column");
	int alias = table ? -1 : bind_alias(cx, name);
	if (alias >= 0 && cx->aliases == BIND_ALIASES_FIRST)
		return bind_copy_item(cx, (size_t)alias, ret);
	for (const struct bind_scope *s = cx->scope; s; s = s->parent) {
		const struct bind_column *c = NULL;
		size_t found = look(cx, s, db, table, name, &c);
		if (found > 1)
			return err_set(cx->b->err, SQL_ERR(1052),
			               "Column '%.*s' in %s is ambiguous", NAME_SHOWN_MAX, name,
			               cx->clause);
		if (found == 1) {
			*ret = json_deep_copy(table ? c->expr : bind_bare(c));
			return 0;
		}
		if (s == cx->scope && alias >= 0)
			return bind_copy_item(cx, (size_t)alias, ret);
	}
	return err_set(cx->b->err, SQL_ERR(1054), "Unknown column '%.*s%s%.*s' in '%s'",
	               NAME_SHOWN_MAX, table ? table : "", table ? "." : "", NAME_SHOWN_MAX, name,
	               cx->clause);
}

static int bind_subquery(struct bind_context *cx, json_t *e)
{
	struct bind_names names = { 0 };
	json_t *node = json_object_get(json_object_get(e, "subquery"), "node");
	int rc = bind_node(cx->b, cx->ctes, cx->scope, node, &names);
	bool one = strcmp(ast_str(e, "subquery_type"), "SCALAR") == 0 && names.n != 1;
	bind_names_free(&names);
	if (rc == 0 && one)
		rc = err_set(cx->b->err, SQL_ERR(1241), "Operand should contain 1 column(s)");
	return rc < 0 ? rc : bind_key(cx, e, "child");
}

int bind_key(struct bind_context *cx, json_t *holder, const char *key)
{
	json_t *fresh = NULL;
	int rc = bind_expression(cx, json_object_get(holder, key), &fresh);
	if (rc == 0 && fresh)
		json_object_set_new(holder, key, fresh);
	return rc;
}

static int bind_object(struct bind_context *cx, json_t *e, json_t **ret_new)
{
	if (ast_is(e, "COLUMN_REF"))
		return bind_resolve(cx, e, ret_new);
	if (ast_is(e, "SUBQUERY"))
		return bind_subquery(cx, e);
	if (ast_is(e, "STAR"))
		return err_set(cx->b->err, SQL_ERR(1064),
		               "* stands only in a select list or in COUNT(*)");
	bool aggregate = false;
	if (ast_is(e, "FUNCTION")) {
		const struct plan_function *f = plan_function_called(ast_str(e, "function_name"));
		aggregate = f && (f->flags & PLAN_FN_AGGREGATE);
	}
	cx->in_aggregate += aggregate;
	const char *key;
	json_t *value;
	int rc = 0;
	json_object_foreach(e, key, value)
	{
		json_t *fresh = NULL;
		rc = bind_expression(cx, value, &fresh);
		if (rc < 0)
			break;
		if (fresh)
			json_object_set_new(e, key, fresh); /* an existing key: safe in the loop */
	}
	cx->in_aggregate -= aggregate;
	return rc;
}

int bind_expression(struct bind_context *cx, json_t *v, json_t **ret_new)
{
	if (json_is_object(v))
		return bind_object(cx, v, ret_new);
	for (size_t i = 0; i < json_array_size(v); i++) {
		json_t *fresh = NULL;
		int rc = bind_expression(cx, json_array_get(v, i), &fresh);
		if (rc < 0)
			return rc;
		if (fresh)
			json_array_set_new(v, i, fresh);
	}
	return 0;
}

char *bind_item_name(const struct bind *b, json_t *item)
{
	const json_t *names = json_object_get(item, "column_names");
	const json_t *literal = json_object_get(item, "literal");
	int64_t from, to;
	if (*ast_str(item, "alias"))
		return xstrdup(ast_str(item, "alias"));
	const char *last = json_string_value(json_array_get(names, json_array_size(names) - 1));
	if (ast_is(item, "COLUMN_REF") && last)
		return xstrdup(last);
	if (strcmp(ast_str(literal, "kind"), "STRING") == 0)
		return xstrdup(ast_str(literal, "text"));
	if (ast_span(item, &from, &to) && (size_t)to <= b->text_len)
		return xstrndup(b->text + from, (size_t)(to - from));
	return xstrdup("expr");
}

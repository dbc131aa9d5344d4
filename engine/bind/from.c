/* FROM: tables, WITH entries, joins, derived tables, VALUES and table functions become relations of a scope. */
#include <string.h>
#include <strings.h>

#include "engine/bind/scope.h"
#include "engine/plan/ast.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/data/json.h"

struct from {
	struct bind *b;
	const struct bind_cte *ctes;
	struct bind_scope *s;
};

static void set_str(json_t *o, const char *key, const char *value)
{
	json_object_set_new(o, key, json_string(value));
}

/* t(a, b): the user's names instead; the list then goes. */
static int rename_columns(struct from *f, json_t *ref, struct bind_names *names)
{
	json_t *wanted = json_object_get(ref, "column_name_alias");
	if (json_array_size(wanted) > names->n)
		return err_set(f->b->err, SQL_ERR(1353),
		               "'%.200s' has %zu columns, not %zu as its column list says",
		               ast_str(ref, "alias"), names->n, json_array_size(wanted));
	size_t i;
	json_t *name;
	json_array_foreach(wanted, i, name)
	{
		free(names->v[i]);
		names->v[i] = xstrdup(json_is_string(name) ? json_string_value(name) : "");
	}
	if (wanted)
		json_array_clear(wanted);
	return 0;
}

/* Gives ref a relation name of ours and makes its columns visible. */
static int add_derived(struct from *f, json_t *ref, const char *alias, struct bind_names *names,
                       bool numbered)
{
	char relation[24];
	snprintf(relation, sizeof(relation), "__q%zu", f->b->relations++);
	autofree char *shown = xstrdup(alias);
	int rc = rename_columns(f, ref, names);
	if (rc == 0)
		rc = bind_add_relation(f->b, f->s, shown, NULL, relation, names, numbered);
	set_str(ref, "alias", relation);
	return rc;
}

static int from_cte(struct from *f, json_t *ref, const struct bind_cte *cte)
{
	struct bind_names names = { 0 };
	for (size_t i = 0; i < cte->names.n; i++)
		vec_push(&names, xstrdup(cte->names.v[i]));
	set_str(ref, "table_name", cte->unique);
	const char *alias = ast_str(ref, "alias");
	int rc = add_derived(f, ref, *alias ? alias : cte->name, &names, true);
	bind_names_free(&names);
	return rc;
}

static int find_table(struct from *f, const char *db, const char *name, struct plan_table **ret)
{
	struct plan_query *q = f->b->query;
	if (!*db)
		return err_set(f->b->err, SQL_ERR(1046), "No database selected");
	for (size_t i = 0; i < q->n_tables; i++) {
		if (strcmp(q->tables[i]->db, db) == 0 && strcmp(q->tables[i]->name, name) == 0) {
			*ret = q->tables[i];
			return 0;
		}
	}
	int rc = f->b->catalog->table(f->b->catalog->arg, db, name, ret, f->b->err);
	if (rc < 0)
		return rc;
	q->tables = xreallocarray(q->tables, q->n_tables + 1, sizeof(struct plan_table *));
	q->tables[q->n_tables++] = *ret;
	return 0;
}

static int from_table(struct from *f, json_t *ref)
{
	const char *name = ast_str(ref, "table_name"), *db = ast_str(ref, "schema_name");
	const char *catalog = ast_str(ref, "catalog_name"), *alias = ast_str(ref, "alias");
	for (const struct bind_cte *c = f->ctes; c && !*db; c = c->outer) {
		if (strcasecmp(c->name, name) == 0)
			return from_cte(f, ref, c);
	}
	if (*catalog && strcmp(catalog, "default_catalog") != 0)
		return err_set(f->b->err, SQL_ERR(1064),
		               "Unknown catalog '%.200s': there is default_catalog", catalog);
	if (f->b->query->n_scans >= BIND_TABLES_MAX)
		return err_set(f->b->err, SQL_ERR(1116), "Too many tables: at most %d in a query",
		               BIND_TABLES_MAX);
	struct plan_table *t;
	int rc = find_table(f, *db ? db : f->b->db, name, &t);
	if (rc < 0)
		return rc;
	struct plan_scan *scan = plan_query_scan(f->b->query, t);
	struct bind_names names = { 0 }, shown = { 0 };
	for (size_t i = 0; i < t->n_columns; i++) {
		vec_push(&names, xstrdup(t->columns[i].name));
		vec_push(&shown, xstrdup(t->columns[i].name));
	}
	size_t first = f->s->columns.n;
	rc = bind_add_relation(f->b, f->s, *alias ? alias : name, *alias ? NULL : t->db, scan->name,
	                       &names, false);
	if (rc == 0)
		rc = rename_columns(f, ref, &shown);
	for (size_t i = 0; rc == 0 && i < shown.n; i++) {
		free(f->s->columns.v[first + i].name);
		f->s->columns.v[first + i].name = xstrdup(shown.v[i]);
	}
	bind_names_free(&names);
	bind_names_free(&shown);
	if (rc == 0) {
		set_str(ref, "table_name", scan->name);
		set_str(ref, "schema_name", "");
		set_str(ref, "catalog_name", "");
		set_str(ref, "alias", "");
	}
	return rc;
}

static int from_subquery(struct from *f, json_t *ref)
{
	struct bind_names names = { 0 };
	json_t *node = json_object_get(json_object_get(ref, "subquery"), "node");
	int rc = bind_node(f->b, f->ctes, f->s->parent, node, &names);
	if (rc == 0)
		rc = add_derived(f, ref, ast_str(ref, "alias"), &names, true);
	bind_names_free(&names);
	return rc;
}

/* Arguments and VALUES see the queries around, not their siblings. */
static int bind_outer(struct from *f, json_t *ref, const char *key)
{
	struct bind_context cx = {
		.b = f->b, .scope = f->s->parent, .ctes = f->ctes, .clause = "from clause"
	};
	return bind_key(&cx, ref, key);
}

static int from_function(struct from *f, json_t *ref)
{
	struct bind_names names = { 0 };
	json_t *call = json_object_get(ref, "function");
	const char *alias = ast_str(ref, "alias");
	int rc = bind_outer(f, call, "arguments");
	if (rc < 0)
		return rc;
	vec_push(&names, xstrdup(ast_str(call, "function_name")));
	rc = add_derived(f, ref, *alias ? alias : names.v[0], &names, true);
	bind_names_free(&names);
	json_object_set_new(ref, "column_name_alias", json_pack("[s]", "c0"));
	return rc;
}

static int from_values(struct from *f, json_t *ref)
{
	struct bind_names names = { 0 };
	const json_t *rows = json_object_get(ref, "values");
	size_t width = json_array_size(json_array_get(rows, 0)), i;
	json_t *row;
	json_array_foreach(rows, i, row)
	{
		if (json_array_size(row) != width || width == 0)
			return err_set(f->b->err, SQL_ERR(1136),
			               "Column count doesn't match value count at row %zu", i + 1);
	}
	int rc = bind_outer(f, ref, "values");
	if (rc < 0)
		return rc;
	size_t first = f->s->columns.n;
	for (i = 0; i < width; i++)
		vec_push(&names, xasprintf("col%zu", i)); /* DuckDB's own */
	json_object_set_new(ref, "column_name_alias", json_array());
	rc = add_derived(f, ref, ast_str(ref, "alias"), &names, false);
	bind_names_free(&names);
	for (i = 0; rc == 0 && i < width; i++) {
		free(f->s->columns.v[first + i].name);
		f->s->columns.v[first + i].name = xasprintf("column_%zu", i);
	}
	return rc;
}

static struct bind_column *find_column(struct bind_scope *s, size_t from, size_t to,
                                       const char *name, size_t *ret_n)
{
	struct bind_column *found = NULL;
	*ret_n = 0;
	for (size_t i = from; i < to; i++) {
		struct bind_column *c = &s->columns.v[i];
		if (!c->hidden && strcasecmp(c->name, name) == 0 && !(*ret_n)++)
			found = c;
	}
	return found;
}

/* One column of USING: an equality, and one column that both sides show as one. */
static int merge_column(struct from *f, json_t *ref, size_t left, size_t right, const char *name,
                        json_t *conjuncts)
{
	size_t n_left, n_right;
	const char *type = ast_str(ref, "join_type");
	struct bind_column *l = find_column(f->s, left, right, name, &n_left);
	struct bind_column *r = find_column(f->s, right, f->s->columns.n, name, &n_right);
	if (n_left > 1 || n_right > 1)
		return err_set(f->b->err, SQL_ERR(1052),
		               "Column '%.200s' in from clause is ambiguous", name);
	if (!l || !r)
		return err_set(f->b->err, SQL_ERR(1054), "Unknown column '%.200s' in 'from clause'",
		               name);
	json_array_append_new(conjuncts,
	                      ast_new_compare("COMPARE_EQUAL", json_deep_copy(bind_bare(l)),
	                                      json_deep_copy(bind_bare(r))));
	r->hidden = true;
	if (strcmp(type, "RIGHT") == 0 || strcmp(type, "FULL") == 0) {
		json_t *both = ast_new_coalesce(json_deep_copy(bind_bare(l)),
		                                json_deep_copy(bind_bare(r)));
		json_decref(l->both);
		l->both = both;
	}
	return 0;
}

/* USING and NATURAL become ON. */
static int join_using(struct from *f, json_t *ref, size_t left, size_t right)
{
	_cleanup_json_ json_t *names = json_incref(json_object_get(ref, "using_columns"));
	if (strcmp(ast_str(ref, "ref_type"), "NATURAL") == 0) {
		json_decref(names);
		names = json_array();
		for (size_t i = left; i < right; i++) {
			size_t n;
			const struct bind_column *l = &f->s->columns.v[i];
			if (!l->hidden && find_column(f->s, right, f->s->columns.n, l->name, &n))
				json_array_append_new(names, json_string(l->name));
		}
	}
	size_t i;
	json_t *name;
	_cleanup_json_ json_t *conjuncts = json_array();
	json_array_foreach(names, i, name)
	{
		if (!json_is_string(name))
			return err_set(f->b->err, SQL_ERR(1064), "USING takes names of columns");
		int rc = merge_column(f, ref, left, right, json_string_value(name), conjuncts);
		if (rc < 0)
			return rc;
	}
	json_t *condition = ast_and(conjuncts);
	if (condition)
		json_object_set_new(ref, "condition", condition);
	if (condition || strcmp(ast_str(ref, "ref_type"), "NATURAL") == 0)
		set_str(ref, "ref_type", condition ? "REGULAR" : "CROSS");
	json_object_set_new(ref, "using_columns", json_array());
	return 0;
}

static int from_ref(struct from *f, json_t *ref);

static int from_join(struct from *f, json_t *ref)
{
	size_t relations = f->s->relations.n, left = f->s->columns.n;
	if (*ast_str(ref, "alias"))
		return err_set(f->b->err, SQL_ERR(1064), "A join has no alias: '%.200s'",
		               ast_str(ref, "alias"));
	int rc = from_ref(f, json_object_get(ref, "left"));
	size_t right = f->s->columns.n;
	if (rc == 0)
		rc = from_ref(f, json_object_get(ref, "right"));
	if (rc < 0)
		return rc;
	struct bind_context cx = { .b = f->b,
		                   .scope = f->s,
		                   .ctes = f->ctes,
		                   .clause = "on clause",
		                   .from_relation = relations };
	const char *type = ast_str(ref, "join_type");
	if (!json_is_null(json_object_get(ref, "condition")))
		rc = bind_key(&cx, ref, "condition");
	if (rc == 0)
		rc = join_using(f, ref, left, right);
	if (strcmp(type, "SEMI") == 0 || strcmp(type, "ANTI") == 0) {
		for (size_t i = right; i < f->s->columns.n; i++) {
			free(f->s->columns.v[i].name);
			json_decref(f->s->columns.v[i].expr);
			json_decref(f->s->columns.v[i].both);
		}
		f->s->columns.n = right;
	}
	return rc;
}

static int from_ref(struct from *f, json_t *ref)
{
	static const struct {
		const char *type;
		int (*fn)(struct from *f, json_t *ref);
	} kinds[] = {
		{ "BASE_TABLE", from_table },       { "JOIN", from_join },
		{ "SUBQUERY", from_subquery },      { "TABLE_FUNCTION", from_function },
		{ "EXPRESSION_LIST", from_values },
	};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(ast_type(ref), kinds[i].type) == 0)
			return kinds[i].fn(f, ref);
	}
	if (strcmp(ast_type(ref), "EMPTY") == 0)
		return 0;
	return err_set(f->b->err, SQL_ERR(1064), "FROM cannot hold a %.100s", ast_type(ref));
}

int bind_from(struct bind *b, const struct bind_cte *ctes, struct bind_scope *s, json_t *ref)
{
	struct from f = { b, ctes, s };
	return from_ref(&f, ref);
}

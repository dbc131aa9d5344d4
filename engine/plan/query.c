#include "engine/plan/query.h"

#include <stdlib.h>
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "lib/data/json.h"
#include "lib/base/str.h"

static json_t *copy_rowsets(const struct meta_tablet *t, struct plan_tablet *to)
{
	json_t *rowsets = json_array();
	for (size_t i = 0; i < t->n_rowsets; i++) {
		const struct meta_rowset *r = &t->rowsets[i];
		char crc[9];
		snprintf(crc, sizeof(crc), "%08x", r->crc);
		json_array_append_new(rowsets, json_pack("{s:s, s:I, s:I, s:s}", "id", r->id,
		                                         "rows", (json_int_t)r->rows, "bytes",
		                                         (json_int_t)r->bytes, "crc", crc));
		to->bytes += (int64_t)r->bytes;
	}
	return rowsets;
}

struct plan_table *plan_table_copy(const struct meta_table *t)
{
	struct plan_table *c = xcalloc(1, sizeof(*c));
	*c = (struct plan_table){ .id = t->id,
		                  .version = t->version,
		                  .db = xstrdup(t->db),
		                  .name = xstrdup(t->name),
		                  .storage = t->storage,
		                  .rows = (int64_t)t->rows,
		                  .bytes = (int64_t)t->bytes,
		                  .n_columns = t->n_columns };
	c->columns = xcalloc(t->n_columns + 1, sizeof(*c->columns));
	for (size_t i = 0; i < t->n_columns; i++)
		c->columns[i] = (struct plan_column){ xstrdup(t->columns[i].name),
			                              xstrdup(t->columns[i].type) };
	bool local = t->storage == META_LOCAL;
	c->n_tablets = local ? t->n_tablets : 0;
	c->tablets = xcalloc(c->n_tablets + 1, sizeof(*c->tablets));
	for (size_t i = 0; i < c->n_tablets; i++) {
		struct plan_tablet *to = &c->tablets[i];
		to->id = t->tablets[i].id;
		to->n_replicas = t->tablets[i].n_replicas;
		memcpy(to->replicas, t->tablets[i].replicas, sizeof(to->replicas));
		to->rowsets = copy_rowsets(&t->tablets[i], to);
	}
	c->n_objects = local ? 0 : t->n_objects;
	c->objects = xcalloc(c->n_objects + 1, sizeof(*c->objects));
	for (size_t i = 0; i < c->n_objects; i++)
		c->objects[i] = (struct plan_object){ xstrdup(t->objects[i].key),
			                              xstrdup(t->objects[i].etag),
			                              (int64_t)t->objects[i].bytes,
			                              (int64_t)t->objects[i].rows };
	return c;
}

void plan_table_free(struct plan_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_columns; i++) {
		free(t->columns[i].name);
		free(t->columns[i].type);
	}
	for (size_t i = 0; i < t->n_tablets; i++)
		json_decref(t->tablets[i].rowsets);
	for (size_t i = 0; i < t->n_objects; i++) {
		free(t->objects[i].key);
		free(t->objects[i].etag);
	}
	free(t->columns);
	free(t->tablets);
	free(t->objects);
	free(t->db);
	free(t->name);
	free(t);
}

struct plan_query *plan_query_new(void)
{
	return xcalloc(1, sizeof(struct plan_query));
}

void plan_query_free(struct plan_query *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n_tables; i++)
		plan_table_free(q->tables[i]);
	for (size_t i = 0; i < q->n_scans; i++) {
		free(q->scans[i].used);
		json_decref(q->scans[i].filters);
	}
	for (size_t i = 0; i < q->n_names; i++)
		free(q->names[i]);
	free(q->tables);
	free(q->scans);
	free(q->names);
	json_decref(q->node);
	free(q);
}

struct plan_scan *plan_query_scan(struct plan_query *q, struct plan_table *table)
{
	q->scans = xreallocarray(q->scans, q->n_scans + 1, sizeof(*q->scans));
	struct plan_scan *s = &q->scans[q->n_scans];
	*s = (struct plan_scan){ .table = table,
		                 .used = xcalloc(table->n_columns + 1, sizeof(bool)),
		                 .filters = json_array() };
	snprintf(s->name, sizeof(s->name), "__s%zu", q->n_scans++);
	return s;
}

struct plan_scan *plan_query_find(const struct plan_query *q, const char *relation)
{
	uint64_t n;
	if (strncmp(relation, "__s", 3) != 0 || str_to_u64(str_of(relation + 3), &n) < 0 ||
	    n >= q->n_scans)
		return NULL;
	return &q->scans[n];
}

static int mark_used(void *arg, json_t *node, struct err *err)
{
	const struct plan_query *q = arg;
	const char *relation, *column;
	(void)err;
	struct plan_scan *s =
		ast_column(node, &relation, &column) ? plan_query_find(q, relation) : NULL;
	for (size_t i = 0; s && i < s->table->n_columns; i++)
		s->used[i] = s->used[i] || strcmp(s->table->columns[i].name, column) == 0;
	return 0;
}

struct alone {
	const char *scan;
	bool seen, other;
};

static int look_alone(void *arg, json_t *node, struct err *err)
{
	struct alone *a = arg;
	const char *relation, *column;
	(void)err;
	if (ast_is(node, "COLUMN_REF")) {
		bool ours = ast_column(node, &relation, &column) && strcmp(relation, a->scan) == 0;
		a->seen |= ours;
		a->other |= !ours;
	}
	if (ast_is(node, "SUBQUERY") || ast_is(node, "WINDOW"))
		a->other = true;
	if (ast_is(node, "FUNCTION")) {
		const struct plan_function *f =
			plan_function_called(ast_str(node, "function_name"));
		a->other |= !f || (f->flags & (PLAN_FN_VOLATILE | PLAN_FN_AGGREGATE));
	}
	return 0;
}

static void push_filters(struct plan_scan *s, const json_t *conjuncts)
{
	size_t i;
	json_t *c;
	json_array_foreach(conjuncts, i, c)
	{
		struct alone a = { .scan = s->name };
		(void)ast_walk(c, look_alone, &a, NULL);
		if (a.seen && !a.other)
			json_array_append_new(s->filters, json_deep_copy(c));
	}
}

static json_t *joined(const json_t *a, const json_t *b)
{
	json_t *all = json_copy((json_t *)(uintptr_t)a);
	json_array_extend(all, (json_t *)(uintptr_t)b);
	return all;
}

/* Hands down what holds for every row that a scan below must give: never below the side of an outer join that is
 * filled with NULLs, except by that join's own condition. */
static void push_down(struct plan_query *q, const json_t *ref, const json_t *conjuncts)
{
	const char *type = ast_str(ref, "join_type");
	if (strcmp(ast_type(ref), "BASE_TABLE") == 0) {
		struct plan_scan *s = plan_query_find(q, ast_str(ref, "table_name"));
		if (s)
			push_filters(s, conjuncts);
		return;
	}
	if (strcmp(ast_type(ref), "JOIN") != 0)
		return;
	_cleanup_json_ json_t *on = json_array();
	_cleanup_json_ json_t *none = json_array();
	ast_conjuncts(json_object_get(ref, "condition"), on);
	_cleanup_json_ json_t *both = joined(conjuncts, on);
	const json_t *left = none, *right = none;
	if (strcmp(type, "INNER") == 0 || strcmp(type, "SEMI") == 0)
		left = right = both;
	else if (strcmp(type, "LEFT") == 0 || strcmp(type, "ANTI") == 0)
		left = conjuncts, right = on;
	else if (strcmp(type, "RIGHT") == 0)
		left = on, right = conjuncts;
	push_down(q, json_object_get(ref, "left"), left);
	push_down(q, json_object_get(ref, "right"), right);
}

static int push_select(void *arg, json_t *node, struct err *err)
{
	(void)err;
	if (strcmp(ast_type(node), "SELECT_NODE") != 0)
		return 0;
	_cleanup_json_ json_t *where = json_array();
	ast_conjuncts(json_object_get(node, "where_clause"), where);
	push_down(arg, json_object_get(node, "from_table"), where);
	return 0;
}

void plan_query_collect(struct plan_query *q)
{
	(void)ast_walk(q->node, mark_used, q, NULL);
	(void)ast_walk(q->node, push_select, q, NULL);
}

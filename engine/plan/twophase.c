/* One SELECT over one large table and small ones: partial results where the large one lies, combined at the end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/plan/functions.h"
#include "engine/plan/place.h"
#include "lib/data/json.h"

#define PARTIAL "__p" /* the name under which the last stage reads the partial rows */

struct phases {
	struct planner *p;
	json_t *select;
	size_t fact;     /* number of the scan that is distributed */
	json_t *groups;  /* group expressions */
	json_t *calls;   /* distinct aggregate calls */
	json_t *partial; /* select list of the fact stage */
	bool aggregates; /* two steps of aggregation, not just rows */
	const char *why; /* why not */
};

static int no(struct phases *f, const char *why)
{
	f->why = why;
	return AST_SKIP;
}

static bool is_number_type(const char *type)
{
	static const char *const types[] = { "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
		                             "FLOAT",   "DOUBLE",   "DECIMAL", "UBIGINT" };
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strncmp(type, types[i], strlen(types[i])) == 0)
			return true;
	}
	return false;
}

static bool is_number(const struct plan_query *q, json_t *e);

static bool is_number_case(const struct plan_query *q, const json_t *e)
{
	size_t i;
	json_t *check, *otherwise = json_object_get(e, "else_expr");
	json_array_foreach(json_object_get(e, "case_checks"), i, check)
	{
		if (!is_number(q, json_object_get(check, "then_expr")))
			return false;
	}
	return strcmp(ast_str(json_object_get(otherwise, "literal"), "kind"), "NULL_LITERAL") ==
	               0 ||
	       is_number(q, otherwise);
}

/* Whether an expression is surely a number, so that its average is a sum over a count. */
static bool is_number(const struct plan_query *q, json_t *e)
{
	const char *relation, *column, *kind = ast_str(json_object_get(e, "literal"), "kind");
	if (ast_column(e, &relation, &column)) {
		const struct plan_scan *s = plan_query_find(q, relation);
		for (size_t i = 0; s && i < s->table->n_columns; i++) {
			if (strcmp(s->table->columns[i].name, column) == 0)
				return is_number_type(s->table->columns[i].type);
		}
		return false;
	}
	if (ast_is(e, "CONSTANT"))
		return strcmp(kind, "INTEGER") == 0 || strcmp(kind, "NUMERIC") == 0;
	if (ast_is(e, "CAST"))
		return is_number_type(ast_str(json_object_get(e, "type_expr"), "type_name"));
	if (ast_is(e, "CASE"))
		return is_number_case(q, e);
	const struct plan_function *f = plan_function_called(ast_str(e, "function_name"));
	if (!ast_is(e, "FUNCTION") || !f || !(f->flags & PLAN_FN_NUMERIC))
		return false;
	size_t i;
	json_t *a;
	json_array_foreach(json_object_get(e, "arguments"), i, a)
	{
		if (!is_number(q, json_object_get(a, "expression")))
			return false;
	}
	return true;
}

static bool is_aggregate(const json_t *e)
{
	const struct plan_function *f =
		ast_is(e, "FUNCTION") ? plan_function_called(ast_str(e, "function_name")) : NULL;
	return f && (f->flags & PLAN_FN_AGGREGATE);
}

static bool splits(const struct phases *f, const json_t *e)
{
	static const char *const names[] = { "sum", "count", "count_star", "min", "max", "avg" };
	const char *name = ast_str(e, "function_name");
	const json_t *arg = json_array_get(json_object_get(e, "arguments"), 0);
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		known |= strcmp(name, names[i]) == 0;
	bool unordered =
		!json_array_size(json_object_get(json_object_get(e, "order_bys"), "orders"));
	bool many = json_is_true(json_object_get(e, "distinct")) && strcmp(name, "min") != 0 &&
	            strcmp(name, "max") != 0;
	if (strcmp(name, "avg") == 0 && !is_number(f->p->q, json_object_get(arg, "expression")))
		known = false;
	return known && unordered && !many;
}

static bool holds(const json_t *array, const json_t *e)
{
	size_t i;
	json_t *item;
	json_array_foreach(array, i, item)
	{
		if (json_equal(item, e))
			return true;
	}
	return false;
}

/* What stands in the way anywhere in the query; collects the aggregate calls. */
static int look(void *arg, json_t *e, struct err *err)
{
	struct phases *f = arg;
	(void)err;
	if (f->why)
		return AST_SKIP;
	if (ast_is(e, "SUBQUERY") || strcmp(ast_type(e), "SUBQUERY") == 0)
		return no(f, "it holds a subquery");
	if (ast_is(e, "WINDOW"))
		return no(f, "it holds a window function");
	if (strcmp(ast_type(e), "GROUPING_FUNCTION") == 0)
		return no(f, "it has grouping sets");
	if (!is_aggregate(e))
		return 0;
	if (!splits(f, e))
		return no(f, "an aggregate cannot be computed in two steps");
	_cleanup_json_ json_t *call = json_deep_copy(e);
	ast_alias(call, "");
	if (!holds(f->calls, call))
		json_array_append(f->calls, call);
	return AST_SKIP;
}

/* Scans that may be split over nodes while the others are whole at each: those not on the NULL side of a join. */
static bool look_from(struct phases *f, const json_t *ref, bool may, bool *distributable)
{
	const char *type = ast_str(ref, "join_type");
	if (strcmp(ast_type(ref), "BASE_TABLE") == 0) {
		const struct plan_scan *s = plan_query_find(f->p->q, ast_str(ref, "table_name"));
		if (s && may)
			distributable[s - f->p->q->scans] = true;
		return s != NULL;
	}
	bool left = strcmp(type, "LEFT") == 0;
	if (strcmp(ast_type(ref), "JOIN") != 0 || (!left && strcmp(type, "INNER") != 0))
		return false;
	return look_from(f, json_object_get(ref, "left"), may, distributable) &&
	       look_from(f, json_object_get(ref, "right"), may && !left, distributable);
}

static int choose_fact(struct phases *f)
{
	const struct plan_query *q = f->p->q;
	int64_t limit =
		f->p->in->broadcast_bytes ? f->p->in->broadcast_bytes : PLAN_BROADCAST_BYTES;
	autofree bool *distributable = xcalloc(q->n_scans + 1, sizeof(bool));
	if (!look_from(f, json_object_get(f->select, "from_table"), true, distributable))
		return no(f, "FROM is not a join of tables");
	f->fact = SIZE_MAX;
	for (size_t i = 0; i < q->n_scans; i++) {
		if (distributable[i] && (f->fact == SIZE_MAX ||
		                         q->scans[i].table->bytes > q->scans[f->fact].table->bytes))
			f->fact = i;
	}
	if (f->fact == SIZE_MAX)
		return no(f, "FROM is not a join of tables");
	for (size_t i = 0; i < q->n_scans; i++) {
		if (i != f->fact && plan_scan_bytes(&q->scans[i]) > limit)
			return no(f, "two large tables are joined");
	}
	return 0;
}

static bool modifiers_fit(struct phases *f)
{
	size_t i;
	json_t *m;
	json_array_foreach(json_object_get(f->select, "modifiers"), i, m)
	{
		if (json_array_size(json_object_get(m, "distinct_on_targets")) > 0)
			return false;
	}
	return true;
}

static void check(struct phases *f)
{
	const json_t *node = f->select;
	if (strcmp(ast_type(node), "SELECT_NODE") != 0)
		(void)no(f, "it is a set operation");
	else if (json_array_size(json_object_get(json_object_get(node, "cte_map"), "map")) > 0)
		(void)no(f, "it has a WITH");
	else if (json_is_object(json_object_get(node, "qualify")) || !modifiers_fit(f))
		(void)no(f, "it has QUALIFY or DISTINCT ON");
	else if (json_array_size(json_object_get(node, "group_sets")) > 1)
		(void)no(f, "it has grouping sets");
	if (!f->why)
		(void)ast_walk(f->select, look, f, NULL);
	if (!f->why)
		(void)choose_fact(f);
}

static json_t *call_over(const char *name, json_t *e)
{
	return ast_new_function(name, json_pack("[o]", e));
}

static json_t *partial_column(const char *prefix, size_t i)
{
	char name[24];
	snprintf(name, sizeof(name), "%s%zu", prefix, i);
	return ast_new_column(PARTIAL, name);
}

/* How the partial results of call i (columns a<i>, and n<i> for an average) become its value. */
static json_t *combine(const struct phases *f, size_t i)
{
	const char *name = ast_str(json_array_get(f->calls, i), "function_name");
	json_t *a = partial_column("a", i);
	if (strcmp(name, "min") == 0 || strcmp(name, "max") == 0)
		return call_over(name, a);
	json_t *sum = call_over("sum", a);
	if (strncmp(name, "count", 5) == 0)
		return ast_new_cast(sum, "BIGINT");
	if (strcmp(name, "avg") != 0)
		return sum;
	return ast_new_operator("/", ast_new_cast(sum, "DOUBLE"),
	                        ast_new_cast(call_over("sum", partial_column("n", i)), "DOUBLE"));
}

/* An expression of the query as one over the partial rows: groups and calls become their columns. */
static json_t *to_final(void *arg, json_t *e)
{
	struct phases *f = arg;
	const char *alias = ast_str(e, "alias");
	_cleanup_json_ json_t *bare = json_copy(e);
	json_object_set_new(bare, "alias", json_string(""));
	size_t i;
	json_t *item;
	json_array_foreach(f->groups, i, item)
	{
		if (json_equal(item, bare))
			return ast_alias(partial_column("g", i), alias);
	}
	json_array_foreach(f->calls, i, item)
	{
		if (json_equal(item, bare))
			return ast_alias(combine(f, i), alias);
	}
	return NULL;
}

static int look_leftover(void *arg, json_t *e, struct err *err)
{
	struct phases *f = arg;
	const char *relation, *column;
	(void)err;
	if (ast_is(e, "COLUMN_REF") &&
	    !(ast_column(e, &relation, &column) && strcmp(relation, PARTIAL) == 0))
		return no(f, "a column is neither grouped nor aggregated");
	return 0;
}

static void add_partial(struct phases *f, json_t *e, const char *prefix, size_t i)
{
	char name[24];
	snprintf(name, sizeof(name), "%s%zu", prefix, i);
	json_array_append_new(f->partial, ast_alias(e, name));
}

static void aggregate_partials(struct phases *f)
{
	size_t i;
	json_t *e;
	json_array_foreach(f->groups, i, e) add_partial(f, json_deep_copy(e), "g", i);
	json_array_foreach(f->calls, i, e)
	{
		json_t *first = json_deep_copy(e);
		if (strcmp(ast_str(e, "function_name"), "avg") == 0) {
			json_t *count = json_deep_copy(e);
			json_object_set_new(first, "function_name", json_string("sum"));
			json_object_set_new(count, "function_name", json_string("count"));
			add_partial(f, count, "n", i);
		}
		add_partial(f, first, "a", i);
	}
}

/* The last stage of an aggregation: the query itself over the partial rows. */
static json_t *aggregate_final(struct phases *f)
{
	json_t *last = json_deep_copy(f->select);
	json_object_set_new(last, "from_table", ast_new_table(PARTIAL));
	json_object_set_new(last, "where_clause", json_null());
	ast_replace(last, to_final, f);
	(void)ast_walk(last, look_leftover, f, NULL);
	return last;
}

static json_t *aggregate_fact(struct phases *f)
{
	aggregate_partials(f);
	json_t *fact = ast_new_select(json_incref(f->partial),
	                              json_deep_copy(json_object_get(f->select, "from_table")),
	                              json_deep_copy(json_object_get(f->select, "where_clause")));
	json_object_set_new(fact, "group_expressions", json_deep_copy(f->groups));
	json_object_set(fact, "group_sets", json_object_get(f->select, "group_sets"));
	return fact;
}

/* Plain rows: the fact stage gives the select list, and what ORDER BY needs besides; the last stage sorts and cuts. */
static json_t *rows_final(struct phases *f)
{
	json_t *list = json_array();
	size_t i, k = 0, n;
	json_t *e, *m;
	json_array_foreach(json_object_get(f->select, "select_list"), i, e)
	{
		json_array_append_new(f->partial,
		                      ast_alias(json_deep_copy(e), ast_str(e, "alias")));
		json_array_append_new(list, ast_alias(partial_column("c", i), ast_str(e, "alias")));
	}
	json_t *last = ast_new_select(list, ast_new_table(PARTIAL), NULL);
	json_t *modifiers = json_deep_copy(json_object_get(f->select, "modifiers"));
	bool distinct = false;
	json_array_foreach(modifiers, i, m)
	{
		distinct |= strcmp(ast_type(m), "DISTINCT_MODIFIER") == 0;
		json_array_foreach(json_object_get(m, "orders"), n, e)
		{
			json_t *by = json_object_get(e, "expression");
			int64_t position;
			if (ast_int(by, &position))
				continue;
			add_partial(f, json_incref(by), "o", k);
			json_object_set_new(e, "expression", partial_column("o", k++));
		}
	}
	json_object_set_new(last, "modifiers", modifiers ? modifiers : json_array());
	/* A task's distinct rows, cut to the limit, may hold one value many times. */
	if (distinct && k > 0)
		(void)no(f, "DISTINCT is ordered by what is not selected");
	return last;
}

/* With a constant LIMIT each task sends that many rows at most; DISTINCT is done early as well. */
static json_t *rows_modifiers(const struct phases *f)
{
	json_t *early = json_array();
	int64_t limit = -1, offset = 0;
	size_t i;
	json_t *m, *order = NULL;
	json_array_foreach(json_object_get(f->select, "modifiers"), i, m)
	{
		const json_t *off = json_object_get(m, "offset");
		if (strcmp(ast_type(m), "DISTINCT_MODIFIER") == 0)
			json_array_append_new(early, json_deep_copy(m));
		else if (strcmp(ast_type(m), "ORDER_MODIFIER") == 0)
			order = m;
		else if (!ast_int(json_object_get(m, "limit"), &limit) ||
		         (json_is_object(off) && !ast_int(off, &offset)))
			limit = -1;
	}
	if (limit < 0 || offset < 0 || limit > INT32_MAX || offset > INT32_MAX)
		return early;
	if (order)
		json_array_append_new(early, json_deep_copy(order));
	json_array_append_new(early, ast_new_limit(ast_new_int(limit + offset), NULL));
	return early;
}

static json_t *rows_fact(struct phases *f)
{
	json_t *fact = ast_new_select(json_incref(f->partial),
	                              json_deep_copy(json_object_get(f->select, "from_table")),
	                              json_deep_copy(json_object_get(f->select, "where_clause")));
	json_object_set_new(fact, "modifiers", rows_modifiers(f));
	return fact;
}

/* Dimensions that every node of the fact stage has are read there; the others are sent to all. A fact without pieces is
 * read by whichever node: nothing is known to be there. */
static int add_dimensions(struct phases *f, size_t pieces, const size_t *nodes, size_t *from,
                          bool *direct)
{
	struct planner *p = f->p;
	for (size_t i = 0; i < p->q->n_scans; i++) {
		const struct plan_scan *s = &p->q->scans[i];
		if (i == f->fact)
			continue;
		direct[i] = s->table->storage == META_LOCAL && pieces > 0;
		for (size_t k = 0; direct[i] && k < pieces; k++)
			direct[i] = plan_reads(p, s->table, nodes[k]);
		if (direct[i])
			continue;
		int rc = plan_scan_stage(p, s, "small: sent to every task of the next stage",
		                         &from[i]);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* A stand-in must have the dimensions that the task reads itself. */
static void narrow_others(const struct phases *f, struct coord_task *t, const bool *direct)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->n_others; i++) {
		bool all = true;
		for (size_t k = 0; k < f->p->q->n_scans; k++)
			all &= !direct[k] ||
			       plan_reads(f->p, f->p->q->scans[k].table, t->others[i]);
		if (all)
			t->others[kept++] = t->others[i];
	}
	t->n_others = kept;
}

static int add_fact_stage(struct phases *f, json_t *fact_ast, size_t *ret)
{
	struct planner *p = f->p;
	const struct plan_scan *s = &p->q->scans[f->fact];
	__attribute__((cleanup(plan_place_free))) struct plan_place place = { 0 };
	bool ordered = plan_order_joins(p->q, fact_ast, s);
	_cleanup_json_ json_t *ast = ast_new_statement(fact_ast);
	autofree bool *direct = xcalloc(p->q->n_scans + 1, sizeof(bool));
	autofree size_t *from = xcalloc(p->q->n_scans + 1, sizeof(size_t));
	int rc = plan_place(p, s->table, &place);
	if (rc == 0)
		rc = add_dimensions(f, place.n, place.of, from, direct);
	if (rc < 0)
		return rc;
	struct coord_stage *stage =
		coord_dag_stage(p->dag, s->table->storage == META_LOCAL ? META_BE : META_CN);
	snprintf(stage->name, sizeof(stage->name), "%s %.20s", f->aggregates ? "partial" : "rows",
	         s->table->name);
	snprintf(stage->reason, sizeof(stage->reason),
	         "%s: the largest table is read where it lies",
	         p->q->n_scans > 1 ? "broadcast join" : "push-down");
	stage->ast = TAKE_PTR(ast);
	stage->keep_join_order = ordered;
	stage->output = plan_exchange_output();
	plan_scan_tasks(p, stage, s, &place);
	stage->est_bytes = plan_scan_bytes(s);
	for (size_t i = 0; i < p->q->n_scans; i++) {
		if (i == f->fact)
			continue;
		if (!direct[i])
			coord_stage_link(stage, from[i], p->q->scans[i].name);
		for (size_t k = 0; direct[i] && k < stage->n_tasks; k++)
			json_array_append_new(stage->tasks[k].inputs,
			                      plan_scan_input(p, &p->q->scans[i], NULL, 0));
	}
	for (size_t k = 0; k < stage->n_tasks; k++)
		narrow_others(f, &stage->tasks[k], direct);
	*ret = p->dag->n_stages - 1;
	return 0;
}

static void add_final_stage(struct phases *f, json_t *last, size_t fact_stage)
{
	struct planner *p = f->p;
	bool to_tablets = strcmp(ast_str(p->in->output, "kind"), "tablets") == 0;
	enum meta_role role = to_tablets ? META_BE : p->dag->stages[fact_stage].place;
	struct coord_stage *stage = coord_dag_stage(p->dag, role);
	const struct coord_stage *fact = &p->dag->stages[fact_stage];
	snprintf(stage->name, sizeof(stage->name), "final");
	snprintf(stage->reason, sizeof(stage->reason), "%s",
	         f->aggregates ? "combines partial aggregates" : "collects rows");
	stage->ast = ast_new_statement(last);
	stage->output = p->in->output ? json_incref(p->in->output) : plan_exchange_output();
	coord_stage_link(stage, fact_stage, PARTIAL);
	size_t node = fact->tasks[p->in->spread % fact->n_tasks].node;
	for (size_t i = 0; p->in->nodes[node].role != role && i < p->in->n_nodes; i++) {
		if (p->in->nodes[i].role == role)
			node = i;
	}
	struct coord_task *t = coord_stage_task(stage, node);
	t->others = xcalloc(p->in->n_nodes + 1, sizeof(*t->others));
	for (size_t i = 0; i < p->in->n_nodes; i++) {
		if (i != node && p->in->nodes[i].role == role)
			t->others[t->n_others++] = i;
	}
}

int plan_two_phase(struct planner *p, char *why, size_t why_size)
{
	_cleanup_json_ json_t *calls = json_array();
	_cleanup_json_ json_t *partial = json_array();
	struct phases f = { .p = p,
		            .select = p->q->node,
		            .groups = json_object_get(p->q->node, "group_expressions"),
		            .calls = calls,
		            .partial = partial };
	check(&f);
	f.aggregates = json_array_size(calls) || json_array_size(f.groups) ||
	               json_is_object(json_object_get(f.select, "having"));
	if (!f.why && strcmp(ast_str(p->in->output, "kind"), "tablets") == 0 &&
	    plan_count(p, META_BE) == 0)
		f.why = "no BE is alive";
	_cleanup_json_ json_t *last = NULL;
	if (!f.why)
		last = f.aggregates ? aggregate_final(&f) : rows_final(&f);
	if (f.why) {
		snprintf(why, why_size, "%s", f.why);
		return PLAN_NOT;
	}
	size_t stage;
	int rc = add_fact_stage(&f, f.aggregates ? aggregate_fact(&f) : rows_fact(&f), &stage);
	if (rc == 0)
		add_final_stage(&f, TAKE_PTR(last), stage);
	return rc;
}

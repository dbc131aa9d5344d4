/* The order of joins in a fragment over exchanged rows, where DuckDB has row counts but no distinct counts and would
 * pick badly: the fact first, then one dimension after the other, the most filtering first. */
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/plan/place.h"
#include "lib/data/json.h"

enum { JOIN_SCANS_MAX = 64 };

struct joins {
	const struct plan_query *q;
	size_t scans[JOIN_SCANS_MAX]; /* numbers of the scans of this FROM */
	size_t n;
	json_t *conjuncts; /* of all ON and of WHERE */
	bool *taken;       /* by conjunct: it stands in a join */
};

static size_t scan_number(const struct plan_query *q, const char *relation)
{
	const struct plan_scan *s = plan_query_find(q, relation);
	return s ? (size_t)(s - q->scans) : SIZE_MAX;
}

/* Only scans under inner joins; false: something else is there. */
static bool flatten(struct joins *j, const json_t *ref)
{
	if (strcmp(ast_type(ref), "BASE_TABLE") == 0) {
		size_t n = scan_number(j->q, ast_str(ref, "table_name"));
		if (n == SIZE_MAX || j->n == JOIN_SCANS_MAX)
			return false;
		j->scans[j->n++] = n;
		return true;
	}
	if (strcmp(ast_type(ref), "JOIN") != 0 || strcmp(ast_str(ref, "join_type"), "INNER") != 0)
		return false;
	ast_conjuncts(json_object_get(ref, "condition"), j->conjuncts);
	return flatten(j, json_object_get(ref, "left")) &&
	       flatten(j, json_object_get(ref, "right"));
}

struct reach { /* which scans a conjunct needs */
	const struct joins *j;
	const bool *in; /* by scan number: already joined */
	size_t next;    /* the one that is to be joined */
	bool needs_next, needs_joined, outside;
};

static int look_reach(void *arg, json_t *node, struct err *err)
{
	struct reach *r = arg;
	const char *relation, *column;
	(void)err;
	if (ast_is(node, "SUBQUERY"))
		r->outside = true;
	if (!ast_is(node, "COLUMN_REF"))
		return 0;
	size_t n = ast_column(node, &relation, &column) ? scan_number(r->j->q, relation) : SIZE_MAX;
	if (n == r->next)
		r->needs_next = true;
	else if (n != SIZE_MAX && r->in[n])
		r->needs_joined = true;
	else
		r->outside = true;
	return 0;
}

static bool fits(const struct joins *j, const bool *in, size_t next, json_t *conjunct)
{
	struct reach r = { .j = j, .in = in, .next = next };
	(void)ast_walk(conjunct, look_reach, &r, NULL);
	return r.needs_next && r.needs_joined && !r.outside;
}

static bool connected(const struct joins *j, const bool *in, size_t next)
{
	size_t i;
	json_t *c;
	json_array_foreach(j->conjuncts, i, c)
	{
		if (strcmp(ast_type(c), "COMPARE_EQUAL") == 0 && fits(j, in, next, c))
			return true;
	}
	return false;
}

/* The next to join: connected by an equality before not, then the one of which the smallest part is kept. */
static size_t choose(const struct joins *j, const bool *in)
{
	size_t best = SIZE_MAX;
	bool best_connected = false;
	double best_part = 0;
	for (size_t i = 0; i < j->n; i++) {
		const struct plan_scan *s = &j->q->scans[j->scans[i]];
		if (in[j->scans[i]])
			continue;
		bool c = connected(j, in, j->scans[i]);
		double part = plan_scan_rows(s) / ((double)s->table->rows + 1);
		/* Equally filtering: the smaller table's hash table stays in cache. */
		part += plan_scan_rows(s) * 1e-12;
		if (best == SIZE_MAX || (c && !best_connected) ||
		    (c == best_connected && part < best_part)) {
			best = j->scans[i];
			best_connected = c;
			best_part = part;
		}
	}
	return best;
}

static json_t *take_conditions(struct joins *j, const bool *in, size_t next)
{
	_cleanup_json_ json_t *on = json_array();
	size_t i;
	json_t *c;
	json_array_foreach(j->conjuncts, i, c)
	{
		if (j->taken[i] || !fits(j, in, next, c))
			continue;
		j->taken[i] = true;
		json_array_append(on, c);
	}
	return ast_and(on);
}

static void rebuild(struct joins *j, json_t *select, size_t fact)
{
	autofree bool *in = xcalloc(j->q->n_scans + 1, sizeof(bool));
	json_t *tree = ast_new_table(j->q->scans[fact].name);
	in[fact] = true;
	for (size_t i = 1; i < j->n; i++) {
		size_t next = choose(j, in);
		json_t *on = take_conditions(j, in, next);
		tree = ast_new_join(tree, ast_new_table(j->q->scans[next].name), on);
		in[next] = true;
	}
	_cleanup_json_ json_t *rest = json_array();
	size_t i;
	json_t *c;
	json_array_foreach(j->conjuncts, i, c)
	{
		if (!j->taken[i])
			json_array_append(rest, c);
	}
	json_t *where = ast_and(rest);
	json_object_set_new(select, "from_table", tree);
	json_object_set_new(select, "where_clause", where ? where : json_null());
}

bool plan_order_joins(const struct plan_query *q, json_t *select, const struct plan_scan *fact)
{
	_cleanup_json_ json_t *conjuncts = json_array();
	struct joins j = { .q = q, .conjuncts = conjuncts };
	if (!flatten(&j, json_object_get(select, "from_table")) || j.n < 2)
		return false;
	ast_conjuncts(json_object_get(select, "where_clause"), conjuncts);
	autofree bool *taken = xcalloc(json_array_size(conjuncts) + 1, sizeof(bool));
	j.taken = taken;
	rebuild(&j, select, (size_t)(fact - q->scans));
	return true;
}

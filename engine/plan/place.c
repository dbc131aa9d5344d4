#include "engine/plan/place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/sqlerr.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* A filter keeps this part of the rows, when nothing better is known. */
#define FILTER_KEEPS 0.2

enum { ONE_TASK_BYTES = 16 * 1024 * 1024 };

void plan_place_free(struct plan_place *p)
{
	free(p->of);
	p->of = NULL;
}

size_t plan_count(const struct planner *p, enum meta_role role)
{
	size_t n = 0;
	for (size_t i = 0; i < p->in->n_nodes; i++)
		n += p->in->nodes[i].role == role;
	return n;
}

int plan_pick(const struct planner *p,
              bool (*passes)(const struct planner *p, size_t node, void *arg), void *arg)
{
	size_t n = 0;
	for (size_t i = 0; i < p->in->n_nodes; i++)
		n += passes(p, i, arg);
	size_t skip = n ? p->in->spread % n : 0;
	for (size_t i = 0; n && i < p->in->n_nodes; i++) {
		if (passes(p, i, arg) && skip-- == 0)
			return (int)i;
	}
	return -1;
}

static bool has_replica(const struct planner *p, const struct plan_tablet *t, size_t node)
{
	for (size_t i = 0; i < t->n_replicas; i++) {
		if (p->in->nodes[node].role == META_BE && t->replicas[i] == p->in->nodes[node].id)
			return true;
	}
	return false;
}

bool plan_reads(const struct planner *p, const struct plan_table *t, size_t node)
{
	if (t->storage == META_BUCKET)
		return p->in->nodes[node].role == META_CN;
	for (size_t i = 0; i < t->n_tablets; i++) {
		if (!has_replica(p, &t->tablets[i], node))
			return false;
	}
	return p->in->nodes[node].role == META_BE;
}

static bool reads_table(const struct planner *p, size_t node, void *arg)
{
	return plan_reads(p, arg, node);
}

int64_t plan_near_bytes(const struct planner *p, const struct plan_table *t, size_t node)
{
	int64_t near = 0;
	if (t->storage == META_BUCKET)
		return p->in->nodes[node].role == META_CN
		               ? t->bytes / (int64_t)plan_count(p, META_CN)
		               : 0;
	for (size_t i = 0; i < t->n_tablets; i++)
		near += has_replica(p, &t->tablets[i], node) ? t->tablets[i].bytes : 0;
	return near;
}

static int place_tablets(struct planner *p, struct plan_table *t, struct plan_place *ret)
{
	/* A small table is one task when one node has all of it. */
	int one = t->bytes <= ONE_TASK_BYTES ? plan_pick(p, reads_table, t) : -1;
	for (size_t i = 0; one >= 0 && i < t->n_tablets; i++)
		ret->of[i] = (size_t)one;
	if (one >= 0)
		return 0;
	autofree int64_t *load = xcalloc(p->in->n_nodes + 1, sizeof(*load));
	for (size_t i = 0; i < t->n_tablets; i++) {
		size_t best = SIZE_MAX;
		for (size_t k = 0; k < p->in->n_nodes; k++) {
			/* Starting elsewhere for each query evens out small tables. */
			size_t node = (k + (size_t)p->in->spread) % p->in->n_nodes;
			if (has_replica(p, &t->tablets[i], node) &&
			    (best == SIZE_MAX || load[node] < load[best]))
				best = node;
		}
		if (best == SIZE_MAX)
			return err_set(p->err, SQL_ERR(1105),
			               "Failed to get scan range, no queryable replica found in "
			               "tablet: %" PRId64
			               " of %s.%s (its %zu backends are not alive)",
			               t->tablets[i].id, t->db, t->name, t->tablets[i].n_replicas);
		ret->of[i] = best;
		load[best] += t->tablets[i].bytes + 1;
	}
	return 0;
}

/* The CN with the highest hash of (object, node) that is not yet over its share. */
static int place_objects(struct planner *p, const struct plan_table *t, struct plan_place *ret)
{
	autofree int64_t *load = xcalloc(p->in->n_nodes + 1, sizeof(*load));
	size_t cns = plan_count(p, META_CN);
	int64_t total = 0, largest = 0;
	for (size_t i = 0; i < t->n_objects; i++) {
		total += t->objects[i].bytes;
		if (t->objects[i].bytes > largest)
			largest = t->objects[i].bytes;
	}
	if (!cns)
		return err_set(p->err, SQL_ERR(5905),
		               "No alive backend or compute node in warehouse default_warehouse.");
	int64_t share = total / (int64_t)cns + largest / 2 + 1;
	for (size_t i = 0; i < t->n_objects; i++) {
		size_t best = SIZE_MAX;
		uint64_t best_hash = 0;
		for (size_t pass = 0; pass < 2 && best == SIZE_MAX; pass++) {
			for (size_t k = 0; k < p->in->n_nodes; k++) {
				const struct coord_node *n = &p->in->nodes[k];
				uint64_t hash = str_hash(str_of(t->objects[i].key),
				                         (uint64_t)n->id * 0x9e3779b97f4a7c15u);
				if (n->role != META_CN ||
				    (pass == 0 && load[k] + t->objects[i].bytes > share))
					continue;
				if (best == SIZE_MAX || hash > best_hash)
					best = k, best_hash = hash;
			}
		}
		ret->of[i] = best;
		load[best] += t->objects[i].bytes;
	}
	return 0;
}

int plan_place(struct planner *p, struct plan_table *t, struct plan_place *ret)
{
	bool local = t->storage == META_LOCAL;
	ret->n = local ? t->n_tablets : t->n_objects;
	ret->of = xcalloc(ret->n + 1, sizeof(*ret->of));
	return local ? place_tablets(p, t, ret) : place_objects(p, t, ret);
}

/* Fixed and narrow types first: which column stands for "just count the rows". */
static int width(const char *type)
{
	static const char *const narrow[] = { "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER",  "DATE",
		                              "FLOAT",   "BIGINT",  "DOUBLE",   "TIMESTAMP" };
	for (size_t i = 0; i < ARRAY_LEN(narrow); i++) {
		if (strcmp(type, narrow[i]) == 0)
			return (int)i;
	}
	return (int)ARRAY_LEN(narrow);
}

json_t *plan_columns(const struct plan_scan *s)
{
	const struct plan_table *t = s->table;
	json_t *columns = json_array();
	size_t narrowest = 0;
	for (size_t i = 0; i < t->n_columns; i++) {
		if (s->used[i])
			json_array_append_new(columns,
			                      json_pack("{s:s, s:s}", "name", t->columns[i].name,
			                                "type", t->columns[i].type));
		if (width(t->columns[i].type) < width(t->columns[narrowest].type))
			narrowest = i;
	}
	if (json_array_size(columns) == 0 && t->n_columns > 0)
		json_array_append_new(columns,
		                      json_pack("{s:s, s:s}", "name", t->columns[narrowest].name,
		                                "type", t->columns[narrowest].type));
	return columns;
}

static double keeps(const struct plan_scan *s)
{
	double part = 1;
	for (size_t i = 0; i < json_array_size(s->filters) && i < 4; i++)
		part *= FILTER_KEEPS;
	return part;
}

int64_t plan_scan_bytes(const struct plan_scan *s)
{
	_cleanup_json_ json_t *columns = plan_columns(s);
	double all = s->table->n_columns ? (double)s->table->n_columns : 1;
	return (int64_t)((double)s->table->bytes * (double)json_array_size(columns) / all *
	                 keeps(s));
}

double plan_scan_rows(const struct plan_scan *s)
{
	return (double)s->table->rows * keeps(s);
}

json_t *plan_scan_input(const struct planner *p, const struct plan_scan *s,
                        const struct plan_place *place, size_t node)
{
	const struct plan_table *t = s->table;
	json_t *pieces = json_array();
	bool local = t->storage == META_LOCAL;
	size_t n = local ? t->n_tablets : t->n_objects;
	for (size_t i = 0; i < n; i++) {
		if (place && place->of[i] != node)
			continue;
		json_t *piece;
		if (local)
			piece = json_pack("{s:I, s:O}", "id", (json_int_t)t->tablets[i].id,
			                  "rowsets", t->tablets[i].rowsets);
		else
			piece = json_pack("{s:s, s:s, s:I, s:I}", "key", t->objects[i].key, "etag",
			                  t->objects[i].etag, "bytes",
			                  (json_int_t)t->objects[i].bytes, "rows",
			                  (json_int_t)t->objects[i].rows);
		json_array_append_new(pieces, piece);
	}
	json_t *input = json_pack("{s:s, s:s, s:o}", "name", s->name, "kind",
	                          local ? "tablets" : "objects", "columns", plan_columns(s));
	json_object_set_new(input, local ? "tablets" : "objects", pieces);
	if (!local)
		json_object_set(input, "s3", (json_t *)(uintptr_t)p->s3);
	return input;
}

/* Nodes but the task's own that hold every piece it was given. */
static void stand_ins(struct planner *p, struct coord_task *task, const struct plan_table *t,
                      const struct plan_place *place)
{
	task->others = xcalloc(p->in->n_nodes + 1, sizeof(*task->others));
	for (size_t node = 0; node < p->in->n_nodes; node++) {
		bool holds = node != task->node &&
		             p->in->nodes[node].role == p->in->nodes[task->node].role;
		for (size_t i = 0; holds && t->storage == META_LOCAL && i < place->n; i++)
			holds = place->of[i] != task->node || has_replica(p, &t->tablets[i], node);
		if (holds)
			task->others[task->n_others++] = node;
	}
}

void plan_scan_tasks(struct planner *p, struct coord_stage *stage, const struct plan_scan *s,
                     const struct plan_place *place)
{
	const struct plan_table *t = s->table;
	for (size_t node = 0; node < p->in->n_nodes; node++) {
		int64_t bytes = 0;
		bool any = false;
		for (size_t i = 0; i < place->n; i++) {
			if (place->of[i] != node)
				continue;
			any = true;
			bytes += t->storage == META_LOCAL ? t->tablets[i].bytes
			                                  : t->objects[i].bytes;
		}
		/* A table without any piece is still read by somebody. */
		if (!any && !(place->n == 0 && stage->n_tasks == 0 &&
		              p->in->nodes[node].role == stage->place))
			continue;
		struct coord_task *task = coord_stage_task(stage, node);
		json_array_append_new(task->inputs, plan_scan_input(p, s, place, node));
		task->est_bytes = bytes;
		stand_ins(p, task, t, place);
	}
}

json_t *plan_exchange_output(void)
{
	return json_pack("{s:s, s:i, s:[], s:s}", "kind", "exchange", "partitions", 1, "keys",
	                 "codec", "lz4");
}

int plan_scan_stage(struct planner *p, const struct plan_scan *s, const char *reason, size_t *ret)
{
	__attribute__((cleanup(plan_place_free))) struct plan_place place = { 0 };
	int rc = plan_place(p, s->table, &place);
	if (rc < 0)
		return rc;
	_cleanup_json_ json_t *columns = plan_columns(s);
	json_t *list = json_array();
	size_t i;
	json_t *c;
	json_array_foreach(columns, i, c) json_array_append_new(
		list, ast_alias(ast_new_column(s->name, ast_str(c, "name")), ast_str(c, "name")));
	struct coord_stage *stage =
		coord_dag_stage(p->dag, s->table->storage == META_LOCAL ? META_BE : META_CN);
	snprintf(stage->name, sizeof(stage->name), "scan %.24s", s->table->name);
	snprintf(stage->reason, sizeof(stage->reason), "%s", reason);
	stage->ast = ast_new_statement(
		ast_new_select(list, ast_new_table(s->name), ast_and(s->filters)));
	stage->output = plan_exchange_output();
	stage->est_bytes = plan_scan_bytes(s);
	plan_scan_tasks(p, stage, s, &place);
	*ret = p->dag->n_stages - 1;
	return 0;
}

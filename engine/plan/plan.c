#include "engine/plan/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/plan/ast.h"
#include "engine/plan/place.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

static int no_node(struct planner *p)
{
	return err_set(p->err, SQL_ERR(5905),
	               "No alive backend or compute node in warehouse default_warehouse.");
}

/* The role that the last stage must have; -1: any. Rows for tablets are split on a BE. */
static int wanted_role(const struct planner *p)
{
	return strcmp(ast_str(p->in->output, "kind"), "tablets") == 0 ? META_BE : -1;
}

struct direct { /* what of the query's tables a node has */
	size_t node;
	size_t scans;  /* that it can read whole */
	int64_t bytes; /* roughly, that need not travel to it */
};

static struct direct direct_at(const struct planner *p, size_t node)
{
	struct direct d = { .node = node };
	bool only_cn = plan_count(p, META_CN) == 1;
	for (size_t i = 0; i < p->q->n_scans; i++) {
		const struct plan_table *t = p->q->scans[i].table;
		d.bytes += plan_near_bytes(p, t, node);
		/* Objects stay with the CN whose cache has them, unless there is one CN. */
		if (!plan_reads(p, t, node) || (t->storage == META_BUCKET && !only_cn))
			continue;
		d.scans++;
	}
	return d;
}

/* Where a single last task runs: the node that can read most itself; among equals a CN when the query reads a bucket
 * (its data flows there anyway), else a BE. */
static int final_node(const struct planner *p)
{
	bool bucket = false;
	for (size_t i = 0; i < p->q->n_scans; i++)
		bucket |= p->q->scans[i].table->storage == META_BUCKET;
	enum meta_role liked = bucket ? META_CN : META_BE;
	int role = wanted_role(p), best = -1;
	struct direct best_direct = { 0 };
	for (size_t k = 0; k < p->in->n_nodes; k++) {
		size_t node = (k + (size_t)p->in->spread) % p->in->n_nodes;
		if (role >= 0 && (int)p->in->nodes[node].role != role)
			continue;
		struct direct d = direct_at(p, node);
		bool better = best < 0 || d.bytes > best_direct.bytes ||
		              (d.bytes == best_direct.bytes && d.scans > best_direct.scans);
		bool equal =
			best >= 0 && d.bytes == best_direct.bytes && d.scans == best_direct.scans;
		if (better || (equal && p->in->nodes[node].role == liked &&
		               p->in->nodes[best].role != liked)) {
			best = (int)node;
			best_direct = d;
		}
	}
	return best;
}

static bool reads_same(const struct planner *p, size_t node, size_t other, const bool *direct)
{
	if (p->in->nodes[node].role != p->in->nodes[other].role)
		return false;
	for (size_t i = 0; i < p->q->n_scans; i++) {
		if (direct[i] && !plan_reads(p, p->q->scans[i].table, other))
			return false;
	}
	return node != other;
}

/* One task with the whole query at node; what it cannot read itself is sent to it. */
static int gather(struct planner *p, size_t node, const char *why)
{
	bool only_cn = plan_count(p, META_CN) == 1;
	autofree bool *direct = xcalloc(p->q->n_scans + 1, sizeof(bool));
	autofree size_t *from = xcalloc(p->q->n_scans + 1, sizeof(size_t));
	size_t sent = 0;
	for (size_t i = 0; i < p->q->n_scans; i++) {
		const struct plan_scan *s = &p->q->scans[i];
		direct[i] = plan_reads(p, s->table, node) &&
		            (s->table->storage == META_LOCAL || only_cn);
		if (direct[i])
			continue;
		int rc = plan_scan_stage(p, s, "sent to the last stage", &from[i]);
		if (rc < 0)
			return rc;
		sent++;
	}
	struct coord_stage *f = coord_dag_stage(p->dag, p->in->nodes[node].role);
	snprintf(f->name, sizeof(f->name), "final");
	if (sent)
		snprintf(f->reason, sizeof(f->reason), "gather: %s", why);
	else
		snprintf(f->reason, sizeof(f->reason), "%s",
		         p->q->n_scans ? "router: one node has all that is read"
		                       : "constant: no table is read");
	f->ast = ast_new_statement(json_incref(p->q->node));
	f->output = p->in->output ? json_incref(p->in->output) : plan_exchange_output();
	struct coord_task *task = coord_stage_task(f, node);
	for (size_t i = 0; i < p->q->n_scans; i++) {
		const struct plan_scan *s = &p->q->scans[i];
		f->est_bytes += plan_scan_bytes(s);
		if (direct[i])
			json_array_append_new(task->inputs, plan_scan_input(p, s, NULL, node));
		else
			coord_stage_link(f, from[i], s->name);
	}
	task->est_bytes = f->est_bytes;
	task->others = xcalloc(p->in->n_nodes + 1, sizeof(*task->others));
	for (size_t i = 0; i < p->in->n_nodes; i++) {
		if (reads_same(p, node, i, direct))
			task->others[task->n_others++] = i;
	}
	return 0;
}

static int plan(struct planner *p)
{
	char why[120] = "";
	int64_t bytes = 0;
	bool bucket = false, local = wanted_role(p) == META_BE;
	for (size_t i = 0; i < p->q->n_scans; i++) {
		const struct plan_table *t = p->q->scans[i].table;
		coord_dag_version(p->dag, t->id, t->version);
		bytes += plan_scan_bytes(&p->q->scans[i]);
		bucket |= t->storage == META_BUCKET;
		local |= t->storage != META_BUCKET;
	}
	/* Also rows for a bucket in a cluster of compute nodes alone, scaled to zero: what needs no backend waits. */
	if ((bucket && plan_count(p, META_CN) == 0) || (!local && p->in->n_nodes == 0)) {
		p->dag->needs_cn = true;
		p->dag->slots_cn = 1;
		return 0;
	}
	int node = final_node(p);
	if (node < 0)
		return no_node(p);
	int64_t small = p->in->router_bytes ? p->in->router_bytes : PLAN_ROUTER_BYTES;
	bool all_there = direct_at(p, (size_t)node).scans == p->q->n_scans;
	size_t peers = plan_count(p, p->in->nodes[node].role);
	if (all_there && (bytes <= small || peers == 1))
		return gather(p, (size_t)node, "");
	int rc = plan_two_phase(p, why, sizeof(why));
	return rc == PLAN_NOT ? gather(p, (size_t)node, why) : rc;
}

int plan_make(struct plan_query *q, const struct plan_input *in, struct coord_dag **ret,
              struct err *err)
{
	_cleanup_(coord_dag_freep) struct coord_dag *dag = coord_dag_new();
	_cleanup_json_ json_t *s3 = NULL;
	if (in->s3_json && data_json_parse(str_of(in->s3_json), &s3, err) < 0)
		return err_wrap(err, "storage volume");
	if (!s3)
		s3 = json_object();
	struct planner p = { .q = q, .in = in, .dag = dag, .s3 = s3, .err = err };
	dag->n_nodes = in->n_nodes;
	dag->nodes = xcalloc(in->n_nodes + 1, sizeof(*dag->nodes));
	if (in->n_nodes)
		memcpy(dag->nodes, in->nodes, in->n_nodes * sizeof(*dag->nodes));
	int rc = plan(&p);
	if (rc == 0)
		rc = coord_dag_finish(dag, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(dag);
	return 0;
}

/* The value, or the statement's failure when it is longer than VARCHAR(n) lets it be. */
static json_t *bounded(json_t *value, const struct plan_target *t)
{
	if (t->max_bytes <= 0)
		return value;
	autofree char *text =
		xasprintf("String of column %s is too long: the maximum is %lld bytes", t->name,
	                  (long long)t->max_bytes);
	json_t *length = ast_new_function("strlen", json_pack("[o]", json_deep_copy(value)));
	json_t *check = ast_new_compare("COMPARE_GREATERTHAN", length, ast_new_int(t->max_bytes));
	json_t *fail = ast_new_function("error", json_pack("[o]", ast_new_string(text)));
	return json_pack("{s:s, s:s, s:s, s:[{s:o, s:o}], s:o}", "class", "CASE", "type",
	                 "CASE_EXPR", "alias", "", "case_checks", "when_expr", check, "then_expr",
	                 fail, "else_expr", value);
}

void plan_cast_columns(struct plan_query *q, const struct plan_target *targets, size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		char number[24];
		json_t *value;
		snprintf(number, sizeof(number), "c%d", targets[i].from);
		if (targets[i].from >= 0)
			value = ast_new_column("__insert", number);
		else if (targets[i].constant)
			value = ast_new_string(targets[i].constant);
		else
			value = ast_new_null();
		value = bounded(ast_new_cast(value, targets[i].type), &targets[i]);
		json_array_append_new(list, ast_alias(value, targets[i].name));
	}
	q->node = ast_new_select(list, ast_new_subquery(q->node, "__insert"), NULL);
}

const char *const plan_explain_columns[PLAN_EXPLAIN_COLUMNS] = {
	"Stage", "Name", "On", "Tasks", "Inputs", "EstBytes", "Reason",
};

static json_t *explain_inputs(const struct coord_stage *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4096);
	size_t i;
	json_t *input;
	json_array_foreach(s->n_tasks ? s->tasks[0].inputs : NULL, i, input)(void) buf_addf(
		&b, "%s%s (%s)", b.len ? ", " : "", ast_str(input, "name"), ast_str(input, "kind"));
	for (i = 0; i < s->n_links; i++)
		(void)buf_addf(&b, "%s%s (stage %zu)", b.len ? ", " : "", s->links[i].name,
		               s->links[i].stage);
	return json_string(buf_cstr(&b));
}

json_t *plan_explain(const struct coord_dag *d)
{
	json_t *lines = json_array();
	if (d->needs_cn)
		json_array_append_new(lines, json_pack("[s,s,s,s,s,s,s]", "0", "wait", "CN", "0",
		                                       "", "0", "waits for a compute node"));
	for (size_t i = 0; i < d->n_stages; i++) {
		const struct coord_stage *s = &d->stages[i];
		autofree char *number = xasprintf("%zu", i);
		autofree char *tasks = xasprintf("%zu", s->n_tasks);
		autofree char *bytes = xasprintf("%lld", (long long)s->est_bytes);
		json_array_append_new(lines, json_pack("[s,s,s,s,o,s,s]", number, s->name,
		                                       s->place == META_CN ? "CN" : "BE", tasks,
		                                       explain_inputs(s), bytes, s->reason));
	}
	return lines;
}

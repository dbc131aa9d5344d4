#include "engine/sql/query.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/admit/admit.h"
#include "engine/bind/bind.h"
#include "engine/cluster/cluster.h"
#include "engine/coord/coord.h"
#include "engine/exchange/format.h"
#include "engine/exec/exec.h"
#include "engine/meta/txn.h"
#include "engine/plan/plan.h"
#include "engine/rpc.h"
#include "engine/sql/allow.h"
#include "engine/sql/lex.h"
#include "engine/sql/normalise.h"
#include "engine/sql/result.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { LARGE_TEXT = 64 * 1024 };
enum { REPLANS_MAX = 8, REPLAN_PAUSE_MS = 250, REPLAN_AFTER_MS = 20, NODES_FIRST = 64 };

/* A query on its way. */
struct query {
	const struct sql_query_context *cx;
	struct sql_sink *sink; /* NULL: an INSERT */
	struct buf text;       /* normalised */
	json_t *ast;           /* allowed, not bound */
	struct plan_query *bound;
	bool *large; /* by column of the result: see sql/result.h */
	struct coord_node *nodes;
	size_t n_nodes;
	struct coord_dag *dag;
	struct admit_ticket *ticket;
	json_t *output; /* of an INSERT */
	/* What an INSERT does to the bound query. */
	int (*shape)(struct plan_query *q, void *arg, struct err *err);
	void *shape_arg;
	bool (*cancelled)(void *arg);
	void *cancelled_arg;
	struct err *err;
};

static void query_free(struct query *q)
{
	bool large = q->text.len > LARGE_TEXT;
	buf_free(&q->text);
	json_decref(q->ast);
	plan_query_free(q->bound);
	free(q->large);
	coord_dag_free(q->dag);
	if (q->ticket)
		admit_leave(q->ticket);
	free(q->nodes);
	if (large)
		(void)malloc_trim(
			0); /* its tree was a hundred times its text, in many small pieces */
}

static int parse(struct query *q, struct str sql)
{
	const struct sql_query_context *cx = q->cx;
	q->text = (struct buf)BUF_INIT(2 * SQL_TEXT_MAX);
	int rc = sql_normalise(sql, cx->modes, &q->text, q->err);
	if (rc < 0)
		return rc;
	_cleanup_json_ json_t *parsed = NULL;
	rc = exec_parse(cx->server->parser, buf_cstr(&q->text), &parsed, q->err);
	if (rc == -EINVAL) {
		q->err->code = SQL_ERR(1064); /* the words are for the user already */
		return q->err->code;
	}
	if (rc == -ENOMEM || rc == -ETIMEDOUT)
		return err_set(
			q->err, SQL_ERR(1064),
			"Getting syntax error. Detail message: the statement is too large to be "
			"parsed: %.300s",
			q->err->msg);
	if (rc < 0)
		return err_wrap(q->err, "the statement could not be parsed");
	json_t *statements = json_object_get(parsed, "statements");
	json_t *node = json_object_get(json_array_get(statements, 0), "node");
	if (json_array_size(statements) != 1 || !json_is_object(node))
		return err_set(q->err, SQL_ERR(1064), "One SELECT is expected here");
	struct sql_allow_context allow = { .db = cx->db ? cx->db : "",
		                           .user = cx->user,
		                           .version = cx->server->version,
		                           .connection_id = cx->connection_id,
		                           .now_ms = clock_real_ms() };
	rc = sql_allow(&allow, node, q->err);
	q->ast = rc == 0 ? json_incref(node) : NULL;
	return rc;
}

/* Compute nodes on which it has a slot; while it has none of any, all may be planned for. */
static bool is_granted(const struct query *q, const struct cluster_node *node,
                       const int64_t *granted, size_t n)
{
	if (!q->ticket || node->role != META_CN)
		return true;
	for (size_t i = 0; i < n; i++) {
		if (granted[i] == node->id)
			return true;
	}
	return false;
}

static int64_t *get_granted(const struct query *q, size_t *ret_n)
{
	*ret_n = q->ticket ? admit_granted(q->ticket, NULL, 0) : 0;
	int64_t *granted = xcalloc(*ret_n + 1, sizeof(*granted));
	if (*ret_n)
		(void)admit_granted(q->ticket, granted, *ret_n);
	return granted;
}

/* The workers that may be given tasks, as they are now. */
static void look_at_nodes(struct query *q)
{
	size_t max = NODES_FIRST, n;
	struct cluster_node *all = NULL;
	do {
		max *= 4;
		all = xreallocarray(all, max, sizeof(*all));
		n = cluster_nodes(q->cx->server->cluster, 1u << META_BE | 1u << META_CN, all, max);
	} while (n == max && max < CLUSTER_NODES_MAX);
	size_t n_granted;
	autofree int64_t *granted = get_granted(q, &n_granted);
	free(q->nodes);
	q->nodes = xcalloc(n + 1, sizeof(*q->nodes));
	q->n_nodes = 0;
	for (size_t i = 0; i < n; i++) {
		if (!all[i].alive || all[i].draining || !is_granted(q, &all[i], granted, n_granted))
			continue;
		struct coord_node *node = &q->nodes[q->n_nodes++];
		*node = (struct coord_node){ .id = all[i].id, .role = all[i].role };
		snprintf(node->rpc, sizeof(node->rpc), "%s", all[i].rpc);
	}
	free(all);
}

static int bind_and_plan(struct query *q)
{
	const struct sql_query_context *cx = q->cx;
	struct bind_catalog catalog = bind_meta(cx->server->meta);
	plan_query_free(q->bound);
	coord_dag_free(q->dag);
	q->bound = NULL;
	q->dag = NULL;
	int rc = bind_query(&catalog, cx->db ? cx->db : "", buf_cstr(&q->text),
	                    json_deep_copy(q->ast), &q->bound, q->err);
	if (rc == 0 && q->shape)
		rc = q->shape(q->bound, q->shape_arg, q->err);
	if (rc < 0)
		return rc;
	free(q->large);
	q->large = sql_result_large(q->bound); /* planning takes the tree apart */
	look_at_nodes(q);
	struct plan_input in = { .nodes = q->nodes,
		                 .n_nodes = q->n_nodes,
		                 .s3_json = cx->server->s3_json,
		                 .spread = str_hash(str_of(cx->query_id), 0),
		                 .output = q->output };
	return plan_make(q->bound, &in, &q->dag, q->err);
}

/* The nodes of that role on which a task of the plan runs; at most one for each node of the plan. */
static size_t planned_on(const struct coord_dag *d, enum meta_role role, int64_t *out)
{
	size_t n = 0;
	for (size_t k = 0; k < d->n_nodes; k++) {
		bool used = false;
		for (size_t s = 0; s < d->n_stages; s++) {
			for (size_t i = 0; i < d->stages[s].n_tasks; i++)
				used = used || d->stages[s].tasks[i].node == k;
		}
		if (used && d->nodes[k].role == role)
			out[n++] = d->nodes[k].id;
	}
	return n;
}

static int enter(struct query *q, struct str sql, struct deadline by)
{
	autofree int64_t *be = xcalloc(q->dag->n_nodes + 1, sizeof(*be));
	autofree int64_t *cn = xcalloc(q->dag->n_nodes + 1, sizeof(*cn));
	autofree char *text = str_dup((struct str){ sql.p, sql.len < 256 ? sql.len : 256 });
	struct admit_request rq = { .query_id = q->cx->query_id,
		                    .user = q->cx->user,
		                    .group = "default_wg",
		                    .sql = text,
		                    .be = be,
		                    .n_be = planned_on(q->dag, META_BE, be),
		                    .slots_cn = q->dag->slots_cn,
		                    .cn = cn,
		                    .n_cn = planned_on(q->dag, META_CN, cn),
		                    .by = by,
		                    .cancelled = q->cancelled,
		                    .arg = q->cancelled_arg };
	return admit_enter(q->cx->server->admit, &rq, &q->ticket, q->err);
}

/* Whether it was given the compute nodes that it was planned for. */
static bool is_as_planned(const struct query *q)
{
	size_t n, n_granted;
	autofree int64_t *cn = xcalloc(q->dag->n_nodes + 1, sizeof(*cn));
	autofree int64_t *granted = get_granted(q, &n_granted);
	n = planned_on(q->dag, META_CN, cn);
	for (size_t i = 0; i < n; i++) {
		const struct cluster_node node = { .id = cn[i], .role = META_CN };
		if (!is_granted(q, &node, granted, n_granted))
			return false;
	}
	return true;
}

/* Waits for its turn; what was planned before the wait is planned again, since nodes and tables may have changed. */
static int admit(struct query *q, struct str sql)
{
	struct deadline by = deadline_in(q->cx->pending_timeout_ms);
	for (;;) {
		int64_t before = clock_mono_ms();
		bool waits = q->dag->needs_cn;
		int rc = enter(q, sql, by);
		if (rc < 0)
			return rc;
		if (waits || clock_mono_ms() - before > REPLAN_AFTER_MS || !is_as_planned(q))
			rc = bind_and_plan(q);
		if (rc < 0 || !q->dag->needs_cn)
			return rc;
		/* The CN that came is gone again, or has not said yet that it lives. */
		admit_leave(TAKE_PTR(q->ticket));
		clock_sleep_ms(REPLAN_PAUSE_MS);
		rc = bind_and_plan(q);
		if (rc < 0)
			return rc;
	}
}

/* Admitted and run; *ret_answer and *ret_rows as coord_run() gives them. */
static int run(struct query *q, struct str sql, const char *run_id, json_t **ret_answer,
               struct xchg_reader **ret_rows)
{
	int rc = bind_and_plan(q);
	if (rc == 0)
		rc = admit(q, sql);
	if (rc < 0)
		return rc;
	char id[RPC_ID_LEN + 1];
	snprintf(id, sizeof(id), "%s", run_id);
	struct coord_job job = { .query_id = id,
		                 .by = deadline_in(q->cx->query_timeout_ms),
		                 .cancelled = q->cancelled,
		                 .arg = q->cancelled_arg };
	for (int i = 0;; i++) {
		job.ticket = q->ticket; /* perhaps another than the last time */
		rc = coord_run(q->cx->server->coord, q->dag, &job, ret_answer, ret_rows, q->err);
		if (rc != COORD_REPLAN)
			break;
		if (i == REPLANS_MAX)
			return err_set(q->err, SQL_ERR(1105), "no worker could run it: %.400s",
			               q->err->msg);
		log_info("query=%s event=replan reason=\"%s\"", id, q->err->msg);
		clock_sleep_ms(REPLAN_PAUSE_MS * (i + 1));
		/* Another id: what the attempt before left behind is being dropped. */
		fd_random_hex(id, RPC_ID_LEN / 2);
		rc = bind_and_plan(q);
		while (rc == 0 && q->dag->needs_cn) {
			admit_leave(TAKE_PTR(q->ticket));
			rc = bind_and_plan(q); /* with all compute nodes that there are */
			if (rc == 0)
				rc = admit(q, sql);
		}
		if (rc < 0)
			return rc;
	}
	admit_leave(TAKE_PTR(q->ticket));
	return rc;
}

static bool sink_cancelled(void *arg)
{
	struct sql_sink *sink = arg;
	return sink->cancelled && sink->cancelled(sink);
}

static int run_select(struct query *q, struct str sql)
{
	_cleanup_(xchg_reader_freep) struct xchg_reader *rows = NULL;
	int rc = run(q, sql, q->cx->query_id, NULL, &rows);
	if (rc < 0)
		return rc;
	return sql_result_send(rows, (const char *const *)q->bound->names, q->large,
	                       q->bound->n_names, q->sink, q->err);
}

int sql_query_run(const struct sql_query_context *cx, struct str sql, enum sql_query_kind kind,
                  struct sql_sink *sink, struct err *err)
{
	__attribute__((cleanup(query_free))) struct query q = { .cx = cx,
		                                                .sink = sink,
		                                                .cancelled = sink_cancelled,
		                                                .cancelled_arg = sink,
		                                                .err = err };
	int rc = parse(&q, sql);
	if (rc < 0)
		return rc;
	if (kind != SQL_QUERY_EXPLAIN)
		return run_select(&q, sql);
	rc = bind_and_plan(&q);
	if (rc < 0)
		return rc;
	_cleanup_json_ json_t *lines = plan_explain(q.dag);
	return sql_result_send_lines(lines, plan_explain_columns, PLAN_EXPLAIN_COLUMNS, sink, err);
}

/* ---- INSERT ---- */

struct insert {
	const char *db, *table;
	const char *const *columns;
	size_t n;
	const json_t *wanted; /* the table's columns, of meta_txn_begin() */
	const struct query *q;
};

/* Which of the query's columns goes into the table's column; -1: none. */
static int source_of(const struct insert *in, size_t at, const char *name)
{
	if (in->n == 0)
		return (int)at;
	for (size_t i = 0; i < in->n; i++) {
		if (strcasecmp(in->columns[i], name) == 0)
			return (int)i;
	}
	return -1;
}

static int check_names(const struct insert *in, size_t given, struct err *err)
{
	size_t want = in->n ? in->n : json_array_size(in->wanted);
	if (given != want)
		return err_set(err, SQL_ERR(1136),
		               "Column count doesn't match value count: %zu columns, %zu values",
		               want, given);
	for (size_t i = 0; i < in->n; i++) {
		bool known = false;
		size_t k;
		json_t *c;
		json_array_foreach(in->wanted, k, c) known |=
			strcasecmp(data_get_str(c, "name"), in->columns[i]) == 0;
		if (!known)
			return err_set(err, SQL_ERR(1054), "Unknown column '%.200s' in '%.200s'",
			               in->columns[i], in->table);
		for (k = 0; k < i; k++) {
			if (strcasecmp(in->columns[k], in->columns[i]) == 0)
				return err_set(err, SQL_ERR(1110),
				               "Column '%.200s' specified twice", in->columns[i]);
		}
	}
	return 0;
}

static int shape_insert(struct plan_query *q, void *arg, struct err *err)
{
	const struct insert *in = arg;
	int rc = check_names(in, q->n_names, err);
	if (rc < 0)
		return rc;
	size_t n = json_array_size(in->wanted), i;
	autofree struct plan_target *targets = xcalloc(n + 1, sizeof(*targets));
	json_t *c;
	json_array_foreach(in->wanted, i, c)
	{
		struct plan_target *t = &targets[i];
		*t = (struct plan_target){ .name = data_get_str(c, "name"),
			                   .type = data_get_str(c, "type"),
			                   .constant = data_get_str(c, "default"),
			                   .max_bytes =
			                           xchg_text_max(data_get_str(c, "declared")) };
		t->from = source_of(in, i, t->name);
		if (t->from < 0 && !t->constant && !data_get_bool(c, "nullable", true))
			return err_set(err, SQL_ERR(1364),
			               "Field '%.200s' doesn't have a default value", t->name);
	}
	plan_cast_columns(q, targets, n);
	return 0;
}

/* Where replicas are written, from the nodes as they were a moment ago: meta's lock is held. */
static bool resolve(void *arg, int64_t node, char *out, size_t size)
{
	const struct query *q = arg;
	for (size_t i = 0; i < q->n_nodes; i++) {
		if (q->nodes[i].id == node) {
			snprintf(out, size, "%s", q->nodes[i].rpc);
			return true;
		}
	}
	return false;
}

static int begin(struct query *q, const char *db, const char *table, const char *label,
                 struct meta_txn_begun *ret)
{
	struct sql_server *server = q->cx->server;
	struct meta_txn_request rq = { .db = db,
		                       .table = table,
		                       .label = label,
		                       .user = q->cx->user,
		                       .worker = "",
		                       .timeout_ms = q->cx->pending_timeout_ms +
		                                     q->cx->query_timeout_ms + 10000,
		                       .resolve = resolve,
		                       .resolve_arg = q,
		                       .s3_json = server->s3_json,
		                       .s3_path = server->s3_path };
	look_at_nodes(q);
	int rc = meta_txn_begin(server->meta, &rq, ret, q->err);
	if (rc != META_TXN_LABEL_EXISTS)
		return rc;
	return err_set(q->err, SQL_ERR(1064), "Label [%.128s] has already been used.", ret->label);
}

static int commit(struct query *q, const struct meta_txn_begun *txn, const json_t *answer,
                  uint64_t *ret_rows)
{
	const json_t *pieces = json_object_get(answer, "rowsets");
	if (!pieces)
		pieces = json_object_get(answer, "objects");
	_cleanup_json_ json_t *none = json_array();
	int64_t version;
	uint64_t rows = (uint64_t)data_get_int(answer, "rows", 0);
	int rc = meta_txn_commit(q->cx->server->meta, txn->txn, rows,
	                         (uint64_t)data_get_int(answer, "bytes", 0), pieces ? pieces : none,
	                         &version, q->err);
	if (rc == 0)
		*ret_rows = rows;
	return rc;
}

int sql_query_insert(const struct sql_query_context *cx, const char *db, const char *table,
                     const char *const *columns, size_t n, struct str query, const char *label,
                     uint64_t *ret_rows, struct err *err)
{
	__attribute__((cleanup(query_free))) struct query q = { .cx = cx, .err = err };
	_cleanup_meta_txn_ struct meta_txn_begun txn = { 0 };
	int rc = parse(&q, query);
	if (rc == 0)
		rc = begin(&q, db, table, label, &txn);
	if (rc < 0)
		return rc;
	struct insert in = { db, table, columns, n, txn.columns, &q };
	q.shape = shape_insert;
	q.shape_arg = &in;
	q.output = txn.output;
	_cleanup_json_ json_t *answer = NULL;
	rc = run(&q, query, txn.query, &answer, NULL);
	if (rc == 0)
		rc = commit(&q, &txn, answer, ret_rows);
	if (rc < 0) {
		struct err ignored = ERR_INIT;
		(void)meta_txn_abort(cx->server->meta, txn.txn, err->msg, &ignored);
	}
	return rc;
}

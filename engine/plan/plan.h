/* From a bound query to stages and tasks: Citus' ladder, with the reason of each choice kept for EXPLAIN.
 *
 * Router: one node holds all that is read, so the whole query is one task there. Broadcast: one large table is
 * scanned where it lies, small ones travel to it, partial results are combined at the end. Gather: every table that
 * the last node cannot read itself is scanned and sent to it; always correct. Repartition is not built yet.
 * Placement: tablets on BEs with a live replica, objects on CNs only (rendezvous hashing, so that caches stay warm).
 * Thread: any; pure. Errors: SQL_ERR 5905 (no worker for it), 1105 (a tablet without a live replica), 1064. */
#ifndef ROOST_ENGINE_PLAN_PLAN_H
#define ROOST_ENGINE_PLAN_PLAN_H

#include "engine/coord/dag.h"
#include "engine/plan/query.h"
#include "lib/base/err.h"

#define PLAN_BROADCAST_BYTES ((int64_t)256 * 1024 * 1024) /* of one table that is sent to all */
#define PLAN_ROUTER_BYTES ((int64_t)64 * 1024 * 1024)     /* more is worth several nodes */

struct plan_input {
	const struct coord_node *nodes; /* alive and not draining */
	size_t n_nodes;
	const char *s3_json; /* rpc.h's S3 object, for tables in a bucket; may be NULL */
	uint64_t spread;     /* which of equally good nodes: the query's number */
	/* Where the final stage writes (rpc.h's OUTPUT, borrowed); NULL: an exchange, for the client. */
	json_t *output;
	int64_t router_bytes, broadcast_bytes; /* 0: as above; tests set them */
};

/* q->node is taken apart: plan a query once. To plan again, bind again (the catalog has changed as well). */
int plan_make(struct plan_query *q, const struct plan_input *in, struct coord_dag **ret,
              struct err *err);

/* For INSERT: the query's columns cast to these types under these names, in this order; from[i] is the query's column
 * or -1 for constant texts[i] (NULL: NULL). Replaces q->node. */
struct plan_target {
	const char *name, *type, *constant;
	int from;
	int64_t max_bytes; /* a longer text fails the statement; 0: any */
};
void plan_cast_columns(struct plan_query *q, const struct plan_target *targets, size_t n);

/* EXPLAIN's lines, each with PLAN_EXPLAIN_COLUMNS texts: an array of arrays of strings. */
enum { PLAN_EXPLAIN_COLUMNS = 7 };
extern const char *const plan_explain_columns[PLAN_EXPLAIN_COLUMNS];
json_t *plan_explain(const struct coord_dag *d);

#endif

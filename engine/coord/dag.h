/* What a planned query is: stages of tasks, and what flows between them.
 *
 * Thread: built by one thread (plan/), then only read, except by the coord_run() that it is given to.
 * Ownership: a dag owns everything in it. Limits: RPC_STAGES_MAX stages, RPC_TASKS_MAX tasks in one.
 * Order: a stage reads only stages before it; the last stage is the one whose output is the result. */
#ifndef ROOST_ENGINE_COORD_DAG_H
#define ROOST_ENGINE_COORD_DAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/meta/meta.h"
#include "lib/base/err.h"

enum { COORD_DIGEST_LEN = 64 };

struct coord_node { /* a worker that this query may use */
	int64_t id;
	enum meta_role role;
	char rpc[META_NAME_MAX + 16];
};

struct coord_task {
	size_t node;    /* where the first attempt runs: index into dag.nodes */
	size_t *others; /* where else it may run, best first */
	size_t n_others;
	json_t *inputs; /* INPUTs of kind tablets or objects (rpc.h); exchanges are added when it starts */
	int64_t est_bytes;
};

struct coord_link { /* every output of an earlier stage, whole, under a name */
	size_t stage;
	char name[32];
};

struct coord_stage {
	char name[32];    /* "scan lineorder", "aggregate", "final": for people */
	char reason[160]; /* why it is so, for EXPLAIN */
	char digest[COORD_DIGEST_LEN + 1];
	enum meta_role place;
	json_t *ast;          /* the statement, in json_serialize_sql()'s form */
	bool keep_join_order; /* the planner has ordered the joins itself */
	json_t *output;       /* OUTPUT (rpc.h) */
	struct coord_link *links;
	size_t n_links;
	struct coord_task *tasks;
	size_t n_tasks;
	int64_t est_bytes;
};

struct coord_version { /* an input of the query, as it was when planned */
	int64_t table, version;
};

struct coord_dag {
	struct coord_node *nodes;
	size_t n_nodes;
	struct coord_stage *stages;
	size_t n_stages;
	struct coord_version *versions;
	size_t n_versions;
	/* What admission is asked for. With needs_cn (a table in a bucket while there is no CN) there are no stages:
	 * the query waits for slots_cn and is planned again. */
	int slots_be, slots_cn;
	bool needs_cn;
};

struct coord_dag *coord_dag_new(void);
void coord_dag_free(struct coord_dag *d);
struct coord_stage *coord_dag_stage(struct coord_dag *d, enum meta_role place); /* appends */
struct coord_task *coord_stage_task(struct coord_stage *s, size_t node);        /* appends */
void coord_stage_link(struct coord_stage *s, size_t stage, const char *name);
void coord_dag_version(struct coord_dag *d, int64_t table, int64_t version); /* once a table */
/* Fills slots, the digests of all stages, and checks the limits. */
int coord_dag_finish(struct coord_dag *d, struct err *err);
/* For golden tests and logs: everything, as JSON; the caller owns it. */
json_t *coord_dag_json(const struct coord_dag *d);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct coord_dag, coord_dag_free)

#endif

/* Runs the stages of a planned query on the workers and brings its result.
 *
 * Thread: a struct coord is shared by all sessions and safe; coord_run() is the session's thread and returns when
 * the query has ended. One thread of its own drops the exchange files of ended queries.
 * What fails is tried again: a task elsewhere, a lost input's producer first, RPC_ATTEMPTS_MAX times a task. A result
 * is fetched whole (to memory, beyond COORD_RESULT_MEMORY to an unlinked file) before its first row leaves, so no
 * client ever sees rows of an attempt that did not complete. Limit: COORD_RESULT_MAX bytes of result. */
#ifndef ROOST_ENGINE_COORD_COORD_H
#define ROOST_ENGINE_COORD_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/coord/dag.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

struct cluster;
struct admit;
struct admit_ticket;
struct coord;
struct xchg_reader;

#define COORD_RESULT_MAX ((int64_t)8 * 1024 * 1024 * 1024)
enum { COORD_RESULT_MEMORY = 256 * 1024 };

struct coord_config {
	struct meta *meta;
	struct cluster *cluster; /* NULL: nobody is told of suspects (tests) */
	struct admit *admit;
	const char *token_file; /* NULL: no token is sent (tests) */
	const char *self;       /* "host:rpc_port" of this FE, for logs */
	const char *spool_dir;  /* where large results wait; NULL: /tmp */
};
int coord_new(const struct coord_config *config, struct coord **ret, struct err *err);
void coord_free(struct coord *c);

struct coord_job {
	const char *query_id; /* 32 hex digits */
	struct deadline by;
	int64_t mem_limit;            /* of a task; 0: the group's */
	const char *group;            /* NULL: default_wg */
	struct admit_ticket *ticket;  /* a task needs a slot of it; NULL: none (tests) */
	bool (*cancelled)(void *arg); /* client gone or KILL; may be NULL */
	void *arg;
};
/* Positive outcome: a node that no other can stand in for is gone: plan again and run again. */
enum { COORD_REPLAN = 1 };
/* Runs d. *ret_answer: the final task's answer ({rows, columns, rowsets, objects…}, rpc.h); may be NULL. The result of a
 * final stage with an exchange output comes back in *ret_rows (NULL otherwise, or when ret_rows is NULL).
 * Errors: SQL_ERR codes: the worker's words; 1317 cancelled; 3024 query timeout; 1105 otherwise. */
int coord_run(struct coord *c, const struct coord_dag *d, const struct coord_job *job,
              json_t **ret_answer, struct xchg_reader **ret_rows, struct err *err);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct coord, coord_free)

#endif

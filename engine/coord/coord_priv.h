/* What coord/'s files share: the state of one run. */
#ifndef ROOST_ENGINE_COORD_COORD_PRIV_H
#define ROOST_ENGINE_COORD_COORD_PRIV_H

#include "engine/coord/coord.h"
#include "lib/base/buf.h"
#include "lib/net/http_client.h"

enum {
	COORD_TICK_MS = 100, /* how often a run looks whether it was cancelled */
	COORD_LOOK_MS = 500, /* and whether nodes are silent */
	COORD_SILENT_MS =
		7000, /* since the last heartbeat: longer than CLUSTER_ALIVE_MS, since work is thrown away */
};

/* Connections are kept between queries: a batch is taken for a run and given back when nothing is under way in it. */
int coord_take_batch(struct coord *c, struct http_batch **ret, struct err *err);
void coord_give_batch(struct coord *c, struct http_batch *b);
/* The node-to-node token, read anew so that it can rotate; "" when there is none. */
int coord_token(const struct coord *c, struct buf *out, struct err *err);
/* Drops what the query left on these nodes, later. */
void coord_forget(struct coord *c, const char *query_id, const struct coord_dag *d,
                  const bool *used);
/* A connection to it broke. */
void coord_suspect(struct coord *c, const struct coord_node *n);
/* Its machine or network seems gone without a word, so that no connection breaks. */
bool coord_is_silent(struct coord *c, const struct coord_node *n);
const char *coord_spool_dir(const struct coord *c);

enum task_state { TASK_WAITING, TASK_RUNNING, TASK_DONE };

struct run_task {
	enum task_state state;
	size_t stage, task;
	size_t node;  /* of the attempt that runs or is done */
	int attempts; /* begun so far; the last one's number is attempts - 1 */
	int crashes;
	json_t *answer; /* of the attempt that is done */
	bool avoid;     /* the attempt before failed by itself: rather another node */
	bool recalled; /* the attempt that runs is broken off: a silent node has it, or its input */
	char *url, *body;
	struct http_call call; /* of the attempt that runs */
	struct http_reply reply;
	struct err last; /* why the attempt before failed */
};

struct run {
	struct coord *c;
	const struct coord_dag *d;
	const struct coord_job *job;
	struct err *err;
	struct http_batch *batch;
	struct buf token;
	struct run_task *tasks; /* of all stages, in order */
	size_t *first;          /* by stage: index of its first task */
	bool *gone;             /* by node: a connection broke; what it held is lost */
	bool *closed;           /* by node: draining; takes no task, but serves what it has */
	bool *used;
	bool waits;             /* a task that could run has no slot */
	int64_t look_ms;        /* when nodes are looked at next; monotonic */
	struct http_call fetch; /* of the result */
	struct http_reply fetched;
};

/* The request of an attempt: {v, query, …} (rpc.h). */
json_t *coord_request(const struct run *r, const struct run_task *t);
/* The rows of a done task: 0 with a reader; negative: they could not be had (the attempt is to be repeated when
 * *ret_again). */
int coord_fetch(struct run *r, const struct run_task *t, struct xchg_reader **ret, bool *ret_again);

#endif

/* Admission: every query waits here until the nodes that it runs on have slots (and memory) for it. Overload is latency.
 *
 * Slots are counted by node: a query holds one slot of each node that it runs on, and its tasks there run in that slot,
 * one after the other; a node's slots are never given twice. A BE is wanted by name (it has the tablets), a CN by
 * number: any with a free slot will do, rather those of the plan, so that a new CN has work at once.
 * Thread: safe; admit_enter() blocks its caller. Fairness: first come first served within a resource group; a query
 * that needs CNs while there is none waits without holding up those that need none.
 * StarRocks' words: slot, pending timeout, query queue. Limits: ADMIT_PENDING_MAX waiting queries. */
#ifndef ROOST_ENGINE_ADMIT_ADMIT_H
#define ROOST_ENGINE_ADMIT_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

enum { ADMIT_PENDING_MAX = 16384 };

struct admit;
struct admit_ticket;

struct admit_request {
	const char *query_id, *user, *group; /* copied */
	const char *sql; /* copied up to 256 bytes: for SHOW RUNNING QUERIES and the web page */
	const int64_t *
		be; /* the backends that its tasks run on: a slot of each; unknown ones are not waited for */
	size_t n_be;
	int slots_cn; /* on how many compute nodes it would run; it starts when half of those have a free slot */
	const int64_t *cn; /* rather on these */
	size_t n_cn;
	struct deadline by; /* the pending timeout */
	bool (*cancelled)(
		void *arg); /* asked about ten times a second while waiting; may be NULL */
	void *arg;
};

int admit_new(struct admit **ret, struct err *err);
void admit_free(struct admit *a);

struct admit_node {
	int64_t id;
	bool cn;
	int slots;
};
/* All live, not draining nodes; cluster's on_change ends here. A node that is not named gets no new query. */
void admit_set_nodes(struct admit *a, const struct admit_node *nodes, size_t n);

/* 0: admitted; leave with admit_leave(). Errors carry SQL_ERR codes and StarRocks' wording: pending timeout, queue
 * capacity exceeded, cancelled (1317). */
int admit_enter(struct admit *a, const struct admit_request *rq, struct admit_ticket **ret,
                struct err *err);
void admit_leave(struct admit_ticket *t);
/* The compute nodes of an admitted query: it is to be planned on them. At most max; how many there are is returned. */
size_t admit_granted(struct admit_ticket *t, int64_t *out, size_t max);

/* Before each task attempt of an admitted query, and after it. GO: there is a slot; it is the attempt's until
 * admit_task_end(). WAIT: ask again after one of the query's tasks has ended, or a little later. GONE: no such node.
 * A node that was not granted (a stand-in for one that failed) has to have a slot free as well; so that nobody waits
 * for a slot with another idle in his hand, the query gives up what it holds and does not use. NULL: GO. */
enum admit_task { ADMIT_TASK_GO, ADMIT_TASK_WAIT, ADMIT_TASK_GONE };
enum admit_task admit_task_begin(struct admit_ticket *t, int64_t node);
void admit_task_end(struct admit_ticket *t, int64_t node);

struct admit_load {
	int pending, running;
	int required_slots; /* of pending and running queries, CN kind */
	int running_slots_cn;
	struct { /* the same of the BE kind, without queries that wait for CN slots */
		int pending, running, required_slots;
		double oldest_wait_s;
	} be;
	double oldest_wait_s; /* of a pending query that waits for CN slots; 0 when none waits */
	double service_p50_s, service_p95_s; /* of the last 256 finished queries */
	uint64_t total, timeouts, rejected;
};
void admit_get_load(struct admit *a, struct admit_load *ret);

struct admit_query { /* a row of SHOW RUNNING QUERIES */
	char query_id[40], user[64], group[64], sql[260];
	bool pending;
	int64_t since_ts; /* ms since 1970 */
	int slots;
};
size_t admit_queries(struct admit *a, struct admit_query *out, size_t max);

#endif

/* Admission: every query waits here until the cluster has slots (and memory) for it. Overload is latency.
 *
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
	int slots_be,
		slots_cn;   /* wanted at once of each kind; clipped to what exists when larger */
	struct deadline by; /* the pending timeout */
	bool (*cancelled)(
		void *arg); /* asked about ten times a second while waiting; may be NULL */
	void *arg;
};

int admit_new(struct admit **ret, struct err *err);
void admit_free(struct admit *a);

/* How many slots the live, not draining nodes of each kind offer; cluster's on_change ends here. */
void admit_set_capacity(struct admit *a, int be_slots, int cn_slots);

/* 0: admitted; leave with admit_leave(). Errors carry SQL_ERR codes and StarRocks' wording: pending timeout, queue
 * capacity exceeded, cancelled (1317). */
int admit_enter(struct admit *a, const struct admit_request *rq, struct admit_ticket **ret,
                struct err *err);
void admit_leave(struct admit_ticket *t);

struct admit_load {
	int pending, running;
	int required_slots; /* of pending and running queries, CN kind */
	int running_slots_cn;
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

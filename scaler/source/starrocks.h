/* What an FE of StarRocks' own says about its load: its leader's queue and compute nodes by SQL, its metrics by HTTP.
 *
 * SHOW FRONTENDS finds the leader, who alone knows the queue; SHOW RUNNING QUERIES (3.1.4 and later) gives waiting and
 * running queries with their slots, SHOW COMPUTE NODES (and SHOW BACKENDS) the nodes, /metrics the queue's length and the service time.
 * A warehouse's queue is in the same /metrics (starrocks_houses.c); what is its own is not the cluster's.
 * One answer is one whole reading: a column, a row or a metric that is missing or no number makes all of it unknown.
 * A node's slots are its CpuCores unless the pool says slotsPerNode.
 * Thread: one conversation is one thread's; it blocks up to the deadline. */
#ifndef ROOST_SCALER_SOURCE_STARROCKS_H
#define ROOST_SCALER_SOURCE_STARROCKS_H

#include "lib/base/clock.h"
#include "lib/mysql/client.h"
#include "lib/net/http_client.h"
#include "scaler/source/source.h"

struct source_starrocks;
int source_starrocks_new(const struct source_login *login /* copied */, const struct http_tls *tls,
                         struct source_starrocks **ret, struct err *err);
void source_starrocks_free(struct source_starrocks *c);
/* Once true, a call under way ends in moments, with -ECANCELED. Borrowed. */
void source_starrocks_stop_when(struct source_starrocks *c, const _Atomic bool *stop);
/* be: the backends, too. -EACCES: the password was refused. */
int source_starrocks_ask(struct source_starrocks *c, bool be, struct deadline by,
                         struct source_load *ret, struct err *err);

/* The parts of a reading, for tests: each adds to *s or refuses. */
int source_starrocks_queries(const struct mysqlc_result *r, int64_t now_ms,
                             struct source_snapshot *s, struct err *err);
/* house: the nodes of that warehouse; NULL: of the default one, and of a cluster that has none. */
int source_starrocks_nodes(const struct mysqlc_result *r, const char *house,
                           struct source_snapshot *s, struct err *err);
int source_starrocks_metrics(struct str text, struct source_snapshot *s, struct err *err);
/* Fills l->houses, and takes what is theirs from the queue that l->of[] has. text was read by the one above. */
int source_starrocks_houses(struct str text, const struct mysqlc_result *nodes,
                            struct source_load *l, struct err *err);

DEFINE_CLEANUP(struct source_starrocks, source_starrocks_free)

#endif

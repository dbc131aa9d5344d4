/* The sessions of this FE by connection id: for SHOW PROCESSLIST, KILL and the counters of /metrics.
 *
 * Thread: safe. Ownership: holds borrowed sessions; a session adds itself and leaves before it is freed. */
#ifndef ROOST_ENGINE_SQL_CONNECTIONS_H
#define ROOST_ENGINE_SQL_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

enum { SQL_INFO_MAX = 256 };

struct sql_session;
struct sql_connections;

struct sql_connections *sql_connections_new(void);
void sql_connections_free(struct sql_connections *c);

void sql_connections_add(struct sql_connections *c, uint32_t id, struct sql_session *s,
                         const char *user, const char *peer);
void sql_connections_del(struct sql_connections *c, uint32_t id, const struct sql_session *s);
/* What the session does now: a statement (sql.p not NULL) or nothing; and its database. */
void sql_connections_doing(struct sql_connections *c, uint32_t id, struct str sql, const char *db);
/* false: no such connection. */
bool sql_connections_kill(struct sql_connections *c, uint32_t id, bool connection);

struct sql_connection { /* a row of SHOW PROCESSLIST */
	uint32_t id;
	char user[64], peer[64], db[256],
		info[SQL_INFO_MAX]; /* info: the statement's start, or "" */
	int64_t connected_ts;       /* ms since 1970 */
	int64_t since_ms;           /* monotonic: of the statement, or of its end */
	bool running;
};
size_t sql_connections_list(struct sql_connections *c, struct sql_connection *out, size_t max);

/* For /metrics: starrocks_fe_connection_total (a gauge), _query_total, _query_err, and the latency of statements
 * that read or load: how many, and the sum. */
struct sql_stats {
	uint64_t connections, statements, queries, query_errors;
	double query_seconds;
};
void sql_connections_stats(struct sql_connections *c, struct sql_stats *ret);
void sql_connections_count(struct sql_connections *c, bool query, bool failed, double seconds);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct sql_connections, sql_connections_free)

#endif

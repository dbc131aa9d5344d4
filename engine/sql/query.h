/* Queries: from text to rows: normalise, parse in the child, allow-list, bind, plan, admit, run.
 *
 * Thread: the session's. This file is the seam between statements (sql/) and the planner's people. */
#ifndef ROOST_ENGINE_SQL_QUERY_H
#define ROOST_ENGINE_SQL_QUERY_H

#include <stdint.h>

#include "engine/sql/session.h"

struct sql_query_context {
	struct sql_server *server;
	const char *db, *user;
	const char *query_id; /* 32 hex digits */
	int64_t query_timeout_ms, pending_timeout_ms;
	uint32_t connection_id;
	unsigned modes; /* SQL_MODE_… */
};

enum sql_query_kind { SQL_QUERY_SELECT, SQL_QUERY_EXPLAIN };
/* A SELECT, WITH, VALUES or a parenthesised query; with EXPLAIN the plan as text rows. */
int sql_query_run(const struct sql_query_context *cx, struct str sql, enum sql_query_kind kind,
                  struct sql_sink *sink, struct err *err);

/* INSERT INTO db.table (columns) query: query is SELECT… or VALUES…; columns may be empty (n 0: all in order).
 * label may be NULL. *ret_rows: rows inserted. */
int sql_query_insert(const struct sql_query_context *cx, const char *db, const char *table,
                     const char *const *columns, size_t n, struct str query, const char *label,
                     uint64_t *ret_rows, struct err *err);

#endif

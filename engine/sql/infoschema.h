/* information_schema: its tables, and a small SELECT over one of them.
 *
 * Thread: the session's. What clients ask when they connect or draw their tree is answered here, also without
 * a node; anything beyond goes to the planner with the rows in its text. */
#ifndef ROOST_ENGINE_SQL_INFOSCHEMA_H
#define ROOST_ENGINE_SQL_INFOSCHEMA_H

#include "engine/sql/rows.h"
#include "engine/sql/session_priv.h"

const char *sql_infoschema_table(size_t i); /* lower case; NULL behind the last */
/* SHOW COLUMNS of one of them; 1146. rows has the columns of SHOW [FULL] COLUMNS. */
int sql_infoschema_columns(const char *table, bool full, struct sql_rows *rows, struct err *err);
/* All rows of one of them; 1146, or 1235 for one that is known but not built. */
int sql_infoschema_rows(struct sql_session *s, const char *table, struct sql_rows *rows,
                        struct err *err);

/* For what the small SELECT does not know: the query with each of these tables as a list of its rows, which the
 * planner takes like any other query. Appends to out; a HAVING without GROUP BY, which MySQL's drivers send, becomes
 * a condition over the result. */
int sql_infoschema_rewrite(struct sql_session *s, struct str sql, struct buf *out, struct err *err);
/* Whether the query reads from one of these tables: `db` before it, or it is the session's. */
bool sql_infoschema_reads(struct sql_session *s, struct str sql);

#endif

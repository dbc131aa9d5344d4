/* Running statements: one function a statement, declared from the table in statement.h.
 *
 * Thread: the session's. */
#ifndef ROOST_ENGINE_SQL_RUN_H
#define ROOST_ENGINE_SQL_RUN_H

#include "engine/sql/statement.h"

#define X(NAME, name)                                                             \
	int sql_run_##name(struct sql_session *s, const struct sql_statement *st, \
	                   struct sql_sink *sink, struct err *err);
SQL_STATEMENTS(X)
#undef X

/* Selects that need no node; SQL_NOT_MINE: the planner's; SQL_INFOSCHEMA_REWRITE: its as well, after
 * sql_infoschema_rewrite(). */
enum { SQL_NOT_MINE = 1, SQL_INFOSCHEMA_REWRITE = 2 };
int sql_literal_select(struct sql_session *s, struct str sql, struct sql_sink *sink,
                       struct err *err);
int sql_infoschema_select(struct sql_session *s, struct str sql, struct sql_sink *sink,
                          struct err *err);

/* "*" and 40 hexadecimal digits, as meta keeps it; "" for "". */
void sql_password_hash(const char *password, char out[SQL_PASSWORD_HASH_MAX]);

#endif

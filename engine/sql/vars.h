/* System variables: the one table of them, and their values for a session.
 *
 * Thread: the session's. A value is the session's, else the catalog's (SET GLOBAL), else the table's default.
 * StarRocks' own variables and those that MySQL clients ask for when they connect; unknown ones are error 1193. */
#ifndef ROOST_ENGINE_SQL_VARS_H
#define ROOST_ENGINE_SQL_VARS_H

#include "engine/sql/rows.h"
#include "engine/sql/session_priv.h"

enum sql_scope { SQL_SCOPE_SESSION, SQL_SCOPE_GLOBAL };
enum sql_var_type { SQL_VAR_STRING, SQL_VAR_INT, SQL_VAR_BOOL };

/* The value as text (BOOL: "true" or "false"); *ret is malloc'd. */
int sql_var_get(struct sql_session *s, const char *name, enum sql_scope scope, char **ret,
                enum sql_var_type *ret_type, struct err *err);
/* value NULL: DEFAULT. Checks type and range; GLOBAL goes through the catalog. */
int sql_var_set(struct sql_session *s, const char *name, enum sql_scope scope, const char *value,
                struct err *err);
void sql_var_list(struct sql_session *s, enum sql_scope scope, struct sql_rows *rows);

#endif

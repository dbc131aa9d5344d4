/* Names to things: resolves tables, columns, stars, aliases and WITH against the catalog.
 *
 * Works on a tree that sql/allow.c let through and rewrites it as plan/query.h says. Visibility is MySQL's: aliases in
 * GROUP BY (columns win), HAVING and ORDER BY (aliases win, but not inside an aggregate), outer queries from inside
 * subqueries, never a sibling of FROM; NULLs sort first ascending and last descending.
 * Thread: any; the catalog's read lock is held only while a table is copied.
 * Errors: SQL_ERR 1046 (no database), 1146 (table), 1054 (column), 1052 (ambiguous), 1066 (alias twice), 1222 (columns
 * of a UNION), 1096 (* without FROM), 1064. */
#ifndef ROOST_ENGINE_BIND_BIND_H
#define ROOST_ENGINE_BIND_BIND_H

#include <jansson.h>

#include "engine/plan/query.h"
#include "lib/base/err.h"

enum { BIND_NODES_MAX = 4 * 1024 * 1024 /* made by repeating aliases */, BIND_TABLES_MAX = 256 };

struct bind_catalog { /* where tables come from */
	/* A copy of db.name, owned by the caller; or SQL_ERR(1146). */
	int (*table)(void *arg, const char *db, const char *name, struct plan_table **ret,
	             struct err *err);
	void *arg;
};
/* The catalog of engine/meta. */
struct bind_catalog bind_meta(struct meta *m);

/* node: the root query node, stolen, also on failure. text: what it was parsed from, for the names of columns. */
int bind_query(const struct bind_catalog *catalog, const char *db, const char *text, json_t *node,
               struct plan_query **ret, struct err *err);

#endif

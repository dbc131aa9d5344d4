/* WHERE for SHOW and information_schema: comparisons of columns and literals with AND, OR, NOT and parentheses.
 *
 * Thread: plain values. A NULL compares as unknown, which keeps no row. */
#ifndef ROOST_ENGINE_SQL_FILTER_H
#define ROOST_ENGINE_SQL_FILTER_H

#include "engine/sql/syntax.h"

struct sql_filter;

/* At the token after WHERE. db: what DATABASE() gives (NULL: none). */
int sql_filter_parse(struct sql_parser *p, const char *db, struct sql_filter **ret);
void sql_filter_free(struct sql_filter *f);

/* Gives the text of a column of the row at hand; *ret_known false when there is no such column. */
typedef const char *(*sql_filter_cell_fn)(void *arg, struct str column, bool *ret_known);
/* 1 keep, 0 drop; 1054 for an unknown column. */
int sql_filter_keeps(const struct sql_filter *f, sql_filter_cell_fn cell, void *arg,
                     struct err *err);

/* SQL's LIKE with % and _ and backslash; ASCII case folded. */
bool sql_like(struct str text, struct str pattern);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct sql_filter, sql_filter_free)

#endif

/* The second wall: nothing passes but the kinds of nodes, types and functions that are listed here.
 *
 * Works on the tree of json_serialize_sql(): every object must be of a known kind, every key that says something must
 * be known for that kind, every function must be in plan/functions.c. On the way MySQL's functions become DuckDB's
 * (sql/rewrite.c) and what depends on the session or the clock becomes a constant.
 * Thread: any. Refusals: SQL_ERR(1064), naming the thing. */
#ifndef ROOST_ENGINE_SQL_ALLOW_H
#define ROOST_ENGINE_SQL_ALLOW_H

#include <stdint.h>

#include <jansson.h>

#include "lib/base/err.h"

struct sql_allow_context { /* what constants are made of */
	const char *db, *user, *version;
	uint32_t connection_id;
	int64_t now_ms; /* since 1970, UTC */
};

/* root: the query's node; changed in place. */
int sql_allow(const struct sql_allow_context *cx, json_t *root, struct err *err);

/* One call whose arguments are allowed already: *ret_new takes its place when not NULL. For allow.c alone. */
struct plan_function;
int sql_rewrite(const struct sql_allow_context *cx, const struct plan_function *f, json_t *call,
                json_t **ret_new, struct err *err);

#endif

/* The functions that a statement may call: the allow-list, and what the planner must know of each.
 *
 * Thread: constant data. A function that is not in the table is refused by name (sql/allow.c). Adding one is adding a
 * line in functions.c. */
#ifndef ROOST_ENGINE_PLAN_FUNCTIONS_H
#define ROOST_ENGINE_PLAN_FUNCTIONS_H

#include <stdbool.h>

enum {
	PLAN_FN_AGGREGATE = 1,
	PLAN_FN_VOLATILE = 2, /* another value at each call: never moved, never digested as equal */
	PLAN_FN_WINDOW = 4,   /* only with OVER */
	PLAN_FN_TABLE = 8,    /* in FROM only */
	PLAN_FN_NUMERIC = 16, /* of numbers, it gives a number */
};

/* How MySQL's or StarRocks' spelling becomes DuckDB's: see sql/rewrite.c. */
enum plan_rewrite {
	PLAN_RW_NONE, /* the same under `duck`, or under its own name when NULL */
	PLAN_RW_CONCAT,
	PLAN_RW_DATE_ADD,
	PLAN_RW_DATE_SUB,
	PLAN_RW_DATEDIFF,
	PLAN_RW_TIMESTAMPDIFF,
	PLAN_RW_DATE_FORMAT,
	PLAN_RW_STR_TO_DATE,
	PLAN_RW_DAYOFWEEK,
	PLAN_RW_WEEKDAY,
	PLAN_RW_UNIX_TIMESTAMP,
	PLAN_RW_FROM_UNIXTIME,
	PLAN_RW_NOW,
	PLAN_RW_TODAY,
	PLAN_RW_DATABASE,
	PLAN_RW_USER,
	PLAN_RW_VERSION,
	PLAN_RW_CONNECTION_ID,
	PLAN_RW_REGEXP,
	PLAN_RW_DATE,
	PLAN_RW_LOCATE,
	PLAN_RW_COALESCE,
	PLAN_RW_TEXT,
	PLAN_RW_OF_DATE,
	PLAN_RW_COUNT,
	PLAN_RW_DIVIDE,
	PLAN_RW_INT_DIVIDE,
	PLAN_RW_FINITE,
	PLAN_RW_GREATEST,
	PLAN_RW_LEAST,
	PLAN_RW_SUBSTRING,
	PLAN_RW_LEFT,
};

struct plan_function {
	const char *name; /* lower case */
	const char *duck;
	unsigned char min_args, max_args;
	unsigned char flags;
	enum plan_rewrite rewrite;
};

/* By name without regard to case; NULL: not allowed. */
const struct plan_function *plan_function(const char *name);
/* The same for a name in a tree that sql/allow.c has been through, where DuckDB's names stand. */
const struct plan_function *plan_function_called(const char *name);

#endif

/* Trees as DuckDB's json_serialize_sql() writes them: looking at them, walking them, making new ones.
 *
 * A node of a tree is a JSON object: expressions have "class" and "type", query nodes and table references "type".
 * Thread: values of one thread. Ownership: ast_* makers return new references and steal what they are given.
 * Limits: trees come from text of bounded depth (lib/data/json.h), so walks recurse. */
#ifndef ROOST_ENGINE_PLAN_AST_H
#define ROOST_ENGINE_PLAN_AST_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "lib/base/err.h"

/* "" when absent or not a string. */
const char *ast_str(const json_t *node, const char *key);
const char *ast_class(const json_t *node);
const char *ast_type(const json_t *node);
bool ast_is(const json_t *node, const char *class_);

enum { AST_SKIP = 1 }; /* do not look below this node */
typedef int (*ast_visit)(void *arg, json_t *node, struct err *err);
/* Calls fn for every object below and including root, parents first. */
int ast_walk(json_t *root, ast_visit fn, void *arg, struct err *err);
/* Replaces objects below holder (an object or array; not holder itself), parents first: fn returns a new reference
 * that takes the node's place (not looked into again), or NULL to go on below it. */
typedef json_t *(*ast_map)(void *arg, json_t *node);
void ast_replace(json_t *holder, ast_map fn, void *arg);

/* Drops positions and the doubled names, so that equal meanings are equal trees. */
void ast_canonical(json_t *root);
/* The range of the text that an expression came from, before ast_canonical(); false when nothing of it is known. */
bool ast_span(json_t *expr, int64_t *ret_from, int64_t *ret_to);
/* AND's operands, borrowed, appended to the array out (nested ANDs are opened). */
void ast_conjuncts(json_t *expr, json_t *out);
/* Copies of these joined by AND; NULL for none. */
json_t *ast_and(const json_t *conjuncts);

/* relation.column of a resolved reference; false for anything else. */
bool ast_column(const json_t *node, const char **ret_relation, const char **ret_column);

json_t *ast_new_column(const char *relation, const char *column);
json_t *ast_new_int(int64_t value);
json_t *ast_new_string(const char *text);
json_t *ast_new_null(void);
json_t *ast_new_function(const char *name, json_t *args); /* args: an array, stolen */
json_t *ast_new_operator(const char *name, json_t *left, json_t *right);
json_t *ast_new_compare(const char *type, json_t *left, json_t *right);
json_t *ast_new_cast(json_t *expr, const char *type); /* "DECIMAL(10,2)" */
json_t *ast_new_coalesce(json_t *a, json_t *b);
json_t *ast_new_table(const char *name);
json_t *ast_new_subquery(json_t *node, const char *alias);
json_t *ast_new_join(json_t *left, json_t *right, json_t *condition /* NULL: cross */);
/* SELECT list FROM from: arrays and nodes are stolen; from NULL: none. */
json_t *ast_new_select(json_t *list, json_t *from, json_t *where);
json_t *ast_new_limit(json_t *limit, json_t *offset);
/* {"error":false,"statements":[{"node":…}]} */
json_t *ast_new_statement(json_t *node);
json_t *ast_alias(json_t *expr, const char *alias); /* sets it and returns expr */

/* The value of a constant integer; false for anything else. */
bool ast_int(const json_t *node, int64_t *ret);

#endif

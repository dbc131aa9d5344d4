/* A bound query: what bind/ makes of a statement and plan/ splits into stages.
 *
 * Every reference to a column is [relation, column]: relation "__s<n>" is scan n, "__q<n>" a derived table, "__c<n>" a
 * common table expression; columns of derived tables are c0, c1… So equal meanings have equal trees whatever the
 * user's aliases were.
 * Thread: built by one, then read only. Ownership: a query owns its copies of the catalog. */
#ifndef ROOST_ENGINE_PLAN_QUERY_H
#define ROOST_ENGINE_PLAN_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/meta/meta.h"

struct plan_column {
	char *name, *type;
};

struct plan_tablet {
	int64_t id;
	int64_t replicas[META_REPLICAS_MAX];
	size_t n_replicas;
	json_t *rowsets; /* as a task's input names them (rpc.h) */
	int64_t bytes;
};

struct plan_object {
	char *key, *etag;
	int64_t bytes, rows;
};

struct plan_table { /* a table as it was when the query was bound */
	int64_t id, version;
	char *db, *name;
	enum meta_storage storage;
	struct plan_column *columns;
	size_t n_columns;
	struct plan_tablet *tablets;
	size_t n_tablets;
	struct plan_object *objects;
	size_t n_objects;
	int64_t rows, bytes;
};
struct plan_table *plan_table_copy(const struct meta_table *t);
void plan_table_free(struct plan_table *t);

struct plan_scan { /* one reference to a base table */
	char name[24];
	struct plan_table *table; /* borrowed from the query */
	bool *used;               /* by column: whether anything reads it */
	json_t *filters;          /* conjuncts that need this scan alone and may run in it */
};

struct plan_query {
	json_t *node; /* SELECT_NODE, SET_OPERATION_NODE… */
	struct plan_table **tables;
	size_t n_tables;
	struct plan_scan *scans;
	size_t n_scans;
	char **names; /* of the result's columns, as the user sees them */
	size_t n_names;
};
struct plan_query *plan_query_new(void);
void plan_query_free(struct plan_query *q);
/* table: of q->tables. */
struct plan_scan *plan_query_scan(struct plan_query *q, struct plan_table *table);
/* The scan of that name; NULL: another relation. */
struct plan_scan *plan_query_find(const struct plan_query *q, const char *relation);
/* Fills used and filters of all scans from the tree. */
void plan_query_collect(struct plan_query *q);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct plan_table, plan_table_free)
DEFINE_CLEANUP(struct plan_query, plan_query_free)

#endif

/* What is visible where while a query is bound; bind/'s own.
 *
 * Thread: one. Ownership: a scope owns its relations and columns; expressions handed out are new references. */
#ifndef ROOST_ENGINE_BIND_SCOPE_H
#define ROOST_ENGINE_BIND_SCOPE_H

#include "engine/bind/bind.h"
#include "lib/base/vec.h"

struct bind_names {
	char **v;
	size_t n, cap;
};
void bind_names_free(struct bind_names *n);

struct bind_column {
	char *name;
	json_t *expr; /* what relation.name means */
	json_t *both; /* what the bare name means after a RIGHT or FULL JOIN USING: either side's; else NULL */
	bool hidden; /* merged away by USING: only relation.name finds it */
	size_t relation;
};

struct bind_relation {
	char *alias, *db; /* db: of a base table, else NULL */
};

struct bind_scope {
	const struct bind_scope *parent; /* of the query around */
	VEC(struct bind_relation) relations;
	VEC(struct bind_column) columns;
};
void bind_scope_free(struct bind_scope *s);
/* What a column means without its relation's name. */
const json_t *bind_bare(const struct bind_column *c);

struct bind_cte { /* a WITH entry in sight; a list on the stack, innermost first */
	const struct bind_cte *outer;
	const char *name;
	char unique[24];
	struct bind_names names;
};

struct bind {
	const struct bind_catalog *catalog;
	const char *db, *text;
	size_t text_len;
	struct plan_query *query;
	size_t relations, ctes; /* numbers given so far */
	size_t copied;          /* nodes made by repeating aliases */
	struct err *err;
};

enum bind_aliases { BIND_NO_ALIASES, BIND_COLUMNS_FIRST, BIND_ALIASES_FIRST };

struct bind_context { /* where an expression stands */
	struct bind *b;
	const struct bind_scope *scope;
	const struct bind_cte *ctes;
	const char *clause;   /* "field list", "where clause"…: of messages */
	size_t from_relation; /* an ON sees only the relations of its own join */
	enum bind_aliases aliases;
	const struct bind_names *alias_names; /* "" where an item has no alias of its own */
	json_t *items;                        /* the bound select list */
	int in_aggregate;
};

/* A relation with these column names; columns are [relation, name] with name c<i> when `numbered`, else its own. */
int bind_add_relation(struct bind *b, struct bind_scope *s, const char *alias, const char *db,
                      const char *relation, const struct bind_names *names, bool numbered);
/* *ret: a new expression for a COLUMN_REF; 1054 and 1052 name it as written. */
int bind_resolve(struct bind_context *cx, const json_t *column_ref, json_t **ret);
/* The bound select item of that alias, or -1. */
int bind_alias(const struct bind_context *cx, const char *name);
/* A copy of a bound item, within BIND_NODES_MAX. */
int bind_copy_item(struct bind_context *cx, size_t item, json_t **ret);
/* Binds everything below v; *ret_new takes v's place when not NULL. */
int bind_expression(struct bind_context *cx, json_t *v, json_t **ret_new);
/* The same for a key of an object. */
int bind_key(struct bind_context *cx, json_t *holder, const char *key);

int bind_node(struct bind *b, const struct bind_cte *ctes, const struct bind_scope *parent,
              json_t *node, struct bind_names *ret);
/* FROM: fills scope and rewrites ref (or gives what replaces it). */
int bind_from(struct bind *b, const struct bind_cte *ctes, struct bind_scope *s, json_t *ref);
/* The name a user sees over a select item, malloc'd; before the item is bound. */
char *bind_item_name(const struct bind *b, json_t *item);

#endif

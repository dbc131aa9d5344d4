/* DuckDB's types and SQL's spelling of names, values and columns.
 *
 * Thread: plain functions. Whatever text goes into a statement goes through duck_ident(), duck_literal() or a
 * type that was parsed here: nothing is spliced. Limits: the caller's buffers. */
#ifndef ROOST_ENGINE_DUCK_TYPES_H
#define ROOST_ENGINE_DUCK_TYPES_H

#include <duckdb.h>
#include <jansson.h>

#include "engine/exchange/format.h"

enum { DUCK_SQL_MAX = 64 * 1024 * 1024 };

void duck_ident(struct buf *sql, const char *name);
void duck_literal(struct buf *sql, const char *text);

/* Fills type, precision and scale; false for a type that tasks do not exchange (it travels as VARCHAR). */
bool duck_type_of(duckdb_logical_type type, struct xchg_column *ret);
duckdb_logical_type duck_type_new(const struct xchg_column *c);

struct duck_columns {
	struct xchg_column *v;
	bool *nullable;
	int64_t *max_bytes; /* of a text; 0: any */
	size_t n;
};
/* From [{"name","type","nullable"?,"declared"?}…]; -EINVAL names the column. */
int duck_columns_parse(const json_t *list, struct duck_columns *ret, struct err *err);
void duck_columns_clear(struct duck_columns *c);
/* The position of name, or c->n. */
size_t duck_columns_find(const struct duck_columns *c, const char *name);
/* {"name","type"}, a new reference. */
json_t *duck_column_json(const struct xchg_column *c);
/* CAST(source AS the column's type), or source itself where no cast is possible. */
void duck_cast(struct buf *sql, const struct xchg_column *c, const char *source);

#define _cleanup_columns_ __attribute__((cleanup(duck_columns_clear)))

#endif

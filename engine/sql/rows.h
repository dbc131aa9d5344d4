/* The rows of a SHOW or of information_schema: built under the catalog's lock, sent after it.
 *
 * Thread: one owner. Ownership: owns names and cells. Limits: SQL_ROWS_CELLS_MAX cells. */
#ifndef ROOST_ENGINE_SQL_ROWS_H
#define ROOST_ENGINE_SQL_ROWS_H

#include "engine/sql/filter.h"
#include "engine/sql/sink.h"
#include "lib/base/vec.h"

enum { SQL_ROWS_CELLS_MAX = 16 * 1024 * 1024 };

struct sql_rows {
	struct sql_column *columns; /* names are owned */
	size_t n_columns;
	VEC(char *) cells; /* row by row; NULL is SQL NULL */
};

/* columns: "Name,IP,Port:l": a VARCHAR each, a BIGINT with ":l". */
void sql_rows_init(struct sql_rows *r, const char *columns);
void sql_rows_free(struct sql_rows *r);
#define _cleanup_sql_rows_ __attribute__((cleanup(sql_rows_free)))

/* The next cell of the row under construction; text may be NULL. */
void sql_rows_add(struct sql_rows *r, const char *text);
void sql_rows_addf(struct sql_rows *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sql_rows_addn(struct sql_rows *r, size_t n, const char *text); /* n times */
size_t sql_rows_count(const struct sql_rows *r);

int sql_rows_column(const struct sql_rows *r, struct str name); /* ASCII case folded; -1 */
/* Drops the rows that the filter does not keep; 1054 for a column that is not there. */
int sql_rows_filter(struct sql_rows *r, const struct sql_filter *f, struct err *err);
/* Keeps rows whose first column is LIKE the pattern. */
void sql_rows_like(struct sql_rows *r, const char *pattern);
void sql_rows_sort(struct sql_rows *r, size_t column, bool descending); /* stable */
void sql_rows_limit(struct sql_rows *r, int64_t offset, int64_t limit);
int sql_rows_send(const struct sql_rows *r, struct sql_sink *sink, struct err *err);

#endif

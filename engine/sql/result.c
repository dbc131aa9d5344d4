#include "engine/sql/result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exchange/block.h"
#include "engine/exchange/format.h"
#include "engine/plan/ast.h"
#include "engine/sqlerr.h"
#include "lib/base/mem.h"

enum { ROW_BYTES_MAX = 256 * 1024 * 1024 };

static enum sql_type type_of(enum xchg_type type)
{
	static const enum sql_type types[] = {
		[XCHG_BOOLEAN] = SQL_TYPE_BOOL,       [XCHG_TINYINT] = SQL_TYPE_TINYINT,
		[XCHG_SMALLINT] = SQL_TYPE_SMALLINT,  [XCHG_INTEGER] = SQL_TYPE_INT,
		[XCHG_BIGINT] = SQL_TYPE_BIGINT,      [XCHG_HUGEINT] = SQL_TYPE_DECIMAL,
		[XCHG_FLOAT] = SQL_TYPE_FLOAT,        [XCHG_DOUBLE] = SQL_TYPE_DOUBLE,
		[XCHG_DECIMAL] = SQL_TYPE_DECIMAL,    [XCHG_DATE] = SQL_TYPE_DATE,
		[XCHG_TIMESTAMP] = SQL_TYPE_DATETIME, [XCHG_VARCHAR] = SQL_TYPE_VARCHAR,
		[XCHG_BLOB] = SQL_TYPE_VARBINARY,     [XCHG_UTINYINT] = SQL_TYPE_SMALLINT,
		[XCHG_USMALLINT] = SQL_TYPE_INT,      [XCHG_UINTEGER] = SQL_TYPE_BIGINT,
		[XCHG_UBIGINT] = SQL_TYPE_DECIMAL,    [XCHG_NULL] = SQL_TYPE_NULL,
	};
	return type < ARRAY_LEN(types) ? types[type] : SQL_TYPE_VARCHAR;
}

bool *sql_result_large(const struct plan_query *q)
{
	bool *large = xcalloc(q->n_names + 1, sizeof(*large));
	const json_t *list = json_object_get(q->node, "select_list");
	for (size_t i = 0; i < q->n_names; i++) {
		const json_t *item = json_array_get(list, i);
		const char *relation, *column;
		large[i] = item && ast_is(item, "CAST");
		const struct plan_scan *s = item && ast_column(item, &relation, &column)
		                                    ? plan_query_find(q, relation)
		                                    : NULL;
		for (size_t k = 0; s && k < s->table->n_columns; k++)
			large[i] = large[i] || (strcmp(s->table->columns[k].name, column) == 0 &&
			                        strcmp(s->table->columns[k].type, "HUGEINT") == 0);
	}
	return large;
}

/* Whether all values of a 128-bit column of this block are those of 64 bits. */
static bool block_is_narrow(const struct xchg_vector *v, uint32_t rows)
{
	for (uint32_t i = 0; i < rows; i++) {
		if (v->validity && !(v->validity[i / 8] >> i % 8 & 1))
			continue;
		int64_t low = (int64_t)xchg_get_le(v->data + (size_t)16 * i, 8);
		int64_t high = (int64_t)xchg_get_le(v->data + (size_t)16 * i + 8, 8);
		if (high != (low < 0 ? -1 : 0))
			return false;
	}
	return true;
}

/* Which columns are sums that fit a BIGINT: reads all rows first, but only when there is a candidate. */
static int find_narrow(struct xchg_reader *rows, const bool *large, bool *narrow, struct err *err)
{
	size_t n, left = 0;
	const struct xchg_column *columns = xchg_reader_columns(rows, &n);
	for (size_t i = 0; i < n; i++) {
		narrow[i] = columns[i].type == XCHG_HUGEINT && !(large && large[i]);
		left += narrow[i];
	}
	if (left == 0)
		return 0;
	for (;;) {
		struct xchg_block b;
		int rc = xchg_reader_next(rows, &b, err);
		if (rc == XCHG_END)
			return xchg_reader_seek(rows, 0, 1, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < n; i++)
			narrow[i] = narrow[i] && block_is_narrow(&b.columns[i], b.rows);
	}
}

/* Larger sums of integers are DECIMAL, as MySQL's SUM() is: drivers make numbers of them. */
static struct sql_column column_of(const char *name, const struct xchg_column *c, bool narrow)
{
	if (narrow)
		return (struct sql_column){ name, SQL_TYPE_BIGINT, 0, 0 };
	bool wide = c->type == XCHG_HUGEINT || c->type == XCHG_UBIGINT;
	return (struct sql_column){ name, type_of(c->type), wide ? 38 : c->precision,
		                    wide ? 0 : c->scale };
}

/* One row: every cell's text in one buffer, then the views into it, since it may move while it grows. */
static int send_row(const struct xchg_column *columns, size_t n, const struct xchg_block *b,
                    uint32_t row, struct buf *text, struct sql_cell *cells, struct sql_sink *sink,
                    struct err *err)
{
	buf_reset(text);
	for (size_t i = 0; i < n; i++) {
		size_t from = text->len;
		bool valid = xchg_cell_text(&columns[i], &b->columns[i], row, text);
		cells[i] = (struct sql_cell){ valid ? "" : NULL, text->len - from };
	}
	if (text->overflow)
		return err_set(err, SQL_ERR(1105), "A row of more than %d bytes", ROW_BYTES_MAX);
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		if (cells[i].p && text->p)
			cells[i].p = text->p + at;
		at += cells[i].len;
	}
	return sink->row(sink, cells, n, err);
}

int sql_result_send(struct xchg_reader *rows, const char *const *names, const bool *large, size_t n,
                    struct sql_sink *sink, struct err *err)
{
	size_t have;
	const struct xchg_column *columns = xchg_reader_columns(rows, &have);
	if (have != n)
		return err_set(err, SQL_ERR(1105), "a result of %zu columns, not %zu", have, n);
	autofree struct sql_column *shown = xcalloc(n + 1, sizeof(*shown));
	autofree struct sql_cell *cells = xcalloc(n + 1, sizeof(*cells));
	autofree bool *narrow = xcalloc(n + 1, sizeof(*narrow));
	int rc = find_narrow(rows, large, narrow, err);
	for (size_t i = 0; i < n; i++)
		shown[i] = column_of(names[i], &columns[i], narrow[i]);
	if (rc == 0)
		rc = sink->columns(sink, shown, n, err);
	_cleanup_buf_ struct buf text = BUF_INIT(ROW_BYTES_MAX);
	while (rc == 0) {
		struct xchg_block b;
		rc = xchg_reader_next(rows, &b, err);
		if (rc == XCHG_END)
			return sink->done(sink, err);
		if (rc == 0 && sink->cancelled && sink->cancelled(sink))
			return err_set(err, SQL_ERR(1317), "Query execution was interrupted");
		for (uint32_t i = 0; rc == 0 && i < b.rows; i++)
			rc = send_row(columns, n, &b, i, &text, cells, sink, err);
	}
	return rc;
}

int sql_result_send_lines(const json_t *lines, const char *const *names, size_t n,
                          struct sql_sink *sink, struct err *err)
{
	autofree struct sql_column *shown = xcalloc(n + 1, sizeof(*shown));
	autofree struct sql_cell *cells = xcalloc(n + 1, sizeof(*cells));
	for (size_t i = 0; i < n; i++)
		shown[i] = (struct sql_column){ .name = names[i], .type = SQL_TYPE_VARCHAR };
	int rc = sink->columns(sink, shown, n, err);
	size_t k;
	json_t *line;
	json_array_foreach(lines, k, line)
	{
		for (size_t i = 0; i < n; i++) {
			const json_t *cell = json_array_get(line, i);
			cells[i] = (struct sql_cell){ json_string_value(cell),
				                      json_string_length(cell) };
		}
		if (rc == 0)
			rc = sink->row(sink, cells, n, err);
	}
	return rc < 0 ? rc : sink->done(sink, err);
}

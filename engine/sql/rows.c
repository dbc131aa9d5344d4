#include "engine/sql/rows.h"

#include <stdarg.h>

#include "lib/base/mem.h"

void sql_rows_init(struct sql_rows *r, const char *columns)
{
	*r = (struct sql_rows){ 0 };
	struct str rest = str_of(columns), one;
	VEC(struct sql_column) all = { 0 };
	while (str_split(&rest, ',', &one)) {
		bool integer = str_ends(one, ":l");
		if (integer)
			one.len -= 2;
		vec_push(&all, (struct sql_column){ .name = str_dup(one),
		                                    .type = integer ? SQL_TYPE_BIGINT
		                                                    : SQL_TYPE_VARCHAR });
	}
	r->columns = all.v;
	r->n_columns = all.n;
}

void sql_rows_free(struct sql_rows *r)
{
	for (size_t i = 0; i < r->n_columns; i++)
		free((char *)(uintptr_t)r->columns[i].name);
	free(r->columns);
	for (size_t i = 0; i < r->cells.n; i++)
		free(r->cells.v[i]);
	vec_free(&r->cells);
	*r = (struct sql_rows){ 0 };
}

void sql_rows_add(struct sql_rows *r, const char *text)
{
	if (r->cells.n < SQL_ROWS_CELLS_MAX)
		vec_push(&r->cells, text ? xstrdup(text) : NULL);
}

void sql_rows_addf(struct sql_rows *r, const char *fmt, ...)
{
	char small[256];
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(small)) {
		sql_rows_add(r, small);
	} else if (n >= 0) {
		autofree char *large = xmalloc((size_t)n + 1);
		(void)vsnprintf(large, (size_t)n + 1, fmt, again);
		sql_rows_add(r, large);
	}
	va_end(again);
}

void sql_rows_addn(struct sql_rows *r, size_t n, const char *text)
{
	while (n--)
		sql_rows_add(r, text);
}

size_t sql_rows_count(const struct sql_rows *r)
{
	return r->n_columns ? r->cells.n / r->n_columns : 0;
}

int sql_rows_column(const struct sql_rows *r, struct str name)
{
	for (size_t i = 0; i < r->n_columns; i++) {
		if (str_caseeq(str_of(r->columns[i].name), name))
			return (int)i;
	}
	return -1;
}

/* Keeps row `from` as row `to` <= from; the cells of dropped rows are freed by their owner. */
static void move_row(struct sql_rows *r, size_t from, size_t to)
{
	if (from != to)
		memcpy(&r->cells.v[to * r->n_columns], &r->cells.v[from * r->n_columns],
		       r->n_columns * sizeof(char *));
}

static void drop_row(struct sql_rows *r, size_t row)
{
	for (size_t i = 0; i < r->n_columns; i++)
		free(r->cells.v[row * r->n_columns + i]);
}

struct row_of {
	const struct sql_rows *rows;
	size_t row;
};

static const char *cell_of(void *arg, struct str column, bool *ret_known)
{
	const struct row_of *of = arg;
	int i = sql_rows_column(of->rows, column);
	*ret_known = i >= 0;
	return i < 0 ? NULL : of->rows->cells.v[of->row * of->rows->n_columns + (size_t)i];
}

int sql_rows_filter(struct sql_rows *r, const struct sql_filter *f, struct err *err)
{
	size_t n = sql_rows_count(r), kept = 0;
	int rc = 0;
	for (size_t row = 0; row < n; row++) {
		struct row_of of = { r, row };
		int keep = rc < 0 ? 0 : sql_filter_keeps(f, cell_of, &of, err);
		if (keep < 0)
			rc = keep;
		if (keep > 0)
			move_row(r, row, kept++);
		else
			drop_row(r, row);
	}
	r->cells.n = kept * r->n_columns;
	return rc;
}

void sql_rows_like(struct sql_rows *r, const char *pattern)
{
	size_t n = sql_rows_count(r), kept = 0;
	for (size_t row = 0; row < n; row++) {
		if (sql_like(str_of(r->cells.v[row * r->n_columns]), str_of(pattern)))
			move_row(r, row, kept++);
		else
			drop_row(r, row);
	}
	r->cells.n = kept * r->n_columns;
}

struct sort_by {
	size_t column, n_columns;
	bool descending;
};

static int by_column(const void *a, const void *b, void *arg)
{
	char *const *x = a, *const *y = b;
	const struct sort_by *s = arg;
	const char *p = x[s->column], *q = y[s->column];
	int64_t i = 0, j = 0;
	int c;
	if (!p || !q)
		c = (p != NULL) - (q != NULL);
	else if (str_to_i64(str_of(p), &i) == 0 && str_to_i64(str_of(q), &j) == 0)
		c = i < j ? -1 : i > j;
	else
		c = strcmp(p, q);
	return s->descending ? -c : c;
}

void sql_rows_sort(struct sql_rows *r, size_t column, bool descending)
{
	struct sort_by by = { column, r->n_columns, descending };
	/* glibc's is a merge sort, hence stable, while memory lasts. */
	if (sql_rows_count(r) > 1)
		qsort_r(r->cells.v, sql_rows_count(r), r->n_columns * sizeof(char *), by_column,
		        &by);
}

void sql_rows_limit(struct sql_rows *r, int64_t offset, int64_t limit)
{
	size_t n = sql_rows_count(r), kept = 0;
	for (size_t row = 0; row < n; row++) {
		if ((int64_t)row >= offset && (int64_t)kept < limit)
			move_row(r, row, kept++);
		else
			drop_row(r, row);
	}
	r->cells.n = kept * r->n_columns;
}

int sql_rows_send(const struct sql_rows *r, struct sql_sink *sink, struct err *err)
{
	int rc = sink->columns(sink, r->columns, r->n_columns, err);
	autofree struct sql_cell *cells = xcalloc(r->n_columns, sizeof(*cells));
	for (size_t row = 0; rc == 0 && row < sql_rows_count(r); row++) {
		for (size_t i = 0; i < r->n_columns; i++) {
			const char *text = r->cells.v[row * r->n_columns + i];
			cells[i] = (struct sql_cell){ text, text ? strlen(text) : 0 };
		}
		rc = sink->row(sink, cells, r->n_columns, err);
	}
	return rc < 0 ? rc : sink->done(sink, err);
}

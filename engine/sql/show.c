#include "engine/sql/show.h"

#include "engine/sql/run.h"
#include "lib/base/clock.h"

typedef int (*show_fn)(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                       struct err *err);
static const show_fn runs[] = {
#define X(name, words, follows) sql_show_##name,
	SQL_SHOWS(X)
#undef X
};

int sql_run_show(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                 struct err *err)
{
	const struct sql_show *q = &st->show;
	_cleanup_sql_rows_ struct sql_rows rows = { 0 };
	int rc = runs[q->kind](s, q, &rows, err);
	if (rc == 0 && q->like)
		sql_rows_like(&rows, q->like);
	if (rc == 0 && q->where)
		rc = sql_rows_filter(&rows, q->where, err);
	if (rc == 0 && q->limit >= 0)
		sql_rows_limit(&rows, 0, q->limit);
	return rc < 0 ? rc : sql_rows_send(&rows, sink, err);
}

const struct meta_table *sql_show_find(struct sql_session *s, const char *db, const char *name,
                                       struct err *err)
{
	struct meta *m = s->server->meta;
	if (sql_session_resolve(s, db, &db, err) < 0)
		return NULL;
	if (!meta_has_db(m, db)) {
		(void)err_set(err, SQL_ERR(1049), "Unknown database '%s'", db);
		return NULL;
	}
	const struct meta_table *t = meta_table(m, db, name);
	if (!t)
		(void)err_set(err, SQL_ERR(1146), "Table '%s.%s' doesn't exist", db, name);
	return t;
}

void sql_rows_add_bytes(struct sql_rows *rows, int64_t bytes)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB" };
	double v = (double)bytes;
	size_t u = 0;
	while (v >= 1024 && u + 1 < ARRAY_LEN(units)) {
		v /= 1024;
		u++;
	}
	sql_rows_addf(rows, "%.3f %s", v, units[u]);
}

void sql_rows_add_percent(struct sql_rows *rows, int64_t part, int64_t whole)
{
	sql_rows_addf(rows, "%.2f %%", whole > 0 ? 100.0 * (double)part / (double)whole : 0.0);
}

void sql_rows_add_time(struct sql_rows *rows, int64_t ts)
{
	char text[CLOCK_RFC3339_MAX] = "";
	if (ts)
		clock_sql(ts, text);
	sql_rows_add(rows, text);
}

#include "engine/sql/show.h"

#include "engine/sql/run.h"
#include "lib/base/clock.h"

static const struct {
	const char *words;
	int follows;
	int (*run)(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
	           struct err *err);
} shows[] = {
#define X(name, words, follows) { words, follows, sql_show_##name },
	SQL_SHOWS(X)
#undef X
};

void sql_show_free(struct sql_show *q)
{
	free(q->db);
	free(q->name);
	free(q->path);
	free(q->like);
	sql_filter_free(q->where);
	*q = (struct sql_show){ 0 };
}

static int parse_object(struct sql_parser *p, int follows, struct sql_show *q)
{
	if (follows & SQL_SHOW_NAME) {
		(void)sql_accept(p, "IF NOT EXISTS");
		return sql_expect_qualified(p, "a name", &q->db, &q->name);
	}
	if (follows & SQL_SHOW_PATH)
		return sql_expect_string(p, "a path in quotes", &q->path);
	if (follows & SQL_SHOW_USER && sql_accept(p, "FOR")) {
		if (p->t.kind == SQL_TOK_STRING)
			(void)sql_expect_string(p, "a user", &q->name);
		else
			(void)sql_expect_name(p, "a user", &q->name);
		if (p->t.kind == SQL_TOK_USERVAR)
			sql_advance(p);
	}
	bool from = sql_accept(p, "FROM") || sql_accept(p, "IN");
	if (follows & SQL_SHOW_TABLE) {
		if (!from)
			return sql_unexpected(p, "FROM and a table");
		(void)sql_expect_qualified(p, "a table", &q->db, &q->name);
		if (sql_accept(p, "FROM") || sql_accept(p, "IN"))
			(void)sql_expect_name(p, "a database", &q->db);
	} else if (from && follows & SQL_SHOW_DB) {
		autofree char *catalog = NULL;
		(void)sql_expect_qualified(p, "a database", &catalog, &q->db);
		if (p->rc == 0 && catalog && strcmp(catalog, "default_catalog") != 0)
			return sql_not_built(p, "an external catalog");
	} else if (from) {
		return sql_unexpected(p, "LIKE, WHERE or the end of the statement");
	}
	return p->rc;
}

static int parse_tail(struct sql_parser *p, const char *db, struct sql_show *q)
{
	if (sql_accept(p, "LIKE"))
		(void)sql_expect_string(p, "a pattern in quotes", &q->like);
	if (sql_accept(p, "WHERE"))
		(void)sql_filter_parse(p, db, &q->where);
	if (sql_at(p, "ORDER"))
		return sql_not_built(p, "ORDER BY in SHOW");
	if (sql_accept(p, "LIMIT"))
		(void)sql_expect_integer(p, "a limit", 0, INT64_MAX, &q->limit);
	return sql_expect_end(p);
}

int sql_parse_show(struct sql_parser *p, const char *db, struct sql_show *q)
{
	static const char *const scopes[] = { "FULL",  "EXTENDED", "SESSION",
		                              "LOCAL", "GLOBAL",   "ALL" };
	q->limit = -1;
	sql_advance(p);
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		if (!sql_at(p, scopes[i]))
			continue;
		q->full = q->full || i == 0;
		q->global = q->global || strcmp(scopes[i], "GLOBAL") == 0;
		sql_advance(p);
	}
	for (size_t i = 0; i < ARRAY_LEN(shows); i++) {
		if (!sql_accept(p, shows[i].words))
			continue;
		q->run = shows[i].run;
		int rc = parse_object(p, shows[i].follows, q);
		return rc < 0 ? rc : parse_tail(p, db, q);
	}
	if (p->t.kind != SQL_TOK_WORD)
		return sql_unexpected(p, "what to show");
	autofree char *word = sql_token_value(&p->t);
	autofree char *what = xasprintf("SHOW %s", word);
	return sql_not_built(p, what);
}

int sql_run_show(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                 struct err *err)
{
	const struct sql_show *q = &st->show;
	_cleanup_sql_rows_ struct sql_rows rows = { 0 };
	int rc = q->run(s, q, &rows, err);
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

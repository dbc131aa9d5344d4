/* The grammar of SHOW; what each does is in show_*.c. */
#include "engine/sql/show.h"

static const struct {
	const char *words;
	int follows;
} shows[] = {
#define X(name, words, follows) { words, follows },
	SQL_SHOWS(X)
#undef X
};

size_t sql_show_kind(const char *words)
{
	size_t i = 0;
	while (i + 1 < ARRAY_LEN(shows) && strcmp(shows[i].words, words) != 0)
		i++;
	return i;
}

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
		q->kind = i;
		int rc = parse_object(p, shows[i].follows, q);
		return rc < 0 ? rc : parse_tail(p, db, q);
	}
	if (p->t.kind != SQL_TOK_WORD)
		return sql_unexpected(p, "what to show");
	autofree char *word = sql_token_value(&p->t);
	autofree char *what = xasprintf("SHOW %s", word);
	return sql_not_built(p, what);
}

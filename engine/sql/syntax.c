#include "engine/sql/syntax.h"

#include "lib/base/mem.h"

void sql_parser_init(struct sql_parser *p, struct str sql, struct err *err)
{
	*p = (struct sql_parser){ .sql = sql, .err = err };
	sql_lex_init(&p->lx, sql);
	sql_advance(p);
}

void sql_advance(struct sql_parser *p)
{
	if (p->rc < 0)
		return;
	p->last_end = p->lx.at;
	p->rc = sql_lex_next(&p->lx, &p->t, p->err);
	if (p->rc < 0)
		p->t = (struct sql_token){ .kind = SQL_TOK_END, .text = { "", 0 }, .at = p->lx.at };
}

static bool token_is(const struct sql_token *t, struct str word)
{
	return (t->kind == SQL_TOK_WORD || t->kind == SQL_TOK_OP) && str_caseeq(t->text, word);
}

bool sql_at(const struct sql_parser *p, const char *word)
{
	return token_is(&p->t, str_of(word));
}

/* Moves the copy past the words, or says where it failed. */
static bool match(struct sql_parser *p, const char *words)
{
	struct str rest = str_of(words), word;
	while (str_split(&rest, ' ', &word)) {
		if (p->rc < 0 || !token_is(&p->t, word))
			return false;
		sql_advance(p);
	}
	return true;
}

bool sql_at_all(const struct sql_parser *p, const char *words)
{
	struct sql_parser ahead = *p;
	ahead.err = NULL;
	return match(&ahead, words);
}

bool sql_accept(struct sql_parser *p, const char *words)
{
	return sql_at_all(p, words) && match(p, words);
}

int sql_unexpected(struct sql_parser *p, const char *wanted)
{
	if (p->rc < 0)
		return p->rc;
	struct str t = p->t.text;
	if (p->t.kind == SQL_TOK_END)
		p->rc = sql_syntax_error(p->sql, p->t.at, p->err,
		                         "Unexpected end of the statement, expected %s", wanted);
	else
		p->rc = sql_syntax_error(p->sql, p->t.at, p->err,
		                         "Unexpected input '%.*s', expected %s",
		                         t.len > 40 ? 40 : (int)t.len, t.p, wanted);
	p->t = (struct sql_token){ .kind = SQL_TOK_END, .text = { "", 0 }, .at = p->t.at };
	return p->rc;
}

int sql_not_built(struct sql_parser *p, const char *what)
{
	if (p->rc < 0)
		return p->rc;
	p->rc = err_set(p->err, SQL_ERR(1235), "%s is not supported by this version of Roost",
	                what);
	p->t = (struct sql_token){ .kind = SQL_TOK_END, .text = { "", 0 }, .at = p->t.at };
	return p->rc;
}

int sql_expect(struct sql_parser *p, const char *words)
{
	return sql_accept(p, words) ? 0 : sql_unexpected(p, words);
}

int sql_expect_end(struct sql_parser *p)
{
	(void)sql_accept(p, ";");
	if (p->rc == 0 && p->t.kind != SQL_TOK_END)
		return sql_unexpected(p, "the end of the statement");
	return p->rc;
}

/* The current token's value, once what follows it is a token as well. */
static int take_value(struct sql_parser *p, char **ret)
{
	autofree char *value = sql_token_value(&p->t);
	sql_advance(p);
	if (p->rc < 0)
		return p->rc;
	free(*ret);
	*ret = TAKE_PTR(value);
	return 0;
}

int sql_expect_name(struct sql_parser *p, const char *what, char **ret)
{
	if (p->t.kind != SQL_TOK_WORD && p->t.kind != SQL_TOK_QUOTED)
		return sql_unexpected(p, what);
	return take_value(p, ret);
}

int sql_expect_qualified(struct sql_parser *p, const char *what, char **ret_db, char **ret_name)
{
	autofree char *catalog = NULL, *db = NULL, *name = NULL;
	if (sql_expect_name(p, what, &name) < 0)
		return p->rc;
	for (int dots = 0; sql_accept(p, "."); dots++) {
		if (dots == 2)
			return sql_unexpected(p, "at most catalog.database.name");
		free(catalog);
		catalog = db;
		db = TAKE_PTR(name);
		if (sql_expect_name(p, what, &name) < 0)
			return p->rc;
	}
	if (catalog && strcmp(catalog, "default_catalog") != 0)
		return p->rc = err_set(p->err, SQL_ERR(1064), "Unknown catalog '%s'", catalog);
	free(*ret_db);
	free(*ret_name);
	*ret_db = TAKE_PTR(db);
	*ret_name = TAKE_PTR(name);
	return 0;
}

int sql_expect_string(struct sql_parser *p, const char *what, char **ret)
{
	if (p->t.kind != SQL_TOK_STRING)
		return sql_unexpected(p, what);
	return take_value(p, ret);
}

int sql_expect_integer(struct sql_parser *p, const char *what, int64_t min, int64_t max,
                       int64_t *ret)
{
	int64_t v = 0;
	if (p->t.kind != SQL_TOK_NUMBER || str_to_i64(p->t.text, &v) < 0 || v < min || v > max) {
		autofree char *wanted =
			xasprintf("%s: %lld to %lld", what, (long long)min, (long long)max);
		return sql_unexpected(p, wanted);
	}
	sql_advance(p);
	if (p->rc == 0)
		*ret = v;
	return p->rc;
}

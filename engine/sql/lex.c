#include "engine/sql/lex.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/sql/sink.h"
#include "lib/base/mem.h"

enum { NEAR_MAX = 48, DETAIL_MAX = 256 };

int sql_syntax_error(struct str sql, size_t at, struct err *err, const char *detail, ...)
{
	char text[DETAIL_MAX];
	va_list ap;
	va_start(ap, detail);
	(void)vsnprintf(text, sizeof(text), detail, ap);
	va_end(ap);

	size_t line = 1, column = 0;
	if (at > sql.len)
		at = sql.len;
	for (size_t i = 0; i < at; i++) {
		column++;
		if (sql.p[i] == '\n') {
			line++;
			column = 0;
		}
	}
	size_t n = sql.len - at < NEAR_MAX ? sql.len - at : NEAR_MAX;
	/* Never half a UTF-8 character. */
	while (n > 0 && at + n < sql.len && ((unsigned char)sql.p[at + n] & 0xc0) == 0x80)
		n--;
	const char *nul = n ? memchr(sql.p + at, '\0', n) : NULL;
	if (nul)
		n = (size_t)(nul - (sql.p + at));
	return err_set(
		err, SQL_ERR(1064),
		"Getting syntax error at line %zu, column %zu, near '%.*s'. Detail message: %s.",
		line, column, (int)n, n ? sql.p + at : "", text);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
	return is_word_start(c) || is_digit(c);
}

static char peek(const struct sql_lexer *lx, size_t ahead)
{
	return lx->at + ahead < lx->sql.len ? lx->sql.p[lx->at + ahead] : '\0';
}

void sql_lex_init(struct sql_lexer *lx, struct str sql)
{
	*lx = (struct sql_lexer){ .sql = sql };
}

/* Skips to the end of the line. */
static void skip_line(struct sql_lexer *lx)
{
	while (lx->at < lx->sql.len && lx->sql.p[lx->at] != '\n')
		lx->at++;
}

static int skip_blank(struct sql_lexer *lx, struct err *err)
{
	for (;;) {
		while (lx->at < lx->sql.len && is_space(lx->sql.p[lx->at]))
			lx->at++;
		if (lx->at >= lx->sql.len)
			return 0;
		if (peek(lx, 0) == '#' || (peek(lx, 0) == '-' && peek(lx, 1) == '-')) {
			skip_line(lx);
			continue;
		}
		if (peek(lx, 0) != '/' || peek(lx, 1) != '*')
			return 0;
		size_t from = lx->at;
		const char *end = memmem(lx->sql.p + from + 2, lx->sql.len - from - 2, "*/", 2);
		if (!end)
			return sql_syntax_error(lx->sql, from, err, "a comment without its end */");
		lx->at = (size_t)(end - lx->sql.p) + 2;
	}
}

/* Moves past a quoted run that starts at lx->at with `quote`; backslashes escape in strings only. */
static int skip_quoted(struct sql_lexer *lx, char quote, struct err *err)
{
	size_t from = lx->at++;
	while (lx->at < lx->sql.len) {
		char c = lx->sql.p[lx->at++];
		if (c == '\\' && quote != '`' && lx->at < lx->sql.len) {
			lx->at++;
		} else if (c == quote) {
			if (peek(lx, 0) != quote)
				return 0;
			lx->at++;
		}
	}
	return sql_syntax_error(lx->sql, from, err, "%s without its closing quote",
	                        quote == '`' ? "a quoted name" : "a string");
}

static void skip_digits(struct sql_lexer *lx)
{
	while (is_digit(peek(lx, 0)))
		lx->at++;
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static int skip_number(struct sql_lexer *lx, struct err *err)
{
	size_t from = lx->at;
	if (peek(lx, 0) == '0' && (peek(lx, 1) == 'x' || peek(lx, 1) == 'X') &&
	    is_hex(peek(lx, 2))) {
		lx->at += 2;
		while (is_hex(peek(lx, 0)))
			lx->at++;
	} else {
		skip_digits(lx);
		if (peek(lx, 0) == '.') {
			lx->at++;
			skip_digits(lx);
		}
		size_t sign = peek(lx, 1) == '+' || peek(lx, 1) == '-';
		if ((peek(lx, 0) == 'e' || peek(lx, 0) == 'E') && is_digit(peek(lx, 1 + sign))) {
			lx->at += 1 + sign;
			skip_digits(lx);
		}
	}
	if (is_word(peek(lx, 0)))
		return sql_syntax_error(lx->sql, from, err,
		                        "neither a number nor a name; a name that starts with a "
		                        "digit needs `backticks`");
	return 0;
}

static int skip_variable(struct sql_lexer *lx, struct sql_token *t, struct err *err)
{
	size_t from = lx->at++;
	t->kind = SQL_TOK_USERVAR;
	if (peek(lx, 0) == '@') {
		t->kind = SQL_TOK_SYSVAR;
		lx->at++;
	}
	char c = peek(lx, 0);
	if (c == '`' || (t->kind == SQL_TOK_USERVAR && (c == '\'' || c == '"')))
		return skip_quoted(lx, c, err);
	size_t name = lx->at;
	while (is_word(peek(lx, 0)) || (peek(lx, 0) == '.' && is_word(peek(lx, 1))))
		lx->at++;
	if (lx->at == name)
		return sql_syntax_error(lx->sql, from, err, "@ needs the name of a variable");
	return 0;
}

static int too_many(const struct sql_lexer *lx, struct err *err, const char *what, int max)
{
	return sql_syntax_error(lx->sql, lx->at, err, "more than %d %s, which is the maximum", max,
	                        what);
}

/* What the parser would pay for, counted per parenthesis. */
static int count_op(struct sql_lexer *lx, char c, struct err *err)
{
	if (strchr("([{", c)) {
		if (++lx->depth > SQL_DEPTH_MAX)
			return too_many(lx, err, "nested parentheses", SQL_DEPTH_MAX);
		lx->commas[lx->depth] = lx->operators[lx->depth] = 0;
	} else if (strchr(")]}", c)) {
		lx->depth -= lx->depth > 0;
	} else if (c == ',' || c == ';') {
		lx->operators[lx->depth] = 0;
		/* Outside parentheses: rows of VALUES, which have their own limit. */
		if (c == ',' && lx->depth > 0 && ++lx->commas[lx->depth] >= SQL_ITEMS_MAX)
			return sql_syntax_error(lx->sql, lx->at, err,
			                        "Expression child number exceeded the maximum %d",
			                        SQL_ITEMS_MAX);
	} else if (c != '.' && ++lx->operators[lx->depth] > SQL_ITEMS_MAX) {
		return too_many(lx, err, "operators", SQL_ITEMS_MAX);
	}
	return 0;
}

static int skip_op(struct sql_lexer *lx, struct err *err)
{
	static const char *const ops[] = { "<=>", "->>", "<=", ">=", "<>", "!=", "||",
		                           "&&",  ":=",  "->", "<<", ">>", "=>", "::" };
	char c = lx->sql.p[lx->at];
	if (!c || !strchr("+-*/%^&|~!=<>(),;.[]{}:", c))
		return sql_syntax_error(lx->sql, lx->at, err, "not a character of SQL");
	int rc = count_op(lx, c, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		size_t n = strlen(ops[i]);
		if (lx->sql.len - lx->at >= n && memcmp(lx->sql.p + lx->at, ops[i], n) == 0) {
			lx->at += n;
			return 0;
		}
	}
	lx->at++;
	return 0;
}

/* Nested CASEs, which need no parentheses. */
static int count_cases(struct sql_lexer *lx, struct str word, struct err *err)
{
	if (str_caseeqs(word, "case") && ++lx->cases > SQL_DEPTH_MAX)
		return too_many(lx, err, "nested CASEs", SQL_DEPTH_MAX);
	if (lx->cases > 0 && str_caseeqs(word, "end"))
		lx->cases--;
	return 0;
}

/* The token that starts at lx->at, which is not blank. */
static int lex_one(struct sql_lexer *lx, struct sql_token *t, struct err *err)
{
	char c = peek(lx, 0);
	if (is_word_start(c)) {
		t->kind = SQL_TOK_WORD;
		while (is_word(peek(lx, 0)))
			lx->at++;
		return count_cases(lx, (struct str){ lx->sql.p + t->at, lx->at - t->at }, err);
	}
	if (is_digit(c) || (c == '.' && is_digit(peek(lx, 1)))) {
		t->kind = SQL_TOK_NUMBER;
		return skip_number(lx, err);
	}
	if (c == '\'' || c == '"' || c == '`') {
		t->kind = c == '`' ? SQL_TOK_QUOTED : SQL_TOK_STRING;
		return skip_quoted(lx, c, err);
	}
	if (c == '@')
		return skip_variable(lx, t, err);
	if (c == '?') {
		t->kind = SQL_TOK_PARAM;
		lx->at++;
		return 0;
	}
	t->kind = SQL_TOK_OP;
	return skip_op(lx, err);
}

int sql_lex_next(struct sql_lexer *lx, struct sql_token *ret, struct err *err)
{
	if (lx->sql.len > SQL_TEXT_MAX)
		return err_set(err, SQL_ERR(1064),
		               "A statement of %zu bytes: the maximum is %d bytes", lx->sql.len,
		               SQL_TEXT_MAX);
	int rc = skip_blank(lx, err);
	if (rc < 0)
		return rc;
	struct sql_token t = { .kind = SQL_TOK_END, .at = lx->at };
	if (lx->at < lx->sql.len) {
		if (++lx->tokens > SQL_TOKENS_MAX)
			return sql_syntax_error(lx->sql, lx->at, err,
			                        "more than %d words, which is the maximum",
			                        SQL_TOKENS_MAX);
		rc = lex_one(lx, &t, err);
		if (rc < 0)
			return rc;
	}
	t.text = (struct str){ lx->sql.p + t.at, lx->at - t.at };
	*ret = t;
	return 0;
}

static char unescape(char c)
{
	switch (c) {
	case '0':
		return '\0';
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'Z':
		return '\032';
	default:
		return c;
	}
}

/* The inside of 'a''b\n', "x" or `a``b`, quotes included in s. */
static int unquote(struct str s, struct buf *out)
{
	char quote = s.p[0];
	for (size_t i = 1; i + 1 < s.len; i++) {
		char c = s.p[i];
		if (c == '\\' && quote != '`' && i + 2 < s.len) {
			char next = s.p[++i];
			/* LIKE patterns keep these two for LIKE to see. */
			if (next == '%' || next == '_')
				(void)buf_addc(out, '\\');
			c = unescape(next);
		} else if (c == quote) {
			i++;
		}
		if (buf_addc(out, c) < 0)
			return -E2BIG;
	}
	return 0;
}

int sql_token_bytes(const struct sql_token *t, struct buf *out)
{
	struct str s = t->text;
	if (t->kind == SQL_TOK_SYSVAR || t->kind == SQL_TOK_USERVAR) {
		size_t n = t->kind == SQL_TOK_SYSVAR ? 2 : 1;
		s.p += n;
		s.len -= n;
	} else if (t->kind != SQL_TOK_STRING && t->kind != SQL_TOK_QUOTED) {
		return buf_add(out, s.p, s.len);
	}
	if (s.len >= 2 && strchr("'\"`", s.p[0]))
		return unquote(s, out);
	return buf_add(out, s.p, s.len);
}

char *sql_token_value(const struct sql_token *t)
{
	struct buf b = BUF_INIT(SQL_TEXT_MAX);
	(void)sql_token_bytes(t, &b);
	return buf_take(&b);
}

int sql_split(struct str *rest, struct str *ret, struct err *err)
{
	struct sql_lexer lx;
	struct sql_token t;
	sql_lex_init(&lx, *rest);
	size_t from = 0, end = 0;
	bool any = false;
	for (;;) {
		int rc = sql_lex_next(&lx, &t, err);
		if (rc < 0)
			return rc;
		bool cut = t.kind == SQL_TOK_OP && str_eqs(t.text, ";");
		if (any && (cut || t.kind == SQL_TOK_END))
			break;
		if (t.kind == SQL_TOK_END) {
			*rest = (struct str){ rest->p + rest->len, 0 };
			return 0;
		}
		if (cut)
			continue;
		if (!any)
			from = t.at;
		any = true;
		end = lx.at;
	}
	*ret = (struct str){ rest->p + from, end - from };
	*rest = (struct str){ rest->p + lx.at, rest->len - lx.at };
	return 1;
}

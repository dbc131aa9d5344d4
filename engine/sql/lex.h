/* Tokens of the MySQL/StarRocks dialect; the first wall: it bounds length and nesting before anything parses.
 *
 * Thread: plain values over borrowed text. Limits: SQL_TEXT_MAX bytes, SQL_DEPTH_MAX nested parentheses or CASEs (a
 * deeper statement is refused here, since deep expressions exhaust the parser's stack), SQL_ITEMS_MAX items between
 * two parentheses or operators in an item (the parser takes kilobytes for each, and all sessions share it), SQL_TOKENS_MAX tokens.
 * Comments (--, #, slash-star, and MySQL's slash-star-bang, whose content is not executed) are skipped. */
#ifndef ROOST_ENGINE_SQL_LEX_H
#define ROOST_ENGINE_SQL_LEX_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { SQL_TEXT_MAX = 16 * 1024 * 1024, SQL_DEPTH_MAX = 200, SQL_TOKENS_MAX = 4 * 1024 * 1024 };
enum { SQL_ITEMS_MAX = 10000 }; /* StarRocks' expr_children_limit */

enum sql_token_kind {
	SQL_TOK_END,
	SQL_TOK_WORD,   /* an unquoted identifier or keyword */
	SQL_TOK_QUOTED, /* `identifier`: text is with the backticks */
	SQL_TOK_STRING, /* 'text' or "text" (MySQL: both are strings): text is with the quotes */
	SQL_TOK_NUMBER,
	SQL_TOK_OP, /* one operator or punctuation: ( ) , ; . = <=> != <> <= >= || && + - * / % … */
	SQL_TOK_SYSVAR, /* @@name, @@session.name */
	SQL_TOK_USERVAR,
	SQL_TOK_PARAM, /* ? */
};

struct sql_token {
	enum sql_token_kind kind;
	struct str text; /* inside the statement */
	size_t at;       /* byte offset, for messages */
};

struct sql_lexer {
	struct str sql;
	size_t at;
	int depth, cases;
	size_t tokens;
	/* Inside the parenthesis of that depth; operators since the last comma. */
	unsigned commas[SQL_DEPTH_MAX + 1], operators[SQL_DEPTH_MAX + 1];
};

void sql_lex_init(struct sql_lexer *lx, struct str sql);
/* The next token (SQL_TOK_END at the end); -EINVAL with "near …" (SQL_ERR(1064)) for what is no token. */
int sql_lex_next(struct sql_lexer *lx, struct sql_token *ret, struct err *err);
/* Appends the value of a token: a string or quoted name with its escapes undone (may hold NUL bytes), a variable
 * without its @ or @@, anything else as it stands. */
int sql_token_bytes(const struct sql_token *t, struct buf *out);
/* The same as a C string (it ends at a NUL byte); malloc'd. */
char *sql_token_value(const struct sql_token *t);
/* Cuts the first statement off *rest at its ';' (outside strings and comments): 1 with *ret, trimmed; 0 when nothing
 * but white space, comments and ';' is left; negative: what is left has no tokens that far. */
int sql_split(struct str *rest, struct str *ret, struct err *err);

/* Fills err with StarRocks' wording of a syntax error (1064): line and column of byte `at`, the text near it, and
 * detail (what is allowed, or why it is refused). Returns its code. */
int sql_syntax_error(struct str sql, size_t at, struct err *err, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));

#endif

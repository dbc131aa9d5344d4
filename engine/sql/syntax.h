/* A cursor over tokens for the recursive descent of statements: look, accept, expect.
 *
 * Thread: plain values; copying the struct saves the place. Errors stick: after the first one `rc` is set, the current
 * token is SQL_TOK_END and everything else fails or says no, so a parser may look once at the end of a rule. */
#ifndef ROOST_ENGINE_SQL_SYNTAX_H
#define ROOST_ENGINE_SQL_SYNTAX_H

#include <stdbool.h>

#include "engine/sql/lex.h"
#include "engine/sqlerr.h"

struct sql_parser {
	struct str sql;
	struct sql_lexer lx;
	struct sql_token t; /* the current one */
	size_t last_end;    /* where the token before ended */
	struct err *err;
	int rc;
};

void sql_parser_init(struct sql_parser *p, struct str sql, struct err *err);
void sql_advance(struct sql_parser *p);

/* The current token is this keyword or operator (keywords in any case). */
bool sql_at(const struct sql_parser *p, const char *word);
/* The current token and those after it are these words and operators, separated by blanks. */
bool sql_at_all(const struct sql_parser *p, const char *words);
/* The same, and moves past them. */
bool sql_accept(struct sql_parser *p, const char *words);
/* The same, or the error "expected …". */
int sql_expect(struct sql_parser *p, const char *words);
/* Nothing is left. */
int sql_expect_end(struct sql_parser *p);

/* A name (plain or quoted); what: "a database" for the message. *ret is malloc'd. */
int sql_expect_name(struct sql_parser *p, const char *what, char **ret);
/* [[catalog.]database.]name; *ret_db is NULL when there is none. Only default_catalog is known. */
int sql_expect_qualified(struct sql_parser *p, const char *what, char **ret_db, char **ret_name);
int sql_expect_string(struct sql_parser *p, const char *what, char **ret);
int sql_expect_integer(struct sql_parser *p, const char *what, int64_t min, int64_t max,
                       int64_t *ret);
/* The error at the current token; wanted: what is allowed there. */
int sql_unexpected(struct sql_parser *p, const char *wanted);
/* The error 1235 for something known that is not built; at the current token. */
int sql_not_built(struct sql_parser *p, const char *what);

#endif

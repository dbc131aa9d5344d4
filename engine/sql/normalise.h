/* From MySQL's and StarRocks' spelling of a query to the one that DuckDB's parser reads, token by token.
 *
 * `names` become "names", both kinds of strings 'strings' with their escapes undone; LIMIT a, b; <=>, &&, ||, !, 0x…, DIV, MOD,
 * REGEXP and RLIKE, LIKE's backslash; CAST's two-word types; GROUP_CONCAT's SEPARATOR; SEMI and ANTI
 * joins; INTERVAL before a name or a sign; names that are DuckDB's keywords only. Functions are not looked at here (sql/rewrite.c does).
 * Thread: any. Refusals: SQL_ERR(1064) with the place. */
#ifndef ROOST_ENGINE_SQL_NORMALISE_H
#define ROOST_ENGINE_SQL_NORMALISE_H

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

/* Appends one statement's text to out, whose maximum should be twice SQL_TEXT_MAX. modes: SQL_MODE_… of the session;
 * with PIPES_AS_CONCAT || is DuckDB's own, else OR. */
int sql_normalise(struct str sql, unsigned modes, struct buf *out, struct err *err);

#endif

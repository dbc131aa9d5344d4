/* Words that DuckDB's grammar keeps for itself and MySQL's and StarRocks' do not: as names they travel in quotes.
 *
 * Thread: constant data. The lists are what DuckDB 2.0's parser refuses as a bare name (duckdb_keywords() tried one by
 * one), less what is a keyword here as well. */
#ifndef ROOST_ENGINE_SQL_KEYWORD_H
#define ROOST_ENGINE_SQL_KEYWORD_H

#include <stdbool.h>

#include "lib/base/str.h"

/* Never a bare name there: "at", "asof", "glob"… */
bool sql_keyword_hard(struct str word);
/* A name, but not a bare alias: "day", "filter"… */
bool sql_keyword_soft(struct str word);

#endif

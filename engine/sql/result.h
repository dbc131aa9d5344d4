/* Rows of the exchange format, and lines of text, to a client's sink.
 *
 * Thread: the session's. Memory: one block of rows at a time. */
#ifndef ROOST_ENGINE_SQL_RESULT_H
#define ROOST_ENGINE_SQL_RESULT_H

#include <jansson.h>

#include "engine/plan/query.h"
#include "engine/sql/sink.h"

struct xchg_reader;

/* By column of a bound query: whether its user wrote a LARGEINT (a column of that type, or a CAST to it). What else
 * is of 128 bits is a sum of integers, a BIGINT to StarRocks' users. malloc'd. */
bool *sql_result_large(const struct plan_query *q);
/* names: as the user sees the columns; as many as the reader has, and as `large` has. Integers of 128 bits are
 * BIGINT where all rows allow it, unless `large`; else DECIMAL(38, 0). */
int sql_result_send(struct xchg_reader *rows, const char *const *names, const bool *large, size_t n,
                    struct sql_sink *sink, struct err *err);
/* lines: an array of arrays of n strings (or null). */
int sql_result_send_lines(const json_t *lines, const char *const *names, size_t n,
                          struct sql_sink *sink, struct err *err);

#endif

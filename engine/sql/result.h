/* Rows of the exchange format, and lines of text, to a client's sink.
 *
 * Thread: the session's. Memory: one block of rows at a time. */
#ifndef ROOST_ENGINE_SQL_RESULT_H
#define ROOST_ENGINE_SQL_RESULT_H

#include <jansson.h>

#include "engine/sql/sink.h"

struct xchg_reader;

/* names: as the user sees the columns; as many as the reader has. */
int sql_result_send(struct xchg_reader *rows, const char *const *names, size_t n,
                    struct sql_sink *sink, struct err *err);
/* lines: an array of arrays of n strings (or null). */
int sql_result_send_lines(const json_t *lines, const char *const *names, size_t n,
                          struct sql_sink *sink, struct err *err);

#endif

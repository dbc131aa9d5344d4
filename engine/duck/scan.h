/* Exchange files as a table: the function roost_exchange('token') of every connection.
 *
 * A statement can only name tokens that a task registered, random ones, so no statement reaches a file by itself.
 * Thread: any; a scan runs on as many threads as DuckDB likes. Ownership: files are opened at registration and
 * stay open until duck_scan_drop(); drop it after the connection that used it is gone. */
#ifndef ROOST_ENGINE_DUCK_SCAN_H
#define ROOST_ENGINE_DUCK_SCAN_H

#include <duckdb.h>
#include <jansson.h>

#include "engine/duck/types.h"

enum { DUCK_TOKEN_LEN = 32 };

/* Once for a database, on any connection. */
int duck_scan_register(duckdb_connection con, struct err *err);

/* files: [{"path","from"?,"to"?}…] with as many columns as `columns`, whose names they get; their own types are
 * written to types[columns->n] (columns' own when there is no file). -ENOENT and -EBADMSG: the input is lost. */
int duck_scan_add(const json_t *files, const struct duck_columns *columns,
                  struct xchg_column *types, char token[DUCK_TOKEN_LEN + 1], uint64_t *ret_rows,
                  uint64_t *ret_bytes, struct err *err);
void duck_scan_drop(const char *token);

#endif

/* Where the result of a statement goes: the wire implements it, everything above plan fills it.
 *
 * Thread: called by the session's thread only. Order: either columns (once), rows, done; or ok; or the
 * statement's function returns an error and nothing more is called. A sink may refuse (client gone):
 * its negative code ends the statement. */
#ifndef ROOST_ENGINE_SQL_SINK_H
#define ROOST_ENGINE_SQL_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/sqlerr.h" /* SQL_ERR(): the errno that a failed statement shows */
#include "lib/base/err.h"
#include "lib/base/str.h"

/* Types as a MySQL client sees them; the wire maps them to protocol codes. */
enum sql_type {
	SQL_TYPE_NULL,
	SQL_TYPE_BOOL,
	SQL_TYPE_TINYINT,
	SQL_TYPE_SMALLINT,
	SQL_TYPE_INT,
	SQL_TYPE_BIGINT,
	SQL_TYPE_LARGEINT, /* 128 bit, shown as text of digits */
	SQL_TYPE_FLOAT,
	SQL_TYPE_DOUBLE,
	SQL_TYPE_DECIMAL,
	SQL_TYPE_DATE,
	SQL_TYPE_DATETIME,
	SQL_TYPE_VARCHAR,
	SQL_TYPE_VARBINARY,
};

struct sql_column {
	const char *name;
	enum sql_type type;
	unsigned precision, scale; /* of a DECIMAL */
};

struct sql_cell { /* MySQL's text form; p == NULL is SQL NULL */
	const char *p;
	size_t len;
};

struct sql_sink {
	int (*columns)(struct sql_sink *sink, const struct sql_column *columns, size_t n,
	               struct err *err);
	int (*row)(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err);
	int (*done)(struct sql_sink *sink, struct err *err); /* after the last row */
	int (*ok)(struct sql_sink *sink, uint64_t affected_rows, const char *info, struct err *err);
	/* Whether the client is gone or has asked for KILL: asked now and then by long work. */
	bool (*cancelled)(struct sql_sink *sink);
};

#endif

/* Prepared statements: the text with its ? places, and its execution by putting literals there.
 *
 * Thread: one connection's. Ownership: a statement owns its text and long data.
 * Limits: WIRE_PARAMS_MAX places; long data and bound text within WIRE_PACKET_MAX. */
#ifndef ROOST_ENGINE_WIRE_STMT_H
#define ROOST_ENGINE_WIRE_STMT_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { WIRE_PARAMS_MAX = 65535 };

struct wire_param {
	size_t at;     /* of the ? in the text */
	uint16_t type; /* as the client said last: the code, and 0x8000 for unsigned */
	bool long_data;
	struct buf data; /* COM_STMT_SEND_LONG_DATA */
};

struct wire_stmt {
	uint32_t id;
	char *sql;
	size_t sql_len, n_params, long_bytes;
	bool too_long; /* long data went over the limit: told at the next execution */
	struct wire_param *params;
};

/* One statement; refuses an empty text, two statements, and more than WIRE_PARAMS_MAX places. */
int wire_stmt_new(struct str sql, uint32_t id, struct wire_stmt **ret, struct err *err);
void wire_stmt_free(struct wire_stmt *s);
void wire_stmt_long_data(struct wire_stmt *s, size_t param, struct str data);
void wire_stmt_reset(struct wire_stmt *s); /* drops long data */

/* payload: of COM_STMT_EXECUTE after the statement's id. Appends the text with its values to out. */
int wire_stmt_bind(struct wire_stmt *s, struct str payload, struct buf *out, struct err *err);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct wire_stmt, wire_stmt_free)

#endif

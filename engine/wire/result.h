/* The sink of one statement's result: text rows (COM_QUERY) or binary rows (COM_STMT_EXECUTE) on a connection.
 *
 * Thread: the connection's. A result borrows the io and the session. */
#ifndef ROOST_ENGINE_WIRE_RESULT_H
#define ROOST_ENGINE_WIRE_RESULT_H

#include "engine/sql/session.h"
#include "engine/wire/packet.h"

struct wire_result {
	struct sql_sink sink; /* first: the callbacks cast back */
	struct wire_io *io;
	struct sql_session *session;
	uint32_t caps;
	uint16_t status; /* of its last packet: whether another result follows */
	bool binary;
	bool finished; /* an OK or the end of the rows was written */
	bool broken;   /* the connection is of no more use */
	size_t n_columns;
	enum sql_type *types;
	int64_t next_peek_ms;
};

void wire_result_init(struct wire_result *r, struct wire_io *io, struct sql_session *session,
                      uint32_t caps, bool binary, bool more);
void wire_result_free(struct wire_result *r);
/* Ends the result of a statement that returned rc: an ERR packet where it failed. Negative: the connection is gone. */
int wire_result_end(struct wire_result *r, int rc, struct err *err);

#endif

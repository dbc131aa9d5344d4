/* One client connection, from greeting to end, on its own thread.
 *
 * Thread: its own; wire.c only touches what its lock guards (list links, busy). */
#ifndef ROOST_ENGINE_WIRE_CONN_H
#define ROOST_ENGINE_WIRE_CONN_H

#include "engine/wire/auth.h"
#include "engine/wire/packet.h"
#include "engine/wire/stmt.h"
#include "engine/wire/wire.h"
#include "lib/base/vec.h"

enum {
	WIRE_HANDSHAKE_MS = 10 * 1000,
	WIRE_HANDSHAKE_MAX = 64 * 1024, /* bytes of a packet before the login */
	WIRE_STMTS_MAX = 1024,
	WIRE_STMTS_BYTES_MAX = 64 * 1024 * 1024,
};

struct wire_conn {
	struct wire_conn *next, *prev; /* wire.c's list, under its lock */
	bool busy;                     /* under the same lock */
	struct wire *wire;
	struct sql_server *server;
	const char *version;
	struct wire_io io;
	struct buf in;
	uint32_t id, caps;
	char user[256], peer[64];
	char scramble[WIRE_SCRAMBLE_LEN + 1];
	struct sql_session *session; /* NULL before the login */
	VEC(struct wire_stmt *) stmts;
	size_t stmt_bytes;
	uint32_t last_stmt;
};

/* Talks until the client or the server ends it; frees all but the struct and the descriptor. */
void wire_conn_run(struct wire_conn *c);

/* The login of user with an answer to c->scramble; 1045. Makes c->session. */
int wire_login(struct wire_conn *c, const char *user, struct str response, struct err *err);
/* Asks for a mysql_native_password answer to c->scramble; *ret lies in c->in. */
int wire_ask_password(struct wire_conn *c, struct deadline by, struct str *ret, struct err *err);
void wire_conn_drop_stmts(struct wire_conn *c);

/* Single packets, flushed. Negative: the connection is gone. */
int wire_send_ok(struct wire_conn *c);
int wire_send_failure(struct wire_conn *c, const struct err *err);

/* In wire.c: a command begins (false: the server is stopping) and ends. */
bool wire_conn_begin(struct wire_conn *c);
void wire_conn_end(struct wire_conn *c);
size_t wire_uptime_s(const struct wire *w);

#endif

/* The MySQL 8 protocol on the FE's query_port: any MySQL client talks to sql/ through here.
 *
 * Thread: one thread accepts, one thread a connection (docs/decisions/0050); wire_start() and wire_stop() from the
 * program's main thread, the others from any. Ownership: config is copied, its pointers are borrowed until
 * wire_stop() returned. Limits: max_connections (error 1040 beyond), WIRE_PACKET_MAX bytes a packet, 10 s for a
 * handshake, wait_timeout (8 h) for an idle connection.
 * Auth: mysql_native_password; a client that opens with another method is switched to it. */
#ifndef ROOST_ENGINE_WIRE_WIRE_H
#define ROOST_ENGINE_WIRE_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/sql/session.h"
#include "lib/base/err.h"

enum { WIRE_PACKET_MAX = 64 * 1024 * 1024, WIRE_CONNECTIONS_DEFAULT = 4096 };

struct wire;
struct wire_config {
	const char *listen_address; /* NULL or "": every address, IPv6 and IPv4 */
	int port;                   /* 0: any free one, see wire_port() */
	unsigned max_connections;   /* qe_max_connection; 0: WIRE_CONNECTIONS_DEFAULT */
	struct sql_server *server;  /* its `connections` is made here when NULL */
	const char *version;        /* of the handshake: "8.0.33-roost-0.1.0" */
};

int wire_start(const struct wire_config *config, struct wire **ret, struct err *err);
/* Accepts no more, closes idle connections at once and the others as their statement ends, for at most grace_ms; then
 * kills what is left and frees. Returns how many statements were killed. */
size_t wire_stop(struct wire *w, int64_t grace_ms);

int wire_port(const struct wire *w);
size_t wire_connections(struct wire *w); /* open now */

#endif

/* The first packets of a connection: greeting, the client's answer, the switch to another auth method.
 *
 * Thread: pure functions. Ownership: views point into the payload that was read. */
#ifndef ROOST_ENGINE_WIRE_HANDSHAKE_H
#define ROOST_ENGINE_WIRE_HANDSHAKE_H

#include <stdint.h>

#include "engine/wire/auth.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	WIRE_CAP_LONG_PASSWORD = 1 << 0,
	WIRE_CAP_LONG_FLAG = 1 << 2,
	WIRE_CAP_CONNECT_WITH_DB = 1 << 3,
	WIRE_CAP_PROTOCOL_41 = 1 << 9,
	WIRE_CAP_SSL = 1 << 11,
	WIRE_CAP_TRANSACTIONS = 1 << 13,
	WIRE_CAP_SECURE_CONNECTION = 1 << 15,
	WIRE_CAP_MULTI_STATEMENTS = 1 << 16,
	WIRE_CAP_MULTI_RESULTS = 1 << 17,
	WIRE_CAP_PS_MULTI_RESULTS = 1 << 18,
	WIRE_CAP_PLUGIN_AUTH = 1 << 19,
	WIRE_CAP_CONNECT_ATTRS = 1 << 20,
	WIRE_CAP_PLUGIN_AUTH_LENENC = 1 << 21,
	WIRE_CAP_DEPRECATE_EOF = 1 << 24,
	WIRE_CAPS = WIRE_CAP_LONG_PASSWORD | WIRE_CAP_LONG_FLAG | WIRE_CAP_CONNECT_WITH_DB |
	            WIRE_CAP_PROTOCOL_41 | WIRE_CAP_TRANSACTIONS | WIRE_CAP_SECURE_CONNECTION |
	            WIRE_CAP_MULTI_STATEMENTS | WIRE_CAP_MULTI_RESULTS | WIRE_CAP_PS_MULTI_RESULTS |
	            WIRE_CAP_PLUGIN_AUTH | WIRE_CAP_CONNECT_ATTRS | WIRE_CAP_PLUGIN_AUTH_LENENC |
	            WIRE_CAP_DEPRECATE_EOF,
};
enum {
	WIRE_CHARSET = 45, /* utf8mb4_general_ci: every client knows it */
	WIRE_CHARSET_BINARY = 63,
	WIRE_STATUS_AUTOCOMMIT = 2,
	WIRE_STATUS_MORE_RESULTS = 8,
};

struct wire_hello {
	uint32_t caps; /* of both sides */
	struct str user, db, plugin, auth;
};

void wire_put_greeting(struct buf *out, const char *version, uint32_t connection_id,
                       const char scramble[WIRE_SCRAMBLE_LEN + 1]);
/* The HandshakeResponse41; -EPROTO for older clients, TLS requests and what is cut short. */
int wire_parse_hello(struct str payload, struct wire_hello *ret, struct err *err);
/* COM_CHANGE_USER without its command byte; caps are those of the handshake. */
int wire_parse_change_user(struct str payload, uint32_t caps, struct wire_hello *ret,
                           struct err *err);
void wire_put_auth_switch(struct buf *out, const char scramble[WIRE_SCRAMBLE_LEN + 1]);

/* OK (with the header that ends a result, 0xfe, or 0), EOF and ERR packets. */
void wire_put_ok(struct buf *out, uint8_t header, uint64_t affected, uint16_t status,
                 const char *info);
void wire_put_eof(struct buf *out, uint16_t status);
void wire_put_err(struct buf *out, int mysql_errno, const char *message);
/* What a failed call shows: the MySQL errno of its code. */
void wire_put_failure(struct buf *out, const struct err *err);

#endif

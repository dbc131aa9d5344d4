/* Packets of the MySQL protocol: framing on a socket, and the integers and strings inside a payload.
 *
 * Thread: one connection's. Ownership: the io borrows its descriptor and owns its output buffer.
 * Limits: a payload is at most the maximum of the buffer it is read into; output is sent once WIRE_FLUSH bytes wait. */
#ifndef ROOST_ENGINE_WIRE_PACKET_H
#define ROOST_ENGINE_WIRE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	WIRE_PART_MAX = 0xffffff, /* a longer payload goes in several parts */
	WIRE_FLUSH = 64 * 1024,
	WIRE_NET_TIMEOUT_MS = 60 * 1000, /* without any progress inside a packet */
};
enum { WIRE_CLOSED = 1 }; /* the peer ended the stream between packets */

struct wire_io {
	int fd;
	uint8_t seq;
	struct buf out;
	size_t begun; /* where the packet under construction starts in out */
	uint64_t bytes_in, bytes_out;
};

void wire_io_init(struct wire_io *io, int fd);
void wire_io_free(struct wire_io *io);

/* Reads one payload into *ret (emptied first). `by` bounds the wait for its first byte; with `strict` the whole packet,
 * otherwise each further wait is bounded by WIRE_NET_TIMEOUT_MS. WIRE_CLOSED; -ETIMEDOUT; -EPROTO (sequence), -E2BIG. */
int wire_read(struct wire_io *io, struct deadline by, bool strict, struct buf *ret,
              struct err *err);

/* A packet is built in io->out between these two; wire_end() cuts it into parts and flushes when much waits. */
void wire_begin(struct wire_io *io);
int wire_end(struct wire_io *io, struct err *err);
int wire_flush(struct wire_io *io, struct err *err);
/* Whether the peer has closed its end (bytes that wait unread say no). */
bool wire_peer_gone(const struct wire_io *io);

void wire_put_lenenc(struct buf *b, uint64_t value);
void wire_put_lenstr(struct buf *b, const void *p, size_t len);

/* Reading a payload: after a read past its end `bad` is set and everything reads as 0 or "". */
struct wire_cursor {
	const uint8_t *p;
	size_t len, at;
	bool bad;
};
struct wire_cursor wire_cursor_of(struct str payload);
uint64_t wire_get_int(struct wire_cursor *c, size_t bytes);
uint64_t wire_get_lenenc(struct wire_cursor *c);
struct str wire_get_bytes(struct wire_cursor *c, uint64_t len);
struct str wire_get_lenstr(struct wire_cursor *c);
struct str wire_get_cstr(struct wire_cursor *c); /* up to a NUL, which is consumed */
static inline size_t wire_left(const struct wire_cursor *c)
{
	return c->len - c->at;
}

#endif

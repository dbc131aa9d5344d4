#include "engine/wire/packet.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "engine/wire/wire.h"

enum { READ_STEP = 256 * 1024 };

void wire_io_init(struct wire_io *io, int fd)
{
	*io = (struct wire_io){ .fd = fd };
	/* One packet and what waited before it; parts add a few headers. */
	io->out = (struct buf)BUF_INIT((size_t)WIRE_PACKET_MAX + 2 * (size_t)WIRE_FLUSH);
}

void wire_io_free(struct wire_io *io)
{
	buf_free(&io->out);
}

static int wait_for(const struct wire_io *io, short events, struct deadline by, struct err *err)
{
	for (;;) {
		struct pollfd pfd = { .fd = io->fd, .events = events };
		int64_t left = deadline_left_ms(by);
		int n = poll(&pfd, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0)
			return 0;
		if (n == 0)
			return err_set(err, -ETIMEDOUT, "the client was silent for too long");
		if (errno != EINTR)
			return err_errno(err, "poll");
	}
}

/* Exactly len bytes; 0 bytes before the end of the stream is WIRE_CLOSED. */
static int read_exact(struct wire_io *io, void *data, size_t len, struct deadline by, bool strict,
                      struct err *err)
{
	char *to = data;
	size_t got = 0;
	while (got < len) {
		ssize_t n = recv(io->fd, to + got, len - got, MSG_DONTWAIT);
		if (n > 0) {
			got += (size_t)n;
			if (!strict)
				by = deadline_in(WIRE_NET_TIMEOUT_MS);
			continue;
		}
		if (n == 0 && got == 0)
			return WIRE_CLOSED;
		if (n == 0)
			return err_set(err, -ECONNRESET, "the client went away inside a packet");
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(err, "recv");
		int rc = wait_for(io, POLLIN, by, err);
		if (rc < 0)
			return rc;
	}
	io->bytes_in += len;
	return 0;
}

static int read_part(struct wire_io *io, size_t len, struct deadline by, bool strict,
                     struct buf *ret, struct err *err)
{
	if (len > ret->max - ret->len)
		return err_set(err, -E2BIG, "a packet of more than %zu bytes, which is the maximum",
		               ret->max);
	/* In steps, so that a length alone makes nobody allocate. */
	while (len) {
		size_t step = len < READ_STEP ? len : READ_STEP;
		char *to = buf_reserve(ret, step);
		if (!to)
			return err_set(err, -E2BIG, "a packet too large");
		int rc = read_exact(io, to, step, by, strict, err);
		if (rc == WIRE_CLOSED)
			return err_set(err, -ECONNRESET, "the client went away inside a packet");
		if (rc < 0)
			return rc;
		ret->len += step;
		ret->p[ret->len] = '\0';
		len -= step;
		if (!strict)
			by = deadline_in(WIRE_NET_TIMEOUT_MS);
	}
	return 0;
}

int wire_read(struct wire_io *io, struct deadline by, bool strict, struct buf *ret, struct err *err)
{
	buf_reset(ret);
	for (bool first = true;; first = false) {
		uint8_t h[4];
		int rc = read_exact(io, h, sizeof(h), by, strict, err);
		if (rc == WIRE_CLOSED && first)
			return WIRE_CLOSED;
		if (rc)
			return rc < 0 ? rc
			              : err_set(err, -ECONNRESET,
			                        "the client went away inside a packet");
		if (h[3] != io->seq)
			return err_set(err, -EPROTO,
			               "Got packets out of order: number %u instead of %u", h[3],
			               io->seq);
		io->seq++;
		size_t len = (size_t)h[0] | (size_t)h[1] << 8 | (size_t)h[2] << 16;
		if (!strict)
			by = deadline_in(WIRE_NET_TIMEOUT_MS);
		rc = read_part(io, len, by, strict, ret, err);
		if (rc < 0)
			return rc;
		if (len < WIRE_PART_MAX)
			return 0;
	}
}

void wire_begin(struct wire_io *io)
{
	io->begun = io->out.len;
	(void)buf_addle(&io->out, 0, 4);
}

static void put_header(struct wire_io *io, size_t at, size_t len)
{
	char *h = io->out.p + at;
	h[0] = (char)(len & 0xff);
	h[1] = (char)(len >> 8 & 0xff);
	h[2] = (char)(len >> 16 & 0xff);
	h[3] = (char)io->seq++;
}

int wire_end(struct wire_io *io, struct err *err)
{
	size_t len = io->out.len - io->begun - 4;
	size_t parts = len / WIRE_PART_MAX; /* full ones; a shorter (even empty) one follows */
	if (io->out.overflow || len > WIRE_PACKET_MAX || !buf_reserve(&io->out, 4 * parts)) {
		io->out.overflow = false;
		io->out.len = io->begun;
		return err_set(err, -E2BIG,
		               "a row of more than %d bytes, which is the maximum packet",
		               WIRE_PACKET_MAX);
	}
	/* Open a gap for each further header, from the last part backwards. */
	for (size_t i = parts; i > 0; i--) {
		char *from = io->out.p + io->begun + 4 + i * WIRE_PART_MAX;
		size_t n = i == parts ? len - parts * WIRE_PART_MAX : WIRE_PART_MAX;
		memmove(from + 4 * i, from, n);
	}
	io->out.len += 4 * parts;
	for (size_t i = 0; i <= parts; i++)
		put_header(io, io->begun + i * (WIRE_PART_MAX + 4),
		           i < parts ? WIRE_PART_MAX : len - parts * WIRE_PART_MAX);
	return io->out.len >= WIRE_FLUSH ? wire_flush(io, err) : 0;
}

int wire_flush(struct wire_io *io, struct err *err)
{
	size_t sent = 0;
	while (sent < io->out.len) {
		ssize_t n = send(io->fd, io->out.p + sent, io->out.len - sent,
		                 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			return err_errno(err, "send");
		int rc = wait_for(io, POLLOUT, deadline_in(WIRE_NET_TIMEOUT_MS), err);
		if (rc < 0)
			return rc;
	}
	io->bytes_out += sent;
	buf_reset(&io->out);
	/* One large row does not keep its memory for the life of the connection. */
	if (io->out.cap > 4 * (size_t)WIRE_FLUSH)
		buf_free(&io->out);
	return 0;
}

bool wire_peer_gone(const struct wire_io *io)
{
	char c;
	ssize_t n = recv(io->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
	return n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void wire_put_lenenc(struct buf *b, uint64_t value)
{
	if (value < 0xfb) {
		(void)buf_addle(b, value, 1);
		return;
	}
	size_t bytes = value <= 0xffff ? 2 : value <= 0xffffff ? 3 : 8;
	(void)buf_addle(b, bytes == 2 ? 0xfc : bytes == 3 ? 0xfd : 0xfe, 1);
	(void)buf_addle(b, value, bytes);
}

void wire_put_lenstr(struct buf *b, const void *p, size_t len)
{
	wire_put_lenenc(b, len);
	(void)buf_add(b, p, len);
}

struct wire_cursor wire_cursor_of(struct str payload)
{
	return (struct wire_cursor){ .p = (const uint8_t *)payload.p, .len = payload.len };
}

uint64_t wire_get_int(struct wire_cursor *c, size_t bytes)
{
	struct str s = wire_get_bytes(c, bytes);
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++)
		v |= (uint64_t)(uint8_t)s.p[i] << (8 * i);
	return v;
}

uint64_t wire_get_lenenc(struct wire_cursor *c)
{
	uint64_t first = wire_get_int(c, 1);
	if (first < 0xfb)
		return first;
	if (first == 0xfc)
		return wire_get_int(c, 2);
	if (first == 0xfd)
		return wire_get_int(c, 3);
	if (first == 0xfe)
		return wire_get_int(c, 8);
	c->bad = true; /* 0xfb (NULL) and 0xff have no place where a length is read */
	return 0;
}

struct str wire_get_bytes(struct wire_cursor *c, uint64_t len)
{
	if (c->bad || len > wire_left(c)) {
		c->bad = true;
		return (struct str){ "", 0 };
	}
	struct str s = { (const char *)c->p + c->at, (size_t)len };
	c->at += (size_t)len;
	return s;
}

struct str wire_get_lenstr(struct wire_cursor *c)
{
	return wire_get_bytes(c, wire_get_lenenc(c));
}

struct str wire_get_cstr(struct wire_cursor *c)
{
	const uint8_t *nul = wire_left(c) ? memchr(c->p + c->at, '\0', wire_left(c)) : NULL;
	if (c->bad || !nul) {
		c->bad = true;
		return (struct str){ "", 0 };
	}
	struct str s = wire_get_bytes(c, (uint64_t)(nul - (c->p + c->at)));
	c->at++;
	return s;
}

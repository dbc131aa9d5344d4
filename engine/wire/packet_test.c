#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/wire/packet.h"
#include "engine/wire/wire.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"

static void integers_and_strings(void **state)
{
	(void)state;
	static const uint64_t values[] = { 0,       250,      251,       0xffff,
		                           0x10000, 0xffffff, 0x1000000, UINT64_MAX };
	_cleanup_buf_ struct buf b = BUF_INIT(1024);
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		wire_put_lenenc(&b, values[i]);
	wire_put_lenstr(&b, "abc", 3);
	(void)buf_add(&b, "z", 2);
	struct wire_cursor c = wire_cursor_of((struct str){ b.p, b.len });
	for (size_t i = 0; i < ARRAY_LEN(values); i++)
		assert_true(wire_get_lenenc(&c) == values[i]);
	assert_true(str_eqs(wire_get_lenstr(&c), "abc"));
	assert_true(str_eqs(wire_get_cstr(&c), "z"));
	assert_int_equal(wire_left(&c), 0);
	assert_false(c.bad);
	assert_int_equal(wire_get_int(&c, 4), 0);
	assert_true(c.bad);
	/* A length beyond the payload, no NUL, NULL where a length belongs. */
	static const struct str cut[] = { { "\xfe\xff\xff\xff\xff\xff\xff\xff\xff", 9 },
		                          { "\x05"
		                            "abc",
		                            4 },
		                          { "\xfb", 1 },
		                          { "\xfc\x01", 2 },
		                          { "", 0 } };
	for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
		c = wire_cursor_of(cut[i]);
		assert_int_equal(wire_get_lenstr(&c).len, 0);
		assert_true(c.bad);
	}
	c = wire_cursor_of(STR_LIT("no nul"));
	assert_int_equal(wire_get_cstr(&c).len, 0);
	assert_true(c.bad);
}

struct sent {
	struct wire_io io;
	size_t len;
	int rc;
};

static void *send_large(void *arg)
{
	struct sent *s = arg;
	wire_begin(&s->io);
	char *to = buf_reserve(&s->io.out, s->len);
	for (size_t i = 0; to && i < s->len; i++)
		to[i] = (char)(i * 31 >> 3);
	s->io.out.len += s->len;
	s->rc = wire_end(&s->io, NULL);
	if (s->rc == 0)
		s->rc = wire_flush(&s->io, NULL);
	return NULL;
}

static void large_payloads_are_cut_and_joined(void **state)
{
	(void)state;
	static const size_t lengths[] = { 0,
		                          1,
		                          WIRE_PART_MAX - 1,
		                          WIRE_PART_MAX,
		                          WIRE_PART_MAX + 1,
		                          2 * WIRE_PART_MAX,
		                          2 * WIRE_PART_MAX + 100 };
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		int fds[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		struct sent s = { .len = lengths[i] };
		struct wire_io io;
		wire_io_init(&s.io, fds[0]);
		wire_io_init(&io, fds[1]);
		pthread_t thread;
		assert_int_equal(pthread_create(&thread, NULL, send_large, &s), 0);
		_cleanup_buf_ struct buf got = BUF_INIT(WIRE_PACKET_MAX);
		assert_int_equal(wire_read(&io, deadline_in(200000), true, &got, NULL), 0);
		pthread_join(thread, NULL);
		assert_int_equal(s.rc, 0);
		assert_int_equal(got.len, lengths[i]);
		assert_int_equal(io.seq, lengths[i] / WIRE_PART_MAX + 1);
		assert_int_equal(s.io.seq, io.seq);
		for (size_t at = 0; at < got.len; at++) {
			if (got.p[at] != (char)(at * 31 >> 3))
				fail_msg("byte %zu of %zu", at, got.len);
		}
		close(fds[0]);
		assert_int_equal(wire_read(&io, deadline_in(30000), true, &got, NULL), WIRE_CLOSED);
		wire_io_free(&s.io);
		wire_io_free(&io);
		close(fds[1]);
	}
}

static void a_row_beyond_the_maximum_is_refused(void **state)
{
	(void)state;
	struct wire_io io;
	wire_io_init(&io, -1);
	(void)buf_adds(&io.out, "before");
	wire_begin(&io);
	assert_non_null(buf_reserve(&io.out, WIRE_PACKET_MAX + 1));
	io.out.len += WIRE_PACKET_MAX + 1;
	struct err err = ERR_INIT;
	assert_int_equal(wire_end(&io, &err), -E2BIG);
	assert_int_equal(io.out.len, 6);
	assert_int_equal(io.seq, 0);
	wire_io_free(&io);
}

static void bad_framing(void **state)
{
	(void)state;
	static const struct {
		const char *bytes;
		size_t len;
		int rc;
	} cases[] = {
		{ "", 0, WIRE_CLOSED },
		{ "\x01\x00", 2, -ECONNRESET },
		{ "\x05\x00\x00\x00"
		  "abc",
		  7, -ECONNRESET },
		{ "\x01\x00\x00\x01x", 5, -EPROTO },
		{ "\xff\xff\xff\x00x", 5, -E2BIG },
		{ "\x11\x00\x00\x00x", 5, -E2BIG },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int fds[2];
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		assert_int_equal(fd_write_all(fds[0], cases[i].bytes, cases[i].len, NULL), 0);
		shutdown(fds[0], SHUT_WR);
		struct wire_io io;
		wire_io_init(&io, fds[1]);
		_cleanup_buf_ struct buf got = BUF_INIT(16);
		assert_int_equal(wire_read(&io, deadline_in(30000), true, &got, NULL), cases[i].rc);
		wire_io_free(&io);
		close(fds[0]);
		close(fds[1]);
	}
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	struct wire_io io;
	wire_io_init(&io, fds[1]);
	_cleanup_buf_ struct buf got = BUF_INIT(16);
	assert_int_equal(wire_read(&io, deadline_in(10), true, &got, NULL), -ETIMEDOUT);
	assert_false(wire_peer_gone(&io));
	close(fds[0]);
	assert_true(wire_peer_gone(&io));
	close(fds[1]);
	wire_io_free(&io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_and_strings),
		cmocka_unit_test(large_payloads_are_cut_and_joined),
		cmocka_unit_test(a_row_beyond_the_maximum_is_refused),
		cmocka_unit_test(bad_framing),
	};
	return cmocka_run_group_tests_name("engine/wire/packet", tests, NULL, NULL);
}

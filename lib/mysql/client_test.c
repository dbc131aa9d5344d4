#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/mysql/client.h"

/* ---- a server that answers by the text of the statement ---- */
struct fake {
	int listener, port;
	pthread_t thread;
};

static int send_packet(int fd, int seq, const struct buf *body)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4 * 1024 * 1024);
	buf_addle(&out, body->len, 3);
	buf_addle(&out, (uint64_t)seq, 1);
	buf_add(&out, body->p, body->len);
	return fd_write_by(fd, out.p, out.len, deadline_in(5000), NULL);
}

static int read_packet(int fd, char *out, size_t max, size_t *ret_len)
{
	unsigned char head[4];
	if (fd_read_by(fd, head, 4, deadline_in(10000), NULL) < 0)
		return -1;
	size_t n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16;
	if (n >= max || fd_read_by(fd, out, n, deadline_in(5000), NULL) < 0)
		return -1;
	out[n] = '\0';
	*ret_len = n;
	return 0;
}

static void send_ok(int fd, int seq)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64);
	buf_add(&b, "\0\0\0\2\0\0\0", 7);
	send_packet(fd, seq, &b);
}

static void send_err(int fd, int seq, unsigned code, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT(512);
	buf_addle(&b, 0xff, 1);
	buf_addle(&b, code, 2);
	buf_addf(&b, "#42000%s", text);
	send_packet(fd, seq, &b);
}

static void greet(int fd)
{
	_cleanup_buf_ struct buf b = BUF_INIT(256);
	buf_add(&b, "\12", 1);
	buf_add(&b, "5.1.0", 6);
	buf_addle(&b, 1, 4);
	buf_add(&b, "12345678", 9);
	buf_addle(&b, 0xa200, 2); /* protocol 4.1, secure connection, transactions */
	buf_addle(&b, 33, 1);
	buf_addle(&b, 2, 2);
	buf_addle(&b, 0x0008, 2); /* plugin auth */
	buf_addle(&b, 21, 1);
	buf_add(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
	buf_add(&b, "123456789012", 13);
	buf_add(&b, "mysql_native_password", 22);
	send_packet(fd, 0, &b);
}

static void add_text(struct buf *b, const char *text)
{
	buf_addle(b, strlen(text), 1);
	buf_adds(b, text);
}

static void send_column(int fd, int seq, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT(256);
	add_text(&b, "def");
	add_text(&b, "");
	add_text(&b, "");
	add_text(&b, "");
	add_text(&b, name);
	add_text(&b, name);
	buf_addle(&b, 12, 1);
	buf_addle(&b, 33, 2);
	buf_addle(&b, 255, 4);
	buf_addle(&b, 253, 1);
	buf_addle(&b, 0, 5);
	send_packet(fd, seq, &b);
}

static void send_eof(int fd, int seq)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16);
	buf_add(&b, "\376\0\0\2\0", 5);
	send_packet(fd, seq, &b);
}

static void send_rows(int fd, size_t cell)
{
	_cleanup_buf_ struct buf b = BUF_INIT(4 * 1024 * 1024);
	buf_addle(&b, 2, 1);
	send_packet(fd, 1, &b);
	send_column(fd, 2, "IP");
	send_column(fd, 3, "Alive");
	send_eof(fd, 4);
	buf_reset(&b);
	if (cell) {
		buf_addle(&b, 0xfd, 1);
		buf_addle(&b, cell, 3);
		memset(buf_reserve(&b, cell), 'x', cell);
		b.len += cell;
	} else {
		add_text(&b, "10.0.0.7");
	}
	buf_addle(&b, 0xfb, 1); /* NULL */
	send_packet(fd, 5, &b);
	send_eof(fd, 6);
}

static void drip(int fd)
{
	/* One byte of a long packet now and then: each read "succeeds". */
	if (fd_write_by(fd, "\100\0\0\1", 4, deadline_in(1000), NULL) < 0)
		return;
	for (int i = 0; i < 40; i++) {
		clock_sleep_ms(100);
		if (fd_write_by(fd, "x", 1, deadline_in(1000), NULL) < 0)
			return;
	}
}

static void converse(int fd)
{
	char text[4096];
	size_t n = 0;
	greet(fd);
	if (read_packet(fd, text, sizeof(text), &n) < 0)
		return;
	if (memmem(text, n, "nobody", 6)) {
		send_err(fd, 2, 1045, "Access denied");
		return;
	}
	send_ok(fd, 2);
	while (read_packet(fd, text, sizeof(text), &n) == 0 && text[0] == 3) {
		const char *sql = text + 1;
		if (strcmp(sql, "rows") == 0)
			send_rows(fd, 0);
		else if (strcmp(sql, "huge") == 0)
			send_rows(fd, MYSQLC_CELL_MAX + 1);
		else if (strcmp(sql, "refuse") == 0)
			send_err(fd, 1, 1064, "Getting syntax error");
		else if (strcmp(sql, "hang") == 0)
			clock_sleep_ms(1500);
		else if (strcmp(sql, "drip") == 0)
			drip(fd);
		else if (strcmp(sql, "close") == 0)
			return;
		else
			send_ok(fd, 1);
	}
}

static void *serve(void *arg)
{
	const struct fake *f = arg;
	for (;;) {
		_cleanup_(fd_closep) int fd = accept(f->listener, NULL, NULL);
		if (fd < 0)
			return NULL;
		converse(fd);
	}
}

static int fake_start(void **state)
{
	static struct fake f;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	f.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f.listener, (struct sockaddr *)&a, len) < 0 || listen(f.listener, 8) < 0 ||
	    getsockname(f.listener, (struct sockaddr *)&a, &len) < 0)
		return -1;
	f.port = ntohs(a.sin_port);
	*state = &f;
	return pthread_create(&f.thread, NULL, serve, &f);
}

static int fake_stop(void **state)
{
	struct fake *f = *state;
	shutdown(f->listener, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listener);
	return 0;
}

static struct mysqlc *open_fake(const struct fake *f)
{
	struct mysqlc_address a = { .host = "127.0.0.1", .port = f->port, .user = "root" };
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	if (mysqlc_open(&a, deadline_in(3000), &c, &err) != 0)
		fail_msg("%s", err.msg);
	return c;
}

/* ---- tests ---- */
static void reads_rows(void **state)
{
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(*state);
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 }, none = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_query(c, "rows", deadline_in(3000), &r, &err), 0);
	assert_int_equal(r.n_rows, 1);
	assert_string_equal(mysqlc_cell(&r, 0, "ip"), "10.0.0.7");
	assert_null(mysqlc_cell(&r, 0, "Alive"));
	assert_null(mysqlc_cell(&r, 0, "none"));
	assert_null(mysqlc_cell(&r, 1, "ip"));
	assert_int_equal(mysqlc_query(c, "set x", deadline_in(3000), &none, &err), 0);
	assert_int_equal(none.n_rows, 0);
}

static void a_refusal_is_an_outcome(void **state)
{
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(*state);
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 }, again = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_query(c, "refuse", deadline_in(3000), &r, &err), MYSQLC_REFUSED);
	assert_int_equal(r.server_errno, 1064);
	assert_non_null(strstr(err.msg, "syntax"));
	assert_int_equal(mysqlc_query(c, "rows", deadline_in(3000), &again, &err), 0);
}

static void each_call_ends_at_its_deadline(void **state)
{
	static const char *const slow[] = { "hang", "drip" };
	for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
		_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(*state);
		_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
		struct err err = ERR_INIT;
		int64_t began = clock_mono_ms();
		assert_int_equal(mysqlc_query(c, slow[i], deadline_in(300), &r, &err), -ETIMEDOUT);
		assert_in_range(clock_mono_ms() - began, 250, 1200);
		/* What was given up half-way is not used again. */
		assert_int_equal(mysqlc_query(c, "rows", deadline_in(300), &r, &err), -ECONNRESET);
	}
}

static void what_breaks(void **state)
{
	const struct fake *f = *state;
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(f);
	_cleanup_(mysqlc_closep) struct mysqlc *d = NULL;
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	struct mysqlc_address nobody = { "127.0.0.1", f->port, "nobody", "x", NULL };
	struct mysqlc_address closed = { "127.0.0.1", 1, "root", NULL, NULL };
	struct err err = ERR_INIT;
	struct mysqlc *none = NULL;
	assert_int_equal(mysqlc_query(c, "huge", deadline_in(3000), &r, &err), -E2BIG);
	mysqlc_close(TAKE_PTR(c));
	d = open_fake(f);
	assert_int_equal(mysqlc_query(d, "close", deadline_in(3000), &r, &err), -ECONNRESET);
	mysqlc_close(TAKE_PTR(d));
	assert_int_equal(mysqlc_open(&nobody, deadline_in(3000), &none, &err), -EACCES);
	assert_int_equal(mysqlc_open(&closed, deadline_in(3000), &none, &err), -ECONNREFUSED);
	assert_null(none);
}

/* A listener that never greets: a black hole. */
static void a_black_hole_costs_the_deadline(void **state)
{
	(void)state;
	_cleanup_(fd_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	struct mysqlc_address hole = { "127.0.0.1", ntohs(a.sin_port), "root", NULL, NULL };
	int64_t began = clock_mono_ms();
	assert_int_equal(mysqlc_open(&hole, deadline_in(300), &c, &err), -ETIMEDOUT);
	assert_in_range(clock_mono_ms() - began, 250, 1200);
}

static void quotes(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT(64);
	mysqlc_quote(&b, "it's \\");
	mysqlc_quote_id(&b, "a`b");
	assert_string_equal(b.p, "'it\\'s \\\\'`a``b`");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_rows),
		cmocka_unit_test(a_refusal_is_an_outcome),
		cmocka_unit_test(each_call_ends_at_its_deadline),
		cmocka_unit_test(what_breaks),
		cmocka_unit_test(a_black_hole_costs_the_deadline),
		cmocka_unit_test(quotes),
	};
	return cmocka_run_group_tests(tests, fake_start, fake_stop);
}

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/mysql/client.h"
#include "lib/mysql/fake.h"

/* ---- what the server says to each statement ---- */
static void huge_cell(int fd)
{
	static const char *const names[] = { "IP" };
	_cleanup_buf_ struct buf b = BUF_INIT(4 * 1024 * 1024);
	size_t n = MYSQLC_CELL_MAX + 1;
	int seq = mysqlc_fake_columns(fd, names, 1);
	buf_addle(&b, 0xfd, 1);
	buf_addle(&b, n, 3);
	memset(buf_reserve(&b, n), 'x', n);
	b.len += n;
	mysqlc_fake_packet(fd, seq, &b);
	mysqlc_fake_eof(fd, seq + 1);
}

static void drip(int fd)
{
	/* One byte of a long packet now and then: each read "succeeds". */
	if (fd_write_by(fd, "\100\0\0\1", 4, deadline_in(1000), NULL) < 0)
		return;
	for (int i = 0; i < 300; i++) {
		clock_sleep_ms(100);
		if (fd_write_by(fd, "x", 1, deadline_in(1000), NULL) < 0)
			return;
	}
}

static bool on_statement(void *arg, int fd, const char *sql)
{
	static const char *const names[] = { "IP", "Alive" };
	static const char *const cells[] = { "10.0.0.7", NULL };
	(void)arg;
	if (strcmp(sql, "rows") == 0)
		mysqlc_fake_rows(fd, names, 2, cells, 1);
	else if (strcmp(sql, "huge") == 0)
		huge_cell(fd);
	else if (strcmp(sql, "refuse") == 0)
		mysqlc_fake_err(fd, 1, 1064, "Getting syntax error");
	else if (strcmp(sql, "hang") == 0)
		(void)poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 30000);
	else if (strcmp(sql, "drip") == 0)
		drip(fd);
	else if (strcmp(sql, "close") == 0)
		return false;
	else
		mysqlc_fake_ok(fd, 1);
	return true;
}

/* Its thread comes from pthread_create in fake.h. */
static int fake_start(void **state)
{
	static struct mysqlc_fake f = { .on_statement = on_statement };
	*state = &f;
	return mysqlc_fake_start(&f);
}

static int fake_stop(void **state)
{
	mysqlc_fake_stop(*state);
	return 0;
}

static struct mysqlc *open_fake(const struct mysqlc_fake *f)
{
	struct mysqlc_address a = { .host = "127.0.0.1", .port = f->port, .user = "root" };
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	if (mysqlc_open(&a, deadline_in(30000), &c, &err) != 0)
		fail_msg("%s", err.msg);
	return c;
}

/* ---- tests ---- */
static void reads_rows(void **state)
{
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(*state);
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 }, none = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_query(c, "rows", deadline_in(30000), &r, &err), 0);
	assert_int_equal(r.n_rows, 1);
	assert_string_equal(mysqlc_cell(&r, 0, "ip"), "10.0.0.7");
	assert_null(mysqlc_cell(&r, 0, "Alive"));
	assert_null(mysqlc_cell(&r, 0, "none"));
	assert_null(mysqlc_cell(&r, 1, "ip"));
	assert_int_equal(mysqlc_query(c, "set x", deadline_in(30000), &none, &err), 0);
	assert_int_equal(none.n_rows, 0);
}

static void a_refusal_is_an_outcome(void **state)
{
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(*state);
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 }, again = { 0 };
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_query(c, "refuse", deadline_in(30000), &r, &err), MYSQLC_REFUSED);
	assert_int_equal(r.server_errno, 1064);
	assert_non_null(strstr(err.msg, "syntax"));
	assert_int_equal(mysqlc_query(c, "rows", deadline_in(30000), &again, &err), 0);
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
		assert_in_range(clock_mono_ms() - began, 250, 20000);
		/* What was given up half-way is not used again. */
		assert_int_equal(mysqlc_query(c, "rows", deadline_in(30000), &r, &err),
		                 -ECONNRESET);
	}
}

static void what_breaks(void **state)
{
	const struct mysqlc_fake *f = *state;
	_cleanup_(mysqlc_closep) struct mysqlc *c = open_fake(f);
	_cleanup_(mysqlc_closep) struct mysqlc *d = NULL;
	_cleanup_mysqlc_result_ struct mysqlc_result r = { 0 };
	struct mysqlc_address nobody = {
		.host = "127.0.0.1", .port = f->port, .user = "nobody", .password = "x"
	};
	struct mysqlc_address closed = { .host = "127.0.0.1", .port = 1, .user = "root" };
	struct err err = ERR_INIT;
	struct mysqlc *none = NULL;
	assert_int_equal(mysqlc_query(c, "huge", deadline_in(30000), &r, &err), -E2BIG);
	mysqlc_close(TAKE_PTR(c));
	d = open_fake(f);
	assert_int_equal(mysqlc_query(d, "close", deadline_in(30000), &r, &err), -ECONNRESET);
	mysqlc_close(TAKE_PTR(d));
	assert_int_equal(mysqlc_open(&nobody, deadline_in(30000), &none, &err), -EACCES);
	assert_int_equal(mysqlc_open(&closed, deadline_in(30000), &none, &err), -ECONNREFUSED);
	assert_null(none);
}

static bool third_time(void *arg)
{
	return ++*(int *)arg >= 3;
}

/* A listener that never greets: a black hole. */
static void a_black_hole_costs_the_deadline(void **state)
{
	(void)state;
	int port = 0;
	_cleanup_(fd_closep) int fd = mysqlc_fake_listen(&port);
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	struct mysqlc_address hole = { .host = "127.0.0.1", .port = port, .user = "root" };
	int64_t began = clock_mono_ms();
	assert_int_equal(mysqlc_open(&hole, deadline_in(300), &c, &err), -ETIMEDOUT);
	assert_in_range(clock_mono_ms() - began, 250, 20000);
	int asked = 0;
	hole.should_stop = third_time;
	hole.arg = &asked;
	assert_int_equal(mysqlc_open(&hole, deadline_in(600000), &c, &err), -ECANCELED);
}

/* ---- TLS or nothing ---- */
static void a_server_in_the_clear_is_no_server(void **state)
{
	const struct mysqlc_fake *f = *state;
	struct mysqlc_address a = {
		.host = "127.0.0.1", .port = f->port, .user = "root", .tls_ca = "no CA at all"
	};
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(mysqlc_open(&a, deadline_in(30000), &c, &err), -EKEYREJECTED);
	assert_null(c);
}

/* Offers TLS, and is silent as soon as it is taken at its word. */
static void *silent_server(void *arg)
{
	int listener = *(int *)arg;
	char seen[64];
	_cleanup_(fd_closep) int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return NULL;
	mysqlc_fake_greet_with(fd, 0xaa00);
	while (read(fd, seen, sizeof(seen)) > 0)
		;
	return NULL;
}

static void a_handshake_that_never_ends_is_given_up(void **state)
{
	(void)state;
	int port = 0;
	_cleanup_(fd_closep) int fd = mysqlc_fake_listen(&port);
	pthread_t thread;
	struct mysqlc *c = NULL;
	struct err err = ERR_INIT;
	struct mysqlc_address a = {
		.host = "127.0.0.1", .port = port, .user = "root", .tls_ca = MYSQLC_FAKE_CA
	};
	assert_int_equal(pthread_create(&thread, NULL, silent_server, &fd), 0);
	int64_t began = clock_mono_ms();
	assert_true(mysqlc_open(&a, deadline_in(300), &c, &err) < 0);
	assert_in_range(clock_mono_ms() - began, 0, 20000);
	assert_null(c);
	pthread_join(thread, NULL);
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
		cmocka_unit_test(a_server_in_the_clear_is_no_server),
		cmocka_unit_test(a_handshake_that_never_ends_is_given_up),
		cmocka_unit_test(quotes),
	};
	return cmocka_run_group_tests(tests, fake_start, fake_stop);
}

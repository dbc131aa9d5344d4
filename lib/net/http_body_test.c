/* http_hold_body(): nothing of a body is read before somebody decided that it is wanted. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <netinet/in.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/net/http_server.h"

enum { BIG = 8 * 1024 * 1024 };

struct upload {
	size_t bytes;
};

static struct {
	struct http_server *server;
	struct http_req *req;
	pthread_t decider;
	atomic_bool asked, decide;
	bool take, decided_at_once, decider_runs;
	atomic_size_t bytes;
	atomic_int open;
} it;

static void *decide(void *arg)
{
	(void)arg;
	while (!atomic_load(&it.decide))
		clock_sleep_ms(2);
	if (it.take)
		http_take_body(it.req);
	else
		http_answer_error(it.req, 401, "not you");
	return NULL;
}

static void on_head(void *arg, struct http_req *r, void **state)
{
	(void)arg;
	it.req = r;
	*state = xcalloc(1, sizeof(struct upload));
	atomic_fetch_add(&it.open, 1);
	http_hold_body(r);
	assert_int_equal(pthread_create(&it.decider, NULL, decide, NULL), 0);
	it.decider_runs = true;
	if (it.decided_at_once)
		clock_sleep_ms(30);
	atomic_store(&it.asked, true);
}

static int on_piece(void *arg, struct http_req *r, void *state, const char *data, size_t len)
{
	(void)arg, (void)r, (void)data;
	((struct upload *)state)->bytes += len;
	atomic_fetch_add(&it.bytes, len);
	return 0;
}

static void on_end(void *arg, struct http_req *r, void *state)
{
	(void)arg;
	autofree char *text = xasprintf("got %zu", ((struct upload *)state)->bytes);
	http_answer(r, 200, NULL, str_of(text));
}

static void on_free(void *arg, void *state)
{
	(void)arg;
	if (state)
		atomic_fetch_sub(&it.open, 1);
	free(state);
}
static const struct http_stream stream = { on_head, on_piece, on_end, on_free };
static const struct http_route routes[] = {
	{ .method = "PUT", .path = "/up", .body = HTTP_BODY_STREAM, .stream = &stream }
};

static int set_up(void **state)
{
	(void)state;
	memset(&it, 0, sizeof(it));
	const struct http_server_config config = { .listen = "127.0.0.1:0",
		                                   .routes = routes,
		                                   .n_routes = 1 };
	return http_server_start(&config, &it.server, NULL);
}

static void join(void)
{
	if (it.decider_runs)
		(void)pthread_join(it.decider, NULL);
	it.decider_runs = false;
}

static int tear_down(void **state)
{
	(void)state;
	http_server_stop(it.server, 1000);
	join();
	assert_int_equal(atomic_load(&it.open), 0);
	return 0;
}

static int ask(const char *headers)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		                  .sin_port = htons((uint16_t)http_server_port(it.server)),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	autofree char *head = xasprintf("PUT /up HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
	assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(fd_write_all(fd, head, strlen(head), NULL), 0);
	return fd;
}

static void await_asked(void)
{
	while (!atomic_load(&it.asked))
		clock_sleep_ms(2);
}

static bool quiet(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) == 0;
}

/* What comes until `end` was read or the peer closes. */
static void read_until(int fd, const char *end, char *to, size_t size)
{
	size_t n = 0;
	ssize_t got;
	to[0] = '\0';
	while (!strstr(to, end) && n + 1 < size && (got = recv(fd, to + n, size - 1 - n, 0)) > 0) {
		n += (size_t)got;
		to[n] = '\0';
	}
}

static void a_100_follows_the_decision(void **state)
{
	char text[4096];
	(void)state;
	it.take = true;
	_cleanup_(fd_closep) int fd = ask("Content-Length: 5\r\nExpect: 100-continue\r\n");
	await_asked();
	assert_true(quiet(fd, 100));
	atomic_store(&it.decide, true);
	read_until(fd, "\r\n\r\n", text, sizeof(text));
	assert_true(str_starts(str_of(text), "HTTP/1.1 100 "));
	assert_int_equal(fd_write_all(fd, "abcde", 5, NULL), 0);
	read_until(fd, "got 5", text, sizeof(text));
	assert_true(str_starts(str_of(text), "HTTP/1.1 200 "));
	/* The connection serves another one. */
	atomic_store(&it.asked, false);
	join();
	static const char again[] = "PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
	assert_int_equal(fd_write_all(fd, again, sizeof(again) - 1, NULL), 0);
	read_until(fd, "got 2", text, sizeof(text));
	assert_true(str_starts(str_of(text), "HTTP/1.1 200 "));
}

static void a_refusal_comes_instead_of_the_100(void **state)
{
	char text[4096];
	(void)state;
	_cleanup_(fd_closep) int fd = ask("Content-Length: 5\r\nExpect: 100-continue\r\n");
	await_asked();
	atomic_store(&it.decide, true);
	read_until(fd, "not you", text, sizeof(text));
	assert_true(str_starts(str_of(text), "HTTP/1.1 401 "));
	assert_null(strstr(text, " 100 "));
	assert_non_null(strstr(text, "Connection: close"));
	/* And it ends. */
	assert_true(recv(fd, text, sizeof(text), 0) <= 0);
}

static void *send_all(void *arg)
{
	int fd = *(int *)arg;
	autofree char *waste = xcalloc(1, BIG);
	for (size_t at = 0; at < BIG;) {
		ssize_t n = send(fd, waste + at, BIG - at, MSG_NOSIGNAL);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	return NULL;
}

/* Without Expect the body is on its way already: it stays in the socket until it is wanted. */
static void who_does_not_wait(bool take, bool at_once, const char *answer)
{
	char text[4096];
	pthread_t sender;
	autofree char *length = xasprintf("Content-Length: %d\r\n", BIG);
	it.take = take;
	it.decided_at_once = at_once;
	if (at_once)
		atomic_store(&it.decide, true);
	_cleanup_(fd_closep) int fd = ask(length);
	assert_int_equal(pthread_create(&sender, NULL, send_all, &fd), 0);
	await_asked();
	if (!at_once) {
		clock_sleep_ms(100);
		assert_int_equal(atomic_load(&it.bytes), 0);
	}
	atomic_store(&it.decide, true);
	read_until(fd, take ? "got" : "not you", text, sizeof(text));
	assert_true(str_starts(str_of(text), answer));
	assert_int_equal(atomic_load(&it.bytes), take ? BIG : 0);
	(void)pthread_join(sender, NULL);
}

static void a_body_that_is_wanted(void **state)
{
	(void)state;
	who_does_not_wait(true, false, "HTTP/1.1 200 ");
}

static void a_body_that_is_not_wanted(void **state)
{
	(void)state;
	who_does_not_wait(false, false, "HTTP/1.1 401 ");
}

static void decided_before_the_head_is_left(void **state)
{
	(void)state;
	who_does_not_wait(true, true, "HTTP/1.1 200 ");
}

static void refused_before_the_head_is_left(void **state)
{
	(void)state;
	who_does_not_wait(false, true, "HTTP/1.1 401 ");
}

static void no_body_at_all(void **state)
{
	char text[4096];
	(void)state;
	for (int take = 0; take < 2; take++) {
		atomic_store(&it.asked, false);
		atomic_store(&it.decide, false);
		it.take = take;
		_cleanup_(fd_closep) int fd = ask("Content-Length: 0\r\n");
		await_asked();
		atomic_store(&it.decide, true);
		read_until(fd, take ? "got 0" : "not you", text, sizeof(text));
		assert_true(str_starts(str_of(text), take ? "HTTP/1.1 200 " : "HTTP/1.1 401 "));
		join();
	}
}

static void a_peer_that_left(void **state)
{
	(void)state;
	for (int take = 0; take < 2; take++) {
		atomic_store(&it.asked, false);
		atomic_store(&it.decide, false);
		it.take = take;
		int fd = ask("Content-Length: 100\r\n");
		await_asked();
		fd_closep(&fd);
		atomic_store(&it.decide, true);
		join();
		for (int i = 0; i < 1000 && atomic_load(&it.open); i++)
			clock_sleep_ms(10);
		assert_int_equal(atomic_load(&it.open), 0);
	}
}

/* The decision then comes for nobody. */
static void a_server_that_stops(void **state)
{
	for (int take = 0; take < 2; take++) {
		it.take = take;
		_cleanup_(fd_closep) int fd = ask("Content-Length: 100\r\n");
		await_asked();
		http_server_stop(it.server, 10);
		assert_int_equal(atomic_load(&it.open), 1);
		atomic_store(&it.decide, true);
		join();
		assert_int_equal(atomic_load(&it.open), 0);
		assert_int_equal(set_up(state), 0);
	}
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		WITH_SERVER(a_100_follows_the_decision),
		WITH_SERVER(a_refusal_comes_instead_of_the_100),
		WITH_SERVER(a_body_that_is_wanted),
		WITH_SERVER(a_body_that_is_not_wanted),
		WITH_SERVER(decided_before_the_head_is_left),
		WITH_SERVER(refused_before_the_head_is_left),
		WITH_SERVER(no_body_at_all),
		WITH_SERVER(a_peer_that_left),
		WITH_SERVER(a_server_that_stops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

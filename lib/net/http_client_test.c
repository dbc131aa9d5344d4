#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/net/http_client.h"

#define TWICE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* A peer that answers each connection with fixed bytes and keeps what it was sent. */
struct stub {
	pthread_t thread;
	int fd, port;
	const char *answers[4]; /* one a connection */
	bool hold;              /* keeps the connection open instead of closing it */
	bool twice; /* the same answer again when asked again over the same connection */
	int stop[2];
	struct buf seen; /* to be read after stub_stop(); the test frees it */
};

static void serve_one(struct stub *s, int fd, const char *answer)
{
	char chunk[4096];
	struct err err = ERR_INIT;
	/* One read of the head is enough here: small requests arrive at once. */
	ssize_t n = read(fd, chunk, sizeof(chunk));
	if (n > 0)
		(void)buf_add(&s->seen, chunk, (size_t)n);
	/* A final status right behind "100 Continue" would let the client keep its body: wait for that first. */
	const char *interim = strstr(answer, "100 Continue\r\n\r\n");
	if (interim) {
		size_t head = (size_t)(interim - answer) + strlen("100 Continue\r\n\r\n");
		(void)fd_write_all(fd, answer, head, &err);
		answer += head;
		if ((n = read(fd, chunk, sizeof(chunk))) > 0)
			(void)buf_add(&s->seen, chunk, (size_t)n);
	}
	(void)fd_write_all(fd, answer, strlen(answer), &err);
	if (s->hold) {
		struct pollfd p = { .fd = s->stop[0], .events = POLLIN, .revents = 0 };
		(void)poll(&p, 1, 20000);
		return;
	}
	if (s->twice && read(fd, chunk, sizeof(chunk)) > 0)
		(void)fd_write_all(fd, answer, strlen(answer), &err);
	(void)shutdown(fd, SHUT_WR);
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN, .revents = 0 },
		               { .fd = s->stop[0], .events = POLLIN, .revents = 0 } };
	while (poll(p, 2, 20000) > 0 && !p[1].revents && (n = read(fd, chunk, sizeof(chunk))) > 0)
		(void)buf_add(&s->seen, chunk, (size_t)n);
}

static void *stub_main(void *arg)
{
	struct stub *s = arg;
	for (size_t i = 0; i < ARRAY_LEN(s->answers) && s->answers[i]; i++) {
		_cleanup_(fd_closep) int fd = accept(s->fd, NULL, NULL);
		if (fd < 0)
			break;
		serve_one(s, fd, s->answers[i]);
	}
	return NULL;
}

static void stub_start(struct stub *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	s->seen = (struct buf)BUF_INIT(1 << 20);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 8), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(pipe(s->stop), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, stub_main, s), 0);
}

static void stub_stop(struct stub *s)
{
	(void)close(s->stop[1]);
	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->fd);
	(void)close(s->stop[0]);
}

static struct http_client *client(void)
{
	struct http_client *c = NULL;
	assert_int_equal(http_client_new(NULL, &c, NULL), 0);
	return c;
}

static void answers_and_faults(void **state)
{
	(void)state;
	static const struct {
		const char *answer;
		int rc;
		int status;
		bool hold;
	} cases[] = {
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, 200, false },
		{ "HTTP/1.1 503 x\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 0, 503, false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", -ECONNRESET, 200, false },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", -ECONNRESET, 200,
		  false },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", -ETIMEDOUT, 200, true },
		{ "", -ECONNRESET, 0, false },
		{ "SSH-2.0-OpenSSH_9.2\r\n", -EPROTO, 0, false },
		{ "HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123456789", -E2BIG, 200,
		  false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct stub s = { .answers = { cases[i].answer }, .hold = cases[i].hold };
		stub_start(&s);
		_cleanup_(http_client_freep) struct http_client *c = client();
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		struct err err = ERR_INIT;
		autofree char *url = xasprintf("http://u:geheim@127.0.0.1:%d/a?sig=geheim", s.port);
		struct http_call call = { .url = url,
			                  .by = deadline_in(cases[i].hold ? 2500 : 30000),
			                  .body_max = 32 };
		int rc = http_call(c, &call, &r, &err);
		if (rc != cases[i].rc)
			fail_msg("case %zu: rc %d: %s", i, rc, err.msg);
		assert_int_equal(r.status, cases[i].status);
		assert_null(strstr(err.msg, "geheim"));
		if (i == 1)
			assert_int_equal(r.retry_after_ms, 7000);
		stub_stop(&s);
		buf_free(&s.seen);
	}
}

static void nobody_there(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		int rc;
	} cases[] = {
		{ "http://127.0.0.1:1/", -ECONNREFUSED },
		{ "http://no-such-name.invalid:1/", -EHOSTUNREACH },
		{ "ftp://127.0.0.1/", -EINVAL },
		{ "file:///etc/passwd", -EINVAL },
		{ "", -EINVAL },
		{ "http://[::1", -EINVAL },
	};
	_cleanup_(http_client_freep) struct http_client *c = client();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		struct err err = ERR_INIT;
		struct http_call call = { .url = cases[i].url, .by = deadline_in(30000) };
		int rc = http_call(c, &call, &r, &err);
		if (rc != cases[i].rc)
			fail_msg("%s: rc %d: %s", cases[i].url, rc, err.msg);
	}
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct http_call late = { .url = "http://127.0.0.1:1/", .by = deadline_in(0) };
	assert_int_equal(http_call(c, &late, &r, NULL), -ETIMEDOUT);
	const char *const split[] = { "X-A: b\r\nX-Evil: c", NULL };
	struct http_call evil = { .url = "http://127.0.0.1:1/",
		                  .by = deadline_in(30000),
		                  .headers = split };
	assert_int_equal(http_call(c, &evil, &r, NULL), -EINVAL);
}

static void a_redirect_takes_body_and_credentials_along(void **state)
{
	(void)state;
	struct stub be = { .answers = { "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
		                        "Content-Length: 4\r\n\r\ndone" } };
	stub_start(&be);
	autofree char *answer =
		xasprintf("HTTP/1.1 307 Temporary Redirect\r\nLocation: "
	                  "http://127.0.0.1:%d/load\r\nContent-Length: 5\r\n\r\nnever",
	                  be.port);
	struct stub fe = { .answers = { answer } };
	stub_start(&fe);
	char path[] = "/tmp/roost-net-XXXXXX";
	_cleanup_(fd_closep) int fd = mkstemp(path);
	assert_int_equal(fd_write_all(fd, "1,2,3\n", 6, NULL), 0);
	const char *const headers[] = { "label: l1", NULL };
	autofree char *url = xasprintf("http://127.0.0.1:%d/load", fe.port);
	struct http_call call = { .method = "PUT",
		                  .url = url,
		                  .by = deadline_in(30000),
		                  .headers = headers,
		                  .bearer = "geheim",
		                  .body_file = path,
		                  .follow_redirects = true };
	_cleanup_(http_client_freep) struct http_client *c = client();
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	if (http_call(c, &call, &r, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(r.status, 200);
	assert_string_equal(buf_cstr(&r.body), "done");
	stub_stop(&fe);
	stub_stop(&be);
	assert_null(strstr(buf_cstr(&fe.seen), "1,2,3"));
	static const char *const wanted[] = { "PUT /load", "Authorization: Bearer geheim",
		                              "label: l1", "Expect: 100-continue",
		                              "Content-Length: 6" };
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_non_null(strstr(buf_cstr(&fe.seen), wanted[i]));
		assert_non_null(strstr(buf_cstr(&be.seen), wanted[i]));
	}
	assert_non_null(strstr(buf_cstr(&be.seen), "1,2,3\n"));
	buf_free(&fe.seen);
	buf_free(&be.seen);
	(void)unlink(path);
}

static bool stop_at_once(void *arg)
{
	(void)arg;
	return true;
}

static int refuse_body(void *arg, int status, const char *data, size_t len)
{
	(void)data;
	*(int *)arg = status + (int)len;
	return 1;
}

static void calls_can_be_ended(void **state)
{
	(void)state;
	static const char answer[] = "HTTP/1.1 201 OK\r\nContent-Length: 9\r\n\r\nok";
	for (int i = 0; i < 3; i++) {
		struct stub s = { .answers = { answer }, .hold = true };
		stub_start(&s);
		_cleanup_(http_client_freep) struct http_client *c = client();
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		autofree char *url = xasprintf("http://127.0.0.1:%d/", s.port);
		int seen = 0;
		struct http_call call = { .url = url, .by = deadline_in(60000), .arg = &seen };
		if (i == 0)
			call.should_stop = stop_at_once;
		else if (i == 1)
			call.on_body = refuse_body;
		else
			call.idle_timeout_ms = 500;
		int64_t start = clock_mono_ms();
		assert_int_equal(http_call(c, &call, &r, NULL), i == 2 ? -ETIMEDOUT : -ECANCELED);
		assert_true(clock_mono_ms() - start < 40000);
		assert_int_equal(seen, i == 1 ? 203 : 0);
		stub_stop(&s);
		buf_free(&s.seen);
	}
}

static void a_batch_runs_side_by_side(void **state)
{
	(void)state;
	struct stub good = { .answers = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" } };
	struct stub mute = { .answers = { "" }, .hold = true };
	stub_start(&good);
	stub_start(&mute);
	_cleanup_(http_batch_freep) struct http_batch *b = NULL;
	assert_int_equal(http_batch_new(NULL, &b, NULL), 0);
	struct http_done done;
	assert_int_equal(http_batch_next(b, deadline_in(20000), &done, NULL), HTTP_BATCH_IDLE);
	char urls[3][64];
	(void)snprintf(urls[0], 64, "http://127.0.0.1:%d/", mute.port);
	(void)snprintf(urls[1], 64, "http://127.0.0.1:%d/", good.port);
	(void)snprintf(urls[2], 64, "http://127.0.0.1:1/");
	struct http_reply replies[3] = { HTTP_REPLY_INIT, HTTP_REPLY_INIT, HTTP_REPLY_INIT };
	for (size_t i = 0; i < 3; i++) {
		struct http_call call = { .url = urls[i], .by = deadline_in(30000) };
		assert_int_equal(http_batch_add(b, &call, &replies[i], urls[i], NULL), 0);
	}
	int rcs[3] = { 1, 1, 1 };
	for (int i = 0; i < 2; i++) {
		assert_int_equal(http_batch_next(b, deadline_in(20000), &done, NULL), 0);
		rcs[((char *)done.tag - urls[0]) / 64] = done.rc;
	}
	assert_int_equal(rcs[1], 0);
	assert_int_equal(rcs[2], -ECONNREFUSED);
	assert_string_equal(buf_cstr(&replies[1].body), "ok");
	assert_int_equal(http_batch_next(b, deadline_in(50), &done, NULL), HTTP_BATCH_WAIT);
	http_batch_cancel(b, urls[0]);
	assert_int_equal(http_batch_next(b, deadline_in(20000), &done, NULL), 0);
	assert_ptr_equal(done.tag, urls[0]);
	assert_int_equal(done.rc, -ECANCELED);
	assert_int_equal(http_batch_next(b, deadline_in(20000), &done, NULL), HTTP_BATCH_IDLE);
	for (size_t i = 0; i < 3; i++)
		http_reply_free(&replies[i]);
	stub_stop(&good);
	stub_stop(&mute);
	buf_free(&good.seen);
	buf_free(&mute.seen);
}

/* Nine peers in turn; only a connection that was kept finds them there a second time. */
static void a_batch_keeps_what_it_is_told(void **state)
{
	(void)state;
	enum { PEERS = 9 };
	struct stub s[PEERS];
	for (size_t keep = 0; keep <= PEERS; keep += PEERS) {
		_cleanup_(http_batch_freep) struct http_batch *b = NULL;
		size_t again = 0;
		assert_int_equal(http_batch_new(NULL, &b, NULL), 0);
		if (keep)
			http_batch_keep(b, keep);
		for (size_t i = 0; i < PEERS; i++) {
			s[i] = (struct stub){ .answers = { TWICE }, .twice = true };
			stub_start(&s[i]);
		}
		for (size_t i = 0; i < (size_t)2 * PEERS; i++) {
			char url[64];
			_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
			struct http_done done;
			(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", s[i % PEERS].port);
			struct http_call call = { .url = url,
				                  .by = deadline_in(keep ? 20000 : 1000),
				                  .chunk = 1024 };
			assert_int_equal(http_batch_add(b, &call, &reply, &reply, NULL), 0);
			assert_int_equal(http_batch_next(b, deadline_in(20000), &done, NULL), 0);
			again += i >= PEERS && done.rc == 0;
		}
		for (size_t i = 0; i < PEERS; i++) {
			stub_stop(&s[i]);
			buf_free(&s[i].seen);
		}
		if (keep)
			assert_int_equal(again, PEERS);
		else
			assert_true(again < PEERS);
	}
}

static void small_things(void **state)
{
	(void)state;
	static const struct {
		int rc, status;
		int64_t retry_after_ms;
		enum http_retry want;
	} cases[] = {
		{ -ETIMEDOUT, 0, -1, HTTP_RETRY_YES }, { -EPROTO, 0, -1, HTTP_RETRY_NO },
		{ -ECANCELED, 0, -1, HTTP_RETRY_NO },  { 0, 200, -1, HTTP_RETRY_NO },
		{ 0, 404, -1, HTTP_RETRY_NO },         { 0, 429, 5, HTTP_RETRY_AFTER },
		{ 0, 503, -1, HTTP_RETRY_YES },        { 0, 500, -1, HTTP_RETRY_YES },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_reply r = HTTP_REPLY_INIT;
		r.status = cases[i].status;
		r.retry_after_ms = cases[i].retry_after_ms;
		assert_int_equal(http_retry_class(cases[i].rc, &r), cases[i].want);
	}
	int64_t most = 0;
	for (unsigned i = 0; i < 200; i++) {
		int64_t ms = http_backoff_ms(i, 10, 1000);
		assert_true(ms >= 0 && ms <= 1000 && (i > 0 || ms <= 10));
		most = ms > most ? ms : most;
	}
	assert_true(most > 500);
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	assert_int_equal(http_url_encode(STR_LIT("a b/\xc3\xa9~"), false, &b), 0);
	assert_int_equal(http_url_encode(STR_LIT("/x"), true, &b), 0);
	assert_int_equal(http_host_port("fe80::1", 80, &b), 0);
	assert_int_equal(http_host_port("h", 0, &b), 0);
	assert_string_equal(buf_cstr(&b), "a%20b%2F%C3%A9~/x[fe80::1]:80h");
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_and_faults),
		cmocka_unit_test(nobody_there),
		cmocka_unit_test(a_redirect_takes_body_and_credentials_along),
		cmocka_unit_test(calls_can_be_ended),
		cmocka_unit_test(a_batch_runs_side_by_side),
		cmocka_unit_test(a_batch_keeps_what_it_is_told),
		cmocka_unit_test(small_things),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

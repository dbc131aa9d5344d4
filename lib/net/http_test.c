/* Client against server in one process: what http_client.h and http_server.h promise each other. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

/* ---- the server under test -------------------------------------------------------------------- */

static void echo(void *arg, struct http_req *r)
{
	(void)arg;
	const char *q = http_req_query(r, "q"), *x = http_req_header(r, "x-a");
	autofree char *text =
		xasprintf("%.*s|%.*s|%.*s|%s|%s|%.*s|%s", STR_ARG(http_req_method(r)),
	                  STR_ARG(http_req_path(r)), STR_ARG(http_req_tail(r)), q ? q : "-",
	                  x ? x : "-", STR_ARG(http_req_body(r)), http_req_peer(r));
	http_answer_header(r, "ETag", "\"e1\"");
	http_answer(r, 200, "text/plain", str_of(text));
}

static void basic(void *arg, struct http_req *r)
{
	(void)arg;
	autofree char *user = NULL, *password = NULL;
	if (!http_req_basic(r, &user, &password)) {
		http_answer_error(r, 401, "who are you?");
		return;
	}
	autofree char *text = xasprintf("%s/%s", user, password);
	http_answer(r, 200, NULL, str_of(text));
}

struct held {
	pthread_t thread;
	struct http_req *req;
	int wait_ms; /* at most, for the peer to leave */
	bool gone;   /* whether it did */
	_Atomic bool begun;
};

static void *answer_later(void *arg)
{
	struct held *h = arg;
	for (int ms = 0; ms < h->wait_ms && !h->gone; ms += 20) {
		clock_sleep_ms(20);
		h->gone = http_req_gone(h->req);
	}
	const char *x = http_req_header(h->req, "X-A");
	autofree char *text = xasprintf("later %s", x ? x : "-");
	http_answer(h->req, 202, NULL, str_of(text));
	return NULL;
}

static void hold(void *arg, struct http_req *r)
{
	struct held *h = arg;
	h->req = r;
	http_hold(r);
	assert_int_equal(pthread_create(&h->thread, NULL, answer_later, h), 0);
	atomic_store(&h->begun, true);
}

static void forgetful(void *arg, struct http_req *r)
{
	(void)arg;
	(void)r;
}

struct upload {
	uint64_t bytes, sum;
};
static atomic_int uploads_open;

static void up_head(void *arg, struct http_req *r, void **state)
{
	(void)arg;
	if (http_req_header(r, "x-refuse")) {
		http_answer_error(r, 401, "not you");
		return;
	}
	atomic_fetch_add(&uploads_open, 1);
	*state = xcalloc(1, sizeof(struct upload));
}

static int up_piece(void *arg, struct http_req *r, void *state, const char *data, size_t len)
{
	(void)arg;
	struct upload *u = state;
	u->bytes += len;
	for (size_t i = 0; i < len; i++)
		u->sum += (unsigned char)data[i];
	if (u->bytes < 300000 || !http_req_header(r, "x-stop"))
		return 0;
	http_answer_error(r, 400, "row 7 is bad");
	return 1;
}

static void up_end(void *arg, struct http_req *r, void *state)
{
	(void)arg;
	const struct upload *u = state;
	autofree char *text =
		xasprintf("%llu %llu", (unsigned long long)u->bytes, (unsigned long long)u->sum);
	http_answer(r, 200, NULL, str_of(text));
}

static void up_free(void *arg, void *state)
{
	(void)arg;
	if (state)
		atomic_fetch_sub(&uploads_open, 1);
	free(state);
}
static const struct http_stream upload = { up_head, up_piece, up_end, up_free };

static char blob_path[] = "/tmp/roost-net-XXXXXX";
enum { BLOB = 3 * 1000 * 1000 };
static unsigned char blob_byte(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

static void file_whole(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer_file(r, "application/octet-stream", open(blob_path, O_RDONLY | O_CLOEXEC), 1000,
	                 BLOB - 1000);
}

static void file_ranges(void *arg, struct http_req *r)
{
	(void)arg;
	const struct http_range v[] = { { 10, 5 }, { 0, 0 }, { 1000000, 700000 }, { 3, 1 } };
	const struct http_range beyond[] = { { BLOB - 10, 20 } };
	int fd = open(blob_path, O_RDONLY | O_CLOEXEC);
	if (http_req_query(r, "beyond"))
		http_answer_ranges(r, NULL, str_of(NULL), fd, beyond, 1);
	else
		http_answer_ranges(r, NULL, STR_LIT("head"), fd, v, ARRAY_LEN(v));
}

static struct held held;
static const struct http_route routes[] = {
	{ .method = "GET", .path = "/echo", .handler = echo },
	{ .method = "PATCH", .path = "/echo", .handler = echo },
	{ .path = "/any/*", .handler = echo },
	{ .method = "GET", .path = "/secret", .handler = echo, .token = true },
	{ .method = "GET", .path = "/basic", .handler = basic },
	{ .method = "GET", .path = "/hold", .handler = hold, .arg = &held },
	{ .method = "GET", .path = "/forgetful", .handler = forgetful },
	{ .method = "PUT", .path = "/up", .body = HTTP_BODY_STREAM, .stream = &upload },
	{ .method = "GET", .path = "/file", .handler = file_whole },
	{ .method = "GET", .path = "/ranges", .handler = file_ranges },
};

struct fixture {
	struct http_server *server;
	struct http_client *client;
	char token_path[32];
	char base[64];
};

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	memcpy(f->token_path, "/tmp/roost-net-XXXXXX", 22);
	_cleanup_(fd_closep) int fd = mkstemp(f->token_path);
	assert_int_equal(fd_write_all(fd, "alpha\n beta \n\n", 14, NULL), 0);
	struct http_server_config c = {
		.listen = "127.0.0.1:0",
		.routes = routes,
		.n_routes = ARRAY_LEN(routes),
		.token_file = f->token_path,
		.limits = { .header_bytes = 8192,
		            .body_bytes = 100000,
		            .header_s = 1,
		            .body_s = 1,
		            .idle_s = 5,
		            .threads = 2 },
	};
	struct err err = ERR_INIT;
	if (http_server_start(&c, &f->server, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(http_client_new(NULL, &f->client, NULL), 0);
	(void)snprintf(f->base, sizeof(f->base), "http://127.0.0.1:%d",
	               http_server_port(f->server));
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	http_client_free(f->client);
	http_server_stop(f->server, 200);
	(void)unlink(f->token_path);
	free(f);
	return 0;
}

static int call_at(struct fixture *f, struct http_call call, const char *path, struct http_reply *r)
{
	autofree char *url = xasprintf("%s%s", f->base, path);
	call.url = url;
	if (!call.by.at_ms)
		call.by = deadline_in(60000);
	return http_call(f->client, &call, r, NULL);
}

/* ---- plain requests --------------------------------------------------------------------------- */

static void requests(void **state)
{
	struct fixture *f = *state;
	static const char *const x[] = { "X-A: 1", NULL };
	static const struct {
		const char *method, *path, *body;
		int status;
		const char *want; /* NULL: not looked at */
	} cases[] = {
		{ "GET", "/echo?q=a%20b+c&q=2", "", 200, "GET|/echo||a b c|1||127.0.0.1" },
		{ "PATCH", "/echo", "{}", 200, "PATCH|/echo||-|1|{}|127.0.0.1" },
		{ "DELETE", "/any/x%2Fy?q", "", 200, "DELETE|/any/x/y|x/y||1||127.0.0.1" },
		{ "GET", "/any/", "with a body", 200, "GET|/any/||-|1|with a body|127.0.0.1" },
		{ "POST", "/any/z", "", 200, "POST|/any/z|z|-|1||127.0.0.1" },
		{ "HEAD", "/echo", "", 200, "" },
		{ "PUT", "/echo", "x", 405, NULL },
		{ "GET", "/echo/", "", 404, NULL },
		{ "POST", "/nowhere", "body", 404, NULL },
		{ "GET", "/any/%00", "", 400, NULL },
		{ "GET", "/any/%zz", "", 400, NULL },
		{ "GET", "/any/%2e%2e/x", "", 400, NULL },
		{ "GET", "/forgetful", "", 500, NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		struct http_call call = { .method = cases[i].method,
			                  .headers = x,
			                  .body = str_of(cases[i].body) };
		assert_int_equal(call_at(f, call, cases[i].path, &r), 0);
		if (r.status != cases[i].status)
			fail_msg("%s: %d %s", cases[i].path, r.status, buf_cstr(&r.body));
		const char *want = cases[i].want;
		if (want)
			assert_string_equal(buf_cstr(&r.body), want);
		if (r.status == 200)
			assert_string_equal(r.etag, "\"e1\"");
		else
			assert_string_equal(r.content_type, "application/json");
	}
}

static void tokens(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *bearer;
		int before, after;
	} cases[] = {
		{ NULL, 401, 401 },   { "alpha", 200, 401 }, { "beta", 200, 401 },
		{ "alph", 401, 401 }, { "", 401, 401 },      { "gamma", 401, 200 },
	};
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
			struct http_call call = { .bearer = cases[i].bearer };
			assert_int_equal(call_at(f, call, "/secret", &r), 0);
			assert_int_equal(r.status, round ? cases[i].after : cases[i].before);
		}
		assert_int_equal(fd_write_file(f->token_path, "gamma", 5, 0600, NULL), 0);
	}
	/* An emptied file keeps what was valid. */
	assert_int_equal(fd_write_file(f->token_path, "", 0, 0600, NULL), 0);
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct http_call call = { .bearer = "gamma" };
	assert_int_equal(call_at(f, call, "/secret", &r), 0);
	assert_int_equal(r.status, 200);
}

static void basic_credentials(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *header, *want;
	} cases[] = {
		{ "Authorization: Basic cm9vdDo=", "root/" },
		{ "authorization: basic  dTpwOnc=", "u/p:w" },
		{ "Authorization: Basic !!!", NULL },
		{ "Authorization: Basic cm9vdA==", NULL }, /* no colon */
		{ "Authorization: Bearer x", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		const char *const headers[] = { cases[i].header, NULL };
		assert_int_equal(call_at(f, (struct http_call){ .headers = headers }, "/basic", &r),
		                 0);
		assert_int_equal(r.status, cases[i].want ? 200 : 401);
		if (cases[i].want)
			assert_string_equal(buf_cstr(&r.body), cases[i].want);
	}
}

/* ---- limits ----------------------------------------------------------------------------------- */

static void limits(void **state)
{
	struct fixture *f = *state;
	char big[200001], line[20001];
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	memset(line, 'x', sizeof(line) - 1);
	line[0] = 'X';
	line[1] = ':';
	static const size_t lengths[] = { 7000, 9000, 20000 };
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		line[lengths[i]] = '\0';
		const char *const headers[] = { line, NULL };
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		assert_int_equal(call_at(f, (struct http_call){ .headers = headers }, "/echo", &r),
		                 0);
		assert_int_equal(r.status, lengths[i] < 8000 ? 200 : 431);
		line[lengths[i]] = 'x';
	}
	static const char *const chunked[] = { "Transfer-Encoding: chunked", NULL };
	for (int i = 0; i < 4; i++) {
		size_t len = i % 2 ? sizeof(big) - 1 : 100000;
		struct http_call call = { .method = "POST",
			                  .body = { big, len },
			                  .headers = i >= 2 ? chunked : NULL };
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		assert_int_equal(call_at(f, call, "/any/", &r), 0);
		assert_int_equal(r.status, i % 2 ? 413 : 200);
	}
}

static int raw_connect(const struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		                 .sin_port = htons((uint16_t)http_server_port(f->server)) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* Sends the text, then a byte each 100 ms until the server cuts; how long that took. */
static int64_t dribble(const struct fixture *f, const char *text)
{
	_cleanup_(fd_closep) int fd = raw_connect(f);
	int64_t start = clock_mono_ms();
	assert_int_equal(fd_write_all(fd, text, strlen(text), NULL), 0);
	while (clock_mono_ms() - start < 60000) {
		char byte;
		struct pollfd p = { .fd = fd, .events = POLLIN, .revents = 0 };
		if (poll(&p, 1, 100) > 0 && read(fd, &byte, 1) <= 0)
			break;
		if (send(fd, "x", 1, MSG_NOSIGNAL) < 0)
			break;
	}
	return clock_mono_ms() - start;
}

static void slow_peers_are_cut(void **state)
{
	const struct fixture *f = *state;
	static const char *const texts[] = {
		"",
		"GET /echo HTTP/1.1\r\nHost: x\r\nX: ",
		"POST /any/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		int64_t ms = dribble(f, texts[i]);
		if (ms < 900 || ms > 40000)
			fail_msg("case %zu was cut after %lld ms", i, (long long)ms);
	}
}

/* ---- held requests ---------------------------------------------------------------------------- */

static void expect_hold(int wait_ms)
{
	held.wait_ms = wait_ms;
	held.gone = false;
	atomic_store(&held.begun, false);
}

static void await_hold(void)
{
	struct deadline by = deadline_in(10000);
	while (!atomic_load(&held.begun) && !deadline_passed(by))
		clock_sleep_ms(5);
	assert_true(atomic_load(&held.begun));
}

static void an_answer_from_another_thread(void **state)
{
	struct fixture *f = *state;
	static const char *const headers[] = { "X-A: kept", NULL };
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	expect_hold(200);
	assert_int_equal(call_at(f, (struct http_call){ .headers = headers }, "/hold", &r), 0);
	assert_int_equal(r.status, 202);
	assert_string_equal(buf_cstr(&r.body), "later kept");
	(void)pthread_join(held.thread, NULL);
	assert_false(held.gone);
}

static void a_peer_that_left_is_seen(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct http_call call = { .by = deadline_in(2500) };
	expect_hold(30000);
	assert_int_equal(call_at(f, call, "/hold", &r), -ETIMEDOUT);
	await_hold();
	(void)pthread_join(held.thread, NULL);
	assert_true(held.gone);
}

static void *ask_hold(void *arg)
{
	struct fixture *f = arg;
	_cleanup_(http_client_freep) struct http_client *c = NULL;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	autofree char *url = xasprintf("%s/hold", f->base);
	struct http_call call = { .url = url, .by = deadline_in(60000) };
	(void)http_client_new(NULL, &c, NULL);
	return (void *)(intptr_t)http_call(c, &call, &r, NULL);
}

static void stopping_cuts_what_is_held(void **state)
{
	struct fixture *f = *state;
	pthread_t asker;
	void *rc = NULL;
	expect_hold(30000);
	assert_int_equal(pthread_create(&asker, NULL, ask_hold, f), 0);
	await_hold();
	int64_t start = clock_mono_ms();
	http_server_stop(f->server, 50);
	assert_true(clock_mono_ms() - start < 30000);
	(void)pthread_join(asker, &rc);
	assert_int_equal((int)(intptr_t)rc, -ECONNRESET);
	(void)pthread_join(held.thread, NULL); /* its answer went nowhere, and nothing broke */
	f->server = NULL;
}

/* ---- streams and files ------------------------------------------------------------------------ */

static void uploads(void **state)
{
	struct fixture *f = *state;
	static const char *const chunked[] = { "Transfer-Encoding: chunked", NULL };
	static const char *const refuse[] = { "X-Refuse: 1", NULL };
	static const char *const refuse_now[] = { "X-Refuse: 1", "Expect:", NULL };
	static const char *const stop[] = { "X-Stop: 1", NULL };
	static const char *const stop_chunked[] = { "X-Stop: 1", "Transfer-Encoding: chunked",
		                                    NULL };
	static const struct {
		const char *const *headers;
		int status;
	} cases[] = { { NULL, 200 },       { chunked, 200 }, { refuse, 401 },
		      { refuse_now, 401 }, { stop, 400 },    { stop_chunked, 400 } };
	uint64_t sum = 0;
	for (size_t i = 0; i < BLOB; i++)
		sum += blob_byte(i);
	autofree char *want = xasprintf("%d %llu", BLOB, (unsigned long long)sum);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		struct http_call call = { .method = "PUT",
			                  .body_file = blob_path,
			                  .headers = cases[i].headers };
		int rc = call_at(f, call, "/up", &r);
		if (rc || r.status != cases[i].status)
			fail_msg("case %zu: rc %d, status %d: %s", i, rc, r.status,
			         buf_cstr(&r.body));
		if (r.status == 200)
			assert_string_equal(buf_cstr(&r.body), want);
		if (r.status == 400)
			assert_non_null(strstr(buf_cstr(&r.body), "row 7 is bad"));
	}
	/* One broken off in the middle frees its state too. */
	int fd = raw_connect(f);
	static const char half[] = "PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\nabc";
	assert_int_equal(fd_write_all(fd, half, sizeof(half) - 1, NULL), 0);
	clock_sleep_ms(50);
	fd_closep(&fd);
	for (int i = 0; i < 100 && atomic_load(&uploads_open); i++)
		clock_sleep_ms(20);
	assert_int_equal(atomic_load(&uploads_open), 0);
}

struct download {
	size_t at;
	bool wrong;
};

static int check_piece(void *arg, int status, const char *data, size_t len)
{
	struct download *d = arg;
	for (size_t i = 0; i < len; i++)
		d->wrong |= status != 200 || (unsigned char)data[i] != blob_byte(d->at++);
	return 0;
}

static void downloads(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	struct download d = { .at = 1000 };
	assert_int_equal(
		call_at(f, (struct http_call){ .on_body = check_piece, .arg = &d }, "/file", &r),
		0);
	assert_int_equal(d.at, BLOB);
	assert_false(d.wrong);
	assert_int_equal(r.content_length, BLOB - 1000);

	assert_int_equal(call_at(f, (struct http_call){ 0 }, "/ranges", &r), 0);
	assert_int_equal(r.body.len, 4 + 5 + 700000 + 1);
	assert_int_equal(r.content_length, 4 + 5 + 700000 + 1);
	assert_memory_equal(r.body.p, "head", 4);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal((unsigned char)r.body.p[4 + i], blob_byte(10 + i));
	for (size_t i = 0; i < 700000; i += 999)
		assert_int_equal((unsigned char)r.body.p[9 + i], blob_byte(1000000 + i));
	assert_int_equal((unsigned char)r.body.p[r.body.len - 1], blob_byte(3));

	assert_int_equal(call_at(f, (struct http_call){ 0 }, "/ranges?beyond=1", &r), -ECONNRESET);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	int fd = mkstemp(blob_path);
	char *bytes = xmalloc(BLOB);
	for (size_t i = 0; i < BLOB; i++)
		bytes[i] = (char)blob_byte(i);
	if (fd < 0 || fd_write_all(fd, bytes, BLOB, NULL) < 0)
		return 1;
	free(bytes);
	fd_closep(&fd);
	const struct CMUnitTest tests[] = {
		WITH_SERVER(requests),
		WITH_SERVER(tokens),
		WITH_SERVER(basic_credentials),
		WITH_SERVER(limits),
		WITH_SERVER(slow_peers_are_cut),
		WITH_SERVER(an_answer_from_another_thread),
		WITH_SERVER(a_peer_that_left_is_seen),
		WITH_SERVER(stopping_cuts_what_is_held),
		WITH_SERVER(uploads),
		WITH_SERVER(downloads),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(blob_path);
	return rc;
}

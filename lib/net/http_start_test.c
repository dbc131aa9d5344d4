/* Where a server listens, and what keeps it from starting. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

static void who(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer(r, 200, NULL, str_of(http_req_peer(r)));
}
static const struct http_route open_route[] = { { .method = "GET", .path = "/", .handler = who } };
static const struct http_route secret_route[] = {
	{ .method = "GET", .path = "/secret", .handler = who, .token = true },
};

static void bad_starts_say_why(void **state)
{
	(void)state;
	char taken[32];
	struct http_server *first = NULL;
	struct http_server_config any = { .listen = "127.0.0.1:0",
		                          .routes = open_route,
		                          .n_routes = 1 };
	assert_int_equal(http_server_start(&any, &first, NULL), 0);
	(void)snprintf(taken, sizeof(taken), "127.0.0.1:%d", http_server_port(first));
	const struct {
		struct http_server_config c;
		int rc;
		const char *says;
	} cases[] = {
		{ { .listen = taken, .routes = open_route, .n_routes = 1 }, -EADDRINUSE, "in use" },
		{ { .listen = "8030" }, -EINVAL, "HOST:PORT" },
		{ { .listen = "::1:8030" }, -EINVAL, "brackets" },
		{ { .listen = "127.0.0.1:70000" }, -EINVAL, "65535" },
		{ { .listen = "127.0.0.1:0", .routes = secret_route, .n_routes = 1 },
		  -EINVAL,
		  "/secret asks for a token" },
		{ { .listen = "127.0.0.1:0", .token_file = "/nonexistent" },
		  -ENOENT,
		  "/nonexistent" },
		{ { .listen = "127.0.0.1:0", .token_file = "/dev/null" },
		  -EINVAL,
		  "holds no token" },
		{ { .listen = "127.0.0.1:0", .tls_cert = "/dev/null" }, -EINVAL, "key" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_server *s = NULL;
		struct err err = ERR_INIT;
		int rc = http_server_start(&cases[i].c, &s, &err);
		if (rc != cases[i].rc || !strstr(err.msg, cases[i].says))
			fail_msg("case %zu: %d %s", i, rc, err.msg);
	}
	http_server_stop(first, 0);
}

static void ipv6_too(void **state)
{
	(void)state;
	struct http_server *s = NULL;
	struct http_server_config c = { .listen = "[::]:0", .routes = open_route, .n_routes = 1 };
	assert_int_equal(http_server_start(&c, &s, NULL), 0);
	_cleanup_(http_client_freep) struct http_client *client = NULL;
	assert_int_equal(http_client_new(NULL, &client, NULL), 0);
	static const char *const hosts[] = { "127.0.0.1", "::1" };
	for (size_t i = 0; i < 2; i++) {
		_cleanup_buf_ struct buf url = BUF_INIT(100);
		(void)buf_adds(&url, "http://");
		(void)http_host_port(hosts[i], http_server_port(s), &url);
		(void)buf_adds(&url, "/");
		_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
		struct http_call call = { .url = url.p, .by = deadline_in(30000) };
		int rc = http_call(client, &call, &r, NULL);
		if (i == 1 && rc == -EHOSTUNREACH)
			break; /* a machine without IPv6 */
		assert_int_equal(rc, 0);
		assert_non_null(strstr(buf_cstr(&r.body), hosts[i]));
	}
	http_server_stop(s, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_starts_say_why),
		cmocka_unit_test(ipv6_too),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The scaler's path from an FE to a caller, against a stub FE that does what it is told. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "lib/net/http_client.h"
#include "lib/net/prom.h"
#include "scaler/serve/query.h"
#include "scaler/serve/serve.h"

/* ---- the stub --------------------------------------------------------------------------------- */

enum mood {
	FE_GOOD,
	FE_IDLE,
	FE_GARBAGE,
	FE_HALF,
	FE_NAN,
	FE_NEGATIVE,
	FE_REFUSES,
	FE_ERROR,
	FE_SLOW
};
static _Atomic int mood;
static atomic_int asked, in_flight, most_in_flight;

#define DOC(pending, slots, wait)                                                            \
	"{\"v\":1,\"ts\":1,\"epoch\":42,\"pending\":" pending ",\"oldest_wait_s\":" wait     \
	",\"required_slots\":" slots                                                         \
	",\"running\":2,\"nodes\":[{\"id\":1,\"address\":\"h\",\"slots\":2,"                 \
	"\"running\":2,\"draining\":false,\"role\":\"cn\"}],\"service_time_s\":{\"p50\":10," \
	"\"p95\":20}}"
#define IDLE                                                                                     \
	"{\"v\":1,\"ts\":1,\"epoch\":42,\"pending\":0,\"oldest_wait_s\":0,\"required_slots\":0," \
	"\"running\":0,\"nodes\":[],\"service_time_s\":{\"p50\":0,\"p95\":0}}"

static void *answer_slowly(void *arg)
{
	clock_sleep_ms(800);
	atomic_fetch_sub(&in_flight, 1);
	http_answer_json(arg, 200, DOC("7", "9", "3.25"));
	return NULL;
}

static void load(void *arg, struct http_req *r)
{
	(void)arg;
	static const char *const docs[] = {
		[FE_GOOD] = DOC("7", "9", "3.25"),
		[FE_IDLE] = IDLE,
		[FE_GARBAGE] = "<html>busy</html>",
		[FE_HALF] = "{\"v\":1,\"ts\":1,\"pending\":0,\"requi",
		[FE_NAN] = DOC("NaN", "9", "1"),
		[FE_NEGATIVE] = DOC("-1", "9", "1"),
	};
	int now = atomic_load(&mood), here = atomic_fetch_add(&in_flight, 1) + 1;
	atomic_fetch_add(&asked, 1);
	if (here > atomic_load(&most_in_flight))
		atomic_store(&most_in_flight, here);
	if (now == FE_SLOW) {
		pthread_t thread;
		http_hold(r);
		assert_int_equal(pthread_create(&thread, NULL, answer_slowly, r), 0);
		(void)pthread_detach(thread);
		return;
	}
	atomic_fetch_sub(&in_flight, 1);
	if (now == FE_REFUSES)
		http_answer_error(r, 401, "no");
	else if (now == FE_ERROR)
		http_answer_error(r, 500, "no");
	else
		http_answer_json(r, 200, docs[now]);
}

static const struct http_route fe_routes[] = {
	{ .method = "GET", .path = "/api/roost/load", .handler = load, .token = true },
};

struct fixture {
	struct http_server *fe;
	struct serve_pools *pools;
	struct source *source;
	struct serve *serve;
	struct http_client *client;
	char token_path[32];
	char fe_listen[32];
};

static void start_fe(struct fixture *f)
{
	struct http_server_config c = { .listen = f->fe_listen,
		                        .routes = fe_routes,
		                        .n_routes = 1,
		                        .token_file = f->token_path };
	struct err err = ERR_INIT;
	if (http_server_start(&c, &f->fe, &err) < 0)
		fail_msg("%s", err.msg);
}

static int set_up(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	memcpy(f->token_path, "/tmp/roost-scl-XXXXXX", 22);
	_cleanup_(fd_closep) int fd = mkstemp(f->token_path);
	assert_int_equal(fd_write_all(fd, "secret\n", 7, NULL), 0);
	atomic_store(&mood, FE_GOOD);
	atomic_store(&asked, 0);
	atomic_store(&most_in_flight, 0);
	(void)snprintf(f->fe_listen, sizeof(f->fe_listen), "127.0.0.1:0");
	start_fe(f);
	(void)snprintf(f->fe_listen, sizeof(f->fe_listen), "127.0.0.1:%d", http_server_port(f->fe));
	f->pools = serve_pools_new(1000);
	struct source_events events = serve_pools_events(f->pools);
	assert_int_equal(source_start(&events, NULL, &f->source, NULL), 0);
	struct serve_config c = { .listen = "127.0.0.1:0",
		                  .token_file = f->token_path,
		                  .pools = f->pools };
	struct err err = ERR_INIT;
	if (serve_start(&c, &f->serve, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(http_client_new(NULL, &f->client, NULL), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	serve_stop(f->serve);
	source_stop(f->source);
	serve_pools_free(f->pools);
	http_client_free(f->client);
	while (atomic_load(&in_flight))
		clock_sleep_ms(20);
	http_server_stop(f->fe, 0);
	(void)unlink(f->token_path);
	free(f);
	return 0;
}

static void add_pool(struct fixture *f, const char *cluster, const char *fe)
{
	char ns[] = "ns", pool[] = "cn";
	autofree char *url = xasprintf("http://%s/api/roost/load", fe), *name = xstrdup(cluster);
	struct source_target t = { .ns = ns,
		                   .cluster = name,
		                   .pool = pool,
		                   .url = url,
		                   .token_file = f->token_path,
		                   .limits = { .max = 6,
		                               .wait_target_s = 5,
		                               .scale_in_window_ms = 15000,
		                               .replicas = -1 } };
	source_put(f->source, &t);
}

static int get_with(struct fixture *f, const char *path, const char *bearer, struct http_reply *r)
{
	autofree char *url = xasprintf("http://127.0.0.1:%d%s", serve_port(f->serve), path);
	struct http_call call = { .url = url, .by = deadline_in(30000), .bearer = bearer };
	assert_int_equal(http_call(f->client, &call, r, NULL), 0);
	return r->status;
}

static int get(struct fixture *f, const char *path, struct http_reply *r)
{
	return get_with(f, path, "secret", r);
}

#define POOL "/v1/namespaces/ns/clusters/c/pools/cn"

/* Asks until the status is there; the last one seen. */
static int get_until(struct fixture *f, const char *path, int status, struct http_reply *r)
{
	struct deadline by = deadline_in(30000);
	while (get(f, path, r) != status && !deadline_passed(by))
		clock_sleep_ms(20);
	return r->status;
}

/* ---- tests ------------------------------------------------------------------------------------ */

static void the_document(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	assert_int_equal(get(f, POOL, &r), 503); /* it may still come */
	assert_int_equal(r.retry_after_ms, 1000);
	assert_int_equal(get(f, "/readyz", &r), 503);
	serve_pools_complete(f->pools, true);
	assert_int_equal(get(f, "/readyz", &r), 200);
	assert_int_equal(get(f, POOL, &r), 404);
	add_pool(f, "c", f->fe_listen);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
	assert_true(r.content_length > 0 && r.content_length < 1024);
	_cleanup_json_ json_t *j = NULL;
	struct err err = ERR_INIT;
	if (data_json_parse(str_of(buf_cstr(&r.body)), &j, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(data_get_int(j, "desired", -1), 5); /* 9 slots, 2 a node, panic */
	assert_int_equal(data_get_int(j, "active", -1), 1);
	assert_int_equal(data_get_int(j, "current", -1), 1);
	assert_int_equal(data_get_int(j, "queue.pending", -1), 7);
	assert_int_equal(data_get_int(j, "queue.required_slots", -1), 9);
	assert_true(data_get_num(j, "queue.oldest_wait_s", 0) > 3.2);
	assert_int_equal(data_get_int(j, "running", -1), 2);
	assert_int_equal(data_get_int(j, "fe_epoch", -1), 42);
	assert_true(data_get_int(j, "age_ms", -1) >= 0 && data_get_int(j, "age_ms", -1) < 60000);
	const char *reason = data_get_str(j, "reason");
	assert_true(strstr(reason, "panic") ||
	            strstr(reason, "1 of 5")); /* first poll, later ones */
	static const char *const wrong[] = { "/v1/namespaces/ns",
		                             "/v1/namespaces/ns/clusters/c/pools/",
		                             "/v1/namespaces/ns/clusters/c/pools/cn/x",
		                             "/v1/namespaces/ns/cluster/c/pools/cn",
		                             "/v1/namespaces/ns%2Fx/clusters/c/pools/cn" };
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(get(f, wrong[i], &r), 404);
}

static void idle_is_a_measured_zero(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	atomic_store(&mood, FE_IDLE);
	add_pool(f, "c", f->fe_listen);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
	assert_non_null(strstr(buf_cstr(&r.body), "\"desired\":0,\"active\":0"));
}

static void callers_need_the_token(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	static const char *const paths[] = { POOL, "/metrics",
		                             "/api/v1/query?query=roost_pool_desired" };
	serve_pools_complete(f->pools, true);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		assert_int_equal(get_with(f, paths[i], NULL, &r), 401);
		assert_int_equal(get_with(f, paths[i], "wrong", &r), 401);
	}
	assert_int_equal(get_with(f, "/healthz", NULL, &r), 200);
	assert_int_equal(get_with(f, "/readyz", NULL, &r), 200);
	struct serve *s = NULL;
	struct err err = ERR_INIT;
	static const char *const open_to_all[] = { "0.0.0.0:0", "[::]:0", "127.example.org:0",
		                                   "127.0.0.1.example.org:0" };
	for (size_t i = 0; i < ARRAY_LEN(open_to_all); i++) {
		struct serve_config c = { .listen = open_to_all[i], .pools = f->pools };
		assert_int_equal(serve_start(&c, &s, &err), -EINVAL);
		assert_non_null(strstr(err.msg, "needs a token"));
	}
}

static void a_bad_fe_is_never_a_zero(void **state)
{
	struct fixture *f = *state;
	static const enum mood bad[] = { FE_GARBAGE, FE_HALF, FE_NAN, FE_NEGATIVE, FE_ERROR };
	char before[128] = "";
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	serve_pools_complete(f->pools, true);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		autofree char *name = xasprintf("cold%zu", i);
		autofree char *path = xasprintf("/v1/namespaces/ns/clusters/%s/pools/cn", name);
		atomic_store(&mood, (int)bad[i]);
		/* The FE is the others', too: a good answer to them may still be on its way. */
		if (i > 0)
			assert_int_equal(get_until(f, before, 503, &r), 503);
		add_pool(f, name, f->fe_listen); /* cold: never a good answer before */
		struct deadline by = deadline_in(700);
		while (!deadline_passed(by)) {
			assert_int_equal(get(f, path, &r), 503);
			clock_sleep_ms(20);
		}
		atomic_store(&mood, FE_GOOD); /* warm: known, then bad, then known again */
		assert_int_equal(get_until(f, path, 200, &r), 200);
		atomic_store(&mood, (int)bad[i]);
		int64_t start = clock_mono_ms();
		while (get(f, path, &r) == 200) {
			assert_non_null(strstr(buf_cstr(&r.body), "\"desired\":5"));
			assert_true(clock_mono_ms() - start < 60000);
			clock_sleep_ms(20);
		}
		assert_int_equal(r.status, 503);
		atomic_store(&mood, FE_GOOD);
		start = clock_mono_ms();
		assert_int_equal(get_until(f, path, 200, &r), 200);
		assert_true(clock_mono_ms() - start < 30000);
		(void)snprintf(before, sizeof(before), "%s", path);
	}
}

static void a_stopped_fe_comes_back(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	add_pool(f, "c", f->fe_listen);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
	http_server_stop(f->fe, 0);
	assert_int_equal(get_until(f, POOL, 503, &r), 503);
	assert_non_null(strstr(buf_cstr(&r.body), "too old"));
	start_fe(f);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
}

static void a_slow_fe_delays_nobody(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	atomic_store(&mood, FE_SLOW);
	add_pool(f, "c", f->fe_listen);
	int64_t began = clock_mono_ms();
	struct deadline by = deadline_in(3500);
	int calls = 0,
	    slow = 0; /* on a busy machine some are late, but not because of the FE, which holds each 800 ms */
	while (!deadline_passed(by)) {
		int64_t start = clock_mono_ms();
		(void)get(f, POOL, &r);
		calls++;
		slow += clock_mono_ms() - start >= 500;
		clock_sleep_ms(10);
	}
	assert_true(slow * 2 < calls);
	assert_int_equal(atomic_load(&most_in_flight), 1); /* one call in flight per cluster */
	assert_true(atomic_load(&asked) <= 2 + (clock_mono_ms() - began) / 800);
}

static void a_refusal_is_asked_less_often(void **state)
{
	struct fixture *f = *state;
	atomic_store(&mood, FE_REFUSES);
	add_pool(f, "c", f->fe_listen);
	clock_sleep_ms(2500);
	assert_int_equal(atomic_load(&asked), 1);
}

static void a_removed_pool_is_gone(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	serve_pools_complete(f->pools, true);
	add_pool(f, "c", f->fe_listen);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
	atomic_store(&mood, FE_SLOW);
	clock_sleep_ms(600); /* a call is under way now */
	source_remove(f->source, "ns/c/cn");
	assert_int_equal(get(f, POOL, &r), 404);
	add_pool(f, "c", f->fe_listen);
	atomic_store(&mood, FE_GOOD);
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
}

static int count_series(void *arg, struct str name, const struct prom_label *labels, size_t n,
                        double value)
{
	int *count = arg;
	assert_true(str_starts(name, "roost_"));
	assert_int_equal(n, 3);
	assert_true(str_eqs(labels[0].name, "namespace") && str_eqs(labels[0].value, "ns"));
	if (str_eqs(name, "roost_pool_desired"))
		assert_true(value > 4.9 && value < 5.1);
	(*count)++;
	return 0;
}

static void metrics_and_queries(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	add_pool(f, "c", f->fe_listen);
	add_pool(f, "dead", "127.0.0.1:1");
	assert_int_equal(get_until(f, POOL, 200, &r), 200);
	int count = 0;
	/* None at all after a second in which this process had no turn. */
	for (struct deadline by = deadline_in(30000); count == 0 && !deadline_passed(by);) {
		assert_int_equal(get(f, "/metrics", &r), 200);
		assert_int_equal(prom_parse(str_of(buf_cstr(&r.body)), count_series, &count, NULL),
		                 0);
	}
	assert_int_equal(count, 7); /* nothing of the one that was never measured */
	static const struct {
		const char *query;
		int status;
		const char *has;
	} cases[] = {
		{ "roost_pool_desired%7Bcluster%3D%22c%22%7D", 200, ",\"5\"]" },
		{ "roost_queue_oldest_wait_seconds%7Bcluster!%3D%22dead%22%7D", 200, ",\"3.25\"]" },
		{ "roost_pool_desired", 503, "not known" },
		{ "roost_pool_desired%7Bcluster%3D%22dead%22%7D", 503, "not known" },
		{ "roost_pool_desired%7Bcluster%3D%22none%22%7D", 503, "no such pool" },
		{ "up", 400, "no such series" },
		{ "sum(roost_pool_desired)", 400, "functions" },
		{ "", 400, "name of a series" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *path = xasprintf("/api/v1/query?query=%s", cases[i].query);
		assert_int_equal(get_until(f, path, cases[i].status, &r), cases[i].status);
		if (!strstr(buf_cstr(&r.body), cases[i].has))
			fail_msg("%s: %s", cases[i].query, buf_cstr(&r.body));
	}
	assert_int_equal(get(f, "/api/v1/query", &r), 400);
}

static void selectors(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good, matches; /* ns, c, cn */
	} cases[] = {
		{ "a", true, true },
		{ " a { } ", true, true },
		{ "a{namespace=\"ns\",cluster='c',pool=\"cn\",}", true, true },
		{ "a{pool!=\"be\"}", true, true },
		{ "a{pool!=\"cn\"}", true, false },
		{ "a{cluster=\"\"}", true, false },
		{ "a{cluster=\"c\\\"\"}", true, false },
		{ "a{pod=\"x\"}", false, false },
		{ "a{pool=~\"c.*\"}", false, false },
		{ "a{pool=\"cn\"", false, false },
		{ "a{pool=\"cn}", false, false },
		{ "a{pool=cn}", false, false },
		{ "a{pool=\"cn\" cluster=\"c\"}", false, false },
		{ "a[5m]", false, false },
		{ "a + b", false, false },
		{ "rate(a)", false, false },
		{ "{pool=\"cn\"}", false, false },
		{ "1", false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct serve_query q;
		struct err err = ERR_INIT;
		int rc = serve_query_parse(str_of(cases[i].text), &q, &err);
		if (rc != (cases[i].good ? 0 : -EINVAL))
			fail_msg("%s: %s", cases[i].text, err.msg);
		if (rc == 0)
			assert_int_equal(serve_query_matches(&q, "ns", "c", "cn"),
			                 cases[i].matches);
	}
}

#define WITH_FE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		WITH_FE(the_document),
		WITH_FE(idle_is_a_measured_zero),
		WITH_FE(callers_need_the_token),
		WITH_FE(a_bad_fe_is_never_a_zero),
		WITH_FE(a_stopped_fe_comes_back),
		WITH_FE(a_slow_fe_delays_nobody),
		WITH_FE(a_refusal_is_asked_less_often),
		WITH_FE(a_removed_pool_is_gone),
		WITH_FE(metrics_and_queries),
		cmocka_unit_test(selectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

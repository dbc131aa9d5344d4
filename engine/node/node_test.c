#include "engine/node/fixture.h"

#define EXCHANGE_OUT "{\"kind\":\"exchange\",\"partitions\":4,\"keys\":[],\"codec\":\"lz4\"}"

/* A task of stage, task, attempt with these inputs and this output. */
static char *task_text(int stage, int task, int attempt, const char *inputs, const char *output)
{
	return xasprintf("{\"v\":1,\"query\":\"" QUERY "\",\"stage\":%d,\"task\":%d,\"attempt\":%d,"
	                 "\"digest\":\"d\",\"timeout_ms\":20000,\"mem_limit\":0,\"group\":"
	                 "\"default_wg\",\"ast\":{},\"settings\":{},\"inputs\":[%s],\"output\":%s}",
	                 stage, task, attempt, inputs, output);
}

static struct answer run(struct place *p, size_t i, int stage, int attempt, const char *inputs,
                         const char *output)
{
	autofree char *text = task_text(stage, 0, attempt, inputs, output);
	return rpc(p, i, "POST", "/rpc/v1/tasks", text);
}

static char *part(struct place *p, size_t i, int stage, int attempt, int from, int to)
{
	return xasprintf("{\"name\":\"x\",\"kind\":\"exchange\",\"columns\":[{\"name\":\"v\","
	                 "\"type\":\"BIGINT\"}],\"rows\":4,\"parts\":[{\"addr\":\"127.0.0.1:%d\","
	                 "\"stage\":%d,\"task\":0,\"attempt\":%d,\"from\":%d,\"to\":%d}]}",
	                 node_brpc_port(p->nodes[i]), stage, attempt, from, to);
}

static void wait_running(struct place *p, size_t i, int want)
{
	for (int tries = 0; tries < 3000; tries++) {
		_answer_ a = heartbeat(p, i, 9);
		if (data_get_int(a.json, "running", -1) == want)
			return;
		clock_sleep_ms(10);
	}
	fail_msg("running never became %d", want);
}

static void heartbeats_bind_to_one_cluster(void **state)
{
	struct place *p = *state;
	_answer_ a = heartbeat(p, 0, 9);
	assert_int_equal(a.status, 200);
	assert_string_equal(data_get_str(a.json, "role"), "be");
	assert_int_equal(data_get_int(a.json, "brpc_port", 0), node_brpc_port(p->nodes[0]));
	assert_int_equal(data_get_int(a.json, "slots", 0), 2);
	assert_false(data_get_bool(a.json, "draining", true));
	_answer_ other = heartbeat(p, 0, 10);
	assert_int_equal(other.status, 409);
	assert_string_equal(data_get_str(other.json, "error.code"), RPC_E_CLUSTER);
	node_stop(p->nodes[0]);
	node_up(p, 0, NODE_BE); /* and remembers it */
	_answer_ again = heartbeat(p, 0, 10);
	assert_int_equal(again.status, 409);
}

static void calls_without_the_token_are_refused(void **state)
{
	struct place *p = *state;
	static const char *const none[] = { "X-None: 1", NULL };
	static const char *const paths[][2] = {
		{ "POST", "/rpc/v1/tasks" },           { "DELETE", "/rpc/v1/queries/" QUERY },
		{ "GET", "/rpc/v1/tablets/1/" QUERY }, { "PUT", "/rpc/v1/tablets/1/" QUERY },
		{ "POST", "/rpc/v1/tablets/keep" },    { "POST", "/rpc/v1/drain" },
	};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		_answer_ a;
		autofree char *url = xasprintf("http://127.0.0.1:%d%s", node_brpc_port(p->nodes[0]),
		                               paths[i][1]);
		assert_int_equal(call_with(p->client, paths[i][0], url, none, "{}", &a), 0);
		assert_int_equal(a.status, 401);
	}
}

static void rows_travel_between_nodes(void **state)
{
	struct place *p = *state;
	_answer_ first = run(p, 0, 0, 0, "", EXCHANGE_OUT);
	assert_int_equal(first.status, 200);
	assert_int_equal(data_get_int(first.json, "rows", 0), 3);
	for (size_t i = 0; i < 2; i++) { /* i = 0: the producer itself, by a link */
		autofree char *in = part(p, 0, 0, 0, 1, 3);
		_answer_ second = run(p, i, 1, 0, in, EXCHANGE_OUT);
		assert_int_equal(second.status, 200);
		assert_string_equal(fake.last_input, "sum=3 ");
	}
	_answer_ gone = rpc(p, 0, "DELETE", "/rpc/v1/queries/" QUERY, "");
	assert_int_equal(gone.status, 200);
	autofree char *in = part(p, 0, 0, 0, 1, 3);
	_answer_ lost = run(p, 1, 1, 1, in, EXCHANGE_OUT);
	assert_int_equal(lost.status, 404);
	assert_string_equal(data_get_str(lost.json, "error.code"), RPC_E_INPUT_LOST);
	assert_true(data_get_bool(lost.json, "error.retryable", false));
	assert_int_equal(data_get_int(lost.json, "input.stage", -1), 0);
	assert_string_equal(data_get_str(lost.json, "input.node"), p->fe.replica[0]);
}

struct post {
	struct place *place;
	int status;
	atomic_bool give_up; /* the connection is broken off */
	char text[4096];
};

static bool post_stop(void *arg)
{
	const struct post *t = arg;
	return atomic_load(&t->give_up);
}

static void *post(void *arg)
{
	struct post *t = arg;
	struct http_client *client = NULL;
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	autofree char *body = task_text(5, 0, 0, "", EXCHANGE_OUT);
	autofree char *url =
		xasprintf("http://127.0.0.1:%d/rpc/v1/tasks", node_brpc_port(t->place->nodes[0]));
	const struct http_call call = { .method = "POST",
		                        .url = url,
		                        .bearer = TOKEN,
		                        .body = str_of(body),
		                        .by = deadline_in(30000),
		                        .should_stop = post_stop,
		                        .arg = t };
	if (http_client_new(NULL, &client, NULL) == 0 &&
	    http_call(client, &call, &reply, NULL) == 0) {
		t->status = reply.status;
		(void)snprintf(t->text, sizeof(t->text), "%s", buf_cstr(&reply.body));
	}
	http_client_free(client);
	return NULL;
}

static void one_attempt_runs_once(void **state)
{
	struct place *p = *state;
	struct post posts[3] = { { .place = p }, { .place = p }, { .place = p } };
	pthread_t threads[2];
	atomic_store(&fake.wait_ms, 300);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post, &posts[i]), 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)post(&posts[2]); /* afterwards: the answer that is kept */
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(posts[i].status, 200);
		assert_string_equal(posts[i].text, posts[0].text);
	}
	assert_int_equal(atomic_load(&fake.runs), 1);
	_answer_ other = run(p, 0, 5, 1, "", EXCHANGE_OUT);
	assert_int_equal(other.status, 200);
	assert_int_equal(atomic_load(&fake.runs), 2);
}

static void tasks_are_cancelled(void **state)
{
	struct place *p = *state;
	struct post t = { .place = p };
	pthread_t thread;
	atomic_store(&fake.wait_ms, 20000);
	assert_int_equal(pthread_create(&thread, NULL, post, &t), 0);
	wait_running(p, 0, 1);
	_answer_ a = rpc(p, 0, "DELETE", "/rpc/v1/tasks/" QUERY "/5/0/0", "");
	assert_int_equal(a.status, 200);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.status, 409);
	assert_non_null(strstr(t.text, RPC_E_CANCELLED));
	_answer_ unknown = rpc(p, 0, "DELETE", "/rpc/v1/tasks/" QUERY "/6/0/0", "");
	assert_int_equal(unknown.status, 200);
	/* A query that goes while it runs leaves nothing behind, and the attempt may run again. */
	assert_int_equal(pthread_create(&thread, NULL, post, &t), 0);
	wait_running(p, 0, 1);
	_answer_ q = rpc(p, 0, "DELETE", "/rpc/v1/queries/" QUERY, "");
	assert_int_equal(q.status, 200);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.status, 409);
	atomic_store(&fake.wait_ms, 0);
	(void)post(&t);
	assert_int_equal(t.status, 200);
}

static void a_task_ends_when_nobody_waits(void **state)
{
	struct place *p = *state;
	struct post t = { .place = p };
	pthread_t thread;
	atomic_store(&fake.wait_ms, 20000);
	assert_int_equal(pthread_create(&thread, NULL, post, &t), 0);
	wait_running(p, 0, 1);
	atomic_store(&t.give_up, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.status, 0);
	wait_running(p, 0, 0);
}

static void failures_keep_their_code(void **state)
{
	struct place *p = *state;
	atomic_store(&fake.fail_next, 1);
	_answer_ a = run(p, 0, 0, 0, "", EXCHANGE_OUT);
	assert_int_equal(a.status, 507);
	assert_string_equal(data_get_str(a.json, "error.code"), RPC_E_OOM);
	_answer_ again = run(p, 0, 0, 0, "", EXCHANGE_OUT); /* failures are not kept */
	assert_int_equal(again.status, 200);
	_answer_ bad = run(p, 0, 0, 9, "", EXCHANGE_OUT);
	assert_non_null(strstr(data_get_str(bad.json, "error.message"), "attempt"));
	_answer_ file =
		run(p, 0, 0, 1,
	            "{\"name\":\"f\",\"kind\":\"file\",\"path\":\"/etc/passwd\",\"columns\":[]}",
	            EXCHANGE_OUT);
	assert_non_null(strstr(data_get_str(file.json, "error.message"), "inputs[0]: kind"));
	_answer_ version = rpc(p, 0, "POST", "/rpc/v1/tasks", "{\"v\":7}");
	assert_non_null(strstr(data_get_str(version.json, "error.message"), "version 7"));
}

static char *tablets_out(struct place *p)
{
	return xasprintf(
		"{\"kind\":\"tablets\",\"table\":5,\"columns\":[{\"name\":\"a\",\"type\":"
		"\"INTEGER\"}],\"distribution\":[\"a\"],\"tablets\":[{\"id\":11,\"bucket\":0,"
		"\"replicas\":[\"%s\",\"%s\"]},{\"id\":12,\"bucket\":1,\"replicas\":[\"%s\"]}]}",
		p->fe.replica[0], p->fe.replica[1], p->fe.replica[1]);
}

static void rowsets_reach_every_replica(void **state)
{
	struct place *p = *state;
	autofree char *out = tablets_out(p);
	_answer_ a = run(p, 0, 0, 0, "", out);
	assert_int_equal(a.status, 200);
	const char *id = data_get_str(a.json, "rowsets.0.id");
	const char *crc = data_get_str(a.json, "rowsets.0.crc");
	assert_int_equal(data_get_int(a.json, "rowsets.1.tablet", 0), 12);
	autofree char *path = xasprintf("/rpc/v1/tablets/11/%s", id);
	for (size_t i = 0; i < 2; i++) {
		_answer_ got = rpc(p, i, "GET", path, "");
		assert_int_equal(got.status, 200);
		assert_string_equal(got.text, "bucket 0");
		assert_string_equal(got.crc, crc);
	}
	autofree char *second =
		xasprintf("/rpc/v1/tablets/12/%s", data_get_str(a.json, "rowsets.1.id"));
	_answer_ none = rpc(p, 0, "GET", second, "");
	assert_int_equal(none.status, 404);
	/* A clone brings it here; a second one finds it. */
	autofree char *clone = xasprintf(
		"{\"v\":1,\"tablet\":12,\"from\":\"%s\",\"rowsets\":[{\"id\":\"%s\",\"rows\":1,"
		"\"bytes\":8,\"crc\":\"%s\"}]}",
		p->fe.replica[1], data_get_str(a.json, "rowsets.1.id"),
		data_get_str(a.json, "rowsets.1.crc"));
	for (int copied = 1; copied >= 0; copied--) {
		_answer_ c = rpc(p, 0, "POST", "/rpc/v1/tablets/clone", clone);
		assert_int_equal(c.status, 200);
		assert_int_equal(data_get_int(c.json, "copied", -1), copied);
	}
	/* A task reads them; one with other bytes does not exist. */
	autofree char *in = xasprintf(
		"{\"name\":\"t\",\"kind\":\"tablets\",\"columns\":[],\"tablets\":[{\"id\":11,"
		"\"rowsets\":[{\"id\":\"%s\",\"rows\":1,\"bytes\":8,\"crc\":\"%s\"}]}]}",
		id, crc);
	_answer_ read = run(p, 0, 1, 0, in, EXCHANGE_OUT);
	assert_int_equal(read.status, 200);
	assert_string_equal(fake.last_input, "bucket 0");
	/* Garbage collection keeps what is named. */
	autofree char *keep = xasprintf(
		"{\"v\":1,\"grace_ms\":0,\"tablets\":[{\"id\":11,\"rowsets\":[\"%s\"]}]}", id);
	_answer_ k = rpc(p, 0, "POST", "/rpc/v1/tablets/keep", keep);
	assert_int_equal(data_get_int(k.json, "deleted", -1), 1);
	_answer_ there = rpc(p, 0, "GET", path, "");
	assert_int_equal(there.status, 200);
	_answer_ broken = rpc(p, 0, "POST", "/rpc/v1/tablets/keep",
	                      "{\"v\":1,\"grace_ms\":0,\"tablets\":{}}");
	assert_int_equal(broken.status, 500);
}

static void a_dead_replica_fails_the_task(void **state)
{
	struct place *p = *state;
	autofree char *out = tablets_out(p);
	node_stop(p->nodes[1]);
	p->nodes[1] = NULL;
	_answer_ a = run(p, 0, 0, 0, "", out);
	assert_int_equal(a.status, 500);
	assert_true(data_get_bool(a.json, "error.retryable", false));
	assert_non_null(strstr(data_get_str(a.json, "error.message"), p->fe.replica[1]));
}

static void *drain(void *arg)
{
	node_drain(((struct place *)arg)->nodes[0], NULL, NULL);
	return NULL;
}

static int web_status(struct place *p, const char *path)
{
	static const char *const none[] = { "X-None: 1", NULL };
	_answer_ a;
	autofree char *url = xasprintf("http://127.0.0.1:%d%s", node_http_port(p->nodes[0]), path);
	assert_int_equal(call_with(p->client, "GET", url, none, "", &a), 0);
	return a.status;
}

static void draining_finishes_what_runs(void **state)
{
	struct place *p = *state;
	struct post t = { .place = p };
	pthread_t thread, drainer;
	atomic_store(&fake.wait_ms, 700);
	assert_int_equal(web_status(p, "/api/health"), 200);
	assert_int_equal(web_status(p, "/metrics"), 200);
	assert_int_equal(web_status(p, "/api/datacache/stat"), 200);
	assert_int_equal(pthread_create(&thread, NULL, post, &t), 0);
	wait_running(p, 0, 1);
	assert_int_equal(pthread_create(&drainer, NULL, drain, p), 0);
	while (web_status(p, "/api/health") == 200)
		clock_sleep_ms(10);
	_answer_ h = heartbeat(p, 0, 9);
	assert_true(data_get_bool(h.json, "draining", false));
	assert_non_null(strstr(p->fe.drained, "\"draining\":true"));
	_answer_ refused = run(p, 0, 9, 0, "", EXCHANGE_OUT);
	assert_int_equal(refused.status, 503);
	assert_string_equal(data_get_str(refused.json, "error.code"), RPC_E_DRAINING);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(t.status, 200);
	/* Its output is still served, until the query goes. */
	_answer_ out = rpc(p, 0, "GET", "/rpc/v1/exchange/" QUERY "/5/0/0?from=0&to=4", "");
	assert_int_equal(out.status, 200);
	_answer_ gone = rpc(p, 0, "DELETE", "/rpc/v1/queries/" QUERY, "");
	assert_int_equal(gone.status, 200);
	assert_int_equal(pthread_join(drainer, NULL), 0);
}

static void a_port_in_use_is_named(void **state)
{
	struct place *p = *state;
	autofree char *storage = xasprintf("%s/third", p->root);
	const struct node_config config = { .bind_address = (char *)(uintptr_t)"127.0.0.1",
		                            .http_port = node_http_port(p->nodes[0]),
		                            .storage_path = storage,
		                            .cache_bytes = 1,
		                            .mem_limit = 1 << 30,
		                            .slots = 1,
		                            .token_file = p->token };
	struct err err = ERR_INIT;
	struct node *third = NULL;
	assert_int_equal(node_start(&config, &third, &err), -EADDRINUSE);
	assert_non_null(strstr(err.msg, "be_http_port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(heartbeats_bind_to_one_cluster, setup, teardown),
		cmocka_unit_test_setup_teardown(calls_without_the_token_are_refused, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(rows_travel_between_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(one_attempt_runs_once, setup, teardown),
		cmocka_unit_test_setup_teardown(tasks_are_cancelled, setup, teardown),
		cmocka_unit_test_setup_teardown(a_task_ends_when_nobody_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_keep_their_code, setup, teardown),
		cmocka_unit_test_setup_teardown(rowsets_reach_every_replica, setup, teardown),
		cmocka_unit_test_setup_teardown(a_dead_replica_fails_the_task, setup, teardown),
		cmocka_unit_test_setup_teardown(draining_finishes_what_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_in_use_is_named, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

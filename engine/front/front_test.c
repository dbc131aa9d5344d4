#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/front/front_priv.h"
#include "engine/meta/txn.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/net/http_client.h"

/* SELECT PASSWORD('password') */
#define HASH "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
#define TOKEN "t0ken-t0ken-t0ken"

struct fixture {
	char dir[32];
	char *token;
	struct meta *m;
	struct cluster *c;
	struct admit *a;
	struct front *f;
	struct http_client *http;
	struct http_server *worker; /* answers heartbeats only */
	struct http_route route;
	int64_t be;
};

static void on_heartbeat(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer_json(r, 200,
	                 "{\"v\":1,\"role\":\"be\",\"version\":\"0.1\",\"start_ts\":5,"
	                 "\"http_port\":8040,\"brpc_port\":8060,\"slots\":4}");
}

static void count(void *arg, struct front_stats *ret)
{
	(void)arg;
	*ret = (struct front_stats){
		.connections = 2, .queries = 10, .query_errors = 1, .query_seconds = 1.5
	};
}

static int64_t submit(struct fixture *f, enum meta_command command, json_t *p)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *result = NULL;
	if (meta_submit(f->m, command, p, &result, &err) < 0)
		fail_msg("%s", err.msg);
	return data_get_int(result, "id", 0);
}

static int start_all(struct fixture *f, struct err *err)
{
	int rc = meta_open(f->dir, &f->m, err);
	if (rc == 0)
		rc = admit_new(&f->a, err);
	struct cluster_config cluster = {
		.meta = f->m, .token_file = f->token, .fe_rpc = "127.0.0.1:9020", .heartbeat_ms = 20
	};
	if (rc == 0)
		rc = cluster_start(&cluster, &f->c, err);
	struct front_config config = { .meta = f->m,
		                       .cluster = f->c,
		                       .admit = f->a,
		                       .listen_address = "127.0.0.1",
		                       .query_port = 9030,
		                       .token_file = f->token,
		                       .version = "8.0.33-test",
		                       .name = "fe-0",
		                       .stats = count };
	if (rc == 0)
		rc = front_start(&config, &f->f, err);
	return rc < 0 ? rc : http_client_new(NULL, &f->http, err);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = xcalloc(1, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-front-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->token = xasprintf("%s/token", f->dir);
	if (fd_write_file(f->token, TOKEN "\n", sizeof(TOKEN), 0600, &err) < 0 ||
	    start_all(f, &err) < 0) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	http_client_free(f->http);
	front_stop(f->f, 0);
	cluster_stop(f->c);
	if (f->worker)
		http_server_stop(f->worker, 0);
	admit_free(f->a);
	meta_close(f->m);
	int rc = fd_rm_rf(f->dir, &err);
	free(f->token);
	free(f);
	return rc;
}

/* A backend that is alive. */
static void add_backend(struct fixture *f)
{
	struct err err = ERR_INIT;
	f->route = (struct http_route){ .method = "POST",
		                        .path = "/rpc/v1/heartbeat",
		                        .handler = on_heartbeat };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = &f->route,
		                             .n_routes = 1 };
	assert_int_equal(http_server_start(&config, &f->worker, &err), 0);
	f->be = submit(f, META_ADD_NODE,
	               json_pack("{s:s, s:s, s:i, s:i}", "role", "be", "host", "127.0.0.1",
	                         "heartbeat_port", http_server_port(f->worker), "ts", 1));
	cluster_kick(f->c);
	struct cluster_node n = { 0 };
	for (struct deadline by = deadline_in(30000); !deadline_passed(by); clock_sleep_ms(5))
		if (cluster_node(f->c, f->be, &n) && n.alive)
			return;
	fail_msg("the backend is not alive: %s", n.error);
}

/* One call to http_port (rpc false) or rpc_port; the status. auth: "Authorization: …" or NULL. */
static int ask(struct fixture *f, bool rpc, const char *method, const char *path, const char *auth,
               const char *body, struct http_reply *ret)
{
	struct err err = ERR_INIT;
	autofree char *url = xasprintf("http://127.0.0.1:%d%s",
	                               rpc ? front_rpc_port(f->f) : front_http_port(f->f), path);
	const char *headers[] = { auth, NULL };
	struct http_call call = { .method = method,
		                  .url = url,
		                  .headers = headers,
		                  .body = str_of(body),
		                  .by = deadline_in(30000) };
	int rc = http_call(f->http, &call, ret, &err);
	if (rc < 0)
		fail_msg("%s %s: %s", method, path, err.msg);
	return ret->status;
}

static json_t *ask_json(struct fixture *f, bool rpc, const char *method, const char *path,
                        const char *auth, const char *body, int want_status)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	json_t *j = NULL;
	int status = ask(f, rpc, method, path, auth, body, &reply);
	if (status != want_status)
		fail_msg("%s: %d, not %d: %s", path, status, want_status, buf_cstr(&reply.body));
	assert_int_equal(
		data_json_parse((struct str){ buf_cstr(&reply.body), reply.body.len }, &j, &err),
		0);
	return j;
}

/* base64 of root: , root:password and root:wrong */
#define EMPTY "Authorization: Basic cm9vdDo="
#define RIGHT "Authorization: Basic cm9vdDpwYXNzd29yZA=="
#define WRONG "Authorization: Basic cm9vdDp3cm9uZw=="
#define BEARER "Authorization: Bearer " TOKEN

static void health_says_what_is_there(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	_cleanup_json_ json_t *health = ask_json(f, false, "GET", "/api/health", NULL, "", 200);
	assert_int_equal(data_get_int(health, "total_backend_num", -1), 1);
	assert_int_equal(data_get_int(health, "online_backend_num", -1), 1);
	assert_string_equal(data_get_str(health, "status"), "OK");
	_cleanup_json_ json_t *boot =
		ask_json(f, false, "GET", "/api/bootstrap?token=x", NULL, "", 200);
	assert_int_equal(data_get_int(boot, "queryPort", 0), 9030);
	assert_true(data_get_int(boot, "replayedJournalId", 0) > 0);
	front_set_draining(f->f);
	_cleanup_json_ json_t *leaving = ask_json(f, false, "GET", "/api/health", NULL, "", 500);
	assert_string_equal(data_get_str(leaving, "status"), "SHUTDOWN");
}

static void metrics_have_starrocks_names(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	static const char *const want[] = {
		"\nstarrocks_fe_query_total 10\n",
		"\nstarrocks_fe_connection_total 2\n",
		"\nstarrocks_fe_query_err 1\n",
		"\nstarrocks_fe_unfinished_query 0\n",
		"\nstarrocks_fe_query_queue_pending 0\n",
		"\nstarrocks_fe_query_queue_total 0\n",
		"\nstarrocks_fe_query_queue_timeout 0\n",
		"\nstarrocks_fe_query_latency_ms{quantile=\"0.95\"} 0\n",
		"\nnode_info{type=\"be_node_num\",state=\"alive\"} 1\n",
		"\nnode_info{type=\"cn_node_num\",state=\"alive\"} 0\n",
		"\nnode_info{type=\"is_master\"} 1\n",
		"field=\"query_pending_length\"} 0\n",
		"# TYPE starrocks_fe_query_total counter\n",
	};
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	assert_int_equal(ask(f, false, "GET", "/metrics", NULL, "", &reply), 200);
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		if (!strstr(buf_cstr(&reply.body), want[i]))
			fail_msg("no %s in\n%s", want[i], buf_cstr(&reply.body));
}

static void the_scaler_reads_the_load(void **state)
{
	struct fixture *f = *state;
	_cleanup_json_ json_t *j = ask_json(f, false, "GET", "/api/roost/load", NULL, "", 200);
	static const char *const fields[] = { "v",
		                              "ts",
		                              "epoch",
		                              "pending",
		                              "oldest_wait_s",
		                              "required_slots",
		                              "running",
		                              "nodes",
		                              "be.pending",
		                              "be.oldest_wait_s",
		                              "be.required_slots",
		                              "be.running",
		                              "be.nodes",
		                              "service_time_s.p50",
		                              "service_time_s.p95" };
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (!data_get(j, fields[i]))
			fail_msg("no %s", fields[i]);
	assert_int_equal(json_array_size(json_object_get(j, "nodes")), 0);
}

static void stream_loads_are_sent_on(void **state)
{
	struct fixture *f = *state;
	_cleanup_http_reply_ struct http_reply a = HTTP_REPLY_INIT, b = HTTP_REPLY_INIT;
	_cleanup_json_ json_t *refused =
		ask_json(f, false, "PUT", "/api/d/t/_stream_load", WRONG, "x", 401);
	assert_string_equal(data_get_str(refused, "Status"), "Fail");
	_cleanup_json_ json_t *anonymous =
		ask_json(f, false, "PUT", "/api/d/t/_stream_load", NULL, "x", 401);
	assert_non_null(strstr(data_get_str(anonymous, "Message"), "credentials"));
	_cleanup_json_ json_t *nobody =
		ask_json(f, false, "PUT", "/api/d/t/_stream_load", EMPTY, "x", 503);
	assert_string_equal(data_get_str(nobody, "Status"), "Fail");
	add_backend(f);
	assert_int_equal(ask(f, false, "PUT", "/api/d/t%20u/_stream_load", EMPTY, "x", &a), 307);
	assert_string_equal(a.location, "http://127.0.0.1:8040/api/d/t%20u/_stream_load");
	assert_int_equal(ask(f, false, "PUT", "/api/d/t/u/_stream_load", EMPTY, "x", &b), 404);
	http_reply_free(&b);
}

/* Database d, table t on the backend. */
static int64_t add_table(struct fixture *f)
{
	(void)submit(f, META_CREATE_DATABASE, json_pack("{s:s}", "name", "d"));
	(void)submit(f, META_CREATE_TABLE,
	             json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}], s:i, s:i, s:s, s:[[I]]}", "db", "d",
	                       "name", "t", "columns", "name", "k", "type", "BIGINT", "declared",
	                       "bigint", "buckets", 1, "replication_num", 1, "storage", "local",
	                       "replicas", (json_int_t)f->be));
	meta_rdlock(f->m);
	int64_t tablet = meta_table(f->m, "d", "t")->tablets[0].id;
	meta_rdunlock(f->m);
	return tablet;
}

#define BEGIN                                                                       \
	"{\"v\":1,\"db\":\"d\",\"table\":\"t\",\"label\":\"l1\",\"user\":\"root\"," \
	"\"password\":\"%s\",\"worker\":\"127.0.0.1:8060\",\"timeout_ms\":60000}"

static void a_worker_loads(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	int64_t tablet = add_table(f);
	autofree char *begin = xasprintf(BEGIN, "");
	_cleanup_json_ json_t *begun =
		ask_json(f, true, "POST", "/rpc/v1/load/begin", BEARER, begin, 200);
	assert_string_equal(data_get_str(begun, "output.kind"), "tablets");
	assert_string_equal(data_get_str(begun, "output.tablets.0.replicas.0"), "127.0.0.1:8060");
	assert_int_equal(strlen(data_get_str(begun, "query")), 32);
	_cleanup_json_ json_t *again =
		ask_json(f, true, "POST", "/rpc/v1/load/begin", BEARER, begin, 200);
	assert_string_equal(data_get_str(again, "outcome"), "label_exists");
	assert_string_equal(data_get_str(again, "existing"), "RUNNING");
	autofree char *commit = xasprintf(
		"{\"v\":1,\"txn\":%lld,\"rows\":1,\"bytes\":9,\"rowsets\":[{\"tablet\":%lld,"
		"\"id\":\"0123456789abcdef0123456789abcdef\",\"rows\":1,\"bytes\":9,"
		"\"crc\":\"00000001\"}]}",
		(long long)data_get_int(begun, "txn", 0), (long long)tablet);
	for (int i = 0; i < 2; i++) { /* the second time as after a lost answer */
		_cleanup_json_ json_t *done =
			ask_json(f, true, "POST", "/rpc/v1/load/commit", BEARER, commit, 200);
		assert_int_equal(data_get_int(done, "version", 0), 2);
	}
}

static void bad_calls_of_workers_are_refused(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	(void)add_table(f);
	autofree char *wrong = xasprintf(BEGIN, "wrong");
	const struct {
		const char *path, *auth, *body;
		int status;
		const char *code;
	} cases[] = {
		{ "/rpc/v1/load/begin", BEARER, wrong, 401, "auth" },
		{ "/rpc/v1/load/begin", BEARER, "{", 400, "internal" },
		{ "/rpc/v1/load/begin", BEARER, "[]", 400, "internal" },
		{ "/rpc/v1/load/begin", BEARER, "{\"v\":7}", 400, "internal" },
		{ "/rpc/v1/load/begin", BEARER,
		  "{\"v\":1,\"user\":\"root\",\"db\":\"d\",\"table\":\"x\"}", 404, "sql" },
		{ "/rpc/v1/load/begin", BEARER,
		  "{\"v\":1,\"user\":\"root\",\"db\":\"d\",\"table\":\"t\",\"label\":\"a b\"}", 400,
		  "sql" },
		{ "/rpc/v1/load/commit", BEARER, "{\"v\":1}", 400, "internal" },
		{ "/rpc/v1/load/commit", BEARER,
		  "{\"v\":1,\"txn\":77,\"rows\":0,\"bytes\":0,\"rowsets\":[]}", 409, "sql" },
		{ "/rpc/v1/node/draining", BEARER, "{\"v\":1,\"node_id\":5,\"role\":\"be\"}", 404,
		  "internal" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *j = ask_json(f, true, "POST", cases[i].path, cases[i].auth,
		                                    cases[i].body, cases[i].status);
		if (strcmp(data_get_str(j, "error.code"), cases[i].code) != 0)
			fail_msg("%s %s", cases[i].body, data_get_str(j, "error.code"));
	}
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	assert_int_equal(ask(f, true, "POST", "/rpc/v1/load/begin", EMPTY, "{}", &reply), 401);
}

static void a_worker_says_that_it_drains(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	autofree char *body = xasprintf(
		"{\"v\":1,\"node_id\":%lld,\"role\":\"be\",\"draining\":true}", (long long)f->be);
	_cleanup_json_ json_t *j =
		ask_json(f, true, "POST", "/rpc/v1/node/draining", BEARER, body, 200);
	assert_int_equal(data_get_int(j, "v", 0), 1);
}

static void a_drain_is_asked_for_by_those_with_the_token(void **state)
{
	struct fixture *f = *state;
	add_backend(f);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	autofree char *own = xasprintf("/api/roost/drain?node=%lld", (long long)f->be);
	assert_int_equal(ask(f, false, "POST", own, NULL, "", &reply), 401);
	static const struct {
		const char *path;
		int status;
	} cases[] = {
		{ "/api/roost/drain", 400 },
		{ "/api/roost/drain?node=", 400 },
		{ "/api/roost/drain?node=1", 404 },
		{ "/api/roost/drain?node=nobody", 404 },
		{ "/api/roost/drain?node=,", 404 },
		{ "/api/roost/drain?node=127.0.0.1&seconds=-1", 400 },
		{ "/api/roost/drain?node=127.0.0.1&seconds=86401", 400 },
		{ "/api/roost/drain?node=127.0.0.1&seconds=x", 400 },
		{ "/api/roost/drain?node=127.0.0.1", 200 },
		{ "/api/roost/drain?node=nobody,127.0.0.1&seconds=0", 200 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = ask_json(f, false, "POST", cases[i].path, BEARER, "", cases[i].status);
		json_decref(j);
	}
	_cleanup_json_ json_t *j = ask_json(f, false, "POST", own, BEARER, "", 200);
	assert_int_equal(data_get_int(j, "nodes.0.id", 0), f->be);
	assert_string_equal(data_get_str(j, "nodes.0.role"), "be");
}

static void the_page_keeps_statements_to_those_who_sign_in(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct admit_ticket *ticket = NULL;
	/* A prefix that ends in the middle of a character must not break the document. */
	char sql[300];
	memset(sql, 'x', sizeof(sql));
	memcpy(sql, "SELECT secret ", 14);
	memcpy(sql + 255, "\xc3\xa4", 2);
	sql[299] = '\0';
	struct admit_request rq = {
		.query_id = "00ff", .user = "root", .sql = sql, .by = deadline_in(30000)
	};
	assert_int_equal(admit_enter(f->a, &rq, &ticket, &err), 0);
	_cleanup_json_ json_t *open = ask_json(f, false, "GET", "/api/roost/ui", NULL, "", 200);
	assert_string_equal(data_get_str(open, "queries.0.id"), "00ff");
	assert_null(data_get(open, "queries.0.sql"));
	assert_null(data_get(open, "queries.0.user"));
	_cleanup_json_ json_t *signed_in =
		ask_json(f, false, "GET", "/api/roost/ui", EMPTY, "", 200);
	assert_non_null(strstr(data_get_str(signed_in, "queries.0.sql"), "secret"));
	_cleanup_http_reply_ struct http_reply a = HTTP_REPLY_INIT;
	assert_int_equal(ask(f, false, "GET", "/api/roost/ui?login=1", NULL, "", &a), 401);
	(void)submit(f, META_SET_PASSWORD, json_pack("{s:s, s:s}", "user", "root", "hash", HASH));
	static const struct {
		const char *auth;
		int status;
	} cases[] = { { NULL, 401 }, { EMPTY, 401 }, { WRONG, 401 }, { RIGHT, 200 } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
		assert_int_equal(ask(f, false, "GET", "/api/roost/ui", cases[i].auth, "", &reply),
		                 cases[i].status);
	}
	admit_leave(ticket);
}

static void the_page_is_served(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *path;
		int status;
		const char *type;
	} cases[] = {
		{ "/", 200, "text/html; charset=utf-8" },
		{ "/web/app.js", 200, "text/javascript; charset=utf-8" },
		{ "/web/style.css", 200, "text/css; charset=utf-8" },
		{ "/web/../front.c", 404, "application/json" },
		{ "/nothing", 404, "application/json" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
		assert_int_equal(ask(f, false, "GET", cases[i].path, NULL, "", &reply),
		                 cases[i].status);
		assert_string_equal(reply.content_type, cases[i].type);
		assert_true(reply.body.len > 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(health_says_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(metrics_have_starrocks_names, setup, teardown),
		cmocka_unit_test_setup_teardown(the_scaler_reads_the_load, setup, teardown),
		cmocka_unit_test_setup_teardown(stream_loads_are_sent_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_loads, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_calls_of_workers_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_says_that_it_drains, setup, teardown),
		cmocka_unit_test_setup_teardown(a_drain_is_asked_for_by_those_with_the_token, setup,
		                                teardown),
		cmocka_unit_test_setup_teardown(the_page_keeps_statements_to_those_who_sign_in,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(the_page_is_served, setup, teardown),
	};
	(void)setenv("ROOST_LOG", "error", 1);
	log_init(
		"test"); /* cluster and servers start threads (pthread_create): TSan runs this, too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

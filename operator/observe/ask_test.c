/* Asking FEs: a fake FE and a fake API server, both on threads of their own (pthread_create in fake.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "lib/mysql/fake.h"
#include "lib/net/http_server.h"
#include "operator/observe/fe.h"

/* ---- the two sides ---- */
struct stage {
	struct mysqlc_fake fe;
	struct http_server *api;
	struct kube_config *kube;
	atomic_int asks, generation, refuse, told;
	const char *_Atomic pods; /* the live pods */
	char sent[256];           /* statements that change something; read after the FE is asked */
	atomic_bool may_write;
	const char *const *frontends; /* name, IP, port, role, join, alive */
	size_t n_frontends;
};

static bool on_statement(void *arg, int fd, const char *sql)
{
	static const char *const backend[] = {
		"BackendId", "IP", "HeartbeatPort", "Alive", "SystemDecommissioned", "TabletNum"
	};
	static const char *const backends[] = { "1", "c-be-0.x", "9050", "true", "true", "12",
		                                "2", NULL,       NULL,   "true", NULL,   NULL };
	static const char *const node[] = { "IP", "HeartbeatPort", "Alive", "NumRunningQueries",
		                            "WarehouseName" };
	static const char *const nodes[] = { "10.0.0.7", "9051", "false", "3",
		                             "default_warehouse" };
	static const char *const frontend[] = {
		"Name", "IP", "EditLogPort", "Role", "Join", "Alive"
	};
	static const char *const statistic[] = { "DbId", "UnhealthyTabletNum", "CloningTabletNum" };
	static const char *const statistics[] = { "10001", "2", "9", "Total", "2", "1" };
	static const char *const balance[] = { "Item", "Number" };
	static const char *const balances[] = { "pending_tablets", "4", "history_tablets", "99" };
	static const char *const max[] = { "n" };
	static const char *const maxes[] = { "3" };
	struct stage *s = arg;
	if (strcmp(sql, "SHOW FRONTENDS") == 0) {
		mysqlc_fake_rows(fd, frontend, ARRAY_LEN(frontend), s->frontends, s->n_frontends);
	} else if (strcmp(sql, "SHOW PROC '/statistic'") == 0) {
		mysqlc_fake_rows(fd, statistic, ARRAY_LEN(statistic), statistics, 2);
	} else if (strcmp(sql, "SHOW PROC '/cluster_balance'") == 0) {
		mysqlc_fake_rows(fd, balance, ARRAY_LEN(balance), balances, 2);
	} else if (strstr(sql, "partitions_meta")) {
		mysqlc_fake_rows(fd, max, 1, maxes, 1);
	} else if (strcmp(sql, "SHOW BACKENDS") == 0) {
		atomic_fetch_add(&s->asks, 1);
		mysqlc_fake_rows(fd, backend, ARRAY_LEN(backend), backends, 2);
	} else if (strcmp(sql, "SHOW COMPUTE NODES") == 0) {
		mysqlc_fake_rows(fd, node, ARRAY_LEN(node), nodes, 1);
	} else if (atomic_load(&s->refuse)) {
		mysqlc_fake_err(fd, 1, 1064, "not now");
	} else {
		snprintf(s->sent, sizeof(s->sent), "%s", sql);
		mysqlc_fake_ok(fd, 1);
	}
	return true;
}

/* Of the warehouse's namespace: one pod, which is the node. */
static void on_far_pods(void *arg, struct http_req *req)
{
	(void)arg;
	http_answer_json(req, 200,
	                 "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"metadata\":{"
	                 "\"name\":\"p\"},\"status\":{\"podIP\":\"10.0.0.7\"}}]}");
}

static void on_cluster(void *arg, struct http_req *req)
{
	struct stage *s = arg;
	autofree char *text = xasprintf("{\"metadata\":{\"uid\":\"u\",\"generation\":%d}}",
	                                atomic_load(&s->generation));
	http_answer_json(req, 200, text);
}

static void on_pods(void *arg, struct http_req *req)
{
	struct stage *s = arg;
	autofree char *text = xasprintf("{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[%s]}",
	                                atomic_load(&s->pods));
	http_answer_json(req, 200, text);
}

/* The FE's root password is asked for by Secret. */
static void on_secret(void *arg, struct http_req *req)
{
	(void)arg;
	http_answer_json(req, 200, "{\"data\":{\"password\":\"Z2VoZWlt\"}}");
}

static bool may_write(void *arg)
{
	struct stage *s = arg;
	return atomic_load(&s->may_write);
}

static void changed(void *arg, const char *key)
{
	struct stage *s = arg;
	if (strcmp(key, "n/c") == 0)
		atomic_fetch_add(&s->told, 1);
}

static int stage_start(void **state)
{
	struct stage *s = xcalloc(1, sizeof(*s));
	static struct http_route routes[4];
	struct err err = ERR_INIT;
	routes[0] = (struct http_route){ .path = "/apis/starrocks.com/v1/*",
		                         .handler = on_cluster,
		                         .arg = s };
	routes[1] = (struct http_route){ .path = "/api/v1/namespaces/n/pods",
		                         .handler = on_pods,
		                         .arg = s };
	routes[2] = (struct http_route){ .path = "/api/v1/namespaces/n/secrets/*",
		                         .handler = on_secret,
		                         .arg = s };
	routes[3] = (struct http_route){ .path = "/api/v1/namespaces/far/pods",
		                         .handler = on_far_pods,
		                         .arg = s };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = routes,
		                             .n_routes = ARRAY_LEN(routes) };
	s->fe.on_statement = on_statement;
	s->fe.arg = s;
	atomic_store(&s->generation, 4);
	atomic_store(&s->pods, "");
	atomic_store(&s->may_write, true);
	if (mysqlc_fake_start(&s->fe) != 0 || http_server_start(&config, &s->api, &err) < 0)
		return -1;
	autofree char *file =
		xasprintf("current-context: a\ncontexts:\n- {name: a, context: {cluster: "
	                  "c}}\nclusters:\n- {name: c, cluster: {server: "
	                  "'http://127.0.0.1:%d'}}\n",
	                  http_server_port(s->api));
	*state = s;
	return kube_config_parse(str_of(file), NULL, &s->kube, &err);
}

static int stage_stop(void **state)
{
	struct stage *s = *state;
	http_server_stop(s->api, 0);
	mysqlc_fake_stop(&s->fe);
	kube_config_free(s->kube);
	free(s);
	return 0;
}

static json_t *target(int port)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:s, s:[{s:s, s:{s:{s:s, s:s}}}]}",
	                 "ns", "n", "name", "c", "uid", "u", "host", "127.0.0.1", "query_port",
	                 port, "http_port", 1, "engine", 0, "cn_selector", "x=y", "env", "name",
	                 "MYSQL_PWD", "valueFrom", "secretKeyRef", "name", "s", "key", "password");
}

static json_t *ask_as(struct stage *s, int port, const char *intents, json_t *want,
                      json_t *warehouse)
{
	struct observe_fe_config config = { .kube = s->kube, .may_write = may_write, .arg = s };
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(http_client_freep) struct http_client *http = NULL;
	_cleanup_json_ json_t *t = target(port), *list = NULL;
	struct err err = ERR_INIT;
	if (want)
		json_object_set_new(t, "want", want);
	if (warehouse)
		json_object_set_new(t, "warehouse", warehouse);
	assert_int_equal(data_json_parse(str_of(intents), &list, &err), 0);
	assert_int_equal(kube_client_new(s->kube, &kube, &err), 0);
	assert_int_equal(http_client_new(NULL, &http, &err), 0);
	return observe_ask(kube, http, t, list, &config, 30000);
}

static json_t *ask_wanting(struct stage *s, int port, const char *intents, json_t *want)
{
	return ask_as(s, port, intents, want, NULL);
}

static json_t *ask(struct stage *s, int port, const char *intents)
{
	return ask_wanting(s, port, intents, NULL);
}

#define DROP "[{\"do\":\"drop_node\",\"host\":\"10.0.0.7\",\"port\":9051,\"generation\":4}]"

/* ---- tests ---- */
static void lists_become_rows(void **state)
{
	struct stage *s = *state;
	_cleanup_json_ json_t *a = ask(s, s->fe.port, "[]");
	autofree char *text = data_json_text(a);
	assert_string_equal(
		text,
		"{\"backends\":[{\"alive\":true,\"decommissioned\":true,\"host\":\"c-be-0.x\","
		"\"port\":9050,\"tablets\":12}],\"frontends\":[],\"nodes\":[{\"alive\":false,"
		"\"host\":"
		"\"10.0.0.7\",\"port\":9051,\"running\":3,\"warehouse\":"
		"\"default_warehouse\"}],\"ok\":true}");
}

/* I3, I6 of the faults: a statement goes out only while what it rests on is still so. */
static void a_live_read_comes_before_a_statement(void **state)
{
	struct stage *s = *state;
	static const struct {
		const char *pods;
		int generation;
		bool leader, sent;
	} cases[] = {
		{ "", 4, true, true },
		{ "{\"metadata\":{\"name\":\"c-cn-a\"},\"status\":{\"podIP\":\"10.0.0.8\"}}", 4,
		  true, true },
		{ "{\"metadata\":{\"name\":\"c-cn-a\"},\"status\":{\"podIP\":\"10.0.0.7\"}}", 4,
		  true, false },
		/* On its node, address not told yet: it may be the one. */
		{ "{\"metadata\":{\"name\":\"c-cn-a\"},\"spec\":{\"nodeName\":\"x\"}}", 4, true,
		  false },
		{ "", 5, true, false },
		{ "", 4, false, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		atomic_store(&s->pods, cases[i].pods);
		atomic_store(&s->generation, cases[i].generation);
		atomic_store(&s->may_write, cases[i].leader);
		s->sent[0] = '\0';
		_cleanup_json_ json_t *a = ask(s, s->fe.port, DROP);
		assert_true(data_get_bool(a, "ok", false));
		assert_string_equal(
			s->sent,
			cases[i].sent ? "ALTER SYSTEM DROP COMPUTE NODE \"10.0.0.7:9051\"" : "");
	}
}

/* Whose pods are looked at: the warehouse's own, wherever it is. */
static void the_live_read_is_where_the_warehouse_is(void **state)
{
	struct stage *s = *state;
	static const char *const names[] = { "n", "far" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		s->sent[0] = '\0';
		json_t *warehouse =
			json_pack("{s:s, s:s, s:s}", "ns", names[i], "name", "w", "uid", "w");
		_cleanup_json_ json_t *a = ask_as(s, s->fe.port, DROP, NULL, warehouse);
		assert_true(data_get_bool(a, "ok", false));
		assert_int_equal(s->sent[0] == '\0', i == 1);
	}
}

/* Whoever the step took for expendable: the FE's own list of the moment decides. */
static void the_database_has_the_last_word(void **state)
{
	struct stage *s = *state;
#define FE(i, role, alive) "n", "c-fe-" i ".x", "9010", role, "true", alive
	static const struct {
		const char *frontends[18], *intent;
		bool sent;
	} cases[] = {
		{ { FE("0", "LEADER", "true"), FE("1", "FOLLOWER", "true"),
		    FE("2", "FOLLOWER", "true") },
		  "\"do\":\"drop_follower\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  true },
		/* It leads by now. */
		{ { FE("0", "FOLLOWER", "true"), FE("1", "FOLLOWER", "true"),
		    FE("2", "LEADER", "true") },
		  "\"do\":\"drop_follower\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  false },
		/* One of the two that would stay is dead: no majority. */
		{ { FE("0", "LEADER", "true"), FE("1", "FOLLOWER", "false"),
		    FE("2", "FOLLOWER", "true") },
		  "\"do\":\"drop_follower\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  false },
		/* The backend c-be-0.x holds 12 tablets. */
		{ { FE("0", "LEADER", "true") },
		  "\"do\":\"drop_backend\",\"host\":\"c-be-0.x\",\"port\":9050",
		  false },
		{ { FE("0", "LEADER", "true") },
		  "\"do\":\"drop_backend\",\"host\":\"c-be-0.x\",\"port\":9050,"
		  "\"below\":true",
		  true },
		/* Only one without a vote is dropped as one, and nobody is made known twice. */
		{ { FE("0", "LEADER", "true"), FE("1", "FOLLOWER", "true"),
		    FE("2", "OBSERVER", "true") },
		  "\"do\":\"drop_observer\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  true },
		{ { FE("0", "LEADER", "true"), FE("1", "FOLLOWER", "true"),
		    FE("2", "FOLLOWER", "true") },
		  "\"do\":\"drop_observer\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  false },
		{ { FE("0", "LEADER", "true"), FE("1", "FOLLOWER", "true"),
		    FE("2", "FOLLOWER", "true") },
		  "\"do\":\"add_observer\",\"host\":\"c-fe-2.x\",\"port\":9010",
		  false },
		{ { FE("0", "LEADER", "true") },
		  "\"do\":\"add_observer\",\"host\":\"c-fe-o.x\",\"port\":9010",
		  true },
		{ { FE("0", "FOLLOWER", "true") },
		  "\"do\":\"add_observer\",\"host\":\"c-fe-o.x\",\"port\":9010",
		  false },
		/* No such compute node (any more). */
		{ { FE("0", "LEADER", "true") },
		  "\"do\":\"drop_node\",\"host\":\"10.0.0.99\",\"port\":9051",
		  false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		s->sent[0] = '\0';
		s->frontends = cases[i].frontends;
		s->n_frontends = cases[i].frontends[6] ? 3 : 1;
		autofree char *intents = xasprintf("[{%s,\"generation\":4}]", cases[i].intent);
		_cleanup_json_ json_t *a = ask(s, s->fe.port, intents);
		assert_true(data_get_bool(a, "ok", false));
		if ((s->sent[0] != '\0') != cases[i].sent)
			fail_msg("case %zu: \"%s\"", i, s->sent);
	}
}

static void what_costs_is_asked_only_when_wanted(void **state)
{
	struct stage *s = *state;
	_cleanup_json_ json_t *plain = ask(s, s->fe.port, "[]");
	assert_null(json_object_get(plain, "unhealthy"));
	assert_null(json_object_get(plain, "replication"));
	json_t *want = json_pack("{s:b, s:b}", "health", 1, "replication", 1);
	_cleanup_json_ json_t *a = ask_wanting(s, s->fe.port, "[]", want);
	assert_int_equal(data_get_int(a, "unhealthy", -1), 7);
	assert_int_equal(data_get_int(a, "replication", -1), 3);
}

static void a_pod_that_is_over_claims_nothing(void **state)
{
	static const struct {
		const char *pod;
		bool claims;
	} cases[] = {
		{ "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.7\"}}", true },
		{ "{\"status\":{\"phase\":\"Failed\",\"podIP\":\"10.0.0.7\"}}", false },
		{ "{\"metadata\":{\"deletionTimestamp\":\"2020-01-01T00:00:00Z\"},"
		  "\"status\":{\"podIP\":\"10.0.0.7\"}}",
		  false },
		{ "{\"metadata\":{\"deletionTimestamp\":\"2100-01-01T00:00:00Z\"},"
		  "\"status\":{\"podIP\":\"10.0.0.7\"}}",
		  true },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *pod = NULL;
		assert_int_equal(data_json_parse(str_of(cases[i].pod), &pod, NULL), 0);
		assert_int_equal(observe_pod_claims(pod, "10.0.0.7", clock_real_ms()),
		                 cases[i].claims);
	}
}

static void a_refused_statement_is_told(void **state)
{
	struct stage *s = *state;
	atomic_store(&s->refuse, 1);
	_cleanup_json_ json_t *a = ask(s, s->fe.port, DROP);
	assert_true(data_get_bool(a, "ok", false));
	assert_non_null(strstr(data_get_str(a, "refused"), "not now"));
}

static void nobody_answers(void **state)
{
	struct stage *s = *state;
	_cleanup_json_ json_t *a = ask(s, 1, "[]");
	assert_false(data_get_bool(a, "ok", true));
	assert_non_null(data_get_str(a, "error"));
	assert_null(strstr(data_get_str(a, "error"), "geheim"));
}

/* Returns how many were seen to be as old as their question: a hole takes the whole deadline. */
static int wait_for_failures(struct observe_fe *fe, int n)
{
	struct deadline by = deadline_in(60000);
	int old = 0;
	for (int i = 0; i < n && !deadline_passed(by);) {
		autofree char *key = xasprintf("n/hole%d", i);
		_cleanup_json_ json_t *a = observe_fe_answer(fe, key);
		if (!a) {
			clock_sleep_ms(20);
			continue;
		}
		i++;
		old += data_get_int(a, "since_ms", 0) - data_get_int(a, "at_ms", 0) > 1000;
	}
	return old;
}

/* P19: FEs that swallow connections do not delay one that answers. */
static void black_holes_delay_nobody(void **state)
{
	struct stage *s = *state;
	int hole = 0;
	_cleanup_(fd_closep) int fd = mysqlc_fake_listen(&hole);
	struct observe_fe_config config = { .kube = s->kube,
		                            .threads = 2,
		                            .slow_threads = 1,
		                            .changed = changed,
		                            .may_write = may_write,
		                            .arg = s };
	struct observe_fe *fe = NULL;
	_cleanup_json_ json_t *good = target(s->fe.port), *bad = target(hole), *none = json_array();
	struct err err = ERR_INIT;
	assert_int_equal(observe_fe_new(&config, &fe, &err), 0);
	/* Two threads, both of which a hole may hold once, for one deadline. */
	for (int i = 0; i < 8; i++) {
		autofree char *key = xasprintf("n/hole%d", i);
		observe_fe_set(fe, key, bad, none, 0);
	}
	assert_true(wait_for_failures(fe, 8) > 0);
	/* By now every hole has failed once, and the threads for those who answer are free. */
	int64_t began = clock_mono_ms();
	observe_fe_set(fe, "n/c", good, none, 1);
	while (atomic_load(&s->told) < 1 && clock_mono_ms() - began < 60000)
		clock_sleep_ms(5);
	for (int i = 2; i <= 5; i++) {
		observe_fe_set(fe, "n/c", good, none, 1);
		while (atomic_load(&s->told) < i && clock_mono_ms() - began < 60000)
			clock_sleep_ms(5);
	}
	assert_int_equal(atomic_load(&s->told), 5);
	assert_true(clock_mono_ms() - began < 15000);
	_cleanup_json_ json_t *a = observe_fe_answer(fe, "n/c");
	assert_true(data_get_bool(a, "ok", false));
	_cleanup_json_ json_t *b = observe_fe_answer(fe, "n/hole3");
	assert_false(data_get_bool(b, "ok", true));
	observe_fe_forget(fe, "n/c");
	assert_null(observe_fe_answer(fe, "n/c"));
	observe_fe_free(fe);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, stage_start, stage_stop)
	const struct CMUnitTest tests[] = {
		TEST(lists_become_rows),
		TEST(a_live_read_comes_before_a_statement),
		TEST(the_live_read_is_where_the_warehouse_is),
		TEST(a_refused_statement_is_told),
		TEST(nobody_answers),
		TEST(black_holes_delay_nobody),
		TEST(the_database_has_the_last_word),
		TEST(what_costs_is_asked_only_when_wanted),
		TEST(a_pod_that_is_over_claims_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

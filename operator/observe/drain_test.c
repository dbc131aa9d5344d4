/* Telling FEs that compute nodes are to leave: FEs and the API server on threads of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "lib/net/http_server.h"
#include "operator/observe/ask_priv.h"

struct stage {
	struct http_server *server; /* both: the FE's and the API server's paths */
	struct kube_config *kube;
	char node[128], seconds[32], authorization[64];
	int asked, status;
	bool may_write;
};

static void on_drain(void *arg, struct http_req *r)
{
	struct stage *s = arg;
	const char *node = http_req_query(r, "node"), *seconds = http_req_query(r, "seconds");
	const char *shown = http_req_header(r, "Authorization");
	s->asked++;
	(void)snprintf(s->node, sizeof(s->node), "%s", node ? node : "");
	(void)snprintf(s->seconds, sizeof(s->seconds), "%s", seconds ? seconds : "");
	(void)snprintf(s->authorization, sizeof(s->authorization), "%s", shown ? shown : "");
	http_answer_json(r, s->status, "{}");
}

static void on_secret(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer_json(r, 200, "{\"data\":{\"token\":\"Z2VoZWltCg==\"}}");
}

static bool may_write(void *arg)
{
	return ((struct stage *)arg)->may_write;
}

static int start(void **state)
{
	static struct http_route routes[2];
	struct stage *s = xcalloc(1, sizeof(*s));
	struct err err = ERR_INIT;
	routes[0] = (struct http_route){
		.method = "POST", .path = "/api/roost/drain", .handler = on_drain, .arg = s
	};
	routes[1] = (struct http_route){ .path = "/api/v1/namespaces/n/secrets/c-roost-token",
		                         .handler = on_secret };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = routes,
		                             .n_routes = ARRAY_LEN(routes) };
	s->may_write = true;
	s->status = 200;
	if (http_server_start(&config, &s->server, &err) < 0)
		return -1;
	autofree char *file =
		xasprintf("current-context: a\ncontexts:\n- {name: a, context: {cluster: "
	                  "c}}\nclusters:\n- {name: c, cluster: {server: "
	                  "'http://127.0.0.1:%d'}}\n",
	                  http_server_port(s->server));
	*state = s;
	return kube_config_parse(str_of(file), NULL, &s->kube, &err);
}

static int stop(void **state)
{
	struct stage *s = *state;
	http_server_stop(s->server, 0);
	kube_config_free(s->kube);
	free(s);
	return 0;
}

static void tell(struct stage *s, const char *intents)
{
	struct observe_fe_config config = { .kube = s->kube, .may_write = may_write, .arg = s };
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(http_client_freep) struct http_client *http = NULL;
	_cleanup_json_ json_t *list = NULL, *answer = json_object();
	_cleanup_json_ json_t *target = json_pack("{s:s, s:s, s:i}", "ns", "n", "name", "c",
	                                          "http_port", http_server_port(s->server));
	struct err err = ERR_INIT;
	s->asked = 0;
	assert_int_equal(data_json_parse(str_of(intents), &list, &err), 0);
	assert_int_equal(kube_client_new(s->kube, &kube, &err), 0);
	assert_int_equal(http_client_new(NULL, &http, &err), 0);
	struct ask a = { kube, target, &config, deadline_in(30000), answer };
	observe_drain(&a, http, list);
}

#define HERE "\"127.0.0.1\""

static void every_fe_is_told_with_the_token(void **state)
{
	struct stage *s = *state;
	tell(s, "[{\"do\":\"drop_node\",\"host\":\"10.0.2.1\",\"port\":1},"
	        "{\"do\":\"drain\",\"nodes\":[\"10.0.2.1\",\"fd00::1\"],\"seconds\":60,"
	        "\"fes\":[" HERE ",\"127.0.0.9\"," HERE "]}]");
	/* One that does not answer keeps none of the others from being told. */
	assert_int_equal(s->asked, 2);
	assert_string_equal(s->node, "10.0.2.1,fd00::1");
	assert_string_equal(s->seconds, "60");
	assert_string_equal(s->authorization, "Bearer geheim");
	s->status = 404;
	tell(s, "[{\"do\":\"drain\",\"nodes\":[\"10.0.2.1\"],\"seconds\":0,\"fes\":[" HERE "]}]");
	assert_int_equal(s->asked, 1);
	assert_string_equal(s->seconds, "0");
}

static void only_the_leader_tells(void **state)
{
	struct stage *s = *state;
	s->may_write = false;
	tell(s, "[{\"do\":\"drain\",\"nodes\":[\"10.0.2.1\"],\"seconds\":60,\"fes\":[" HERE "]}]");
	assert_int_equal(s->asked, 0);
}

static void starrocks_tells_what_its_cache_holds(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t bytes;
	} cases[] = {
		{ "Status: Normal, DiskUsage: 0.00GB/2.00GB, MemUsage: 0.00GB/30.46GB", 0 },
		{ "Status: Normal, DiskUsage: 1.50GB/2.00GB, MemUsage: 0.00GB/30.46GB",
		  INT64_C(1610612736) },
		{ "Status: Normal, DiskUsage: 12MB/2.00GB", INT64_C(12582912) },
		{ "Status: Normal, DiskUsage: 700B/2.00GB", 700 },
		{ "Status: Normal, DiskUsage: 2.00TB/4.00TB", INT64_C(2199023255552) },
		{ "Status: Disabled", 0 },
		{ "DiskUsage: ", 0 },
		{ "DiskUsage: -5GB", 0 },
		{ "DiskUsage: nan", 0 },
		{ "DiskUsage: 1e300PB", INT64_C(1000000000000000) },
		{ "", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (observe_cached_bytes(cases[i].text) != cases[i].bytes)
			fail_msg("%s: %lld", cases[i].text,
			         (long long)observe_cached_bytes(cases[i].text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_fe_is_told_with_the_token, start, stop),
		cmocka_unit_test_setup_teardown(only_the_leader_tells, start, stop),
		cmocka_unit_test(starrocks_tells_what_its_cache_holds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

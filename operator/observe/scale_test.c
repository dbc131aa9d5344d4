/* Who is asked for, and who rests. Threads are started by what is tested: pthread_create is in there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "lib/net/http_server.h"
#include "operator/observe/scale.h"

#define SCALING "\"roostAutoscaling\":{\"maxReplicas\":2}"
#define CR(kind, ns, name, marks, spec)                                                  \
	"{\"kind\":\"" kind "\",\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name \
	"\",\"resourceVersion\":\"7\",\"annotations\":{" marks "}},\"spec\":{" spec "}}"
#define CLUSTER(name, marks, spec) \
	CR("StarRocksCluster", "n", name, marks, spec "\"starRocksCnSpec\":{" SCALING "}")
#define WAREHOUSE(name, cluster, marks)            \
	CR("StarRocksWarehouse", "m", name, marks, \
	   "\"starRocksCluster\":\"" cluster       \
	   "\",\"starRocksClusterNamespace\":\"n\",\"template\":{" SCALING "}")

static atomic_int of_the_awake, of_others;

static void on_pool(void *arg, struct http_req *r)
{
	(void)arg;
	struct str path = http_req_path(r);
	bool known = str_eqs(path, "/v1/namespaces/n/clusters/c/pools/cn") ||
	             str_eqs(path, "/v1/namespaces/m/clusters/w-warehouse/pools/cn");
	atomic_fetch_add(known ? &of_the_awake : &of_others, 1);
	http_answer_json(r, 503, "{}");
}

static void changed(void *arg, const char *key)
{
	(void)arg;
	(void)key;
}

static bool yes(void *arg)
{
	(void)arg;
	return true;
}

static bool serves_all(void *arg, const char *ns)
{
	(void)arg;
	(void)ns;
	return true;
}

static void who_rests_is_not_asked_for(void **state)
{
	(void)state;
	static const char *const crs[] = {
		CLUSTER("c", "", ""),
		WAREHOUSE("w", "c", ""),
		WAREHOUSE("own", "c", "\"roost.io/paused\":\"true\""),
		CLUSTER("paused", "\"roost.io/paused\":\"true\"", ""),
		WAREHOUSE("of-paused", "paused", ""),
		CLUSTER("sleeps", "", "\"hibernate\":true,"),
		WAREHOUSE("of-sleeper", "sleeps", ""),
		CLUSTER("given-back", "\"roost.io/released\":\"true\"", ""),
		WAREHOUSE("of-given-back", "given-back", ""),
	};
	struct http_route routes[] = { { .path = "/v1/*", .handler = on_pool } };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = routes,
		                             .n_routes = 1 };
	struct http_server *server = NULL;
	_cleanup_(kube_config_freep) struct kube_config *k = NULL;
	_cleanup_(observe_store_freep) struct observe_store *store =
		observe_store_new(changed, NULL);
	struct observe_scale *scale = NULL;
	struct err err = ERR_INIT;
	for (size_t i = 0; i < ARRAY_LEN(crs); i++) {
		_cleanup_json_ json_t *cr = NULL;
		assert_int_equal(data_json_parse(str_of(crs[i]), &cr, NULL), 0);
		observe_store_event(store, 0, KUBE_PUT, cr);
	}
	assert_int_equal(http_server_start(&config, &server, &err), 0);
	autofree char *url = xasprintf("http://127.0.0.1:%d", http_server_port(server));
	autofree char *file =
		xasprintf("current-context: a\ncontexts:\n- {name: a, context: {cluster: "
	                  "c}}\nclusters:\n- {name: c, cluster: {server: '%s'}}\n",
	                  url);
	assert_int_equal(kube_config_parse(str_of(file), NULL, &k, &err), 0);
	struct observe_scale_config sc = {
		.kube = k, .url = url, .store = store, .may_write = yes, .serves = serves_all
	};
	assert_int_equal(observe_scale_start(&sc, &scale, &err), 0);
	struct deadline by = deadline_in(30000);
	while (atomic_load(&of_the_awake) < 4 && !deadline_passed(by))
		clock_sleep_ms(10);
	observe_scale_free(scale);
	assert_in_range(atomic_load(&of_the_awake), 4, 1000); /* two rounds */
	assert_int_equal(atomic_load(&of_others), 0);
	http_server_stop(server, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_rests_is_not_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Finding pools and tokens, against a stub of the Kubernetes API. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/net/http_server.h"
#include "scaler/source/discover.h"

/* ---- the API server --------------------------------------------------------------------------- */

#define CLUSTER(name, max)                                                                    \
	"{\"apiVersion\":\"starrocks.com/"                                                    \
	"v1\",\"kind\":\"StarRocksCluster\",\"metadata\":{\"namespace\":"                     \
	"\"ns\",\"name\":\"" name "\",\"resourceVersion\":\"7\",\"annotations\":{\"roost.io/" \
	"engine\":\"true\"}},\"spec\":{\"starRocksCnSpec\":{"                                 \
	"\"roostAutoscaling\":{\"maxReplicas\":" max "}}}}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

/* StarRocks' own images: root's password is in the Secret that the CR names. */
#define STARROCKS(name)                                                                     \
	"{\"apiVersion\":\"starrocks.com/v1\",\"kind\":\"StarRocksCluster\",\"metadata\":{" \
	"\"namespace\":\"ns\",\"name\":\"" name "\",\"resourceVersion\":\"7\"},\"spec\":{"  \
	"\"rootPasswordSecret\":{\"name\":\"root-of-sr\"},\"starRocksBeSpec\":{"            \
	"\"roostAutoscaling\":{\"maxReplicas\":6}},\"starRocksCnSpec\":{"                   \
	"\"roostAutoscaling\":{\"maxReplicas\":7}}}}"

/* Asked as the operator's own user, over TLS. */
#define CAREFUL                                                                                \
	"{\"apiVersion\":\"starrocks.com/v1\",\"kind\":\"StarRocksCluster\",\"metadata\":{"    \
	"\"namespace\":\"ns\",\"name\":\"tl\",\"resourceVersion\":\"7\"},\"spec\":{"           \
	"\"sqlUser\":{\"enabled\":true},\"rootPasswordSecret\":{\"name\":\"never-read\"},"     \
	"\"tls\":{\"secretName\":\"fe-tls\",\"caSecretName\":\"fe-ca\"},\"starRocksCnSpec\":{" \
	"\"roostAutoscaling\":{\"maxReplicas\":8}}}}"

/* A warehouse of the cluster "sr". */
#define HOUSE                                                                                 \
	"{\"apiVersion\":\"starrocks.com/v1\",\"kind\":\"StarRocksWarehouse\",\"metadata\":{" \
	"\"namespace\":\"ns\",\"name\":\"w\",\"resourceVersion\":\"7\"},\"spec\":{"           \
	"\"starRocksCluster\":\"sr\",\"template\":{\"roostAutoscaling\":{\"maxReplicas\":9}}}}"

static atomic_int users_asked, cas_asked, roots_asked;
static atomic_int watches, lists, secret_there, secrets_asked, passwords_asked;

/* The first watch brings changes, the second a 410, the later ones nothing. */
static void clusters(void *arg, struct http_req *r)
{
	(void)arg;
	if (!http_req_query(r, "watch")) {
		int n = atomic_fetch_add(&lists, 1);
		http_answer_json(
			r, 200,
			n ? "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" CLUSTER(
				    "c", "5") "," STARROCKS("sr") "," CAREFUL "]}"
			  : "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" CLUSTER(
				    "a", "3") "," CLUSTER("b", "3") "," CLUSTER("bad", "-1") "]}");
		return;
	}
	switch (atomic_fetch_add(&watches, 1)) {
	case 0:
		http_answer_json(r, 200,
		                 EVENT("DELETED", CLUSTER("a", "3"))
		                         EVENT("MODIFIED", CLUSTER("b", "4")));
		break;
	case 1:
		http_answer_json(
			r, 200,
			EVENT("ERROR", "{\"kind\":\"Status\",\"code\":410,\"message\":\"old\"}"));
		break;
	default:
		http_answer_json(r, 200, "");
	}
}

static void warehouses(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer_json(r, 200,
	                 http_req_query(r, "watch")
	                         ? ""
	                         : "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" HOUSE
	                           "]}");
}

static void secret(void *arg, struct http_req *r)
{
	(void)arg;
	atomic_fetch_add(&secrets_asked, 1);
	if (atomic_load(&secret_there))
		http_answer_json(r, 200, "{\"data\":{\"token\":\"Z2VoZWltCg==\"}}");
	else
		http_answer_json(r, 404,
		                 "{\"kind\":\"Status\",\"reason\":\"NotFound\",\"code\":404}");
}

static void root_password(void *arg, struct http_req *r)
{
	(void)arg;
	atomic_fetch_add(&passwords_asked, 1);
	http_answer_json(r, 200, "{\"data\":{\"password\":\"Z2VoZWlt\"}}");
}

static void counted(void *arg, struct http_req *r)
{
	atomic_fetch_add((atomic_int *)arg, 1);
	http_answer_json(r, 200, "{\"data\":{\"password\":\"Z2VoZWlt\",\"ca.crt\":\"\"}}");
}

/* ---- the source's owner ----------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct map *seen; /* key to maximum + 1 */
static atomic_int complete;

static void on_target(void *arg, const char *key, const struct source_target *t)
{
	(void)arg;
	(void)pthread_mutex_lock(&lock);
	map_put(seen, key, (void *)(intptr_t)(t->limits.max + 1));
	(void)pthread_mutex_unlock(&lock);
}

static void on_gone(void *arg, const char *key)
{
	(void)arg;
	(void)pthread_mutex_lock(&lock);
	(void)map_del(seen, key);
	(void)pthread_mutex_unlock(&lock);
}

static void on_snapshot(void *arg, const char *key, const struct source_snapshot *s)
{
	(void)arg;
	(void)key;
	(void)s;
}

static void on_failure(void *arg, const char *key, const struct err *err)
{
	(void)arg;
	(void)key;
	(void)err;
}

static void on_complete(void *arg)
{
	(void)arg;
	atomic_fetch_add(&complete, 1);
}

static int64_t max_of(const char *key)
{
	(void)pthread_mutex_lock(&lock);
	int64_t max = (intptr_t)map_get(seen, key) - 1;
	(void)pthread_mutex_unlock(&lock);
	return max;
}

static void wait_max(const char *key, int64_t max)
{
	struct deadline by = deadline_in(30000);
	while (max_of(key) != max && !deadline_passed(by))
		clock_sleep_ms(10);
	if (max_of(key) != max)
		fail_msg("%s: %lld, not %lld", key, (long long)max_of(key), (long long)max);
}

static void count(void *arg, const char *key, const struct source_target *t,
                  enum source_secret what, const char *secret, const char *secret_key)
{
	(void)key;
	(void)t;
	(void)secret_key;
	(void)secret;
	(*(int *)arg) += what == SOURCE_TOKEN;
}

static int tokens_missing(struct source *s)
{
	int n = 0;
	source_secrets_wanted(s, count, &n);
	return n;
}

static void secrets_are_read_by_name(struct source *source)
{
	struct deadline by = deadline_in(30000);
	while (!atomic_load(&secrets_asked) && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_int_equal(tokens_missing(source), 1); /* the operator has not made it yet */
	atomic_store(&secret_there, 1);
	while (tokens_missing(source) && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_int_equal(tokens_missing(source), 0);
	while (!atomic_load(&passwords_asked) && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_int_equal(atomic_load(&passwords_asked), 1);
	/* An empty CA is none: it is looked for again, and the FE is not asked. */
	while (atomic_load(&cas_asked) < 2 && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_in_range(atomic_load(&cas_asked), 2, 1000);
	assert_int_equal(atomic_load(&users_asked), 1);
	assert_int_equal(atomic_load(&roots_asked), 0);
}

static char *kubeconfig_of(int port)
{
	return xasprintf(
		"{\"current-context\":\"x\",\"contexts\":[{\"name\":\"x\",\"context\":{\"cluster\":"
		"\"c\","
		"\"user\":\"u\"}}],\"clusters\":[{\"name\":\"c\",\"cluster\":{\"server\":"
		"\"http://"
		"127.0.0.1:%d\"}}],\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\"}}]}",
		port);
}

static void pools_follow_the_clusters(void **state)
{
	(void)state;
	static const struct http_route routes[] = {
		{ .method = "GET",
		  .path = "/apis/starrocks.com/v1/namespaces/ns/starrocksclusters",
		  .handler = clusters },
		{ .method = "GET",
		  .path = "/apis/starrocks.com/v1/namespaces/ns/starrockswarehouses",
		  .handler = warehouses },
		{ .method = "GET",
		  .path = "/api/v1/namespaces/ns/secrets/root-of-sr",
		  .handler = root_password },
		{ .method = "GET",
		  .path = "/api/v1/namespaces/ns/secrets/tl-roost-sql",
		  .handler = counted,
		  .arg = &users_asked },
		{ .method = "GET",
		  .path = "/api/v1/namespaces/ns/secrets/fe-ca",
		  .handler = counted,
		  .arg = &cas_asked },
		{ .method = "GET",
		  .path = "/api/v1/namespaces/ns/secrets/never-read",
		  .handler = counted,
		  .arg = &roots_asked },
		{ .method = "GET", .path = "/api/v1/namespaces/ns/secrets/*", .handler = secret },
	};
	struct http_server_config sc = { .listen = "127.0.0.1:0",
		                         .routes = routes,
		                         .n_routes = ARRAY_LEN(routes) };
	struct http_server *api = NULL;
	struct kube_config *kube = NULL;
	struct source *source = NULL;
	struct source_discover *d = NULL;
	struct err err = ERR_INIT;
	seen = map_new(NULL);
	assert_int_equal(http_server_start(&sc, &api, NULL), 0);
	autofree char *text = kubeconfig_of(http_server_port(api));
	if (kube_config_parse(str_of(text), ".", &kube, &err) < 0)
		fail_msg("%s", err.msg);
	struct source_events events = { on_target, on_gone, on_snapshot, on_failure, NULL };
	assert_int_equal(source_start(&events, NULL, &source, NULL), 0);
	struct source_discover_config dc = {
		.kube = kube, .namespaces = " ns ,", .source = source, .on_complete = on_complete
	};
	assert_int_equal(source_discover_start(&dc, &d, NULL), 0);

	wait_max("ns/b/cn", 4);  /* changed by the watch */
	wait_max("ns/a/cn", -1); /* deleted by it */
	wait_max("ns/c/cn", 5);  /* from the list after the 410, in which b is missing */
	wait_max("ns/b/cn", -1);
	assert_int_equal(max_of("ns/bad/cn"), -1);
	wait_max("ns/sr/cn", 7); /* one FE, two pools, one password */
	wait_max("ns/sr/be", 6);
	wait_max("ns/w-warehouse/cn", 9); /* and of its warehouse */
	assert_int_equal(atomic_load(&complete), 1);

	secrets_are_read_by_name(source);

	source_discover_stop(d);
	source_stop(source);
	kube_config_free(kube);
	http_server_stop(api, 0);
	map_free(seen);
}

/* Where the kind is not installed, the clusters are all there is, and all of it is known. */
static void without_warehouses_there_are_clusters(void **state)
{
	(void)state;
	static const struct http_route routes[] = {
		{ .method = "GET",
		  .path = "/apis/starrocks.com/v1/namespaces/ns/starrocksclusters",
		  .handler = clusters },
		{ .method = "GET", .path = "/api/v1/namespaces/ns/secrets/*", .handler = secret },
	};
	struct http_server_config sc = { .listen = "127.0.0.1:0",
		                         .routes = routes,
		                         .n_routes = ARRAY_LEN(routes) };
	struct http_server *api = NULL;
	_cleanup_(kube_config_freep) struct kube_config *kube = NULL;
	struct source *source = NULL;
	struct source_discover *d = NULL;
	struct err err = ERR_INIT;
	seen = map_new(NULL);
	atomic_store(&complete, 0);
	assert_int_equal(http_server_start(&sc, &api, NULL), 0);
	autofree char *text = kubeconfig_of(http_server_port(api));
	if (kube_config_parse(str_of(text), ".", &kube, &err) < 0)
		fail_msg("%s", err.msg);
	struct source_events events = { on_target, on_gone, on_snapshot, on_failure, NULL };
	assert_int_equal(source_start(&events, NULL, &source, NULL), 0);
	struct source_discover_config dc = {
		.kube = kube, .namespaces = "ns", .source = source, .on_complete = on_complete
	};
	assert_int_equal(source_discover_start(&dc, &d, NULL), 0);
	wait_max("ns/c/cn", 5);
	struct deadline by = deadline_in(30000);
	while (!atomic_load(&complete) && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_int_equal(atomic_load(&complete), 1);
	assert_int_equal(max_of("ns/w-warehouse/cn"), -1);
	source_discover_stop(d);
	source_stop(source);
	http_server_stop(api, 0);
	map_free(seen);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	/* Threads are started by what is tested: pthread_create is in there. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_follow_the_clusters),
		cmocka_unit_test(without_warehouses_there_are_clusters),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

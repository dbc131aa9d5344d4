#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/net/http_server.h"
#include "operator/observe/conf.h"
#include "operator/observe/fe.h"
#include "operator/observe/metrics.h"
#include "operator/observe/queue.h"
#include "operator/observe/scale.h"
#include "operator/observe/store.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	assert_int_equal(data_json_parse(str_of(text), &j, NULL), 0);
	return j;
}

/* ---- store ---- */
struct told {
	int n;
	char last[64];
};

static void tell(void *arg, const char *key)
{
	struct told *t = arg;
	t->n++;
	snprintf(t->last, sizeof(t->last), "%s", key);
}

static void event(struct observe_store *s, unsigned watch, enum kube_change change,
                  const char *kind, const char *name, const char *owner, const char *component,
                  int version)
{
	autofree char *rv = xasprintf("%d", version);
	_cleanup_json_ json_t *o =
		json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s*, s:s*}, s:[]}}", "kind", kind,
	                  "metadata", "namespace", "n", "name", name, "resourceVersion", rv,
	                  "labels", "app.starrocks.ownerreference/name", owner,
	                  "app.kubernetes.io/component", component, "managedFields");
	observe_store_event(s, watch, change, o);
}

static size_t objects(struct observe_store *s)
{
	_cleanup_json_ json_t *w = observe_store_world(s, "n/c");
	return w ? json_object_size(json_object_get(w, "objects")) : 0;
}

static void store_gathers_a_cluster(void **state)
{
	(void)state;
	struct told t = { 0 };
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(tell, &t);
	event(s, 1, KUBE_PUT, "Service", "c-fe-service", "c", "fe", 5);
	assert_null(observe_store_world(s, "n/c")); /* no CR yet */
	event(s, 0, KUBE_PUT, "StarRocksCluster", "c", NULL, NULL, 6);
	event(s, 2, KUBE_PUT, "Pod", "c-fe-0", "c-fe", "fe", 7);
	event(s, 2, KUBE_PUT, "Pod", "odd", "c-fe", "be", 7); /* labels that do not fit together */
	event(s, 2, KUBE_PUT, "Pod", "foreign", NULL, NULL, 7);
	assert_int_equal(t.n, 3);
	assert_string_equal(t.last, "n/c");
	_cleanup_json_ json_t *w = observe_store_world(s, "n/c");
	assert_int_equal(json_array_size(json_object_get(w, "pods")), 1);
	assert_non_null(json_object_get(json_object_get(w, "objects"), "Service/c-fe-service"));
	assert_null(data_get(w, "cr.metadata.managedFields"));
	/* The same again is no news. */
	event(s, 2, KUBE_PUT, "Pod", "c-fe-0", "c-fe", "fe", 7);
	assert_int_equal(t.n, 3);
}

static void store_never_goes_back(void **state)
{
	(void)state;
	struct told t = { 0 };
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(tell, &t);
	event(s, 0, KUBE_PUT, "StarRocksCluster", "c", NULL, NULL, 6);
	event(s, 1, KUBE_PUT, "Service", "a", "c", "fe", 10);
	event(s, 1, KUBE_PUT, "Service", "a", "c", "fe", 9);
	_cleanup_json_ json_t *w = observe_store_world(s, "n/c");
	assert_string_equal(
		data_get_str(json_object_get(json_object_get(w, "objects"), "Service/a"),
	                     "metadata.resourceVersion"),
		"10");
	event(s, 1, KUBE_DELETED, "Service", "a", "c", "fe", 12);
	assert_int_equal(objects(s), 0);
	/* An answer to a write that was overtaken by the delete does not revive it. */
	_cleanup_json_ json_t *late =
		parse("{\"kind\":\"Service\",\"metadata\":{\"namespace\":\"n\","
	              "\"name\":\"a\",\"resourceVersion\":\"11\",\"labels\":"
	              "{\"app.starrocks.ownerreference/name\":\"c\"}}}");
	observe_store_wrote(s, 1, late);
	assert_int_equal(objects(s), 0);
}

static void store_sweeps_after_a_list(void **state)
{
	(void)state;
	struct told t = { 0 };
	_cleanup_(observe_store_freep) struct observe_store *s = observe_store_new(tell, &t);
	event(s, 0, KUBE_PUT, "StarRocksCluster", "c", NULL, NULL, 6);
	event(s, 1, KUBE_PUT, "Service", "a", "c", "fe", 10);
	event(s, 1, KUBE_PUT, "Service", "b", "c", "fe", 10);
	assert_false(observe_store_synced(s, 1));
	observe_store_event(s, 1, KUBE_LIST_BEGIN, NULL);
	event(s, 1, KUBE_PUT, "Service", "a", "c", "fe", 10);
	observe_store_event(s, 1, KUBE_LIST_END, NULL);
	assert_int_equal(objects(s), 1);
	observe_store_event(s, 0, KUBE_LIST_BEGIN, NULL);
	observe_store_event(s, 0, KUBE_LIST_END, NULL);
	assert_true(observe_store_synced(s, 0) && observe_store_synced(s, 1));
	assert_null(observe_store_world(s, "n/c"));
}

/* ---- queue ---- */
struct crowd {
	struct observe_queue *q;
	atomic_int working, most, taken;
};

static void *take_all(void *arg)
{
	struct crowd *c = arg;
	char *key;
	while ((key = observe_queue_take(c->q))) {
		int now = atomic_fetch_add(&c->working, 1) + 1;
		if (now > atomic_load(&c->most))
			atomic_store(&c->most, now);
		atomic_fetch_add(&c->taken, 1);
		clock_sleep_ms(2);
		atomic_fetch_sub(&c->working, 1);
		observe_queue_done(c->q, key);
		free(key);
	}
	return NULL;
}

static void one_key_has_one_taker(void **state)
{
	(void)state;
	struct crowd c = { .q = observe_queue_new() };
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_all, &c), 0);
	for (int i = 0; i < 50; i++) {
		observe_queue_add(c.q, "k", 0);
		clock_sleep_ms(1);
	}
	/* What came while it was worked on comes again, after its rest. */
	for (int i = 0; i < 1000 && atomic_load(&c.taken) < 2; i++)
		clock_sleep_ms(10);
	observe_queue_close(c.q);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(atomic_load(&c.most), 1);
	assert_in_range(atomic_load(&c.taken), 2, 51);
	observe_queue_free(c.q);
}

static void keys_come_when_due(void **state)
{
	(void)state;
	_cleanup_(observe_queue_freep) struct observe_queue *q = observe_queue_new();
	int64_t began = clock_mono_ms();
	observe_queue_add(q, "late", 120);
	observe_queue_add(q, "soon", 5000);
	observe_queue_add(q, "soon", 10); /* the earlier time counts */
	observe_queue_add(q, "soon", 4000);
	autofree char *a = observe_queue_take(q);
	autofree char *b = observe_queue_take(q);
	assert_string_equal(a, "soon");
	assert_string_equal(b, "late");
	assert_in_range(clock_mono_ms() - began, 110, 2000);
	/* Added while it was held: it comes again once it is done with. */
	observe_queue_add(q, "soon", 0);
	observe_queue_done(q, "soon");
	autofree char *again = observe_queue_take(q);
	assert_string_equal(again, "soon");
}

/* A key that was only touched may be put back, and then nothing of what it waits for besides is lost. */
static void a_touch_is_known_as_such(void **state)
{
	(void)state;
	_cleanup_(observe_queue_freep) struct observe_queue *q = observe_queue_new();
	bool touched = false;
	observe_queue_add(q, "k", 60);
	observe_queue_touch(q, "k", 0);
	autofree char *a = observe_queue_take_any(q, &touched);
	assert_true(touched);
	observe_queue_skipped(q, "k");
	autofree char *b = observe_queue_take_any(q, &touched);
	assert_false(touched);
	assert_int_equal(observe_queue_depth(q), 0);
	/* Touched while it was held, without hurry: it rests longer than what is added. */
	observe_queue_touch(q, "k", 1);
	observe_queue_done(q, "k");
	int64_t began = clock_mono_ms();
	autofree char *c = observe_queue_take_any(q, &touched);
	assert_true(touched);
	assert_true(clock_mono_ms() - began >= 250);
}

/* In a crowd a key rests longer: it is not due within the second that the depth looks at. */
static void a_crowd_rests_longer(void **state)
{
	(void)state;
	_cleanup_(observe_queue_freep) struct observe_queue *q = observe_queue_new();
	for (int others = 0; others <= 100; others += 100) {
		for (int i = 0; i < others; i++) {
			autofree char *key = xasprintf("other%d", i);
			observe_queue_add(q, key, 60000);
		}
		observe_queue_add(q, "k", 0);
		autofree char *k = observe_queue_take(q);
		assert_string_equal(k, "k");
		observe_queue_touch(q, "k", 1);
		observe_queue_done(q, "k");
		assert_int_equal(observe_queue_depth(q), others ? 0 : 1);
	}
}

static void *take_one(void *arg)
{
	return observe_queue_take(arg);
}

/* Takers that sleep until a late key are woken for earlier ones, each for one. */
static void sleepers_are_woken(void **state)
{
	(void)state;
	enum { SLEEPERS = 4 };
	_cleanup_(observe_queue_freep) struct observe_queue *q = observe_queue_new();
	pthread_t t[SLEEPERS];
	observe_queue_add(q, "late", 20000);
	for (int i = 0; i < SLEEPERS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, take_one, q), 0);
	clock_sleep_ms(50);
	for (int i = 0; i < SLEEPERS; i++) {
		autofree char *key = xasprintf("k%d", i);
		observe_queue_add(q, key, i * 10);
	}
	for (int i = 0; i < SLEEPERS; i++) {
		void *key;
		pthread_join(t[i], &key);
		assert_string_not_equal(key, "late");
		free(key);
	}
}

/* ---- ConfigMaps ---- */
struct maps {
	atomic_int reads;
	const char *_Atomic text;
};

static void on_map(void *arg, struct http_req *req)
{
	struct maps *m = arg;
	atomic_fetch_add(&m->reads, 1);
	if (str_eqs(http_req_tail(req), "none"))
		http_answer_json(req, 404, "{\"reason\":\"NotFound\"}");
	else
		http_answer_json(req, 200, atomic_load(&m->text));
}

/* Deleted while no watch was there to tell. */
static void a_list_tells_what_is_gone(struct observe_conf *c, struct kube_client *kube,
                                      struct maps *maps, struct told *t)
{
	char *text = NULL;
	struct err err = ERR_INIT;
	int reads = atomic_load(&maps->reads);
	t->n = 0;
	observe_conf_list(c, "other", true);
	observe_conf_list(c, "other", false);
	assert_int_equal(t->n, 0);
	observe_conf_list(c, "n", true);
	observe_conf_list(c, "n", false);
	assert_int_equal(t->n, 1);
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "m", "fe.conf", &text, &err), 0);
	assert_int_equal(atomic_load(&maps->reads), reads + 1);
	free(text);
}

static void conf_is_read_once_until_it_changes(void **state)
{
	(void)state;
	struct maps maps = {
		.text = "{\"metadata\":{\"resourceVersion\":\"7\"},\"data\":{\"fe.conf\":"
			"\"http_port=1\"}}"
	};
	struct told t = { 0 };
	struct http_route route = { .path = "/api/v1/namespaces/n/configmaps/*",
		                    .handler = on_map,
		                    .arg = &maps };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = &route,
		                             .n_routes = 1 };
	struct http_server *server = NULL;
	_cleanup_(kube_config_freep) struct kube_config *k = NULL;
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(observe_conf_freep) struct observe_conf *c = observe_conf_new(tell, &t);
	_cleanup_json_ json_t *changed =
		parse("{\"metadata\":{\"namespace\":\"n\",\"name\":\"m\"}}");
	_cleanup_json_ json_t *foreign =
		parse("{\"metadata\":{\"namespace\":\"n\",\"name\":\"other\"}}");
	char *text[5] = { NULL };
	struct err err = ERR_INIT;
	assert_int_equal(http_server_start(&config, &server, &err), 0);
	autofree char *file =
		xasprintf("current-context: a\ncontexts:\n- {name: a, context: {cluster: "
	                  "c}}\nclusters:\n- {name: c, cluster: {server: "
	                  "'http://127.0.0.1:%d'}}\n",
	                  http_server_port(server));
	assert_int_equal(kube_config_parse(str_of(file), NULL, &k, &err), 0);
	assert_int_equal(kube_client_new(k, &kube, &err), 0);
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "m", "fe.conf", &text[0], &err), 0);
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "m", "fe.conf", &text[1], &err), 0);
	assert_int_equal(atomic_load(&maps.reads), 1);
	assert_string_equal(text[1], "http_port=1");
	observe_conf_event(c, KUBE_PUT, foreign);
	/* The list that comes after the first reads tells what they saw. */
	_cleanup_json_ json_t *same = parse(
		"{\"metadata\":{\"namespace\":\"n\",\"name\":\"m\",\"resourceVersion\":\"7\"}}");
	observe_conf_list(c, NULL, true);
	observe_conf_event(c, KUBE_PUT, same);
	observe_conf_list(c, NULL, false);
	assert_int_equal(t.n, 0);
	maps.text =
		"{\"metadata\":{\"resourceVersion\":\"8\"},\"data\":{\"fe.conf\":\"http_port=2\"}}";
	observe_conf_event(c, KUBE_PUT, changed);
	assert_string_equal(t.last, "n/c");
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "m", "fe.conf", &text[2], &err), 0);
	assert_string_equal(text[2], "http_port=2");
	a_list_tells_what_is_gone(c, kube, &maps, &t);
	/* A missing ConfigMap, or key, means StarRocks' defaults. */
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "none", "fe.conf", &text[3], &err),
	                 0);
	assert_string_equal(text[3], "");
	assert_int_equal(observe_conf_get(c, kube, "n/c", "n", "m", "x.conf", &text[4], &err), 0);
	assert_string_equal(text[4], "");
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		free(text[i]);
	http_server_stop(server, 0);
}

/* ---- statements and wishes ---- */
static void statements(void **state)
{
	(void)state;
	static const struct {
		const char *intent, *want; /* want NULL: refused */
	} cases[] = {
		{ "{\"do\":\"drop_node\",\"host\":\"10.0.0.7\",\"port\":9050}",
		  "ALTER SYSTEM DROP COMPUTE NODE \"10.0.0.7:9050\"" },
		{ "{\"do\":\"drop_node\",\"host\":\"fd00::7\",\"port\":9050}",
		  "ALTER SYSTEM DROP COMPUTE NODE \"[fd00::7]:9050\"" },
		{ "{\"do\":\"drop_node\",\"host\":\"h\",\"port\":9050,\"warehouse\":"
		  "\"default_warehouse\"}",
		  "ALTER SYSTEM DROP COMPUTE NODE \"h:9050\" FROM WAREHOUSE default_warehouse" },
		{ "{\"do\":\"decommission\",\"host\":\"c-be-1.s\",\"port\":9050,\"warehouse\":"
		  "\"w\"}",
		  "ALTER SYSTEM DECOMMISSION BACKEND \"c-be-1.s:9050\"" },
		{ "{\"do\":\"cancel_decommission\",\"host\":\"b\",\"port\":1}",
		  "CANCEL DECOMMISSION BACKEND \"b:1\"" },
		{ "{\"do\":\"drop_backend\",\"host\":\"b\",\"port\":1}",
		  "ALTER SYSTEM DROP BACKEND \"b:1\"" },
		{ "{\"do\":\"drop_node\",\"host\":\"x\\\"; DROP DATABASE d\",\"port\":1}", NULL },
		{ "{\"do\":\"drop_node\",\"host\":\"\",\"port\":1}", NULL },
		{ "{\"do\":\"drop_node\",\"host\":\"h\",\"port\":0}", NULL },
		{ "{\"do\":\"format_disks\",\"host\":\"h\",\"port\":1}", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *intent = parse(cases[i].intent);
		_cleanup_buf_ struct buf out = BUF_INIT(1024);
		assert_int_equal(observe_statement(intent, &out), cases[i].want ? 0 : -EINVAL);
		if (cases[i].want)
			assert_string_equal(out.p, cases[i].want);
	}
}

static void wishes(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		int64_t min, max, want; /* want -1: not to be relied on */
	} cases[] = {
		{ "{\"desired\":3}", 1, 5, 3 },     { "{\"desired\":0}", 1, 5, 1 },
		{ "{\"desired\":9}", 1, 5, 5 },     { "{\"desired\":-1}", 1, 5, -1 },
		{ "{\"desired\":2.5}", 1, 5, -1 },  { "{\"desired\":\"3\"}", 1, 5, -1 },
		{ "{\"desired\":null}", 1, 5, -1 }, { "{}", 1, 5, -1 },
		{ "{\"desired\":3", 1, 5, -1 },     { "", 1, 5, -1 },
		{ "{\"desired\":NaN}", 1, 5, -1 },  { "{\"desired\":3}", 5, 1, -1 },
		{ "{\"desired\":0}", 0, 5, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		int64_t n = -7;
		int rc = observe_scale_wish(str_of(cases[i].body), cases[i].min, cases[i].max, &n,
		                            &err);
		assert_int_equal(rc, cases[i].want < 0 ? -EINVAL : 0);
		if (rc == 0)
			assert_int_equal(n, cases[i].want);
	}
}

/* ---- the fast path, against a server that plays scaler and API server ---- */
struct both {
	atomic_int status, asks, patches;
	char patch[256], path[128], auth[64], scaled[128];
};

static void on_pool(void *arg, struct http_req *req)
{
	struct both *b = arg;
	const char *auth = http_req_header(req, "Authorization");
	if (atomic_load(&b->asks) == 0) {
		snprintf(b->path, sizeof(b->path), "%.*s", STR_ARG(http_req_path(req)));
		snprintf(b->auth, sizeof(b->auth), "%s", auth ? auth : "");
	}
	http_answer_json(req, atomic_load(&b->status), "{\"v\":1,\"desired\":3}");
	atomic_fetch_add(&b->asks, 1);
}

static void on_cluster(void *arg, struct http_req *req)
{
	struct both *b = arg;
	if (str_ends(http_req_path(req), "/scale")) {
		snprintf(b->scaled, sizeof(b->scaled), "%.*s", STR_ARG(http_req_path(req)));
		snprintf(b->patch, sizeof(b->patch), "%.*s", STR_ARG(http_req_body(req)));
		atomic_fetch_add(&b->patches, 1);
	}
	http_answer_json(req, 200, "{}");
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

static void wait_for(atomic_int *n, int at_least)
{
	struct deadline by = deadline_in(30000);
	while (atomic_load(n) < at_least && !deadline_passed(by))
		clock_sleep_ms(10);
	assert_true(atomic_load(n) >= at_least);
}

/* Of this CR: whom the scaler is asked for, and what is patched. */
static void wish_reaches_scale(const char *text, const char *asked, const char *scaled)
{
	struct both b = { .status = 503 };
	struct told t = { 0 };
	struct http_route routes[] = {
		{ .path = "/v1/*", .handler = on_pool, .arg = &b },
		{ .path = "/apis/*", .handler = on_cluster, .arg = &b },
	};
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = routes,
		                             .n_routes = 2 };
	struct http_server *server = NULL;
	_cleanup_(kube_config_freep) struct kube_config *k = NULL;
	_cleanup_(observe_store_freep) struct observe_store *store = observe_store_new(tell, &t);
	struct observe_scale *scale = NULL;
	struct err err = ERR_INIT;
	autofree char *token = xasprintf("/tmp/roost-observe-test.%d", (int)getpid());
	_cleanup_json_ json_t *cr = parse(text);
	assert_int_equal(http_server_start(&config, &server, &err), 0);
	autofree char *url = xasprintf("http://127.0.0.1:%d", http_server_port(server));
	autofree char *file =
		xasprintf("current-context: a\ncontexts:\n- {name: a, context: {cluster: "
	                  "c}}\nclusters:\n- {name: c, cluster: {server: '%s'}}\n",
	                  url);
	assert_int_equal(kube_config_parse(str_of(file), NULL, &k, &err), 0);
	observe_store_event(store, 0, KUBE_PUT, cr);
	assert_int_equal(fd_write_file(token, "t0ken\nolder\n", 12, 0600, &err), 0);
	struct observe_scale_config sc = { .kube = k,
		                           .url = url,
		                           .token_file = token,
		                           .store = store,
		                           .may_write = yes,
		                           .serves = serves_all };
	assert_int_equal(observe_scale_start(&sc, &scale, &err), 0);
	/* 503: nothing happens. */
	wait_for(&b.asks, 2);
	assert_int_equal(atomic_load(&b.patches), 0);
	assert_string_equal(b.path, asked);
	assert_string_equal(b.auth, "Bearer t0ken"); /* the file's first line */
	atomic_store(&b.status, 200);
	wait_for(&b.patches, 1);
	observe_scale_free(scale);
	unlink(token);
	/* Held within maxReplicas, and only for the CR that was looked at. */
	assert_string_equal(b.patch,
	                    "{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"replicas\":2}}");
	assert_string_equal(b.scaled, scaled);
	http_server_stop(server, 0);
}

#define SCALED(kind, part)                                                                         \
	"{\"kind\":\"" kind "\",\"metadata\":{\"namespace\":\"n\",\"name\":\"c\","                 \
	"\"resourceVersion\":\"7\"},\"spec\":{\"" part "\":{\"replicas\":1,\"roostAutoscaling\":{" \
	"\"minReplicas\":1,\"maxReplicas\":2}}}}"

static void the_scalers_wish_reaches_scale(void **state)
{
	(void)state;
	wish_reaches_scale(SCALED("StarRocksCluster", "starRocksCnSpec"),
	                   "/v1/namespaces/n/clusters/c/pools/cn",
	                   "/apis/starrocks.com/v1/namespaces/n/starrocksclusters/c/scale");
	wish_reaches_scale(SCALED("StarRocksWarehouse", "template"),
	                   "/v1/namespaces/n/clusters/c-warehouse/pools/cn",
	                   "/apis/starrocks.com/v1/namespaces/n/starrockswarehouses/c/scale");
}

static void metrics_have_families(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);
	observe_metric_set(OBSERVE_LEADER, 1);
	observe_metrics_text(&out);
	assert_non_null(strstr(out.p, "# TYPE roost_operator_writes_total counter"));
	assert_non_null(strstr(out.p, "roost_operator_leader 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(store_gathers_a_cluster),
		cmocka_unit_test(store_never_goes_back),
		cmocka_unit_test(store_sweeps_after_a_list),
		cmocka_unit_test(one_key_has_one_taker),
		cmocka_unit_test(keys_come_when_due),
		cmocka_unit_test(a_touch_is_known_as_such),
		cmocka_unit_test(a_crowd_rests_longer),
		cmocka_unit_test(sleepers_are_woken),
		cmocka_unit_test(conf_is_read_once_until_it_changes),
		cmocka_unit_test(statements),
		cmocka_unit_test(wishes),
		cmocka_unit_test(the_scalers_wish_reaches_scale),
		cmocka_unit_test(metrics_have_families),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

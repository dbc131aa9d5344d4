#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "lib/kube/lease.h"
#include "lib/kube/watch.h"
#include "lib/net/http_server.h"

/* ---- kubeconfig ---- */
static void kubeconfigs(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says; /* says NULL: fine */
	} cases[] = {
		{ "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u, "
		  "namespace: n}}\nclusters:\n- {name: c, cluster: {server: 'https://h:1/'}}\n"
		  "users:\n- {name: u, user: {token: t}}\n",
		  NULL },
		{ "current-context: b\ncontexts: []\n", "\"b\"" },
		{ "current-context: a\ncontexts:\n- {name: a, context: {cluster: c}}\n"
		  "clusters:\n- {name: c, cluster: {server: 'ftp://h'}}\n",
		  "server" },
		{ "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n"
		  "clusters:\n- {name: c, cluster: {server: 'https://h'}}\n"
		  "users:\n- {name: u, user: {exec: {command: x}}}\n",
		  "exec" },
		{ "current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n"
		  "clusters:\n- {name: c, cluster: {server: 'https://h', "
		  "certificate-authority-data: '%%%%'}}\nusers:\n- {name: u, user: {}}\n",
		  "base64" },
		{ "[1", "kubeconfig" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(kube_config_freep) struct kube_config *k = NULL;
		struct err err = ERR_INIT;
		int rc = kube_config_parse(str_of(cases[i].text), "/tmp", &k, &err);
		if (!cases[i].says) {
			assert_int_equal(rc, 0);
			assert_string_equal(kube_config_server(k), "https://h:1");
			assert_string_equal(kube_config_namespace(k), "n");
		} else if (rc == 0 || !strstr(err.msg, cases[i].says)) {
			fail_msg("case %zu: rc=%d \"%s\"", i, rc, err.msg);
		}
	}
}

/* ---- framing ---- */
struct seen {
	int put, deleted, begin, end;
	char last[64];
};

static void note(void *arg, enum kube_change change, json_t *object)
{
	struct seen *s = arg;
	s->put += change == KUBE_PUT;
	s->deleted += change == KUBE_DELETED;
	s->begin += change == KUBE_LIST_BEGIN;
	s->end += change == KUBE_LIST_END;
	if (object)
		snprintf(s->last, sizeof(s->last), "%s", data_get_str(object, "metadata.name"));
}

#define EVENT(type, name, version)                                          \
	"{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name \
	"\",\"resourceVersion\":\"" version "\"}}}\n"

static void frames_come_whole(void **state)
{
	(void)state;
	static const char stream[] = EVENT("ADDED", "a", "1")
		EVENT("MODIFIED", "b", "2") "\r\n" EVENT("BOOKMARK", "", "7")
			EVENT("DELETED", "c", "9");
	/* However the stream is cut, the same comes out. */
	for (size_t cut = 1; cut < sizeof(stream) - 1; cut += 3) {
		struct seen s = { 0 };
		struct kube_frames f = KUBE_FRAMES_INIT(note, &s);
		struct err err = ERR_INIT;
		for (size_t at = 0; at < sizeof(stream) - 1; at += cut) {
			size_t left = sizeof(stream) - 1 - at;
			assert_int_equal(
				kube_frames_feed(&f, stream + at, left < cut ? left : cut, &err),
				0);
		}
		assert_int_equal(s.put, 2);
		assert_int_equal(s.deleted, 1);
		assert_string_equal(s.last, "c");
		assert_string_equal(f.version, "9");
		buf_free(&f.line);
	}
}

static void frames_end(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"message\":\"too old\"}}\n",
		  KUBE_GONE },
		{ "{\"type\":\"ERROR\",\"object\":{\"code\":500}}\n", KUBE_BUSY },
		{ "{\"type\":\"ADDED\",\"object\":{}}\n", -EPROTO },
		{ "{\"type\":\"STRANGE\",\"object\":{\"metadata\":{\"resourceVersion\":\"1\"}}}\n",
		  -EPROTO },
		{ "[]\n", -EPROTO },
		{ "{\"type\"\n", -EPROTO },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seen s = { 0 };
		struct kube_frames f = KUBE_FRAMES_INIT(note, &s);
		struct err err = ERR_INIT;
		assert_int_equal(kube_frames_feed(&f, cases[i].text, strlen(cases[i].text), &err),
		                 cases[i].rc);
		assert_true(err.msg[0]);
		assert_int_equal(s.put, 0);
		buf_free(&f.line);
	}
}

/* ---- a server that plays the API server ---- */
struct fake {
	struct http_server *server;
	struct kube_config *config;
	struct kube_client *client;
	atomic_int lists, watches, pages;
	char method[16], body[512], content_type[64], query[256];
	char lease[512]; /* the Lease as it is, "" when there is none */
	int lease_version;
	int status;       /* of the object route */
	const char *page; /* what a list answers; NULL: two good pages */
};

static void remember(struct fake *f, struct http_req *req)
{
	const char *type = http_req_header(req, "Content-Type");
	const char *force = http_req_query(req, "force");
	const char *manager = http_req_query(req, "fieldManager");
	snprintf(f->method, sizeof(f->method), "%.*s", STR_ARG(http_req_method(req)));
	snprintf(f->body, sizeof(f->body), "%.*s", STR_ARG(http_req_body(req)));
	snprintf(f->content_type, sizeof(f->content_type), "%s", type ? type : "");
	snprintf(f->query, sizeof(f->query), "%s %s", force ? force : "", manager ? manager : "");
}

static void on_object(void *arg, struct http_req *req)
{
	struct fake *f = arg;
	remember(f, req);
	if (f->status == 429)
		http_answer_header(req, "Retry-After", "3");
	if (f->status == 200)
		http_answer_json(req, 200, "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"}}");
	else
		http_answer_json(req, f->status,
		                 f->status == 409
		                         ? "{\"message\":\"there\",\"reason\":\"AlreadyExists\"}"
		                         : "{\"message\":\"no\",\"reason\":\"Other\"}");
}

/* Two pages; then a watch that says "gone" once, and after the second list one event. */
static void on_pods(void *arg, struct http_req *req)
{
	struct fake *f = arg;
	const char *watch = http_req_query(req, "watch");
	const char *next = http_req_query(req, "continue");
	if (watch) {
		int n = atomic_fetch_add(&f->watches, 1);
		http_answer(req, 200, "application/json",
		            n == 0 ? STR_LIT("{\"type\":\"ERROR\",\"object\":{\"code\":410}}\n")
		                   : STR_LIT(EVENT("DELETED", "b", "11")));
		return;
	}
	atomic_fetch_add(next ? &f->pages : &f->lists, 1);
	if (f->page) {
		http_answer_json(req, 200, f->page);
		return;
	}
	http_answer_json(req, 200,
	                 next ? "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":"
	                        "[{\"metadata\":{\"name\":\"b\"}}]}"
	                      : "{\"metadata\":{\"resourceVersion\":\"10\",\"continue\":\"x y\"},"
	                        "\"items\":[{\"metadata\":{\"name\":\"a\"}}]}");
}

/* Watches that tell one event each, then garbage. */
enum { CUT_WATCHES = 16 };

static void on_nodes(void *arg, struct http_req *req)
{
	struct fake *f = arg;
	int n;
	if (!http_req_query(req, "watch")) {
		http_answer_json(req, 200,
		                 "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[]}");
		return;
	}
	n = atomic_fetch_add(&f->watches, 1);
	autofree char *event =
		xasprintf("{\"type\":\"%s\",\"object\":{\"metadata\":{\"name\":\"a\","
	                  "\"resourceVersion\":\"%d\"}}}\n[]\n",
	                  n < CUT_WATCHES ? "MODIFIED" : "DELETED", 11 + n);
	http_answer(req, 200, "application/json", str_of(event));
}

static void on_lease(void *arg, struct http_req *req)
{
	struct fake *f = arg;
	struct str method = http_req_method(req);
	_cleanup_json_ json_t *j = NULL;
	if (str_eqs(method, "GET")) {
		http_answer_json(req, f->lease[0] ? 200 : 404, f->lease[0] ? f->lease : "{}");
		return;
	}
	assert_int_equal(data_json_parse(http_req_body(req), &j, NULL), 0);
	const char *version = data_get_str(j, "metadata.resourceVersion");
	autofree char *now = xasprintf("%d", f->lease_version);
	if (str_eqs(method, "PUT") && (!version || strcmp(version, now) != 0)) {
		http_answer_json(req, 409, "{\"reason\":\"Conflict\"}");
		return;
	}
	autofree char *next = xasprintf("%d", ++f->lease_version);
	data_set(j, "metadata.resourceVersion", json_string(next));
	autofree char *text = data_json_text(j);
	snprintf(f->lease, sizeof(f->lease), "%s", text);
	http_answer_json(req, 200, f->lease);
}

static int fake_start(void **state)
{
	struct fake *f = xcalloc(1, sizeof(*f));
	static struct http_route routes[5];
	struct err err = ERR_INIT;
	routes[0] = (struct http_route){ .path = "/api/v1/namespaces/n/pods",
		                         .handler = on_pods,
		                         .arg = f };
	routes[1] = (struct http_route){ .path = "/api/v1/namespaces/n/pods/*",
		                         .handler = on_object,
		                         .arg = f };
	routes[2] = (struct http_route){ .path = "/apis/coordination.k8s.io/v1/namespaces/n/leases",
		                         .handler = on_lease,
		                         .arg = f };
	routes[3] =
		(struct http_route){ .path = "/apis/coordination.k8s.io/v1/namespaces/n/leases/*",
		                     .handler = on_lease,
		                     .arg = f };
	routes[4] = (struct http_route){ .path = "/api/v1/nodes", .handler = on_nodes, .arg = f };
	struct http_server_config config = { .listen = "127.0.0.1:0",
		                             .routes = routes,
		                             .n_routes = ARRAY_LEN(routes) };
	if (http_server_start(&config, &f->server, &err) < 0)
		return -1;
	autofree char *text = xasprintf(
		"current-context: a\ncontexts:\n- {name: a, context: {cluster: c, user: u}}\n"
		"clusters:\n- {name: c, cluster: {server: 'http://127.0.0.1:%d'}}\n"
		"users:\n- {name: u, user: {token: secret}}\n",
		http_server_port(f->server));
	if (kube_config_parse(str_of(text), NULL, &f->config, &err) < 0 ||
	    kube_client_new(f->config, &f->client, &err) < 0)
		return -1;
	*state = f;
	return 0;
}

static int fake_stop(void **state)
{
	struct fake *f = *state;
	kube_client_free(f->client);
	kube_config_free(f->config);
	http_server_stop(f->server, 0);
	free(f);
	return 0;
}

static void outcomes(void **state)
{
	struct fake *f = *state;
	static const struct {
		int status, outcome;
	} cases[] = {
		{ 200, KUBE_OK },        { 404, KUBE_NOT_FOUND },    { 409, KUBE_EXISTS },
		{ 410, KUBE_GONE },      { 422, KUBE_INVALID },      { 400, KUBE_INVALID },
		{ 403, KUBE_FORBIDDEN }, { 401, KUBE_UNAUTHORIZED }, { 429, KUBE_BUSY },
		{ 503, KUBE_BUSY },      { 302, -EPROTO },
	};
	struct kube_ref ref = { &KUBE_POD, "n", "p", NULL };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *got = NULL;
		struct err err = ERR_INIT;
		f->status = cases[i].status;
		assert_int_equal(kube_get(f->client, &ref, &got, &err), cases[i].outcome);
		assert_int_equal(got != NULL, cases[i].status == 200);
		assert_int_equal(kube_client_retry_ms(f->client),
		                 cases[i].status == 429 ? 3000 : -1);
		assert_null(strstr(err.msg, "secret"));
	}
}

static void verbs(void **state)
{
	struct fake *f = *state;
	struct kube_ref ref = { &KUBE_POD, "n", "p", "status" };
	_cleanup_json_ json_t *o = json_pack("{s:s}", "kind", "Pod");
	struct err err = ERR_INIT;
	f->status = 200;
	assert_int_equal(kube_apply(f->client, &ref, "roost-operator", o, NULL, &err), 0);
	assert_string_equal(f->method, "PATCH");
	assert_string_equal(f->content_type, "application/apply-patch+yaml");
	assert_string_equal(f->query, "true roost-operator");
	assert_int_equal(kube_merge_patch(f->client, &ref, o, NULL, &err), 0);
	assert_string_equal(f->content_type, "application/merge-patch+json");
	assert_int_equal(kube_delete(f->client, &ref, "u-1", "17", &err), 0);
	assert_string_equal(f->method, "DELETE");
	assert_non_null(
		strstr(f->body, "\"preconditions\":{\"resourceVersion\":\"17\",\"uid\":\"u-1\"}"));
	assert_int_equal(kube_delete(f->client, &ref, NULL, NULL, &err), 0);
	assert_null(strstr(f->body, "preconditions"));
}

static int add_text(void *arg, struct str item)
{
	struct buf *all = arg;
	_cleanup_json_ json_t *j = NULL;
	assert_int_equal(data_json_parse(item, &j, NULL), 0);
	autofree char *text = data_json_text(j);
	buf_addf(all, "%s;", text);
	return 0;
}

/* Unparsed items are what parsed ones would be; a page that is not whole is the same error. */
static void a_list_comes_as_text(void **state)
{
#define NAMED(name) "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\"}};"
#define HEAD "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":"
	static const struct {
		const char *page, *items; /* items NULL: refused */
	} cases[] = {
		{ NULL, NAMED("a") NAMED("b") },
		{ HEAD "[]}", "" },
		{ HEAD "[{}]}", "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"};" },
		{ HEAD "[{\"metadata\":{\"name\":\"a\"},\"kind\":\"Pod\",\"apiVersion\":\"v1\"}]}",
		  NAMED("a") },
		{ HEAD "[ {\"metadata\":{\"name\":\"a]\"}} , {\"metadata\":{\"name\":\"b\"}}]}",
		  NAMED("a]") NAMED("b") },
		{ HEAD "[7,{\"metadata\":{\"name\":\"a\"}}]}", NAMED("a") },
		{ HEAD "[{} {}]}", NULL },
		{ HEAD "null}", "" },
		{ HEAD "[{\"metadata\":{\"name\":\"a\"}},", NULL },
		{ HEAD "[{\"metadata\":{\"name\":\"a\"}}", NULL },
		{ HEAD "[{\"metadata\":{\"name\":\"a", NULL },
	};
	struct fake *f = *state;
	struct kube_list_query q = { .kind = &KUBE_POD, .ns = "n" };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf all = BUF_INIT(4096);
		autofree char *version = NULL;
		struct err err = ERR_INIT;
		f->page = cases[i].page;
		int rc = kube_list_text(f->client, &q, add_text, &all, &version, &err);
		assert_int_equal(rc, cases[i].items ? 0 : -EPROTO);
		if (!cases[i].items)
			continue;
		assert_string_equal(version, "10");
		if (strcmp(buf_cstr(&all), cases[i].items) != 0)
			fail_msg("case %zu: %s", i, buf_cstr(&all));
	}
	f->page = NULL;
}

struct watching {
	struct seen seen;
	int troubles, garbled;
};

static void watch_note(void *arg, enum kube_change change, json_t *object)
{
	note(&((struct watching *)arg)->seen, change, object);
}

static void watch_trouble(void *arg, int rc, const struct err *err)
{
	(void)err;
	((struct watching *)arg)->troubles += rc == KUBE_GONE;
	((struct watching *)arg)->garbled += rc == -EPROTO;
}

static bool watch_stop(void *arg)
{
	return ((struct watching *)arg)->seen.deleted > 0;
}

static void watch_lists_again_when_gone(void **state)
{
	struct fake *f = *state;
	struct watching w = { 0 };
	struct kube_watch_config config = { .query = { .kind = &KUBE_POD, .ns = "n" },
		                            .timeout_s = 5,
		                            .on_change = watch_note,
		                            .on_trouble = watch_trouble,
		                            .should_stop = watch_stop,
		                            .arg = &w };
	kube_watch_run(f->client, &config);
	assert_int_equal(w.seen.begin, 2);
	assert_int_equal(w.seen.end, 2);
	assert_int_equal(w.seen.put, 4); /* two pages, twice */
	assert_int_equal(w.troubles, 1);
	assert_int_equal(atomic_load(&f->pages), 2);
}

/* ---- how soon it tries again ---- */
/* All fail alike, one after the other: the longest pause before each try from the second to the last. */
static int64_t longest_pause(const struct kube_try *t, int tries, struct kube_pace *p)
{
	int64_t longest = 0;
	for (int i = 0; i < tries; i++) {
		int64_t ms = kube_pace_next(p, t);
		longest = ms > longest ? ms : longest;
	}
	return longest;
}

static void failures_in_a_row_are_tried_less_and_less_often(void **state)
{
	(void)state;
	static const struct {
		struct kube_try t;
		int64_t first, least, most; /* the first pause at most; the longest of 200 */
	} cases[] = {
		/* A cut, a stale version, an end at once: the first comes back at once, the others within seconds. */
		{ { -ECONNRESET, true, false, 5, -1 }, 50, 1500, 3000 },
		{ { -ECONNREFUSED, true, false, 0, -1 }, 50, 1500, 3000 },
		{ { KUBE_GONE, true, false, 5, -1 }, 50, 1500, 3000 },
		{ { 0, true, false, 5, -1 }, 50, 1500, 3000 },
		{ { -ECONNREFUSED, false, false, 5, -1 }, 50, 1500, 3000 },
		/* One that told something or lasted was well. */
		{ { -ECONNRESET, true, true, 5, -1 }, 50, 0, 50 },
		{ { -ECONNRESET, true, false, 3000, -1 }, 50, 0, 50 },
		{ { -ETIMEDOUT, true, false, 1000, -1 }, 50, 0, 50 },
		{ { 0, true, true, 5, -1 }, 50, 0, 50 },
		{ { KUBE_GONE, true, true, 5, -1 }, 50, 0, 50 },
		{ { 0, false, false, 5, -1 }, 0, 0, 0 },
		/* A busy server is left alone for a moment, and as long as it says, within limits. */
		{ { KUBE_BUSY, true, false, 5, -1 }, 200, 1500, 3000 },
		{ { KUBE_BUSY, true, false, 5, 0 }, 200, 1500, 3000 },
		{ { KUBE_BUSY, true, false, 5, 7000 }, 7000, 7000, 7000 },
		{ { KUBE_BUSY, false, false, 5, 7000 }, 7000, 7000, 7000 },
		{ { KUBE_BUSY, true, false, 5, 60000 }, 30000, 30000, 30000 },
		/* Nobody but a busy server is asked how long. */
		{ { -ECONNRESET, true, true, 5, 7000 }, 50, 0, 50 },
		/* What only a person changes. */
		{ { KUBE_NOT_FOUND, false, false, 5, -1 }, 200, 3001, 10000 },
		{ { KUBE_FORBIDDEN, false, false, 5, -1 }, 200, 3001, 10000 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kube_pace p = { 0 };
		int64_t first = kube_pace_next(&p, &cases[i].t);
		int64_t longest = longest_pause(&cases[i].t, 200, &p);
		if (first > cases[i].first || longest < cases[i].least || longest > cases[i].most)
			fail_msg("case %zu: first %lld, longest %lld", i, (long long)first,
			         (long long)longest);
	}
	/* A good list says nothing of the watch: a server whose every version is stale is not asked in a hot loop. */
	static const struct kube_try listed = { 0 }, gone = { KUBE_GONE, true, false, 5, -1 };
	struct kube_pace p = { 0 };
	int64_t all = 0;
	for (int i = 0; i < 100; i++)
		all += kube_pace_next(&p, &listed) + kube_pace_next(&p, &gone);
	assert_true(all > 20000);
	/* And one good watch makes up for all of them. */
	static const struct kube_try good = { -ECONNRESET, true, true, 5, -1 };
	assert_true(kube_pace_next(&p, &good) <= 50);
}

static void watch_comes_back_at_once_when_it_told_something(void **state)
{
	struct fake *f = *state;
	struct watching w = { 0 };
	struct kube_watch_config config = { .query = { .kind = &KUBE_NODE },
		                            .timeout_s = 5,
		                            .on_change = watch_note,
		                            .on_trouble = watch_trouble,
		                            .should_stop = watch_stop,
		                            .arg = &w };
	int64_t began = clock_mono_ms();
	kube_watch_run(f->client, &config);
	assert_int_equal(w.seen.begin, 1);
	assert_int_equal(w.seen.put, CUT_WATCHES);
	assert_int_equal(w.garbled, CUT_WATCHES);
	/* Twenty seconds and more if each were a failure after the other. */
	assert_true(clock_mono_ms() - began < 8000);
}

/* ---- lease: no wall clock, no second holder ---- */
static void lease_has_one_holder(void **state)
{
	struct fake *f = *state;
	struct kube_lease_config ca = { .ns = "n", .name = "l", .identity = "a" };
	struct kube_lease_config cb = { .ns = "n", .name = "l", .identity = "b" };
	_cleanup_(kube_lease_freep) struct kube_lease *a = kube_lease_new(&ca);
	_cleanup_(kube_lease_freep) struct kube_lease *b = kube_lease_new(&cb);
	struct err err = ERR_INIT;
	int64_t t = 1000000;
	assert_int_equal(kube_lease_try(a, f->client, t, &err), 0);
	assert_true(kube_lease_held(a, t));
	assert_int_equal(kube_lease_try(b, f->client, t, &err), 0);
	assert_false(kube_lease_held(b, t));
	/* A holder that could not renew steps down before anybody may take over. */
	assert_false(kube_lease_held(a, t + 10000));
	assert_int_equal(kube_lease_try(b, f->client, t + 14999, &err), 0);
	assert_false(kube_lease_held(b, t + 14999));
	assert_int_equal(kube_lease_try(b, f->client, t + 15000, &err), 0);
	assert_true(kube_lease_held(b, t + 15000));
	/* The deposed one wakes up: it looks, and does not take it back. */
	assert_int_equal(kube_lease_try(a, f->client, t + 15001, &err), 0);
	assert_false(kube_lease_held(a, t + 15001));
	assert_int_equal(kube_lease_release(b, f->client, &err), 0);
	assert_false(kube_lease_held(b, t + 15002));
	assert_int_equal(kube_lease_try(a, f->client, t + 15003, &err), 0);
	assert_true(kube_lease_held(a, t + 15003));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kubeconfigs),
		cmocka_unit_test(frames_come_whole),
		cmocka_unit_test(frames_end),
		cmocka_unit_test_setup_teardown(outcomes, fake_start, fake_stop),
		cmocka_unit_test_setup_teardown(verbs, fake_start, fake_stop),
		cmocka_unit_test_setup_teardown(a_list_comes_as_text, fake_start, fake_stop),
		cmocka_unit_test_setup_teardown(watch_lists_again_when_gone, fake_start, fake_stop),
		cmocka_unit_test(failures_in_a_row_are_tried_less_and_less_often),
		cmocka_unit_test_setup_teardown(watch_comes_back_at_once_when_it_told_something,
		                                fake_start, fake_stop),
		cmocka_unit_test_setup_teardown(lease_has_one_holder, fake_start, fake_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

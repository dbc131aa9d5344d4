/* Answers that walk through all pools: nobody is left out while pools come and go, and nobody waits for them. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/map.h"
#include "lib/net/http_client.h"
#include "scaler/serve/pools.h"
#include "scaler/serve/scribe.h"

/* ---- pools that come and go ------------------------------------------------------------------- */

enum { POOLS = 300, GOING = 100 };

struct walk {
	struct serve_pools *pools;
	struct source_events events;
	struct map *seen;
	size_t told, when; /* after so many, pools go and others come */
	bool last_go;      /* the last ones, which take the places of others; else the first */
};

static void add(struct walk *w, int i)
{
	char ns[] = "ns", pool[] = "cn", name[16];
	(void)snprintf(name, sizeof(name), "c%d", i);
	autofree char *key = source_key(ns, name, pool);
	struct source_target t = { .ns = ns, .cluster = name, .pool = pool };
	w->events.on_target(w->events.arg, key, &t);
}

static bool goes(const struct walk *w, int i)
{
	/* Every second, so that what moves are some that were told of and some that were not. */
	return i % 2 == 0 && (w->last_go ? i >= POOLS - 2 * GOING : i < 2 * GOING);
}

static void note(void *arg, const struct serve_sample *s)
{
	struct walk *w = arg;
	assert_null(map_get(w->seen, s->cluster));
	map_put(w->seen, s->cluster, w);
	if (++w->told != w->when)
		return;
	for (int i = 0; i < POOLS; i++) {
		autofree char *key = xasprintf("ns/c%d/cn", i);
		if (goes(w, i))
			w->events.on_gone(w->events.arg, key);
	}
	for (int i = POOLS; i < POOLS + 50; i++)
		add(w, i);
}

static void each_that_stays_is_told_of_once(void **state)
{
	(void)state;
	for (size_t when = 1; when < POOLS; when += 13) {
		for (int last = 0; last < 2; last++) {
			struct walk w = { .pools = serve_pools_new(1000),
				          .when = when,
				          .last_go = last };
			w.events = serve_pools_events(w.pools);
			w.seen = map_new(NULL);
			for (int i = 0; i < POOLS; i++)
				add(&w, i);
			serve_pools_each(w.pools, note, &w);
			for (int i = 0; i < POOLS; i++) {
				char name[16];
				(void)snprintf(name, sizeof(name), "c%d", i);
				if (!goes(&w, i))
					assert_non_null(map_get(w.seen, name));
			}
			map_free(w.seen);
			serve_pools_free(w.pools);
		}
	}
}

/* ---- the scribe ------------------------------------------------------------------------------- */

static sem_t begun, go_on;
static struct serve_scribe *scribe;

static void write_long(void *arg, struct http_req *r)
{
	(void)arg;
	(void)sem_post(&begun);
	(void)sem_wait(&go_on);
	http_answer(r, 200, NULL, STR_LIT("long"));
}

static void long_one(void *arg, struct http_req *r)
{
	serve_scribe_hand(scribe, r, write_long, arg);
}

static void short_one(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer(r, 200, NULL, STR_LIT("short"));
}

static int get(int port, const char *path)
{
	_cleanup_(http_client_freep) struct http_client *c = NULL;
	_cleanup_http_reply_ struct http_reply r = HTTP_REPLY_INIT;
	autofree char *url = xasprintf("http://127.0.0.1:%d%s", port, path);
	struct http_call call = { .url = url, .by = deadline_in(60000) };
	assert_int_equal(http_client_new(NULL, &c, NULL), 0);
	int rc = http_call(c, &call, &r, NULL);
	return rc < 0 ? rc : r.status;
}

static void *ask_long(void *arg)
{
	return (void *)(intptr_t)get(*(const int *)arg, "/long");
}

static void a_short_answer_waits_for_no_long_one(void **state)
{
	(void)state;
	static const struct http_route routes[] = {
		{ .method = "GET", .path = "/long", .handler = long_one },
		{ .method = "GET", .path = "/short", .handler = short_one },
	};
	struct http_server_config c = { .listen = "127.0.0.1:0",
		                        .routes = routes,
		                        .n_routes = ARRAY_LEN(routes) };
	enum { ASKERS = 4 };
	struct http_server *s = NULL;
	pthread_t threads[ASKERS];
	(void)sem_init(&begun, 0, 0);
	(void)sem_init(&go_on, 0, 0);
	assert_int_equal(serve_scribe_start(&scribe, NULL), 0);
	assert_int_equal(http_server_start(&c, &s, NULL), 0);
	int port = http_server_port(s), refused = 0;
	for (size_t i = 0; i < ASKERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_long, &port), 0);
	(void)sem_wait(&begun);
	assert_int_equal(get(port, "/short"), 200);
	(void)sem_post(&go_on);
	(void)sem_wait(&begun); /* the second one is being written */
	assert_int_equal(get(port, "/short"), 200);
	for (size_t i = 0; i < ASKERS; i++)
		(void)sem_post(&go_on);
	serve_scribe_stop(scribe); /* what had not begun is refused */
	for (size_t i = 0; i < ASKERS; i++) {
		void *status = NULL;
		(void)pthread_join(threads[i], &status);
		assert_true((intptr_t)status == 200 || (intptr_t)status == 503);
		refused += (intptr_t)status == 503;
	}
	assert_in_range(refused, 0, ASKERS - 2);
	assert_int_equal(get(port, "/long"), 503);
	http_server_stop(s, 1000);
	serve_scribe_free(scribe);
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_that_stays_is_told_of_once),
		cmocka_unit_test(a_short_answer_waits_for_no_long_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

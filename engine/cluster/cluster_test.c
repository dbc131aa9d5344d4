#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/cluster/cluster_priv.h"
#include "engine/meta/txn.h"
#include "engine/sqlerr.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/net/http_server.h"

/* A worker that answers as rpc.h says, and remembers what it was told. */
struct worker {
	struct http_server *server;
	struct http_route routes[3];
	int port;
	const char *role;
	atomic_int slots, status, clones, keeps;
	atomic_bool draining;
	pthread_mutex_t lock;
	char *clone, *keep; /* the last bodies */
	int64_t id;
};

struct fixture {
	char dir[32];
	char *token;
	struct meta *m;
	struct cluster *c;
	struct worker w[2];
	atomic_int changes;
};

static void on_heartbeat(void *arg, struct http_req *r)
{
	struct worker *w = arg;
	if (atomic_load(&w->status) != 200) {
		http_answer_json(r, atomic_load(&w->status),
		                 "{\"v\":1,\"error\":{\"message\":\"another cluster's\"}}");
		return;
	}
	autofree char *text = xasprintf(
		"{\"v\":1,\"role\":\"%s\",\"cluster_id\":1,\"node_id\":1,\"version\":\"0.1\","
		"\"start_ts\":5,\"be_port\":9060,\"http_port\":8040,\"brpc_port\":%d,"
		"\"cpu_cores\":2,\"mem_limit\":100,\"mem_used\":1,\"running\":0,\"slots\":%d,"
		"\"draining\":%s,\"tablets\":0}",
		w->role, w->port, atomic_load(&w->slots),
		atomic_load(&w->draining) ? "true" : "false");
	http_answer_json(r, 200, text);
}

static void keep_body(struct worker *w, struct http_req *r, char **slot)
{
	pthread_mutex_lock(&w->lock);
	free(*slot);
	*slot = str_dup(http_req_body(r));
	pthread_mutex_unlock(&w->lock);
}

static void on_clone(void *arg, struct http_req *r)
{
	struct worker *w = arg;
	keep_body(w, r, &w->clone);
	atomic_fetch_add(&w->clones, 1);
	http_answer_json(r, 200, "{\"v\":1,\"copied\":1}");
}

static void on_keep(void *arg, struct http_req *r)
{
	struct worker *w = arg;
	keep_body(w, r, &w->keep);
	atomic_fetch_add(&w->keeps, 1);
	http_answer_json(r, 200, "{\"v\":1,\"deleted\":0}");
}

static void worker_start(struct fixture *f, struct worker *w, const char *role, int port)
{
	struct err err = ERR_INIT;
	struct http_route *routes = w->routes;
	routes[0] = (struct http_route){ .method = "POST",
		                         .path = "/rpc/v1/heartbeat",
		                         .handler = on_heartbeat,
		                         .token = true,
		                         .arg = w };
	routes[1] = (struct http_route){ .method = "POST",
		                         .path = "/rpc/v1/tablets/clone",
		                         .handler = on_clone,
		                         .token = true,
		                         .arg = w };
	routes[2] = (struct http_route){ .method = "POST",
		                         .path = "/rpc/v1/tablets/keep",
		                         .handler = on_keep,
		                         .token = true,
		                         .arg = w };
	autofree char *listen = xasprintf("127.0.0.1:%d", port);
	struct http_server_config config = {
		.listen = listen, .routes = routes, .n_routes = 3, .token_file = f->token
	};
	w->role = role;
	int rc = http_server_start(&config, &w->server, &err);
	if (rc < 0)
		fail_msg("%s", err.msg);
	w->port = http_server_port(w->server);
}

static int64_t submit(struct meta *m, enum meta_command command, json_t *p)
{
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *result = NULL;
	int rc = meta_submit(m, command, p, &result, &err);
	if (rc < 0)
		fail_msg("%s", err.msg);
	return data_get_int(result, "id", 0);
}

static int64_t add(struct fixture *f, const char *role, int port)
{
	return submit(f->m, META_ADD_NODE,
	              json_pack("{s:s, s:s, s:i, s:i}", "role", role, "host", "127.0.0.1",
	                        "heartbeat_port", port, "ts", 1));
}

static void changed(void *arg)
{
	struct fixture *f = arg;
	atomic_fetch_add(&f->changes, 1);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct fixture *f = xcalloc(1, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-cluster-XXXXXX");
	if (!mkdtemp(f->dir) || meta_open(f->dir, &f->m, &err) < 0)
		return -1;
	f->token = xasprintf("%s/token", f->dir);
	if (fd_write_file(f->token, "t0ken-t0ken-t0ken\n", 18, 0600, &err) < 0)
		return -1;
	for (int i = 0; i < 2; i++) {
		pthread_mutex_init(&f->w[i].lock, NULL);
		atomic_store(&f->w[i].status, 200);
		atomic_store(&f->w[i].slots, 4);
	}
	*state = f;
	return 0;
}

static void start(struct fixture *f)
{
	struct err err = ERR_INIT;
	struct cluster_config config = { .meta = f->m,
		                         .token_file = f->token,
		                         .fe_rpc = "127.0.0.1:9020",
		                         .heartbeat_ms = 30,
		                         .on_change = changed,
		                         .arg = f };
	assert_int_equal(cluster_start(&config, &f->c, &err), 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	cluster_stop(f->c);
	for (int i = 0; i < 2; i++) {
		if (f->w[i].server)
			http_server_stop(f->w[i].server, 0);
		pthread_mutex_destroy(&f->w[i].lock);
		free(f->w[i].clone);
		free(f->w[i].keep);
	}
	meta_close(f->m);
	int rc = fd_rm_rf(f->dir, &err);
	free(f->token);
	free(f);
	return rc;
}

/* Waits until the node is (not) alive, at most 5 s. */
static struct cluster_node wait_alive(struct fixture *f, int64_t id, bool alive)
{
	struct cluster_node n = { 0 };
	for (struct deadline by = deadline_in(30000); !deadline_passed(by); clock_sleep_ms(5))
		if (cluster_node(f->c, id, &n) && n.alive == alive)
			return n;
	fail_msg("node %lld is not %s: %s", (long long)id, alive ? "alive" : "dead", n.error);
	return n;
}

static void slots_are(struct fixture *f, int want_be, int want_cn)
{
	int be = -1, cn = -1;
	for (struct deadline by = deadline_in(30000); !deadline_passed(by); clock_sleep_ms(5)) {
		cluster_slots(f->c, &be, &cn);
		if (be == want_be && cn == want_cn)
			return;
	}
	fail_msg("%d BE and %d CN slots, not %d and %d", be, cn, want_be, want_cn);
}

static void nodes_come_and_go(void **state)
{
	struct fixture *f = *state;
	worker_start(f, &f->w[0], "be", 0);
	worker_start(f, &f->w[1], "cn", 0);
	int64_t be = add(f, "be", f->w[0].port);
	start(f);
	int64_t cn = add(f, "cn", f->w[1].port);
	cluster_kick(f->c);
	struct cluster_node n = wait_alive(f, be, true);
	assert_string_equal(n.version, "0.1");
	assert_int_equal(n.cpu_cores, 2);
	autofree char *rpc = xasprintf("127.0.0.1:%d", f->w[0].port);
	assert_string_equal(n.rpc, rpc);
	(void)wait_alive(f, cn, true);
	slots_are(f, 4, 4);
	struct cluster_node all[4];
	assert_int_equal(cluster_nodes(f->c, 1U << META_BE | 1U << META_CN, all, 4), 2);
	assert_int_equal(cluster_nodes(f->c, 1U << META_CN, all, 4), 1);
	assert_int_equal(all[0].id, cn);
	/* It drains: no slots from it any more, whoever says so. */
	atomic_store(&f->w[1].draining, true);
	slots_are(f, 4, 0);
	atomic_store(&f->w[1].draining, false);
	slots_are(f, 4, 4);
	/* Its process ends: a refused port is enough. */
	int before = atomic_load(&f->changes);
	http_server_stop(f->w[1].server, 0);
	f->w[1].server = NULL;
	cluster_suspect(f->c, cn);
	n = wait_alive(f, cn, false);
	assert_true(n.error[0] != '\0');
	slots_are(f, 4, 0);
	for (struct deadline by = deadline_in(30000); !deadline_passed(by); clock_sleep_ms(5))
		if (atomic_load(&f->changes) > before)
			break;
	assert_true(atomic_load(&f->changes) > before);
	/* And leaves the catalog. */
	(void)submit(f->m, META_DROP_NODE,
	             json_pack("{s:s, s:s, s:i}", "role", "cn", "host", "127.0.0.1",
	                       "heartbeat_port", f->w[1].port));
	assert_int_equal(cluster_nodes(f->c, 1U << META_BE | 1U << META_CN, all, 4), 1);
	assert_false(cluster_node(f->c, cn, &n));
}

static void a_worker_may_announce_its_drain(void **state)
{
	struct fixture *f = *state;
	worker_start(f, &f->w[0], "cn", 0);
	int64_t cn = add(f, "cn", f->w[0].port);
	start(f);
	(void)wait_alive(f, cn, true);
	slots_are(f, 0, 4);
	atomic_store(&f->w[0].draining, true);
	cluster_set_draining(f->c, cn, true);
	int be = 0, slots = 0;
	cluster_slots(f->c, &be, &slots);
	assert_int_equal(slots, 0); /* at once */
}

static void a_drain_may_be_asked_for(void **state)
{
	struct fixture *f = *state;
	worker_start(f, &f->w[0], "cn", 0);
	int64_t cn = add(f, "cn", f->w[0].port);
	start(f);
	(void)wait_alive(f, cn, true);
	slots_are(f, 0, 4);
	struct cluster_node n = { 0 };
	cluster_ask_drain(f->c, cn, 60000);
	slots_are(f, 0, 0);
	/* Heartbeats in which the worker says that it does not drain change nothing about it. */
	assert_true(cluster_node(f->c, cn, &n));
	int64_t before = n.last_heartbeat_ts;
	for (struct deadline by = deadline_in(20000);
	     n.last_heartbeat_ts <= before && !deadline_passed(by); clock_sleep_ms(5))
		assert_true(cluster_node(f->c, cn, &n));
	assert_true(n.last_heartbeat_ts > before && n.draining);
	slots_are(f, 0, 0);
	cluster_ask_drain(f->c, cn, 0);
	slots_are(f, 0, 4);
	/* Nobody renews it: it ends by itself. */
	cluster_ask_drain(f->c, cn, 50);
	slots_are(f, 0, 4);
}

static void refusals_are_told(void **state)
{
	struct fixture *f = *state;
	worker_start(f, &f->w[0], "cn", 0);
	worker_start(f, &f->w[1], "be", 0);
	atomic_store(&f->w[1].status, 409);
	int64_t wrong = add(f, "be", f->w[0].port), other = add(f, "be", f->w[1].port);
	start(f);
	struct cluster_node n = { 0 };
	for (struct deadline by = deadline_in(30000); !deadline_passed(by); clock_sleep_ms(5))
		if (cluster_node(f->c, wrong, &n) && n.error[0] && cluster_node(f->c, other, &n) &&
		    n.error[0])
			break;
	assert_false(n.alive);
	assert_non_null(strstr(n.error, "another cluster's"));
	assert_true(cluster_node(f->c, wrong, &n));
	assert_false(n.alive);
	assert_non_null(strstr(n.error, "is a cn, but was added as a be"));
}

/* Table d.t with one tablet of one rowset on the node. */
static int64_t one_tablet(struct fixture *f, int64_t node)
{
	struct err err = ERR_INIT;
	(void)submit(f->m, META_CREATE_DATABASE, json_pack("{s:s}", "name", "d"));
	(void)submit(f->m, META_CREATE_TABLE,
	             json_pack("{s:s, s:s, s:[{s:s, s:s, s:s}], s:i, s:i, s:s, s:[[I]]}", "db", "d",
	                       "name", "t", "columns", "name", "k", "type", "BIGINT", "declared",
	                       "bigint", "buckets", 1, "replication_num", 1, "storage", "local",
	                       "replicas", (json_int_t)node));
	_cleanup_meta_txn_ struct meta_txn_begun b;
	struct meta_txn_request rq = { .db = "d", .table = "t" };
	assert_int_equal(meta_txn_begin(f->m, &rq, &b, &err), 0);
	int64_t tablet = data_get_int(b.output, "tablets.0.id", 0), version = 0;
	_cleanup_json_ json_t *rowsets = json_pack(
		"[{s:I, s:s, s:i, s:i, s:s}]", "tablet", (json_int_t)tablet, "id",
		"0123456789abcdef0123456789abcdef", "rows", 1, "bytes", 2, "crc", "00000003");
	assert_int_equal(meta_txn_commit(f->m, b.txn, 1, 2, rowsets, &version, &err), 0);
	return tablet;
}

static void a_decommissioned_backend_is_emptied_and_leaves(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	worker_start(f, &f->w[0], "be", 0);
	worker_start(f, &f->w[1], "be", 0);
	int64_t from = add(f, "be", f->w[0].port);
	int64_t tablet = one_tablet(f, from);
	start(f);
	(void)wait_alive(f, from, true);
	assert_int_equal(cluster_can_decommission(f->c, from, &err), SQL_ERR(1064));
	assert_non_null(strstr(err.msg, "replication_num 1"));
	int64_t to = add(f, "be", f->w[1].port);
	cluster_kick(f->c);
	assert_int_equal(cluster_can_decommission(f->c, from, &err), 0);
	(void)submit(f->m, META_SET_NODE,
	             json_pack("{s:I, s:b}", "id", (json_int_t)from, "decommissioned", 1));
	cluster_kick(f->c);
	struct cluster_node n;
	struct deadline by = deadline_in(10000);
	while (cluster_node(f->c, from, &n) && !deadline_passed(by))
		clock_sleep_ms(5);
	assert_false(cluster_node(f->c, from, &n));
	assert_true(cluster_node(f->c, to, &n));
	assert_int_equal(n.tablets, 1);
	assert_int_equal(atomic_load(&f->w[1].clones), 1);
	assert_int_equal(atomic_load(&f->w[0].clones), 0);
	_cleanup_json_ json_t *told = NULL;
	assert_int_equal(data_json_parse(str_of(f->w[1].clone), &told, &err), 0);
	assert_int_equal(data_get_int(told, "tablet", 0), tablet);
	assert_string_equal(data_get_str(told, "rowsets.0.crc"), "00000003");
	autofree char *source = xasprintf("127.0.0.1:%d", f->w[0].port);
	assert_string_equal(data_get_str(told, "from"), source);
}

static void garbage_is_named_a_round_late(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	worker_start(f, &f->w[0], "be", 0);
	int64_t be = add(f, "be", f->w[0].port);
	(void)one_tablet(f, be);
	start(f);
	(void)wait_alive(f, be, true);
	_cleanup_(http_client_freep) struct http_client *http = NULL;
	assert_int_equal(http_client_new(NULL, &http, &err), 0);
	json_t *kept = cluster_keep_round(f->c, http, NULL);
	assert_int_equal(atomic_load(&f->w[0].keeps), 0); /* nothing is known of before */
	(void)submit(f->m, META_DROP_TABLE, json_pack("{s:s, s:s}", "db", "d", "name", "t"));
	kept = cluster_keep_round(f->c, http, kept);
	assert_int_equal(atomic_load(&f->w[0].keeps), 1);
	assert_non_null(strstr(f->w[0].keep, "0123456789abcdef0123456789abcdef"));
	kept = cluster_keep_round(f->c, http, kept);
	assert_null(strstr(f->w[0].keep, "0123456789abcdef0123456789abcdef"));
	_cleanup_json_ json_t *told = NULL;
	assert_int_equal(data_json_parse(str_of(f->w[0].keep), &told, &err), 0);
	assert_true(data_get_int(told, "grace_ms", 0) >= 600000);
	assert_true(json_is_array(data_get(told, "tablets")));
	json_decref(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nodes_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(a_worker_may_announce_its_drain, setup, teardown),
		cmocka_unit_test_setup_teardown(a_drain_may_be_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(a_decommissioned_backend_is_emptied_and_leaves,
		                                setup, teardown),
		cmocka_unit_test_setup_teardown(garbage_is_named_a_round_late, setup, teardown),
	};
	(void)setenv("ROOST_LOG", "error", 1);
	log_init(
		"test"); /* starts threads by cluster_start(): pthread_create, so TSan runs it too */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

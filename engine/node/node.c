#include "engine/node/node.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/node/machine.h"
#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum {
	COPY_THREADS = 4,
	BEGIN_THREADS =
		4, /* of Stream Loads; not the loads' own, which may all be busy for minutes */
	LOAD_THREADS = 8,
	KEEPER_MS = 10 * 1000,
	ERROR_LOG_AGE_S = 24 * 3600,
	STOP_MS = 20 * 1000,
	STOP_GRACE_MS = 1000,
	EXEC_MEMORY_PERCENT = 70,
	IDLE_S = 120,
};

bool node_refuses(const struct node *n)
{
	return atomic_load(&n->state) >= NODE_REFUSING;
}

void node_set_state(struct node *n, enum node_state state)
{
	int is = atomic_load(&n->state);
	while (is < (int)state && !atomic_compare_exchange_weak(&n->state, &is, (int)state))
		;
}

int node_heartbeat_port(const struct node *n)
{
	return http_server_port(n->heartbeat_server);
}

int node_brpc_port(const struct node *n)
{
	return http_server_port(n->brpc_server);
}

int node_http_port(const struct node *n)
{
	return http_server_port(n->web_server);
}

/* == servers ================================================================================================= */
static int serve(struct node *n, const char *key, int port, const struct http_route *routes,
                 size_t count, unsigned threads, struct http_server **ret, struct err *err)
{
	_cleanup_buf_ struct buf listen = BUF_INIT(256);
	struct http_server_config config = {
		.routes = routes,
		.n_routes = count,
		.limits = { .body_bytes = RPC_BODY_MAX, .idle_s = IDLE_S, .threads = threads },
		.token_file = n->config.token_file
	};
	const char *host = n->config.bind_address;
	(void)buf_addf(&listen, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
	config.listen = buf_cstr(&listen);
	int rc = http_server_start(&config, ret, err);
	return rc < 0 ? err_wrap(err, "%s %d", key, port) : 0;
}

/* Routes are borrowed by their server, so they live as long as the node. */
struct routes {
	struct http_route heartbeat[1], brpc[9], web[5];
};

static struct routes *routes_new(struct node *n)
{
	const struct routes r = {
		.heartbeat = { { .method = "POST",
		                 .path = "/rpc/v1/heartbeat",
		                 .handler = node_heartbeat } },
		.brpc = { { .method = "POST", .path = "/rpc/v1/tasks", .handler = node_rpc_tasks },
		          { .method = "DELETE",
		            .path = "/rpc/v1/tasks/*",
		            .handler = node_rpc_task_delete },
		          { .method = "DELETE",
		            .path = "/rpc/v1/queries/*",
		            .handler = node_rpc_query_delete },
		          { .method = "GET",
		            .path = "/rpc/v1/exchange/*",
		            .handler = node_rpc_exchange },
		          { .method = "POST",
		            .path = "/rpc/v1/tablets/clone",
		            .handler = node_rpc_clone },
		          { .method = "POST",
		            .path = "/rpc/v1/tablets/keep",
		            .handler = node_rpc_keep },
		          { .method = "GET",
		            .path = "/rpc/v1/tablets/*",
		            .handler = node_rpc_tablet_get },
		          { .method = "PUT",
		            .path = "/rpc/v1/tablets/*",
		            .body = HTTP_BODY_STREAM,
		            .stream = &node_rpc_tablet_put },
		          { .method = "POST",
		            .path = "/rpc/v1/drain",
		            .handler = node_rpc_drain } },
		.web = { { .method = "GET", .path = "/api/health", .handler = node_web_health },
		         { .method = "GET", .path = "/metrics", .handler = node_web_metrics },
		         { .method = "GET",
		           .path = "/api/datacache/stat",
		           .handler = node_web_cache },
		         { .method = "GET",
		           .path = "/api/_load_error_log",
		           .handler = node_web_error_log },
		         { .method = "PUT",
		           .path = "/api/*",
		           .body = HTTP_BODY_STREAM,
		           .stream = &node_load_stream } },
	};
	struct routes *copy = xmalloc(sizeof(*copy));
	*copy = r;
	copy->heartbeat[0].arg = n;
	copy->heartbeat[0].token = true;
	for (size_t i = 0; i < ARRAY_LEN(copy->brpc); i++) {
		copy->brpc[i].arg = n;
		copy->brpc[i].token = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(copy->web); i++)
		copy->web[i].arg = n;
	return copy;
}

/* The web port first: it says "starting" while the others come; the heartbeat last, since it invites tasks. */
static int start_servers(struct node *n, struct err *err)
{
	const struct node_config *c = &n->config;
	struct routes *r = n->routes;
	int rc = serve(n, c->role == NODE_BE ? "be_http_port" : "webserver_port", c->http_port,
	               r->web, ARRAY_LEN(r->web), 2, &n->web_server, err);
	if (rc == 0)
		rc = serve(n, "brpc_port", c->brpc_port, r->brpc, ARRAY_LEN(r->brpc), 2,
		           &n->brpc_server, err);
	if (rc == 0)
		rc = serve(n, "heartbeat_service_port", c->heartbeat_port, r->heartbeat,
		           ARRAY_LEN(r->heartbeat), 1, &n->heartbeat_server, err);
	return rc;
}

/* == disk and executor ======================================================================================= */
static int start_executor(struct node *n, struct err *err)
{
	const char *spill = store_spill_root(n->spill);
	n->exec_dirs[0] = xasprintf("%s/data", n->config.storage_path);
	n->exec_dirs[1] = xstrdup(n->config.cache_path);
	n->exec_dirs[2] = xasprintf("%s/work", spill);
	n->exec_dirs[3] = xasprintf("%s/duckdb", spill);
	const char *const reads[] = { n->exec_dirs[0], n->exec_dirs[1], NULL };
	const char *const writes[] = { n->exec_dirs[2], NULL };
	const struct exec_config config = {
		.mode = EXEC_TASKS,
		.program = n->config.duck,
		.memory_limit = n->config.mem_limit / 100 * EXEC_MEMORY_PERCENT,
		.rss_limit = n->config.mem_limit,
		.concurrency = 2 * n->config.slots + 2,
		.temp_dir = n->exec_dirs[3],
		.read_dirs = reads,
		.write_dirs = writes,
	};
	return exec_open(&config, &n->exec, err);
}

static int open_disk(struct node *n, struct err *err)
{
	const struct node_config *c = &n->config;
	int rc = store_open(c->storage_path, &n->store, err);
	if (rc == 0)
		rc = node_cluster_load(n, err);
	if (rc == 0)
		rc = store_spill_open(c->storage_path, &n->spill, err);
	if (rc == 0)
		rc = store_cache_open(c->cache_path, c->cache_bytes, &n->cache, err);
	return rc;
}

/* == housekeeping ============================================================================================ */
static void expire_error_logs(const struct node *n)
{
	autofree char *dir = xasprintf("%s/error_log", n->config.storage_path);
	DIR *d = opendir(dir);
	const struct dirent *e;
	time_t before = time(NULL) - ERROR_LOG_AGE_S;
	while (d && (e = readdir(d)) != NULL) {
		struct stat st;
		autofree char *path = xasprintf("%s/%s", dir, e->d_name);
		if (e->d_name[0] != '.' && lstat(path, &st) == 0 && st.st_mtime < before)
			(void)unlink(path);
	}
	if (d)
		(void)closedir(d);
}

static void *keeper(void *arg)
{
	struct node *n = arg;
	(void)pthread_mutex_lock(&n->lock);
	while (atomic_load(&n->state) != NODE_STOPPING) {
		int64_t at = clock_mono_ms() + KEEPER_MS;
		struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
		(void)pthread_cond_timedwait(&n->wake, &n->lock, &until);
		(void)pthread_mutex_unlock(&n->lock);
		size_t old = store_spill_expire(n->spill, SPILL_AGE_MS);
		if (old)
			log_info("queries=%zu their exchange files were left behind", old);
		node_tasks_expire(n->tasks, SPILL_AGE_MS);
		expire_error_logs(n);
		(void)pthread_mutex_lock(&n->lock);
	}
	(void)pthread_mutex_unlock(&n->lock);
	return NULL;
}

/* == start =================================================================================================== */
static void copy_config(const struct node_config *from, struct node_config *to)
{
	*to = *from;
	to->bind_address = xstrdup(from->bind_address);
	to->storage_path = xstrdup(from->storage_path);
	to->cache_path = from->cache_path ? xstrdup(from->cache_path)
	                                  : xasprintf("%s/datacache", from->storage_path);
	to->token_file = xstrdup(from->token_file);
	to->duck = from->duck ? xstrdup(from->duck) : NULL;
}

static struct node *node_new(const struct node_config *config)
{
	struct node *n = xcalloc(1, sizeof(*n));
	pthread_condattr_t attr;
	copy_config(config, &n->config);
	(void)pthread_mutex_init(&n->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&n->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	n->start_ms = clock_real_ms();
	n->cores = node_machine_cores();
	/* The FE decides how much runs here; threads beyond the slots serve retries and duplicates. */
	n->task_pool = node_pool_new((unsigned)config->slots * 4 + 8);
	n->begin_pool = node_pool_new(BEGIN_THREADS);
	n->load_pool = node_pool_new(LOAD_THREADS);
	n->copy_pool = node_pool_new(COPY_THREADS);
	n->tasks = node_tasks_new(n);
	n->routes = routes_new(n);
	return n;
}

int node_start(const struct node_config *config, struct node **ret, struct err *err)
{
	_cleanup_(node_stopp) struct node *n = node_new(config);
	int rc = open_disk(n, err);
	if (rc == 0)
		rc = start_executor(n, err);
	if (rc == 0)
		rc = start_servers(n, err);
	if (rc < 0)
		return rc;
	n->keeper_runs = pthread_create(&n->keeper, NULL, keeper, n) == 0;
	node_set_state(n, NODE_RUNNING);
	*ret = TAKE_PTR(n);
	return 0;
}

/* == drain, stop ============================================================================================= */
static bool hurried(bool (*hurry)(void *arg), void *arg)
{
	return hurry && hurry(arg);
}

/* Until the FE has heard it, or nobody is there to hear it. */
static void tell_front_end(struct node *n, bool (*hurry)(void *arg), void *arg)
{
	struct deadline by = deadline_in(NODE_FE_CALL_MS);
	(void)pthread_mutex_lock(&n->lock);
	int64_t id = n->node_id;
	(void)pthread_mutex_unlock(&n->lock);
	_cleanup_json_ json_t *m =
		json_pack("{s:i, s:I, s:s, s:b}", "v", RPC_VERSION, "node_id", (json_int_t)id,
	                  "role", n->config.role == NODE_BE ? "be" : "cn", "draining", 1);
	while (id && !deadline_passed(by) && !hurried(hurry, arg)) {
		_cleanup_json_ json_t *reply = NULL;
		struct err err = ERR_INIT;
		int status = 0;
		int rc = node_fe_call(n, "/rpc/v1/node/draining", m,
		                      deadline_min(by, deadline_in(1000)), &status, &reply, &err);
		if (rc == 0 && status == 200)
			return;
		log_debug("draining is not heard yet: %s", rc < 0 ? err.msg : "refused");
		clock_sleep_ms(200);
	}
}

static bool idle(struct node *n)
{
	return !node_tasks_running(n->tasks) && !atomic_load(&n->loads) &&
	       !node_pool_pending(n->copy_pool);
}

void node_drain(struct node *n, bool (*hurry)(void *arg), void *arg)
{
	struct deadline by = deadline_in(n->config.drain_timeout_ms);
	log_info("draining: running=%zu loads=%d", node_tasks_running(n->tasks),
	         atomic_load(&n->loads));
	node_set_state(n, NODE_DRAINING);
	tell_front_end(n, hurry, arg);
	struct deadline window = deadline_min(by, deadline_in(n->config.drain_accept_ms));
	while (!deadline_passed(window) && !hurried(hurry, arg))
		clock_sleep_ms(20);
	node_set_state(n, NODE_REFUSING);
	while (!deadline_passed(by) && !hurried(hurry, arg) &&
	       !(idle(n) && store_spill_queries(n->spill) == 0))
		clock_sleep_ms(50);
	log_info("drained: running=%zu loads=%d queries_with_exchange_files=%zu",
	         node_tasks_running(n->tasks), atomic_load(&n->loads),
	         store_spill_queries(n->spill));
}

static void free_clients(struct node *n)
{
	for (size_t i = 0; i < n->n_clients; i++)
		http_client_free(n->clients[i]);
	for (size_t i = 0; i < n->n_s3_clients; i++)
		s3_client_free(n->s3_clients[i]);
}

/* Requests that are held are answered before their servers end, and jobs end before what they use. */
static void stop_threads(struct node *n)
{
	struct deadline by = deadline_in(STOP_MS);
	node_set_state(n, NODE_STOPPING);
	node_tasks_cancel_all(n->tasks);
	while (!idle(n) && !deadline_passed(by))
		clock_sleep_ms(10);
	if (n->heartbeat_server)
		http_server_stop(n->heartbeat_server, STOP_GRACE_MS);
	if (n->brpc_server)
		http_server_stop(n->brpc_server, STOP_GRACE_MS);
	if (n->web_server)
		http_server_stop(n->web_server, STOP_GRACE_MS);
	node_pool_free(n->task_pool);
	node_pool_free(n->begin_pool);
	node_pool_free(n->load_pool);
	node_pool_free(n->copy_pool);
	if (n->keeper_runs) {
		(void)pthread_mutex_lock(&n->lock);
		(void)pthread_cond_signal(&n->wake);
		(void)pthread_mutex_unlock(&n->lock);
		(void)pthread_join(n->keeper, NULL);
	}
}

void node_stop(struct node *n)
{
	if (!n)
		return;
	stop_threads(n);
	exec_close(n->exec);
	node_tasks_free(n->tasks);
	free_clients(n);
	store_cache_close(n->cache);
	store_spill_close(n->spill);
	store_close(n->store);
	for (size_t i = 0; i < ARRAY_LEN(n->exec_dirs); i++)
		free(n->exec_dirs[i]);
	(void)pthread_cond_destroy(&n->wake);
	(void)pthread_mutex_destroy(&n->lock);
	node_config_free(&n->config);
	free(n->routes);
	free(n);
}

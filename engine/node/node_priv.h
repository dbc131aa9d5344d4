/* Inside the room: the node's parts, and what its files offer each other.
 *
 * Thread: struct node's fields are set before any thread runs, but for those under `lock`. */
#ifndef ROOST_ENGINE_NODE_NODE_PRIV_H
#define ROOST_ENGINE_NODE_NODE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/exec/exec.h"
#include "engine/node/fail.h"
#include "engine/node/node.h"
#include "engine/node/pool.h"
#include "engine/node/task.h"
#include "engine/s3/s3.h"
#include "engine/store/cache.h"
#include "engine/store/spill.h"
#include "engine/store/store.h"
#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

enum node_state { NODE_STARTING, NODE_RUNNING, NODE_DRAINING, NODE_REFUSING, NODE_STOPPING };

enum {
	NODE_CLIENTS_KEPT = 32,
	NODE_SMALL_ANSWER = 1024 * 1024,
	NODE_FE_CALL_MS = 5000,
};

struct node_counters {
	atomic_uint_fast64_t tasks_ok, tasks_failed, tasks_cancelled;
	atomic_uint_fast64_t loads_ok, loads_failed, load_bytes, load_rows;
	atomic_uint_fast64_t exchange_bytes_sent, exchange_bytes_fetched;
	atomic_uint_fast64_t replicas_received, replicas_sent;
};

struct node_tasks;
struct routes;

struct node {
	struct node_config config;
	int cores;
	int64_t start_ms;
	struct store *store;
	struct store_spill *spill;
	struct store_cache *cache;
	struct exec *exec;
	char *exec_dirs[4];
	struct node_pool *task_pool, *begin_pool, *load_pool, *copy_pool;
	struct node_tasks *tasks;
	struct routes *routes;
	struct http_server *heartbeat_server, *brpc_server, *web_server;
	pthread_t keeper; /* ages, expires */
	bool keeper_runs;
	atomic_int state; /* enum node_state */
	atomic_int loads; /* from their first byte to their answer */
	struct node_counters count;

	pthread_mutex_t lock;        /* for what follows */
	pthread_cond_t wake;         /* of the keeper */
	int64_t cluster_id, node_id; /* 0: not known yet */
	int64_t last_heartbeat_ms;   /* monotonic; 0: none yet */
	char fe[NODE_ADDR_MAX];      /* "" until the first heartbeat */
	char self[NODE_ADDR_MAX];    /* "host:brpc_port", as the FE reaches this node */
	struct http_client *clients[NODE_CLIENTS_KEPT];
	size_t n_clients;
	struct s3_client *s3_clients[NODE_CLIENTS_KEPT];
	size_t n_s3_clients;
};

/* == client.c: calls to others ============================================================================ */
/* A kept connection set; NULL only when none can be made (err filled). */
struct http_client *node_client_take(struct node *n, struct err *err);
void node_client_give(struct node *n, struct http_client *c);
struct s3_client *node_s3_take(struct node *n, struct err *err);
void node_s3_give(struct node *n, struct s3_client *c);
/* The token of the file, "" when it cannot be read; mem_free_secret(). */
char *node_token(const struct node *n);
/* Whether addr ("host:port") is this node's own. */
bool node_is_self(struct node *n, const char *addr);
void node_self(struct node *n, char out[NODE_ADDR_MAX]);
/* POST of a JSON message to the FE. *ret_reply: its JSON object or NULL. Negative when no answer came;
 * else 0 with *ret_status. */
int node_fe_call(struct node *n, const char *path, const json_t *message, struct deadline by,
                 int *ret_status, json_t **ret_reply, struct err *err);

/* == tasks.c: attempts, their answers, their cancelling ===================================================== */
struct node_run; /* a running attempt */
struct node_tasks *node_tasks_new(struct node *n);
void node_tasks_free(struct node_tasks *t);
/* Runs the task, or joins the attempt that runs already, or repeats its answer; answers req in any case. */
void node_tasks_submit(struct node_tasks *t, struct node_task *task /* taken over */,
                       struct http_req *req);
void node_tasks_cancel(struct node_tasks *t, const struct store_attempt *id);
void node_tasks_cancel_query(struct node_tasks *t, const char *query);
void node_tasks_cancel_all(struct node_tasks *t);
size_t node_tasks_running(struct node_tasks *t);
size_t node_tasks_most(struct node_tasks *t);
void node_tasks_expire(struct node_tasks *t, int64_t age_ms);

/* What the steps of a task or load share. */
struct node_ctx {
	struct node *node;
	struct store_attempt id;
	struct deadline by;
	bool (*should_stop)(void *arg); /* cancelled, out of time, nobody waits any more */
	void *arg;
	char *scratch; /* its folder */
	pthread_mutex_t *fail_lock;
	struct node_fail *fail; /* the first failure, under fail_lock */
};
/* The steps fail with -1 and ctx->fail filled. */
int node_ctx_fail(struct node_ctx *c, const char *code, bool retryable, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int node_ctx_fail_err(struct node_ctx *c, const struct err *err);
bool node_ctx_failed(struct node_ctx *c);

/* == run.c ================================================================================================== */
/* The whole of a task: inputs, executor, output. 0: *ret_text is the answer. */
int node_run_task(struct node_ctx *c, const struct node_task *task, char **ret_text);
/* One request of the executor; the reply also when it failed (for its "load"). */
int node_run_exec(struct node_ctx *c, json_t *request /* stolen */, json_t **ret_reply);

/* == fetch.c: inputs become local files ===================================================================== */
struct node_inputs; /* what has to be given back: pins and cached objects */
int node_fetch(struct node_ctx *c, const json_t *inputs, json_t **ret_exec_inputs,
               struct node_inputs **ret);
void node_inputs_free(struct node_ctx *c, struct node_inputs *i);

/* == sink.c: the output ===================================================================================== */
/* What the executor is told to write. */
json_t *node_sink_request(struct node_ctx *c, const json_t *output);
/* Takes what it wrote to where it belongs and adds "rowsets" or "objects" to answer. */
int node_sink_finish(struct node_ctx *c, const json_t *output, const json_t *reply, json_t *answer);

/* == rpc.c, heartbeat.c, web.c, load.c: routes =============================================================== */
extern const struct http_stream node_rpc_tablet_put; /* arg: struct node */
void node_rpc_tasks(void *arg, struct http_req *req);
void node_rpc_task_delete(void *arg, struct http_req *req);
void node_rpc_query_delete(void *arg, struct http_req *req);
void node_rpc_exchange(void *arg, struct http_req *req);
void node_rpc_tablet_get(void *arg, struct http_req *req);
void node_rpc_clone(void *arg, struct http_req *req);
void node_rpc_keep(void *arg, struct http_req *req);
void node_rpc_drain(void *arg, struct http_req *req);
void node_heartbeat(void *arg, struct http_req *req);
/* The first cluster that this disk belonged to; 0 for none. */
int node_cluster_load(struct node *n, struct err *err);
void node_web_health(void *arg, struct http_req *req);
void node_web_metrics(void *arg, struct http_req *req);
void node_web_cache(void *arg, struct http_req *req);
void node_web_error_log(void *arg, struct http_req *req);
extern const struct http_stream node_load_stream; /* arg: struct node */

/* Whether new work is refused, and by what state. */
bool node_refuses(const struct node *n);
void node_set_state(struct node *n, enum node_state state); /* never goes back */

#endif

/* The front of a worker (BE or CN): heartbeats, tasks, replicas, Stream Load, health, metrics, drain.
 *
 * Thread: node_start(), node_drain() and node_stop() by one thread; everything inside has threads of its own.
 * Ownership: the config is copied. Messages: engine/rpc.h; user-facing HTTP: StarRocks' BE and CN. */
#ifndef ROOST_ENGINE_NODE_NODE_H
#define ROOST_ENGINE_NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/mem.h"

#define NODE_VERSION "0.1.0"

enum node_role { NODE_BE, NODE_CN };

struct node_config {
	enum node_role role;
	char *bind_address; /* "0.0.0.0", "::", "127.0.0.1" */
	int heartbeat_port, be_port /* reported, not served */, http_port, brpc_port;
	char *storage_path; /* data, spill and, unless cache_path says otherwise, the object cache */
	char *cache_path;   /* NULL: storage_path/datacache */
	int64_t cache_bytes;
	int64_t mem_limit; /* of the whole worker; executors get 70% of it */
	int slots;
	char *token_file;
	int64_t load_max_bytes; /* body of one Stream Load */
	int64_t drain_timeout_ms, drain_accept_ms;
	char *duck; /* the executor's program; NULL: as engine/exec finds it */
};
/* Reads StarRocks' be.conf or cn.conf. -EINVAL: the message is one line that names key and allowed range.
 *   be_port|thrift_port 9060, be_http_port|webserver_port 8040, heartbeat_service_port|heartbeat_port 9050,
 *   brpc_port 8060                 1..65535, the three that are served differ
 *   storage_root_path              required: one absolute path, its attributes (",medium:ssd") are ignored
 *   mem_limit 90%                  of the control group or host, at least 256M; executors get 70% of it
 *   datacache_disk_path (storage_root_path/datacache), datacache_disk_size 80% of what is free
 *   streaming_load_max_mb 10240    1..1048576
 *   roost_slots                    1..1024, else the processors
 *   roost_bind_address 0.0.0.0, roost_token_file (else ROOST_TOKEN_FILE): required, not empty
 *   roost_drain_timeout_s 110 (0..86400), roost_drain_accept_ms 2000 (0..60000): how long tasks are still accepted
 *                                  after the FE has heard of the drain */
int node_config_load(const char *path, enum node_role role, struct node_config *ret,
                     struct err *err);
void node_config_free(struct node_config *c);

struct node;
/* -EADDRINUSE names the port. */
int node_start(const struct node_config *config, struct node **ret, struct err *err);
/* The real ports, for configs that asked for port 0. */
int node_heartbeat_port(const struct node *n);
int node_brpc_port(const struct node *n);
int node_http_port(const struct node *n);
/* Finishes what runs: tells the FE, refuses new tasks after a short window, returns when running tasks and loads
 * have ended and no query needs this node's exchange files, or when drain_timeout_ms is over, or when `hurry`
 * (may be NULL) says so. */
void node_drain(struct node *n, bool (*hurry)(void *arg), void *arg);
/* Cancels what runs and ends every thread. */
void node_stop(struct node *n);
DEFINE_CLEANUP(struct node, node_stop)

#endif

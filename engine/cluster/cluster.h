/* Who is alive: heartbeats to every BE and CN of the catalog, and what each said last.
 *
 * Thread: safe; two threads of its own: one sends the heartbeats (all at once, each with a deadline), the other drives
 * decommissions (tablet copies, then set_replicas, then the node leaves the catalog) and collects garbage on the BEs.
 * Ownership: results are copies.
 * A node is alive while its last good answer is younger than CLUSTER_ALIVE_MS and its port does not refuse. */
#ifndef ROOST_ENGINE_CLUSTER_CLUSTER_H
#define ROOST_ENGINE_CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/meta/meta.h"
#include "lib/base/err.h"

enum { CLUSTER_ALIVE_MS = 5000, CLUSTER_NODES_MAX = 10000 };

struct cluster;

struct cluster_node {
	int64_t id;
	enum meta_role role;
	char host[META_NAME_MAX];
	int heartbeat_port, be_port, http_port, brpc_port;
	char rpc[META_NAME_MAX + 16]; /* "host:brpc_port", IPv6 bracketed */
	bool alive, draining, decommissioned;
	char version[64], error[256]; /* error: of the last failed heartbeat */
	int64_t start_ts, last_heartbeat_ts, added_ts;
	int cpu_cores, slots, running; /* running: tasks, as the node said; see admit for ours */
	int64_t mem_limit, mem_used, disk_total, disk_avail, data_used;
	int64_t cached_bytes; /* of objects in buckets */
	size_t tablets;       /* of the catalog */
};

struct cluster_config {
	struct meta *meta;
	const char *token_file; /* may be NULL: tests only */
	const char *fe_rpc;     /* "host:rpc_port" that workers are told */
	int heartbeat_ms;       /* 0: RPC_HEARTBEAT_MS */
	void (*on_change)(
		void *arg); /* membership, liveness or slots changed; called without locks held */
	void *arg;
};
int cluster_start(const struct cluster_config *config, struct cluster **ret, struct err *err);
void cluster_stop(struct cluster *c);

/* Copies at most max nodes of the roles asked (bits 1 << META_BE, 1 << META_CN), sorted by id. */
size_t cluster_nodes(struct cluster *c, unsigned roles, struct cluster_node *out, size_t max);
/* All of those roles; free() them. Never NULL. */
struct cluster_node *cluster_list(struct cluster *c, unsigned roles, size_t *ret_n);
bool cluster_node(struct cluster *c, int64_t id, struct cluster_node *out);
/* Asks for heartbeats now (after ADD), without waiting. */
void cluster_kick(struct cluster *c);
/* A worker said so itself (rpc node/draining): no new tasks from this moment. */
void cluster_set_draining(struct cluster *c, int64_t node, bool draining);
/* Somebody is about to take it away: no new tasks for so long; 0 takes that back. In this FE's memory only, and over
 * after that time, so that a node whose remover died is not idle for ever. */
void cluster_ask_drain(struct cluster *c, int64_t node, int64_t ms);
/* A task's connection to it broke: looked at at once. */
void cluster_suspect(struct cluster *c, int64_t node);
/* Milliseconds since its last good heartbeat; 0 while it is alive, and for one that is not known. */
int64_t cluster_silent_ms(struct cluster *c, int64_t node);
/* For ALTER SYSTEM DECOMMISSION BACKEND: 0, or an SQL_ERR refusal when the BEs that would stay are fewer than the
 * largest replication_num in use. */
int cluster_can_decommission(struct cluster *c, int64_t node, struct err *err);
/* The sum of the slots of the alive, not draining nodes of each kind: for admit_set_capacity(). */
void cluster_slots(struct cluster *c, int *ret_be, int *ret_cn);

#endif

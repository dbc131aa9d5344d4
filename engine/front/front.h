/* The FE's HTTP: health, metrics, what the scaler reads, Stream Load's redirect, the web page (http_port), and the
 * calls of workers (rpc_port, engine/rpc.h).
 *
 * Thread: start and stop by one thread, the rest from any. Ownership: config is copied; what it points at is borrowed
 * until front_stop(). Trust: rpc_port takes the node-to-node token; Stream Load and the page's data take MySQL users
 * (HTTP Basic); health, metrics and the load document are open, as in StarRocks, and hold no statement and no name
 * of a user (docs/decisions/0040). */
#ifndef ROOST_ENGINE_FRONT_FRONT_H
#define ROOST_ENGINE_FRONT_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"

struct meta;
struct cluster;
struct admit;
struct front;

struct front_stats {                    /* what sql/ counts; fe_main brings it */
	uint64_t connections;           /* open now */
	uint64_t queries, query_errors; /* since the start */
	double query_seconds;           /* the sum of their latencies */
};

struct front_config {
	struct meta *meta;
	struct cluster *cluster;
	struct admit *admit;
	const char *listen_address; /* "0.0.0.0", "127.0.0.1", "::" */
	int http_port, rpc_port;    /* 0: any free one */
	int query_port;             /* told by /api/bootstrap */
	const char *token_file;
	bool load_needs_token;         /* GET /api/roost/load asks for the token, too */
	const char *version;           /* "8.0.33-roost-0.1.0" */
	const char *name;              /* of the cluster or FE, on the page */
	const char *s3_json, *s3_path; /* meta/txn.h */
	void (*stats)(void *arg, struct front_stats *ret); /* may be NULL */
	void *arg;
};
int front_start(const struct front_config *config, struct front **ret, struct err *err);
/* From now on /api/health says 500, so that load balancers look elsewhere; all else goes on. */
void front_set_draining(struct front *f);
void front_stop(struct front *f, int64_t grace_ms);
int front_http_port(const struct front *f);
int front_rpc_port(const struct front *f);

#endif

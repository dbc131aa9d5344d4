/* What struct front is made of, and its handlers: for the files of engine/front only. */
#ifndef ROOST_ENGINE_FRONT_FRONT_PRIV_H
#define ROOST_ENGINE_FRONT_FRONT_PRIV_H

#include <stdatomic.h>

#include <jansson.h>

#include "engine/admit/admit.h"
#include "engine/cluster/cluster.h"
#include "engine/front/front.h"
#include "engine/meta/meta.h"
#include "lib/net/http_server.h"

enum { FRONT_ROUTES_MAX = 16, FRONT_QUERIES_SHOWN = 200 };

struct front {
	struct front_config config;
	struct http_server *http, *rpc;
	struct http_route http_routes[FRONT_ROUTES_MAX], rpc_routes[FRONT_ROUTES_MAX];
	int64_t start_ts;
	atomic_bool draining;
	atomic_uint next_worker; /* round robin of the redirects */
};

/* http_port */
void front_health(void *front, struct http_req *r);
void front_bootstrap(void *front, struct http_req *r);
void front_metrics(void *front, struct http_req *r);
void front_load_document(void *front, struct http_req *r);
void front_drain(void *front, struct http_req *r);
void front_ui(void *front, struct http_req *r);
void front_page(void *front, struct http_req *r);
extern const struct http_stream front_stream_load;
/* rpc_port */
void front_load_begin(void *front, struct http_req *r);
void front_load_commit(void *front, struct http_req *r);
void front_load_abort(void *front, struct http_req *r);
void front_node_draining(void *front, struct http_req *r);

struct front_stats front_get_stats(struct front *f);
/* Answers with the JSON (stolen). */
void front_answer(struct http_req *r, int status, json_t *j);

#endif

#include "engine/front/front.h"

#include "engine/front/front_priv.h"
#include "engine/rpc.h"
#include "lib/data/json.h"

static void set_routes(struct front *f)
{
	const struct http_route http[] = {
		{ .method = "GET", .path = "/api/health", .handler = front_health },
		{ .method = "GET", .path = "/api/bootstrap", .handler = front_bootstrap },
		{ .method = "GET", .path = "/metrics", .handler = front_metrics },
		{ .method = "GET",
		  .path = "/api/roost/load",
		  .handler = front_load_document,
		  .token = f->config.load_needs_token },
		{ .method = "POST",
		  .path = "/api/roost/drain",
		  .handler = front_drain,
		  .token = true },
		{ .method = "GET", .path = "/api/roost/ui", .handler = front_ui },
		{ .method = "GET", .path = "/", .handler = front_page },
		{ .method = "GET", .path = "/web/*", .handler = front_page },
		{ .method = "PUT",
		  .path = "/api/*",
		  .body = HTTP_BODY_STREAM,
		  .stream = &front_stream_load },
	};
	const struct http_route rpc[] = {
		{ .method = "POST", .path = "/rpc/v1/load/begin", .handler = front_load_begin },
		{ .method = "POST", .path = "/rpc/v1/load/commit", .handler = front_load_commit },
		{ .method = "POST", .path = "/rpc/v1/load/abort", .handler = front_load_abort },
		{ .method = "POST",
		  .path = "/rpc/v1/node/draining",
		  .handler = front_node_draining },
	};
	_Static_assert(ARRAY_LEN(http) <= FRONT_ROUTES_MAX, "too many routes");
	for (size_t i = 0; i < ARRAY_LEN(http); i++) {
		f->http_routes[i] = http[i];
		f->http_routes[i].arg = f;
	}
	for (size_t i = 0; i < ARRAY_LEN(rpc); i++) {
		f->rpc_routes[i] = rpc[i];
		f->rpc_routes[i].arg = f;
		f->rpc_routes[i].token = true;
	}
}

static int start_server(struct front *f, int port, const struct http_route *routes,
                        struct http_server **ret, struct err *err)
{
	const char *address = f->config.listen_address;
	bool v6 = strchr(address, ':') != NULL;
	autofree char *listen = xasprintf("%s%s%s:%d", v6 ? "[" : "", address, v6 ? "]" : "", port);
	size_t n = 0;
	while (n < FRONT_ROUTES_MAX && routes[n].path)
		n++;
	struct http_server_config config = {
		.listen = listen,
		.routes = routes,
		.n_routes = n,
		.limits = { .threads = 2,
		            .connections = 4096,
		            .body_bytes = routes == f->rpc_routes ? RPC_BODY_MAX : 0 },
		.token_file = f->config.token_file,
	};
	return http_server_start(&config, ret, err);
}

int front_start(const struct front_config *config, struct front **ret, struct err *err)
{
	struct front *f = xcalloc(1, sizeof(*f));
	f->config = *config;
	f->start_ts = clock_real_ms();
	set_routes(f);
	int rc = start_server(f, config->http_port, f->http_routes, &f->http, err);
	if (rc < 0)
		(void)err_wrap(err, "http_port");
	if (rc == 0) {
		rc = start_server(f, config->rpc_port, f->rpc_routes, &f->rpc, err);
		if (rc < 0)
			(void)err_wrap(err, "rpc_port");
	}
	if (rc < 0) {
		front_stop(f, 0);
		return rc;
	}
	*ret = f;
	return 0;
}

void front_set_draining(struct front *f)
{
	atomic_store(&f->draining, true);
}

void front_stop(struct front *f, int64_t grace_ms)
{
	if (!f)
		return;
	if (f->http)
		http_server_stop(f->http, grace_ms);
	if (f->rpc)
		http_server_stop(f->rpc, grace_ms);
	free(f);
}

int front_http_port(const struct front *f)
{
	return http_server_port(f->http);
}

int front_rpc_port(const struct front *f)
{
	return http_server_port(f->rpc);
}

struct front_stats front_get_stats(struct front *f)
{
	struct front_stats stats = { 0 };
	if (f->config.stats)
		f->config.stats(f->config.arg, &stats);
	return stats;
}

void front_answer(struct http_req *r, int status, json_t *j)
{
	autofree char *text = data_json_text(j);
	json_decref(j);
	http_answer_json(r, status, text);
}

#include "engine/front/front_priv.h"
#include "lib/data/json.h"

void front_health(void *arg, struct http_req *r)
{
	struct front *f = arg;
	size_t n = 0, online = 0;
	autofree struct cluster_node *nodes = cluster_list(f->config.cluster, 1U << META_BE, &n);
	for (size_t i = 0; i < n; i++)
		online += nodes[i].alive;
	bool draining = atomic_load(&f->draining);
	front_answer(r, draining ? 500 : 200,
	             json_pack("{s:I, s:I, s:s}", "total_backend_num", (json_int_t)n,
	                       "online_backend_num", (json_int_t)online, "status",
	                       draining ? "SHUTDOWN" : "OK"));
}

void front_bootstrap(void *arg, struct http_req *r)
{
	struct front *f = arg;
	front_answer(r, 200,
	             json_pack("{s:I, s:i, s:i, s:I, s:s, s:s, s:s}", "replayedJournalId",
	                       (json_int_t)meta_last_applied(f->config.meta), "queryPort",
	                       f->config.query_port, "rpcPort", front_rpc_port(f), "feStartTime",
	                       (json_int_t)f->start_ts, "feVersion", f->config.version, "status",
	                       "OK", "msg", "Success"));
}

/* Those that are alive, of one kind. */
static json_t *list_nodes(struct front *f, enum meta_role role)
{
	size_t n = 0;
	autofree struct cluster_node *nodes = cluster_list(f->config.cluster, 1U << role, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		if (nodes[i].alive)
			json_array_append_new(
				list, json_pack("{s:I, s:s, s:i, s:i, s:b, s:s, s:I}", "id",
			                        (json_int_t)nodes[i].id, "address", nodes[i].host,
			                        "slots", nodes[i].slots, "running",
			                        nodes[i].running, "draining", nodes[i].draining,
			                        "role", role == META_BE ? "be" : "cn",
			                        "cached_bytes", (json_int_t)nodes[i].cached_bytes));
	}
	return list;
}

/* INTERFACES.md: what the scaler and the operator read; "be" says the same of the backends. */
void front_load_document(void *arg, struct http_req *r)
{
	struct front *f = arg;
	struct admit_load load;
	admit_get_load(f->config.admit, &load);
	json_t *be =
		json_pack("{s:i, s:f, s:i, s:i, s:o}", "pending", load.be.pending, "oldest_wait_s",
	                  load.be.oldest_wait_s, "required_slots", load.be.required_slots,
	                  "running", load.be.running, "nodes", list_nodes(f, META_BE));
	json_t *j = json_pack("{s:i, s:I, s:I, s:i, s:f, s:i, s:i, s:o, s:o, s:{s:f, s:f}}", "v", 1,
	                      "ts", (json_int_t)clock_real_ms(), "epoch", (json_int_t)f->start_ts,
	                      "pending", load.pending, "oldest_wait_s", load.oldest_wait_s,
	                      "required_slots", load.required_slots, "running", load.running,
	                      "nodes", list_nodes(f, META_CN), "be", be, "service_time_s", "p50",
	                      load.service_p50_s, "p95", load.service_p95_s);
	http_answer_header(r, "Cache-Control", "no-store");
	front_answer(r, 200, j);
}

/* POST /api/roost/drain: who is about to take a node away says so first (docs/draining.md). */
#include "engine/front/front_priv.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/net/http_client.h"

enum { DRAIN_DEFAULT_S = 600, DRAIN_MAX_S = 86400 };

/* By id, "host", "host:heartbeat_port", or the first label of the host: a pod's name. */
static bool is_named(const struct cluster_node *n, struct str name)
{
	_cleanup_buf_ struct buf address = BUF_INIT(META_NAME_MAX + 16);
	int64_t id = 0;
	if (str_to_i64(name, &id) == 0)
		return id == n->id;
	(void)http_host_port(n->host, n->heartbeat_port, &address);
	struct str host = str_of(n->host), label = host;
	const char *dot = strchr(n->host, '.');
	if (dot)
		label.len = (size_t)(dot - n->host);
	return str_eqs(name, buf_cstr(&address)) || str_eq(name, host) || str_eq(name, label);
}

static json_t *mark(struct front *f, const char *names, int64_t seconds)
{
	size_t n = 0;
	autofree struct cluster_node *nodes =
		cluster_list(f->config.cluster, 1U << META_BE | 1U << META_CN, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		struct str rest = str_of(names), name;
		bool named = false;
		while (str_split(&rest, ',', &name))
			named = named || (name.len && is_named(&nodes[i], name));
		if (!named)
			continue;
		log_info("node=%lld address=%s:%d drain asked for: %lld s", (long long)nodes[i].id,
		         nodes[i].host, nodes[i].heartbeat_port, (long long)seconds);
		cluster_ask_drain(f->config.cluster, nodes[i].id, seconds * 1000);
		(void)cluster_node(f->config.cluster, nodes[i].id, &nodes[i]);
		(void)json_array_append_new(
			list,
			json_pack("{s:I, s:s, s:s, s:b, s:b, s:i}", "id", (json_int_t)nodes[i].id,
		                  "address", nodes[i].host, "role",
		                  nodes[i].role == META_BE ? "be" : "cn", "alive", nodes[i].alive,
		                  "draining", nodes[i].draining, "running", nodes[i].running));
	}
	return list;
}

void front_drain(void *arg, struct http_req *r)
{
	const char *names = http_req_query(r, "node"), *seconds = http_req_query(r, "seconds");
	int64_t s = DRAIN_DEFAULT_S;
	if (!names || !*names) {
		http_answer_error(r, 400,
		                  "node: an id, a host, a pod's name or host:heartbeat_port "
		                  "is wanted; several with commas between");
		return;
	}
	if (seconds && (str_to_i64(str_of(seconds), &s) < 0 || s < 0 || s > DRAIN_MAX_S)) {
		http_answer_error(r, 400, "seconds: must be 0 (take it back) to 86400");
		return;
	}
	json_t *list = mark(arg, names, s);
	if (json_array_size(list) == 0) {
		json_decref(list);
		http_answer_error(r, 404, "there is no such node");
		return;
	}
	front_answer(r, 200, json_pack("{s:i, s:o}", "v", 1, "nodes", list));
}

/* The heartbeat: what the FE says about the cluster, what this node says about itself. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/node/machine.h"
#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

static char *cluster_file(const struct node *n)
{
	return xasprintf("%s/cluster_id", n->config.storage_path);
}

int node_cluster_load(struct node *n, struct err *err)
{
	autofree char *path = cluster_file(n);
	_cleanup_buf_ struct buf text = BUF_INIT(64);
	if (!fd_exists(path))
		return 0;
	int rc = fd_read_file(path, &text, err);
	if (rc < 0)
		return rc;
	if (str_to_i64(str_trim(str_of(buf_cstr(&text))), &n->cluster_id) < 0)
		return err_set(err, -EINVAL,
		               "%s: must hold the cluster's number; remove the file "
		               "if this disk belongs to no cluster yet",
		               path);
	return 0;
}

/* The first cluster heard is kept on the disk: data of one cluster never serves another. */
static int join(struct node *n, int64_t cluster, struct err *err)
{
	autofree char *path = cluster_file(n);
	char text[32];
	if (n->cluster_id == cluster)
		return 0;
	if (n->cluster_id)
		return err_set(err, -EPERM,
		               "this node belongs to cluster %" PRId64 ", not to %" PRId64,
		               n->cluster_id, cluster);
	int len = snprintf(text, sizeof(text), "%" PRId64 "\n", cluster);
	int rc = fd_write_file(path, text, (size_t)len, 0600, err);
	if (rc == 0) {
		n->cluster_id = cluster;
		log_info("cluster_id=%" PRId64 " joined", cluster);
	}
	return rc;
}

/* The FE reached this node under the name in its Host header: the peers do, too. */
static void learn_self(struct node *n, const char *host)
{
	const char *colon = host ? strrchr(host, ':') : NULL;
	const char *bracket = host ? strrchr(host, ']') : NULL;
	if (!host || !*host)
		return;
	size_t len = colon && (!bracket || colon > bracket) ? (size_t)(colon - host) : strlen(host);
	(void)snprintf(n->self, sizeof(n->self), "%.*s:%d", (int)(len < 256 ? len : 256), host,
	               node_brpc_port(n));
}

static int accept_heartbeat(struct node *n, struct http_req *req, const json_t *message,
                            struct err *err)
{
	struct node_hello hello;
	int rc = node_hello_decode(message, &hello, err);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&n->lock);
	rc = join(n, hello.cluster, err);
	if (rc == 0) {
		n->node_id = hello.node;
		n->last_heartbeat_ms = clock_mono_ms();
		(void)snprintf(n->fe, sizeof(n->fe), "%s", hello.fe);
		learn_self(n, http_req_header(req, "Host"));
	}
	(void)pthread_mutex_unlock(&n->lock);
	return rc;
}

static json_t *report(struct node *n)
{
	struct store_usage usage;
	struct store_cache_stats cache;
	struct exec_stats exec;
	const struct node_config *c = &n->config;
	store_usage(n->store, &usage);
	store_cache_stats(n->cache, &cache);
	exec_stats(n->exec, &exec);
	int state = atomic_load(&n->state);
	(void)pthread_mutex_lock(&n->lock);
	int64_t cluster = n->cluster_id, id = n->node_id;
	(void)pthread_mutex_unlock(&n->lock);
	json_t *j =
		json_pack("{s:i, s:s, s:s, s:I, s:i, s:i, s:i, s:i}", "v", RPC_VERSION, "role",
	                  c->role == NODE_BE ? "be" : "cn", "version", NODE_VERSION, "start_ts",
	                  (json_int_t)n->start_ms, "be_port", c->be_port, "http_port",
	                  node_http_port(n), "brpc_port", node_brpc_port(n), "cpu_cores", n->cores);
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = {
		{ "cluster_id", cluster },
		{ "node_id", id },
		{ "mem_limit", c->mem_limit },
		{ "mem_used", node_machine_rss() + exec.rss },
		{ "disk_total", usage.disk_total },
		{ "disk_avail", usage.disk_avail },
		{ "data_used", usage.bytes },
		{ "cached_bytes", cache.used },
		{ "running", (int64_t)node_tasks_running(n->tasks) },
		{ "slots", c->slots },
		{ "tablets", (int64_t)usage.tablets },
	};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)json_object_set_new(j, numbers[i].key, json_integer(numbers[i].value));
	(void)json_object_set_new(j, "draining", json_boolean(state >= NODE_DRAINING));
	return j;
}

void node_heartbeat(void *arg, struct http_req *req)
{
	struct node *n = arg;
	struct err err = ERR_INIT;
	struct node_fail fail = { .code = NULL };
	_cleanup_json_ json_t *message = node_message(req);
	if (!message)
		return;
	int rc = accept_heartbeat(n, req, message, &err);
	if (rc < 0) {
		(void)node_fail(&fail, rc == -EPERM ? RPC_E_CLUSTER : RPC_E_INTERNAL, rc == -EIO,
		                "%s", err.msg);
		node_fail_answer(&fail, req);
		return;
	}
	_cleanup_json_ json_t *body = report(n);
	autofree char *text = data_json_text(body);
	http_answer_json(req, 200, text);
}

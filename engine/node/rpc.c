/* The routes of brpc_port: tasks, exchange files, replicas, garbage collection. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/exchange/format.h"
#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"

enum { CLONE_IDLE_MS = 30000, CLONE_MS = 3600 * 1000, KEEP_FRESH_MS = 60 * 1000 };

static void answer_fail(struct http_req *req, const char *code, bool retryable, const char *text)
{
	struct node_fail fail = { .code = NULL };
	(void)node_fail(&fail, code, retryable, "%s", text);
	node_fail_answer(&fail, req);
}

static void answer_json(struct http_req *req, json_t *body /* stolen */)
{
	autofree char *text = data_json_text(body);
	json_decref(body);
	http_answer_json(req, 200, text);
}

/* == tasks =================================================================================================== */
void node_rpc_tasks(void *arg, struct http_req *req)
{
	struct node *n = arg;
	struct node_task task;
	struct err err = ERR_INIT;
	if (node_refuses(n)) {
		answer_fail(req, RPC_E_DRAINING, true, "this node is leaving");
		return;
	}
	_cleanup_json_ json_t *message = node_message(req);
	if (!message)
		return;
	if (node_task_decode(message, &task, &err) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false, err.msg);
		return;
	}
	json_decref(message); /* before another thread may hold the task */
	message = NULL;
	node_tasks_submit(n->tasks, &task, req);
}

void node_rpc_task_delete(void *arg, struct http_req *req)
{
	struct node *n = arg;
	struct store_attempt id;
	struct err err = ERR_INIT;
	if (node_attempt_parse(http_req_tail(req), &id, &err) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false, err.msg);
		return;
	}
	node_tasks_cancel(n->tasks, &id);
	answer_json(req, json_pack("{s:i}", "v", RPC_VERSION));
}

void node_rpc_query_delete(void *arg, struct http_req *req)
{
	struct node *n = arg;
	autofree char *query = str_dup(http_req_tail(req));
	if (!store_id_valid(query)) {
		answer_fail(req, RPC_E_INTERNAL, false, "query: must be 32 hexadecimal digits");
		return;
	}
	node_tasks_cancel_query(n->tasks, query);
	store_spill_drop(n->spill, query);
	answer_json(req, json_pack("{s:i}", "v", RPC_VERSION));
}

/* == exchange files ========================================================================================== */
static int partition_of(const struct http_req *req, const char *name, int64_t absent, uint32_t *ret)
{
	const char *text = http_req_query(req, name);
	int64_t n = absent;
	if (text && (str_to_i64(str_of(text), &n) < 0 || n < 0 || n > RPC_PARTITIONS_MAX))
		return -EINVAL;
	if (n < 0)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

static void answer_slice(struct node *n, struct http_req *req, const char *path, uint32_t from,
                         uint32_t to)
{
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf head = BUF_INIT(16 * 1024 * 1024);
	struct http_range range = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 ? err_errno(&err, "%s", path)
	                : xchg_slice(fd, from, to, &head, &range.offset, &range.len, &err);
	if (rc < 0) {
		fd_closep(&fd);
		answer_fail(req, RPC_E_INPUT_LOST, true, err.msg);
		return;
	}
	atomic_fetch_add(&n->count.exchange_bytes_sent, range.len);
	http_answer_ranges(req, "application/octet-stream", (struct str){ head.p, head.len }, fd,
	                   &range, 1);
}

void node_rpc_exchange(void *arg, struct http_req *req)
{
	struct node *n = arg;
	struct store_attempt id;
	struct err err = ERR_INIT;
	uint32_t from, to;
	autofree char *path = NULL;
	if (node_attempt_parse(http_req_tail(req), &id, &err) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false, err.msg);
		return;
	}
	if (partition_of(req, "from", 0, &from) < 0 || partition_of(req, "to", -1, &to) < 0 ||
	    from > to) {
		answer_fail(req, RPC_E_INTERNAL, false,
		            "from, to: must be partitions, from not after to");
		return;
	}
	if (store_spill_find(n->spill, &id, &path) == STORE_ABSENT) {
		answer_fail(req, RPC_E_INPUT_LOST, true, "this node does not have that output");
		return;
	}
	answer_slice(n, req, path, from, to);
}

/* == replicas ================================================================================================ */
static int tablet_path(struct str tail, int64_t *ret_tablet, char ret_rowset[RPC_ID_LEN + 1])
{
	struct str tablet;
	if (!str_split(&tail, '/', &tablet) || str_to_i64(tablet, ret_tablet) < 0 ||
	    *ret_tablet < 1 || !tail.p || tail.len != RPC_ID_LEN)
		return -EINVAL;
	memcpy(ret_rowset, tail.p, RPC_ID_LEN);
	ret_rowset[RPC_ID_LEN] = '\0';
	return store_id_valid(ret_rowset) ? 0 : -EINVAL;
}

#define TABLET_PATH_WANTED "path: must be /rpc/v1/tablets/TABLET/ROWSET"

void node_rpc_tablet_get(void *arg, struct http_req *req)
{
	struct node *n = arg;
	int64_t tablet;
	char id[RPC_ID_LEN + 1], crc[STORE_CRC_MAX];
	struct store_rowset rowset;
	struct err err = ERR_INIT;
	int fd = -1;
	if (tablet_path(http_req_tail(req), &tablet, id) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false, TABLET_PATH_WANTED);
		return;
	}
	int rc = store_read(n->store, tablet, id, &fd, &rowset, &err);
	if (rc != 0) {
		answer_fail(req, rc < 0 ? RPC_E_INTERNAL : RPC_E_INPUT_LOST, true,
		            rc < 0 ? err.msg : "this node does not have that rowset");
		return;
	}
	store_crc_text(rowset.crc, crc);
	http_answer_header(req, "X-Roost-Crc", crc);
	http_answer_file(req, "application/octet-stream", fd, 0, (uint64_t)rowset.bytes);
}

struct put { /* one replica that a peer sends */
	struct node *node;
	struct store_writer *writer;
	uint32_t crc;
	struct http_req *req;
};

static void put_head(void *arg, struct http_req *req, void **state)
{
	struct node *n = arg;
	int64_t tablet;
	char id[RPC_ID_LEN + 1];
	uint32_t crc;
	struct err err = ERR_INIT;
	struct store_writer *writer = NULL;
	if (atomic_load(&n->state) == NODE_STOPPING) {
		answer_fail(req, RPC_E_DRAINING, true, "this node is leaving");
		return;
	}
	if (tablet_path(http_req_tail(req), &tablet, id) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false, TABLET_PATH_WANTED);
		return;
	}
	if (store_crc_parse(http_req_header(req, "X-Roost-Crc"), &crc) < 0) {
		answer_fail(req, RPC_E_INTERNAL, false,
		            "X-Roost-Crc: must be 8 hexadecimal digits");
		return;
	}
	if (store_writer_new(n->store, tablet, id, &writer, &err) < 0) {
		answer_fail(req, RPC_E_INTERNAL, true, err.msg);
		return;
	}
	struct put *p = xcalloc(1, sizeof(*p));
	*p = (struct put){ .node = n, .writer = writer, .crc = crc };
	*state = p;
}

static int put_piece(void *arg, struct http_req *req, void *state, const char *data, size_t len)
{
	struct put *p = state;
	struct err err = ERR_INIT;
	(void)arg;
	if (store_writer_add(p->writer, data, len, &err) == 0)
		return 0;
	answer_fail(req, RPC_E_INTERNAL, true, err.msg);
	return -1;
}

/* On a thread of its own, since it waits for the disk. The state may be gone once the request is answered. */
static void put_commit(void *arg)
{
	struct put *p = arg;
	struct http_req *req = p->req;
	struct store_rowset rowset;
	struct err err = ERR_INIT;
	int rc = store_writer_commit(p->writer, p->crc, &rowset, &err);
	if (rc < 0) {
		answer_fail(req, RPC_E_INTERNAL, rc == -EBADMSG || rc == -EIO, err.msg);
		return;
	}
	atomic_fetch_add(&p->node->count.replicas_received, 1);
	answer_json(req,
	            json_pack("{s:i, s:I}", "v", RPC_VERSION, "bytes", (json_int_t)rowset.bytes));
}

static void put_end(void *arg, struct http_req *req, void *state)
{
	struct put *p = state;
	(void)arg;
	p->req = req;
	http_hold(req);
	node_pool_run(p->node->copy_pool, put_commit, p);
}

static void put_free(void *arg, void *state)
{
	struct put *p = state;
	(void)arg;
	if (!p)
		return;
	store_writer_free(p->writer);
	free(p);
}

const struct http_stream node_rpc_tablet_put = { put_head, put_piece, put_end, put_free };

/* == clone =================================================================================================== */
struct clone {
	struct node *node;
	struct http_req *req;
	json_t *message;
};

struct clone_one {
	struct node *node;
	struct store_writer *writer;
	struct err err;
	struct http_req *req;
};

static int clone_body(void *arg, int status, const char *data, size_t len)
{
	struct clone_one *one = arg;
	return status == 200 && store_writer_add(one->writer, data, len, &one->err) < 0;
}

static bool clone_stop(void *arg)
{
	const struct clone_one *one = arg;
	return http_req_gone(one->req) || atomic_load(&one->node->state) == NODE_STOPPING;
}

static int clone_rowset(struct node *n, struct http_req *req, const char *from,
                        const struct store_rowset *rowset, struct err *err)
{
	_cleanup_(store_writer_freep) struct store_writer *writer = NULL;
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct store_rowset got;
	int rc = store_writer_new(n->store, rowset->tablet, rowset->id, &writer, err);
	if (rc < 0)
		return rc;
	struct clone_one one = { n, writer, ERR_INIT, req };
	autofree char *url = xasprintf("http://%s/rpc/v1/tablets/%" PRId64 "/%s", from,
	                               rowset->tablet, rowset->id);
	struct http_client *client = node_client_take(n, err);
	if (!client)
		return -EIO;
	char *token = node_token(n);
	const struct http_call call = { .url = url,
		                        .bearer = token,
		                        .by = deadline_in(CLONE_MS),
		                        .idle_timeout_ms = CLONE_IDLE_MS,
		                        .on_body = clone_body,
		                        .should_stop = clone_stop,
		                        .arg = &one };
	rc = http_call(client, &call, &reply, err);
	mem_free_secret(token);
	node_client_give(n, client);
	if (one.err.code) {
		*err = one.err;
		return one.err.code;
	}
	if (rc < 0)
		return err_wrap(err, "%s", from);
	if (reply.status != 200)
		return err_set(err, -EIO, "%s answers HTTP %d for rowset %s", from, reply.status,
		               rowset->id);
	rc = store_writer_commit(writer, rowset->crc, &got, err);
	return rc < 0 ? rc : 0;
}

static void clone_job(void *arg)
{
	struct clone *c = arg;
	struct err err = ERR_INIT;
	int64_t tablet = data_get_int(c->message, "tablet", 0), copied = 0;
	const char *from = data_get_str(c->message, "from");
	size_t i;
	json_t *item;
	int rc = 0;
	json_array_foreach(json_object_get(c->message, "rowsets"), i, item)
	{
		struct store_rowset rowset;
		rc = node_rowset_decode(item, tablet, &rowset, &err);
		if (rc == 0 && !store_has(c->node->store, &rowset)) {
			rc = clone_rowset(c->node, c->req, from, &rowset, &err);
			copied += rc == 0;
		}
		if (rc < 0)
			break;
	}
	if (rc < 0)
		answer_fail(c->req, RPC_E_INTERNAL, rc != -EINVAL, err.msg);
	else
		answer_json(c->req, json_pack("{s:i, s:I}", "v", RPC_VERSION, "copied",
		                              (json_int_t)copied));
	json_decref(c->message);
	free(c);
}

void node_rpc_clone(void *arg, struct http_req *req)
{
	struct node *n = arg;
	if (atomic_load(&n->state) == NODE_STOPPING) {
		answer_fail(req, RPC_E_DRAINING, true, "this node is leaving");
		return;
	}
	json_t *message = node_message(req);
	if (!message)
		return;
	const char *from = data_get_str(message, "from");
	if (!from || !node_address_valid(from) || data_get_int(message, "tablet", 0) < 1 ||
	    !json_is_array(json_object_get(message, "rowsets"))) {
		json_decref(message);
		answer_fail(req, RPC_E_INTERNAL, false,
		            "clone: tablet, rowsets and from (host:port) are wanted");
		return;
	}
	struct clone *c = xcalloc(1, sizeof(*c));
	*c = (struct clone){ .node = n, .req = req, .message = message };
	http_hold(req);
	node_pool_run(n->copy_pool, clone_job, c);
}

/* == garbage collection ====================================================================================== */
static bool keep_named(void *arg, int64_t tablet, const char *rowset)
{
	char key[64];
	(void)snprintf(key, sizeof(key), "%" PRId64 "/%s", tablet, rowset);
	return map_get(arg, key) != NULL;
}

/* The names of the message; NULL when its form is wrong: then nothing may be deleted. */
static struct map *keep_names(const json_t *message)
{
	_cleanup_(map_freep) struct map *names = map_new(NULL);
	const json_t *tablets = json_object_get(message, "tablets");
	size_t i, k;
	json_t *tablet, *rowset;
	if (!json_is_array(tablets))
		return NULL;
	json_array_foreach(tablets, i, tablet)
	{
		int64_t id = data_get_int(tablet, "id", 0);
		if (id < 1 || !json_is_array(json_object_get(tablet, "rowsets")))
			return NULL;
		json_array_foreach(json_object_get(tablet, "rowsets"), k, rowset)
		{
			char key[64];
			const char *text = json_string_value(rowset);
			if (!text || !store_id_valid(text))
				return NULL;
			(void)snprintf(key, sizeof(key), "%" PRId64 "/%s", id, text);
			map_put(names, key, names);
		}
	}
	return TAKE_PTR(names);
}

/* Only while a front end of our own cluster calls: a list from anybody else would delete everything. */
static bool heard_lately(struct node *n)
{
	(void)pthread_mutex_lock(&n->lock);
	bool fresh = n->last_heartbeat_ms && clock_mono_ms() - n->last_heartbeat_ms < KEEP_FRESH_MS;
	(void)pthread_mutex_unlock(&n->lock);
	return fresh;
}

void node_rpc_keep(void *arg, struct http_req *req)
{
	struct node *n = arg;
	_cleanup_json_ json_t *message = node_message(req);
	if (!message)
		return;
	_cleanup_(map_freep) struct map *names = keep_names(message);
	int64_t grace = data_get_int(message, "grace_ms", -1);
	if (!names || grace < 0) {
		answer_fail(req, RPC_E_INTERNAL, false,
		            "keep: tablets [{id, rowsets}] and grace_ms are wanted");
		return;
	}
	if (!heard_lately(n)) {
		answer_fail(req, RPC_E_CLUSTER, true,
		            "keep: no heartbeat of this node's cluster in the last minute");
		return;
	}
	size_t deleted = store_keep(n->store, keep_named, names, grace);
	if (deleted)
		log_info("rowsets_deleted=%zu named by no version any more", deleted);
	answer_json(req, json_pack("{s:i, s:I}", "v", RPC_VERSION, "deleted", (json_int_t)deleted));
}

void node_rpc_drain(void *arg, struct http_req *req)
{
	struct node *n = arg;
	node_set_state(n, NODE_DRAINING);
	log_info("the front end asks this node to drain");
	answer_json(req, json_pack("{s:i, s:I}", "v", RPC_VERSION, "running",
	                           (json_int_t)node_tasks_running(n->tasks)));
}

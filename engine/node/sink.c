/* Outputs: exchange files stay here, rowsets go to every replica, objects to their bucket; all of it before the
 * answer is given. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"

/* A replica that takes nothing for SINK_IDLE_MS is asked once more, then the load fails: its client is told within a
 * minute, and by then the FE knows that the node is gone. Other failures are quick, and tried more often. */
enum { SINK_THREADS = 4, SINK_TRIES = 4, SINK_SILENT_TRIES = 2, SINK_IDLE_MS = 15000 };

static bool is_kind(const json_t *output, const char *kind)
{
	return strcmp(data_get_str(output, "kind"), kind) == 0;
}

static char *exchange_path(const struct node_ctx *c)
{
	return xasprintf("%s/out.rx", c->scratch);
}

json_t *node_sink_request(struct node_ctx *c, const json_t *output)
{
	json_t *request = json_pack("{s:O}", "kind", json_object_get(output, "kind"));
	static const char *const same[] = { "partitions",     "keys", "codec",
		                            "columns",        "sort", "distribution",
		                            "rows_per_object" };
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		json_t *value = json_object_get(output, same[i]);
		if (value)
			(void)json_object_set(request, same[i], value);
	}
	if (is_kind(output, "exchange")) {
		autofree char *path = exchange_path(c);
		if (!json_object_get(request, "keys"))
			(void)json_object_set_new(request, "keys", json_array());
		(void)json_object_set_new(request, "path", json_string(path));
		return request;
	}
	(void)json_object_set_new(request, "dir", json_string(c->scratch));
	(void)json_object_set_new(request, "prefix", json_string("out-"));
	if (is_kind(output, "tablets"))
		(void)json_object_set_new(request, "buckets",
		                          json_integer((json_int_t)json_array_size(
						  json_object_get(output, "tablets"))));
	return request;
}

/* A path of the executor's reply must lie in the scratch folder: what a broken executor names is not touched. */
static const char *made_path(struct node_ctx *c, const json_t *made)
{
	const char *path = data_get_str(made, "path");
	size_t len = strlen(c->scratch);
	if (path && strncmp(path, c->scratch, len) == 0 && path[len] == '/' && !strstr(path, ".."))
		return path;
	(void)node_ctx_fail(c, RPC_E_INTERNAL, true, "the executor names no file of its own");
	return NULL;
}

/* == rowsets ================================================================================================= */
struct copy { /* one rowset to one peer */
	const struct store_rowset *rowset;
	const char *path, *to;
};

struct rowset_out {
	struct store_rowset rowset;
	int64_t rows;
	const char *path;
	const json_t *replicas;
};

struct rowsets {
	struct node_ctx *ctx;
	VEC(struct rowset_out) made;
	VEC(struct copy) copies;
};

static bool sink_stop(void *arg)
{
	struct node_ctx *c = arg;
	return node_ctx_failed(c) || c->should_stop(c->arg);
}

static int copy_try(struct node_ctx *c, const struct copy *copy, struct http_reply *reply,
                    struct err *err)
{
	char crc[STORE_CRC_MAX], header[64];
	store_crc_text(copy->rowset->crc, crc);
	(void)snprintf(header, sizeof(header), "X-Roost-Crc: %s", crc);
	const char *const headers[] = { header, NULL };
	autofree char *url = xasprintf("http://%s/rpc/v1/tablets/%" PRId64 "/%s", copy->to,
	                               copy->rowset->tablet, copy->rowset->id);
	struct http_client *client = node_client_take(c->node, err);
	if (!client)
		return -EIO;
	char *token = node_token(c->node);
	const struct http_call call = { .method = "PUT",
		                        .url = url,
		                        .headers = headers,
		                        .bearer = token,
		                        .body_file = copy->path,
		                        .by = c->by,
		                        .idle_timeout_ms = SINK_IDLE_MS,
		                        .should_stop = sink_stop,
		                        .arg = c };
	int rc = http_call(client, &call, reply, err);
	mem_free_secret(token);
	node_client_give(c->node, client);
	return rc;
}

/* The PUT is idempotent: the same bytes twice are success. */
static void copy_one(void *arg, size_t i)
{
	struct rowsets *all = arg;
	struct node_ctx *c = all->ctx;
	const struct copy *copy = &all->copies.v[i];
	struct err err = ERR_INIT;
	int silent = 0;
	for (unsigned attempt = 0; attempt < SINK_TRIES && silent < SINK_SILENT_TRIES; attempt++) {
		_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
		if (sink_stop(c)) {
			(void)node_ctx_fail(c, RPC_E_CANCELLED, false, "cancelled");
			return;
		}
		if (attempt)
			clock_sleep_ms(http_backoff_ms(attempt, 100, 2000));
		int rc = copy_try(c, copy, &reply, &err);
		if (rc == 0 && reply.status == 200) {
			atomic_fetch_add(&c->node->count.replicas_sent, 1);
			return;
		}
		silent += rc == -ETIMEDOUT;
		if (rc == 0)
			(void)err_set(&err, -EIO, "HTTP %d: %.200s", reply.status,
			              buf_cstr(&reply.body));
		if (http_retry_class(rc, &reply) == HTTP_RETRY_NO)
			break;
	}
	(void)node_ctx_fail(c, RPC_E_INTERNAL, true, "replica of tablet %" PRId64 " at %s: %s",
	                    copy->rowset->tablet, copy->to, err.msg);
}

static const json_t *target_of(const json_t *output, int64_t bucket)
{
	size_t i;
	json_t *t;
	json_array_foreach(json_object_get(output, "tablets"), i,
	                   t) if (data_get_int(t, "bucket", -1) == bucket) return t;
	return NULL;
}

static int list_rowsets(struct rowsets *all, const json_t *output, const json_t *reply)
{
	struct node_ctx *c = all->ctx;
	size_t i, k;
	json_t *made, *replica;
	json_array_foreach(json_object_get(reply, "rowsets"), i, made)
	{
		const json_t *target = target_of(output, data_get_int(made, "bucket", -1));
		struct rowset_out *out = vec_more(&all->made);
		*out = (struct rowset_out){ .rows = data_get_int(made, "rows", 0),
			                    .path = made_path(c, made),
			                    .replicas = json_object_get(target, "replicas") };
		if (!out->path)
			return -1;
		out->rowset.bytes = data_get_int(made, "bytes", -1);
		out->rowset.tablet = target ? data_get_int(target, "id", 0) : 0;
		if (!target || store_crc_parse(data_get_str(made, "crc"), &out->rowset.crc) < 0)
			return node_ctx_fail(c, RPC_E_INTERNAL, false,
			                     "the executor made a rowset of an unknown bucket");
		fd_random_hex(out->rowset.id, RPC_ID_LEN / 2);
	}
	for (i = 0; i < all->made.n; i++)
		json_array_foreach(all->made.v[i].replicas, k,
		                   replica) if (!node_is_self(c->node, json_string_value(replica)))
			vec_push(&all->copies,
		                 (struct copy){ &all->made.v[i].rowset, all->made.v[i].path,
		                                json_string_value(replica) });
	return 0;
}

static bool wants_one_here(const struct rowset_out *out, struct node *n)
{
	size_t k;
	json_t *replica;
	json_array_foreach(out->replicas, k,
	                   replica) if (node_is_self(n, json_string_value(replica))) return true;
	return false;
}

static int install_own(struct rowsets *all, json_t *list)
{
	struct node_ctx *c = all->ctx;
	struct err err = ERR_INIT;
	for (size_t i = 0; i < all->made.n; i++) {
		const struct rowset_out *out = &all->made.v[i];
		char crc[STORE_CRC_MAX];
		if (wants_one_here(out, c->node) &&
		    store_install(c->node->store, out->path, &out->rowset, &err) < 0)
			return node_ctx_fail_err(c, &err);
		store_crc_text(out->rowset.crc, crc);
		(void)json_array_append_new(
			list, json_pack("{s:I, s:s, s:I, s:I, s:s}", "tablet",
		                        (json_int_t)out->rowset.tablet, "id", out->rowset.id,
		                        "rows", (json_int_t)out->rows, "bytes",
		                        (json_int_t)out->rowset.bytes, "crc", crc));
	}
	return 0;
}

static int finish_rowsets(struct node_ctx *c, const json_t *output, const json_t *reply,
                          json_t *list)
{
	struct rowsets all = { .ctx = c };
	int rc = list_rowsets(&all, output, reply);
	if (rc == 0) {
		node_pool_each(all.copies.n, SINK_THREADS, copy_one, &all);
		rc = node_ctx_failed(c) ? -1 : install_own(&all, list);
	}
	vec_free(&all.made);
	vec_free(&all.copies);
	return rc;
}

/* == objects ================================================================================================= */
struct object_out {
	const char *path;
	char *key;
	int64_t rows;
	struct s3_object object;
};

struct objects {
	struct node_ctx *ctx;
	struct s3_target s3;
	VEC(struct object_out) made;
};

static void put_one(void *arg, size_t i)
{
	struct objects *all = arg;
	struct node_ctx *c = all->ctx;
	struct object_out *out = &all->made.v[i];
	struct err err = ERR_INIT;
	const struct s3_wait wait = { .by = c->by, .should_stop = sink_stop, .arg = c };
	if (node_ctx_failed(c))
		return;
	struct s3_client *client = node_s3_take(c->node, &err);
	int rc = client ? s3_put_file(client, &all->s3, out->key, out->path, true, &wait,
	                              &out->object, &err)
	                : -EIO;
	node_s3_give(c->node, client);
	if (rc < 0)
		(void)node_ctx_fail_err(c, &err);
	else if (rc == S3_EXISTS)
		(void)node_ctx_fail(c, RPC_E_INTERNAL, true,
		                    "s3://%s/%s: is there already with other bytes", all->s3.bucket,
		                    out->key);
}

/* The key names the attempt, so that two attempts never meet, and a random part, so that a repeat after a restart of
 * the query's ids does not either. */
static int list_objects(struct objects *all, const char *prefix, const json_t *reply)
{
	const struct node_ctx *c = all->ctx;
	size_t i;
	json_t *made;
	char nonce[9];
	fd_random_hex(nonce, 4);
	json_array_foreach(json_object_get(reply, "objects"), i, made)
	{
		struct object_out *out = vec_more(&all->made);
		*out = (struct object_out){ .path = made_path(all->ctx, made),
			                    .rows = data_get_int(made, "rows", 0) };
		if (!out->path)
			return -1;
		out->key = xasprintf("%s%s-%d-%d-%d-%s-%zu.parquet", prefix, c->id.query,
		                     c->id.stage, c->id.task, c->id.attempt, nonce, i);
	}
	return 0;
}

static int finish_objects(struct node_ctx *c, const json_t *output, const json_t *reply,
                          json_t *list)
{
	struct objects all = { .ctx = c };
	struct err err = ERR_INIT;
	if (s3_target_decode(json_object_get(output, "s3"), &all.s3, &err) < 0)
		return node_ctx_fail_err(c, &err);
	int rc = list_objects(&all, data_get_str(output, "prefix"), reply);
	if (rc == 0) {
		node_pool_each(all.made.n, SINK_THREADS, put_one, &all);
		rc = node_ctx_failed(c) ? -1 : 0;
	}
	for (size_t i = 0; i < all.made.n; i++) {
		const struct object_out *out = &all.made.v[i];
		if (rc == 0)
			(void)json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I}", "key",
			                                            out->key, "etag",
			                                            out->object.etag, "bytes",
			                                            (json_int_t)out->object.bytes,
			                                            "rows", (json_int_t)out->rows));
		free(out->key);
	}
	vec_free(&all.made);
	s3_target_free(&all.s3);
	return rc;
}

int node_sink_finish(struct node_ctx *c, const json_t *output, const json_t *reply, json_t *answer)
{
	struct err err = ERR_INIT;
	if (is_kind(output, "exchange")) {
		autofree char *path = exchange_path(c);
		if (store_spill_commit(c->node->spill, &c->id, path, &err) < 0)
			return node_ctx_fail_err(c, &err);
		return 0;
	}
	bool tablets = is_kind(output, "tablets");
	json_t *list = json_array();
	(void)json_object_set_new(answer, tablets ? "rowsets" : "objects", list);
	return tablets ? finish_rowsets(c, output, reply, list)
	               : finish_objects(c, output, reply, list);
}

/* Inputs of a task become files on this disk: rowsets are pinned, objects come through the cache, exchange files of
 * peers are streamed into the scratch folder, our own are linked there. Memory does not grow with their size. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/node/node_priv.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"

enum { FETCH_THREADS = 4, FETCH_IDLE_MS = 15000, FETCH_TRIES = 3 };

enum file_kind { FILE_ROWSET, FILE_OBJECT, FILE_PART };

struct file {
	enum file_kind kind;
	const json_t *from;          /* the ROWSET, OBJECT or part */
	const struct s3_target *s3;  /* of an object */
	struct store_rowset rowset;  /* pinned when path is set */
	struct store_cached *cached; /* pinned unless NULL */
	char *path;
	int64_t part_from, part_to; /* of the file at path */
	size_t number;
};

struct input {
	const json_t *json;
	struct s3_target s3;
	size_t first, end; /* its files */
};

struct node_inputs {
	VEC(struct input) inputs;
	VEC(struct file) files;
};

struct fetch {
	struct node_ctx *ctx;
	struct node_inputs *inputs;
};

/* == a rowset ================================================================================================ */
static int fetch_rowset(struct node_ctx *c, struct file *f)
{
	struct err err = ERR_INIT;
	int rc = store_pin(c->node->store, &f->rowset, &f->path, &err);
	if (rc < 0)
		return node_ctx_fail_err(c, &err);
	if (rc == STORE_ABSENT)
		return node_ctx_fail(c, RPC_E_INTERNAL, true,
		                     "rowset %s of tablet %" PRId64 " is not on this node",
		                     f->rowset.id, f->rowset.tablet);
	return 0;
}

/* == an object =============================================================================================== */
struct object_load {
	struct node_ctx *ctx;
	struct file *file;
	const char *key;
	struct s3_object known;
};

static bool object_stop(void *arg)
{
	const struct object_load *l = arg;
	return node_ctx_failed(l->ctx) || l->ctx->should_stop(l->ctx->arg);
}

static int object_load(void *arg, int fd, struct err *err)
{
	struct object_load *l = arg;
	const struct s3_wait wait = { .by = l->ctx->by, .should_stop = object_stop, .arg = l };
	struct s3_client *client = node_s3_take(l->ctx->node, err);
	if (!client)
		return -EIO;
	int rc = s3_get_file(client, l->file->s3, l->key, &l->known, fd, &wait, err);
	node_s3_give(l->ctx->node, client);
	return rc;
}

static int fetch_object(struct node_ctx *c, struct file *f)
{
	struct err err = ERR_INIT;
	struct object_load load = { .ctx = c,
		                    .file = f,
		                    .key = data_get_str(f->from, "key"),
		                    .known = { .bytes = data_get_int(f->from, "bytes", 0) } };
	const char *etag = data_get_str(f->from, "etag");
	(void)snprintf(load.known.etag, sizeof(load.known.etag), "%s", etag ? etag : "");
	autofree char *name = xasprintf("%s\n%s\n%s\n%s", f->s3->endpoint, f->s3->bucket, load.key,
	                                load.known.etag);
	const struct store_cache_ask ask = { .name = name,
		                             .bytes = load.known.bytes,
		                             .load = object_load,
		                             .should_stop = object_stop,
		                             .arg = &load,
		                             .by = c->by };
	if (store_cache_get(c->node->cache, &ask, &f->cached, &err) < 0)
		return node_ctx_fail_err(c, &err);
	f->path = xstrdup(store_cached_path(f->cached));
	return 0;
}

/* == a part of an exchange =================================================================================== */
static int lost(struct node_ctx *c, const struct file *f, const char *why)
{
	const char *addr = data_get_str(f->from, "addr");
	(void)pthread_mutex_lock(c->fail_lock);
	if (!c->fail->code) {
		c->fail->stage = (int)data_get_int(f->from, "stage", 0);
		c->fail->task = (int)data_get_int(f->from, "task", 0);
		(void)snprintf(c->fail->node, sizeof(c->fail->node), "%s", addr);
	}
	(void)node_fail(c->fail, RPC_E_INPUT_LOST, true,
	                "output of stage %" PRId64 " task %" PRId64 " at %s: %s",
	                data_get_int(f->from, "stage", 0), data_get_int(f->from, "task", 0), addr,
	                why);
	(void)pthread_mutex_unlock(c->fail_lock);
	return -1;
}

static struct store_attempt producer(const struct node_ctx *c, const struct file *f)
{
	struct store_attempt a = { .stage = (int)data_get_int(f->from, "stage", 0),
		                   .task = (int)data_get_int(f->from, "task", 0),
		                   .attempt = (int)data_get_int(f->from, "attempt", 0) };
	memcpy(a.query, c->id.query, sizeof(a.query));
	return a;
}

/* A link keeps the bytes for this task when the query's files are dropped meanwhile. */
static int link_part(struct node_ctx *c, struct file *f)
{
	struct store_attempt a = producer(c, f);
	autofree char *from = NULL;
	if (store_spill_find(c->node->spill, &a, &from) == STORE_ABSENT)
		return lost(c, f, "not here");
	if (link(from, f->path) < 0)
		return lost(c, f, strerror(errno));
	return 0;
}

struct part_fetch {
	struct node_ctx *ctx;
	int fd;
	struct err err; /* of the local write */
	struct buf refusal;
	int64_t bytes;
};

static int part_body(void *arg, int status, const char *data, size_t len)
{
	struct part_fetch *p = arg;
	if (status != 200) {
		(void)buf_add(&p->refusal, data, len);
		return 0;
	}
	p->bytes += (int64_t)len;
	return fd_write_all(p->fd, data, len, &p->err) < 0;
}

static bool part_stop(void *arg)
{
	struct node_ctx *c = ((struct part_fetch *)arg)->ctx;
	return node_ctx_failed(c) || c->should_stop(c->arg);
}

static int part_call(struct node_ctx *c, const struct file *f, struct part_fetch *p,
                     struct http_reply *reply, struct err *err)
{
	struct store_attempt a = producer(c, f);
	autofree char *url =
		xasprintf("http://%s/rpc/v1/exchange/%s/%d/%d/%d?from=%" PRId64 "&to=%" PRId64,
	                  data_get_str(f->from, "addr"), a.query, a.stage, a.task, a.attempt,
	                  data_get_int(f->from, "from", 0), data_get_int(f->from, "to", 0));
	struct http_client *client = node_client_take(c->node, err);
	if (!client)
		return -EIO;
	char *token = node_token(c->node);
	const struct http_call call = { .url = url,
		                        .bearer = token,
		                        .by = c->by,
		                        .idle_timeout_ms = FETCH_IDLE_MS,
		                        .on_body = part_body,
		                        .should_stop = part_stop,
		                        .arg = p };
	int rc = http_call(client, &call, reply, err);
	mem_free_secret(token);
	node_client_give(c->node, client);
	return rc;
}

/* One try: 0, -1 failed for good (ctx filled), 1 try again (err says why). */
static int part_try(struct node_ctx *c, struct file *f, struct err *err)
{
	_cleanup_(fd_closep) int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct part_fetch p = { .ctx = c, .fd = fd, .err = ERR_INIT, .refusal = BUF_INIT(16384) };
	if (fd < 0) {
		(void)err_errno(err, "%s", f->path);
		return node_ctx_fail_err(c, err);
	}
	int rc = part_call(c, f, &p, &reply, err);
	_cleanup_buf_ struct buf refusal = p.refusal;
	if (p.err.code)
		return node_ctx_fail_err(c, &p.err);
	if (rc == -ECANCELED || rc == -ETIMEDOUT) {
		if (part_stop(&p) || deadline_passed(c->by))
			return node_ctx_fail_err(c, err);
		return 1;
	}
	if (rc < 0)
		return 1;
	if (reply.status == 200) {
		atomic_fetch_add(&c->node->count.exchange_bytes_fetched, (uint64_t)p.bytes);
		return 0;
	}
	(void)err_set(err, -EIO, "HTTP %d", reply.status);
	return reply.status == 404 ? lost(c, f, "the node does not have it any more") : 1;
}

static int fetch_part(struct node_ctx *c, struct file *f)
{
	const char *addr = data_get_str(f->from, "addr");
	struct err err = ERR_INIT;
	f->path = xasprintf("%s/in-%zu.rx", c->scratch, f->number);
	f->part_from = 0;
	f->part_to = data_get_int(f->from, "to", 0) - data_get_int(f->from, "from", 0);
	if (node_is_self(c->node, addr)) {
		f->part_from = data_get_int(f->from, "from", 0);
		f->part_to = data_get_int(f->from, "to", 0);
		return link_part(c, f);
	}
	for (unsigned attempt = 0; attempt < FETCH_TRIES; attempt++) {
		if (attempt)
			clock_sleep_ms(http_backoff_ms(attempt, 50, 500));
		int rc = part_try(c, f, &err);
		if (rc <= 0)
			return rc;
	}
	return lost(c, f, err.msg);
}

/* == all of them ============================================================================================= */
static void fetch_one(void *arg, size_t i)
{
	struct fetch *x = arg;
	struct file *f = &x->inputs->files.v[i];
	if (node_ctx_failed(x->ctx))
		return;
	if (x->ctx->should_stop(x->ctx->arg)) {
		(void)node_ctx_fail(x->ctx, RPC_E_CANCELLED, false, "cancelled");
		return;
	}
	switch (f->kind) {
	case FILE_ROWSET:
		(void)fetch_rowset(x->ctx, f);
		break;
	case FILE_OBJECT:
		(void)fetch_object(x->ctx, f);
		break;
	case FILE_PART:
		(void)fetch_part(x->ctx, f);
		break;
	}
}

static struct file *add_file(struct node_inputs *all, enum file_kind kind, const json_t *from)
{
	struct file *f = vec_more(&all->files);
	*f = (struct file){ .kind = kind, .from = from, .number = all->files.n };
	return f;
}

static void list_tablets(struct node_inputs *all, const json_t *input)
{
	size_t i, k;
	json_t *tablet, *rowset;
	json_array_foreach(json_object_get(input, "tablets"), i, tablet)
	{
		int64_t id = data_get_int(tablet, "id", 0);
		json_array_foreach(json_object_get(tablet, "rowsets"), k, rowset)
		{
			struct file *f = add_file(all, FILE_ROWSET, rowset);
			(void)node_rowset_decode(rowset, id, &f->rowset, NULL);
		}
	}
}

static int list_input(struct node_inputs *all, const json_t *json, struct err *err)
{
	struct input *in = vec_more(&all->inputs);
	const char *kind = data_get_str(json, "kind");
	size_t i;
	json_t *item;
	*in = (struct input){ .json = json, .first = all->files.n };
	int rc = 0;
	if (strcmp(kind, "tablets") == 0) {
		list_tablets(all, json);
	} else if (strcmp(kind, "objects") == 0) {
		rc = s3_target_decode(json_object_get(json, "s3"), &in->s3, err);
		json_array_foreach(json_object_get(json, "objects"), i, item)(void)
			add_file(all, FILE_OBJECT, item);
	} else {
		json_array_foreach(json_object_get(json, "parts"), i, item)(void)
			add_file(all, FILE_PART, item);
	}
	in->end = all->files.n;
	return rc;
}

static json_t *exec_files(const struct node_inputs *all, const struct input *in)
{
	json_t *files = json_array();
	for (size_t i = in->first; i < in->end; i++) {
		const struct file *f = &all->files.v[i];
		json_t *item = json_string(f->path);
		if (f->kind == FILE_PART)
			item = json_pack("{s:o, s:I, s:I}", "path", item, "from",
			                 (json_int_t)f->part_from, "to", (json_int_t)f->part_to);
		(void)json_array_append_new(files, item);
	}
	return files;
}

static json_t *exec_inputs(const struct node_inputs *all)
{
	json_t *list = json_array();
	for (size_t i = 0; i < all->inputs.n; i++) {
		const struct input *in = &all->inputs.v[i];
		json_t *item = json_pack(
			"{s:O, s:O, s:O, s:O*, s:o}", "name", json_object_get(in->json, "name"),
			"kind", json_object_get(in->json, "kind"), "columns",
			json_object_get(in->json, "columns"), "rows",
			json_object_get(in->json, "rows"), "files", exec_files(all, in));
		(void)json_array_append_new(list, item);
	}
	return list;
}

int node_fetch(struct node_ctx *c, const json_t *inputs, json_t **ret_exec_inputs,
               struct node_inputs **ret)
{
	struct node_inputs *all = xcalloc(1, sizeof(*all));
	struct fetch fetch = { .ctx = c, .inputs = all };
	struct err err = ERR_INIT;
	size_t i;
	json_t *input;
	*ret = all;
	json_array_foreach(inputs, i, input)
	{
		if (list_input(all, input, &err) < 0)
			return node_ctx_fail_err(c, &err);
	}
	for (i = 0; i < all->inputs.n; i++) /* the list of inputs has its final address now */
		for (size_t k = all->inputs.v[i].first; k < all->inputs.v[i].end; k++)
			all->files.v[k].s3 = &all->inputs.v[i].s3;
	node_pool_each(all->files.n, FETCH_THREADS, fetch_one, &fetch);
	if (node_ctx_failed(c))
		return -1;
	*ret_exec_inputs = exec_inputs(all);
	return 0;
}

void node_inputs_free(struct node_ctx *c, struct node_inputs *all)
{
	if (!all)
		return;
	for (size_t i = 0; i < all->files.n; i++) {
		struct file *f = &all->files.v[i];
		if (f->kind == FILE_ROWSET && f->path)
			store_unpin(c->node->store, f->rowset.tablet, f->rowset.id);
		if (f->cached)
			store_cache_release(c->node->cache, f->cached);
		free(f->path);
	}
	for (size_t i = 0; i < all->inputs.n; i++)
		s3_target_free(&all->inputs.v[i].s3);
	vec_free(&all->files);
	vec_free(&all->inputs);
	free(all);
}

/* PUT /api/{db}/{table}/_stream_load: headers, the transaction's begin (which checks the password), only then the body
 * into a file, and the rest of the transaction on a thread of its own. */
#include "engine/node/load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"

static void load_free(struct node_load *l)
{
	struct node *n = l->node;
	store_spill_scratch_free(l->ctx.scratch);
	fd_closep(&l->fd);
	free(l->path);
	free(l->db);
	free(l->table);
	free(l->user);
	mem_free_secret(l->password);
	node_load_spec_free(&l->spec);
	json_decref(l->columns);
	json_decref(l->output);
	free(l->first_error);
	(void)pthread_mutex_destroy(&l->fail_lock);
	free(l);
	atomic_fetch_sub(&n->loads, 1);
}

static void answer(struct node_load *l, struct http_req *req, int http_status,
                   enum node_load_status status)
{
	autofree char *text = node_load_answer(l, status);
	struct node_counters *c = &l->node->count;
	if (status == NODE_LOAD_SUCCESS) {
		atomic_fetch_add(&c->loads_ok, 1);
		atomic_fetch_add(&c->load_rows, (uint64_t)l->loaded);
	} else {
		atomic_fetch_add(&c->loads_failed, 1);
	}
	atomic_fetch_add(&c->load_bytes, (uint64_t)l->bytes);
	http_answer_json(req, http_status, text);
}

static int refuse(struct node_load *l, struct http_req *req, int http_status, const char *why)
{
	(void)node_ctx_fail(&l->ctx, RPC_E_SQL, false, "%s", why);
	answer(l, req, http_status, NODE_LOAD_FAIL);
	return -1;
}

/* "db/table/_stream_load" */
static int target(struct node_load *l, struct str tail)
{
	struct str db, table;
	if (!str_split(&tail, '/', &db) || !str_split(&tail, '/', &table) || !db.len ||
	    !table.len || db.len > 256 || table.len > 256 || !str_eqs(tail, "_stream_load"))
		return -EINVAL;
	l->db = str_dup(db);
	l->table = str_dup(table);
	return 0;
}

static const char *header(void *arg, const char *name)
{
	return http_req_header(arg, name);
}

static bool load_stop(void *arg)
{
	struct node_load *l = arg;
	return deadline_passed(l->ctx.by) || http_req_gone(l->req) ||
	       atomic_load(&l->node->state) == NODE_STOPPING;
}

static int open_body(struct node_load *l, struct err *err)
{
	int rc = store_spill_scratch(l->node->spill, &l->ctx.id, &l->ctx.scratch, err);
	if (rc < 0)
		return rc;
	l->path = xasprintf("%s/body", l->ctx.scratch);
	l->fd = open(l->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return l->fd < 0 ? err_errno(err, "%s", l->path) : 0;
}

static int head_check(struct node_load *l, struct http_req *req)
{
	struct err err = ERR_INIT;
	const char *length = http_req_header(req, "Content-Length");
	if (node_refuses(l->node))
		return refuse(l, req, 503, "this node is leaving: send the load to the front end");
	if (target(l, http_req_tail(req)) < 0)
		return refuse(l, req, 404, "path: must be /api/DATABASE/TABLE/_stream_load");
	if (!http_req_basic(req, &l->user, &l->password)) {
		http_answer_header(req, "WWW-Authenticate", "Basic realm=\"roost\"");
		return refuse(l, req, 401, "no valid Basic authorization");
	}
	if (node_load_spec(header, req, &l->spec, &err) < 0)
		return refuse(l, req, 200, err.msg);
	l->ctx.by = deadline_in(l->spec.timeout_ms);
	if (length && str_to_i64(str_of(length), &l->announced) < 0)
		l->announced = 0;
	if (l->announced > l->node->config.load_max_bytes)
		return refuse(l, req, 200, "the body passes streaming_load_max_mb");
	return 0;
}

/* l may be gone once its request is answered or its body taken. */
static void begin_job(void *arg)
{
	struct node_load *l = arg;
	struct err err = ERR_INIT;
	enum node_load_status status = node_load_begin(l);
	if (status == NODE_LOAD_SUCCESS && open_body(l, &err) < 0) {
		(void)node_ctx_fail_err(&l->ctx, &err);
		node_load_abort(l);
		status = NODE_LOAD_FAIL;
	}
	l->body_ms = clock_mono_ms();
	if (status == NODE_LOAD_SUCCESS) {
		http_take_body(l->req);
		return;
	}
	bool auth = l->fail.code && strcmp(l->fail.code, RPC_E_AUTH) == 0;
	if (auth)
		http_answer_header(l->req, "WWW-Authenticate", "Basic realm=\"roost\"");
	answer(l, l->req, auth ? 401 : 200, status);
}

static void load_head(void *arg, struct http_req *req, void **state)
{
	struct node_load *l = xcalloc(1, sizeof(*l));
	l->node = arg;
	l->req = req;
	l->fd = -1;
	l->start_ms = clock_mono_ms();
	l->spec.format = "csv";
	(void)pthread_mutex_init(&l->fail_lock, NULL);
	l->ctx = (struct node_ctx){ .node = l->node,
		                    .should_stop = load_stop,
		                    .arg = l,
		                    .fail_lock = &l->fail_lock,
		                    .fail = &l->fail };
	atomic_fetch_add(&l->node->loads, 1);
	if (head_check(l, req) < 0) {
		load_free(l);
		return;
	}
	*state = l;
	http_hold_body(req);
	node_pool_run(l->node->begin_pool, begin_job, l);
}

static int load_piece(void *arg, struct http_req *req, void *state, const char *data, size_t len)
{
	struct node_load *l = state;
	struct err err = ERR_INIT;
	(void)arg;
	l->bytes += (int64_t)len;
	if (l->bytes > l->node->config.load_max_bytes)
		return refuse(l, req, 200, "the body passes streaming_load_max_mb");
	if (deadline_passed(l->ctx.by))
		return refuse(l, req, 200, "timeout: the body did not come in time");
	if (fd_write_all(l->fd, data, len, &err) < 0)
		return refuse(l, req, 200, err.msg);
	return 0;
}

/* l may be gone once its request is answered. */
static void load_job(void *arg)
{
	struct node_load *l = arg;
	enum node_load_status status = node_load_run(l);
	node_load_keep_error(l);
	log_info("load=%s db=%s table=%s txn=%" PRId64 " bytes=%" PRId64 " rows=%" PRId64
	         " status=%d %s",
	         l->label, l->db, l->table, l->txn, l->bytes, l->loaded, (int)status,
	         l->fail.message);
	answer(l, l->req, 200, status);
}

static void load_end(void *arg, struct http_req *req, void *state)
{
	struct node_load *l = state;
	(void)arg;
	l->read_ms = clock_mono_ms() - l->body_ms;
	fd_closep(&l->fd);
	http_hold(req);
	node_pool_run(l->node->load_pool, load_job, l);
}

static void abort_job(void *arg)
{
	struct node_load *l = arg;
	(void)node_ctx_fail(&l->ctx, RPC_E_CANCELLED, false, "the connection ended in the body");
	node_load_abort(l);
	load_free(l);
}

/* A body that broke off leaves a transaction, whose label could not be used again before it timed out. The server's
 * thread does not wait for the front end, unless everything ends (the pool, too). */
static void load_end_free(void *arg, void *state)
{
	struct node_load *l = state;
	(void)arg;
	if (l && l->open && atomic_load(&l->node->state) != NODE_STOPPING)
		node_pool_run(l->node->begin_pool, abort_job, l);
	else if (l && l->open)
		abort_job(l);
	else if (l)
		load_free(l);
}

const struct http_stream node_load_stream = { load_head, load_piece, load_end, load_end_free };

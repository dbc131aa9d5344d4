#include <errno.h>

#include "engine/front/front_priv.h"
#include "engine/meta/txn.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

static void refuse(struct http_req *r, int status, const char *code, bool retryable,
                   const char *message)
{
	json_t *j = json_pack("{s:i, s:{s:s, s:s, s:b}}", "v", RPC_VERSION, "error", "code", code,
	                      "message", message, "retryable", retryable);
	if (!j) /* a message that is not UTF-8 */
		j = json_pack("{s:i, s:{s:s, s:s, s:b}}", "v", RPC_VERSION, "error", "code", code,
		              "message", "refused", "retryable", retryable);
	front_answer(r, status, j);
}

/* The body as a message of a version that is spoken here; NULL: answered already. */
static json_t *message(struct http_req *r)
{
	struct err err = ERR_INIT;
	json_t *j = NULL;
	if (data_json_parse(http_req_body(r), &j, &err) < 0) {
		refuse(r, 400, RPC_E_INTERNAL, false, err.msg);
		return NULL;
	}
	int64_t v = data_get_int(j, "v", -1);
	if (v == RPC_VERSION || v == RPC_VERSION - 1)
		return j;
	json_decref(j);
	autofree char *text =
		xasprintf("v: %d is spoken here, not %lld", RPC_VERSION, (long long)v);
	refuse(r, 400, RPC_E_INTERNAL, false, text);
	return NULL;
}

static const char *text(const json_t *j, const char *path)
{
	const char *t = data_get_str(j, path);
	return t ? t : "";
}

/* A statement's fault keeps the statement's words; the rest may go better elsewhere or later. */
static void refuse_err(struct http_req *r, const struct err *err)
{
	switch (sql_err_no(err->code)) {
	case 1049:
	case 1146:
	case 1051:
		refuse(r, 404, RPC_E_SQL, false, err->msg);
		return;
	case 1105:
		refuse(r, 503, RPC_E_INTERNAL, true, err->msg);
		return;
	default:
		refuse(r, 400, RPC_E_SQL, false, err->msg);
	}
}

static bool resolve(void *arg, int64_t node, char *out, size_t size)
{
	struct front *f = arg;
	struct cluster_node n;
	if (!cluster_node(f->config.cluster, node, &n) || !n.alive)
		return false;
	(void)snprintf(out, size, "%s", n.rpc);
	return true;
}

void front_load_begin(void *arg, struct http_req *r)
{
	struct front *f = arg;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *j = message(r);
	if (!j)
		return;
	if (!meta_password_ok(f->config.meta, text(j, "user"), text(j, "password"))) {
		refuse(r, 401, RPC_E_AUTH, false, "Access denied: wrong user or password");
		return;
	}
	struct meta_txn_request rq = { .db = text(j, "db"),
		                       .table = text(j, "table"),
		                       .label = text(j, "label"),
		                       .user = text(j, "user"),
		                       .worker = text(j, "worker"),
		                       .timeout_ms = data_get_int(j, "timeout_ms", 0),
		                       .resolve = resolve,
		                       .resolve_arg = f,
		                       .s3_json = f->config.s3_json,
		                       .s3_path = f->config.s3_path };
	_cleanup_meta_txn_ struct meta_txn_begun b;
	int rc = meta_txn_begin(f->config.meta, &rq, &b, &err);
	if (rc < 0)
		refuse_err(r, &err);
	else if (rc == META_TXN_LABEL_EXISTS)
		front_answer(r, 200,
		             json_pack("{s:i, s:s, s:s, s:s}", "v", RPC_VERSION, "outcome",
		                       "label_exists", "label", b.label, "existing", b.existing));
	else
		front_answer(r, 200,
		             json_pack("{s:i, s:I, s:s, s:s, s:O, s:O}", "v", RPC_VERSION, "txn",
		                       (json_int_t)b.txn, "label", b.label, "query", b.query,
		                       "columns", b.columns, "output", b.output));
}

void front_load_commit(void *arg, struct http_req *r)
{
	struct front *f = arg;
	struct err err = ERR_INIT;
	int64_t version = 0;
	_cleanup_json_ json_t *j = message(r);
	if (!j)
		return;
	const json_t *pieces = json_object_get(j, "rowsets");
	if (!pieces)
		pieces = json_object_get(j, "objects");
	int64_t rows = data_get_int(j, "rows", -1), bytes = data_get_int(j, "bytes", -1);
	if (rows < 0 || bytes < 0 || !json_is_array(pieces)) {
		refuse(r, 400, RPC_E_INTERNAL, false,
		       "rows, bytes and rowsets (or objects) are wanted");
		return;
	}
	if (meta_txn_commit(f->config.meta, data_get_int(j, "txn", 0), (uint64_t)rows,
	                    (uint64_t)bytes, pieces, &version, &err) < 0) {
		/* A refusal is for good; only a disk's failure may go better the next time. */
		if (err.code <= SQL_ERR(0))
			refuse(r, 409, RPC_E_SQL, false, err.msg);
		else
			refuse(r, 503, RPC_E_INTERNAL, true, err.msg);
		return;
	}
	front_answer(r, 200,
	             json_pack("{s:i, s:I}", "v", RPC_VERSION, "version", (json_int_t)version));
}

void front_load_abort(void *arg, struct http_req *r)
{
	struct front *f = arg;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *j = message(r);
	if (!j)
		return;
	(void)meta_txn_abort(f->config.meta, data_get_int(j, "txn", 0), text(j, "reason"), &err);
	front_answer(r, 200, json_pack("{s:i}", "v", RPC_VERSION));
}

void front_node_draining(void *arg, struct http_req *r)
{
	struct front *f = arg;
	struct cluster_node n;
	_cleanup_json_ json_t *j = message(r);
	if (!j)
		return;
	int64_t id = data_get_int(j, "node_id", 0);
	bool draining = data_get_bool(j, "draining", true);
	const char *role = text(j, "role");
	if (!cluster_node(f->config.cluster, id, &n) ||
	    strcmp(role, n.role == META_BE ? "be" : "cn") != 0) {
		refuse(r, 404, RPC_E_INTERNAL, false, "there is no such node");
		return;
	}
	log_info("node=%lld address=%s:%d says draining=%d", (long long)id, n.host,
	         n.heartbeat_port, draining);
	cluster_set_draining(f->config.cluster, id, draining);
	front_answer(r, 200, json_pack("{s:i}", "v", RPC_VERSION));
}

/* The transaction of a Stream Load. Rows become visible by the commit alone: whatever fails before it leaves
 * nothing but files that no version names. A commit whose answer is lost is asked for again with the same txn. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/node/load.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum {
	BEGIN_TRY_MS = 5000,
	COMMIT_CALL_MS = 10000,
	COMMIT_LEAST_MS = 15000, /* for the commit, however little of the timeout is left */
	ABORT_TRIES = 3,
	ABORT_STOPPING_MS = 1000,
	ERROR_TEXT_MAX = 64 * 1024,
};

/* == begin =================================================================================================== */
static json_t *begin_message(const struct node_load *l)
{
	char self[NODE_ADDR_MAX];
	node_self(l->node, self);
	json_t *m = json_pack("{s:i, s:s, s:s, s:s, s:I, s:O, s:I, s:s}", "v", RPC_VERSION, "db",
	                      l->db, "table", l->table, "label", l->spec.label, "bytes",
	                      (json_int_t)l->announced, "columns", l->spec.columns, "timeout_ms",
	                      (json_int_t)l->spec.timeout_ms, "worker", self);
	(void)json_object_set_new(m, "user", node_json_text(l->user));
	(void)json_object_set_new(m, "password", node_json_text(l->password));
	return m;
}

static int begin_read(struct node_load *l, const json_t *reply)
{
	struct err err = ERR_INIT;
	const char *outcome = data_get_str(reply, "outcome"), *label = data_get_str(reply, "label");
	const char *existing = data_get_str(reply, "existing");
	const char *query = data_get_str(reply, "query");
	const json_t *output = json_object_get(reply, "output");
	(void)snprintf(l->label, sizeof(l->label), "%s", label ? label : l->spec.label);
	if (outcome && strcmp(outcome, "label_exists") == 0) {
		(void)snprintf(l->existing, sizeof(l->existing), "%s", existing ? existing : "");
		return NODE_LOAD_LABEL_EXISTS;
	}
	l->txn = data_get_int(reply, "txn", 0);
	if (l->txn < 1 || !json_is_array(json_object_get(reply, "columns")) || !query ||
	    !store_id_valid(query))
		return node_ctx_fail(&l->ctx, RPC_E_INTERNAL, true,
		                     "the front end's answer to load/begin is not understood");
	if (node_output_check(output, &err) < 0)
		return node_ctx_fail(&l->ctx, RPC_E_INTERNAL, false, "load/begin: %s", err.msg);
	l->open = true;
	memcpy(l->ctx.id.query, query, sizeof(l->ctx.id.query));
	l->columns = json_incref(json_object_get(reply, "columns"));
	l->output = json_deep_copy(output);
	return 0;
}

/* Tried again only while nobody answered the connection: a begin that may have been heard is not repeated. */
static int begin(struct node_load *l)
{
	struct deadline tries = deadline_in(BEGIN_TRY_MS);
	_cleanup_json_ json_t *message = begin_message(l);
	for (unsigned attempt = 0;; attempt++) {
		_cleanup_json_ json_t *reply = NULL;
		struct err err = ERR_INIT;
		int status = 0;
		int rc = node_fe_call(l->node, "/rpc/v1/load/begin", message,
		                      deadline_min(l->ctx.by, deadline_in(COMMIT_CALL_MS)), &status,
		                      &reply, &err);
		if ((rc == -ECONNREFUSED || rc == -EHOSTUNREACH) && !deadline_passed(tries)) {
			clock_sleep_ms(http_backoff_ms(attempt, 100, 1000));
			continue;
		}
		if (rc < 0)
			return node_ctx_fail_err(&l->ctx, &err);
		if (status == 200 && reply)
			return begin_read(l, reply);
		(void)node_fail_json(&l->fail, reply, "load/begin");
		return -1;
	}
}

/* == write =================================================================================================== */
static void read_counts(struct node_load *l, const json_t *reply)
{
	const char *error = data_get_str(reply, "load.first_error");
	l->total = data_get_int(reply, "load.total", 0);
	l->loaded = data_get_int(reply, "load.loaded", 0);
	l->filtered = data_get_int(reply, "load.filtered", 0);
	l->unselected = data_get_int(reply, "load.unselected", 0);
	if (error && *error)
		l->first_error = xstrndup(error, ERROR_TEXT_MAX);
}

static json_t *write_request(struct node_load *l)
{
	json_t *input = json_pack("{s:s, s:s, s:s, s:s, s:O, s:O}", "name", "stream_load", "kind",
	                          "file", "format", l->spec.format, "path", l->path, "columns",
	                          l->columns, "options", l->spec.options);
	return json_pack("{s:s, s:[o], s:o}", "op", "run", "inputs", input, "output",
	                 node_sink_request(&l->ctx, l->output));
}

static int write_rows(struct node_load *l, json_t **ret_answer)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_json_ json_t *answer = json_pack("{s:i}", "v", RPC_VERSION);
	int rc = node_run_exec(&l->ctx, write_request(l), &reply);
	read_counts(l, reply);
	if (rc < 0)
		return -1;
	if (l->loaded == 0)
		return node_ctx_fail(&l->ctx, RPC_E_SQL, false,
		                     "no partitions have data available for loading: the input "
		                     "holds no row that is loaded");
	if (node_sink_finish(&l->ctx, l->output, reply, answer) < 0)
		return -1;
	(void)json_object_set_new(answer, "txn", json_integer(l->txn));
	(void)json_object_set_new(answer, "rows", json_integer(l->loaded));
	(void)json_object_set_new(answer, "bytes",
	                          json_integer(data_get_int(reply, "bytes", l->bytes)));
	*ret_answer = TAKE_PTR(answer);
	return 0;
}

/* == commit, abort =========================================================================================== */
static bool stopping(struct node *n)
{
	return atomic_load(&n->state) == NODE_STOPPING;
}

void node_load_abort(struct node_load *l)
{
	_cleanup_json_ json_t *m =
		json_pack("{s:i, s:I}", "v", RPC_VERSION, "txn", (json_int_t)l->txn);
	(void)json_object_set_new(m, "reason", node_json_text(l->fail.message));
	l->open = false;
	for (unsigned attempt = 0; attempt < ABORT_TRIES; attempt++) {
		bool hurry = stopping(l->node);
		_cleanup_json_ json_t *reply = NULL;
		struct err err = ERR_INIT;
		int status = 0;
		struct deadline by = deadline_in(hurry ? ABORT_STOPPING_MS : NODE_FE_CALL_MS);
		if (node_fe_call(l->node, "/rpc/v1/load/abort", m, by, &status, &reply, &err) ==
		            0 &&
		    status < 500)
			return;
		if (hurry)
			break;
		clock_sleep_ms(http_backoff_ms(attempt, 100, 1000));
	}
	log_warn("txn=%" PRId64 " label=%s abort was not heard: the front end ends it by its "
	         "timeout",
	         l->txn, l->label);
}

static bool asks_again(int rc, int status, const json_t *reply)
{
	return rc < 0 || status >= 500 || !reply || data_get_bool(reply, "error.retryable", false);
}

static enum node_load_status commit(struct node_load *l, const json_t *message)
{
	int64_t left = deadline_left_ms(l->ctx.by);
	struct deadline by = deadline_in(left > COMMIT_LEAST_MS ? left : COMMIT_LEAST_MS);
	for (unsigned attempt = 0; !deadline_passed(by) && !stopping(l->node); attempt++) {
		_cleanup_json_ json_t *reply = NULL;
		struct err err = ERR_INIT;
		int status = 0;
		int rc = node_fe_call(l->node, "/rpc/v1/load/commit", message,
		                      deadline_min(by, deadline_in(COMMIT_CALL_MS)), &status,
		                      &reply, &err);
		if (rc == 0 && status == 200) {
			l->open = false;
			return NODE_LOAD_SUCCESS;
		}
		if (!asks_again(rc, status, reply)) {
			(void)node_fail_json(&l->fail, reply, "load/commit");
			node_load_abort(l);
			return NODE_LOAD_FAIL;
		}
		log_warn("txn=%" PRId64 " label=%s commit is asked for again: %s", l->txn, l->label,
		         rc < 0 ? err.msg : "the front end failed");
		clock_sleep_ms(http_backoff_ms(attempt, 100, 2000));
	}
	l->open = false; /* nobody knows: an abort could undo nothing and say the wrong thing */
	(void)node_ctx_fail(&l->ctx, RPC_E_TIMEOUT, false,
	                    "the commit was not acknowledged in time: the rows may be visible; ask "
	                    "again with the same label");
	return NODE_LOAD_PUBLISH_TIMEOUT;
}

static int64_t lap(int64_t *since)
{
	int64_t now = clock_mono_ms(), took = now - *since;
	*since = now;
	return took;
}

enum node_load_status node_load_begin(struct node_load *l)
{
	int64_t since = clock_mono_ms();
	int rc = begin(l);
	l->begin_ms = lap(&since);
	return rc < 0 ? NODE_LOAD_FAIL : (enum node_load_status)rc;
}

enum node_load_status node_load_run(struct node_load *l)
{
	_cleanup_json_ json_t *message = NULL;
	int64_t since = clock_mono_ms();
	int rc = write_rows(l, &message);
	l->write_ms = lap(&since);
	if (rc < 0) {
		node_load_abort(l);
		return NODE_LOAD_FAIL;
	}
	enum node_load_status status = commit(l, message);
	l->commit_ms = lap(&since);
	return status;
}

/* == the answer ============================================================================================== */
void node_load_keep_error(struct node_load *l)
{
	autofree char *dir = xasprintf("%s/error_log", l->node->config.storage_path);
	char name[RPC_ID_LEN + 1];
	if (!l->first_error)
		return;
	fd_random_hex(name, RPC_ID_LEN / 2);
	autofree char *path = xasprintf("%s/%s", dir, name);
	autofree char *text =
		xasprintf("label %s: %" PRId64 " of %" PRId64 " rows filtered; the first: %s\n",
	                  l->label, l->filtered, l->total, l->first_error);
	if (fd_mkdir_p(dir, 0700, NULL) == 0 &&
	    fd_write_file(path, text, strlen(text), 0600, NULL) == 0)
		memcpy(l->error_file, name, sizeof(name));
}

static void add_error_url(const struct node_load *l, json_t *j)
{
	char self[NODE_ADDR_MAX];
	node_self(l->node, self);
	char *colon = strrchr(self, ':');
	if (!l->error_file[0] || !colon)
		return;
	*colon = '\0';
	autofree char *url = xasprintf("http://%s:%d/api/_load_error_log?file=%s", self,
	                               node_http_port(l->node), l->error_file);
	(void)json_object_set_new(j, "ErrorURL", node_json_text(url));
}

char *node_load_answer(const struct node_load *l, enum node_load_status status)
{
	static const char *const names[] = { "Success", "Publish Timeout", "Label Already Exists",
		                             "Fail" };
	const struct {
		const char *key;
		int64_t value;
	} numbers[] = {
		{ "TxnId", l->txn ? l->txn : -1 },
		{ "NumberTotalRows", l->total },
		{ "NumberLoadedRows", status <= NODE_LOAD_PUBLISH_TIMEOUT ? l->loaded : 0 },
		{ "NumberFilteredRows", l->filtered },
		{ "NumberUnselectedRows", l->unselected },
		{ "LoadBytes", l->bytes },
		{ "LoadTimeMs", clock_mono_ms() - l->start_ms },
		{ "BeginTxnTimeMs", l->begin_ms },
		{ "StreamLoadPlanTimeMs", 0 },
		{ "ReadDataTimeMs", l->read_ms },
		{ "WriteDataTimeMs", l->write_ms },
		{ "CommitAndPublishTimeMs", l->commit_ms },
	};
	_cleanup_json_ json_t *j = json_pack("{s:s, s:s}", "Status", names[status], "Label",
	                                     l->label[0] ? l->label : l->spec.label);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		(void)json_object_set_new(j, numbers[i].key, json_integer(numbers[i].value));
	autofree char *exists =
		xasprintf("Label [%s] has already been used.", l->label[0] ? l->label : "");
	const char *message = status == NODE_LOAD_SUCCESS        ? "OK"
	                      : status == NODE_LOAD_LABEL_EXISTS ? exists
	                                                         : l->fail.message;
	(void)json_object_set_new(j, "Message", node_json_text(message));
	if (status == NODE_LOAD_LABEL_EXISTS)
		(void)json_object_set_new(j, "ExistingJobStatus", node_json_text(l->existing));
	add_error_url(l, j);
	return data_json_text(j);
}

#include "engine/node/task.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/exchange/format.h"
#include "engine/s3/s3.h"
#include "lib/data/json.h"

static int want_int(const json_t *from, const char *key, int64_t min, int64_t max, int64_t *ret,
                    struct err *err)
{
	const json_t *j = json_object_get(from, key);
	if (!json_is_integer(j) || json_integer_value(j) < min || json_integer_value(j) > max)
		return err_set(err, -EINVAL, "%s: must be an integer from %" PRId64 " to %" PRId64,
		               key, min, max);
	*ret = json_integer_value(j);
	return 0;
}

static int want_text(const json_t *from, const char *key, const char **ret, struct err *err)
{
	const json_t *j = json_object_get(from, key);
	const char *text = json_string_value(j);
	if (!text || !*text || json_string_length(j) > NODE_NAME_MAX)
		return err_set(err, -EINVAL, "%s: must be text of 1 to %d bytes", key,
		               NODE_NAME_MAX);
	*ret = text;
	return 0;
}

static int want_array(const json_t *from, const char *key, size_t max, const json_t **ret,
                      struct err *err)
{
	const json_t *j = json_object_get(from, key);
	if (!json_is_array(j) || json_array_size(j) > max)
		return err_set(err, -EINVAL, "%s: must be a list of at most %zu", key, max);
	*ret = j;
	return 0;
}

typedef int (*check_fn)(const json_t *item, void *arg, struct err *err);

/* Every item of a list; the message says which one is wrong. */
static int each(const json_t *list, const char *key, check_fn fn, void *arg, struct err *err)
{
	size_t i;
	json_t *item;
	json_array_foreach(list, i, item)
	{
		int rc = fn(item, arg, err);
		if (rc < 0) {
			(void)err_wrap(err, "%s[%zu]", key, i);
			return rc;
		}
	}
	return 0;
}

static int want_each(const json_t *from, const char *key, size_t max, check_fn fn, void *arg,
                     struct err *err)
{
	const json_t *list;
	int rc = want_array(from, key, max, &list, err);
	return rc < 0 ? rc : each(list, key, fn, arg, err);
}

static int check_column(const json_t *item, void *arg, struct err *err)
{
	const char *text;
	(void)arg;
	int rc = want_text(item, "name", &text, err);
	return rc < 0 ? rc : want_text(item, "type", &text, err);
}

static int check_name(const json_t *item, void *arg, struct err *err)
{
	(void)arg;
	if (!json_is_string(item) || json_string_length(item) > NODE_NAME_MAX)
		return err_set(err, -EINVAL, "must be text of at most %d bytes", NODE_NAME_MAX);
	return 0;
}

bool node_address_valid(const char *text)
{
	const char *colon = strrchr(text, ':');
	int64_t port;
	if (!colon || colon == text || colon - text > 253 ||
	    str_to_i64(str_of(colon + 1), &port) < 0 || port < 1 || port > 65535)
		return false;
	struct str host = { text, (size_t)(colon - text) };
	bool bracketed = host.p[0] == '[';
	if (bracketed && (host.len < 4 || host.p[host.len - 1] != ']'))
		return false;
	for (size_t i = bracketed; i < host.len - bracketed; i++) {
		char c = host.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || c == '.' || (!bracketed && strchr("-_", c));
		if (!plain && !(bracketed && c == ':'))
			return false;
	}
	return true;
}

int node_rowset_decode(const json_t *from, int64_t tablet, struct store_rowset *ret,
                       struct err *err)
{
	const char *id, *crc;
	struct store_rowset r = { .tablet = tablet };
	int rc = want_text(from, "id", &id, err);
	if (rc == 0)
		rc = want_int(from, "bytes", 0, INT64_MAX, &r.bytes, err);
	if (rc == 0)
		rc = want_text(from, "crc", &crc, err);
	if (rc < 0)
		return rc;
	if (!store_id_valid(id))
		return err_set(err, -EINVAL, "id: must be %d hexadecimal digits", RPC_ID_LEN);
	if (store_crc_parse(crc, &r.crc) < 0)
		return err_set(err, -EINVAL, "crc: must be 8 hexadecimal digits");
	memcpy(r.id, id, sizeof(r.id));
	*ret = r;
	return 0;
}

static int check_rowset(const json_t *item, void *arg, struct err *err)
{
	struct store_rowset ignored;
	return node_rowset_decode(item, *(int64_t *)arg, &ignored, err);
}

static int check_tablet(const json_t *item, void *arg, struct err *err)
{
	int64_t id;
	(void)arg;
	int rc = want_int(item, "id", 1, INT64_MAX, &id, err);
	return rc < 0 ? rc : want_each(item, "rowsets", NODE_FILES_MAX, check_rowset, &id, err);
}

static int check_object(const json_t *item, void *arg, struct err *err)
{
	const char *key;
	int64_t bytes;
	(void)arg;
	int rc = want_text(item, "key", &key, err);
	if (rc == 0)
		rc = want_int(item, "bytes", 0, S3_PUT_MAX, &bytes, err);
	if (rc == 0 && json_string_length(json_object_get(item, "etag")) >= S3_ETAG_MAX)
		rc = err_set(err, -EINVAL, "etag: at most %d bytes", S3_ETAG_MAX - 1);
	return rc;
}

static int check_s3(const json_t *from, struct err *err)
{
	_cleanup_s3_target_ struct s3_target t = { .endpoint = NULL };
	return s3_target_decode(json_object_get(from, "s3"), &t, err);
}

static int check_part(const json_t *item, void *arg, struct err *err)
{
	const char *addr;
	int64_t n, from, to;
	(void)arg;
	int rc = want_text(item, "addr", &addr, err);
	if (rc == 0 && !node_address_valid(addr))
		rc = err_set(err, -EINVAL, "addr: must be host:port");
	if (rc == 0)
		rc = want_int(item, "stage", 0, RPC_STAGES_MAX - 1, &n, err);
	if (rc == 0)
		rc = want_int(item, "task", 0, RPC_TASKS_MAX - 1, &n, err);
	if (rc == 0)
		rc = want_int(item, "attempt", 0, RPC_ATTEMPTS_MAX - 1, &n, err);
	if (rc == 0)
		rc = want_int(item, "from", 0, RPC_PARTITIONS_MAX, &from, err);
	if (rc == 0)
		rc = want_int(item, "to", 0, RPC_PARTITIONS_MAX, &to, err);
	if (rc == 0 && from > to)
		rc = err_set(err, -EINVAL, "from: must not be after to");
	return rc;
}

static int check_input(const json_t *item, void *arg, struct err *err)
{
	const char *name, *kind;
	(void)arg;
	int rc = want_text(item, "name", &name, err);
	if (rc == 0)
		rc = want_text(item, "kind", &kind, err);
	if (rc == 0)
		rc = want_each(item, "columns", XCHG_COLUMNS_MAX, check_column, NULL, err);
	if (rc < 0)
		return rc;
	if (strcmp(kind, "tablets") == 0)
		return want_each(item, "tablets", NODE_FILES_MAX, check_tablet, NULL, err);
	if (strcmp(kind, "exchange") == 0)
		return want_each(item, "parts", NODE_FILES_MAX, check_part, NULL, err);
	if (strcmp(kind, "objects") == 0) {
		rc = check_s3(item, err);
		return rc < 0 ? rc
		              : want_each(item, "objects", NODE_FILES_MAX, check_object, NULL, err);
	}
	return err_set(err, -EINVAL, "kind: must be tablets, objects or exchange");
}

static int check_replica(const json_t *item, void *arg, struct err *err)
{
	const char *text = json_string_value(item);
	(void)arg;
	if (!text || !node_address_valid(text))
		return err_set(err, -EINVAL, "must be host:port");
	return 0;
}

static int check_target(const json_t *item, void *arg, struct err *err)
{
	int64_t id, bucket, count = *(int64_t *)arg;
	int rc = want_int(item, "id", 1, INT64_MAX, &id, err);
	if (rc == 0)
		rc = want_int(item, "bucket", 0, count - 1, &bucket, err);
	return rc < 0 ? rc : want_each(item, "replicas", 64, check_replica, NULL, err);
}

static int check_exchange_output(const json_t *o, struct err *err)
{
	int64_t partitions;
	const char *codec;
	int rc = want_int(o, "partitions", 1, RPC_PARTITIONS_MAX, &partitions, err);
	if (rc == 0 && json_object_get(o, "keys"))
		rc = want_each(o, "keys", XCHG_COLUMNS_MAX, check_name, NULL, err);
	if (rc == 0)
		rc = want_text(o, "codec", &codec, err);
	if (rc == 0 && strcmp(codec, "raw") != 0 && strcmp(codec, "lz4") != 0 &&
	    strcmp(codec, "zstd") != 0)
		rc = err_set(err, -EINVAL, "codec: must be raw, lz4 or zstd");
	return rc;
}

static int check_tablets_output(const json_t *o, struct err *err)
{
	const json_t *tablets;
	int rc = want_each(o, "columns", XCHG_COLUMNS_MAX, check_column, NULL, err);
	if (rc == 0)
		rc = want_each(o, "distribution", XCHG_COLUMNS_MAX, check_name, NULL, err);
	if (rc == 0 && json_object_get(o, "sort"))
		rc = want_each(o, "sort", XCHG_COLUMNS_MAX, check_name, NULL, err);
	if (rc == 0)
		rc = want_array(o, "tablets", RPC_PARTITIONS_MAX, &tablets, err);
	if (rc < 0)
		return rc;
	int64_t count = (int64_t)json_array_size(tablets);
	if (count == 0)
		return err_set(err, -EINVAL, "tablets: must not be empty");
	return each(tablets, "tablets", check_target, &count, err);
}

int node_output_check(const json_t *o, struct err *err)
{
	const char *kind, *prefix;
	int64_t rows;
	int rc = want_text(o, "kind", &kind, err);
	if (rc < 0)
		return rc;
	if (strcmp(kind, "exchange") == 0)
		return check_exchange_output(o, err);
	if (strcmp(kind, "tablets") == 0)
		return check_tablets_output(o, err);
	if (strcmp(kind, "objects") != 0)
		return err_set(err, -EINVAL, "kind: must be exchange, tablets or objects");
	rc = check_s3(o, err);
	if (rc == 0)
		rc = want_each(o, "columns", XCHG_COLUMNS_MAX, check_column, NULL, err);
	if (rc == 0)
		rc = want_text(o, "prefix", &prefix, err);
	if (rc == 0 && strlen(prefix) > S3_KEY_MAX / 2)
		rc = err_set(err, -EINVAL, "prefix: at most %d bytes", S3_KEY_MAX / 2);
	return rc < 0 ? rc : want_int(o, "rows_per_object", 1, INT32_MAX, &rows, err);
}

static int decode_id(const json_t *m, struct store_attempt *ret, struct err *err)
{
	const char *query;
	int64_t stage, task, attempt;
	int rc = want_text(m, "query", &query, err);
	if (rc == 0 && !store_id_valid(query))
		rc = err_set(err, -EINVAL, "query: must be %d hexadecimal digits", RPC_ID_LEN);
	if (rc == 0)
		rc = want_int(m, "stage", 0, RPC_STAGES_MAX - 1, &stage, err);
	if (rc == 0)
		rc = want_int(m, "task", 0, RPC_TASKS_MAX - 1, &task, err);
	if (rc == 0)
		rc = want_int(m, "attempt", 0, RPC_ATTEMPTS_MAX - 1, &attempt, err);
	if (rc < 0)
		return rc;
	memcpy(ret->query, query, sizeof(ret->query));
	ret->stage = (int)stage;
	ret->task = (int)task;
	ret->attempt = (int)attempt;
	return 0;
}

int node_task_decode(json_t *m, struct node_task *ret, struct err *err)
{
	struct node_task t = { .timeout_ms = 0 };
	const json_t *output = json_object_get(m, "output");
	int rc = decode_id(m, &t.id, err);
	if (rc == 0)
		rc = want_int(m, "timeout_ms", 1, NODE_TASK_MS_MAX, &t.timeout_ms, err);
	if (rc == 0 && !json_is_object(json_object_get(m, "ast")))
		rc = err_set(err, -EINVAL, "ast: must be an object");
	if (rc == 0)
		rc = want_each(m, "inputs", NODE_INPUTS_MAX, check_input, NULL, err);
	if (rc < 0)
		return rc;
	rc = node_output_check(output, err);
	if (rc < 0) {
		(void)err_wrap(err, "output");
		return rc;
	}
	t.body = json_incref(m);
	t.inputs = json_object_get(t.body, "inputs");
	t.output = json_object_get(t.body, "output");
	*ret = t;
	return 0;
}

void node_task_free(struct node_task *t)
{
	json_decref(t->body);
	*t = (struct node_task){ .timeout_ms = 0 };
}

int node_attempt_parse(struct str path, struct store_attempt *ret, struct err *err)
{
	static const int64_t max[] = { RPC_STAGES_MAX - 1, RPC_TASKS_MAX - 1,
		                       RPC_ATTEMPTS_MAX - 1 };
	struct store_attempt a = { .stage = 0 };
	int *const to[] = { &a.stage, &a.task, &a.attempt };
	struct str part;
	if (!str_split(&path, '/', &part) || part.len != RPC_ID_LEN)
		return err_set(err, -EINVAL, "path: must be query/stage/task/attempt");
	memcpy(a.query, part.p, RPC_ID_LEN);
	if (!store_id_valid(a.query))
		return err_set(err, -EINVAL, "query: must be %d hexadecimal digits", RPC_ID_LEN);
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		int64_t n;
		if (!str_split(&path, '/', &part) || str_to_i64(part, &n) < 0 || n < 0 ||
		    n > max[i])
			return err_set(err, -EINVAL, "path: must be query/stage/task/attempt");
		*to[i] = (int)n;
	}
	if (path.p)
		return err_set(err, -EINVAL, "path: must be query/stage/task/attempt");
	*ret = a;
	return 0;
}

int node_hello_decode(const json_t *m, struct node_hello *ret, struct err *err)
{
	struct node_hello hello;
	int rc = want_int(m, "cluster_id", 1, INT64_MAX, &hello.cluster, err);
	if (rc == 0)
		rc = want_int(m, "node_id", 1, INT64_MAX, &hello.node, err);
	if (rc == 0)
		rc = want_text(m, "fe", &hello.fe, err);
	if (rc == 0 && !node_address_valid(hello.fe))
		rc = err_set(err, -EINVAL, "fe: must be host:port");
	if (rc < 0)
		return rc;
	*ret = hello;
	return 0;
}

#include "engine/meta/txn.h"

#include "engine/meta/meta_priv.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { ROWS_PER_OBJECT = 1000000, ADDRESS_MAX = META_NAME_MAX + 16 };

void meta_txns_init(struct meta_txns *t)
{
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->id_lock, NULL);
}

static void txn_clear(struct meta_txn *t)
{
	free(t->db);
	free(t->label);
	free(t->user);
}

void meta_txns_free(struct meta_txns *t)
{
	for (size_t i = 0; i < t->running.n; i++)
		txn_clear(&t->running.v[i]);
	vec_free(&t->running);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->id_lock);
}

void meta_txn_begun_free(struct meta_txn_begun *b)
{
	json_decref(b->columns);
	json_decref(b->output);
	b->columns = b->output = NULL;
}

static struct meta_txn *find(struct meta *m, int64_t txn)
{
	for (size_t i = 0; i < m->txns.running.n; i++)
		if (m->txns.running.v[i].txn == txn)
			return &m->txns.running.v[i];
	return NULL;
}

static void forget(struct meta *m, struct meta_txn *t)
{
	txn_clear(t);
	*t = m->txns.running.v[--m->txns.running.n];
}

static int check_label(const char *label, struct err *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_:.";
	size_t len = strlen(label);
	if (len > META_TXN_LABEL_MAX || strspn(label, allowed) != len)
		return err_set(err, SQL_ERR(1064),
		               "Label format error: 1 to %d letters, digits and -_:. are wanted",
		               META_TXN_LABEL_MAX);
	return 0;
}

/* "FINISHED", "RUNNING" or NULL: a label is free again after its load was cancelled. */
static const char *label_state(struct meta *m, const char *db, const char *label)
{
	for (size_t i = 0; i < m->txns.running.n; i++) {
		const struct meta_txn *t = &m->txns.running.v[i];
		if (strcmp(t->db, db) == 0 && strcmp(t->label, label) == 0)
			return "RUNNING";
	}
	meta_rdlock(m);
	const struct meta_load *l = meta_load_by_label(m, db, label);
	bool finished = l && strcmp(l->state, "FINISHED") == 0;
	meta_rdunlock(m);
	return finished ? "FINISHED" : NULL;
}

static json_t *tablet_outputs(const struct meta_table *t)
{
	json_t *tablets = json_array();
	for (size_t i = 0; i < t->n_tablets; i++) {
		json_t *nodes = json_array();
		for (size_t r = 0; r < t->tablets[i].n_replicas; r++)
			json_array_append_new(nodes, json_integer(t->tablets[i].replicas[r]));
		json_array_append_new(tablets, json_pack("{s:I, s:i, s:o}", "id",
		                                         (json_int_t)t->tablets[i].id, "bucket",
		                                         t->tablets[i].bucket, "replicas", nodes));
	}
	return tablets;
}

static int object_output(const struct meta_table *t, const struct meta_txn_request *rq, int64_t txn,
                         json_t *output, struct err *err)
{
	json_t *s3 = NULL;
	if (!rq->s3_json)
		return err_set(err, SQL_ERR(1105),
		               "table %s.%s lives in a bucket, and no bucket is configured: set "
		               "aws_s3_path and aws_s3_endpoint in fe.conf",
		               t->db, t->name);
	if (data_json_parse(str_of(rq->s3_json), &s3, err) < 0)
		return err->code = SQL_ERR(1105);
	const char *path = rq->s3_path ? rq->s3_path : "";
	autofree char *prefix = xasprintf("%s%s%lld/%lld/", path, *path ? "/" : "",
	                                  (long long)t->id, (long long)txn);
	json_object_set_new(output, "s3", s3);
	json_object_set_new(output, "prefix", json_string(prefix));
	json_object_set_new(output, "rows_per_object", json_integer(ROWS_PER_OBJECT));
	return 0;
}

/* rpc.h's OUTPUT, with node ids where the addresses will be. */
static int describe(struct meta *m, const struct meta_txn_request *rq, struct meta_txn_begun *b,
                    struct err *err)
{
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	if (!meta_has_db(m, rq->db))
		return err_set(err, SQL_ERR(1049), "Unknown database '%s'", rq->db);
	const struct meta_table *t = meta_table(m, rq->db, rq->table);
	if (!t)
		return err_set(err, SQL_ERR(1146), "Table '%s.%s' doesn't exist", rq->db,
		               rq->table);
	json_t *definition = meta_table_encode(t);
	b->table = t->id;
	b->columns = json_incref(json_object_get(definition, "columns"));
	b->output = json_pack("{s:s, s:I, s:O, s:O}", "kind",
	                      t->storage == META_LOCAL ? "tablets" : "objects", "table",
	                      (json_int_t)t->id, "columns", b->columns, "distribution",
	                      json_object_get(definition, "distribution"));
	json_decref(definition);
	if (t->storage == META_BUCKET)
		return object_output(t, rq, b->txn, b->output, err);
	json_object_set_new(b->output, "tablets", tablet_outputs(t));
	return 0;
}

/* Every replica gets its rows before a load is acknowledged, so every one must be there. */
static int resolve(const struct meta_txn_request *rq, json_t *output, struct err *err)
{
	size_t i = 0;
	json_t *tablet = NULL;
	json_array_foreach(json_object_get(output, "tablets"), i, tablet)
	{
		json_t *replicas = json_object_get(tablet, "replicas");
		if (json_array_size(replicas) == 0)
			return err_set(err, SQL_ERR(1105), "tablet %lld has no replica left",
			               (long long)data_get_int(tablet, "id", 0));
		for (size_t r = 0; r < json_array_size(replicas); r++) {
			char address[ADDRESS_MAX] = "";
			int64_t node = json_integer_value(json_array_get(replicas, r));
			if (rq->resolve &&
			    !rq->resolve(rq->resolve_arg, node, address, sizeof(address)))
				return err_set(err, SQL_ERR(1105),
				               "tablet %lld has few replicas: backend %lld is not "
				               "alive",
				               (long long)data_get_int(tablet, "id", 0),
				               (long long)node);
			json_array_set_new(replicas, r, json_string(address));
		}
	}
	return 0;
}

static int begin_locked(struct meta *m, const struct meta_txn_request *rq, struct meta_txn_begun *b,
                        struct err *err)
{
	const char *state = label_state(m, rq->db, b->label);
	if (state) {
		(void)snprintf(b->existing, sizeof(b->existing), "%s", state);
		return META_TXN_LABEL_EXISTS;
	}
	if (m->txns.running.n >= META_TXN_RUNNING_MAX)
		return err_set(err, SQL_ERR(1105), "%d loads are running: try again later",
		               META_TXN_RUNNING_MAX);
	int rc = describe(m, rq, b, err);
	if (rc == 0)
		rc = resolve(rq, b->output, err);
	if (rc < 0)
		return rc;
	int64_t timeout = rq->timeout_ms > 0 ? rq->timeout_ms : META_TXN_TIMEOUT_MS;
	vec_push(&m->txns.running, (struct meta_txn){ .txn = b->txn,
	                                              .table = b->table,
	                                              .begun_ms = clock_mono_ms(),
	                                              .deadline_ms = deadline_in(timeout).at_ms,
	                                              .db = xstrdup(rq->db),
	                                              .label = xstrdup(b->label),
	                                              .user = xstrdup(rq->user ? rq->user : "") });
	return 0;
}

int meta_txn_begin(struct meta *m, const struct meta_txn_request *rq, struct meta_txn_begun *ret,
                   struct err *err)
{
	memset(ret, 0, sizeof(*ret));
	fd_random_hex(ret->query, sizeof(ret->query) / 2);
	bool made = !rq->label || !*rq->label;
	if (made)
		(void)snprintf(ret->label, sizeof(ret->label), "%s_%s",
		               rq->worker && *rq->worker ? "load" : "insert", ret->query);
	int rc = made ? 0 : check_label(rq->label, err);
	if (rc == 0 && !made)
		(void)snprintf(ret->label, sizeof(ret->label), "%s", rq->label);
	if (rc == 0)
		rc = meta_next_txn(m, &ret->txn, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&m->txns.lock);
	rc = begin_locked(m, rq, ret, err);
	pthread_mutex_unlock(&m->txns.lock);
	if (rc < 0)
		meta_txn_begun_free(ret);
	return rc;
}

/* A commit of a transaction that is not running: what the log says of it. */
static int committed_before(struct meta *m, int64_t txn, int64_t *ret_version, struct err *err)
{
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	const struct meta_load *l = meta_state_load_by_txn(&m->state, txn);
	if (l && strcmp(l->state, "FINISHED") == 0) {
		*ret_version = l->version;
		return 0;
	}
	return err_set(err, SQL_ERR(1105), "transaction %lld %s%s", (long long)txn,
	               l ? "was aborted: " : "is not known (timed out, or the FE was restarted)",
	               l ? l->reason : "");
}

/* Logs that a load came to nothing; that itself may fail, and the label is then simply unknown. */
static void log_abort(struct meta *m, const struct meta_txn *t, const char *reason)
{
	struct err err = ERR_INIT;
	json_t *p = json_pack("{s:I, s:s, s:s, s:s, s:s, s:I}", "txn", (json_int_t)t->txn, "db",
	                      t->db, "label", t->label, "user", t->user, "reason", reason, "ts",
	                      (json_int_t)clock_real_ms());
	if (meta_submit(m, META_ABORT_LOAD, p, NULL, &err) < 0)
		log_warn("txn=%lld label=%s its end is not logged: %s", (long long)t->txn, t->label,
		         err.msg);
}

static int commit_locked(struct meta *m, struct meta_txn *t, uint64_t rows, uint64_t bytes,
                         const json_t *pieces, int64_t *ret_version, struct err *err)
{
	_cleanup_json_ json_t *result = NULL;
	meta_rdlock(m);
	const struct meta_table *table = meta_table_by_id(m, t->table);
	const char *field = table && table->storage == META_BUCKET ? "objects" : "rowsets";
	meta_rdunlock(m);
	json_t *p = json_pack("{s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "txn",
	                      (json_int_t)t->txn, "table", (json_int_t)t->table, "db", t->db,
	                      "label", t->label, "user", t->user, "ts", (json_int_t)clock_real_ms(),
	                      "rows", (json_int_t)rows, "bytes", (json_int_t)bytes, field,
	                      json_deep_copy(pieces));
	int rc = meta_submit(m, META_COMMIT_LOAD, p, &result, err);
	if (rc == 0) {
		*ret_version = data_get_int(result, "version", 0);
		forget(m, t);
	} else if (sql_err_no(rc) != 1105 || rc == SQL_ERR(1105)) { /* refused: for good */
		log_abort(m, t, err->msg);
		forget(m, t);
	}
	return rc;
}

int meta_txn_commit(struct meta *m, int64_t txn, uint64_t rows, uint64_t bytes,
                    const json_t *pieces, int64_t *ret_version, struct err *err)
{
	pthread_mutex_lock(&m->txns.lock);
	struct meta_txn *t = find(m, txn);
	int rc = t ? commit_locked(m, t, rows, bytes, pieces, ret_version, err)
	           : committed_before(m, txn, ret_version, err);
	pthread_mutex_unlock(&m->txns.lock);
	return rc;
}

int meta_txn_abort(struct meta *m, int64_t txn, const char *reason, struct err *err)
{
	(void)err;
	pthread_mutex_lock(&m->txns.lock);
	struct meta_txn *t = find(m, txn);
	if (t) {
		log_abort(m, t, reason ? reason : "");
		forget(m, t);
	}
	pthread_mutex_unlock(&m->txns.lock);
	return 0;
}

void meta_txn_sweep(struct meta *m)
{
	pthread_mutex_lock(&m->txns.lock);
	for (size_t i = m->txns.running.n; i > 0; i--) {
		struct meta_txn *t = &m->txns.running.v[i - 1];
		if (deadline_passed((struct deadline){ t->deadline_ms })) {
			log_abort(m, t, "timeout");
			forget(m, t);
		}
	}
	pthread_mutex_unlock(&m->txns.lock);
}

size_t meta_txn_running(struct meta *m)
{
	pthread_mutex_lock(&m->txns.lock);
	size_t n = m->txns.running.n;
	pthread_mutex_unlock(&m->txns.lock);
	return n;
}

int64_t meta_txn_oldest_ms(struct meta *m)
{
	pthread_mutex_lock(&m->txns.lock);
	int64_t now = clock_mono_ms(), oldest = now;
	for (size_t i = 0; i < m->txns.running.n; i++)
		if (m->txns.running.v[i].begun_ms < oldest)
			oldest = m->txns.running.v[i].begun_ms;
	pthread_mutex_unlock(&m->txns.lock);
	return now - oldest;
}

/* 0, META_TXN_BUSY or META_TXN_MOVED; with txns.lock, so that no load begins meanwhile. */
static int may_move(struct meta *m, int64_t tablet, int64_t version, struct err *err)
{
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	struct meta_table *t = NULL;
	if (!meta_state_tablet(&m->state, tablet, &t))
		return err_set(err, SQL_ERR(1105), "there is no tablet %lld", (long long)tablet);
	for (size_t i = 0; i < m->txns.running.n; i++)
		if (m->txns.running.v[i].table == t->id)
			return META_TXN_BUSY;
	return t->version == version ? 0 : META_TXN_MOVED;
}

int meta_txn_set_replicas(struct meta *m, int64_t tablet, const int64_t *replicas, size_t n,
                          int64_t version, struct err *err)
{
	json_t *nodes = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(nodes, json_integer(replicas[i]));
	_cleanup_json_ json_t *p =
		json_pack("{s:I, s:o}", "tablet", (json_int_t)tablet, "replicas", nodes);
	pthread_mutex_lock(&m->txns.lock);
	int rc = may_move(m, tablet, version, err);
	if (rc == 0)
		rc = meta_submit(m, META_SET_REPLICAS, TAKE_PTR(p), NULL, err);
	pthread_mutex_unlock(&m->txns.lock);
	return rc;
}

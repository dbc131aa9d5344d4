#include "engine/meta/meta.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>

#include "engine/meta/log.h"
#include "engine/meta/meta_priv.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { SNAPSHOT_EVERY = 8 * 1024 * 1024, TXN_BLOCK = 1000, COMMAND_MAX = META_LOG_RECORD_MAX };

static int replay_snapshot(void *arg, uint64_t index, struct str bytes, struct err *err)
{
	struct meta *m = arg;
	(void)index;
	return meta_snapshot_decode(bytes, &m->state, err);
}

static int replay_record(void *arg, uint64_t index, struct str bytes, struct err *err)
{
	struct meta *m = arg;
	int rc = meta_apply_record(&m->state, bytes, err);
	if (rc < 0)
		return err_wrap(err, "record %llu", (unsigned long long)index);
	m->state.applied = (int64_t)index;
	return 0;
}

static int found(struct meta *m, struct err *err)
{
	uint32_t id = 0;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		return err_errno(err, "getrandom");
	json_t *p = json_pack("{s:I, s:I}", "cluster_id", (json_int_t)(id % INT32_MAX) + 1, "ts",
	                      (json_int_t)clock_real_ms());
	return meta_submit(m, META_FOUND, p, NULL, err);
}

int meta_open(const char *dir, struct meta **ret, struct err *err)
{
	struct meta *m = xcalloc(1, sizeof(*m));
	meta_state_init(&m->state);
	pthread_rwlock_init(&m->lock, NULL);
	pthread_mutex_init(&m->writer, NULL);
	meta_txns_init(&m->txns);
	struct meta_log_replay replay = { replay_snapshot, replay_record, m };
	int rc = meta_log_open(dir, &replay, &m->log, err);
	if (rc == 0 && m->state.cluster_id == 0)
		rc = found(m, err);
	if (rc < 0)
		meta_close(m);
	else
		*ret = m;
	return rc;
}

void meta_close(struct meta *m)
{
	if (!m)
		return;
	meta_log_close(m->log);
	meta_txns_free(&m->txns);
	meta_state_free(&m->state);
	pthread_mutex_destroy(&m->writer);
	pthread_rwlock_destroy(&m->lock);
	free(m);
}

/* With the writer's lock. The state stands still meanwhile, since only the writer changes it; a failure costs disk
 * space, no data, and is tried again with the next command. */
static void snapshot(struct meta *m)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(SIZE_MAX / 4);
	struct err err = ERR_INIT;
	meta_snapshot_encode(&m->state, &bytes);
	if (meta_log_snapshot(m->log, (struct str){ bytes.p, bytes.len }, &err) < 0)
		log_warn("the catalog's snapshot failed: %s", err.msg);
}

static int append_and_apply(struct meta *m, const json_t *command, struct str bytes,
                            json_t **ret_result, struct err *err)
{
	uint64_t index = 0;
	int rc = meta_log_append(m->log, bytes, &index, err);
	if (rc < 0)
		return err_wrap(err, "the change is not saved");
	pthread_rwlock_wrlock(&m->lock);
	rc = meta_apply(&m->state, command, ret_result, err);
	m->state.applied = (int64_t)index;
	pthread_rwlock_unlock(&m->lock);
	if (meta_log_bytes(m->log) > SNAPSHOT_EVERY)
		snapshot(m);
	return rc;
}

int meta_submit(struct meta *m, enum meta_command command, json_t *payload, json_t **ret_result,
                struct err *err)
{
	_cleanup_json_ json_t *result = NULL;
	_cleanup_json_ json_t *whole =
		json_pack("{s:s, s:o}", "c", meta_command_name(command), "p", payload);
	if (!whole || !json_is_object(json_object_get(whole, "p")))
		return err_set(err, SQL_ERR(1105),
		               "%s: not a valid request (text that is not "
		               "UTF-8?)",
		               meta_command_name(command));
	_cleanup_buf_ struct buf bytes = BUF_INIT(COMMAND_MAX);
	if (data_json_dump(whole, &bytes) < 0)
		return err_set(err, SQL_ERR(1105), "%s: a change of more than %d bytes",
		               meta_command_name(command), COMMAND_MAX);
	/* What a restart could not read back must not be written; and what is applied is what is written. */
	_cleanup_json_ json_t *back = NULL;
	if (data_json_parse((struct str){ bytes.p, bytes.len }, &back, err) < 0)
		return err->code = SQL_ERR(1105);
	pthread_mutex_lock(&m->writer);
	int rc = append_and_apply(m, back, (struct str){ bytes.p, bytes.len }, &result, err);
	pthread_mutex_unlock(&m->writer);
	if (rc == 0 && ret_result)
		*ret_result = TAKE_PTR(result);
	return rc;
}

int meta_next_txn(struct meta *m, int64_t *ret, struct err *err)
{
	pthread_mutex_lock(&m->txns.id_lock);
	int rc = 0;
	if (m->txns.next == m->txns.end) {
		_cleanup_json_ json_t *result = NULL;
		rc = meta_submit(m, META_RESERVE_TXNS, json_pack("{s:i}", "n", TXN_BLOCK), &result,
		                 err);
		if (rc == 0) {
			m->txns.next = data_get_int(result, "from", 0);
			m->txns.end = m->txns.next + TXN_BLOCK;
		}
	}
	if (rc == 0)
		*ret = m->txns.next++;
	pthread_mutex_unlock(&m->txns.id_lock);
	return rc;
}

int64_t meta_cluster_id(const struct meta *m)
{
	return m->state.cluster_id; /* never changes after meta_open() */
}

int64_t meta_last_applied(struct meta *m)
{
	meta_rdlock(m);
	int64_t applied = m->state.applied;
	meta_rdunlock(m);
	return applied;
}

void meta_rdlock(struct meta *m)
{
	pthread_rwlock_rdlock(&m->lock);
}

void meta_rdunlock(struct meta *m)
{
	pthread_rwlock_unlock(&m->lock);
}

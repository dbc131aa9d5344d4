/* What struct meta is made of: for meta.c, getters.c and txn.c only.
 *
 * Thread: three locks, taken in this order: txns.lock (running loads), writer (one command at a time), lock (the
 * state). id_lock is a leaf above writer. */
#ifndef ROOST_ENGINE_META_META_PRIV_H
#define ROOST_ENGINE_META_META_PRIV_H

#include <pthread.h>

#include "engine/meta/state.h"

struct meta_log;

struct meta_txn { /* a running load */
	int64_t txn, table, begun_ms, deadline_ms;
	char *db, *label, *user;
};

struct meta_txns {
	pthread_mutex_t lock;
	VEC(struct meta_txn) running;
	pthread_mutex_t id_lock;
	int64_t next, end; /* of the reserved block of ids */
};
void meta_txns_init(struct meta_txns *t);
void meta_txns_free(struct meta_txns *t);

struct meta {
	pthread_mutex_t writer;
	pthread_rwlock_t lock;
	struct meta_state state;
	struct meta_log *log;
	struct meta_txns txns;
};

#endif

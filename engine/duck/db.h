/* One DuckDB in this process, locked down, and the statements that a task runs in it.
 *
 * Thread: duck_open by one; tasks on threads of their own, each with its own connection and therefore its own
 * temporary views. Ownership: a task borrows the duck. Failures carry the class in err.code, and
 * duck_rpc_code() names it for the wire. */
#ifndef ROOST_ENGINE_DUCK_DB_H
#define ROOST_ENGINE_DUCK_DB_H

#include <pthread.h>
#include <stdatomic.h>

#include <duckdb.h>
#include <jansson.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

struct duck_config {
	int64_t memory_limit, temp_limit;
	int threads;
	const char *group, *temp_dir; /* temp_dir NULL: no spilling */
	const json_t *dirs;           /* array of folders that statements may use */
};

struct duck {
	duckdb_database db;
	char *group;
	_Atomic int64_t memory_limit;
	pthread_mutex_t
		plan_lock; /* disabled_optimizers is one for all connections: set and plan under it */
	char *optimizers; /* what it is now */
	struct duck_attach *attach;
	atomic_bool broken; /* DuckDB says that this instance is beyond use */
};

int duck_open(const struct duck_config *config, struct duck **ret, struct err *err);
void duck_close(struct duck *d);
int duck_set_memory(struct duck *d, int64_t bytes, struct err *err);

/* A connection with what its statements need. */
struct duck_session {
	struct duck *duck;
	duckdb_connection con;
	const char *optimizers; /* disabled_optimizers besides our own; borrowed, "" for none */
	atomic_bool open, cancelled; /* open: con may be interrupted from another thread */
};
int duck_session_open(struct duck *d, struct duck_session *s, struct err *err);
void duck_session_close(struct duck_session *s);

/* One statement, never more. */
int duck_prepare(struct duck_session *s, const char *sql, duckdb_prepared_statement *ret,
                 struct err *err);
int duck_run(struct duck_session *s, const char *sql, struct err *err);
/* The first column of the first row as text, or NULL (also when there is no row). */
int duck_value(struct duck_session *s, const char *sql, char **ret, struct err *err);
int duck_number(struct duck_session *s, const char *sql, int64_t *ret, struct err *err);
/* The same of a statement with one text parameter. */
int duck_call(struct duck_session *s, const char *sql, const char *text, char **ret,
              struct err *err);
/* Fills err from a failed statement; -ENOMEM, -ECANCELED, -EINVAL (the statement's fault), -EBADMSG (an exchanged
 * input is damaged: the message says DUCK_INPUT_LOST), -EIO. */
#define DUCK_INPUT_LOST "input lost"
int duck_fail(struct duck_session *s, duckdb_error_type type, const char *message, struct err *err);

const char *duck_rpc_code(int code);

DEFINE_CLEANUP(struct duck, duck_close)

#endif

/* The catalog: a deterministic state machine over a log, read by everybody in the FE, changed by commands only.
 *
 * Thread: safe. Readers hold meta_rdlock() while they look at what the getters return and copy what they keep; they
 * must not block meanwhile. meta_submit() takes the write lock itself: never call it under the read lock.
 * Ownership: getters return borrowed pointers, valid until meta_rdunlock().
 * Durability: meta_submit() returns 0 only when the command is in the log of a majority (one voter for now) and
 * applied. Refusals carry MySQL's errno (engine/sqlerr.h SQL_ERR is the encoding: 1007, 1008, 1050, 1051, 1049…). */
#ifndef ROOST_ENGINE_META_META_H
#define ROOST_ENGINE_META_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/meta/command.h"
#include "lib/base/err.h"

enum {
	META_NAME_MAX = 256,
	META_BUCKETS_MAX = 1024,
	META_REPLICAS_MAX = 8,
	META_COLUMNS_MAX = 4096
};

struct meta;

struct meta_column {
	char *name;
	char *type;     /* DuckDB's spelling: BIGINT, VARCHAR, DECIMAL(10,2)… */
	char *declared; /* the user's, for DESC and SHOW CREATE TABLE: varchar(20) */
	bool nullable;
	bool key;
	char *default_text; /* NULL: none */
	char *comment;      /* NULL: none */
};

struct meta_rowset {
	char id[33];
	int64_t version; /* the table version that made it visible */
	uint64_t rows, bytes;
	uint32_t crc;
};

struct meta_tablet {
	int64_t id;
	int bucket;
	int64_t replicas[META_REPLICAS_MAX]; /* node ids */
	size_t n_replicas;
	struct meta_rowset *rowsets;
	size_t n_rowsets;
};

struct meta_object {
	char *key, *etag;
	int64_t version;
	uint64_t rows, bytes;
};

enum meta_storage {
	META_LOCAL /* tablets on BEs */,
	META_BUCKET /* Parquet objects, scanned by CNs */
};

struct meta_table {
	int64_t id;
	char *db, *name, *comment;
	struct meta_column *columns;
	size_t n_columns;
	char *keys_type;
	char **distribution; /* column names */
	size_t n_distribution;
	int buckets, replication_num;
	enum meta_storage storage;
	int64_t version; /* raised by each load; starts at 1 */
	uint64_t rows, bytes;
	struct meta_tablet *tablets; /* META_LOCAL: one a bucket, in bucket order */
	size_t n_tablets;
	struct meta_object *objects; /* META_BUCKET */
	size_t n_objects;
	json_t *properties;
};

enum meta_role { META_BE, META_CN };

struct meta_node {
	int64_t id;
	enum meta_role role;
	char *host;
	int heartbeat_port;
	bool decommissioned;
	int64_t added_ts; /* ms since 1970 */
};

struct meta_load { /* what became of a label */
	int64_t txn;
	char *db, *label, *user, *state /* FINISHED | CANCELLED */, *reason;
	int64_t table, ts, version;
	uint64_t rows, bytes;
};

/* Opens or founds the catalog in dir (fe/meta). */
int meta_open(const char *dir, struct meta **ret, struct err *err);
void meta_close(struct meta *m);

/* Submits one command; payload is stolen; *ret_result (may be NULL) is owned by the caller. */
int meta_submit(struct meta *m, enum meta_command command, json_t *payload, json_t **ret_result,
                struct err *err);

int64_t meta_cluster_id(const struct meta *m);
int64_t meta_last_applied(struct meta *m); /* ReplayedJournalId */
/* A new transaction id, unique for ever (a block of ids is logged ahead). */
int meta_next_txn(struct meta *m, int64_t *ret, struct err *err);

void meta_rdlock(struct meta *m);
void meta_rdunlock(struct meta *m);
#define _cleanup_meta_rdunlock_ __attribute__((cleanup(meta_rdunlockp)))
static inline void meta_rdunlockp(struct meta **m)
{
	if (*m)
		meta_rdunlock(*m);
}

/* Under the read lock. Names of databases and tables are compared as they are (case-sensitive), as StarRocks does. */
bool meta_has_db(struct meta *m, const char *db);
const struct meta_table *meta_table(struct meta *m, const char *db, const char *name);
const struct meta_table *meta_table_by_id(struct meta *m, int64_t id);
const struct meta_column *meta_table_column(const struct meta_table *t,
                                            const char *name); /* case folded */
const struct meta_node *meta_node_by_id(struct meta *m, int64_t id);
const struct meta_node *meta_node_at(struct meta *m, enum meta_role role, const char *host,
                                     int heartbeat_port);
const struct meta_load *meta_load_by_label(struct meta *m, const char *db, const char *label);
const char *meta_password_hash(struct meta *m,
                               const char *user); /* NULL: no such user; "" : none asked */
const char *meta_variable(struct meta *m, const char *name);
/* Walks: call with *at = 0; NULL at the end. */
const char *meta_next_db(struct meta *m, size_t *at);
const struct meta_table *meta_next_table(struct meta *m, const char *db,
                                         size_t *at); /* db NULL: all */
const struct meta_node *meta_next_node(struct meta *m, size_t *at);
const struct meta_load *meta_next_load(struct meta *m, size_t *at);
size_t meta_tablets_on(struct meta *m, int64_t node); /* TabletNum */

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct meta, meta_close)

#endif

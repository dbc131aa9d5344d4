/* The catalog's state and the functions that change it: shared by the files of engine/meta only.
 *
 * Thread: the owner's lock (struct meta): write lock for what changes, read lock for what looks.
 * Rule of every apply: check all of the payload first, then change; a refusal leaves the state as it was. */
#ifndef ROOST_ENGINE_META_STATE_H
#define ROOST_ENGINE_META_STATE_H

#include "engine/meta/meta.h"
#include "engine/sqlerr.h"
#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

enum {
	META_STATE_VERSION = 1, /* of snapshots; version N reads N-1 */
	META_LOADS_MAX = 20000, /* labels remembered; the oldest are forgotten */
	META_FIRST_ID = 10001,  /* as StarRocks: ids look like ids */
	META_PIECES_MAX = 100000,
};

struct meta_db {
	int64_t id;
	char *name;
};

struct meta_state {
	int64_t cluster_id; /* 0: not founded */
	int64_t applied;    /* index of the last command */
	int64_t next_id, next_txn;
	VEC(struct meta_db) dbs;         /* sorted by name */
	VEC(struct meta_table *) tables; /* sorted by id */
	struct map *table_names;         /* "db\001name" -> struct meta_table (borrowed) */
	VEC(struct meta_node) nodes;     /* sorted by id */
	VEC(struct meta_load *) loads;   /* oldest first */
	struct map *labels;              /* "db\001label" -> the last load of it (borrowed) */
	VEC(char *) users;               /* name, hash, name, hash …; sorted by name */
	struct map *variables;           /* name -> char * */
};

void meta_state_init(struct meta_state *s);
void meta_state_free(struct meta_state *s);

struct meta_db *meta_state_db(struct meta_state *s, const char *name);
void meta_state_add_db(struct meta_state *s, int64_t id, const char *name);
struct meta_table *meta_state_table(struct meta_state *s, const char *db, const char *name);
struct meta_table *meta_state_table_by_id(struct meta_state *s, int64_t id);
void meta_state_add_table(struct meta_state *s, struct meta_table *t /* taken over */);
void meta_state_drop_table(struct meta_state *s, struct meta_table *t);
struct meta_tablet *meta_state_tablet(struct meta_state *s, int64_t id, struct meta_table **ret);
struct meta_node *meta_state_node(struct meta_state *s, int64_t id);
struct meta_node *meta_state_node_at(struct meta_state *s, enum meta_role role, const char *host,
                                     int heartbeat_port);
struct meta_load *meta_state_load(struct meta_state *s, const char *db, const char *label);
struct meta_load *meta_state_load_by_txn(struct meta_state *s, int64_t txn);
void meta_state_add_load(struct meta_state *s, struct meta_load *l /* taken over */);
const char *meta_state_user(const struct meta_state *s, const char *name);
void meta_state_set_user(struct meta_state *s, const char *name, const char *hash);

void meta_table_free(struct meta_table *t);
void meta_load_free(struct meta_load *l);
DEFINE_CLEANUP(struct meta_table, meta_table_free)
DEFINE_CLEANUP(struct meta_load, meta_load_free)

/* The definition of a table (columns, keys, buckets, …; not id, tablets, data) from create_table's payload, all
 * checked: SQL_ERR(1064) or a better one names the field. And back, for the snapshot. */
int meta_table_decode(const json_t *p, struct meta_table **ret, struct err *err);
json_t *meta_table_encode(const struct meta_table *t);
/* [id…] into out; distinct, at least min. */
int meta_replicas_decode(const json_t *p, size_t min, int64_t out[META_REPLICAS_MAX], size_t *ret_n,
                         struct err *err);
/* Reads one rowset or object as rpc.h has it (the version is the caller's). */
int meta_rowset_decode(const json_t *p, struct meta_rowset *ret, struct err *err);
int meta_object_decode(const json_t *p, struct meta_object *ret, struct err *err);
/* A string of 1 to META_NAME_MAX - 1 bytes without control characters; NULL and err otherwise. */
const char *meta_name(const json_t *p, const char *field, struct err *err);
/* An integer within the range, or err. */
int meta_int(const json_t *p, const char *field, int64_t min, int64_t max, int64_t *ret,
             struct err *err);

#define X(NAME, name)                                                                     \
	int meta_apply_##name(struct meta_state *s, const json_t *p, json_t **ret_result, \
	                      struct err *err);
META_COMMANDS(X)
#undef X

const char *meta_command_name(enum meta_command command);

/* One command as the log has it: {"c":name,"p":payload}. A refusal is an SQL_ERR code; -EBADMSG is a record that no
 * version of this program wrote. */
int meta_apply(struct meta_state *s, const json_t *command, json_t **ret_result, struct err *err);
int meta_apply_record(struct meta_state *s, struct str bytes, struct err *err);

/* The state as lines of JSON: one object a line, so that no size of catalog passes a limit of the parser. */
void meta_snapshot_encode(const struct meta_state *s, struct buf *out);
int meta_snapshot_decode(struct str bytes, struct meta_state *s, struct err *err);

#endif

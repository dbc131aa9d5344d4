/* Load transactions: what stands between "rows are being written somewhere" and "rows are visible".
 *
 * Both Stream Load (engine/front) and INSERT (engine/coord) go begin -> write what `output` says -> commit or abort.
 * A running transaction lives in memory only: after a restart of the FE its commit is refused and what it wrote is
 * garbage that the keep call (rpc.h) collects. What became of it (FINISHED, CANCELLED) is in the log.
 * Thread: safe; takes meta's locks itself, so never call under meta_rdlock(). */
#ifndef ROOST_ENGINE_META_TXN_H
#define ROOST_ENGINE_META_TXN_H

#include "engine/meta/meta.h"

enum {
	META_TXN_LABEL_MAX = 128,
	META_TXN_RUNNING_MAX = 10000,
	META_TXN_TIMEOUT_MS = 600 * 1000, /* when the request names none */
};
/* Positive outcomes. */
enum {
	META_TXN_LABEL_EXISTS = 1, /* begin: label and existing are filled, nothing was begun */
	META_TXN_BUSY = 2,         /* set_replicas: a load into the table is running */
	META_TXN_MOVED = 3,        /* set_replicas: the tablet has changed since it was looked at */
};

/* Where a replica is written: fills "host:brpc_port" and returns true, or false when the node is not alive. Called
 * without meta's read lock, but between a begin's steps: it must not call meta_txn_*. */
typedef bool (*meta_txn_resolve_fn)(void *arg, int64_t node, char *out, size_t size);

struct meta_txn_request {
	const char *db, *table;
	const char *label;           /* NULL or "": one is made */
	const char *user;            /* who is named in SHOW LOAD */
	const char *worker;          /* "host:brpc_port" that received it, or "" (INSERT) */
	int64_t timeout_ms;          /* 0: META_TXN_TIMEOUT_MS */
	meta_txn_resolve_fn resolve; /* NULL: replicas are left empty (tests) */
	void *resolve_arg;
	const char *s3_json; /* the storage volume (rpc.h S3) and the prefix in its bucket, for */
	const char *s3_path; /* tables in a bucket; NULL: loads into such tables are refused */
};

struct meta_txn_begun {
	int64_t txn, table;
	char label[META_TXN_LABEL_MAX + 1];
	char existing[16]; /* META_TXN_LABEL_EXISTS: "FINISHED" or "RUNNING" */
	char query[33];    /* 32 hex digits: the id under which its tasks run */
	json_t *columns;   /* [{name,type,declared,nullable,default?}…] in table order */
	json_t *output;    /* rpc.h's OUTPUT of kind "tablets" or "objects" */
};
void meta_txn_begun_free(struct meta_txn_begun *b); /* also for the cleanup attribute */
#define _cleanup_meta_txn_ __attribute__((cleanup(meta_txn_begun_free)))

/* 0, META_TXN_LABEL_EXISTS, or SQL_ERR codes: 1049 (database), 1146 (table), 1064 (label's form), 1105 (a replica's
 * node is not alive: try again later). *ret is zeroed first, whatever comes of it. */
int meta_txn_begin(struct meta *m, const struct meta_txn_request *rq, struct meta_txn_begun *ret,
                   struct err *err);
/* pieces: the array of ROWSETs or OBJECTs, as the table's storage asks (borrowed). After 0 they are durable and
 * visible at *ret_version. The same txn again gives the same answer, also after a restart. */
int meta_txn_commit(struct meta *m, int64_t txn, uint64_t rows, uint64_t bytes,
                    const json_t *pieces, int64_t *ret_version, struct err *err);
/* An unknown or finished transaction is left as it is: 0. */
int meta_txn_abort(struct meta *m, int64_t txn, const char *reason, struct err *err);
/* Aborts what has passed its timeout; cluster's thread calls it about once a second. */
void meta_txn_sweep(struct meta *m);
size_t meta_txn_running(struct meta *m);
int64_t meta_txn_oldest_ms(struct meta *m); /* age of the oldest that runs; 0 when none does */

/* Changes where a tablet lives, at a moment when no load into its table is running, so that none can write to the
 * old set and commit to the new one. version: the table's when the copy was made; META_TXN_MOVED when it is another
 * now (copy what is missing and try again). */
int meta_txn_set_replicas(struct meta *m, int64_t tablet, const int64_t *replicas, size_t n,
                          int64_t version, struct err *err);

/* Whether the plain password is the user's (no such user: false). */
bool meta_password_ok(struct meta *m, const char *user, const char *password);

#endif

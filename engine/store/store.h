/* Rowsets of tablets on the local disk: immutable files that are whole, or not there.
 *
 * Thread: safe. Ownership: paths that are handed out are malloc'd; a pinned rowset is not deleted.
 * Layout under the root: data/TABLET/ROWSET.duckdb with ROWSET.sum beside it (bytes and CRC-32C), tmp/ for what
 * is being written (emptied at start), quarantine/ for files that the start found torn.
 * A rowset appears by rename after its bytes are synced, and its folder is synced before success is reported:
 * after a crash it is there as it was installed, or not at all. One process owns a root (lock file). */
#ifndef ROOST_ENGINE_STORE_STORE_H
#define ROOST_ENGINE_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/rpc.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { STORE_CRC_MAX = 9, STORE_PATH_MAX = 3072 };

struct store;

/* -EBUSY: another process owns the root. */
int store_open(const char *root, struct store **ret, struct err *err);
void store_close(struct store *s);
DEFINE_CLEANUP(struct store, store_close)

/* 32 lower-case hexadecimal digits: ids of queries and rowsets become file names only after this. */
bool store_id_valid(const char *id);
/* 8 hexadecimal digits, and back (-EINVAL). */
void store_crc_text(uint32_t crc, char out[STORE_CRC_MAX]);
int store_crc_parse(const char *text, uint32_t *ret);

struct store_rowset {
	int64_t tablet;
	char id[RPC_ID_LEN + 1];
	int64_t bytes;
	uint32_t crc;
};

enum { STORE_ABSENT = 1, STORE_PRESENT = 2 };

/* Writes a rowset piece by piece (a replica that a peer sends). */
struct store_writer;
int store_writer_new(struct store *s, int64_t tablet, const char *rowset, struct store_writer **ret,
                     struct err *err);
int store_writer_add(struct store_writer *w, const void *data, size_t len, struct err *err);
/* Installs it; -EBADMSG when the checksum differs from crc. A rowset that is there with the same bytes is
 * success (STORE_PRESENT); with others -EEXIST. */
int store_writer_commit(struct store_writer *w, uint32_t crc, struct store_rowset *ret,
                        struct err *err);
void store_writer_free(struct store_writer *w); /* what was not committed disappears */
DEFINE_CLEANUP(struct store_writer, store_writer_free)

/* Installs a file of the same file system by renaming it; checks it against the rowset's bytes and crc.
 * Outcomes as store_writer_commit(). */
int store_install(struct store *s, const char *path, const struct store_rowset *rowset,
                  struct err *err);

/* The path of a rowset for reading, pinned until store_unpin(). STORE_ABSENT: not here, or not with these
 * bytes and this checksum. */
int store_pin(struct store *s, const struct store_rowset *rowset, char **ret_path, struct err *err);
void store_unpin(struct store *s, int64_t tablet, const char *rowset);
/* Its file for sending. STORE_ABSENT. */
int store_read(struct store *s, int64_t tablet, const char *rowset, int *ret_fd,
               struct store_rowset *ret, struct err *err);
bool store_has(struct store *s, const struct store_rowset *rowset);

/* Deletes every rowset older than grace_ms that keep does not want and nobody has pinned. */
typedef bool (*store_keep_fn)(void *arg, int64_t tablet, const char *rowset);
size_t store_keep(struct store *s, store_keep_fn keep, void *arg, int64_t grace_ms);

struct store_usage {
	size_t tablets, rowsets, quarantined /* by this start */;
	int64_t bytes;                  /* of rowsets */
	int64_t disk_total, disk_avail; /* of the root's file system */
};
void store_usage(struct store *s, struct store_usage *ret);

#endif

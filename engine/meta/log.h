/* The replicated log under the catalog: one voter for now; the multi-voter log (cowsql raft) keeps this face.
 *
 * Thread: log_append() from one thread at a time (meta's writer). Durability: 0 means: on stable storage of a
 * majority. A torn tail (crash in an append) is cut at open; any other damage refuses to open and names the file.
 * Format: segments of records {u32 len, u32 crc32c, u64 index, bytes}; snapshots {header with version, length and
 * crc32c, bytes}, written aside and renamed. */
#ifndef ROOST_ENGINE_META_LOG_H
#define ROOST_ENGINE_META_LOG_H

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { META_LOG_RECORD_MAX = 64 * 1024 * 1024 };

struct meta_log;
struct meta_log_replay {
	int (*snapshot)(void *arg, uint64_t index, struct str bytes,
	                struct err *err); /* at most once, first */
	int (*record)(void *arg, uint64_t index, struct str bytes, struct err *err);
	void *arg;
};
int meta_log_open(const char *dir, const struct meta_log_replay *replay, struct meta_log **ret,
                  struct err *err);
int meta_log_append(struct meta_log *l, struct str bytes, uint64_t *ret_index, struct err *err);
/* Replaces everything up to the last index by this state. */
int meta_log_snapshot(struct meta_log *l, struct str bytes, struct err *err);
uint64_t meta_log_bytes(const struct meta_log *l); /* since the last snapshot: when to make one */
void meta_log_close(struct meta_log *l);

#endif

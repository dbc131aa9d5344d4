/* The bytes of the catalog's log: segments of records, and snapshots.
 *
 * Thread: plain values over borrowed bytes. Layout (little-endian, version 1):
 *   segment   "RLOG" u32 version | records
 *   record    u32 len, u32 crc32c (of index and bytes), u64 index | len bytes
 *   snapshot  "RSNP" u32 version, u64 index, u64 len, u32 crc32c (of index and bytes) | len bytes
 * Hostile bytes give -EBADMSG. */
#ifndef ROOST_ENGINE_META_LOG_FORMAT_H
#define ROOST_ENGINE_META_LOG_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define META_LOG_SEGMENT "log-"
#define META_LOG_SNAPSHOT "snapshot-"
enum {
	META_LOG_VERSION = 1,
	META_LOG_SEGMENT_HEADER = 8,
	META_LOG_RECORD_HEADER = 16,
	META_LOG_SNAPSHOT_HEADER = 28,
	META_LOG_SEGMENT_MAX = 1024 * 1024 * 1024,
	META_LOG_SNAPSHOT_MAX = 1024 * 1024 * 1024,
};

void meta_log_segment_header(char out[META_LOG_SEGMENT_HEADER]);
void meta_log_encode(uint64_t index, struct str bytes, struct buf *out);

struct meta_log_record {
	uint64_t index;
	struct str bytes;
};
struct meta_log_reader {
	struct str file;
	size_t at;     /* after the last whole record */
	uint64_t last; /* its index */
	bool may_be_torn;
};
enum { META_LOG_END = 0, META_LOG_RECORD = 1 };
/* may_be_torn: the segment that was being written when the process ended: an unfinished record at its end is no
 * error but its end. What cannot be a crash's doing (a bad record before a good one) always is an error. */
void meta_log_reader_init(struct meta_log_reader *r, struct str file, bool may_be_torn);
int meta_log_reader_next(struct meta_log_reader *r, struct meta_log_record *ret, struct err *err);

int meta_log_snapshot_encode(uint64_t index, struct str bytes, struct buf *out, struct err *err);
int meta_log_snapshot_check(struct str file, uint64_t index, struct str *ret_bytes,
                            struct err *err);

#endif

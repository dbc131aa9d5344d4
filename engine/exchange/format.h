/* The one format in which rows travel between tasks and to the FE: column blocks in a file or stream.
 *
 * Thread: a writer or reader is one thread's, but for xchg_reader_load(). Ownership: a block borrowed from a
 * reader lives until the next call. Limits: XCHG_BLOCK_ROWS rows a block, XCHG_BLOCK_BYTES bytes a decoded block,
 * XCHG_COLUMNS_MAX columns, XCHG_PARTITIONS_MAX partitions; a reader checks every length and the CRC of every
 * block before use, so hostile bytes give -EBADMSG.
 *
 * Layout (little-endian, version 1; version N reads N-1):
 *   "RXCH" u16 version u16 flags u32 header_len | header: u32 columns, each {u8 type, u8 width/precision, u8 scale,
 *   u16 name_len, name}; u32 partitions, each {u64 end_offset (from the first block), u64 rows}; u32 crc32c |
 *   blocks, each: u32 raw_len u32 stored_len u32 rows u8 codec u32 crc32c | stored bytes.
 *   header_len counts from the first column count to the end of its CRC, which covers all before it; a block's
 *   CRC covers the fields before it and the stored bytes.
 *   A decoded block: per column: u8 has_nulls, [validity bitmap, bit 1 = valid], then fixed-width values, or for
 *   VARCHAR/BLOB: u32 offsets[rows + 1], bytes; every part begins at a multiple of 8. BOOLEAN is one byte; HUGEINT
 *   and wide DECIMAL 16 bytes; DATE i32 days, TIMESTAMP i64 microseconds since 1970; DECIMAL the scaled integer of
 *   width 2, 4, 8 or 16 bytes. A column of type NULL has no parts: its vector is all NULL pointers.
 * Measured against Parquet and Arrow: ../shared/platform/formats.md. */
#ifndef ROOST_ENGINE_EXCHANGE_FORMAT_H
#define ROOST_ENGINE_EXCHANGE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum {
	XCHG_VERSION = 1,
	XCHG_BLOCK_ROWS = 2048,
	XCHG_BLOCK_BYTES = 64 * 1024 * 1024,
	XCHG_COLUMNS_MAX = 4096,
	XCHG_PARTITIONS_MAX = 4096,
};

enum xchg_type {
	XCHG_BOOLEAN = 1,
	XCHG_TINYINT,
	XCHG_SMALLINT,
	XCHG_INTEGER,
	XCHG_BIGINT,
	XCHG_HUGEINT,
	XCHG_FLOAT,
	XCHG_DOUBLE,
	XCHG_DECIMAL,
	XCHG_DATE,
	XCHG_TIMESTAMP,
	XCHG_VARCHAR,
	XCHG_BLOB,
	XCHG_UTINYINT,
	XCHG_USMALLINT,
	XCHG_UINTEGER,
	XCHG_UBIGINT,
	XCHG_NULL,
};

enum xchg_codec { XCHG_RAW, XCHG_LZ4, XCHG_ZSTD };

struct xchg_column {
	char *name;
	enum xchg_type type;
	uint8_t precision, scale; /* DECIMAL */
};

struct xchg_vector {
	const uint8_t *validity; /* NULL: no NULLs; else bit i set = valid */
	const uint8_t *data;     /* fixed-width values */
	const uint32_t *offsets; /* VARCHAR and BLOB: rows + 1, into data */
};

struct xchg_block {
	uint32_t rows;
	const struct xchg_vector *columns;
};

void xchg_columns_free(struct xchg_column *columns, size_t n);
/* Width in bytes of a value; 0 for VARCHAR, BLOB and NULL. */
size_t xchg_width(const struct xchg_column *c);
/* "DECIMAL(18,2)", "BIGINT"…: DuckDB's spelling, and back (-EINVAL); ret's name is left alone. */
int xchg_type_name(const struct xchg_column *c, struct buf *out);
int xchg_type_parse(const char *name, struct xchg_column *ret, struct err *err);

/* The bytes of "varchar(20)" and "char(20)", as a user declared them; 0 for other types and NULL. */
int64_t xchg_text_max(const char *declared);

struct xchg_writer;
/* Writes partition by partition (0, 1, …) to fd from offset 0; the header is written by xchg_writer_finish(). */
int xchg_writer_new(int fd, const struct xchg_column *columns, size_t n, enum xchg_codec codec,
                    uint32_t partitions, struct xchg_writer **ret, struct err *err);
int xchg_writer_block(struct xchg_writer *w, uint32_t partition, const struct xchg_block *b,
                      struct err *err);
/* Copies blocks that xchg_block_frame() made, from another file. */
int xchg_writer_stored(struct xchg_writer *w, uint32_t partition, int from, uint64_t offset,
                       uint64_t len, uint64_t rows, struct err *err);
/* Per partition rows and bytes, for the answer of a task; arrays of `partitions`, borrowed until free. */
int xchg_writer_finish(struct xchg_writer *w, const uint64_t **ret_rows, const uint64_t **ret_bytes,
                       struct err *err);
void xchg_writer_free(struct xchg_writer *w);

struct xchg_reader;
/* read: gives exactly len bytes at offset or fails. */
struct xchg_source {
	int (*read)(void *arg, uint64_t offset, void *to, size_t len, struct err *err);
	void *arg;
	uint64_t size;
};
int xchg_reader_new(const struct xchg_source *source, struct xchg_reader **ret, struct err *err);
int xchg_reader_open_fd(int fd /* taken over */, struct xchg_reader **ret, struct err *err);
int xchg_reader_open_mem(const void *data, size_t len /* borrowed */, struct xchg_reader **ret,
                         struct err *err);
void xchg_reader_free(struct xchg_reader *r);
const struct xchg_column *xchg_reader_columns(const struct xchg_reader *r, size_t *ret_n);
uint64_t xchg_reader_rows(const struct xchg_reader *r); /* of the partitions sought */
/* Limits what follows to partitions [from, to). */
int xchg_reader_seek(struct xchg_reader *r, uint32_t from, uint32_t to, struct err *err);
enum { XCHG_END = 1 };
int xchg_reader_next(struct xchg_reader *r, struct xchg_block *ret, struct err *err);

/* The same for several threads on one reader: claim under the caller's lock, load without one and with a scratch
 * per thread, which the block borrows from until its next load. */
struct xchg_frame {
	uint64_t offset;
	uint32_t raw_len, stored_len, rows;
	uint8_t head[17];
};
struct xchg_scratch;
struct xchg_scratch *xchg_scratch_new(void);
void xchg_scratch_free(struct xchg_scratch *s);
int xchg_reader_claim(struct xchg_reader *r, struct xchg_frame *ret, struct err *err);
int xchg_reader_load(const struct xchg_reader *r, const struct xchg_frame *f,
                     struct xchg_scratch *s, struct xchg_block *ret, struct err *err);

/* The bytes of partitions [from, to) as a stream that a reader accepts: a header to send first (appended to out)
 * and the range of the file that follows it. */
int xchg_slice(int fd, uint32_t from, uint32_t to, struct buf *out, uint64_t *ret_offset,
               uint64_t *ret_len, struct err *err);

/* One value in MySQL's text form ("1", "2026-11-21 10:00:00", "1.50"); false for NULL. */
bool xchg_cell_text(const struct xchg_column *c, const struct xchg_vector *v, uint32_t row,
                    struct buf *out);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct xchg_writer, xchg_writer_free)
DEFINE_CLEANUP(struct xchg_reader, xchg_reader_free)
DEFINE_CLEANUP(struct xchg_scratch, xchg_scratch_free)

#endif

/* Inside engine/exchange only: the bytes of one block and of the file's header.
 *
 * Thread: plain functions on the caller's memory. Limits: as format.h says; decoding checks everything. */
#ifndef ROOST_ENGINE_EXCHANGE_BLOCK_H
#define ROOST_ENGINE_EXCHANGE_BLOCK_H

#include "engine/exchange/format.h"

enum {
	XCHG_FRAME_HEAD = 17,
	XCHG_FILE_HEAD = 12,
	XCHG_HEADER_MAX = 16 * 1024 * 1024,
	XCHG_BLOCK_TARGET = 4 * 1024 * 1024, /* of raw bytes: more rows go into the next block */
};

static inline bool xchg_is_text(const struct xchg_column *c)
{
	return c->type == XCHG_VARCHAR || c->type == XCHG_BLOB;
}
static inline bool xchg_bit(const uint8_t *bitmap, uint32_t at)
{
	return !bitmap || (bitmap[at / 8] >> (at % 8) & 1);
}

/* Appends rows [from, from + rows) of b as one or more frames (head and stored bytes). raw is scratch. */
int xchg_block_frame(const struct xchg_column *columns, size_t n, enum xchg_codec codec,
                     const struct xchg_block *b, uint32_t from, uint32_t rows, struct buf *raw,
                     struct buf *out, struct err *err);
/* Points ret[n] into raw[len]. */
int xchg_block_decode(const struct xchg_column *columns, size_t n, const uint8_t *raw, size_t len,
                      uint32_t rows, struct xchg_vector *ret, struct err *err);
/* Reads head into ret (not offset); checks what it can without the bytes. */
int xchg_frame_parse(const uint8_t head[XCHG_FRAME_HEAD], struct xchg_frame *ret, struct err *err);
/* Checks the CRC of stored and unpacks it into raw[f->raw_len]. */
int xchg_frame_unpack(const struct xchg_frame *f, const uint8_t *stored, uint8_t *raw,
                      struct err *err);

struct xchg_partition {
	uint64_t end, rows;
};
struct xchg_header {
	struct xchg_column *columns; /* owned */
	size_t n_columns;
	struct xchg_partition *partitions; /* owned */
	uint32_t n_partitions;
	uint32_t len; /* with XCHG_FILE_HEAD: where the blocks begin */
};
void xchg_header_clear(struct xchg_header *h);
/* The size depends on columns and the number of partitions only. */
int xchg_header_encode(const struct xchg_column *columns, size_t n,
                       const struct xchg_partition *partitions, uint32_t n_partitions,
                       struct buf *out, struct err *err);
int xchg_header_read(const struct xchg_source *source, struct xchg_header *ret, struct err *err);

uint64_t xchg_get_le(const uint8_t *p, size_t bytes);
void xchg_put_le(uint8_t *p, uint64_t value, size_t bytes);
int xchg_pread_exact(int fd, uint64_t offset, void *to, size_t len, struct err *err);
int xchg_pwrite_all(int fd, uint64_t offset, const void *from, size_t len, struct err *err);

#endif

#include <errno.h>
#include <string.h>

#include "engine/exchange/block.h"

struct xchg_writer {
	int fd;
	struct xchg_column *columns;
	size_t n_columns;
	enum xchg_codec codec;
	uint32_t n_partitions, current;
	struct xchg_partition *partitions; /* ends are set by finish */
	uint64_t *rows, *bytes;
	uint64_t start, at; /* in the file: the first block, the next block */
	struct buf raw, framed;
};

void xchg_writer_free(struct xchg_writer *w)
{
	if (!w)
		return;
	xchg_columns_free(w->columns, w->n_columns);
	free(w->partitions);
	free(w->rows);
	free(w->bytes);
	buf_free(&w->raw);
	buf_free(&w->framed);
	free(w);
}

int xchg_writer_new(int fd, const struct xchg_column *columns, size_t n, enum xchg_codec codec,
                    uint32_t partitions, struct xchg_writer **ret, struct err *err)
{
	if (n > XCHG_COLUMNS_MAX)
		return err_set(err, -E2BIG, "%zu columns, at most %d", n, XCHG_COLUMNS_MAX);
	if (partitions == 0 || partitions > XCHG_PARTITIONS_MAX)
		return err_set(err, -EINVAL, "%u partitions, 1 to %d are possible", partitions,
		               XCHG_PARTITIONS_MAX);
	_cleanup_(xchg_writer_freep) struct xchg_writer *w = xcalloc(1, sizeof(*w));
	w->fd = fd;
	w->codec = codec;
	w->columns = xcalloc(n, sizeof(*columns));
	w->n_columns = n;
	for (size_t i = 0; i < n; i++) {
		w->columns[i] = columns[i];
		w->columns[i].name = xstrdup(columns[i].name);
	}
	w->n_partitions = partitions;
	w->partitions = xcalloc(partitions, sizeof(*w->partitions));
	w->rows = xcalloc(partitions, sizeof(*w->rows));
	w->bytes = xcalloc(partitions, sizeof(*w->bytes));
	w->raw.max = XCHG_BLOCK_BYTES;
	w->framed.max = 2 * (size_t)XCHG_BLOCK_BYTES;
	_cleanup_buf_ struct buf header = BUF_INIT(XCHG_HEADER_MAX);
	int rc = xchg_header_encode(w->columns, n, w->partitions, partitions, &header, err);
	if (rc < 0)
		return rc;
	w->start = w->at = header.len;
	*ret = TAKE_PTR(w);
	return 0;
}

static int enter(struct xchg_writer *w, uint32_t partition, struct err *err)
{
	if (partition < w->current || partition >= w->n_partitions)
		return err_set(err, -EINVAL, "partition %u after %u of %u", partition, w->current,
		               w->n_partitions);
	w->current = partition;
	return 0;
}

static void account(struct xchg_writer *w, uint64_t len, uint64_t rows)
{
	w->at += len;
	w->bytes[w->current] += len;
	w->rows[w->current] += rows;
}

int xchg_writer_block(struct xchg_writer *w, uint32_t partition, const struct xchg_block *b,
                      struct err *err)
{
	int rc = enter(w, partition, err);
	for (uint32_t from = 0; rc == 0 && from < b->rows;) {
		uint32_t rows = b->rows - from;
		rows = rows < XCHG_BLOCK_ROWS ? rows : XCHG_BLOCK_ROWS;
		buf_reset(&w->framed);
		rc = xchg_block_frame(w->columns, w->n_columns, w->codec, b, from, rows, &w->raw,
		                      &w->framed, err);
		if (rc == 0)
			rc = xchg_pwrite_all(w->fd, w->at, w->framed.p, w->framed.len, err);
		if (rc == 0)
			account(w, w->framed.len, rows);
		from += rows;
	}
	return rc;
}

int xchg_writer_stored(struct xchg_writer *w, uint32_t partition, int from, uint64_t offset,
                       uint64_t len, uint64_t rows, struct err *err)
{
	enum { PIECE = 1024 * 1024 };
	int rc = enter(w, partition, err);
	uint64_t done = 0;
	buf_reset(&w->framed);
	char *piece = buf_reserve(&w->framed, PIECE);
	while (rc == 0 && done < len) {
		size_t n = len - done < PIECE ? (size_t)(len - done) : PIECE;
		rc = xchg_pread_exact(from, offset + done, piece, n, err);
		if (rc == 0)
			rc = xchg_pwrite_all(w->fd, w->at + done, piece, n, err);
		done += n;
	}
	if (rc == 0)
		account(w, len, rows);
	return rc;
}

int xchg_writer_finish(struct xchg_writer *w, const uint64_t **ret_rows, const uint64_t **ret_bytes,
                       struct err *err)
{
	uint64_t end = 0;
	for (uint32_t i = 0; i < w->n_partitions; i++) {
		end += w->bytes[i];
		w->partitions[i] = (struct xchg_partition){ end, w->rows[i] };
	}
	_cleanup_buf_ struct buf header = BUF_INIT(XCHG_HEADER_MAX);
	int rc = xchg_header_encode(w->columns, w->n_columns, w->partitions, w->n_partitions,
	                            &header, err);
	if (rc == 0)
		rc = xchg_pwrite_all(w->fd, 0, header.p, header.len, err);
	if (rc < 0)
		return rc;
	*ret_rows = w->rows;
	*ret_bytes = w->bytes;
	return 0;
}

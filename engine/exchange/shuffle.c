#include "engine/exchange/shuffle.h"

#include <errno.h>
#include <string.h>

#include "engine/exchange/block.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"

/* The rows of one column and one partition that wait for a full block. */
struct pending_column {
	uint8_t validity[XCHG_BLOCK_ROWS / 8];
	VEC(uint8_t) data;
	VEC(uint32_t) offsets; /* text only: where each row ends, after a first 0 */
};

struct pending {
	uint32_t rows;
	struct pending_column *columns; /* allocated with the first row */
};

struct run {
	uint32_t partition;
	uint64_t offset, len, rows;
};

struct xchg_shuffle {
	struct xchg_writer *writer;
	int spill_fd;
	struct xchg_column *columns;
	size_t n_columns;
	enum xchg_codec codec;
	uint32_t n_partitions;
	struct pending *pending;
	uint16_t *coming; /* scratch of place(), all 0 between calls */
	size_t held;      /* bytes in pending */
	uint64_t spilled;
	VEC(struct run) runs;
	struct xchg_vector *vectors; /* scratch */
	struct buf raw, framed;
};

static void pending_clear(struct xchg_shuffle *s, struct pending *p)
{
	for (size_t i = 0; p->columns && i < s->n_columns; i++) {
		vec_free(&p->columns[i].data);
		vec_free(&p->columns[i].offsets);
	}
	free(p->columns);
	*p = (struct pending){ 0 };
}

void xchg_shuffle_free(struct xchg_shuffle *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; s->pending && i < s->n_partitions; i++)
		pending_clear(s, &s->pending[i]);
	free(s->pending);
	free(s->coming);
	xchg_columns_free(s->columns, s->n_columns);
	xchg_writer_free(s->writer);
	fd_closep(&s->spill_fd);
	vec_free(&s->runs);
	free(s->vectors);
	buf_free(&s->raw);
	buf_free(&s->framed);
	free(s);
}

int xchg_shuffle_new(int fd, int spill_fd, const struct xchg_column *columns, size_t n,
                     enum xchg_codec codec, uint32_t partitions, struct xchg_shuffle **ret,
                     struct err *err)
{
	_cleanup_(xchg_shuffle_freep) struct xchg_shuffle *s = xcalloc(1, sizeof(*s));
	s->spill_fd = spill_fd;
	int rc = xchg_writer_new(fd, columns, n, codec, partitions, &s->writer, err);
	if (rc < 0)
		return rc;
	s->columns = xcalloc(n, sizeof(*columns));
	s->n_columns = n;
	for (size_t i = 0; i < n; i++) {
		s->columns[i] = columns[i];
		s->columns[i].name = xstrdup(columns[i].name);
	}
	s->codec = codec;
	s->n_partitions = partitions;
	s->pending = xcalloc(partitions, sizeof(*s->pending));
	s->coming = xcalloc(partitions, sizeof(*s->coming));
	s->vectors = xcalloc(n, sizeof(*s->vectors));
	s->raw.max = XCHG_BLOCK_BYTES;
	s->framed.max = 2 * (size_t)XCHG_BLOCK_BYTES;
	*ret = TAKE_PTR(s);
	return 0;
}

/* Room for n more bytes; where they go. */
static uint8_t *append_room(struct pending_column *to, size_t n)
{
	if (to->data.n + n > to->data.cap) {
		size_t cap = to->data.cap * 2 > to->data.n + n ? to->data.cap * 2 : to->data.n + n;
		cap = cap < 256 ? 256 : cap;
		to->data.v = xrealloc(to->data.v, cap);
		to->data.cap = cap;
	}
	uint8_t *at = to->data.v + to->data.n;
	to->data.n += n;
	return at;
}

static void append_text(struct pending_column *to, const struct xchg_vector *v, uint32_t row)
{
	uint32_t from = v->offsets[row], len = v->offsets[row + 1] - from;
	if (to->offsets.n == 0)
		vec_push(&to->offsets, 0);
	if (len)
		memcpy(append_room(to, len), v->data + from, len);
	vec_push(&to->offsets, (uint32_t)to->data.n);
}

/* One column of the block's rows to their partitions; at[i] is the row's number there. Returns the bytes. */
static size_t scatter_column(struct xchg_shuffle *s, size_t column, const struct xchg_block *b,
                             const uint32_t *partition, const uint16_t *at)
{
	const struct xchg_column *c = &s->columns[column];
	const struct xchg_vector *v = &b->columns[column];
	if (c->type == XCHG_NULL)
		return 0;
	size_t width = xchg_width(c);
	for (uint32_t i = 0; i < b->rows; i++) {
		struct pending_column *to = &s->pending[partition[i]].columns[column];
		uint8_t bit = (uint8_t)(xchg_bit(v->validity, i) << (at[i] % 8));
		to->validity[at[i] / 8] |= bit;
		if (width == 8)
			memcpy(append_room(to, 8), v->data + (size_t)i * 8, 8);
		else if (width == 4)
			memcpy(append_room(to, 4), v->data + (size_t)i * 4, 4);
		else if (width)
			memcpy(append_room(to, width), v->data + i * width, width);
		else
			append_text(to, v, i);
	}
	return width ? width * b->rows : v->offsets[b->rows] - v->offsets[0] + 4 * (size_t)b->rows;
}

static struct xchg_block as_block(struct xchg_shuffle *s, const struct pending *p)
{
	for (size_t i = 0; i < s->n_columns; i++) {
		const struct pending_column *c = &p->columns[i];
		s->vectors[i] = (struct xchg_vector){ c->validity, c->data.v, c->offsets.v };
	}
	return (struct xchg_block){ p->rows, s->vectors };
}

static size_t held_by(const struct xchg_shuffle *s, const struct pending *p)
{
	size_t bytes = 0;
	for (size_t i = 0; p->columns && i < s->n_columns; i++)
		bytes += p->columns[i].data.n +
		         (xchg_is_text(&s->columns[i]) ? p->rows * sizeof(uint32_t) : 0);
	return bytes;
}

/* Empties p, keeping its memory for the next rows when it is small. */
static void emptied(struct xchg_shuffle *s, struct pending *p)
{
	enum { KEEP = 64 * 1024 };
	s->held -= held_by(s, p);
	for (size_t i = 0; i < s->n_columns; i++) {
		struct pending_column *c = &p->columns[i];
		memset(c->validity, 0, sizeof(c->validity));
		c->data.n = 0;
		c->offsets.n = 0;
		if (c->data.cap > KEEP)
			vec_free(&c->data);
	}
	p->rows = 0;
}

static int spill(struct xchg_shuffle *s, uint32_t partition, struct err *err)
{
	struct pending *p = &s->pending[partition];
	if (p->rows == 0)
		return 0;
	struct xchg_block b = as_block(s, p);
	buf_reset(&s->framed);
	int rc = xchg_block_frame(s->columns, s->n_columns, s->codec, &b, 0, p->rows, &s->raw,
	                          &s->framed, err);
	if (rc == 0)
		rc = xchg_pwrite_all(s->spill_fd, s->spilled, s->framed.p, s->framed.len, err);
	if (rc < 0)
		return rc;
	vec_push(&s->runs, (struct run){ partition, s->spilled, s->framed.len, p->rows });
	s->spilled += s->framed.len;
	emptied(s, p);
	return 0;
}

static int spill_all(struct xchg_shuffle *s, struct err *err)
{
	int rc = 0;
	for (uint32_t i = 0; i < s->n_partitions && rc == 0; i++) {
		rc = spill(s, i, err);
		pending_clear(s, &s->pending[i]);
	}
	return rc;
}

/* Numbers the rows within their partitions; those that would pass a full block are spilled first. */
static int place(struct xchg_shuffle *s, const struct xchg_block *b, const uint32_t *partition,
                 uint16_t *at, struct err *err)
{
	uint32_t i = 0;
	int rc = 0;
	for (; i < b->rows; i++) {
		if (partition[i] >= s->n_partitions)
			return err_set(err, -EINVAL, "partition %u of %u", partition[i],
			               s->n_partitions);
		s->coming[partition[i]]++;
	}
	for (i = 0; i < b->rows; i++) {
		struct pending *p = &s->pending[partition[i]];
		if (rc == 0 && s->coming[partition[i]] &&
		    p->rows + s->coming[partition[i]] > XCHG_BLOCK_ROWS)
			rc = spill(s, partition[i], err);
		s->coming[partition[i]] = 0;
		if (!p->columns)
			p->columns = xcalloc(s->n_columns, sizeof(*p->columns));
		at[i] = (uint16_t)p->rows++;
	}
	return rc;
}

int xchg_shuffle_add(struct xchg_shuffle *s, const struct xchg_block *b, const uint32_t *partition,
                     struct err *err)
{
	uint16_t at[XCHG_BLOCK_ROWS];
	if (b->rows > XCHG_BLOCK_ROWS)
		return err_set(err, -EINVAL, "%u rows, at most %d", b->rows, XCHG_BLOCK_ROWS);
	int rc = place(s, b, partition, at, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < s->n_columns; i++)
		s->held += scatter_column(s, i, b, partition, at);
	return s->held > XCHG_SHUFFLE_BYTES ? spill_all(s, err) : 0;
}

static int by_partition(const void *a, const void *b)
{
	const struct run *x = a, *y = b;
	if (x->partition != y->partition)
		return x->partition < y->partition ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

int xchg_shuffle_finish(struct xchg_shuffle *s, const uint64_t **ret_rows,
                        const uint64_t **ret_bytes, struct err *err)
{
	if (s->runs.n)
		qsort(s->runs.v, s->runs.n, sizeof(*s->runs.v), by_partition);
	size_t at = 0;
	for (uint32_t i = 0; i < s->n_partitions; i++) {
		int rc = 0;
		for (; rc == 0 && at < s->runs.n && s->runs.v[at].partition == i; at++) {
			const struct run *r = &s->runs.v[at];
			rc = xchg_writer_stored(s->writer, i, s->spill_fd, r->offset, r->len,
			                        r->rows, err);
		}
		if (rc == 0 && s->pending[i].rows) {
			struct xchg_block b = as_block(s, &s->pending[i]);
			rc = xchg_writer_block(s->writer, i, &b, err);
		}
		if (rc < 0)
			return rc;
		pending_clear(s, &s->pending[i]);
	}
	return xchg_writer_finish(s->writer, ret_rows, ret_bytes, err);
}

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/exchange/block.h"
#include "lib/base/fd.h"

struct xchg_scratch {
	uint8_t *stored, *raw;
	size_t stored_cap, raw_cap;
	struct xchg_vector *vectors;
	size_t n_vectors;
};

struct xchg_reader {
	struct xchg_source source;
	int fd;          /* -1 unless open_fd */
	const void *mem; /* open_mem */
	struct xchg_header header;
	uint64_t at, end, rows, rows_left; /* offsets in the file, of the partitions sought */
	struct xchg_scratch *scratch;
};

struct xchg_scratch *xchg_scratch_new(void)
{
	return xcalloc(1, sizeof(struct xchg_scratch));
}

void xchg_scratch_free(struct xchg_scratch *s)
{
	if (!s)
		return;
	free(s->stored);
	free(s->raw);
	free(s->vectors);
	free(s);
}

void xchg_reader_free(struct xchg_reader *r)
{
	if (!r)
		return;
	fd_closep(&r->fd);
	xchg_header_clear(&r->header);
	xchg_scratch_free(r->scratch);
	free(r);
}

static int open_source(struct xchg_reader *r, struct err *err)
{
	int rc = xchg_header_read(&r->source, &r->header, err);
	if (rc < 0)
		return rc;
	r->scratch = xchg_scratch_new();
	return xchg_reader_seek(r, 0, r->header.n_partitions, err);
}

int xchg_reader_new(const struct xchg_source *source, struct xchg_reader **ret, struct err *err)
{
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = xcalloc(1, sizeof(*r));
	r->fd = -1;
	r->source = *source;
	int rc = open_source(r, err);
	if (rc == 0)
		*ret = TAKE_PTR(r);
	return rc;
}

static int read_fd(void *arg, uint64_t offset, void *to, size_t len, struct err *err)
{
	const struct xchg_reader *r = arg;
	return xchg_pread_exact(r->fd, offset, to, len, err);
}

int xchg_reader_open_fd(int fd, struct xchg_reader **ret, struct err *err)
{
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = xcalloc(1, sizeof(*r));
	r->fd = fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot read exchange file");
	r->source = (struct xchg_source){ read_fd, r, (uint64_t)st.st_size };
	int rc = open_source(r, err);
	if (rc == 0)
		*ret = TAKE_PTR(r);
	return rc;
}

static int read_mem(void *arg, uint64_t offset, void *to, size_t len, struct err *err)
{
	const struct xchg_reader *r = arg;
	if (offset > r->source.size || len > r->source.size - offset)
		return err_set(err, -EBADMSG, "exchange bytes are cut short");
	if (len)
		memcpy(to, (const char *)r->mem + offset, len);
	return 0;
}

int xchg_reader_open_mem(const void *data, size_t len, struct xchg_reader **ret, struct err *err)
{
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = xcalloc(1, sizeof(*r));
	r->fd = -1;
	r->mem = data;
	r->source = (struct xchg_source){ read_mem, r, len };
	int rc = open_source(r, err);
	if (rc == 0)
		*ret = TAKE_PTR(r);
	return rc;
}

const struct xchg_column *xchg_reader_columns(const struct xchg_reader *r, size_t *ret_n)
{
	*ret_n = r->header.n_columns;
	return r->header.columns;
}

uint64_t xchg_reader_rows(const struct xchg_reader *r)
{
	return r->rows;
}

int xchg_reader_seek(struct xchg_reader *r, uint32_t from, uint32_t to, struct err *err)
{
	const struct xchg_header *h = &r->header;
	if (from > to || to > h->n_partitions)
		return err_set(err, -EINVAL, "partitions %u to %u of %u", from, to,
		               h->n_partitions);
	r->at = h->len + (from ? h->partitions[from - 1].end : 0);
	r->end = h->len + (to ? h->partitions[to - 1].end : 0);
	r->rows = 0;
	for (uint32_t i = from; i < to; i++)
		r->rows += h->partitions[i].rows;
	r->rows_left = r->rows;
	return 0;
}

int xchg_reader_claim(struct xchg_reader *r, struct xchg_frame *ret, struct err *err)
{
	if (r->at == r->end && r->rows_left == 0)
		return XCHG_END;
	if (r->end - r->at < XCHG_FRAME_HEAD)
		return err_set(err, -EBADMSG, "exchange partition ends inside a block");
	uint8_t head[XCHG_FRAME_HEAD];
	int rc = r->source.read(r->source.arg, r->at, head, sizeof(head), err);
	if (rc == 0)
		rc = xchg_frame_parse(head, ret, err);
	if (rc < 0)
		return rc;
	if (ret->stored_len > r->end - r->at - XCHG_FRAME_HEAD || ret->rows > r->rows_left)
		return err_set(err, -EBADMSG, "exchange block is larger than its partition");
	ret->offset = r->at + XCHG_FRAME_HEAD;
	r->at = ret->offset + ret->stored_len;
	r->rows_left -= ret->rows;
	return 0;
}

static void grow(uint8_t **p, size_t *cap, size_t len)
{
	if (len <= *cap)
		return;
	free(*p);
	*p = xmalloc(len);
	*cap = len;
}

int xchg_reader_load(const struct xchg_reader *r, const struct xchg_frame *f,
                     struct xchg_scratch *s, struct xchg_block *ret, struct err *err)
{
	const struct xchg_header *h = &r->header;
	grow(&s->stored, &s->stored_cap, f->stored_len);
	grow(&s->raw, &s->raw_cap, f->raw_len);
	if (s->n_vectors < h->n_columns) {
		s->vectors = xreallocarray(s->vectors, h->n_columns, sizeof(*s->vectors));
		s->n_vectors = h->n_columns;
	}
	int rc = r->source.read(r->source.arg, f->offset, s->stored, f->stored_len, err);
	if (rc == 0)
		rc = xchg_frame_unpack(f, s->stored, s->raw, err);
	if (rc == 0)
		rc = xchg_block_decode(h->columns, h->n_columns, s->raw, f->raw_len, f->rows,
		                       s->vectors, err);
	if (rc == 0)
		*ret = (struct xchg_block){ f->rows, s->vectors };
	return rc;
}

int xchg_reader_next(struct xchg_reader *r, struct xchg_block *ret, struct err *err)
{
	struct xchg_frame frame = { 0 };
	int rc = xchg_reader_claim(r, &frame, err);
	return rc ? rc : xchg_reader_load(r, &frame, r->scratch, ret, err);
}

static int read_plain_fd(void *arg, uint64_t offset, void *to, size_t len, struct err *err)
{
	const int *fd = arg;
	return xchg_pread_exact(*fd, offset, to, len, err);
}

int xchg_slice(int fd, uint32_t from, uint32_t to, struct buf *out, uint64_t *ret_offset,
               uint64_t *ret_len, struct err *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot read exchange file");
	struct xchg_source source = { read_plain_fd, &fd, (uint64_t)st.st_size };
	struct xchg_header h;
	int rc = xchg_header_read(&source, &h, err);
	if (rc < 0)
		return rc;
	if (from > to || to > h.n_partitions) {
		rc = err_set(err, -EINVAL, "partitions %u to %u of %u", from, to, h.n_partitions);
	} else {
		uint64_t base = from ? h.partitions[from - 1].end : 0;
		uint64_t end = to ? h.partitions[to - 1].end : 0;
		*ret_offset = h.len + base;
		*ret_len = end - base;
		for (uint32_t i = from; i < to; i++)
			h.partitions[i].end -= base;
		rc = xchg_header_encode(h.columns, h.n_columns, h.partitions + from, to - from, out,
		                        err);
	}
	xchg_header_clear(&h);
	return rc;
}

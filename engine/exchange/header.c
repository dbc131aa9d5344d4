#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/exchange/block.h"
#include "lib/base/crc.h"

static const char magic[4] = { 'R', 'X', 'C', 'H' };

int xchg_pread_exact(int fd, uint64_t offset, void *to, size_t len, struct err *err)
{
	char *p = to;
	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "cannot read exchange file");
		if (n == 0)
			return err_set(err, -EBADMSG, "exchange file is cut short");
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int xchg_pwrite_all(int fd, uint64_t offset, const void *from, size_t len, struct err *err)
{
	const char *p = from;
	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "cannot write exchange file");
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

void xchg_header_clear(struct xchg_header *h)
{
	xchg_columns_free(h->columns, h->n_columns);
	free(h->partitions);
	*h = (struct xchg_header){ 0 };
}

int xchg_header_encode(const struct xchg_column *columns, size_t n,
                       const struct xchg_partition *partitions, uint32_t n_partitions,
                       struct buf *out, struct err *err)
{
	size_t start = out->len;
	(void)buf_add(out, magic, sizeof(magic));
	(void)buf_addle(out, XCHG_VERSION, 2);
	(void)buf_addle(out, 0, 2);
	(void)buf_addle(out, 0, 4);
	(void)buf_addle(out, n, 4);
	for (size_t i = 0; i < n; i++) {
		size_t len = strnlen(columns[i].name, UINT16_MAX);
		(void)buf_addc(out, (char)columns[i].type);
		(void)buf_addc(out, (char)columns[i].precision);
		(void)buf_addc(out, (char)columns[i].scale);
		(void)buf_addle(out, len, 2);
		(void)buf_add(out, columns[i].name, len);
	}
	(void)buf_addle(out, n_partitions, 4);
	for (uint32_t i = 0; i < n_partitions; i++) {
		(void)buf_addle(out, partitions[i].end, 8);
		(void)buf_addle(out, partitions[i].rows, 8);
	}
	size_t len = out->len - start + 4;
	if (out->overflow || len > XCHG_HEADER_MAX)
		return err_set(err, -E2BIG, "exchange header is too large");
	uint8_t *head = (uint8_t *)out->p + start;
	xchg_put_le(head + 8, len - XCHG_FILE_HEAD, 4);
	if (buf_addle(out, crc32c(0, head, len - 4), 4) < 0)
		return err_set(err, -E2BIG, "exchange header is too large");
	return 0;
}

/* A cursor over the header; `bad` stays set once something was missing. */
struct cursor {
	const uint8_t *p;
	size_t len;
	bool bad;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	static const uint8_t zeros[8];
	if (c->bad || n > c->len) {
		c->bad = true;
		return zeros; /* callers of 8 bytes and less need no check of their own */
	}
	const uint8_t *p = c->p;
	c->p += n;
	c->len -= n;
	return p;
}

static bool parse_column(struct cursor *c, struct xchg_column *ret)
{
	uint8_t type = *take(c, 1);
	ret->precision = *take(c, 1);
	ret->scale = *take(c, 1);
	ret->type = (enum xchg_type)type;
	size_t len = (size_t)xchg_get_le(take(c, 2), 2);
	const uint8_t *name = take(c, len);
	if (c->bad || type < XCHG_BOOLEAN || type > XCHG_NULL || memchr(name, 0, len))
		return false;
	if (type == XCHG_DECIMAL &&
	    (ret->precision < 1 || ret->precision > 38 || ret->scale > ret->precision))
		return false;
	ret->name = xstrndup((const char *)name, len);
	return true;
}

static bool parse_columns(struct cursor *c, struct xchg_header *ret)
{
	uint64_t n = xchg_get_le(take(c, 4), 4);
	if (c->bad || n > XCHG_COLUMNS_MAX)
		return false;
	ret->columns = xcalloc((size_t)n, sizeof(*ret->columns));
	for (uint64_t i = 0; i < n; i++) {
		if (!parse_column(c, &ret->columns[i]))
			return false;
		ret->n_columns++;
	}
	return true;
}

static bool parse_partitions(struct cursor *c, uint64_t blocks_len, struct xchg_header *ret)
{
	uint64_t n = xchg_get_le(take(c, 4), 4), end = 0, rows = 0;
	if (c->bad || n > XCHG_PARTITIONS_MAX)
		return false;
	ret->partitions = xcalloc((size_t)n, sizeof(*ret->partitions));
	ret->n_partitions = (uint32_t)n;
	for (uint64_t i = 0; i < n; i++) {
		struct xchg_partition *p = &ret->partitions[i];
		p->end = xchg_get_le(take(c, 8), 8);
		p->rows = xchg_get_le(take(c, 8), 8);
		if (p->end < end || p->rows > UINT64_MAX - rows)
			return false;
		end = p->end;
		rows += p->rows;
	}
	return !c->bad && c->len == 0 && end == blocks_len;
}

static int parse(const uint8_t *bytes, size_t len, uint64_t size, struct xchg_header *ret,
                 struct err *err)
{
	if (crc32c(0, bytes, len - 4) != xchg_get_le(bytes + len - 4, 4))
		return err_set(err, -EBADMSG, "exchange header fails its checksum");
	struct cursor c = { bytes + XCHG_FILE_HEAD, len - XCHG_FILE_HEAD - 4, false };
	ret->len = (uint32_t)len;
	if (!parse_columns(&c, ret) || !parse_partitions(&c, size - len, ret)) {
		xchg_header_clear(ret);
		return err_set(err, -EBADMSG, "exchange header is malformed");
	}
	return 0;
}

int xchg_header_read(const struct xchg_source *source, struct xchg_header *ret, struct err *err)
{
	*ret = (struct xchg_header){ 0 };
	uint8_t head[XCHG_FILE_HEAD];
	if (source->size < sizeof(head) + 4)
		return err_set(err, -EBADMSG, "exchange file is too short");
	int rc = source->read(source->arg, 0, head, sizeof(head), err);
	if (rc < 0)
		return rc;
	if (memcmp(head, magic, sizeof(magic)) != 0)
		return err_set(err, -EBADMSG, "not an exchange file");
	uint64_t version = xchg_get_le(head + 4, 2), flags = xchg_get_le(head + 6, 2);
	if (version != XCHG_VERSION || flags != 0)
		return err_set(err, -EBADMSG, "exchange version %u with flags %u, known is %d",
		               (unsigned)version, (unsigned)flags, XCHG_VERSION);
	uint64_t len = XCHG_FILE_HEAD + xchg_get_le(head + 8, 4);
	if (len < XCHG_FILE_HEAD + 12 || len > XCHG_HEADER_MAX || len > source->size)
		return err_set(err, -EBADMSG, "exchange header has an impossible length");
	autofree uint8_t *bytes = xmalloc((size_t)len);
	rc = source->read(source->arg, 0, bytes, (size_t)len, err);
	if (rc < 0)
		return rc;
	return parse(bytes, (size_t)len, source->size, ret, err);
}

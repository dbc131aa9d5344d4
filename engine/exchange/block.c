#include "engine/exchange/block.h"

#include <errno.h>
#include <lz4.h>
#include <string.h>
#include <zstd.h>

#include "lib/base/crc.h"

uint64_t xchg_get_le(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

void xchg_put_le(uint8_t *p, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(value >> (8 * i));
}

static void pad(struct buf *b)
{
	static const char zeros[8];
	(void)buf_add(b, zeros, -b->len & 7);
}

/* Where row `at` of a text column begins. */
static uint32_t text_at(const struct xchg_vector *v, uint32_t at)
{
	return v->offsets[at];
}

static size_t raw_size(const struct xchg_column *columns, size_t n, const struct xchg_block *b,
                       uint32_t from, uint32_t rows)
{
	size_t size = 0;
	for (size_t i = 0; i < n; i++) {
		const struct xchg_vector *v = &b->columns[i];
		size += 32 + rows / 8 + rows * xchg_width(&columns[i]);
		if (xchg_is_text(&columns[i]))
			size += 4 * (size_t)rows + text_at(v, from + rows) - text_at(v, from);
	}
	return size;
}

static void encode_validity(const struct xchg_vector *v, uint32_t from, uint32_t rows,
                            struct buf *out)
{
	bool any = false;
	uint32_t i = 0;
	for (; v->validity && from % 8 == 0 && i + 8 <= rows && !any; i += 8)
		any = v->validity[(from + i) / 8] != 0xff;
	for (; v->validity && i < rows && !any; i++)
		any = !xchg_bit(v->validity, from + i);
	(void)buf_addc(out, any);
	pad(out);
	if (!any)
		return;
	uint8_t bitmap[XCHG_BLOCK_ROWS / 8] = { 0 };
	for (i = 0; i < rows; i++)
		if (xchg_bit(v->validity, from + i))
			bitmap[i / 8] |= (uint8_t)(1U << (i % 8));
	(void)buf_add(out, bitmap, (rows + 7) / 8);
	pad(out);
}

static void encode_text(const struct xchg_vector *v, uint32_t from, uint32_t rows, struct buf *out)
{
	uint32_t base = text_at(v, from);
	size_t len = 4 * ((size_t)rows + 1);
	uint8_t *to = (uint8_t *)buf_reserve(out, len);
	if (!to) {
		out->overflow = true;
		return;
	}
	for (uint32_t i = 0; i <= rows; i++) {
		uint32_t offset = text_at(v, from + i) -
		                  base; /* hosts are little-endian, as readers assume */
		memcpy(to + 4 * (size_t)i, &offset, sizeof(offset));
	}
	out->len += len;
	pad(out);
	if (text_at(v, from + rows) != base)
		(void)buf_add(out, v->data + base, text_at(v, from + rows) - base);
}

static int encode(const struct xchg_column *columns, size_t n, const struct xchg_block *b,
                  uint32_t from, uint32_t rows, struct buf *out, struct err *err)
{
	buf_reset(out);
	for (size_t i = 0; i < n; i++) {
		const struct xchg_vector *v = &b->columns[i];
		size_t width = xchg_width(&columns[i]);
		if (columns[i].type == XCHG_NULL)
			continue;
		encode_validity(v, from, rows, out);
		if (xchg_is_text(&columns[i]))
			encode_text(v, from, rows, out);
		else
			(void)buf_add(out, v->data + from * width, rows * width);
		pad(out);
	}
	if (out->overflow)
		return err_set(err, -E2BIG, "a row is larger than %d MB",
		               XCHG_BLOCK_BYTES / (1024 * 1024));
	return 0;
}

/* Compresses raw behind head's place in out; returns the codec that was worth it. */
static int pack(const struct buf *raw, enum xchg_codec codec, struct buf *out, uint8_t *ret_codec,
                size_t *ret_len, struct err *err)
{
	size_t bound = raw->len;
	if (codec == XCHG_LZ4)
		bound = (size_t)LZ4_compressBound((int)raw->len);
	else if (codec == XCHG_ZSTD)
		bound = ZSTD_compressBound(raw->len);
	char *to = buf_reserve(out, bound);
	if (!to)
		return err_set(err, -E2BIG, "exchange block is too large");
	size_t len = 0;
	if (codec == XCHG_LZ4)
		len = (size_t)LZ4_compress_default(raw->p, to, (int)raw->len, (int)bound);
	else if (codec == XCHG_ZSTD)
		len = ZSTD_compress(to, bound, raw->p, raw->len, 1);
	if (len == 0 || ZSTD_isError(len) || len >= raw->len) {
		codec = XCHG_RAW;
		len = raw->len;
		if (len)
			memcpy(to, raw->p, len);
	}
	*ret_codec = (uint8_t)codec;
	*ret_len = len;
	return 0;
}

static int frame_one(const struct buf *raw, uint32_t rows, enum xchg_codec codec, struct buf *out,
                     struct err *err)
{
	size_t at = out->len;
	static const char blank[XCHG_FRAME_HEAD];
	if (buf_add(out, blank, sizeof(blank)) < 0)
		return err_set(err, -E2BIG, "exchange block is too large");
	uint8_t used = 0;
	size_t len = 0;
	int rc = pack(raw, codec, out, &used, &len, err);
	if (rc < 0)
		return rc;
	uint8_t *head = (uint8_t *)out->p + at;
	xchg_put_le(head, raw->len, 4);
	xchg_put_le(head + 4, len, 4);
	xchg_put_le(head + 8, rows, 4);
	head[12] = used;
	uint32_t crc = crc32c(crc32c(0, head, 13), head + XCHG_FRAME_HEAD, len);
	xchg_put_le(head + 13, crc, 4);
	out->len += len;
	return 0;
}

int xchg_block_frame(const struct xchg_column *columns, size_t n, enum xchg_codec codec,
                     const struct xchg_block *b, uint32_t from, uint32_t rows, struct buf *raw,
                     struct buf *out, struct err *err)
{
	while (rows) {
		uint32_t part = rows < XCHG_BLOCK_ROWS ? rows : XCHG_BLOCK_ROWS;
		while (part > 1 && raw_size(columns, n, b, from, part) > XCHG_BLOCK_TARGET)
			part /= 2;
		int rc = encode(columns, n, b, from, part, raw, err);
		if (rc == 0)
			rc = frame_one(raw, part, codec, out, err);
		if (rc < 0)
			return rc;
		from += part;
		rows -= part;
	}
	return 0;
}

/* A cursor over the raw bytes of a block. */
struct parts {
	const uint8_t *p;
	size_t len, at;
};

static const uint8_t *take(struct parts *parts, size_t len)
{
	if (len > parts->len - parts->at)
		return NULL;
	const uint8_t *p = parts->p + parts->at;
	size_t padded = len + (-len & 7);
	parts->at = padded > parts->len - parts->at ? parts->len : parts->at + padded;
	return p;
}

static bool decode_text(struct parts *parts, uint32_t rows, struct xchg_vector *ret)
{
	const uint8_t *offsets = take(parts, 4 * ((size_t)rows + 1));
	if (!offsets)
		return false;
	const uint32_t *o = (const uint32_t *)(const void *)offsets;
	if (o[0] != 0)
		return false;
	for (uint32_t i = 0; i < rows; i++)
		if (o[i + 1] < o[i])
			return false;
	ret->offsets = o;
	ret->data = take(parts, o[rows]);
	return ret->data != NULL;
}

static bool decode_column(const struct xchg_column *c, struct parts *parts, uint32_t rows,
                          struct xchg_vector *ret)
{
	*ret = (struct xchg_vector){ 0 };
	if (c->type == XCHG_NULL)
		return true;
	const uint8_t *flag = take(parts, 1);
	if (!flag || *flag > 1)
		return false;
	if (*flag) {
		ret->validity = take(parts, (rows + 7) / 8);
		if (!ret->validity)
			return false;
	}
	if (xchg_is_text(c))
		return decode_text(parts, rows, ret);
	ret->data = take(parts, rows * xchg_width(c));
	if (!ret->data)
		return false;
	/* A bool of another value would be undefined behaviour in its reader. */
	for (uint32_t i = 0; c->type == XCHG_BOOLEAN && i < rows; i++)
		if (ret->data[i] > 1 && xchg_bit(ret->validity, i))
			return false;
	return true;
}

int xchg_block_decode(const struct xchg_column *columns, size_t n, const uint8_t *raw, size_t len,
                      uint32_t rows, struct xchg_vector *ret, struct err *err)
{
	struct parts parts = { raw, len, 0 };
	for (size_t i = 0; i < n; i++)
		if (!decode_column(&columns[i], &parts, rows, &ret[i]))
			return err_set(err, -EBADMSG, "exchange block: column %s is malformed",
			               columns[i].name);
	if (parts.at != len)
		return err_set(err, -EBADMSG, "exchange block has %zu bytes too many",
		               len - parts.at);
	return 0;
}

int xchg_frame_parse(const uint8_t head[XCHG_FRAME_HEAD], struct xchg_frame *ret, struct err *err)
{
	ret->raw_len = (uint32_t)xchg_get_le(head, 4);
	ret->stored_len = (uint32_t)xchg_get_le(head + 4, 4);
	ret->rows = (uint32_t)xchg_get_le(head + 8, 4);
	memcpy(ret->head, head, XCHG_FRAME_HEAD);
	if (ret->raw_len > XCHG_BLOCK_BYTES || ret->stored_len > ret->raw_len || ret->rows == 0 ||
	    ret->rows > XCHG_BLOCK_ROWS || head[12] > XCHG_ZSTD ||
	    (head[12] == XCHG_RAW && ret->stored_len != ret->raw_len))
		return err_set(err, -EBADMSG, "exchange block has impossible lengths");
	return 0;
}

int xchg_frame_unpack(const struct xchg_frame *f, const uint8_t *stored, uint8_t *raw,
                      struct err *err)
{
	uint32_t crc = crc32c(crc32c(0, f->head, 13), stored, f->stored_len);
	if (crc != xchg_get_le(f->head + 13, 4))
		return err_set(err, -EBADMSG, "exchange block fails its checksum");
	size_t got = f->stored_len;
	if (f->head[12] == XCHG_LZ4) {
		int n = LZ4_decompress_safe((const char *)stored, (char *)raw, (int)f->stored_len,
		                            (int)f->raw_len);
		got = n < 0 ? SIZE_MAX : (size_t)n;
	} else if (f->head[12] == XCHG_ZSTD) {
		got = ZSTD_decompress(raw, f->raw_len, stored, f->stored_len);
	} else if (got) {
		memcpy(raw, stored, got);
	}
	if (got != f->raw_len)
		return err_set(err, -EBADMSG, "exchange block does not unpack to its length");
	return 0;
}

#include <string.h>

#include "engine/exchange/block.h"
#include "engine/exchange/shuffle.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x ^ x >> 32;
}

static uint64_t hash_bytes(const uint8_t *p, size_t len)
{
	uint64_t h = mix(len + 0x9e3779b97f4a7c15ULL);
	for (; len >= 8; p += 8, len -= 8)
		h = mix(h ^ xchg_get_le(p, 8));
	return len ? mix(h ^ xchg_get_le(p, len)) : h;
}

/* Two halves of a signed 128-bit value; what fits 64 bits hashes as the narrow types do. */
static uint64_t hash_wide(uint64_t low, uint64_t high)
{
	bool narrow = high == ((int64_t)low < 0 ? UINT64_MAX : 0);
	return narrow ? mix(low + 1) : mix(mix(low + 1) ^ high);
}

static uint64_t hash_double(double d)
{
	uint64_t bits = 0;
	if (d != d) /* every NaN is equal to every other in SQL's grouping */
		return mix(0x7ff8000000000000ULL);
	d += 0.0; /* -0 becomes 0 */
	memcpy(&bits, &d, sizeof(bits));
	return mix(bits);
}

/* 1.50 and 1.5 are equal: drop the zeros after the point. */
static uint64_t hash_decimal(__int128 v, unsigned scale)
{
	for (; scale && v % 10 == 0; scale--)
		v /= 10;
	unsigned __int128 u = (unsigned __int128)v;
	return hash_wide((uint64_t)u, (uint64_t)(u >> 64)) ^ mix(scale);
}

static __int128 integer_at(const struct xchg_column *c, const uint8_t *p, size_t width)
{
	if (width == 16) {
		unsigned __int128 high = xchg_get_le(p + 8, 8);
		return (__int128)(high << 64 | xchg_get_le(p, 8));
	}
	uint64_t v = xchg_get_le(p, width);
	switch (c->type) {
	case XCHG_BOOLEAN:
	case XCHG_UTINYINT:
	case XCHG_USMALLINT:
	case XCHG_UINTEGER:
	case XCHG_UBIGINT:
		return (__int128)v;
	default:
		return (int64_t)(v << (64 - 8 * width)) >> (64 - 8 * width);
	}
}

static uint64_t hash_value(const struct xchg_column *c, const uint8_t *p, size_t width)
{
	float f = 0;
	double d = 0;
	switch (c->type) {
	case XCHG_FLOAT:
		memcpy(&f, p, sizeof(f));
		return hash_double((double)f);
	case XCHG_DOUBLE:
		memcpy(&d, p, sizeof(d));
		return hash_double(d);
	default:
		return hash_decimal(integer_at(c, p, width), c->scale);
	}
}

void xchg_hash(const struct xchg_column *c, const struct xchg_vector *v, uint32_t rows,
               uint64_t *hash)
{
	size_t width = xchg_width(c);
	for (uint32_t i = 0; i < rows; i++) {
		uint64_t h = 0x6e756c6cULL;
		if (c->type == XCHG_NULL || !xchg_bit(v->validity, i))
			;
		else if (xchg_is_text(c))
			h = hash_bytes(v->data + v->offsets[i], v->offsets[i + 1] - v->offsets[i]);
		else
			h = hash_value(c, v->data + i * width, width);
		hash[i] = mix(hash[i] * 31 + h);
	}
}

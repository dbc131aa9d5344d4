#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/exchange/block.h"

static int64_t signed_at(const uint8_t *p, size_t width)
{
	uint64_t v = xchg_get_le(p, width);
	unsigned shift = (unsigned)(64 - 8 * width);
	return (int64_t)(v << shift) >> shift;
}

/* A signed integer of 16 bytes, with `scale` digits after the point. */
static void wide_text(const uint8_t *p, unsigned scale, struct buf *out)
{
	unsigned __int128 v = (unsigned __int128)xchg_get_le(p + 8, 8) << 64 | xchg_get_le(p, 8);
	bool negative = v >> 127;
	if (negative)
		v = -v;
	char digits[48];
	size_t n = 0;
	for (; v || n <= scale; v /= 10)
		digits[n++] = (char)('0' + (int)(v % 10));
	if (negative)
		(void)buf_addc(out, '-');
	while (n) {
		(void)buf_addc(out, digits[--n]);
		if (n == scale && n)
			(void)buf_addc(out, '.');
	}
}

static void decimal_text(const struct xchg_column *c, const uint8_t *p, struct buf *out)
{
	size_t width = xchg_width(c);
	uint8_t wide[16];
	if (width == 16) {
		memcpy(wide, p, sizeof(wide));
	} else {
		int64_t v = signed_at(p, width);
		xchg_put_le(wide, (uint64_t)v, 8);
		xchg_put_le(wide + 8, v < 0 ? UINT64_MAX : 0, 8);
	}
	wide_text(wide, c->scale, out);
}

/* The fewest digits that read back as the same number. */
static void real_text(double v, bool single, struct buf *out)
{
	char text[40];
	for (int digits = single ? 6 : 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		double back = strtod(text, NULL);
		bool same =
			single ? !islessgreater((float)back, (float)v) : !islessgreater(back, v);
		if (same)
			break;
	}
	(void)buf_adds(out, text);
}

/* Days since 1970 to a civil date, by eras of 400 years. */
static void date_text(int64_t days, struct buf *out)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int64_t day = doy - (153 * mp + 2) / 5 + 1;
	int64_t month = mp < 10 ? mp + 3 : mp - 9;
	int64_t year = yoe + era * 400 + (month <= 2);
	(void)buf_addf(out, "%04" PRId64 "-%02" PRId64 "-%02" PRId64, year, month, day);
}

static void timestamp_text(int64_t us, struct buf *out)
{
	enum { SECOND = 1000000 };
	const int64_t day_us = 86400LL * SECOND;
	if (us == INT64_MAX || us == -INT64_MAX) {
		(void)buf_adds(out, us > 0 ? "infinity" : "-infinity");
		return;
	}
	int64_t days = us / day_us - (us % day_us < 0);
	int64_t rest = us % day_us + (us % day_us < 0 ? day_us : 0);
	int64_t s = rest / SECOND, fraction = rest % SECOND;
	date_text(days, out);
	(void)buf_addf(out, " %02" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60,
	               s % 60);
	if (fraction)
		(void)buf_addf(out, ".%06" PRId64, fraction);
}

static void number_text(const struct xchg_column *c, const uint8_t *p, struct buf *out)
{
	float f = 0;
	double d = 0;
	size_t width = xchg_width(c);
	switch (c->type) {
	case XCHG_FLOAT:
		memcpy(&f, p, sizeof(f));
		real_text((double)f, true, out);
		return;
	case XCHG_DOUBLE:
		memcpy(&d, p, sizeof(d));
		real_text(d, false, out);
		return;
	case XCHG_HUGEINT:
		wide_text(p, 0, out);
		return;
	case XCHG_DECIMAL:
		decimal_text(c, p, out);
		return;
	case XCHG_BOOLEAN:
	case XCHG_UTINYINT:
	case XCHG_USMALLINT:
	case XCHG_UINTEGER:
	case XCHG_UBIGINT:
		(void)buf_addf(out, "%" PRIu64, xchg_get_le(p, width));
		return;
	default:
		(void)buf_addf(out, "%" PRId64, signed_at(p, width));
	}
}

bool xchg_cell_text(const struct xchg_column *c, const struct xchg_vector *v, uint32_t row,
                    struct buf *out)
{
	if (c->type == XCHG_NULL || !xchg_bit(v->validity, row))
		return false;
	if (xchg_is_text(c)) {
		uint32_t from = v->offsets[row], to = v->offsets[row + 1];
		if (to > from)
			(void)buf_add(out, v->data + from, to - from);
		return true;
	}
	size_t width = xchg_width(c);
	const uint8_t *p = v->data + row * width;
	int64_t date = c->type == XCHG_DATE ? signed_at(p, width) : 0;
	if (c->type == XCHG_DATE && (date == INT32_MAX || date == -INT32_MAX))
		(void)buf_adds(out, date > 0 ? "infinity" : "-infinity");
	else if (c->type == XCHG_DATE)
		date_text(date, out);
	else if (c->type == XCHG_TIMESTAMP)
		timestamp_text(signed_at(p, width), out);
	else
		number_text(c, p, out);
	return true;
}

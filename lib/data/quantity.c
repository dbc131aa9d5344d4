#include "lib/data/quantity.h"

#include <errno.h>

#include "lib/base/mem.h"

enum { DIGITS_MAX = 20, EXPONENT_MAX = 40 };

struct number {
	bool negative;
	unsigned __int128 mantissa;
	int exponent; /* decimal */
	int shift;    /* binary */
	bool more;    /* digits beyond what mantissa holds: round up */
};

/* "1.25" into mantissa and exponent; returns what follows, p == NULL when it is no number. */
static struct str take_digits(struct str s, struct number *n)
{
	bool point = false, any = false;
	int kept = 0;
	for (; s.len; s.p++, s.len--) {
		char c = s.p[0];
		if (c == '.' && !point) {
			point = true;
			continue;
		}
		if (c < '0' || c > '9')
			break;
		any = true;
		if (kept == DIGITS_MAX) {
			n->more |= c != '0';
			n->exponent += point ? 0 : 1;
			continue;
		}
		n->mantissa = n->mantissa * 10 + (unsigned)(c - '0');
		kept += n->mantissa ? 1 : 0;
		n->exponent -= point ? 1 : 0;
	}
	return any ? s : (struct str){ NULL, 0 };
}

static int take_suffix(struct str s, struct number *n)
{
	static const struct {
		const char *text;
		int exponent, shift;
	} suffixes[] = {
		{ "", 0, 0 },    { "n", -9, 0 },  { "u", -6, 0 },  { "m", -3, 0 },
		{ "k", 3, 0 },   { "M", 6, 0 },   { "G", 9, 0 },   { "T", 12, 0 },
		{ "P", 15, 0 },  { "E", 18, 0 },  { "Ki", 0, 10 }, { "Mi", 0, 20 },
		{ "Gi", 0, 30 }, { "Ti", 0, 40 }, { "Pi", 0, 50 }, { "Ei", 0, 60 },
	};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (!str_eqs(s, suffixes[i].text))
			continue;
		n->exponent += suffixes[i].exponent;
		n->shift = suffixes[i].shift;
		return 0;
	}
	int64_t e = 0;
	if (s.len < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
		return -EINVAL;
	s = (struct str){ s.p + 1, s.len - 1 };
	if (s.p[0] == '+' && s.len > 1 && s.p[1] != '-')
		s = (struct str){ s.p + 1, s.len - 1 };
	int rc = str_to_i64(s, &e);
	if (rc < 0)
		return rc;
	if (e > EXPONENT_MAX || e < -EXPONENT_MAX)
		return -ERANGE;
	n->exponent += (int)e;
	return 0;
}

/* mantissa * 2^shift * 10^exponent, rounded away from zero. */
static int scale(const struct number *n, int64_t *ret)
{
	unsigned __int128 v = n->mantissa;
	bool up = n->more;
	if (n->shift && __builtin_mul_overflow(v, (unsigned __int128)1 << n->shift, &v))
		return -ERANGE;
	for (int i = 0; i < n->exponent && v; i++)
		if (__builtin_mul_overflow(v, 10u, &v))
			return -ERANGE;
	for (int i = 0; i > n->exponent && v; i--) {
		up |= v % 10 != 0;
		v /= 10;
	}
	v += up ? 1 : 0;
	if (v > INT64_MAX)
		return -ERANGE;
	*ret = n->negative ? -(int64_t)v : (int64_t)v;
	return 0;
}

static int parse(struct str text, int exponent, int64_t *ret, struct err *err)
{
	struct number n = { .exponent = exponent };
	struct str rest = text;
	if (rest.len && (rest.p[0] == '-' || rest.p[0] == '+')) {
		n.negative = rest.p[0] == '-';
		rest = (struct str){ rest.p + 1, rest.len - 1 };
	}
	rest = take_digits(rest, &n);
	int rc = rest.p ? take_suffix(rest, &n) : -EINVAL;
	if (rc == 0)
		rc = scale(&n, ret);
	if (rc == 0)
		return 0;
	int shown = text.len > 40 ? 40 : (int)text.len;
	return err_set(err, rc,
	               rc == -ERANGE ? "quantity \"%.*s\" is out of range"
	                             : "\"%.*s\" is not a quantity (like 500m, 2, 1.5Gi or 1e3)",
	               shown, text.p);
}

int data_quantity_milli(struct str text, int64_t *ret, struct err *err)
{
	return parse(text, 3, ret, err);
}

int data_quantity(struct str text, int64_t *ret, struct err *err)
{
	return parse(text, 0, ret, err);
}

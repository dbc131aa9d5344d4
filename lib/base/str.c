#include "lib/base/str.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/mem.h"

bool str_eq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_eqs(struct str a, const char *b)
{
	return str_eq(a, str_of(b));
}

bool str_caseeq(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp(a.p, b.p, a.len) == 0);
}

bool str_caseeqs(struct str a, const char *b)
{
	return str_caseeq(a, str_of(b));
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);
	return s.len >= n && memcmp(s.p, prefix, n) == 0;
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);
	return s.len >= n && memcmp(s.p + s.len - n, suffix, n) == 0;
}

struct str str_trim(struct str s)
{
	while (s.len && isspace((unsigned char)s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && isspace((unsigned char)s.p[s.len - 1]))
		s.len--;
	return s;
}

bool str_split(struct str *rest, char sep, struct str *ret)
{
	if (!rest->p)
		return false;
	const char *at = rest->len ? memchr(rest->p, sep, rest->len) : NULL;
	if (!at) {
		*ret = *rest;
		*rest = (struct str){ NULL, 0 };
		return true;
	}
	size_t n = (size_t)(at - rest->p);
	*ret = (struct str){ rest->p, n };
	rest->p += n + 1;
	rest->len -= n + 1;
	return true;
}

int str_to_u64(struct str s, uint64_t *ret)
{
	if (!s.len)
		return -EINVAL;
	uint64_t v = 0;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int str_to_i64(struct str s, int64_t *ret)
{
	bool negative = s.len && s.p[0] == '-';
	if (negative) {
		s.p++;
		s.len--;
	}
	uint64_t v = 0;
	int rc = str_to_u64(s, &v);
	if (rc < 0)
		return rc;
	uint64_t limit = (uint64_t)INT64_MAX + (negative ? 1u : 0u);
	if (v > limit)
		return -ERANGE;
	*ret = negative ? (int64_t)(0 - v) : (int64_t)v;
	return 0;
}

int str_to_double(struct str s, double *ret)
{
	char text[64];
	if (!s.len || s.len >= sizeof(text) || isspace((unsigned char)s.p[0]))
		return -EINVAL;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	char *end = NULL;
	double v = strtod(text, &end);
	if (*end != '\0')
		return -EINVAL;
	if (!isfinite(v))
		return -ERANGE;
	*ret = v;
	return 0;
}

bool str_eq_secret(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	unsigned char diff = 0;
	for (size_t i = 0; i < a.len; i++)
		diff = (unsigned char)(diff | (a.p[i] ^ b.p[i]));
	return diff == 0;
}

char *str_dup(struct str s)
{
	char *out = xmalloc(s.len + 1);
	if (s.len)
		memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return out;
}

uint64_t str_hash(struct str s, uint64_t seed)
{
	uint64_t h = 0xcbf29ce484222325u ^ seed;
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return h;
}

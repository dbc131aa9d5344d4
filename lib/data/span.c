#include "lib/data/span.h"

#include <string.h>

static const struct str NONE = { NULL, 0 };

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t skip_blanks(struct str t, size_t i)
{
	while (i < t.len && blank(t.p[i]))
		i++;
	return i;
}

/* Behind the string that begins at i; 0: it does not end. */
static size_t skip_string(struct str t, size_t i)
{
	for (i++; i < t.len; i++) {
		if (t.p[i] == '\\')
			i++;
		else if (t.p[i] == '"')
			return i + 1;
	}
	return 0;
}

/* Behind the object or array that begins at i; 0: it does not end. */
static size_t skip_nested(struct str t, size_t i)
{
	size_t depth = 0;
	while (i < t.len) {
		char c = t.p[i];
		if (c == '"') {
			i = skip_string(t, i);
			if (i == 0)
				return 0;
			continue;
		}
		i++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return i;
	}
	return 0;
}

/* Behind the value that begins at i; 0: there is none that ends. */
static size_t skip_value(struct str t, size_t i)
{
	if (i >= t.len)
		return 0;
	if (t.p[i] == '"')
		return skip_string(t, i);
	if (t.p[i] == '{' || t.p[i] == '[')
		return skip_nested(t, i);
	size_t from = i;
	while (i < t.len && !blank(t.p[i]) && !memchr(",:]}[{\"", t.p[i], 7))
		i++;
	return i > from ? i : 0;
}

/* The value at *i, and *i behind it and the comma that may follow; false: none. */
static bool value_at(struct str t, size_t *i, struct str *ret)
{
	size_t from = skip_blanks(t, *i), end = skip_value(t, from);
	if (end == 0)
		return false;
	*ret = (struct str){ t.p + from, end - from };
	*i = skip_blanks(t, end);
	return true;
}

struct str data_span_member(struct str object, const char *key)
{
	struct str k, v;
	size_t i = skip_blanks(object, 0), n = strlen(key);
	if (i >= object.len || object.p[i] != '{')
		return NONE;
	i++;
	while (value_at(object, &i, &k) && k.p[0] == '"' && i < object.len && object.p[i] == ':') {
		i++;
		if (!value_at(object, &i, &v))
			break;
		if (k.len == n + 2 && memcmp(k.p + 1, key, n) == 0)
			return v;
		if (i >= object.len || object.p[i] != ',')
			break;
		i++;
	}
	return NONE;
}

bool data_span_next(struct str array, size_t *at, struct str *ret)
{
	size_t i = *at;
	*at = SIZE_MAX;
	bool first = i == 0;
	if (first) {
		i = skip_blanks(array, 0);
		if (i >= array.len || array.p[i] != '[')
			return false;
		i = skip_blanks(array, i + 1);
	}
	if (i < array.len && array.p[i] == ']') {
		*at = skip_blanks(array, i + 1);
		return false;
	}
	if (!first) {
		if (i >= array.len || array.p[i] != ',')
			return false;
		i++;
	}
	if (!value_at(array, &i, ret))
		return false;
	*at = i;
	return true;
}

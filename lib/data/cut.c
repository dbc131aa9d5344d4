#include "lib/data/cut.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/mem.h"

/* How many bytes lie between an array's brackets; -1: it has no end. */
static ptrdiff_t inside(const char *p, size_t n)
{
	size_t depth = 1;
	bool in_string = false;
	for (size_t i = 0; i < n; i++) {
		char c = p[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			depth++;
		} else if ((c == ']' || c == '}') && --depth == 0) {
			return c == ']' ? (ptrdiff_t)i : -1;
		}
	}
	return -1;
}

static bool has_word(const char *p, size_t n, const char *const *words)
{
	for (; words && *words; words++)
		if (memmem(p, n, *words, strlen(*words)))
			return true;
	return false;
}

size_t data_json_cut(char *text, size_t len, const char *key, const char *const *words)
{
	autofree char *start = xasprintf("\"%s\":[", key);
	size_t n = strlen(start), from = 0, to = 0;
	for (;;) {
		char *at = memmem(text + from, len - from, start, n);
		size_t upto = at ? (size_t)(at - text) + n : len;
		memmove(text + to, text + from, upto - from);
		to += upto - from;
		from = upto;
		if (!at)
			return to;
		/* Inside a string the quote would be escaped. */
		if (to == n || (text[to - n - 1] != ',' && text[to - n - 1] != '{'))
			continue;
		ptrdiff_t gone = inside(text + from, len - from);
		if (gone > 0 && !has_word(text + from, (size_t)gone, words))
			from += (size_t)gone;
	}
}

#include "lib/net/http_text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

#include "lib/base/mem.h"
#include "lib/data/base64.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes in place; the length, or -EINVAL. */
static ssize_t unescape(char *p, size_t len, bool plus_is_space)
{
	size_t out = 0;
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		if (c == '%') {
			int hi = i + 2 < len ? hex_digit(p[i + 1]) : -1;
			int lo = i + 2 < len ? hex_digit(p[i + 2]) : -1;
			if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
				return -EINVAL;
			c = (char)(hi * 16 + lo);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		p[out++] = c;
	}
	p[out] = '\0';
	return (ssize_t)out;
}

static bool has_dot_dot(struct str path)
{
	struct str rest = path, part;
	while (str_split(&rest, '/', &part))
		if (str_eqs(part, ".."))
			return true;
	return false;
}

static int parse_params(char *query, struct http_target *t, struct err *err)
{
	for (char *at = query, *next = NULL; at; at = next) {
		next = strchr(at, '&');
		if (next)
			*next++ = '\0';
		if (!*at)
			continue;
		if (t->n_params == HTTP_PARAMS_MAX)
			return err_set(err, -EINVAL, "more than %d query parameters",
			               HTTP_PARAMS_MAX);
		char *value = strchr(at, '=');
		if (value)
			*value++ = '\0';
		if (unescape(at, strlen(at), true) < 0 ||
		    (value && unescape(value, strlen(value), true) < 0))
			return err_set(err, -EINVAL, "bad escape in the query");
		t->params[t->n_params++] = (struct http_param){ at, value ? value : "" };
	}
	return 0;
}

int http_target_parse(const char *raw, struct http_target *ret, struct err *err)
{
	ret->store = NULL;
	ret->n_params = 0;
	if (raw[0] != '/')
		return err_set(err, -EINVAL, "the request target must be an absolute path");
	char *store = xstrdup(raw);
	ret->store = store;
	char *query = strchr(store, '?');
	if (query)
		*query++ = '\0';
	ssize_t len = unescape(store, strlen(store), false);
	ret->path = (struct str){ store, len < 0 ? 0 : (size_t)len };
	int rc = 0;
	if (len < 0)
		rc = err_set(err, -EINVAL, "bad escape in the path");
	else if (has_dot_dot(ret->path))
		rc = err_set(err, -EINVAL, "\"..\" in the path");
	else if (query)
		rc = parse_params(query, ret, err);
	if (rc < 0)
		http_target_free(ret);
	return rc;
}

void http_target_free(struct http_target *t)
{
	free(t->store);
	t->store = NULL;
	t->path = (struct str){ "", 0 };
	t->n_params = 0;
}

bool http_basic_parse(const char *header, char **ret_user, char **ret_password)
{
	struct str text = header ? str_trim(str_of(header)) : str_of(NULL);
	if (text.len < 6 || strncasecmp(text.p, "basic ", 6) != 0)
		return false;
	text = str_trim((struct str){ text.p + 6, text.len - 6 });
	_cleanup_buf_ struct buf plain = BUF_INIT(text.len);
	int rc = data_base64_decode(text, &plain);
	char *colon = rc == 0 && plain.len ? memchr(plain.p, ':', plain.len) : NULL;
	/* Names and passwords are C strings further on: a NUL would cut them. */
	bool good = colon && !memchr(plain.p, '\0', plain.len);
	if (good) {
		*ret_user = xstrndup(plain.p, (size_t)(colon - plain.p));
		*ret_password = xstrdup(colon + 1);
	}
	if (plain.p)
		explicit_bzero(plain.p, plain.len);
	return good;
}

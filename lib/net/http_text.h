/* The pieces of HTTP that are parsed here and not by a library: request targets and Basic credentials.
 *
 * Thread: plain values. Ownership: a struct http_target owns one block; its views live as long.
 * Source: RFC 3986, RFC 7617. */
#ifndef ROOST_NET_HTTP_TEXT_H
#define ROOST_NET_HTTP_TEXT_H

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { HTTP_PARAMS_MAX = 64 };

struct http_param {
	const char *name, *value; /* decoded */
};
struct http_target {
	char *store;
	struct str path; /* decoded, NUL-terminated, without the query */
	struct http_param params[HTTP_PARAMS_MAX];
	size_t n_params;
};

/* "/a%20b?x=1&y": -EINVAL for anything but an absolute path, a broken escape, an escaped NUL, a ".."
 * part, or too many parameters. */
int http_target_parse(const char *raw, struct http_target *ret, struct err *err);
void http_target_free(struct http_target *t);

/* The value of an Authorization header: true and malloc'd parts when it holds Basic credentials. */
bool http_basic_parse(const char *header, char **ret_user, char **ret_password);

#endif

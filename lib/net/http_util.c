#include <errno.h>
#include <sys/random.h>

#include "lib/net/http_client.h"

enum http_retry http_retry_class(int rc, const struct http_reply *reply)
{
	switch (rc) {
	case 0:
		break;
	case -ETIMEDOUT:
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ECONNRESET:
		return HTTP_RETRY_YES;
	default:
		return HTTP_RETRY_NO;
	}
	switch (reply->status) {
	case 429:
	case 503:
		return reply->retry_after_ms >= 0 ? HTTP_RETRY_AFTER : HTTP_RETRY_YES;
	case 408:
	case 500:
	case 502:
	case 504:
		return HTTP_RETRY_YES;
	default:
		return HTTP_RETRY_NO;
	}
}

int64_t http_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms)
{
	int64_t top = base_ms;
	for (unsigned i = 0; i < attempt && top < cap_ms; i++)
		top *= 2;
	if (top > cap_ms)
		top = cap_ms;
	uint64_t r = 0;
	if (top <= 0 || getrandom(&r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return top > 0 ? top : 0;
	return (int64_t)(r % ((uint64_t)top + 1));
}

int http_url_encode(struct str text, bool keep_slash, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		             (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
		             c == '~' || (c == '/' && keep_slash);
		char enc[3] = { '%', hex[c >> 4], hex[c & 15] };
		int rc = plain ? buf_addc(out, (char)c) : buf_add(out, enc, sizeof(enc));
		if (rc < 0)
			return rc;
	}
	return 0;
}

int http_host_port(const char *host, int port, struct buf *out)
{
	bool bracket = strchr(host, ':') && host[0] != '[';
	int rc = buf_addf(out, bracket ? "[%s]" : "%s", host);
	return rc < 0 || port <= 0 ? rc : buf_addf(out, ":%d", port);
}

#include "engine/s3/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"

enum { URL_MAX = 16 * 1024, BACKOFF_MS = 100, BACKOFF_CAP_MS = 5000 };

void s3_target_free(struct s3_target *t)
{
	free(t->endpoint);
	free(t->region);
	free(t->bucket);
	free(t->access_key);
	mem_free_secret(t->secret_key);
	*t = (struct s3_target){ .endpoint = NULL };
}

static bool only_of(const char *text, const char *more)
{
	for (; *text; text++) {
		bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		             (*text >= '0' && *text <= '9');
		if (!plain && !strchr(more, *text))
			return false;
	}
	return true;
}

static const char *after_scheme(const char *endpoint)
{
	if (strncmp(endpoint, "http://", 7) == 0)
		return endpoint + 7;
	return strncmp(endpoint, "https://", 8) == 0 ? endpoint + 8 : NULL;
}

static int target_check(const struct s3_target *t, struct err *err)
{
	const char *host = after_scheme(t->endpoint);
	size_t len = strlen(t->bucket);
	if (!host || !*host || strlen(host) > 255 || !only_of(host, ".-_:[]"))
		return err_set(err, -EINVAL,
		               "s3.endpoint: must be http://HOST[:PORT] or https://HOST[:PORT]");
	if (len < 3 || len > 63 || !only_of(t->bucket, ".-_"))
		return err_set(err, -EINVAL,
		               "s3.bucket: must be 3 to 63 letters, digits, dots and dashes");
	if (!*t->region || strlen(t->region) > 64 || !only_of(t->region, "-_"))
		return err_set(err, -EINVAL, "s3.region: must be letters, digits and dashes");
	if (!*t->access_key || strlen(t->access_key) > 256 || !only_of(t->access_key, "-_.+=@"))
		return err_set(err, -EINVAL, "s3.access_key: must be letters and digits");
	if (!*t->secret_key || strlen(t->secret_key) > 1024)
		return err_set(err, -EINVAL, "s3.secret_key: must be 1 to 1024 characters");
	return 0;
}

int s3_target_decode(const json_t *from, struct s3_target *ret, struct err *err)
{
	static const struct data_field table[] = {
		{ "endpoint", DATA_STR, offsetof(struct s3_target, endpoint), true },
		{ "region", DATA_STR, offsetof(struct s3_target, region), true },
		{ "bucket", DATA_STR, offsetof(struct s3_target, bucket), true },
		{ "path_style", DATA_BOOL, offsetof(struct s3_target, path_style), false },
		{ "access_key", DATA_STR, offsetof(struct s3_target, access_key), true },
		{ "secret_key", DATA_STR, offsetof(struct s3_target, secret_key), true },
	};
	_cleanup_s3_target_ struct s3_target t = { .endpoint = NULL };
	int rc = data_decode(from, table, ARRAY_LEN(table), &t, err);
	if (rc < 0)
		return err_wrap(err, "s3");
	size_t len = strlen(t.endpoint);
	if (len && t.endpoint[len - 1] == '/')
		t.endpoint[len - 1] = '\0';
	rc = target_check(&t, err);
	if (rc < 0)
		return rc;
	*ret = t;
	t = (struct s3_target){ .endpoint = NULL };
	return 0;
}

/* The host as curl sends it: a scheme's default port is left out. */
static void host_header(const struct s3_target *t, struct buf *out)
{
	const char *host = after_scheme(t->endpoint);
	const char *usual = strncmp(t->endpoint, "https:", 6) == 0 ? ":443" : ":80";
	struct str s = str_of(host);
	if (str_ends(s, usual))
		s.len -= strlen(usual);
	if (!t->path_style)
		(void)buf_addf(out, "%s.", t->bucket);
	(void)buf_add(out, s.p, s.len);
}

static int url_parts(const struct s3_target *t, const struct s3_spec *spec, struct buf *path,
                     struct buf *url, struct err *err)
{
	if (strlen(spec->key) > S3_KEY_MAX)
		return err_set(err, -EINVAL, "S3 key of %zu bytes: at most %d", strlen(spec->key),
		               S3_KEY_MAX);
	(void)buf_addc(path, '/');
	if (t->path_style)
		(void)buf_addf(path, "%s%s", t->bucket, *spec->key ? "/" : "");
	if (http_url_encode(str_of(spec->key), true, path) < 0)
		return err_set(err, -EINVAL, "S3 key is too long when encoded");
	const char *host = after_scheme(t->endpoint);
	(void)buf_add(url, t->endpoint, (size_t)(host - t->endpoint));
	if (!t->path_style)
		(void)buf_addf(url, "%s.", t->bucket);
	(void)buf_addf(url, "%s%s", host, buf_cstr(path));
	if (spec->query)
		(void)buf_addf(url, "?%s", spec->query);
	return path->overflow || url->overflow ? err_set(err, -EINVAL, "S3 URL is too long") : 0;
}

int s3_request_build(const struct s3_target *t, const struct s3_spec *spec, struct s3_request *ret,
                     struct err *err)
{
	_cleanup_buf_ struct buf path = BUF_INIT(URL_MAX);
	_cleanup_buf_ struct buf url = BUF_INIT(URL_MAX);
	_cleanup_buf_ struct buf host = BUF_INIT(512);
	_cleanup_buf_ struct buf auth = BUF_INIT(2048);
	char date[S3_DATE_MAX], match[S3_ETAG_MAX + 2];
	struct s3_sign_header headers[S3_REQUEST_HEADERS];
	size_t n = 0;
	*ret = (struct s3_request){ .url = NULL };
	int rc = url_parts(t, spec, &path, &url, err);
	if (rc < 0)
		return rc;
	host_header(t, &host);
	s3_sign_date(clock_real_ms(), date);
	/* In the order that the signature asks for: by name. */
	headers[n++] = (struct s3_sign_header){ "host", buf_cstr(&host) };
	if (spec->if_match && *spec->if_match) {
		(void)snprintf(match, sizeof(match), "\"%s\"", spec->if_match);
		headers[n++] = (struct s3_sign_header){ "if-match", match };
	}
	if (spec->only_new)
		headers[n++] = (struct s3_sign_header){ "if-none-match", "*" };
	if (spec->range)
		headers[n++] = (struct s3_sign_header){ "range", spec->range };
	headers[n++] = (struct s3_sign_header){ "x-amz-content-sha256", spec->payload_hash };
	headers[n++] = (struct s3_sign_header){ "x-amz-date", date };
	const struct s3_sign sign = { spec->method,
		                      buf_cstr(&path),
		                      spec->query ? spec->query : "",
		                      headers,
		                      n,
		                      spec->payload_hash,
		                      date,
		                      t->region,
		                      "s3",
		                      t->access_key,
		                      t->secret_key };
	rc = s3_sign(&sign, &auth, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < n; i++)
		ret->header[i] = xasprintf("%s: %s", headers[i].name, headers[i].value);
	ret->header[n++] = xasprintf("Authorization: %s", buf_cstr(&auth));
	for (size_t i = 0; i < n; i++)
		ret->list[i] = ret->header[i];
	ret->url = buf_take(&url);
	return 0;
}

void s3_request_free(struct s3_request *r)
{
	free(r->url);
	for (size_t i = 0; i < S3_REQUEST_HEADERS; i++)
		free(r->header[i]);
	*r = (struct s3_request){ .url = NULL };
}

static int code_of(const char *name, int status)
{
	static const struct {
		const char *name;
		int code;
	} known[] = {
		{ "NoSuchKey", -ENOENT },
		{ "NoSuchBucket", -ENOENT },
		{ "AccessDenied", -EACCES },
		{ "InvalidAccessKeyId", -EACCES },
		{ "SignatureDoesNotMatch", -EACCES },
		{ "ExpiredToken", -EACCES },
		{ "RequestTimeTooSkewed", -EACCES },
		{ "PreconditionFailed", -ESTALE },
		{ "SlowDown", -EAGAIN },
		{ "ServiceUnavailable", -EAGAIN },
		{ "RequestTimeout", -ETIMEDOUT },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].code;
	switch (status) {
	case 401:
	case 403:
		return -EACCES;
	case 404:
		return -ENOENT;
	case 412:
		return -ESTALE;
	case 429:
	case 503:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

int s3_request_fail(const struct s3_target *t, const char *key, int rc, int status, struct str body,
                    struct err *err)
{
	if (rc < 0)
		return err_wrap(err, "s3://%s/%s", t->bucket, key);
	struct s3_xml_error e;
	s3_xml_error(body, &e);
	return err_set(err, code_of(e.code, status), "s3://%s/%s: %s%s%s (HTTP %d)", t->bucket, key,
	               *e.code ? e.code : "the server refused", *e.message ? ": " : "", e.message,
	               status);
}

int64_t s3_request_pause(unsigned attempt, int rc, const struct http_reply *reply,
                         struct deadline by)
{
	enum http_retry class = http_retry_class(rc, reply);
	if (class == HTTP_RETRY_NO || attempt + 1 >= S3_TRIES)
		return -1;
	int64_t pause = http_backoff_ms(attempt, BACKOFF_MS, BACKOFF_CAP_MS);
	int64_t asked = class == HTTP_RETRY_AFTER ? reply->retry_after_ms : 0;
	if (asked > pause)
		pause = asked < BACKOFF_CAP_MS ? asked : BACKOFF_CAP_MS;
	return pause < deadline_left_ms(by) ? pause : -1;
}

void s3_request_etag(const char *from, char out[S3_ETAG_MAX])
{
	struct str s = str_trim(str_of(from));
	if (str_starts(s, "W/")) {
		s.p += 2;
		s.len -= 2;
	}
	if (s.len >= 2 && s.p[0] == '"' && s.p[s.len - 1] == '"') {
		s.p++;
		s.len -= 2;
	}
	(void)snprintf(out, S3_ETAG_MAX, "%.*s", STR_ARG(s));
}

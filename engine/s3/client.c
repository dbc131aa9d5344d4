#include "engine/s3/s3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "engine/s3/request.h"
#include "lib/base/fd.h"

enum { ANSWER_MAX = 8 * 1024 * 1024, IDLE_MS = 20000 };

int s3_client_new(struct s3_client **ret, struct err *err)
{
	_cleanup_(s3_client_freep) struct s3_client *c = xcalloc(1, sizeof(*c));
	int rc = http_client_new(NULL, &c->http, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(c);
	return 0;
}

void s3_client_free(struct s3_client *c)
{
	if (!c)
		return;
	http_batch_free(c->batch);
	http_client_free(c->http);
	free(c);
}

static bool stopped(const struct s3_wait *wait)
{
	return wait->should_stop && wait->should_stop(wait->arg);
}

static int pause_for(int64_t ms, const struct s3_wait *wait, struct err *err)
{
	for (; ms > 0 && !stopped(wait); ms -= 250)
		clock_sleep_ms(ms < 250 ? ms : 250);
	return stopped(wait) ? err_set(err, -ECANCELED, "cancelled") : 0;
}

/* One call with retries; *ret_tries: how many requests were sent. The reply is the last one's. */
static int call(struct s3_client *c, const struct s3_target *t, const struct s3_spec *spec,
                const char *body_file, const struct s3_wait *wait, struct http_reply *reply,
                unsigned *ret_tries, struct err *err)
{
	for (unsigned attempt = 0;; attempt++) {
		struct s3_request request;
		int rc = s3_request_build(t, spec, &request, err);
		if (rc < 0)
			return rc;
		const struct http_call http = { .method = spec->method,
			                        .url = request.url,
			                        .headers = request.list,
			                        .body_file = body_file,
			                        .by = wait->by,
			                        .idle_timeout_ms = IDLE_MS,
			                        .body_max = ANSWER_MAX,
			                        .should_stop = wait->should_stop,
			                        .arg = wait->arg };
		http_reply_free(reply);
		*reply = (struct http_reply)HTTP_REPLY_INIT;
		rc = http_call(c->http, &http, reply, err);
		s3_request_free(&request);
		*ret_tries = attempt + 1;
		int64_t ms = s3_request_pause(attempt, rc, reply, wait->by);
		if (ms < 0)
			return rc < 0 ? s3_request_fail(t, spec->key, rc, 0, str_of(""), err) : 0;
		rc = pause_for(ms, wait, err);
		if (rc < 0)
			return rc;
	}
}

static int refused(const struct s3_target *t, const char *key, const struct http_reply *reply,
                   struct err *err)
{
	return s3_request_fail(t, key, 0, reply->status,
	                       (struct str){ buf_cstr(&reply->body), reply->body.len }, err);
}

int s3_head(struct s3_client *c, const struct s3_target *t, const char *key,
            const struct s3_wait *wait, struct s3_object *ret, struct err *err)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	const struct s3_spec spec = { .method = "HEAD", .key = key, .payload_hash = S3_HASH_EMPTY };
	unsigned tries;
	int rc = call(c, t, &spec, NULL, wait, &reply, &tries, err);
	if (rc < 0)
		return rc;
	if (reply.status == 404)
		return S3_NOT_FOUND;
	if (reply.status != 200 || reply.content_length < 0)
		return refused(t, key, &reply, err);
	s3_request_etag(reply.etag, ret->etag);
	ret->bytes = reply.content_length;
	return 0;
}

/* SHA-256 for the signature and MD5, which is the etag of a plain PUT. */
static int file_hashes(const char *path, char sha[S3_HASH_HEX], char md5[S3_HASH_HEX],
                       int64_t *ret_bytes, struct err *err)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	enum { CHUNK = 256 * 1024 };
	autofree unsigned char *chunk = xmalloc(CHUNK);
	EVP_MD_CTX *ctx[2] = { EVP_MD_CTX_new(), EVP_MD_CTX_new() };
	const EVP_MD *md[2] = { EVP_sha256(), EVP_md5() };
	char *out[2] = { sha, md5 };
	ssize_t n = fd < 0 ? -1 : 0;
	*ret_bytes = 0;
	for (int i = 0; i < 2; i++)
		if (!ctx[i] || EVP_DigestInit_ex(ctx[i], md[i], NULL) != 1)
			abort();
	while (fd >= 0 && (n = read(fd, chunk, CHUNK)) > 0) {
		*ret_bytes += n;
		for (int i = 0; i < 2; i++)
			(void)EVP_DigestUpdate(ctx[i], chunk, (size_t)n);
	}
	int rc = n < 0 ? err_errno(err, "%s", path) : 0;
	for (int i = 0; i < 2; i++) {
		unsigned char digest[EVP_MAX_MD_SIZE];
		unsigned len = 0;
		(void)EVP_DigestFinal_ex(ctx[i], digest, &len);
		EVP_MD_CTX_free(ctx[i]);
		for (unsigned b = 0; b < len; b++)
			(void)snprintf(out[i] + (size_t)2 * b, 3, "%02x", digest[b]);
	}
	return rc;
}

/* A PUT whose first answer was lost finds its own object: the same bytes are there. */
static int put_taken(struct s3_client *c, const struct s3_target *t, const char *key,
                     const char *md5, const struct s3_wait *wait, struct s3_object *object,
                     struct err *err)
{
	struct s3_object there;
	int rc = s3_head(c, t, key, wait, &there, err);
	if (rc < 0)
		return rc;
	if (rc == S3_NOT_FOUND || there.bytes != object->bytes || strcmp(there.etag, md5) != 0)
		return S3_EXISTS;
	*object = there;
	return 0;
}

int s3_put_file(struct s3_client *c, const struct s3_target *t, const char *key, const char *path,
                bool only_new, const struct s3_wait *wait, struct s3_object *ret, struct err *err)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	char sha[S3_HASH_HEX], md5[S3_HASH_HEX];
	struct s3_object object = { .bytes = 0 };
	unsigned tries;
	int rc = file_hashes(path, sha, md5, &object.bytes, err);
	if (rc < 0)
		return rc;
	if (object.bytes > S3_PUT_MAX)
		return err_set(err, -EFBIG, "s3://%s/%s: %lld bytes; an object has at most %lld",
		               t->bucket, key, (long long)object.bytes, (long long)S3_PUT_MAX);
	const struct s3_spec spec = {
		.method = "PUT", .key = key, .payload_hash = sha, .only_new = only_new
	};
	rc = call(c, t, &spec, path, wait, &reply, &tries, err);
	if (rc < 0)
		return rc;
	if (reply.status == 412 && only_new)
		rc = tries > 1 ? put_taken(c, t, key, md5, wait, &object, err) : S3_EXISTS;
	else if (reply.status != 200)
		rc = refused(t, key, &reply, err);
	else
		s3_request_etag(*reply.etag ? reply.etag : md5, object.etag);
	if (rc == 0)
		*ret = object;
	return rc;
}

static int list_query(const char *prefix, const char *token, struct buf *out, struct err *err)
{
	if (*token) {
		(void)buf_adds(out, "continuation-token=");
		(void)http_url_encode(str_of(token), false, out);
		(void)buf_addc(out, '&');
	}
	(void)buf_adds(out, "encoding-type=url&list-type=2&prefix=");
	(void)http_url_encode(str_of(prefix), false, out);
	return out->overflow ? err_set(err, -EINVAL, "S3 prefix is too long") : 0;
}

int s3_list(struct s3_client *c, const struct s3_target *t, const char *prefix,
            const struct s3_wait *wait, s3_xml_entry_fn fn, void *arg, struct err *err)
{
	_cleanup_buf_ struct buf token = BUF_INIT(2048);
	do {
		_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
		_cleanup_buf_ struct buf query = BUF_INIT(8192);
		int rc = list_query(prefix, buf_cstr(&token), &query, err);
		if (rc < 0)
			return rc;
		const struct s3_spec spec = { .method = "GET",
			                      .key = "",
			                      .query = buf_cstr(&query),
			                      .payload_hash = S3_HASH_EMPTY };
		unsigned tries;
		rc = call(c, t, &spec, NULL, wait, &reply, &tries, err);
		if (rc < 0)
			return rc;
		if (reply.status != 200)
			return refused(t, "", &reply, err);
		buf_reset(&token);
		rc = s3_xml_list((struct str){ buf_cstr(&reply.body), reply.body.len }, fn, arg,
		                 &token, err);
		if (rc)
			return rc;
	} while (token.len);
	return 0;
}

int s3_delete(struct s3_client *c, const struct s3_target *t, const char *key,
              const struct s3_wait *wait, struct err *err)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	const struct s3_spec spec = { .method = "DELETE",
		                      .key = key,
		                      .payload_hash = S3_HASH_EMPTY };
	unsigned tries;
	int rc = call(c, t, &spec, NULL, wait, &reply, &tries, err);
	if (rc < 0)
		return rc;
	if (reply.status != 204 && reply.status != 200 && reply.status != 404)
		return refused(t, key, &reply, err);
	return 0;
}

#include "engine/s3/sign.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { SHA256_BYTES = 32, CANONICAL_MAX = 64 * 1024, KEY_MAX = 1024 };

static void hex(const unsigned char *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * n] = '\0';
}

void s3_sign_date(int64_t real_ms, char out[S3_DATE_MAX])
{
	char text[CLOCK_RFC3339_MAX]; /* 2013-05-24T00:00:00.000Z */
	size_t n = 0;
	clock_rfc3339(real_ms, text);
	for (const char *p = text; *p && *p != '.' && n < S3_DATE_MAX - 2; p++)
		if (*p != '-' && *p != ':')
			out[n++] = *p;
	out[n++] = 'Z';
	out[n] = '\0';
}

void s3_sign_hash(struct str data, char out[S3_HASH_HEX])
{
	unsigned char digest[SHA256_BYTES];
	if (EVP_Digest(data.p, data.len, digest, NULL, EVP_sha256(), NULL) != 1)
		abort(); /* libcrypto without SHA-256 cannot run anything here */
	hex(digest, sizeof(digest), out);
}

static void hmac(const unsigned char *key, size_t key_len, const char *text,
                 unsigned char out[SHA256_BYTES])
{
	unsigned len = SHA256_BYTES;
	if (!HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
	          &len))
		abort();
}

/* The chain secret -> date -> region -> service -> "aws4_request". */
static void signing_key(const struct s3_sign *s, const char *day, unsigned char out[SHA256_BYTES])
{
	char seed[KEY_MAX + 8];
	int n = snprintf(seed, sizeof(seed), "AWS4%s", s->secret_key);
	hmac((const unsigned char *)seed, (size_t)n, day, out);
	explicit_bzero(seed, sizeof(seed));
	hmac(out, SHA256_BYTES, s->region, out);
	hmac(out, SHA256_BYTES, s->service, out);
	hmac(out, SHA256_BYTES, "aws4_request", out);
}

static void signed_names(const struct s3_sign *s, struct buf *out)
{
	for (size_t i = 0; i < s->n_headers; i++)
		(void)buf_addf(out, "%s%s", i ? ";" : "", s->headers[i].name);
}

static int canonical_request(const struct s3_sign *s, char hash[S3_HASH_HEX], struct err *err)
{
	_cleanup_buf_ struct buf b = BUF_INIT(CANONICAL_MAX);
	(void)buf_addf(&b, "%s\n%s\n%s\n", s->method, s->path, s->query);
	for (size_t i = 0; i < s->n_headers; i++)
		(void)buf_addf(&b, "%s:%s\n", s->headers[i].name, s->headers[i].value);
	(void)buf_addc(&b, '\n');
	signed_names(s, &b);
	(void)buf_addf(&b, "\n%s", s->payload_hash);
	if (b.overflow)
		return err_set(err, -E2BIG, "S3 request line and headers pass %d bytes",
		               CANONICAL_MAX);
	s3_sign_hash((struct str){ b.p, b.len }, hash);
	return 0;
}

int s3_sign(const struct s3_sign *s, struct buf *out, struct err *err)
{
	char hash[S3_HASH_HEX], day[9], signature[S3_HASH_HEX];
	unsigned char key[SHA256_BYTES], mac[SHA256_BYTES];
	_cleanup_buf_ struct buf scope = BUF_INIT(1024);
	_cleanup_buf_ struct buf text = BUF_INIT(2048);
	if (strlen(s->secret_key) > KEY_MAX)
		return err_set(err, -EINVAL, "secret_key: at most %d characters", KEY_MAX);
	int rc = canonical_request(s, hash, err);
	if (rc < 0)
		return rc;
	(void)snprintf(day, sizeof(day), "%.8s", s->date);
	(void)buf_addf(&scope, "%s/%s/%s/aws4_request", day, s->region, s->service);
	(void)buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date, buf_cstr(&scope), hash);
	if (scope.overflow || text.overflow)
		return err_set(err, -E2BIG, "region: too long");
	signing_key(s, day, key);
	hmac(key, sizeof(key), buf_cstr(&text), mac);
	explicit_bzero(key, sizeof(key));
	hex(mac, sizeof(mac), signature);
	(void)buf_addf(out, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=", s->access_key,
	               buf_cstr(&scope));
	signed_names(s, out);
	(void)buf_addf(out, ",Signature=%s", signature);
	return out->overflow ? err_set(err, -E2BIG, "S3 Authorization header is too long") : 0;
}

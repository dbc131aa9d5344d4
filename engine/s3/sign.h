/* AWS Signature Version 4: the Authorization header of one request.
 *
 * Thread: safe, nothing is kept. The secret key is read, never copied beyond the call's stack.
 * Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
#ifndef ROOST_ENGINE_S3_SIGN_H
#define ROOST_ENGINE_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum { S3_HASH_HEX = 65, S3_DATE_MAX = 17 };

/* SHA-256 of nothing: the payload hash of a request without a body. */
#define S3_HASH_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_sign_header {
	const char *name, *value; /* name in lower case; value without white space at its ends */
};

struct s3_sign {
	const char *method;
	const char *path;                     /* as sent: encoded, begins with "/" */
	const char *query;                    /* as sent: encoded, sorted by name, "" when none */
	const struct s3_sign_header *headers; /* sorted by name; "host" is among them */
	size_t n_headers;
	const char *payload_hash; /* hexadecimal SHA-256 */
	const char *date;         /* s3_sign_date() */
	const char *region, *service;
	const char *access_key, *secret_key;
};

/* "20130524T000000Z" */
void s3_sign_date(int64_t real_ms, char out[S3_DATE_MAX]);
/* Hexadecimal SHA-256. */
void s3_sign_hash(struct str data, char out[S3_HASH_HEX]);
/* Appends the value of the Authorization header. */
int s3_sign(const struct s3_sign *request, struct buf *out, struct err *err);

#endif

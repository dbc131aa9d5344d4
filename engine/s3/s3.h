/* Objects in a bucket: signed calls with retries, for AWS S3 and what speaks its protocol (MinIO, SeaweedFS).
 *
 * Thread: a struct s3_client is one thread's (it keeps connections); a struct s3_target is plain data.
 * Limits: keys S3_KEY_MAX bytes, objects S3_PUT_MAX bytes (larger would need a multipart upload: refused by
 * name), S3_PART_BYTES a range, S3_PARALLEL ranges at once.
 * Retries: throttling (SlowDown, 503), 5xx and broken connections are tried again with backoff until the
 * deadline, at most S3_TRIES times and at most 5 s apart; everything else fails at once.
 * Errors: the message names object, S3's own code and HTTP status. -EACCES (AccessDenied, a bad key or
 * signature), -ENOENT (NoSuchKey, NoSuchBucket), -ESTALE (the object changed since its etag was noted),
 * -EAGAIN (still throttled at the end), -ETIMEDOUT, -ECANCELED, others -EIO. No message holds a secret. */
#ifndef ROOST_ENGINE_S3_S3_H
#define ROOST_ENGINE_S3_S3_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "engine/s3/xml.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { S3_KEY_MAX = 1024, S3_ETAG_MAX = 128, S3_TRIES = 8, S3_PARALLEL = 8 };
#define S3_PART_BYTES ((int64_t)8 * 1024 * 1024)
#define S3_PUT_MAX ((int64_t)5 * 1024 * 1024 * 1024)

struct s3_target {      /* where, and as whom */
	char *endpoint; /* "http://host:port", "https://s3.eu-west-1.amazonaws.com" */
	char *region, *bucket;
	char *access_key, *secret_key;
	bool path_style; /* http://host/bucket/key, not http://bucket.host/key */
};
/* From the S3 object of engine/rpc.h; the message names the wrong field. */
int s3_target_decode(const json_t *from, struct s3_target *ret, struct err *err);
void s3_target_free(struct s3_target *t); /* clears the secret; also for the cleanup attribute */
#define _cleanup_s3_target_ __attribute__((cleanup(s3_target_free)))

struct s3_client;
int s3_client_new(struct s3_client **ret, struct err *err);
void s3_client_free(struct s3_client *c);
DEFINE_CLEANUP(struct s3_client, s3_client_free)

/* How long a call may take, and who may end it. */
struct s3_wait {
	struct deadline by;
	bool (*should_stop)(void *arg); /* may be NULL; asked about once a second */
	void *arg;
};

struct s3_object {
	char etag[S3_ETAG_MAX]; /* without quotes */
	int64_t bytes;
};

enum { S3_NOT_FOUND = 1, S3_EXISTS = 2 };

/* 0 or S3_NOT_FOUND. */
int s3_head(struct s3_client *c, const struct s3_target *t, const char *key,
            const struct s3_wait *wait, struct s3_object *ret, struct err *err);
/* The whole object, of a size and etag known before, into fd from offset 0; large ones in parallel ranges.
 * etag "" accepts any. */
int s3_get_file(struct s3_client *c, const struct s3_target *t, const char *key,
                const struct s3_object *known, int fd, const struct s3_wait *wait, struct err *err);
/* One PUT of a file. only_new: S3_EXISTS when the key is taken by other bytes; a repeat of our own PUT whose
 * answer was lost counts as success. */
int s3_put_file(struct s3_client *c, const struct s3_target *t, const char *key, const char *path,
                bool only_new, const struct s3_wait *wait, struct s3_object *ret, struct err *err);
/* Every object under the prefix, page by page; fn's non-zero result ends it and is returned. */
int s3_list(struct s3_client *c, const struct s3_target *t, const char *prefix,
            const struct s3_wait *wait, s3_xml_entry_fn fn, void *arg, struct err *err);
/* Success when it was not there. */
int s3_delete(struct s3_client *c, const struct s3_target *t, const char *key,
              const struct s3_wait *wait, struct err *err);

#endif

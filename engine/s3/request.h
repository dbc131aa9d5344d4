/* Inside the room: one signed request, and what its answer means.
 *
 * Thread: one owner. Ownership: a request owns its URL and headers; they live until s3_request_free(). */
#ifndef ROOST_ENGINE_S3_REQUEST_H
#define ROOST_ENGINE_S3_REQUEST_H

#include "engine/s3/s3.h"
#include "engine/s3/sign.h"
#include "lib/net/http_client.h"

enum { S3_REQUEST_HEADERS = 8 };

struct s3_client {
	struct http_client *http;
	struct http_batch *batch; /* made on first use; dropped when calls were broken off */
};

struct s3_spec { /* what to ask; all borrowed */
	const char *method, *key /* "" = the bucket */;
	const char *query; /* encoded and sorted; NULL = none */
	const char *payload_hash;
	const char *range, *if_match /* etag without quotes */;
	bool only_new;
};

struct s3_request {
	char *url;
	char *header[S3_REQUEST_HEADERS];
	const char *list[S3_REQUEST_HEADERS + 1]; /* the same, NULL-terminated, for http_call */
};
/* Signed with the present time: build again for each try. */
int s3_request_build(const struct s3_target *t, const struct s3_spec *spec, struct s3_request *ret,
                     struct err *err);
void s3_request_free(struct s3_request *r);

/* The error for an answer that is not the wanted one; rc, reply: as http_call() gave them. */
int s3_request_fail(const struct s3_target *t, const char *key, int rc, int status, struct str body,
                    struct err *err);
/* Milliseconds to wait before try number `attempt` + 1, at most 5,000 whatever Retry-After asks for (a MinIO that starts
 * asks for a minute and is ready in a second: decision 0254); negative: no further try. */
int64_t s3_request_pause(unsigned attempt, int rc, const struct http_reply *reply,
                         struct deadline by);
/* An etag as headers carry it, without quotes or a W/ prefix. */
void s3_request_etag(const char *from, char out[S3_ETAG_MAX]);

#endif

/* HTTP calls with deadlines, over libcurl: one at a time, or many side by side.
 *
 * Thread: a struct http_client is one thread's (connections are kept alive inside it); make one per
 * thread. A http_batch belongs to the thread that made it. No call follows redirects unless asked.
 * Limits: a response body that is kept never passes http_call.body_max; headers 64 KiB.
 * Errors: -ETIMEDOUT (deadline), -ECONNREFUSED, -EHOSTUNREACH (name or route), -ECONNRESET (broken off,
 * truncated), -E2BIG (body over its maximum), -EPROTO (not HTTP, TLS failure), -ECANCELED. An HTTP
 * status is never an error here: look at http_reply.status. */
#ifndef ROOST_NET_HTTP_CLIENT_H
#define ROOST_NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct http_client;

struct http_tls { /* all optional; paths are read at each new connection, so that rotation works */
	const char *ca_file;
	const char *cert_file, *key_file;
	struct str ca_pem; /* instead of ca_file */
	struct str cert_pem, key_pem;
	bool insecure; /* no verification: only where the user's configuration says so */
};

int http_client_new(const struct http_tls *tls /* copied; may be NULL */, struct http_client **ret,
                    struct err *err);
void http_client_free(struct http_client *c);

struct http_call {          /* everything borrowed for the time of the call */
	const char *method; /* "GET" when NULL */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	const char *bearer;         /* adds Authorization: Bearer …; never logged */
	struct str body;            /* sent with Content-Length */
	const char *content_type;
	const char *body_file;   /* instead of body: a file that is streamed */
	struct deadline by;      /* whole call; required (at_ms != 0) */
	int64_t idle_timeout_ms; /* no byte for so long: -ETIMEDOUT; 0 = none */
	size_t body_max;         /* of the kept response; 0 = 1 MiB */
	size_t chunk; /* bytes read at once; 0 = 16 KiB, which hundreds of calls side by side add up */
	bool fresh;            /* a new connection: the kept one may lead to the wrong peer */
	bool follow_redirects; /* at most 3, same method and body, credentials kept (Stream Load) */
	/* Instead of keeping the body: called for each piece; non-zero ends the call with -ECANCELED. */
	int (*on_body)(void *arg, int status, const char *data, size_t len);
	/* Asked about once a second while the call is under way; true ends it with -ECANCELED. */
	bool (*should_stop)(void *arg);
	void *arg;
};

struct http_reply {
	int status;
	struct buf body;
	char content_type[128];
	char etag[128];
	char location[1024];
	int64_t retry_after_ms; /* -1 when absent or absurd; capped at 60 s */
	int64_t content_length; /* -1 when absent */
	char crc[64];           /* X-Roost-Crc, when the peer sent one */
};
#define HTTP_REPLY_INIT { .body = BUF_INIT(0), .retry_after_ms = -1, .content_length = -1 }
void http_reply_free(struct http_reply *r); /* also for the cleanup attribute */
#define _cleanup_http_reply_ __attribute__((cleanup(http_reply_free)))

int http_call(struct http_client *c, const struct http_call *call, struct http_reply *ret,
              struct err *err);

/* Many calls at once over one client (curl multi). Each call and reply stays where the caller put it
 * until its completion was handed out. */
struct http_batch;
struct http_done {
	void *tag;
	int rc;                   /* 0 or as http_call() */
	struct http_reply *reply; /* the one given to http_batch_add() */
	struct err err;
};
int http_batch_new(const struct http_tls *tls, struct http_batch **ret, struct err *err);
void http_batch_free(struct http_batch *b); /* breaks off what is under way */
/* How many connections stay open between calls. Unasked it follows the calls under way, four for each: too few for
 * one who asks thousands of peers in turn, and each new connection costs more than the call. Names are then not remembered
 * beyond a connection. */
void http_batch_keep(struct http_batch *b, size_t connections);
int http_batch_add(struct http_batch *b, const struct http_call *call, struct http_reply *reply,
                   void *tag, struct err *err);
/* Breaks off the call with this tag; its completion is handed out with -ECANCELED. */
void http_batch_cancel(struct http_batch *b, const void *tag);
enum { HTTP_BATCH_IDLE = 1, HTTP_BATCH_WAIT = 2 };
/* The next completed call. HTTP_BATCH_IDLE: nothing is under way; HTTP_BATCH_WAIT: the deadline passed
 * with none completed. */
int http_batch_next(struct http_batch *b, struct deadline by, struct http_done *ret,
                    struct err *err);

/* Whether another try may help: for the loops of callers. */
enum http_retry { HTTP_RETRY_NO, HTTP_RETRY_YES, HTTP_RETRY_AFTER /* the reply names when */ };
enum http_retry http_retry_class(int rc, const struct http_reply *reply);
/* Full jitter, doubling from base_ms to cap_ms; attempt counts from 0. */
int64_t http_backoff_ms(unsigned attempt, int64_t base_ms, int64_t cap_ms);

/* "%"-encodes everything outside RFC 3986's unreserved set; keep_slash leaves "/" alone. */
int http_url_encode(struct str text, bool keep_slash, struct buf *out);
/* host[:port] for a URL (no port when it is 0); IPv6 literals are bracketed. */
int http_host_port(const char *host, int port, struct buf *out);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct http_client, http_client_free)
DEFINE_CLEANUP(struct http_batch, http_batch_free)

#endif

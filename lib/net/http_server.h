/* An HTTP/1.1 server for every endpoint of the system, over libmicrohttpd.
 *
 * Why libmicrohttpd for all, not libwebsockets: docs/decisions/0001-http-server.md.
 * Thread: handlers run on the server's few threads and must not block for long; a handler that has
 * to wait takes the request over (http_hold) and answers later from any thread, exactly once.
 * Ownership: a struct http_req lives until it is answered. Limits (struct http_limits): connections,
 * header bytes, body bytes, seconds for a header, for a whole body, for an idle connection; passing one
 * answers 431, 413, 408 or closes. HEAD is served from GET routes. IPv4 and IPv6. */
#ifndef ROOST_NET_HTTP_SERVER_H
#define ROOST_NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

struct http_server;
struct http_req;

struct http_limits {
	unsigned connections; /* 0: 1024 */
	size_t header_bytes;  /* 0: 16 KiB */
	size_t body_bytes;    /* 0: 1 MiB; of buffered bodies only */
	unsigned header_s;    /* 0: 10 */
	unsigned body_s;      /* 0: 60; of buffered bodies only */
	unsigned idle_s;      /* 0: 60 */
	unsigned threads;     /* 0: 1 */
};

enum http_body {
	HTTP_BODY_BUFFER, /* the handler is called once, with the whole body (none is fine) */
	HTTP_BODY_STREAM, /* the handler is called with on_head, pieces, then the end; see below */
};

typedef void (*http_handler)(void *arg, struct http_req *req);

struct http_stream { /* a streamed body (Stream Load, tablet copies): gigabytes, chunked or not */
	/* Headers are here, no byte of the body yet (nor the 100 Continue). Answer now to refuse (the body
	 * is then not read), or set *state to go on; http_hold_body() to decide later. */
	void (*on_head)(void *arg, struct http_req *req, void **state);
	/* A piece of the body; non-zero stops reading: answer before returning it. */
	int (*on_piece)(void *arg, struct http_req *req, void *state, const char *data, size_t len);
	/* The body is complete: answer, or hold and answer later. */
	void (*on_end)(void *arg, struct http_req *req, void *state);
	/* Called once, always last, whether or not the request was answered or broken off. */
	void (*on_free)(void *arg, void *state);
};

struct http_route {
	const char *method; /* "GET", "PUT", …; NULL: any */
	const char *path;   /* exact, or a prefix when it ends in "*" */
	enum http_body body;
	http_handler handler;             /* HTTP_BODY_BUFFER */
	const struct http_stream *stream; /* HTTP_BODY_STREAM */
	bool token;                       /* asks for the node-to-node token: 401 without */
	void *arg;
};

struct http_server_config {
	const char *listen;              /* "0.0.0.0:8030", "[::]:8030", "127.0.0.1:0" */
	const struct http_route *routes; /* borrowed for the server's life */
	size_t n_routes;
	struct http_limits limits;
	/* The bearer token(s) that routes with .token accept; NULL with such a route is a start error.
	 * Re-read when the file changes, so that a Secret can rotate: one token a line, all are valid. */
	const char *token_file;
	const char *tls_cert, *tls_key,
		*client_ca; /* re-read when they change; a bad pair keeps the old */
};

/* -EADDRINUSE names the port and says that it is in use. */
int http_server_start(const struct http_server_config *config, struct http_server **ret,
                      struct err *err);
int http_server_port(const struct http_server *s); /* the real one, for port 0 */
/* No new connections; waits up to grace_ms for requests under way, then cuts. */
void http_server_stop(struct http_server *s, int64_t grace_ms);

/* The request: views live until it is answered. */
struct str http_req_method(const struct http_req *r);
struct str http_req_path(const struct http_req *r); /* decoded, without the query */
struct str http_req_tail(const struct http_req *r); /* what the "*" of the route matched */
const char *http_req_header(const struct http_req *r, const char *name); /* NULL when absent */
const char *http_req_query(const struct http_req *r,
                           const char *name); /* decoded; NULL when absent */
struct str http_req_body(const struct http_req *r);
/* Basic credentials: true and malloc'd parts when present. */
bool http_req_basic(const struct http_req *r, char **ret_user, char **ret_password);
/* The peer's address as text. */
const char *http_req_peer(const struct http_req *r);

/* The answers: each answers the request once. Bytes are copied unless said. */
void http_answer(struct http_req *r, int status, const char *content_type, struct str body);
void http_answer_json(struct http_req *r, int status, const char *json);
/* {"error":{"message":…}} with a printf'd text. */
void http_answer_error(struct http_req *r, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A header for the answer that is to come ("Retry-After", "Location"…). */
void http_answer_header(struct http_req *r, const char *name, const char *value);
/* len bytes of an open file from offset, sent without copying (sendfile); the fd is taken over. */
void http_answer_file(struct http_req *r, const char *content_type, int fd, uint64_t offset,
                      uint64_t len);
/* Several ranges of one file after a prefix (copied), as one body of known length. */
struct http_range {
	uint64_t offset, len;
};
void http_answer_ranges(struct http_req *r, const char *content_type, struct str prefix, int fd,
                        const struct http_range *ranges, size_t n);

/* Takes the request over: the handler may return without answering. */
void http_hold(struct http_req *r);
/* In on_head, with *state set: the body waits (no 100 Continue is sent and no byte of it read) until the request is
 * answered, which refuses it, or http_take_body(). One of the two, once, from any thread; *state may be gone after. */
void http_hold_body(struct http_req *r);
void http_take_body(struct http_req *r);
/* For a held request: whether the peer has gone away (its answer then goes nowhere). */
bool http_req_gone(const struct http_req *r);

#endif

/* The HTTP server's insides: connection, request, watched files. Private to lib/net.
 *
 * Thread: a connection and its request belong to one libmicrohttpd thread; a held request is also
 * touched by its holder, under http_req.lock. Lock order: http_server.lock, then http_req.lock.
 * Ownership: a request has one reference of the connection and, once held, one of its holder. */
#ifndef ROOST_NET_HTTP_SERVER_PRIV_H
#define ROOST_NET_HTTP_SERVER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include <gnutls/abstract.h>
#include <microhttpd.h>

#include "lib/base/buf.h"
#include "lib/base/vec.h"
#include "lib/net/http_server.h"
#include "lib/net/http_text.h"

enum { HTTP_PEER_MAX = 64, HTTP_METHOD_MAX = 16, HTTP_ROUTES_MAX = 256 };

struct http_mark { /* tells whether a file was replaced or written */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};
bool http_mark_changed(const char *path, struct http_mark *seen); /* updates *seen */

struct http_tokens;
int http_tokens_new(const char *path, struct http_tokens **ret, struct err *err);
void http_tokens_free(struct http_tokens *t);
/* Whether the Authorization header carries one of the tokens; re-reads the file when it changed. */
bool http_tokens_match(struct http_tokens *t, const char *authorization);

struct http_tls_server;
int http_tls_server_new(const char *cert, const char *key, const char *ca,
                        struct http_tls_server **ret, struct err *err);
void http_tls_server_free(struct http_tls_server *t);
/* libmicrohttpd's certificate callback; finds its http_tls_server through the connection. */
extern gnutls_certificate_retrieve_function2 http_tls_retrieve;

struct http_conn {
	struct http_conn *prev, *next; /* under http_server.lock */
	struct http_server *server;
	struct http_req *req; /* under http_server.lock; NULL between requests */
	int fd;
	bool refused;              /* a body was refused: the peer may still be sending it */
	_Atomic int64_t cut_at_ms; /* 0: no deadline in this phase */
	char peer[HTTP_PEER_MAX];
};

struct http_sweeper;
int http_sweeper_new(struct http_server *s, struct http_sweeper **ret, struct err *err);
void http_sweeper_free(struct http_sweeper *w); /* joins its thread */
void http_sweeper_wake(struct http_sweeper *w);
/* Reads and drops what still arrives on fd (taken over), so that the peer sees our last answer
 * before a reset. */
void http_sweeper_linger(struct http_sweeper *w, int fd);

struct http_server {
	struct MHD_Daemon *daemon;
	struct http_route *routes; /* copy of the array; what it points at is borrowed */
	size_t n_routes;
	struct http_limits limits;
	struct http_tokens *tokens;
	struct http_tls_server *tls;
	struct http_sweeper *sweeper;
	int listen_fd, port;
	pthread_mutex_t lock;
	pthread_cond_t quiet; /* signalled when active falls to 0 */
	struct http_conn *conns;
	size_t active; /* requests begun and not completed; under lock */
	_Atomic bool stopping;
};

enum http_stage {
	HTTP_STAGE_HEAD, /* nothing but the request line and headers so far */
	HTTP_STAGE_WAIT, /* somebody decides whether the body is read: http_hold_body() */
	HTTP_STAGE_BODY, /* reading the body */
	HTTP_STAGE_WORK, /* the handler has it */
	HTTP_STAGE_SENT, /* the answer was handed to libmicrohttpd */
};

struct http_pair {
	char *name, *value;
};

struct http_req {
	struct http_server *server; /* not to be used once cut */
	struct http_conn *conn;
	struct MHD_Connection *mhd;
	char *raw;
	struct http_target target;
	char method[HTTP_METHOD_MAX];
	char peer[HTTP_PEER_MAX];
	size_t tail_at;
	bool has_body;
	enum http_stage stage;
	struct buf body;
	const struct http_route *route;
	struct http_stream stream; /* a copy: on_free may run after the server is gone */
	void *stream_arg, *stream_state;
	bool stream_begun;
	VEC(struct http_pair) headers_in; /* copied by http_hold() */
	VEC(struct http_pair) headers_out;

	pthread_mutex_t lock; /* everything below */
	unsigned refs;
	bool held, suspended, answered;
	bool cut; /* the connection is gone or going: an answer goes nowhere */
	int status;
	struct MHD_Response *response;
	struct buf raw_answer; /* an answer given in the middle of a body */
};

struct http_req *http_req_new(struct http_server *s, struct http_conn *conn,
                              struct MHD_Connection *mhd, const char *raw);
void http_req_unref(struct http_req *r);
/* libmicrohttpd's callbacks. */
enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **ctx);
void http_on_completed(void *cls, struct MHD_Connection *mhd, void **ctx,
                       enum MHD_RequestTerminationCode code);

#endif

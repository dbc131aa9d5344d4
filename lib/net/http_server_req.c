/* One request from its first byte to its end: libmicrohttpd's callbacks and the handlers' calls. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <gnutls/gnutls.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

struct http_req *http_req_new(struct http_server *s, struct http_conn *conn,
                              struct MHD_Connection *mhd, const char *raw)
{
	struct http_req *r = xcalloc(1, sizeof(*r));
	r->server = s;
	r->conn = conn;
	r->mhd = mhd;
	r->raw = xstrdup(raw);
	r->body.max = s->limits.body_bytes;
	r->raw_answer.max = 1024 * 1024;
	r->refs = 1;
	memcpy(r->peer, conn->peer, sizeof(r->peer));
	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

static void free_pairs(struct http_pair *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		mem_free_secret(v[i].value);
	}
	free(v);
}

static void req_free(struct http_req *r)
{
	if (r->stream_begun)
		r->stream.on_free(r->stream_arg, r->stream_state);
	if (r->response)
		MHD_destroy_response(r->response);
	free_pairs(r->headers_in.v, r->headers_in.n);
	free_pairs(r->headers_out.v, r->headers_out.n);
	buf_free(&r->body);
	buf_free(&r->raw_answer);
	http_target_free(&r->target);
	free(r->raw);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

void http_req_unref(struct http_req *r)
{
	(void)pthread_mutex_lock(&r->lock);
	bool last = --r->refs == 0;
	(void)pthread_mutex_unlock(&r->lock);
	if (last)
		req_free(r);
}

void http_on_completed(void *cls, struct MHD_Connection *mhd, void **ctx,
                       enum MHD_RequestTerminationCode code)
{
	(void)mhd;
	(void)code;
	struct http_server *s = cls;
	struct http_req *r = *ctx;
	*ctx = NULL;
	if (!r)
		return;
	(void)pthread_mutex_lock(&s->lock);
	r->conn->req = NULL;
	if (--s->active == 0)
		(void)pthread_cond_signal(&s->quiet);
	(void)pthread_mutex_unlock(&s->lock);
	atomic_store(&r->conn->cut_at_ms,
	             clock_mono_ms() + 1000 * (int64_t)(s->limits.idle_s + s->limits.header_s));
	(void)pthread_mutex_lock(&r->lock);
	r->cut = true;
	r->conn = NULL;
	r->mhd = NULL;
	(void)pthread_mutex_unlock(&r->lock);
	http_req_unref(r);
}

static enum MHD_Result give_answer(struct http_req *r)
{
	r->stage = HTTP_STAGE_SENT;
	atomic_store(&r->conn->cut_at_ms, 0);
	return MHD_queue_response(r->mhd, (unsigned)r->status, r->response);
}

/* ---- the head --------------------------------------------------------------------------------- */

static bool path_matches(const struct http_route *route, struct str path, size_t *ret_tail)
{
	size_t n = strlen(route->path);
	bool prefix = n && route->path[n - 1] == '*';
	if (prefix)
		n--;
	*ret_tail = n;
	return path.len >= n && memcmp(path.p, route->path, n) == 0 && (prefix || path.len == n);
}

static bool method_matches(const struct http_route *route, const char *method)
{
	return !route->method || strcmp(route->method, method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

/* The first route that fits; *ret_path tells whether any fitted but for its method. */
static const struct http_route *find_route(struct http_req *r, bool *ret_path)
{
	const struct http_server *s = r->server;
	*ret_path = false;
	for (size_t i = 0; i < s->n_routes; i++) {
		size_t tail = 0;
		if (!path_matches(&s->routes[i], r->target.path, &tail))
			continue;
		*ret_path = true;
		if (method_matches(&s->routes[i], r->method)) {
			r->tail_at = tail;
			return &s->routes[i];
		}
	}
	return NULL;
}

static bool body_announced(struct http_req *r, uint64_t *ret_len)
{
	*ret_len = 0;
	const char *length = http_req_header(r, "Content-Length");
	if (length && str_to_u64(str_of(length), ret_len) < 0)
		*ret_len = UINT64_MAX;
	return *ret_len > 0 || http_req_header(r, "Transfer-Encoding");
}

/* Refuses by answering; nothing when all is well. */
static void check_head(struct http_req *r, const char *method, uint64_t body_len)
{
	struct err err = ERR_INIT;
	bool path_known = false;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	if (info && info->header_size > r->server->limits.header_bytes) {
		http_answer_error(r, 431, "request header larger than %zu bytes",
		                  r->server->limits.header_bytes);
		return;
	}
	if (http_target_parse(r->raw, &r->target, &err) < 0) {
		http_answer_error(r, 400, "%s", err.msg);
		return;
	}
	if (strlen(method) >= sizeof(r->method)) {
		http_answer_error(r, 501, "unknown method");
		return;
	}
	memcpy(r->method, method, strlen(method) + 1);
	r->route = find_route(r, &path_known);
	if (!r->route)
		http_answer_error(r, path_known ? 405 : 404,
		                  path_known ? "method not allowed here" : "no such path");
	else if (r->route->token &&
	         !http_tokens_match(r->server->tokens, http_req_header(r, "Authorization")))
		http_answer_error(r, 401, "a valid bearer token is needed");
	else if (r->route->body == HTTP_BODY_BUFFER && body_len > r->server->limits.body_bytes)
		http_answer_error(r, 413, "body larger than %zu bytes",
		                  r->server->limits.body_bytes);
}

/* Whether the body is read is decided elsewhere: called at the head, and again when it is known or the peer is cut. */
static enum MHD_Result await_body(struct http_req *r)
{
	(void)pthread_mutex_lock(&r->lock);
	bool answered = r->answered, open = r->held && !answered;
	bool cut = r->cut || atomic_load(&r->server->stopping);
	r->suspended = open && !cut;
	if (r->suspended)
		MHD_suspend_connection(r->mhd);
	(void)pthread_mutex_unlock(&r->lock);
	if (open)
		return cut ? MHD_NO : MHD_YES;
	r->stage = HTTP_STAGE_BODY;
	if (!answered || !r->has_body)
		return MHD_YES;
	r->conn->refused = true;
	return give_answer(r);
}

static enum MHD_Result on_head(struct http_req *r, const char *method)
{
	uint64_t body_len = 0;
	struct http_conn *conn = r->conn;
	r->has_body = body_announced(r, &body_len);
	check_head(r, method, body_len);
	bool timed = r->route && r->route->body == HTTP_BODY_BUFFER && r->has_body;
	atomic_store(&conn->cut_at_ms,
	             timed ? clock_mono_ms() + 1000 * (int64_t)r->server->limits.body_s : 0);
	if (!r->answered && r->route->body == HTTP_BODY_STREAM) {
		r->stream = *r->route->stream;
		r->stream_arg = r->route->arg;
		r->stream_begun = true;
		r->stream.on_head(r->stream_arg, r, &r->stream_state);
		if (r->stage == HTTP_STAGE_WAIT)
			return await_body(r);
	}
	r->stage = HTTP_STAGE_BODY;
	/* An answer before the body ends the connection; without a body it may wait for the next call. */
	if (!r->answered || !r->has_body)
		return MHD_YES;
	conn->refused = true;
	return give_answer(r);
}

/* ---- the body --------------------------------------------------------------------------------- */

/* libmicrohttpd takes no answer in the middle of a body: it is written to the socket here, and the
 * connection ends (what the peer still sends is drained, see http_sweeper_linger). */
static enum MHD_Result refuse_rest(struct http_req *r)
{
	const union MHD_ConnectionInfo *tls =
		r->server->tls ? MHD_get_connection_info(r->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)
			       : NULL;
	if (tls)
		(void)gnutls_record_send((gnutls_session_t)tls->tls_session, r->raw_answer.p,
		                         r->raw_answer.len);
	else
		(void)!send(r->conn->fd, buf_cstr(&r->raw_answer), r->raw_answer.len,
		            MSG_NOSIGNAL | MSG_DONTWAIT);
	r->conn->refused = true;
	return MHD_NO;
}

static enum MHD_Result on_piece(struct http_req *r, const char *data, size_t len)
{
	if (r->answered)
		return MHD_YES;
	if (r->route->body == HTTP_BODY_BUFFER) {
		if (buf_add(&r->body, data, len) == 0)
			return MHD_YES;
		http_answer_error(r, 413, "body larger than %zu bytes",
		                  r->server->limits.body_bytes);
		return refuse_rest(r);
	}
	if (r->stream.on_piece(r->stream_arg, r, r->stream_state, data, len) == 0)
		return MHD_YES;
	if (!r->answered)
		http_answer_error(r, 500, "the body was not taken");
	return refuse_rest(r);
}

static enum MHD_Result on_end(struct http_req *r)
{
	if (!r->answered && r->stage == HTTP_STAGE_BODY) {
		r->stage = HTTP_STAGE_WORK;
		atomic_store(&r->conn->cut_at_ms, 0);
		if (r->stream_begun)
			r->stream.on_end(r->stream_arg, r, r->stream_state);
		else
			r->route->handler(r->route->arg, r);
	}
	(void)pthread_mutex_lock(&r->lock);
	r->suspended = false;
	bool answered = r->answered && r->response,
	     cut = r->cut || atomic_load(&r->server->stopping);
	if (!answered && r->held && !cut) {
		r->suspended = true;
		MHD_suspend_connection(r->mhd);
		(void)pthread_mutex_unlock(&r->lock);
		return MHD_YES;
	}
	(void)pthread_mutex_unlock(&r->lock);
	if (!answered && r->held)
		return MHD_NO;
	if (!answered) {
		log_error("no answer by the handler of %s", r->route ? r->route->path : "?");
		http_answer_error(r, 500, "no answer");
	}
	return give_answer(r);
}

enum MHD_Result http_on_request(void *cls, struct MHD_Connection *mhd, const char *url,
                                const char *method, const char *version, const char *data,
                                size_t *len, void **ctx)
{
	(void)cls;
	(void)mhd;
	(void)url;
	(void)version;
	struct http_req *r = *ctx;
	if (!r)
		return MHD_NO;
	if (r->stage == HTTP_STAGE_HEAD)
		return on_head(r, method);
	if (r->stage == HTTP_STAGE_WAIT)
		return await_body(r);
	if (*len == 0)
		return on_end(r);
	size_t n = *len;
	*len = 0;
	return on_piece(r, data, n);
}

/* ---- what handlers ask ------------------------------------------------------------------------ */

struct str http_req_method(const struct http_req *r)
{
	return str_of(r->method);
}

struct str http_req_path(const struct http_req *r)
{
	return r->target.path;
}

struct str http_req_tail(const struct http_req *r)
{
	return (struct str){ r->target.path.p + r->tail_at, r->target.path.len - r->tail_at };
}

const char *http_req_header(const struct http_req *r, const char *name)
{
	if (!r->held)
		return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
	for (size_t i = 0; i < r->headers_in.n; i++)
		if (strcasecmp(r->headers_in.v[i].name, name) == 0)
			return r->headers_in.v[i].value;
	return NULL;
}

const char *http_req_query(const struct http_req *r, const char *name)
{
	for (size_t i = 0; i < r->target.n_params; i++)
		if (strcmp(r->target.params[i].name, name) == 0)
			return r->target.params[i].value;
	return NULL;
}

struct str http_req_body(const struct http_req *r)
{
	return (struct str){ buf_cstr(&r->body), r->body.len };
}

bool http_req_basic(const struct http_req *r, char **ret_user, char **ret_password)
{
	return http_basic_parse(http_req_header(r, "Authorization"), ret_user, ret_password);
}

const char *http_req_peer(const struct http_req *r)
{
	return r->peer;
}

static enum MHD_Result keep_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                   const char *value)
{
	(void)kind;
	struct http_req *r = cls;
	vec_push(&r->headers_in, (struct http_pair){ xstrdup(name), xstrdup(value ? value : "") });
	return MHD_YES;
}

void http_hold(struct http_req *r)
{
	if (r->held)
		return;
	/* libmicrohttpd's copies die with the connection, which a holder may outlive. */
	if (!r->headers_in.n)
		(void)MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, keep_header, r);
	(void)pthread_mutex_lock(&r->lock);
	r->held = true;
	r->refs++;
	(void)pthread_mutex_unlock(&r->lock);
}

void http_hold_body(struct http_req *r)
{
	http_hold(r);
	r->stage = HTTP_STAGE_WAIT;
}

void http_take_body(struct http_req *r)
{
	(void)pthread_mutex_lock(&r->lock);
	r->held = false;
	if (r->suspended && !r->cut)
		MHD_resume_connection(r->mhd);
	(void)pthread_mutex_unlock(&r->lock);
	http_req_unref(r);
}

bool http_req_gone(const struct http_req *r)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&r->lock;
	(void)pthread_mutex_lock(lock);
	bool gone = r->cut;
	if (!gone) {
		struct pollfd p = { .fd = r->conn->fd, .events = POLLRDHUP, .revents = 0 };
		gone = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
	}
	(void)pthread_mutex_unlock(lock);
	return gone;
}

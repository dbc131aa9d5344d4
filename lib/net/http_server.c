#include "lib/net/http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/abstract.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

enum { HOST_MAX = 256, OPTIONS_MAX = 24, POOL_MIN = 32 * 1024 };

/* ---- listening -------------------------------------------------------------------------------- */

/* "host:port" or "[v6]:port" into its parts. */
static int split_listen(const char *listen_on, char host[HOST_MAX], char port[8], struct err *err)
{
	const char *colon = listen_on ? strrchr(listen_on, ':') : NULL;
	uint64_t n = 0;
	if (!colon || str_to_u64(str_of(colon + 1), &n) < 0 || n > 65535)
		return err_set(err, -EINVAL,
		               "listen address \"%s\": must be HOST:PORT, port 0 to 65535",
		               listen_on ? listen_on : "");
	struct str h = { listen_on, (size_t)(colon - listen_on) };
	if (str_starts(h, "[") && str_ends(h, "]"))
		h = (struct str){ h.p + 1, h.len - 2 };
	else if (memchr(h.p, ':', h.len))
		return err_set(err, -EINVAL,
		               "listen address \"%s\": an IPv6 address needs brackets", listen_on);
	(void)snprintf(host, HOST_MAX, "%.*s", STR_ARG(h));
	(void)snprintf(port, 8, "%u", (unsigned)n);
	return 0;
}

static int bind_one(const struct addrinfo *a, int *ret_fd)
{
	_cleanup_(fd_closep) int fd =
		socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0;
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on,
	                 sizeof(on)); /* accepted ones inherit it */
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_listener(struct http_server *s, const char *listen_on, struct err *err)
{
	char host[HOST_MAX], port[8];
	int rc = split_listen(listen_on, host, port, err);
	if (rc < 0)
		return rc;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                  .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *found = NULL;
	int gai = getaddrinfo(*host ? host : NULL, port, &hints, &found);
	if (gai)
		return err_set(err, -EINVAL, "listen address \"%s\": %s", listen_on,
		               gai_strerror(gai));
	rc = bind_one(found, &s->listen_fd);
	freeaddrinfo(found);
	if (rc == -EAFNOSUPPORT && strcmp(host, "::") == 0) { /* a machine without IPv6 */
		autofree char *v4 = xasprintf("0.0.0.0:%s", port);
		return open_listener(s, v4, err);
	}
	if (rc == -EADDRINUSE)
		return err_set(err, rc, "port %s is in use (listening on %s)", port, listen_on);
	if (rc < 0)
		return err_set(err, rc, "cannot listen on %s: %s", listen_on, strerror(-rc));
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	if (getsockname(s->listen_fd, (struct sockaddr *)&own, &len) < 0)
		return err_errno(err, "getsockname");
	s->port = ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
	                                          : ((struct sockaddr_in *)&own)->sin_port);
	return 0;
}

/* ---- connections ------------------------------------------------------------------------------ */

static void name_peer(struct MHD_Connection *mhd, char peer[HTTP_PEER_MAX])
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	char host[HTTP_PEER_MAX] = "";
	if (info && info->client_addr) {
		socklen_t len = info->client_addr->sa_family == AF_INET6
		                        ? sizeof(struct sockaddr_in6)
		                        : sizeof(struct sockaddr_in);
		(void)getnameinfo(info->client_addr, len, host, sizeof(host), NULL, 0,
		                  NI_NUMERICHOST);
	}
	const char *v4 = str_starts(str_of(host), "::ffff:") ? host + 7 : host;
	(void)snprintf(peer, HTTP_PEER_MAX, "%s", v4);
}

static void conn_begin(struct http_server *s, struct MHD_Connection *mhd, void **ctx)
{
	struct http_conn *c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	name_peer(mhd, c->peer);
	atomic_store(&c->cut_at_ms, clock_mono_ms() + 1000 * (int64_t)s->limits.header_s);
	(void)pthread_mutex_lock(&s->lock);
	bool first = !s->conns;
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	(void)pthread_mutex_unlock(&s->lock);
	if (first)
		http_sweeper_wake(s->sweeper);
	*ctx = c;
}

/* The socket is still open here. Closing it with unread bytes would reset the connection, and the peer
 * might lose our last answer: then a copy of it lingers. */
static void conn_end(struct http_server *s, struct http_conn *c)
{
	(void)pthread_mutex_lock(&s->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	(void)pthread_mutex_unlock(&s->lock);
	char byte;
	ssize_t n = atomic_load(&s->stopping) ? 0 : recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	bool more = n > 0 || (n < 0 && errno == EAGAIN && c->refused);
	int copy = more ? fcntl(c->fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (copy >= 0)
		http_sweeper_linger(s->sweeper, copy);
	free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **ctx,
                          enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		conn_begin(cls, mhd, ctx);
	} else if (*ctx) {
		conn_end(cls, *ctx);
		*ctx = NULL;
	}
}

/* The request line is here: a request begins. */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct http_server *s = cls;
	struct http_conn *c =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
	struct http_req *r = http_req_new(s, c, mhd, uri);
	int64_t by = clock_mono_ms() + 1000 * (int64_t)s->limits.header_s;
	if (atomic_load(&c->cut_at_ms) > by || atomic_load(&c->cut_at_ms) == 0)
		atomic_store(&c->cut_at_ms, by);
	(void)pthread_mutex_lock(&s->lock);
	c->req = r;
	s->active++;
	(void)pthread_mutex_unlock(&s->lock);
	return r;
}

static void on_log(void *cls, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
static void on_log(void *cls, const char *fmt, va_list ap)
{
	(void)cls;
	char text[256];
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	log_debug("libmicrohttpd: %s", text);
}

/* Targets are decoded by http_target_parse(), which refuses what this would let through. */
static size_t leave_escaped(void *cls, struct MHD_Connection *mhd, char *s)
{
	(void)cls;
	(void)mhd;
	return strlen(s);
}

/* ---- start and stop --------------------------------------------------------------------------- */

static void set_limits(struct http_limits *l, const struct http_limits *given)
{
	*l = *given;
	l->connections = l->connections ? l->connections : 1024;
	l->header_bytes = l->header_bytes ? l->header_bytes : (size_t)16 * 1024;
	l->body_bytes = l->body_bytes ? l->body_bytes : (size_t)1024 * 1024;
	l->header_s = l->header_s ? l->header_s : 10;
	l->body_s = l->body_s ? l->body_s : 60;
	l->idle_s = l->idle_s ? l->idle_s : 60;
	l->threads = l->threads ? l->threads : 1;
}

static int check_routes(const struct http_server_config *c, struct err *err)
{
	for (size_t i = 0; i < c->n_routes; i++) {
		const struct http_route *r = &c->routes[i];
		if (r->token && !c->token_file)
			return err_set(err, -EINVAL,
			               "%s asks for a token, but no token file was given", r->path);
		if (r->body == HTTP_BODY_BUFFER
		            ? !r->handler
		            : !r->stream || !r->stream->on_head || !r->stream->on_piece ||
		                      !r->stream->on_end || !r->stream->on_free)
			return err_set(err, -EINVAL, "%s has no handler", r->path);
	}
	return 0;
}

static int start_daemon(struct http_server *s, struct err *err)
{
	size_t pool = s->limits.header_bytes * 2 < POOL_MIN ? POOL_MIN : s->limits.header_bytes * 2;
	struct MHD_OptionItem o[OPTIONS_MAX];
	size_t n = 0;
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)on_log, NULL };
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_LISTEN_SOCKET, s->listen_fd, NULL };
	o[n++] =
		(struct MHD_OptionItem){ MHD_OPTION_CONNECTION_LIMIT, s->limits.connections, NULL };
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_TIMEOUT, s->limits.idle_s, NULL };
	o[n++] =
		(struct MHD_OptionItem){ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)pool, NULL };
	o[n++] =
		(struct MHD_OptionItem){ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, s };
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)http_on_completed,
		                          s };
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_URI_LOG_CALLBACK, (intptr_t)on_target, s };
	o[n++] =
		(struct MHD_OptionItem){ MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)leave_escaped, s };
	o[n++] = (struct MHD_OptionItem){ MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL };
	if (s->limits.threads > 1)
		o[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, s->limits.threads,
			                          NULL };
	if (s->tls) {
		o[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
			                          (void *)(uintptr_t)http_tls_retrieve };
		o[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_PRIORITIES, 0,
			                          "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" };
	}
	o[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
	unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME |
	                 MHD_USE_ERROR_LOG | (s->tls ? MHD_USE_TLS : 0u);
	s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, http_on_request, s, MHD_OPTION_ARRAY, o,
	                             MHD_OPTION_END);
	return s->daemon ? 0 : err_set(err, -EIO, "cannot start the HTTP server");
}

static void server_free(struct http_server *s)
{
	http_sweeper_free(s->sweeper);
	http_tokens_free(s->tokens);
	http_tls_server_free(s->tls);
	fd_closep(&s->listen_fd);
	(void)pthread_cond_destroy(&s->quiet);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->routes);
	free(s);
}
DEFINE_CLEANUP(struct http_server, server_free)

int http_server_start(const struct http_server_config *config, struct http_server **ret,
                      struct err *err)
{
	_cleanup_(server_freep) struct http_server *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t mono;
	(void)pthread_condattr_init(&mono);
	(void)pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->quiet, &mono);
	(void)pthread_condattr_destroy(&mono);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->listen_fd = -1;
	set_limits(&s->limits, &config->limits);
	s->routes = xcalloc(config->n_routes + 1, sizeof(s->routes[0]));
	s->n_routes = config->n_routes;
	if (config->n_routes)
		memcpy(s->routes, config->routes, config->n_routes * sizeof(s->routes[0]));
	/* GnuTLS and peers that vanish would raise it. */
	(void)signal(SIGPIPE, SIG_IGN);
	int rc = check_routes(config, err);
	if (rc == 0 && config->token_file)
		rc = http_tokens_new(config->token_file, &s->tokens, err);
	if (rc == 0 && (config->tls_cert || config->tls_key || config->client_ca))
		rc = http_tls_server_new(config->tls_cert, config->tls_key, config->client_ca,
		                         &s->tls, err);
	if (rc == 0)
		rc = open_listener(s, config->listen, err);
	if (rc == 0)
		rc = http_sweeper_new(s, &s->sweeper, err);
	if (rc == 0)
		rc = start_daemon(s, err);
	if (rc == 0)
		*ret = TAKE_PTR(s);
	return rc;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

static void wait_quiet(struct http_server *s, int64_t grace_ms)
{
	int64_t until = clock_mono_ms() + (grace_ms > 0 ? grace_ms : 0);
	struct timespec at = { until / 1000, until % 1000 * 1000000 };
	(void)pthread_mutex_lock(&s->lock);
	while (s->active > 0 && pthread_cond_timedwait(&s->quiet, &s->lock, &at) != ETIMEDOUT)
		;
	(void)pthread_mutex_unlock(&s->lock);
}

/* libmicrohttpd must not be stopped with suspended connections. */
static void cut_held(struct http_server *s)
{
	atomic_store(&s->stopping, true);
	(void)pthread_mutex_lock(&s->lock);
	for (struct http_conn *c = s->conns; c; c = c->next) {
		struct http_req *r = c->req;
		if (!r)
			continue;
		(void)pthread_mutex_lock(&r->lock);
		r->cut = true;
		if (r->suspended && !r->answered)
			MHD_resume_connection(r->mhd);
		(void)pthread_mutex_unlock(&r->lock);
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void http_server_stop(struct http_server *s, int64_t grace_ms)
{
	if (!s)
		return;
	(void)MHD_quiesce_daemon(s->daemon);
	(void)shutdown(s->listen_fd, SHUT_RDWR); /* new connections are refused, not left waiting */
	wait_quiet(s, grace_ms);
	cut_held(s);
	MHD_stop_daemon(s->daemon);
	server_free(s);
}

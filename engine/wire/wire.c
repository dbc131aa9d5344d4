#include "engine/wire/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/sql/connections.h"
#include "engine/wire/conn.h"
#include "engine/wire/handshake.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

enum { STACK_BYTES = 1024 * 1024, BACKLOG = 1024, LAST_WAIT_MS = 5000, SHORT_OF_FDS_MS = 100 };

struct wire {
	struct sql_server *server;
	const char *version;
	unsigned max_connections;
	int listen_fd, wake_fd, port;
	int64_t started_ms;
	pthread_t acceptor;
	struct sql_connections *connections;

	pthread_mutex_t lock;
	pthread_cond_t gone; /* a connection ended */
	struct wire_conn *head;
	size_t open;
	uint32_t last_id;
	bool stopping;
};

size_t wire_uptime_s(const struct wire *w)
{
	return (size_t)((clock_mono_ms() - w->started_ms) / 1000);
}

int wire_port(const struct wire *w)
{
	return w->port;
}

size_t wire_connections(struct wire *w)
{
	pthread_mutex_lock(&w->lock);
	size_t n = w->open;
	pthread_mutex_unlock(&w->lock);
	return n;
}

bool wire_conn_begin(struct wire_conn *c)
{
	struct wire *w = c->wire;
	pthread_mutex_lock(&w->lock);
	bool go = !w->stopping;
	c->busy = go;
	pthread_mutex_unlock(&w->lock);
	return go;
}

void wire_conn_end(struct wire_conn *c)
{
	pthread_mutex_lock(&c->wire->lock);
	c->busy = false;
	if (c->wire->stopping)
		(void)shutdown(c->io.fd, SHUT_RD);
	pthread_mutex_unlock(&c->wire->lock);
}

static void *conn_main(void *arg)
{
	struct wire_conn *c = arg;
	struct wire *w = c->wire;
	wire_conn_run(c);
	pthread_mutex_lock(&w->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		w->head = c->next;
	if (c->next)
		c->next->prev = c->prev;
	close(c->io.fd);
	w->open--;
	pthread_cond_broadcast(&w->gone);
	pthread_mutex_unlock(&w->lock);
	free(c);
	return NULL;
}

/* The first packet of a connection that cannot be had. */
static void refuse(int fd, int mysql_errno, const char *message)
{
	struct wire_io io;
	wire_io_init(&io, fd);
	wire_begin(&io);
	wire_put_err(&io.out, mysql_errno, message);
	if (wire_end(&io, NULL) == 0)
		(void)send(fd, io.out.p, io.out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	wire_io_free(&io);
	close(fd);
}

static void name_peer(const struct sockaddr_storage *sa, socklen_t len, char out[64])
{
	char host[46], port[8];
	(void)snprintf(out, 64, "unknown");
	if (getnameinfo((const struct sockaddr *)sa, len, host, sizeof(host), port, sizeof(port),
	                NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		/* An IPv4 client of a dual-stack socket is shown as such. */
		const char *mapped = strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host;
		(void)snprintf(out, 64, "%s:%s", mapped, port);
	}
}

static int start_thread(struct wire_conn *c)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = pthread_create(&thread, &attr, conn_main, c);
	pthread_attr_destroy(&attr);
	return -rc;
}

static void take_connection(struct wire *w, int fd, const struct sockaddr_storage *sa,
                            socklen_t len)
{
	int on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	struct wire_conn *c = xcalloc(1, sizeof(*c));
	wire_io_init(&c->io, fd);
	c->wire = w;
	c->server = w->server;
	c->version = w->version;
	name_peer(sa, len, c->peer);

	pthread_mutex_lock(&w->lock);
	int rc = w->stopping || w->open >= w->max_connections ? -EUSERS : 0;
	c->id = ++w->last_id;
	if (rc == 0) {
		rc = start_thread(c);
		if (rc < 0)
			log_warn("connection=%u no thread: %s", c->id, strerror(-rc));
	}
	if (rc == 0) {
		/* Its thread leaves the list under this lock, hence after it was put there. */
		c->next = w->head;
		if (w->head)
			w->head->prev = c;
		w->head = c;
		w->open++;
	}
	pthread_mutex_unlock(&w->lock);
	if (rc < 0) {
		refuse(fd, 1040, "Too many connections");
		free(c);
	}
}

static void *accept_main(void *arg)
{
	struct wire *w = arg;
	for (;;) {
		struct pollfd pfd[2] = { { .fd = w->listen_fd, .events = POLLIN },
			                 { .fd = w->wake_fd, .events = POLLIN } };
		if (poll(pfd, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (pfd[1].revents)
			return NULL;
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int fd = accept4(w->listen_fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);
		if (fd >= 0) {
			take_connection(w, fd, &sa, len);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
			log_warn("query_port=%d accept: %s", w->port, strerror(errno));
			clock_sleep_ms(SHORT_OF_FDS_MS);
		}
	}
}

static int try_listen(const char *address, int port, int *ret_fd, struct err *err)
{
	char service[8];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		                  .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
	struct addrinfo *ai = NULL;
	(void)snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(address, service, &hints, &ai) != 0)
		return err_set(err, -EINVAL, "query_port: '%s' is not an IP address", address);
	_cleanup_(fd_closep) int fd =
		socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1, off = 0, rc = -1;
	if (fd >= 0) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (ai->ai_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		rc = bind(fd, ai->ai_addr, ai->ai_addrlen);
	}
	if (rc == 0)
		rc = listen(fd, BACKLOG);
	int saved = errno;
	freeaddrinfo(ai);
	errno = saved;
	if (rc < 0)
		return err_errno(err, "query_port %d on %s", port, address);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_on(const char *address, int port, int *ret_fd, struct err *err)
{
	if (address && *address)
		return try_listen(address, port, ret_fd, err);
	int rc = try_listen("::", port, ret_fd, err);
	/* A kernel without IPv6. */
	if (rc == -EAFNOSUPPORT || rc == -EADDRNOTAVAIL)
		rc = try_listen("0.0.0.0", port, ret_fd, err);
	return rc;
}

static int port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return 0;
	return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
	                                      : ((struct sockaddr_in *)&sa)->sin_port);
}

int wire_start(const struct wire_config *config, struct wire **ret, struct err *err)
{
	_cleanup_(fd_closep) int fd = -1;
	int rc = listen_on(config->listen_address, config->port, &fd, err);
	if (rc < 0)
		return rc;
	_cleanup_(fd_closep) int wake = eventfd(0, EFD_CLOEXEC);
	if (wake < 0)
		return err_errno(err, "eventfd");
	struct wire *w = xcalloc(1, sizeof(*w));
	w->server = config->server;
	w->version = config->version;
	w->max_connections =
		config->max_connections ? config->max_connections : WIRE_CONNECTIONS_DEFAULT;
	w->port = port_of(fd);
	w->started_ms = clock_mono_ms();
	w->listen_fd = fd;
	w->wake_fd = wake;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->gone, &attr);
	pthread_condattr_destroy(&attr);
	if (!w->server->connections)
		w->server->connections = sql_connections_new();
	w->connections = w->server->connections;
	rc = pthread_create(&w->acceptor, NULL, accept_main, w);
	if (rc) {
		pthread_cond_destroy(&w->gone);
		pthread_mutex_destroy(&w->lock);
		free(w);
		return err_set(err, -rc, "no thread to accept connections");
	}
	(void)TAKE_FD(fd);
	(void)TAKE_FD(wake);
	*ret = w;
	return 0;
}

/* Waits until all connections are gone, for at most ms; the lock is held. */
static void wait_gone(struct wire *w, int64_t ms)
{
	struct deadline by = deadline_in(ms);
	struct timespec ts = { .tv_sec = by.at_ms / 1000, .tv_nsec = by.at_ms % 1000 * 1000000 };
	while (w->open && !deadline_passed(by)) {
		if (pthread_cond_timedwait(&w->gone, &w->lock, &ts) == ETIMEDOUT)
			return;
	}
}

size_t wire_stop(struct wire *w, int64_t grace_ms)
{
	uint64_t one = 1;
	if (write(w->wake_fd, &one, sizeof(one)) < 0)
		log_warn("query_port=%d wake: %s", w->port, strerror(errno));
	pthread_join(w->acceptor, NULL);
	close(w->listen_fd);
	close(w->wake_fd);

	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	for (struct wire_conn *c = w->head; c; c = c->next) {
		if (!c->busy)
			(void)shutdown(c->io.fd, SHUT_RD);
	}
	wait_gone(w, grace_ms);
	size_t killed = 0;
	for (struct wire_conn *c = w->head; c; c = c->next) {
		(void)sql_connections_kill(w->connections, c->id, true);
		(void)shutdown(c->io.fd, SHUT_RDWR);
		killed++;
	}
	wait_gone(w, LAST_WAIT_MS);
	size_t left = w->open;
	pthread_mutex_unlock(&w->lock);
	if (left) {
		/* Their threads still use it; the process is about to end. */
		log_warn("query_port=%d %zu statements do not end when killed", w->port, left);
		return killed;
	}
	pthread_cond_destroy(&w->gone);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return killed;
}

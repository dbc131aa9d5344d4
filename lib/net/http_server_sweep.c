/* The server's second thread: cuts what passed its deadline, drains what was refused. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"
#include "lib/net/http_server_priv.h"

enum { SWEEP_MS = 250, LINGER_MS = 2000, LINGERS_MAX = 64, DRAIN_ROUND = 16 };
/* A thousand idle peers that came together are late together; the thread that closes them also answers others, so they
 * are cut few at a time. */
enum { CUT_ROUND = 16, CUT_PAUSE_MS = 5 };

struct drained {
	int fd;
	int64_t until_ms;
};

struct http_sweeper {
	struct http_server *server;
	pthread_t thread;
	int wake_fd;
	_Atomic bool stop;
	pthread_mutex_t lock; /* lingers, n */
	struct drained lingers[LINGERS_MAX];
	size_t n;
};

/* Cuts late connections; milliseconds to the next look, -1: none is open. */
static int cut_late(struct http_server *s)
{
	int64_t now = clock_mono_ms();
	int cut = 0;
	(void)pthread_mutex_lock(&s->lock);
	for (struct http_conn *c = s->conns; c && cut < CUT_ROUND; c = c->next) {
		int64_t at = atomic_load(&c->cut_at_ms);
		/* 0: cut once; its own thread then closes it. */
		if (at && now >= at && atomic_compare_exchange_strong(&c->cut_at_ms, &at, 0)) {
			(void)shutdown(c->fd, SHUT_RDWR);
			cut++;
		}
	}
	int next = !s->conns ? -1 : cut == CUT_ROUND ? CUT_PAUSE_MS : SWEEP_MS;
	(void)pthread_mutex_unlock(&s->lock);
	return next;
}

/* Whether the peer may send more. */
static bool drain(int fd)
{
	char waste[65536];
	for (int i = 0; i < DRAIN_ROUND; i++) {
		ssize_t n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
		if (n < 0)
			break;
	}
	return true;
}

/* Fills p with what to wait for; returns how many. */
static nfds_t drain_lingers(struct http_sweeper *w, struct pollfd p[LINGERS_MAX])
{
	int64_t now = clock_mono_ms();
	(void)pthread_mutex_lock(&w->lock);
	for (size_t i = 0; i < w->n;) {
		if (drain(w->lingers[i].fd) && now < w->lingers[i].until_ms) {
			p[i] = (struct pollfd){ w->lingers[i].fd, POLLIN, 0 };
			i++;
			continue;
		}
		(void)close(w->lingers[i].fd);
		w->lingers[i] = w->lingers[--w->n];
	}
	nfds_t n = w->n;
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

static void *sweep(void *arg)
{
	struct http_sweeper *w = arg;
	struct pollfd p[LINGERS_MAX + 1];
	while (!atomic_load(&w->stop)) {
		nfds_t n = drain_lingers(w, p + 1);
		int next_ms = cut_late(w->server);
		p[0] = (struct pollfd){ w->wake_fd, POLLIN, 0 };
		(void)poll(p, n + 1, next_ms < 0 && n ? SWEEP_MS : next_ms);
		uint64_t count = 0;
		if (p[0].revents)
			(void)!read(w->wake_fd, &count, sizeof(count));
	}
	return NULL;
}

int http_sweeper_new(struct http_server *s, struct http_sweeper **ret, struct err *err)
{
	struct http_sweeper *w = xcalloc(1, sizeof(*w));
	w->server = s;
	(void)pthread_mutex_init(&w->lock, NULL);
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = w->wake_fd < 0 ? err_errno(err, "eventfd") : 0;
	if (rc == 0) {
		errno = pthread_create(&w->thread, NULL, sweep, w);
		if (errno)
			rc = err_errno(err, "cannot start a thread");
	}
	if (rc < 0) {
		fd_closep(&w->wake_fd);
		free(w);
		return rc;
	}
	*ret = w;
	return 0;
}

void http_sweeper_wake(struct http_sweeper *w)
{
	uint64_t one = 1;
	(void)!write(w->wake_fd, &one, sizeof(one));
}

void http_sweeper_linger(struct http_sweeper *w, int fd)
{
	(void)pthread_mutex_lock(&w->lock);
	bool room = w->n < LINGERS_MAX;
	if (room)
		w->lingers[w->n++] = (struct drained){ fd, clock_mono_ms() + LINGER_MS };
	(void)pthread_mutex_unlock(&w->lock);
	if (room)
		http_sweeper_wake(w);
	else
		(void)close(fd);
}

void http_sweeper_free(struct http_sweeper *w)
{
	if (!w)
		return;
	atomic_store(&w->stop, true);
	http_sweeper_wake(w);
	(void)pthread_join(w->thread, NULL);
	for (size_t i = 0; i < w->n; i++)
		(void)close(w->lingers[i].fd);
	(void)close(w->wake_fd);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

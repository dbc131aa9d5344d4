/* A client for benchmarks of small answers over kept connections, closed loop or open loop.
 *
 * httpload PORT PATH TOKEN CONNECTIONS RATE SECONDS: RATE 0 asks again as soon as an answer came; else so many requests
 * a second are due at even times, and a request's latency counts from when it was due (no coordinated omission).
 * Prints one JSON object: answers by status class, requests a second, latency in microseconds. Loopback only. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, ANSWER_MAX = 65536, SAMPLES_MAX = 8000000 };

struct conn {
	int fd;
	bool busy;
	int64_t due_us;
	size_t got;
	char answer[ANSWER_MAX];
};

static struct conn *conns;
static int n_conns;
static char request[2048];
static size_t request_len;
static uint32_t *samples;
static size_t n_samples, n_ok, n_unavailable, n_other, n_broken;

static int64_t now_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		                 .sin_port = htons((uint16_t)port),
		                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
		perror("connect");
		exit(1);
	}
	return fd;
}

static void ask(struct conn *c, int64_t due_us)
{
	c->busy = true;
	c->due_us = due_us;
	c->got = 0;
	if (send(c->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
		n_broken++;
}

static void count(struct conn *c)
{
	int64_t us = now_us() - c->due_us;
	int status = c->answer[9] - '0';
	n_ok += status == 2;
	n_unavailable += status == 5;
	n_other += status != 2 && status != 5;
	if (n_samples < SAMPLES_MAX)
		samples[n_samples++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
	c->busy = false;
}

/* Whether a whole answer is there. */
static bool complete(struct conn *c)
{
	c->answer[c->got] = '\0';
	char *end = strstr(c->answer, "\r\n\r\n");
	if (!end)
		return false;
	char *length = strcasestr(c->answer, "content-length:");
	size_t body = length && length < end ? strtoul(length + 15, NULL, 10) : 0;
	return c->got >= (size_t)(end + 4 - c->answer) + body;
}

/* true: an answer was completed. */
static bool take(struct conn *c, int port, int epoll)
{
	ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - 1 - c->got, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) { /* the server ended it: a kept connection is replaced */
		n_broken += c->busy;
		(void)close(c->fd);
		c->fd = dial(port);
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
		(void)epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
		c->busy = false;
		return true;
	}
	c->got += (size_t)n;
	if (!c->busy || !complete(c))
		return false;
	count(c);
	return true;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t at(double share)
{
	return n_samples ? samples[(size_t)((double)(n_samples - 1) * share)] : 0;
}

/* Waits for answers until the next request is due; a whole millisecond, epoll_wait's unit, would be the client's latency. */
static int await(int epoll, struct epoll_event *events, int max, int64_t due_us)
{
	int64_t us = due_us - now_us();
	us = us < 0 ? 0 : us > 1000 ? 1000 : us;
	struct timespec t = { .tv_nsec = us * 1000 };
	return epoll_pwait2(epoll, events, max, &t, NULL);
}

static void run(int port, int64_t rate, int64_t seconds)
{
	int epoll = epoll_create1(0);
	struct epoll_event events[256];
	int64_t start = now_us(), end = start + seconds * 1000000, issued = 0;
	for (int i = 0; i < n_conns; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.ptr = &conns[i] };
		conns[i].fd = dial(port);
		(void)epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &e);
	}
	for (int64_t now = now_us(); now < end; now = now_us()) {
		int64_t wanted = rate ? (now - start) * rate / 1000000 + 1 : INT64_MAX;
		for (int i = 0; i < n_conns && issued < wanted; i++)
			if (!conns[i].busy) {
				ask(&conns[i], rate ? start + issued * 1000000 / rate : now_us());
				issued++;
			}
		int64_t due = rate ? start + issued * 1000000 / rate : now + 1000;
		int n = await(epoll, events, 256, due);
		for (int i = 0; i < n; i++)
			(void)take(events[i].data.ptr, port, epoll);
	}
	double took = (double)(now_us() - start) / 1000000;
	qsort(samples, n_samples, sizeof(samples[0]), compare);
	printf("{\"rps\": %.0f, \"ok\": %zu, \"unavailable\": %zu, \"other\": %zu, \"broken\": "
	       "%zu, \"p50_us\": %u, "
	       "\"p99_us\": %u, \"p999_us\": %u, \"max_us\": %u}\n",
	       (double)n_samples / took, n_ok, n_unavailable, n_other, n_broken, at(0.5), at(0.99),
	       at(0.999), at(1));
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: httpload PORT PATH TOKEN CONNECTIONS RATE SECONDS\n");
		return 2;
	}
	n_conns = (int)strtol(argv[4], NULL, 10);
	if (n_conns < 1 || n_conns > CONNECTIONS_MAX)
		return 2;
	(void)prctl(PR_SET_TIMERSLACK, 1UL);
	conns = calloc((size_t)n_conns, sizeof(conns[0]));
	samples = calloc(SAMPLES_MAX, sizeof(samples[0]));
	request_len = (size_t)snprintf(
		request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", argv[2],
		argv[3]);
	run((int)strtol(argv[1], NULL, 10), strtol(argv[5], NULL, 10), strtol(argv[6], NULL, 10));
	return 0;
}

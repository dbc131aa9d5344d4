/* For tests only: a MySQL server of one thread that hands each statement to a function.
 *
 * Thread: the function runs on the server's thread, one connection at a time. Ownership: the caller's struct. */
#ifndef ROOST_MYSQL_FAKE_H
#define ROOST_MYSQL_FAKE_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/mem.h"

/* A CA that has signed nothing. */
#define MYSQLC_FAKE_CA                                                       \
	"-----BEGIN CERTIFICATE-----\n"                                      \
	"MIIBdjCCARugAwIBAgIUFVg2J07t56ZE1aAxJp0br5rWJ8UwCgYIKoZIzj0EAwIw\n" \
	"DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjgyMTM4MjFaGA8yMTI2MTEwNDIxMzgy\n" \
	"MVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBiS\n" \
	"APEV8+lSENXKEqO0JeekmoAYLRtApNPCA+6wk8xG4xhhHcZQYlbLNs5q8e80LVyl\n" \
	"H8kqLk7KhDUQQj2VFWujUzBRMB0GA1UdDgQWBBT5CIMdAKA/+KVQGW9dTu3icjem\n" \
	"5TAfBgNVHSMEGDAWgBT5CIMdAKA/+KVQGW9dTu3icjem5TAPBgNVHRMBAf8EBTAD\n" \
	"AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCYpqxZU7PJoZcNe151mdIdd0EMA0hckCU5\n" \
	"SJUIcPtNuwIhANfqL1Jy1Em6A/h7beXr7x1LHG/bwTskzUv9oXtKNuxa\n"         \
	"-----END CERTIFICATE-----\n"

struct mysqlc_fake {
	int listener, port;
	pthread_t thread;
	/* Answers on fd; false ends the connection. */
	bool (*on_statement)(void *arg, int fd, const char *sql);
	void *arg;
};

static inline void mysqlc_fake_packet(int fd, int seq, const struct buf *body)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4 * 1024 * 1024);
	buf_addle(&out, body->len, 3);
	buf_addle(&out, (uint64_t)seq, 1);
	buf_add(&out, body->p, body->len);
	(void)fd_write_by(fd, out.p, out.len, deadline_in(5000), NULL);
}

static inline void mysqlc_fake_ok(int fd, int seq)
{
	_cleanup_buf_ struct buf b = BUF_INIT(64);
	buf_add(&b, "\0\0\0\2\0\0\0", 7);
	mysqlc_fake_packet(fd, seq, &b);
}

static inline void mysqlc_fake_err(int fd, int seq, unsigned code, const char *text)
{
	_cleanup_buf_ struct buf b = BUF_INIT(512);
	buf_addle(&b, 0xff, 1);
	buf_addle(&b, code, 2);
	buf_addf(&b, "#42000%s", text);
	mysqlc_fake_packet(fd, seq, &b);
}

static inline void mysqlc_fake_text(struct buf *b, const char *text)
{
	buf_addle(b, strlen(text), 1);
	buf_adds(b, text);
}

static inline void mysqlc_fake_eof(int fd, int seq)
{
	_cleanup_buf_ struct buf b = BUF_INIT(16);
	buf_add(&b, "\376\0\0\2\0", 5);
	mysqlc_fake_packet(fd, seq, &b);
}

/* The head of a result; returns the next sequence number. */
static inline int mysqlc_fake_columns(int fd, const char *const *names, size_t n)
{
	_cleanup_buf_ struct buf b = BUF_INIT(512);
	int seq = 1;
	buf_addle(&b, n, 1);
	mysqlc_fake_packet(fd, seq++, &b);
	for (size_t i = 0; i < n; i++) {
		buf_reset(&b);
		mysqlc_fake_text(&b, "def");
		for (int j = 0; j < 3; j++)
			mysqlc_fake_text(&b, "");
		mysqlc_fake_text(&b, names[i]);
		mysqlc_fake_text(&b, names[i]);
		buf_addle(&b, 12, 1);
		buf_addle(&b, 33, 2);
		buf_addle(&b, 255, 4);
		buf_addle(&b, 253, 1);
		buf_addle(&b, 0, 5);
		mysqlc_fake_packet(fd, seq++, &b);
	}
	mysqlc_fake_eof(fd, seq++);
	return seq;
}

/* A whole result of short texts, row by row. */
static inline void mysqlc_fake_rows(int fd, const char *const *names, size_t n,
                                    const char *const *cells, size_t rows)
{
	int seq = mysqlc_fake_columns(fd, names, n);
	for (size_t r = 0; r < rows; r++) {
		_cleanup_buf_ struct buf b = BUF_INIT(64 * 1024);
		for (size_t i = 0; i < n; i++) {
			if (cells[r * n + i])
				mysqlc_fake_text(&b, cells[r * n + i]);
			else
				buf_addle(&b, 0xfb, 1); /* NULL */
		}
		mysqlc_fake_packet(fd, seq++, &b);
	}
	mysqlc_fake_eof(fd, seq);
}

static inline int mysqlc_fake_read(int fd, char *out, size_t max, size_t *ret_len)
{
	unsigned char head[4];
	if (fd_read_by(fd, head, 4, deadline_in(10000), NULL) < 0)
		return -1;
	size_t n = (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16;
	if (n >= max || fd_read_by(fd, out, n, deadline_in(5000), NULL) < 0)
		return -1;
	out[n] = '\0';
	*ret_len = n;
	return 0;
}

static inline void mysqlc_fake_greet_with(int fd, unsigned caps)
{
	_cleanup_buf_ struct buf b = BUF_INIT(256);
	buf_add(&b, "\12", 1);
	buf_add(&b, "5.1.0", 6);
	buf_addle(&b, 1, 4);
	buf_add(&b, "12345678", 9);
	buf_addle(&b, caps, 2);
	buf_addle(&b, 33, 1);
	buf_addle(&b, 2, 2);
	buf_addle(&b, 0x0008, 2); /* plugin auth */
	buf_addle(&b, 21, 1);
	buf_add(&b, "\0\0\0\0\0\0\0\0\0\0", 10);
	buf_add(&b, "123456789012", 13);
	buf_add(&b, "mysql_native_password", 22);
	mysqlc_fake_packet(fd, 0, &b);
}

/* Protocol 4.1, secure connection, transactions. */
static inline void mysqlc_fake_greet(int fd)
{
	mysqlc_fake_greet_with(fd, 0xa200);
}

/* The user "nobody" is refused. */
static inline void mysqlc_fake_converse(struct mysqlc_fake *f, int fd)
{
	char text[4096];
	size_t n = 0;
	mysqlc_fake_greet(fd);
	if (mysqlc_fake_read(fd, text, sizeof(text), &n) < 0)
		return;
	if (memmem(text, n, "nobody", 6)) {
		mysqlc_fake_err(fd, 2, 1045, "Access denied");
		return;
	}
	mysqlc_fake_ok(fd, 2);
	while (mysqlc_fake_read(fd, text, sizeof(text), &n) == 0 && text[0] == 3)
		if (!f->on_statement(f->arg, fd, text + 1))
			return;
}

static inline void *mysqlc_fake_thread(void *arg)
{
	struct mysqlc_fake *f = arg;
	for (;;) {
		_cleanup_(fd_closep) int fd = accept(f->listener, NULL, NULL);
		if (fd < 0)
			return NULL;
		mysqlc_fake_converse(f, fd);
	}
}

/* A listening socket on loopback; *ret_port. */
static inline int mysqlc_fake_listen(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0) {
		close(fd);
		return -1;
	}
	*ret_port = ntohs(a.sin_port);
	return fd;
}

static inline int mysqlc_fake_start(struct mysqlc_fake *f)
{
	f->listener = mysqlc_fake_listen(&f->port);
	return f->listener < 0 ? -1 : pthread_create(&f->thread, NULL, mysqlc_fake_thread, f);
}

static inline void mysqlc_fake_stop(struct mysqlc_fake *f)
{
	shutdown(f->listener, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->listener);
}

#endif

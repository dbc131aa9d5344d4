#include "lib/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"

void fd_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

int fd_read_file(const char *path, struct buf *out, struct err *err)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	for (;;) {
		char chunk[65536];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "cannot read %s", path);
		if (n == 0)
			return 0;
		if (buf_add(out, chunk, (size_t)n) < 0)
			return err_set(err, -EFBIG, "%s is larger than %zu bytes", path, out->max);
	}
}

int fd_write_all(int fd, const void *data, size_t len, struct err *err)
{
	const char *p = data;
	while (len) {
		ssize_t n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "write failed");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_read_exact(int fd, void *data, size_t len, struct err *err)
{
	char *p = data;
	while (len) {
		ssize_t n = read(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, "read failed");
		if (n == 0)
			return err_set(err, -ENODATA, "end of stream, %zu bytes missing", len);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Waits until fd is ready for events or the deadline passes. */
static int wait_ready(int fd, short events, struct deadline by, struct err *err)
{
	for (;;) {
		int64_t left = deadline_left_ms(by);
		if (left == 0)
			return err_set(err, -ETIMEDOUT, "timed out");
		struct pollfd p = { .fd = fd, .events = events, .revents = 0 };
		int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return err_errno(err, "poll failed");
	}
}

int fd_write_by(int fd, const void *data, size_t len, struct deadline by, struct err *err)
{
	const char *p = data;
	while (len) {
		int rc = wait_ready(fd, POLLOUT, by, err);
		if (rc < 0)
			return rc;
		ssize_t n = write(fd, p, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_errno(err, "write failed");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_read_by(int fd, void *data, size_t len, struct deadline by, struct err *err)
{
	char *p = data;
	while (len) {
		int rc = wait_ready(fd, POLLIN, by, err);
		if (rc < 0)
			return rc;
		ssize_t n = read(fd, p, len);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_errno(err, "read failed");
		if (n == 0)
			return err_set(err, -ENODATA, "end of stream, %zu bytes missing", len);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_sync_dir(const char *path, struct err *err)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_errno(err, "cannot sync folder %s", path);
	return 0;
}

static int sync_parent(const char *path, struct err *err)
{
	autofree char *parent = xstrdup(path);
	char *slash = strrchr(parent, '/');
	if (!slash)
		return fd_sync_dir(".", err);
	*(slash == parent ? slash + 1 : slash) = '\0';
	return fd_sync_dir(parent, err);
}

int fd_write_file(const char *path, const void *data, size_t len, unsigned mode, struct err *err)
{
	autofree char *tmp = xasprintf("%s.tmp", path);
	_cleanup_(fd_closep) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return err_errno(err, "cannot create %s", tmp);
	int rc = fd_write_all(fd, data, len, err);
	if (rc == 0 && fsync(fd) < 0)
		rc = err_errno(err, "cannot sync");
	if (rc == 0 && rename(tmp, path) < 0)
		rc = err_errno(err, "cannot rename to %s", path);
	if (rc < 0) {
		(void)unlink(tmp);
		return err_wrap(err, "%s", path);
	}
	return sync_parent(path, err);
}

int fd_mkdir_p(const char *path, unsigned mode, struct err *err)
{
	autofree char *p = xstrdup(path);
	for (char *at = p + 1; *p; at++) {
		bool end = *at == '\0';
		if (*at != '/' && !end)
			continue;
		*at = '\0';
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_errno(err, "cannot make folder %s", p);
		if (end)
			return 0;
		*at = '/';
	}
	return err_set(err, -EINVAL, "cannot make a folder with an empty name");
}

int fd_rm_rf(const char *path, struct err *err)
{
	if (!fd_exists(path))
		return 0;
	char *const roots[] = { (char *)(uintptr_t)path, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!walk)
		return err_errno(err, "cannot walk %s", path);
	int rc = 0;
	for (FTSENT *e = fts_read(walk); e && rc == 0; e = fts_read(walk)) {
		if (e->fts_info == FTS_D)
			continue;
		if (remove(e->fts_accpath) < 0 && errno != ENOENT)
			rc = err_errno(err, "cannot remove %s", e->fts_path);
	}
	(void)fts_close(walk);
	return rc;
}

bool fd_exists(const char *path)
{
	struct stat st;
	return lstat(path, &st) == 0;
}

void fd_random_hex(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		unsigned char byte = 0;
		if (getrandom(&byte, 1, 0) != 1)
			abort(); /* no randomness, no tokens: going on would be unsafe */
		out[2 * i] = digits[byte >> 4];
		out[2 * i + 1] = digits[byte & 15];
	}
	out[2 * n] = '\0';
}

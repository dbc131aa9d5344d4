/* Files and descriptors: whole reads and writes, atomic replacement, folders, random names.
 *
 * Thread: safe for distinct descriptors and paths. Every read names its maximum. */
#ifndef ROOST_BASE_FD_H
#define ROOST_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"

void fd_closep(int *fd); /* for `_cleanup_(fd_closep) int fd = -1;` */
#define TAKE_FD(fd)                   \
	({                            \
		int taken_fd_ = (fd); \
		(fd) = -1;            \
		taken_fd_;            \
	})

/* Appends the file to out; -EFBIG when it is larger than out's maximum. */
int fd_read_file(const char *path, struct buf *out, struct err *err);

/* Writes path.tmp, syncs it, renames it over path and syncs the folder: after 0, a crash shows
 * either the old bytes or all of the new ones. */
int fd_write_file(const char *path, const void *data, size_t len, unsigned mode, struct err *err);

int fd_write_all(int fd, const void *data, size_t len, struct err *err);
/* Exactly len bytes; -ENODATA when the stream ended before. */
int fd_read_exact(int fd, void *data, size_t len, struct err *err);
/* The same on a socket or pipe, with a deadline (poll); -ETIMEDOUT. */
int fd_write_by(int fd, const void *data, size_t len, struct deadline by, struct err *err);
int fd_read_by(int fd, void *data, size_t len, struct deadline by, struct err *err);

int fd_sync_dir(const char *path, struct err *err);
int fd_mkdir_p(const char *path, unsigned mode, struct err *err);
int fd_rm_rf(const char *path,
             struct err *err); /* a missing path is success; never follows links */
bool fd_exists(const char *path);

/* 2n hexadecimal digits of the kernel's randomness into out[2n + 1]. */
void fd_random_hex(char *out, size_t n);

#endif

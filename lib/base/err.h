/* What went wrong, carried on the caller's stack.
 *
 * Thread: a struct err belongs to one thread; nothing here locks or allocates.
 * Convention of the whole tree: `int f(in…, T **ret, struct err *err)` returns 0 on success,
 * a negative errno-like code on failure with err filled, or a positive outcome that the
 * function's header names. On failure nothing is written to ret. */
#ifndef ROOST_BASE_ERR_H
#define ROOST_BASE_ERR_H

enum { ERR_MSG_MAX = 512 };

struct err {
	int code;              /* negative errno-like; 0 while nothing failed */
	char msg[ERR_MSG_MAX]; /* one line for a person; cut, never overrun */
};

#define ERR_INIT { .code = 0, .msg = "" }

/* Fills err and returns code, so that `return err_set(err, -EINVAL, "…")` reads as one line.
 * A code that is not negative is a caller's slip and becomes -EIO. err may be NULL; err->msg may be
 * an argument. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with strerror(errno) appended; code is -errno. */
int err_errno(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before what err says already; returns err's code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

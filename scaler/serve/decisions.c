#include "scaler/serve/decisions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "scaler/policy/log.h"
#include "scaler/serve/pools.h"

struct serve_decisions {
	char *path; /* NULL: stderr */
	int fd;
	int64_t size;
	bool complained;
};

static int open_file(struct serve_decisions *d, struct err *err)
{
	struct stat st;
	d->fd = open(d->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (d->fd < 0 || fstat(d->fd, &st) < 0)
		return err_errno(err, "decision log %s", d->path);
	d->size = st.st_size;
	return 0;
}

int serve_decisions_open(const char *path, struct serve_decisions **ret, struct err *err)
{
	struct serve_decisions *d = xcalloc(1, sizeof(*d));
	d->fd = STDERR_FILENO;
	d->path = strcmp(path, "-") == 0 ? NULL : xstrdup(path);
	int rc = d->path ? open_file(d, err) : 0;
	if (rc < 0)
		serve_decisions_close(d);
	else
		*ret = d;
	return rc;
}

void serve_decisions_close(struct serve_decisions *d)
{
	if (!d)
		return;
	if (d->path)
		fd_closep(&d->fd);
	free(d->path);
	free(d);
}

static void turn_over(struct serve_decisions *d)
{
	autofree char *old = xasprintf("%s.1", d->path);
	(void)rename(d->path, old);
	fd_closep(&d->fd);
	(void)open_file(d, NULL);
}

void serve_decisions_add(struct serve_decisions *d, const char *key,
                         const struct source_limits *limits, const struct source_snapshot *snap,
                         int64_t now_ms, const struct policy_state *before,
                         const struct policy_decision *made)
{
	_cleanup_buf_ struct buf line = BUF_INIT(POLICY_LOG_LINE_MAX);
	struct err err = ERR_INIT;
	int rc = policy_log_write(key, limits, snap, now_ms, before, made, &line);
	if (rc == 0 && d->path && (d->fd < 0 || d->size + (int64_t)line.len > SERVE_LOG_MAX))
		turn_over(d);
	if (rc == 0)
		rc = fd_write_all(d->fd, line.p, line.len, &err);
	d->size += (int64_t)line.len;
	if (rc < 0 && !d->complained)
		log_warn("decision log: %s", err.msg[0] ? err.msg : strerror(-rc));
	d->complained = rc < 0;
}

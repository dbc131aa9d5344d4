/* The result of a query, from the worker that holds it to a reader here: whole before its first row is used. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/coord/coord_priv.h"
#include "engine/exchange/format.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/fd.h"

struct spool {
	struct run *r;
	int fd;
	int64_t size;
	bool on_disk;
	bool broken; /* could not be written: our own fault, not the worker's */
};

/* From memory to an unlinked file. */
static int move_to_disk(struct spool *s)
{
	autofree char *path = xasprintf("%s/roost-result-XXXXXX", coord_spool_dir(s->r->c));
	_cleanup_(fd_closep) int fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		return err_errno(s->r->err, "spool file %s", path);
	(void)unlink(path);
	char block[16 * 1024];
	if (lseek(s->fd, 0, SEEK_SET) < 0)
		return err_errno(s->r->err, "spool");
	for (;;) {
		ssize_t n = read(s->fd, block, sizeof(block));
		if (n < 0)
			return err_errno(s->r->err, "spool");
		if (n == 0)
			break;
		int rc = fd_write_all(fd, block, (size_t)n, s->r->err);
		if (rc < 0)
			return rc;
	}
	fd_closep(&s->fd);
	s->fd = TAKE_FD(fd);
	s->on_disk = true;
	return 0;
}

static int on_body(void *arg, int status, const char *data, size_t len)
{
	struct spool *s = arg;
	if (status != 200)
		return 0;
	s->size += (int64_t)len;
	int rc = 0;
	if (s->size > COORD_RESULT_MAX)
		rc = err_set(s->r->err, SQL_ERR(1105),
		             "The result is larger than %lld bytes: write it to a table instead",
		             (long long)COORD_RESULT_MAX);
	else if (!s->on_disk && s->size > COORD_RESULT_MEMORY)
		rc = move_to_disk(s);
	if (rc == 0)
		rc = fd_write_all(s->fd, data, len, s->r->err);
	s->broken = rc < 0;
	return rc;
}

/* Why the call for the result goes on no longer. */
enum stop { GO_ON, CANCELLED, SILENT };

static enum stop should_stop(const struct run *r, const struct run_task *t)
{
	if (r->job->cancelled && r->job->cancelled(r->job->arg))
		return CANCELLED;
	return coord_is_silent(r->c, &r->d->nodes[t->node]) ? SILENT : GO_ON;
}

static int run_get(struct run *r, const struct run_task *t, struct spool *s, const char *url,
                   bool *ret_again)
{
	http_reply_free(&r->fetched);
	r->fetched = (struct http_reply)HTTP_REPLY_INIT;
	r->fetch = (struct http_call){ .url = url,
		                       .bearer = r->token.len ? buf_cstr(&r->token) : NULL,
		                       .by = r->job->by,
		                       .on_body = on_body,
		                       .arg = s };
	int rc = http_batch_add(r->batch, &r->fetch, &r->fetched, r, r->err);
	if (rc < 0)
		return rc;
	struct http_done done = { 0 };
	enum stop stop = GO_ON;
	do {
		rc = http_batch_next(r->batch, deadline_in(COORD_TICK_MS), &done, r->err);
		if (rc == HTTP_BATCH_WAIT && stop == GO_ON && (stop = should_stop(r, t)) != GO_ON)
			http_batch_cancel(r->batch, r);
	} while (rc == HTTP_BATCH_WAIT || (rc == 0 && done.tag != r));
	if (rc != 0)
		return rc < 0 ? rc : err_set(r->err, -EIO, "the result's call was lost");
	if (stop == CANCELLED)
		return err_set(r->err, SQL_ERR(1317), "Query execution was interrupted");
	if (done.rc == 0 && done.reply->status == 200)
		return 0;
	if (s->broken)
		return r->err->code;
	*ret_again = true;
	if (done.rc < 0)
		return err_set(r->err, done.rc, "fetching the result: %s", done.err.msg);
	return err_set(r->err, -EIO, "fetching the result: status %d", done.reply->status);
}

int coord_fetch(struct run *r, const struct run_task *t, struct xchg_reader **ret, bool *ret_again)
{
	*ret_again = false;
	_cleanup_(fd_closep) int fd = -1;
	autofree char *url = xasprintf("http://%s/rpc/v1/exchange/%s/%zu/%zu/%d?from=0&to=1",
	                               r->d->nodes[t->node].rpc, r->job->query_id, t->stage,
	                               t->task, t->attempts - 1);
	struct spool s = { .r = r, .fd = memfd_create("roost-result", MFD_CLOEXEC) };
	if (s.fd < 0)
		return err_errno(r->err, "memfd_create");
	int rc = run_get(r, t, &s, url, ret_again);
	fd = s.fd;
	if (rc < 0)
		return rc;
	struct xchg_reader *reader = NULL;
	rc = xchg_reader_open_fd(TAKE_FD(fd), &reader, r->err);
	if (rc < 0) { /* cut or damaged on the way */
		*ret_again = true;
		return err_wrap(r->err, "the result of task %zu.%zu", t->stage, t->task);
	}
	*ret = reader;
	return 0;
}

/* Reading an object in parallel ranges, each with its own retries; what arrived is not asked for again. */
#include "engine/s3/s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/s3/request.h"

enum { IDLE_MS = 10000, REFUSAL_MAX = 4096, WAIT_MS = 1000 };

struct part {
	struct get *get;
	int64_t at, end; /* what is still missing: [at, end) */
	unsigned attempt;
	int64_t not_before_ms;
	bool under_way, whole; /* whole: asked for without a range */
	int io_error;          /* errno of the local write */
	struct s3_request request;
	struct http_reply reply;
	struct buf refusal; /* the body of an answer that is not data */
	char range[64];
};

struct get {
	struct s3_client *client;
	const struct s3_target *target;
	const char *key;
	const struct s3_object *known;
	const struct s3_wait *wait;
	int fd;
	int64_t next; /* the first byte that no part covers yet */
	struct part parts[S3_PARALLEL];
};

static int on_body(void *arg, int status, const char *data, size_t len)
{
	struct part *p = arg;
	if (status != 206 && !(status == 200 && p->whole)) {
		(void)buf_add(&p->refusal, data, len);
		return 0;
	}
	while (len) {
		if ((int64_t)len > p->end - p->at)
			return 1; /* more than was asked for */
		ssize_t n = pwrite(p->get->fd, data, len, p->at);
		if (n < 0) {
			p->io_error = errno;
			return 1;
		}
		p->at += n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static bool should_stop(void *arg)
{
	const struct s3_wait *wait = ((struct part *)arg)->get->wait;
	return wait->should_stop && wait->should_stop(wait->arg);
}

static int part_send(struct part *p, struct err *err)
{
	struct get *g = p->get;
	p->whole = p->at == 0 && p->end == g->known->bytes;
	(void)snprintf(p->range, sizeof(p->range), "bytes=%lld-%lld", (long long)p->at,
	               (long long)p->end - 1);
	const struct s3_spec spec = { .method = "GET",
		                      .key = g->key,
		                      .payload_hash = S3_HASH_EMPTY,
		                      .range = p->whole ? NULL : p->range,
		                      .if_match = g->known->etag };
	int rc = s3_request_build(g->target, &spec, &p->request, err);
	if (rc < 0)
		return rc;
	http_reply_free(&p->reply);
	p->reply = (struct http_reply)HTTP_REPLY_INIT;
	buf_reset(&p->refusal);
	const struct http_call call = { .method = "GET",
		                        .url = p->request.url,
		                        .headers = p->request.list,
		                        .by = g->wait->by,
		                        .idle_timeout_ms = IDLE_MS,
		                        .on_body = on_body,
		                        .should_stop = should_stop,
		                        .arg = p };
	rc = http_batch_add(g->client->batch, &call, &p->reply, p, err);
	p->under_way = rc == 0;
	return rc;
}

/* The next range for a free part; false when every byte is asked for. */
static bool part_claim(struct get *g, struct part *p)
{
	if (g->next >= g->known->bytes)
		return false;
	p->at = g->next;
	p->end = g->next + S3_PART_BYTES < g->known->bytes ? g->next + S3_PART_BYTES
	                                                   : g->known->bytes;
	p->attempt = 0;
	p->not_before_ms = 0;
	g->next = p->end;
	return true;
}

static int part_done(struct part *p, const struct http_done *done, struct err *err)
{
	struct get *g = p->get;
	int status = done->reply->status, rc = done->rc;
	bool data = status == 206 || status == 200;
	p->under_way = false;
	s3_request_free(&p->request);
	if (p->io_error)
		return err_set(err, -p->io_error, "writing s3://%s/%s to disk: %s",
		               g->target->bucket, g->key, strerror(p->io_error));
	if (data && p->at == p->end)
		return 0;
	if (data && rc == -ECANCELED && !should_stop(p))
		return err_set(err, -ESTALE, "s3://%s/%s: is larger than the catalog says",
		               g->target->bucket, g->key);
	if (data && rc == 0)
		rc = err_set(err, -ECONNRESET, "the answer ended early");
	else if (rc < 0)
		*err = done->err;
	int64_t pause = s3_request_pause(p->attempt, rc, done->reply, g->wait->by);
	if (pause < 0)
		return s3_request_fail(g->target, g->key, rc, status,
		                       (struct str){ buf_cstr(&p->refusal), p->refusal.len }, err);
	p->attempt++;
	p->not_before_ms = clock_mono_ms() + pause;
	return 0;
}

/* Sends what can be sent; *ret_open: whether anything is missing still. */
static int get_fill(struct get *g, bool *ret_open, struct err *err)
{
	int64_t now = clock_mono_ms();
	*ret_open = false;
	for (size_t i = 0; i < S3_PARALLEL; i++) {
		struct part *p = &g->parts[i];
		if (p->at == p->end && !part_claim(g, p))
			continue;
		*ret_open = true;
		if (p->under_way || p->not_before_ms > now)
			continue;
		int rc = part_send(p, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int get_run(struct get *g, struct err *err)
{
	for (;;) {
		bool open;
		struct http_done done;
		int rc = get_fill(g, &open, err);
		if (rc < 0 || !open)
			return rc;
		if (should_stop(&g->parts[0]))
			return err_set(err, -ECANCELED, "cancelled");
		if (deadline_passed(g->wait->by))
			return err_set(err, -ETIMEDOUT, "s3://%s/%s: out of time",
			               g->target->bucket, g->key);
		rc = http_batch_next(g->client->batch, deadline_in(WAIT_MS), &done, err);
		if (rc < 0)
			return rc;
		if (rc == HTTP_BATCH_IDLE)
			clock_sleep_ms(10); /* every part waits for its next try */
		if (rc == 0)
			rc = part_done(done.tag, &done, err);
		if (rc < 0)
			return rc;
	}
}

int s3_get_file(struct s3_client *c, const struct s3_target *t, const char *key,
                const struct s3_object *known, int fd, const struct s3_wait *wait, struct err *err)
{
	struct get g = {
		.client = c, .target = t, .key = key, .known = known, .wait = wait, .fd = fd
	};
	int rc = c->batch ? 0 : http_batch_new(NULL, &c->batch, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < S3_PARALLEL; i++) {
		g.parts[i].get = &g;
		g.parts[i].reply = (struct http_reply)HTTP_REPLY_INIT;
		g.parts[i].refusal = (struct buf)BUF_INIT(REFUSAL_MAX);
	}
	rc = get_run(&g, err);
	if (rc < 0) { /* calls may be under way that write into g */
		http_batch_free(c->batch);
		c->batch = NULL;
	}
	for (size_t i = 0; i < S3_PARALLEL; i++) {
		s3_request_free(&g.parts[i].request);
		http_reply_free(&g.parts[i].reply);
		buf_free(&g.parts[i].refusal);
	}
	return rc;
}

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/base/vec.h"
#include "lib/net/http_client.h"
#include "lib/net/http_client_priv.h"

enum { POLL_MAX_MS = 500 };

/* One call of a batch; its easy handle is kept for the next one. */
struct op {
	struct http_xfer x; /* first: curl keeps a pointer to it */
	CURL *easy;
	struct op *idle; /* the next one that is not busy */
	void *tag;
	bool busy;
	bool cancelled; /* out of the multi handle, completion not yet handed out */
};

struct http_batch {
	struct http_tls_copy tls;
	CURLM *multi;
	VEC(struct op *) ops;
	struct op *idle;
	size_t busy;
	size_t cancelled;
	bool keeps; /* a connection for each peer */
};

int http_batch_new(const struct http_tls *tls, struct http_batch **ret, struct err *err)
{
	http_client_init_once();
	struct http_batch *b = xcalloc(1, sizeof(*b));
	http_tls_copy(tls, &b->tls);
	b->multi = curl_multi_init();
	if (!b->multi) {
		http_batch_free(b);
		return err_set(err, -ENOMEM, "cannot make an HTTP batch");
	}
	*ret = b;
	return 0;
}

void http_batch_free(struct http_batch *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->ops.n; i++) {
		struct op *op = b->ops.v[i];
		if (op->busy && !op->cancelled)
			(void)curl_multi_remove_handle(b->multi, op->easy);
		if (op->busy)
			http_xfer_drop(&op->x);
		curl_easy_cleanup(op->easy);
		free(op);
	}
	vec_free(&b->ops);
	(void)curl_multi_cleanup(b->multi);
	http_tls_copy_free(&b->tls);
	free(b);
}

void http_batch_keep(struct http_batch *b, size_t connections)
{
	b->keeps = true;
	(void)curl_multi_setopt(b->multi, CURLMOPT_MAXCONNECTS, (long)connections);
}

static struct op *free_op(struct http_batch *b)
{
	struct op *op = b->idle;
	if (op)
		return op;
	op = xcalloc(1, sizeof(*op));
	op->easy = curl_easy_init();
	if (!op->easy)
		abort();
	vec_push(&b->ops, op);
	b->idle = op;
	return op;
}

int http_batch_add(struct http_batch *b, const struct http_call *call, struct http_reply *reply,
                   void *tag, struct err *err)
{
	struct op *op = free_op(b);
	curl_easy_reset(op->easy);
	int rc = http_xfer_begin(&op->x, op->easy, &b->tls, call, reply, err);
	if (rc < 0)
		return rc;
	/* With kept connections each name is looked up once, and curl walks through those it remembers at each call's end. */
	if (b->keeps)
		curl_easy_setopt(op->easy, CURLOPT_DNS_CACHE_TIMEOUT, 0L);
	CURLMcode code = curl_multi_add_handle(b->multi, op->easy);
	if (code != CURLM_OK) {
		http_xfer_drop(&op->x);
		return err_set(err, -EIO, "HTTP batch: %s", curl_multi_strerror(code));
	}
	b->idle = op->idle;
	op->tag = tag;
	op->busy = true;
	op->cancelled = false;
	b->busy++;
	return 0;
}

void http_batch_cancel(struct http_batch *b, const void *tag)
{
	for (size_t i = 0; i < b->ops.n; i++) {
		struct op *op = b->ops.v[i];
		if (!op->busy || op->cancelled || op->tag != tag)
			continue;
		(void)curl_multi_remove_handle(b->multi, op->easy);
		op->x.why = -ECANCELED;
		op->cancelled = true;
		b->cancelled++;
	}
}

static void hand_out(struct http_batch *b, struct op *op, CURLcode code, struct http_done *ret)
{
	*ret = (struct http_done){ .tag = op->tag, .reply = op->x.reply, .err = ERR_INIT };
	ret->rc = http_xfer_end(&op->x, code, &ret->err);
	op->busy = op->cancelled = false;
	op->idle = b->idle;
	b->idle = op;
	b->busy--;
}

static bool next_cancelled(struct http_batch *b, struct http_done *ret)
{
	for (size_t i = 0; b->cancelled && i < b->ops.n; i++) {
		struct op *op = b->ops.v[i];
		if (op->busy && op->cancelled) {
			b->cancelled--;
			hand_out(b, op, CURLE_ABORTED_BY_CALLBACK, ret);
			return true;
		}
	}
	return false;
}

static bool next_completed(struct http_batch *b, struct http_done *ret)
{
	int left = 0;
	for (CURLMsg *m = curl_multi_info_read(b->multi, &left); m;
	     m = curl_multi_info_read(b->multi, &left)) {
		if (m->msg != CURLMSG_DONE)
			continue;
		CURLcode code = m->data.result;
		CURL *easy = m->easy_handle;
		char *xfer = NULL;
		(void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &xfer);
		(void)curl_multi_remove_handle(b->multi, easy);
		hand_out(b, (struct op *)(void *)xfer, code, ret);
		return true;
	}
	return false;
}

int http_batch_next(struct http_batch *b, struct deadline by, struct http_done *ret,
                    struct err *err)
{
	/* What one round completed is handed out before the next: a round looks at every call under way. */
	if (next_cancelled(b, ret) || next_completed(b, ret))
		return 0;
	for (;;) {
		int running = 0;
		CURLMcode code = curl_multi_perform(b->multi, &running);
		if (code != CURLM_OK)
			return err_set(err, -EIO, "HTTP batch: %s", curl_multi_strerror(code));
		if (next_cancelled(b, ret) || next_completed(b, ret))
			return 0;
		if (b->busy == 0)
			return HTTP_BATCH_IDLE;
		int64_t left = deadline_left_ms(by);
		if (left == 0)
			return HTTP_BATCH_WAIT;
		code = curl_multi_poll(b->multi, NULL, 0,
		                       left > POLL_MAX_MS ? POLL_MAX_MS : (int)left, NULL);
		if (code != CURLM_OK)
			return err_set(err, -EIO, "HTTP batch: %s", curl_multi_strerror(code));
	}
}

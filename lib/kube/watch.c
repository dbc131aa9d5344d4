#include "lib/kube/watch.h"

#include <errno.h>

#include "lib/data/json.h"
#include "lib/kube/request.h"

enum { REFUSAL_MAX = 64 * 1024, BACKOFF_MS = 200 };

/* ---- framing ---- */
static int error_event(const json_t *object, struct err *err)
{
	const char *message = data_get_str(object, "message");
	int64_t code = data_get_int(object, "code", 0);
	err_set(err, -EPROTO, "the watch ended with %lld: %.300s", (long long)code,
	        message ? message : "no message");
	return code == 410 ? KUBE_GONE : KUBE_BUSY;
}

static int one_event(struct kube_frames *f, struct str line, struct err *err)
{
	_cleanup_json_ json_t *event = NULL;
	if (str_trim(line).len == 0)
		return 0;
	if (data_json_parse(line, &event, err) < 0) {
		err_wrap(err, "watch event");
		return -EPROTO;
	}
	const char *type = data_get_str(event, "type");
	json_t *object = json_object_get(event, "object");
	if (!type || !json_is_object(object))
		return err_set(err, -EPROTO, "a watch event without type or object");
	if (strcmp(type, "ERROR") == 0)
		return error_event(object, err);
	const char *version = data_get_str(object, "metadata.resourceVersion");
	if (!version || strlen(version) >= sizeof(f->version))
		return err_set(err, -EPROTO, "a watch event without resourceVersion");
	if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0)
		f->on_change(f->arg, KUBE_PUT, object);
	else if (strcmp(type, "DELETED") == 0)
		f->on_change(f->arg, KUBE_DELETED, object);
	else if (strcmp(type, "BOOKMARK") != 0)
		return err_set(err, -EPROTO, "a watch event of type %.32s", type);
	/* Only now: a resume after a cut must not skip an event that was not handed out. */
	memcpy(f->version, version, strlen(version) + 1);
	return 0;
}

int kube_frames_feed(struct kube_frames *f, const char *data, size_t len, struct err *err)
{
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		if (buf_add(&f->line, data, n) < 0)
			return err_set(err, -E2BIG, "a watch event passes %d bytes",
			               KUBE_EVENT_MAX);
		if (!end)
			return 0;
		if (f->slim && f->line.len > 0)
			kube_slim(f->slim, &f->line);
		int rc = one_event(f, (struct str){ buf_cstr(&f->line), f->line.len }, err);
		if (rc != 0)
			return rc;
		/* One huge object must not keep its memory for the life of the watch. */
		if (f->line.cap > 256 * 1024)
			buf_free(&f->line);
		else
			buf_reset(&f->line);
		data += n + 1;
		len -= n + 1;
	}
	return 0;
}

/* ---- one watch request ---- */
struct run {
	struct kube_client *c;
	const struct kube_watch_config *w;
	struct kube_frames frames;
	struct buf refusal;
	int status;
	int rc; /* from the frames */
	struct err err;
};

static int on_body(void *arg, int status, const char *data, size_t len)
{
	struct run *r = arg;
	r->status = status;
	if (status != 200) {
		buf_add(&r->refusal, data, len);
		return 0;
	}
	r->rc = kube_frames_feed(&r->frames, data, len, &r->err);
	return r->rc != 0;
}

static bool should_stop(void *arg)
{
	struct run *r = arg;
	return r->w->should_stop && r->w->should_stop(r->w->arg);
}

static int watch_once(struct run *r, struct err *err)
{
	const struct kube_watch_config *w = r->w;
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	_cleanup_buf_ struct buf path = BUF_INIT(8192);
	int timeout_s = w->timeout_s ? w->timeout_s : 300;
	const char *headers[] = { w->query.metadata_only ? "Accept: application/json;"
		                                           "as=PartialObjectMetadata;"
		                                           "g=meta.k8s.io;v=v1"
		                                         : "Accept: application/json",
		                  NULL };
	kube_query_path(&w->query, &path);
	buf_addf(&path, "%cwatch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=",
	         memchr(path.p, '?', path.len) ? '&' : '?', timeout_s);
	http_url_encode(str_of(r->frames.version), false, &path);
	if (path.overflow)
		return err_set(err, -E2BIG, "watch of %s: the query is too long",
		               w->query.kind->plural);
	struct http_call call = {
		.method = "GET",
		.headers = headers,
		.by = deadline_in((int64_t)timeout_s * 1000 + 30000),
		.idle_timeout_ms = w->idle_ms ? w->idle_ms : 90000,
		.on_body = on_body,
		.should_stop = should_stop,
		.arg = r,
	};
	r->status = 0;
	r->rc = 0;
	buf_reset(&r->refusal);
	buf_reset(&r->frames.line);
	int rc = kube_call(r->c, &call, path.p, &reply, err);
	if (r->rc != 0) {
		*err = r->err;
		return r->rc;
	}
	if (rc < 0)
		return rc;
	if (reply.status != 200)
		return kube_refusal(r->c, reply.status,
		                    (struct str){ buf_cstr(&r->refusal), r->refusal.len },
		                    reply.retry_after_ms, err);
	return 0;
}

/* ---- list, then watch until the list must be fresh again ---- */
static int put_item(void *arg, json_t *item)
{
	struct run *r = arg;
	r->w->on_change(r->w->arg, KUBE_PUT, item);
	return should_stop(r) ? -ECANCELED : 0;
}

static int put_text(void *arg, struct str item)
{
	struct run *r = arg;
	r->w->on_listed(r->w->arg, item);
	return should_stop(r) ? -ECANCELED : 0;
}

static int list(struct run *r, struct err *err)
{
	autofree char *version = NULL;
	r->w->on_change(r->w->arg, KUBE_LIST_BEGIN, NULL);
	int rc = r->w->on_listed ? kube_list_text(r->c, &r->w->query, put_text, r, &version, err)
	                         : kube_list(r->c, &r->w->query, put_item, r, &version, err);
	if (rc != 0)
		return rc;
	if (strlen(version) >= sizeof(r->frames.version))
		return err_set(err, -EPROTO, "a list without a usable resourceVersion");
	memcpy(r->frames.version, version, strlen(version) + 1);
	r->w->on_change(r->w->arg, KUBE_LIST_END, NULL);
	return 0;
}

static void pause_for(struct run *r, int64_t ms)
{
	struct deadline by = deadline_in(ms);
	while (!deadline_passed(by) && !should_stop(r)) {
		int64_t left = deadline_left_ms(by);
		clock_sleep_ms(left < 200 ? left : 200);
	}
}

/* ---- how soon again ---- */
int64_t kube_pace_next(struct kube_pace *p, const struct kube_try *t)
{
	unsigned *failed = &p->failed[t->watch];
	bool passes = t->rc <= 0 || t->rc == KUBE_BUSY || t->rc == KUBE_GONE;
	/* What nobody answered in time has taken its time. */
	bool well = t->watch ? t->heard || t->lasted_ms >= KUBE_PACE_CUT_MS || t->rc == -ETIMEDOUT
	                     : t->rc == 0;
	if (well)
		*failed = 0;
	if (!t->watch && t->rc == 0)
		return 0;
	unsigned n = (*failed)++;
	if (n == 0 && passes && t->rc != KUBE_BUSY)
		return http_backoff_ms(0, KUBE_PACE_FIRST_MS, KUBE_PACE_FIRST_MS);
	int64_t wait =
		http_backoff_ms(n, BACKOFF_MS, passes ? KUBE_PACE_CUT_MS : KUBE_PACE_REFUSED_MS);
	int64_t asked = t->rc == KUBE_BUSY ? t->asked_ms : -1;
	if (asked > KUBE_PACE_ASKED_MS)
		asked = KUBE_PACE_ASKED_MS;
	return asked > wait ? asked : wait;
}

/* After a failure: whether the version is still good to go on from. */
static bool resumable(int rc)
{
	return rc != KUBE_GONE && rc != KUBE_NOT_FOUND && rc != KUBE_INVALID && rc != -E2BIG;
}

/* One list or one watch. */
static struct kube_try once(struct run *r, bool watch, struct err *err)
{
	autofree char *from = xstrdup(r->frames.version);
	int64_t began = clock_mono_ms();
	struct kube_try t = { .watch = watch };
	t.rc = watch ? watch_once(r, err) : list(r, err);
	t.lasted_ms = clock_mono_ms() - began;
	t.heard = watch && strcmp(from, r->frames.version) != 0;
	t.asked_ms = kube_client_retry_ms(r->c);
	return t;
}

void kube_watch_run(struct kube_client *c, const struct kube_watch_config *w)
{
	struct run r = { .c = c,
		         .w = w,
		         .frames = KUBE_FRAMES_INIT(w->on_change, w->arg),
		         .refusal = BUF_INIT(REFUSAL_MAX) };
	struct kube_pace pace = { 0 };
	bool listed = false, quiet = false;
	r.frames.slim = c;
	while (!should_stop(&r)) {
		struct err err = ERR_INIT;
		struct kube_try t = once(&r, listed, &err);
		/* Nothing at all for a while is usual once where nothing changes; twice may be a dead line. */
		bool silence = listed && t.rc == -ETIMEDOUT && !quiet;
		bool trouble = t.rc != 0 && !silence;
		quiet = silence;
		if (trouble && should_stop(&r))
			break;
		listed = trouble ? listed && resumable(t.rc) : true;
		if (trouble && w->on_trouble)
			w->on_trouble(w->arg, t.rc, &err);
		pause_for(&r, kube_pace_next(&pace, &t));
	}
	buf_free(&r.frames.line);
	buf_free(&r.refusal);
}

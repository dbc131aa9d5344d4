/* Keep a callback informed of every object of one Kubernetes collection, for ever.
 *
 * Lists, then watches from there with bookmarks; resumes after a cut at once, lists again after 410, backs off with
 * jitter while it fails again and again (kube_pace_next()). Half-open connections end by timeoutSeconds and an idle deadline.
 * Thread: kube_watch_run() blocks its thread, and the callbacks run on it; nothing here locks.
 * Ownership: the object in a callback is borrowed; dump or deep-copy it to hand it to another thread.
 * Limits: one event is at most KUBE_EVENT_MAX bytes; a larger one makes the watch list again. */
#ifndef ROOST_KUBE_WATCH_H
#define ROOST_KUBE_WATCH_H

#include "lib/kube/client.h"

enum { KUBE_EVENT_MAX = 8 * 1024 * 1024 };

enum kube_change {
	KUBE_LIST_BEGIN, /* object NULL: a fresh list follows */
	KUBE_PUT,        /* the object is there, as given */
	KUBE_DELETED,    /* the object is gone; given as it last was */
	KUBE_LIST_END,   /* object NULL: whatever was not PUT since KUBE_LIST_BEGIN is gone */
};

struct kube_watch_config {
	struct kube_list_query query; /* borrowed for the time of the run */
	int64_t idle_ms;              /* no byte for so long cuts the connection; 0: 90 s */
	int timeout_s;                /* the server ends a watch after this; 0: 300 */
	void (*on_change)(void *arg, enum kube_change change, json_t *object);
	/* May be NULL: a list's items come here, each as its text (kube_list_text()), and not by KUBE_PUT. */
	void (*on_listed)(void *arg, struct str item);
	/* May be NULL. The watch goes on by itself; rc as kube_list(). Called once a failed try. */
	void (*on_trouble)(void *arg, int rc, const struct err *err);
	/* Asked about once a second and before each try. */
	bool (*should_stop)(void *arg);
	void *arg;
};

/* Returns when should_stop says so. */
void kube_watch_run(struct kube_client *c, const struct kube_watch_config *w);

/* ---- how soon it tries again, apart so that it can be tested ---- */
enum {
	KUBE_PACE_FIRST_MS = 50, /* after the first failure of what went well before */
	KUBE_PACE_CUT_MS = 3000, /* at most, after what passes by itself: a cut, a busy server */
	KUBE_PACE_REFUSED_MS = 10000, /* at most, after what does not: no such kind, no right */
	KUBE_PACE_ASKED_MS = 30000,   /* at most, when the server says how long (Retry-After) */
};
struct kube_pace {
	unsigned failed[2]; /* in a row: lists, watches */
};
struct kube_try { /* that has ended */
	int rc;
	bool watch, heard;           /* heard: an event or a bookmark came */
	int64_t lasted_ms, asked_ms; /* asked: -1: nothing */
};
/* Milliseconds until the next. A watch counts as well when it told something or lasted as long as the longest pause after a
 * cut; one that ends at once counts as failed, whatever it ended with. */
int64_t kube_pace_next(struct kube_pace *p, const struct kube_try *t);

/* ---- the framing, apart so that it can be fuzzed ---- */
enum kube_frame_end { KUBE_FRAME_GONE = KUBE_GONE };
struct kube_frames {
	struct buf line;
	const struct kube_client
		*slim;    /* events lose what this client wants no more; may be NULL */
	char version[64]; /* of the last event or bookmark: where to resume */
	void (*on_change)(void *arg, enum kube_change change, json_t *object);
	void *arg;
};
#define KUBE_FRAMES_INIT(fn, a) \
	{ .line = BUF_INIT(KUBE_EVENT_MAX), .version = "", .on_change = (fn), .arg = (a) }
/* Takes a piece of the stream. KUBE_GONE: the server wants a fresh list; -EPROTO: not an event;
 * -E2BIG: an event too large; KUBE_BUSY: another ERROR event. */
int kube_frames_feed(struct kube_frames *f, const char *data, size_t len, struct err *err);

#endif

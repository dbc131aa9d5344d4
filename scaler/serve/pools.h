/* Every pool's last snapshot and the decision made from it: what the endpoints answer from.
 *
 * Thread: safe; one lock, held for microseconds; serve_pools_each() and serve_pools_decisions() are one thread's. Feeds on a source's events, runs the policy once per
 * snapshot. Limits: a document is under SERVE_DOCUMENT_MAX bytes. */
#ifndef ROOST_SCALER_SERVE_POOLS_H
#define ROOST_SCALER_SERVE_POOLS_H

#include "lib/base/buf.h"
#include "scaler/policy/policy.h"
#include "scaler/source/source.h"

enum {
	SERVE_DOCUMENT_MAX = 1000,
	SERVE_ADOPT_MS = 1500,
	SERVE_LOG_MAX = 32 * 1024 * 1024,
	SERVE_HISTORY_MAX = 512 * 1024
};

struct serve_pools;
struct serve_pools *serve_pools_new(int64_t max_age_ms);
void serve_pools_free(struct serve_pools *p);
/* Before the source starts. path: where decisions are appended (policy/log.h) when a pool changes its mind; NULL:
 * nowhere; "-": stderr. A file that grows past SERVE_LOG_MAX is renamed to path.1. */
int serve_pools_log(struct serve_pools *p, const char *path, struct err *err);
/* The callbacks for source_start(). */
struct source_events serve_pools_events(struct serve_pools *p);
/* Whether all pools are known: before that, a pool that is not found may still come. */
void serve_pools_complete(struct serve_pools *p, bool complete);
bool serve_pools_are_complete(const struct serve_pools *p);

enum serve_found { SERVE_FRESH, SERVE_STALE, SERVE_UNKNOWN };
/* SERVE_FRESH: the document is in out. SERVE_STALE: why is in err.
 * SERVE_UNKNOWN: no such pool. */
enum serve_found serve_pools_document(struct serve_pools *p, const char *key, struct buf *out,
                                      struct err *err);

/* Replicas (replica.h). One that does not lead answers what the leader decided, as long as that is no older than
 * SERVE_ADOPT_MS. epoch: of the lease, in every answer; 0: there is none. At first a replica leads. */
void serve_pools_role(struct serve_pools *p, bool leads, int64_t epoch);
/* {"epoch":1,"pools":{"ns/c/cn":3}}: of all pools whose load is known. */
void serve_pools_decisions(struct serve_pools *p, struct buf *out);
void serve_pools_adopt(struct serve_pools *p, const char *key, int64_t desired);

/* Histories (keep.h): those to be read once, or those that changed since they were last handed out, if that was before
 * `before_ms` on the monotonic clock. fn answers whether it took one: false ends the walk, and that one stays. */
enum serve_history_kind { SERVE_HISTORY_UNREAD, SERVE_HISTORY_CHANGED };
struct serve_history { /* borrowed for the time of the callback */
	const char *key, *ns, *cluster, *pool, *uid;
	const char *text; /* NULL for those to be read */
	bool house;       /* cluster is "<w>-warehouse", uid that of the StarRocksWarehouse w */
};
void serve_pools_histories(struct serve_pools *p, enum serve_history_kind kind, int64_t before_ms,
                           bool (*fn)(void *arg, const struct serve_history *h), void *arg);
/* text: "" when there is none. -EINVAL: it is not one, and counts as none. */
int serve_pools_history_put(struct serve_pools *p, const char *key, struct str text,
                            struct err *err);

/* The series of a pool. */
enum serve_series {
	SERVE_DESIRED,
	SERVE_CURRENT,
	SERVE_PENDING,
	SERVE_OLDEST_WAIT,
	SERVE_REQUIRED_SLOTS,
	SERVE_RUNNING,
	SERVE_AGE,
	SERVE_SERIES,
};
extern const char *const serve_series_names[SERVE_SERIES];
extern const char *const serve_series_help[SERVE_SERIES];

struct serve_sample {
	const char *ns, *cluster, *pool; /* borrowed for the time of the callback */
	bool known;                      /* a snapshot ever came: the age is a number */
	bool fresh;                      /* the other values count */
	double value[SERVE_SERIES];
};
/* Each pool in turn, from copies that are made a few at a time, so that nobody waits for long; fn without the lock. One that
 * comes or goes meanwhile may be told of or not. One walk at a time. */
void serve_pools_each(struct serve_pools *p, void (*fn)(void *arg, const struct serve_sample *s),
                      void *arg);
/* That pool alone, if it is there. */
void serve_pools_one(struct serve_pools *p, const char *key,
                     void (*fn)(void *arg, const struct serve_sample *s), void *arg);

DEFINE_CLEANUP(struct serve_pools, serve_pools_free)

#endif

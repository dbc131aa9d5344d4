/* Keeps each pool's history over restarts: a ConfigMap <cluster>-roost-history beside its cluster, a key a pool.
 *
 * Read once per pool, written every KEEP_EVERY_MS when it changed and at the end. It belongs to its cluster (owner
 * reference), so that both go together. What cannot be read or written is said once in the log: a forecast is a gift.
 * Thread: one thread, which owns the client. */
#ifndef ROOST_SCALER_SERVE_KEEP_H
#define ROOST_SCALER_SERVE_KEEP_H

#include "lib/kube/client.h"
#include "scaler/serve/pools.h"

enum { SERVE_KEEP_EVERY_MS = 600000 };

/* Some of those that were not read yet; none is begun after `by`. */
void serve_keep_read(struct serve_pools *p, struct kube_client *c, struct deadline by);
/* A batch of those that changed since they were last written, if that was before `before_ms`. 1: there may be more; 0: none;
 * negative: the API server does not answer, and the rest of the batch waits for the next time. */
int serve_keep_write(struct serve_pools *p, struct kube_client *c, int64_t before_ms,
                     struct err *err);

#endif

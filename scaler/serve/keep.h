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

void serve_keep_read(struct serve_pools *p, struct kube_client *c);
/* Those that changed since they were last written. */
void serve_keep_write(struct serve_pools *p, struct kube_client *c);

#endif

/* A thread that asks one StarRocks cluster over and over: its SQL blocks, so that each has a thread of its own.
 *
 * One question at a time, SOURCE_PERIOD_MS apart, each within SOURCE_CALL_MS. A password that was refused is tried
 * again after SOURCE_REFUSED_MS, doubled up to SOURCE_REFUSED_MAX_MS (no account is locked by us), or at once when its
 * file changes. Thread: stop and join from any other. */
#ifndef ROOST_SCALER_SOURCE_ASKER_H
#define ROOST_SCALER_SOURCE_ASKER_H

#include "lib/net/http_client.h"
#include "scaler/source/source.h"

struct source_asker;
/* rc < 0: err says why there is no snapshot. */
typedef void (*source_told)(void *arg, const struct source_asker *who, int rc,
                            const struct source_load *load, const struct err *err);
int source_asker_start(const struct source_login *login, const struct http_tls *tls, source_told fn,
                       void *arg, struct source_asker **ret, struct err *err);
void source_asker_want(struct source_asker *a, bool be); /* the backends, too */
void source_asker_stop(struct source_asker *a);          /* does not wait; fn may still be called */
void source_asker_join(struct source_asker *a); /* stops, waits for the call to be cut, frees */

#endif

/* A thread for the answers that walk through all pools, so that an answer about one pool waits for none of them.
 *
 * Thread: safe. One answer at a time, in order; SERVE_SCRIBE_MAX may wait, the next one is told 503. */
#ifndef ROOST_SCALER_SERVE_SCRIBE_H
#define ROOST_SCALER_SERVE_SCRIBE_H

#include "lib/base/mem.h"
#include "lib/net/http_server.h"

enum { SERVE_SCRIBE_MAX = 64 };

struct serve_scribe;
int serve_scribe_start(struct serve_scribe **ret, struct err *err);
/* Has fn answer the request on the scribe's thread. From a handler. */
void serve_scribe_hand(struct serve_scribe *s, struct http_req *r, http_handler fn, void *arg);
/* What waits is told 503, and so is what is handed in later. Before the server stops. */
void serve_scribe_stop(struct serve_scribe *s);
/* After the server stopped. */
void serve_scribe_free(struct serve_scribe *s);

DEFINE_CLEANUP(struct serve_scribe, serve_scribe_free)

#endif

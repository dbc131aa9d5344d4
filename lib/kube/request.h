/* Inside the room: what client.c and watch.c share.
 *
 * Thread: as the client. */
#ifndef ROOST_KUBE_REQUEST_H
#define ROOST_KUBE_REQUEST_H

#include "lib/kube/client.h"

/* One call with this client's credentials: fills url and bearer. */
int kube_call(struct kube_client *c, struct http_call *call, const char *path,
              struct http_reply *reply, struct err *err);
/* An answer that is not 2xx: its outcome, the server's message in err. */
int kube_refusal(struct kube_client *c, int status, struct str body, int64_t retry_ms,
                 struct err *err);
/* Empties managedFields as kube_client_slim() asked. */
void kube_slim(const struct kube_client *c, struct buf *text);
/* The collection's path with its selectors as query parameters. */
void kube_query_path(const struct kube_list_query *q, struct buf *out);

#endif

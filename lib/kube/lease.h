/* Leader election over a coordination.k8s.io Lease, as client-go does it.
 *
 * Thread: one thread renews; kube_lease_held() may be asked by any. Time is the monotonic clock only: a
 * holder counts from when it sent its last successful renewal, a candidate from when it last saw the record
 * change, so that no wall clock is compared. There is no fencing in a lease: destructive writes carry
 * uid and resourceVersion preconditions. */
#ifndef ROOST_KUBE_LEASE_H
#define ROOST_KUBE_LEASE_H

#include "lib/kube/client.h"

struct kube_lease_config { /* copied */
	const char *ns, *name, *identity;
	int64_t duration_ms; /* 0: 15 s */
	int64_t renew_ms;    /* a holder that could not renew for so long steps down; 0: 10 s */
};

struct kube_lease;
struct kube_lease *kube_lease_new(const struct kube_lease_config *config);
void kube_lease_free(struct kube_lease *l);
/* One try to take or renew: call it about every 2 s. The answer is kube_lease_held(); a failure is told for
 * the log and changes nothing by itself. */
int kube_lease_try(struct kube_lease *l, struct kube_client *c, int64_t now_mono_ms,
                   struct err *err);
/* As the last try found it: whose it is ("" : nobody's), and 1 + how often it changed hands. Of the renewing thread. */
const char *kube_lease_holder(const struct kube_lease *l);
int64_t kube_lease_epoch(const struct kube_lease *l);
bool kube_lease_held(const struct kube_lease *l, int64_t now_mono_ms);
/* Gives it up so that the next one need not wait. */
int kube_lease_release(struct kube_lease *l, struct kube_client *c, struct err *err);

DEFINE_CLEANUP(struct kube_lease, kube_lease_free)

#endif

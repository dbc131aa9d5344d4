/* Taking a cluster over from upstream's operator, and giving it back.
 *
 * Both move ownership in metadata.managedFields and touch no spec, so that no pod is restarted. Upstream's own
 * annotations (hash, last-applied) stay on the objects and stay upstream's.
 * Thread: safe. Ownership: results are the caller's. Outcomes as lib/kube/client.h. */
#ifndef ROOST_OPERATOR_RECONCILE_RELEASE_H
#define ROOST_OPERATOR_RECONCILE_RELEASE_H

#include <stdio.h>

#include "lib/kube/client.h"
#include "operator/render/render.h"

/* On a cluster: this operator leaves it alone. `release` sets it; taking it away takes the cluster over again. */
#define RECONCILE_RELEASED "roost.io/released"

bool reconcile_released(const json_t *cr);
/* What upstream's operator signed on the live object of this uid becomes ours. *ret stays NULL when there was
 * nothing to do. */
int reconcile_adopt(struct kube_client *kube, const struct kube_ref *ref, const char *uid,
                    json_t **ret, struct err *err);
/* "namespace/name": marks the cluster and its warehouses, whose finalizer of ours goes, and signs their objects over to
 * upstream's operator; says on `out` what it did and what is left to a person. */
int reconcile_release(const struct kube_config *config, const char *key,
                      const struct render_options *options, FILE *out, struct err *err);

#endif

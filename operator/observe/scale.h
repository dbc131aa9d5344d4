/* The fast path of autoscaling: what the scaler wants reaches /scale within a second.
 *
 * Each second one question for each cluster, and warehouse, with roostAutoscaling; the answers come side by side, within a
 * deadline. What backends want goes to the step alone (reconcile/be_scaling.c). A 503, an answer that cannot be read or none at all changes nothing.
 * Thread: one of its own. */
#ifndef ROOST_OPERATOR_OBSERVE_SCALE_H
#define ROOST_OPERATOR_OBSERVE_SCALE_H

#include "lib/kube/client.h"
#include "operator/observe/store.h"

struct observe_scale_config {
	const struct kube_config *kube;
	const char *url;        /* http://host:port, without a path; borrowed */
	const char *token_file; /* may be NULL; read again each second */
	struct observe_store *store;
	bool (*may_write)(void *arg);
	/* Whether the namespace is served at all. */
	bool (*serves)(void *arg, const char *ns);
	void *arg;
};

struct observe_scale;
int observe_scale_start(const struct observe_scale_config *config, struct observe_scale **ret,
                        struct err *err);
void observe_scale_free(struct observe_scale *s); /* waits for its thread */

/* The wish in a scaler's answer, held within [min, max]; -EINVAL when it cannot be relied on. */
int observe_scale_wish(struct str body, int64_t min, int64_t max, int64_t *ret, struct err *err);

DEFINE_CLEANUP(struct observe_scale, observe_scale_free)

#endif

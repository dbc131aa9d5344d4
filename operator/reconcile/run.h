/* Carries steps out: a queue of clusters, workers, writes, and what is remembered between steps.
 *
 * Thread: reconcile_changed() from any; start and free from one. A cluster is with one worker at a time. */
#ifndef ROOST_OPERATOR_RECONCILE_RUN_H
#define ROOST_OPERATOR_RECONCILE_RUN_H

#include "operator/observe/conf.h"
#include "operator/observe/fe.h"
#include "operator/observe/nodes.h"
#include "operator/observe/queue.h"
#include "operator/observe/store.h"
#include "operator/observe/watches.h"
#include "operator/render/render.h"

#define RECONCILE_MANAGER "roost-operator"

struct reconcile_config {
	const struct kube_config *kube;
	struct render_options options;
	const char *dns_suffix; /* "svc.cluster.local" or "cluster.local" */
	unsigned workers;
	const char *scaler_url, *scaler_token_file; /* may be NULL; borrowed */
	struct observe_store *store;
	struct observe_conf *conf;
	struct observe_fe *fe;
	struct observe_watches *watches;
	struct observe_nodes *nodes; /* NULL: machines are not watched */
	struct observe_queue *queue; /* borrowed: watches add to it before the workers start */
	bool (*may_write)(void *arg);
	bool (*serves)(void *arg, const char *ns);
	void *arg;
};

struct reconcile;
int reconcile_start(const struct reconcile_config *config, struct reconcile **ret, struct err *err);
void reconcile_free(struct reconcile *r); /* closes the queue, waits for the workers */
/* How long the worker that has been at one cluster for longest has been so; each of its calls has a deadline. */
int64_t reconcile_busy_ms(const struct reconcile *r, int64_t now_mono_ms);

DEFINE_CLEANUP(struct reconcile, reconcile_free)

#endif

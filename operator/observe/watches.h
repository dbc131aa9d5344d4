/* One thread for each collection that is watched; what they see goes into the store.
 *
 * Per namespace (or once for all): clusters; StatefulSets, Deployments, Services, autoscalers and pods that
 * carry upstream's owner label; KEDA's objects where KEDA is installed, now or later; the metadata of ConfigMaps.
 * Secrets are never listed.
 * Thread: start and stop from one thread. */
#ifndef ROOST_OPERATOR_OBSERVE_WATCHES_H
#define ROOST_OPERATOR_OBSERVE_WATCHES_H

#include "operator/observe/conf.h"
#include "operator/observe/store.h"

struct observe_watches_config {
	const struct kube_config *kube;
	const char *const *namespaces; /* n == 0: all */
	size_t n;
	struct observe_store *store;
	struct observe_conf *conf;
	int64_t idle_ms; /* of a watch; 0: the library's */
};

struct observe_watches;
int observe_watches_start(const struct observe_watches_config *config, struct observe_watches **ret,
                          struct err *err);
void observe_watches_free(struct observe_watches *w); /* waits for its threads */
/* Whether every first list is complete that a step needs: that of ConfigMaps' metadata begins only then. */
bool observe_watches_synced(struct observe_watches *w);
/* Which watch a kind of a namespace is fed by: for observe_store_wrote(). */
unsigned observe_watch_of(struct observe_watches *w, const struct kube_kind *kind, const char *ns);
/* Why the objects of a kind that a cluster may do without (autoscalers, Ingresses, budgets, KEDA's) are not seen: the server's
 * words (malloc'd); NULL: they are, or the kind is not installed. */
char *observe_watches_refusal(struct observe_watches *w, const struct kube_kind *kind,
                              const char *ns);

DEFINE_CLEANUP(struct observe_watches, observe_watches_free)

#endif

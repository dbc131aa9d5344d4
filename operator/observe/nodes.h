/* The machines that compute nodes may run on: their taints, and whether they are about to go.
 *
 * Watches Nodes of one label selector, Karpenter's NodeClaims where they exist, and the Events that announce a spot
 * interruption. Of each node only name, version, taints and the notice are kept. A change tells the clusters that have a
 * pod on the node. Thread: safe; threads of its own. Ownership: what is handed out is the caller's. */
#ifndef ROOST_OPERATOR_OBSERVE_NODES_H
#define ROOST_OPERATOR_OBSERVE_NODES_H

#include "operator/observe/store.h"

struct observe_nodes_config {
	const struct kube_config *kube;
	const char *selector; /* of Nodes, "karpenter.sh/nodepool"; borrowed */
	struct observe_store *store;
};

struct observe_nodes;
int observe_nodes_start(const struct observe_nodes_config *config, struct observe_nodes **ret,
                        struct err *err);
void observe_nodes_free(struct observe_nodes *n); /* waits for its threads */

/* Adds to a world: nodes {name: {version, karpenter, taints, notice: why it is about to go, or absent}}, those that its
 * pods are on. */
void observe_nodes_add(struct observe_nodes *n, json_t *world);

/* ---- for tests: what the watches do with an object ---- */
enum observe_nodes_source { OBSERVE_NODES_NODE, OBSERVE_NODES_CLAIM, OBSERVE_NODES_EVENT };
struct observe_nodes *observe_nodes_new(const struct observe_nodes_config *config);
void observe_nodes_event(struct observe_nodes *n, enum observe_nodes_source source,
                         enum kube_change change, const json_t *object);

DEFINE_CLEANUP(struct observe_nodes, observe_nodes_free)

#endif

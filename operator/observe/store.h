/* What the watches have seen: each cluster with its objects and pods.
 *
 * Thread: safe; one lock, held only to copy. Ownership: everything handed in is copied, everything handed out
 * is the caller's. `changed` is called without the lock, once for each cluster that an event concerns.
 * Limits: objects are kept without managedFields (`upstream`: true says that upstream's operator owns fields); what belongs to no cluster is not kept. */
#ifndef ROOST_OPERATOR_OBSERVE_STORE_H
#define ROOST_OPERATOR_OBSERVE_STORE_H

#include <jansson.h>
#include <stdbool.h>

#include "lib/kube/watch.h"

enum { OBSERVE_WATCHES_MAX = 1024 };

struct observe_store;
typedef void (*observe_changed_fn)(void *arg, const char *key); /* key: "namespace/name" */
/* An object of the cluster changed; soon: in a way that a moment more does not matter to. */
typedef void (*observe_touched_fn)(void *arg, const char *key, bool soon);

/* What managedFields are kept for (kube_client_slim()). */
extern const char *const OBSERVE_STORE_WORDS[];

struct observe_store *observe_store_new(observe_changed_fn changed, void *arg);
void observe_store_free(struct observe_store *s);
/* Before the first event: objects that change are told to this one instead. */
void observe_store_on_touch(struct observe_store *s, observe_touched_fn touched);

/* An event of watch number `watch` (below OBSERVE_WATCHES_MAX). */
void observe_store_event(struct observe_store *s, unsigned watch, enum kube_change change,
                         const json_t *object);
/* KUBE_PUT of an item of a list, as its text (kube_list_text()): parsed when somebody looks at its cluster, so that hundreds of
 * clusters are listed before the first is looked at. */
void observe_store_listed(struct observe_store *s, unsigned watch, struct str item);
/* The answer to a write of our own, so that the next step sees it; older than what is there: ignored. */
void observe_store_wrote(struct observe_store *s, unsigned watch, const json_t *object);
/* The same for a write that changes nothing but a status: what the answer says anew besides came from somebody else just
 * before, and the event of that will be older than what is held. So it is told here. */
void observe_store_wrote_status(struct observe_store *s, unsigned watch, const json_t *object);

/* What the objects of a cluster say, their versions left out: its CR (0: there is none), the CR without its status, and
 * the rest. The same numbers: nothing that a step reads of them has changed. */
struct observe_digest {
	uint64_t cr, lasting, rest;
};
struct observe_digest observe_store_digest(struct observe_store *s, const char *key);
/* Of one CR, as it would count. */
struct observe_digest observe_store_digest_of(const json_t *cr);

/* The kind of a watch is not served here (its CRD is not installed, or we may not read it): counts as listed, holds
 * nothing. observe_store_present() says which it is; every cluster is told when that changes. */
void observe_store_absent(struct observe_store *s, unsigned watch);
bool observe_store_present(struct observe_store *s, unsigned watch);

/* What the scaler wants of a cluster that has `from` compute nodes (be: backends) now; a new number tells the cluster. */
void observe_store_wish(struct observe_store *s, const char *key, bool be, int64_t wanted,
                        int64_t from);

/* Something about a node changed: the clusters that have a pod on it are told. */
void observe_store_node_changed(struct observe_store *s, const char *node);

/* Whether this watch has finished its first list. */
bool observe_store_synced(struct observe_store *s, unsigned watch);

/* {cr, objects {"Kind/name": …}, pods […], wanted {replicas, from, since_ms, at_ms} once it was wished, wanted_be {replicas, at_ms} likewise}, or NULL when there is no such cluster. */
json_t *observe_store_world(struct observe_store *s, const char *key);
/* The same, and its digest. */
json_t *observe_store_world_at(struct observe_store *s, const char *key,
                               struct observe_digest *ret_digest);
/* Brings a world's objects and pods up to date; those that have not changed stay as they are. The CR is left alone. */
void observe_store_renew(struct observe_store *s, const char *key, json_t *world,
                         struct observe_digest *ret_digest);
/* Each cluster's CR, borrowed for the call, under the lock: keep it short. */
void observe_store_each(struct observe_store *s, void (*fn)(void *arg, const json_t *cr),
                        void *arg);

DEFINE_CLEANUP(struct observe_store, observe_store_free)

#endif

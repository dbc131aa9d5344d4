/* Replicas of the scaler agree: one of them holds a Lease and decides; the others answer what it decided.
 *
 * Each replica asks every FE and runs the policy, so that one that is lost leaves no gap; a follower takes over the
 * leader's numbers twice a second (GET /v1/decisions) and decides by itself when they are older than SERVE_ADOPT_MS.
 * The holder's identity in the Lease is its address. The epoch in every answer is 1 + the Lease's transitions.
 * Keeps the histories too (keep.h), while it leads.
 * Thread: one of its own. */
#ifndef ROOST_SCALER_SERVE_REPLICA_H
#define ROOST_SCALER_SERVE_REPLICA_H

#include "lib/kube/client.h"
#include "scaler/serve/pools.h"

enum { SERVE_REPLICA_END_MS = 3000 };

struct serve_replica_config {           /* strings are copied */
	const struct kube_config *kube; /* borrowed */
	struct serve_pools *pools;      /* borrowed */
	const char *ns, *lease;         /* lease NULL: alone, and keeps histories only */
	const char *address;            /* "host:port" where the others reach us */
	const char *token_file;         /* what /v1/decisions asks for; may be NULL */
	const char *ca_file, *cert_file, *key_file; /* over TLS when ca_file is there */
};

struct serve_replica;
int serve_replica_start(const struct serve_replica_config *config, struct serve_replica **ret,
                        struct err *err);
/* Cuts what is under way, gives the Lease up and writes histories, all until then: what does not fit is left out. Does not
 * wait. A Lease that is not given up runs out by itself, a history is as it was kept last. */
void serve_replica_end(struct serve_replica *r, struct deadline by);
/* Waits for the end; without serve_replica_end() it has SERVE_REPLICA_END_MS. */
void serve_replica_stop(struct serve_replica *r);

DEFINE_CLEANUP(struct serve_replica, serve_replica_stop)

#endif

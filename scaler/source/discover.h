/* Finds pools from StarRocksClusters and StarRocksWarehouses, and the tokens, passwords and CAs for their FEs from Secrets.
 *
 * A cluster with spec.starRocksCnSpec.roostAutoscaling (or autoScalingPolicy) is a pool "cn", one with
 * spec.starRocksBeSpec.roostAutoscaling a pool "be"; its FE is <name>-fe-service.<namespace>.svc. A StarRocksWarehouse w with
 * spec.template.roostAutoscaling (or autoScalingPolicy) is the pool "cn" of a cluster "<w>-warehouse" (houses.h). The token of
 * Roost's engine is in the Secret <name>-roost-token, key "token"; the user's or root's password of StarRocks' own
 * FE in the one that config.h says, the CA of its certificate in the one of spec.tls. Each is read by name when a cluster
 * appears, and again when its FE refuses what we have (a CA each minute, too); never listed.
 * Thread: two watches per namespace, and one for the Secrets; all end in source_discover_stop(). */
#ifndef ROOST_SCALER_SOURCE_DISCOVER_H
#define ROOST_SCALER_SOURCE_DISCOVER_H

#include "lib/kube/client.h"
#include "scaler/source/source.h"

struct source_discover;
struct source_discover_config {
	const struct kube_config *kube; /* borrowed */
	const char *namespaces;         /* comma-separated; NULL or "": all */
	const char *dns_suffix;         /* config.h; may be NULL */
	struct source *source;          /* borrowed */
	void (*on_complete)(void *arg); /* once every first list was read */
	void *arg;
};
int source_discover_start(const struct source_discover_config *config, struct source_discover **ret,
                          struct err *err);
void source_discover_end(struct source_discover *d); /* cuts what is under way; does not wait */
void source_discover_stop(struct source_discover *d);

DEFINE_CLEANUP(struct source_discover, source_discover_stop)

#endif

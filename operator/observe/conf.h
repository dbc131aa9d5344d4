/* The ConfigMaps that clusters take their ports from: read when asked for, forgotten when they change.
 *
 * Foreign ConfigMaps cost nothing: the metadata-only watch tells of each, and only names that some cluster
 * asked for are looked up here. Thread: safe. */
#ifndef ROOST_OPERATOR_OBSERVE_CONF_H
#define ROOST_OPERATOR_OBSERVE_CONF_H

#include "lib/kube/watch.h"
#include "operator/observe/store.h"

struct observe_conf;
struct observe_conf *observe_conf_new(observe_changed_fn changed, void *arg);
void observe_conf_free(struct observe_conf *c);

/* The text of one key (malloc'd; "" when the ConfigMap or the key is missing, as upstream has it).
 * `cluster` is told when it changes. Outcomes of kube_get(). */
int observe_conf_get(struct observe_conf *c, struct kube_client *kube, const char *cluster,
                     const char *ns, const char *map, const char *key, char **ret_text,
                     struct err *err);
/* A digest (sixteen hex digits) of all keys but one; of a missing ConfigMap, that of none. */
int observe_conf_digest(struct observe_conf *c, struct kube_client *kube, const char *cluster,
                        const char *ns, const char *map, const char *but, char out[17],
                        struct err *err);
void observe_conf_event(struct observe_conf *c, enum kube_change change, const json_t *object);
/* A list of the namespace (NULL: of all) begins or is complete: what was read and was not in it has gone. */
void observe_conf_list(struct observe_conf *c, const char *ns, bool begins);

DEFINE_CLEANUP(struct observe_conf, observe_conf_free)

#endif

/* Inside the room: what cluster.c and extras.c share.
 *
 * Thread: as cluster.h. */
#ifndef ROOST_OPERATOR_MODEL_CLUSTER_PRIV_H
#define ROOST_OPERATOR_MODEL_CLUSTER_PRIV_H

#include "operator/model/cluster.h"

/* One role's spec; absent leaves *p as it is. MODEL_ROLES for what is no StarRocks node: no image needed, no
 * ports read. */
int model_part_decode(const json_t *cr, const char *spec, const char *env, enum model_role role,
                      struct model_part *p, struct err *err);
void model_part_release(struct model_part *p);
/* The FE proxy and disaster recovery. */
int model_extras_decode(struct model_cluster *m, struct err *err);
/* What of them depends on fe.conf. */
void model_extras_conf(struct model_cluster *m);

#endif

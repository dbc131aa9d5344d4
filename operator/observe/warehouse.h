/* Inside the room: the part of an ask that is a warehouse's (target.warehouse {ns, name, uid}).
 *
 * Thread: one ask is one thread's. Adds to the answer: multi_warehouse (absent: the FE did not say), dropped (the SQL
 * name of a warehouse that is gone), refused. */
#ifndef ROOST_OPERATOR_OBSERVE_WAREHOUSE_H
#define ROOST_OPERATOR_OBSERVE_WAREHOUSE_H

#include "lib/mysql/client.h"
#include "lib/net/http_client.h"
#include "operator/observe/fe.h"

bool observe_is_warehouse_drop(const json_t *intent);
/* Intent {do: drop_warehouse, warehouse}: sent only while the live CR is being deleted. */
void observe_warehouse_drop(struct kube_client *kube, struct mysqlc *sql, struct deadline by,
                            const json_t *target, const json_t *intent,
                            const struct observe_fe_config *config, json_t *answer);
void observe_warehouse_feature(struct http_client *http, const json_t *target, json_t *answer);
/* Whether the FE's list of features names multi-warehouse: 0 or 1; -EPROTO: no such list. */
int observe_warehouse_offered(struct str body);

#endif

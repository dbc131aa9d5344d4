/* Inside the room: what ask.c and statements.c share.
 *
 * Thread: one ask is one thread's. */
#ifndef ROOST_OPERATOR_OBSERVE_ASK_PRIV_H
#define ROOST_OPERATOR_OBSERVE_ASK_PRIV_H

#include "lib/mysql/client.h"
#include "operator/observe/fe.h"

struct ask {
	struct kube_client *kube;
	const json_t *target;
	const struct observe_fe_config *config;
	struct deadline by;
	json_t *answer;
};

/* Opens root's connection, and changes root's password to the one of target.root_secret (password.c). */
int observe_open(struct ask *a, struct mysqlc **ret, struct err *err);

/* A row of SHOW BACKENDS, COMPUTE NODES, FRONTENDS as observe/fe.h says it; NULL when it cannot be read. */
typedef json_t *(*observe_row_fn)(const struct mysqlc_result *r, size_t i);
json_t *observe_backend(const struct mysqlc_result *r, size_t i);
json_t *observe_node(const struct mysqlc_result *r, size_t i);
json_t *observe_frontend(const struct mysqlc_result *r, size_t i);
int observe_list(struct ask *a, struct mysqlc *sql, const char *statement, observe_row_fn row,
                 json_t **ret, struct err *err);

/* Sends the intent's statement if it is still right; why it was refused goes into the answer. */
void observe_carry_out(struct ask *a, struct mysqlc *sql, const json_t *intent);

#endif

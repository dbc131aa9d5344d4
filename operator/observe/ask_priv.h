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

/* Opens the connection that statements go by: the operator's own user's where target.sql_user {name, secret} says
 * so, else root's (password.c). */
int observe_open(struct ask *a, struct mysqlc **ret, struct err *err);
/* root's; changes root's password to the one of target.root_secret. */
int observe_open_root(struct ask *a, struct mysqlc **ret, struct err *err);
/* As root only when target.root_secret holds another password than the one that opened last. */
int observe_rotate_root(struct ask *a, struct err *err);
int observe_open_as(struct ask *a, const char *user, const char *password, struct mysqlc **ret,
                    struct err *err);
/* malloc'd, mem_free_secret(); NULL when there is none. */
char *observe_secret(struct ask *a, const char *name, const char *key);
char *observe_secret_key(const json_t *secret, const char *key);
/* The operator's own user: made by root when the FE does not let it in (user.c). */
int observe_open_user(struct ask *a, const char *user, struct mysqlc **ret, struct err *err);
/* A statement that it needs was refused: its rights are given anew at the next ask. */
void observe_user_doubt(struct ask *a);
/* Of a cluster that is gone; a warehouse's going only makes it asked anew. */
void observe_user_forget(const char *uid);

/* A row of SHOW BACKENDS, COMPUTE NODES, FRONTENDS as observe/fe.h says it; NULL when it cannot be read. */
typedef json_t *(*observe_row_fn)(const struct mysqlc_result *r, size_t i);
json_t *observe_backend(const struct mysqlc_result *r, size_t i);
json_t *observe_node(const struct mysqlc_result *r, size_t i);
json_t *observe_frontend(const struct mysqlc_result *r, size_t i);
int observe_list(struct ask *a, struct mysqlc *sql, const char *statement, observe_row_fn row,
                 json_t **ret, struct err *err);

/* Marks of Roost's own FEs, for the intents that ask for it (drain.c). */
void observe_drain(struct ask *a, struct http_client *http, const json_t *intents);
/* Bytes in the cache, of StarRocks' DataCacheMetrics: "Status: Normal, DiskUsage: 1.50GB/2.00GB, MemUsage: …". */
int64_t observe_cached_bytes(const char *text);

/* Sends the intent's statement if it is still right; why it was refused goes into the answer. */
void observe_carry_out(struct ask *a, struct mysqlc *sql, const json_t *intent);

#endif

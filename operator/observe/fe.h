/* Asks each cluster's FE by itself, and carries out the statements that a step wants sent.
 *
 * One task a cluster (and one a warehouse: warehouse.h), each ask within a deadline. Clusters whose FE answers share a few threads; those whose
 * FE does not are asked by threads of their own, with growing pauses, so that any number of black-holed FEs
 * delays nobody. Thread: safe. Ownership: JSON handed in is copied; answers are the caller's.
 *
 * Target: {ns, name, uid, host, query_port, http_port, engine, env [the FE's], cn_selector,
 * want {replication, health}: what costs the FE something to say}.
 * root_secret {name, key} in the target: root's password is that, and is changed when the FE has the one before.
 * sql_user {name, secret} in the target: the operator's own user, whose password the Secret holds; root only makes it.
 * sql_user in the answer: used|refused (with sql_user_error: root goes on)|no_secret (nobody is asked).
 * tls {ca: a Secret with ca.crt, name} in the target: over TLS to that name, or not at all; tls_refused in the answer.
 * denied in the answer: the FE takes no password that is known; rotated: it was just changed.
 * Answer: {at_ms, since_ms, ok, error, backends [{host, port, alive, decommissioned, tablets}],
 * nodes [{host, port, alive, warehouse, running, cached_bytes}], frontends [{host, port, role, join, alive}],
 * load {…} (Roost's own FE), refused, replication (the most replicas a partition has) or replication_error or
 * replication_hidden (the user may see no table),
 * unhealthy (tablets short of a replica or in repair) or health_error}: real time; at_ms is when the question was
 * put, since_ms when the present state (answering or not) began; refused is why the last statement was not carried out.
 * Intent: {do: drain, nodes [addresses], seconds, fes [addresses]}: POST /api/roost/drain of each of those FEs; or
 * {do: drop_node|decommission|cancel_decommission|drop_backend|drop_follower|drop_observer|add_observer, host,
 * port, generation, warehouse, below}: sent only while the live CR still has that generation and, for a drop,
 * the FE's own list of that moment agrees: a node is dead and no live pod has its address; a backend is
 * decommissioned and holds no tablet (below: may hold some); a follower's voters keep a living majority. */
#ifndef ROOST_OPERATOR_OBSERVE_FE_H
#define ROOST_OPERATOR_OBSERVE_FE_H

#include <jansson.h>

#include "lib/kube/client.h"
#include "operator/observe/store.h"

struct observe_fe;
struct observe_fe_config {
	const struct kube_config *kube;
	unsigned threads, slow_threads;
	observe_changed_fn changed; /* an answer says something new, or was asked for */
	bool (*may_write)(void *arg);
	void *arg;
};

int observe_fe_new(const struct observe_fe_config *config, struct observe_fe **ret,
                   struct err *err);
void observe_fe_free(struct observe_fe *o); /* waits for its threads */

/* What to ask from now on, and what to send first. ask_ms > 0: ask so soon, and tell whatever comes. */
void observe_fe_set(struct observe_fe *o, const char *key, const json_t *target,
                    const json_t *intents, int64_t ask_ms);
void observe_fe_forget(struct observe_fe *o, const char *key);
json_t *observe_fe_answer(struct observe_fe *o, const char *key); /* NULL: never asked */

/* ---- inside the room (ask.c, statements.c) ---- */
/* One ask: statements, then the lists, within ms. Always gives an answer; without at_ms and since_ms. */
json_t *observe_ask(struct kube_client *kube, struct http_client *http, const json_t *target,
                    const json_t *intents, const struct observe_fe_config *config, int64_t ms);
/* Whether a pod is, or may be, the node of that host at that time. */
bool observe_pod_claims(const json_t *pod, const char *host, int64_t now_ms);
/* "ALTER SYSTEM …" of an intent; -EINVAL when the host is no host. */
int observe_statement(const json_t *intent, struct buf *out);

DEFINE_CLEANUP(struct observe_fe, observe_fe_free)

#endif

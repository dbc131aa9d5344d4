/* One reconcile step as a pure function: a cluster as observed, and the time, give a list of acts.
 *
 * Nothing here reads or writes anything, so that a recorded state can be replayed (`roost-operator replay`)
 * and every crash point enumerated. Thread: safe. Ownership: *ret_plan is the caller's.
 *
 * The world (JSON): cr; objects {"Kind/name": live object}; pods [pod]; conf {"fe"|"be"|"cn": text};
 * fe {at_ms, ok, error, backends [...], nodes [...], load {...}} as operator/observe/fe.h says, absent while
 * nobody answered; applied {"Kind/name": {desired, live}} digests of the last apply; problem {reason, message}
 * of the last writes, absent when they went through; token: whether the Secret is known to exist; now_ms:
 * real time; wanted: as operator/observe/store.h says; keda, where it is installed and there is a scaler: {url,
 * token: the name of the Secret with the scaler's token or absent, have: whether that is known to exist};
 * warnings {"Kind/name": {reason, message}}: the last Warning event of what is stuck for no reason
 * that its status tells; unwritten: the last round's writes did not all reach the server.
 * nodes: as operator/observe/nodes.h says. refused {kind: why}: kinds that may not be read, absent while there are none.
 * rival: "Kind/name" of an object that upstream's operator goes on writing; absent while there is none.
 * unkept: what the server dropped of the last status, absent when it kept all.
 * The plan (JSON): writes [{verb: create|apply|delete|cost|drain|taints|annotate|scaler_secret, kind, name, …}], intents [{do, …}] for observe/,
 * events [{type, reason, message}], status (as it shall be), requeue_ms (absent: when something changes),
 * ask_ms: how soon the FE should be asked again. */
#ifndef ROOST_OPERATOR_RECONCILE_STEP_H
#define ROOST_OPERATOR_RECONCILE_STEP_H

#include <jansson.h>

#include "lib/base/err.h"
#include "operator/render/render.h"

int reconcile_step(const json_t *world, const struct render_options *options, json_t **ret_plan,
                   struct err *err);

/* How soon to look at the events of an object whose status does not tell why it is stuck; 0: it is not. */
int64_t reconcile_suspect_ms(const json_t *object, int64_t now_ms);

/* Of a value's text, the same for ever. Sixteen hex digits and a NUL. */
void reconcile_digest(const json_t *value, char out[17]);
/* Digest of what an object shall be, and of those same fields as the server has them: a difference between
 * now and the last apply is drift. For the life of this process. */
void reconcile_desired_digest(const json_t *desired, char out[17]);
void reconcile_live_digest(const json_t *desired, const json_t *live, char out[17]);

/* The RFC 7386 patch from one object to another; NULL when they are equal. */
json_t *reconcile_merge_diff(const json_t *from, const json_t *to);

#endif

/* Inside the room: what run.c and writes.c share.
 *
 * Thread: a record belongs to the worker that holds its cluster. */
#ifndef ROOST_OPERATOR_RECONCILE_RUN_PRIV_H
#define ROOST_OPERATOR_RECONCILE_RUN_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "operator/reconcile/run.h"

struct record {          /* what is remembered of one cluster; lost at a restart without harm */
	json_t *applied; /* {"Kind/name": {desired, live}} */
	json_t *problem; /* {reason, message} or NULL */
	bool token;
	int64_t token_at_ms;
	char *scaler_secret; /* the name of the Secret with the scaler's token that is known to exist */
	unsigned failures;
	bool looked;
	/* What the last step saw that left nothing to do; cr 0: there is none. */
	struct observe_digest seen;
	json_t *events; /* those told lately, by digest (events.c) */
	int64_t events_at_ms;
	int events_left;
	json_t *mounts; /* {role: digest of what its pods mount}, and when that was read (mounts.c) */
	int64_t mounts_at_ms;
};

struct worker {
	struct reconcile *r;
	pthread_t thread;
	struct kube_client *kube;
	_Atomic int64_t busy_since_ms; /* monotonic; 0: it waits for work */
};

struct reconcile {
	struct reconcile_config config;
	pthread_mutex_t lock;
	struct map *records;
	struct worker *workers;
	unsigned n;
	_Atomic int64_t
		told_ms[2]; /* when a missing right was told, by enum event_right; 0: never */
};

/* Whether the CR is still the one that the step saw, by uid and generation; else KUBE_CONFLICT (guard.c). */
int reconcile_guard_cluster(struct kube_client *kube, const json_t *cr, struct err *err);
/* Applies a StatefulSet or Deployment that exists, if it is still as the step saw it: a write carries `seen`
 * {uid, generation}, or `new` where nobody has seen the object; verb `adopt` is release.h's. */
int reconcile_apply_set(struct kube_client *kube, const struct kube_ref *ref, const json_t *write,
                        const json_t *cr, json_t **ret, struct err *err);

enum { WRITE_FAILED = 1, WRITE_LATER };

/* Carries the plan's writes out in order. An object that is refused does not keep the others back. Returns 0,
 * WRITE_FAILED (record->problem says why) or WRITE_LATER (the server is busy or away, or a precondition no
 * longer held: *ret_wait_ms). */
int reconcile_write_all(struct worker *w, struct record *rec, const json_t *world,
                        const json_t *plan, int64_t *ret_wait_ms);
/* The difference between the CR's status and the plan's; the same outcomes. seen->cr becomes that of the CR with this
 * status; 0 when the server's answer says of the CR what no step has seen. */
int reconcile_write_status(struct worker *w, const json_t *world, const json_t *status,
                           struct observe_digest *seen, int64_t *ret_wait_ms);

/* For a warehouse: world.cluster, world.conf, world.fe, and whom to ask (run_warehouse.c). */
int reconcile_warehouse_world(struct worker *w, const char *key, const struct record *rec,
                              json_t *world, json_t **ret_target, struct err *err);
json_t *reconcile_target(const struct reconcile *r, const struct model_cluster *m,
                         const json_t *world);
bool reconcile_any_fe_ready(const json_t *world);
/* What the world says of KEDA (keda.c); NULL where it is not installed or there is no scaler. */
json_t *reconcile_keda_world(const struct worker *w, const struct record *rec,
                             const struct model_cluster *m);
/* The Secret that KEDA shows to the scaler, made once for each token. */
int reconcile_create_scaler_secret(struct worker *w, struct record *rec, const struct kube_ref *ref,
                                   const json_t *world, struct err *err);
/* {name, secret} of the target, or NULL; and the Secret itself (sql_user.c). */
json_t *reconcile_sql_user_target(const struct model_cluster *m);
int reconcile_create_sql_secret(struct worker *w, const struct kube_ref *ref, const json_t *world,
                                struct err *err);
/* Into a file, when ROOST_RECORD asks for it (record.c). */
void reconcile_record(const json_t *world);
/* The verbs scale, grow and orphan (acts.c). */
int reconcile_act(struct worker *w, struct record *rec, const struct kube_ref *ref,
                  const json_t *write, struct err *err);
/* Deletes a claim of an FE that was dropped (claims.c). */
int reconcile_forget_claim(struct worker *w, const struct kube_ref *ref, const json_t *world,
                           const json_t *write, struct err *err);
/* world.mounts: digests of the ConfigMaps and Secrets of roles that restart on a change (mounts.c). */
int reconcile_add_mounts(struct worker *w, const char *key, struct record *rec,
                         const struct model_cluster *m, json_t *world, struct err *err);
/* Tells the plan's events; nothing fails by it. */
void reconcile_write_events(struct worker *w, struct record *rec, const json_t *world,
                            const json_t *plan);
/* A right that only words depend on (to read or to write events) is missing: told in the log, once in a while for all
 * clusters together. Other outcomes than KUBE_FORBIDDEN are not told. */
enum event_right { EVENT_READ, EVENT_WRITE };
void reconcile_tell_right(struct reconcile *r, enum event_right which, int rc,
                          const struct err *err);
/* world.warnings, asked of the server only while something is stuck. */
void reconcile_add_warnings(struct worker *w, json_t *world);

#endif

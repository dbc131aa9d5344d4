/* Inside the room: what run.c and writes.c share.
 *
 * Thread: a record belongs to the worker that holds its cluster. */
#ifndef ROOST_OPERATOR_RECONCILE_RUN_PRIV_H
#define ROOST_OPERATOR_RECONCILE_RUN_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "operator/observe/metrics.h"
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
	bool says[OBSERVE_CONDITIONS], warehouse; /* as it counts in /metrics (tally.c) */
	json_t *unkept; /* of the status, what the server does not keep (kept.c) */
	int64_t unkept_at_ms;
	json_t *adopted; /* {"Kind/name": [when it was adopted lately]} */
	char *rival;     /* the last object that was adopted again and again (rival.c) */
	int64_t rival_at_ms;
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

/* Carries the plan's writes out in order. An object that is refused, or that the server fails at, keeps back only what
 * depends on it (after.c). Returns 0,
 * WRITE_FAILED (record->problem says why) or WRITE_LATER (the server is busy or away, or a precondition no
 * longer held: *ret_wait_ms). */
int reconcile_write_all(struct worker *w, struct record *rec, const json_t *world,
                        const json_t *plan, int64_t *ret_wait_ms);
/* The difference between the CR's status and the plan's; the same outcomes. seen->cr becomes that of the CR with this
 * status; 0 when the server's answer says of the CR what no step has seen. */
int reconcile_write_status(struct worker *w, struct record *rec, const json_t *world,
                           const json_t *status, struct observe_digest *seen, int64_t *ret_wait_ms);
/* What an older CRD lets the server drop of a status (kept.c): into the world's CR, as if it had been kept, and
 * world.unkept; the CR's own status goes to world.kept. */
void reconcile_add_unkept(const struct record *rec, json_t *world);
/* Of a patch, what the answer does not show; NULL: it is all there. */
json_t *reconcile_unkept(const json_t *patch, const json_t *answer);

/* What has not been written in a round (after.c); zero, with an object of its owner's in `objects`, at its start. */
struct aftermath {
	bool failed, later; /* anything; anything that is tried again soon */
	bool settings;      /* later: what pods mount */
	bool all;           /* nothing may follow */
	unsigned in_a_row;
	int64_t lost_ms;
	json_t *objects; /* "Kind/name" of what waits for them */
};
/* Whether this write has to wait for what was not written before it. */
bool reconcile_held_back(const struct aftermath *a, const json_t *world, const json_t *write);
void reconcile_not_written(struct aftermath *a, const json_t *write, bool later);
/* After an outcome that is tried again: whether it may be one object's, so that others are tried in this round. */
bool reconcile_goes_on(struct aftermath *a, int outcome, int64_t asked_ms, int64_t took_ms);

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
/* An object has just been adopted; world.rival "Kind/name": one that upstream's operator goes on writing (rival.c). */
void reconcile_note_rival(struct record *rec, const struct kube_ref *ref);
void reconcile_add_rival(const struct record *rec, json_t *world);
/* Counts what the status says of the CR; NULL: there is none any more. */
void reconcile_tally(struct record *rec, bool warehouse, const json_t *status);
/* world.refused {kind: the server's words}: kinds that may not be read (rights.c). */
void reconcile_add_refused(const struct worker *w, json_t *world);
/* world.warnings, asked of the server only while something is stuck. */
void reconcile_add_warnings(struct worker *w, json_t *world);

#endif

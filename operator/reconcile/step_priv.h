/* Inside the room: what the parts of a step share.
 *
 * Thread: one step is one thread's. */
#ifndef ROOST_OPERATOR_RECONCILE_STEP_PRIV_H
#define ROOST_OPERATOR_RECONCILE_STEP_PRIV_H

#include "operator/model/cluster.h"
#include "operator/reconcile/release.h"
#include "operator/reconcile/step.h"

struct step {
	const json_t *world;
	const struct model_cluster *m;
	const struct render_options *options;
	int64_t now_ms;
	json_t *writes, *intents, *events;
	int64_t requeue_ms, ask_ms; /* 0: none */
	/* The first trouble is the one that is told: Degraded. */
	char reason[64];
	char message[512];
	/* What is being waited for: Progressing. */
	char waiting[256];
	bool fe_was_up;       /* BE and CN may be there */
	bool scale_in_paused; /* a machine below a compute node is about to go */
	/* What each set shall have now; -1: it is not written. */
	int64_t replicas[MODEL_ROLES];
	/* What a person switched (everyday.c); asleep: hibernation is complete. */
	bool paused, hibernating, resuming, asleep;
	char held[256]; /* sets whose change waits for the maintenance window, and until when */
	int64_t held_until_ms;
	char without[512]; /* kinds that would be made if they could be read, and why they cannot */
	char fenced[256];  /* pods that are out of service by spec.fence */
	/* their part of the status, until reconcile_extras_status() */
	json_t *recovery, *proxy, *observers;
	bool want_replication, want_health;   /* what the FE is to be asked besides its lists */
	enum model_role held_by[MODEL_ROLES]; /* whose change comes first; MODEL_ROLES: nobody's */
	json_t *decommission;                 /* of the status, until reconcile_members_status() */
	json_t *drain;                        /* likewise: compute nodes on their way out */
	int64_t be_scaled;  /* what the signal raised the backends to; 0: nothing */
	int64_t last_scale; /* -1: no autoscaler's number is known */
};

/* ---- reading the world ---- */
const json_t *reconcile_live(const struct step *s, enum render_object what);
const json_t *reconcile_live_kind(const struct step *s, const char *kind, const char *name);
/* The live spec.replicas of the role's set; without one as many as its pods' ordinals say (a set that is made
 * anew around its pods), else absent. */
int64_t reconcile_live_replicas(const struct step *s, enum model_role role, int64_t absent);
bool reconcile_is_ours(const struct step *s, const json_t *live);
enum model_role reconcile_pod_role(const struct step *s, const json_t *pod);
bool reconcile_pod_ready(const json_t *pod);
/* The FE's last answer when it is a fresh one (at most 30 s old), else NULL. */
const json_t *reconcile_fe(const struct step *s);

/* ---- saying things ---- */
void reconcile_trouble(struct step *s, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void reconcile_wait(struct step *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void reconcile_requeue(struct step *s, int64_t ms);
void reconcile_ask(struct step *s, int64_t ms);
void reconcile_delete(struct step *s, const char *kind, const json_t *live);

/* ---- objects ---- */
/* Whether objects of the kind are left alone since they cannot be read; says that one is wanted (rights.c). */
bool reconcile_refused(struct step *s, const char *kind);
/* Applies it unless it is as it shall be; replicas matter to sets of StarRocks nodes only. */
void reconcile_want(struct step *s, enum render_object what, int64_t replicas);
void reconcile_want_as(struct step *s, enum render_object what, const struct render_values *values);
void reconcile_unwanted(struct step *s, enum render_object what);
/* Something that a person reads in `kubectl describe`: Normal or Warning, a reason in one word. Told once a
 * while however often it is said (events.c). Never with what a Secret holds. */
void reconcile_event(struct step *s, const char *type, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- blame (blame.c) ---- */
struct blame {
	char reason[64];
	char message[256];
	int64_t again_ms; /* not to blame yet: look again then; 0: no need */
};
/* NULL when the object has no such condition. */
const json_t *reconcile_condition(const json_t *object, const char *type);
bool reconcile_condition_is(const json_t *condition, const char *value);
/* Whether something is wrong with the pod by its own status. */
bool reconcile_pod_blame(const json_t *pod, int64_t now_ms, struct blame *b);
void reconcile_blame(struct step *s, const json_t *pod);
/* What only Events tell (mounts, claims, pods that cannot be made), as world.warnings has it. */
bool reconcile_warned(struct step *s, const json_t *object, struct blame *b);
const char *reconcile_failure_reason(const char *reason, const char *message);

/* ---- everyday.c ---- */
void reconcile_switches(struct step *s);
/* Takes the acts out of a paused cluster's plan. */
void reconcile_pause(struct step *s);
/* Replicas on the way into hibernation and back; -1: as usual. */
int64_t reconcile_rest_replicas(struct step *s, enum model_role role);
/* Of a cluster that sleeps: how many wake up, into its status. */
void reconcile_rest_status(const struct step *s, json_t *status);
/* Outside the maintenance window, a template that differs: only the replicas are written. */
bool reconcile_window_holds(struct step *s, const json_t *live, const json_t *desired);
/* Whether pods of this set that are ready have to wait for the window; the status then says so. */
bool reconcile_window_waits(struct step *s, const json_t *live);
bool reconcile_window_closed(const json_t *window, int64_t now_ms, int64_t *ret_opens_ms);
/* Takes pods of spec.fence out of service and back (fence.c). */
void reconcile_fence(struct step *s);
/* Tells when the FE takes none of the passwords that are known. */
void reconcile_password(struct step *s);
/* The operator's own SQL user (sql_user.c): its Secret, and why root has to go on (malloc'd, NULL: it has not). */
void reconcile_sql_user(struct step *s);
char *reconcile_root_sql(const struct step *s);
/* Tells when the FE is not asked, since its TLS is not to be trusted. */
void reconcile_tls(struct step *s);
/* " (why)", malloc'd: what to add where the FE's answer is waited for (hints.c). */
char *reconcile_silence(const struct step *s);
/* Events for fields of the compute nodes that a Deployment does not have. */
void reconcile_ignored(struct step *s);
/* Names what the CR asks for and nothing serves yet. */
void reconcile_not_built(struct step *s);
/* [{type, reason, message}] of conditions that are there while they are true. */
json_t *reconcile_switch_conditions(struct step *s);

/* ---- the parts ---- */
/* The FE proxy, the Ingress, disruption budgets (extras.c). */
void reconcile_extras(struct step *s);
/* Running, creating and failed pods of a component into its status; how many are ready. */
int64_t reconcile_component_pods(struct step *s, const char *component, json_t *out);
/* FE observers (observers.c), after the roles were planned. */
void reconcile_observers(struct step *s);
/* Whether the other FEs keep their image until the observers have theirs; says so. */
bool reconcile_observers_first(struct step *s);
bool reconcile_observer_pods(const struct step *s);
bool reconcile_shape_observers(struct step *s, const json_t *live, json_t *desired);
/* Deletes the claims of this pod of the set, which has left for good (claims.c). */
void reconcile_forget_claims(struct step *s, const json_t *live, int64_t ordinal);
/* RUNNING: one FE alone restores from a snapshot, the others wait. BLOCKED: nothing is written. */
enum reconcile_recovery { RECOVERY_NONE, RECOVERY_RUNNING, RECOVERY_BLOCKED };
enum reconcile_recovery reconcile_recovery(struct step *s);
/* Adds what the two have to say; what they said is spent. */
void reconcile_extras_status(struct step *s, json_t *status);
/* ---- who a pod is to the FE (members.c) ---- */
const json_t *reconcile_pod_named(const struct step *s, const char *name);
/* The FE's row of a pod, by name or address. */
const json_t *reconcile_row_of(const struct step *s, const json_t *rows, const char *pod);
/* Whether the FE's answer is younger than what the pod last became: a row that it lacks is then none. Says so. */
bool reconcile_answer_covers(struct step *s, const char *pod);
/* The address of a row that belongs to no pod there is; NULL: none. */
const char *reconcile_stranger(const struct step *s, const json_t *rows);
json_t *reconcile_intent(struct step *s, const char *act, const json_t *row);
/* Those who vote, `but` left out; leaders counts it as well (members_fe.c). */
struct quorum {
	int64_t voters, alive, leaders;
};
void reconcile_quorum(const json_t *rows, const json_t *but, struct quorum *q);
/* What membership adds to the status; it is spent. */
void reconcile_members_status(struct step *s, json_t *status);

/* ---- change (upgrade.c, config.c, expand.c) ---- */
/* <0, 0, >0 by the tags' leading numbers; 0 as well when one has none. */
int reconcile_version_cmp(const char *a, const char *b);
bool reconcile_template_differs(const json_t *desired, const json_t *live);
/* Whether just this was applied last, and what the server made of it is there. */
bool reconcile_up_to_date(const struct step *s, const json_t *desired, const json_t *live);
/* The pod's number in the role's StatefulSet; -1: it is none of its pods. */
int64_t reconcile_ordinal(const struct step *s, enum model_role role, const json_t *pod);
/* Which role's change waits for which (before the roles are planned). */
void reconcile_order(struct step *s);
/* Says so, after whatever is being waited for besides. */
void reconcile_tell_order(struct step *s);
/* What is to be applied now of a set; false: nothing, this time. live may be NULL. */
bool reconcile_shape_set(struct step *s, enum model_role role, const json_t *live, json_t *desired);
/* Of a set that keeps its template for now. */
void reconcile_only_replicas(struct step *s, const json_t *live, const json_t *desired);
bool reconcile_restarts_on_change(const struct model_cluster *m, enum model_role role);
void reconcile_config(struct step *s, enum model_role role, const json_t *live, json_t *desired);
bool reconcile_expand(struct step *s, enum model_role role, const json_t *live, json_t *desired);
/* Whether the set must keep its template, since its claims would have to change (fixed.c); says so. */
bool reconcile_fixed(struct step *s, enum model_role role, const json_t *live, json_t *desired);

/* How many replicas the set shall have now: the CR's, or what a safe way there allows (members.c, members_be.c,
 * members_fe.c). */
int64_t reconcile_fe_replicas(struct step *s);
int64_t reconcile_be_replicas(struct step *s);
int64_t reconcile_cn_replicas(struct step *s);
/* Backends that hold no tablets any more, or were never there: whether the BE set may go. */
bool reconcile_be_removable(struct step *s);
void reconcile_ghosts(struct step *s);
/* Backends that the scaler asks for: m's number rises, and never falls by it (be_scaling.c); before the roles. */
void reconcile_scale_backends(struct step *s, struct model_cluster *m);
/* ---- compute nodes that leave (victims.c) ---- */
/* What the FE says runs on the node of this address. */
int64_t reconcile_running_on(const json_t *fe, const char *ip);
/* How many there may be now of `have`, on the way to `want`: those that leave are chosen, and marked in the FE before.
 * fe: a fresh answer; NULL: it has been silent for long. */
int64_t reconcile_leave(struct step *s, const json_t *fe, int64_t want, int64_t have);
/* Nobody is to leave any more: marks are taken back. sure: the FE's answer is a fresh one. */
void reconcile_stay(struct step *s, int64_t want, bool sure);
/* Machines that come and go below compute nodes (nodes.c); before reconcile_keda(). */
void reconcile_nodes(struct step *s);
/* The step of a StarRocksWarehouse: fills s and gives the status; *ret_model is the caller's (warehouse.c). */
json_t *reconcile_warehouse(struct step *s, struct model_cluster **ret_model);
/* KEDA's objects for the compute nodes (autoscale.c). */
void reconcile_keda(struct step *s);
/* The status as it shall be (status.c). */
json_t *reconcile_status(struct step *s);
json_t *reconcile_status_invalid(const json_t *world, const char *message);
/* What the new status says that the old one did not, as events (events.c). */
void reconcile_transitions(struct step *s, const json_t *status);

#endif

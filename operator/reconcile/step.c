#include "operator/reconcile/step.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { FE_FRESH_MS = 30000, TOKEN_CHECK_MS = 60000 };

/* ---- reading the world ---- */
const json_t *reconcile_live_kind(const struct step *s, const char *kind, const char *name)
{
	autofree char *key = xasprintf("%s/%s", kind, name);
	return json_object_get(json_object_get(s->world, "objects"), key);
}

const json_t *reconcile_live(const struct step *s, enum render_object what)
{
	autofree char *name = render_object_name(s->m->name, what);
	return reconcile_live_kind(s, render_object_kind(what)->kind, name);
}

int64_t reconcile_live_replicas(const struct step *s, enum model_role role, int64_t absent)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	int64_t n = 0;
	size_t i;
	const json_t *pod;
	if (live)
		return data_get_int(live, "spec.replicas", 1);
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		int64_t ordinal = role == MODEL_CN ? -1 : reconcile_ordinal(s, role, pod);
		n = ordinal >= n ? ordinal + 1 : n;
	}
	return n > 0 ? n : absent;
}

bool reconcile_is_ours(const struct step *s, const json_t *live)
{
	size_t i;
	const json_t *o;
	json_array_foreach(data_get(live, "metadata.ownerReferences"), i, o)
	{
		const char *uid = data_get_str(o, "uid");
		if (uid && strcmp(uid, s->m->uid) == 0)
			return true;
	}
	return false;
}

enum model_role reconcile_pod_role(const struct step *s, const json_t *pod)
{
	const char *component =
		data_get_str(pod, "metadata.labels.app\\.kubernetes\\.io/component");
	for (int r = 0; component && r < MODEL_ROLES; r++)
		if (strcmp(component, MODEL_ROLE_NAME[r]) == 0)
			return (enum model_role)r;
	(void)s;
	return MODEL_ROLES;
}

bool reconcile_pod_ready(const json_t *pod)
{
	size_t i;
	const json_t *c;
	if (data_get_str(pod, "metadata.deletionTimestamp"))
		return false;
	json_array_foreach(data_get(pod, "status.conditions"), i, c)
	{
		const char *type = data_get_str(c, "type");
		const char *status = data_get_str(c, "status");
		if (type && status && strcmp(type, "Ready") == 0)
			return strcmp(status, "True") == 0;
	}
	return false;
}

const json_t *reconcile_fe(const struct step *s)
{
	const json_t *fe = json_object_get(s->world, "fe");
	if (!data_get_bool(fe, "ok", false) ||
	    s->now_ms - data_get_int(fe, "at_ms", 0) > FE_FRESH_MS)
		return NULL;
	return fe;
}

/* ---- saying things ---- */
void reconcile_trouble(struct step *s, const char *reason, const char *fmt, ...)
{
	va_list ap;
	if (s->reason[0])
		return;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
	va_start(ap, fmt);
	vsnprintf(s->message, sizeof(s->message), fmt, ap);
	va_end(ap);
}

void reconcile_wait(struct step *s, const char *fmt, ...)
{
	va_list ap;
	if (s->waiting[0])
		return;
	va_start(ap, fmt);
	vsnprintf(s->waiting, sizeof(s->waiting), fmt, ap);
	va_end(ap);
}

void reconcile_requeue(struct step *s, int64_t ms)
{
	if (s->requeue_ms == 0 || ms < s->requeue_ms)
		s->requeue_ms = ms;
}

void reconcile_ask(struct step *s, int64_t ms)
{
	if (s->ask_ms == 0 || ms < s->ask_ms)
		s->ask_ms = ms;
}

void reconcile_delete(struct step *s, const char *kind, const json_t *live)
{
	json_array_append_new(s->writes,
	                      json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "verb", "delete", "kind",
	                                kind, "name", data_get_str(live, "metadata.name"), "uid",
	                                data_get_str(live, "metadata.uid"), "version",
	                                data_get_str(live, "metadata.resourceVersion")));
}

/* ---- objects ---- */
bool reconcile_up_to_date(const struct step *s, const json_t *desired, const json_t *live)
{
	char digest[17], live_digest[17];
	autofree char *key = xasprintf("%s/%s", data_get_str(desired, "kind"),
	                               data_get_str(desired, "metadata.name"));
	const json_t *applied = json_object_get(json_object_get(s->world, "applied"), key);
	const char *was = data_get_str(applied, "desired");
	const char *was_live = data_get_str(applied, "live");
	if (!live || !was || !was_live)
		return false;
	reconcile_desired_digest(desired, digest);
	if (strcmp(digest, was) != 0)
		return false;
	reconcile_live_digest(desired, live, live_digest);
	return strcmp(live_digest, was_live) == 0;
}

static bool ignored(const json_t *live)
{
	const char *v = data_get_str(live, "metadata.annotations.starrocks\\.com/ignored");
	return v && strcmp(v, "true") == 0;
}

static enum model_role set_role(enum render_object what)
{
	for (int r = 0; r < MODEL_ROLES; r++)
		if (what == RENDER_ROLE_SET(r))
			return (enum model_role)r;
	return MODEL_ROLES;
}

void reconcile_want_as(struct step *s, enum render_object what, const struct render_values *values)
{
	struct err err = ERR_INIT;
	const json_t *live = reconcile_live(s, what);
	_cleanup_json_ json_t *desired = NULL;
	if (reconcile_refused(s, render_object_kind(what)->kind))
		return;
	if (live && data_get_str(live, "metadata.deletionTimestamp")) {
		reconcile_wait(s, "%s %s is being deleted", render_object_kind(what)->kind,
		               data_get_str(live, "metadata.name"));
		return;
	}
	if (render_object(s->m, what, values, s->options, &desired, &err) < 0) {
		reconcile_trouble(s, "InvalidSpec", "%s", err.msg);
		return;
	}
	const char *kind = render_object_kind(what)->kind;
	const char *name = data_get_str(desired, "metadata.name");
	if (live && !reconcile_is_ours(s, live)) {
		reconcile_trouble(
			s, "NameTaken",
			"%s %s exists and is not owned by this cluster; delete or rename it", kind,
			name);
		return;
	}
	bool upstreams = data_get_bool(live, "upstream", false);
	enum model_role role = set_role(what);
	if (ignored(live))
		return;
	bool held = (what == RENDER_OBSERVER_SET && !reconcile_shape_observers(s, live, desired)) ||
	            (role != MODEL_ROLES && !reconcile_shape_set(s, role, live, desired));
	/* Fields that upstream's operator signed become ours first: what the apply leaves out then goes. That
	 * restarts nothing and waits for nothing. */
	if (upstreams)
		json_array_append_new(s->writes, json_pack("{s:s, s:s, s:s, s:s*}", "verb", "adopt",
		                                           "kind", kind, "name", name, "uid",
		                                           data_get_str(live, "metadata.uid")));
	if (held || (!upstreams && reconcile_up_to_date(s, desired, live)))
		return;
	json_t *write = json_pack("{s:s, s:s, s:s}", "verb", "apply", "kind", kind, "name", name);
	json_object_set_new(write, "object", TAKE_PTR(desired));
	if (live)
		json_object_set_new(
			write, "seen",
			json_pack("{s:s*, s:I}", "uid", data_get_str(live, "metadata.uid"),
		                  "generation",
		                  (json_int_t)data_get_int(live, "metadata.generation", 0)));
	else
		json_object_set_new(write, "new", json_true());
	json_array_append_new(s->writes, write);
}

void reconcile_want(struct step *s, enum render_object what, int64_t replicas)
{
	reconcile_want_as(s, what, &(struct render_values){ .replicas = replicas });
}

void reconcile_unwanted(struct step *s, enum render_object what)
{
	const json_t *live = reconcile_live(s, what);
	if (live && reconcile_is_ours(s, live) && !ignored(live) &&
	    !data_get_str(live, "metadata.deletionTimestamp"))
		reconcile_delete(s, render_object_kind(what)->kind, live);
}

/* ---- roles ---- */
static bool rolled_out(const struct step *s, enum model_role role)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	int64_t n = data_get_int(live, "spec.replicas", 1);
	return live &&
	       data_get_int(live, "status.observedGeneration", -1) >=
	               data_get_int(live, "metadata.generation", 0) &&
	       data_get_int(live, "status.updatedReplicas", 0) >= n &&
	       data_get_int(live, "status.readyReplicas", 0) >= n;
}

/* BE and CN start after the first FE that serves. */
static bool fe_serves(struct step *s)
{
	size_t i;
	const json_t *pod;
	if (s->m->wait_for_full_rollout)
		return rolled_out(s, MODEL_FE);
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		if (reconcile_pod_role(s, pod) == MODEL_FE && reconcile_pod_ready(pod))
			return true;
	}
	return false;
}

/* What already runs is never taken back by this. */
static bool waits_for_fe(const struct step *s, enum model_role role)
{
	const json_t *set = reconcile_live(s, RENDER_ROLE_SET(role));
	if (role == MODEL_FE || s->fe_was_up || s->hibernating)
		return false;
	return !set || (role == MODEL_BE && reconcile_live_replicas(s, role, 0) == 0);
}

/* The backends' set is made at once, empty, so that what the server has against it is told at once. Not so where it
 * would make pods go that have lost their set, and not for compute nodes, which may still run in upstream's set. */
static void plan_role(struct step *s, enum model_role role)
{
	int64_t (*const replicas[])(struct step *) = { reconcile_fe_replicas, reconcile_be_replicas,
		                                       reconcile_cn_replicas };
	enum render_object first = RENDER_ROLE_FIRST(role);
	bool waits = waits_for_fe(s, role);
	if (waits)
		reconcile_wait(s, "the first FE must be ready before %s starts",
		               MODEL_ROLE_NAME[role]);
	if (waits && (role == MODEL_CN || reconcile_live_replicas(s, role, 0) > 0)) {
		/* What is there, upstream's perhaps, is taken over meanwhile. */
		for (unsigned i = 0; i < 2; i++)
			if (reconcile_live(s, first + i))
				reconcile_want(s, first + i, 0);
		return;
	}
	s->replicas[role] = waits ? 0 : reconcile_rest_replicas(s, role);
	if (s->replicas[role] < 0)
		s->replicas[role] = replicas[role](s);
	if (role == MODEL_FE && s->m->dr.running)
		s->replicas[role] = 1;
	reconcile_want(s, first, 0);
	reconcile_want(s, (enum render_object)(first + 1), 0);
	reconcile_want(s, RENDER_ROLE_SET(role), s->replicas[role]);
}

static void remove_role(struct step *s, enum model_role role)
{
	enum render_object first = RENDER_ROLE_FIRST(role);
	if (!reconcile_live(s, RENDER_ROLE_SET(role)) && !reconcile_live(s, first) &&
	    !reconcile_live(s, (enum render_object)(first + 1)))
		return;
	if (role == MODEL_FE) {
		reconcile_trouble(
			s, "FeSpecRemoved",
			"spec.starRocksFeSpec was removed while the cluster lives; the FE is "
			"kept as it is: put the field back, or delete the cluster");
		return;
	}
	if (role == MODEL_BE && !reconcile_be_removable(s))
		return;
	reconcile_unwanted(s, RENDER_ROLE_SET(role));
	reconcile_unwanted(s, first);
	reconcile_unwanted(s, (enum render_object)(first + 1));
}

/* Upstream ran compute nodes as a StatefulSet of the same name: it goes once the Deployment carries. */
static void retire_cn_set(struct step *s)
{
	autofree char *name = render_object_name(s->m->name, RENDER_CN_SET);
	const json_t *old = reconcile_live_kind(s, "StatefulSet", name);
	const json_t *now = reconcile_live(s, RENDER_CN_SET);
	if (!old || !now || !reconcile_is_ours(s, old) ||
	    data_get_str(old, "metadata.deletionTimestamp"))
		return;
	int64_t ready = data_get_int(now, "status.availableReplicas", 0);
	if (ready >= data_get_int(now, "spec.replicas", 1) &&
	    ready >= data_get_int(old, "status.readyReplicas", 0))
		reconcile_delete(s, "StatefulSet", old);
	else
		reconcile_wait(s, "compute nodes of Deployment %s take over from the StatefulSet",
		               name);
}

static void plan_objects(struct step *s)
{
	if (s->m->engine) {
		if (!data_get_bool(s->world, "token", false)) {
			autofree char *name = render_object_name(s->m->name, RENDER_TOKEN);
			json_array_append_new(s->writes,
			                      json_pack("{s:s, s:s, s:s}", "verb", "create", "kind",
			                                "Secret", "name", name));
		}
		reconcile_requeue(s, TOKEN_CHECK_MS);
	}
	enum reconcile_recovery recovery = reconcile_recovery(s);
	if (recovery == RECOVERY_BLOCKED)
		return;
	s->fe_was_up = fe_serves(s) && recovery == RECOVERY_NONE;
	reconcile_order(s);
	for (int r = 0; r < MODEL_ROLES; r++) {
		s->replicas[r] = -1;
		if (recovery == RECOVERY_RUNNING && r != MODEL_FE)
			continue;
		if (s->m->part[r].present && (r == MODEL_FE || s->m->part[MODEL_FE].present))
			plan_role(s, (enum model_role)r);
		else if (!s->m->part[r].present)
			remove_role(s, (enum model_role)r);
	}
	if (!s->m->part[MODEL_FE].present)
		reconcile_trouble(s, "FeSpecMissing",
		                  "spec.starRocksFeSpec is missing: a cluster needs an FE");
	/* Nothing scales a cluster that sleeps; the number in the CR is what it wakes up to. */
	if (render_wanted(s->m, RENDER_CN_HPA) && !s->hibernating)
		reconcile_want(s, RENDER_CN_HPA, 0);
	else
		reconcile_unwanted(s, RENDER_CN_HPA);
	reconcile_nodes(s);
	reconcile_keda(s);
	if (s->m->part[MODEL_CN].present)
		retire_cn_set(s);
	if (recovery != RECOVERY_NONE)
		return;
	reconcile_observers(s);
	reconcile_extras(s);
}

/* ---- the step ---- */
static json_t *plan_of(struct step *s, json_t *status)
{
	json_t *plan = json_pack("{s:o, s:o, s:o, s:o}", "writes", s->writes, "intents", s->intents,
	                         "events", s->events, "status", status ? status : json_object());
	if (s->requeue_ms)
		json_object_set_new(plan, "requeue_ms", json_integer(s->requeue_ms));
	if (s->ask_ms)
		json_object_set_new(plan, "ask_ms", json_integer(s->ask_ms));
	if (s->want_replication || s->want_health)
		json_object_set_new(plan, "want",
		                    json_pack("{s:b, s:b}", "replication", s->want_replication,
		                              "health", s->want_health));
	return plan;
}

static void take_conf(struct model_cluster *m, const json_t *world)
{
	for (int r = 0; r < MODEL_ROLES; r++) {
		const char *text = data_get_str(json_object_get(world, "conf"), MODEL_ROLE_NAME[r]);
		if (m->part[r].present)
			model_set_conf(m, (enum model_role)r, str_of(text));
	}
}

int reconcile_step(const json_t *world, const struct render_options *options, json_t **ret_plan,
                   struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	struct step s = { .world = world,
		          .options = options,
		          .now_ms = data_get_int(world, "now_ms", 0),
		          .last_scale = -1,
		          .held_by = { MODEL_ROLES, MODEL_ROLES, MODEL_ROLES },
		          .writes = json_array(),
		          .intents = json_array(),
		          .events = json_array() };
	struct err why = ERR_INIT;
	if (!json_is_object(json_object_get(world, "cr"))) {
		json_decref(s.writes);
		json_decref(s.intents);
		json_decref(s.events);
		return err_set(err, -EINVAL, "the recorded world has no cr");
	}
	if (model_is_warehouse(json_object_get(world, "cr"))) {
		json_t *flat = reconcile_warehouse(&s, &m);
		reconcile_transitions(&s, flat);
		*ret_plan = plan_of(&s, flat);
		return 0;
	}
	if (model_cluster_decode(json_object_get(world, "cr"), &m, &why) < 0) {
		json_t *invalid = reconcile_status_invalid(world, why.msg);
		reconcile_transitions(&s, invalid);
		*ret_plan = plan_of(&s, invalid);
		return 0;
	}
	s.m = m;
	take_conf(m, world);
	if (m->deleting || reconcile_released(m->cr)) {
		/* Owner references clean up; the status of what goes, or is another's, is nobody's concern. */
		*ret_plan = plan_of(&s, json_deep_copy(json_object_get(m->cr, "status")));
		return 0;
	}
	reconcile_switches(&s);
	if (s.hibernating)
		m->proxy.replicas = 0;
	reconcile_scale_backends(&s, m);
	plan_objects(&s);
	reconcile_ghosts(&s);
	reconcile_tell_order(&s);
	reconcile_fence(&s);
	reconcile_password(&s);
	reconcile_tls(&s);
	reconcile_sql_user(&s);
	reconcile_not_built(&s);
	reconcile_pause(&s);
	json_t *status = reconcile_status(&s);
	reconcile_extras_status(&s, status);
	reconcile_members_status(&s, status);
	reconcile_rest_status(&s, status);
	reconcile_transitions(&s, status);
	*ret_plan = plan_of(&s, status);
	return 0;
}

/* The switches that a person turns: pause, hibernation, the maintenance window. Pure. */
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

#define NOTE "hibernatedReplicas"
static const char *const status_key[MODEL_ROLES] = { "starRocksFeStatus", "starRocksBeStatus",
	                                             "starRocksCnStatus" };
enum { DAY_MIN = 24 * 60, LOOK_DAYS = 8, MIN_MS = 60000, NOTED_MS = 1000 };

void reconcile_switches(struct step *s)
{
	const json_t *cr = s->m->cr;
	s->paused = model_says(cr, "roost.io/paused");
	s->hibernating = data_get_bool(cr, "spec.hibernate", false);
	s->resuming = !s->hibernating &&
	              reconcile_condition_is(reconcile_condition(cr, "Hibernated"), "True");
}

/* ---- pause ---- */
/* What is not done is not told as done. */
static void untell(struct step *s)
{
	static const char *const done[] = { "ReplicasPutBack", "ClaimForgotten", "Fenced",
		                            "Unfenced" };
	for (size_t i = json_array_size(s->events); i > 0; i--) {
		const char *why = data_get_str(json_array_get(s->events, i - 1), "reason");
		for (size_t k = 0; why && k < ARRAY_LEN(done); k++) {
			if (strcmp(why, done[k]) != 0)
				continue;
			json_array_remove(s->events, i - 1);
			break;
		}
	}
}

void reconcile_pause(struct step *s)
{
	size_t n = json_array_size(s->writes) + json_array_size(s->intents);
	if (!s->paused)
		return;
	untell(s);
	json_array_clear(s->writes);
	json_array_clear(s->intents);
	if (n == 0)
		return;
	/* What waits for a person comes before what waits for pods. */
	s->waiting[0] = '\0';
	reconcile_wait(s, "paused: changes wait until the annotation roost.io/paused is removed");
}

/* ---- hibernation ---- */
static bool has_pods(const struct step *s, enum model_role role)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		if (reconcile_pod_role(s, pod) == role)
			return true;
	}
	return false;
}

/* How many there were when they were stopped: they hold the catalog and the data, whatever the CR says when they wake up.
 * Only with all of them back can those that are too many leave by the book. */
static int64_t noted(const struct step *s, enum model_role role)
{
	autofree char *path = xasprintf("status.%s." NOTE, status_key[role]);
	return role == MODEL_CN ? 0 : data_get_int(s->m->cr, path, 0);
}

/* Whether the role asks for pods and they are all ready. */
static bool all_back(const struct step *s, enum model_role role)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	int64_t n = s->m->part[role].replicas;
	n = noted(s, role) > n ? noted(s, role) : n;
	return !s->m->part[role].present || n == 0 ||
	       (live && data_get_int(live, "spec.replicas", 1) >= n &&
	        data_get_int(live, "status.readyReplicas", 0) >= n);
}

void reconcile_rest_status(const struct step *s, json_t *status)
{
	for (int r = MODEL_FE; r < MODEL_CN; r++) {
		json_t *part = json_object_get(status, status_key[r]);
		int64_t have = reconcile_live_replicas(s, (enum model_role)r, 0);
		int64_t n = s->hibernating && have > 0 ? have : noted(s, (enum model_role)r);
		if (part && n > 0 && (s->hibernating || (s->resuming && have == 0)))
			json_object_set_new(part, NOTE, json_integer(n));
	}
}

/* CN first, then BE, then FE: nobody is asked by a node that is still there. */
static int64_t going_to_sleep(struct step *s, enum model_role role)
{
	static const enum model_role before[MODEL_ROLES][2] = {
		[MODEL_FE] = { MODEL_CN, MODEL_BE },
		[MODEL_BE] = { MODEL_CN, MODEL_CN },
		[MODEL_CN] = { MODEL_ROLES, MODEL_ROLES },
	};
	int64_t have = reconcile_live_replicas(s, role, 0);
	for (int i = 0; i < 2; i++) {
		enum model_role first = before[role][i];
		if (first != MODEL_ROLES && has_pods(s, first)) {
			reconcile_wait(s, "hibernating: %s pods stop first",
			               MODEL_ROLE_NAME[first]);
			return have;
		}
	}
	if (role != MODEL_CN && have > 0 && noted(s, role) != have) {
		reconcile_wait(s, "hibernating: the number of %s pods is noted first",
		               MODEL_ROLE_NAME[role]);
		autofree char *unkept = xasprintf("%s." NOTE, status_key[role]);
		if (data_get(json_object_get(s->world, "unkept"), unkept))
			reconcile_trouble(
				s, "OldCrd",
				"status.%s is not kept by the API server: the CRDs are older than "
				"the operator; nothing is stopped before they are applied anew",
				unkept);
		reconcile_requeue(s, NOTED_MS);
		return have;
	}
	if (has_pods(s, role))
		reconcile_wait(s, "hibernating: %s pods stop", MODEL_ROLE_NAME[role]);
	return 0;
}

int64_t reconcile_rest_replicas(struct step *s, enum model_role role)
{
	int64_t have = reconcile_live_replicas(s, role, 0);
	if (s->hibernating)
		return going_to_sleep(s, role);
	/* Back in the other order; a set that was never stopped is left alone. */
	if (!s->resuming || have > 0)
		return -1;
	for (int r = MODEL_FE; r < (int)role; r++) {
		if (!all_back(s, (enum model_role)r)) {
			reconcile_wait(s, "resuming: %s before %s", MODEL_ROLE_NAME[r],
			               MODEL_ROLE_NAME[role]);
			return 0;
		}
	}
	return noted(s, role) > s->m->part[role].replicas ? noted(s, role) : -1;
}

static bool all_asked_for(const struct step *s)
{
	for (int r = 0; r < MODEL_ROLES; r++)
		if (s->m->part[r].present &&
		    (s->m->part[r].replicas > 0 || noted(s, (enum model_role)r) > 0) &&
		    reconcile_live_replicas(s, (enum model_role)r, 0) == 0)
			return false;
	return true;
}

static bool any_pod(const struct step *s)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *component =
			data_get_str(pod, "metadata.labels.app\\.kubernetes\\.io/component");
		if (component && strcmp(component, "fe-proxy") == 0)
			return true;
	}
	for (int r = 0; r < MODEL_ROLES; r++)
		if (has_pods(s, (enum model_role)r))
			return true;
	return reconcile_observer_pods(s);
}

/* ---- the window ---- */
static const char *const day_names[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };

static bool day_allowed(const json_t *days, int64_t day)
{
	size_t i;
	const json_t *d;
	if (json_array_size(days) == 0)
		return true;
	json_array_foreach((json_t *)(uintptr_t)days, i, d)
	{
		/* The first of January 1970 was a Thursday. */
		const char *name = json_string_value(d);
		if (name && strcmp(name, day_names[(day + 4) % 7]) == 0)
			return true;
	}
	return false;
}

/* "HH:MM" in minutes; -1 when it is none. */
static int64_t minutes_of(const char *text)
{
	int64_t h = 0, m = 0;
	if (!text || strlen(text) != 5 || text[2] != ':' ||
	    str_to_i64((struct str){ text, 2 }, &h) < 0 ||
	    str_to_i64((struct str){ text + 3, 2 }, &m) < 0 || h < 0 || h > 23 || m < 0 || m > 59)
		return -1;
	return h * 60 + m;
}

bool reconcile_window_closed(const json_t *window, int64_t now_ms, int64_t *ret_opens_ms)
{
	const char *zone = data_get_str(window, "timeZone");
	const json_t *days = json_object_get(window, "days");
	int64_t start = minutes_of(data_get_str(window, "start"));
	int64_t length = data_get_int(window, "durationMinutes", 0);
	int64_t shift = 0;
	if (zone && (*zone == '+' || *zone == '-') && minutes_of(zone + 1) >= 0)
		shift = (*zone == '-' ? -1 : 1) * minutes_of(zone + 1);
	/* What cannot be read holds nothing back: the schema refuses it. */
	if (!json_is_object(window) || start < 0 || length <= 0)
		return false;
	int64_t now = now_ms / MIN_MS + shift, today = now / DAY_MIN;
	for (int64_t day = today - LOOK_DAYS; day <= today; day++) {
		int64_t at = day * DAY_MIN + start;
		if (day_allowed(days, day) && at <= now && now < at + length)
			return false;
	}
	for (int64_t day = today; day <= today + LOOK_DAYS; day++) {
		int64_t at = day * DAY_MIN + start;
		if (!day_allowed(days, day) || at <= now)
			continue;
		*ret_opens_ms = (at - shift) * MIN_MS;
		return true;
	}
	return false;
}

/* Whether pods have to wait for the window; says so of the set. */
bool reconcile_window_waits(struct step *s, const json_t *live)
{
	const json_t *window = data_get(s->m->cr, "spec.maintenanceWindow");
	const char *name = data_get_str(live, "metadata.name");
	int64_t opens = 0;
	/* A set without a ready pod has nothing to lose. */
	if (!json_is_object(window) || !name ||
	    data_get_int(live, "status.readyReplicas", 0) == 0 ||
	    !reconcile_window_closed(window, s->now_ms, &opens))
		return false;
	size_t used = strlen(s->held);
	snprintf(s->held + used, sizeof(s->held) - used, "%s%s", used ? ", " : "", name);
	s->held_until_ms = opens;
	reconcile_requeue(s, opens - s->now_ms + 1);
	return true;
}

bool reconcile_window_holds(struct step *s, const json_t *live, const json_t *desired)
{
	int64_t n = data_get_int(desired, "spec.replicas", 0);
	if (!json_is_object(data_get(s->m->cr, "spec.maintenanceWindow")) ||
	    !reconcile_template_differs(desired, live) || !reconcile_window_waits(s, live))
		return false;
	if (data_get_int(live, "spec.replicas", 1) != n)
		json_array_append_new(s->writes,
		                      json_pack("{s:s, s:s, s:s*, s:s, s:I}", "verb", "scale",
		                                "kind", data_get_str(desired, "kind"), "version",
		                                data_get_str(live, "metadata.resourceVersion"),
		                                "name", data_get_str(live, "metadata.name"),
		                                "replicas", (json_int_t)n));
	return true;
}

/* ---- the root password ---- */
void reconcile_password(struct step *s)
{
	const json_t *fe = json_object_get(s->world, "fe");
	const char *error = data_get_str(fe, "error");
	if (data_get_bool(fe, "rotated", false))
		reconcile_event(s, "Normal", "RootPasswordChanged",
		                "root's password is now the one of the Secret");
	if (data_get_bool(fe, "denied", false))
		reconcile_trouble(s, "RootPasswordRefused", "%s", error ? error : "access denied");
}

void reconcile_tls(struct step *s)
{
	const json_t *fe = json_object_get(s->world, "fe");
	const char *error = data_get_str(fe, "error");
	if (json_is_object(data_get(s->m->cr, "spec.tls")) &&
	    data_get_bool(fe, "tls_refused", false))
		reconcile_trouble(s, "TlsRefused", "%s", error ? error : "no trusted TLS");
}

/* ---- what the CRD takes and nothing serves yet ---- */
void reconcile_not_built(struct step *s)
{
	if (s->m->engine && s->m->part[MODEL_FE].observers > 0)
		reconcile_trouble(
			s, "NotBuilt",
			"spec.starRocksFeSpec.observers: Roost's engine has no observers yet");
}

/* ---- what the status says of them ---- */
static void add(json_t *list, const char *type, const char *reason, const char *message)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "type", type, "reason", reason,
	                                      "message", message));
}

json_t *reconcile_switch_conditions(struct step *s)
{
	json_t *list = json_array();
	if (s->held[0]) {
		char at[CLOCK_RFC3339_MAX];
		clock_rfc3339(s->held_until_ms, at);
		memcpy(at + 19, "Z", 2);
		reconcile_wait(s,
		               "%s: a change that restarts pods waits for the maintenance "
		               "window at %s",
		               s->held, at);
	}
	if (s->paused)
		add(list, "Paused", "Paused",
		    "roost.io/paused is true: nothing is written but this status");
	autofree char *root = reconcile_root_sql(s);
	if (root)
		add(list, "RootSql", "SqlUserRefused", root);
	const char *rival = data_get_str(s->world, "rival");
	if (rival) {
		autofree char *text =
			xasprintf("%s is written by field manager " MODEL_UPSTREAM_MANAGER
		                  " again and again: upstream's operator serves this cluster as "
		                  "well; stop one "
		                  "of the two",
		                  rival);
		add(list, "AnotherOperator", "FieldsTakenBack", text);
		reconcile_requeue(s, MIN_MS);
	}
	if (s->without[0])
		add(list, "RightsMissing", "Forbidden", s->without);
	if (s->fenced[0]) {
		autofree char *text = xasprintf("out of service and kept: %s", s->fenced);
		add(list, "Fenced", "Fenced", text);
	}
	if (s->hibernating && !any_pod(s)) {
		s->asleep = true;
		add(list, "Hibernated", "Hibernated",
		    "spec.hibernate is true: no pods run, every volume is kept");
	} else if (s->hibernating) {
		add(list, "Hibernated", "Hibernating", "spec.hibernate is true: the pods stop");
	} else if (s->resuming && !all_asked_for(s)) {
		add(list, "Hibernated", "Resuming", "FE, BE and CN come back in this order");
	}
	return list;
}

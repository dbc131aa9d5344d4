/* The status of a cluster: upstream's fields, and conditions that name what is to blame. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

static const char *const status_key[MODEL_ROLES] = { "starRocksFeStatus", "starRocksBeStatus",
	                                             "starRocksCnStatus" };

/* ---- one role ---- */
static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_names(json_t *out, const char *key, const char **names, size_t n)
{
	if (n == 0)
		return;
	json_t *list = json_array();
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(names[i]));
	json_object_set_new(out, key, list);
}

typedef VEC(const char *) names_t;

struct count {
	names_t ready, creating, failed;
	struct blame blame;
	char blamed[256]; /* the pod */
};

static void count_pods(struct step *s, enum model_role role, struct count *c)
{
	size_t i;
	const json_t *pod;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *name = data_get_str(pod, "metadata.name");
		const char *phase = data_get_str(pod, "status.phase");
		if (!name || reconcile_pod_role(s, pod) != role)
			continue;
		if (reconcile_pod_ready(pod))
			vec_push(&c->ready, name);
		else if (phase && strcmp(phase, "Failed") == 0)
			vec_push(&c->failed, name);
		else
			vec_push(&c->creating, name);
		if (!c->blame.reason[0] && (reconcile_pod_blame(pod, s->now_ms, &c->blame) ||
		                            reconcile_warned(s, pod, &c->blame)))
			snprintf(c->blamed, sizeof(c->blamed), "%s", name);
	}
}

static bool set_settled(const struct step *s, enum model_role role, const struct count *c)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	int64_t n = s->hibernating ? 0 : s->m->part[role].replicas;
	return live && data_get_int(live, "spec.replicas", 1) == n &&
	       data_get_int(live, "status.observedGeneration", -1) >=
	               data_get_int(live, "metadata.generation", 0) &&
	       data_get_int(live, "status.replicas", 0) == n &&
	       data_get_int(live, "status.updatedReplicas", 0) >= n && (int64_t)c->ready.n == n &&
	       c->creating.n == 0 && c->failed.n == 0;
}

/* The number that an HPA compares with: the CR's own as long as the Deployment has not taken it over, since
 * an HPA that still reads the old number writes it back. */
static int64_t scale_replicas(const struct step *s)
{
	const json_t *live = reconcile_live(s, RENDER_CN_SET);
	int64_t want = s->m->part[MODEL_CN].replicas;
	if (!live || data_get_int(live, "spec.replicas", 1) != want ||
	    data_get_int(live, "status.observedGeneration", -1) <
	            data_get_int(live, "metadata.generation", 0))
		return want;
	return data_get_int(live, "status.replicas", 0);
}

static void cn_fields(const struct step *s, json_t *out)
{
	autofree char *selector = render_selector(s->m->name, MODEL_CN);
	json_object_set_new(out, "replicas", json_integer(scale_replicas(s)));
	json_object_set_new(out, "selector", json_string(selector));
	if (s->m->hpa) {
		autofree char *name = render_object_name(s->m->name, RENDER_CN_HPA);
		json_object_set_new(out, "horizontalScaler",
		                    json_pack("{s:s, s:s}", "name", name, "version", "v2"));
	}
}

/* Pods that could not be made at all: a Deployment has a condition for it, a StatefulSet only Events. */
static void set_failure(struct step *s, enum model_role role)
{
	const json_t *set = reconcile_live(s, RENDER_ROLE_SET(role));
	const json_t *c = reconcile_condition(set, "ReplicaFailure");
	const json_t *late = reconcile_condition(set, "Progressing");
	const char *message = data_get_str(c, "message");
	const char *reason = data_get_str(c, "reason");
	const char *late_reason = data_get_str(late, "reason");
	struct blame b = { 0 };
	if (reconcile_condition_is(c, "True"))
		reconcile_trouble(
			s, reconcile_failure_reason(reason ? reason : "ReplicaFailure", message),
			"%s", message ? message : "pods cannot be created");
	else if (reconcile_warned(s, set, &b))
		reconcile_trouble(s, b.reason, "%s", b.message);
	if (reconcile_condition_is(late, "False") && late_reason)
		reconcile_trouble(s, late_reason, "%s", data_get_str(late, "message"));
}

/* *ret_running: whether the role is all there. */
static json_t *role_status(struct step *s, enum model_role role, const char **ret_phase)
{
	struct count c = { 0 };
	json_t *out = json_object();
	autofree char *set = render_object_name(s->m->name, RENDER_ROLE_SET(role));
	autofree char *service =
		render_object_name(s->m->name, (enum render_object)(RENDER_ROLE_FIRST(role) + 1));
	count_pods(s, role, &c);
	const char *phase = "reconciling";
	if (c.failed.n > 0)
		phase = "failed";
	else if (set_settled(s, role, &c))
		phase = "running";
	json_object_set_new(out, "phase", json_string(phase));
	json_object_set_new(out, "serviceName", json_string(service));
	json_object_set_new(out, "resourceNames", json_pack("[s]", set));
	if (c.blame.reason[0]) {
		json_object_set_new(
			out, "reason",
			json_sprintf("pod %s: %s: %s", c.blamed, c.blame.reason, c.blame.message));
		reconcile_trouble(s, c.blame.reason, "pod %s: %s", c.blamed, c.blame.message);
	}
	if (c.blame.again_ms)
		reconcile_requeue(s, c.blame.again_ms);
	set_failure(s, role);
	put_names(out, "runningInstances", c.ready.v, c.ready.n);
	put_names(out, "creatingInstances", c.creating.v, c.creating.n);
	put_names(out, "failedInstances", c.failed.v, c.failed.n);
	if (role == MODEL_CN)
		cn_fields(s, out);
	if (strcmp(phase, "running") != 0 && (int64_t)c.ready.n > s->m->part[role].replicas)
		reconcile_wait(s, "%s: %zu pods are ready, %lld are wanted", MODEL_ROLE_NAME[role],
		               c.ready.n, (long long)s->m->part[role].replicas);
	else if (strcmp(phase, "running") != 0)
		reconcile_wait(s, "%s: %zu of %lld pods are ready", MODEL_ROLE_NAME[role],
		               c.ready.n, (long long)s->m->part[role].replicas);
	vec_free(&c.ready);
	vec_free(&c.creating);
	vec_free(&c.failed);
	*ret_phase = phase;
	return out;
}

/* ---- conditions ---- */
/* A message that was cut inside a character would not be JSON. */
static json_t *message_json(const char *message)
{
	size_t n = strlen(message);
	json_t *j = NULL;
	for (size_t cut = 0; !j && cut <= 3 && cut <= n; cut++)
		j = json_stringn(message, n - cut);
	return j ? j : json_string("(a message that is not UTF-8)");
}

static void condition(json_t *list, const json_t *before, int64_t now, int64_t generation,
                      const char *type, bool status, const char *reason, const char *message)
{
	const char *value = status ? "True" : "False";
	char at[CLOCK_RFC3339_MAX];
	const char *since = NULL;
	size_t i;
	const json_t *c;
	json_array_foreach((json_t *)(uintptr_t)before, i, c)
	{
		const char *t = data_get_str(c, "type");
		const char *v = data_get_str(c, "status");
		if (t && v && strcmp(t, type) == 0 && strcmp(v, value) == 0)
			since = data_get_str(c, "lastTransitionTime");
	}
	if (!since) {
		/* Kubernetes' Time has whole seconds. */
		clock_rfc3339(now / 1000 * 1000, at);
		memcpy(at + 19, "Z", 2);
		since = at;
	}
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:s, s:I}", "type", type,
	                                      "status", value, "reason", reason, "message",
	                                      message_json(message), "lastTransitionTime", since,
	                                      "observedGeneration", (json_int_t)generation));
}

/* Troubles that time may mend by itself; of the others kstatus (Flux, Argo CD) is told that waiting is no use. */
static bool transient(const char *reason)
{
	static const char *const list[] = { "Unschedulable",      "ProbeFailing",
		                            "QuotaExceeded",      "FailedCreate",
		                            "ErrImagePull",       "FailedMount",
		                            "FailedAttachVolume", "ProvisioningFailed" };
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		if (strcmp(list[i], reason) == 0)
			return true;
	return false;
}

/* switches: more conditions that are true, may be NULL; asleep: ready is what it is not, by wish. */
static json_t *conditions(const json_t *cr, int64_t now, int64_t generation, const char *reason,
                          const char *message, const char *waiting, const json_t *switches,
                          bool asleep)
{
	size_t i;
	const json_t *c;
	const json_t *before = data_get(cr, "status.conditions");
	json_t *list = json_array();
	bool degraded = reason[0], progressing = waiting[0];
	bool ready = !degraded && !progressing && !asleep;
	const char *why = degraded ? reason : (progressing ? "Progressing" : "Hibernated");
	const char *text = degraded ? message : (progressing ? waiting : "no pods run, by wish");
	condition(list, before, now, generation, "Ready", ready, ready ? "Running" : why,
	          ready ? "all nodes are ready" : text);
	condition(list, before, now, generation, "Progressing", progressing,
	          progressing ? "Waiting" : "Settled", progressing ? waiting : "");
	condition(list, before, now, generation, "Degraded", degraded,
	          degraded ? reason : "AsExpected", degraded ? message : "");
	if (degraded && !transient(reason))
		condition(list, before, now, generation, "Stalled", true, reason, message);
	json_array_foreach((json_t *)(uintptr_t)switches, i, c)
	{
		condition(list, before, now, generation, data_get_str(c, "type"), true,
		          data_get_str(c, "reason"), data_get_str(c, "message"));
	}
	return list;
}

/* ---- all of it ---- */
static void take_problem(struct step *s)
{
	const json_t *p = json_object_get(s->world, "problem");
	const char *reason = data_get_str(p, "reason");
	const char *message = data_get_str(p, "message");
	if (reason && message)
		reconcile_trouble(s, reason, "%s", message);
}

json_t *reconcile_status(struct step *s)
{
	json_t *status = json_object();
	const char *phase = "running";
	const json_t *recovery = data_get(s->m->cr, "status.disasterRecoveryStatus");
	_cleanup_json_ json_t *switches = reconcile_switch_conditions(s);
	take_problem(s);
	reconcile_ignored(s);
	if (data_get_bool(s->world, "unwritten", false))
		reconcile_wait(s, "changes are on their way to the API server");
	for (int r = 0; r < MODEL_ROLES; r++) {
		const char *role_phase = NULL;
		if (!s->m->part[r].present)
			continue;
		json_object_set_new(status, status_key[r],
		                    role_status(s, (enum model_role)r, &role_phase));
		if (strcmp(phase, "running") == 0 || strcmp(role_phase, "failed") == 0)
			phase = role_phase;
	}
	if (recovery)
		json_object_set_new(status, "disasterRecoveryStatus", json_deep_copy(recovery));
	json_object_set_new(status, "phase", json_string(phase));
	if (s->reason[0])
		json_object_set_new(status, "reason",
		                    json_sprintf("%s: %s", s->reason, s->message));
	json_object_set_new(status, "observedGeneration", json_integer(s->m->generation));
	json_object_set_new(status, "conditions",
	                    conditions(s->m->cr, s->now_ms, s->m->generation, s->reason, s->message,
	                               s->waiting, switches, s->asleep));
	return status;
}

json_t *reconcile_status_invalid(const json_t *world, const char *message)
{
	const json_t *cr = json_object_get(world, "cr");
	const json_t *before = json_object_get(cr, "status");
	int64_t generation = data_get_int(cr, "metadata.generation", 0);
	json_t *status = json_is_object(before) ? json_deep_copy(before) : json_object();
	json_object_set_new(status, "phase", json_string("failed"));
	json_object_set_new(status, "reason", json_sprintf("InvalidSpec: %s", message));
	json_object_set_new(status, "observedGeneration", json_integer(generation));
	json_object_set_new(status, "conditions",
	                    conditions(cr, data_get_int(world, "now_ms", 0), generation,
	                               "InvalidSpec", message, "", NULL, false));
	return status;
}

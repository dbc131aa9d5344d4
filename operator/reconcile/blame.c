/* What is wrong with a pod, from its own status, or from the warnings that others filed about it. */
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { SLOW_START_MS = 15000, NOT_READY_MS = 3000, PROBE_START_MS = 60000 };
enum { ASK_AGAIN_MS = 3000, ASK_AGAIN_CAP_MS = 60000 };

static void say(struct blame *b, const char *reason, const char *container, const char *message)
{
	snprintf(b->reason, sizeof(b->reason), "%s", reason);
	if (container)
		snprintf(b->message, sizeof(b->message), "container %s: %s", container, message);
	else
		snprintf(b->message, sizeof(b->message), "%s", message);
}

/* A container that falls again and again is told so also in the moments in which it stands. */
static bool crashes(const json_t *c, struct blame *b)
{
	const char *name = data_get_str(c, "name");
	const json_t *ended = data_get(c, "lastState.terminated");
	const json_t *now = data_get(c, "state.terminated");
	char text[128];
	bool waits = data_get(c, "state.waiting") != NULL;
	if (data_get_bool(c, "ready", false) || data_get_int(c, "restartCount", 0) < 2 ||
	    (!json_is_object(ended) && !json_is_object(now)))
		return false;
	const json_t *end = json_is_object(now) ? now : ended;
	const char *why = data_get_str(end, "reason");
	if (!waits && data_get_int(end, "exitCode", 0) == 0)
		return false;
	/* The number of times would make each fall a change of status. */
	snprintf(text, sizeof(text), "it ends again and again, last with exit code %lld (%s)",
	         (long long)data_get_int(end, "exitCode", 0), why ? why : "no reason given");
	say(b, "CrashLoopBackOff", name ? name : "", text);
	return true;
}

static bool blame_containers(const json_t *statuses, struct blame *b)
{
	size_t i;
	const json_t *c;
	json_array_foreach((json_t *)(uintptr_t)statuses, i, c)
	{
		const char *reason = data_get_str(c, "state.waiting.reason");
		const char *message = data_get_str(c, "state.waiting.message");
		const char *name = data_get_str(c, "name");
		if (crashes(c, b))
			return true;
		if (!reason || strcmp(reason, "ContainerCreating") == 0 ||
		    strcmp(reason, "PodInitializing") == 0)
			continue;
		say(b, reason, name ? name : "", message ? message : reason);
		return true;
	}
	return false;
}

const json_t *reconcile_condition(const json_t *object, const char *type)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(object, "status.conditions"), i, c)
	{
		const char *t = data_get_str(c, "type");
		if (t && strcmp(t, type) == 0)
			return c;
	}
	return NULL;
}

bool reconcile_condition_is(const json_t *condition, const char *value)
{
	const char *status = data_get_str(condition, "status");
	return status && strcmp(status, value) == 0;
}

static int64_t time_of(const json_t *o, const char *path)
{
	const char *text = data_get_str(o, path);
	int64_t at = 0;
	return text && clock_from_rfc3339(text, &at) == 0 ? at : -1;
}

static void look_again(struct blame *b, int64_t wait_ms)
{
	if (wait_ms > 0 && (b->again_ms == 0 || wait_ms < b->again_ms))
		b->again_ms = wait_ms;
}

/* A pod that was ready and is so no more is told at once, one that has just started is given its time. */
static bool blame_probe(const json_t *pod, int64_t now, struct blame *b)
{
	const json_t *ready = reconcile_condition(pod, "Ready");
	int64_t since = time_of(ready, "lastTransitionTime");
	size_t i;
	const json_t *c;
	if (!reconcile_condition_is(ready, "False") || since < 0)
		return false;
	json_array_foreach(data_get(pod, "status.containerStatuses"), i, c)
	{
		const char *name = data_get_str(c, "name");
		int64_t began = time_of(c, "state.running.startedAt");
		bool started = data_get_bool(c, "started", false);
		int64_t patience = started ? SLOW_START_MS : PROBE_START_MS;
		if (data_get_bool(c, "ready", false) ||
		    !json_is_object(data_get(c, "state.running")))
			continue;
		if (started && began >= 0 && since > began)
			patience = NOT_READY_MS;
		int64_t from = since > began ? since : began;
		if (now - from < patience) {
			look_again(b, patience - (now - from));
			continue;
		}
		say(b, "ProbeFailing", name ? name : "",
		    started ? "the readiness probe fails" : "the startup probe does not pass");
		return true;
	}
	return false;
}

bool reconcile_pod_blame(const json_t *pod, int64_t now, struct blame *b)
{
	const json_t *scheduled = reconcile_condition(pod, "PodScheduled");
	const char *phase = data_get_str(pod, "status.phase");
	const char *why = data_get_str(scheduled, "message");
	if (data_get_str(pod, "metadata.deletionTimestamp"))
		return false;
	if (reconcile_condition_is(scheduled, "False")) {
		const char *reason = data_get_str(scheduled, "reason");
		say(b, reason ? reason : "Unschedulable", NULL,
		    why ? why : "no node takes the pod");
		return true;
	}
	if (blame_containers(data_get(pod, "status.initContainerStatuses"), b) ||
	    blame_containers(data_get(pod, "status.containerStatuses"), b))
		return true;
	if (phase && strcmp(phase, "Failed") == 0) {
		const char *reason = data_get_str(pod, "status.reason");
		const char *message = data_get_str(pod, "status.message");
		say(b, reason ? reason : "PodFailed", NULL,
		    message ? message : "the pod has failed");
		return true;
	}
	return blame_probe(pod, now, b);
}

void reconcile_blame(struct step *s, const json_t *pod)
{
	struct blame b = { 0 };
	if (reconcile_pod_blame(pod, s->now_ms, &b))
		reconcile_trouble(s, b.reason, "pod %s: %s", data_get_str(pod, "metadata.name"),
		                  b.message);
}

/* ---- what only Events tell ---- */
int64_t reconcile_suspect_ms(const json_t *object, int64_t now)
{
	const char *kind = data_get_str(object, "kind");
	const char *phase = data_get_str(object, "status.phase");
	struct blame b = { 0 };
	int64_t age = now - time_of(object, "metadata.creationTimestamp");
	int64_t again = age / 4;
	if (data_get_str(object, "metadata.deletionTimestamp") || !kind)
		return 0;
	if (strcmp(kind, "StatefulSet") == 0) {
		if (data_get_int(object, "status.observedGeneration", -1) <
		            data_get_int(object, "metadata.generation", 0) ||
		    data_get_int(object, "status.replicas", 0) >=
		            data_get_int(object, "spec.replicas", 1))
			return 0;
		again = ASK_AGAIN_MS;
	} else if (strcmp(kind, "Pod") != 0 || !phase || strcmp(phase, "Pending") != 0 ||
	           reconcile_pod_blame(object, now, &b)) {
		return 0;
	}
	if (again < ASK_AGAIN_MS)
		return ASK_AGAIN_MS;
	return again < ASK_AGAIN_CAP_MS ? again : ASK_AGAIN_CAP_MS;
}

/* "exceeded quota" comes as FailedCreate with the quota's name in the text; of an image the kubelet's Event says
 * Failed and BackOff a moment before the pod's status says ErrImagePull and ImagePullBackOff. */
const char *reconcile_failure_reason(const char *reason, const char *message)
{
	static const struct {
		const char *reason, *begins, *means;
	} images[] = {
		{ "Failed", "Failed to pull image", "ErrImagePull" },
		{ "Failed", "Error: ErrImagePull", "ErrImagePull" },
		{ "Failed", "Error: ImagePullBackOff", "ImagePullBackOff" },
		{ "BackOff", "Back-off pulling image", "ImagePullBackOff" },
	};
	if (!message)
		return reason;
	for (size_t i = 0; i < ARRAY_LEN(images); i++)
		if (strcmp(images[i].reason, reason) == 0 &&
		    strncmp(images[i].begins, message, strlen(images[i].begins)) == 0)
			return images[i].means;
	return strstr(message, "exceeded quota") ? "QuotaExceeded" : reason;
}

static bool warned(const struct step *s, const char *kind, const char *name, struct blame *b)
{
	autofree char *key = xasprintf("%s/%s", kind, name);
	const json_t *w = json_object_get(json_object_get(s->world, "warnings"), key);
	const char *reason = data_get_str(w, "reason");
	const char *message = data_get_str(w, "message");
	if (!reason || !message)
		return false;
	say(b, reconcile_failure_reason(reason, message), NULL, message);
	return true;
}

bool reconcile_warned(struct step *s, const json_t *object, struct blame *b)
{
	const char *kind = data_get_str(object, "kind");
	const char *name = data_get_str(object, "metadata.name");
	int64_t again = object ? reconcile_suspect_ms(object, s->now_ms) : 0;
	size_t i;
	const json_t *v;
	if (again == 0 || !kind || !name)
		return false;
	reconcile_requeue(s, again);
	json_array_foreach(data_get(object, "spec.volumes"), i, v)
	{
		const char *claim = data_get_str(v, "persistentVolumeClaim.claimName");
		if (claim && warned(s, "PersistentVolumeClaim", claim, b))
			return true;
	}
	return warned(s, kind, name, b);
}

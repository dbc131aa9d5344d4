/* The Warning events of what is stuck: quota, admission, volumes and mounts are told nowhere else. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"

/* Of many stuck pods a few tell the story. */
enum { SUSPECTS_MAX = 4, WARNING_AGE_MS = 20 * 60 * 1000 };
/* What was made just now is on its way, not stuck; it is looked at again while it is not there. */
enum { GRACE_MS = 2000 };

struct newest {
	const char *uid; /* NULL: any */
	int64_t at_ms;
	char *reason, *message;
};

static int64_t event_time(const json_t *event)
{
	static const char *const paths[] = { "series.lastObservedTime", "lastTimestamp",
		                             "eventTime", "metadata.creationTimestamp" };
	int64_t at = 0;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const char *text = data_get_str(event, paths[i]);
		if (text && clock_from_rfc3339(text, &at) == 0)
			return at;
	}
	return 0;
}

static int take_newest(void *arg, json_t *event)
{
	struct newest *n = arg;
	const char *uid = data_get_str(event, "involvedObject.uid");
	const char *reason = data_get_str(event, "reason");
	const char *message = data_get_str(event, "message");
	int64_t at = event_time(event);
	if (!reason || !message || (n->uid && (!uid || strcmp(uid, n->uid) != 0)) || at < n->at_ms)
		return 0;
	n->at_ms = at;
	free(n->reason);
	free(n->message);
	n->reason = xstrdup(reason);
	n->message = xstrdup(message);
	return 0;
}

static void look(struct worker *w, json_t *world, const char *kind, const char *name,
                 const char *uid)
{
	autofree char *fields =
		xasprintf("involvedObject.kind=%s,involvedObject.name=%s,type=Warning", kind, name);
	struct kube_list_query q = { .kind = &KUBE_EVENT,
		                     .ns = data_get_str(json_object_get(world, "cr"),
		                                        "metadata.namespace"),
		                     .fields = fields };
	struct newest n = { .uid = uid,
		            .at_ms = data_get_int(world, "now_ms", 0) - WARNING_AGE_MS };
	struct err err = ERR_INIT;
	int rc = kube_list(w->kube, &q, take_newest, &n, NULL, &err);
	reconcile_tell_right(w->r, EVENT_READ, rc, &err);
	/* What cannot be read is one reason less. */
	if (rc == 0 && n.reason) {
		autofree char *key = xasprintf("%s/%s", kind, name);
		json_object_set_new(
			json_object_get(world, "warnings"), key,
			json_pack("{s:s, s:s}", "reason", n.reason, "message", n.message));
	}
	free(n.reason);
	free(n.message);
}

static bool suspect(const json_t *object, int64_t now)
{
	const char *made = data_get_str(object, "metadata.creationTimestamp");
	int64_t at = 0;
	if (made && clock_from_rfc3339(made, &at) == 0 && now - at < GRACE_MS)
		return false;
	return reconcile_suspect_ms(object, now) > 0;
}

static void look_object(struct worker *w, json_t *world, const json_t *object)
{
	size_t i;
	const json_t *v;
	look(w, world, data_get_str(object, "kind"), data_get_str(object, "metadata.name"),
	     data_get_str(object, "metadata.uid"));
	json_array_foreach(data_get(object, "spec.volumes"), i, v)
	{
		const char *claim = data_get_str(v, "persistentVolumeClaim.claimName");
		if (claim && i < SUSPECTS_MAX)
			look(w, world, "PersistentVolumeClaim", claim, NULL);
	}
}

void reconcile_add_warnings(struct worker *w, json_t *world)
{
	const char *key;
	json_t *object;
	size_t i;
	unsigned n = 0;
	int64_t now = data_get_int(world, "now_ms", 0);
	json_object_set_new(world, "warnings", json_object());
	json_object_foreach(json_object_get(world, "objects"), key, object)
	{
		if (n < SUSPECTS_MAX && suspect(object, now)) {
			look_object(w, world, object);
			n++;
		}
	}
	json_array_foreach(json_object_get(world, "pods"), i, object)
	{
		if (n < SUSPECTS_MAX && suspect(object, now) &&
		    data_get_str(object, "metadata.name")) {
			look_object(w, world, object);
			n++;
		}
	}
}

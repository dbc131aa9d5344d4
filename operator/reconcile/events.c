/* Events: what a step says, and how it gets told without filling etcd. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step_priv.h"

/* The same event at most so often; of different ones so many at once, and one more each minute. */
enum { EVENT_EVERY_MS = 300000, EVENT_BURST = 20, EVENT_REFILL_MS = 60000 };
enum { EVENTS_KEPT = 64, EVENT_MESSAGE_MAX = 1000 };
/* A missing right is a line in the log each so often, not one for each event of each cluster. */
enum { RIGHT_EVERY_MS = 600000 };

/* ---- saying (pure) ---- */
static json_t *text_json(const char *text)
{
	size_t n = strlen(text);
	json_t *j = NULL;
	/* Cut inside a character it would not be JSON. */
	for (size_t cut = 0; !j && cut <= 3 && cut <= n; cut++)
		j = json_stringn(text, n - cut);
	return j ? j : json_string("(not UTF-8)");
}

void reconcile_event(struct step *s, const char *type, const char *reason, const char *fmt, ...)
{
	char message[EVENT_MESSAGE_MAX];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	json_array_append_new(s->events, json_pack("{s:s, s:s, s:o}", "type", type, "reason",
	                                           reason, "message", text_json(message)));
}

static const json_t *condition_in(const json_t *status, const char *type)
{
	size_t i;
	const json_t *c;
	json_array_foreach(json_object_get(status, "conditions"), i, c)
	{
		const char *t = data_get_str(c, "type");
		if (t && strcmp(t, type) == 0)
			return c;
	}
	return NULL;
}

static bool differs(const json_t *a, const json_t *b, const char *key)
{
	const char *x = data_get_str(a, key), *y = data_get_str(b, key);
	return !x || !y || strcmp(x, y) != 0;
}

/* Switches that a person turned: there while they are on. */
static void switched(struct step *s, const json_t *was, const json_t *is, const char *type,
                     const char *off)
{
	bool before = reconcile_condition_is(condition_in(was, type), "True");
	const json_t *c = condition_in(is, type);
	bool now = reconcile_condition_is(c, "True");
	if (now && !before)
		reconcile_event(s, "Normal", type, "%s", data_get_str(c, "message"));
	else if (before && !now)
		reconcile_event(s, "Normal", off, "no longer %s", type);
}

void reconcile_transitions(struct step *s, const json_t *status)
{
	const json_t *was = data_get(json_object_get(s->world, "cr"), "status");
	const json_t *bad = condition_in(status, "Degraded"), *old = condition_in(was, "Degraded");
	bool degraded = reconcile_condition_is(bad, "True");
	if (degraded && (!reconcile_condition_is(old, "True") || differs(bad, old, "reason") ||
	                 differs(bad, old, "message")))
		reconcile_event(s, "Warning", data_get_str(bad, "reason"), "%s",
		                data_get_str(bad, "message"));
	else if (!degraded && reconcile_condition_is(old, "True"))
		reconcile_event(s, "Normal", "Recovered", "%s is over",
		                data_get_str(old, "reason"));
	if (reconcile_condition_is(condition_in(status, "Ready"), "True") &&
	    !reconcile_condition_is(condition_in(was, "Ready"), "True"))
		reconcile_event(s, "Normal", "Ready", "all nodes are ready");
	switched(s, was, status, "Paused", "Unpaused");
	switched(s, was, status, "Hibernated", "Resumed");
	switched(s, was, status, "AnotherOperator", "OneOperator");
	switched(s, was, status, "RightsMissing", "RightsGiven");
}

/* ---- telling ---- */
static bool may_tell(struct record *rec, int64_t now)
{
	int64_t refill = (now - rec->events_at_ms) / EVENT_REFILL_MS;
	if (rec->events_at_ms == 0 || rec->events_left + refill >= EVENT_BURST) {
		rec->events_left = EVENT_BURST;
		rec->events_at_ms = now;
	} else if (refill > 0) {
		rec->events_left += (int)refill;
		rec->events_at_ms += refill * EVENT_REFILL_MS;
	}
	if (rec->events_left <= 0)
		return false;
	rec->events_left--;
	return true;
}

/* What is remembered of one event, by its digest: {count, first, told_ms}. */
static json_t *memory_of(struct record *rec, const char *digest, const char *now_text)
{
	json_t *m = json_object_get(rec->events, digest);
	if (m)
		return m;
	if (!rec->events || json_object_size(rec->events) >= EVENTS_KEPT) {
		json_decref(rec->events);
		rec->events = json_object();
	}
	m = json_pack("{s:i, s:s, s:I}", "count", 0, "first", now_text, "told_ms",
	              (json_int_t)INT64_MIN / 2);
	json_object_set_new(rec->events, digest, m);
	return m;
}

static json_t *event_object(const json_t *cr, const json_t *event, const char *digest,
                            const json_t *memory, const char *now_text)
{
	const char *ns = data_get_str(cr, "metadata.namespace");
	const char *name = data_get_str(cr, "metadata.name");
	const char *kind = data_get_str(cr, "kind");
	json_t *o = json_pack(
		"{s:s, s:s, s:{s:o, s:s}, s:{s:s, s:s, s:s, s:s, s:s*}, s:s, s:s, s:O, s:{s:s}, "
		"s:s, s:s, s:s, s:I}",
		"apiVersion", KUBE_EVENT.api, "kind", KUBE_EVENT.kind, "metadata", "name",
		json_sprintf("%s.%s", name, digest), "namespace", ns, "involvedObject",
		"apiVersion", KUBE_CLUSTER.api, "kind", kind ? kind : KUBE_CLUSTER.kind,
		"namespace", ns, "name", name, "uid", data_get_str(cr, "metadata.uid"), "type",
		data_get_str(event, "type"), "reason", data_get_str(event, "reason"), "message",
		json_object_get(event, "message"), "source", "component", RECONCILE_MANAGER,
		"reportingComponent", RECONCILE_MANAGER, "firstTimestamp",
		data_get_str(memory, "first"), "lastTimestamp", now_text, "count",
		(json_int_t)data_get_int(memory, "count", 1));
	return o;
}

void reconcile_tell_right(struct reconcile *r, enum event_right which, int rc,
                          const struct err *err)
{
	static const char *const without[] = {
		[EVENT_READ] = "what only events tell (quota, volumes) is not seen",
		[EVENT_WRITE] = "what happens is told in conditions and in this log only",
	};
	int64_t now = clock_mono_ms(), told = atomic_load(&r->told_ms[which]);
	if (rc != KUBE_FORBIDDEN || (told && now - told < RIGHT_EVERY_MS))
		return;
	/* Of workers that come here at once one tells. */
	if (atomic_compare_exchange_strong(&r->told_ms[which], &told, now))
		log_warn("%s: %s", without[which], err->msg);
}

static void tell(struct worker *w, struct record *rec, const json_t *cr, const json_t *event)
{
	char digest[17], at[CLOCK_RFC3339_MAX];
	struct err err = ERR_INIT;
	int64_t now = clock_mono_ms();
	_cleanup_json_ json_t *id = json_pack("[O, O]", data_get(cr, "metadata.uid"), event);
	if (!id || !data_get_str(event, "reason") || !data_get_str(event, "message"))
		return;
	reconcile_digest(id, digest);
	clock_rfc3339(clock_real_ms() / 1000 * 1000, at);
	memcpy(at + 19, "Z", 2);
	json_t *m = memory_of(rec, digest, at);
	json_object_set_new(m, "count", json_integer(data_get_int(m, "count", 0) + 1));
	if (now - data_get_int(m, "told_ms", 0) < EVENT_EVERY_MS || !may_tell(rec, now))
		return;
	_cleanup_json_ json_t *o = event_object(cr, event, digest, m, at);
	struct kube_ref ref = { &KUBE_EVENT, data_get_str(cr, "metadata.namespace"),
		                data_get_str(o, "metadata.name"), NULL };
	/* Nothing depends on an event: one that cannot be told is let go. */
	int rc = kube_apply(w->kube, &ref, RECONCILE_MANAGER, o, NULL, &err);
	observe_count(rc == 0 ? OBSERVE_WRITES : OBSERVE_REFUSED, "apply", KUBE_EVENT.kind);
	if (rc == 0)
		json_object_set_new(m, "told_ms", json_integer(now));
	else
		log_debug("cluster=%s/%s event: %s", ref.ns, data_get_str(cr, "metadata.name"),
		          err.msg);
	reconcile_tell_right(w->r, EVENT_WRITE, rc, &err);
}

void reconcile_write_events(struct worker *w, struct record *rec, const json_t *world,
                            const json_t *plan)
{
	size_t i;
	const json_t *event;
	json_array_foreach(json_object_get(plan, "events"), i, event)
	{
		if (w->r->config.may_write(w->r->config.arg))
			tell(w, rec, json_object_get(world, "cr"), event);
	}
}

/* Changing pods in order: which role may take its new template now, and which pod of a StatefulSet is restarted
 * next. While a set changes its strategy is OnDelete and this file restarts its pods one by one (a rolling update
 * goes by ordinals and cannot leave the leader to the end); at rest it is what the CR says. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "operator/reconcile/step_priv.h"

enum { VERSION_PARTS = 4, STEP_MS = 2000, ASK_SOON_MS = 1000 };

/* ---- versions ---- */
/* The leading dotted numbers of an image's tag; false when there are not at least two. */
static bool version_of(const char *image, int64_t ret[VERSION_PARTS])
{
	const char *slash = strrchr(image, '/');
	const char *tag = strchr(slash ? slash : image, ':');
	int n = 0;
	memset(ret, 0, VERSION_PARTS * sizeof(*ret));
	tag = tag ? tag + 1 : "";
	tag += *tag == 'v';
	while (n < VERSION_PARTS && *tag >= '0' && *tag <= '9') {
		size_t digits = strspn(tag, "0123456789");
		if (str_to_i64((struct str){ tag, digits }, &ret[n++]) < 0)
			return false;
		tag += digits;
		if (*tag != '.')
			break;
		tag++;
	}
	return n >= 2;
}

int reconcile_version_cmp(const char *a, const char *b)
{
	int64_t va[VERSION_PARTS], vb[VERSION_PARTS];
	if (!version_of(a, va) || !version_of(b, vb))
		return 0;
	for (int i = 0; i < VERSION_PARTS; i++)
		if (va[i] != vb[i])
			return va[i] < vb[i] ? -1 : 1;
	return 0;
}

/* ---- how far a set is ---- */
/* An image that a webhook put in the place of the one that was asked for (a registry of the house) stands for it. */
static const char *asked_image(const struct step *s, const json_t *live, const char *image)
{
	autofree char *key =
		xasprintf("%s/%s", data_get_str(live, "kind"), data_get_str(live, "metadata.name"));
	const json_t *applied = json_object_get(json_object_get(s->world, "applied"), key);
	const char *got = data_get_str(applied, "got"), *asked = data_get_str(applied, "asked");
	return image && got && asked && strcmp(got, image) == 0 ? asked : image;
}

static const char *live_image(const struct step *s, enum model_role role)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(live, "spec.template.spec.containers"), i, c)
	{
		const char *name = data_get_str(c, "name");
		if (name && strcmp(name, MODEL_ROLE_NAME[role]) == 0)
			return asked_image(s, live, data_get_str(c, "image"));
	}
	return NULL;
}

static bool observed(const json_t *live)
{
	return data_get_int(live, "status.observedGeneration", 0) >=
	       data_get_int(live, "metadata.generation", 0);
}

int64_t reconcile_ordinal(const struct step *s, enum model_role role, const json_t *pod)
{
	const char *name = data_get_str(pod, "metadata.name");
	autofree char *set = render_object_name(s->m->name, RENDER_ROLE_SET(role));
	size_t n = strlen(set);
	int64_t ordinal = -1;
	if (!name || reconcile_pod_role(s, pod) != role || strncmp(name, set, n) != 0 ||
	    name[n] != '-' || str_to_i64(str_of(name + n + 1), &ordinal) < 0)
		return -1;
	return ordinal;
}

static bool stale(const json_t *pod, const json_t *live)
{
	const char *has = data_get_str(pod, "metadata.labels.controller-revision-hash");
	const char *shall = data_get_str(live, "status.updateRevision");
	return has && shall && strcmp(has, shall) != 0;
}

struct tally {
	int64_t pods, ready, stale, leaving;
	int64_t ready_at_ms; /* the newest change to Ready */
};

static int64_t ready_since(const json_t *pod)
{
	size_t i;
	const json_t *c;
	int64_t at = 0;
	json_array_foreach(data_get(pod, "status.conditions"), i, c)
	{
		const char *type = data_get_str(c, "type");
		const char *since = data_get_str(c, "lastTransitionTime");
		if (type && since && strcmp(type, "Ready") == 0)
			clock_from_rfc3339(since, &at);
	}
	return at;
}

static void tally_of(const struct step *s, enum model_role role, const json_t *live,
                     struct tally *t)
{
	size_t i;
	const json_t *pod;
	*t = (struct tally){ 0 };
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		if (reconcile_ordinal(s, role, pod) < 0)
			continue;
		/* By our own clock where it is known: the API server's may go otherwise. */
		int64_t at = data_get_int(pod, "seen_ms", ready_since(pod));
		t->pods++;
		t->ready += reconcile_pod_ready(pod);
		t->stale += stale(pod, live);
		t->leaving += data_get_str(pod, "metadata.deletionTimestamp") != NULL;
		t->ready_at_ms = at > t->ready_at_ms ? at : t->ready_at_ms;
	}
}

static bool moving(const struct step *s, enum model_role role)
{
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	int64_t n = data_get_int(live, "spec.replicas", 1);
	struct tally t;
	if (!observed(live))
		return true;
	if (role == MODEL_CN)
		return data_get_int(live, "status.updatedReplicas", 0) < n ||
		       data_get_int(live, "status.availableReplicas", 0) < n;
	tally_of(s, role, live, &t);
	return t.stale > 0 || t.ready < n;
}

/* ---- order of the roles ---- */
static bool changes(const struct step *s, enum model_role role, int *ret_cmp)
{
	const struct model_part *p = &s->m->part[role];
	const json_t *live = reconcile_live(s, RENDER_ROLE_SET(role));
	const char *ignored = data_get_str(live, "metadata.annotations.starrocks\\.com/ignored");
	const char *image = live_image(s, role);
	if (!p->present || !live || !image || (ignored && strcmp(ignored, "true") == 0))
		return false;
	*ret_cmp = reconcile_version_cmp(p->image, image);
	return strcmp(image, p->image) != 0;
}

void reconcile_order(struct step *s)
{
	static const enum model_role up[] = { MODEL_BE, MODEL_CN, MODEL_FE };
	static const enum model_role down[] = { MODEL_FE, MODEL_CN, MODEL_BE };
	bool change[MODEL_ROLES] = { false }, back = false;
	for (int r = 0; r < MODEL_ROLES; r++) {
		int cmp = 0;
		change[r] = changes(s, (enum model_role)r, &cmp);
		back = back || (change[r] && cmp < 0);
	}
	const enum model_role *order = back ? down : up;
	for (int i = 1; i < MODEL_ROLES; i++) {
		/* An FE that serves nobody cannot be protected by waiting, and the others may need it. */
		if (!change[order[i]] || (order[i] == MODEL_FE && !s->fe_was_up))
			continue;
		for (int j = i - 1; j >= 0; j--) {
			const json_t *live = reconcile_live(s, RENDER_ROLE_SET(order[j]));
			if (change[order[j]] ||
			    (live && s->m->part[order[j]].present && moving(s, order[j])))
				s->held_by[order[i]] = order[j];
		}
	}
}

/* ---- does the template differ? ---- */
static bool same_quantity(const json_t *a, const json_t *b)
{
	int64_t x = 0, y = 0;
	if (!json_is_string(a) || !json_is_string(b))
		return false;
	return data_quantity(str_of(json_string_value(a)), &x, NULL) == 0 &&
	       data_quantity(str_of(json_string_value(b)), &y, NULL) == 0 && x == y;
}

/* Whether what is desired is there; what the server added besides is its own affair. */
static bool within(const json_t *desired, const json_t *live)
{
	const char *key;
	json_t *value;
	size_t i;
	json_t *d = (json_t *)(uintptr_t)desired;
	bool empty = json_is_null(desired) ||
	             (json_is_object(desired) && json_object_size(desired) == 0) ||
	             (json_is_array(desired) && json_array_size(desired) == 0);
	if (!live)
		return empty || json_is_false(desired);
	if (json_is_object(desired) && json_is_object(live)) {
		json_object_foreach(d, key, value)
		{
			if (!within(value, json_object_get(live, key)))
				return false;
		}
		return true;
	}
	if (json_is_array(desired) && json_is_array(live)) {
		if (json_array_size(desired) != json_array_size(live))
			return false;
		json_array_foreach(d, i, value)
		{
			if (!within(value, json_array_get(live, i)))
				return false;
		}
		return true;
	}
	return json_equal(desired, live) || same_quantity(desired, live);
}

bool reconcile_template_differs(const json_t *desired, const json_t *live)
{
	_cleanup_json_ json_t *d = json_copy(data_get(desired, "spec.template"));
	json_t *metadata = json_copy(json_object_get(d, "metadata"));
	/* The server drops these two of a template. */
	json_object_del(metadata, "name");
	json_object_del(metadata, "namespace");
	json_object_set_new(d, "metadata", metadata);
	return !within(d, data_get(live, "spec.template"));
}

/* ---- one pod after the other ---- */
static bool answer_is_newer(struct step *s, const struct tally *t)
{
	const json_t *fe = reconcile_fe(s);
	/* Conditions have whole seconds. */
	if (fe && data_get_int(fe, "at_ms", 0) >= t->ready_at_ms + 1000)
		return true;
	autofree char *why = reconcile_silence(s);
	reconcile_wait(s, "the next pod restarts once the FE answers%s", why);
	return false;
}

static bool backends_are_well(struct step *s)
{
	const json_t *fe = reconcile_fe(s);
	const char *error = data_get_str(fe, "health_error");
	int64_t bad = data_get_int(fe, "unhealthy", -1);
	size_t i;
	const json_t *pod;
	s->want_health = true;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		if (reconcile_ordinal(s, MODEL_BE, pod) < 0)
			continue;
		const char *name = data_get_str(pod, "metadata.name");
		const json_t *row = reconcile_row_of(s, json_object_get(fe, "backends"), name);
		if (!data_get_bool(row, "alive", false)) {
			reconcile_wait(s, "the next backend restarts once the FE sees %s alive",
			               name);
			return false;
		}
	}
	if (bad == 0 || (s->m->engine && error))
		return true;
	if (error)
		reconcile_trouble(s, "UpgradeHalted",
		                  "the next backend is not restarted: the FE does not say whether "
		                  "tablets are short of copies: %s",
		                  error);
	else if (bad > 0)
		reconcile_wait(s, "the next backend restarts once %lld tablets have their copies",
		               (long long)bad);
	else
		reconcile_wait(s, "the next backend restarts once the FE tells of its tablets");
	return false;
}

static bool frontends_are_well(struct step *s, int64_t pods)
{
	const json_t *rows = json_object_get(reconcile_fe(s), "frontends");
	struct quorum q;
	reconcile_quorum(rows, NULL, &q);
	if (q.leaders == 1 && q.alive == q.voters && (q.voters >= pods || s->m->engine))
		return true;
	reconcile_wait(s,
	               "the next FE restarts once all FEs are alive and one leads "
	               "(%lld of %lld are)",
	               (long long)q.alive, (long long)q.voters);
	return false;
}

static bool leads(const struct step *s, const json_t *pod)
{
	const json_t *rows = json_object_get(reconcile_fe(s), "frontends");
	const json_t *row = reconcile_row_of(s, rows, data_get_str(pod, "metadata.name"));
	const char *role = data_get_str(row, "role");
	return role && strcmp(role, "LEADER") == 0;
}

/* Not ready ones first (they serve nobody); then the highest ordinal; a leader after all others. */
static const json_t *next_pod(const struct step *s, enum model_role role, const json_t *live,
                              bool ready)
{
	size_t i;
	const json_t *pod, *best = NULL;
	bool best_leads = false;
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		int64_t n = reconcile_ordinal(s, role, pod);
		if (n < 0 || !stale(pod, live) || reconcile_pod_ready(pod) != ready)
			continue;
		bool lead = role == MODEL_FE && leads(s, pod);
		if (best && (lead > best_leads ||
		             (lead == best_leads && n < reconcile_ordinal(s, role, best))))
			continue;
		best = pod;
		best_leads = lead;
	}
	return best;
}

static void restart_next(struct step *s, enum model_role role, const json_t *live)
{
	struct tally t;
	int64_t n = data_get_int(live, "spec.replicas", 1);
	tally_of(s, role, live, &t);
	reconcile_requeue(s, STEP_MS);
	reconcile_ask(s, ASK_SOON_MS);
	if (t.leaving > 0 || t.pods < n) {
		reconcile_wait(s, "%s: %lld of %lld pods have the new template",
		               MODEL_ROLE_NAME[role], (long long)(t.pods - t.stale), (long long)n);
		return;
	}
	const json_t *victim = next_pod(s, role, live, false);
	if (!victim && t.ready < n) {
		reconcile_wait(s, "%s: the change halts until the pods that have it are ready",
		               MODEL_ROLE_NAME[role]);
		return;
	}
	if (!victim && reconcile_window_waits(s, live))
		return;
	if (!victim) {
		if (!answer_is_newer(s, &t) ||
		    (role == MODEL_BE ? !backends_are_well(s) : !frontends_are_well(s, n)))
			return;
		victim = next_pod(s, role, live, true);
	}
	if (!victim)
		return;
	reconcile_wait(s, "%s restarts with the new template",
	               data_get_str(victim, "metadata.name"));
	reconcile_delete(s, "Pod", victim);
}

/* ---- a set on its way out ---- */
static bool ours_to_roll(const struct model_part *p)
{
	const char *type = data_get_str(p->update_strategy, "type");
	return (!type || strcmp(type, "RollingUpdate") == 0) &&
	       data_get_int(p->update_strategy, "rollingUpdate.partition", 0) == 0;
}

/* What differs although it was applied was changed on its way in, by a webhook: that is not ours to change again. */
static bool template_differs(const struct step *s, const json_t *desired, const json_t *live)
{
	if (!reconcile_template_differs(desired, live))
		return false;
	_cleanup_json_ json_t *by_hand = json_deep_copy(desired);
	data_set(by_hand, "spec.updateStrategy", json_pack("{s:s}", "type", "OnDelete"));
	return !reconcile_up_to_date(s, by_hand, live) && !reconcile_up_to_date(s, desired, live);
}

static void choose_strategy(struct step *s, enum model_role role, const json_t *live,
                            json_t *desired)
{
	const char *type = data_get_str(live, "spec.updateStrategy.type");
	bool by_us = type && strcmp(type, "OnDelete") == 0;
	struct tally t;
	if (!ours_to_roll(&s->m->part[role]) || data_get_int(live, "spec.replicas", 1) <= 1)
		return;
	bool differs = template_differs(s, desired, live);
	tally_of(s, role, live, &t);
	if (!differs && !(by_us && (t.stale > 0 || !observed(live))))
		return;
	data_set(desired, "spec.updateStrategy", json_pack("{s:s}", "type", "OnDelete"));
	if (!differs && observed(live))
		restart_next(s, role, live);
}

void reconcile_only_replicas(struct step *s, const json_t *live, const json_t *desired)
{
	int64_t n = data_get_int(desired, "spec.replicas", 0);
	reconcile_requeue(s, STEP_MS);
	if (data_get_int(live, "spec.replicas", 1) == n)
		return;
	json_array_append_new(s->writes, json_pack("{s:s, s:s, s:s, s:I, s:s*}", "verb", "scale",
	                                           "kind", data_get_str(desired, "kind"), "name",
	                                           data_get_str(live, "metadata.name"), "replicas",
	                                           (json_int_t)n, "version",
	                                           data_get_str(live, "metadata.resourceVersion")));
}

void reconcile_tell_order(struct step *s)
{
	for (int r = 0; r < MODEL_ROLES; r++)
		if (s->held_by[r] != MODEL_ROLES)
			reconcile_wait(s, "%s keeps its image until %s is done", MODEL_ROLE_NAME[r],
			               MODEL_ROLE_NAME[s->held_by[r]]);
}

bool reconcile_shape_set(struct step *s, enum model_role role, const json_t *live, json_t *desired)
{
	reconcile_config(s, role, live, desired);
	if (!live)
		return true;
	if (role != MODEL_CN &&
	    (reconcile_fixed(s, role, live, desired) || !reconcile_expand(s, role, live, desired)))
		return false;
	if (reconcile_window_holds(s, live, desired))
		return false;
	if (s->held_by[role] != MODEL_ROLES || (role == MODEL_FE && reconcile_observers_first(s))) {
		reconcile_only_replicas(s, live, desired);
		return false;
	}
	if (role != MODEL_CN)
		choose_strategy(s, role, live, desired);
	return true;
}

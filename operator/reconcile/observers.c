/* FE observers: FE nodes that answer queries and do not vote. Each is made known to the FE before its pod starts
 * (whatever its image, it then joins as what it is registered as), and dropped before its pod goes (decision 0123). Pure. */
#include <stdio.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { ASK_SOON_MS = 1000 };
#define SUFFIX "svc.cluster.local"

static char *pod_name(const struct step *s, int64_t ordinal)
{
	return xasprintf("%s-" RENDER_OBSERVER "-%lld", s->m->name, (long long)ordinal);
}

static bool is_role(const json_t *row, const char *role)
{
	const char *r = data_get_str(row, "role");
	return r && strcmp(r, role) == 0;
}

static const json_t *row_of(const struct step *s, const json_t *rows, int64_t ordinal)
{
	autofree char *pod = pod_name(s, ordinal);
	return reconcile_row_of(s, rows, pod);
}

static int64_t wanted(const struct step *s)
{
	return render_wanted(s->m, RENDER_OBSERVER_SET) ? s->m->part[MODEL_FE].observers : 0;
}

/* The set's number; of a set that is made anew around its pods, theirs. */
static int64_t present(const struct step *s, const json_t *live)
{
	autofree char *prefix = xasprintf("%s-" RENDER_OBSERVER "-", s->m->name);
	int64_t n = 0, ordinal = 0;
	size_t i;
	const json_t *pod;
	if (live)
		return data_get_int(live, "spec.replicas", 1);
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *name = data_get_str(pod, "metadata.name");
		if (name && strncmp(name, prefix, strlen(prefix)) == 0 &&
		    str_to_i64(str_of(name + strlen(prefix)), &ordinal) == 0 && ordinal > n)
			n = ordinal;
	}
	return n;
}

/* ---- in ---- */
static void add(struct step *s, int64_t ordinal)
{
	const char *suffix = s->options->dns_suffix ? s->options->dns_suffix : SUFFIX;
	autofree char *pod = pod_name(s, ordinal);
	autofree char *search = render_object_name(s->m->name, RENDER_OBSERVER_SEARCH);
	autofree char *host = xasprintf("%s.%s.%s.%s", pod, search, s->m->ns, suffix);
	_cleanup_json_ json_t *row =
		json_pack("{s:s, s:i}", "host", host, "port", s->m->part[MODEL_FE].ports.edit_log);
	reconcile_wait(s, "observer %s is to be made known to the FE", pod);
	reconcile_intent(s, "add_observer", row);
}

/* How many, from the first on, the FE knows as observers. */
static int64_t known(struct step *s, const json_t *rows, int64_t want)
{
	int64_t n = 0;
	for (int64_t i = 1; i <= want; i++) {
		const json_t *row = row_of(s, rows, i);
		if (!row)
			add(s, i);
		else if (!is_role(row, "OBSERVER"))
			reconcile_trouble(s, "ObserverVotes",
			                  "the FE knows %s-" RENDER_OBSERVER
			                  "-%lld as one that votes; drop it there (ALTER SYSTEM "
			                  "DROP FOLLOWER) so that it can join as an observer",
			                  s->m->name, (long long)i);
		else if (n == i - 1)
			n = i;
	}
	return n;
}

/* An entrypoint that registers itself by address would become a follower beside the row that was made for it. */
static bool by_name(struct step *s)
{
	size_t i;
	const json_t *e;
	json_array_foreach((json_t *)(uintptr_t)s->m->part[MODEL_FE].env, i, e)
	{
		const char *name = data_get_str(e, "name");
		const char *value = data_get_str(e, "value");
		if (!name || !value || strcmp(name, "HOST_TYPE") != 0 || strcmp(value, "IP") != 0)
			continue;
		reconcile_trouble(
			s, "ObserversRefused",
			"spec.starRocksFeSpec.observers needs FEs that are known by name: "
			"take HOST_TYPE=IP out of feEnvVars");
		return false;
	}
	return true;
}

/* ---- out ---- */
static int64_t one_less(struct step *s, const json_t *live, const json_t *rows, int64_t have)
{
	const json_t *row = row_of(s, rows, have);
	struct quorum q;
	reconcile_quorum(rows, NULL, &q);
	if (q.leaders != 1) {
		reconcile_wait(s, "observers are to leave: no FE leads now");
		return have;
	}
	if (row && !is_role(row, "OBSERVER")) {
		reconcile_trouble(s, "ObserverVotes", "%s votes; it is not dropped as an observer",
		                  data_get_str(row, "host"));
		return have;
	}
	if (row) {
		reconcile_wait(s, "%s is to be dropped from the FEs", data_get_str(row, "host"));
		reconcile_intent(s, "drop_observer", row);
		return have;
	}
	autofree char *pod = pod_name(s, have);
	if (!reconcile_answer_covers(s, pod))
		return have;
	reconcile_forget_claims(s, live, have);
	return have - 1;
}

static int64_t replicas(struct step *s, const json_t *live)
{
	int64_t want = wanted(s), have = present(s, live);
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "frontends");
	const char *refused = data_get_str(fe, "refused");
	if (s->hibernating)
		return 0;
	if (want == have || (want > have && !by_name(s)))
		return have;
	reconcile_ask(s, ASK_SOON_MS);
	reconcile_requeue(s, 2 * ASK_SOON_MS);
	if (!rows) {
		autofree char *why = reconcile_silence(s);
		reconcile_wait(s, "observers are to %s: waiting for the FE to answer%s",
		               want > have ? "join" : "leave", why);
		return have;
	}
	if (refused)
		reconcile_trouble(s, "ObserverRefused", "%s", refused);
	if (want < have)
		return one_less(s, live, rows, have);
	int64_t n = known(s, rows, want);
	return n > have ? n : have;
}

/* ---- change: observers, then followers, then the leader ---- */
static const char *image_of(const json_t *set)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(set, "spec.template.spec.containers"), i, c)
	{
		const char *name = data_get_str(c, "name");
		if (name && strcmp(name, "fe") == 0)
			return data_get_str(c, "image");
	}
	return NULL;
}

static bool settled(const json_t *live, int64_t n)
{
	return data_get_int(live, "status.observedGeneration", -1) >=
	               data_get_int(live, "metadata.generation", 0) &&
	       data_get_int(live, "status.replicas", 0) == n &&
	       data_get_int(live, "status.updatedReplicas", 0) >= n &&
	       data_get_int(live, "status.readyReplicas", 0) >= n;
}

bool reconcile_observers_first(struct step *s)
{
	const json_t *live = reconcile_live(s, RENDER_OBSERVER_SET);
	const char *theirs = image_of(live), *fe = image_of(reconcile_live(s, RENDER_FE_SET));
	const char *want = s->m->part[MODEL_FE].image;
	int64_t n = data_get_int(live, "spec.replicas", 0);
	if (!live || n == 0 || !s->fe_was_up || s->hibernating || !fe || !theirs ||
	    strcmp(fe, want) == 0)
		return false;
	if (strcmp(theirs, want) == 0 && settled(live, n))
		return false;
	reconcile_wait(s, "fe keeps its image until the observers are done");
	return true;
}

bool reconcile_shape_observers(struct step *s, const json_t *live, json_t *desired)
{
	reconcile_config(s, MODEL_FE, live, desired);
	if (!live)
		return true;
	if (reconcile_fixed(s, MODEL_FE, live, desired) ||
	    !reconcile_expand(s, MODEL_FE, live, desired) ||
	    reconcile_window_holds(s, live, desired))
		return false;
	if (s->held_by[MODEL_FE] == MODEL_ROLES)
		return true;
	reconcile_only_replicas(s, live, desired);
	return false;
}

/* ---- all of it ---- */
static void status_of(struct step *s, const json_t *live, int64_t want)
{
	autofree char *service = render_object_name(s->m->name, RENDER_OBSERVER_SERVICE);
	autofree char *set = render_object_name(s->m->name, RENDER_OBSERVER_SET);
	json_t *out = json_pack("{s:s, s:[s]}", "serviceName", service, "resourceNames", set);
	int64_t ready = reconcile_component_pods(s, RENDER_OBSERVER, out);
	bool done = live && data_get_int(live, "spec.replicas", 1) == want && settled(live, want);
	const char *phase = done                                      ? "running"
	                    : json_object_get(out, "failedInstances") ? "failed"
	                                                              : "reconciling";
	json_object_set_new(out, "phase", json_string(phase));
	if (!done)
		reconcile_wait(s, "observers: %lld of %lld pods are ready", (long long)ready,
		               (long long)want);
	s->observers = out;
}

bool reconcile_observer_pods(const struct step *s)
{
	return present(s, NULL) > 0;
}

void reconcile_observers(struct step *s)
{
	const json_t *live = reconcile_live(s, RENDER_OBSERVER_SET);
	int64_t want = wanted(s);
	if (!s->m->part[MODEL_FE].present)
		return;
	bool empty = data_get_int(live, "spec.replicas", 1) == 0 &&
	             data_get_int(live, "status.replicas", 0) == 0;
	if (want == 0 && (!live || empty)) {
		for (int what = RENDER_OBSERVER_SEARCH; what <= RENDER_OBSERVER_PDB; what++)
			reconcile_unwanted(s, (enum render_object)what);
		return;
	}
	if (!s->fe_was_up && !live) {
		if (!s->hibernating)
			reconcile_wait(s, "the first FE must be ready before observers start");
		return;
	}
	reconcile_want(s, RENDER_OBSERVER_SEARCH, 0);
	reconcile_want(s, RENDER_OBSERVER_SERVICE, 0);
	reconcile_want(s, RENDER_OBSERVER_SET, replicas(s, live));
	if (render_wanted(s->m, RENDER_OBSERVER_PDB))
		reconcile_want(s, RENDER_OBSERVER_PDB, 0);
	else
		reconcile_unwanted(s, RENDER_OBSERVER_PDB);
	status_of(s, live, s->hibernating ? 0 : want);
}

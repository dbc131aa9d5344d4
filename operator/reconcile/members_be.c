/* Backends leave one by one and empty: DECOMMISSION, no tablets left, DROP, and only then one replica less. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { ASK_SOON_MS = 1000 };

static const json_t *be_spec(const struct step *s, const char *path)
{
	return data_get(s->m->part[MODEL_BE].spec, path);
}

/* The backends that would stay: alive and not on their way out. */
static int64_t staying(const json_t *rows, const json_t *but)
{
	size_t i;
	const json_t *r;
	int64_t n = 0;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (r != but && data_get_bool(r, "alive", false) &&
		    !data_get_bool(r, "decommissioned", false))
			n++;
	}
	return n;
}

/* Scaling back up while a node drains: the drain is called off. */
static void cancel_decommissions(struct step *s, const json_t *rows, int64_t want)
{
	for (int64_t i = 0; i < want; i++) {
		autofree char *pod = xasprintf("%s-be-%lld", s->m->name, (long long)i);
		const json_t *row = reconcile_row_of(s, rows, pod);
		if (row && data_get_bool(row, "decommissioned", false))
			reconcile_intent(s, "cancel_decommission", row);
	}
}

/* Fewer backends than the copies that tables promise, as the user allowed: no DECOMMISSION can end, so the
 * backend is dropped while every tablet has all its copies, of which it holds one. */
static void drop_below(struct step *s, const char *pod, const json_t *row, int64_t replication)
{
	const json_t *fe = reconcile_fe(s);
	s->want_health = true;
	if (replication < 2) {
		reconcile_trouble(s, "BeScaleInRefused",
		                  "%s may hold the only copy of a tablet (replication_num 1)", pod);
		return;
	}
	if (data_get_int(fe, "unhealthy", -1) != 0) {
		reconcile_wait(s, "%s leaves once every tablet has all its copies", pod);
		return;
	}
	reconcile_wait(s, "%s is to be dropped: tables keep fewer copies, as allowed", pod);
	json_object_set_new(reconcile_intent(s, "drop_backend", row), "below", json_true());
}

/* Whether what stays can hold the copies that tables promise. Roost's own FE judges by itself. */
static bool enough_stay(struct step *s, const char *pod, const json_t *rows, const json_t *row)
{
	const json_t *fe = reconcile_fe(s);
	const char *error = data_get_str(fe, "replication_error");
	bool below = json_is_true(be_spec(s, "decommission.allowBelowReplication"));
	int64_t replication = data_get_int(fe, "replication", -1);
	int64_t stay = staying(rows, row);
	if (s->m->engine)
		return true;
	s->want_replication = true;
	/* The FE refuses a DECOMMISSION below it, and a drain that cannot end drops nothing. */
	if (data_get_bool(fe, "replication_hidden", false))
		return true;
	if (replication < 0 && error && !below) {
		reconcile_trouble(s, "BeScaleInRefused",
		                  "%s is kept: the FE does not say which replication_num is in use "
		                  "(%s); decommission.allowBelowReplication: true goes on without",
		                  pod, error);
		return false;
	}
	if (replication < 0 && !error) {
		reconcile_wait(s, "%s is to leave: asking the FE which replication_num is in use",
		               pod);
		return false;
	}
	if (stay >= replication)
		return true;
	if (below) {
		drop_below(s, pod, row, replication);
		return false;
	}
	reconcile_trouble(s, "BeScaleInRefused",
	                  "%s is kept: %lld backends would stay, and there are tables with "
	                  "replication_num %lld",
	                  pod, (long long)stay, (long long)replication);
	return false;
}

/* When the drain began is in the status, since nobody else remembers it. */
static void draining(struct step *s, const char *pod, int64_t tablets)
{
	const json_t *was = data_get(s->m->cr, "status.starRocksBeStatus.decommission");
	const char *who = data_get_str(was, "pod");
	int64_t since = who && strcmp(who, pod) == 0 ? data_get_int(was, "since", 0) : 0;
	int64_t limit = data_get_int(s->m->part[MODEL_BE].spec, "decommission.timeoutSeconds", 0);
	since = since > 0 ? since : s->now_ms / 1000;
	s->decommission = json_pack("{s:s, s:I, s:I}", "pod", pod, "since", (json_int_t)since,
	                            "tablets", (json_int_t)(tablets < 0 ? 0 : tablets));
	if (limit > 0 && s->now_ms / 1000 - since >= limit)
		reconcile_trouble(s, "DecommissionTimeout",
		                  "%s has been decommissioned for more than %lld s and still holds "
		                  "%lld tablets; they go on moving",
		                  pod, (long long)limit, (long long)tablets);
}

/* What the last one must go through; true: it may leave. */
static bool may_leave(struct step *s, const json_t *rows, const char *pod)
{
	const json_t *row = reconcile_row_of(s, rows, pod);
	const char *stranger = reconcile_stranger(s, rows);
	if (!row && stranger) {
		reconcile_wait(s, "the backend %s belongs to no pod that is known: it may be %s",
		               stranger, pod);
		return false;
	}
	if (!row) {
		if (staying(rows, NULL) > 0)
			return reconcile_answer_covers(s, pod);
		reconcile_wait(
			s, "the FE lists no live backend: it is not known whether %s holds data",
			pod);
		return false;
	}
	int64_t tablets = data_get_int(row, "tablets", -1);
	if (!data_get_bool(row, "decommissioned", false)) {
		if (staying(rows, row) == 0) {
			reconcile_trouble(s, "BeScaleInRefused",
			                  "%s cannot be decommissioned: no other backend is alive",
			                  pod);
		} else if (enough_stay(s, pod, rows, row)) {
			reconcile_wait(s, "%s is to be decommissioned", pod);
			reconcile_intent(s, "decommission", row);
		}
		return false;
	}
	draining(s, pod, tablets);
	if (tablets == 0) {
		reconcile_wait(s, "%s is empty and is to be dropped", pod);
		reconcile_intent(s, "drop_backend", row);
	} else {
		reconcile_wait(s, "%s is being decommissioned, %lld tablets are left", pod,
		               (long long)tablets);
	}
	return false;
}

int64_t reconcile_be_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_BE].replicas;
	int64_t have = reconcile_live_replicas(s, MODEL_BE, want);
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "backends");
	const char *refused = data_get_str(fe, "refused");
	if (want >= have) {
		if (rows)
			cancel_decommissions(s, rows, want);
		return want;
	}
	reconcile_ask(s, ASK_SOON_MS);
	reconcile_requeue(s, 2 * ASK_SOON_MS);
	if (!rows) {
		autofree char *why = reconcile_silence(s);
		reconcile_wait(s, "%lld BE to leave: waiting for the FE to answer%s",
		               (long long)(have - want), why);
		return have;
	}
	if (refused)
		reconcile_trouble(s, "BeScaleInRefused", "%s", refused);
	/* A drain that a lower target no longer concerns would go on for nothing. */
	cancel_decommissions(s, rows, want);
	autofree char *pod = xasprintf("%s-be-%lld", s->m->name, (long long)(have - 1));
	return may_leave(s, rows, pod) ? have - 1 : have;
}

bool reconcile_be_removable(struct step *s)
{
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "backends");
	size_t i;
	const json_t *r;
	bool empty = json_is_array(rows);
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (data_get_int(r, "tablets", -1) != 0)
			empty = false;
	}
	if (empty)
		return true;
	reconcile_ask(s, 5000);
	reconcile_trouble(
		s, "BeSpecRemoved",
		"spec.starRocksBeSpec was removed, but the backends hold tablets (or the FE does "
		"not answer); they are kept: drop the tables first, or put the field back");
	return false;
}

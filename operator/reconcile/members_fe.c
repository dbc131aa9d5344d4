/* FEs that vote leave one by one, each dropped from the catalog's quorum before its replica goes. The one with
 * the highest ordinal is the one that goes; one that leads is restarted first, so that another leads. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/step_priv.h"

enum { ASK_SOON_MS = 1000 };

static bool is_role(const json_t *row, const char *role)
{
	const char *r = data_get_str(row, "role");
	return r && strcmp(r, role) == 0;
}

void reconcile_quorum(const json_t *rows, const json_t *but, struct quorum *q)
{
	size_t i;
	const json_t *r;
	*q = (struct quorum){ 0 };
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		if (is_role(r, "OBSERVER"))
			continue;
		q->leaders += is_role(r, "LEADER");
		if (r == but)
			continue;
		q->voters++;
		q->alive += data_get_bool(r, "alive", false);
	}
}

/* No statement hands leadership over. With a third to carry on, a restart does; with two it would stop the
 * catalog until the pod is back, and that is a person's decision. */
static void unseat(struct step *s, const char *name, const struct quorum *others)
{
	const json_t *pod = reconcile_pod_named(s, name);
	if (others->voters < 2 || others->alive < others->voters) {
		reconcile_trouble(
			s, "FeScaleInRefused",
			"%s leads and would be the one to leave, and there are not two other "
			"living FEs to elect another leader; restart it when a pause of the "
			"catalog does no harm (kubectl delete pod %s)",
			name, name);
		return;
	}
	reconcile_wait(s, "%s leads and is to leave: it is restarted so that another leads", name);
	if (pod && reconcile_pod_ready(pod))
		reconcile_delete(s, "Pod", pod);
}

static bool may_leave(struct step *s, const json_t *rows, const char *pod)
{
	const json_t *row = reconcile_row_of(s, rows, pod);
	const char *stranger = reconcile_stranger(s, rows);
	struct quorum others;
	reconcile_quorum(rows, row, &others);
	if (others.leaders != 1) {
		reconcile_wait(s, "%s is to leave: no FE leads now", pod);
		return false;
	}
	if (!row && stranger) {
		reconcile_wait(s, "the FE %s belongs to no pod that is known: it may be %s",
		               stranger, pod);
		return false;
	}
	if (2 * others.alive <= others.voters) {
		reconcile_trouble(s, "FeScaleInRefused",
		                  "%s is kept: without it %lld of %lld voting FEs would be alive, "
		                  "which is no majority",
		                  pod, (long long)others.alive, (long long)others.voters);
		return false;
	}
	if (!row)
		return reconcile_answer_covers(s, pod);
	if (is_role(row, "LEADER")) {
		unseat(s, pod, &others);
		return false;
	}
	reconcile_wait(s, "%s is to be dropped from the FEs", pod);
	reconcile_intent(s, is_role(row, "OBSERVER") ? "drop_observer" : "drop_follower", row);
	return false;
}

static bool too_many_at_once(struct step *s, int64_t want, int64_t have)
{
	if (want == 0) {
		reconcile_trouble(s, "FeScaleInRefused",
		                  "spec.starRocksFeSpec.replicas is 0: a cluster needs an FE; "
		                  "spec.hibernate stops all of it");
		return true;
	}
	if (want == have - 1 || 2 * want > have)
		return false;
	reconcile_trouble(s, "FeScaleInRefused",
	                  "%lld FEs to %lld would leave less than a majority of those that hold "
	                  "the catalog; lower to %lld first and wait until it is done",
	                  (long long)have, (long long)want, (long long)(have - 1));
	return true;
}

/* Dead, of a number that no pod has or will have: upstream's scale-in leaves such rows, and an FE that registered
 * itself again between its DROP and its end. They count as votes, and the log is kept for them. */
static void drop_left_behind(struct step *s, const json_t *rows, int64_t n)
{
	autofree char *prefix = xasprintf("%s-fe-", s->m->name);
	size_t i;
	const json_t *r;
	json_array_foreach((json_t *)(uintptr_t)rows, i, r)
	{
		const char *host = data_get_str(r, "host");
		int64_t ordinal = -1;
		if (!host || strncmp(host, prefix, strlen(prefix)) != 0)
			continue;
		autofree char *pod = xstrndup(host, strcspn(host, "."));
		if (str_to_i64(str_of(pod + strlen(prefix)), &ordinal) < 0 || ordinal < n ||
		    !is_role(r, "FOLLOWER") || data_get_bool(r, "alive", true) ||
		    reconcile_pod_named(s, pod))
			continue;
		reconcile_wait(s, "%s has left and is to be dropped from the FEs", pod);
		reconcile_intent(s, "drop_follower", r);
		return;
	}
}

int64_t reconcile_fe_replicas(struct step *s)
{
	int64_t want = s->m->part[MODEL_FE].replicas;
	int64_t have = reconcile_live_replicas(s, MODEL_FE, want);
	const json_t *fe = reconcile_fe(s);
	const json_t *rows = json_object_get(fe, "frontends");
	const char *refused = data_get_str(fe, "refused");
	struct quorum q;
	if (want >= have) {
		drop_left_behind(s, rows, want);
		return want;
	}
	if (s->m->dr.running || too_many_at_once(s, want, have))
		return have;
	reconcile_ask(s, ASK_SOON_MS);
	reconcile_requeue(s, 2 * ASK_SOON_MS);
	if (!rows) {
		autofree char *why = reconcile_silence(s);
		reconcile_wait(s, "%lld FE to leave: waiting for the FE to answer%s",
		               (long long)(have - want), why);
		return have;
	}
	if (refused)
		reconcile_trouble(s, "FeScaleInRefused", "%s", refused);
	autofree char *pod = xasprintf("%s-fe-%lld", s->m->name, (long long)(have - 1));
	if (!may_leave(s, rows, pod))
		return have;
	/* Its catalog is worth nothing once the FEs that stay are all there without it. */
	reconcile_quorum(rows, NULL, &q);
	if (q.voters >= have - 1)
		reconcile_forget_claims(s, reconcile_live(s, RENDER_FE_SET), have - 1);
	return have - 1;
}

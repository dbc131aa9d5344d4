/* The writes of a plan. */
#include <errno.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/release.h"
#include "operator/reconcile/run_priv.h"
#include "operator/reconcile/step.h"

enum { TOKEN_BYTES = 32, LATER_MS = 1000, TELL_AFTER = 3, DROPPED_AGAIN_MS = 300000 };

static const struct kube_kind *kind_of(const char *kind)
{
	static const struct kube_kind *const kinds[] = {
		&KUBE_STATEFUL_SET, &KUBE_DEPLOYMENT, &KUBE_SERVICE,    &KUBE_HPA,
		&KUBE_POD,          &KUBE_SECRET,     &KUBE_CONFIG_MAP, &KUBE_INGRESS,
		&KUBE_PDB,          &KUBE_PVC,        &KUBE_CLUSTER,    &KUBE_SCALED_OBJECT,
		&KUBE_TRIGGER_AUTH, &KUBE_NODE,       &KUBE_WAREHOUSE
	};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kind && strcmp(kinds[i]->kind, kind) == 0)
			return kinds[i];
	return NULL;
}

/* ---- what an outcome means ---- */
static void problem(struct record *rec, const char *reason, const char *message)
{
	if (rec->problem)
		return;
	json_t *text = json_string(message);
	rec->problem = json_pack("{s:s, s:o}", "reason", reason, "message",
	                         text ? text : json_string("refused"));
}

static int judge(struct worker *w, struct record *rec, int rc, const struct err *err,
                 int64_t *ret_wait_ms)
{
	int64_t asked = kube_client_retry_ms(w->kube);
	switch (rc) {
	case KUBE_OK:
		return 0;
	case KUBE_INVALID:
		problem(rec, "Refused", err->msg);
		break;
	case KUBE_FORBIDDEN:
		problem(rec, "Forbidden", err->msg);
		break;
	case KUBE_EXISTS:
		problem(rec, "NameTaken", err->msg);
		break;
	case KUBE_NOT_FOUND:
		/* The namespace or the kind is gone. */
		problem(rec, "NotFound", err->msg);
		break;
	default:
		*ret_wait_ms = asked > LATER_MS ? asked : LATER_MS;
		log_debug("write later: %s", err->msg);
		/* What passes by itself is not told; a webhook or a store that goes on refusing is. */
		if (rec->failures >= TELL_AFTER)
			problem(rec, "WriteFails", err->msg);
		return WRITE_LATER;
	}
	observe_metric_add(OBSERVE_WRITES_REFUSED, 1);
	return WRITE_FAILED;
}

/* ---- the verbs ---- */
static bool owned_by(const json_t *live, const char *uid)
{
	size_t i;
	const json_t *o;
	json_array_foreach(data_get(live, "metadata.ownerReferences"), i, o)
	{
		const char *owner = data_get_str(o, "uid");
		if (uid && owner && strcmp(owner, uid) == 0)
			return true;
	}
	return false;
}

/* The watches see only what carries our labels. What they do not show may still exist: it is taken only when it
 * is this cluster's (a write of ours whose answer was lost), by the uid in its ownerReferences. */
static int apply_new(struct worker *w, const struct kube_ref *ref, const json_t *object,
                     json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *there = NULL;
	/* A ConfigMap has no field that two of them must both set. */
	bool look = ref->kind == &KUBE_CONFIG_MAP;
	int rc = look ? KUBE_CONFLICT
	              : kube_apply_gently(w->kube, ref, RECONCILE_MANAGER, object, ret, err);
	if (rc != KUBE_CONFLICT)
		return rc;
	rc = kube_get(w->kube, ref, &there, err);
	if (rc != 0 && rc != KUBE_NOT_FOUND)
		return rc;
	if (rc == 0 && !owned_by(there, data_get_str(object, "metadata.ownerReferences.0.uid"))) {
		err_set(err, -EEXIST, "%s %s exists and is not owned by this cluster",
		        ref->kind->kind, ref->name);
		return KUBE_EXISTS;
	}
	return kube_apply(w->kube, ref, RECONCILE_MANAGER, object, ret, err);
}

static int apply_any(struct worker *w, const struct kube_ref *ref, const json_t *world,
                     const json_t *write, json_t **ret, struct err *err)
{
	const json_t *object = json_object_get(write, "object");
	if (data_get_bool(write, "new", false))
		return apply_new(w, ref, object, ret, err);
	if (ref->kind == &KUBE_STATEFUL_SET || ref->kind == &KUBE_DEPLOYMENT)
		return reconcile_apply_set(w->kube, ref, write, json_object_get(world, "cr"), ret,
		                           err);
	return kube_apply(w->kube, ref, RECONCILE_MANAGER, object, ret, err);
}

/* The image of the container that a set is named after, or of whatever is called so in the answer. */
static const char *image_of(const json_t *object, const char *container)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(object, "spec.template.spec.containers"), i, c)
	{
		const char *name = data_get_str(c, "name");
		if (container && name && strcmp(name, container) == 0)
			return data_get_str(c, "image");
	}
	return NULL;
}

/* What was asked for and what the server made of it, as digests; and the image where a webhook changed it. */
static json_t *remembered(const json_t *object, const json_t *live)
{
	char desired_digest[17], live_digest[17];
	const char *main = data_get_str(object, "spec.template.spec.containers.0.name");
	const char *asked = image_of(object, main), *got = image_of(live, main);
	bool same = !asked || !got || strcmp(asked, got) == 0;
	reconcile_desired_digest(object, desired_digest);
	reconcile_live_digest(object, live, live_digest);
	return json_pack("{s:s, s:s, s:s*, s:s*}", "desired", desired_digest, "live", live_digest,
	                 "asked", same ? NULL : asked, "got", same ? NULL : got);
}

static int apply(struct worker *w, struct record *rec, const struct kube_ref *ref,
                 const json_t *world, const json_t *write, struct err *err)
{
	const json_t *object = json_object_get(write, "object");
	_cleanup_json_ json_t *live = NULL;
	int rc = apply_any(w, ref, world, write, &live, err);
	if (rc != 0)
		return rc;
	observe_metric_add(OBSERVE_WRITES_APPLY, 1);
	autofree char *key = xasprintf("%s/%s", ref->kind->kind, ref->name);
	json_object_set_new(rec->applied, key, remembered(object, live));
	observe_store_wrote(w->r->config.store,
	                    observe_watch_of(w->r->config.watches, ref->kind, ref->ns), live);
	return 0;
}

static int adopt(struct worker *w, struct record *rec, const struct kube_ref *ref,
                 const json_t *write, struct err *err)
{
	_cleanup_json_ json_t *live = NULL;
	int rc = reconcile_adopt(w->kube, ref, data_get_str(write, "uid"), &live, err);
	if (rc != 0 || !live)
		return rc;
	observe_metric_add(OBSERVE_WRITES_ADOPT, 1);
	reconcile_note_rival(rec, ref);
	log_info("namespace=%s adopted %s %s from upstream's operator", ref->ns, ref->kind->kind,
	         ref->name);
	observe_store_wrote(w->r->config.store,
	                    observe_watch_of(w->r->config.watches, ref->kind, ref->ns), live);
	return 0;
}

/* One that the user made is fine; one of a cluster of this name that was deleted is about to go. */
static int judge_token(struct worker *w, const struct kube_ref *ref, const char *uid,
                       struct err *err)
{
	_cleanup_json_ json_t *there = NULL;
	int rc = kube_get(w->kube, ref, &there, err);
	if (rc != 0)
		return rc == KUBE_NOT_FOUND ? KUBE_CONFLICT : rc;
	if (!data_get(there, "metadata.ownerReferences.0") || owned_by(there, uid))
		return 0;
	err_set(err, -EEXIST, "Secret %s is another cluster's", ref->name);
	return KUBE_CONFLICT;
}

static int create_token(struct worker *w, struct record *rec, const struct kube_ref *ref,
                        const json_t *world, struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	_cleanup_json_ json_t *secret = NULL;
	char token[2 * TOKEN_BYTES + 1];
	struct render_values values = { .token = token };
	int rc = model_cluster_decode(json_object_get(world, "cr"), &m, err);
	if (rc < 0)
		return KUBE_INVALID;
	fd_random_hex(token, TOKEN_BYTES);
	rc = render_object(m, RENDER_TOKEN, &values, &w->r->config.options, &secret, err);
	if (rc == 0)
		rc = kube_create(w->kube, ref, secret, NULL, err);
	explicit_bzero(token, sizeof(token));
	if (rc == 0)
		observe_metric_add(OBSERVE_WRITES_CREATE, 1);
	if (rc == KUBE_EXISTS)
		rc = judge_token(w, ref, m->uid, err);
	if (rc == 0) {
		rec->token = true;
		rec->token_at_ms = clock_mono_ms();
	}
	return rc;
}

static int remove_object(struct worker *w, struct record *rec, const struct kube_ref *ref,
                         const json_t *world, const json_t *write, struct err *err)
{
	autofree char *key = xasprintf("%s/%s", ref->kind->kind, ref->name);
	int rc = reconcile_guard_cluster(w->kube, json_object_get(world, "cr"), err);
	if (rc != 0)
		return rc;
	/* uid and resourceVersion are the live read: what changed since we looked is not deleted. */
	rc = kube_delete(w->kube, ref, data_get_str(write, "uid"), data_get_str(write, "version"),
	                 err);
	if (rc == KUBE_NOT_FOUND)
		rc = 0;
	if (rc == 0) {
		observe_metric_add(OBSERVE_WRITES_DELETE, 1);
		json_object_del(rec->applied, key);
	}
	return rc;
}

static int write_cost(struct worker *w, const struct kube_ref *ref, const json_t *write,
                      struct err *err)
{
	_cleanup_json_ json_t *patch = json_pack(
		"{s:{s:s, s:{s:s}}}", "metadata", "uid", data_get_str(write, "uid"), "annotations",
		"controller.kubernetes.io/pod-deletion-cost", data_get_str(write, "cost"));
	int rc = kube_merge_patch(w->kube, ref, patch, NULL, err);
	if (rc == 0)
		observe_metric_add(OBSERVE_WRITES_COST, 1);
	/* A pod that has just gone has no cost. */
	return rc == KUBE_NOT_FOUND || rc == KUBE_CONFLICT ? 0 : rc;
}

static int drain_pod(struct worker *w, const struct kube_ref *ref, const json_t *write,
                     struct err *err)
{
	int rc = kube_delete_in(w->kube, ref, data_get_str(write, "uid"),
	                        data_get_int(write, "grace_s", 0), err);
	if (rc == 0) {
		observe_metric_add(OBSERVE_WRITES_DELETE, 1);
		log_info("namespace=%s pod %s drains: %s", ref->ns, ref->name,
		         data_get_str(write, "why"));
	}
	return rc == KUBE_NOT_FOUND || rc == KUBE_CONFLICT ? 0 : rc;
}

static int write_taints(struct worker *w, const struct kube_ref *ref, const json_t *write,
                        struct err *err)
{
	const struct kube_ref node = { ref->kind, NULL, ref->name, NULL };
	_cleanup_json_ json_t *patch = json_pack(
		"{s:{s:s*}, s:{s:O}}", "metadata", "resourceVersion",
		data_get_str(write, "version"), "spec", "taints", json_object_get(write, "taints"));
	int rc = kube_merge_patch(w->kube, &node, patch, NULL, err);
	/* Changed since: the watch tells, and the next step sees it. */
	return rc == KUBE_NOT_FOUND || rc == KUBE_CONFLICT ? 0 : rc;
}

static int write_annotation(struct worker *w, const struct kube_ref *ref, const json_t *write,
                            struct err *err)
{
	_cleanup_json_ json_t *patch = json_pack(
		"{s:{s:s, s:{s:O}}}", "metadata", "uid", data_get_str(write, "uid"), "annotations",
		data_get_str(write, "key"), json_object_get(write, "value"));
	int rc = kube_merge_patch(w->kube, ref, patch, NULL, err);
	return rc == KUBE_NOT_FOUND || rc == KUBE_CONFLICT ? 0 : rc;
}

/* Exactly this list, or nothing when the object has changed meanwhile. */
static int write_finalizers(struct worker *w, const struct kube_ref *ref, const json_t *write,
                            struct err *err)
{
	_cleanup_json_ json_t *live = NULL;
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s, s:s, s:O}}", "metadata", "uid", data_get_str(write, "uid"),
	                  "resourceVersion", data_get_str(write, "version"), "finalizers",
	                  json_object_get(write, "finalizers"));
	int rc = kube_merge_patch(w->kube, ref, patch, &live, err);
	if (rc == 0)
		observe_store_wrote(w->r->config.store,
		                    observe_watch_of(w->r->config.watches, ref->kind, ref->ns),
		                    live);
	return rc == KUBE_NOT_FOUND ? 0 : rc;
}

static int write_one(struct worker *w, struct record *rec, const json_t *world, const json_t *write,
                     struct err *err)
{
	const char *verb = data_get_str(write, "verb");
	struct kube_ref ref = { kind_of(data_get_str(write, "kind")),
		                data_get_str(json_object_get(world, "cr"), "metadata.namespace"),
		                data_get_str(write, "name"), NULL };
	if (!verb || !ref.kind || !ref.ns || !ref.name) {
		err_set(err, -EINVAL, "a write without verb, kind or name");
		return KUBE_INVALID;
	}
	if (strcmp(verb, "apply") == 0)
		return apply(w, rec, &ref, world, write, err);
	if (strcmp(verb, "adopt") == 0)
		return adopt(w, rec, &ref, write, err);
	if (strcmp(verb, "create") == 0)
		return create_token(w, rec, &ref, world, err);
	if (strcmp(verb, "drain") == 0)
		return drain_pod(w, &ref, write, err);
	if (strcmp(verb, "taints") == 0)
		return write_taints(w, &ref, write, err);
	if (strcmp(verb, "annotate") == 0)
		return write_annotation(w, &ref, write, err);
	if (strcmp(verb, "scaler_secret") == 0)
		return reconcile_create_scaler_secret(w, rec, &ref, world, err);
	if (strcmp(verb, "sql_secret") == 0)
		return reconcile_create_sql_secret(w, &ref, world, err);
	if (strcmp(verb, "forget") == 0)
		return reconcile_forget_claim(w, &ref, world, write, err);
	if (strcmp(verb, "delete") == 0)
		return remove_object(w, rec, &ref, world, write, err);
	if (strcmp(verb, "cost") == 0)
		return write_cost(w, &ref, write, err);
	if (strcmp(verb, "finalizers") == 0)
		return write_finalizers(w, &ref, write, err);
	return reconcile_act(w, rec, &ref, write, err);
}

static void log_write(const json_t *world, const json_t *write)
{
	const json_t *cr = json_object_get(world, "cr");
	log_info("cluster=%s/%s generation=%lld object=%s/%s verb=%s",
	         data_get_str(cr, "metadata.namespace"), data_get_str(cr, "metadata.name"),
	         (long long)data_get_int(cr, "metadata.generation", 0), data_get_str(write, "kind"),
	         data_get_str(write, "name"), data_get_str(write, "verb"));
}

int reconcile_write_all(struct worker *w, struct record *rec, const json_t *world,
                        const json_t *plan, int64_t *ret_wait_ms)
{
	size_t i;
	const json_t *write;
	int ret = 0;
	_cleanup_json_ json_t *waiting = json_object();
	struct aftermath after = { .objects = waiting };
	reconcile_record(world);
	json_decref(rec->problem);
	rec->problem = NULL;
	json_array_foreach(json_object_get(plan, "writes"), i, write)
	{
		struct err err = ERR_INIT;
		/* Asked before each write: a leader that was stopped for a while must not go on. */
		if (!w->r->config.may_write(w->r->config.arg)) {
			*ret_wait_ms = LATER_MS;
			return WRITE_LATER;
		}
		if (reconcile_held_back(&after, world, write))
			continue;
		int64_t began = clock_mono_ms();
		int answer = write_one(w, rec, world, write, &err);
		observe_count(answer == 0 ? OBSERVE_WRITES : OBSERVE_REFUSED,
		              data_get_str(write, "verb"), data_get_str(write, "kind"));
		if (answer == 0)
			log_write(world, write);
		int rc = judge(w, rec, answer, &err, ret_wait_ms);
		if (rc)
			reconcile_not_written(&after, write, rc == WRITE_LATER);
		else
			after.in_a_row = 0;
		ret = rc > ret ? rc : ret;
		if (rc == WRITE_LATER &&
		    !reconcile_goes_on(&after, answer, kube_client_retry_ms(w->kube),
		                       clock_mono_ms() - began))
			break;
	}
	return ret;
}

/* Whether a status is the one that the server has kept only a part of: it is written again each so often, for a newer CRD. */
static bool known_to_be_dropped(const struct record *rec, const json_t *before, const json_t *patch)
{
	if (!rec->unkept || clock_mono_ms() - rec->unkept_at_ms > DROPPED_AGAIN_MS)
		return false;
	_cleanup_json_ json_t *as_before = json_pack("{s:O}", "status", before);
	_cleanup_json_ json_t *lacks = reconcile_unkept(patch, as_before);
	return json_equal(lacks, rec->unkept);
}

int reconcile_write_status(struct worker *w, struct record *rec, const json_t *world,
                           const json_t *status, struct observe_digest *seen, int64_t *ret_wait_ms)
{
	const json_t *cr = json_object_get(world, "cr");
	const json_t *kept = json_object_get(world, "kept");
	const json_t *before = kept ? kept : json_object_get(cr, "status");
	_cleanup_json_ json_t *empty = json_object();
	_cleanup_json_ json_t *patch =
		json_is_object(status) ? reconcile_merge_diff(before ? before : empty, status)
				       : NULL;
	const struct kube_kind *kind = model_is_warehouse(cr) ? &KUBE_WAREHOUSE : &KUBE_CLUSTER;
	struct kube_ref ref = { kind, data_get_str(cr, "metadata.namespace"),
		                data_get_str(cr, "metadata.name"), "status" };
	_cleanup_json_ json_t *live = NULL;
	struct err err = ERR_INIT;
	if (!patch || known_to_be_dropped(rec, before ? before : empty, patch))
		return 0;
	uint64_t lasting = seen->lasting;
	seen->cr = 0;
	if (!w->r->config.may_write(w->r->config.arg)) {
		*ret_wait_ms = LATER_MS;
		return WRITE_LATER;
	}
	_cleanup_json_ json_t *body = json_pack("{s:{s:s}, s:O}", "metadata", "uid",
	                                        data_get_str(cr, "metadata.uid"), "status", patch);
	int rc = kube_merge_patch(w->kube, &ref, body, &live, &err);
	observe_count(rc == 0 ? OBSERVE_WRITES : OBSERVE_REFUSED, "status", KUBE_CLUSTER.kind);
	if (rc == 0) {
		observe_metric_add(OBSERVE_WRITES_STATUS, 1);
		observe_store_wrote_status(w->r->config.store,
		                           observe_watch_of(w->r->config.watches, kind, ref.ns),
		                           live);
		struct observe_digest now = observe_store_digest_of(live);
		json_decref(rec->unkept);
		rec->unkept = reconcile_unkept(patch, live);
		rec->unkept_at_ms = clock_mono_ms();
		if (now.lasting == lasting && json_equal(json_object_get(live, "status"), status))
			seen->cr = now.cr;
		return 0;
	}
	if (rc == KUBE_NOT_FOUND)
		return 0; /* gone: the watch tells */
	log_warn("cluster=%s/%s status: %s", ref.ns, ref.name, err.msg);
	*ret_wait_ms = LATER_MS;
	return WRITE_LATER;
}

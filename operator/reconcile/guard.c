/* Live reads before acts that a stale view must not commit: a set is written as it was when the step saw it, fewer
 * replicas and deletions only for the cluster as it is now. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

enum { TRIES = 3 };

static bool same_str(const json_t *a, const char *path_a, const json_t *b, const char *path_b)
{
	const char *x = data_get_str(a, path_a), *y = data_get_str(b, path_b);
	return x && y && strcmp(x, y) == 0;
}

int reconcile_guard_cluster(struct kube_client *kube, const json_t *cr, struct err *err)
{
	struct kube_ref ref = { model_is_warehouse(cr) ? &KUBE_WAREHOUSE : &KUBE_CLUSTER,
		                data_get_str(cr, "metadata.namespace"),
		                data_get_str(cr, "metadata.name"), NULL };
	_cleanup_json_ json_t *live = NULL;
	int rc = kube_get(kube, &ref, &live, err);
	if (rc != 0)
		return rc == KUBE_NOT_FOUND ? KUBE_CONFLICT : rc;
	if (same_str(live, "metadata.uid", cr, "metadata.uid") &&
	    data_get_int(live, "metadata.generation", 0) ==
	            data_get_int(cr, "metadata.generation", 0))
		return 0;
	err_set(err, -ESTALE, "the cluster has changed since it was looked at");
	return KUBE_CONFLICT;
}

static int look(struct kube_client *kube, const struct kube_ref *ref, const json_t *write,
                const json_t *cr, json_t **ret_live, struct err *err)
{
	json_t *live = NULL;
	int rc = kube_get(kube, ref, &live, err);
	if (rc != 0)
		return rc == KUBE_NOT_FOUND ? KUBE_CONFLICT : rc;
	*ret_live = live;
	if (!same_str(live, "metadata.uid", write, "seen.uid") ||
	    data_get_int(live, "metadata.generation", 0) !=
	            data_get_int(write, "seen.generation", 0)) {
		err_set(err, -ESTALE, "%s %s has changed since it was looked at", ref->kind->kind,
		        ref->name);
		return KUBE_CONFLICT;
	}
	if (data_get_int(write, "object.spec.replicas", 1) < data_get_int(live, "spec.replicas", 1))
		return reconcile_guard_cluster(kube, cr, err);
	return 0;
}

int reconcile_apply_set(struct kube_client *kube, const struct kube_ref *ref, const json_t *write,
                        const json_t *cr, json_t **ret, struct err *err)
{
	int rc = 0;
	for (int i = 0; i < TRIES; i++) {
		_cleanup_json_ json_t *live = NULL;
		_cleanup_json_ json_t *object = json_deep_copy(json_object_get(write, "object"));
		rc = look(kube, ref, write, cr, &live, err);
		if (rc != 0)
			return rc;
		data_set(object, "metadata.resourceVersion",
		         json_string(data_get_str(live, "metadata.resourceVersion")));
		rc = kube_apply(kube, ref, RECONCILE_MANAGER, object, ret, err);
		/* Its controller may have written the status in between: look again. */
		if (rc != KUBE_CONFLICT)
			return rc;
	}
	return rc;
}

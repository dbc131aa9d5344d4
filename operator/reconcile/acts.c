/* Writes that are no object: a number of replicas, a larger claim, a set that goes without its pods. */
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"

/* Only while the object is the one that was looked at. Of the CR by /scale, which says whose number it is. */
static int scale(struct worker *w, const struct kube_ref *ref, const json_t *write, struct err *err)
{
	bool cr = ref->kind == &KUBE_CLUSTER || ref->kind == &KUBE_WAREHOUSE;
	const char *by = cr ? "scale" : NULL;
	struct kube_ref sub = { ref->kind, ref->ns, ref->name, by };
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s*}, s:{s:I}}", "metadata", "resourceVersion",
	                  data_get_str(write, "version"), "spec", "replicas",
	                  (json_int_t)data_get_int(write, "replicas", 0));
	int rc = kube_merge_patch(w->kube, &sub, patch, NULL, err);
	if (rc == 0)
		observe_metric_add(OBSERVE_WRITES_SCALE, 1);
	return rc;
}

static int64_t bytes_of(const char *text)
{
	int64_t n = -1;
	return text && data_quantity(str_of(text), &n, NULL) == 0 ? n : -1;
}

/* A claim that is not there yet will be made with its size; one that is larger already stays so. */
static int grow(struct worker *w, const struct kube_ref *ref, const json_t *write, struct err *err)
{
	_cleanup_json_ json_t *claim = NULL;
	const char *size = data_get_str(write, "size");
	int rc = kube_get(w->kube, ref, &claim, err);
	if (rc == KUBE_NOT_FOUND)
		return 0;
	if (rc != 0 ||
	    bytes_of(data_get_str(claim, "spec.resources.requests.storage")) >= bytes_of(size))
		return rc;
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s*, s:s*}, s:{s:{s:{s:s*}}}}", "metadata", "uid",
	                  data_get_str(claim, "metadata.uid"), "resourceVersion",
	                  data_get_str(claim, "metadata.resourceVersion"), "spec", "resources",
	                  "requests", "storage", size);
	rc = kube_merge_patch(w->kube, ref, patch, NULL, err);
	if (rc == 0)
		log_info("namespace=%s volume claim %s grows to %s", ref->ns, ref->name, size);
	return rc;
}

static int orphan(struct worker *w, struct record *rec, const struct kube_ref *ref,
                  const json_t *write, struct err *err)
{
	autofree char *key = xasprintf("%s/%s", ref->kind->kind, ref->name);
	int rc = kube_delete_orphan(w->kube, ref, data_get_str(write, "uid"),
	                            data_get_str(write, "version"), err);
	if (rc != 0)
		return rc == KUBE_NOT_FOUND ? 0 : rc;
	observe_metric_add(OBSERVE_WRITES_DELETE, 1);
	json_object_del(rec->applied, key);
	log_info("namespace=%s StatefulSet %s is made anew around its pods", ref->ns, ref->name);
	return 0;
}

/* Out of its set's and Services' selectors, or back; only while it is the pod that was looked at. */
static int fence(struct worker *w, const struct kube_ref *ref, const json_t *write, struct err *err)
{
	_cleanup_json_ json_t *patch = json_pack(
		"{s:{s:s*, s:s*, s:O, s:{s:s*}}}", "metadata", "uid", data_get_str(write, "uid"),
		"resourceVersion", data_get_str(write, "version"), "ownerReferences",
		json_object_get(write, "owners"), "labels", "app.kubernetes.io/component",
		data_get_str(write, "component"));
	int rc = kube_merge_patch(w->kube, ref, patch, NULL, err);
	/* A pod that has just gone is out of service. */
	return rc == KUBE_NOT_FOUND ? 0 : rc;
}

int reconcile_act(struct worker *w, struct record *rec, const struct kube_ref *ref,
                  const json_t *write, struct err *err)
{
	const char *verb = data_get_str(write, "verb");
	if (strcmp(verb, "scale") == 0)
		return scale(w, ref, write, err);
	if (strcmp(verb, "fence") == 0)
		return fence(w, ref, write, err);
	if (strcmp(verb, "grow") == 0)
		return grow(w, ref, write, err);
	if (strcmp(verb, "orphan") == 0)
		return orphan(w, rec, ref, write, err);
	err_set(err, -EINVAL, "no such write: %s", verb);
	return KUBE_INVALID;
}

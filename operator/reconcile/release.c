#include "operator/reconcile/release.h"

#include <errno.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "lib/kube/fields.h"
#include "operator/observe/conf.h"
#include "operator/reconcile/run.h"

/* A write that a running operator has under way when the mark is set ends within this. */
enum { SETTLE_MS = 2000 };

static const char *const kept[] = { MODEL_UPSTREAM_HASH, MODEL_UPSTREAM_LAST, NULL };
static const struct kube_owner upstream = { MODEL_UPSTREAM_MANAGER, "Update" };
static const struct kube_owner ours = { RECONCILE_MANAGER, "Apply" };

bool reconcile_released(const json_t *cr)
{
	return model_says(cr, RECONCILE_RELEASED);
}

int reconcile_adopt(struct kube_client *kube, const struct kube_ref *ref, const char *uid,
                    json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *live = NULL;
	int rc = kube_get(kube, ref, &live, err);
	if (rc != 0)
		return rc == KUBE_NOT_FOUND ? KUBE_CONFLICT : rc;
	const char *now = data_get_str(live, "metadata.uid");
	if (!uid || !now || strcmp(uid, now) != 0) {
		err_set(err, -ESTALE, "%s %s is another object than the one that was seen",
		        ref->kind->kind, ref->name);
		return KUBE_CONFLICT;
	}
	if (!kube_fields_owned(live, &upstream, kept))
		return 0;
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s, s:s*, s:o}}", "metadata", "uid", now, "resourceVersion",
	                  data_get_str(live, "metadata.resourceVersion"), "managedFields",
	                  kube_fields_move(live, &upstream, &ours, kept));
	return kube_merge_patch_as(kube, ref, RECONCILE_MANAGER, patch, ret, err);
}

/* ---- release ---- */
struct release {
	struct kube_client *kube;
	struct model_cluster *m;
	const struct render_options *options;
	FILE *out;
};

static int read_conf(struct release *r, struct err *err)
{
	struct observe_conf *conf = observe_conf_new(NULL, NULL);
	int rc = 0;
	for (int i = 0; rc == 0 && i < MODEL_ROLES; i++) {
		const struct model_part *p = &r->m->part[i];
		autofree char *text = NULL;
		if (!p->present || !p->conf_map || !model_name_ok(p->conf_map))
			continue;
		rc = observe_conf_get(conf, r->kube, r->m->name, r->m->ns, p->conf_map, p->conf_key,
		                      &text, err);
		if (rc == 0)
			model_set_conf(r->m, (enum model_role)i, str_of(text));
	}
	observe_conf_free(conf);
	return rc;
}

static bool owned_by(const json_t *live, const char *uid)
{
	size_t i;
	const json_t *o;
	json_array_foreach(data_get(live, "metadata.ownerReferences"), i, o)
	{
		const char *owner = data_get_str(o, "uid");
		if (owner && strcmp(owner, uid) == 0)
			return true;
	}
	return false;
}

/* Upstream compares what it would create with this annotation to see what a later change takes away. */
static char *last_applied(const struct release *r, enum render_object what, const json_t *live,
                          struct err *err)
{
	struct render_values values = { .replicas = data_get_int(live, "spec.replicas", 1) };
	_cleanup_json_ json_t *desired = NULL;
	if (render_object(r->m, what, &values, r->options, &desired, err) < 0)
		return NULL;
	return data_json_text(desired);
}

static int give_back(const struct release *r, enum render_object what, struct err *err)
{
	autofree char *name = render_object_name(r->m->name, what);
	struct kube_ref ref = { render_object_kind(what), r->m->ns, name, NULL };
	_cleanup_json_ json_t *live = NULL;
	int rc = kube_get(r->kube, &ref, &live, err);
	if (rc == KUBE_NOT_FOUND)
		return 0;
	if (rc != 0 || !owned_by(live, r->m->uid))
		return rc;
	if (ref.kind == &KUBE_DEPLOYMENT && render_object_role(what) == MODEL_CN) {
		fprintf(r->out,
		        "Deployment %s: left as it is; upstream's operator makes StatefulSet %s: "
		        "when its pods serve, delete the Deployment\n",
		        name, name);
		return 0;
	}
	if (ref.kind == &KUBE_PDB || ref.kind == &KUBE_INGRESS || what >= RENDER_OBSERVER_SEARCH) {
		fprintf(r->out, "%s %s: left as it is; upstream's operator knows none\n",
		        ref.kind->kind, name);
		return 0;
	}
	autofree char *text = last_applied(r, what, live, err);
	_cleanup_json_ json_t *patch = json_pack(
		"{s:{s:s*, s:s*, s:o}}", "metadata", "uid", data_get_str(live, "metadata.uid"),
		"resourceVersion", data_get_str(live, "metadata.resourceVersion"), "managedFields",
		kube_fields_move(live, &ours, &upstream, NULL));
	if (text && ref.kind != &KUBE_HPA)
		json_object_set_new(json_object_get(patch, "metadata"), "annotations",
		                    json_pack("{s:s}", MODEL_UPSTREAM_LAST, text));
	rc = kube_merge_patch_as(r->kube, &ref, MODEL_UPSTREAM_MANAGER, patch, NULL, err);
	if (rc == 0)
		fprintf(r->out, "%s %s: given back\n", ref.kind->kind, name);
	return rc;
}

static int mark(struct kube_client *kube, const struct kube_ref *ref, struct err *err)
{
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:{s:s}}}", "metadata", "annotations", RECONCILE_RELEASED, "true");
	int rc = kube_merge_patch(kube, ref, patch, NULL, err);
	/* The operator's own account may not: a person can, and then it can go on from here. */
	if (rc == KUBE_FORBIDDEN)
		err_set(err, -EACCES,
		        "this account may not mark it: kubectl -n %s annotate src "
		        "%s " RECONCILE_RELEASED "=true, then once more",
		        ref->ns, ref->name);
	return rc;
}

/* ---- its warehouses: without our finalizer, which only we would take away again ---- */
#define FINALIZER "roost.io/warehouse"

struct found {
	const struct release *r;
	json_t *list;
};

static int take_ours(void *arg, json_t *warehouse)
{
	struct found *f = arg;
	const char *ns = NULL, *name = model_warehouse_cluster(warehouse, &ns);
	if (name && strcmp(name, f->r->m->name) == 0 && strcmp(ns, f->r->m->ns) == 0)
		json_array_append(f->list, warehouse);
	return 0;
}

static int list_in(struct found *f, const char *ns, struct err *err)
{
	struct kube_list_query q = { .kind = &KUBE_WAREHOUSE, .ns = ns };
	int rc = kube_list(f->r->kube, &q, take_ours, f, NULL, err);
	return rc == KUBE_NOT_FOUND ? 0 : rc; /* that CRD is not installed */
}

static int find_warehouses(const struct release *r, json_t *list, struct err *err)
{
	struct found f = { r, list };
	size_t i;
	const json_t *n;
	int rc = list_in(&f, r->m->ns, err);
	json_array_foreach(data_get(r->m->cr, "spec.warehouseNamespaces"), i, n)
	{
		const char *ns = json_string_value(n);
		if (rc == 0 && model_name_ok(ns) && strcmp(ns, r->m->ns) != 0)
			rc = list_in(&f, ns, err);
	}
	return rc;
}

static int mark_warehouse(const struct release *r, const json_t *warehouse, struct err *err)
{
	struct kube_ref ref = { &KUBE_WAREHOUSE, data_get_str(warehouse, "metadata.namespace"),
		                data_get_str(warehouse, "metadata.name"), NULL };
	json_t *finalizers = json_array();
	size_t i;
	json_t *f;
	json_array_foreach(data_get(warehouse, "metadata.finalizers"), i, f)
	{
		if (strcmp(json_string_value(f), FINALIZER) != 0)
			json_array_append(finalizers, f);
	}
	_cleanup_json_ json_t *patch =
		json_pack("{s:{s:s*, s:{s:s}, s:o}}", "metadata", "resourceVersion",
	                  data_get_str(warehouse, "metadata.resourceVersion"), "annotations",
	                  RECONCILE_RELEASED, "true", "finalizers", finalizers);
	return kube_merge_patch(r->kube, &ref, patch, NULL, err);
}

static int give_back_warehouse(const struct release *r, const json_t *warehouse, struct err *err)
{
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	struct release own = *r;
	int rc = model_warehouse_decode(warehouse, r->m->cr, &m, err);
	if (rc < 0)
		return rc;
	own.m = m;
	rc = read_conf(&own, err);
	for (int what = RENDER_CN_SEARCH; rc == 0 && what <= RENDER_CN_HPA; what++)
		rc = give_back(&own, (enum render_object)what, err);
	if (rc == 0)
		fprintf(r->out, "StarRocksWarehouse %s/%s: given back\n", m->ns, m->owner_name);
	return rc;
}

static int each_warehouse(const struct release *r, const json_t *warehouses,
                          int (*fn)(const struct release *, const json_t *, struct err *),
                          struct err *err)
{
	size_t i;
	const json_t *w;
	int rc = 0;
	json_array_foreach((json_t *)(uintptr_t)warehouses, i, w)
	{
		rc = rc ? rc : fn(r, w, err);
	}
	return rc;
}

/* ---- all of it ---- */
static int give_all(struct release *r, const json_t *cr, const struct kube_ref *ref,
                    struct err *err)
{
	_cleanup_json_ json_t *warehouses = json_array();
	int rc = find_warehouses(r, warehouses, err);
	if (rc == 0 && !reconcile_released(cr))
		rc = mark(r->kube, ref, err);
	if (rc == 0)
		rc = each_warehouse(r, warehouses, mark_warehouse, err);
	if (rc != 0)
		return rc;
	clock_sleep_ms(SETTLE_MS);
	rc = read_conf(r, err);
	for (int what = RENDER_TOKEN + 1; rc == 0 && what < RENDER_OBJECTS; what++)
		rc = give_back(r, (enum render_object)what, err);
	return rc ? rc : each_warehouse(r, warehouses, give_back_warehouse, err);
}

int reconcile_release(const struct kube_config *config, const char *key,
                      const struct render_options *options, FILE *out, struct err *err)
{
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(model_cluster_freep) struct model_cluster *m = NULL;
	_cleanup_json_ json_t *cr = NULL;
	const char *slash = strchr(key, '/');
	if (!slash || slash == key || !slash[1])
		return err_set(err, -EINVAL, "a cluster is named NAMESPACE/NAME");
	autofree char *ns = xstrndup(key, (size_t)(slash - key));
	struct kube_ref ref = { &KUBE_CLUSTER, ns, slash + 1, NULL };
	int rc = kube_client_new(config, &kube, err);
	if (rc == 0)
		rc = kube_get(kube, &ref, &cr, err);
	/* One that cannot be read is not marked: half of it would be given back. */
	if (rc == 0)
		rc = model_cluster_decode(cr, &m, err);
	if (rc != 0)
		return rc;
	struct release r = { kube, m, options, out };
	rc = give_all(&r, cr, &ref, err);
	if (rc == 0)
		fprintf(out, "%s: annotation %s says that Roost's operator leaves it alone\n", key,
		        RECONCILE_RELEASED);
	return rc;
}

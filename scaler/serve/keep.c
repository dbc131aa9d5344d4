#include "scaler/serve/keep.h"

#include <errno.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "scaler/policy/history.h"

enum { BATCH_MAX = 200 };

struct item {
	char *key, *ns, *cluster, *pool, *uid, *text;
	bool house;
};
typedef VEC(struct item) item_vec;

static bool note(void *arg, const struct serve_history *h)
{
	item_vec *v = arg;
	if (v->n == BATCH_MAX)
		return false;
	vec_push(v, (struct item){ xstrdup(h->key), xstrdup(h->ns), xstrdup(h->cluster),
	                           xstrdup(h->pool), h->uid ? xstrdup(h->uid) : NULL,
	                           h->text ? xstrdup(h->text) : NULL, h->house });
	return true;
}

static void drop(item_vec *v)
{
	for (size_t i = 0; i < v->n; i++) {
		free(v->v[i].key);
		free(v->v[i].ns);
		free(v->v[i].cluster);
		free(v->v[i].pool);
		free(v->v[i].uid);
		free(v->v[i].text);
	}
	vec_free(v);
}

/* false: the API server does not answer; all of them again in a moment. */
static bool read_one(struct serve_pools *p, struct kube_client *c, const struct item *item)
{
	autofree char *name = xasprintf("%s-roost-history", item->cluster);
	struct kube_ref ref = { &KUBE_CONFIG_MAP, item->ns, name, NULL };
	_cleanup_json_ json_t *map = NULL;
	struct err err = ERR_INIT;
	int rc = kube_get(c, &ref, &map, &err);
	const char *text =
		rc == 0 ? json_string_value(json_object_get(data_get(map, "data"), item->pool))
			: NULL;
	if (rc < 0 || rc == KUBE_BUSY || rc == KUBE_UNAUTHORIZED)
		return false;
	if (rc != 0 && rc != KUBE_NOT_FOUND)
		log_warn("pool=%s no history: %s", item->key, err.msg);
	if (serve_pools_history_put(p, item->key, str_of(text), &err) < 0)
		log_warn("pool=%s its history is not used: %s", item->key, err.msg);
	return true;
}

void serve_keep_read(struct serve_pools *p, struct kube_client *c)
{
	item_vec v = { 0 };
	serve_pools_histories(p, SERVE_HISTORY_UNREAD, 0, note, &v);
	size_t i = 0;
	while (i < v.n && read_one(p, c, &v.v[i]))
		i++;
	drop(&v);
}

/* The CR that the history goes with. */
static json_t *owner_of(const struct item *item)
{
	const struct kube_kind *kind = item->house ? &KUBE_WAREHOUSE : &KUBE_CLUSTER;
	size_t n = strlen(item->cluster) - (item->house ? strlen("-warehouse") : 0);
	return json_pack("[{s:s, s:s, s:s%, s:s}]", "apiVersion", kind->api, "kind", kind->kind,
	                 "name", item->cluster, n, "uid", item->uid);
}

static int write_one(struct kube_client *c, const struct item *item, struct err *err)
{
	autofree char *name = xasprintf("%s-roost-history", item->cluster);
	struct kube_ref ref = { &KUBE_CONFIG_MAP, item->ns, name, NULL };
	_cleanup_json_ json_t *map = json_pack(
		"{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:{s:s}}", "apiVersion", "v1", "kind",
		"ConfigMap", "metadata", "name", name, "namespace", item->ns, "labels",
		"app.kubernetes.io/managed-by", "roost-scaler", "data", item->pool, item->text);
	if (item->uid)
		data_set(map, "metadata.ownerReferences", owner_of(item));
	return kube_apply(c, &ref, "roost-scaler", map, NULL, err);
}

int serve_keep_write(struct serve_pools *p, struct kube_client *c, int64_t before_ms,
                     struct err *err)
{
	item_vec v = { 0 };
	int rc = 0;
	serve_pools_histories(p, SERVE_HISTORY_CHANGED, before_ms, note, &v);
	for (size_t i = 0; i < v.n && rc >= 0; i++) {
		rc = write_one(c, &v.v[i], err);
		if (rc > 0)
			log_warn("pool=%s its history could not be kept: %s", v.v[i].key, err->msg);
		else if (rc < 0)
			log_warn("%zu histories are not kept: %s", v.n - i, err->msg);
	}
	rc = rc < 0 ? rc : v.n == BATCH_MAX;
	drop(&v);
	return rc;
}

#include "scaler/serve/keep.h"

#include <errno.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "scaler/policy/history.h"

/* A history is written as text under the lock of all pools, so a few at a time. */
enum { READ_BATCH = 200, WRITE_BATCH = 10 };

struct item {
	char *key, *ns, *cluster, *pool, *uid, *text;
	bool house;
};
struct batch {
	VEC(struct item) items;
	size_t most;
};

static bool note(void *arg, const struct serve_history *h)
{
	struct batch *b = arg;
	if (b->items.n == b->most)
		return false;
	vec_push(&b->items, (struct item){ xstrdup(h->key), xstrdup(h->ns), xstrdup(h->cluster),
	                                   xstrdup(h->pool), h->uid ? xstrdup(h->uid) : NULL,
	                                   h->text ? xstrdup(h->text) : NULL, h->house });
	return true;
}

static void drop(struct batch *b)
{
	for (size_t i = 0; i < b->items.n; i++) {
		free(b->items.v[i].key);
		free(b->items.v[i].ns);
		free(b->items.v[i].cluster);
		free(b->items.v[i].pool);
		free(b->items.v[i].uid);
		free(b->items.v[i].text);
	}
	vec_free(&b->items);
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

void serve_keep_read(struct serve_pools *p, struct kube_client *c, struct deadline by)
{
	struct batch b = { .most = READ_BATCH };
	serve_pools_histories(p, SERVE_HISTORY_UNREAD, 0, note, &b);
	size_t i = 0;
	while (i < b.items.n && !deadline_passed(by) && read_one(p, c, &b.items.v[i]))
		i++;
	drop(&b);
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
	struct batch b = { .most = WRITE_BATCH };
	int rc = 0;
	serve_pools_histories(p, SERVE_HISTORY_CHANGED, before_ms, note, &b);
	for (size_t i = 0; i < b.items.n && rc >= 0; i++) {
		rc = write_one(c, &b.items.v[i], err);
		if (rc > 0)
			log_warn("pool=%s its history could not be kept: %s", b.items.v[i].key,
			         err->msg);
		else if (rc < 0)
			log_warn("%zu histories are not kept: %s", b.items.n - i, err->msg);
	}
	rc = rc < 0 ? rc : b.items.n == WRITE_BATCH;
	drop(&b);
	return rc;
}

#include "scaler/source/houses.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "scaler/source/config.h"

struct kept {
	char *text; /* what matters of the CR */
	const void *list;
	bool listed; /* by the list under way */
};

struct source_houses {
	pthread_mutex_t lock;
	struct source *source;
	const char *dns_suffix;
	struct map *clusters, *warehouses; /* "ns/name" to struct kept */
};

static void kept_free(void *value)
{
	struct kept *k = value;
	free(k->text);
	free(k);
}

struct source_houses *source_houses_new(struct source *s, const char *dns_suffix)
{
	struct source_houses *h = xcalloc(1, sizeof(*h));
	(void)pthread_mutex_init(&h->lock, NULL);
	h->source = s;
	h->dns_suffix = dns_suffix;
	h->clusters = map_new(kept_free);
	h->warehouses = map_new(kept_free);
	return h;
}

void source_houses_free(struct source_houses *h)
{
	if (!h)
		return;
	map_free(h->clusters);
	map_free(h->warehouses);
	(void)pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- what matters ----------------------------------------------------------------------------- */

static void keep(json_t *to, const json_t *from, const char *const *paths, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_t *v = data_get(from, paths[i]);
		if (v)
			data_set(to, paths[i], json_incref(v));
	}
}

static void keep_named(json_t *to, const json_t *from, const char *path, const char *key,
                       const char *name)
{
	json_t *out = json_array();
	size_t i;
	json_t *e;
	json_array_foreach(data_get(from, path), i, e)
	{
		const char *is = data_get_str(e, key);
		if (is && strcmp(is, name) == 0)
			json_array_append(out, e);
	}
	data_set(to, path, out);
}

static char *as_text(const json_t *j)
{
	return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
}

/* NULL: an FE that has no warehouses. */
static char *cluster_text(const json_t *cr)
{
	static const char *const paths[] = { "metadata.namespace", "metadata.name",
		                             "spec.sqlUser",       "spec.rootPasswordSecret",
		                             "spec.tls",           "spec.warehouseNamespaces" };
	const char *engine = data_get_str(cr, "metadata.annotations.roost\\.io/engine");
	_cleanup_json_ json_t *slim = json_object();
	if (engine && strcmp(engine, "true") == 0)
		return NULL;
	keep(slim, cr, paths, ARRAY_LEN(paths));
	keep_named(slim, cr, "spec.starRocksFeSpec.feEnvVars", "name", "MYSQL_PWD");
	keep_named(slim, cr, "status.conditions", "type", "RootSql");
	return as_text(slim);
}

static char *warehouse_text(const json_t *cr)
{
	static const char *const paths[] = { "metadata.namespace",
		                             "metadata.name",
		                             "metadata.uid",
		                             "metadata.deletionTimestamp",
		                             "spec.starRocksCluster",
		                             "spec.starRocksClusterNamespace",
		                             "spec.template.replicas",
		                             "spec.template.roostAutoscaling",
		                             "spec.template.autoScalingPolicy" };
	_cleanup_json_ json_t *slim = json_object();
	keep(slim, cr, paths, ARRAY_LEN(paths));
	return as_text(slim);
}

/* malloc'd "ns/name" of the cluster; NULL: it names none. */
static char *cluster_of(const json_t *warehouse)
{
	const char *ns = data_get_str(warehouse, "spec.starRocksClusterNamespace");
	const char *name = data_get_str(warehouse, "spec.starRocksCluster");
	if (!ns || !*ns)
		ns = data_get_str(warehouse, "metadata.namespace");
	return ns && name ? xasprintf("%s/%s", ns, name) : NULL;
}

/* ---- a pool, or none -------------------------------------------------------------------------- */

static json_t *parsed(const struct map *m, const char *key)
{
	const struct kept *k = key ? map_get(m, key) : NULL;
	json_t *j = NULL;
	if (k)
		(void)data_json_parse(str_of(k->text), &j, NULL);
	return j;
}

/* Under the lock. A warehouse whose cluster is not there is no pool; the operator tells that. */
static void look(struct source_houses *h, const char *key)
{
	_cleanup_json_ json_t *warehouse = parsed(h->warehouses, key);
	autofree char *of = cluster_of(warehouse);
	_cleanup_json_ json_t *cluster = parsed(h->clusters, of);
	struct source_target t = { 0 };
	struct err err = ERR_INIT;
	int rc = SOURCE_NO_POOL;
	if (warehouse && cluster)
		rc = source_target_of_warehouse(warehouse, cluster, h->dns_suffix, &t, &err);
	if (rc == 0) {
		source_put(h->source, &t);
		source_target_free(&t);
		return;
	}
	if (rc < 0)
		log_warn("warehouse=%s not scaled: %s", key, err.msg);
	autofree char *pool = xasprintf("%s-warehouse/%s", key, source_role_pool[SOURCE_CN]);
	source_remove(h->source, pool);
}

static void look_at_those_of(struct source_houses *h, const char *cluster)
{
	VEC(char *) keys = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	while (map_next(h->warehouses, &at, &key, &value)) {
		_cleanup_json_ json_t *w = parsed(h->warehouses, key);
		autofree char *of = cluster_of(w);
		if (of && strcmp(of, cluster) == 0)
			vec_push(&keys, xstrdup(key));
	}
	for (size_t i = 0; i < keys.n; i++) {
		look(h, keys.v[i]);
		free(keys.v[i]);
	}
	vec_free(&keys);
}

/* ---- events ----------------------------------------------------------------------------------- */

/* text is taken over; NULL: there is nothing to keep. Whether anything changed. */
static bool note(struct map *m, const char *key, const void *list, char *text)
{
	struct kept *k = map_get(m, key);
	if (!text)
		return map_del(m, key);
	if (!k) {
		k = xcalloc(1, sizeof(*k));
		map_put(m, key, k);
	}
	k->list = list;
	k->listed = true;
	if (k->text && strcmp(k->text, text) == 0) {
		free(text);
		return false;
	}
	free(k->text);
	k->text = text;
	return true;
}

static char *key_of(const json_t *cr)
{
	const char *ns = data_get_str(cr, "metadata.namespace");
	const char *name = data_get_str(cr, "metadata.name");
	return ns && name ? xasprintf("%s/%s", ns, name) : NULL;
}

void source_houses_cluster(struct source_houses *h, const void *list, const json_t *cr, bool gone)
{
	autofree char *key = key_of(cr);
	if (!key)
		return;
	(void)pthread_mutex_lock(&h->lock);
	if (note(h->clusters, key, list, gone ? NULL : cluster_text(cr)))
		look_at_those_of(h, key);
	(void)pthread_mutex_unlock(&h->lock);
}

void source_houses_warehouse(struct source_houses *h, const void *list, const json_t *cr, bool gone)
{
	autofree char *key = key_of(cr);
	if (!key)
		return;
	(void)pthread_mutex_lock(&h->lock);
	if (note(h->warehouses, key, list, gone ? NULL : warehouse_text(cr)))
		look(h, key);
	(void)pthread_mutex_unlock(&h->lock);
}

static void begin(struct map *m, const void *list)
{
	size_t at = 0;
	const char *key;
	void *value;
	while (map_next(m, &at, &key, &value)) {
		struct kept *k = value;
		if (k->list == list)
			k->listed = false;
	}
}

void source_houses_list_begin(struct source_houses *h, const void *list)
{
	(void)pthread_mutex_lock(&h->lock);
	begin(h->clusters, list);
	begin(h->warehouses, list);
	(void)pthread_mutex_unlock(&h->lock);
}

/* What the list did not tell is gone: fn for each. */
static void end(struct source_houses *h, struct map *m, const void *list,
                void (*fn)(struct source_houses *h, const char *key))
{
	VEC(char *) gone = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	while (map_next(m, &at, &key, &value)) {
		const struct kept *k = value;
		if (k->list == list && !k->listed)
			vec_push(&gone, xstrdup(key));
	}
	for (size_t i = 0; i < gone.n; i++) {
		(void)map_del(m, gone.v[i]);
		fn(h, gone.v[i]);
		free(gone.v[i]);
	}
	vec_free(&gone);
}

void source_houses_list_end(struct source_houses *h, const void *list)
{
	(void)pthread_mutex_lock(&h->lock);
	end(h, h->clusters, list, look_at_those_of);
	end(h, h->warehouses, list, look);
	(void)pthread_mutex_unlock(&h->lock);
}

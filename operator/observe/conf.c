#include "operator/observe/conf.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"

struct entry {
	json_t *data;  /* the ConfigMap's data; NULL: not read, or no longer true */
	char *version; /* of the read that gave the data; NULL: there was no such ConfigMap */
	bool changed;  /* since a read began */
	bool listed;   /* seen since the last list began */
	struct map *clusters;
};

struct observe_conf {
	pthread_mutex_t lock;
	struct map *entries; /* "ns/name" */
	observe_changed_fn changed;
	void *arg;
};

typedef VEC(char *) names_t;

static char present[] = "present";

static void entry_free(void *p)
{
	struct entry *e = p;
	json_decref(e->data);
	free(e->version);
	map_free(e->clusters);
	free(e);
}

struct observe_conf *observe_conf_new(observe_changed_fn changed, void *arg)
{
	struct observe_conf *c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	c->entries = map_new(entry_free);
	c->changed = changed;
	c->arg = arg;
	return c;
}

void observe_conf_free(struct observe_conf *c)
{
	if (!c)
		return;
	map_free(c->entries);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *entry_of(struct observe_conf *c, const char *id)
{
	struct entry *e = map_get(c->entries, id);
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->clusters = map_new(NULL);
		map_put(c->entries, id, e);
	}
	return e;
}

/* The ConfigMap's data; *ret is the caller's. */
static int data_of(struct observe_conf *c, struct kube_client *kube, const char *cluster,
                   const char *ns, const char *map, json_t **ret, struct err *err)
{
	autofree char *id = xasprintf("%s/%s", ns, map);
	struct kube_ref ref = { &KUBE_CONFIG_MAP, ns, map, NULL };
	_cleanup_json_ json_t *object = NULL;
	pthread_mutex_lock(&c->lock);
	struct entry *e = entry_of(c, id);
	map_put(e->clusters, cluster, present);
	e->changed = false;
	bool known = e->data != NULL;
	if (known)
		*ret = json_deep_copy(e->data);
	pthread_mutex_unlock(&c->lock);
	if (known)
		return 0;

	int rc = kube_get(kube, &ref, &object, err);
	if (rc != 0 && rc != KUBE_NOT_FOUND)
		return rc;
	const json_t *data = json_object_get(object, "data");
	const char *version = data_get_str(object, "metadata.resourceVersion");
	*ret = json_is_object(data) ? json_deep_copy(data) : json_object();
	pthread_mutex_lock(&c->lock);
	e = entry_of(c, id);
	/* Changed while it was read: whoever asks next reads again (and has been told). */
	if (!e->changed && !e->data) {
		e->data = json_deep_copy(*ret);
		free(e->version);
		e->version = version ? xstrdup(version) : NULL;
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

int observe_conf_get(struct observe_conf *c, struct kube_client *kube, const char *cluster,
                     const char *ns, const char *map, const char *key, char **ret_text,
                     struct err *err)
{
	_cleanup_json_ json_t *data = NULL;
	int rc = data_of(c, kube, cluster, ns, map, &data, err);
	if (rc != 0)
		return rc;
	const char *text = json_string_value(json_object_get(data, key));
	*ret_text = xstrdup(text ? text : "");
	return 0;
}

int observe_conf_digest(struct observe_conf *c, struct kube_client *kube, const char *cluster,
                        const char *ns, const char *map, const char *but, char out[17],
                        struct err *err)
{
	_cleanup_json_ json_t *data = NULL;
	int rc = data_of(c, kube, cluster, ns, map, &data, err);
	if (rc != 0)
		return rc;
	json_object_del(data, but);
	autofree char *text = data_json_text(data);
	snprintf(out, 17, "%016llx", (unsigned long long)str_hash(str_of(text), 0x636f6e66ULL));
	return 0;
}

/* A list, or a watch that begins anew, tells of what was read already. */
static bool known(const struct entry *e, enum kube_change change, const char *version)
{
	return change == KUBE_PUT && e->data && e->version && version &&
	       strcmp(e->version, version) == 0;
}

/* No longer true; who asked is to be told. */
static void doubt(struct entry *e, names_t *ret_tell)
{
	size_t at = 0;
	const char *key;
	void *value;
	json_decref(e->data);
	e->data = NULL;
	e->changed = true;
	while (map_next(e->clusters, &at, &key, &value))
		vec_push(ret_tell, xstrdup(key));
}

static void tell(struct observe_conf *c, names_t *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		c->changed(c->arg, keys->v[i]);
		free(keys->v[i]);
	}
	vec_free(keys);
}

void observe_conf_event(struct observe_conf *c, enum kube_change change, const json_t *object)
{
	names_t news = { 0 };
	const char *ns = data_get_str(object, "metadata.namespace");
	const char *name = data_get_str(object, "metadata.name");
	if ((change != KUBE_PUT && change != KUBE_DELETED) || !ns || !name)
		return;
	autofree char *id = xasprintf("%s/%s", ns, name);
	pthread_mutex_lock(&c->lock);
	struct entry *e = map_get(c->entries, id);
	if (e)
		e->listed = true;
	if (e && !known(e, change, data_get_str(object, "metadata.resourceVersion")))
		doubt(e, &news);
	pthread_mutex_unlock(&c->lock);
	tell(c, &news);
}

void observe_conf_list(struct observe_conf *c, const char *ns, bool begins)
{
	names_t news = { 0 };
	size_t at = 0, n = ns ? strlen(ns) : 0;
	const char *id;
	void *value;
	pthread_mutex_lock(&c->lock);
	while (map_next(c->entries, &at, &id, &value)) {
		struct entry *e = value;
		if (ns && (strncmp(id, ns, n) != 0 || id[n] != '/'))
			continue;
		if (!begins && !e->listed && e->data && e->version)
			doubt(e, &news);
		e->listed = false;
	}
	pthread_mutex_unlock(&c->lock);
	tell(c, &news);
}

#include <pthread.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "lib/data/span.h"
#include "lib/kube/fields.h"
#include "operator/model/cluster.h"
#include "operator/observe/store_priv.h"

typedef VEC(char *) keys_t;
enum news { NO_NEWS, NEWS_SOON, NEWS };

const char *const OBSERVE_STORE_WORDS[] = { "\"" MODEL_UPSTREAM_MANAGER "\"",
	                                    "\"subresource\":\"scale\"",
	                                    /* a cluster with compute nodes, a warehouse */
	                                    "\"f:starRocksCnSpec\"", "\"f:starRocksCluster\"",
	                                    NULL };

static void item_free(void *p)
{
	struct item *i = p;
	free(i->text);
	free(i);
}

static void bucket_free(void *p)
{
	struct bucket *b = p;
	map_free(b->items);
	free(b->house_of);
	free(b);
}

struct observe_store *observe_store_new(observe_changed_fn changed, void *arg)
{
	struct observe_store *s = xcalloc(1, sizeof(*s));
	pthread_mutex_init(&s->lock, NULL);
	s->buckets = map_new(bucket_free);
	s->changed = changed;
	s->arg = arg;
	return s;
}

void observe_store_free(struct observe_store *s)
{
	if (!s)
		return;
	map_free(s->buckets);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void observe_store_on_touch(struct observe_store *s, observe_touched_fn touched)
{
	s->touched = touched;
}

/* ---- which cluster an object belongs to ---- */
/* malloc'd, or NULL when it belongs to none. */
static char *cluster_of(const json_t *o)
{
	const char *kind = data_get_str(o, "kind");
	const char *ns = data_get_str(o, "metadata.namespace");
	const char *name = data_get_str(o, "metadata.name");
	const char *owner =
		data_get_str(o, "metadata.labels.app\\.starrocks\\.ownerreference/name");
	const char *component = data_get_str(o, "metadata.labels.app\\.kubernetes\\.io/component");
	if (!kind || !ns || !name)
		return NULL;
	if (strcmp(kind, KUBE_CLUSTER.kind) == 0)
		return xasprintf("%s/%s", ns, name);
	/* Its objects carry the name of a cluster that would have been called so. */
	if (strcmp(kind, KUBE_WAREHOUSE.kind) == 0)
		return xasprintf("%s/%s-warehouse", ns, name);
	if (!owner)
		return NULL;
	if (strcmp(kind, KUBE_POD.kind) != 0)
		return xasprintf("%s/%s", ns, owner);
	/* Pods carry "c-fe" where objects carry "c". */
	size_t n = strlen(owner), m = component ? strlen(component) : 0;
	/* A fenced pod ("fe.fenced") is still the cluster's. */
	if (m > 7 && strcmp(component + m - 7, ".fenced") == 0)
		m -= 7;
	if (m == 0 || n <= m + 1 || owner[n - m - 1] != '-' ||
	    strncmp(owner + n - m, component, m) != 0)
		return NULL;
	return xasprintf("%s/%.*s", ns, (int)(n - m - 1), owner);
}

uint64_t observe_version_of(const json_t *o)
{
	uint64_t v = 0;
	(void)str_to_u64(str_of(data_get_str(o, "metadata.resourceVersion")), &v);
	return v;
}

/* ---- changes (under the lock) ---- */
static struct bucket *bucket_of(struct observe_store *s, const char *key)
{
	struct bucket *b = map_get(s->buckets, key);
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		b->items = map_new(item_free);
		map_put(s->buckets, key, b);
	}
	return b;
}

/* Who wrote the number of compute nodes last, when that went through /scale: managedFields say so, and are not
 * kept. A /scale to 0 takes it from its owner and is signed by nobody, nor is what follows (decision 0265): "". */
static void note_scale(const json_t *object, json_t *slim)
{
	const char *number = model_is_warehouse(object)
	                             ? "fieldsV1.f:spec.f:template.f:replicas"
	                             : "fieldsV1.f:spec.f:starRocksCnSpec.f:replicas";
	const json_t *all = data_get(object, "metadata.managedFields");
	const char *by = NULL;
	bool owned = false;
	const char *kind = data_get_str(object, "kind");
	size_t i;
	const json_t *m;
	if (!kind || (strcmp(kind, KUBE_CLUSTER.kind) != 0 && !model_is_warehouse(object)))
		return;
	json_array_foreach(all, i, m)
	{
		const char *sub = data_get_str(m, "subresource");
		const char *manager = data_get_str(m, "manager");
		if (!data_get(m, number))
			continue;
		owned = true;
		if (sub && strcmp(sub, "scale") == 0)
			by = manager ? manager : "scale";
	}
	if (json_array_size(all) > 0 && !owned)
		by = "";
	if (by)
		data_set(slim, "metadata.roostScaledBy", json_string(by));
}

static bool fe_ready(const json_t *object)
{
	const char *role = data_get_str(object, "metadata.labels.app\\.kubernetes\\.io/component");
	size_t i;
	const json_t *c;
	if (!role || strcmp(role, "fe") != 0)
		return false;
	json_array_foreach(data_get(object, "status.conditions"), i, c)
	{
		const char *type = data_get_str(c, "type"), *status = data_get_str(c, "status");
		if (type && status && strcmp(type, "Ready") == 0)
			return strcmp(status, "True") == 0;
	}
	return false;
}

static uint64_t digest(const struct buf *text, size_t from, uint64_t seed)
{
	return str_hash((struct str){ text->p + from, text->len - from }, seed);
}

/* Its text in two parts, the status last. */
static void write_text(struct item *i, json_t *slim)
{
	struct buf text = BUF_INIT(SIZE_MAX / 4);
	_cleanup_json_ json_t *status = json_incref(json_object_get(slim, "status"));
	json_object_del(slim, "status");
	(void)data_json_dump(slim, &text);
	i->lasting = i->digest = digest(&text, 0, 0x726f6f7374ULL);
	if (status && text.len > 2) {
		size_t from = --text.len;
		buf_adds(&text, ",\"status\":");
		(void)data_json_dump(status, &text);
		buf_addc(&text, '}');
		i->digest = digest(&text, from, i->lasting);
	}
	i->text = buf_take(&text);
}

/* Without managedFields and the annotations that repeat the object; of them only whether upstream's operator owns it. */
void observe_item_keep(struct item *i, const json_t *object)
{
	static const char *const kept[] = { MODEL_UPSTREAM_HASH, MODEL_UPSTREAM_LAST, NULL };
	static const struct kube_owner upstream = { MODEL_UPSTREAM_MANAGER, "Update" };
	_cleanup_json_ json_t *slim = json_copy((json_t *)(uintptr_t)object);
	json_t *metadata = json_copy(json_object_get(object, "metadata"));
	json_t *annotations = json_copy(json_object_get(metadata, "annotations"));
	json_object_set_new(slim, "metadata", metadata);
	json_object_del(metadata, "managedFields");
	if (i->version)
		json_object_del(metadata, "resourceVersion");
	if (annotations) {
		json_object_del(annotations, MODEL_UPSTREAM_LAST);
		json_object_del(annotations, "kubectl.kubernetes.io/last-applied-configuration");
		json_object_set_new(metadata, "annotations", annotations);
	}
	if (kube_fields_owned(object, &upstream, kept))
		json_object_set_new(slim, "upstream", json_true());
	note_scale(object, slim);
	i->fe_ready = fe_ready(object);
	write_text(i, slim);
}

/* ---- what was listed, and is looked at now ---- */
void observe_item_settle(struct item *i)
{
	_cleanup_json_ json_t *object = NULL;
	autofree char *listed = i->raw ? TAKE_PTR(i->text) : NULL;
	if (!i->raw)
		return;
	i->raw = false;
	if (data_json_parse(str_of(listed), &object, NULL) == 0)
		observe_item_keep(i, object);
	else
		i->text = xstrdup("{}");
}

struct bucket *observe_bucket(struct observe_store *s, const char *key)
{
	struct bucket *b = map_get(s->buckets, key);
	size_t at = 0;
	const char *id;
	void *value;
	while (b && map_next(b->items, &at, &id, &value))
		observe_item_settle(value);
	return b;
}

/* What a person waits for comes at once: another spec, something gone, an FE that serves. Pods on their way, and what
 * controllers report, come in bursts of which one look sees all. */
static enum news news_of(const char *id, const struct item *old, const struct item *new)
{
	bool pod = strncmp(id, "Pod/", 4) == 0;
	bool was = old && old->text;
	if (!was != !new->text || !was)
		return new->text &&pod && !new->fe_ready ? NEWS_SOON : NEWS;
	if (old->digest == new->digest)
		return NO_NEWS;
	if (old->fe_ready != new->fe_ready)
		return NEWS;
	return pod || old->lasting == new->lasting ? NEWS_SOON : NEWS;
}

/* A warehouse acts by what its cluster says (asleep, paused, its password), as soon as it says so. */
static void wake_houses(struct observe_store *s, const char *key, const json_t *cluster,
                        keys_t *ret_news)
{
	const char *kind = data_get_str(cluster, "kind");
	size_t at = 0;
	const char *house;
	void *value;
	if (!kind || strcmp(kind, KUBE_CLUSTER.kind) != 0)
		return;
	while (map_next(s->buckets, &at, &house, &value)) {
		const struct bucket *b = value;
		if (b->house_of && strcmp(b->house_of, key) == 0)
			vec_push(ret_news, xstrdup(house));
	}
}

static void note_cluster(struct bucket *b, const json_t *object)
{
	const char *ns = NULL, *name = NULL;
	if (!model_is_warehouse(object))
		return;
	name = model_warehouse_cluster(object, &ns);
	free(b->house_of);
	b->house_of = name ? xasprintf("%s/%s", ns, name) : NULL;
}

static enum news put(struct observe_store *s, const char *key, unsigned watch, json_t *object,
                     uint64_t version, bool deleted)
{
	struct bucket *b = bucket_of(s, key);
	autofree char *id = xasprintf("%s/%s", data_get_str(object, "kind"),
	                              data_get_str(object, "metadata.name"));
	struct item *old = map_get(b->items, id);
	if (old) {
		old->round = s->round[watch];
		observe_item_settle(old);
	}
	if (old && version < old->version)
		return NO_NEWS;
	if (old && version == old->version && (old->text == NULL) == deleted)
		return NO_NEWS;
	struct item *i = xcalloc(1, sizeof(*i));
	i->watch = watch;
	i->round = s->round[watch];
	i->version = version, i->seen_ms = clock_mono_ms();
	if (!deleted)
		observe_item_keep(i, object);
	note_cluster(b, object);
	enum news news = news_of(id, old, i);
	map_put(b->items, id, i);
	return news;
}

/* What a fresh list did not show is gone; tombstones have served. */
static bool sweep_bucket(struct observe_store *s, struct bucket *b, unsigned watch)
{
	keys_t gone = { 0 };
	bool news = false;
	size_t at = 0;
	const char *id;
	void *value;
	while (map_next(b->items, &at, &id, &value)) {
		const struct item *i = value;
		if (i->watch != watch || (i->round == s->round[watch] && i->text))
			continue;
		news = news || i->text;
		vec_push(&gone, xstrdup(id));
	}
	for (size_t i = 0; i < gone.n; i++) {
		map_del(b->items, gone.v[i]);
		free(gone.v[i]);
	}
	vec_free(&gone);
	return news;
}

static void sweep(struct observe_store *s, unsigned watch, keys_t *ret_news)
{
	keys_t empty = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	while (map_next(s->buckets, &at, &key, &value)) {
		struct bucket *b = value;
		if (sweep_bucket(s, b, watch))
			vec_push(ret_news, xstrdup(key));
		if (map_count(b->items) == 0)
			vec_push(&empty, xstrdup(key));
	}
	for (size_t i = 0; i < empty.n; i++) {
		map_del(s->buckets, empty.v[i]);
		free(empty.v[i]);
	}
	vec_free(&empty);
}

static void everyone(struct observe_store *s, keys_t *ret_news)
{
	size_t at = 0;
	const char *key;
	void *value;
	while (map_next(s->buckets, &at, &key, &value))
		vec_push(ret_news, xstrdup(key));
}

static void tell(struct observe_store *s, keys_t *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		s->changed(s->arg, keys->v[i]);
		free(keys->v[i]);
	}
	vec_free(keys);
}

static void tell_one(struct observe_store *s, const char *key, enum news news)
{
	if (news != NO_NEWS && s->touched)
		s->touched(s->arg, key, news == NEWS_SOON);
	else if (news != NO_NEWS)
		s->changed(s->arg, key);
}

void observe_store_event(struct observe_store *s, unsigned watch, enum kube_change change,
                         const json_t *object)
{
	keys_t news = { 0 };
	enum news one = NO_NEWS;
	autofree char *key = object ? cluster_of(object) : NULL;
	pthread_mutex_lock(&s->lock);
	if (change == KUBE_LIST_BEGIN)
		s->round[watch]++;
	else if (change == KUBE_LIST_END) {
		s->synced[watch] = true;
		sweep(s, watch, &news);
		if (!s->present[watch])
			everyone(s, &news);
		s->present[watch] = true;
	} else if (key) {
		one = put(s, key, watch, (json_t *)(uintptr_t)object, observe_version_of(object),
		          change == KUBE_DELETED);
		if (one == NEWS)
			wake_houses(s, key, object, &news);
	}
	pthread_mutex_unlock(&s->lock);
	tell_one(s, key, one);
	tell(s, &news);
}

/* Its kind and metadata, or NULL when it is to be parsed whole: a pod of an FE, which may be ready; a warehouse, which names its
 * cluster. */
static json_t *head_of(struct str item)
{
	_cleanup_json_ json_t *kind = NULL;
	_cleanup_json_ json_t *metadata = NULL;
	if (data_json_parse(data_span_member(item, "kind"), &kind, NULL) < 0 ||
	    data_json_parse(data_span_member(item, "metadata"), &metadata, NULL) < 0)
		return NULL;
	_cleanup_json_ json_t *head = json_pack("{s:O, s:O}", "kind", kind, "metadata", metadata);
	const char *role = data_get_str(head, "metadata.labels.app\\.kubernetes\\.io/component");
	bool fe_pod = role && strcmp(role, "fe") == 0 && json_is_string(kind) &&
	              strcmp(json_string_value(kind), KUBE_POD.kind) == 0;
	return fe_pod || model_is_warehouse(head) ? NULL : TAKE_PTR(head);
}

/* The first of its name, unparsed; false: there is one already, and the two are to be compared. */
static bool put_raw(struct observe_store *s, const char *key, unsigned watch, const json_t *head,
                    struct str text)
{
	struct bucket *b = bucket_of(s, key);
	autofree char *id =
		xasprintf("%s/%s", data_get_str(head, "kind"), data_get_str(head, "metadata.name"));
	if (map_get(b->items, id))
		return false;
	struct item *i = xcalloc(1, sizeof(*i));
	*i = (struct item){ .text = str_dup(text),
		            .raw = true,
		            .watch = watch,
		            .round = s->round[watch],
		            .version = observe_version_of(head),
		            .seen_ms = clock_mono_ms() };
	map_put(b->items, id, i);
	return true;
}

void observe_store_listed(struct observe_store *s, unsigned watch, struct str item)
{
	keys_t houses = { 0 };
	_cleanup_json_ json_t *object = NULL;
	_cleanup_json_ json_t *head = head_of(item);
	autofree char *key = head ? cluster_of(head) : NULL;
	if (head && !key)
		return;
	pthread_mutex_lock(&s->lock);
	bool done = head && put_raw(s, key, watch, head, item);
	if (done)
		wake_houses(s, key, head, &houses);
	pthread_mutex_unlock(&s->lock);
	tell(s, &houses);
	if (done)
		tell_one(s, key,
		         strcmp(data_get_str(head, "kind"), KUBE_POD.kind) == 0 ? NEWS_SOON : NEWS);
	else if (data_json_parse(item, &object, NULL) == 0)
		observe_store_event(s, watch, KUBE_PUT, object);
}

static enum news wrote(struct observe_store *s, const char *key, unsigned watch,
                       const json_t *object)
{
	keys_t houses = { 0 };
	pthread_mutex_lock(&s->lock);
	enum news news =
		put(s, key, watch, (json_t *)(uintptr_t)object, observe_version_of(object), false);
	if (news == NEWS)
		wake_houses(s, key, object, &houses);
	pthread_mutex_unlock(&s->lock);
	tell(s, &houses);
	return news;
}

void observe_store_wrote(struct observe_store *s, unsigned watch, const json_t *object)
{
	autofree char *key = cluster_of(object);
	if (key)
		wrote(s, key, watch, object);
}

void observe_store_wrote_status(struct observe_store *s, unsigned watch, const json_t *object)
{
	autofree char *key = cluster_of(object);
	if (key && wrote(s, key, watch, object) == NEWS)
		tell_one(s, key, NEWS);
}

void observe_store_absent(struct observe_store *s, unsigned watch)
{
	keys_t news = { 0 };
	pthread_mutex_lock(&s->lock);
	s->round[watch]++;
	s->synced[watch] = true;
	sweep(s, watch, &news);
	if (s->present[watch])
		everyone(s, &news);
	s->present[watch] = false;
	pthread_mutex_unlock(&s->lock);
	tell(s, &news);
}

/* By the text, which is compact JSON: a value that only looks so costs a step for nothing. */
static bool has_pod_on(const struct bucket *b, const char *node)
{
	autofree char *on = xasprintf("\"nodeName\":\"%s\"", node);
	size_t at = 0;
	const char *id;
	void *value;
	while (map_next(b->items, &at, &id, &value)) {
		const struct item *i = value;
		if (i->text && strncmp(id, "Pod/", 4) == 0 && strstr(i->text, on))
			return true;
	}
	return false;
}

void observe_store_node_changed(struct observe_store *s, const char *node)
{
	keys_t news = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	pthread_mutex_lock(&s->lock);
	while (map_next(s->buckets, &at, &key, &value))
		if (has_pod_on(value, node))
			vec_push(&news, xstrdup(key));
	pthread_mutex_unlock(&s->lock);
	tell(s, &news);
}

void observe_store_wish(struct observe_store *s, const char *key, bool be, int64_t wanted,
                        int64_t from)
{
	int64_t now = clock_real_ms();
	pthread_mutex_lock(&s->lock);
	struct bucket *b = map_get(s->buckets, key);
	struct wish *w = b ? &b->wishes[be] : NULL;
	bool news = w && (w->at_ms == 0 || w->n != wanted);
	if (news)
		*w = (struct wish){ wanted, from, now, now };
	else if (w)
		w->at_ms = now;
	pthread_mutex_unlock(&s->lock);
	if (news)
		s->changed(s->arg, key);
}

/* ---- what is known of a watch ---- */
bool observe_store_present(struct observe_store *s, unsigned watch)
{
	pthread_mutex_lock(&s->lock);
	bool present = s->present[watch];
	pthread_mutex_unlock(&s->lock);
	return present;
}

bool observe_store_synced(struct observe_store *s, unsigned watch)
{
	pthread_mutex_lock(&s->lock);
	bool synced = s->synced[watch];
	pthread_mutex_unlock(&s->lock);
	return synced;
}

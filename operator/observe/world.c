/* What the store hands out: worlds, and digests of them. Copied under the lock, parsed without it, so that one worker's look
 * holds up neither the others nor the watches. */
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "operator/observe/store_priv.h"

struct copy { /* of an item, or of one that the world has already */
	char *id, *text;
	json_t *had;
	uint64_t version;
	int64_t seen_ms; /* real time */
};

typedef VEC(struct copy) copies_t;

static struct item *cr_of(const struct bucket *b)
{
	size_t at = 0;
	const char *id;
	void *value;
	struct item *warehouse = NULL;
	while (map_next(b->items, &at, &id, &value)) {
		struct item *i = value;
		if (i->text && strncmp(id, "StarRocksCluster/", 17) == 0)
			return i;
		if (i->text && strncmp(id, "StarRocksWarehouse/", 19) == 0)
			warehouse = i;
	}
	return warehouse;
}

/* ---- digests ---- */
static uint64_t weight(const char *id, const struct item *i)
{
	return str_hash(str_of(id), i->digest);
}

static struct observe_digest digest_of(const struct bucket *b, const struct item *cr)
{
	struct observe_digest d = { 0 };
	size_t at = 0;
	const char *id;
	void *value;
	while (map_next(b->items, &at, &id, &value)) {
		const struct item *i = value;
		if (i == cr) {
			d.cr = i->digest;
			d.lasting = i->lasting;
		} else if (i->text) {
			d.rest += weight(id, i);
		}
	}
	return d;
}

struct observe_digest observe_store_digest(struct observe_store *s, const char *key)
{
	struct observe_digest d = { 0 };
	pthread_mutex_lock(&s->lock);
	const struct bucket *b = observe_bucket(s, key);
	const struct item *cr = b ? cr_of(b) : NULL;
	if (cr)
		d = digest_of(b, cr);
	pthread_mutex_unlock(&s->lock);
	return d;
}

struct observe_digest observe_store_digest_of(const json_t *cr)
{
	struct item i = { .version = observe_version_of(cr) };
	observe_item_keep(&i, cr);
	free(i.text);
	return (struct observe_digest){ .cr = i.digest, .lasting = i.lasting };
}

/* ---- copies (under the lock) ---- */
/* What the world holds of an object that has not changed since; NULL: it is to be parsed. */
static json_t *kept(json_t *map, const char *id, const struct item *i)
{
	json_t *o = json_object_get(map, id);
	return o && i->version && observe_version_of(o) == i->version ? json_incref(o) : NULL;
}

static struct copy copy_of(const char *id, const struct item *i, json_t *before)
{
	json_t *had = kept(before, id, i);
	return (struct copy){ .id = xstrdup(id),
		              .text = had ? NULL : xstrdup(i->text),
		              .had = had,
		              .version = i->version,
		              .seen_ms = clock_real_ms() - clock_mono_ms() + i->seen_ms };
}

/* before: what an older look had, by "Kind/name". */
static void copy_all(const struct bucket *b, const struct item *cr, json_t *before, copies_t *ret)
{
	size_t at = 0;
	const char *id;
	void *value;
	while (map_next(b->items, &at, &id, &value)) {
		const struct item *i = value;
		if (i->text && i != cr)
			vec_push(ret, copy_of(id, i, before));
	}
}

/* ---- parsing (without it) ---- */
static json_t *parsed(const char *text, uint64_t version)
{
	json_t *j = NULL;
	(void)data_json_parse(str_of(text), &j, NULL);
	if (j && version)
		json_object_set_new(json_object_get(j, "metadata"), "resourceVersion",
		                    json_sprintf("%llu", (unsigned long long)version));
	return j ? j : json_object();
}

/* What the copy holds is the world's afterwards, or gone. */
static json_t *use(struct copy *c)
{
	json_t *o = c->had ? c->had : parsed(c->text, c->version);
	free(c->text);
	return o;
}

/* objects and pods of the world. */
static void fill(copies_t *copies, json_t *world)
{
	json_t *objects = json_object(), *pods = json_array();
	for (size_t i = 0; i < copies->n; i++) {
		struct copy *c = &copies->v[i];
		json_t *o = use(c);
		if (strncmp(c->id, "Pod/", 4) != 0)
			json_object_set_new(objects, c->id, o);
		else if (json_object_set_new(o, "seen_ms", json_integer(c->seen_ms)) == 0)
			json_array_append_new(pods, o);
		free(c->id);
	}
	vec_free(copies);
	json_object_set_new(world, "objects", objects);
	json_object_set_new(world, "pods", pods);
}

static void add_wish(const struct wish *w, const char *as, json_t *world)
{
	if (w->at_ms)
		json_object_set_new(world, as,
		                    json_pack("{s:I, s:I, s:I, s:I}", "replicas", w->n, "from",
		                              w->from, "since_ms", w->since_ms, "at_ms", w->at_ms));
}

/* ---- worlds ---- */
json_t *observe_store_world_at(struct observe_store *s, const char *key,
                               struct observe_digest *ret_digest)
{
	copies_t copies = { 0 };
	struct copy own = { 0 };
	struct wish wishes[2] = { 0 };
	pthread_mutex_lock(&s->lock);
	const struct bucket *b = observe_bucket(s, key);
	const struct item *cr = b ? cr_of(b) : NULL;
	if (cr) {
		own = copy_of("", cr, NULL);
		copy_all(b, cr, NULL, &copies);
		*ret_digest = digest_of(b, cr);
		memcpy(wishes, b->wishes, sizeof(wishes));
	}
	pthread_mutex_unlock(&s->lock);
	if (!own.id)
		return NULL;
	free(own.id);
	json_t *world = json_pack("{s:o}", "cr", use(&own));
	fill(&copies, world);
	add_wish(&wishes[false], "wanted", world);
	add_wish(&wishes[true], "wanted_be", world);
	return world;
}

json_t *observe_store_world(struct observe_store *s, const char *key)
{
	struct observe_digest unused;
	return observe_store_world_at(s, key, &unused);
}

void observe_store_renew(struct observe_store *s, const char *key, json_t *world,
                         struct observe_digest *ret_digest)
{
	_cleanup_json_ json_t *before = json_copy(json_object_get(world, "objects"));
	copies_t copies = { 0 };
	size_t n;
	json_t *pod;
	json_array_foreach(json_object_get(world, "pods"), n, pod)
	{
		autofree char *id = xasprintf("Pod/%s", data_get_str(pod, "metadata.name"));
		json_object_set(before, id, pod);
	}
	pthread_mutex_lock(&s->lock);
	const struct bucket *b = observe_bucket(s, key);
	const struct item *cr = b ? cr_of(b) : NULL;
	if (cr) {
		copy_all(b, cr, before, &copies);
		*ret_digest = digest_of(b, cr);
	}
	pthread_mutex_unlock(&s->lock);
	if (cr)
		fill(&copies, world);
}

void observe_store_each(struct observe_store *s, void (*fn)(void *arg, const json_t *cr), void *arg)
{
	size_t at = 0;
	const char *key;
	void *value;
	pthread_mutex_lock(&s->lock);
	while (map_next(s->buckets, &at, &key, &value)) {
		struct item *i = cr_of(value);
		if (i)
			observe_item_settle(i);
		_cleanup_json_ json_t *cr = i ? parsed(i->text, i->version) : NULL;
		if (cr)
			fn(arg, cr);
	}
	pthread_mutex_unlock(&s->lock);
}

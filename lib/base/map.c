#include "lib/base/map.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/str.h"

struct entry {
	char *key; /* NULL: never used; tombstone otherwise marked by value == NULL */
	void *value;
};

struct map {
	struct entry *slots;
	size_t cap;   /* a power of two */
	size_t used;  /* live entries and tombstones */
	size_t count; /* live entries */
	void (*free_value)(void *value);
};

static uint64_t seed;
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = 0x9e3779b97f4a7c15u;
}

struct map *map_new(void (*free_value)(void *value))
{
	pthread_once(&seed_once, make_seed);
	struct map *m = xcalloc(1, sizeof(*m));
	m->cap = 16;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	m->free_value = free_value;
	return m;
}

static void drop_value(const struct map *m, void *value)
{
	if (m->free_value)
		m->free_value(value);
}

void map_free(struct map *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->cap; i++) {
		if (m->slots[i].value)
			drop_value(m, m->slots[i].value);
		free(m->slots[i].key);
	}
	free(m->slots);
	free(m);
}

/* The slot that holds key, or else the first free one on its path. */
static struct entry *find(const struct map *m, const char *key)
{
	size_t mask = m->cap - 1;
	size_t i = (size_t)str_hash(str_of(key), seed) & mask;
	struct entry *reuse = NULL;
	for (;; i = (i + 1) & mask) {
		struct entry *e = &m->slots[i];
		if (!e->key)
			return reuse ? reuse : e;
		if (!e->value) {
			if (!reuse)
				reuse = e;
			continue;
		}
		if (strcmp(e->key, key) == 0)
			return e;
	}
}

static void grow(struct map *m)
{
	struct entry *old = m->slots;
	size_t old_cap = m->cap;
	if (m->count * 2 >= m->cap)
		m->cap *= 2;
	m->slots = xcalloc(m->cap, sizeof(*m->slots));
	m->used = m->count;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i].value)
			*find(m, old[i].key) = old[i];
		else
			free(old[i].key);
	}
	free(old);
}

void *map_get(const struct map *m, const char *key)
{
	const struct entry *e = find(m, key);
	return e->key && e->value && strcmp(e->key, key) == 0 ? e->value : NULL;
}

void map_put(struct map *m, const char *key, void *value)
{
	if ((m->used + 1) * 4 > m->cap * 3)
		grow(m);
	struct entry *e = find(m, key);
	if (e->key && e->value) {
		drop_value(m, e->value);
		e->value = value;
		return;
	}
	if (e->key)
		free(e->key);
	else
		m->used++;
	e->key = xstrdup(key);
	e->value = value;
	m->count++;
}

void *map_take(struct map *m, const char *key)
{
	struct entry *e = find(m, key);
	if (!e->key || !e->value)
		return NULL;
	void *value = e->value;
	e->value = NULL;
	m->count--;
	return value;
}

bool map_del(struct map *m, const char *key)
{
	void *value = map_take(m, key);
	if (value)
		drop_value(m, value);
	return value != NULL;
}

size_t map_count(const struct map *m)
{
	return m->count;
}

bool map_next(const struct map *m, size_t *at, const char **ret_key, void **ret_value)
{
	for (; *at < m->cap; (*at)++) {
		const struct entry *e = &m->slots[*at];
		if (!e->value)
			continue;
		(*at)++;
		if (ret_key)
			*ret_key = e->key;
		if (ret_value)
			*ret_value = e->value;
		return true;
	}
	return false;
}

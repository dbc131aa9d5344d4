/* A hash table from text to pointers, in insertion order of no importance.
 *
 * Thread: one owner, or the owner's lock. Ownership: keys are copied; values belong to the caller,
 * unless a free function was given, which then runs on replace, delete and map_free().
 * The seed is random per process, so that peers cannot choose colliding keys. */
#ifndef ROOST_BASE_MAP_H
#define ROOST_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

struct map;

struct map *map_new(void (*free_value)(void *value)); /* free_value may be NULL */
void map_free(struct map *m);

void *map_get(const struct map *m, const char *key);       /* NULL when absent */
void map_put(struct map *m, const char *key, void *value); /* value is not NULL */
bool map_del(struct map *m, const char *key);              /* whether it was there */
void *map_take(struct map *m, const char *key);            /* removes without freeing the value */
size_t map_count(const struct map *m);

/* Walks all entries: start with *at = 0; false at the end. The map must not change meanwhile. */
bool map_next(const struct map *m, size_t *at, const char **ret_key, void **ret_value);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct map, map_free)

#endif

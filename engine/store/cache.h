/* Objects of a bucket as local files: fetched once, kept while they are used, least recently used goes first.
 *
 * Thread: safe. Ownership: a struct store_cached pins its file until store_cache_release().
 * An object is found by what names its bytes (endpoint, bucket, key and etag), so that it never goes stale. Two
 * who ask for the same one at once share one download. A file appears by rename after its bytes are synced, with
 * its length in its name: a start takes over what is whole and removes the rest.
 * Limits: `capacity` bytes. What running tasks have pinned may pass it while the disk has STORE_CACHE_SPARE bytes
 * left, and shrinks back when it is released; a disk that is full gives -ENOSPC. */
#ifndef ROOST_ENGINE_STORE_CACHE_H
#define ROOST_ENGINE_STORE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

#define STORE_CACHE_SPARE ((int64_t)256 * 1024 * 1024)

struct store_cache;
struct store_cached;

int store_cache_open(const char *dir, int64_t capacity, struct store_cache **ret, struct err *err);
void store_cache_close(struct store_cache *c); /* nothing may be pinned any more */
DEFINE_CLEANUP(struct store_cache, store_cache_close)

struct store_cache_ask {
	const char *name; /* names the bytes for ever: endpoint, bucket, key, etag */
	int64_t bytes;
	/* Writes exactly `bytes` bytes to fd from offset 0; called without locks, by one caller at a time. */
	int (*load)(void *arg, int fd, struct err *err);
	bool (*should_stop)(
		void *arg); /* may be NULL; asked while another caller's download is awaited */
	void *arg;
	struct deadline by;
};
int store_cache_get(struct store_cache *c, const struct store_cache_ask *ask,
                    struct store_cached **ret, struct err *err);
const char *store_cached_path(const struct store_cached *o);
void store_cache_release(struct store_cache *c, struct store_cached *o);

struct store_cache_stats {
	int64_t capacity, used; /* bytes */
	size_t objects, pinned;
	uint64_t hits, misses, evictions; /* a shared download is a hit */
	uint64_t bytes_fetched;
};
void store_cache_stats(struct store_cache *c, struct store_cache_stats *ret);

#endif

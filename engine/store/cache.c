#include "engine/store/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/str.h"

enum { DIGEST_HEX = 64, WAIT_MS = 200, NAME_BYTES = DIGEST_HEX + 40 };

struct store_cached {
	char name[NAME_BYTES]; /* DIGEST-BYTES.parquet */
	char *path;
	int64_t bytes;
	int64_t used_at; /* counts up with each use; the smallest is the oldest */
	unsigned pins;
	bool loading;
};

struct store_cache {
	char *dir;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a download ended */
	struct map *objects;    /* name -> struct store_cached */
	int64_t uses;
	uint64_t next_tmp;
	struct store_cache_stats stats; /* all but objects and pinned */
};

static void cached_free(void *p)
{
	struct store_cached *o = p;
	free(o->path);
	free(o);
}

static void name_of(const struct store_cache_ask *ask, char out[NAME_BYTES])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (EVP_Digest(ask->name, strlen(ask->name), digest, &len, EVP_sha256(), NULL) != 1)
		abort();
	for (unsigned i = 0; i < len; i++)
		(void)snprintf(out + (size_t)2 * i, 3, "%02x", digest[i]);
	(void)snprintf(out + DIGEST_HEX, NAME_BYTES - DIGEST_HEX, "-%" PRId64 ".parquet",
	               ask->bytes);
}

static struct store_cached *object_add(struct store_cache *c, const char *name, int64_t bytes)
{
	struct store_cached *o = xcalloc(1, sizeof(*o));
	(void)snprintf(o->name, sizeof(o->name), "%.*s", NAME_BYTES - 1, name);
	o->path = xasprintf("%s/%s", c->dir, name);
	o->bytes = bytes;
	o->used_at = ++c->uses;
	c->stats.used += bytes;
	map_put(c->objects, name, o);
	return o;
}

static void object_drop(struct store_cache *c, struct store_cached *o)
{
	char name[NAME_BYTES];
	memcpy(name, o->name, sizeof(name));
	c->stats.used -= o->bytes;
	(void)map_del(c->objects, name);
}

/* -1 unless the name is one of ours. */
static int64_t bytes_of(const char *name)
{
	struct str s = str_of(name), digits;
	int64_t bytes;
	if (strspn(name, "0123456789abcdef") != DIGEST_HEX || name[DIGEST_HEX] != '-' ||
	    !str_ends(s, ".parquet") || s.len >= NAME_BYTES)
		return -1;
	digits = (struct str){ name + DIGEST_HEX + 1, s.len - DIGEST_HEX - 1 - strlen(".parquet") };
	return str_to_i64(digits, &bytes) < 0 ? -1 : bytes;
}

struct found {
	char name[NAME_BYTES];
	int64_t bytes, mtime_ms;
};

static int by_mtime(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	return x->mtime_ms < y->mtime_ms ? -1 : x->mtime_ms > y->mtime_ms;
}

/* Takes over whole files, oldest use first; everything else of ours is removed. */
static int scan(struct store_cache *c, struct err *err)
{
	DIR *d = opendir(c->dir);
	const struct dirent *e;
	struct found *found = NULL;
	size_t n = 0, cap = 0;
	if (!d)
		return err_errno(err, "%s", c->dir);
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		if (e->d_name[0] == '.')
			continue;
		autofree char *path = xasprintf("%s/%s", c->dir, e->d_name);
		int64_t bytes = bytes_of(e->d_name);
		if (bytes < 0 || lstat(path, &st) < 0 || !S_ISREG(st.st_mode) ||
		    st.st_size != bytes) {
			(void)unlink(path);
			continue;
		}
		if (n == cap) {
			cap = cap ? 2 * cap : 64;
			found = xreallocarray(found, cap, sizeof(*found));
		}
		found[n] = (struct found){ .bytes = bytes,
			                   .mtime_ms = (int64_t)st.st_mtim.tv_sec * 1000 +
			                               st.st_mtim.tv_nsec / 1000000 };
		(void)snprintf(found[n++].name, NAME_BYTES, "%.*s", NAME_BYTES - 1, e->d_name);
	}
	(void)closedir(d);
	if (n)
		qsort(found, n, sizeof(*found), by_mtime);
	for (size_t i = 0; i < n; i++)
		(void)object_add(c, found[i].name, found[i].bytes);
	free(found);
	return 0;
}

static struct store_cached *oldest(struct store_cache *c)
{
	struct store_cached *best = NULL;
	size_t at = 0;
	void *value;
	while (map_next(c->objects, &at, NULL, &value)) {
		struct store_cached *o = value;
		if (!o->pins && !o->loading && (!best || o->used_at < best->used_at))
			best = o;
	}
	return best;
}

/* Under the lock: removes unpinned objects until `more` bytes fit, or none is left to remove. */
static void shrink(struct store_cache *c, int64_t more)
{
	while (c->stats.used + more > c->stats.capacity) {
		struct store_cached *o = oldest(c);
		if (!o)
			return;
		if (unlink(o->path) < 0 && errno != ENOENT)
			log_warn("file=%s cannot be deleted: %s", o->path, strerror(errno));
		object_drop(c, o);
		c->stats.evictions++;
	}
}

int store_cache_open(const char *dir, int64_t capacity, struct store_cache **ret, struct err *err)
{
	_cleanup_(store_cache_closep) struct store_cache *c = xcalloc(1, sizeof(*c));
	pthread_condattr_t attr;
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&c->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	c->objects = map_new(cached_free);
	c->dir = xstrdup(dir);
	c->stats.capacity = capacity;
	int rc = fd_mkdir_p(dir, 0700, err);
	if (rc == 0)
		rc = scan(c, err);
	if (rc < 0)
		return rc;
	shrink(c, 0);
	*ret = TAKE_PTR(c);
	return 0;
}

void store_cache_close(struct store_cache *c)
{
	if (!c)
		return;
	map_free(c->objects);
	(void)pthread_cond_destroy(&c->changed);
	(void)pthread_mutex_destroy(&c->lock);
	free(c->dir);
	free(c);
}

/* Under the lock. */
static int room_for(struct store_cache *c, int64_t bytes, struct err *err)
{
	struct statvfs fs;
	shrink(c, bytes);
	if (c->stats.used + bytes <= c->stats.capacity)
		return 0;
	if (statvfs(c->dir, &fs) == 0 &&
	    (int64_t)(fs.f_bavail * fs.f_frsize) > bytes + STORE_CACHE_SPARE)
		return 0;
	return err_set(err, -ENOSPC,
	               "object cache %s: no room for %" PRId64 " bytes: running tasks use %" PRId64
	               " of datacache_disk_size %" PRId64,
	               c->dir, bytes, c->stats.used, c->stats.capacity);
}

static int load_to(struct store_cache *c, const struct store_cache_ask *ask, const char *tmp,
                   const char *path, struct err *err)
{
	struct stat st;
	_cleanup_(fd_closep) int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, "%s", tmp);
	int rc = ask->load(ask->arg, fd, err);
	if (rc == 0 && fstat(fd, &st) < 0)
		rc = err_errno(err, "%s", tmp);
	if (rc == 0 && st.st_size != ask->bytes)
		rc = err_set(err, -EIO, "object cache: %" PRId64 " bytes came, not %" PRId64,
		             (int64_t)st.st_size, ask->bytes);
	if (rc == 0 && fdatasync(fd) < 0)
		rc = err_errno(err, "%s", tmp);
	if (rc == 0 && rename(tmp, path) < 0)
		rc = err_errno(err, "%s", path);
	if (rc == 0)
		rc = fd_sync_dir(c->dir, err);
	if (rc < 0)
		(void)unlink(tmp);
	return rc;
}

/* Called with the lock held and o freshly added; gives it up while the bytes come. */
static int download(struct store_cache *c, struct store_cached *o,
                    const struct store_cache_ask *ask, struct err *err)
{
	autofree char *tmp = xasprintf("%s/tmp-%" PRIu64, c->dir, c->next_tmp++);
	o->loading = true;
	o->pins = 1;
	c->stats.misses++;
	(void)pthread_mutex_unlock(&c->lock);
	int rc = load_to(c, ask, tmp, o->path, err);
	(void)pthread_mutex_lock(&c->lock);
	o->loading = false;
	if (rc < 0)
		object_drop(c, o);
	else
		c->stats.bytes_fetched += (uint64_t)ask->bytes;
	(void)pthread_cond_broadcast(&c->changed);
	return rc;
}

static int wait_changed(struct store_cache *c, const struct store_cache_ask *ask, struct err *err)
{
	struct timespec until;
	int64_t ms = deadline_left_ms(ask->by);
	if (ms == 0)
		return err_set(err, -ETIMEDOUT, "object cache: out of time");
	int64_t at = clock_mono_ms() + (ms < WAIT_MS ? ms : WAIT_MS);
	until = (struct timespec){ .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
	(void)pthread_cond_timedwait(&c->changed, &c->lock, &until);
	if (!ask->should_stop)
		return 0;
	(void)pthread_mutex_unlock(&c->lock); /* it may take locks of its own */
	bool stop = ask->should_stop(ask->arg);
	(void)pthread_mutex_lock(&c->lock);
	return stop ? err_set(err, -ECANCELED, "cancelled") : 0;
}

/* The lock is held. A download that failed leaves no object: who waited for it then tries itself. */
static int get(struct store_cache *c, const struct store_cache_ask *ask, const char *name,
               struct store_cached **ret, struct err *err)
{
	int rc = 0;
	for (;;) {
		struct store_cached *o = map_get(c->objects, name);
		if (o && !o->loading) {
			o->pins++;
			o->used_at = ++c->uses;
			c->stats.hits++;
			*ret = o;
			return 0;
		}
		if (!o) {
			rc = room_for(c, ask->bytes, err);
			if (rc < 0)
				return rc;
			o = object_add(c, name, ask->bytes);
			rc = download(c, o, ask, err);
			if (rc == 0)
				*ret = o;
			return rc;
		}
		rc = wait_changed(c, ask, err);
		if (rc < 0)
			return rc;
	}
}

int store_cache_get(struct store_cache *c, const struct store_cache_ask *ask,
                    struct store_cached **ret, struct err *err)
{
	char name[NAME_BYTES];
	if (ask->bytes < 0)
		return err_set(err, -EINVAL, "object bytes: must not be negative");
	name_of(ask, name);
	(void)pthread_mutex_lock(&c->lock);
	int rc = get(c, ask, name, ret, err);
	(void)pthread_mutex_unlock(&c->lock);
	if (rc == 0) /* its time of use survives a restart as its time of change */
		(void)utimensat(AT_FDCWD, (*ret)->path, NULL, 0);
	return rc;
}

const char *store_cached_path(const struct store_cached *o)
{
	return o->path;
}

void store_cache_release(struct store_cache *c, struct store_cached *o)
{
	(void)pthread_mutex_lock(&c->lock);
	o->pins--;
	shrink(c, 0);
	(void)pthread_mutex_unlock(&c->lock);
}

void store_cache_stats(struct store_cache *c, struct store_cache_stats *ret)
{
	size_t at = 0;
	void *value;
	(void)pthread_mutex_lock(&c->lock);
	*ret = c->stats;
	ret->objects = map_count(c->objects);
	while (map_next(c->objects, &at, NULL, &value))
		ret->pinned += ((struct store_cached *)value)->pins > 0;
	(void)pthread_mutex_unlock(&c->lock);
}

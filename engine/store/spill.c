#include "engine/store/spill.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"

struct store_spill {
	char *root; /* …/spill */
	pthread_mutex_t lock;
	struct map *queries; /* QUERY -> int64_t, last touch on the monotonic clock */
	uint64_t next;
};

int store_spill_open(const char *root, struct store_spill **ret, struct err *err)
{
	_cleanup_(store_spill_closep) struct store_spill *s = xcalloc(1, sizeof(*s));
	(void)pthread_mutex_init(&s->lock, NULL);
	s->queries = map_new(free);
	s->root = xasprintf("%s/spill", root);
	autofree char *exchange = xasprintf("%s/exchange", s->root);
	autofree char *work = xasprintf("%s/work", s->root);
	int rc = fd_rm_rf(s->root, err);
	if (rc == 0)
		rc = fd_mkdir_p(exchange, 0700, err);
	if (rc == 0)
		rc = fd_mkdir_p(work, 0700, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(s);
	return 0;
}

void store_spill_close(struct store_spill *s)
{
	if (!s)
		return;
	map_free(s->queries);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->root);
	free(s);
}

const char *store_spill_root(const struct store_spill *s)
{
	return s->root;
}

static char *folder(const struct store_spill *s, const char *query)
{
	return xasprintf("%s/exchange/%s", s->root, query);
}

static char *file(const struct store_spill *s, const struct store_attempt *a)
{
	return xasprintf("%s/exchange/%s/%d-%d-%d.rx", s->root, a->query, a->stage, a->task,
	                 a->attempt);
}

/* Under the lock. */
static void touch(struct store_spill *s, const char *query)
{
	int64_t *at = map_get(s->queries, query);
	if (!at) {
		at = xmalloc(sizeof(*at));
		map_put(s->queries, query, at);
	}
	*at = clock_mono_ms();
}

int store_spill_scratch(struct store_spill *s, const struct store_attempt *a, char **ret_path,
                        struct err *err)
{
	if (!store_id_valid(a->query))
		return err_set(err, -EINVAL, "query: must be %d hexadecimal digits", RPC_ID_LEN);
	(void)pthread_mutex_lock(&s->lock);
	uint64_t n = s->next++;
	(void)pthread_mutex_unlock(&s->lock);
	autofree char *path = xasprintf("%s/work/%s-%d-%d-%d-%" PRIu64, s->root, a->query, a->stage,
	                                a->task, a->attempt, n);
	int rc = fd_mkdir_p(path, 0700, err);
	if (rc < 0)
		return rc;
	*ret_path = TAKE_PTR(path);
	return 0;
}

void store_spill_scratch_free(char *path)
{
	struct err err = ERR_INIT;
	if (!path)
		return;
	if (fd_rm_rf(path, &err) < 0)
		log_warn("folder=%s cannot be removed: %s", path, err.msg);
	free(path);
}

/* The rename happens under the lock, so that a query that was dropped meanwhile keeps no folder. */
int store_spill_commit(struct store_spill *s, const struct store_attempt *a, const char *path,
                       struct err *err)
{
	if (!store_id_valid(a->query))
		return err_set(err, -EINVAL, "query: must be %d hexadecimal digits", RPC_ID_LEN);
	autofree char *dir = folder(s, a->query);
	autofree char *to = file(s, a);
	(void)pthread_mutex_lock(&s->lock);
	int rc = fd_mkdir_p(dir, 0700, err);
	if (rc == 0 && rename(path, to) < 0)
		rc = err_errno(err, "%s", to);
	touch(s, a->query);
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

int store_spill_find(struct store_spill *s, const struct store_attempt *a, char **ret_path)
{
	if (!store_id_valid(a->query))
		return STORE_ABSENT;
	autofree char *path = file(s, a);
	(void)pthread_mutex_lock(&s->lock);
	bool found = map_get(s->queries, a->query) && fd_exists(path);
	if (found)
		touch(s, a->query);
	(void)pthread_mutex_unlock(&s->lock);
	if (!found)
		return STORE_ABSENT;
	*ret_path = TAKE_PTR(path);
	return 0;
}

/* Under the lock. */
static void drop(struct store_spill *s, const char *query)
{
	struct err err = ERR_INIT;
	autofree char *dir = folder(s, query);
	if (fd_rm_rf(dir, &err) < 0)
		log_warn("folder=%s cannot be removed: %s", dir, err.msg);
	(void)map_del(s->queries, query);
}

void store_spill_drop(struct store_spill *s, const char *query)
{
	if (!store_id_valid(query))
		return;
	(void)pthread_mutex_lock(&s->lock);
	drop(s, query);
	(void)pthread_mutex_unlock(&s->lock);
}

static char *oldest(struct store_spill *s, int64_t before)
{
	size_t at = 0;
	const char *query;
	void *touched;
	while (map_next(s->queries, &at, &query, &touched))
		if (*(int64_t *)touched <= before)
			return xstrdup(query);
	return NULL;
}

size_t store_spill_expire(struct store_spill *s, int64_t age_ms)
{
	int64_t before = clock_mono_ms() - age_ms;
	size_t n = 0;
	for (;; n++) {
		(void)pthread_mutex_lock(&s->lock);
		autofree char *query = oldest(s, before);
		if (query)
			drop(s, query);
		(void)pthread_mutex_unlock(&s->lock);
		if (!query)
			return n;
	}
}

size_t store_spill_queries(struct store_spill *s)
{
	(void)pthread_mutex_lock(&s->lock);
	size_t n = map_count(s->queries);
	(void)pthread_mutex_unlock(&s->lock);
	return n;
}

#include "operator/observe/queue.h"

#include <pthread.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"

struct entry {
	int64_t due_ms; /* -1: not waiting */
	bool taken;
};

struct observe_queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct map *entries;
	bool closed;
};

struct observe_queue *observe_queue_new(void)
{
	struct observe_queue *q = xcalloc(1, sizeof(*q));
	pthread_condattr_t attr;
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&q->wake, &attr);
	pthread_condattr_destroy(&attr);
	q->entries = map_new(free);
	return q;
}

void observe_queue_free(struct observe_queue *q)
{
	if (!q)
		return;
	map_free(q->entries);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

void observe_queue_add(struct observe_queue *q, const char *key, int64_t delay_ms)
{
	int64_t due = clock_mono_ms() + delay_ms;
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (!e && map_count(q->entries) < QUEUE_KEYS_MAX) {
		e = xcalloc(1, sizeof(*e));
		e->due_ms = -1;
		map_put(q->entries, key, e);
	}
	if (e && (e->due_ms < 0 || due < e->due_ms))
		e->due_ms = due;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

/* The key that is due first among those that nobody holds. */
static const char *first(struct observe_queue *q, struct entry **ret)
{
	size_t at = 0;
	const char *key, *best = NULL;
	void *value;
	while (map_next(q->entries, &at, &key, &value)) {
		struct entry *e = value;
		if (e->taken || e->due_ms < 0 || (best && e->due_ms >= (*ret)->due_ms))
			continue;
		best = key;
		*ret = e;
	}
	return best;
}

static void wait_until(struct observe_queue *q, int64_t due_ms)
{
	struct timespec at = { .tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000 };
	if (due_ms == INT64_MAX)
		pthread_cond_wait(&q->wake, &q->lock);
	else
		pthread_cond_timedwait(&q->wake, &q->lock, &at);
}

char *observe_queue_take(struct observe_queue *q)
{
	char *ret = NULL;
	pthread_mutex_lock(&q->lock);
	while (!q->closed && !ret) {
		struct entry *e = NULL;
		const char *key = first(q, &e);
		if (key && e->due_ms <= clock_mono_ms()) {
			e->taken = true;
			e->due_ms = -1;
			ret = xstrdup(key);
		} else {
			wait_until(q, key ? e->due_ms : INT64_MAX);
		}
	}
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void observe_queue_done(struct observe_queue *q, const char *key)
{
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (e) {
		e->taken = false;
		if (e->due_ms < 0)
			map_del(q->entries, key);
		else
			pthread_cond_signal(&q->wake);
	}
	pthread_mutex_unlock(&q->lock);
}

size_t observe_queue_depth(struct observe_queue *q)
{
	size_t at = 0, n = 0;
	const char *key;
	void *value;
	int64_t soon = clock_mono_ms() + 1000;
	pthread_mutex_lock(&q->lock);
	while (map_next(q->entries, &at, &key, &value)) {
		const struct entry *e = value;
		n += e->due_ms >= 0 && e->due_ms <= soon;
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

void observe_queue_close(struct observe_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

#include "operator/observe/queue.h"

#include <pthread.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"

/* A key that was just worked on rests for so long: the events of a rollout come in bursts, and one look sees all. */
enum { REST_MS = 80 };

struct entry {
	int64_t due_ms;        /* -1: not waiting */
	int64_t rest_until_ms; /* not due before */
	bool taken;
};

struct observe_queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct map *entries;
	int64_t swept_ms;
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
	if (e && due < e->rest_until_ms)
		due = e->rest_until_ms;
	if (e && (e->due_ms < 0 || due < e->due_ms))
		e->due_ms = due;
	pthread_cond_signal(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

/* Keys of which nothing is left to know; now and then, since each lives a little longer than its work. */
static void sweep(struct observe_queue *q, int64_t now)
{
	size_t at = 0;
	const char *key;
	void *value;
	VEC(char *) gone = { 0 };
	if (now < q->swept_ms + 1000)
		return;
	q->swept_ms = now;
	while (map_next(q->entries, &at, &key, &value)) {
		const struct entry *e = value;
		if (!e->taken && e->due_ms < 0 && e->rest_until_ms <= now)
			vec_push(&gone, xstrdup(key));
	}
	for (size_t i = 0; i < gone.n; i++) {
		map_del(q->entries, gone.v[i]);
		free(gone.v[i]);
	}
	vec_free(&gone);
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
	int64_t now = clock_mono_ms();
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (e) {
		e->taken = false;
		e->rest_until_ms = now + REST_MS;
		if (e->due_ms >= 0 && e->due_ms < e->rest_until_ms)
			e->due_ms = e->rest_until_ms;
		pthread_cond_signal(&q->wake);
	}
	sweep(q, now);
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

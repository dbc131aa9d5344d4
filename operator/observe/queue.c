#include "operator/observe/queue.h"

#include <pthread.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"

/* Why a key is due, and when; -1: not for that. */
enum why { ADDED, TOUCHED, TOUCHED_SOON, WHYS };
/* A key that was just worked on rests for so long: the events of a rollout come in bursts, and one look sees all. */
static const int64_t rest_ms[WHYS] = { [ADDED] = 80, [TOUCHED] = 20, [TOUCHED_SOON] = 500 };
/* Many keys on the move at once are each looked at less often: the work for all of them grows more slowly than they do. */
enum { CROWD_MS = 10, CROWD_CAP_MS = 2000 };

struct entry {
	int64_t due_ms[WHYS];
	int64_t rest_until_ms[WHYS]; /* not due before */
	int64_t taken_ms;            /* due_ms[ADDED] as it was when the taker came */
	bool taken;
};

struct observe_queue {
	pthread_mutex_t lock;
	/* One taker sleeps until the next key is due, and hands that over when it has a key; the others just sleep. */
	pthread_cond_t due, turn;
	bool watched;
	int64_t watched_until_ms;
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
	pthread_cond_init(&q->due, &attr);
	pthread_cond_init(&q->turn, &attr);
	pthread_condattr_destroy(&attr);
	q->entries = map_new(free);
	return q;
}

void observe_queue_free(struct observe_queue *q)
{
	if (!q)
		return;
	map_free(q->entries);
	pthread_cond_destroy(&q->due);
	pthread_cond_destroy(&q->turn);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static int64_t due_of(const struct entry *e)
{
	int64_t due = -1;
	for (int w = 0; w < WHYS; w++)
		if (e->due_ms[w] >= 0 && (due < 0 || e->due_ms[w] < due))
			due = e->due_ms[w];
	return due;
}

static void earlier(int64_t *due, int64_t at)
{
	if (at >= 0 && (*due < 0 || at < *due))
		*due = at;
}

/* Somebody who sleeps longer than until then is woken. */
static void due_at(struct observe_queue *q, int64_t at)
{
	if (q->watched && at < q->watched_until_ms)
		pthread_cond_signal(&q->due);
}

static void add(struct observe_queue *q, const char *key, enum why why, int64_t delay_ms)
{
	int64_t due = clock_mono_ms() + delay_ms;
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (!e && map_count(q->entries) < QUEUE_KEYS_MAX) {
		e = xcalloc(1, sizeof(*e));
		e->taken_ms = -1;
		for (int w = 0; w < WHYS; w++)
			e->due_ms[w] = -1;
		map_put(q->entries, key, e);
	}
	if (e) {
		due = due < e->rest_until_ms[why] ? e->rest_until_ms[why] : due;
		earlier(&e->due_ms[why], due);
		if (!e->taken)
			due_at(q, due);
	}
	pthread_mutex_unlock(&q->lock);
}

void observe_queue_add(struct observe_queue *q, const char *key, int64_t delay_ms)
{
	add(q, key, ADDED, delay_ms);
}

void observe_queue_touch(struct observe_queue *q, const char *key, int64_t delay_ms)
{
	add(q, key, delay_ms > 0 ? TOUCHED_SOON : TOUCHED, delay_ms);
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
		if (!e->taken && due_of(e) < 0 && e->rest_until_ms[TOUCHED_SOON] <= now)
			vec_push(&gone, xstrdup(key));
	}
	for (size_t i = 0; i < gone.n; i++) {
		map_del(q->entries, gone.v[i]);
		free(gone.v[i]);
	}
	vec_free(&gone);
}

/* The key that is due first among those that nobody holds. */
static const char *first(struct observe_queue *q, struct entry **ret, int64_t *ret_due)
{
	size_t at = 0;
	const char *key, *best = NULL;
	void *value;
	while (map_next(q->entries, &at, &key, &value)) {
		struct entry *e = value;
		int64_t due = e->taken ? -1 : due_of(e);
		if (due < 0 || (best && due >= *ret_due))
			continue;
		best = key;
		*ret = e;
		*ret_due = due;
	}
	return best;
}

static void wait_until(struct observe_queue *q, int64_t due_ms)
{
	struct timespec at = { .tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000 };
	if (q->watched) {
		pthread_cond_wait(&q->turn, &q->lock);
		return;
	}
	q->watched = true;
	q->watched_until_ms = due_ms;
	if (due_ms == INT64_MAX)
		pthread_cond_wait(&q->due, &q->lock);
	else
		pthread_cond_timedwait(&q->due, &q->lock, &at);
	q->watched = false;
}

char *observe_queue_take(struct observe_queue *q)
{
	return observe_queue_take_any(q, NULL);
}

char *observe_queue_take_any(struct observe_queue *q, bool *ret_touched)
{
	char *ret = NULL;
	pthread_mutex_lock(&q->lock);
	while (!q->closed && !ret) {
		struct entry *e = NULL;
		int64_t now = clock_mono_ms(), due = INT64_MAX;
		const char *key = first(q, &e, &due);
		if (key && due <= now) {
			e->taken = true;
			e->taken_ms = e->due_ms[ADDED];
			if (ret_touched)
				*ret_touched = e->taken_ms < 0 || e->taken_ms > now;
			for (int w = 0; w < WHYS; w++)
				e->due_ms[w] = -1;
			ret = xstrdup(key);
		} else {
			wait_until(q, due);
		}
	}
	if (!q->watched)
		pthread_cond_signal(&q->turn);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

static int64_t rest_of(const struct observe_queue *q, enum why why)
{
	int64_t crowd = CROWD_MS * (int64_t)map_count(q->entries);
	if (why != TOUCHED_SOON)
		return rest_ms[why];
	return rest_ms[why] + (crowd < CROWD_CAP_MS ? crowd : CROWD_CAP_MS);
}

/* Nobody holds it now: what it waits for counts again. */
static void let_go(struct observe_queue *q, struct entry *e)
{
	e->taken = false;
	if (due_of(e) >= 0)
		due_at(q, due_of(e));
}

void observe_queue_done(struct observe_queue *q, const char *key)
{
	int64_t now = clock_mono_ms();
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (e) {
		for (int w = 0; w < WHYS; w++) {
			e->rest_until_ms[w] = now + rest_of(q, (enum why)w);
			if (e->due_ms[w] >= 0 && e->due_ms[w] < e->rest_until_ms[w])
				e->due_ms[w] = e->rest_until_ms[w];
		}
		let_go(q, e);
	}
	sweep(q, now);
	pthread_mutex_unlock(&q->lock);
}

void observe_queue_skipped(struct observe_queue *q, const char *key)
{
	int64_t now = clock_mono_ms();
	pthread_mutex_lock(&q->lock);
	struct entry *e = map_get(q->entries, key);
	if (e) {
		earlier(&e->due_ms[ADDED], e->taken_ms);
		let_go(q, e);
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
		n += due_of(e) >= 0 && due_of(e) <= soon;
	}
	pthread_mutex_unlock(&q->lock);
	return n;
}

void observe_queue_close(struct observe_queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->due);
	pthread_cond_broadcast(&q->turn);
	pthread_mutex_unlock(&q->lock);
}

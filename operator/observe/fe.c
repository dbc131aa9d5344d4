#include "operator/observe/fe.h"

#include <errno.h>
#include <pthread.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/data/json.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"
#include "operator/observe/queue.h"

enum { REST_MS = 10000, BACKOFF_MS = 1000, BACKOFF_CAP_MS = 30000, THREADS_MAX = 32 };
/* An FE that does not answer at once is asked with patience only by those who have nothing better to do. */
enum { ASK_MS = 1500, ASK_PATIENT_MS = 5000 };

struct task { /* one cluster's */
	json_t *target, *intents, *answer;
	unsigned failures;
	bool tell; /* the next answer was asked for */
};

struct lane {
	struct observe_fe *o;
	struct observe_queue *queue;
	pthread_t threads[THREADS_MAX];
	unsigned n;
};

struct observe_fe {
	struct observe_fe_config config;
	pthread_mutex_t lock;
	struct map *tasks;
	struct lane fast, slow; /* slow: those whose FE did not answer last time */
};

static void task_free(void *p)
{
	struct task *t = p;
	observe_user_forget(data_get_str(t->target, "uid"));
	json_decref(t->target);
	json_decref(t->intents);
	json_decref(t->answer);
	free(t);
}

/* ---- one ask ---- */
/* Whether two answers differ in anything but their times. */
static bool same_answer(const json_t *a, const json_t *b)
{
	const char *key;
	const json_t *value;
	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)(uintptr_t)a, key, value)
	{
		if (strcmp(key, "at_ms") == 0 || strcmp(key, "since_ms") == 0 ||
		    strcmp(key, "load") == 0)
			continue;
		if (!json_equal(value, json_object_get(b, key)))
			return false;
	}
	return true;
}

/* Kept on the monotonic clock. An answer is as old as its question: what happened in between may not be in it. */
static void stamp(const json_t *before, json_t *answer, int64_t asked_ms)
{
	int64_t now = clock_mono_ms();
	bool ok = data_get_bool(answer, "ok", false);
	bool same_state = before && data_get_bool(before, "ok", false) == ok;
	int64_t since = same_state ? data_get_int(before, "since_ms", now) : now;
	json_object_set_new(answer, "at_ms", json_integer(asked_ms));
	json_object_set_new(answer, "since_ms", json_integer(since));
}

/* Files the answer, which it takes over; returns when to ask again, or -1 when the cluster is gone. */
static int64_t file_answer(struct observe_fe *o, const char *key, int64_t asked_ms, json_t *answer,
                           bool *ret_tell, bool *ret_ok)
{
	int64_t again = -1;
	pthread_mutex_lock(&o->lock);
	struct task *t = map_get(o->tasks, key);
	*ret_tell = false;
	*ret_ok = data_get_bool(answer, "ok", false);
	if (t) {
		stamp(t->answer, answer, asked_ms);
		*ret_tell = t->tell || !t->answer || !same_answer(t->answer, answer);
		t->tell = false;
		t->failures = *ret_ok ? 0 : t->failures + 1;
		json_decref(t->answer);
		t->answer = TAKE_PTR(answer);
		again = *ret_ok ? REST_MS
		                : BACKOFF_MS +
		                          http_backoff_ms(t->failures, BACKOFF_MS, BACKOFF_CAP_MS);
	}
	pthread_mutex_unlock(&o->lock);
	json_decref(answer);
	return again;
}

static void ask_one(struct lane *lane, struct kube_client *kube, struct http_client *http,
                    const char *key)
{
	struct observe_fe *o = lane->o;
	_cleanup_json_ json_t *target = NULL, *intents = NULL;
	bool tell = false, ok = false;
	pthread_mutex_lock(&o->lock);
	struct task *t = map_get(o->tasks, key);
	if (t) {
		target = json_deep_copy(t->target);
		intents = t->intents;
		t->intents = NULL;
	}
	pthread_mutex_unlock(&o->lock);
	if (!target)
		return;
	int64_t began = clock_mono_us();
	json_t *answer = observe_ask(kube, http, target, intents, &o->config,
	                             lane == &o->slow ? ASK_PATIENT_MS : ASK_MS);
	observe_time(OBSERVE_ASK_TIME, clock_mono_us() - began);
	if (!data_get_bool(answer, "ok", false))
		log_debug("cluster=%s FE does not answer: %s", key, data_get_str(answer, "error"));
	int64_t again = file_answer(o, key, began / 1000, answer, &tell, &ok);
	if (again >= 0)
		observe_queue_add(ok ? o->fast.queue : o->slow.queue, key, again);
	if (tell)
		o->config.changed(o->config.arg, key);
}

static void *lane_thread(void *arg)
{
	struct lane *lane = arg;
	_cleanup_(kube_client_freep) struct kube_client *kube = NULL;
	_cleanup_(http_client_freep) struct http_client *http = NULL;
	struct err err = ERR_INIT;
	char *key;
	if (kube_client_new(lane->o->config.kube, &kube, &err) < 0 ||
	    http_client_new(NULL, &http, &err) < 0) {
		log_error("a thread that asks FEs cannot start: %s", err.msg);
		return NULL;
	}
	while ((key = observe_queue_take(lane->queue))) {
		ask_one(lane, kube, http, key);
		observe_queue_done(lane->queue, key);
		free(key);
	}
	return NULL;
}

/* ---- life ---- */
static int lane_start(struct observe_fe *o, struct lane *lane, unsigned n, struct err *err)
{
	lane->o = o;
	lane->queue = observe_queue_new();
	for (unsigned i = 0; i < n && i < THREADS_MAX; i++) {
		if (pthread_create(&lane->threads[i], NULL, lane_thread, lane) != 0)
			return err_set(err, -EAGAIN, "cannot start a thread");
		lane->n++;
	}
	return 0;
}

static void lane_join(struct lane *lane)
{
	if (lane->queue)
		observe_queue_close(lane->queue);
	for (unsigned i = 0; i < lane->n; i++)
		pthread_join(lane->threads[i], NULL);
}

int observe_fe_new(const struct observe_fe_config *config, struct observe_fe **ret, struct err *err)
{
	_cleanup_(observe_fe_freep) struct observe_fe *o = xcalloc(1, sizeof(*o));
	o->config = *config;
	o->tasks = map_new(task_free);
	pthread_mutex_init(&o->lock, NULL);
	/* Both queues first: a thread of one lane hands keys to the other. */
	int rc = lane_start(o, &o->slow, 0, err);
	if (rc == 0)
		rc = lane_start(o, &o->fast, config->threads, err);
	for (unsigned i = 0; rc == 0 && i < config->slow_threads && i < THREADS_MAX; i++) {
		if (pthread_create(&o->slow.threads[i], NULL, lane_thread, &o->slow) != 0)
			rc = err_set(err, -EAGAIN, "cannot start a thread");
		else
			o->slow.n++;
	}
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(o);
	return 0;
}

void observe_fe_free(struct observe_fe *o)
{
	if (!o)
		return;
	/* A thread of one lane hands keys to the other: no queue goes before both have ended. */
	lane_join(&o->slow);
	lane_join(&o->fast);
	observe_queue_free(o->slow.queue);
	observe_queue_free(o->fast.queue);
	map_free(o->tasks);
	pthread_mutex_destroy(&o->lock);
	free(o);
}

void observe_fe_set(struct observe_fe *o, const char *key, const json_t *target,
                    const json_t *intents, int64_t ask_ms)
{
	pthread_mutex_lock(&o->lock);
	struct task *t = map_get(o->tasks, key);
	bool fresh = !t;
	if (!t) {
		t = xcalloc(1, sizeof(*t));
		map_put(o->tasks, key, t);
	}
	bool moved = !t->target || !json_equal(t->target, target);
	if (moved) {
		json_decref(t->target);
		t->target = json_deep_copy(target);
		t->failures = 0;
	}
	json_decref(t->intents);
	t->intents = json_deep_copy(intents);
	t->tell = t->tell || ask_ms > 0;
	bool slow = t->failures > 0;
	pthread_mutex_unlock(&o->lock);
	/* A silent FE keeps its pauses: being asked for does not make it answer. */
	if (fresh || moved || (ask_ms > 0 && !slow))
		observe_queue_add(o->fast.queue, key, fresh || moved ? 0 : ask_ms);
}

void observe_fe_forget(struct observe_fe *o, const char *key)
{
	pthread_mutex_lock(&o->lock);
	map_del(o->tasks, key);
	pthread_mutex_unlock(&o->lock);
}

/* Its times are told by the wall clock as it is now: a clock that jumped makes no answer older or newer. */
json_t *observe_fe_answer(struct observe_fe *o, const char *key)
{
	static const char *const times[] = { "at_ms", "since_ms" };
	int64_t shift = clock_real_ms() - clock_mono_ms();
	pthread_mutex_lock(&o->lock);
	const struct task *t = map_get(o->tasks, key);
	json_t *answer = t && t->answer ? json_deep_copy(t->answer) : NULL;
	pthread_mutex_unlock(&o->lock);
	for (size_t i = 0; answer && i < ARRAY_LEN(times); i++)
		json_object_set_new(answer, times[i],
		                    json_integer(data_get_int(answer, times[i], 0) + shift));
	return answer;
}

/* Attempts: one run each however often it is asked for, and its answer kept for who asks again. */
#include "engine/node/node_priv.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/vec.h"

enum { ANSWERS_MAX = 20000, KEY_MAX = RPC_ID_LEN + 40 };

struct node_run {
	char key[KEY_MAX];
	struct node_tasks *owner;
	struct node_task task;
	struct deadline by;
	atomic_bool cancelled;
	atomic_bool late;
	/* Under the owner's lock. */
	VEC(struct http_req *) waiting;
	bool done, query_gone;
	char *answer; /* of a success, once done */
	int64_t ended_ms;
};

struct node_tasks {
	struct node *node;
	pthread_mutex_t lock;
	struct map *runs;     /* key -> struct node_run, owned */
	size_t running, most; /* most: at once, since the start */
};

static void run_free(void *p)
{
	struct node_run *r = p;
	node_task_free(&r->task);
	vec_free(&r->waiting);
	free(r->answer);
	free(r);
}

struct node_tasks *node_tasks_new(struct node *n)
{
	struct node_tasks *t = xcalloc(1, sizeof(*t));
	t->node = n;
	(void)pthread_mutex_init(&t->lock, NULL);
	t->runs = map_new(run_free);
	return t;
}

void node_tasks_free(struct node_tasks *t)
{
	if (!t)
		return;
	map_free(t->runs);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
}

static void key_of(const struct store_attempt *id, char out[KEY_MAX])
{
	(void)snprintf(out, KEY_MAX, "%s/%d/%d/%d", id->query, id->stage, id->task, id->attempt);
}

/* Nobody who asked is there any more. Only while the run is not done: a waiting request is answered exactly once,
 * after it was taken off the list under the lock. */
static bool deserted(struct node_run *r)
{
	bool any = false;
	(void)pthread_mutex_lock(&r->owner->lock);
	for (size_t i = 0; i < r->waiting.n && !any; i++)
		any = !http_req_gone(r->waiting.v[i]);
	(void)pthread_mutex_unlock(&r->owner->lock);
	return !any;
}

static bool run_should_stop(void *arg)
{
	struct node_run *r = arg;
	if (atomic_load(&r->cancelled))
		return true;
	if (deadline_passed(r->by))
		atomic_store(&r->late, true);
	else if (!deserted(r))
		return false;
	atomic_store(&r->cancelled, true);
	return true;
}

/* Takes the run's waiting requests off and decides whether its answer is kept. */
static void run_end(struct node_run *r, char *answer /* taken; NULL: failed */,
                    const struct node_fail *fail)
{
	struct node_tasks *t = r->owner;
	char query[RPC_ID_LEN + 1];
	autofree char *text = answer;
	memcpy(query, r->task.id.query, sizeof(query));
	(void)pthread_mutex_lock(&t->lock);
	__typeof__(r->waiting) waiting = r->waiting;
	r->waiting.v = NULL;
	r->waiting.n = r->waiting.cap = 0;
	r->done = true;
	r->ended_ms = clock_mono_ms();
	t->running--;
	bool gone = r->query_gone;
	if (text && !gone && map_count(t->runs) < ANSWERS_MAX) {
		r->answer = xstrdup(text);
		node_task_free(&r->task);
	} else {
		(void)map_del(t->runs, r->key); /* frees r; key is read before */
	}
	(void)pthread_mutex_unlock(&t->lock);
	if (gone) /* it may have put its output in place after the query was deleted */
		store_spill_drop(t->node->spill, query);
	for (size_t i = 0; i < waiting.n; i++) {
		if (text)
			http_answer_json(waiting.v[i], 200, text);
		else
			node_fail_answer(fail, waiting.v[i]);
	}
	vec_free(&waiting);
}

static void count_end(struct node *n, const struct node_fail *fail, bool ok)
{
	if (ok)
		atomic_fetch_add(&n->count.tasks_ok, 1);
	else if (fail->code && strcmp(fail->code, RPC_E_CANCELLED) == 0)
		atomic_fetch_add(&n->count.tasks_cancelled, 1);
	else
		atomic_fetch_add(&n->count.tasks_failed, 1);
}

static void run_job(void *arg)
{
	struct node_run *r = arg;
	struct node *n = r->owner->node;
	struct node_fail fail = { .code = NULL };
	struct err err = ERR_INIT;
	pthread_mutex_t fail_lock = PTHREAD_MUTEX_INITIALIZER;
	struct node_ctx c = { .node = n,
		              .id = r->task.id,
		              .by = r->by,
		              .should_stop = run_should_stop,
		              .arg = r,
		              .fail_lock = &fail_lock,
		              .fail = &fail };
	char *text = NULL;
	int rc = -1;
	if (run_should_stop(r))
		(void)node_fail(&fail, RPC_E_CANCELLED, false, "cancelled before it began");
	else if (store_spill_scratch(n->spill, &c.id, &c.scratch, &err) < 0)
		(void)node_fail_err(&fail, &err);
	else
		rc = node_run_task(&c, &r->task, &text);
	store_spill_scratch_free(c.scratch);
	if (rc < 0 && atomic_load(&r->late)) {
		fail = (struct node_fail){ .code = NULL };
		(void)node_fail(&fail, RPC_E_TIMEOUT, false,
		                "the task's time (%" PRId64 " ms) is over", r->task.timeout_ms);
	} else if (rc < 0 && atomic_load(&r->cancelled)) {
		fail = (struct node_fail){ .code = NULL };
		(void)node_fail(&fail, RPC_E_CANCELLED, false, "cancelled");
	}
	if (rc < 0)
		log_debug("task=%s code=%s %s", r->key, fail.code, fail.message);
	count_end(n, &fail, rc == 0);
	run_end(r, rc == 0 ? text : NULL, &fail);
}

void node_tasks_submit(struct node_tasks *t, struct node_task *task, struct http_req *req)
{
	char key[KEY_MAX];
	autofree char *answer = NULL;
	bool start = false;
	key_of(&task->id, key);
	(void)pthread_mutex_lock(&t->lock);
	struct node_run *r = map_get(t->runs, key);
	if (r && r->done) {
		answer = xstrdup(r->answer);
	} else {
		if (!r) {
			r = xcalloc(1, sizeof(*r));
			memcpy(r->key, key, sizeof(key));
			r->owner = t;
			r->task = *task;
			*task = (struct node_task){ .timeout_ms = 0 };
			r->by = deadline_in(r->task.timeout_ms);
			map_put(t->runs, key, r);
			t->running++;
			t->most = t->running > t->most ? t->running : t->most;
			start = true;
		}
		http_hold(req);
		vec_push(&r->waiting, req);
	}
	(void)pthread_mutex_unlock(&t->lock);
	node_task_free(task);
	if (answer)
		http_answer_json(req, 200, answer);
	if (start)
		node_pool_run(t->node->task_pool, run_job, r);
}

void node_tasks_cancel(struct node_tasks *t, const struct store_attempt *id)
{
	char key[KEY_MAX];
	key_of(id, key);
	(void)pthread_mutex_lock(&t->lock);
	struct node_run *r = map_get(t->runs, key);
	if (r && !r->done)
		atomic_store(&r->cancelled, true);
	(void)pthread_mutex_unlock(&t->lock);
}

/* Cancels what runs of the query (of all when NULL) and forgets what has ended. */
static void cancel_where(struct node_tasks *t, const char *query)
{
	VEC(const char *) ended = { 0 };
	size_t at = 0;
	const char *key;
	void *value;
	(void)pthread_mutex_lock(&t->lock);
	while (map_next(t->runs, &at, &key, &value)) {
		struct node_run *r = value;
		if (query && strncmp(key, query, RPC_ID_LEN) != 0)
			continue;
		if (r->done) {
			vec_push(&ended, r->key);
			continue;
		}
		r->query_gone = true;
		atomic_store(&r->cancelled, true);
	}
	for (size_t i = 0; i < ended.n; i++) {
		autofree char *copy = xstrdup(ended.v[i]);
		(void)map_del(t->runs, copy);
	}
	(void)pthread_mutex_unlock(&t->lock);
	vec_free(&ended);
}

void node_tasks_cancel_query(struct node_tasks *t, const char *query)
{
	cancel_where(t, query);
}

void node_tasks_cancel_all(struct node_tasks *t)
{
	cancel_where(t, NULL);
}

size_t node_tasks_running(struct node_tasks *t)
{
	(void)pthread_mutex_lock(&t->lock);
	size_t n = t->running;
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

size_t node_tasks_most(struct node_tasks *t)
{
	(void)pthread_mutex_lock(&t->lock);
	size_t n = t->most;
	(void)pthread_mutex_unlock(&t->lock);
	return n;
}

void node_tasks_expire(struct node_tasks *t, int64_t age_ms)
{
	VEC(char *) old = { 0 };
	int64_t before = clock_mono_ms() - age_ms;
	size_t at = 0;
	void *value;
	(void)pthread_mutex_lock(&t->lock);
	while (map_next(t->runs, &at, NULL, &value)) {
		struct node_run *r = value;
		if (r->done && r->ended_ms <= before)
			vec_push(&old, xstrdup(r->key));
	}
	for (size_t i = 0; i < old.n; i++) {
		(void)map_del(t->runs, old.v[i]);
		free(old.v[i]);
	}
	(void)pthread_mutex_unlock(&t->lock);
	vec_free(&old);
}

int node_ctx_fail(struct node_ctx *c, const char *code, bool retryable, const char *fmt, ...)
{
	char text[ERR_MSG_MAX];
	va_list args;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)pthread_mutex_lock(c->fail_lock);
	(void)node_fail(c->fail, code, retryable, "%s", text);
	(void)pthread_mutex_unlock(c->fail_lock);
	return -1;
}

int node_ctx_fail_err(struct node_ctx *c, const struct err *err)
{
	(void)pthread_mutex_lock(c->fail_lock);
	(void)node_fail_err(c->fail, err);
	(void)pthread_mutex_unlock(c->fail_lock);
	return -1;
}

bool node_ctx_failed(struct node_ctx *c)
{
	(void)pthread_mutex_lock(c->fail_lock);
	bool failed = c->fail->code != NULL;
	(void)pthread_mutex_unlock(c->fail_lock);
	return failed;
}

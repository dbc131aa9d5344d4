#include "engine/exec/exec.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/exec/exec_priv.h"
#include "engine/exec/frame.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { WRITE_MS = 30000, STOP_MS = 20 };
/* Children that did not come up, in a row, after which callers are told instead of left waiting: with the pauses between
 * them, under a second for a parser (a session waits for an answer), some six for an executor (its task may wait). */
enum { BAD_STARTS_PARSER = 4, BAD_STARTS_TASKS = 7 };

json_t *exec_failure(const char *code, const char *message)
{
	return json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", code, "message", message);
}

static json_t *string_list(const char *const *list)
{
	json_t *j = json_array();
	for (; list && *list; list++)
		(void)json_array_append_new(j, json_string(*list));
	return j;
}

static int64_t or_default(int64_t value, int64_t absent)
{
	return value > 0 ? value : absent;
}

static json_t *open_message(const struct exec *e, const struct exec_config *c)
{
	int64_t threads = or_default(c->threads, or_default(sysconf(_SC_NPROCESSORS_ONLN), 1));
	json_t *j =
		json_pack("{s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:i, s:o, s:o}", "op", "open", "id",
	                  0, "group", e->group, "memory_limit", (json_int_t)e->memory_limit,
	                  "rss_limit", (json_int_t)e->rss_limit, "temp_limit",
	                  (json_int_t)or_default(c->temp_limit, 10LL << 30), "threads",
	                  (json_int_t)threads, "concurrency", e->concurrency, "read_dirs",
	                  string_list(c->read_dirs), "write_dirs", string_list(c->write_dirs));
	if (e->temp_dir)
		(void)json_object_set_new(j, "temp_dir", json_string(e->temp_dir));
	return j;
}

static void conds_init(struct exec *e)
{
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&e->turn, &attr);
	(void)pthread_cond_init(&e->gone, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&e->lock, NULL);
	(void)pthread_mutex_init(&e->write_lock, NULL);
}

static void release(struct exec *e)
{
	fd_closep(&e->wake_fd);
	(void)pthread_mutex_destroy(&e->lock);
	(void)pthread_mutex_destroy(&e->write_lock);
	(void)pthread_cond_destroy(&e->turn);
	(void)pthread_cond_destroy(&e->gone);
	json_decref(e->open_message);
	buf_free(&e->in);
	free(e->group);
	free(e->program);
	free(e->temp_dir);
	free(e->why_down);
	free(e);
}

/* A child whose walls name a folder that is not there refuses to start, again and again: better said at once. */
static int check_dirs(const char *const *dirs, struct err *err)
{
	for (; dirs && *dirs; dirs++)
		if (access(*dirs, F_OK) < 0)
			return err_errno(err, "folder %s", *dirs);
	return 0;
}

static int start(struct exec *e, const struct exec_config *c, struct err *err)
{
	if (access(e->program, X_OK) < 0)
		return err_errno(err, "executor program %s", e->program);
	int rc = check_dirs(c->read_dirs, err);
	if (rc == 0)
		rc = check_dirs(c->write_dirs, err);
	if (rc < 0)
		return rc;
	if (e->temp_dir && fd_mkdir_p(e->temp_dir, 0700, err) < 0)
		return err->code;
	e->open_message = open_message(e, c);
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->wake_fd < 0)
		return err_errno(err, "eventfd");
	rc = pthread_create(&e->thread, NULL, exec_supervise, e);
	return rc ? err_set(err, -rc, "cannot start a thread") : 0;
}

int exec_open(const struct exec_config *config, struct exec **ret, struct err *err)
{
	bool parser = config->mode == EXEC_PARSER;
	struct exec *e = xcalloc(1, sizeof(*e));
	conds_init(e);
	e->mode = config->mode;
	e->fd = e->wake_fd = -1;
	e->pause_ms = 50;
	e->in.max = 2 * (size_t)EXEC_MESSAGE_MAX;
	e->group = xstrdup(config->group ? config->group : parser ? "parser" : "default_wg");
	e->program = config->program ? xstrdup(config->program) : exec_child_program();
	e->temp_dir = config->temp_dir ? xstrdup(config->temp_dir) : NULL;
	e->memory_limit = or_default(config->memory_limit, 256LL << 20);
	e->rss_limit = or_default(config->rss_limit, e->memory_limit * 3 / 2 + (256LL << 20));
	e->concurrency = parser ? 1 : (int)or_default(config->concurrency, 8);
	e->stats.memory_limit = e->memory_limit;
	int rc = start(e, config, err);
	if (rc < 0)
		release(e);
	else
		*ret = e;
	return rc;
}

void exec_close(struct exec *e)
{
	if (!e)
		return;
	(void)pthread_mutex_lock(&e->lock);
	e->closing = true;
	(void)pthread_cond_broadcast(&e->turn);
	(void)pthread_mutex_unlock(&e->lock);
	exec_wake(e);
	(void)pthread_join(e->thread, NULL);
	(void)pthread_mutex_lock(&e->lock);
	while (e->users > 0)
		(void)pthread_cond_wait(&e->gone, &e->lock);
	(void)pthread_mutex_unlock(&e->lock);
	release(e);
}

/* What a caller watches while it waits. */
struct patience {
	struct deadline by;
	bool (*should_stop)(void *);
	void *arg;
};

/* NULL to go on; else the failure. Called with the lock held: should_stop must not call back into this exec. */
static json_t *lost_patience(const struct patience *p)
{
	if (p->should_stop && p->should_stop(p->arg))
		return exec_failure(RPC_E_CANCELLED, "cancelled");
	if (deadline_passed(p->by))
		return exec_failure(RPC_E_TIMEOUT, "timed out");
	return NULL;
}

static void wait_a_little(struct exec *e, pthread_cond_t *cond, const struct patience *p)
{
	int64_t ms = deadline_left_ms(p->by);
	if (p->should_stop && ms > STOP_MS)
		ms = STOP_MS;
	int64_t at = clock_mono_ms() + (ms > 3600000 ? 3600000 : ms) + 1;
	struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
	(void)pthread_cond_timedwait(cond, &e->lock, &until);
}

/* NULL to go on waiting for a turn. With the lock held. */
static json_t *no_turn(const struct exec *e, const struct patience *p)
{
	bool parser = e->mode == EXEC_PARSER;
	const char *what = parser ? "parser" : "executor";
	if (!e->ready && e->bad_starts >= (parser ? BAD_STARTS_PARSER : BAD_STARTS_TASKS)) {
		autofree char *text =
			xasprintf("the %s process does not start: %s", what, e->why_down);
		return exec_failure(RPC_E_CRASHED, text);
	}
	json_t *failure = lost_patience(p);
	/* The time of a parser's call is ours, not the statement's. */
	if (failure && parser && deadline_passed(p->by)) {
		json_decref(failure);
		autofree char *text = xasprintf("no turn with the parser process in time: %s",
		                                e->ready            ? "it is busy with others"
		                                : e->bad_starts > 0 ? e->why_down
		                                                    : "it is not up yet");
		failure = exec_failure(RPC_E_INTERNAL, text);
	}
	return failure;
}

/* Those that are to be alone go first, or they would never find the child empty. */
static bool has_room(const struct exec *e, const struct exec_call *call)
{
	if (!e->ready || e->alone)
		return false;
	return call->alone ? e->stats.running == 0
	                   : e->waiting_alone == 0 && e->stats.running < e->concurrency;
}

/* Waits for a free place in a child that is ready, and takes it. The lock is held. */
static json_t *take_turn(struct exec *e, const struct patience *p, struct exec_call *call)
{
	json_t *failure = NULL;
	e->waiting++;
	e->waiting_alone += call->alone;
	while (!failure && !e->closing && !has_room(e, call)) {
		failure = no_turn(e, p);
		if (!failure)
			wait_a_little(e, &e->turn, p);
	}
	e->waiting--;
	e->waiting_alone -= call->alone;
	if (!failure && e->closing)
		failure = exec_failure(RPC_E_CANCELLED, "the executor is closed");
	if (failure) {
		(void)pthread_cond_broadcast(&e->turn); /* whom it held up */
		return failure;
	}
	e->alone = call->alone;
	call->id = ++e->last_id;
	call->next = e->calls;
	e->calls = call;
	e->stats.running++;
	return NULL;
}

/* A child that takes no bytes, or only a part, is of no more use. */
static void send_bytes(struct exec *e, const struct buf *frame)
{
	struct err err = ERR_INIT;
	(void)pthread_mutex_lock(&e->write_lock);
	if (e->fd >= 0 &&
	    exec_child_send(e->fd, frame->p, frame->len, deadline_in(WRITE_MS), &err) < 0)
		(void)shutdown(e->fd, SHUT_RDWR); /* the supervisor sees the end of the stream */
	(void)pthread_mutex_unlock(&e->write_lock);
}

static void send_cancel(struct exec *e, int64_t id)
{
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf frame = BUF_INIT(256);
	json_t *j = json_pack("{s:s, s:I}", "op", "cancel", "target", (json_int_t)id);
	if (exec_frame_add(&frame, j, &err) == 0)
		send_bytes(e, &frame);
	json_decref(j);
}

static struct exec_call *call_new(void)
{
	struct exec_call *call = xcalloc(1, sizeof(*call));
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&call->done, &attr);
	(void)pthread_condattr_destroy(&attr);
	return call;
}

static void call_free(struct exec_call *call)
{
	(void)pthread_cond_destroy(&call->done);
	free(call);
}

/* The reply, or the failure of a caller that waits no longer. The lock is not held. */
static json_t *await(struct exec *e, const struct patience *p, struct exec_call *call)
{
	int64_t id = call->id;
	json_t *reply = NULL, *failure = NULL;
	(void)pthread_mutex_lock(&e->lock);
	while (!call->reply && !failure) {
		failure = lost_patience(p);
		if (!failure)
			wait_a_little(e, &call->done, p);
	}
	reply = call->reply;
	if (!reply) {
		call->abandoned = true; /* the supervisor frees it */
		call->abandoned_ms = clock_mono_ms();
	}
	(void)pthread_mutex_unlock(&e->lock);
	if (reply) {
		json_decref(failure);
		call_free(call);
		return reply;
	}
	send_cancel(e, id);
	exec_wake(e);
	return failure;
}

static json_t *run(struct exec *e, json_t *request, const struct patience *p, struct err *err)
{
	_cleanup_buf_ struct buf frame = BUF_INIT(EXEC_MESSAGE_MAX + 64);
	struct exec_call *call = call_new();
	call->alone = data_get_bool(request, "alone", false);
	(void)pthread_mutex_lock(&e->lock);
	json_t *failure = take_turn(e, p, call);
	bool first = e->stats.running == 1;
	(void)pthread_mutex_unlock(&e->lock);
	if (failure) {
		call_free(call);
		return failure;
	}
	if (first)
		exec_wake(e); /* it sleeps longer while nothing runs */
	(void)json_object_set_new(request, "id", json_integer((json_int_t)call->id));
	if (exec_frame_add(&frame, request, err) == 0) {
		send_bytes(e, &frame);
		return await(e, p, call);
	}
	/* Never sent: give the place back. */
	(void)pthread_mutex_lock(&e->lock);
	struct exec_call **at = &e->calls;
	while (*at && *at != call)
		at = &(*at)->next;
	if (*at) {
		*at = call->next;
		e->stats.running--;
		e->alone = false;
	}
	(void)pthread_cond_broadcast(&e->turn);
	(void)pthread_mutex_unlock(&e->lock);
	json_decref(call->reply);
	call_free(call);
	return NULL;
}

int exec_run(struct exec *e, json_t *request, struct deadline by, bool (*should_stop)(void *),
             void *arg, json_t **ret_reply, struct err *err)
{
	struct patience p = { by, should_stop, arg };
	(void)pthread_mutex_lock(&e->lock);
	e->users++;
	(void)pthread_mutex_unlock(&e->lock);
	json_t *reply = run(e, request, &p, err);
	json_decref(request);
	(void)pthread_mutex_lock(&e->lock);
	if (--e->users == 0)
		(void)pthread_cond_signal(&e->gone);
	(void)pthread_mutex_unlock(&e->lock);
	if (!reply)
		return err && err->code < 0 ? err->code : -EIO;
	*ret_reply = reply;
	return json_is_true(json_object_get(reply, "ok")) ? 0 : EXEC_FAILED;
}

void exec_stats(struct exec *e, struct exec_stats *ret)
{
	(void)pthread_mutex_lock(&e->lock);
	*ret = e->stats;
	ret->waiting = e->waiting;
	(void)pthread_mutex_unlock(&e->lock);
}

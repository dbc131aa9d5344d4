#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/exec/exec_priv.h"
#include "engine/exec/frame.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum {
	TICK_MS = 50, /* while something runs: looks at memory */
	IDLE_MS = 1000,
	START_MS = 30000,  /* until a child must have answered */
	PAUSE_MIN_MS = 50, /* between children */
	PAUSE_MAX_MS = 5000,
	ABANDONED_MS = 30000, /* a request that ignores its interrupt this long costs the child */
	STILL_MS =
		10000, /* a parser with a statement that uses no processor time this long is stuck */
	READ_MAX = 256 * 1024,
};

void exec_wake(struct exec *e)
{
	uint64_t one = 1;
	ssize_t n = write(e->wake_fd, &one, sizeof(one));
	(void)n; /* full: it is awake anyway */
}

/* Ends one call; with the lock held. */
static void finish(struct exec *e, struct exec_call *call, json_t *reply /* stolen */)
{
	struct exec_call **at = &e->calls;
	while (*at != call)
		at = &(*at)->next;
	*at = call->next;
	e->stats.running--;
	e->alone = false; /* if it was, it was the only one */
	(void)pthread_cond_broadcast(&e->turn);
	if (call->abandoned) {
		json_decref(reply);
		(void)pthread_cond_destroy(&call->done);
		free(call);
		return;
	}
	call->reply = reply;
	(void)pthread_cond_signal(&call->done);
}

/* With the lock held: those who wait for a child learn what keeps it away. */
static void note_bad_start(struct exec *e, const char *why)
{
	e->bad_starts++;
	free(e->why_down);
	e->why_down = xstrdup(why);
	(void)pthread_cond_broadcast(&e->turn);
}

static void fail_all(struct exec *e, const char *code, const char *message)
{
	while (e->calls)
		finish(e, e->calls, exec_failure(code, message));
}

/* Kills and reaps the child, and tells its callers why. */
static void lose_child(struct exec *e, const char *code, const char *why)
{
	char death[64] = "";
	exec_child_end(e->pid, death, sizeof(death));
	bool meant = strcmp(code, RPC_E_CANCELLED) == 0;
	log_at(meant ? LOG_DEBUG_ : LOG_WARN_, "group=%s pid=%d executor ended: %s (%s)", e->group,
	       (int)e->pid, why, death);
	autofree char *message = xasprintf("%s (%s)", why, death);
	bool was_ready = false;
	(void)pthread_mutex_lock(&e->write_lock);
	(void)pthread_mutex_lock(&e->lock);
	was_ready = e->ready;
	e->ready = false;
	fd_closep(&e->fd);
	e->pid = 0;
	e->stats.pid = 0;
	e->stats.rss = 0;
	if (strcmp(code, RPC_E_OOM) == 0)
		e->stats.kills++;
	else if (!meant)
		e->stats.crashes++;
	fail_all(e, code, strcmp(code, RPC_E_OOM) == 0 ? why : message);
	if (!was_ready && !meant)
		note_bad_start(e, message);
	(void)pthread_mutex_unlock(&e->lock);
	(void)pthread_mutex_unlock(&e->write_lock);
	buf_reset(&e->in);
	/* Only a child that never came up makes the next wait longer. */
	e->pause_ms = was_ready ? PAUSE_MIN_MS : e->pause_ms * 2;
	if (e->pause_ms > PAUSE_MAX_MS)
		e->pause_ms = PAUSE_MAX_MS;
	e->start_at_ms = clock_mono_ms() + e->pause_ms;
}

static void start_child(struct exec *e)
{
	struct err err = ERR_INIT;
	pid_t pid = 0;
	int fd = -1;
	int rc = exec_child_spawn(e->program, e->mode, &pid, &fd, &err);
	if (rc < 0) {
		log_error("group=%s %s", e->group, err.msg);
		e->pause_ms = e->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : e->pause_ms * 2;
		e->start_at_ms = clock_mono_ms() + e->pause_ms;
		(void)pthread_mutex_lock(&e->lock);
		note_bad_start(e, err.msg);
		(void)pthread_mutex_unlock(&e->lock);
		return;
	}
	_cleanup_buf_ struct buf frame = BUF_INIT(EXEC_MESSAGE_MAX + 64);
	rc = exec_frame_add(&frame, e->open_message, &err);
	if (rc == 0)
		rc = exec_child_send(fd, frame.p, frame.len, deadline_in(START_MS), &err);
	(void)pthread_mutex_lock(&e->lock);
	e->fd = fd;
	e->pid = pid;
	e->stats.pid = pid;
	e->stats.started++;
	(void)pthread_mutex_unlock(&e->lock);
	e->started_ms = clock_mono_ms();
	if (rc < 0)
		lose_child(e, RPC_E_CRASHED, "the executor process did not start");
}

/* The answer to open has id 0. */
static bool opened(struct exec *e, const json_t *reply)
{
	if (!data_get_bool(reply, "ok", false)) {
		const char *why = data_get_str(reply, "error.message");
		log_error("group=%s executor refuses to start: %s", e->group, why ? why : "?");
		free(e->refusal);
		e->refusal = xstrdup(why ? why : "it refuses to start");
		return false;
	}
	e->pause_ms = PAUSE_MIN_MS;
	(void)pthread_mutex_lock(&e->lock);
	e->ready = true;
	e->bad_starts = 0;
	(void)pthread_cond_broadcast(&e->turn);
	(void)pthread_mutex_unlock(&e->lock);
	log_debug("group=%s pid=%d landlock=%d executor is ready", e->group, (int)e->pid,
	          (int)data_get_int(reply, "landlock", 0));
	return true;
}

static void deliver(struct exec *e, json_t *reply /* stolen */)
{
	int64_t id = data_get_int(reply, "id", -1);
	(void)pthread_mutex_lock(&e->lock);
	struct exec_call *call = e->calls;
	while (call && call->id != id)
		call = call->next;
	if (call)
		finish(e, call, reply);
	else
		json_decref(reply);
	(void)pthread_mutex_unlock(&e->lock);
}

/* Reads what there is; false when the child is to be given up. */
static bool read_child(struct exec *e)
{
	char *to = buf_reserve(&e->in, READ_MAX);
	if (!to)
		return false;
	ssize_t n = read(e->fd, to, READ_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	e->in.len += (size_t)n;
	for (;;) {
		json_t *reply = NULL;
		struct err err = ERR_INIT;
		int rc = exec_frame_take(&e->in, &reply, &err);
		if (rc == EXEC_FRAME_MORE)
			return true;
		if (rc < 0) {
			log_error("group=%s %s", e->group, err.msg);
			return false;
		}
		if (!e->ready) {
			bool ok = opened(e, reply);
			json_decref(reply);
			if (!ok)
				return false;
			continue;
		}
		deliver(e, reply);
	}
}

/* A parser works on one statement at a time; NULL, or why that one is to end with it. Time on the wall says nothing
 * about a statement: on a busy machine its turn on a processor comes late. *ret_code: whose fault it is. */
static const char *parser_stuck(struct exec *e, int64_t id, int64_t now, const char **ret_code)
{
	int64_t cpu = exec_child_cpu_ms(e->pid);
	struct exec_use *u = &e->use;
	if (id != u->id) {
		*u = (struct exec_use){ id, cpu, cpu, now };
	} else if (cpu > u->cpu_ms) {
		u->cpu_ms = cpu;
		u->moved_ms = now;
	}
	*ret_code = RPC_E_TIMEOUT;
	if (cpu >= 0 && cpu - u->from_ms > EXEC_PARSE_CPU_MS)
		return "the statement takes too much time";
	*ret_code = RPC_E_CRASHED;
	return now - u->moved_ms > STILL_MS ? "the parser process stands still" : NULL;
}

/* Memory and time; may end the child. */
static void watch_child(struct exec *e)
{
	int64_t rss = exec_child_rss(e->pid), now = clock_mono_ms(), oldest = INT64_MAX;
	(void)pthread_mutex_lock(&e->lock);
	e->stats.rss = rss;
	int64_t parsing = e->mode == EXEC_PARSER && e->ready && e->calls ? e->calls->id : 0;
	for (const struct exec_call *c = e->calls; c; c = c->next)
		if (c->abandoned && c->abandoned_ms < oldest)
			oldest = c->abandoned_ms;
	(void)pthread_mutex_unlock(&e->lock);
	int64_t patience = e->mode == EXEC_PARSER ? 0 : ABANDONED_MS;
	const char *code = NULL;
	const char *stuck = parsing ? parser_stuck(e, parsing, now, &code) : NULL;
	if (rss > e->rss_limit) {
		autofree char *why =
			xasprintf("Memory of %s exceed limit. Used: %" PRId64 ", Limit: %" PRId64
		                  ". Mem usage has exceed the limit of the process",
		                  e->group, rss, e->rss_limit);
		lose_child(e, RPC_E_OOM, why);
	} else if (stuck) {
		lose_child(e, code, stuck);
	} else if (oldest != INT64_MAX && now - oldest >= patience) {
		lose_child(e, RPC_E_CRASHED, "the executor process does not stop a request");
	} else if (!e->ready && now - e->started_ms > START_MS) {
		lose_child(e, RPC_E_CRASHED, "the executor process does not come up");
	}
}

static int wait_ms(struct exec *e)
{
	if (e->pid == 0) {
		int64_t left = e->start_at_ms - clock_mono_ms();
		return left < 0 ? 0 : (int)left;
	}
	(void)pthread_mutex_lock(&e->lock);
	bool busy = e->calls || !e->ready;
	(void)pthread_mutex_unlock(&e->lock);
	return busy ? TICK_MS : IDLE_MS;
}

static bool closing(struct exec *e)
{
	(void)pthread_mutex_lock(&e->lock);
	bool is = e->closing;
	(void)pthread_mutex_unlock(&e->lock);
	return is;
}

void *exec_supervise(void *exec)
{
	struct exec *e = exec;
	int64_t watched = 0;
	while (!closing(e)) {
		if (e->pid == 0 && clock_mono_ms() >= e->start_at_ms)
			start_child(e);
		struct pollfd p[] = { { e->wake_fd, POLLIN, 0 }, { e->fd, POLLIN, 0 } };
		if (poll(p, e->pid ? 2 : 1, wait_ms(e)) < 0 && errno != EINTR)
			clock_sleep_ms(TICK_MS);
		uint64_t ignored = 0;
		if (p[0].revents && read(e->wake_fd, &ignored, sizeof(ignored)) < 0)
			log_debug("group=%s spurious wake", e->group);
		if (e->pid && p[1].revents && !read_child(e))
			lose_child(e, RPC_E_CRASHED,
			           e->refusal ? e->refusal : "the executor process died");
		free(e->refusal);
		e->refusal = NULL;
		if (e->pid && clock_mono_ms() - watched >= TICK_MS / 2) {
			watch_child(e);
			watched = clock_mono_ms();
		}
	}
	if (e->pid)
		lose_child(e, RPC_E_CANCELLED, "the executor is closed");
	return NULL;
}

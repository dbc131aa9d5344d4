#include "engine/duck/serve.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "engine/duck/parse.h"
#include "engine/duck/sandbox.h"
#include "engine/duck/task.h"
#include "engine/exec/exec.h"
#include "engine/exec/frame.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { QUEUE_MAX = 4096, CONCURRENCY_MAX = 256, INTERRUPT_MS = 20, PARSE_CPU_S = 20 };

struct job {
	int64_t id;
	json_t *request;
	struct duck_task task;
	bool running;
	struct job *next;
};

struct server {
	struct duck *duck;
	int fd;
	pthread_mutex_t lock, write_lock;
	pthread_cond_t work;
	struct job *jobs; /* waiting and running, oldest first */
	size_t n_jobs;
	bool closing;
};

static int send_frame(struct server *s, struct buf *frame, struct err *err)
{
	(void)pthread_mutex_lock(&s->write_lock);
	int rc = fd_write_all(s->fd, frame->p, frame->len, err);
	(void)pthread_mutex_unlock(&s->write_lock);
	return rc;
}

static int reply(struct server *s, int64_t id, json_t *j /* stolen */, struct err *err)
{
	(void)json_object_set_new(j, "id", json_integer((json_int_t)id));
	_cleanup_buf_ struct buf frame = BUF_INIT(EXEC_MESSAGE_MAX + 64);
	int rc = exec_frame_add(&frame, j, err);
	if (rc < 0) {
		json_t *refusal = duck_refusal(err);
		(void)json_object_set_new(refusal, "id", json_integer((json_int_t)id));
		buf_reset(&frame);
		rc = exec_frame_add(&frame, refusal, err);
		json_decref(refusal);
	}
	json_decref(j);
	return rc < 0 ? rc : send_frame(s, &frame, err);
}

/* Folders that statements may use: those for reading, those for writing, the one for spilling. */
static json_t *all_dirs(const json_t *open, json_t *write_dirs)
{
	json_t *all = json_deep_copy(write_dirs);
	(void)json_array_extend(all, json_object_get(open, "read_dirs"));
	return all;
}

static int open_duck(const json_t *open, bool parser, bool sandbox, struct duck **ret,
                     int *ret_landlock, struct err *err)
{
	static const int64_t slack = 1024LL * 1024 * 1024;
	const char *temp = data_get_str(open, "temp_dir");
	_cleanup_json_ json_t *write_dirs = json_array();
	(void)json_array_extend(write_dirs, json_object_get(open, "write_dirs"));
	if (temp)
		(void)json_array_append_new(write_dirs, json_string(temp));
	_cleanup_json_ json_t *dirs = all_dirs(open, write_dirs);
	struct duck_config config = {
		.memory_limit = data_get_int(open, "memory_limit", 256 << 20),
		.temp_limit = data_get_int(open, "temp_limit", 0),
		.threads = (int)data_get_int(open, "threads", 1),
		.group = data_get_str(open, "group"),
		.temp_dir = temp,
		.dirs = dirs,
	};
	struct duck_sandbox box = { json_object_get(open, "read_dirs"), write_dirs,
		                    data_get_int(open, "rss_limit", 0) + slack, parser };
	/* Threads inherit the walls, so these come before DuckDB starts its own. */
	int rc = sandbox ? duck_sandbox_enter(&box, ret_landlock, err) : 0;
	return rc < 0 ? rc : duck_open(&config, ret, err);
}

/* The first message configures; *ret_concurrency from it. */
static int begin(struct server *s, bool parser, bool sandbox, int *ret_concurrency, struct err *err)
{
	_cleanup_json_ json_t *open = NULL;
	int rc = exec_frame_read(s->fd, &open, err);
	if (rc != 0)
		return rc;
	const char *op = data_get_str(open, "op");
	if (!op || strcmp(op, "open") != 0)
		return err_set(err, -EBADMSG, "the first message must be open");
	int64_t concurrency = data_get_int(open, "concurrency", 1);
	if (concurrency < 1 || concurrency > CONCURRENCY_MAX)
		return err_set(err, -EINVAL, "concurrency: 1 to %d", CONCURRENCY_MAX);
	*ret_concurrency = (int)concurrency;
	int abi = 0;
	rc = open_duck(open, parser, sandbox, &s->duck, &abi, err);
	if (rc < 0)
		return rc;
	return reply(s, data_get_int(open, "id", 0),
	             json_pack("{s:b, s:i}", "ok", 1, "landlock", abi), err);
}

int duck_serve_parser(int fd, bool sandbox, struct err *err)
{
	struct server s = { .fd = fd };
	(void)pthread_mutex_init(&s.write_lock, NULL);
	int ignored = 0;
	int rc = begin(&s, true, sandbox, &ignored, err);
	while (rc == 0) {
		_cleanup_json_ json_t *request = NULL;
		rc = exec_frame_read(fd, &request, err);
		if (rc != 0)
			break;
		if (sandbox)
			duck_sandbox_cpu(PARSE_CPU_S);
		_cleanup_buf_ struct buf text = BUF_INIT(EXEC_MESSAGE_MAX),
					 frame = BUF_INIT(EXEC_MESSAGE_MAX + 64);
		duck_parse(s.duck, request, &text);
		rc = exec_frame_add_text(&frame, buf_cstr(&text), text.len, err);
		if (rc == 0)
			rc = send_frame(&s, &frame, err);
	}
	duck_close(s.duck);
	(void)pthread_mutex_destroy(&s.write_lock);
	return rc == EXEC_FRAME_END ? 0 : rc;
}

static struct job *next_waiting(struct server *s)
{
	struct job *j = s->jobs;
	while (j && j->running)
		j = j->next;
	return j;
}

static void remove_job(struct server *s, struct job *job)
{
	struct job **at = &s->jobs;
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	s->n_jobs--;
}

static void run_job(struct server *s, struct job *job)
{
	json_t *j = duck_task_run(s->duck, &job->task, job->request);
	(void)pthread_mutex_lock(&s->lock);
	remove_job(s, job); /* nobody cancels it from here on */
	(void)pthread_mutex_unlock(&s->lock);
	duck_task_close(&job->task);
	struct err err = ERR_INIT;
	if (reply(s, job->id, j, &err) < 0)
		log_warn("reply lost: %s", err.msg);
	json_decref(job->request);
	free(job);
	if (atomic_load(&s->duck->broken)) {
		log_error("DuckDB is beyond use; a new executor will follow");
		_exit(70);
	}
}

static void *worker(void *arg)
{
	struct server *s = arg;
	(void)pthread_mutex_lock(&s->lock);
	for (;;) {
		struct job *job = next_waiting(s);
		if (job) {
			job->running = true;
			(void)pthread_mutex_unlock(&s->lock);
			run_job(s, job);
			(void)pthread_mutex_lock(&s->lock);
		} else if (s->closing) {
			break;
		} else {
			(void)pthread_cond_wait(&s->work, &s->lock);
		}
	}
	(void)pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Whether one of the jobs is still to be interrupted; interrupts them: an interrupt is lost between statements. */
static bool interrupt_cancelled(struct server *s)
{
	bool any = false;
	(void)pthread_mutex_lock(&s->lock);
	for (struct job *j = s->jobs; j; j = j->next)
		if (atomic_load(&j->task.session.cancelled)) {
			duck_task_cancel(&j->task);
			any = true;
		}
	(void)pthread_mutex_unlock(&s->lock);
	return any;
}

static void cancel(struct server *s, int64_t id)
{
	(void)pthread_mutex_lock(&s->lock);
	for (struct job *j = s->jobs; j; j = j->next)
		if (j->id == id || id < 0)
			duck_task_cancel(&j->task);
	(void)pthread_mutex_unlock(&s->lock);
}

static int enqueue(struct server *s, int64_t id, json_t *request /* stolen */, struct err *err)
{
	struct job *job = xcalloc(1, sizeof(*job));
	job->id = id;
	job->request = request;
	(void)pthread_mutex_lock(&s->lock);
	struct job **at = &s->jobs;
	while (*at)
		at = &(*at)->next;
	bool full = s->n_jobs >= QUEUE_MAX;
	if (!full) {
		*at = job;
		s->n_jobs++;
		(void)pthread_cond_signal(&s->work);
	}
	(void)pthread_mutex_unlock(&s->lock);
	if (!full)
		return 0;
	json_decref(job->request);
	free(job);
	struct err why = ERR_INIT;
	(void)err_set(&why, -EBUSY, "executor has %d tasks waiting", QUEUE_MAX);
	return reply(s, id, duck_refusal(&why), err);
}

static int dispatch(struct server *s, json_t *request /* stolen */, struct err *err)
{
	const char *op = data_get_str(request, "op");
	int64_t id = data_get_int(request, "id", 0);
	struct err why = ERR_INIT;
	if (op && strcmp(op, "run") == 0)
		return enqueue(s, id, request, err);
	int rc = 0;
	if (op && strcmp(op, "cancel") == 0) {
		cancel(s, data_get_int(request, "target", 0));
	} else if (op && strcmp(op, "limits") == 0) {
		int64_t bytes = data_get_int(request, "memory_limit", 0);
		int set = duck_set_memory(s->duck, bytes, &why);
		rc = reply(s, id, set < 0 ? duck_refusal(&why) : json_pack("{s:b}", "ok", 1), err);
	} else {
		(void)err_set(&why, -EIO, "op is not run, cancel or limits");
		rc = reply(s, id, duck_refusal(&why), err);
	}
	json_decref(request);
	return rc;
}

static int read_requests(struct server *s, struct err *err)
{
	for (;;) {
		bool interrupting = interrupt_cancelled(s);
		struct pollfd p = { .fd = s->fd, .events = POLLIN, .revents = 0 };
		int n = poll(&p, 1, interrupting ? INTERRUPT_MS : -1);
		if (n == 0 || (n < 0 && errno == EINTR))
			continue;
		json_t *request = NULL;
		int rc = exec_frame_read(s->fd, &request, err);
		if (rc == 0)
			rc = dispatch(s, request, err);
		if (rc != 0)
			return rc;
	}
}

int duck_serve_executor(int fd, bool sandbox, struct err *err)
{
	struct server s = { .fd = fd };
	(void)pthread_mutex_init(&s.lock, NULL);
	(void)pthread_mutex_init(&s.write_lock, NULL);
	(void)pthread_cond_init(&s.work, NULL);
	int concurrency = 0, started = 0;
	int rc = begin(&s, false, sandbox, &concurrency, err);
	pthread_t threads[CONCURRENCY_MAX];
	for (; rc == 0 && started < concurrency; started++)
		if (pthread_create(&threads[started], NULL, worker, &s) != 0) {
			rc = err_set(err, -EAGAIN, "cannot start threads");
			break;
		}
	if (rc == 0)
		rc = read_requests(&s, err);
	(void)pthread_mutex_lock(&s.lock);
	s.closing = true;
	(void)pthread_cond_broadcast(&s.work);
	(void)pthread_mutex_unlock(&s.lock);
	cancel(&s, -1);
	while (interrupt_cancelled(&s))
		clock_sleep_ms(INTERRUPT_MS);
	for (int i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	duck_close(s.duck);
	return rc == EXEC_FRAME_END ? 0 : rc;
}

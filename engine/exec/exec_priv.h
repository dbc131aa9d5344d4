/* Inside engine/exec only: the state that callers and the supervising thread share. */
#ifndef ROOST_ENGINE_EXEC_EXEC_PRIV_H
#define ROOST_ENGINE_EXEC_EXEC_PRIV_H

#include <pthread.h>

#include "engine/exec/exec.h"
#include "lib/base/buf.h"

/* One request in the child. Its caller frees it, or the supervisor when the caller has gone away. */
struct exec_call {
	int64_t id;
	json_t *reply; /* set once, under the lock */
	bool alone, abandoned;
	int64_t abandoned_ms;
	pthread_cond_t done;
	struct exec_call *next;
};

/* What the child has worked for one request, as its supervisor saw it. */
struct exec_use {
	int64_t id;
	int64_t from_ms; /* processor time of the child when the request was first seen */
	int64_t cpu_ms;  /* and at the last look that found it moved */
	int64_t moved_ms;
};

struct exec {
	/* Set by open. */
	enum exec_mode mode;
	char *group, *program, *temp_dir;
	json_t *open_message;
	int64_t memory_limit, rss_limit;
	int concurrency;
	int wake_fd; /* eventfd */
	pthread_t thread;

	pthread_mutex_t write_lock; /* around writes to fd; taken before lock, never after */

	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t turn, gone;
	bool closing, ready;
	int fd; /* -1 while there is no child; closed by the supervisor under both locks */
	pid_t pid;
	struct exec_call *calls;
	int64_t last_id;
	int users, waiting, waiting_alone;
	bool alone;     /* the one call that runs wants no other beside it */
	int bad_starts; /* in a row, up to now; why_down: what the last one failed of */
	char *why_down;
	struct exec_stats stats;

	/* The supervising thread's own. */
	struct buf in;
	int64_t started_ms, start_at_ms, pause_ms;
	struct exec_use use; /* of a parser */
	char *refusal;       /* what the child said instead of coming up */
};

/* child.c */
char *exec_child_program(void);
/* A connected socket to a new child; -errno. */
int exec_child_spawn(const char *program, enum exec_mode mode, pid_t *ret_pid, int *ret_fd,
                     struct err *err);
/* All of it by the deadline; without SIGPIPE when the child is gone. */
int exec_child_send(int fd, const void *data, size_t len, struct deadline by, struct err *err);
/* Kills and reaps; what it died of, in words. */
void exec_child_end(pid_t pid, char *text, size_t size);
/* Bytes of its own that are resident; 0 when unknown. */
int64_t exec_child_rss(pid_t pid);
/* Processor time that it has used; -1 when unknown. */
int64_t exec_child_cpu_ms(pid_t pid);

/* supervise.c */
void *exec_supervise(void *exec);
void exec_wake(struct exec *e);

/* {"ok":false,"error":{"code","message"}} */
json_t *exec_failure(const char *code, const char *message);

#endif

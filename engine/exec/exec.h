/* Executor processes: spawns, watches and talks to roost-duck, the only program that links DuckDB.
 *
 * A struct exec is one child at a time: an executor of tasks (one per resource group) or the FE's parser. It
 * is started at once, restarted with a growing pause when it dies, and killed when its resident memory passes
 * the limit; the requests that it was running then fail by name, and never their caller's process.
 * Thread: exec_run() and the parser calls from any number of threads; open and close by one. Each exec has
 * one thread of its own. Ownership: config is copied. Limits: EXEC_MESSAGE_MAX bytes a message, `concurrency`
 * requests at once (others wait their turn until their deadline), every call a deadline. */
#ifndef ROOST_ENGINE_EXEC_EXEC_H
#define ROOST_ENGINE_EXEC_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"

enum { EXEC_MESSAGE_MAX = 64 * 1024 * 1024 };

enum exec_mode { EXEC_TASKS, EXEC_PARSER };

struct exec_config {
	enum exec_mode mode;
	const char *group;   /* resource group, for logs; NULL is "default_wg" (or "parser") */
	const char *program; /* NULL: $ROOST_DUCK, else roost-duck beside this program's own file */
	int64_t memory_limit; /* bytes for DuckDB; 0 is 256 MB */
	int64_t rss_limit;    /* bytes resident that kill it; 0 is 1.5 memory_limit + 256 MB */
	int threads;          /* of DuckDB; 0 is one per processor */
	int concurrency;      /* requests at once; 0 is 8 (1 for a parser) */
	const char *temp_dir; /* spill folder, made if missing; NULL: no spilling */
	int64_t temp_limit;   /* bytes of spill; 0 is 10 GB */
	const char *const *read_dirs; /* NULL-terminated: folders that inputs lie in */
	const char *const
		*write_dirs; /* NULL-terminated: folders that outputs go to (and inputs lie in) */
};

struct exec;
/* 0 also when the first start fails: that is retried; only a wrong config fails (no such program or folder). */
int exec_open(const struct exec_config *config, struct exec **ret, struct err *err);
void exec_close(
	struct exec *e); /* fails what still runs, kills and reaps the child; NULL is fine */

/* EXEC_FAILED: *ret_reply is {"ok":false,"error":{"code":RPC_E_…,"message":text}}; RPC_E_CRASHED and RPC_E_OOM
 * for a child that died, RPC_E_TIMEOUT, RPC_E_CANCELLED when should_stop (may be NULL; asked each 20 ms or so
 * with a lock held: it must not call this room) said true. Negative: this process' own trouble (a request that is too large). */
enum { EXEC_FAILED = 1 };
/* One request of request.h ("op":"run" …) without "id"; request is stolen, reply is owned. */
int exec_run(struct exec *e, json_t *request, struct deadline by, bool (*should_stop)(void *),
             void *arg, json_t **ret_reply, struct err *err);

/* The parser's calls; -EINVAL is the statement's fault, with the parser's message for the user; others
 * (-ETIMEDOUT, -EPIPE when the statement killed the child, …) are not. A statement that the child has worked on for
 * EXEC_PARSE_CPU_MS of processor time ends with the child; the wait for a turn and on a busy machine ends with
 * EXEC_PARSE_MS. */
enum { EXEC_PARSE_CPU_MS = 5000, EXEC_PARSE_MS = 60000 };
/* *ret_ast: json_serialize_sql()'s object {"error":false,"statements":[…]}. */
int exec_parse(struct exec *e, const char *sql, json_t **ret_ast, struct err *err);
/* The way back: ast (borrowed) is such an object, or one statement of it. */
int exec_deparse(struct exec *e, const json_t *ast, char **ret_sql, struct err *err);
/* Output columns [{"name","type"}…] of sql over empty tables: ddl (borrowed, may be NULL) is
 * [{"table":name,"schema":name?,"columns":[{"name","type"}…]}…]. */
int exec_types(struct exec *e, const json_t *ddl, const char *sql, json_t **ret_columns,
               struct err *err);

struct exec_stats {
	pid_t pid;               /* 0 while there is none */
	int running;             /* requests in the child */
	int waiting;             /* requests that wait for a turn */
	uint64_t started;        /* children, ever */
	uint64_t crashes, kills; /* of them: died by themselves, killed for memory */
	int64_t rss, memory_limit;
};
void exec_stats(struct exec *e, struct exec_stats *ret);

DEFINE_CLEANUP(struct exec, exec_close)

#endif

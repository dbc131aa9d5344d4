/* One task: its inputs as views of its own connection, its fragment, its output, its answer.
 *
 * Thread: one task, one thread; duck_task_cancel() from another while the caller holds the task alive. Messages:
 * engine/exec/request.h. Nothing of a task survives duck_task_close() but the files that it wrote. */
#ifndef ROOST_ENGINE_DUCK_TASK_H
#define ROOST_ENGINE_DUCK_TASK_H

#include "engine/duck/attach.h"
#include "engine/duck/db.h"
#include "engine/duck/types.h"
#include "lib/base/vec.h"

struct duck_task {
	struct duck_session session;
	VEC(struct duck_attached *) attached;
	VEC(char *) tokens; /* of duck_scan_add() */
	char *fragment;     /* SQL */
	json_t *load;       /* counts of a load, for the answer */
	uint64_t input_bytes;
};

/* t must be zeroed; the answer is {"ok":…} without an id, always one. */
json_t *duck_task_run(struct duck *d, struct duck_task *t, const json_t *request);
void duck_task_cancel(struct duck_task *t); /* again and again until the answer is there */
void duck_task_close(struct duck_task *t);

/* {"ok":false,"error":{"code","message"}} */
json_t *duck_refusal(const struct err *err);

/* Inside the room. CREATE TEMP VIEW name AS select. */
int duck_task_view(struct duck_task *t, const char *name, const char *select, struct err *err);
/* The SQL text of a tree of one SELECT. */
int duck_task_sql(struct duck_task *t, const json_t *ast, char **ret, struct err *err);

#endif

/* Inside engine/duck: a task's rows to where they go, and what the answer says of them.
 *
 * Thread: the task's. Each adds rows, bytes and its own lists to reply. */
#ifndef ROOST_ENGINE_DUCK_OUTPUT_H
#define ROOST_ENGINE_DUCK_OUTPUT_H

#include "engine/duck/task.h"

int duck_output_exchange(struct duck_task *t, const json_t *output, json_t *reply, struct err *err);
int duck_output_tablets(struct duck_task *t, const json_t *output, json_t *reply, struct err *err);
int duck_output_objects(struct duck_task *t, const json_t *output, json_t *reply, struct err *err);

#endif

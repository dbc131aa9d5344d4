/* Inside engine/duck: the inputs of a task become views with the names that its fragment uses.
 *
 * Thread: the task's. */
#ifndef ROOST_ENGINE_DUCK_INPUT_H
#define ROOST_ENGINE_DUCK_INPUT_H

#include "engine/duck/task.h"

int duck_input(struct duck_task *t, const json_t *input, struct err *err);
/* kind "file": reads it into a temporary table, counts and holds back the bad rows (t->load). */
int duck_input_file(struct duck_task *t, const json_t *input, const struct duck_columns *columns,
                    struct err *err);

#endif

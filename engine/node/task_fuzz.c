#include <stddef.h>
#include <stdint.h>

#include "engine/node/task.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A task that is accepted has ids that are safe as file names and lists where lists are walked. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct store_attempt a;
	struct node_task task;
	_cleanup_json_ json_t *message = NULL;
	if (node_attempt_parse(text, &a, NULL) == 0 && !store_id_valid(a.query))
		abort();
	if (data_json_parse(text, &message, NULL) < 0)
		return 0;
	if (node_task_decode(message, &task, NULL) < 0)
		return 0;
	if (!store_id_valid(task.id.query) || !json_is_array(task.inputs) ||
	    !json_is_object(task.output))
		abort();
	node_task_free(&task);
	return 0;
}

/* Any JSON as a recorded world: a step ends in a plan or in words, never in a crash. */
#include "lib/data/json.h"
#include "operator/reconcile/step.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *world = NULL, *plan = NULL;
	struct render_options options = { .volume_hash = true };
	struct err err = ERR_INIT;
	static bool ready;
	ready = ready || render_init(&err) == 0;
	if (!ready || data_json_parse((struct str){ (const char *)data, size }, &world, &err) < 0)
		return 0;
	reconcile_step(world, &options, &plan, &err);
	return 0;
}

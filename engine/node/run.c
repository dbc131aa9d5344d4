/* A task from its inputs to its answer. */
#include <errno.h>
#include <string.h>

#include "engine/node/node_priv.h"
#include "lib/data/json.h"

int node_run_exec(struct node_ctx *c, json_t *request, json_t **ret_reply)
{
	struct err err = ERR_INIT;
	int rc = exec_run(c->node->exec, request, c->by, c->should_stop, c->arg, ret_reply, &err);
	if (rc < 0)
		return node_ctx_fail_err(c, &err);
	if (rc == EXEC_FAILED) {
		(void)pthread_mutex_lock(c->fail_lock);
		(void)node_fail_json(c->fail, *ret_reply, "the executor");
		(void)pthread_mutex_unlock(c->fail_lock);
		return -1;
	}
	return 0;
}

/* What the answer takes over from the executor's reply. */
static json_t *answer_of(const json_t *reply)
{
	static const char *const keys[] = { "rows", "bytes", "partitions", "columns", "stats" };
	json_t *answer = json_pack("{s:i}", "v", RPC_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		json_t *value = json_object_get(reply, keys[i]);
		if (value)
			(void)json_object_set(answer, keys[i], value);
	}
	return answer;
}

static int run_with_inputs(struct node_ctx *c, const struct node_task *task, json_t *inputs,
                           char **ret_text)
{
	_cleanup_json_ json_t *reply = NULL;
	_cleanup_json_ json_t *answer = NULL;
	json_t *request = json_pack("{s:s, s:O, s:O*, s:o, s:o, s:b}", "op", "run", "ast",
	                            json_object_get(task->body, "ast"), "settings",
	                            json_object_get(task->body, "settings"), "inputs", inputs,
	                            "output", node_sink_request(c, task->output), "alone",
	                            (int)data_get_bool(task->body, "alone", false));
	if (node_run_exec(c, request, &reply) < 0)
		return -1;
	answer = answer_of(reply);
	if (node_sink_finish(c, task->output, reply, answer) < 0)
		return -1;
	*ret_text = data_json_text(answer);
	return 0;
}

int node_run_task(struct node_ctx *c, const struct node_task *task, char **ret_text)
{
	struct node_inputs *held = NULL;
	json_t *inputs = NULL;
	int rc = node_fetch(c, task->inputs, &inputs, &held);
	if (rc == 0)
		rc = run_with_inputs(c, task, inputs, ret_text);
	node_inputs_free(c, held);
	return rc;
}

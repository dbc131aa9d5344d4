#include "engine/meta/state.h"

#include <errno.h>

#include "lib/data/json.h"

typedef int (*apply_fn)(struct meta_state *s, const json_t *p, json_t **ret_result,
                        struct err *err);
static const struct {
	const char *name;
	apply_fn apply;
} commands[META_COMMAND_COUNT] = {
#define X(NAME, name) [META_##NAME] = { #name, meta_apply_##name },
	META_COMMANDS(X)
#undef X
};

const char *meta_command_name(enum meta_command command)
{
	return commands[command].name;
}

int meta_apply(struct meta_state *s, const json_t *command, json_t **ret_result, struct err *err)
{
	const char *name = data_get_str(command, "c");
	const json_t *p = json_object_get(command, "p");
	for (size_t i = 0; name && json_is_object(p) && i < META_COMMAND_COUNT; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].apply(s, p, ret_result, err);
	return err_set(err, -EBADMSG, "the command %.64s is not known to this version",
	               name ? name : "?");
}

int meta_apply_record(struct meta_state *s, struct str bytes, struct err *err)
{
	_cleanup_json_ json_t *command = NULL;
	_cleanup_json_ json_t *result = NULL;
	int rc = data_json_parse(bytes, &command, err);
	if (rc == 0)
		rc = meta_apply(s, command, &result, err);
	/* A refusal was a refusal when it was submitted, too: the state has not changed. */
	return rc == -EBADMSG || rc == -EINVAL ? rc : 0;
}

#include <errno.h>

#include "engine/exec/exec.h"
#include "engine/rpc.h"
#include "lib/data/json.h"

static int fail(const json_t *reply, struct err *err)
{
	static const struct {
		const char *rpc;
		int code;
	} codes[] = {
		{ RPC_E_SQL, -EINVAL }, { RPC_E_TIMEOUT, -ETIMEDOUT },   { RPC_E_CRASHED, -EPIPE },
		{ RPC_E_OOM, -ENOMEM }, { RPC_E_CANCELLED, -ECANCELED },
	};
	const char *code = data_get_str(reply, "error.code");
	const char *message = data_get_str(reply, "error.message");
	if (!message)
		message = "the parser gave no reason";
	for (size_t i = 0; code && i < ARRAY_LEN(codes); i++)
		if (strcmp(code, codes[i].rpc) == 0)
			return err_set(err, codes[i].code, "%s", message);
	return err_set(err, -EIO, "%s", message);
}

/* One member of the reply, a new reference. */
static int ask(struct exec *e, json_t *request /* stolen */, const char *member, json_t **ret,
               struct err *err)
{
	if (!request)
		return err_set(err, -EINVAL, "statement is not UTF-8");
	struct deadline by = deadline_in(EXEC_PARSE_MS);
	_cleanup_json_ json_t *again = json_incref(request), *reply = NULL;
	int rc = exec_run(e, request, by, NULL, NULL, &reply, err);
	/* Once more: the child may have died of something else between two statements, or of the memory that those before
	 * this one left behind. */
	const char *code = data_get_str(reply, "error.code");
	if (rc == EXEC_FAILED && code &&
	    (strcmp(code, RPC_E_CRASHED) == 0 || strcmp(code, RPC_E_OOM) == 0)) {
		json_decref(reply);
		reply = NULL;
		rc = exec_run(e, json_incref(again), by, NULL, NULL, &reply, err);
	}
	if (rc < 0)
		return rc;
	json_t *value = json_object_get(reply, member);
	if (rc == EXEC_FAILED)
		return fail(reply, err);
	if (!value)
		return err_set(err, -EIO, "the parser's answer lacks %s", member);
	*ret = json_incref(value);
	return 0;
}

int exec_parse(struct exec *e, const char *sql, json_t **ret_ast, struct err *err)
{
	return ask(e, json_pack("{s:s, s:s}", "op", "serialize", "sql", sql), "ast", ret_ast, err);
}

int exec_deparse(struct exec *e, const json_t *ast, char **ret_sql, struct err *err)
{
	json_t *tree = json_deep_copy(ast);
	if (!json_object_get(tree, "statements"))
		tree = json_pack("{s:b, s:[o]}", "error", 0, "statements", tree);
	_cleanup_json_ json_t *sql = NULL;
	int rc =
		ask(e, json_pack("{s:s, s:o}", "op", "deserialize", "ast", tree), "sql", &sql, err);
	if (rc == 0)
		*ret_sql = xstrdup(json_string_value(sql) ? json_string_value(sql) : "");
	return rc;
}

int exec_types(struct exec *e, const json_t *ddl, const char *sql, json_t **ret_columns,
               struct err *err)
{
	json_t *tables = ddl ? json_deep_copy(ddl) : json_array();
	return ask(e, json_pack("{s:s, s:o, s:s}", "op", "types", "ddl", tables, "sql", sql),
	           "columns", ret_columns, err);
}

#include "engine/duck/task.h"

#include <errno.h>
#include <sys/resource.h>

#include "engine/duck/input.h"
#include "engine/duck/output.h"
#include "engine/duck/scan.h"
#include "lib/base/clock.h"
#include "lib/data/json.h"

json_t *duck_refusal(const struct err *err)
{
	json_t *message = json_string(err->msg); /* NULL when the cut went through a character */
	if (!message)
		message = json_string_nocheck("statement failed");
	return json_pack("{s:b, s:{s:s, s:o}}", "ok", 0, "error", "code", duck_rpc_code(err->code),
	                 "message", message);
}

int duck_task_view(struct duck_task *t, const char *name, const char *select, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "CREATE TEMP VIEW ");
	duck_ident(&sql, name);
	(void)buf_addf(&sql, " AS %s", select);
	if (sql.overflow)
		return err_set(err, -E2BIG, "input %s is too large", name);
	int rc = duck_run(&t->session, buf_cstr(&sql), err);
	return rc < 0 ? err_wrap(err, "input %s", name) : 0;
}

int duck_task_sql(struct duck_task *t, const json_t *ast, char **ret, struct err *err)
{
	if (json_array_size(data_get(ast, "statements")) != 1)
		return err_set(err, -EINVAL, "ast: exactly one statement is wanted");
	autofree char *text = json_dumps(ast, JSON_COMPACT);
	if (!text)
		return err_set(err, -EINVAL, "ast: not JSON");
	int rc = duck_call(&t->session, "SELECT json_deserialize_sql(CAST($1 AS JSON))", text, ret,
	                   err);
	if (rc == 0 && !*ret)
		rc = err_set(err, -EINVAL, "ast: no statement");
	return rc < 0 ? err_wrap(err, "ast") : 0;
}

static int fragment(struct duck_task *t, const json_t *request, struct err *err)
{
	const json_t *ast = data_get(request, "ast"), *inputs = data_get(request, "inputs");
	if (ast && !json_is_null(ast))
		return duck_task_sql(t, ast, &t->fragment, err);
	const char *name = data_get_str(request, "inputs.0.name");
	if (json_array_size(inputs) != 1 || !name)
		return err_set(err, -EINVAL, "without an ast exactly one input is wanted");
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "SELECT * FROM ");
	duck_ident(&sql, name);
	t->fragment = buf_take(&sql);
	return 0;
}

static int settings(struct duck_task *t, const json_t *request, struct err *err)
{
	const char *name = NULL;
	json_t *value = NULL;
	json_object_foreach(data_get(request, "settings"), name, value)
	{
		if (strcmp(name, "disabled_optimizers") != 0 || !json_is_string(value))
			return err_set(err, -EINVAL,
			               "settings: only disabled_optimizers is known, not %s", name);
		t->session.optimizers = json_string_value(value);
	}
	return 0;
}

static int inputs(struct duck_task *t, const json_t *request, struct err *err)
{
	size_t i = 0;
	json_t *input = NULL;
	json_array_foreach(data_get(request, "inputs"), i, input)
	{
		int rc = duck_input(t, input, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int output(struct duck_task *t, const json_t *request, json_t *reply, struct err *err)
{
	static const struct {
		const char *kind;
		int (*write)(struct duck_task *t, const json_t *output, json_t *reply,
		             struct err *err);
	} kinds[] = {
		{ "exchange", duck_output_exchange },
		{ "tablets", duck_output_tablets },
		{ "objects", duck_output_objects },
	};
	const json_t *to = data_get(request, "output");
	const char *kind = data_get_str(to, "kind");
	for (size_t i = 0; kind && i < ARRAY_LEN(kinds); i++)
		if (strcmp(kind, kinds[i].kind) == 0)
			return kinds[i].write(t, to, reply, err);
	return err_set(err, -EINVAL, "output.kind: exchange, tablets or objects is wanted");
}

static int64_t cpu_ms(void)
{
	struct rusage u;
	if (getrusage(RUSAGE_SELF, &u) < 0)
		return 0;
	return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 +
	       (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
}

static int64_t peak_memory(void)
{
	struct rusage u;
	return getrusage(RUSAGE_SELF, &u) < 0 ? 0 : u.ru_maxrss * 1024;
}

json_t *duck_task_run(struct duck *d, struct duck_task *t, const json_t *request)
{
	struct err err = ERR_INIT;
	int64_t began = clock_mono_ms(), cpu = cpu_ms();
	_cleanup_json_ json_t *reply = json_pack("{s:b}", "ok", 1);
	int rc = duck_session_open(d, &t->session, &err);
	if (rc == 0)
		rc = settings(t, request, &err);
	if (rc == 0)
		rc = inputs(t, request, &err);
	if (rc == 0)
		rc = fragment(t, request, &err);
	if (rc == 0)
		rc = output(t, request, reply, &err);
	/* An interrupt may surface as another failure. */
	if (rc < 0 && atomic_load(&t->session.cancelled))
		(void)err_set(&err, -ECANCELED, "cancelled");
	if (rc < 0) {
		json_decref(reply);
		reply = duck_refusal(&err);
	}
	(void)json_object_set_new(
		reply, "stats",
		json_pack("{s:I, s:I, s:I, s:I}", "wall_ms", (json_int_t)(clock_mono_ms() - began),
	                  "cpu_ms", (json_int_t)(cpu_ms() - cpu), "peak_mem",
	                  (json_int_t)peak_memory(), "input_bytes", (json_int_t)t->input_bytes));
	if (t->load)
		(void)json_object_set(reply, "load", t->load);
	return TAKE_PTR(reply);
}

void duck_task_cancel(struct duck_task *t)
{
	atomic_store(&t->session.cancelled, true);
	if (atomic_load(&t->session.open))
		duckdb_interrupt(t->session.con);
}

void duck_task_close(struct duck_task *t)
{
	for (size_t i = 0; i < t->attached.n; i++)
		duck_attach_drop(&t->session, t->attached.v[i]);
	vec_free(&t->attached);
	duck_session_close(&t->session);
	for (size_t i = 0; i < t->tokens.n; i++) {
		duck_scan_drop(t->tokens.v[i]);
		free(t->tokens.v[i]);
	}
	vec_free(&t->tokens);
	free(t->fragment);
	json_decref(t->load);
	t->load = NULL;
	t->fragment = NULL;
}

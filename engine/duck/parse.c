#include "engine/duck/parse.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/duck/task.h"
#include "engine/duck/types.h"
#include "engine/exec/exec.h"
#include "engine/rpc.h"
#include "lib/data/json.h"

/* A level of operators is up to three of JSON. Workers read messages of 512 levels (lib/data/json.h), and the planner and
 * the message put some around the tree. */
enum { TREE_DEPTH_MAX = JSON_DEPTH_MAX - 32 };

void duck_parse_mend(char *json)
{
	static const char unset[] = "18446744073709551615";
	const size_t len = sizeof(unset) - 1;
	bool text = false;
	char *to = json;
	for (const char *p = json; *p;) {
		if (text && *p == '\\' && p[1]) {
			*to++ = *p++;
		} else if (*p == '"') {
			text = !text;
		} else if (!text && strncmp(p, unset, len) == 0) {
			*to++ = '0';
			p += len;
			continue;
		}
		*to++ = *p++;
	}
	*to = '\0';
}

static void answer(struct buf *out, const json_t *request, json_t *reply /* stolen */)
{
	json_t *id = json_object_get(request, "id");
	if (id)
		(void)json_object_set(reply, "id", id);
	autofree char *text = json_dumps(reply, JSON_COMPACT);
	json_decref(reply);
	(void)buf_adds(out, text ? text : "{\"ok\":false}");
}

static void refuse(struct buf *out, const json_t *request, const struct err *err, int64_t position)
{
	json_t *reply = duck_refusal(err);
	(void)json_object_set_new(json_object_get(reply, "error"), "position",
	                          json_integer((json_int_t)position));
	answer(out, request, reply);
}

/* DuckDB's {"error":true,"error_message","position"}. */
static void refuse_tree(struct buf *out, const json_t *request, const char *tree)
{
	json_error_t why;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *j = json_loads(tree, 0, &why);
	const char *message = data_get_str(j, "error_message");
	const char *text = data_get_str(j, "position");
	int64_t position = -1;
	if (!text || str_to_i64(str_of(text), &position) < 0)
		position = -1;
	(void)err_set(&err, -EINVAL, "%s", message ? message : "cannot be parsed");
	refuse(out, request, &err, position);
}

/* How deep the tree nests: one that no reader of JSON takes must not leave this process. */
static bool too_deep(const char *json)
{
	int depth = 0;
	bool text = false;
	for (const char *p = json; *p; p++) {
		if (text && *p == '\\' && p[1])
			p++;
		else if (*p == '"')
			text = !text;
		else if (!text && (*p == '{' || *p == '['))
			depth++;
		else if (!text && (*p == '}' || *p == ']'))
			depth--;
		if (depth > TREE_DEPTH_MAX)
			return true;
	}
	return false;
}

static int serialize(struct duck_session *s, const json_t *request, struct buf *out,
                     struct err *err)
{
	static const char failed[] = "{\"error\":true";
	const char *sql = data_get_str(request, "sql");
	if (!sql)
		return err_set(err, -EINVAL, "sql is missing");
	autofree char *tree = NULL;
	int rc = duck_call(s, "SELECT CAST(json_serialize_sql($1) AS VARCHAR)", sql, &tree, err);
	if (rc < 0)
		return rc;
	if (!tree)
		return err_set(err, -EINVAL, "cannot be parsed");
	if (strncmp(tree, failed, sizeof(failed) - 1) == 0) {
		refuse_tree(out, request, tree);
		return 0;
	}
	duck_parse_mend(tree);
	if (too_deep(tree))
		return err_set(err, -EINVAL,
		               "expressions are nested too deeply: more than about %d operators "
		               "inside each other",
		               TREE_DEPTH_MAX / 3);
	if (strlen(tree) + 64 > EXEC_MESSAGE_MAX)
		return err_set(err, -EINVAL, "statement is too large");
	(void)buf_addf(out, "{\"id\":%" PRId64 ",\"ok\":true,\"ast\":%s}",
	               data_get_int(request, "id", 0), tree);
	return 0;
}

static int deserialize(struct duck_session *s, const json_t *request, struct buf *out,
                       struct err *err)
{
	struct duck_task t = { .session.duck = s->duck, .session.con = s->con };
	t.session.optimizers = "";
	autofree char *sql = NULL;
	int rc = duck_task_sql(&t, json_object_get(request, "ast"), &sql, err);
	if (rc == 0)
		answer(out, request, json_pack("{s:b, s:s}", "ok", 1, "sql", sql));
	return rc;
}

static int create_table(struct duck_session *s, const json_t *table, struct err *err)
{
	const char *schema = data_get_str(table, "schema"), *name = data_get_str(table, "table");
	if (!name)
		return err_set(err, -EINVAL, "ddl: a table has no name");
	_cleanup_columns_ struct duck_columns columns = { 0 };
	int rc = duck_columns_parse(json_object_get(table, "columns"), &columns, err);
	if (rc < 0)
		return err_wrap(err, "table %s", name);
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	if (schema) {
		(void)buf_adds(&sql, "CREATE SCHEMA IF NOT EXISTS ");
		duck_ident(&sql, schema);
		rc = duck_run(s, buf_cstr(&sql), err);
		buf_reset(&sql);
	}
	(void)buf_adds(&sql, "CREATE TABLE ");
	if (schema) {
		duck_ident(&sql, schema);
		(void)buf_addc(&sql, '.');
	}
	duck_ident(&sql, name);
	for (size_t i = 0; i < columns.n; i++) {
		(void)buf_adds(&sql, i ? ", " : " (");
		duck_ident(&sql, columns.v[i].name);
		(void)buf_addc(&sql, ' ');
		(void)xchg_type_name(&columns.v[i], &sql);
	}
	(void)buf_addc(&sql, ')');
	return rc < 0 ? rc : duck_run(s, buf_cstr(&sql), err);
}

static int planned_types(struct duck_session *s, const char *sql, json_t **ret, struct err *err)
{
	duckdb_prepared_statement statement = NULL;
	int rc = duck_prepare(s, sql, &statement, err);
	if (rc < 0)
		return rc;
	*ret = json_array();
	idx_t n = duckdb_prepared_statement_column_count(statement);
	for (idx_t i = 0; i < n; i++) {
		const char *name = duckdb_prepared_statement_column_name(statement, i);
		duckdb_logical_type type =
			duckdb_prepared_statement_column_logical_type(statement, i);
		struct xchg_column c = { 0 };
		c.name = xstrdup(name ? name : "");
		(void)duck_type_of(type, &c); /* what is not exchanged travels as VARCHAR */
		(void)json_array_append_new(*ret, duck_column_json(&c));
		free(c.name);
		duckdb_destroy_logical_type(&type);
		duckdb_free((void *)(uintptr_t)name);
	}
	duckdb_destroy_prepare(&statement);
	return 0;
}

static int types(struct duck_session *s, const json_t *request, struct buf *out, struct err *err)
{
	const char *sql = data_get_str(request, "sql");
	if (!sql)
		return err_set(err, -EINVAL, "sql is missing");
	int rc = duck_run(s, "BEGIN TRANSACTION", err);
	size_t i = 0;
	json_t *table = NULL, *columns = NULL;
	json_array_foreach(json_object_get(request, "ddl"), i, table) if (rc == 0) rc =
		create_table(s, table, err);
	if (rc == 0)
		rc = planned_types(s, sql, &columns, err);
	struct err ignored = ERR_INIT; /* the connection ends anyway */
	(void)duck_run(s, "ROLLBACK", &ignored);
	if (rc == 0)
		answer(out, request, json_pack("{s:b, s:o}", "ok", 1, "columns", columns));
	return rc;
}

void duck_parse(struct duck *d, const json_t *request, struct buf *out)
{
	static const struct {
		const char *op;
		int (*run)(struct duck_session *s, const json_t *request, struct buf *out,
		           struct err *err);
	} ops[] = { { "serialize", serialize },
		    { "deserialize", deserialize },
		    { "types", types } };
	const char *op = data_get_str(request, "op");
	struct err err = ERR_INIT;
	int rc = err_set(&err, -EIO, "op %.32s is not serialize, deserialize or types",
	                 op ? op : "?");
	for (size_t i = 0; op && i < ARRAY_LEN(ops); i++) {
		if (strcmp(op, ops[i].op) != 0)
			continue;
		struct duck_session s = { 0 };
		rc = duck_session_open(d, &s, &err);
		if (rc == 0)
			rc = ops[i].run(&s, request, out, &err);
		duck_session_close(&s);
	}
	if (rc < 0)
		refuse(out, request, &err, -1);
}

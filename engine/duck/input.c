#include "engine/duck/input.h"

#include <errno.h>
#include <sys/stat.h>

#include "engine/duck/scan.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* SELECT CAST("name" AS type) AS "name", … */
static void select_list(struct buf *sql, const struct duck_columns *columns)
{
	(void)buf_adds(sql, "SELECT ");
	for (size_t i = 0; i < columns->n; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT(DUCK_SQL_MAX);
		duck_ident(&name, columns->v[i].name);
		(void)buf_adds(sql, i ? ", " : "");
		duck_cast(sql, &columns->v[i], buf_cstr(&name));
		(void)buf_addf(sql, " AS %s", buf_cstr(&name));
	}
}

static void select_nothing(struct buf *sql, const struct duck_columns *columns)
{
	(void)buf_adds(sql, "SELECT ");
	for (size_t i = 0; i < columns->n; i++) {
		(void)buf_adds(sql, i ? ", " : "");
		duck_cast(sql, &columns->v[i], "NULL");
		(void)buf_adds(sql, " AS ");
		duck_ident(sql, columns->v[i].name);
	}
	(void)buf_adds(sql, " WHERE false");
}

static const char *file_at(const json_t *files, size_t at)
{
	const json_t *file = json_array_get(files, at);
	return json_is_string(file) ? json_string_value(file) : data_get_str(file, "path");
}

static int file_needed(const json_t *files, size_t at, struct duck_task *t, const char **ret,
                       struct err *err)
{
	const char *path = file_at(files, at);
	if (!path)
		return err_set(err, -EINVAL, "inputs.files.%zu: a path is needed", at);
	struct stat st;
	if (stat(path, &st) < 0)
		return err_errno(err, "input file %s", path);
	t->input_bytes += (uint64_t)st.st_size;
	*ret = path;
	return 0;
}

static int tablets(struct duck_task *t, const json_t *input, const struct duck_columns *columns,
                   struct buf *sql, struct err *err)
{
	const json_t *files = data_get(input, "files");
	for (size_t i = 0; i < json_array_size(files); i++) {
		const char *path = NULL;
		struct duck_attached *rowset = NULL;
		int rc = file_needed(files, i, t, &path, err);
		if (rc == 0)
			rc = duck_attach_use(&t->session, path, &rowset, err);
		if (rc < 0)
			return rc;
		vec_push(&t->attached, rowset);
		(void)buf_adds(sql, i ? " UNION ALL " : "");
		select_list(sql, columns);
		(void)buf_addf(sql, " FROM %s.main.t", duck_attached_name(rowset));
	}
	return 0;
}

static int objects(struct duck_task *t, const json_t *input, const struct duck_columns *columns,
                   struct buf *sql, struct err *err)
{
	const json_t *files = data_get(input, "files");
	if (json_array_size(files) == 0)
		return 0;
	select_list(sql, columns);
	(void)buf_adds(sql, " FROM read_parquet([");
	for (size_t i = 0; i < json_array_size(files); i++) {
		const char *path = NULL;
		int rc = file_needed(files, i, t, &path, err);
		if (rc < 0)
			return rc;
		(void)buf_adds(sql, i ? ", " : "");
		duck_literal(sql, path);
	}
	(void)buf_adds(sql, "])");
	return 0;
}

static int exchange(struct duck_task *t, const json_t *input, const struct duck_columns *columns,
                    struct buf *sql, struct err *err)
{
	const json_t *files = data_get(input, "files");
	if (json_array_size(files) == 0)
		return 0;
	autofree struct xchg_column *types = xcalloc(columns->n, sizeof(*types));
	char token[DUCK_TOKEN_LEN + 1];
	uint64_t rows = 0, bytes = 0;
	int rc = duck_scan_add(files, columns, types, token, &rows, &bytes, err);
	if (rc < 0)
		return rc;
	vec_push(&t->tokens, xstrdup(token));
	t->input_bytes += bytes;
	select_list(sql, columns);
	(void)buf_addf(sql, " FROM roost_exchange('%s')", token);
	return 0;
}

int duck_input(struct duck_task *t, const json_t *input, struct err *err)
{
	static const struct {
		const char *kind;
		int (*view)(struct duck_task *t, const json_t *input,
		            const struct duck_columns *columns, struct buf *sql, struct err *err);
	} kinds[] = { { "tablets", tablets }, { "objects", objects }, { "exchange", exchange } };
	const char *name = data_get_str(input, "name"), *kind = data_get_str(input, "kind");
	if (!name || !kind)
		return err_set(err, -EINVAL, "inputs: name and kind are needed");
	_cleanup_columns_ struct duck_columns columns = { 0 };
	int rc = duck_columns_parse(data_get(input, "columns"), &columns, err);
	if (rc < 0)
		return err_wrap(err, "input %s", name);
	if (strcmp(kind, "file") == 0)
		return duck_input_file(t, input, &columns, err);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(kind, kinds[i].kind) != 0)
			continue;
		_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
		rc = kinds[i].view(t, input, &columns, &sql, err);
		if (rc == 0 && sql.len == 0)
			select_nothing(&sql, &columns);
		return rc < 0 ? rc : duck_task_view(t, name, buf_cstr(&sql), err);
	}
	return err_set(err, -EINVAL, "input %s: kind %s is not tablets, objects, exchange or file",
	               name, kind);
}

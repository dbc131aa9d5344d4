#include "engine/duck/db.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/duck/attach.h"
#include "engine/duck/scan.h"
#include "engine/duck/types.h"
#include "engine/rpc.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

const char *duck_rpc_code(int code)
{
	switch (code) {
	case -EINVAL:
		return RPC_E_SQL;
	case -ENOMEM:
		return RPC_E_OOM;
	case -ECANCELED:
		return RPC_E_CANCELLED;
	case -ENOENT:
	case -EBADMSG:
		return RPC_E_INPUT_LOST;
	default:
		return RPC_E_INTERNAL;
	}
}

/* StarRocks' words, which clients and dashboards look for. */
static int out_of_memory(const struct duck *d, const char *message, int len, struct err *err)
{
	return err_set(err, -ENOMEM,
	               "Memory of %s exceed limit. Limit: %" PRId64
	               ". Mem usage has exceed the limit "
	               "of the resource group. (%.*s)",
	               d->group, atomic_load(&d->memory_limit), len < 300 ? len : 300, message);
}

/* Planning fails without a type: its text begins with one. */
static duckdb_error_type type_of_text(const char *text)
{
	static const struct {
		const char *prefix;
		duckdb_error_type type;
	} known[] = {
		{ "Out of Memory", DUCKDB_ERROR_OUT_OF_MEMORY },
		{ "INTERRUPT", DUCKDB_ERROR_INTERRUPT },
		{ "FATAL", DUCKDB_ERROR_FATAL },
		{ "INTERNAL", DUCKDB_ERROR_INTERNAL },
		{ "IO Error", DUCKDB_ERROR_IO },
		{ "Permission", DUCKDB_ERROR_PERMISSION },
	};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strncmp(text, known[i].prefix, strlen(known[i].prefix)) == 0)
			return known[i].type;
	return strstr(text, "bad_alloc") ? DUCKDB_ERROR_OUT_OF_MEMORY : DUCKDB_ERROR_INVALID;
}

int duck_fail(struct duck_session *s, duckdb_error_type type, const char *message, struct err *err)
{
	const char *text = message ? message : "unknown error";
	if (strstr(text, DUCK_INPUT_LOST))
		return err_set(err, -EBADMSG, "%s", text);
	/* After an empty line come advice, and an excerpt of our own text rather than the user's. */
	const char *end = strstr(text, "\n\n");
	int len = end ? (int)(end - text) : (int)strnlen(text, ERR_MSG_MAX);
	switch (type == DUCKDB_ERROR_INVALID ? type_of_text(text) : type) {
	case DUCKDB_ERROR_OUT_OF_MEMORY:
		return out_of_memory(s->duck, text, len, err);
	case DUCKDB_ERROR_INTERRUPT:
		return err_set(err, -ECANCELED, "cancelled");
	case DUCKDB_ERROR_FATAL:
		atomic_store(&s->duck->broken, true);
		return err_set(err, -EIO, "%.*s", len, text);
	case DUCKDB_ERROR_INTERNAL:
	case DUCKDB_ERROR_IO:
	case DUCKDB_ERROR_DATA_CORRUPTION:
	case DUCKDB_ERROR_PERMISSION:
		return err_set(err, -EIO, "%.*s", len, text);
	default:
		return err_set(err, -EINVAL, "%.*s", len, text);
	}
}

static int set_option(duckdb_connection con, const char *name, const char *value, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_addf(&sql, "SET %s = %s", name, value);
	duckdb_result result;
	int rc = 0;
	if (duckdb_query(con, buf_cstr(&sql), &result) == DuckDBError)
		rc = err_set(err, -EINVAL, "cannot set %s: %s", name, duckdb_result_error(&result));
	duckdb_destroy_result(&result);
	return rc;
}

static int set_literal(duckdb_connection con, const char *name, const char *value, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(DUCK_SQL_MAX);
	duck_literal(&text, value);
	return set_option(con, name, buf_cstr(&text), err);
}

static int set_dirs(duckdb_connection con, const struct duck_config *config, struct err *err)
{
	_cleanup_buf_ struct buf list = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_addc(&list, '[');
	size_t i = 0;
	json_t *dir = NULL;
	json_array_foreach(config->dirs, i, dir)
	{
		autofree char *path = xasprintf("%s/", json_string_value(dir));
		if (i)
			(void)buf_addc(&list, ',');
		duck_literal(&list, path);
	}
	(void)buf_addc(&list, ']');
	return set_option(con, "allowed_directories", buf_cstr(&list), err);
}

/* What a statement must never do; lock_configuration comes last. */
static int lock_down(duckdb_connection con, const struct duck_config *config, struct err *err)
{
	static const char *const settings[][2] = {
		{ "autoinstall_known_extensions", "false" },
		{ "autoload_known_extensions", "false" },
		{ "allow_community_extensions", "false" },
		{ "allow_persistent_secrets", "false" },
		{ "enable_external_access", "false" },
		{ "max_expression_depth", "1000" },
		{ "allowed_configs", "['memory_limit','disabled_optimizers']" },
		{ "lock_configuration", "true" },
	};
	int rc = set_literal(con, "TimeZone", "UTC", err);
	if (rc == 0 && config->temp_dir)
		rc = set_literal(con, "temp_directory", config->temp_dir, err);
	else if (rc == 0)
		rc = set_literal(con, "temp_directory", "", err);
	if (rc == 0 && config->temp_dir && config->temp_limit > 0) {
		autofree char *size = xasprintf("'%" PRId64 "B'", config->temp_limit);
		rc = set_option(con, "max_temp_directory_size", size, err);
	}
	if (rc == 0)
		rc = set_dirs(con, config, err);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(settings); i++)
		rc = set_option(con, settings[i][0], settings[i][1], err);
	return rc;
}

static int set_memory(duckdb_connection con, int64_t bytes, struct err *err)
{
	autofree char *size = xasprintf("'%" PRId64 "B'", bytes);
	return set_option(con, "memory_limit", size, err);
}

static int prepare_instance(struct duck *d, const struct duck_config *config, struct err *err)
{
	if (duckdb_vector_size() < XCHG_BLOCK_ROWS)
		return err_set(err, -EINVAL, "vectors of %d rows are needed", XCHG_BLOCK_ROWS);
	duckdb_connection con = NULL;
	if (duckdb_connect(d->db, &con) == DuckDBError)
		return err_set(err, -EIO, "cannot connect to DuckDB");
	int rc = duck_scan_register(con, err);
	if (rc == 0)
		rc = set_memory(con, config->memory_limit, err);
	if (rc == 0)
		rc = lock_down(con, config, err);
	duckdb_disconnect(&con);
	return rc;
}

int duck_open(const struct duck_config *config, struct duck **ret, struct err *err)
{
	_cleanup_(duck_closep) struct duck *d = xcalloc(1, sizeof(*d));
	(void)pthread_mutex_init(&d->plan_lock, NULL);
	d->group = xstrdup(config->group ? config->group : "process");
	d->optimizers = xstrdup("");
	atomic_store(&d->memory_limit, config->memory_limit);
	d->attach = duck_attach_new();
	duckdb_config options = NULL;
	(void)duckdb_create_config(&options);
	autofree char *threads = xasprintf("%d", config->threads);
	(void)duckdb_set_config(options, "threads", threads);
	char *why = NULL;
	duckdb_state state = duckdb_open_ext(NULL, &d->db, options, &why);
	duckdb_destroy_config(&options);
	int rc = state == DuckDBError ? err_set(err, -EIO, "cannot open DuckDB: %s", why) : 0;
	duckdb_free(why);
	if (rc == 0)
		rc = prepare_instance(d, config, err);
	if (rc == 0)
		*ret = TAKE_PTR(d);
	return rc;
}

void duck_close(struct duck *d)
{
	if (!d)
		return;
	duck_attach_free(d->attach);
	duckdb_close(&d->db);
	(void)pthread_mutex_destroy(&d->plan_lock);
	free(d->group);
	free(d->optimizers);
	free(d);
}

int duck_set_memory(struct duck *d, int64_t bytes, struct err *err)
{
	duckdb_connection con = NULL;
	if (duckdb_connect(d->db, &con) == DuckDBError)
		return err_set(err, -EIO, "cannot connect to DuckDB");
	int rc = set_memory(con, bytes, err);
	duckdb_disconnect(&con);
	if (rc == 0)
		atomic_store(&d->memory_limit, bytes);
	return rc;
}

int duck_session_open(struct duck *d, struct duck_session *s, struct err *err)
{
	s->duck = d;
	s->optimizers = "";
	if (duckdb_connect(d->db, &s->con) == DuckDBError)
		return err_set(err, -EIO, "cannot connect to DuckDB");
	atomic_store(&s->open, true);
	return 0;
}

void duck_session_close(struct duck_session *s)
{
	if (s->con)
		duckdb_disconnect(&s->con);
}

/* DuckDB 2.0.0 with this one loses every row of a LEFT JOIN with a filter on its right side under GROUP BY … HAVING:
 * docs/decisions/0180. */
#define NEVER_OPTIMIZER "projection_pullup"

static int set_optimizers(struct duck_session *s, struct err *err)
{
	struct duck *d = s->duck;
	autofree char *off =
		xasprintf(NEVER_OPTIMIZER "%s%s", *s->optimizers ? "," : "", s->optimizers);
	if (strcmp(d->optimizers, off) == 0)
		return 0;
	int rc = set_literal(s->con, "disabled_optimizers", off, err);
	if (rc == 0) {
		free(d->optimizers);
		d->optimizers = TAKE_PTR(off);
	}
	return rc;
}

static int cancelled(const struct duck_session *s, struct err *err)
{
	return atomic_load(&s->cancelled) ? err_set(err, -ECANCELED, "cancelled") : 0;
}

int duck_prepare(struct duck_session *s, const char *sql, duckdb_prepared_statement *ret,
                 struct err *err)
{
	int rc = cancelled(s, err);
	if (rc < 0)
		return rc;
	(void)pthread_mutex_lock(&s->duck->plan_lock);
	rc = set_optimizers(s, err);
	duckdb_prepared_statement statement = NULL;
	duckdb_state state = DuckDBError;
	if (rc == 0)
		state = duckdb_prepare(s->con, sql, &statement);
	(void)pthread_mutex_unlock(&s->duck->plan_lock);
	if (rc == 0 && state == DuckDBError) {
		/* No other call on a statement that failed: some abort the process. */
		const char *text = duckdb_prepare_error(statement);
		rc = duck_fail(s, DUCKDB_ERROR_INVALID, text, err);
		log_debug("failed sql=%s", sql);
	}
	if (rc < 0)
		duckdb_destroy_prepare(&statement);
	else
		*ret = statement;
	return rc;
}

/* With one text parameter, unless text is NULL. */
static int execute(struct duck_session *s, const char *sql, const char *text, duckdb_result *ret,
                   struct err *err)
{
	duckdb_prepared_statement statement = NULL;
	int rc = duck_prepare(s, sql, &statement, err);
	if (rc < 0)
		return rc;
	if (text && duckdb_bind_varchar(statement, 1, text) == DuckDBError)
		rc = err_set(err, -EINVAL, "text is not UTF-8");
	if (rc == 0 && duckdb_execute_prepared(statement, ret) == DuckDBError) {
		rc = duck_fail(s, duckdb_result_error_type(ret), duckdb_result_error(ret), err);
		log_debug("failed sql=%s", sql);
		duckdb_destroy_result(ret);
	}
	duckdb_destroy_prepare(&statement);
	return rc;
}

int duck_run(struct duck_session *s, const char *sql, struct err *err)
{
	duckdb_result result;
	int rc = execute(s, sql, NULL, &result, err);
	if (rc == 0)
		duckdb_destroy_result(&result);
	return rc;
}

int duck_call(struct duck_session *s, const char *sql, const char *text, char **ret,
              struct err *err)
{
	duckdb_result result;
	int rc = execute(s, sql, text, &result, err);
	if (rc < 0)
		return rc;
	char *value = NULL;
	if (duckdb_row_count(&result) > 0)
		value = duckdb_value_varchar(&result, 0, 0);
	*ret = value ? xstrdup(value) : NULL;
	duckdb_free(value);
	duckdb_destroy_result(&result);
	return 0;
}

int duck_value(struct duck_session *s, const char *sql, char **ret, struct err *err)
{
	return duck_call(s, sql, NULL, ret, err);
}

int duck_number(struct duck_session *s, const char *sql, int64_t *ret, struct err *err)
{
	autofree char *text = NULL;
	int rc = duck_value(s, sql, &text, err);
	if (rc == 0 && (!text || str_to_i64(str_of(text), ret) < 0))
		rc = err_set(err, -EIO, "a number was wanted of: %.100s", sql);
	return rc;
}

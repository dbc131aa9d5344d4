#include "engine/sql/vars.h"

#include <stdlib.h>

#include "engine/sql/mode.h"
#include "lib/data/json.h"

enum { READ_ONLY = 1 };

static const struct var {
	const char *name;
	enum sql_var_type type;
	const char *value;
	int flags;
} vars[] = {
	{ "auto_increment_increment", SQL_VAR_INT, "1", 0 },
	{ "autocommit", SQL_VAR_BOOL, "true", 0 },
	{ "big_query_profile_threshold", SQL_VAR_STRING, "0s", 0 },
	{ "broadcast_row_limit", SQL_VAR_INT, "15000000", 0 },
	{ "catalog", SQL_VAR_STRING, "default_catalog", READ_ONLY },
	{ "character_set_client", SQL_VAR_STRING, "utf8mb4", 0 },
	{ "character_set_connection", SQL_VAR_STRING, "utf8mb4", 0 },
	{ "character_set_database", SQL_VAR_STRING, "utf8mb4", 0 },
	{ "character_set_results", SQL_VAR_STRING, "utf8mb4", 0 },
	{ "character_set_server", SQL_VAR_STRING, "utf8mb4", 0 },
	{ "character_set_system", SQL_VAR_STRING, "utf8mb4", READ_ONLY },
	{ "collation_connection", SQL_VAR_STRING, "utf8mb4_general_ci", 0 },
	{ "collation_database", SQL_VAR_STRING, "utf8mb4_general_ci", 0 },
	{ "collation_server", SQL_VAR_STRING, "utf8mb4_general_ci", 0 },
	{ "default_storage_engine", SQL_VAR_STRING, "OLAP", 0 },
	{ "div_precision_increment", SQL_VAR_INT, "4", 0 },
	{ "enable_pipeline_engine", SQL_VAR_BOOL, "true", 0 },
	{ "enable_profile", SQL_VAR_BOOL, "false", 0 },
	{ "enable_query_cache", SQL_VAR_BOOL, "false", 0 },
	{ "enable_query_queue_load", SQL_VAR_BOOL, "true", 0 },
	{ "enable_query_queue_select", SQL_VAR_BOOL, "true", 0 },
	{ "enable_query_queue_statistic", SQL_VAR_BOOL, "false", 0 },
	{ "enable_spill", SQL_VAR_BOOL, "true", 0 },
	{ "exec_mem_limit", SQL_VAR_INT, "0", 0 },
	{ "foreign_key_checks", SQL_VAR_BOOL, "false", 0 },
	{ "group_concat_max_len", SQL_VAR_INT, "1024", 0 },
	{ "have_query_cache", SQL_VAR_STRING, "NO", READ_ONLY },
	{ "have_ssl", SQL_VAR_STRING, "DISABLED", READ_ONLY },
	{ "hostname", SQL_VAR_STRING, "", READ_ONLY },
	{ "init_connect", SQL_VAR_STRING, "", 0 },
	{ "interactive_timeout", SQL_VAR_INT, "3600", 0 },
	{ "language", SQL_VAR_STRING, "en", READ_ONLY },
	{ "license", SQL_VAR_STRING, "Apache-2.0", READ_ONLY },
	{ "lower_case_file_system", SQL_VAR_BOOL, "false", READ_ONLY },
	{ "lower_case_table_names", SQL_VAR_INT, "0", READ_ONLY },
	{ "max_allowed_packet", SQL_VAR_INT, "67108864", READ_ONLY },
	{ "max_connections", SQL_VAR_INT, "4096", READ_ONLY },
	{ "net_buffer_length", SQL_VAR_INT, "16384", 0 },
	{ "net_read_timeout", SQL_VAR_INT, "60", 0 },
	{ "net_write_timeout", SQL_VAR_INT, "60", 0 },
	{ "new_planner_optimize_timeout", SQL_VAR_INT, "3000", 0 },
	{ "parallel_fragment_exec_instance_num", SQL_VAR_INT, "1", 0 },
	{ "performance_schema", SQL_VAR_BOOL, "false", READ_ONLY },
	{ "pipeline_dop", SQL_VAR_INT, "0", 0 },
	{ "port", SQL_VAR_INT, "9030", READ_ONLY },
	{ "protocol_version", SQL_VAR_INT, "10", READ_ONLY },
	{ "query_cache_size", SQL_VAR_INT, "0", 0 },
	{ "query_cache_type", SQL_VAR_INT, "0", 0 },
	{ "query_mem_limit", SQL_VAR_INT, "0", 0 },
	{ "query_queue_max_queued_queries", SQL_VAR_INT, "16384", 0 },
	{ "query_queue_pending_timeout_second", SQL_VAR_INT, "300", 0 },
	{ "query_timeout", SQL_VAR_INT, "300", 0 },
	{ "resource_group", SQL_VAR_STRING, "", 0 },
	{ "rewrite_count_distinct_to_bitmap_hll", SQL_VAR_BOOL, "true", 0 },
	{ "run_mode", SQL_VAR_STRING, "shared_nothing", READ_ONLY },
	{ "sql_auto_is_null", SQL_VAR_BOOL, "false", 0 },
	{ "sql_dialect", SQL_VAR_STRING, "StarRocks", 0 },
	{ "sql_mode", SQL_VAR_STRING, "ONLY_FULL_GROUP_BY", 0 },
	{ "sql_notes", SQL_VAR_BOOL, "true", 0 },
	{ "sql_quote_show_create", SQL_VAR_BOOL, "true", 0 },
	{ "sql_safe_updates", SQL_VAR_BOOL, "false", 0 },
	{ "sql_select_limit", SQL_VAR_INT, "9223372036854775807", 0 },
	{ "sql_warnings", SQL_VAR_BOOL, "false", 0 },
	{ "storage_engine", SQL_VAR_STRING, "OLAP", 0 },
	{ "system_time_zone", SQL_VAR_STRING, "UTC", READ_ONLY },
	{ "time_zone", SQL_VAR_STRING, "UTC", 0 },
	{ "transaction_isolation", SQL_VAR_STRING, "REPEATABLE-READ", 0 },
	{ "transaction_read_only", SQL_VAR_BOOL, "false", 0 },
	{ "tx_isolation", SQL_VAR_STRING, "REPEATABLE-READ", 0 },
	{ "tx_read_only", SQL_VAR_BOOL, "false", 0 },
	{ "unique_checks", SQL_VAR_BOOL, "true", 0 },
	{ "version", SQL_VAR_STRING, "", READ_ONLY },
	{ "version_comment", SQL_VAR_STRING, "Roost (StarRocks' dialect)", READ_ONLY },
	{ "version_compile_machine", SQL_VAR_STRING, "x86_64", READ_ONLY },
	{ "version_compile_os", SQL_VAR_STRING, "Linux", READ_ONLY },
	{ "wait_timeout", SQL_VAR_INT, "28800", 0 },
	{ "warehouse", SQL_VAR_STRING, "default_warehouse", READ_ONLY },
};

static const struct var *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(vars); i++) {
		if (str_caseeqs(str_of(name), vars[i].name))
			return &vars[i];
	}
	return NULL;
}

/* What only this server knows. */
static char *own_value(const struct sql_session *s, const struct var *v)
{
	if (strcmp(v->name, "version") == 0)
		return xstrdup(s->server->version);
	if (strcmp(v->name, "hostname") == 0)
		return xstrdup(s->server->fe_host);
	if (strcmp(v->name, "port") == 0)
		return xasprintf("%d", s->server->query_port);
	return NULL;
}

static char *value_of(struct sql_session *s, const struct var *v, enum sql_scope scope)
{
	char *own = own_value(s, v);
	if (own)
		return own;
	const char *text = scope == SQL_SCOPE_SESSION ? map_get(s->variables, v->name) : NULL;
	if (text)
		return xstrdup(text);
	if (v->flags & READ_ONLY || !s->server->meta)
		return xstrdup(v->value);
	struct meta *m = s->server->meta;
	meta_rdlock(m);
	text = meta_variable(m, v->name);
	char *copy = xstrdup(text ? text : v->value);
	meta_rdunlock(m);
	return copy;
}

static int unknown(const char *name, struct err *err)
{
	return err_set(err, SQL_ERR(1193), "Unknown system variable '%s'", name);
}

int sql_var_get(struct sql_session *s, const char *name, enum sql_scope scope, char **ret,
                enum sql_var_type *ret_type, struct err *err)
{
	const struct var *v = find(name);
	if (!v)
		return unknown(name, err);
	*ret = value_of(s, v, scope);
	if (ret_type)
		*ret_type = v->type;
	return 0;
}

int64_t sql_session_int(struct sql_session *s, const char *variable, int64_t absent)
{
	autofree char *text = NULL;
	int64_t v = 0;
	if (sql_var_get(s, variable, SQL_SCOPE_SESSION, &text, NULL, NULL) < 0 ||
	    str_to_i64(str_of(text), &v) < 0)
		return absent;
	return v;
}

static const char *as_bool(const char *value)
{
	static const char *const words[][2] = {
		{ "true", "true" },   { "on", "true" },   { "1", "true" },
		{ "false", "false" }, { "off", "false" }, { "0", "false" },
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_caseeqs(str_of(value), words[i][0]))
			return words[i][1];
	}
	return NULL;
}

static int checked(const struct var *v, const char *value, const char **ret, struct err *err)
{
	int64_t n = 0;
	*ret = value;
	if (v->flags & READ_ONLY)
		return err_set(err, SQL_ERR(1238), "Variable '%s' is a read only variable",
		               v->name);
	if (v->type == SQL_VAR_BOOL) {
		*ret = as_bool(value);
		if (!*ret)
			return err_set(
				err, SQL_ERR(1231),
				"Variable '%s' can't be set to the value of '%s': true or false",
				v->name, value);
	}
	if (v->type == SQL_VAR_INT && str_to_i64(str_of(value), &n) < 0)
		return err_set(err, SQL_ERR(1232),
		               "Incorrect argument type to variable '%s': an integer", v->name);
	unsigned modes = 0;
	if (strcmp(v->name, "sql_mode") == 0)
		return sql_mode_parse(value, &modes, err);
	bool timeout = strstr(v->name, "timeout") != NULL;
	if (v->type == SQL_VAR_INT && timeout && (n < 1 || n > 259200))
		return err_set(
			err, SQL_ERR(1231),
			"Variable '%s' can't be set to the value of '%s': 1 to 259200 seconds",
			v->name, value);
	return 0;
}

int sql_var_set(struct sql_session *s, const char *name, enum sql_scope scope, const char *value,
                struct err *err)
{
	const struct var *v = find(name);
	if (!v)
		return unknown(name, err);
	const char *text = NULL;
	int rc = checked(v, value ? value : v->value, &text, err);
	if (rc < 0)
		return rc;
	if (scope == SQL_SCOPE_GLOBAL)
		return sql_session_submit(s, META_SET_VARIABLE,
		                          json_pack("{s:s, s:s}", "name", v->name, "value", text),
		                          err);
	if (value)
		map_put(s->variables, v->name, xstrdup(text));
	else
		(void)map_del(s->variables, v->name);
	return 0;
}

void sql_var_list(struct sql_session *s, enum sql_scope scope, struct sql_rows *rows)
{
	for (size_t i = 0; i < ARRAY_LEN(vars); i++) {
		autofree char *value = value_of(s, &vars[i], scope);
		sql_rows_add(rows, vars[i].name);
		sql_rows_add(rows, value);
	}
}

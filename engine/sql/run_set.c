#include <openssl/sha.h>

#include "engine/sql/run.h"

void sql_password_hash(const char *password, char out[SQL_PASSWORD_HASH_MAX])
{
	unsigned char one[SHA_DIGEST_LENGTH], two[SHA_DIGEST_LENGTH];
	out[0] = '\0';
	if (!password[0])
		return;
	SHA1((const unsigned char *)password, strlen(password), one);
	SHA1(one, sizeof(one), two);
	out[0] = '*';
	for (size_t i = 0; i < sizeof(two); i++)
		(void)snprintf(out + 1 + 2 * i, 3, "%02X", two[i]);
}

/* The value of the right side: malloc'd; NULL for DEFAULT. */
static int value_of(struct sql_session *s, const struct sql_value *v, enum sql_scope scope,
                    char **ret, struct err *err)
{
	*ret = NULL;
	if (v->kind == SQL_VALUE_DEFAULT)
		return 0;
	if (v->kind == SQL_VALUE_SYSVAR) {
		const char *name = v->text;
		if (strncasecmp(name, "global.", 7) == 0) {
			name += 7;
			scope = SQL_SCOPE_GLOBAL;
		} else if (strncasecmp(name, "session.", 8) == 0) {
			name += 8;
			scope = SQL_SCOPE_SESSION;
		}
		return sql_var_get(s, name, scope, ret, NULL, err);
	}
	const char *text = v->text;
	if (v->kind == SQL_VALUE_USERVAR)
		text = map_get(s->user_variables, v->text);
	*ret = xstrdup(v->kind == SQL_VALUE_NULL || !text ? "" : text);
	return 0;
}

static int set_password(struct sql_session *s, const struct sql_assignment *a, struct err *err)
{
	char hash[SQL_PASSWORD_HASH_MAX];
	const char *user = a->name ? a->name : s->user;
	if (a->hashed) {
		if (strlen(a->value.text) >= sizeof(hash))
			return err_set(err, SQL_ERR(1372),
			               "Password hash should be a 41-digit hexadecimal number");
		(void)snprintf(hash, sizeof(hash), "%s", a->value.text);
	} else {
		sql_password_hash(a->value.text, hash);
	}
	return sql_session_submit(s, META_SET_PASSWORD,
	                          json_pack("{s:s, s:s}", "user", user, "hash", hash), err);
}

static int set_names(struct sql_session *s, const struct sql_assignment *a, struct err *err)
{
	/* Text is always UTF-8; latin1 and ascii are what old clients say without meaning it. */
	static const char *const known[] = { "utf8",   "utf8mb3", "utf8mb4",
		                             "latin1", "ascii",   "binary" };
	static const char *const names[] = { "character_set_client", "character_set_connection",
		                             "character_set_results" };
	const char *value = a->value.kind == SQL_VALUE_DEFAULT ? "utf8mb4" : a->value.text;
	size_t i = 0;
	while (i < ARRAY_LEN(known) && !str_caseeqs(str_of(value), known[i]))
		i++;
	if (i == ARRAY_LEN(known))
		return err_set(err, SQL_ERR(1115), "Unknown character set: '%s'", value);
	int rc = 0;
	for (i = 0; rc == 0 && i < ARRAY_LEN(names); i++)
		rc = sql_var_set(s, names[i], SQL_SCOPE_SESSION, value, err);
	return rc;
}

static int set_user_variable(struct sql_session *s, const char *name, const char *value,
                             struct err *err)
{
	enum { USER_VARIABLES_MAX = 1000, VALUE_MAX = 64 * 1024 };
	if (value && strlen(value) > VALUE_MAX)
		return err_set(err, SQL_ERR(1231), "@%s: at most %d bytes", name, VALUE_MAX);
	if (!map_get(s->user_variables, name) && map_count(s->user_variables) >= USER_VARIABLES_MAX)
		return err_set(err, SQL_ERR(1231), "at most %d user variables", USER_VARIABLES_MAX);
	map_put(s->user_variables, name, xstrdup(value ? value : ""));
	return 0;
}

static int set_one(struct sql_session *s, const struct sql_assignment *a, struct err *err)
{
	if (a->kind == SQL_SET_PASSWORD)
		return set_password(s, a, err);
	if (a->kind == SQL_SET_NAMES)
		return set_names(s, a, err);
	autofree char *value = NULL;
	int rc = value_of(s, &a->value, a->scope, &value, err);
	if (rc < 0)
		return rc;
	if (a->kind == SQL_SET_USER_VARIABLE)
		return set_user_variable(s, a->name, value, err);
	if (str_caseeqs(str_of(a->name), "sql_dialect") && value &&
	    !str_caseeqs(str_of(value), "starrocks"))
		return err_set(err, SQL_ERR(1235),
		               "sql_dialect '%s' is not supported by this version of Roost", value);
	return sql_var_set(s, a->name, a->scope, value, err);
}

int sql_run_set(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                struct err *err)
{
	for (size_t i = 0; i < st->sets.n; i++) {
		int rc = set_one(s, &st->sets.v[i], err);
		if (rc < 0)
			return rc;
	}
	return sink->ok(sink, 0, NULL, err);
}

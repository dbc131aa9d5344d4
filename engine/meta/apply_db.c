#include "engine/meta/state.h"

#include "lib/data/json.h"

int meta_apply_create_database(struct meta_state *s, const json_t *p, json_t **ret_result,
                               struct err *err)
{
	const char *name = meta_name(p, "name", err);
	if (!name)
		return SQL_ERR(1064);
	const struct meta_db *there = meta_state_db(s, name);
	if (there && !data_get_bool(p, "if_not_exists", false))
		return err_set(err, SQL_ERR(1007), "Can't create database '%s'; database exists",
		               name);
	int64_t id = there ? there->id : s->next_id++;
	if (!there)
		meta_state_add_db(s, id, name);
	*ret_result = json_pack("{s:I}", "id", (json_int_t)id);
	return 0;
}

int meta_apply_drop_database(struct meta_state *s, const json_t *p, json_t **ret_result,
                             struct err *err)
{
	const char *name = meta_name(p, "name", err);
	if (!name)
		return SQL_ERR(1064);
	struct meta_db *db = meta_state_db(s, name);
	if (!db && !data_get_bool(p, "if_exists", false))
		return err_set(err, SQL_ERR(1008),
		               "Can't drop database '%s'; database doesn't exist", name);
	*ret_result = json_object();
	if (!db)
		return 0;
	for (size_t i = s->tables.n; i > 0; i--)
		if (strcmp(s->tables.v[i - 1]->db, name) == 0)
			meta_state_drop_table(s, s->tables.v[i - 1]);
	free(db->name);
	size_t at = (size_t)(db - s->dbs.v);
	s->dbs.n--;
	memmove(&s->dbs.v[at], &s->dbs.v[at + 1], (s->dbs.n - at) * sizeof(*s->dbs.v));
	return 0;
}

int meta_apply_set_password(struct meta_state *s, const json_t *p, json_t **ret_result,
                            struct err *err)
{
	const char *user = meta_name(p, "user", err);
	const char *hash = data_get_str(p, "hash");
	if (!user)
		return SQL_ERR(1064);
	if (!meta_state_user(s, user))
		return err_set(err, SQL_ERR(1133), "Can't find any matching row for user '%s'",
		               user);
	bool none = hash && *hash == '\0';
	if (!hash || (!none && (strlen(hash) != 41 || hash[0] != '*' ||
	                        strspn(hash + 1, "0123456789ABCDEFabcdef") != 40)))
		return err_set(err, SQL_ERR(1372),
		               "Password hash should be a 41-digit hexadecimal number");
	meta_state_set_user(s, user, hash);
	*ret_result = json_object();
	return 0;
}

int meta_apply_set_variable(struct meta_state *s, const json_t *p, json_t **ret_result,
                            struct err *err)
{
	enum { VALUE_MAX = 4096, VARIABLES_MAX = 1000 };
	const char *name = meta_name(p, "name", err);
	const char *value = data_get_str(p, "value");
	if (!name)
		return SQL_ERR(1064);
	if (!value || strlen(value) > VALUE_MAX)
		return err_set(err, SQL_ERR(1231), "Variable '%s' wants a text of at most %d bytes",
		               name, VALUE_MAX);
	if (!map_get(s->variables, name) && map_count(s->variables) >= VARIABLES_MAX)
		return err_set(err, SQL_ERR(1231), "at most %d global variables", VARIABLES_MAX);
	map_put(s->variables, name, xstrdup(value));
	*ret_result = json_object();
	return 0;
}

int meta_apply_found(struct meta_state *s, const json_t *p, json_t **ret_result, struct err *err)
{
	int64_t id = 0;
	if (s->cluster_id)
		return err_set(err, SQL_ERR(1105), "the cluster is founded already");
	int rc = meta_int(p, "cluster_id", 1, INT32_MAX, &id, err);
	if (rc < 0)
		return rc;
	s->cluster_id = id;
	meta_state_set_user(s, "root", "");
	*ret_result = json_object();
	return 0;
}

int meta_apply_reserve_txns(struct meta_state *s, const json_t *p, json_t **ret_result,
                            struct err *err)
{
	int64_t n = 0;
	int rc = meta_int(p, "n", 1, 1000000, &n, err);
	if (rc < 0)
		return rc;
	*ret_result = json_pack("{s:I}", "from", (json_int_t)s->next_txn);
	s->next_txn += n;
	return 0;
}

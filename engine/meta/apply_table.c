#include "engine/meta/state.h"

#include "lib/data/json.h"

/* Gives a table in META_LOCAL its tablets, as "replicas" of the payload says. */
static int place_tablets(struct meta_state *s, const json_t *p, struct meta_table *t,
                         struct err *err)
{
	const json_t *places = json_object_get(p, "replicas");
	if (json_array_size(places) != (size_t)t->buckets)
		return err_set(err, SQL_ERR(1064), "replicas: one list for each of %d buckets",
		               t->buckets);
	t->tablets = xcalloc((size_t)t->buckets, sizeof(*t->tablets));
	for (int b = 0; b < t->buckets; b++) {
		struct meta_tablet *tablet = &t->tablets[t->n_tablets++];
		tablet->bucket = b;
		int rc = meta_replicas_decode(json_array_get(places, (size_t)b),
		                              (size_t)t->replication_num, tablet->replicas,
		                              &tablet->n_replicas, err);
		if (rc < 0)
			return rc;
		for (size_t i = 0; i < tablet->n_replicas; i++) {
			const struct meta_node *n = meta_state_node(s, tablet->replicas[i]);
			if (!n || n->role != META_BE)
				return err_set(err, SQL_ERR(1064),
				               "replicas: there is no backend %lld",
				               (long long)tablet->replicas[i]);
		}
	}
	return 0;
}

static json_t *created(const struct meta_table *t)
{
	json_t *tablets = json_array();
	for (size_t i = 0; i < t->n_tablets; i++)
		json_array_append_new(tablets, json_integer(t->tablets[i].id));
	return json_pack("{s:I, s:o}", "id", (json_int_t)t->id, "tablets", tablets);
}

int meta_apply_create_table(struct meta_state *s, const json_t *p, json_t **ret_result,
                            struct err *err)
{
	_cleanup_(meta_table_freep) struct meta_table *t = NULL;
	int rc = meta_table_decode(p, &t, err);
	if (rc < 0)
		return rc;
	if (!meta_state_db(s, t->db))
		return err_set(err, SQL_ERR(1049), "Unknown database '%s'", t->db);
	const struct meta_table *there = meta_state_table(s, t->db, t->name);
	if (there && data_get_bool(p, "if_not_exists", false)) {
		*ret_result = created(there);
		return 0;
	}
	if (there)
		return err_set(err, SQL_ERR(1050), "Table '%s' already exists", t->name);
	if (t->storage == META_LOCAL)
		rc = place_tablets(s, p, t, err);
	if (rc < 0)
		return rc;
	t->id = s->next_id++;
	for (size_t i = 0; i < t->n_tablets; i++)
		t->tablets[i].id = s->next_id++;
	*ret_result = created(t);
	meta_state_add_table(s, TAKE_PTR(t));
	return 0;
}

/* The table that a payload's db and name mean; *ret NULL when it is absent and if_exists says that this is fine. */
static int find_table(struct meta_state *s, const json_t *p, bool may_be_absent,
                      struct meta_table **ret, struct err *err)
{
	const char *db = meta_name(p, "db", err);
	const char *name = db ? meta_name(p, "name", err) : NULL;
	if (!name)
		return SQL_ERR(1064);
	if (!meta_state_db(s, db))
		return err_set(err, SQL_ERR(1049), "Unknown database '%s'", db);
	*ret = meta_state_table(s, db, name);
	if (!*ret && !may_be_absent)
		return err_set(err, SQL_ERR(1051), "Unknown table '%s.%s'", db, name);
	return 0;
}

int meta_apply_drop_table(struct meta_state *s, const json_t *p, json_t **ret_result,
                          struct err *err)
{
	struct meta_table *t = NULL;
	int rc = find_table(s, p, data_get_bool(p, "if_exists", false), &t, err);
	if (rc < 0)
		return rc;
	if (t)
		meta_state_drop_table(s, t);
	*ret_result = json_object();
	return 0;
}

int meta_apply_truncate_table(struct meta_state *s, const json_t *p, json_t **ret_result,
                              struct err *err)
{
	struct meta_table *t = NULL;
	int rc = find_table(s, p, false, &t, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < t->n_tablets; i++) {
		free(t->tablets[i].rowsets);
		t->tablets[i].rowsets = NULL;
		t->tablets[i].n_rowsets = 0;
	}
	for (size_t i = 0; i < t->n_objects; i++) {
		free(t->objects[i].key);
		free(t->objects[i].etag);
	}
	free(t->objects);
	t->objects = NULL;
	t->n_objects = 0;
	t->rows = t->bytes = 0;
	t->version++;
	*ret_result = json_pack("{s:I}", "version", (json_int_t)t->version);
	return 0;
}

int meta_apply_set_replicas(struct meta_state *s, const json_t *p, json_t **ret_result,
                            struct err *err)
{
	int64_t id = 0, replicas[META_REPLICAS_MAX];
	size_t n = 0;
	int rc = meta_int(p, "tablet", 1, INT64_MAX, &id, err);
	if (rc == 0)
		rc = meta_replicas_decode(json_object_get(p, "replicas"), 1, replicas, &n, err);
	if (rc < 0)
		return rc;
	struct meta_table *t = NULL;
	struct meta_tablet *tablet = meta_state_tablet(s, id, &t);
	if (!tablet)
		return err_set(err, SQL_ERR(1105), "there is no tablet %lld", (long long)id);
	for (size_t i = 0; i < n; i++) {
		const struct meta_node *node = meta_state_node(s, replicas[i]);
		if (!node || node->role != META_BE)
			return err_set(err, SQL_ERR(1105), "there is no backend %lld",
			               (long long)replicas[i]);
	}
	memcpy(tablet->replicas, replicas, n * sizeof(replicas[0]));
	tablet->n_replicas = n;
	*ret_result = json_object();
	return 0;
}

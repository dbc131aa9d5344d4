#include "engine/meta/state.h"

#include "lib/base/buf.h"

void meta_state_init(struct meta_state *s)
{
	memset(s, 0, sizeof(*s));
	s->next_id = META_FIRST_ID;
	s->next_txn = 1;
	s->table_names = map_new(NULL);
	s->labels = map_new(NULL);
	s->variables = map_new(free);
}

void meta_table_free(struct meta_table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_columns; i++) {
		free(t->columns[i].name);
		free(t->columns[i].type);
		free(t->columns[i].declared);
		free(t->columns[i].default_text);
		free(t->columns[i].comment);
	}
	for (size_t i = 0; i < t->n_distribution; i++)
		free(t->distribution[i]);
	for (size_t i = 0; i < t->n_tablets; i++)
		free(t->tablets[i].rowsets);
	for (size_t i = 0; i < t->n_objects; i++) {
		free(t->objects[i].key);
		free(t->objects[i].etag);
	}
	free(t->columns);
	free(t->distribution);
	free(t->tablets);
	free(t->objects);
	free(t->db);
	free(t->name);
	free(t->comment);
	free(t->keys_type);
	json_decref(t->properties);
	free(t);
}

void meta_load_free(struct meta_load *l)
{
	if (!l)
		return;
	free(l->db);
	free(l->label);
	free(l->user);
	free(l->state);
	free(l->reason);
	free(l);
}

void meta_state_free(struct meta_state *s)
{
	for (size_t i = 0; i < s->dbs.n; i++)
		free(s->dbs.v[i].name);
	for (size_t i = 0; i < s->tables.n; i++)
		meta_table_free(s->tables.v[i]);
	for (size_t i = 0; i < s->nodes.n; i++)
		free(s->nodes.v[i].host);
	for (size_t i = 0; i < s->loads.n; i++)
		meta_load_free(s->loads.v[i]);
	for (size_t i = 0; i < s->users.n; i++)
		free(s->users.v[i]);
	vec_free(&s->dbs);
	vec_free(&s->tables);
	vec_free(&s->nodes);
	vec_free(&s->loads);
	vec_free(&s->users);
	map_free(s->table_names);
	map_free(s->labels);
	map_free(s->variables);
}

/* "db\001name": names hold no control characters, so two pairs never meet. */
static char *pair_key(const char *db, const char *name)
{
	return xasprintf("%s\001%s", db, name);
}

struct meta_db *meta_state_db(struct meta_state *s, const char *name)
{
	size_t low = 0, high = s->dbs.n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = strcmp(s->dbs.v[mid].name, name);
		if (order == 0)
			return &s->dbs.v[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void meta_state_add_db(struct meta_state *s, int64_t id, const char *name)
{
	vec_push(&s->dbs, (struct meta_db){ 0 });
	size_t at = s->dbs.n - 1;
	for (; at > 0 && strcmp(s->dbs.v[at - 1].name, name) > 0; at--)
		s->dbs.v[at] = s->dbs.v[at - 1];
	s->dbs.v[at] = (struct meta_db){ id, xstrdup(name) };
}

struct meta_table *meta_state_table(struct meta_state *s, const char *db, const char *name)
{
	autofree char *key = pair_key(db, name);
	return map_get(s->table_names, key);
}

struct meta_table *meta_state_table_by_id(struct meta_state *s, int64_t id)
{
	size_t low = 0, high = s->tables.n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (s->tables.v[mid]->id == id)
			return s->tables.v[mid];
		if (s->tables.v[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void meta_state_add_table(struct meta_state *s, struct meta_table *t)
{
	autofree char *key = pair_key(t->db, t->name);
	map_put(s->table_names, key, t);
	vec_push(&s->tables, t);
	for (size_t i = s->tables.n - 1; i > 0 && s->tables.v[i - 1]->id > t->id; i--) {
		s->tables.v[i] = s->tables.v[i - 1];
		s->tables.v[i - 1] = t;
	}
}

void meta_state_drop_table(struct meta_state *s, struct meta_table *t)
{
	autofree char *key = pair_key(t->db, t->name);
	(void)map_del(s->table_names, key);
	size_t at = 0;
	while (s->tables.v[at] != t)
		at++;
	s->tables.n--;
	memmove(&s->tables.v[at], &s->tables.v[at + 1],
	        (s->tables.n - at) * sizeof(struct meta_table *));
	meta_table_free(t);
}

struct meta_tablet *meta_state_tablet(struct meta_state *s, int64_t id, struct meta_table **ret)
{
	for (size_t i = 0; i < s->tables.n; i++) {
		struct meta_table *t = s->tables.v[i];
		/* A table's tablets have consecutive ids. */
		if (t->n_tablets && id >= t->tablets[0].id &&
		    id <= t->tablets[t->n_tablets - 1].id) {
			*ret = t;
			return &t->tablets[id - t->tablets[0].id];
		}
	}
	return NULL;
}

struct meta_node *meta_state_node(struct meta_state *s, int64_t id)
{
	for (size_t i = 0; i < s->nodes.n; i++)
		if (s->nodes.v[i].id == id)
			return &s->nodes.v[i];
	return NULL;
}

struct meta_node *meta_state_node_at(struct meta_state *s, enum meta_role role, const char *host,
                                     int heartbeat_port)
{
	for (size_t i = 0; i < s->nodes.n; i++) {
		struct meta_node *n = &s->nodes.v[i];
		if (n->role == role && n->heartbeat_port == heartbeat_port &&
		    str_caseeq(str_of(n->host), str_of(host)))
			return n;
	}
	return NULL;
}

struct meta_load *meta_state_load(struct meta_state *s, const char *db, const char *label)
{
	autofree char *key = pair_key(db, label);
	return map_get(s->labels, key);
}

struct meta_load *meta_state_load_by_txn(struct meta_state *s, int64_t txn)
{
	for (size_t i = s->loads.n; i > 0; i--)
		if (s->loads.v[i - 1]->txn == txn)
			return s->loads.v[i - 1];
	return NULL;
}

static void forget_oldest_load(struct meta_state *s)
{
	struct meta_load *l = s->loads.v[0];
	autofree char *key = pair_key(l->db, l->label);
	if (map_get(s->labels, key) == l)
		(void)map_del(s->labels, key);
	s->loads.n--;
	memmove(&s->loads.v[0], &s->loads.v[1], s->loads.n * sizeof(struct meta_load *));
	meta_load_free(l);
}

void meta_state_add_load(struct meta_state *s, struct meta_load *l)
{
	if (s->loads.n == META_LOADS_MAX)
		forget_oldest_load(s);
	vec_push(&s->loads, l);
	autofree char *key = pair_key(l->db, l->label);
	map_put(s->labels, key, l);
}

const char *meta_state_user(const struct meta_state *s, const char *name)
{
	for (size_t i = 0; i < s->users.n; i += 2)
		if (strcmp(s->users.v[i], name) == 0)
			return s->users.v[i + 1];
	return NULL;
}

void meta_state_set_user(struct meta_state *s, const char *name, const char *hash)
{
	for (size_t i = 0; i < s->users.n; i += 2) {
		if (strcmp(s->users.v[i], name) == 0) {
			free(s->users.v[i + 1]);
			s->users.v[i + 1] = xstrdup(hash);
			return;
		}
	}
	vec_push(&s->users, xstrdup(name));
	vec_push(&s->users, xstrdup(hash));
}

#include <openssl/evp.h>

#include "engine/meta/meta_priv.h"
#include "engine/meta/txn.h"

bool meta_has_db(struct meta *m, const char *db)
{
	return meta_state_db(&m->state, db) != NULL;
}

const struct meta_table *meta_table(struct meta *m, const char *db, const char *name)
{
	return meta_state_table(&m->state, db, name);
}

const struct meta_table *meta_table_by_id(struct meta *m, int64_t id)
{
	return meta_state_table_by_id(&m->state, id);
}

const struct meta_node *meta_node_by_id(struct meta *m, int64_t id)
{
	return meta_state_node(&m->state, id);
}

const struct meta_node *meta_node_at(struct meta *m, enum meta_role role, const char *host,
                                     int heartbeat_port)
{
	return meta_state_node_at(&m->state, role, host, heartbeat_port);
}

const struct meta_load *meta_load_by_label(struct meta *m, const char *db, const char *label)
{
	return meta_state_load(&m->state, db, label);
}

const char *meta_password_hash(struct meta *m, const char *user)
{
	return meta_state_user(&m->state, user);
}

const char *meta_variable(struct meta *m, const char *name)
{
	return map_get(m->state.variables, name);
}

const char *meta_next_db(struct meta *m, size_t *at)
{
	return *at < m->state.dbs.n ? m->state.dbs.v[(*at)++].name : NULL;
}

const struct meta_table *meta_next_table(struct meta *m, const char *db, size_t *at)
{
	while (*at < m->state.tables.n) {
		const struct meta_table *t = m->state.tables.v[(*at)++];
		if (!db || strcmp(t->db, db) == 0)
			return t;
	}
	return NULL;
}

const struct meta_node *meta_next_node(struct meta *m, size_t *at)
{
	return *at < m->state.nodes.n ? &m->state.nodes.v[(*at)++] : NULL;
}

const struct meta_load *meta_next_load(struct meta *m, size_t *at)
{
	return *at < m->state.loads.n ? m->state.loads.v[(*at)++] : NULL;
}

size_t meta_tablets_on(struct meta *m, int64_t node)
{
	size_t found = 0;
	for (size_t i = 0; i < m->state.tables.n; i++) {
		const struct meta_table *t = m->state.tables.v[i];
		for (size_t k = 0; k < t->n_tablets; k++)
			for (size_t r = 0; r < t->tablets[k].n_replicas; r++)
				found += t->tablets[k].replicas[r] == node;
	}
	return found;
}

/* "*" and the hexadecimal SHA1(SHA1(password)): mysql_native_password's stored form. */
static bool native_hash(const char *password, char out[42])
{
	unsigned char once[EVP_MAX_MD_SIZE], twice[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (EVP_Digest(password, strlen(password), once, &len, EVP_sha1(), NULL) != 1 ||
	    EVP_Digest(once, len, twice, &len, EVP_sha1(), NULL) != 1)
		return false;
	out[0] = '*';
	for (unsigned i = 0; i < 20; i++)
		(void)snprintf(out + 1 + (size_t)2 * i, 3, "%02X", twice[i]);
	return true;
}

bool meta_password_ok(struct meta *m, const char *user, const char *password)
{
	char stored[42] = "", given[42];
	meta_rdlock(m);
	const char *hash = meta_password_hash(m, user);
	bool known = hash != NULL;
	(void)snprintf(stored, sizeof(stored), "%s", hash ? hash : "");
	meta_rdunlock(m);
	if (!known || !native_hash(password, given))
		return false;
	if (stored[0] == '\0')
		return password[0] == '\0';
	for (char *c = stored; *c; c++)
		*c = (char)(*c >= 'a' && *c <= 'f' ? *c - 32 : *c);
	return str_eq_secret(str_of(stored), str_of(given));
}

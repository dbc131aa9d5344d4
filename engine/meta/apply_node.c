#include "engine/meta/state.h"

#include "lib/data/json.h"

enum { NODES_MAX = 10000 };

static const char *role_word(enum meta_role role)
{
	return role == META_BE ? "Backend" : "Compute node";
}

static int decode_address(const json_t *p, enum meta_role *ret_role, const char **ret_host,
                          int *ret_port, struct err *err)
{
	const char *role = data_get_str(p, "role");
	const char *host = meta_name(p, "host", err);
	int64_t port = 0;
	if (!host)
		return SQL_ERR(1064);
	if (!role || (strcmp(role, "be") != 0 && strcmp(role, "cn") != 0))
		return err_set(err, SQL_ERR(1064), "role: be or cn is wanted");
	int rc = meta_int(p, "heartbeat_port", 1, 65535, &port, err);
	if (rc < 0)
		return rc;
	*ret_role = role[0] == 'b' ? META_BE : META_CN;
	*ret_host = host;
	*ret_port = (int)port;
	return 0;
}

int meta_apply_add_node(struct meta_state *s, const json_t *p, json_t **ret_result, struct err *err)
{
	enum meta_role role;
	const char *host = NULL;
	int port = 0;
	int64_t ts = 0;
	int rc = decode_address(p, &role, &host, &port, err);
	if (rc == 0)
		rc = meta_int(p, "ts", 0, INT64_MAX, &ts, err);
	if (rc < 0)
		return rc;
	for (int r = META_BE; r <= META_CN; r++)
		if (meta_state_node_at(s, (enum meta_role)r, host, port))
			return err_set(err, SQL_ERR(1064), "%s already exists [%s:%d]",
			               r == META_BE ? "Same backend" : "Same compute node", host,
			               port);
	if (s->nodes.n >= NODES_MAX)
		return err_set(err, SQL_ERR(1064), "a cluster has at most %d nodes", NODES_MAX);
	int64_t id = s->next_id++;
	vec_push(&s->nodes, (struct meta_node){ .id = id,
	                                        .role = role,
	                                        .host = xstrdup(host),
	                                        .heartbeat_port = port,
	                                        .added_ts = ts });
	*ret_result = json_pack("{s:I}", "id", (json_int_t)id);
	return 0;
}

/* Takes a node out of every replica list (force), or only counts where it is. */
static size_t tablets_of(struct meta_state *s, int64_t id, bool remove)
{
	size_t found = 0;
	for (size_t i = 0; i < s->tables.n; i++) {
		for (size_t k = 0; k < s->tables.v[i]->n_tablets; k++) {
			struct meta_tablet *t = &s->tables.v[i]->tablets[k];
			size_t at = 0;
			while (at < t->n_replicas && t->replicas[at] != id)
				at++;
			if (at == t->n_replicas)
				continue;
			found++;
			if (remove) {
				t->n_replicas--;
				memmove(&t->replicas[at], &t->replicas[at + 1],
				        (t->n_replicas - at) * sizeof(t->replicas[0]));
			}
		}
	}
	return found;
}

int meta_apply_drop_node(struct meta_state *s, const json_t *p, json_t **ret_result,
                         struct err *err)
{
	enum meta_role role;
	const char *host = NULL;
	int port = 0;
	int rc = decode_address(p, &role, &host, &port, err);
	if (rc < 0)
		return rc;
	struct meta_node *n = meta_state_node_at(s, role, host, port);
	if (!n)
		return err_set(err, SQL_ERR(1064), "%s does not exist [%s:%d]", role_word(role),
		               host, port);
	size_t tablets = tablets_of(s, n->id, false);
	if (tablets && !data_get_bool(p, "force", false))
		return err_set(err, SQL_ERR(1064),
		               "%s [%s:%d] holds %zu tablets: ALTER SYSTEM DECOMMISSION BACKEND "
		               "moves them away first; DROP ... FORCE gives them up",
		               role_word(role), host, port, tablets);
	*ret_result = json_pack("{s:I}", "id", (json_int_t)n->id);
	(void)tablets_of(s, n->id, true);
	free(n->host);
	size_t at = (size_t)(n - s->nodes.v);
	s->nodes.n--;
	memmove(&s->nodes.v[at], &s->nodes.v[at + 1], (s->nodes.n - at) * sizeof(*s->nodes.v));
	return 0;
}

int meta_apply_set_node(struct meta_state *s, const json_t *p, json_t **ret_result, struct err *err)
{
	int64_t id = 0;
	int rc = meta_int(p, "id", 1, INT64_MAX, &id, err);
	if (rc < 0)
		return rc;
	struct meta_node *n = meta_state_node(s, id);
	if (!n)
		return err_set(err, SQL_ERR(1064), "there is no node %lld", (long long)id);
	const json_t *flag = json_object_get(p, "decommissioned");
	if (!json_is_boolean(flag))
		return err_set(err, SQL_ERR(1064), "decommissioned: true or false is wanted");
	if (n->role != META_BE)
		return err_set(err, SQL_ERR(1064), "only a backend can be decommissioned");
	n->decommissioned = json_is_true(flag);
	*ret_result = json_object();
	return 0;
}

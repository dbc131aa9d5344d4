#include "engine/cluster/cluster.h"
#include "engine/sql/run.h"
#include "lib/base/clock.h"

struct found {
	bool there;
	int64_t id;
	bool decommissioned;
};

static struct found find(struct sql_session *s, enum meta_role role, const struct sql_address *a)
{
	struct meta *m = s->server->meta;
	struct found f = { 0 };
	meta_rdlock(m);
	const struct meta_node *n = meta_node_at(m, role, a->host, a->port);
	if (n)
		f = (struct found){ true, n->id, n->decommissioned };
	meta_rdunlock(m);
	return f;
}

static const char *words(enum meta_role role)
{
	return role == META_BE ? "backend" : "compute node";
}

/* An address is taken by a node of either kind. */
static int check_new(struct sql_session *s, const struct sql_address *a, struct err *err)
{
	for (int role = META_BE; role <= META_CN; role++) {
		if (find(s, (enum meta_role)role, a).there)
			return err_set(err, SQL_ERR(1064), "Same %s already exists[%s:%d]",
			               words((enum meta_role)role), a->host, a->port);
	}
	return 0;
}

static int check_there(struct sql_session *s, enum meta_role role, const struct sql_address *a,
                       struct found *ret, struct err *err)
{
	*ret = find(s, role, a);
	if (!ret->there)
		return err_set(err, SQL_ERR(1064), "%s does not exists[%s:%d]", words(role),
		               a->host, a->port);
	return 0;
}

static bool has_other_live_replica(struct cluster *c, const struct meta_tablet *t, int64_t node)
{
	for (size_t i = 0; i < t->n_replicas; i++) {
		struct cluster_node n;
		if (t->replicas[i] != node && cluster_node(c, t->replicas[i], &n) && n.alive)
			return true;
	}
	return false;
}

struct tablet_copy {
	struct meta_tablet tablet;
	char db[META_NAME_MAX], table[META_NAME_MAX];
};

/* Copies of the tablets that node holds, so that nobody is asked about liveness under the catalog's lock. */
static size_t tablets_on(struct sql_session *s, int64_t node, struct tablet_copy **ret)
{
	VEC(struct tablet_copy) found = { 0 };
	struct meta *m = s->server->meta;
	meta_rdlock(m);
	size_t at = 0;
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at)) {
		for (size_t i = 0; i < t->n_tablets; i++) {
			for (size_t r = 0; r < t->tablets[i].n_replicas; r++) {
				if (t->tablets[i].replicas[r] != node)
					continue;
				struct tablet_copy *c = vec_more(&found);
				c->tablet = t->tablets[i];
				c->tablet.rowsets = NULL;
				(void)snprintf(c->db, sizeof(c->db), "%s", t->db);
				(void)snprintf(c->table, sizeof(c->table), "%s", t->name);
			}
		}
	}
	meta_rdunlock(m);
	*ret = found.v;
	return found.n;
}

static int check_not_last(struct sql_session *s, int64_t node, const struct sql_address *a,
                          struct err *err)
{
	autofree struct tablet_copy *tablets = NULL;
	size_t n = tablets_on(s, node, &tablets);
	for (size_t i = 0; i < n; i++) {
		const struct tablet_copy *t = &tablets[i];
		if (!has_other_live_replica(s->server->cluster, &t->tablet, node))
			return err_set(
				err, SQL_ERR(1064),
				"Tables such as [%s.%s] on the backend[%s:%d] have only one "
				"replica. To avoid data loss, please change the replication_num "
				"of [%s.%s] to three. ALTER SYSTEM DROP BACKEND <backends> FORCE "
				"can be used to forcibly drop the backend.",
				t->db, t->table, a->host, a->port, t->db, t->table);
	}
	return 0;
}

static int add(struct sql_session *s, enum meta_role role, const struct sql_address *a,
               struct err *err)
{
	return sql_session_submit(
		s, META_ADD_NODE,
		json_pack("{s:s, s:s, s:i, s:I}", "role", role == META_BE ? "be" : "cn", "host",
	                  a->host, "heartbeat_port", a->port, "ts", (json_int_t)clock_real_ms()),
		err);
}

static int drop(struct sql_session *s, enum meta_role role, const struct sql_address *a,
                struct err *err)
{
	/* Tablets with another live replica may lose this one: checked before. */
	return sql_session_submit(s, META_DROP_NODE,
	                          json_pack("{s:s, s:s, s:i, s:b}", "role",
	                                    role == META_BE ? "be" : "cn", "host", a->host,
	                                    "heartbeat_port", a->port, "force", true),
	                          err);
}

/* Whether the statement may do what it says to this node. */
static int check(struct sql_session *s, const struct sql_statement *st, const struct sql_address *a,
                 struct found *ret, struct err *err)
{
	if (st->alter == SQL_ALTER_ADD)
		return check_new(s, a, err);
	int rc = check_there(s, st->role, a, ret, err);
	if (rc < 0)
		return rc;
	if (st->alter == SQL_ALTER_DROP && st->role == META_BE && !st->force)
		return check_not_last(s, ret->id, a, err);
	if (st->alter == SQL_ALTER_DECOMMISSION && !ret->decommissioned)
		return cluster_can_decommission(s->server->cluster, ret->id, err);
	return 0;
}

static int change(struct sql_session *s, const struct sql_statement *st,
                  const struct sql_address *a, const struct found *f, struct err *err)
{
	switch (st->alter) {
	case SQL_ALTER_ADD:
		return add(s, st->role, a, err);
	case SQL_ALTER_DROP:
		return drop(s, st->role, a, err);
	default:
		return sql_session_submit(s, META_SET_NODE,
		                          json_pack("{s:I, s:b}", "id", (json_int_t)f->id,
		                                    "decommissioned",
		                                    st->alter == SQL_ALTER_DECOMMISSION),
		                          err);
	}
}

int sql_run_alter_system(struct sql_session *s, const struct sql_statement *st,
                         struct sql_sink *sink, struct err *err)
{
	autofree struct found *found = xcalloc(st->nodes.n, sizeof(*found));
	int rc = 0;
	/* All are looked at first, so that a wrong address in a list changes nothing. */
	for (size_t i = 0; rc == 0 && i < st->nodes.n; i++)
		rc = check(s, st, &st->nodes.v[i], &found[i], err);
	for (size_t i = 0; rc == 0 && i < st->nodes.n; i++)
		rc = change(s, st, &st->nodes.v[i], &found[i], err);
	if (rc < 0)
		return rc;
	cluster_kick(s->server->cluster);
	return sink->ok(sink, 0, NULL, err);
}

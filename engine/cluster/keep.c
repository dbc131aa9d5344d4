#include "engine/cluster/cluster_priv.h"
#include "engine/meta/txn.h"
#include "engine/rpc.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { GRACE_MS = 10 * 60 * 1000, KEEP_TIMEOUT_MS = 30 * 1000 };

static void number_key(char out[24], int64_t id)
{
	(void)snprintf(out, 24, "%lld", (long long)id);
}

/* The object under a number, made when it is not there. */
static json_t *child(json_t *parent, int64_t id)
{
	char key[24];
	number_key(key, id);
	json_t *there = json_object_get(parent, key);
	if (!there) {
		there = json_object();
		json_object_set_new(parent, key, there);
	}
	return there;
}

/* What the catalog wants where: {node:{tablet:{rowset:true}}}; every BE has an entry, be it empty. */
static json_t *wanted(struct meta *m)
{
	json_t *all = json_object();
	size_t at = 0;
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	for (const struct meta_node *n = meta_next_node(m, &at); n; n = meta_next_node(m, &at))
		if (n->role == META_BE)
			(void)child(all, n->id);
	at = 0;
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at)) {
		for (size_t i = 0; i < t->n_tablets; i++) {
			const struct meta_tablet *tablet = &t->tablets[i];
			for (size_t r = 0; r < tablet->n_replicas; r++) {
				json_t *keep = child(child(all, tablet->replicas[r]), tablet->id);
				for (size_t k = 0; k < tablet->n_rowsets; k++)
					json_object_set_new(keep, tablet->rowsets[k].id,
					                    json_true());
			}
		}
	}
	return all;
}

static json_t *message(json_t *tablets, int64_t grace_ms)
{
	json_t *list = json_array(), *rowsets = NULL, *unused = NULL;
	const char *tablet = NULL, *rowset = NULL;
	json_object_foreach(tablets, tablet, rowsets)
	{
		json_t *ids = json_array();
		json_object_foreach(rowsets, rowset, unused)
			json_array_append_new(ids, json_string(rowset));
		json_array_append_new(list, json_pack("{s:I, s:o}", "id",
		                                      (json_int_t)strtoll(tablet, NULL, 10),
		                                      "rowsets", ids));
	}
	return json_pack("{s:i, s:o, s:I}", "v", RPC_VERSION, "tablets", list, "grace_ms",
	                 (json_int_t)grace_ms);
}

json_t *cluster_keep_round(struct cluster *c, struct http_client *http, json_t *previous)
{
	/* Before the catalog is read: a load that began earlier is either in the catalog or among those that run, and
	 * nothing that it has written is older than it. */
	int64_t grace = GRACE_MS + meta_txn_oldest_ms(c->meta);
	json_t *now = wanted(c->meta);
	size_t n = 0;
	autofree struct cluster_node *nodes = cluster_list(c, 1U << META_BE, &n);
	for (size_t i = 0; previous && i < n; i++) {
		char key[24];
		struct err err = ERR_INIT;
		number_key(key, nodes[i].id);
		const json_t *before = json_object_get(previous, key);
		if (!nodes[i].alive || !before || !json_object_get(now, key))
			continue;
		/* What was wanted a round ago stays as well: a query that was planned then may still read it. */
		_cleanup_json_ json_t *both = json_deep_copy(before);
		json_object_update_recursive(both, json_object_get(now, key));
		_cleanup_json_ json_t *body = message(both, grace);
		if (cluster_post(c, http, nodes[i].rpc, "/rpc/v1/tablets/keep", body,
		                 deadline_in(KEEP_TIMEOUT_MS), &err) < 0)
			log_warn("backend=%lld garbage collection: %s", (long long)nodes[i].id,
			         err.msg);
	}
	json_decref(previous);
	return now;
}

#include <errno.h>

#include "engine/cluster/cluster_priv.h"
#include "engine/meta/txn.h"
#include "engine/rpc.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { CLONE_TIMEOUT_MS = 30 * 60 * 1000, STEP_MS = 1000, KEEP_EVERY_MS = 5 * 60 * 1000 };
enum { TRIES = 3, PATIENCE_MS = 100 };

/* One tablet that has to leave a backend. */
struct move {
	int64_t tablet, from, version; /* version: of the table when it was looked at */
	int64_t replicas[META_REPLICAS_MAX];
	size_t n_replicas;
	json_t *rowsets; /* [{id,rows,bytes,crc}…] */
};

static bool should_stop(void *arg)
{
	struct cluster *c = arg;
	return atomic_load(&c->stopping);
}

int cluster_post(struct cluster *c, struct http_client *http, const char *rpc, const char *path,
                 const json_t *body, struct deadline by, struct err *err)
{
	char token[CLUSTER_TOKEN_MAX];
	cluster_token(c, token);
	autofree char *url = xasprintf("http://%s%s", rpc, path);
	autofree char *text = data_json_text(body);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct http_call call = { .method = "POST",
		                  .url = url,
		                  .bearer = *token ? token : NULL,
		                  .body = str_of(text),
		                  .content_type = "application/json",
		                  .by = by,
		                  .should_stop = should_stop,
		                  .arg = c };
	int rc = http_call(http, &call, &reply, err);
	explicit_bzero(token, sizeof(token));
	if (rc < 0)
		return rc;
	if (reply.status == 200)
		return 0;
	_cleanup_json_ json_t *j = NULL;
	struct err ignored = ERR_INIT;
	(void)data_json_parse((struct str){ buf_cstr(&reply.body), reply.body.len }, &j, &ignored);
	const char *why = data_get_str(j, "error.message");
	return err_set(err, -EPROTO, "%s: HTTP %d%s%s", path, reply.status, why ? ": " : "",
	               why ? why : "");
}

static json_t *rowsets_of(const struct meta_tablet *t)
{
	json_t *rowsets = json_array();
	for (size_t i = 0; i < t->n_rowsets; i++) {
		const struct meta_rowset *r = &t->rowsets[i];
		char crc[9];
		(void)snprintf(crc, sizeof(crc), "%08x", r->crc);
		json_array_append_new(rowsets, json_pack("{s:s, s:I, s:I, s:s}", "id", r->id,
		                                         "rows", (json_int_t)r->rows, "bytes",
		                                         (json_int_t)r->bytes, "crc", crc));
	}
	return rowsets;
}

static bool lives_on(const struct meta_tablet *t, int64_t node)
{
	for (size_t i = 0; i < t->n_replicas; i++)
		if (t->replicas[i] == node)
			return true;
	return false;
}

/* The first tablet on the node with an id above `after`. */
static bool next_move(struct meta *m, int64_t node, int64_t after, struct move *ret)
{
	size_t at = 0;
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at)) {
		for (size_t i = 0; i < t->n_tablets; i++) {
			const struct meta_tablet *tablet = &t->tablets[i];
			if (tablet->id <= after || !lives_on(tablet, node))
				continue;
			*ret = (struct move){ .tablet = tablet->id,
				              .from = node,
				              .version = t->version,
				              .n_replicas = tablet->n_replicas,
				              .rowsets = rowsets_of(tablet) };
			memcpy(ret->replicas, tablet->replicas, sizeof(ret->replicas));
			return true;
		}
	}
	return false;
}

static bool holds(const struct move *mv, int64_t node)
{
	for (size_t i = 0; i < mv->n_replicas; i++)
		if (mv->replicas[i] == node)
			return true;
	return false;
}

/* Where to, and from which replica; false when there is no such place now. */
static bool choose(const struct move *mv, const struct cluster_node *nodes, size_t n,
                   const struct cluster_node **ret_to, const struct cluster_node **ret_source)
{
	const struct cluster_node *to = NULL, *source = NULL;
	for (size_t i = 0; i < n; i++) {
		const struct cluster_node *node = &nodes[i];
		if (!node->alive)
			continue;
		if (holds(mv, node->id)) {
			/* One that stays is asked first: the leaving one may go at any time. */
			if (!source || source->id == mv->from)
				source = node;
		} else if (!node->decommissioned && !node->draining &&
		           (!to || node->tablets < to->tablets)) {
			to = node;
		}
	}
	*ret_to = to;
	*ret_source = source;
	return to && (source || json_array_size(mv->rowsets) == 0);
}

/* Copies and switches over: 0, META_TXN_BUSY, META_TXN_MOVED, or a failure. The copy comes directly before the switch,
 * each time: it also brings back what garbage collection took from an earlier try. */
static int move_tablet(struct cluster *c, struct http_client *http, const struct move *mv,
                       const struct cluster_node *to, const struct cluster_node *source,
                       struct err *err)
{
	if (json_array_size(mv->rowsets)) {
		_cleanup_json_ json_t *body = json_pack("{s:i, s:I, s:O, s:s}", "v", RPC_VERSION,
		                                        "tablet", (json_int_t)mv->tablet, "rowsets",
		                                        mv->rowsets, "from", source->rpc);
		int rc = cluster_post(c, http, to->rpc, "/rpc/v1/tablets/clone", body,
		                      deadline_in(CLONE_TIMEOUT_MS), err);
		if (rc < 0)
			return err_wrap(err, "clone to %s", to->rpc);
	}
	int64_t replicas[META_REPLICAS_MAX];
	for (size_t i = 0; i < mv->n_replicas; i++)
		replicas[i] = mv->replicas[i] == mv->from ? to->id : mv->replicas[i];
	return meta_txn_set_replicas(c->meta, mv->tablet, replicas, mv->n_replicas, mv->version,
	                             err);
}

static bool is_decommissioned(struct cluster *c, int64_t node)
{
	struct cluster_node now;
	return cluster_node(c, node, &now) && now.decommissioned;
}

/* Moves one tablet, with a few tries while loads change it. True: it has moved. */
static bool try_tablet(struct cluster *c, struct http_client *http,
                       const struct cluster_node *nodes, size_t n, struct move *mv)
{
	for (int i = 0; i < TRIES && !atomic_load(&c->stopping); i++) {
		const struct cluster_node *to = NULL, *source = NULL;
		struct err err = ERR_INIT;
		if (!choose(mv, nodes, n, &to, &source)) {
			log_debug("tablet=%lld waits for a backend to move to",
			          (long long)mv->tablet);
			return false;
		}
		int rc = move_tablet(c, http, mv, to, source, &err);
		if (rc == 0) {
			log_info("tablet=%lld moved from backend=%lld to backend=%lld",
			         (long long)mv->tablet, (long long)mv->from, (long long)to->id);
			return true;
		}
		if (rc < 0) {
			log_warn("tablet=%lld move to backend=%lld failed: %s",
			         (long long)mv->tablet, (long long)to->id, err.msg);
			return false;
		}
		if (rc == META_TXN_BUSY)
			clock_sleep_ms(PATIENCE_MS);
		int64_t tablet = mv->tablet, from = mv->from;
		json_decref(mv->rowsets);
		mv->rowsets = NULL;
		if (!next_move(c->meta, from, tablet - 1, mv) || mv->tablet != tablet)
			return false;
	}
	return false;
}

/* A backend without tablets leaves the catalog: as in StarRocks it vanishes when it is drained. */
static void drop_drained(struct cluster *c, const struct cluster_node *n)
{
	struct err err = ERR_INIT;
	if (!is_decommissioned(c, n->id)) /* cancelled meanwhile */
		return;
	json_t *p = json_pack("{s:s, s:s, s:i, s:b}", "role", "be", "host", n->host,
	                      "heartbeat_port", n->heartbeat_port, "force", 0);
	if (meta_submit(c->meta, META_DROP_NODE, p, NULL, &err) < 0)
		log_warn("backend=%lld is drained but stays: %s", (long long)n->id, err.msg);
	else
		log_info("backend=%lld address=%s:%d is drained and gone", (long long)n->id,
		         n->host, n->heartbeat_port);
	cluster_kick(c);
}

bool cluster_move_step(struct cluster *c, struct http_client *http)
{
	size_t n = 0;
	autofree struct cluster_node *nodes = cluster_list(c, 1U << META_BE, &n);
	for (size_t i = 0; i < n && !atomic_load(&c->stopping); i++) {
		if (!nodes[i].decommissioned)
			continue;
		struct move mv = { 0 };
		bool moved = false, any = false;
		/* One that cannot move now does not hold up those behind it. */
		for (int64_t after = 0;
		     !moved && next_move(c->meta, nodes[i].id, after, &mv) &&
		     is_decommissioned(c, nodes[i].id) && !atomic_load(&c->stopping);
		     after = mv.tablet) {
			any = true;
			moved = try_tablet(c, http, nodes, n, &mv);
			json_decref(mv.rowsets);
			mv.rowsets = NULL;
		}
		json_decref(mv.rowsets);
		if (moved)
			return true;
		if (!any)
			drop_drained(c, &nodes[i]);
	}
	return false;
}

void *cluster_mover_main(void *arg)
{
	struct cluster *c = arg;
	_cleanup_(http_client_freep) struct http_client *http = NULL;
	_cleanup_json_ json_t *kept = NULL;
	struct err err = ERR_INIT;
	if (http_client_new(NULL, &http, &err) < 0) {
		log_error("tablet moves: %s", err.msg);
		return NULL;
	}
	int64_t keep_at = clock_mono_ms();
	for (bool stop = false; !stop;) {
		while (!atomic_load(&c->stopping) && cluster_move_step(c, http))
			;
		if (clock_mono_ms() >= keep_at && !atomic_load(&c->stopping)) {
			kept = cluster_keep_round(c, http, TAKE_PTR(kept));
			keep_at = clock_mono_ms() + KEEP_EVERY_MS;
		}
		stop = cluster_wait(c, STEP_MS);
	}
	return NULL;
}

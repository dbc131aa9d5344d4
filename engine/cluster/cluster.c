#include "engine/cluster/cluster.h"

#include <errno.h>

#include "engine/cluster/cluster_priv.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

struct cluster_live *cluster_find(struct cluster *c, int64_t id)
{
	size_t low = 0, high = c->live.n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (c->live.v[mid]->node.id == id)
			return c->live.v[mid];
		if (c->live.v[mid]->node.id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

int cluster_start(const struct cluster_config *config, struct cluster **ret, struct err *err)
{
	struct cluster *c = xcalloc(1, sizeof(*c));
	c->meta = config->meta;
	c->token_file = config->token_file ? xstrdup(config->token_file) : NULL;
	c->fe_rpc = xstrdup(config->fe_rpc);
	c->heartbeat_ms = config->heartbeat_ms ? config->heartbeat_ms : RPC_HEARTBEAT_MS;
	c->on_change = config->on_change;
	c->arg = config->arg;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attr);
	pthread_condattr_destroy(&attr);
	*ret = c; /* before the threads run: on_change may look at it */
	c->beats_run = pthread_create(&c->beats, NULL, cluster_beats_main, c) == 0;
	c->mover_run = pthread_create(&c->mover, NULL, cluster_mover_main, c) == 0;
	if (c->beats_run && c->mover_run)
		return 0;
	cluster_stop(c);
	*ret = NULL;
	return err_set(err, -EAGAIN, "cannot start the heartbeat threads");
}

void cluster_stop(struct cluster *c)
{
	if (!c)
		return;
	atomic_store(&c->stopping, true);
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (c->beats_run)
		(void)pthread_join(c->beats, NULL);
	if (c->mover_run)
		(void)pthread_join(c->mover, NULL);
	for (size_t i = 0; i < c->live.n; i++)
		free(c->live.v[i]);
	vec_free(&c->live);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c->token_file);
	free(c->fe_rpc);
	free(c);
}

bool cluster_wait(struct cluster *c, int64_t ms)
{
	int64_t at = clock_mono_ms() + ms;
	struct timespec until = { .tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000 };
	pthread_mutex_lock(&c->lock);
	if (!c->stop && !c->kicked)
		(void)pthread_cond_timedwait(&c->wake, &c->lock, &until);
	bool stop = c->stop;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

void cluster_kick(struct cluster *c)
{
	pthread_mutex_lock(&c->lock);
	c->kicked = true;
	for (size_t i = 0; i < c->live.n; i++)
		c->live.v[i]->due_ms = 0;
	pthread_cond_broadcast(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

void cluster_settle_drain(struct cluster_live *l)
{
	l->node.draining = l->says_draining || l->drain_until_ms > clock_mono_ms();
}

void cluster_set_draining(struct cluster *c, int64_t node, bool draining)
{
	pthread_mutex_lock(&c->lock);
	struct cluster_live *l = cluster_find(c, node);
	if (l) {
		l->says_draining = draining;
		l->told_ms = clock_mono_ms();
		cluster_settle_drain(l);
	}
	pthread_mutex_unlock(&c->lock);
	if (l && c->on_change)
		c->on_change(c->arg);
}

void cluster_ask_drain(struct cluster *c, int64_t node, int64_t ms)
{
	pthread_mutex_lock(&c->lock);
	struct cluster_live *l = cluster_find(c, node);
	if (l) {
		l->drain_until_ms = ms > 0 ? clock_mono_ms() + ms : 0;
		cluster_settle_drain(l);
	}
	pthread_mutex_unlock(&c->lock);
	if (l && c->on_change)
		c->on_change(c->arg);
}

void cluster_suspect(struct cluster *c, int64_t node)
{
	pthread_mutex_lock(&c->lock);
	struct cluster_live *l = cluster_find(c, node);
	if (l) {
		l->suspect = true;
		l->due_ms = 0;
		c->kicked = true;
		pthread_cond_broadcast(&c->wake);
	}
	pthread_mutex_unlock(&c->lock);
}

int64_t cluster_silent_ms(struct cluster *c, int64_t node)
{
	pthread_mutex_lock(&c->lock);
	const struct cluster_live *l = cluster_find(c, node);
	int64_t ms = l && !l->node.alive ? clock_mono_ms() - l->good_ms : 0;
	pthread_mutex_unlock(&c->lock);
	return ms;
}

/* The catalog's part of a node: what is known before any heartbeat. */
static void from_catalog(const struct meta_node *n, struct cluster_node *out)
{
	memset(out, 0, sizeof(*out));
	out->id = n->id;
	out->role = n->role;
	(void)snprintf(out->host, sizeof(out->host), "%s", n->host);
	out->heartbeat_port = n->heartbeat_port;
	out->decommissioned = n->decommissioned;
	out->added_ts = n->added_ts;
}

static struct cluster_node *by_id(struct cluster_node *nodes, size_t n, int64_t id)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = (low + high) / 2;
		if (nodes[mid].id == id)
			return &nodes[mid];
		if (nodes[mid].id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static size_t copy_catalog(struct meta *m, unsigned roles, struct cluster_node *out, size_t max)
{
	size_t n = 0, at = 0;
	_cleanup_meta_rdunlock_ struct meta *locked = m;
	meta_rdlock(m);
	for (const struct meta_node *node = meta_next_node(m, &at); node && n < max;
	     node = meta_next_node(m, &at))
		if (roles & 1U << node->role)
			from_catalog(node, &out[n++]);
	at = 0;
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at)) {
		for (size_t i = 0; i < t->n_tablets; i++) {
			for (size_t r = 0; r < t->tablets[i].n_replicas; r++) {
				struct cluster_node *on = by_id(out, n, t->tablets[i].replicas[r]);
				if (on)
					on->tablets++;
			}
		}
	}
	return n;
}

size_t cluster_nodes(struct cluster *c, unsigned roles, struct cluster_node *out, size_t max)
{
	size_t n = copy_catalog(c->meta, roles, out, max);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < n; i++) {
		const struct cluster_live *l = cluster_find(c, out[i].id);
		if (!l)
			continue;
		struct cluster_node catalog = out[i];
		out[i] = l->node;
		out[i].decommissioned = catalog.decommissioned;
		out[i].tablets = catalog.tablets;
	}
	pthread_mutex_unlock(&c->lock);
	return n;
}

struct cluster_node *cluster_list(struct cluster *c, unsigned roles, size_t *ret_n)
{
	struct meta *m = c->meta;
	size_t n = 1, at = 0; /* one more than there are: also with none it is an array */
	meta_rdlock(m);
	while (meta_next_node(m, &at))
		n++;
	meta_rdunlock(m);
	struct cluster_node *nodes = xcalloc(n, sizeof(*nodes));
	*ret_n = cluster_nodes(c, roles, nodes, n);
	return nodes;
}

bool cluster_node(struct cluster *c, int64_t id, struct cluster_node *out)
{
	struct meta *m = c->meta;
	meta_rdlock(m);
	const struct meta_node *node = meta_node_by_id(m, id);
	if (node) {
		from_catalog(node, out);
		out->tablets = meta_tablets_on(m, id);
	}
	meta_rdunlock(m);
	if (!node)
		return false;
	struct cluster_node catalog = *out;
	pthread_mutex_lock(&c->lock);
	const struct cluster_live *l = cluster_find(c, id);
	if (l) {
		*out = l->node;
		out->decommissioned = catalog.decommissioned;
		out->tablets = catalog.tablets;
	}
	pthread_mutex_unlock(&c->lock);
	return true;
}

void cluster_slots(struct cluster *c, int *ret_be, int *ret_cn)
{
	int slots[2] = { 0, 0 };
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->live.n; i++) {
		const struct cluster_node *n = &c->live.v[i]->node;
		if (n->alive && !n->draining && !c->live.v[i]->gone)
			slots[n->role] += n->slots;
	}
	pthread_mutex_unlock(&c->lock);
	*ret_be = slots[META_BE];
	*ret_cn = slots[META_CN];
}

int cluster_can_decommission(struct cluster *c, int64_t node, struct err *err)
{
	struct meta *m = c->meta;
	int stay = 0, need = 0;
	size_t at = 0;
	meta_rdlock(m);
	for (const struct meta_node *n = meta_next_node(m, &at); n; n = meta_next_node(m, &at))
		stay += n->role == META_BE && !n->decommissioned && n->id != node;
	at = 0;
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at))
		if (t->storage == META_LOCAL && t->replication_num > need)
			need = t->replication_num;
	meta_rdunlock(m);
	if (stay < need)
		return err_set(err, SQL_ERR(1064),
		               "It will cause insufficient BE number: %d would stay, and there are "
		               "tables with replication_num %d",
		               stay, need);
	return 0;
}

void cluster_token(const struct cluster *c, char out[CLUSTER_TOKEN_MAX])
{
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT(CLUSTER_TOKEN_MAX - 1);
	out[0] = '\0';
	if (!c->token_file)
		return;
	if (fd_read_file(c->token_file, &text, &err) < 0) {
		log_warn("the node-to-node token cannot be read: %s", err.msg);
		return;
	}
	struct str rest = { buf_cstr(&text), text.len }, line;
	while (str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		if (line.len) {
			(void)snprintf(out, CLUSTER_TOKEN_MAX, "%.*s", STR_ARG(line));
			return;
		}
	}
}

#include <errno.h>

#include "engine/cluster/cluster_priv.h"
#include "engine/meta/txn.h"
#include "engine/rpc.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { BEAT_TIMEOUT_MS = 3000, ANSWER_MAX = 64 * 1024, SLICE_MS = 100 };
enum { NEW_MS = 100, NEW_FOR_MS = 60000 };

/* A worker's answer (rpc.h). */
struct answer {
	char *role, *version;
	int64_t v, start_ts, be_port, http_port, brpc_port, cpu_cores, mem_limit, mem_used;
	int64_t disk_total, disk_avail, data_used, running, slots, cached_bytes;
	bool draining;
};

static int decode(const json_t *j, struct answer *a, struct err *err)
{
#define NEED(name, type, needed) { #name, type, offsetof(struct answer, name), needed }
	static const struct data_field fields[] = {
		NEED(v, DATA_INT, true),
		NEED(role, DATA_STR, true),
		NEED(version, DATA_STR, true),
		NEED(start_ts, DATA_INT, true),
		NEED(be_port, DATA_INT, false),
		NEED(http_port, DATA_INT, true),
		NEED(brpc_port, DATA_INT, true),
		NEED(cpu_cores, DATA_INT, false),
		NEED(mem_limit, DATA_INT, false),
		NEED(mem_used, DATA_INT, false),
		NEED(disk_total, DATA_INT, false),
		NEED(disk_avail, DATA_INT, false),
		NEED(data_used, DATA_INT, false),
		NEED(running, DATA_INT, false),
		NEED(slots, DATA_INT, true),
		NEED(draining, DATA_BOOL, false),
		NEED(cached_bytes, DATA_INT, false),
	};
#undef NEED
	int rc = data_decode(j, fields, ARRAY_LEN(fields), a, err);
	if (rc < 0)
		return rc;
	if (a->v != RPC_VERSION && a->v != RPC_VERSION - 1)
		return err_set(err, -EPROTO, "speaks version %lld of the messages, not %d",
		               (long long)a->v, RPC_VERSION);
	if (a->brpc_port < 1 || a->brpc_port > 65535 || a->http_port < 1 || a->http_port > 65535 ||
	    a->slots < 0 || a->slots > 100000)
		return err_set(err, -EPROTO, "answers with a port or slots out of range");
	return 0;
}

static void take_answer(struct cluster_live *l, const struct answer *a)
{
	struct cluster_node *n = &l->node;
	struct buf rpc = BUF_INIT(sizeof(n->rpc) - 1);
	(void)http_host_port(n->host, (int)a->brpc_port, &rpc);
	(void)snprintf(n->rpc, sizeof(n->rpc), "%s", buf_cstr(&rpc));
	buf_free(&rpc);
	(void)snprintf(n->version, sizeof(n->version), "%s", a->version);
	n->error[0] = '\0';
	n->be_port = (int)a->be_port;
	n->http_port = (int)a->http_port;
	n->brpc_port = (int)a->brpc_port;
	n->start_ts = a->start_ts;
	n->cpu_cores = (int)a->cpu_cores;
	n->slots = (int)a->slots;
	n->running = (int)a->running;
	n->mem_limit = a->mem_limit;
	n->mem_used = a->mem_used;
	n->disk_total = a->disk_total;
	n->disk_avail = a->disk_avail;
	n->data_used = a->data_used;
	n->cached_bytes = a->cached_bytes;
	/* An answer that was asked for before the worker itself spoke is older than what it said. */
	if (l->beat.sent_ms > l->told_ms)
		l->says_draining = a->draining;
	cluster_settle_drain(l);
	n->last_heartbeat_ts = clock_real_ms();
	n->alive = true;
	l->suspect = false;
	l->good_ms = clock_mono_ms();
}

/* What went wrong with a heartbeat, in the worker's words where it had some. */
static int check_reply(const struct cluster_live *l, const struct http_done *done, struct answer *a,
                       struct err *err)
{
	_cleanup_json_ json_t *j = NULL;
	if (done->rc < 0)
		return err_set(err, done->rc, "%s", done->err.msg);
	struct str body = { buf_cstr(&done->reply->body), done->reply->body.len };
	int rc = data_json_parse(body, &j, err);
	const char *why = rc == 0 ? data_get_str(j, "error.message") : NULL;
	if (done->reply->status != 200)
		return err_set(err, -EPROTO, "heartbeat: HTTP %d%s%s", done->reply->status,
		               why ? ": " : "", why ? why : "");
	if (rc == 0)
		rc = decode(j, a, err);
	if (rc < 0)
		return err_wrap(err, "heartbeat");
	const char *role = l->node.role == META_BE ? "be" : "cn";
	if (strcmp(a->role, role) != 0)
		return err_set(err, -EPROTO, "is a %.8s, but was added as a %s", a->role, role);
	return 0;
}

/* One that was added a moment ago is about to start, and queries may be waiting for it. */
static int64_t pause_ms(const struct cluster *c, const struct cluster_live *l, int rc)
{
	bool is_new = rc < 0 && l->node.last_heartbeat_ts == 0 &&
	              clock_real_ms() - l->node.added_ts < NEW_FOR_MS;
	return is_new && c->heartbeat_ms > NEW_MS ? NEW_MS : c->heartbeat_ms;
}

static void beat_done(struct cluster *c, const struct http_done *done)
{
	struct cluster_live *l = done->tag;
	struct answer a = { 0 };
	struct err err = ERR_INIT;
	int rc = check_reply(l, done, &a, &err);
	pthread_mutex_lock(&c->lock);
	if (rc == 0) {
		if (!l->node.alive)
			log_info("node=%lld address=%s:%d is alive", (long long)l->node.id,
			         l->node.host, l->node.heartbeat_port);
		take_answer(l, &a);
	} else {
		(void)snprintf(l->node.error, sizeof(l->node.error), "%.255s", err.msg);
		/* Nobody listens there: no need to wait for the age of the last answer. */
		if (l->suspect || rc == -ECONNREFUSED)
			l->good_ms = 0;
		l->suspect = false;
	}
	l->beat.under_way = false;
	l->due_ms = l->beat.sent_ms + pause_ms(c, l, rc);
	pthread_mutex_unlock(&c->lock);
	http_reply_free(done->reply);
	free(l->beat.body);
	l->beat.body = NULL;
	free(a.role);
	free(a.version);
}

/* What tells of a change that others act on. */
static uint64_t signature(struct cluster *c)
{
	uint64_t sum = 0;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->live.n; i++) {
		const struct cluster_node *n = &c->live.v[i]->node;
		char text[160];
		int len = snprintf(text, sizeof(text), "%lld %d %d %d %d %lld %d", (long long)n->id,
		                   n->alive, n->draining, n->decommissioned, n->slots,
		                   (long long)n->start_ts, c->live.v[i]->gone);
		sum += str_hash((struct str){ text, (size_t)len }, 1);
	}
	pthread_mutex_unlock(&c->lock);
	return sum;
}

/* Liveness and asked drains by age; those that left the catalog and have no call under way are freed. */
static void review(struct cluster *c)
{
	int64_t now = clock_mono_ms();
	pthread_mutex_lock(&c->lock);
	size_t kept = 0;
	for (size_t i = 0; i < c->live.n; i++) {
		struct cluster_live *l = c->live.v[i];
		if (l->node.alive && (l->good_ms == 0 || now - l->good_ms > CLUSTER_ALIVE_MS)) {
			l->node.alive = false;
			log_warn("node=%lld address=%s:%d is not alive: %s", (long long)l->node.id,
			         l->node.host, l->node.heartbeat_port, l->node.error);
		}
		cluster_settle_drain(l);
		if (l->gone && !l->beat.under_way)
			free(l);
		else
			c->live.v[kept++] = l;
	}
	c->live.n = kept;
	pthread_mutex_unlock(&c->lock);
}

static void add_live(struct cluster *c, const struct meta_node *n)
{
	struct cluster_live *known = cluster_find(c, n->id);
	if (known) {
		known->node.decommissioned = n->decommissioned;
		known->gone = false;
		return;
	}
	struct cluster_live *l = xcalloc(1, sizeof(*l));
	l->node.id = n->id;
	l->node.role = n->role;
	l->node.heartbeat_port = n->heartbeat_port;
	l->node.decommissioned = n->decommissioned;
	l->node.added_ts = n->added_ts;
	(void)snprintf(l->node.host, sizeof(l->node.host), "%s", n->host);
	vec_push(&c->live, l);
	for (size_t i = c->live.n - 1; i > 0 && c->live.v[i - 1]->node.id > n->id; i--) {
		c->live.v[i] = c->live.v[i - 1];
		c->live.v[i - 1] = l;
	}
}

/* Brings the live list to what the catalog has. Takes both locks, meta's first: the order of everybody. */
static void sync_members(struct cluster *c, struct http_batch *batch)
{
	_cleanup_meta_rdunlock_ struct meta *m = c->meta;
	size_t at = 0;
	meta_rdlock(m);
	pthread_mutex_lock(&c->lock);
	c->kicked = false;
	for (size_t i = 0; i < c->live.n; i++)
		c->live.v[i]->gone = true;
	for (const struct meta_node *n = meta_next_node(m, &at); n; n = meta_next_node(m, &at))
		add_live(c, n);
	for (size_t i = 0; i < c->live.n; i++)
		if (c->live.v[i]->gone && c->live.v[i]->beat.under_way)
			http_batch_cancel(batch, c->live.v[i]);
	pthread_mutex_unlock(&c->lock);
}

static void send_beat(struct cluster *c, struct http_batch *batch, struct cluster_live *l,
                      const char *token)
{
	static const char *const no_headers[] = { NULL };
	struct cluster_beat *b = &l->beat;
	struct err err = ERR_INIT;
	_cleanup_buf_ struct buf address = BUF_INIT(META_NAME_MAX + 16);
	(void)http_host_port(l->node.host, l->node.heartbeat_port, &address);
	(void)snprintf(b->url, sizeof(b->url), "http://%s/rpc/v1/heartbeat", buf_cstr(&address));
	(void)snprintf(b->token, sizeof(b->token), "%s", token);
	_cleanup_json_ json_t *j =
		json_pack("{s:i, s:I, s:I, s:s, s:I}", "v", RPC_VERSION, "cluster_id",
	                  (json_int_t)meta_cluster_id(c->meta), "node_id", (json_int_t)l->node.id,
	                  "fe", c->fe_rpc, "ts", (json_int_t)clock_real_ms());
	b->body = data_json_text(j);
	b->reply = (struct http_reply)HTTP_REPLY_INIT;
	b->call = (struct http_call){ .method = "POST",
		                      .url = b->url,
		                      .headers = no_headers,
		                      .bearer = *b->token ? b->token : NULL,
		                      .body = str_of(b->body),
		                      .content_type = "application/json",
		                      .by = deadline_in(BEAT_TIMEOUT_MS),
		                      .body_max = ANSWER_MAX };
	b->sent_ms = clock_mono_ms();
	int rc = http_batch_add(batch, &b->call, &b->reply, l, &err);
	pthread_mutex_lock(&c->lock);
	b->under_way = rc == 0;
	l->due_ms = b->sent_ms + c->heartbeat_ms;
	if (rc < 0)
		(void)snprintf(l->node.error, sizeof(l->node.error), "%.255s", err.msg);
	pthread_mutex_unlock(&c->lock);
	if (rc < 0) {
		free(b->body);
		b->body = NULL;
	}
}

/* Sends what is due and returns when the next one will be (monotonic). */
static int64_t send_due(struct cluster *c, struct http_batch *batch)
{
	char token[CLUSTER_TOKEN_MAX];
	int64_t now = clock_mono_ms(), next = now + c->heartbeat_ms;
	cluster_token(c, token);
	for (size_t i = 0; i < c->live.n; i++) { /* only this thread changes the list */
		struct cluster_live *l = c->live.v[i];
		pthread_mutex_lock(&c->lock);
		bool idle = !l->beat.under_way && !l->gone;
		int64_t due = l->due_ms;
		pthread_mutex_unlock(&c->lock);
		if (idle && due <= now)
			send_beat(c, batch, l, token);
		else if (idle && due < next)
			next = due;
	}
	explicit_bzero(token, sizeof(token));
	return next;
}

/* Takes answers until the next heartbeat is due, some came, somebody kicks, or the end; true: the end. */
static bool take_until(struct cluster *c, struct http_batch *batch, int64_t next)
{
	for (;;) {
		int64_t left = next - clock_mono_ms();
		pthread_mutex_lock(&c->lock);
		bool stop = c->stop, kicked = c->kicked;
		pthread_mutex_unlock(&c->lock);
		if (stop || kicked || left <= 0)
			return stop;
		struct http_done done;
		struct err err = ERR_INIT;
		struct deadline by = deadline_in(left < SLICE_MS ? left : SLICE_MS);
		int rc = http_batch_next(batch, by, &done, &err);
		bool some = rc == 0;
		for (; rc == 0; rc = http_batch_next(batch, deadline_in(0), &done, &err))
			beat_done(c, &done);
		if (some)
			return false; /* what changed is told at once */
		if (rc != HTTP_BATCH_WAIT)
			return cluster_wait(c, left);
	}
}

void *cluster_beats_main(void *arg)
{
	struct cluster *c = arg;
	_cleanup_(http_batch_freep) struct http_batch *batch = NULL;
	struct err err = ERR_INIT;
	if (http_batch_new(NULL, &batch, &err) < 0) {
		log_error("heartbeats: %s", err.msg);
		return NULL;
	}
	uint64_t before = 0;
	for (bool stop = false; !stop;) {
		sync_members(c, batch);
		int64_t next = send_due(c, batch);
		stop = take_until(c, batch, next);
		review(c);
		uint64_t now = signature(c);
		if (now != before && c->on_change && !stop)
			c->on_change(c->arg);
		before = now;
		meta_txn_sweep(c->meta);
	}
	for (size_t i = 0; i < c->live.n; i++)
		if (c->live.v[i]->beat.under_way)
			http_batch_cancel(batch, c->live.v[i]);
	struct http_done done;
	while (http_batch_next(batch, deadline_in(1000), &done, &err) == 0)
		beat_done(c, &done);
	return NULL;
}

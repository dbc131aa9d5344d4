#include "engine/sql/connections.h"

#include <pthread.h>

#include "engine/sql/session.h"
#include "lib/base/clock.h"
#include "lib/base/vec.h"

struct entry {
	struct sql_session *session;
	struct sql_connection shown;
};

struct sql_connections {
	pthread_mutex_t lock;
	VEC(struct entry) entries;
	struct sql_stats stats;
};

struct sql_connections *sql_connections_new(void)
{
	struct sql_connections *c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

void sql_connections_free(struct sql_connections *c)
{
	if (!c)
		return;
	vec_free(&c->entries);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct entry *find(struct sql_connections *c, uint32_t id)
{
	for (size_t i = 0; i < c->entries.n; i++) {
		if (c->entries.v[i].shown.id == id)
			return &c->entries.v[i];
	}
	return NULL;
}

void sql_connections_add(struct sql_connections *c, uint32_t id, struct sql_session *s,
                         const char *user, const char *peer)
{
	struct entry e = {
		.session = s,
		.shown = { .id = id, .connected_ts = clock_real_ms(), .since_ms = clock_mono_ms() }
	};
	(void)snprintf(e.shown.user, sizeof(e.shown.user), "%s", user);
	(void)snprintf(e.shown.peer, sizeof(e.shown.peer), "%s", peer);
	pthread_mutex_lock(&c->lock);
	vec_push(&c->entries, e);
	pthread_mutex_unlock(&c->lock);
}

void sql_connections_del(struct sql_connections *c, uint32_t id, const struct sql_session *s)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->entries.n; i++) {
		if (c->entries.v[i].shown.id == id && c->entries.v[i].session == s) {
			c->entries.v[i] = c->entries.v[--c->entries.n];
			break;
		}
	}
	pthread_mutex_unlock(&c->lock);
}

void sql_connections_doing(struct sql_connections *c, uint32_t id, struct str sql, const char *db)
{
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, id);
	if (e) {
		e->shown.running = sql.p != NULL;
		e->shown.since_ms = clock_mono_ms();
		size_t n = sql.p ? sql.len : 0;
		if (n >= sizeof(e->shown.info))
			n = sizeof(e->shown.info) - 1;
		if (n)
			memcpy(e->shown.info, sql.p, n);
		e->shown.info[n] = '\0';
		(void)snprintf(e->shown.db, sizeof(e->shown.db), "%s", db);
	}
	pthread_mutex_unlock(&c->lock);
}

bool sql_connections_kill(struct sql_connections *c, uint32_t id, bool connection)
{
	pthread_mutex_lock(&c->lock);
	struct entry *e = find(c, id);
	if (e)
		sql_session_kill(e->session, connection);
	pthread_mutex_unlock(&c->lock);
	return e != NULL;
}

static int by_id(const void *a, const void *b)
{
	const struct sql_connection *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

size_t sql_connections_list(struct sql_connections *c, struct sql_connection *out, size_t max)
{
	pthread_mutex_lock(&c->lock);
	size_t n = c->entries.n < max ? c->entries.n : max;
	for (size_t i = 0; i < n; i++)
		out[i] = c->entries.v[i].shown;
	pthread_mutex_unlock(&c->lock);
	if (n)
		qsort(out, n, sizeof(*out), by_id);
	return n;
}

void sql_connections_count(struct sql_connections *c, bool query, bool failed, double seconds)
{
	pthread_mutex_lock(&c->lock);
	c->stats.statements++;
	if (query) {
		c->stats.queries++;
		c->stats.query_errors += failed;
		c->stats.query_seconds += seconds;
	}
	pthread_mutex_unlock(&c->lock);
}

void sql_connections_stats(struct sql_connections *c, struct sql_stats *ret)
{
	pthread_mutex_lock(&c->lock);
	*ret = c->stats;
	ret->connections = c->entries.n;
	pthread_mutex_unlock(&c->lock);
}

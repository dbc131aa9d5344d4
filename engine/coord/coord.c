#include "engine/coord/coord.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cluster/cluster.h"
#include "engine/coord/coord_priv.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

enum {
	TOKEN_MAX = 4096,
	IDLE_BATCHES_MAX = 64,
	FORGET_MAX = 100000, /* calls that wait; a worker drops old files by itself as well */
	FORGET_DEADLINE_MS = 5000,
	FORGET_AT_ONCE = 64,
};

struct forget {
	char *url;
};

struct coord {
	struct coord_config config;
	char *token_file, *spool_dir;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool started, stop;
	VEC(struct forget) forgets;
	struct http_batch *idle[IDLE_BATCHES_MAX];
	size_t n_idle;
};

int coord_token(const struct coord *c, struct buf *out, struct err *err)
{
	if (!c->token_file)
		return 0;
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	int rc = fd_read_file(c->token_file, &text, err);
	if (rc < 0)
		return err_wrap(err, "node-to-node token");
	struct str rest = { buf_cstr(&text), text.len }, line = { 0 };
	(void)str_split(&rest, '\n', &line);
	line = str_trim(line);
	rc = buf_add(out, line.p, line.len);
	explicit_bzero(text.p, text.len);
	return rc;
}

const char *coord_spool_dir(const struct coord *c)
{
	return c->spool_dir;
}

void coord_suspect(struct coord *c, const struct coord_node *n)
{
	log_info("node=%lld address=%s event=connection_lost", (long long)n->id, n->rpc);
	if (c->config.cluster)
		cluster_suspect(c->config.cluster, n->id);
}

bool coord_is_silent(struct coord *c, const struct coord_node *n)
{
	return c->config.cluster && cluster_silent_ms(c->config.cluster, n->id) > COORD_SILENT_MS;
}

int coord_take_batch(struct coord *c, struct http_batch **ret, struct err *err)
{
	pthread_mutex_lock(&c->lock);
	struct http_batch *b = c->n_idle ? c->idle[--c->n_idle] : NULL;
	pthread_mutex_unlock(&c->lock);
	if (!b)
		return http_batch_new(NULL, ret, err);
	*ret = b;
	return 0;
}

void coord_give_batch(struct coord *c, struct http_batch *b)
{
	pthread_mutex_lock(&c->lock);
	bool keep = c->n_idle < IDLE_BATCHES_MAX && !c->stop;
	if (keep)
		c->idle[c->n_idle++] = b;
	pthread_mutex_unlock(&c->lock);
	if (!keep)
		http_batch_free(b);
}

void coord_forget(struct coord *c, const char *query_id, const struct coord_dag *d,
                  const bool *used)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < d->n_nodes; i++) {
		if (used[i] && c->forgets.n < FORGET_MAX)
			vec_push(&c->forgets,
			         (struct forget){ xasprintf("http://%s/rpc/v1/queries/%s",
			                                    d->nodes[i].rpc, query_id) });
	}
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

/* Sends some of the DELETE calls, all at once; answers do not matter. */
static void forget_some(struct coord *c, struct http_batch *b, struct forget *some, size_t n)
{
	struct http_reply *replies = xcalloc(n, sizeof(*replies));
	_cleanup_buf_ struct buf token = BUF_INIT(TOKEN_MAX);
	struct err err = ERR_INIT;
	struct deadline by = deadline_in(FORGET_DEADLINE_MS);
	if (coord_token(c, &token, &err) < 0)
		log_warn("%s", err.msg);
	struct http_call *calls = xcalloc(n, sizeof(*calls));
	for (size_t i = 0; i < n; i++) {
		replies[i] = (struct http_reply)HTTP_REPLY_INIT;
		calls[i] = (struct http_call){ .method = "DELETE",
			                       .url = some[i].url,
			                       .bearer = token.len ? buf_cstr(&token) : NULL,
			                       .by = by };
		(void)http_batch_add(b, &calls[i], &replies[i], &replies[i], &err);
	}
	struct http_done done;
	while (http_batch_next(b, by, &done, &err) == 0)
		;
	/* A deadline of all calls is that of the loop: what is left ends now. */
	for (size_t i = 0; i < n; i++)
		http_batch_cancel(b, &replies[i]);
	while (http_batch_next(b, deadline_in(100), &done, &err) == 0)
		;
	for (size_t i = 0; i < n; i++)
		http_reply_free(&replies[i]);
	free(replies);
	free(calls);
}

static void *forget_main(void *arg)
{
	struct coord *c = arg;
	_cleanup_(http_batch_freep) struct http_batch *b = NULL;
	struct err err = ERR_INIT;
	if (http_batch_new(NULL, &b, &err) < 0)
		log_error("%s", err.msg);
	pthread_mutex_lock(&c->lock);
	while (b && !(c->stop && c->forgets.n == 0)) {
		if (c->forgets.n == 0) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		struct forget some[FORGET_AT_ONCE];
		size_t n = c->forgets.n < FORGET_AT_ONCE ? c->forgets.n : FORGET_AT_ONCE;
		c->forgets.n -= n;
		memcpy(some, c->forgets.v + c->forgets.n, n * sizeof(*some));
		pthread_mutex_unlock(&c->lock);
		forget_some(c, b, some, n);
		for (size_t i = 0; i < n; i++)
			free(some[i].url);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

int coord_new(const struct coord_config *config, struct coord **ret, struct err *err)
{
	_cleanup_(coord_freep) struct coord *c = xcalloc(1, sizeof(*c));
	c->config = *config;
	c->token_file = config->token_file ? xstrdup(config->token_file) : NULL;
	c->spool_dir = xstrdup(config->spool_dir ? config->spool_dir : "/tmp");
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	int rc = pthread_create(&c->thread, NULL, forget_main, c);
	if (rc)
		return err_set(err, -rc, "starting coord's thread: %s", strerror(rc));
	c->started = true;
	*ret = TAKE_PTR(c);
	return 0;
}

void coord_free(struct coord *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	if (c->started)
		pthread_join(c->thread, NULL);
	for (size_t i = 0; i < c->n_idle; i++)
		http_batch_free(c->idle[i]);
	for (size_t i = 0; i < c->forgets.n; i++)
		free(c->forgets.v[i].url);
	vec_free(&c->forgets);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->wake);
	free(c->token_file);
	free(c->spool_dir);
	free(c);
}

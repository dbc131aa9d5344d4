/* What struct cluster is made of: for the files of engine/cluster only.
 *
 * Thread: `lock` guards the live list's content for the public calls; only the heartbeat thread adds, removes or
 * changes entries. Never call meta with `lock` held, so that callers may hold meta's read lock. */
#ifndef ROOST_ENGINE_CLUSTER_CLUSTER_PRIV_H
#define ROOST_ENGINE_CLUSTER_CLUSTER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/cluster/cluster.h"
#include "lib/base/vec.h"
#include "lib/net/http_client.h"

enum { CLUSTER_TOKEN_MAX = 4096 };

/* What one heartbeat call needs until it is over. */
struct cluster_beat {
	bool under_way;
	int64_t sent_ms;
	struct http_call call;
	struct http_reply reply;
	char url[META_NAME_MAX + 64], token[CLUSTER_TOKEN_MAX];
	char *body;
};

struct cluster_live {
	struct cluster_node node;
	bool gone;       /* left the catalog; freed when its call is over */
	bool suspect;    /* a task's connection broke: a failed heartbeat now means dead */
	int64_t good_ms; /* monotonic; of the last good answer; 0: none yet */
	int64_t due_ms;  /* monotonic; of the next heartbeat */
	int64_t told_ms; /* monotonic; when the worker itself said something about draining */
	bool says_draining;
	int64_t drain_until_ms;   /* monotonic; what was asked for */
	struct cluster_beat beat; /* the heartbeat thread's alone */
};

struct cluster {
	struct meta *meta;
	char *token_file, *fe_rpc;
	int heartbeat_ms;
	void (*on_change)(void *arg);
	void *arg;

	pthread_mutex_t lock;
	pthread_cond_t wake; /* kick, stop */
	bool kicked, stop;
	atomic_bool stopping;            /* the same, for calls under way */
	VEC(struct cluster_live *) live; /* sorted by id */
	pthread_t beats, mover;
	bool beats_run, mover_run;
};

void *cluster_beats_main(void *cluster);
void *cluster_mover_main(void *cluster);

/* With `lock`: draining is what the worker said or somebody asked for. */
void cluster_settle_drain(struct cluster_live *l);
/* With `lock`. */
struct cluster_live *cluster_find(struct cluster *c, int64_t id);
/* The first line of the token file, or "" when there is none; read each time, so that a Secret may rotate. */
void cluster_token(const struct cluster *c, char out[CLUSTER_TOKEN_MAX]);
/* One POST to a worker with the token; 0 only for status 200. *ret_reply may be NULL. */
int cluster_post(struct cluster *c, struct http_client *http, const char *rpc, const char *path,
                 const json_t *body, struct deadline by, struct err *err);
/* Waits for a kick, the stop or the time; true: stop. */
bool cluster_wait(struct cluster *c, int64_t ms);

/* One step of the decommissions that are under way: one tablet; true when there may be more at once. */
bool cluster_move_step(struct cluster *c, struct http_client *http);
/* Garbage collection: what each BE keeps. previous: of the last round, by node; taken over, the new one is returned. */
json_t *cluster_keep_round(struct cluster *c, struct http_client *http, json_t *previous);

#endif

/* What source.c, poll.c and secrets.c share. Private to the room. Thread: under the source's lock, but where it says otherwise. */
#ifndef ROOST_SCALER_SOURCE_PRIV_H
#define ROOST_SCALER_SOURCE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/map.h"
#include "lib/base/vec.h"
#include "lib/net/http_client.h"
#include "scaler/source/asker.h"
#include "scaler/source/source.h"

/* What is asked: one FE by one way in, for all pools that have both. */
struct fe {
	char *name;                /* in the table */
	const char *url;           /* in name */
	char *token_file;          /* NULL: none, or token_later */
	bool token_later;          /* source_set_token() brings one */
	struct source_login login; /* of an FE of StarRocks' own: asked by a thread of its own */
	struct source_asker *asker;
	VEC(struct entry *) pools; /* never empty while it is in the table */
	char *token;
	int64_t token_read_ms;
	unsigned wanted;         /* bits of enum source_secret */
	int64_t secret_asked_ms; /* when its owner was last told so */
	bool busy, gone;
	bool troubled; /* the call under way counts among those */
	bool failed;   /* the last answer was none: said in the log once */
	int64_t next_ms;
	struct call *call;            /* while busy */
	struct source_poller *poller; /* who asks it; NULL: its asker */
	size_t at;                    /* in the poller's table */
};

struct entry { /* a pool; there are thousands, so what its fe or our listener keeps is not kept again */
	char *key;
	char *names; /* the next three lines, in one piece */
	const char *ns, *cluster, *pool;
	const char *house, *fe_ns; /* as the target's; may be NULL */
	const char *uid;           /* NULL: from a file */
	enum source_role role;
	struct fe *fe;
	size_t at; /* in fe->pools */
	bool failed;
};

struct call { /* what one call borrows; only those under way have one */
	struct http_reply reply;
	char *token;
	bool fresh;
};

struct source {
	struct source_events events;
	pthread_mutex_t lock; /* entries, fes and what they hold */
	struct map *entries, *fes;
	VEC(struct fe *) retired; /* out of the table, their last call still under way */
	_Atomic bool stop;
	VEC(struct source_poller *) pollers; /* one or more */
	const struct http_tls *tls;
	VEC(struct source_asker *) leaving; /* stopped, to be joined */
};

/* Each pool of the FE is told why its load is unknown. */
void source_failed(struct source *s, struct fe *f, const struct err *err);
/* Each pool of the FE gets its part. */
void source_known(struct source *s, struct fe *f, const struct source_load *load);
void source_fe_free(struct fe *f);
int source_poller_add(struct source *s, struct err *err);
void source_poller_join(struct source *s, struct fe *f);
void source_poller_leave(struct fe *f);
void source_pollers_stop(struct source *s); /* without the lock */
void source_start_asker(struct source *s, struct fe *f);
void source_stop_asker(struct source *s, struct fe *f);
/* Whether the FE may be asked: what it takes has come. */
bool source_has_secrets(const struct fe *f);

#endif

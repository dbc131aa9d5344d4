/* Inside the room: what store.c keeps and world.c hands out.
 *
 * Thread: everything here is read and changed under the store's lock. */
#ifndef ROOST_OPERATOR_OBSERVE_STORE_PRIV_H
#define ROOST_OPERATOR_OBSERVE_STORE_PRIV_H

#include <pthread.h>

#include "lib/base/map.h"
#include "operator/observe/store.h"

struct item {
	/* Compact JSON without the version. NULL: deleted; kept until the next list: no older answer revives it. */
	char *text;
	uint64_t version;
	int64_t seen_ms;          /* when this came; monotonic */
	uint64_t digest, lasting; /* of the text, and of the text without its status */
	bool fe_ready;            /* a pod of an FE that is ready */
	bool raw; /* text is as the server listed it; digests and fe_ready come when it is looked at */
	unsigned watch;
	uint64_t round;
};

struct bucket {            /* one cluster */
	struct map *items; /* "Kind/name" -> struct item */
	char *house_of;    /* of a warehouse: the key of its cluster; else NULL */
	/* The scaler's last wishes, of compute nodes and of backends; real time, 0: none yet */
	struct wish {
		json_int_t n, from, since_ms, at_ms;
	} wishes[2];
};

struct observe_store {
	pthread_mutex_t lock;
	struct map *buckets;                 /* "ns/name" -> struct bucket */
	uint64_t round[OBSERVE_WATCHES_MAX]; /* of the list under way */
	bool synced[OBSERVE_WATCHES_MAX], present[OBSERVE_WATCHES_MAX];
	observe_changed_fn changed;
	observe_touched_fn touched; /* may be NULL */
	void *arg;
};

/* metadata.resourceVersion as a number; 0: none that is one. */
uint64_t observe_version_of(const json_t *object);
/* Fills the item's text and digests; its version is set already. */
void observe_item_keep(struct item *i, const json_t *object);
/* Of a raw one: parses what was listed. */
void observe_item_settle(struct item *i);
/* The cluster's bucket with nothing raw in it, or NULL. */
struct bucket *observe_bucket(struct observe_store *s, const char *key);

#endif

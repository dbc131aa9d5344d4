/* Inside the room: what the rowset index looks like.
 *
 * Thread: fields below `lock` are read and written under it. */
#ifndef ROOST_ENGINE_STORE_STORE_PRIV_H
#define ROOST_ENGINE_STORE_STORE_PRIV_H

#include <pthread.h>

#include "engine/store/store.h"
#include "lib/base/map.h"

#define STORE_DATA "duckdb"
#define STORE_SUM "sum"

struct store_entry {
	struct store_rowset rowset;
	int64_t installed_ms;
	unsigned pins;
};

struct store {
	char *root;
	int lock_fd;
	size_t quarantined;
	pthread_mutex_t lock;
	struct map *rowsets; /* "TABLET/ROWSET" -> struct store_entry */
	struct map *tablets; /* "TABLET" -> size_t, its rowsets here */
	int64_t bytes;
	uint64_t next_tmp;
};

char *store_key(int64_t tablet, const char *rowset);
char *store_file(const struct store *s, int64_t tablet, const char *rowset, const char *ending);
void store_index_add(struct store *s, const struct store_rowset *rowset, int64_t installed_ms);

/* Fills the index from the disk; moves what is torn to quarantine/. */
int store_scan(struct store *s, struct err *err);

#endif

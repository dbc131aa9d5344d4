/* Files of running queries: what tasks exchange, and the scratch folders in which they work.
 *
 * Thread: safe. Ownership: paths that are handed out are malloc'd.
 * Layout under the root: spill/exchange/QUERY/STAGE-TASK-ATTEMPT.rx, which appear whole by rename, and
 * spill/work/QUERY-STAGE-TASK-ATTEMPT-n/. Nothing here outlives the process: all of it is removed at start. A
 * query's files go with the query, or SPILL_AGE_MS after they were last touched. */
#ifndef ROOST_ENGINE_STORE_SPILL_H
#define ROOST_ENGINE_STORE_SPILL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/store/store.h"

enum { SPILL_AGE_MS = 3600 * 1000 };

struct store_spill;

struct store_attempt { /* one task attempt */
	char query[RPC_ID_LEN + 1];
	int stage, task, attempt;
};

int store_spill_open(const char *root, struct store_spill **ret, struct err *err);
void store_spill_close(struct store_spill *s);
DEFINE_CLEANUP(struct store_spill, store_spill_close)

/* A fresh scratch folder; the caller removes it with store_spill_scratch_free(). */
int store_spill_scratch(struct store_spill *s, const struct store_attempt *a, char **ret_path,
                        struct err *err);
void store_spill_scratch_free(char *path); /* removes the folder and frees path */
/* Where scratch folders and exchange files lie: what an executor must be able to write. */
const char *store_spill_root(const struct store_spill *s);

/* Makes the file at path (of a scratch folder) the output of the attempt; one that is there is replaced. */
int store_spill_commit(struct store_spill *s, const struct store_attempt *a, const char *path,
                       struct err *err);
/* Its path; counts as a touch. STORE_ABSENT. */
int store_spill_find(struct store_spill *s, const struct store_attempt *a, char **ret_path);
void store_spill_drop(struct store_spill *s, const char *query);
/* Drops queries that nobody touched for age_ms; returns how many. */
size_t store_spill_expire(struct store_spill *s, int64_t age_ms);
size_t store_spill_queries(struct store_spill *s); /* that have files here */

#endif

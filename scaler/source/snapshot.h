/* What an FE says about its load: the document of GET /api/roost/load as a plain value.
 *
 * Thread: plain values. Limits: SOURCE_BODY_MAX bytes, SOURCE_NODES_MAX nodes, SOURCE_COUNT_MAX for
 * every number; anything that is missing, negative or not finite makes the whole document invalid,
 * since a part of it would be a load that was not measured. */
#ifndef ROOST_SCALER_SOURCE_SNAPSHOT_H
#define ROOST_SCALER_SOURCE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	SOURCE_BODY_MAX = 4 * 1024 * 1024,
	SOURCE_NODES_MAX = 10000,
	SOURCE_COUNT_MAX = 1000000000,
};

struct source_snapshot {
	double ts;           /* the FE's clock, as it wrote it */
	int64_t epoch;       /* another one: the FE began anew and its queue is empty */
	int64_t pending;     /* queries that wait */
	int64_t running;     /* queries that run */
	int64_t slots_asked; /* of waiting and running queries, on compute nodes */
	double oldest_wait_s;
	double service_p50_s, service_p95_s; /* 0: none has finished yet */
	/* Compute nodes that are alive. */
	int64_t nodes;           /* not draining */
	int64_t draining;        /* leaving */
	int64_t idle_nodes;      /* not draining, nothing runs there */
	int64_t tasks;           /* running on all of them */
	int64_t slots;           /* of those not draining, together */
	int64_t slots_of_a_node; /* the largest; 0 when there is none */
};

enum source_role { SOURCE_CN, SOURCE_BE, SOURCE_ROLES };

struct source_house { /* a warehouse of StarRocks', by its name in SQL */
	char *name;
	bool known; /* each number that is needed was said */
	struct source_snapshot of;
};

/* One answer for the pools of both kinds of node. An FE may say nothing of its backends: then rc[SOURCE_BE] is
 * -EINVAL. houses: the warehouses whose queue it told, the default one left out; source_load_free(). */
struct source_load {
	struct source_snapshot of[SOURCE_ROLES];
	int rc[SOURCE_ROLES];
	struct err err[SOURCE_ROLES];
	struct source_house *houses;
	size_t n_houses;
};
void source_load_free(struct source_load *l); /* what it points at */
/* -ENOENT: the FE tells nothing of that warehouse, or not all of it; err says what it takes. */
int source_load_house(const struct source_load *l, const char *name, struct source_snapshot *ret,
                      struct err *err);
/* -EINVAL: it is no document. */
int source_load_parse(struct str body, struct source_load *ret, struct err *err);

/* Compute nodes alone. -EINVAL names the field and what is wrong with it. */
int source_parse(struct str body, struct source_snapshot *ret, struct err *err);

#endif

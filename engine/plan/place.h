/* Which node reads which piece of a table; plan/'s own.
 *
 * Thread: one, while a query is planned. Ownership: a placement owns its arrays. */
#ifndef ROOST_ENGINE_PLAN_PLACE_H
#define ROOST_ENGINE_PLAN_PLACE_H

#include "engine/plan/plan.h"

struct planner {
	struct plan_query *q;
	const struct plan_input *in;
	struct coord_dag *dag;
	const json_t *s3;
	struct err *err;
};

struct plan_place { /* piece i (tablet or object) is read by node of[i] */
	size_t *of;
	size_t n;
};
void plan_place_free(struct plan_place *p);
/* Tablets to their live replicas, objects to CNs, both evened out by bytes. */
int plan_place(struct planner *p, struct plan_table *t, struct plan_place *ret);

/* Whether this node alone can read the whole table. */
bool plan_reads(const struct planner *p, const struct plan_table *t, size_t node);
/* How much of it the node has, or would have as one CN of all. */
int64_t plan_near_bytes(const struct planner *p, const struct plan_table *t, size_t node);
size_t plan_count(const struct planner *p, enum meta_role role);
/* Of the nodes that pass, the one that `spread` picks; -1: none. */
int plan_pick(const struct planner *p,
              bool (*passes)(const struct planner *p, size_t node, void *arg), void *arg);

/* The columns of scan that travel, as rpc.h's columns: the used ones, or one when none is. */
json_t *plan_columns(const struct plan_scan *s);
/* What is read of it, roughly: bytes by columns used and filters; rows by filters. */
int64_t plan_scan_bytes(const struct plan_scan *s);
double plan_scan_rows(const struct plan_scan *s);
/* INPUT of the pieces that `place` gives to node; place NULL: of all. */
json_t *plan_scan_input(const struct planner *p, const struct plan_scan *s,
                        const struct plan_place *place, size_t node);
/* One task for each node that a placement names, with its pieces as input `s` and the nodes that could stand in. */
void plan_scan_tasks(struct planner *p, struct coord_stage *stage, const struct plan_scan *s,
                     const struct plan_place *place);
/* A stage that reads one table for others: *ret is its number. */
int plan_scan_stage(struct planner *p, const struct plan_scan *s, const char *reason, size_t *ret);

json_t *plan_exchange_output(void);

enum { PLAN_NOT = 1 };
/* Two-phase over a broadcast join; PLAN_NOT with the reason in `why`. */
int plan_two_phase(struct planner *p, char *why, size_t why_size);

/* The tables of a FROM without outer joins, fact first and dimensions by how much they filter, as a left-deep tree;
 * WHERE keeps what no join took. false: left as it was. */
bool plan_order_joins(const struct plan_query *q, json_t *select, const struct plan_scan *fact);

#endif

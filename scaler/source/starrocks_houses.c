/* The warehouses of an FE of StarRocks' own, from the /metrics that its leader gives anyway.
 *
 * StarRocks 3.5 and later: starrocks_fe_warehouse_query_queue{field, warehouse_name}, by the leader alone, of each
 * warehouse whose enable_query_queue is true. SHOW WAREHOUSES has RunningSql and QueuedSql, but they are always 0, and
 * information_schema.warehouse_metrics takes a compute node to be read (decision 0220). */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lib/base/vec.h"
#include "lib/net/prom.h"
#include "scaler/source/starrocks.h"
#include "scaler/source/starrocks_priv.h"

enum { HOUSES_MAX = 1000, NAME_MAX_ = 256 };

enum field { PENDING, RUNNING, WAIT, REQUIRED, REMAIN, SLOTS, FIELDS };
static const char *const fields[FIELDS] = {
	[PENDING] = "query_pending_length",
	[RUNNING] = "query_running_length", /* some versions count slots */
	[WAIT] = "earliest_query_wait_time",
	[REQUIRED] = "sum_required_slots", /* of those that wait */
	[REMAIN] = "remain_slots",
	[SLOTS] = "max_slots", /* 0: counted in queries */
};

struct told { /* of one warehouse */
	char *name;
	double value[FIELDS];
	unsigned seen; /* bits of enum field */
};

struct houses {
	VEC(struct told) list;
};

static struct told *told_of(struct houses *all, struct str name)
{
	for (size_t i = 0; i < all->list.n; i++)
		if (str_eqs(name, all->list.v[i].name))
			return &all->list.v[i];
	if (!name.len || name.len > NAME_MAX_ || all->list.n >= HOUSES_MAX)
		return NULL; /* and so not known */
	vec_push(&all->list, (struct told){ .name = str_dup(name) });
	return &all->list.v[all->list.n - 1];
}

static int take_sample(void *arg, struct str name, const struct prom_label *labels, size_t n,
                       double value)
{
	struct str field = { "", 0 }, house = { "", 0 };
	if (!str_eqs(name, "starrocks_fe_warehouse_query_queue"))
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (str_eqs(labels[i].name, "field"))
			field = labels[i].value;
		else if (str_eqs(labels[i].name, "warehouse_name"))
			house = labels[i].value;
	}
	struct told *t = told_of(arg, house);
	for (unsigned f = 0; t && f < FIELDS; f++) {
		if (!str_eqs(field, fields[f]) || !isfinite(value) || value < 0 ||
		    value > (double)SOURCE_COUNT_MAX)
			continue;
		t->value[f] = value;
		t->seen |= 1U << f;
	}
	return 0;
}

static int64_t count(const struct told *t, enum field f)
{
	return (int64_t)t->value[f];
}

static int64_t at_least(int64_t n, int64_t least)
{
	return n < least ? least : n;
}

static int64_t slots_held(const struct told *t)
{
	return at_least(count(t, SLOTS) - count(t, REMAIN), count(t, RUNNING));
}

static void take_queue(const struct told *t, struct source_snapshot *s)
{
	s->pending = count(t, PENDING);
	s->running = count(t, RUNNING);
	s->slots_asked = at_least(count(t, REQUIRED), s->pending) + slots_held(t);
	/* Some versions give the age of one that runs. */
	s->oldest_wait_s = s->pending ? t->value[WAIT] : 0;
}

/* A queue that counts in slots says how many of its own a node has. */
static void take_slots(const struct told *t, struct source_snapshot *s)
{
	if (!s->nodes || count(t, SLOTS) < s->nodes)
		return;
	s->slots = count(t, SLOTS);
	s->slots_of_a_node = s->slots / s->nodes;
}

static int take_house(struct told *t, const struct mysqlc_result *nodes,
                      const struct source_snapshot *cluster, struct source_house *h,
                      struct err *err)
{
	*h = (struct source_house){ .name = TAKE_PTR(t->name),
		                    .known = t->seen == (1U << FIELDS) - 1,
		                    .of = { .ts = cluster->ts,
		                            .epoch = cluster->epoch,
		                            .service_p50_s = cluster->service_p50_s,
		                            .service_p95_s = cluster->service_p95_s } };
	if (!h->known)
		return 0;
	take_queue(t, &h->of);
	int rc = source_starrocks_nodes(nodes, h->name, &h->of, err);
	take_slots(t, &h->of);
	return rc;
}

/* What waits and runs in a warehouse is in SHOW RUNNING QUERIES and in the cluster's metric as well. */
static void take_away(const struct told *t, struct source_snapshot *s)
{
	s->pending = at_least(s->pending - count(t, PENDING), 0);
	s->running = at_least(s->running - count(t, RUNNING), 0);
	s->slots_asked = at_least(s->slots_asked - at_least(count(t, REQUIRED), count(t, PENDING)) -
	                                  slots_held(t),
	                          s->pending + s->running);
	if (!s->pending)
		s->oldest_wait_s = 0;
}

static bool is_default(const struct told *t)
{
	return strcmp(t->name, SOURCE_DEFAULT_HOUSE) == 0;
}

/* What is left is the cluster's own; where the FE tells it by itself, that is taken. */
static void take_cluster(const struct houses *all, struct source_snapshot *s)
{
	const struct told *own = NULL;
	for (size_t i = 0; i < all->list.n; i++) {
		const struct told *t = &all->list.v[i];
		if (is_default(t))
			own = t;
		else
			take_away(t, s);
	}
	if (own && own->seen == (1U << FIELDS) - 1)
		take_queue(own, s);
}

int source_starrocks_houses(struct str text, const struct mysqlc_result *nodes,
                            struct source_load *l, struct err *err)
{
	struct houses all = { 0 };
	size_t others = 0;
	int rc = prom_parse(text, take_sample, &all, err);
	for (size_t i = 0; i < all.list.n; i++)
		others += !is_default(&all.list.v[i]);
	for (int r = 0; others && r < SOURCE_ROLES; r++)
		take_cluster(&all, &l->of[r]);
	l->houses = xcalloc(others + 1, sizeof(*l->houses));
	for (size_t i = 0; rc >= 0 && i < all.list.n; i++)
		if (!is_default(&all.list.v[i]))
			rc = take_house(&all.list.v[i], nodes, &l->of[SOURCE_CN],
			                &l->houses[l->n_houses++], err);
	for (size_t i = 0; i < all.list.n; i++)
		free(all.list.v[i].name);
	vec_free(&all.list);
	return rc < 0 ? rc : 0;
}

#include "scaler/sim/trace.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/vec.h"
#include "scaler/sim/rng.h"

enum {
	PARTS = 100,  /* time slots of a pattern */
	TENANTS = 20, /* of a CAB stream */
	BUSIEST = 3,  /* times the mean, a part of a CAB stream; the one that CAB ships: 1.65 */
	LONG_QUERIES = 8,
	LONG_SERVICE_S = 900,
};

static const struct {
	const char *name;
	double weight; /* CAB: of 80 databases */
} patterns[SIM_PATTERNS] = {
	[SIM_CAB] = { "cab", 0 },           [SIM_SINES] = { "sines", 10 },
	[SIM_SPIKES] = { "spikes", 17 },    [SIM_BURST] = { "burst", 21 },
	[SIM_BREAK] = { "break", 12 },      [SIM_ONOFF] = { "onoff", 20 },
	[SIM_CONSTANT] = { "constant", 0 }, [SIM_LONG] = { "long", 0 },
};

/* Sizes of queries: how often, and a lognormal service time each, as CAB buckets them by data read. */
static const struct {
	double share, median_s, sigma;
	int32_t slots;
} sizes[] = {
	{ 0.70, 1.2, 0.9, 1 },
	{ 0.24, 5, 0.8, 1 },
	{ 0.05, 30, 0.8, 2 },
	{ 0.01, 90, 0.7, 4 },
};

const char *sim_pattern_name(enum sim_pattern p)
{
	return p < SIM_PATTERNS ? patterns[p].name : NULL;
}

int sim_pattern_find(const char *name, enum sim_pattern *ret, struct err *err)
{
	for (enum sim_pattern p = 0; p < SIM_PATTERNS; p++) {
		if (strcmp(patterns[p].name, name) == 0) {
			*ret = p;
			return 0;
		}
	}
	return err_set(
		err, -EINVAL,
		"--pattern \"%.100s\" is not known; allowed: cab, sines, spikes, burst, break, "
		"onoff, constant, long",
		name);
}

/* ---- shapes: how much of the load falls into each part ---------------------------------------- */

/* A hill with a rough surface, wide as said. */
static void hill(double *w, struct sim_rng *r, double middle, double wide, double height)
{
	int from = (int)(middle - wide / 2), to = (int)(middle + wide / 2) + 1;
	for (int i = from; i < to; i++) {
		double x = (i - from + 0.5) / (to - from);
		w[(i + PARTS) % PARTS] +=
			height * sin(3.14159265 * x) * sim_rng_between(r, 0.7, 1.3);
	}
}

static void sines(double *w, struct sim_rng *r)
{
	for (int i = 0; i < PARTS; i++)
		w[i] = 0.2 + sim_rng_unit(r);
	for (int k = 0; k < 8; k++)
		hill(w, r, sim_rng_between(r, 0, PARTS), sim_rng_between(r, 5, 12), 1);
	for (int k = 0; k < 5; k++)
		w[(int)sim_rng_between(r, 0, PARTS)] += sim_rng_unit(r);
}

static void spikes(double *w, struct sim_rng *r)
{
	int n = 1 + (int)sim_rng_exp(r, 3);
	for (int k = 0; k < n && k < 12; k++)
		hill(w, r, sim_rng_between(r, 5, PARTS - 5), sim_rng_between(r, 1, 10),
		     sim_rng_between(r, 0.5, 1.5));
}

static void burst(double *w, struct sim_rng *r)
{
	hill(w, r, sim_rng_between(r, 12, PARTS - 12), sim_rng_between(r, 15, 25), 1);
}

static void constant_with_break(double *w, struct sim_rng *r)
{
	for (int i = 0; i < PARTS; i++)
		w[i] = 1;
	for (int k = 0; k < 4; k++) {
		int at = (int)sim_rng_between(r, 0, PARTS), wide = (int)sim_rng_between(r, 5, 20);
		if (sim_rng_unit(r) < 0.5)
			continue;
		for (int i = at; i < at + wide; i++) /* the last one is the break */
			w[i % PARTS] = k < 3 ? w[i % PARTS] + 1.5 : 0;
	}
}

/* Every hour. */
static void on_off(double *w, struct sim_rng *r, double hours)
{
	double period = (double)PARTS / floor(fmax(hours, 1)), on = sim_rng_between(r, 0.4, 0.6);
	double phase = sim_rng_between(r, 0, period), height = 1;
	bool noisy = sim_rng_unit(r) < 0.5, was = false;
	double base = sim_rng_unit(r) < 0.5 ? 0 : sim_rng_between(r, 0.3, 1);
	for (int i = 0; i < PARTS; i++) {
		bool is = fmod(i + phase, period) < on * period;
		if (is && !was && noisy)
			height = sim_rng_between(r, 0.4, 1.6);
		w[i] = base + (is ? height : 0);
		was = is;
	}
}

static void shape(enum sim_pattern p, double *w, struct sim_rng *r, double hours)
{
	memset(w, 0, PARTS * sizeof(*w));
	if (p == SIM_SINES)
		sines(w, r);
	else if (p == SIM_SPIKES)
		spikes(w, r);
	else if (p == SIM_BURST)
		burst(w, r);
	else if (p == SIM_BREAK)
		constant_with_break(w, r);
	else if (p == SIM_ONOFF)
		on_off(w, r, hours);
	else
		for (int i = 0; i < PARTS; i++)
			w[i] = 1;
	for (int i = 0; i < PARTS; i++)
		w[i] = w[i] < 0 ? 0 : w[i];
}

/* ---- arrivals --------------------------------------------------------------------------------- */

static void add(struct sim_trace *t, int64_t at_ms, double service_s, int32_t slots)
{
	if (t->n >= SIM_QUERIES_MAX)
		return;
	double ms = service_s * 1000;
	vec_push(t, (struct sim_arrival){ .at_ms = at_ms,
	                                  .service_ms = ms < 1 ? 1 : (int64_t)ms,
	                                  .slots = slots });
}

static void add_query(struct sim_trace *t, int64_t at_ms, struct sim_rng *r)
{
	double u = sim_rng_unit(r);
	size_t k = 0;
	while (k + 1 < ARRAY_LEN(sizes) && u >= sizes[k].share)
		u -= sizes[k++].share;
	add(t, at_ms, sim_rng_lognormal(r, sizes[k].median_s, sizes[k].sigma), sizes[k].slots);
}

/* w: how much of `queries` falls into each part, on any scale. */
static void add_parts(struct sim_trace *t, const double *w, double queries, struct sim_rng *r)
{
	double sum = 0, part_ms = (double)t->length_ms / (double)PARTS;
	for (int i = 0; i < PARTS; i++)
		sum += w[i];
	for (int i = 0; i < PARTS && sum > 0; i++) {
		if (w[i] <= 0)
			continue;
		double gap = part_ms / (queries * w[i] / sum), at = sim_rng_exp(r, gap);
		for (; at < part_ms && t->n < SIM_QUERIES_MAX; at += sim_rng_exp(r, gap))
			add_query(t, (int64_t)(i * part_ms + at), r);
	}
}

static void add_tenant(double *sum, double hours, struct sim_rng *r)
{
	double w[PARTS], volume = sim_rng_lognormal(r, 1, 1), weights = 0, all = 0;
	enum sim_pattern p = SIM_SINES;
	for (int k = 0; k < SIM_PATTERNS; k++)
		weights += patterns[k].weight;
	for (double u = sim_rng_unit(r) * weights; p < SIM_ONOFF && u >= patterns[p].weight; p++)
		u -= patterns[p].weight;
	shape(p, w, r, hours);
	for (int i = 0; i < PARTS; i++)
		all += w[i];
	for (int i = 0; i < PARTS && all > 0; i++)
		sum[i] += volume * w[i] / all;
}

/* A stream that no pool sized for its mean could hold is drawn again: it would tell no scaler from another. */
static void add_cab(struct sim_trace *t, double queries, struct sim_rng *r)
{
	double sum[PARTS], busiest = PARTS, mean = 1;
	for (int tries = 0; tries < 100 && busiest > (double)BUSIEST * mean; tries++) {
		memset(sum, 0, sizeof(sum));
		for (int k = 0; k < TENANTS; k++)
			add_tenant(sum, (double)t->length_ms / 3600000, r);
		busiest = mean = 0;
		for (int i = 0; i < PARTS; i++) {
			busiest = sum[i] > busiest ? sum[i] : busiest;
			mean += sum[i] / (double)PARTS;
		}
	}
	add_parts(t, sum, queries, r);
}

static void add_one(struct sim_trace *t, enum sim_pattern p, double queries, struct sim_rng *r)
{
	double w[PARTS];
	shape(p, w, r, (double)t->length_ms / 3600000);
	add_parts(t, w, queries, r);
}

/* Every hour eight queries, each as long as 15 minutes: they fill the slots of one node and nobody waits. */
static void add_long(struct sim_trace *t, struct sim_rng *r)
{
	for (int64_t at = 60000; at < t->length_ms; at += 60 * 60000)
		for (int i = 0; i < LONG_QUERIES; i++)
			add(t, at + (int64_t)sim_rng_between(r, 0, 2000), LONG_SERVICE_S, 1);
}

static int by_time(const void *a, const void *b)
{
	const struct sim_arrival *x = a, *y = b;
	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? -1 : 1;
	if (x->service_ms != y->service_ms)
		return x->service_ms < y->service_ms ? -1 : 1;
	return (x->slots > y->slots) - (x->slots < y->slots);
}

static void sort(struct sim_trace *t)
{
	if (t->n)
		qsort(t->v, t->n, sizeof(*t->v), by_time);
}

void sim_trace_make(const struct sim_load *load, uint64_t seed, struct sim_trace *ret)
{
	struct sim_rng r;
	sim_rng_init(&r, seed, (uint64_t)load->pattern + 1);
	*ret = (struct sim_trace){ .length_ms = (int64_t)(load->hours * 3600000) };
	double queries = load->hours * load->per_hour;
	if (load->pattern == SIM_CAB)
		add_cab(ret, queries, &r);
	else if (load->pattern == SIM_LONG)
		add_long(ret, &r);
	else
		add_one(ret, load->pattern, queries, &r);
	sort(ret);
}

void sim_trace_free(struct sim_trace *t)
{
	vec_free(t);
}

/* ---- CSV -------------------------------------------------------------------------------------- */

enum column { COL_ARRIVE, COL_SERVICE, COL_SLOTS, COLS };
static const char *const column_names[COLS] = { "arrive_s", "service_s", "slots" };

struct csv {
	int at[COLS]; /* position of the column; -1: not there */
	int columns;
	int64_t line;
};

static int csv_header(struct csv *c, struct str line, struct err *err)
{
	struct str cell;
	for (int i = 0; i < COLS; i++)
		c->at[i] = -1;
	for (c->columns = 0; str_split(&line, ',', &cell); c->columns++) {
		int k = 0;
		cell = str_trim(cell);
		while (k < COLS && !str_eqs(cell, column_names[k]))
			k++;
		if (k == COLS)
			return err_set(err, -EINVAL,
			               "line %lld: unknown column \"%.*s\"; allowed: arrive_s, "
			               "service_s, slots",
			               (long long)c->line, cell.len < 100 ? (int)cell.len : 100,
			               cell.p);
		if (c->at[k] >= 0)
			return err_set(err, -EINVAL, "line %lld: column %s is there twice",
			               (long long)c->line, column_names[k]);
		c->at[k] = c->columns;
	}
	for (int k = COL_ARRIVE; k <= COL_SERVICE; k++)
		if (c->at[k] < 0)
			return err_set(err, -EINVAL, "line %lld: column %s is missing",
			               (long long)c->line, column_names[k]);
	return 0;
}

static int csv_cell(const struct csv *c, enum column k, struct str cell, double least, double most,
                    double *ret, struct err *err)
{
	double n = 0;
	if (str_to_double(cell, &n) < 0 || n < least || n > most)
		return err_set(err, -EINVAL,
		               "line %lld, column %s: \"%.*s\" is not a number from %g to %g",
		               (long long)c->line, column_names[k],
		               cell.len < 100 ? (int)cell.len : 100, cell.p, least, most);
	*ret = n;
	return 0;
}

static int csv_row(const struct csv *c, struct str line, struct sim_trace *t, struct err *err)
{
	struct str cells[COLS] = { 0 }, cell;
	double arrive = 0, service = 0, slots = 1;
	int n = 0, rc = 0;
	for (; str_split(&line, ',', &cell); n++)
		for (int k = 0; k < COLS; k++)
			if (c->at[k] == n)
				cells[k] = str_trim(cell);
	if (n != c->columns)
		return err_set(err, -EINVAL, "line %lld: %d fields; the header has %d",
		               (long long)c->line, n, c->columns);
	if ((rc = csv_cell(c, COL_ARRIVE, cells[COL_ARRIVE], 0, SIM_SECONDS_MAX, &arrive, err)) <
	            0 ||
	    (rc = csv_cell(c, COL_SERVICE, cells[COL_SERVICE], 0.001, SIM_SECONDS_MAX, &service,
	                   err)) < 0)
		return rc;
	if (cells[COL_SLOTS].len > 0 &&
	    (rc = csv_cell(c, COL_SLOTS, cells[COL_SLOTS], 1, SIM_SLOTS_MAX, &slots, err)) < 0)
		return rc;
	if (slots != floor(slots))
		return err_set(err, -EINVAL, "line %lld, column slots: \"%.*s\" is not whole",
		               (long long)c->line, (int)cells[COL_SLOTS].len, cells[COL_SLOTS].p);
	if (t->n >= SIM_QUERIES_MAX)
		return err_set(err, -E2BIG, "line %lld: more than %d queries", (long long)c->line,
		               SIM_QUERIES_MAX);
	add(t, (int64_t)(arrive * 1000), service, (int32_t)slots);
	return 0;
}

int sim_trace_csv(struct str text, struct sim_trace *ret, struct err *err)
{
	struct csv c = { 0 };
	_cleanup_(sim_trace_free) struct sim_trace t = { 0 };
	struct str line;
	while (str_split(&text, '\n', &line)) {
		c.line++;
		line = str_trim(line);
		if (line.len == 0 || line.p[0] == '#')
			continue;
		int rc = c.columns ? csv_row(&c, line, &t, err) : csv_header(&c, line, err);
		if (rc < 0)
			return rc;
	}
	if (!c.columns)
		return err_set(err, -EINVAL,
		               "line 1: no header; needed: arrive_s,service_s[,slots]");
	if (t.n == 0)
		return err_set(err, -EINVAL, "line %lld: no query", (long long)c.line);
	sort(&t);
	t.length_ms = t.v[t.n - 1].at_ms + 1;
	*ret = t;
	t = (struct sim_trace){ 0 };
	return 0;
}

#include "scaler/sim/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int64_t wait_of(const struct sim_world *w, size_t q)
{
	const struct sim_query *query = &w->queries[q];
	int64_t start = query->start_ms >= 0 ? query->start_ms : w->now;
	return start - w->trace->v[q].at_ms;
}

static void waits(const struct sim_world *w, struct sim_result *ret)
{
	size_t n = w->arrived;
	autofree int64_t *v = xcalloc(n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = wait_of(w, i);
	qsort(v, n, sizeof(*v), by_size);
	static const struct {
		enum sim_measure m;
		double q;
	} rows[] = { { SIM_M_WAIT_P50, 0.5 }, { SIM_M_WAIT_P95, 0.95 }, { SIM_M_WAIT_P99, 0.99 } };
	for (size_t i = 0; i < ARRAY_LEN(rows) && n; i++) {
		size_t k = (size_t)ceil(rows[i].q * (double)n) - 1;
		ret->v[rows[i].m] = (double)v[k] / 1000;
	}
}

/* The union of the times in which somebody has waited for longer than the target; arrivals are in order of time. */
static double violation_min(const struct sim_world *w, double target_s)
{
	int64_t sum = 0, upto = 0, target = (int64_t)(target_s * 1000);
	for (size_t i = 0; i < w->arrived; i++) {
		int64_t from = w->trace->v[i].at_ms + target, to = from - target + wait_of(w, i);
		from = from > upto ? from : upto;
		if (to > from) {
			sum += to - from;
			upto = to;
		}
	}
	return (double)sum / 60000;
}

static void machines(const struct sim_world *w, struct sim_result *ret)
{
	for (size_t i = 0; i < w->n_machines; i++) {
		const struct sim_machine *m = &w->machines[i];
		double hours = (double)(m->to_ms - m->from_ms) / 3600000;
		ret->v[SIM_M_NODE_HOURS] += hours;
		ret->v[SIM_M_COST] +=
			hours * (m->spot ? w->cfg.price_spot : w->cfg.price_on_demand);
	}
}

/* Work as it would be on warm nodes: what a node more or less must be judged by. */
static double work_hours(const struct sim_world *w)
{
	double sum = 0;
	for (size_t i = 0; i < w->arrived; i++)
		if (w->queries[i].state == SIM_DONE)
			sum += (double)w->trace->v[i].service_ms * w->trace->v[i].slots;
	return sum / 3600000 / (double)w->pool.slots;
}

void sim_result_of(struct sim_world *w, const struct sim_scaling *s, double wait_target_s,
                   struct sim_result *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->queries = w->trace->n;
	waits(w, ret);
	machines(w, ret);
	ret->v[SIM_M_VIOLATION] = violation_min(w, wait_target_s);
	ret->v[SIM_M_REVERSALS] = (double)w->reversals / ((double)w->now / 3600000);
	ret->v[SIM_M_KILLED] = (double)w->killed;
	ret->v[SIM_M_RETRIED] = (double)w->retries;
	ret->v[SIM_M_UNFINISHED] = (double)(w->trace->n - w->finished - w->killed);
	ret->v[SIM_M_OVER] = fmax(0, ret->v[SIM_M_NODE_HOURS] - work_hours(w));
	ret->v[SIM_M_USELESS] = (double)w->useless;
	ret->v[SIM_M_DISAGREE] = (double)sim_scaling_disagreements(s);
}

/* Student's t, two-sided 95%, by degrees of freedom. */
static double student(size_t df)
{
	static const double t[] = { 0,     12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
		                    2.306, 2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
		                    2.120, 2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069,
		                    2.064, 2.060,  2.056, 2.052, 2.048, 2.045, 2.042 };
	return df < ARRAY_LEN(t) ? t[df] : 1.96 + 2.5 / (double)df;
}

struct sim_mean sim_mean_of(const double *v, size_t n)
{
	struct sim_mean m = { 0, 0 };
	double squares = 0;
	for (size_t i = 0; i < n; i++)
		m.mean += v[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		squares += (v[i] - m.mean) * (v[i] - m.mean);
	if (n > 1)
		m.half = student(n - 1) * sqrt(squares / (double)(n - 1) / (double)n);
	return m;
}

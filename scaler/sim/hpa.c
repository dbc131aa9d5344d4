#include "scaler/sim/hpa.h"

#include <limits.h>
#include <math.h>
#include <string.h>

static int64_t lower(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t upper(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

struct sim_hpa_config sim_hpa_defaults(int64_t min, int64_t max)
{
	return (struct sim_hpa_config){
		.min = min,
		.max = max,
		.tolerance = 0.1,
		.up = { .window_ms = 0,
		        .policies = 2,
		        .policy = { { false, 4, 15000 }, { true, 100, 15000 } } },
		.down = { .window_ms = 300000, .policies = 1, .policy = { { true, 100, 15000 } } },
	};
}

/* ---- one metric ------------------------------------------------------------------------------- */

static bool tolerated(double ratio, double tolerance)
{
	return fabs(1 - ratio) <= tolerance + 1e-12;
}

/* GetResourceReplicas: pods that are not ready count as idle when scaling up; pods without a sample as idle when up,
 * as busy when down; and the answer never turns the direction round. */
static int64_t by_utilization(const struct sim_hpa_metric *m, int64_t replicas, double tolerance)
{
	if (m->ready == 0)
		return replicas; /* no sample at all: the metric counts as not read */
	double ratio = m->value / (double)m->ready / m->target;
	bool with_unready = m->unready > 0 && ratio > 1;
	if (!with_unready && m->missing == 0)
		return tolerated(ratio, tolerance) ? replicas
		                                   : (int64_t)ceil(ratio * (double)m->ready - 1e-9);
	int64_t pods = m->ready + m->missing + (with_unready ? m->unready : 0);
	double sum = m->value;
	if (ratio < 1)
		sum += (double)m->missing * (m->target > 100 ? m->target : 100);
	double again = sum / (double)pods / m->target;
	if (tolerated(again, tolerance) || (ratio < 1 && again > 1) || (ratio > 1 && again < 1))
		return replicas;
	int64_t n = (int64_t)ceil(again * (double)pods - 1e-9);
	if ((again < 1 && n > replicas) || (again > 1 && n < replicas))
		return replicas;
	return n;
}

int64_t sim_hpa_replicas(const struct sim_hpa_metric *m, int64_t replicas, double tolerance)
{
	if (m->kind == SIM_HPA_CPU)
		return by_utilization(m, replicas, tolerance);
	double ratio = replicas ? m->value / (m->target * (double)replicas) : INFINITY;
	if (tolerated(ratio, tolerance))
		return replicas;
	return (int64_t)ceil(m->value / m->target - 1e-9);
}

/* ---- behaviour -------------------------------------------------------------------------------- */

static void record(struct sim_hpa_event *v, int *n, int64_t at_ms, int64_t change)
{
	if (*n == SIM_HPA_HISTORY) {
		memmove(v, v + 1, (SIM_HPA_HISTORY - 1) * sizeof(*v));
		--*n;
	}
	v[(*n)++] = (struct sim_hpa_event){ at_ms, change };
}

/* The lowest recommendation of the window above holds an increase back, the highest of the one below a decrease. */
static int64_t stabilize(struct sim_hpa *h, const struct sim_hpa_config *c, int64_t current,
                         int64_t wanted, int64_t now)
{
	int64_t up = wanted, down = wanted, n = current;
	for (int i = 0; i < h->recommendations; i++) {
		const struct sim_hpa_event *r = &h->recommendation[i];
		if (r->at_ms > now - c->up.window_ms)
			up = lower(up, r->change);
		if (r->at_ms > now - c->down.window_ms)
			down = upper(down, r->change);
	}
	n = upper(n, up);
	n = lower(n, down);
	record(h->recommendation, &h->recommendations, now, wanted);
	return n;
}

static int64_t changed(const struct sim_hpa_event *v, int n, int64_t after)
{
	int64_t sum = 0;
	for (int i = 0; i < n; i++)
		sum += v[i].at_ms > after ? v[i].change : 0;
	return sum;
}

static int64_t up_limit(const struct sim_hpa *h, const struct sim_hpa_rules *r, int64_t current,
                        int64_t now)
{
	if (r->select == SIM_HPA_DISABLED)
		return current;
	int64_t limit = r->select == SIM_HPA_MIN ? INT64_MAX : INT64_MIN;
	for (int i = 0; i < r->policies; i++) {
		int64_t after = now - r->policy[i].period_ms;
		int64_t start =
			current - changed(h->up, h->ups, after) + changed(h->down, h->downs, after);
		int64_t n = r->policy[i].percent
		                    ? (int64_t)ceil((double)start *
		                                    (1 + (double)r->policy[i].value / 100))
		                    : start + r->policy[i].value;
		limit = r->select == SIM_HPA_MIN ? lower(limit, n) : upper(limit, n);
	}
	return limit;
}

static int64_t down_limit(const struct sim_hpa *h, const struct sim_hpa_rules *r, int64_t current,
                          int64_t now)
{
	if (r->select == SIM_HPA_DISABLED)
		return current;
	int64_t limit = r->select == SIM_HPA_MIN ? INT64_MIN : INT64_MAX;
	for (int i = 0; i < r->policies; i++) {
		int64_t after = now - r->policy[i].period_ms;
		int64_t start =
			current - changed(h->up, h->ups, after) + changed(h->down, h->downs, after);
		int64_t n =
			r->policy[i].percent
				? (int64_t)((double)start * (1 - (double)r->policy[i].value / 100))
				: start - r->policy[i].value;
		limit = r->select == SIM_HPA_MIN ? upper(limit, n) : lower(limit, n);
	}
	return limit;
}

static int64_t paced(const struct sim_hpa *h, const struct sim_hpa_config *c, int64_t current,
                     int64_t wanted, int64_t now)
{
	if (wanted > current) {
		int64_t limit = upper(up_limit(h, &c->up, current, now), current);
		return lower(wanted, lower(c->max, limit));
	}
	if (wanted < current) {
		int64_t limit = lower(down_limit(h, &c->down, current, now), current);
		return upper(wanted, upper(c->min, limit));
	}
	return wanted;
}

int64_t sim_hpa_sync(struct sim_hpa *h, const struct sim_hpa_config *c,
                     const struct sim_hpa_metric *m, int metrics, int64_t spec, int64_t status,
                     int64_t now)
{
	if (spec == 0 && c->min != 0)
		return spec; /* switched off by a person, or by KEDA */
	if (spec > c->max)
		return c->max;
	if (spec < c->min)
		return c->min;
	int64_t wanted = 0;
	int known = 0;
	for (int i = 0; i < metrics; i++) {
		if (!m[i].known || (m[i].kind == SIM_HPA_CPU && m[i].ready == 0))
			continue;
		/* replica_calculator is given spec.replicas for a resource, status.replicas for an average. */
		int64_t replicas = m[i].kind == SIM_HPA_CPU ? spec : status;
		wanted = upper(wanted, sim_hpa_replicas(&m[i], replicas, c->tolerance));
		known++;
	}
	/* Some metric is not known: the others may raise, never lower. */
	if (known == 0 || (known < metrics && wanted < spec))
		return spec;
	int64_t n = paced(h, c, spec, stabilize(h, c, spec, wanted, now), now);
	n = upper(c->min, lower(c->max, n));
	if (n > spec)
		record(h->up, &h->ups, now, n - spec);
	else if (n < spec)
		record(h->down, &h->downs, now, spec - n);
	return n;
}

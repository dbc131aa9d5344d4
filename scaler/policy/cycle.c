#include "scaler/policy/cycle.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
	UNKNOWN = -1,
	JITTER_MIN = 1, /* so much earlier or later than a whole period */
	MEAN_MIN =
		10, /* the first minutes of an on-phase needed more: its queue had to be caught up with */
	PROMISE_MIN = 10, /* within so long what was foretold has to come */
	PROMISE_OFF = 10, /* node-minutes beyond twice what came */
};
/* Pearson's correlation of what was foretold and what was needed. Over 12 training seeds 0.5 keeps hourly on and off and
 * lets none of a constant load's noise pass; docs/decisions/0240. */
static const double like_all = 0.5, like_last = 0.4, shorter_is_better = 0.95;

struct series {
	const int16_t *need;
	int64_t n;
	int64_t first; /* that was measured */
	int64_t floor; /* the least of them */
};

static int64_t at(const struct series *s, int64_t i, int64_t jitter)
{
	int64_t most = UNKNOWN;
	if (jitter == 0)
		return i >= 0 && i < s->n ? s->need[i] : UNKNOWN;
	for (int64_t k = i - jitter; k <= i + jitter; k++)
		if (k >= 0 && k < s->n && s->need[k] > most)
			most = s->need[k];
	return most;
}

/* What all but the highest of the cycles before needed at this minute; highest: what that one did. */
static int64_t level(const struct series *s, int64_t i, int64_t period, int64_t jitter,
                     int64_t *highest)
{
	int64_t first = UNKNOWN, second = UNKNOWN;
	for (int64_t k = 1; k <= POLICY_CYCLES; k++) {
		int64_t v = at(s, i - k * period, jitter);
		if (v > first) {
			second = first;
			first = v;
		} else if (v > second) {
			second = v;
		}
	}
	*highest = first;
	return second;
}

/* ---- whether it is a period ------------------------------------------------------------------- */

struct sums {
	double n, p, a, pp, aa, pa;
};

static void add(struct sums *s, double p, double a)
{
	s->n++;
	s->p += p;
	s->a += a;
	s->pp += p * p;
	s->aa += a * a;
	s->pa += p * a;
}

static double likeness(const struct sums *s)
{
	double vp = s->n * s->pp - s->p * s->p, va = s->n * s->aa - s->a * s->a;
	return vp > 0 && va > 0 ? (s->n * s->pa - s->p * s->a) / sqrt(vp * va) : 0;
}

/* From the minute i on; -1: what was promised of late did not come. */
static double fits(const struct series *s, int64_t i, int64_t period)
{
	struct sums sums = { 0 };
	int64_t promised = 0, came = 0, highest;
	for (; i < s->n; i++) {
		int64_t p = level(s, i, period, 0, &highest), a = s->need[i];
		if (p == UNKNOWN || a < 0)
			continue;
		add(&sums, (double)p, (double)a);
		if (i >= s->n - PROMISE_MIN) {
			promised += p - s->floor;
			came += a - s->floor;
		}
	}
	return promised <= 2 * came + PROMISE_OFF ? likeness(&sums) : -1;
}

/* 0: the minutes that are known contradict it. The last cycle is asked first: it lets go of most. */
static double judge(const struct series *s, int64_t period)
{
	int64_t third = s->first + 2 * period, last = s->n - period;
	if (fits(s, last > third ? last : third, period) < like_last)
		return 0;
	double all = fits(s, third, period);
	return all >= like_all ? all : 0;
}

/* 0: none. The shortest of those that are about as good: the others are its multiples. */
static int64_t find(const struct series *s, int64_t horizon)
{
	int64_t found = 0;
	double best = 0;
	for (int64_t p = POLICY_CYCLE_SHORTEST;
	     p <= POLICY_CYCLE_LONGEST && POLICY_CYCLES * p <= s->n - s->first + horizon; p++) {
		double x = judge(s, p) * shorter_is_better;
		if (x > best) {
			best = x / shorter_is_better;
			found = p;
		}
	}
	return found;
}

/* ---- what it says ----------------------------------------------------------------------------- */

/* Of a minute to come: not more than the mean of the minutes from there on, rounded up. */
static int64_t wanted(const struct series *s, int64_t i, int64_t period)
{
	int64_t highest, v = level(s, i, period, JITTER_MIN, &highest), sum = 0;
	for (int64_t k = 0; k < MEAN_MIN; k++) {
		int64_t one = level(s, i + k, period, 0, &highest);
		sum += one > 0 ? one : 0;
	}
	int64_t mean = (sum + MEAN_MIN - 1) / MEAN_MIN;
	return v < mean ? v : mean;
}

void policy_cycle_find(const int16_t *need, size_t n, int64_t horizon_min, int64_t lull_min,
                       struct policy_cycle *ret)
{
	struct series s = { .need = need, .n = (int64_t)n, .floor = INT16_MAX };
	int64_t most = 0, highest;
	memset(ret, 0, sizeof(*ret));
	while (s.first < s.n && need[s.first] < 0)
		s.first++;
	for (int64_t i = s.first; i < s.n; i++) {
		s.floor = need[i] >= 0 && need[i] < s.floor ? need[i] : s.floor;
		most = need[i] > most ? need[i] : most;
	}
	if (most <= s.floor || !(ret->period_min = find(&s, horizon_min)))
		return;
	for (int64_t i = s.n; i <= s.n + horizon_min; i++) {
		int64_t v = wanted(&s, i, ret->period_min);
		ret->nodes = v > ret->nodes ? v : ret->nodes;
	}
	for (int64_t i = s.n; i <= s.n + lull_min; i++) {
		(void)level(&s, i, ret->period_min, JITTER_MIN, &highest);
		ret->calm_nodes = highest > ret->calm_nodes ? highest : ret->calm_nodes;
	}
}

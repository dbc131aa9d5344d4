#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "scaler/sim/hpa.h"
#include "scaler/sim/keda.h"

/* ---- one metric ------------------------------------------------------------------------------- */

/* desiredReplicas = ceil(value / target), left alone while the ratio is within a tenth of 1. */
static void averages(void **state)
{
	(void)state;
	static const struct {
		double value, target;
		int64_t status, want;
	} cases[] = {
		{ 200, 100, 1, 2 }, /* the documentation's examples: twice the target doubles */
		{ 50, 100, 2, 1 },  /* and half of it halves */
		{ 10, 1, 10, 10 },  /* */
		{ 11, 1, 10, 10 },  /* 1.1: inside of the tolerance, the step is swallowed */
		{ 12, 1, 10, 12 },  /* 1.2: outside */
		{ 9, 1, 10, 10 },   /* 0.9: inside */
		{ 8, 1, 10, 8 },    /* */
		{ 12, 1, 11, 11 },  /* 11 to 12 is lost */
		{ 3, 1, 2, 3 },     /* small pools step by one */
		{ 5.01, 5, 1, 1 },  /* */
		{ 5.6, 5, 1, 2 },   /* */
		{ 0, 5, 3, 0 },     /* */
		{ 7, 1, 0, 7 },     /* nothing there yet */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sim_hpa_metric m = { .kind = SIM_HPA_AVERAGE,
			                    .known = true,
			                    .value = cases[i].value,
			                    .target = cases[i].target };
		int64_t n = sim_hpa_replicas(&m, cases[i].status, 0.1);
		if (n != cases[i].want)
			fail_msg("case %zu: %lld", i, (long long)n);
	}
}

/* Pods that are not ready count as idle when scaling up, those without a sample as idle (up) or full (down). */
static void cpu(void **state)
{
	(void)state;
	static const struct {
		double sum;
		int64_t ready, unready, missing, spec, want;
	} cases[] = {
		{ 280, 2, 0, 0, 2, 4 }, /* 140% of 70%: twice as many */
		{ 70, 2, 0, 0, 2, 1 },  /* */
		{ 144, 2, 0, 0, 2, 2 }, /* 72%: tolerated */
		{ 280, 2, 2, 0, 4, 4 }, /* as if at 70% with the two that come: nothing more */
		{ 300, 2, 2, 0, 4, 4 }, /* 75% with them: tolerated */
		{ 300, 2, 1, 0, 3, 5 }, /* 100% with it: ceil(3 * 100 / 70) */
		{ 200, 2, 0, 2, 4, 4 }, /* 1.43 turns to 0.71 with the missing at 0: never round */
		{ 60, 2, 0, 1, 3, 3 }, /* 0.43 with one missing at 100%: 0.76, ceil(0.76 * 3) = 3 */
		{ 20, 2, 0, 1, 3, 2 }, /* 0.57 */
		{ 0, 0, 3, 0, 3, 3 },  /* no sample: nothing */
		{ 30, 2, 2, 0, 4, 1 }, /* below: those not ready do not matter */
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sim_hpa_metric m = { .kind = SIM_HPA_CPU,
			                    .known = true,
			                    .value = cases[i].sum,
			                    .target = 70,
			                    .ready = cases[i].ready,
			                    .unready = cases[i].unready,
			                    .missing = cases[i].missing };
		int64_t n = sim_hpa_replicas(&m, cases[i].spec, 0.1);
		if (n != cases[i].want)
			fail_msg("case %zu: %lld", i, (long long)n);
	}
}

/* ---- behaviour -------------------------------------------------------------------------------- */

struct run {
	struct sim_hpa h;
	struct sim_hpa_config c;
	int64_t spec, now;
};

/* One sync with a metric that asks for `wanted`. */
static int64_t sync(struct run *r, int64_t wanted)
{
	struct sim_hpa_metric m = {
		.kind = SIM_HPA_AVERAGE, .known = true, .value = (double)wanted, .target = 1
	};
	r->spec = sim_hpa_sync(&r->h, &r->c, &m, 1, r->spec, r->spec, r->now);
	r->now += 15000;
	return r->spec;
}

static struct run *run_new(int64_t spec)
{
	struct run *r = xcalloc(1, sizeof(*r));
	r->c = sim_hpa_defaults(1, 100);
	r->spec = spec;
	r->now = 1000000;
	return r;
}

static void default_behaviour(void **state)
{
	(void)state;
	autofree struct run *r = run_new(1);
	/* The larger of four pods and 100% in 15 s. */
	assert_int_equal(sync(r, 80), 5);
	assert_int_equal(sync(r, 80), 10);
	assert_int_equal(sync(r, 80), 20);
	assert_int_equal(sync(r, 80), 40);
	assert_int_equal(sync(r, 80), 80);
	/* Down: the highest of the last 300 s holds it, then all at once. */
	for (int i = 0; i < 19; i++)
		assert_int_equal(sync(r, 10), 80);
	assert_int_equal(sync(r, 10), 10);
	assert_int_equal(sync(r, 2), 10);
}

/* The documentation's policies: 4 pods or 10% a minute, whichever removes more; then the smaller of the two. */
static void policies(void **state)
{
	(void)state;
	autofree struct run *r = run_new(80);
	r->c.down =
		(struct sim_hpa_rules){ .window_ms = 0,
		                        .policies = 2,
		                        .policy = { { false, 4, 60000 }, { true, 10, 60000 } } };
	assert_int_equal(sync(r, 1), 72);
	assert_int_equal(sync(r, 1), 72); /* the minute is used up */
	assert_int_equal(sync(r, 1), 72);
	assert_int_equal(sync(r, 1), 72);
	assert_int_equal(sync(r, 1), 64); /* 10% of 72 is 7.2: 64.8, down to 64 */
	r->c.down.select = SIM_HPA_MIN;
	r->now += 60000;
	assert_int_equal(sync(r, 1), 60);
	r->c.down.select = SIM_HPA_DISABLED;
	r->now += 60000;
	assert_int_equal(sync(r, 1), 60);
}

/* AWS' ScaledObject: two pods in 30 s. */
static void a_step_in_thirty_seconds(void **state)
{
	(void)state;
	autofree struct run *r = run_new(1);
	r->c.up = (struct sim_hpa_rules){ .policies = 1, .policy = { { false, 2, 30000 } } };
	static const int64_t want[] = { 3, 3, 5, 5, 7, 7, 9, 9, 10 };
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_int_equal(sync(r, 10), want[i]);
}

static void an_up_window_takes_the_lowest(void **state)
{
	(void)state;
	autofree struct run *r = run_new(4);
	r->c.up.window_ms = 60000;
	assert_int_equal(sync(r, 4), 4);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sync(r, 8), 4); /* 4 was asked for less than a minute ago */
	assert_int_equal(sync(r, 8), 8);
}

static void limits_and_zero(void **state)
{
	(void)state;
	autofree struct run *r = run_new(0);
	assert_int_equal(sync(r, 10), 0); /* switched off */
	r->spec = 200;
	assert_int_equal(sync(r, 10), 100);
	r->c.min = 5;
	r->spec = 2;
	assert_int_equal(sync(r, 1), 5);
	assert_int_equal(sync(r, 1), 5);
}

static void unknown_metrics(void **state)
{
	(void)state;
	autofree struct run *r = run_new(4);
	r->c.down.window_ms = 0;
	struct sim_hpa_metric m[2] = {
		{ .kind = SIM_HPA_AVERAGE, .known = false, .value = 0, .target = 1 },
		{ .kind = SIM_HPA_AVERAGE, .known = true, .value = 1, .target = 1 },
	};
	assert_int_equal(sim_hpa_sync(&r->h, &r->c, m, 1, 4, 4, r->now), 4); /* nothing is known */
	assert_int_equal(sim_hpa_sync(&r->h, &r->c, m, 2, 4, 4, r->now), 4); /* no lower */
	m[1].value = 7;
	assert_int_equal(sim_hpa_sync(&r->h, &r->c, m, 2, 4, 4, r->now), 7); /* but higher */
}

/* The trap at ten replicas and more: after somebody else raised the spec by one, the HPA is inside of its tolerance
 * and writes status.replicas back, unless the status was raised too, or the limits are pinned. */
static void tolerance_writes_the_status_back(void **state)
{
	(void)state;
	static const struct {
		int64_t status, min, max, want;
	} cases[] = {
		{ 11, 1, 100, 11 }, /* taken back */
		{ 12, 1, 100, 12 },
		{ 11, 12, 100, 12 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree struct run *r = run_new(12);
		r->c = sim_hpa_defaults(cases[i].min, cases[i].max);
		r->c.down.window_ms = 0;
		struct sim_hpa_metric m = {
			.kind = SIM_HPA_AVERAGE, .known = true, .value = 12, .target = 1
		};
		assert_int_equal(sim_hpa_sync(&r->h, &r->c, &m, 1, 12, cases[i].status, r->now),
		                 cases[i].want);
	}
}

/* ---- KEDA ------------------------------------------------------------------------------------- */

static void keda_between_none_and_one(void **state)
{
	(void)state;
	struct sim_keda_config c = { .poll_ms = 5000, .cooldown_ms = 300000, .max = 10 };
	struct sim_keda k = { 0 };
	assert_int_equal(sim_keda_poll(&k, &c, true, false, 0, 1000), 0);
	assert_int_equal(sim_keda_poll(&k, &c, true, true, 0, 2000), 1);
	assert_int_equal(sim_keda_poll(&k, &c, true, true, 7, 3000), 7);
	assert_int_equal(sim_keda_poll(&k, &c, true, false, 7, 303000), 7);
	assert_int_equal(sim_keda_poll(&k, &c, false, false, 7, 303001), 7); /* an error holds */
	assert_int_equal(sim_keda_poll(&k, &c, true, false, 7, 303001),
	                 0); /* past the HPA, in one step */
	c.min = 2;
	assert_int_equal(sim_keda_poll(&k, &c, true, false, 1, 900000), 2);
	assert_int_equal(sim_keda_poll(&k, &c, true, false, 5, 900000), 5);
	assert_int_equal(sim_keda_poll(&k, &c, true, true, 0, 900000), 2);
}

static void keda_falls_back_after_failures(void **state)
{
	(void)state;
	struct sim_keda_config c = { .failure_threshold = 3, .fallback_replicas = 4 };
	struct sim_keda k = { 0 };
	double value = 9;
	for (int i = 0; i < 3; i++)
		assert_false(sim_keda_read(&k, &c, false, 1, 2, &value));
	assert_true(sim_keda_read(&k, &c, false, 1, 2, &value));
	assert_true(value == 4);
	assert_true(sim_keda_read(&k, &c, false, 1, 6, &value)); /* currentReplicasIfHigher */
	assert_true(value == 6);
	value = 9;
	assert_true(sim_keda_read(&k, &c, true, 1, 6, &value));
	assert_true(value == 9 && k.failures == 0);
	c.failure_threshold = 0;
	for (int i = 0; i < 9; i++)
		assert_false(sim_keda_read(&k, &c, false, 1, 6, &value));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(averages),
		cmocka_unit_test(cpu),
		cmocka_unit_test(default_behaviour),
		cmocka_unit_test(policies),
		cmocka_unit_test(a_step_in_thirty_seconds),
		cmocka_unit_test(an_up_window_takes_the_lowest),
		cmocka_unit_test(limits_and_zero),
		cmocka_unit_test(unknown_metrics),
		cmocka_unit_test(tolerance_writes_the_status_back),
		cmocka_unit_test(keda_between_none_and_one),
		cmocka_unit_test(keda_falls_back_after_failures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

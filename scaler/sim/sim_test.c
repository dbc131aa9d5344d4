#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "scaler/sim/experiment.h"
#include "scaler/sim/world_priv.h"

/* ---- CSV -------------------------------------------------------------------------------------- */

static void csv_bad_input(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "", "line 1: no header" },
		{ "\n# only words\n", "no header" },
		{ "arrive_s,service_s\n", "no query" },
		{ "arrive_s\n1\n", "line 1: column service_s is missing" },
		{ "arrive_s,service_s,size\n", "line 1: unknown column \"size\"" },
		{ "arrive_s,service_s,arrive_s\n", "line 1: column arrive_s is there twice" },
		{ "arrive_s,service_s\n1,2\n1,x\n", "line 3, column service_s: \"x\"" },
		{ "arrive_s,service_s\n1,2\n\n-1,2\n", "line 4, column arrive_s: \"-1\"" },
		{ "arrive_s,service_s\n1,0\n", "line 2, column service_s: \"0\"" },
		{ "arrive_s,service_s\nnan,1\n", "line 2, column arrive_s" },
		{ "arrive_s,service_s\n1,1e308\n", "line 2, column service_s" },
		{ "arrive_s,service_s\n1,inf\n", "line 2, column service_s" },
		{ "arrive_s,service_s\n1\n", "line 2: 1 fields; the header has 2" },
		{ "arrive_s,service_s\n1,2,3\n", "line 2: 3 fields; the header has 2" },
		{ "arrive_s,service_s,slots\n1,2,0\n", "line 2, column slots: \"0\"" },
		{ "arrive_s,service_s,slots\n1,2,65\n", "line 2, column slots: \"65\"" },
		{ "arrive_s,service_s,slots\n1,2,1.5\n",
		  "line 2, column slots: \"1.5\" is not whole" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sim_trace t = { 0 };
		struct err err = ERR_INIT;
		assert_int_equal(sim_trace_csv(str_of(cases[i].text), &t, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].text, err.msg);
		assert_null(t.v);
	}
}

static void csv_is_read(void **state)
{
	(void)state;
	struct sim_trace t = { 0 };
	struct err err = ERR_INIT;
	const char *text = "# what\nslots, service_s ,arrive_s\r\n2,1.5,10\r\n\n,0.25,3\n";
	assert_int_equal(sim_trace_csv(str_of(text), &t, &err), 0);
	assert_int_equal(t.n, 2);
	assert_int_equal(t.v[0].at_ms, 3000); /* sorted */
	assert_int_equal(t.v[0].service_ms, 250);
	assert_int_equal(t.v[0].slots, 1);
	assert_int_equal(t.v[1].at_ms, 10000);
	assert_int_equal(t.v[1].slots, 2);
	assert_int_equal(t.length_ms, 10001);
	sim_trace_free(&t);
}

/* ---- traces ----------------------------------------------------------------------------------- */

static void patterns(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	enum sim_pattern found;
	for (enum sim_pattern p = 0; p < SIM_PATTERNS; p++) {
		struct sim_load load = { .pattern = p, .hours = 4, .per_hour = 1000 };
		struct sim_trace a = { 0 }, b = { 0 }, c = { 0 };
		sim_trace_make(&load, 7, &a);
		sim_trace_make(&load, 7, &b);
		sim_trace_make(&load, 8, &c);
		assert_true(a.n > 10);
		if (p != SIM_LONG)
			assert_in_range(a.n, 3000, 5000);
		assert_int_equal(a.n, b.n);
		assert_memory_equal(a.v, b.v, a.n * sizeof(*a.v));
		assert_true(a.n != c.n || memcmp(a.v, c.v, a.n * sizeof(*a.v)) != 0);
		for (size_t i = 0; i < a.n; i++)
			assert_true(a.v[i].at_ms >= 0 && a.v[i].at_ms <= a.length_ms &&
			            a.v[i].service_ms > 0);
		sim_trace_free(&a);
		sim_trace_free(&b);
		sim_trace_free(&c);
		assert_int_equal(sim_pattern_find(sim_pattern_name(p), &found, &err), 0);
		assert_int_equal(found, p);
	}
	assert_int_equal(sim_pattern_find("none", &found, &err), -EINVAL);
}

/* ---- the world -------------------------------------------------------------------------------- */

static struct sim_experiment small(enum sim_pattern p)
{
	struct sim_experiment x = sim_experiment_defaults();
	x.load = (struct sim_load){ .pattern = p, .hours = 2, .per_hour = 3000 };
	x.machines.spot_mean_h = 1; /* many reclaims */
	x.seeds = 1;
	return x;
}

static void busy_adds_up(const struct sim_world *w)
{
	int64_t busy = 0, slots = 0;
	for (size_t i = 0; i < w->n_pods; i++) {
		assert_in_range(w->pods[i].busy, 0, w->pool.slots);
		busy += w->pods[i].busy;
	}
	for (size_t i = 0; i < w->n_runs; i++)
		for (int32_t k = 0; k < w->runs[i].places; k++)
			slots += w->runs[i].slots[k];
	assert_int_equal(busy, slots);
	assert_int_equal(busy, w->running_slots);
}

/* Every query that arrived has ended exactly once, or is counted as killed; nothing is left behind. */
static void nothing_is_lost(void **state)
{
	(void)state;
	for (enum sim_scaler kind = 0; kind < SIM_SCALERS; kind++) {
		struct sim_experiment x = small(SIM_ONOFF);
		struct sim_trace t = { 0 };
		sim_trace_make(&x.load, 3, &t);
		struct sim_pool pool = sim_scaler_pool(kind, &x.scaler);
		autofree struct sim_world *w = xcalloc(1, sizeof(*w));
		sim_world_init(w, &pool, &x.machines, &t, 3);
		_cleanup_(sim_scaling_freep) struct sim_scaling *s =
			sim_scaling_new(kind, &x.scaler, w);
		struct sim_decider d = sim_scaling_decider(s);
		sim_world_run(w, &d);
		busy_adds_up(w);
		size_t done = 0, killed = 0;
		for (size_t i = 0; i < t.n; i++) {
			const struct sim_query *q = &w->queries[i];
			done += q->state == SIM_DONE;
			killed += q->state == SIM_KILLED;
			if (q->state != SIM_DONE)
				continue;
			assert_true(q->start_ms >= t.v[i].at_ms);
			assert_true(q->end_ms - q->start_ms >= t.v[i].service_ms);
		}
		if (done + killed != t.n || w->finished != done || w->killed != killed)
			fail_msg("%s: %zu of %zu ended, %zu killed; counted %zu and %zu",
			         sim_scaler_name(kind), done, t.n, killed, w->finished, w->killed);
		assert_int_equal(w->n_runs, 0);
		assert_int_equal(w->waiting, 0);
		assert_int_equal(w->waiting_slots, 0);
		assert_true(pool.retried ? killed == 0 : w->retries == 0);
		sim_world_release(w);
		sim_trace_free(&t);
	}
}

static void same_seed_same_bytes(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf a = BUF_INIT(1 << 24), b = BUF_INIT(1 << 24),
				 c = BUF_INIT(1 << 24);
	struct buf *to[] = { &a, &b, &c };
	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		struct sim_experiment x = small(SIM_CAB);
		x.seeds = 2;
		x.first_seed = i == 2 ? 9 : 1;
		sim_experiment_run(&x);
		sim_report_json(&x, to[i]);
		sim_report_table(&x, to[i]);
		sim_plot(&x, to[i]);
		sim_experiment_release(&x);
	}
	assert_true(a.len > 1000 && !a.overflow);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	assert_true(a.len != c.len || memcmp(a.p, c.p, a.len) != 0);
}

/* A task stays where it began: a node that comes later helps nobody who runs, and takes nothing over. */
static void tasks_do_not_move(void **state)
{
	(void)state;
	struct sim_trace t = { 0 };
	const char *csv = "arrive_s,service_s,slots\n0,100,2\n0,100,2\n0,100,2\n0,100,2\n1,1,1\n";
	assert_int_equal(sim_trace_csv(str_of(csv), &t, NULL), 0);
	struct sim_pool pool = { .slots = 8, .max = 10, .retried = true, .grace_ms = 1000 };
	struct sim_machines cfg = { 0 };
	autofree struct sim_world *w = xcalloc(1, sizeof(*w));
	sim_world_init(w, &pool, &cfg, &t, 1);
	struct sim_event e;
	sim_world_scale(w, 1);
	for (int i = 0; i < 40 && sim_heap_pop(w, &e) && e.at_ms < 3000; i++) {
		w->now = e.at_ms;
		if (e.kind == SIM_EV_ARRIVE)
			sim_queries_arrive(w);
		else if (e.kind == SIM_EV_BATCH)
			sim_machines_batch(w);
		else if (e.kind == SIM_EV_BOOTED)
			sim_machines_booted(w, e.a);
		else if (e.kind == SIM_EV_READY)
			sim_pods_ready(w, e.a, e.b);
		if (e.kind == SIM_EV_READY && w->spec == 1)
			sim_world_scale(w, 2);
	}
	assert_int_equal(sim_world_ready(w), 2);
	assert_int_equal(w->pods[0].busy, 8);
	assert_int_equal(w->pods[1].busy, 1); /* the one that still waited */
	busy_adds_up(w);
	/* The first is lost: its four queries wait again, ahead of everybody, and one node holds them all but one slot. */
	sim_pods_take(w, 0, 1000);
	sim_pods_gone(w, 0);
	assert_int_equal(w->killed, 0);
	assert_int_equal(w->retries, 4);
	assert_int_equal(w->n_runs, 4);
	assert_int_equal(w->waiting, 1);
	busy_adds_up(w);
	sim_world_release(w);
	sim_trace_free(&t);
}

static double mean(const struct sim_experiment *x, enum sim_scaler s, enum sim_measure m)
{
	return sim_experiment_mean(x, s, m).mean;
}

/* StarRocks#76485: long queries fill the nodes and nobody waits; a further node would do nothing for them. */
static void no_useless_node(void **state)
{
	(void)state;
	struct sim_experiment x = small(SIM_LONG);
	x.load.hours = 4;
	x.machines.spot_mean_h = 0;
	sim_experiment_run(&x);
	assert_true(mean(&x, SIM_OURS, SIM_M_USELESS) == 0);
	assert_true(mean(&x, SIM_OURS, SIM_M_KILLED) == 0);
	assert_true(mean(&x, SIM_HPA_ON_CPU, SIM_M_USELESS) > 0);
	assert_true(mean(&x, SIM_OURS, SIM_M_NODE_HOURS) <
	            mean(&x, SIM_HPA_ON_CPU, SIM_M_NODE_HOURS));
	sim_experiment_release(&x);
}

/* Operator, KEDA and HPA behind the same number never differ, beyond ten nodes too; without pins they do. */
static void the_hpa_writes_the_same_number(void **state)
{
	(void)state;
	struct sim_experiment x = small(SIM_ONOFF);
	x.scaler.max = 40;
	x.load.per_hour = 20000;
	sim_experiment_run(&x);
	assert_true(mean(&x, SIM_OURS, SIM_M_DISAGREE) == 0);
	sim_experiment_release(&x);
}

/* A silent FE is unknown, not idle: what was ordered stays. */
static void silence_takes_no_node(void **state)
{
	(void)state;
	struct sim_experiment x = small(SIM_CONSTANT);
	x.scaler.outage_from_ms = 3600000;
	x.scaler.outage_ms = 1800000;
	x.machines.spot_mean_h = 0;
	sim_experiment_run(&x);
	const struct sim_sample *v = x.timeline[SIM_OURS];
	size_t from = 3600000 / SIM_SAMPLE_MS + 1;
	assert_true(v[from].wanted > 0);
	for (size_t i = from; i < from + 1800000 / SIM_SAMPLE_MS - 2; i++)
		assert_true(v[i].wanted == v[from].wanted);
	assert_true(mean(&x, SIM_OURS, SIM_M_UNFINISHED) == 0);
	sim_experiment_release(&x);
}

static void means(void **state)
{
	(void)state;
	const double v[] = { 1, 2, 3 };
	struct sim_mean m = sim_mean_of(v, 3);
	assert_true(m.mean > 1.999 && m.mean < 2.001);
	assert_true(m.half > 2.483 && m.half < 2.485); /* 4.303 / sqrt(3) */
	assert_true(sim_mean_of(v, 1).half == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csv_bad_input),
		cmocka_unit_test(csv_is_read),
		cmocka_unit_test(patterns),
		cmocka_unit_test(nothing_is_lost),
		cmocka_unit_test(same_seed_same_bytes),
		cmocka_unit_test(tasks_do_not_move),
		cmocka_unit_test(no_useless_node),
		cmocka_unit_test(the_hpa_writes_the_same_number),
		cmocka_unit_test(silence_takes_no_node),
		cmocka_unit_test(means),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "scaler/policy/policy.h"

/* A pool of nodes with two slots each, as the FE would describe it. */
static struct source_snapshot snap(int64_t nodes, int64_t running_slots, int64_t waiting_slots,
                                   double wait_s, double service_s)
{
	int64_t busy = (running_slots + 1) / 2;
	return (struct source_snapshot){
		.epoch = 1,
		.pending = waiting_slots,
		.running = running_slots,
		.slots_asked = running_slots + waiting_slots,
		.oldest_wait_s = wait_s,
		.service_p50_s = service_s,
		.nodes = nodes,
		.idle_nodes = nodes > busy ? nodes - busy : 0,
		.tasks = running_slots,
		.slots = 2 * nodes,
		.slots_of_a_node = nodes ? 2 : 0,
	};
}

static const struct source_limits limits = { .min = 0,
	                                     .max = 10,
	                                     .slots_per_node = 2,
	                                     .wait_target_s = 4,
	                                     .scale_in_window_ms = 15000,
	                                     .replicas = -1 };

static void one_snapshot(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t min, nodes, running, waiting;
		double wait_s, service_s;
		int64_t want;
		const char *says;
	} cases[] = {
		{ "nothing at all", 0, 0, 0, 0, 0, 0, 0, "idle" },
		{ "the floor", 2, 0, 0, 0, 0, 0, 2, "up: 0 of 2" },
		{ "a query waits, no node", 0, 0, 0, 1, 0.1, 0, 1, "queue" },
		{ "many wait, no node, unknown service time", 0, 0, 0, 9, 0.1, 0, 5, "queue" },
		{ "panic counts all of the queue", 0, 1, 2, 8, 2.1, 1, 5, "panic" },
		{ "short queries need their share only", 0, 1, 2, 8, 1.9, 1, 2, "queue" },
		{ "long queries count in full", 0, 1, 2, 8, 0.5, 60, 5, "queue" },
		{ "drains before a node could start", 0, 1, 2, 2, 0.1, 1, 1, "drains sooner" },
		{ "all run, nobody waits", 0, 2, 4, 0, 0, 1, 2, "steady" },
		{ "the ceiling", 0, 1, 2, 100, 3, 10, 10, "panic" },
		{ "what is there at the start stays", 0, 3, 0, 0, 0, 1, 3, "hold: 3 needed" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct policy_state s = { 0 };
		struct policy_decision d;
		struct source_limits l = limits;
		l.min = cases[i].min;
		struct source_snapshot one =
			snap(cases[i].nodes, cases[i].running, cases[i].waiting, cases[i].wait_s,
		             cases[i].service_s);
		policy_step(&l, &one, 1000000, &s, &d);
		if (d.desired != cases[i].want || !strstr(d.reason, cases[i].says))
			fail_msg("%s: %lld, %s", cases[i].what, (long long)d.desired, d.reason);
		assert_int_equal(d.active, cases[i].want > 0);
	}
}

struct run {
	struct policy_state s;
	struct policy_decision d;
	int64_t now;
	struct source_limits l;
};

static void step(struct run *r, struct source_snapshot one, int64_t ms)
{
	for (int64_t until = r->now + ms; r->now < until; r->now += 500)
		policy_step(&r->l, &one, r->now, &r->s, &r->d);
}

static void a_short_queue_that_stays_is_worth_a_node(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	step(&r, snap(1, 2, 2, 0.2, 0.5), 1500);
	assert_int_equal(r.d.desired, 1);
	step(&r, snap(1, 2, 8, 0.2, 0.5), 2000);
	assert_int_equal(r.d.desired, 2);
}

static void down_after_the_window_one_at_a_time(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	step(&r, snap(1, 2, 4, 3, 10), 500);
	assert_int_equal(r.d.desired, 3);
	step(&r, snap(3, 6, 0, 0, 10), 1000);
	step(&r, snap(3, 1, 0, 0, 10), 14000);
	assert_int_equal(r.d.desired, 3);
	assert_non_null(strstr(r.d.reason, "hold: 3 needed within the last 15 s"));
	step(&r, snap(3, 1, 0, 0, 10), 2500);
	assert_int_equal(r.d.desired, 2);
	step(&r, snap(3, 1, 0, 0, 10), 5000); /* the node has not left yet */
	assert_int_equal(r.d.desired, 2);
	step(&r, snap(2, 1, 0, 0, 10), 1000);
	assert_int_equal(r.d.desired, 1);
	step(&r, snap(1, 1, 0, 0, 10), 60000); /* runs something: not to zero */
	assert_int_equal(r.d.desired, 1);
	step(&r, snap(1, 0, 0, 0, 10), 14000);
	assert_int_equal(r.d.desired, 1);
	step(&r, snap(1, 0, 0, 0, 10), 3000);
	assert_int_equal(r.d.desired, 0);
	step(&r, snap(0, 0, 0, 0, 10), 3000);
	assert_string_equal(r.d.reason, "idle");
	assert_false(r.d.active);
}

static void never_takes_running_work(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	struct source_snapshot spread = snap(3, 3, 0, 0, 10); /* one task on each node */
	spread.idle_nodes = 0;
	step(&r, spread, 60000);
	assert_int_equal(r.d.desired, 3);
	assert_non_null(strstr(r.d.reason, "every node runs something"));
	spread.idle_nodes = 1;
	step(&r, spread, 500);
	assert_int_equal(r.d.desired, 2);
	/* A node that never came takes nothing with it. */
	struct run q = { .now = 1000000, .l = limits };
	step(&q, snap(1, 2, 4, 3, 10), 500);
	step(&q, snap(1, 2, 0, 0, 10), 25000);
	assert_int_equal(q.d.desired, 1);
}

static void a_gap_or_a_new_fe_takes_nothing(void **state)
{
	(void)state;
	for (int fresh_epoch = 0; fresh_epoch < 2; fresh_epoch++) {
		struct run r = { .now = 1000000, .l = limits };
		step(&r, snap(4, 8, 0, 0, 10), 20000);
		r.now += fresh_epoch ? 0 : 60000;
		struct source_snapshot empty = snap(0, 0, 0, 0, 0);
		empty.epoch = fresh_epoch ? 2 : 1;
		step(&r, empty, 14000);
		assert_int_equal(r.d.desired, 4);
		step(&r, empty, 2000);
		assert_int_equal(r.d.desired, 3);
	}
}

static void a_restart_keeps_what_was_ordered(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	r.l.replicas = 5;
	step(&r, snap(2, 0, 0, 0, 1), 14000);
	assert_int_equal(r.d.desired, 5);
	r.l.max = 3; /* the user's word counts at once */
	step(&r, snap(2, 0, 0, 0, 1), 500);
	assert_int_equal(r.d.desired, 3);
}

static void slow_starts_are_learnt(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	step(&r, snap(1, 2, 4, 3, 10), 100000); /* the nodes take 100 s */
	step(&r, snap(3, 6, 0, 0, 10), 1000);
	assert_true(r.s.start_ms > 40000);
	step(&r, snap(3, 6, 2, 1, 10), 500); /* drains in 3 s */
	assert_int_equal(r.d.desired, 3);
	step(&r, snap(3, 6, 2, 1, 10), 30000);
	assert_int_equal(r.d.desired, 4);
}

/* What two busy nodes with a queue need where a node takes 100 s to come. */
static int64_t wanted(int64_t waiting, double service_s, double oldest_s, int64_t last_waiting)
{
	struct run r = { .now = 1000000, .l = limits };
	r.l.max = 100;
	step(&r, snap(2, 4, 0, 0, service_s), 500);
	r.s.start_ms = 100000;
	step(&r, snap(2, 4, last_waiting, 0.1, service_s), 600000);
	struct source_snapshot one = snap(2, 4, waiting, oldest_s, service_s);
	policy_step(&r.l, &one, r.now, &r.s, &r.d);
	return r.s.need;
}

/* Slow nodes: what those that are there will have done by then needs no node, not even in panic; what grows does. */
static void a_slow_start_is_weighed(void **state)
{
	(void)state;
	assert_int_equal(wanted(40, 2, 3, 40), 3);    /* 40 x 2 s over 200 s: less than a slot */
	assert_int_equal(wanted(40, 300, 3, 40), 22); /* longer than two starts: all of it */
	int64_t steady = wanted(400, 2, 3, 400), grown = wanted(400, 2, 3, 10);
	assert_in_range(steady, 2 + 4 / 2, 2 + 4 / 2 + 1);
	assert_true(grown > steady + 4);
}

/* A node is kept while the slots in use would fill the others; but headroom never asks for one. */
static void headroom_keeps(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	r.l.slots_per_node = 10;
	struct source_snapshot one = snap(3, 19, 0, 0, 1);
	one.slots = 30;
	one.slots_of_a_node = 10;
	one.idle_nodes = 1;
	step(&r, one, 60000);
	assert_int_equal(r.d.desired, 3); /* 19 fit into 20, with nothing to spare */
	one.slots_asked = one.running = one.tasks = 16;
	step(&r, one, 20000);
	assert_int_equal(r.d.desired, 2);
	one.nodes = 2;
	one.slots = 20;
	one.slots_asked = one.running = one.tasks = 20;
	one.idle_nodes = 0;
	step(&r, one, 60000);
	assert_int_equal(r.d.desired, 2);
}

/* Half of the queries are short, the rest make the work: the mean counts. */
static void the_mean_counts(void **state)
{
	(void)state;
	struct run a = { .now = 1000000, .l = limits }, b = a;
	struct source_snapshot one = snap(1, 2, 8, 1.9, 1);
	step(&a, one, 500);
	one.service_p95_s = 20;
	step(&b, one, 500);
	assert_int_equal(a.d.desired, 2);
	assert_int_equal(b.d.desired, 5);
}

static void same_inputs_same_bytes(void **state)
{
	(void)state;
	struct run a = { .now = 5, .l = limits }, b = { .now = 5, .l = limits };
	memset(&a.d, 1, sizeof(a.d));
	uint64_t seed = 42;
	for (int i = 0; i < 5000; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		struct source_snapshot one =
			snap((int64_t)(seed >> 60), (int64_t)(seed >> 33 & 7),
		             (int64_t)(seed >> 40 & 15), (double)(seed >> 50 & 7),
		             (double)(seed >> 20 & 3));
		step(&a, one, 500);
		step(&b, one, 500);
		assert_memory_equal(&a.d, &b.d, sizeof(a.d));
		assert_true(a.d.desired >= 0 && a.d.desired <= 10 && a.d.reason[0]);
	}
}

static void the_forecast_only_raises(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t forecast, nodes, running, waiting;
		int64_t want;
		const char *says;
	} cases[] = {
		{ "raises from zero", 4, 0, 0, 0, 4, "forecast: prior days needed 4" },
		{ "not above the ceiling", 99, 0, 0, 0, 10, "forecast: prior days needed 10" },
		{ "less than the queue needs", 2, 1, 2, 8, 5, "queue" },
		{ "less than is there", 1, 3, 6, 0, 3, "steady" },
		{ "none", 0, 1, 2, 0, 1, "steady" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r = { .now = 1000000, .l = limits };
		r.s.forecast = cases[i].forecast;
		step(&r, snap(cases[i].nodes, cases[i].running, cases[i].waiting, 0.5, 60), 500);
		if (r.d.desired != cases[i].want || !strstr(r.d.reason, cases[i].says))
			fail_msg("%s: %lld, %s", cases[i].what, (long long)r.d.desired, r.d.reason);
		assert_true(r.s.need <= r.d.desired);
	}
	/* It holds while it lasts, and is no need of its own when it has passed. */
	struct run r = { .now = 1000000, .l = limits };
	r.s.forecast = 3;
	step(&r, snap(3, 0, 0, 0, 1), 40000);
	assert_int_equal(r.d.desired, 3);
	assert_int_equal(r.s.need, 0);
	assert_string_equal(r.d.reason, "hold: prior days needed 3 nodes about now");
	r.s.forecast = 0;
	step(&r, snap(3, 0, 0, 0, 1), 20000);
	assert_int_equal(r.d.desired, 2);
}

/* So do cycles; and where both speak, the higher one is named. */
static void cycles_only_raise(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t cycle, forecast, nodes, running, waiting;
		int64_t want;
		const char *says;
	} cases[] = {
		{ "raises from zero", 4, 0, 0, 0, 0, 4,
		  "forecast: the last cycles of 60 min needed 4" },
		{ "not above the ceiling", 99, 0, 0, 0, 0, 10, "forecast: the last cycles" },
		{ "prior days need more", 3, 5, 0, 0, 0, 5, "forecast: prior days needed 5" },
		{ "less than the queue needs", 2, 0, 1, 2, 8, 5, "queue" },
		{ "less than is there", 1, 0, 3, 6, 0, 3, "steady" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r = { .now = 1000000, .l = limits };
		r.s.cycle = cases[i].cycle;
		r.s.forecast = cases[i].forecast;
		r.s.period_min = 60;
		r.s.calm = cases[i].cycle + 1;
		step(&r, snap(cases[i].nodes, cases[i].running, cases[i].waiting, 0.5, 60), 500);
		if (r.d.desired != cases[i].want || !strstr(r.d.reason, cases[i].says))
			fail_msg("%s: %lld, %s", cases[i].what, (long long)r.d.desired, r.d.reason);
		assert_true(r.s.need <= r.d.desired);
	}
	struct run r = { .now = 1000000, .l = limits };
	r.s.cycle = 3;
	r.s.period_min = 60;
	r.s.calm = 4;
	step(&r, snap(3, 0, 0, 0, 1), 40000);
	assert_int_equal(r.d.desired, 3);
	assert_int_equal(r.s.need, 0); /* what is kept for later feeds no forecast of its own */
	assert_string_equal(r.d.reason, "hold: the last cycles of 60 min needed 3 nodes about now");
}

/* A lull that cycles foresee is not waited for the whole window; what runs and what the lull needs stays. */
static void a_lull_is_left_early(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t calm, running, want;
	} cases[] = {
		{ "nothing is foreseen", 0, 0, 6 }, { "down to nothing", 1, 0, 5 },
		{ "down to three", 4, 0, 5 },       { "five of six are no lull", 6, 0, 6 },
		{ "nodes are in use", 1, 11, 6 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r = { .now = 1000000, .l = limits };
		step(&r, snap(6, 12, 0, 0, 10), 30000);
		r.s.period_min = 60;
		r.s.calm = cases[i].calm;
		step(&r, snap(6, cases[i].running, 0, 0, 10), 6000); /* the window: 15 s */
		if (r.d.desired != cases[i].want)
			fail_msg("%s: %lld, %s", cases[i].what, (long long)r.d.desired, r.d.reason);
	}
	struct run r = { .now = 1000000, .l = limits };
	step(&r, snap(6, 12, 0, 0, 10), 30000);
	r.s.period_min = 60;
	r.s.calm = 3; /* two nodes: less than 0.6 of four */
	step(&r, snap(6, 0, 0, 0, 10), 4000);
	for (int64_t n = 5; n > 2; n--) /* each node leaves at once */
		step(&r, snap(n, 0, 0, 0, 10), 2500);
	assert_int_equal(r.d.desired, 3);
	step(&r, snap(3, 0, 0, 0, 10), 6000); /* the window knows better by now */
	assert_int_equal(r.d.desired, 2);
}

/* What the cycles need again within minutes is not taken, however long the quiet; one node less than they need is held
 * no longer than the window says, and neither is anything when the cycles have ended. */
static void what_cycles_need_soon_is_kept(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		int64_t calm, want;
		const char *says;
	} cases[] = {
		{ "all of them", 7, 6,
		  "hold: the last cycles of 60 min needed 6 nodes within minutes" },
		{ "more than there are", 11, 6, "hold: the last cycles of 60 min needed 10 nodes" },
		{ "one less", 6, 5, "down: at most 1 needed" },
		{ "no cycle", 0, 5, "down: at most 1 needed" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r = { .now = 1000000, .l = limits };
		step(&r, snap(6, 12, 0, 0, 10), 30000);
		r.s.period_min = cases[i].calm ? 60 : 0;
		r.s.calm = cases[i].calm;
		step(&r, snap(6, 1, 0, 0, 10), 15500);
		if (r.d.desired != cases[i].want || !strstr(r.d.reason, cases[i].says))
			fail_msg("%s: %lld, %s", cases[i].what, (long long)r.d.desired, r.d.reason);
		r.s.calm = 0;
		step(&r, snap(6, 1, 0, 0, 10), 2500);
		assert_true(r.d.desired < 6);
	}
}

/* A node that is wanted again soon after one was taken should have stayed: the next is taken later. */
static void a_missed_node_is_kept(void **state)
{
	(void)state;
	for (int soon = 0; soon < 2; soon++) {
		struct run r = { .now = 1000000, .l = limits };
		step(&r, snap(3, 6, 0, 0, 10), 20000);
		step(&r, snap(3, 1, 0, 0, 10), 18000);
		assert_int_equal(r.d.desired, 2);
		step(&r, snap(2, 4, 0, 0, 10), soon ? 30000 : 90000); /* four windows: 60 s */
		step(&r, snap(2, 4, 4, 3, 10), 500);
		assert_int_equal(r.d.desired, 4);
		step(&r, snap(4, 8, 0, 0, 10), 2000);
		step(&r, snap(4, 1, 0, 0, 10), 25000);
		assert_int_equal(r.d.desired, soon ? 4 : 3);
		if (soon)
			assert_non_null(strstr(r.d.reason, "hold: the last node taken was missed"));
		step(&r, snap(4, 1, 0, 0, 10), 40000);
		assert_int_equal(r.d.desired, 3);
	}
}

/* Ten seconds of a queue say what it grows by as well as a minute does. */
static void a_young_queue_is_believed(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	r.l.max = 100;
	step(&r, snap(2, 4, 0, 0, 2), 500);
	r.s.start_ms = 100000;
	for (int i = 1; i <= 20; i++) /* ten slots a second, of 2 s: twenty slots busy */
		step(&r, snap(2, 4, 5 * i, 31, 2), 500);
	assert_in_range(r.s.need, 11, 14);
}

static void warmth_is_learnt(void **state)
{
	(void)state;
	struct run r = { .now = 1000000, .l = limits };
	struct source_snapshot cold = snap(3, 2, 4, 3, 10);
	step(&r, snap(1, 2, 4, 3, 10), 1000);
	step(&r, cold, 30000); /* joined, and nothing runs there yet */
	assert_true(r.s.start_ms < 2000 && r.s.warm_ms == 0);
	step(&r, snap(3, 6, 0, 0, 10), 500);
	assert_true(r.s.warm_ms > 14000 && r.s.warm_ms < 16000);
	int64_t warm = r.s.warm_ms;
	step(&r, snap(3, 6, 2, 1, 10), 500); /* drains in 3 s: sooner than a node is warm */
	assert_int_equal(r.d.desired, 4 - 1);
	assert_non_null(strstr(r.d.reason, "drains sooner"));
	assert_int_equal(r.s.warm_ms, warm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_snapshot),
		cmocka_unit_test(a_short_queue_that_stays_is_worth_a_node),
		cmocka_unit_test(down_after_the_window_one_at_a_time),
		cmocka_unit_test(never_takes_running_work),
		cmocka_unit_test(a_gap_or_a_new_fe_takes_nothing),
		cmocka_unit_test(a_restart_keeps_what_was_ordered),
		cmocka_unit_test(slow_starts_are_learnt),
		cmocka_unit_test(a_slow_start_is_weighed),
		cmocka_unit_test(headroom_keeps),
		cmocka_unit_test(the_mean_counts),
		cmocka_unit_test(same_inputs_same_bytes),
		cmocka_unit_test(the_forecast_only_raises),
		cmocka_unit_test(cycles_only_raise),
		cmocka_unit_test(a_lull_is_left_early),
		cmocka_unit_test(what_cycles_need_soon_is_kept),
		cmocka_unit_test(a_missed_node_is_kept),
		cmocka_unit_test(a_young_queue_is_believed),
		cmocka_unit_test(warmth_is_learnt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/admit/admit.h"
#include "engine/sqlerr.h"
#include "lib/base/mem.h"

/* Backends are 1, 2, 3…, compute nodes 11, 12, 13…. */
static const int64_t ids[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 };
enum { FIRST_CN = 11, NODES_MAX = ARRAY_LEN(ids) + 1 };

/* One query in a thread of its own: enters, says so, stays until told to leave. */
struct query {
	struct admit *a;
	struct admit_request rq;
	pthread_t thread;
	struct admit_ticket *ticket;
	struct err err;
	atomic_int rc; /* 1 while waiting */
	atomic_bool cancel;
};

static bool is_cancelled(void *arg)
{
	struct query *q = arg;
	return atomic_load(&q->cancel);
}

static void *enter(void *arg)
{
	struct query *q = arg;
	atomic_store(&q->rc, admit_enter(q->a, &q->rq, &q->ticket, &q->err));
	return NULL;
}

/* On backends first, first + 1, …, and on any cn compute nodes, rather from 11 on. */
static void start_at(struct query *q, struct admit *a, size_t first, size_t be, int cn,
                     int64_t timeout_ms)
{
	*q = (struct query){ .a = a,
		             .rq = { .query_id = "00",
		                     .user = "root",
		                     .group = "default_wg",
		                     .sql = "SELECT 1",
		                     .be = &ids[first - 1],
		                     .n_be = be,
		                     .slots_cn = cn,
		                     .cn = &ids[FIRST_CN - 1],
		                     .n_cn = cn > 0 ? 1 : 0,
		                     .by = deadline_in(timeout_ms),
		                     .cancelled = is_cancelled,
		                     .arg = q } };
	atomic_store(&q->rc, 1);
	struct admit_load before, now;
	admit_get_load(a, &before);
	assert_int_equal(pthread_create(&q->thread, NULL, enter, q), 0);
	do { /* it has arrived when it is counted, so that the order of arrival is the test's */
		clock_sleep_ms(1);
		admit_get_load(a, &now);
	} while (now.total == before.total);
}

static void start(struct query *q, struct admit *a, size_t be, int cn, int64_t timeout_ms)
{
	start_at(q, a, 1, be, cn, timeout_ms);
}

static bool admitted_in(struct query *q, int64_t ms)
{
	for (struct deadline by = deadline_in(ms); !deadline_passed(by); clock_sleep_ms(1))
		if (atomic_load(&q->rc) <= 0)
			return atomic_load(&q->rc) == 0;
	return false;
}

static void leave(struct query *q)
{
	(void)pthread_join(q->thread, NULL);
	assert_int_equal(atomic_load(&q->rc), 0);
	admit_leave(q->ticket);
}

/* be backends and the compute nodes first_cn, first_cn + 1, …, each with so many slots. */
static void set_nodes(struct admit *a, int be, int first_cn, int cn, int slots)
{
	struct admit_node nodes[2 * NODES_MAX];
	size_t n = 0;
	for (int i = 0; i < be; i++)
		nodes[n++] = (struct admit_node){ i + 1, false, slots };
	for (int i = 0; i < cn; i++)
		nodes[n++] = (struct admit_node){ first_cn + i, true, slots };
	admit_set_nodes(a, nodes, n);
}

static struct admit *make(int be, int cn)
{
	struct admit *a = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(admit_new(&a, &err), 0);
	set_nodes(a, be, FIRST_CN, cn, 1);
	return a;
}

/* The only compute node that it was given. */
static int64_t node_of(struct query *q)
{
	int64_t id = 0;
	assert_int_equal(admit_granted(q->ticket, &id, 1), 1);
	return id;
}

static void slots_are_counted_and_served_in_order(void **state)
{
	(void)state;
	struct admit *a = make(4, 0);
	struct query wide, second, third;
	start(&wide, a, 3, 0, 10000);
	assert_true(admitted_in(&wide, 20000));
	start_at(&second, a, 3, 2, 0, 10000);
	start_at(&third, a, 4, 1, 0, 10000);
	/* The fourth is free, but the third query may not overtake: the second would starve. */
	assert_false(admitted_in(&second, 50));
	assert_false(admitted_in(&third, 1));
	struct admit_query rows[4];
	assert_int_equal(admit_queries(a, rows, 4), 3);
	assert_false(rows[0].pending);
	assert_true(rows[1].pending && rows[1].slots == 2 && rows[2].slots == 1);
	assert_string_equal(rows[2].sql, "SELECT 1");
	leave(&wide);
	assert_true(admitted_in(&second, 20000));
	assert_false(admitted_in(&third, 20));
	leave(&second);
	assert_true(admitted_in(&third, 20000));
	leave(&third);
	admit_free(a);
}

static void a_query_without_compute_nodes_waits_alone(void **state)
{
	(void)state;
	struct admit *a = make(2, 0);
	struct query cn, both, be;
	struct admit_load l;
	start(&cn, a, 0, 8, 10000);
	start(&both, a, 1, 1, 10000);
	start(&be, a, 2, 0, 10000);
	assert_true(admitted_in(&be, 20000));
	assert_false(admitted_in(&cn, 20));
	admit_get_load(a, &l);
	assert_int_equal(l.pending, 2);
	assert_int_equal(l.running, 1);
	assert_int_equal(l.required_slots, 9);
	assert_true(l.oldest_wait_s > 0.01);
	/* What lacks compute nodes asks for no backend. */
	assert_int_equal(l.be.pending, 0);
	assert_int_equal(l.be.running, 1);
	assert_int_equal(l.be.required_slots, 2);
	leave(&be);
	set_nodes(a, 2, FIRST_CN, 1,
	          1); /* a node arrives; 8 wanted are clipped to the one there is */
	assert_true(admitted_in(&cn, 20000));
	assert_false(admitted_in(&both, 20));
	admit_get_load(a, &l);
	assert_int_equal(l.running_slots_cn, 1);
	assert_int_equal(l.required_slots, 9);
	leave(&cn);
	assert_true(admitted_in(&both, 20000));
	leave(&both);
	admit_get_load(a, &l);
	assert_int_equal(l.total, 3);
	assert_true(l.oldest_wait_s < 0.001);
	assert_true(l.service_p95_s > 0 && l.service_p95_s >= l.service_p50_s);
	admit_free(a);
}

static void waiting_ends_by_timeout_or_cancel(void **state)
{
	(void)state;
	struct admit *a = make(1, 0);
	struct query running, late, unwanted, next;
	start(&running, a, 1, 0, 1000);
	assert_true(admitted_in(&running, 20000));
	start(&late, a, 1, 0, 30);
	(void)pthread_join(late.thread, NULL);
	assert_int_equal(late.err.code, SQL_ERR(1064));
	assert_non_null(strstr(late.err.msg, "Pending timeout"));
	start(&unwanted, a, 1, 0, 60000);
	start(&next, a, 1, 0, 60000);
	assert_false(admitted_in(&next, 20));
	struct admit_load waiting;
	admit_get_load(a, &waiting);
	assert_int_equal(waiting.be.pending, 2);
	assert_int_equal(waiting.be.required_slots, 3);
	assert_true(waiting.be.oldest_wait_s > 0.01);
	atomic_store(&unwanted.cancel, true);
	(void)pthread_join(unwanted.thread, NULL);
	assert_int_equal(unwanted.err.code, SQL_ERR(1317));
	leave(&running);
	assert_true(admitted_in(&next, 20000));
	leave(&next);
	struct admit_load l;
	admit_get_load(a, &l);
	assert_int_equal(l.timeouts, 1);
	assert_int_equal(l.pending + l.running, 0);
	start(&late, a, 0, 1, 10);
	(void)pthread_join(late.thread, NULL);
	assert_non_null(strstr(late.err.msg, "no alive compute node"));
	admit_free(a);
}

static void nodes_come_and_go(void **state)
{
	(void)state;
	struct admit *a = make(0, 1);
	struct query q, next, third;
	start(&q, a, 0, 1, 10000);
	assert_true(admitted_in(&q, 20000));
	assert_int_equal(node_of(&q), 11);
	start(&next, a, 0, 1, 10000);
	start(&third, a, 0, 1, 10000);
	assert_false(admitted_in(&next, 30));
	/* The first drains while it works; another has come. */
	set_nodes(a, 0, 12, 1, 1);
	assert_true(admitted_in(&next, 20000));
	assert_int_equal(node_of(&next), 12);
	leave(&q);
	assert_false(admitted_in(&third, 30));
	set_nodes(a, 0, 12, 2, 1);
	assert_true(admitted_in(&third, 20000));
	assert_int_equal(node_of(&third), 13);
	leave(&next);
	leave(&third);
	admit_free(a);
}

static void a_wide_query_starts_on_half_of_the_nodes(void **state)
{
	(void)state;
	struct admit *a = make(0, 4);
	struct query one[3], wide, narrow;
	int64_t nodes[4];
	for (size_t i = 0; i < ARRAY_LEN(one); i++) {
		start(&one[i], a, 0, 1, 10000);
		assert_true(admitted_in(&one[i], 20000));
		assert_int_equal(node_of(&one[i]), 11 + (int)i);
	}
	start(&wide, a, 0, 9, 10000);
	start(&narrow, a, 0, 1, 10000);
	assert_false(admitted_in(&wide, 30));
	assert_false(admitted_in(&narrow, 1)); /* else the wide one starves */
	leave(&one[1]);
	assert_true(admitted_in(&wide, 20000));
	assert_int_equal(admit_granted(wide.ticket, nodes, 4), 2);
	assert_int_equal(nodes[0] + nodes[1], 12 + 14);
	leave(&wide);
	assert_true(admitted_in(&narrow, 20000));
	leave(&narrow);
	leave(&one[0]);
	leave(&one[2]);
	admit_free(a);
}

static void tasks_run_in_their_own_slots(void **state)
{
	(void)state;
	struct admit *a = make(0, 2);
	struct query first, second, third;
	start(&first, a, 0, 1, 10000);
	assert_true(admitted_in(&first, 20000));
	assert_int_equal(admit_task_begin(first.ticket, 11), ADMIT_TASK_GO);
	assert_int_equal(admit_task_begin(first.ticket, 11), ADMIT_TASK_WAIT);
	assert_int_equal(admit_task_begin(first.ticket, 99), ADMIT_TASK_GONE);
	/* Another node has a slot to spare, for as long as the task takes. */
	assert_int_equal(admit_task_begin(first.ticket, 12), ADMIT_TASK_GO);
	start(&second, a, 0, 1, 10000);
	assert_false(admitted_in(&second, 20));
	admit_task_end(first.ticket, 12);
	assert_true(admitted_in(&second, 20000));
	assert_int_equal(admit_task_begin(second.ticket, 12), ADMIT_TASK_GO);
	/* It waits for a slot of another's: what it has and does not use goes to those who can. */
	start(&third, a, 0, 1, 10000);
	admit_task_end(first.ticket, 11);
	assert_false(admitted_in(&third, 20));
	assert_int_equal(admit_task_begin(first.ticket, 12), ADMIT_TASK_WAIT);
	assert_true(admitted_in(&third, 20000));
	assert_int_equal(node_of(&third), 11);
	assert_int_equal(admit_task_begin(first.ticket, 11), ADMIT_TASK_WAIT);
	leave(&third);
	assert_int_equal(admit_task_begin(first.ticket, 11), ADMIT_TASK_GO);
	admit_task_end(first.ticket, 11);
	admit_task_end(second.ticket, 12);
	leave(&second);
	leave(&first);
	struct admit_load l;
	admit_get_load(a, &l);
	assert_int_equal(l.running_slots_cn, 0);
	admit_free(a);
}

static void two_that_wait_for_one_slot_both_get_it(void **state)
{
	(void)state;
	struct admit *a = make(0, 3);
	struct query q[3];
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		start(&q[i], a, 0, 1, 10000);
		assert_true(admitted_in(&q[i], 20000));
	}
	assert_int_equal(admit_task_begin(q[0].ticket, 13), ADMIT_TASK_WAIT);
	assert_int_equal(admit_task_begin(q[1].ticket, 13), ADMIT_TASK_WAIT);
	leave(&q[2]);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(admit_task_begin(q[i].ticket, 13), ADMIT_TASK_GO);
		assert_int_equal(admit_task_begin(q[!i].ticket, 13), ADMIT_TASK_WAIT);
		admit_task_end(q[i].ticket, 13);
	}
	leave(&q[0]);
	leave(&q[1]);
	admit_free(a);
}

struct crowd {
	struct admit *a;
	atomic_int inside[NODES_MAX], worst, done;
};

/* Its tasks, on each of its nodes and, as a stand-in, on one that is not. */
static void run_tasks(struct crowd *c, struct admit_ticket *t, int number)
{
	int64_t nodes[4];
	size_t n = admit_granted(t, nodes, 3);
	nodes[n++] = FIRST_CN + number % 3;
	for (size_t i = 0; i < n; i++) {
		while (admit_task_begin(t, nodes[i]) != ADMIT_TASK_GO)
			clock_sleep_ms(1);
		int now = atomic_fetch_add(&c->inside[nodes[i]], 1) + 1;
		for (int w = atomic_load(&c->worst);
		     now > w && !atomic_compare_exchange_weak(&c->worst, &w, now);)
			;
		atomic_fetch_sub(&c->inside[nodes[i]], 1);
		admit_task_end(t, nodes[i]);
	}
}

static void *many(void *arg)
{
	struct crowd *c = arg;
	for (int i = 0; i < 50; i++) {
		struct admit_request rq = { .query_id = "x",
			                    .slots_cn = 1 + i % 3,
			                    .by = deadline_in(60000) };
		struct admit_ticket *t = NULL;
		struct err err = ERR_INIT;
		if (admit_enter(c->a, &rq, &t, &err) < 0)
			return NULL;
		run_tasks(c, t, i);
		admit_leave(t);
		atomic_fetch_add(&c->done, 1);
	}
	return NULL;
}

static void a_crowd_never_exceeds_a_nodes_slots(void **state)
{
	(void)state;
	struct crowd c = { .a = make(0, 3) };
	pthread_t threads[8];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many, &c), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&c.done), 400);
	assert_int_equal(atomic_load(&c.worst), 1);
	admit_free(c.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_counted_and_served_in_order),
		cmocka_unit_test(a_query_without_compute_nodes_waits_alone),
		cmocka_unit_test(waiting_ends_by_timeout_or_cancel),
		cmocka_unit_test(nodes_come_and_go),
		cmocka_unit_test(a_wide_query_starts_on_half_of_the_nodes),
		cmocka_unit_test(tasks_run_in_their_own_slots),
		cmocka_unit_test(two_that_wait_for_one_slot_both_get_it),
		cmocka_unit_test(a_crowd_never_exceeds_a_nodes_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void start(struct query *q, struct admit *a, int be, int cn, int64_t timeout_ms)
{
	*q = (struct query){ .a = a,
		             .rq = { .query_id = "00",
		                     .user = "root",
		                     .group = "default_wg",
		                     .sql = "SELECT 1",
		                     .slots_be = be,
		                     .slots_cn = cn,
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

static struct admit *make(int be, int cn)
{
	struct admit *a = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(admit_new(&a, &err), 0);
	admit_set_capacity(a, be, cn);
	return a;
}

static void slots_are_counted_and_served_in_order(void **state)
{
	(void)state;
	struct admit *a = make(4, 0);
	struct query wide, second, third;
	start(&wide, a, 3, 0, 10000);
	assert_true(admitted_in(&wide, 20000));
	start(&second, a, 2, 0, 10000);
	start(&third, a, 1, 0, 10000);
	/* One slot is free, but the third may not overtake: the second would starve. */
	assert_false(admitted_in(&second, 50));
	assert_false(admitted_in(&third, 1));
	struct admit_query rows[4];
	assert_int_equal(admit_queries(a, rows, 4), 3);
	assert_false(rows[0].pending);
	assert_true(rows[1].pending && rows[1].slots == 2 && rows[2].slots == 1);
	assert_string_equal(rows[2].sql, "SELECT 1");
	leave(&wide);
	assert_true(admitted_in(&second, 20000));
	assert_true(admitted_in(&third, 20000));
	leave(&second);
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
	leave(&be);
	admit_set_capacity(a, 2, 4); /* a node arrives; 8 wanted are clipped to the 4 there are */
	assert_true(admitted_in(&cn, 20000));
	admit_get_load(a, &l);
	assert_int_equal(l.running_slots_cn, 4);
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

static void less_capacity_lets_the_running_finish(void **state)
{
	(void)state;
	struct admit *a = make(0, 4);
	struct query q, next;
	start(&q, a, 0, 4, 1000);
	assert_true(admitted_in(&q, 20000));
	admit_set_capacity(a, 0, 1); /* nodes leave while it runs */
	start(&next, a, 0, 1, 10000);
	assert_false(admitted_in(&next, 30));
	leave(&q);
	assert_true(admitted_in(&next, 20000));
	leave(&next);
	admit_free(a);
}

struct crowd {
	struct admit *a;
	atomic_int inside, worst, done;
};

static void *many(void *arg)
{
	struct crowd *c = arg;
	for (int i = 0; i < 50; i++) {
		struct admit_request rq = { .query_id = "x",
			                    .slots_be = 1,
			                    .by = deadline_in(60000) };
		struct admit_ticket *t = NULL;
		struct err err = ERR_INIT;
		if (admit_enter(c->a, &rq, &t, &err) < 0)
			return NULL;
		int n = atomic_fetch_add(&c->inside, 1) + 1;
		for (int w = atomic_load(&c->worst);
		     n > w && !atomic_compare_exchange_weak(&c->worst, &w, n);)
			;
		atomic_fetch_sub(&c->inside, 1);
		admit_leave(t);
		atomic_fetch_add(&c->done, 1);
	}
	return NULL;
}

static void a_crowd_never_exceeds_the_slots(void **state)
{
	(void)state;
	struct crowd c = { .a = make(3, 0) };
	pthread_t threads[8];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, many, &c), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&c.done), 400);
	assert_true(atomic_load(&c.worst) <= 3);
	admit_free(c.a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_are_counted_and_served_in_order),
		cmocka_unit_test(a_query_without_compute_nodes_waits_alone),
		cmocka_unit_test(waiting_ends_by_timeout_or_cancel),
		cmocka_unit_test(less_capacity_lets_the_running_finish),
		cmocka_unit_test(a_crowd_never_exceeds_the_slots),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

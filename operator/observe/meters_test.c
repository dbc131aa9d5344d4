#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "operator/observe/metrics.h"

static void assert_says(const char *line)
{
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);
	observe_metrics_text(&out);
	if (!strstr(buf_cstr(&out), line))
		fail_msg("no \"%s\" in\n%s", line, buf_cstr(&out));
}

static void series_by_label(void **state)
{
	(void)state;
	observe_count(OBSERVE_WRITES, "apply", "Service");
	observe_count(OBSERVE_WRITES, "apply", "Service");
	observe_count(OBSERVE_WRITES, "delete", "Service");
	observe_count(OBSERVE_REFUSED, "apply", "Service");
	assert_says("\nroost_operator_api_writes_total{verb=\"apply\",kind=\"Service\"} 2\n");
	assert_says("\nroost_operator_api_writes_total{verb=\"delete\",kind=\"Service\"} 1\n");
	assert_says(
		"\nroost_operator_api_writes_refused_total{verb=\"apply\",kind=\"Service\"} 1\n");
}

static void no_statement_tells_what_it_sets(void **state)
{
	(void)state;
	static const struct {
		const char *sql, *label;
	} cases[] = {
		{ "SHOW BACKENDS", "SHOW BACKENDS" },
		{ "ALTER SYSTEM DROP BACKEND \"h:9050\"", "ALTER SYSTEM" },
		{ "SET PASSWORD = PASSWORD('hunter2')", "SET PASSWORD" },
		{ "SHOW PROC '/frontends'", "SHOW PROC" },
		{ "SET 'hunter2'", "SET " },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		observe_count_statement(cases[i].sql, "ok");
		_cleanup_buf_ struct buf line = BUF_INIT(256);
		buf_addf(&line, "roost_operator_sql_total{statement=\"%s\",outcome=\"ok\"} 1\n",
		         cases[i].label);
		assert_says(buf_cstr(&line));
	}
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);
	observe_metrics_text(&out);
	assert_null(strstr(buf_cstr(&out), "hunter2"));
}

static void times_fall_into_buckets(void **state)
{
	(void)state;
	observe_time(OBSERVE_ASK_TIME, 900);
	observe_time(OBSERVE_ASK_TIME, 1000);
	observe_time(OBSERVE_ASK_TIME, 30 * 1000);
	observe_time(OBSERVE_ASK_TIME, 60 * 1000 * 1000);
	assert_says("# TYPE roost_operator_ask_seconds histogram\n");
	assert_says("roost_operator_ask_seconds_bucket{le=\"0.001\"} 2\n");
	assert_says("roost_operator_ask_seconds_bucket{le=\"0.025\"} 2\n");
	assert_says("roost_operator_ask_seconds_bucket{le=\"0.05\"} 3\n");
	assert_says("roost_operator_ask_seconds_bucket{le=\"10\"} 3\n");
	assert_says("roost_operator_ask_seconds_bucket{le=\"+Inf\"} 4\n");
	assert_says("roost_operator_ask_seconds_count 4\n");
	assert_says("roost_operator_ask_seconds_sum 60.0319\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(series_by_label),
		cmocka_unit_test(no_statement_tells_what_it_sets),
		cmocka_unit_test(times_fall_into_buckets),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scaler/policy/foresee.h"

enum { FIRST_DAY = 20000 };
#define MINUTE INT64_C(60000)

static int64_t at(int64_t day, int64_t minute)
{
	return (FIRST_DAY + day) * POLICY_MINUTES * MINUTE + minute * MINUTE;
}

static void bad_text_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"x",
		"20000 ",
		"20000 3",
		"20000 3*",
		"20000 *3",
		"20000 3*0",
		"20000 -1*3",
		"20000 3*1441",
		"20000 3*3*3",
		"20000 99999*3",
		"-1 3*3",
		"20000 3*3\n20000 3*3",
		"20001 1*1\n20000 1*1",
		"20000 1*1440 1*1",
		"20000 1e3*1",
		"99999999999 1*1",
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct policy_history *h = NULL;
		struct err err = ERR_INIT;
		if (policy_history_parse(str_of(bad[i]), &h, &err) != -EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_non_null(strstr(err.msg, "history: line"));
	}
}

static void minutes_become_runs(void **state)
{
	(void)state;
	_cleanup_(policy_history_freep) struct policy_history *h = policy_history_new();
	static const struct {
		int64_t day, minute, need;
		const char *text; /* of the last day */
	} cases[] = {
		{ 0, 2, 0, "20000 -*2 0*1\n" },
		{ 0, 2, 3, "20000 -*2 3*1\n" }, /* the most of the minute */
		{ 0, 2, 1, "20000 -*2 3*1\n" },
		{ 0, 3, 3, "20000 -*2 3*2\n" },
		{ 0, 4, 0, "20000 -*2 3*2 0*1\n" },
		{ 0, 4, 3, "20000 -*2 3*3\n" }, /* joins the run before */
		{ 0, 4, 4, "20000 -*2 3*2 4*1\n" },
		{ 0, 1, 9, "20000 -*2 3*2 4*1\n" }, /* a clock that went back */
		{ 0, 9, 0, "20000 -*2 3*2 4*1 -*4 0*1\n" },
		{ 1, 0, 99999, "20000 -*2 3*2 4*1 -*4 0*1\n20001 10000*1\n" },
		{ 0, 20, 9, "20000 -*2 3*2 4*1 -*4 0*1\n20001 10000*1\n" },
		{ 1, 0, -1, "20000 -*2 3*2 4*1 -*4 0*1\n20001 10000*1\n" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(4096);
		policy_history_note(h, at(cases[i].day, cases[i].minute) + 59999, cases[i].need);
		policy_history_write(h, &out);
		if (strcmp(buf_cstr(&out), cases[i].text) != 0)
			fail_msg("case %zu: %s", i, buf_cstr(&out));
	}
	for (int64_t day = 2; day < 20; day++)
		policy_history_note(h, at(day, 5), 1);
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	policy_history_write(h, &out);
	assert_true(str_starts(str_of(buf_cstr(&out)), "20012 -*5 1*1\n"));
}

static void forecasts(void **state)
{
	(void)state;
	static const struct {
		const char *what, *text;
		int64_t day, minute, horizon_min, want;
	} cases[] = {
		{ "nothing is known", "", 3, 10, 1, 0 },
		{ "two days are too few", "20001 5*1440\n20002 5*1440", 3, 10, 1, 0 },
		{ "three are enough", "20000 5*1440\n20001 5*1440\n20002 5*1440", 3, 10, 1, 5 },
		{ "today does not count", "20001 5*1440\n20002 5*1440\n20003 5*1440", 3, 10, 1, 0 },
		{ "one odd day predicts nothing", "20000 0*1440\n20001 9*1440\n20002 0*1440", 3, 10,
		  1, 0 },
		{ "what two of three needed", "20000 2*1440\n20001 9*1440\n20002 0*1440", 3, 10, 1,
		  2 },
		{ "the minutes of the horizon",
		  "20000 0*14 7*1 0*1425\n20001 0*14 7*1 0*1425\n20002 0*14 7*1 0*1425", 3, 10, 4,
		  7 },
		{ "not those behind it",
		  "20000 0*14 7*1 0*1425\n20001 0*14 7*1 0*1425\n20002 0*14 7*1 0*1425", 3, 10, 3,
		  0 },
		{ "nor those gone by",
		  "20000 0*14 7*1 0*1425\n20001 0*14 7*1 0*1425\n20002 0*14 7*1 0*1425", 3, 15, 4,
		  0 },
		{ "over midnight", "20001 4*9\n20002 4*9\n20003 4*9", 3, 1438, 5, 4 },
		{ "a minute that was not measured is no day",
		  "20000 -*1440\n20001 5*1440\n20002 5*1440", 3, 10, 1, 0 },
		{ "older than a week is forgotten", "20000 5*1440\n20001 5*1440\n20002 5*1440", 10,
		  10, 1, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(policy_history_freep) struct policy_history *h = NULL;
		assert_int_equal(policy_history_parse(str_of(cases[i].text), &h, NULL), 0);
		int64_t got = policy_history_forecast(h, at(cases[i].day, cases[i].minute),
		                                      cases[i].horizon_min * MINUTE);
		if (got != cases[i].want)
			fail_msg("%s: %lld", cases[i].what, (long long)got);
	}
}

static void the_last_minutes(void **state)
{
	(void)state;
	_cleanup_(policy_history_freep) struct policy_history *h = NULL;
	int16_t recent[6];
	assert_int_equal(
		policy_history_parse(str_of("20000 7*1437 1*3\n20001 2*1 -*1 3*9"), &h, NULL), 0);
	static const struct {
		int64_t minute;
		int16_t want[6];
	} cases[] = {
		{ 0, { 7, 7, 7, 1, 1, 1 } },
		{ 3, { 1, 1, 1, 2, -1, 3 } }, /* over midnight; minute 3 itself is not over */
		{ 13, { 3, 3, 3, 3, -1, -1 } },
		{ 1000, { -1, -1, -1, -1, -1, -1 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		policy_history_recent(h, at(1, cases[i].minute) + 59999, 6, recent);
		assert_memory_equal(recent, cases[i].want, sizeof(recent));
	}
}

/* Three hours of half an hour on, half an hour off: the fourth is foreseen a node's start ahead. */
static void cycles_are_foreseen(void **state)
{
	(void)state;
	_cleanup_(policy_history_freep) struct policy_history *h = policy_history_new();
	struct policy_state s = { .start_ms = 4 * MINUTE, .warm_ms = MINUTE / 2 };
	for (int64_t m = 600; m < 600 + 180; m++) {
		policy_history_note(h, at(0, m), m % 60 < 30 ? 4 : 0);
		policy_foresee(h, at(0, m) + MINUTE, &s);
		if (m < 600 + 165) /* a node's start, and a little, before the fourth */
			assert_int_equal(s.cycle, 0);
	}
	assert_int_equal(s.cycle, 4);
	assert_int_equal(s.period_min, 60);
	assert_int_equal(s.calm, 5);
	assert_int_equal(s.forecast, 0); /* that is of days */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_text_is_refused), cmocka_unit_test(minutes_become_runs),
		cmocka_unit_test(forecasts),           cmocka_unit_test(the_last_minutes),
		cmocka_unit_test(cycles_are_foreseen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/fd.h"
#include "scaler/policy/log.h"

static uint64_t next(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return *seed >> 33;
}

/* A seeded run of a pool: 2,000 decisions as lines. */
static void write_run(struct buf *out)
{
	struct source_limits limits = {
		.max = 9, .wait_target_s = 2.5, .scale_in_window_ms = 30000, .replicas = -1
	};
	struct policy_state state = { 0 };
	uint64_t seed = 7;
	int64_t now = 1;
	for (int i = 0; i < 2000; i++) {
		struct source_snapshot s = { .ts = (double)next(&seed) / 7,
			                     .epoch = 1 + i / 900,
			                     .pending = (int64_t)(next(&seed) % 5),
			                     .slots_asked = (int64_t)(next(&seed) % 20),
			                     .running = (int64_t)(next(&seed) % 5),
			                     .oldest_wait_s = (double)(next(&seed) % 9000) / 3000,
			                     .service_p50_s = (double)(next(&seed) % 9000) / 1000,
			                     .nodes = (int64_t)(next(&seed) % 9) };
		s.slots = 2 * s.nodes;
		s.slots_of_a_node = s.nodes ? 2 : 0;
		struct policy_state before;
		struct policy_decision made;
		now += (int64_t)(next(&seed) % 900);
		state.forecast = (int64_t)(next(&seed) % 40 == 0 ? 6 : 0);
		state.cycle = (int64_t)(next(&seed) % 40 == 0 ? 5 : 0);
		state.period_min = 60;
		state.calm = (int64_t)(next(&seed) % 10 == 0 ? 3 : 0);
		before = state;
		policy_step(&limits, &s, now, &state, &made);
		assert_int_equal(policy_log_write("ns/c/cn", &limits, &s, now, &before, &made, out),
		                 0);
	}
}

static void replays_to_the_same_bytes(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf lines = BUF_INIT(64 * 1024 * 1024),
				 again = BUF_INIT(64 * 1024 * 1024);
	struct err err = ERR_INIT;
	char path[] = "/tmp/roost-log-XXXXXX", copy[] = "/tmp/roost-log-XXXXXX";
	_cleanup_(fd_closep) int fd = mkstemp(path), fd_copy = mkstemp(copy);
	write_run(&lines);
	assert_int_equal(fd_write_all(fd, lines.p, lines.len, NULL), 0);
	FILE *out = fdopen(fd_copy, "w");
	size_t n = 0;
	if (policy_log_replay(path, out, &n, &err) != 0)
		fail_msg("%s", err.msg);
	assert_int_equal(n, 2000);
	(void)fclose(out);
	assert_int_equal(fd_read_file(copy, &again, NULL), 0);
	assert_int_equal(again.len, lines.len);
	assert_memory_equal(again.p, lines.p, lines.len);
	out = fopen("/dev/full", "we");
	assert_true(policy_log_replay(path, out, &n, &err) < 0);
	(void)fclose(out);
	/* A decision that was not made is told. */
	char *desired = strstr(strstr(lines.p, "\"made\":"), "\"desired\":");
	desired[10] = desired[10] == '9' ? '8' : '9';
	assert_int_equal(fd_write_file(path, lines.p, lines.len, 0600, NULL), 0);
	out = fopen("/dev/null", "we");
	assert_int_equal(policy_log_replay(path, out, &n, &err), 1);
	(void)fclose(out);
	(void)unlink(path);
	(void)unlink(copy);
}

static void bad_lines_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *says;
	} cases[] = {
		{ "\"v\":1", "\"v\":2", "v must be 1" },
		{ "\"pool\":", "\"pol\":", "pool" },
		{ "\"now_ms\":", "\"now_ms\":-", "now_ms" },
		{ "\"wait_target_s\":2.5", "\"wait_target_s\":\"2.5\"", "wait_target_s" },
		{ "\"window\":[[", "\"window\":[[-", "window[0]" },
		{ "\"epoch\":1", "\"epoch\":1234567890123456789", "out of range" },
		{ "\"tasks\":0", "\"tasks\":null", "tasks" },
		{ "{", "[", "line 1" },
	};
	_cleanup_buf_ struct buf lines = BUF_INIT(64 * 1024 * 1024);
	write_run(&lines);
	char *second = strchr(lines.p, '\n') + 1;
	*strchr(second, '\n') = '\0';
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf bad = BUF_INIT(65536), out = BUF_INIT(65536);
		struct err err = ERR_INIT;
		char *at = strstr(second, cases[i].from);
		assert_non_null(at);
		buf_addf(&bad, "%.*s%s%s", (int)(at - second), second, cases[i].to,
		         at + strlen(cases[i].from));
		assert_true(policy_log_again(str_of(buf_cstr(&bad)), &out, &err) < 0);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s says: %s", cases[i].to, err.msg);
	}
	struct err err = ERR_INIT;
	size_t n = 0;
	assert_true(policy_log_replay("/nowhere", stdout, &n, &err) < 0);
	/* What cannot be read to its end is no short log. */
	assert_true(policy_log_replay("/tmp", stdout, &n, &err) < 0);
	assert_non_null(strstr(err.msg, "cannot read /tmp"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replays_to_the_same_bytes),
		cmocka_unit_test(bad_lines_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

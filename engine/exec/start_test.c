/* Children that do not come up, or stop working. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/exec/exec.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

/* As shipped: build/roost-duck, five folders above this test. */
static char *program(void)
{
	char self[PATH_MAX];
	const char *named = getenv("ROOST_DUCK");
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	assert_true(n > 0);
	self[n] = '\0';
	for (int i = 0; i < 6; i++)
		*strrchr(self, '/') = '\0';
	return named ? xstrdup(named) : xasprintf("%s/roost-duck", self);
}

/* What keeps a parser away is told at once, as what it is, and not after a minute as the statement's fault. */
static void a_parser_that_does_not_start_is_told(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char path[] = "/tmp/roost_no_parser_XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, 0700), 0);
	fd_closep(&fd); /* empty: it may be executed, and cannot */
	_cleanup_(exec_closep) struct exec *e = NULL;
	const struct {
		const char *program, *says;
	} cases[] = { { path, "Exec format error" }, { "/bin/false", "exit status 1" } };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct exec_config c = { .mode = EXEC_PARSER, .program = cases[i].program };
		_cleanup_json_ json_t *ast = NULL;
		assert_int_equal(exec_open(&c, &e, &err), 0);
		int64_t start = clock_mono_ms();
		int rc = exec_parse(e, "SELECT 1", &ast, &err);
		assert_true(rc < 0 && rc != -ETIMEDOUT && rc != -ENOMEM && rc != -EINVAL);
		assert_true(clock_mono_ms() - start < EXEC_PARSE_MS / 2);
		assert_non_null(strstr(err.msg, "the parser process does not start: "));
		if (!strstr(err.msg, cases[i].says))
			fail_msg("%s: %s", cases[i].program, err.msg);
		exec_close(e);
		e = NULL;
	}
	(void)unlink(path);
}

/* One that stands still (its disk does not answer, it was stopped) is replaced, and the statement goes to the next. */
static void a_parser_that_stands_still_is_replaced(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct exec_stats before, after;
	_cleanup_json_ json_t *ast = NULL, *good = NULL;
	_cleanup_(exec_closep) struct exec *parser = NULL;
	autofree char *shipped = program();
	struct exec_config c = { .mode = EXEC_PARSER, .program = shipped };
	assert_int_equal(exec_open(&c, &parser, &err), 0);
	assert_int_equal(exec_parse(parser, "SELECT 1", &ast, &err), 0);
	exec_stats(parser, &before);
	assert_int_equal(kill(before.pid, SIGSTOP), 0);
	assert_int_equal(exec_parse(parser, "SELECT 2", &good, &err), 0);
	exec_stats(parser, &after);
	assert_int_not_equal(after.pid, before.pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_parser_that_does_not_start_is_told),
		cmocka_unit_test(a_parser_that_stands_still_is_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

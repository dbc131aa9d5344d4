#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/fd.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"

static void err_carries_context(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	assert_int_equal(err_set(&err, -EINVAL, "port %d", 70000), -EINVAL);
	assert_int_equal(err_wrap(&err, "fe.conf"), -EINVAL);
	assert_string_equal(err.msg, "fe.conf: port 70000");
	assert_int_equal(err_set(&err, -EPROTO, "again: %.400s", err.msg), -EPROTO);
	assert_string_equal(err.msg, "again: fe.conf: port 70000");
	assert_int_equal(err_set(&err, 3, "a slip"), -EIO);
	assert_int_equal(err_set(NULL, -ENOENT, "nobody listens"), -ENOENT);
	errno = ENOENT;
	assert_int_equal(err_errno(&err, "open"), -ENOENT);
	assert_string_equal(err.msg, "open: No such file or directory");
}

static void buf_keeps_its_maximum(void **state)
{
	(void)state;
	_cleanup_buf_ struct buf b = BUF_INIT(8);
	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(buf_adds(&b, "1234"), 0);
	assert_int_equal(buf_addf(&b, "%d", 5678), 0);
	assert_int_equal(buf_addc(&b, '9'), -E2BIG);
	assert_true(b.overflow);
	assert_string_equal(buf_cstr(&b), "12345678");
	buf_reset(&b);
	assert_int_equal(buf_addle(&b, 0x0102, 2), 0);
	assert_int_equal(b.p[0], 2);
	assert_int_equal(b.p[1], 1);
	buf_consume(&b, 1);
	assert_int_equal(b.len, 1);
	autofree char *taken = buf_take(&b);
	assert_int_equal(taken[0], 1);
	assert_null(b.p);
}

static void numbers_are_whole(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775807", 0, INT64_MAX },
		{ "9223372036854775808", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 0;
		assert_int_equal(str_to_i64(str_of(cases[i].text), &v), cases[i].rc);
		assert_true(v == cases[i].value);
	}
	double d = 0;
	assert_int_equal(str_to_double(str_of("1e2"), &d), 0);
	assert_true(d > 99.9 && d < 100.1);
	assert_int_equal(str_to_double(str_of("nan"), &d), -ERANGE);
	assert_int_equal(str_to_double(str_of("1e999"), &d), -ERANGE);
	assert_int_equal(str_to_double(str_of("1 "), &d), -EINVAL);
}

static void text_is_split_and_compared(void **state)
{
	(void)state;
	struct str rest = str_of("a,,b");
	struct str part;
	assert_true(str_split(&rest, ',', &part) && str_eqs(part, "a"));
	assert_true(str_split(&rest, ',', &part) && part.len == 0);
	assert_true(str_split(&rest, ',', &part) && str_eqs(part, "b"));
	assert_false(str_split(&rest, ',', &part));
	assert_true(str_caseeqs(str_of("SeLeCt"), "select"));
	assert_true(str_eqs(str_trim(str_of(" \tx\n")), "x"));
	assert_true(str_starts(str_of("abc"), "ab") && str_ends(str_of("abc"), "bc"));
	assert_true(str_eq_secret(str_of("t"), str_of("t")));
	assert_false(str_eq_secret(str_of("t"), str_of("u")));
}

static void map_survives_growth_and_deletes(void **state)
{
	(void)state;
	_cleanup_(map_freep) struct map *m = map_new(free);
	char key[32];
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 500; i++) {
			(void)snprintf(key, sizeof(key), "k%d", i);
			map_put(m, key, xstrdup(key));
		}
		assert_int_equal(map_count(m), 500);
		for (int i = 0; i < 500; i += 2) {
			(void)snprintf(key, sizeof(key), "k%d", i);
			assert_true(map_del(m, key));
			assert_false(map_del(m, key));
		}
		assert_int_equal(map_count(m), 250);
	}
	assert_null(map_get(m, "k0"));
	assert_string_equal(map_get(m, "k1"), "k1");
	size_t at = 0, seen = 0;
	const char *k = NULL;
	void *v = NULL;
	while (map_next(m, &at, &k, &v)) {
		assert_string_equal(k, v);
		seen++;
	}
	assert_int_equal(seen, 250);
}

static void vec_grows(void **state)
{
	(void)state;
	VEC(int) v = { 0 };
	for (int i = 0; i < 100; i++)
		vec_push(&v, i);
	assert_int_equal(v.n, 100);
	assert_int_equal(v.v[99], 99);
	vec_free(&v);
}

static void files_are_replaced_whole(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	char dir[] = "/tmp/roost-fd-XXXXXX";
	assert_non_null(mkdtemp(dir));
	autofree char *deep = xasprintf("%s/a/b", dir);
	autofree char *path = xasprintf("%s/f", deep);
	assert_int_equal(fd_mkdir_p(deep, 0700, &err), 0);
	assert_int_equal(fd_write_file(path, "old", 3, 0600, &err), 0);
	assert_int_equal(fd_write_file(path, "newer", 5, 0600, &err), 0);
	_cleanup_buf_ struct buf b = BUF_INIT(5);
	assert_int_equal(fd_read_file(path, &b, &err), 0);
	assert_string_equal(buf_cstr(&b), "newer");
	_cleanup_buf_ struct buf small = BUF_INIT(4);
	assert_int_equal(fd_read_file(path, &small, &err), -EFBIG);
	assert_int_equal(fd_rm_rf(dir, &err), 0);
	assert_false(fd_exists(dir));
	assert_int_equal(fd_rm_rf(dir, &err), 0);
}

static void reads_have_deadlines(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	char c = 0;
	assert_int_equal(fd_read_by(pipes[0], &c, 1, deadline_in(20), &err), -ETIMEDOUT);
	assert_int_equal(fd_write_by(pipes[1], "x", 1, deadline_in(30000), &err), 0);
	assert_int_equal(fd_read_by(pipes[0], &c, 1, deadline_in(30000), &err), 0);
	close(pipes[1]);
	assert_int_equal(fd_read_by(pipes[0], &c, 1, deadline_in(30000), &err), -ENODATA);
	close(pipes[0]);
}

static void times_round_trip(void **state)
{
	(void)state;
	char text[CLOCK_RFC3339_MAX];
	clock_rfc3339(1795223543456, text);
	int64_t back = 0;
	assert_int_equal(clock_from_rfc3339(text, &back), 0);
	assert_true(back == 1795223543456);
	assert_int_equal(clock_from_rfc3339("yesterday", &back), -EINVAL);
	assert_true(deadline_passed(deadline_in(-5)));
	assert_false(deadline_passed(deadline_in(60000)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_carries_context),
		cmocka_unit_test(buf_keeps_its_maximum),
		cmocka_unit_test(numbers_are_whole),
		cmocka_unit_test(text_is_split_and_compared),
		cmocka_unit_test(map_survives_growth_and_deletes),
		cmocka_unit_test(vec_grows),
		cmocka_unit_test(files_are_replaced_whole),
		cmocka_unit_test(reads_have_deadlines),
		cmocka_unit_test(times_round_trip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

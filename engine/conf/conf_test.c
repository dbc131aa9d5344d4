#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/conf/conf.h"
#include "lib/base/fd.h"

static struct conf *parse(const char *text)
{
	struct conf *c = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(conf_parse(str_of(text), "fe.conf", &c, &err), 0);
	return c;
}

static void a_starrocks_file_is_read(void **state)
{
	(void)state;
	assert_int_equal(setenv("CONF_TEST_HOME", "/opt/fe", 1), 0);
	assert_int_equal(unsetenv("CONF_TEST_NONE"), 0);
	_cleanup_(conf_freep) struct conf *c = parse("# comment = 1\r\n"
	                                             "  http_port=8031 \r\n"
	                                             "meta_dir = ${CONF_TEST_HOME}/meta\n"
	                                             "JAVA_OPTS=\"-Dx=y ${CONF_TEST_NONE}-z\"\n"
	                                             "half = ${oops\n"
	                                             "empty =\n"
	                                             "http_port = 8032");
	assert_string_equal(conf_str(c, "meta_dir", "-"), "/opt/fe/meta");
	assert_string_equal(conf_str(c, "JAVA_OPTS", "-"), "\"-Dx=y -z\"");
	assert_string_equal(conf_str(c, "half", "-"), "${oops");
	assert_string_equal(conf_str(c, "empty", "none"), "none");
	assert_string_equal(conf_str(c, "# comment", "none"), "none");
	assert_true(conf_has(c, "empty"));
	struct err err = ERR_INIT;
	int64_t port = 0;
	assert_int_equal(conf_int(c, "http_port", 8030, 1, 65535, &port, &err), 0);
	assert_int_equal(port, 8032);
	assert_int_equal(conf_int(NULL, "http_port", 8030, 1, 65535, &port, &err), 0);
	assert_int_equal(port, 8030);
}

static void bad_values_name_key_and_range(void **state)
{
	(void)state;
	_cleanup_(conf_freep) struct conf *c =
		parse("http_port = 70000\nslots = ten\nflag = yes\nmem_limit = 120%\nx = -5G");
	struct err err = ERR_INIT;
	int64_t n = 7;
	bool flag = false;
	uint64_t bytes = 0;
	assert_int_equal(conf_int(c, "http_port", 1, 1, 65535, &n, &err), -EINVAL);
	assert_string_equal(err.msg, "fe.conf: http_port = 70000: a whole number from 1 to 65535");
	assert_int_equal(conf_int(c, "slots", 1, 1, 9, &n, &err), -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(conf_bool(c, "flag", false, &flag, &err), -EINVAL);
	assert_int_equal(conf_bytes(c, "mem_limit", "90%", 100, &bytes, &err), -EINVAL);
	assert_int_equal(conf_bytes(c, "x", "90%", 100, &bytes, &err), -EINVAL);
	struct conf *none = NULL;
	assert_int_equal(conf_parse(str_of("a = 1\nwhat is this"), "fe.conf", &none, &err),
	                 -EINVAL);
	assert_string_equal(err.msg, "fe.conf line 2: not of the form key = value");
	assert_int_equal(conf_load("/nonexistent/fe.conf", &none, &err), -ENOENT);
}

static void sizes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		uint64_t want;
	} cases[] = {
		{ "v = 90%", 900 },         { "v = 1024", 1024 },    { "v = 512m", 512UL << 20 },
		{ "v = 1.5GB", 3UL << 29 }, { "v = 2T", 2UL << 40 }, { "other = 1", 800 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(conf_freep) struct conf *c = parse(cases[i].text);
		struct err err = ERR_INIT;
		uint64_t v = 0;
		assert_int_equal(conf_bytes(c, "v", "80%", 1000, &v, &err), 0);
		assert_true(v == cases[i].want);
	}
}

static void secrets_come_from_files(void **state)
{
	(void)state;
	char path[] = "/tmp/roost-conf-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "s3cret\n", 7), 7);
	close(fd);
	autofree char *text = xasprintf("a = direct\nb_file = %s\nc_file = /nonexistent", path);
	_cleanup_(conf_freep) struct conf *c = parse(text);
	struct err err = ERR_INIT;
	char *a = NULL, *b = NULL, *none = NULL;
	assert_int_equal(conf_secret(c, "a", &a, &err), 0);
	assert_string_equal(a, "direct");
	assert_int_equal(conf_secret(c, "b", &b, &err), 0);
	assert_string_equal(b, "s3cret");
	assert_int_equal(conf_secret(c, "c", &none, &err), -ENOENT);
	assert_int_equal(conf_secret(c, "d", &none, &err), 0);
	assert_null(none);
	mem_free_secret(a);
	mem_free_secret(b);
	assert_int_equal(unlink(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_starrocks_file_is_read),
		cmocka_unit_test(bad_values_name_key_and_range),
		cmocka_unit_test(sizes),
		cmocka_unit_test(secrets_come_from_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/conf/fe.h"
#include "lib/data/json.h"

#define LOCAL "meta_dir = /m\nroost_bind_address = 127.0.0.1\n"

static int parse(const char *text, struct conf_fe *ret, struct err *err)
{
	return conf_fe_parse(str_of(text), "fe.conf", NULL, ret, err);
}

static int clean(void **state)
{
	(void)state;
	return unsetenv("ROOST_TOKEN_FILE") | unsetenv("HOST_TYPE") | unsetenv("POD_IP");
}

static void defaults_are_starrocks(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_conf_fe_ struct conf_fe c = { 0 };
	assert_int_equal(parse(LOCAL "JAVA_OPTS = \"-Xmx8g\"\nsome_key = 1\n", &c, &err), 0);
	assert_int_equal(c.http_port, 8030);
	assert_int_equal(c.rpc_port, 9020);
	assert_int_equal(c.query_port, 9030);
	assert_int_equal(c.edit_log_port, 9010);
	assert_int_equal(c.max_connections, 4096);
	assert_int_equal(c.query_timeout_s, 0);
	assert_string_equal(c.fe_host, "127.0.0.1");
	assert_null(c.token_file);
	assert_null(c.s3_json);
}

static void bad_values_are_one_line_each(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "roost_bind_address = 127.0.0.1\n", "meta_dir" },
		{ LOCAL "http_port = 70000\n", "http_port = 70000: a whole number from" },
		{ LOCAL "http_port = 9030\n", "http_port and query_port are both 9030" },
		{ LOCAL "qe_max_connection = 0\n", "qe_max_connection = 0: a whole number from 1" },
		{ LOCAL "run_mode = x\n", "shared_nothing or shared_data" },
		{ LOCAL "max_graceful_exit_time_second = 3\n", "min_graceful_exit_time_second" },
		{ LOCAL "roost_load_needs_token = 1\n", "true or false" },
		{ "meta_dir = /m\n", "no node-to-node token" },
		{ LOCAL "aws_s3_path = ab\n", "aws_s3_path = ab" },
		{ LOCAL "aws_s3_path = bucket\n", "aws_s3_access_key(_file)" },
		{ LOCAL "aws_s3_path = bucket\naws_s3_access_key = a\n"
		        "aws_s3_secret_key_file = /nonexistent\n",
		  "aws_s3_secret_key_file" },
		{ LOCAL "aws_s3_path = bucket\naws_s3_use_instance_profile = true\n",
		  "not supported yet" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct conf_fe c = { 0 };
		if (parse(cases[i].text, &c, &err) >= 0 || !strstr(err.msg, cases[i].want))
			fail_msg("%s: %s", cases[i].text, err.msg);
		assert_null(strchr(err.msg, '\n'));
	}
}

static void the_bucket_becomes_an_s3_object(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	_cleanup_conf_fe_ struct conf_fe c = { 0 };
	_cleanup_conf_fe_ struct conf_fe plain = { 0 };
	_cleanup_json_ json_t *j = NULL;
	_cleanup_json_ json_t *aws = NULL;
	assert_int_equal(parse(LOCAL "aws_s3_path = s3://bucket/some/where/\n"
	                             "aws_s3_endpoint = http://[::1]:9000\naws_s3_access_key = a\n"
	                             "aws_s3_secret_key = s\n",
	                       &c, &err),
	                 0);
	assert_string_equal(c.s3_path, "some/where");
	assert_int_equal(data_json_parse(str_of(c.s3_json), &j, &err), 0);
	assert_string_equal(data_get_str(j, "bucket"), "bucket");
	assert_string_equal(data_get_str(j, "endpoint"), "http://[::1]:9000");
	assert_string_equal(data_get_str(j, "secret_key"), "s");
	assert_true(data_get_bool(j, "path_style", false));
	assert_int_equal(parse(LOCAL "aws_s3_path = bucket\naws_s3_region = eu-west-1\n"
	                             "aws_s3_access_key = a\naws_s3_secret_key = s\n",
	                       &plain, &err),
	                 0);
	assert_string_equal(plain.s3_path, "");
	assert_int_equal(data_json_parse(str_of(plain.s3_json), &aws, &err), 0);
	assert_string_equal(data_get_str(aws, "endpoint"), "https://s3.eu-west-1.amazonaws.com");
	assert_false(data_get_bool(aws, "path_style", true));
}

static void who_the_front_end_is(void **state)
{
	(void)state;
	static const struct {
		const char *text, *host_type, *want;
	} cases[] = {
		{ "meta_dir = /m\n", "IP", "10.0.0.7" },
		{ "meta_dir = /m\nself_host = fe-0.search\n", "FQDN", "fe-0.search" },
		{ "meta_dir = /m\nself_host = a\nroost_fe_host = b\n", NULL, "b" },
	};
	assert_int_equal(setenv("POD_IP", "10.0.0.7", 1), 0);
	assert_int_equal(setenv("ROOST_TOKEN_FILE", "/etc/roost/token/token", 1), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		_cleanup_conf_fe_ struct conf_fe c = { 0 };
		assert_int_equal(conf_fe_parse(str_of(cases[i].text), "fe.conf", cases[i].host_type,
		                               &c, &err),
		                 0);
		assert_string_equal(c.fe_host, cases[i].want);
		assert_string_equal(c.token_file, "/etc/roost/token/token");
	}
	struct err err = ERR_INIT;
	struct conf_fe c = { 0 };
	assert_true(conf_fe_parse(str_of(LOCAL), "fe.conf", "MAC", &c, &err) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(defaults_are_starrocks, clean),
		cmocka_unit_test_setup(bad_values_are_one_line_each, clean),
		cmocka_unit_test_setup(the_bucket_becomes_an_s3_object, clean),
		cmocka_unit_test_setup_teardown(who_the_front_end_is, clean, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

static void bad_text_names_its_place(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *says;
	} cases[] = {
		{ STR_LIT(""), "line 1" },
		{ STR_LIT("{"), "line 1" },
		{ STR_LIT("{\"a\":1,\n\"a\":2}"), "line 2 column 3: duplicate object key" },
		{ STR_LIT("[1] 2"), "end of file expected" },
		{ STR_LIT("[1]\0"), "line 1" },
		{ STR_LIT("\"\\u0000\""), "NUL" },
		{ STR_LIT("nan"), "line 1" },
		{ STR_LIT("99999999999999999999"), "too big integer" },
		{ STR_LIT("1e999"), "real number overflow" },
		{ STR_LIT("\"\xff\""), "unable to decode byte" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		json_t *j = NULL;
		assert_int_equal(data_json_parse(cases[i].text, &j, &err), -EINVAL);
		assert_null(j);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
	}
}

static void an_error_does_not_quote_the_text(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	json_t *j = NULL;
	assert_int_equal(data_json_parse(STR_LIT("{\"password\" hunter2}"), &j, &err), -EINVAL);
	assert_null(strstr(err.msg, "hunter2"));
}

static void depth_is_bounded(void **state)
{
	(void)state;
	char text[2 * JSON_DEPTH_MAX + 2];
	for (size_t levels = JSON_DEPTH_MAX; levels <= JSON_DEPTH_MAX + 1; levels++) {
		memset(text, '[', levels);
		memset(text + levels, ']', levels);
		struct err err = ERR_INIT;
		_cleanup_json_ json_t *j = NULL;
		int rc = data_json_parse((struct str){ text, 2 * levels }, &j, &err);
		assert_int_equal(rc, levels > JSON_DEPTH_MAX ? -EINVAL : 0);
	}
	_cleanup_json_ json_t *brackets = NULL;
	memset(text, '[', sizeof(text));
	text[0] = text[sizeof(text) - 1] = '"';
	assert_int_equal(data_json_parse((struct str){ text, sizeof(text) }, &brackets, NULL), 0);
}

static void dump_is_canonical(void **state)
{
	(void)state;
	_cleanup_json_ json_t *j = NULL;
	assert_int_equal(
		data_json_parse(STR_LIT("{ \"b\" : [1, 2.5,null], \"a\":\"x\\n\" }"), &j, NULL), 0);
	autofree char *text = data_json_text(j);
	assert_string_equal(text, "{\"a\":\"x\\n\",\"b\":[1,2.5,null]}");
	_cleanup_buf_ struct buf small = BUF_INIT(10);
	assert_int_equal(buf_adds(&small, "x"), 0);
	assert_int_equal(data_json_dump(j, &small), -E2BIG);
	assert_string_equal(buf_cstr(&small), "x");
}

static void paths(void **state)
{
	(void)state;
	_cleanup_json_ json_t *j = NULL;
	assert_int_equal(
		data_json_parse(STR_LIT("{\"a\":{\"b\":[{\"c\":7},{\"c.d\":\"x\"}]},\"5\":true,"
	                                "\"n\":1.5}"),
	                        &j, NULL),
		0);
	assert_int_equal(data_get_int(j, "a.b.0.c", -1), 7);
	assert_string_equal(data_get_str(j, "a.b.1.c\\.d"), "x");
	assert_true(data_get_bool(j, "5", false));
	_cleanup_json_ json_t *names = json_pack("[s, i]", "a", 1);
	assert_true(data_has(names, "a"));
	assert_false(data_has(names, "1"));
	assert_false(data_has(NULL, "a"));
	assert_true(data_get_num(j, "n", 0) > 1.4);
	assert_int_equal(data_get_int(j, "n", -1), -1);
	assert_null(data_get(j, "a.b.2"));
	assert_null(data_get(j, "a.b.x"));
	assert_null(data_get(j, "a.b.0.c.d"));
	assert_null(data_get_str(j, "a"));
	assert_null(data_get(NULL, "a"));

	assert_int_equal(data_set(j, "x.y\\.z", json_integer(3)), 0);
	assert_int_equal(data_get_int(j, "x.y\\.z", -1), 3);
	assert_int_equal(data_set(j, "a.b.0.c", json_integer(8)), 0);
	assert_int_equal(data_get_int(j, "a.b.0.c", -1), 8);
	assert_int_equal(data_set(j, "n.y", json_integer(3)), -EINVAL);
	assert_int_equal(data_set(j, "n.y.z", json_integer(3)), -EINVAL);
	assert_int_equal(data_set(j, "a.b.9", json_integer(3)), -EINVAL);
}

struct spec {
	char *name;
	int64_t replicas;
	bool paused;
	double ratio;
	const json_t *rest;
};
static const struct data_field spec_table[] = {
	{ "name", DATA_STR, offsetof(struct spec, name), true },
	{ "spec.replicas", DATA_INT, offsetof(struct spec, replicas), false },
	{ "spec.paused", DATA_BOOL, offsetof(struct spec, paused), false },
	{ "spec.ratio", DATA_NUM, offsetof(struct spec, ratio), false },
	{ "spec.rest", DATA_JSON, offsetof(struct spec, rest), false },
};

static void decode_fills_or_names_the_field(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "{\"name\":\"n\",\"spec\":{\"replicas\":3,\"paused\":true,\"ratio\":2,\"rest\":["
		  "1]}}",
		  NULL },
		{ "{\"name\":\"n\",\"spec\":{\"replicas\":null}}", NULL },
		{ "{}", "name is missing; it must be a string" },
		{ "{\"name\":null}", "name is missing; it must be a string" },
		{ "{\"name\":\"n\",\"spec\":{\"replicas\":\"3\"}}",
		  "spec.replicas is a string; it must be an integer" },
		{ "{\"name\":\"n\",\"spec\":{\"paused\":1}}",
		  "spec.paused is an integer; it must be a boolean" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct spec s = { .replicas = 1 };
		_cleanup_json_ json_t *j = NULL;
		assert_int_equal(data_json_parse(str_of(cases[i].text), &j, &err), 0);
		int rc = data_decode(j, spec_table, ARRAY_LEN(spec_table), &s, &err);
		assert_int_equal(rc, cases[i].says ? -EINVAL : 0);
		assert_string_equal(err.msg, cases[i].says ? cases[i].says : "");
		if (i == 0) {
			assert_int_equal(s.replicas, 3);
			assert_true(s.paused && s.ratio > 1.9 && json_is_array(s.rest));
		}
		if (i == 1)
			assert_int_equal(s.replicas, 1);
		free(s.name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_text_names_its_place),
		cmocka_unit_test(an_error_does_not_quote_the_text),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(dump_is_canonical),
		cmocka_unit_test(paths),
		cmocka_unit_test(decode_fills_or_names_the_field),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

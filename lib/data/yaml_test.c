#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/base64.h"
#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "lib/data/yaml.h"

static void values_are_typed(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{ "a: 1\nb: [true, false, null, -2, 1.5, 1e3]",
		  "{\"a\":1,\"b\":[true,false,null,-2,1.5,1000.0]}" },
		{ "[yes, no, on, ~, 007, 0x1f, 1_000, .5, 1., +1, -, 1e, nan]",
		  "[\"yes\",\"no\",\"on\",\"~\",\"007\",\"0x1f\",\"1_000\",\".5\",\"1.\",\"+1\",\"-"
		  "\",\"1e\",\"nan\"]" },
		{ "a:\nb: ''\nc: \"1\"\nd: '\"'\n",
		  "{\"a\":null,\"b\":\"\",\"c\":\"1\",\"d\":\"\\\"\"}" },
		{ "a: |\n  x\n  y\nb: >-\n  x\n  y\n", "{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}" },
		{ "1: a\ntrue: b\nnull: c\n", "{\"1\":\"a\",\"null\":\"c\",\"true\":\"b\"}" },
		{ "- - a\n  - {b: []}\n- {}\n", "[[\"a\",{\"b\":[]}],{}]" },
		{ "a: ${x.y}\nb: \"${z}\"\nc: http://h:1/p\n",
		  "{\"a\":\"${x.y}\",\"b\":\"${z}\",\"c\":\"http://h:1/p\"}" },
		{ "# only\n--- \n'\xc3\xa9'\n...\n", "\"\xc3\xa9\"" },
		{ "-9223372036854775808", "-9223372036854775808" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		_cleanup_json_ json_t *j = NULL;
		if (data_yaml_parse(str_of(cases[i].yaml), &j, &err) < 0)
			fail_msg("case %zu: %s", i, err.msg);
		autofree char *text = data_json_text(j);
		assert_string_equal(text, cases[i].json);
	}
}

static void bad_text_names_its_place(void **state)
{
	(void)state;
	static const struct {
		struct str yaml;
		const char *says;
	} cases[] = {
		{ STR_LIT("a: &x 1"), "line 1 column 4: anchors" },
		{ STR_LIT("a: 1\nb: *x"), "line 2 column 4: aliases" },
		{ STR_LIT("a: !!int 1"), "tags" },
		{ STR_LIT("a: !x {}"), "tags" },
		{ STR_LIT("a: &x []"), "anchors" },
		{ STR_LIT("a: {}\n<<: {b: 1}"), "line 2 column 1: merge keys" },
		{ STR_LIT("a: 1\na: 2"), "line 2 column 1: the key is there twice" },
		{ STR_LIT("{[a]: b}"), "a key must be text" },
		{ STR_LIT("a: [1"), "line 2" },
		{ STR_LIT("a: 1\n\tb: 2"), "line 2" },
		{ STR_LIT("99999999999999999999"), "64 bits" },
		{ STR_LIT("1e999"), "too large" },
		{ STR_LIT("\"\\0\""), "NUL" },
		{ STR_LIT("a: \xff"), "UTF-8" },
		{ STR_LIT(""), "0 documents" },
		{ STR_LIT("a\n---\nb"), "2 documents" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		json_t *j = NULL;
		assert_int_equal(data_yaml_parse(cases[i].yaml, &j, &err), -EINVAL);
		assert_null(j);
		if (!strstr(err.msg, cases[i].says))
			fail_msg("case %zu says: %s", i, err.msg);
	}
	char deep[JSON_DEPTH_MAX + 1];
	memset(deep, '[', sizeof(deep));
	json_t *j = NULL;
	assert_int_equal(data_yaml_parse((struct str){ deep, sizeof(deep) }, &j, NULL), -EINVAL);
}

static void all_documents(void **state)
{
	(void)state;
	_cleanup_json_ json_t *j = NULL;
	assert_int_equal(data_yaml_parse_all(STR_LIT("---\na: 1\n---\n---\n# nothing\n---\n- b\n"),
	                                     &j, NULL),
	                 0);
	autofree char *text = data_json_text(j);
	assert_string_equal(text, "[{\"a\":1},[\"b\"]]");
}

static void quantities(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t whole, milli;
	} cases[] = {
		{ "0", 0, 0, 0 },
		{ "500m", 0, 1, 500 },
		{ "1500m", 0, 2, 1500 },
		{ "-1500m", 0, -2, -1500 },
		{ "2", 0, 2, 2000 },
		{ "+2", 0, 2, 2000 },
		{ "0.1", 0, 1, 100 },
		{ ".5", 0, 1, 500 },
		{ "5.", 0, 5, 5000 },
		{ "1e3", 0, 1000, 1000000 },
		{ "1E3", 0, 1000, 1000000 },
		{ "1.5e-3", 0, 1, 2 },
		{ "1e+2", 0, 100, 100000 },
		{ "1n", 0, 1, 1 },
		{ "10Gi", 0, INT64_C(10737418240), INT64_C(10737418240000) },
		{ "1.5Ki", 0, 1536, 1536000 },
		{ "128974848", 0, 128974848, INT64_C(128974848000) },
		{ "1E", 0, INT64_C(1000000000000000000), -ERANGE },
		{ "7Ei", 0, INT64_C(8070450532247928832), -ERANGE },
		{ "8Ei", -ERANGE, 0, 0 },
		{ "9223372036854775807", 0, INT64_MAX, -ERANGE },
		{ "9223372036854775808", -ERANGE, 0, 0 },
		{ "0.00000000000000000000000000000000000001", 0, 1, 1 },
		{ "100000000000000000000000000000000n", -ERANGE, 0, 0 },
		{ "100000000000000000000000000n", 0, INT64_C(100000000000000000), -ERANGE },
		{ "1e999999999999", -ERANGE, 0, 0 },
		{ "", -EINVAL, 0, 0 },
		{ "Gi", -EINVAL, 0, 0 },
		{ "1K", -EINVAL, 0, 0 },
		{ "1 Gi", -EINVAL, 0, 0 },
		{ "1e", -EINVAL, 0, 0 },
		{ "1e+-2", -EINVAL, 0, 0 },
		{ "1.2.3", -EINVAL, 0, 0 },
		{ "--1", -EINVAL, 0, 0 },
		{ ".", -EINVAL, 0, 0 },
		{ "1KiB", -EINVAL, 0, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t whole = 0, milli = 0;
		struct err err = ERR_INIT;
		int rc = data_quantity(str_of(cases[i].text), &whole, &err);
		if (rc != cases[i].rc || whole != cases[i].whole)
			fail_msg("%s: %d, %lld", cases[i].text, rc, (long long)whole);
		int milli_rc = data_quantity_milli(str_of(cases[i].text), &milli, &err);
		if (rc == 0 && cases[i].milli == -ERANGE)
			assert_int_equal(milli_rc, -ERANGE);
		else if (milli_rc != cases[i].rc || milli != cases[i].milli)
			fail_msg("%s: %d, %lld milli", cases[i].text, milli_rc, (long long)milli);
		assert_true(rc == 0 || err.msg[0]);
	}
}

static void base64(void **state)
{
	(void)state;
	static const struct {
		const char *text, *bytes; /* NULL: refused */
	} cases[] = {
		{ "", "" },           { "Zg==", "f" },       { "Zm8=", "fo" },  { "Zm9v", "foo" },
		{ "Zm9vYg", "foob" }, { "/+8", "\xff\xef" }, { "Z", NULL },     { "Zm9vY", NULL },
		{ "Zm 8", NULL },     { "Zm8=\n", NULL },    { "Zg===", NULL }, { "Z-_v", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(100);
		int rc = data_base64_decode(str_of(cases[i].text), &out);
		assert_int_equal(rc, cases[i].bytes ? 0 : -EINVAL);
		if (cases[i].bytes)
			assert_string_equal(buf_cstr(&out), cases[i].bytes);
	}
	_cleanup_buf_ struct buf small = BUF_INIT(2);
	assert_int_equal(data_base64_decode(STR_LIT("Zm9v"), &small), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_typed), cmocka_unit_test(bad_text_names_its_place),
		cmocka_unit_test(all_documents),    cmocka_unit_test(quantities),
		cmocka_unit_test(base64),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

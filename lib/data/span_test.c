#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/span.h"

static void members_are_found_where_they_are(void **state)
{
	(void)state;
	static const struct {
		const char *text, *value; /* of "a"; NULL: none */
	} cases[] = {
		{ "", NULL },
		{ "{}", NULL },
		{ "[\"a\",1]", NULL },
		{ "{\"a\":1}", "1" },
		{ " { \"a\" : -1.5e3 } ", "-1.5e3" },
		{ "{\"b\":{\"a\":1}}", NULL },
		{ "{\"b\":{\"a\":1},\"a\":{\"a\":[2]}}", "{\"a\":[2]}" },
		{ "{\"b\":\"\\\"a\\\":1\",\"a\":\"x\\\\\"}", "\"x\\\\\"" },
		{ "{\"ab\":1,\"\":2,\"a\":null}", "null" },
		{ "{\"b\":[\"]\",\"}\"],\"a\":[]}", "[]" },
		{ "{\"a\":", NULL },
		{ "{\"a\":[1", NULL },
		{ "{\"a\":\"x", NULL },
		{ "{\"a\" 1}", NULL },
		{ "{\"b\":1 \"a\":2}", NULL },
		{ "{a:1}", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str v = data_span_member(str_of(cases[i].text), "a");
		if (!v.p != !cases[i].value || (v.p && !str_eqs(v, cases[i].value)))
			fail_msg("%s gave %.*s", cases[i].text, STR_ARG(v));
	}
}

static void an_array_is_walked_to_its_end_and_no_further(void **state)
{
	(void)state;
	static const struct {
		const char *text, *last;
		size_t n;
		bool whole;
	} cases[] = {
		{ "", "", 0, false },
		{ "[]", "", 0, true },
		{ " [ ] ", "", 0, true },
		{ "[1]", "1", 1, true },
		{ "[1,{\"a\":[2,3]},\"],\"]", "\"],\"", 3, true },
		{ "[[[]],[]]", "[]", 2, true },
		{ "[1,2", "2", 2, false },
		{ "[1,", "1", 1, false },
		{ "[1,]", "1", 1, false },
		{ "[1 2]", "1", 1, false },
		{ "[1]x", "1", 1, false },
		{ "[{\"a\":\"]}", "", 0, false },
		{ "{\"a\":1}", "", 0, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str text = str_of(cases[i].text), v, last = STR_LIT("");
		size_t at = 0, n = 0;
		for (; data_span_next(text, &at, &v); n++)
			last = v;
		if (n != cases[i].n || !str_eqs(last, cases[i].last) ||
		    (at == text.len) != cases[i].whole)
			fail_msg("%s: %zu values, the last %.*s, ended at %zu", cases[i].text, n,
			         STR_ARG(last), at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_are_found_where_they_are),
		cmocka_unit_test(an_array_is_walked_to_its_end_and_no_further),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

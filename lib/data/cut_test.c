#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/cut.h"

static void arrays_go_and_text_stays(void **state)
{
	(void)state;
	static const char *const words[] = { "keep", "\"me\"", NULL };
	static const struct {
		const char *text, *left;
	} cases[] = {
		{ "", "" },
		{ "{\"m\":[", "{\"m\":[" },
		{ "{\"m\":[1,[2", "{\"m\":[1,[2" },
		{ "{\"m\":[1}", "{\"m\":[1}" },
		{ "{\"m\":[\"]", "{\"m\":[\"]" },
		{ "\"m\":[1]", "\"m\":[1]" },
		{ "{\"m\":[]}", "{\"m\":[]}" },
		{ "{\"m\":{\"a\":1}}", "{\"m\":{\"a\":1}}" },
		{ "{\"m\":[1,2]}", "{\"m\":[]}" },
		{ "{\"a\":1,\"m\":[{\"x\":[\"]\",\"\\\"]\"]}],\"b\":2}",
		  "{\"a\":1,\"m\":[],\"b\":2}" },
		{ "{\"m\":[1],\"n\":{\"m\":[2]}}", "{\"m\":[],\"n\":{\"m\":[]}}" },
		/* a text that looks like it */
		{ "{\"a\":\",\\\"m\\\":[1]\"}", "{\"a\":\",\\\"m\\\":[1]\"}" },
		{ "{\"m\":[\"keeper\"],\"b\":{\"m\":[1]}}",
		  "{\"m\":[\"keeper\"],\"b\":{\"m\":[]}}" },
		{ "{\"m\":[{\"x\":\"me\"}]}", "{\"m\":[{\"x\":\"me\"}]}" },
		/* a word behind the array is none of it */
		{ "{\"m\":[1],\"b\":\"keep\"}", "{\"m\":[],\"b\":\"keep\"}" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *text = xstrdup(cases[i].text);
		size_t n = data_json_cut(text, strlen(text), "m", words);
		if (n != strlen(cases[i].left) || memcmp(text, cases[i].left, n) != 0)
			fail_msg("%s became %.*s", cases[i].text, (int)n, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(arrays_go_and_text_stays) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

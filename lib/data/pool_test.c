#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/data/pool.h"

static json_t *value_of(size_t n)
{
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		autofree char *text = xmalloc(i + 1);
		memset(text, 'x', i);
		text[i] = '\0';
		json_array_append_new(
			list, json_pack("{s:s, s:[i, f]}", "text", text, "numbers", (int)i, 0.5));
	}
	return list;
}

static void *elsewhere(void *arg)
{
	data_pool_keep(4096);
	json_decref(arg);
	json_t *mine = value_of(40);
	data_pool_keep(0);
	return mine;
}

/* Made here, freed there, made again from what is kept: the same values come out. */
static void values_may_go_to_another_thread(void **state)
{
	(void)state;
	data_pool_keep(64 * 1024);
	for (int round = 0; round < 3; round++) {
		pthread_t t;
		void *ret = NULL;
		json_t *a = value_of(300), *b = value_of(40);
		autofree char *text = data_json_text(a);
		assert_int_equal(pthread_create(&t, NULL, elsewhere, a), 0);
		assert_int_equal(pthread_join(t, &ret), 0);
		assert_true(json_equal(ret, b));
		json_decref(ret);
		json_decref(b);
		json_t *again = value_of(300);
		autofree char *text_again = data_json_text(again);
		assert_string_equal(text, text_again);
		json_decref(again);
	}
	data_pool_keep(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(values_may_go_to_another_thread) };
	data_pool_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

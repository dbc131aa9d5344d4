#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "operator/reconcile/run_priv.h"

static bool asked;

static bool no(void *arg)
{
	(void)arg;
	asked = true;
	return false;
}

/* While the lease is in doubt a status waits, and is not forgotten: nobody else would come back to it. */
static void a_status_that_may_not_be_written_now_comes_later(void **state)
{
	(void)state;
	static const struct {
		const char *before, *status;
		int rc;
	} cases[] = {
		{ "{}", "{\"phase\":\"running\"}", WRITE_LATER },
		{ "{\"phase\":\"running\"}", "{\"phase\":\"running\"}", 0 },
	};
	struct reconcile r = { .config = { .may_write = no } };
	struct worker w = { .r = &r };
	struct record rec = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		autofree char *text = xasprintf(
			"{\"cr\":{\"metadata\":{\"namespace\":\"n\",\"name\":\"c\",\"uid\":"
			"\"u\"},\"status\":%s}}",
			cases[i].before);
		_cleanup_json_ json_t *world = NULL, *status = NULL;
		struct observe_digest seen = { .cr = 1 };
		int64_t wait_ms = 0;
		assert_int_equal(data_json_parse(str_of(text), &world, NULL), 0);
		assert_int_equal(data_json_parse(str_of(cases[i].status), &status, NULL), 0);
		asked = false;
		assert_int_equal(reconcile_write_status(&w, &rec, world, status, &seen, &wait_ms),
		                 cases[i].rc);
		assert_int_equal(asked, cases[i].rc != 0);
		assert_int_equal(wait_ms > 0, cases[i].rc != 0);
		assert_int_equal(seen.cr, cases[i].rc ? 0 : 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_status_that_may_not_be_written_now_comes_later),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

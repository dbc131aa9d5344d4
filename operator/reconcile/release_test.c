#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/data/json.h"
#include "operator/reconcile/release.h"
#include "operator/reconcile/step.h"

static int setup(void **state)
{
	(void)state;
	return render_init(NULL);
}

static json_t *world(const char *annotations, const char *service)
{
	json_t *w = NULL;
	autofree char *text = xasprintf(
		"{\"now_ms\":1,\"cr\":{\"metadata\":{\"name\":\"c\",\"namespace\":\"n\",\"uid\":"
		"\"u\",\"annotations\":{%s}},\"spec\":{\"starRocksFeSpec\":{\"image\":\"i\"}}},"
		"\"objects\":{%s}}",
		annotations, service);
	assert_int_equal(data_json_parse(str_of(text), &w, NULL), 0);
	return w;
}

static json_t *plan_of(const json_t *w)
{
	struct render_options options = { .volume_hash = true };
	json_t *plan = NULL;
	assert_int_equal(reconcile_step(w, &options, &plan, NULL), 0);
	return plan;
}

static json_t *writes_on(const json_t *plan, const char *name)
{
	json_t *ret = json_array();
	size_t i;
	json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		if (strcmp(data_get_str(x, "name"), name) == 0)
			json_array_append(ret, x);
	}
	return ret;
}

#define SERVICE(owner, more)                                                               \
	"\"Service/c-fe-service\":{\"metadata\":{\"name\":\"c-fe-service\",\"uid\":\"s\"," \
	"\"ownerReferences\":[{\"uid\":\"" owner "\"}]}" more "}"

static void upstreams_objects_are_adopted_first(void **state)
{
	(void)state;
	_cleanup_json_ json_t *w = world("", SERVICE("u", ",\"upstream\":true"));
	_cleanup_json_ json_t *plan = plan_of(w);
	_cleanup_json_ json_t *on = writes_on(plan, "c-fe-service");
	assert_int_equal(json_array_size(on), 2);
	assert_string_equal(data_get_str(on, "0.verb"), "adopt");
	assert_string_equal(data_get_str(on, "0.uid"), "s");
	assert_string_equal(data_get_str(on, "1.verb"), "apply");
	assert_false(data_get_bool(on, "1.new", false));
	/* What nobody has seen is not taken by force. */
	_cleanup_json_ json_t *fresh = writes_on(plan, "c-fe");
	assert_true(data_get_bool(fresh, "0.new", false));
	/* Another's is neither adopted nor applied. */
	_cleanup_json_ json_t *foreign = world("", SERVICE("x", ",\"upstream\":true"));
	_cleanup_json_ json_t *none = plan_of(foreign);
	_cleanup_json_ json_t *untouched = writes_on(none, "c-fe-service");
	assert_int_equal(json_array_size(untouched), 0);
}

static void a_released_cluster_is_left_alone(void **state)
{
	(void)state;
	static const struct {
		const char *annotations;
		bool left;
	} cases[] = {
		{ "\"" RECONCILE_RELEASED "\":\"true\"", true },
		{ "\"" RECONCILE_RELEASED "\":\"false\"", false },
		{ "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *w = world(cases[i].annotations, "");
		_cleanup_json_ json_t *plan = plan_of(w);
		bool left = json_array_size(json_object_get(plan, "writes")) == 0;
		if (left != cases[i].left)
			fail_msg("case %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(upstreams_objects_are_adopted_first),
		cmocka_unit_test(a_released_cluster_is_left_alone),
	};
	return cmocka_run_group_tests(tests, setup, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/kube/fields.h"

static const struct kube_owner them = { "them", "Update" }, us = { "us", "Apply" };
static const char *const kept[] = { "hash", NULL };

static json_t *object(const char *entries)
{
	json_t *j = NULL;
	autofree char *text = xasprintf("{\"metadata\":{\"managedFields\":[%s]}}", entries);
	assert_int_equal(data_json_parse(str_of(text), &j, NULL), 0);
	return j;
}

#define ENTRY(manager, operation, more, fields)                                                   \
	"{\"manager\":\"" manager "\",\"operation\":\"" operation "\",\"apiVersion\":\"v1\"" more \
	",\"fieldsV1\":" fields "}"
#define STATUS ",\"subresource\":\"status\""
#define MIXED                                                                           \
	"{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:hash\":{}},\"f:labels\":{}}," \
	"\"f:spec\":{\"f:a\":{}}}"
#define SPEC "{\"f:spec\":{\"f:a\":{}}}"

static void who_owns(void **state)
{
	(void)state;
	static const struct {
		const char *entries;
		bool owned;
	} cases[] = {
		{ "", false },
		{ "3", false },
		{ ENTRY("them", "Update", "", SPEC), true },
		{ ENTRY("them", "Apply", "", SPEC), false },
		{ ENTRY("other", "Update", "", SPEC), false },
		{ ENTRY("them", "Update", ",\"subresource\":\"status\"", SPEC), false },
		{ ENTRY("them", "Update", "",
		        "{\"f:metadata\":{\"f:annotations\":{\".\":{},\"f:hash\":{}}}}"),
		  false },
		{ ENTRY("them", "Update", "",
		        "{\"f:metadata\":{\"f:annotations\":{\"f:hash\":{},\"f:mine\":{}}}}"),
		  true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_json_ json_t *o = object(cases[i].entries);
		if (kube_fields_owned(o, &them, kept) != cases[i].owned)
			fail_msg("case %zu", i);
	}
}

static void fields_change_hands(void **state)
{
	(void)state;
	_cleanup_json_ json_t *o = object(ENTRY("them", "Update", "", MIXED) "," ENTRY(
		"them", "Update", STATUS, "{}") "," ENTRY("us", "Apply", "",
	                                                  "{\"f:spec\":{\"f:b\":{}}}"));
	_cleanup_json_ json_t *now = kube_fields_move(o, &them, &us, kept);
	_cleanup_json_ json_t *again = json_pack("{s:{s:O}}", "metadata", "managedFields", now);
	assert_int_equal(json_array_size(now), 3);
	assert_false(kube_fields_owned(again, &them, kept));
	assert_true(kube_fields_owned(again, &them, NULL));
	/* Ours has both; the status of theirs is untouched; the kept annotation is theirs alone. */
	assert_string_equal(data_get_str(now, "0.subresource"), "status");
	assert_non_null(data_get(now, "1.fieldsV1.f:spec.f:a"));
	assert_non_null(data_get(now, "1.fieldsV1.f:spec.f:b"));
	assert_non_null(data_get(now, "1.fieldsV1.f:metadata.f:labels"));
	assert_null(data_get(now, "1.fieldsV1.f:metadata.f:annotations"));
	assert_non_null(data_get(now, "2.fieldsV1.f:metadata.f:annotations.f:hash"));
	assert_null(data_get(now, "2.fieldsV1.f:spec"));
	/* And back. */
	_cleanup_json_ json_t *back = kube_fields_move(again, &us, &them, NULL);
	_cleanup_json_ json_t *given = json_pack("{s:{s:O}}", "metadata", "managedFields", back);
	assert_false(kube_fields_owned(given, &us, NULL));
	assert_true(kube_fields_owned(given, &them, kept));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_owns),
		cmocka_unit_test(fields_change_hands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/data/json.h"
#include "lib/data/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_parsed(struct str span, json_t *value)
{
	_cleanup_json_ json_t *j = NULL;
	if (!span.p || data_json_parse(span, &j, NULL) < 0 || !json_equal(j, value))
		abort();
}

/* Of what is JSON, the spans are what the parser says; of other text they stay inside. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size }, one;
	_cleanup_json_ json_t *whole = NULL;
	bool good = data_json_parse(text, &whole, NULL) == 0;
	struct str a = data_span_member(text, "a");
	if (a.p && (a.p < text.p || a.p + a.len > text.p + text.len))
		abort();
	json_t *member = good ? json_object_get(whole, "a") : NULL;
	if (a.p && good)
		as_parsed(a, member);
	size_t at = 0, n = 0;
	for (; data_span_next(text, &at, &one); n++) {
		if (one.p < text.p || one.p + one.len > text.p + text.len)
			abort();
		if (good)
			as_parsed(one, json_array_get(whole, n));
	}
	if (good && json_is_array(whole) && (n != json_array_size(whole) || at != size))
		abort();
	return 0;
}

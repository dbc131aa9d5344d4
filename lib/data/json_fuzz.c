#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever parses must dump to text that parses to the same bytes again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *first = NULL;
	_cleanup_json_ json_t *second = NULL;
	if (data_json_parse((struct str){ (const char *)data, size }, &first, NULL) < 0)
		return 0;
	autofree char *text = data_json_text(first);
	if (data_json_parse(str_of(text), &second, NULL) < 0)
		abort();
	autofree char *again = data_json_text(second);
	if (strcmp(text, again) != 0)
		abort();
	(void)data_get(first, "a.0.b\\.c");
	return 0;
}

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/data/cut.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was JSON stays JSON, what was cut has nothing left to cut, and words keep everything. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const any[] = { "", NULL };
	autofree char *text = xstrndup((const char *)data, size);
	_cleanup_json_ json_t *before = NULL;
	_cleanup_json_ json_t *after = NULL;
	size = strlen(text);
	bool good = data_json_parse((struct str){ text, size }, &before, NULL) == 0;
	if (data_json_cut(text, size, "m", any) != size)
		abort();
	size_t n = data_json_cut(text, size, "m", NULL);
	if (n > size || (good && data_json_parse((struct str){ text, n }, &after, NULL) < 0))
		abort();
	if (data_json_cut(text, n, "m", NULL) != n)
		abort();
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "lib/data/quantity.h"
#include "lib/data/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever YAML gives is JSON: its text parses as JSON. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_json_ json_t *documents = NULL;
	_cleanup_json_ json_t *again = NULL;
	struct str text = { (const char *)data, size };
	int64_t n = 0;
	(void)data_quantity(text, &n, NULL);
	(void)data_quantity_milli(text, &n, NULL);
	if (data_yaml_parse_all(text, &documents, NULL) < 0)
		return 0;
	autofree char *json = data_json_text(documents);
	/* The array around the documents is one level more than a document may have. */
	if (data_json_parse(str_of(json), &again, NULL) < 0 && size < JSON_DEPTH_MAX)
		abort();
	return 0;
}

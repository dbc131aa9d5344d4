#include <stddef.h>
#include <stdint.h>

#include "engine/node/load_spec.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct headers {
	char *name[64], *value[64];
	size_t n;
};

static const char *get(void *arg, const char *name)
{
	const struct headers *h = arg;
	for (size_t i = 0; i < h->n; i++)
		if (strcmp(h->name[i], name) == 0)
			return h->value[i];
	return NULL;
}

/* Lines "name: value"; what is accepted has limits that hold. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct headers h = { .n = 0 };
	struct node_load_spec spec;
	struct str rest = { (const char *)data, size }, line, name;
	while (h.n < 64 && str_split(&rest, '\n', &line))
		if (str_split(&line, ':', &name) && line.p) {
			h.name[h.n] = str_dup(name);
			h.value[h.n++] = str_dup(str_trim(line));
		}
	if (node_load_spec(get, &h, &spec, NULL) == 0) {
		double ratio = data_get_num(spec.options, "max_filter_ratio", -1);
		const char *enclose = data_get_str(spec.options, "enclose");
		if (spec.timeout_ms < 1 || ratio < 0 || ratio > 1 ||
		    (enclose && strlen(enclose) != 1))
			abort();
		node_load_spec_free(&spec);
	}
	for (size_t i = 0; i < h.n; i++) {
		free(h.name[i]);
		free(h.value[i]);
	}
	return 0;
}

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/net/prom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that it is given, so that the sanitizers see views out of bounds. */
static int touch(void *arg, struct str name, const struct prom_label *labels, size_t n,
                 double value)
{
	uint64_t *sum = arg;
	(void)value;
	*sum += str_hash(name, *sum);
	for (size_t i = 0; i < n; i++)
		*sum += str_hash(labels[i].name, *sum) + str_hash(labels[i].value, *sum);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t sum = 0;
	(void)prom_parse((struct str){ (const char *)data, size }, touch, &sum, NULL);
	return 0;
}

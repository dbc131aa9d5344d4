#include <stddef.h>
#include <stdint.h>

#include "engine/node/task.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct node_hello hello;
	_cleanup_json_ json_t *message = NULL;
	if (data_json_parse((struct str){ (const char *)data, size }, &message, NULL) < 0)
		return 0;
	if (node_hello_decode(message, &hello, NULL) < 0)
		return 0;
	if (hello.cluster < 1 || hello.node < 1 || !node_address_valid(hello.fe) ||
	    strpbrk(hello.fe, "/?#@ \r\n"))
		abort();
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "engine/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(conf_freep) struct conf *c = NULL;
	struct err err = ERR_INIT;
	struct str text = { size ? (const char *)data : "", size };
	if (conf_parse(text, "fuzz", &c, &err) < 0)
		return 0;
	int64_t port = 0;
	uint64_t bytes = 0;
	bool flag = false;
	(void)conf_int(c, "http_port", 8030, 1, 65535, &port, &err);
	(void)conf_bytes(c, "mem_limit", "90%", 1000, &bytes, &err);
	(void)conf_bool(c, "enable", false, &flag, &err);
	return 0;
}

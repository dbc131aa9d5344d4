/* Any bytes: either refused, or text that is normalised to something without growing past its maximum. */
#include <stddef.h>
#include <stdint.h>

#include "engine/sql/normalise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf out = BUF_INIT(64 * 1024);
	struct err err = ERR_INIT;
	unsigned modes = size ? data[0] & 1 : 0;
	int rc = sql_normalise((struct str){ (const char *)data, size }, modes, &out, &err);
	if (rc < 0 && !err.code)
		__builtin_trap();
	return 0;
}

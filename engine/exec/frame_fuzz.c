#include <stddef.h>
#include <stdint.h>

#include "engine/exec/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf in = BUF_INIT(1 << 20);
	if (buf_add(&in, data, size) < 0)
		return 0;
	for (;;) {
		struct err err = ERR_INIT;
		json_t *j = NULL;
		if (exec_frame_take(&in, &j, &err) != 0)
			return 0;
		json_decref(j);
	}
}

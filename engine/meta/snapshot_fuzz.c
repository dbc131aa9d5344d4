#include <stddef.h>
#include <stdint.h>

#include "engine/meta/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Hostile bytes are refused; what is accepted encodes to something that is accepted again and reads the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = ERR_INIT;
	struct meta_state s, again;
	meta_state_init(&s);
	meta_state_init(&again);
	if (meta_snapshot_decode((struct str){ (const char *)data, size }, &s, &err) == 0) {
		_cleanup_buf_ struct buf once = BUF_INIT(1 << 26);
		_cleanup_buf_ struct buf twice = BUF_INIT(1 << 26);
		meta_snapshot_encode(&s, &once);
		if (meta_snapshot_decode((struct str){ buf_cstr(&once), once.len }, &again, &err) <
		    0)
			__builtin_trap();
		meta_snapshot_encode(&again, &twice);
		if (s.variables && map_count(s.variables) < 2 &&
		    (once.len != twice.len || memcmp(once.p, twice.p, once.len) != 0))
			__builtin_trap();
	}
	meta_state_free(&s);
	meta_state_free(&again);
	return 0;
}

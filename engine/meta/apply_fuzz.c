#include <stddef.h>
#include <stdint.h>

#include "engine/meta/state.h"
#include "lib/data/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each line is a command as the log has it. Whatever they do, the state that results has a snapshot that is read back;
 * a refused command changes nothing. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct meta_state s, back;
	struct err err = ERR_INIT;
	struct str rest = { (const char *)data, size }, line;
	meta_state_init(&s);
	meta_state_init(&back);
	while (str_split(&rest, '\n', &line)) {
		_cleanup_json_ json_t *command = NULL;
		_cleanup_json_ json_t *result = NULL;
		if (data_json_parse(line, &command, &err) < 0)
			continue;
		_cleanup_buf_ struct buf before = BUF_INIT(1 << 26);
		meta_snapshot_encode(&s, &before);
		if (meta_apply(&s, command, &result, &err) < 0) {
			_cleanup_buf_ struct buf after = BUF_INIT(1 << 26);
			meta_snapshot_encode(&s, &after);
			if (before.len != after.len || memcmp(before.p, after.p, after.len) != 0)
				__builtin_trap();
		}
	}
	_cleanup_buf_ struct buf snapshot = BUF_INIT(1 << 26);
	meta_snapshot_encode(&s, &snapshot);
	if (meta_snapshot_decode((struct str){ buf_cstr(&snapshot), snapshot.len }, &back, &err) <
	    0)
		__builtin_trap();
	meta_state_free(&s);
	meta_state_free(&back);
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "engine/meta/log_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct str file, bool may_be_torn)
{
	struct meta_log_reader r;
	struct meta_log_record record;
	struct err err = ERR_INIT;
	meta_log_reader_init(&r, file, may_be_torn);
	volatile char sum = 0;
	while (meta_log_reader_next(&r, &record, &err) == META_LOG_RECORD)
		for (size_t i = 0; i < record.bytes.len; i++)
			sum = (char)(sum ^ record.bytes.p[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str file = { (const char *)data, size };
	struct str bytes;
	struct err err = ERR_INIT;
	read_all(file, true);
	read_all(file, false);
	(void)meta_log_snapshot_check(file, 1, &bytes, &err);
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "engine/s3/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *arg, const struct s3_xml_entry *entry)
{
	if (!entry->key[0] || entry->bytes < 0)
		abort();
	return ++*(int *)arg > 10000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	_cleanup_buf_ struct buf token = BUF_INIT(2048);
	struct s3_xml_error e;
	int n = 0;
	(void)s3_xml_list(text, count, &n, &token, NULL);
	s3_xml_error(text, &e);
	return 0;
}

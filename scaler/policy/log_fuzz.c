/* A line of a decision log: refused, or made again to bytes that stay the same from then on. */
#include <stdlib.h>

#include "scaler/policy/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf one = BUF_INIT(POLICY_LOG_LINE_MAX),
				 two = BUF_INIT(POLICY_LOG_LINE_MAX);
	if (policy_log_again((struct str){ (const char *)data, size }, &one, NULL) < 0)
		return 0;
	if (policy_log_again((struct str){ buf_cstr(&one), one.len }, &two, NULL) < 0)
		abort();
	if (one.len != two.len || memcmp(buf_cstr(&one), buf_cstr(&two), one.len) != 0)
		abort();
	return 0;
}

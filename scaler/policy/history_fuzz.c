/* A history from a ConfigMap that anybody may have edited: refused, or written back to a text that reads the same. */
#include <stdlib.h>

#include "scaler/policy/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(policy_history_freep) struct policy_history *a = NULL, *b = NULL;
	_cleanup_buf_ struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
	if (size > 1 << 16 ||
	    policy_history_parse((struct str){ (const char *)data, size }, &a, NULL) < 0)
		return 0;
	policy_history_write(a, &one);
	if (policy_history_parse((struct str){ buf_cstr(&one), one.len }, &b, NULL) < 0)
		abort();
	policy_history_write(b, &two);
	if (one.len != two.len || memcmp(buf_cstr(&one), buf_cstr(&two), one.len) != 0)
		abort();
	policy_history_note(a, 20420LL * 86400000, 3);
	(void)policy_history_forecast(a, 20421LL * 86400000, 300000);
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "scaler/serve/query.h"
#include "scaler/source/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a caller and what an FE may send. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = { (const char *)data, size };
	struct serve_query q;
	struct source_snapshot s;
	if (serve_query_parse(text, &q, NULL) == 0)
		(void)serve_query_matches(&q, "ns", "c", "cn");
	(void)source_parse(text, &s, NULL);
	return 0;
}

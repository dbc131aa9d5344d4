#include "operator/model/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct model_ports p;
	for (int r = 0; r < MODEL_ROLES; r++)
		model_ports_from_conf((enum model_role)r, (struct str){ (const char *)data, size },
		                      &p);
	return 0;
}

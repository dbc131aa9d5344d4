#include "lib/kube/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(kube_config_freep) struct kube_config *k = NULL;
	struct err err = ERR_INIT;
	kube_config_parse((struct str){ (const char *)data, size }, "/nowhere", &k, &err);
	return 0;
}

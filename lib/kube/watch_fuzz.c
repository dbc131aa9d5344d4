#include "lib/kube/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, enum kube_change change, json_t *object)
{
	(void)arg;
	(void)change;
	(void)object;
}

/* The first byte says into what pieces the stream is cut. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kube_frames f = KUBE_FRAMES_INIT(ignore, NULL);
	struct err err = ERR_INIT;
	size_t piece = size ? (size_t)data[0] + 1 : 1;
	for (size_t at = 1; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;
		if (kube_frames_feed(&f, (const char *)data + at, n, &err) != 0)
			break;
	}
	buf_free(&f.line);
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "engine/wire/handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(struct str s, const uint8_t *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)s.p;
	if (s.len && (p < data || p + s.len > data + size))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str payload = { (const char *)data, size };
	struct wire_hello h;
	for (int i = 0; i < 2; i++) {
		int rc = i ? wire_parse_change_user(payload, WIRE_CAPS, &h, NULL)
		           : wire_parse_hello(payload, &h, NULL);
		if (rc < 0)
			continue;
		inside(h.user, data, size);
		inside(h.auth, data, size);
		inside(h.db, data, size);
		inside(h.plugin, data, size);
	}
	return 0;
}

#include <stddef.h>
#include <stdint.h>

#include "lib/base/mem.h"
#include "lib/net/http_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autofree char *text = xstrndup((const char *)data, size);
	autofree char *user = NULL, *password = NULL;
	struct http_target t;
	if (http_target_parse(text, &t, NULL) == 0) {
		if (t.path.p[0] != '/' || strlen(t.path.p) != t.path.len)
			abort();
		for (size_t i = 0; i < t.n_params; i++)
			if (strlen(t.params[i].name) + strlen(t.params[i].value) > size)
				abort();
		http_target_free(&t);
	}
	if (http_basic_parse(text, &user, &password) && strchr(user, ':'))
		abort();
	return 0;
}

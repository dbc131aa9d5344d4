#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "scaler/sim/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A trace as a person hands it in; what is accepted is in order and inside of the limits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sim_trace t = { 0 };
	if (sim_trace_csv((struct str){ (const char *)data, size }, &t, NULL) != 0)
		return 0;
	for (size_t i = 0; i < t.n; i++)
		if (t.v[i].at_ms < 0 || t.v[i].service_ms < 1 || t.v[i].slots < 1 ||
		    t.v[i].slots > SIM_SLOTS_MAX || (i > 0 && t.v[i - 1].at_ms > t.v[i].at_ms))
			abort();
	sim_trace_free(&t);
	return 0;
}

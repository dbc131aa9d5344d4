/* What a CR says of itself, counted for /metrics: whoever changes its mind moves the gauge, so that nobody has to walk all. */
#include <string.h>

#include "lib/data/json.h"
#include "operator/observe/metrics.h"
#include "operator/reconcile/run_priv.h"

static bool says(const json_t *status, const char *type)
{
	size_t i;
	const json_t *c;
	json_array_foreach(json_object_get(status, "conditions"), i, c)
	{
		const char *t = data_get_str(c, "type"), *v = data_get_str(c, "status");
		if (t && v && strcmp(t, type) == 0)
			return strcmp(v, "True") == 0;
	}
	return false;
}

void reconcile_tally(struct record *rec, bool warehouse, const json_t *status)
{
	for (int c = 0; c < OBSERVE_CONDITIONS; c++) {
		bool now = status && says(status, OBSERVE_CONDITION_NAME[c]);
		if (now != rec->says[c])
			observe_condition_add(status ? warehouse : rec->warehouse,
			                      (enum observe_condition)c, now ? 1 : -1);
		rec->says[c] = now;
	}
	rec->warehouse = warehouse;
}

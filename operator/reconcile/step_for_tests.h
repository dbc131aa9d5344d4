/* For tests only: what every test of this room says of a step.
 *
 * Thread: a test's own. Ownership: what makes JSON hands it over. */
#ifndef ROOST_OPERATOR_RECONCILE_STEP_FOR_TESTS_H
#define ROOST_OPERATOR_RECONCILE_STEP_FOR_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"
#include "operator/reconcile/step.h"

/* 2027-01-15T08:00:00Z, a Friday. */
enum { NOW = 1800000000 };
#define NOW_MS ((json_int_t)NOW * 1000)

static inline json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct err err = ERR_INIT;
	if (data_json_parse(str_of(text), &j, &err) < 0)
		fail_msg("%s in %s", err.msg, text);
	return j;
}

static inline json_t *plan_of(const json_t *w)
{
	struct render_options options = { .volume_hash = true };
	json_t *plan = NULL;
	struct err err = ERR_INIT;
	if (reconcile_step(w, &options, &plan, &err) < 0)
		fail_msg("%s", err.msg);
	return plan;
}

/* Of a group: the templates are parsed once. */
static inline int setup(void **state)
{
	struct err err = ERR_INIT;
	(void)state;
	return render_init(&err);
}

/* The first write of that verb; name and kind may be NULL: any. */
static inline const json_t *write_like(const json_t *plan, const char *verb, const char *kind,
                                       const char *name)
{
	size_t i;
	const json_t *x;
	json_array_foreach(json_object_get(plan, "writes"), i, x)
	{
		if (strcmp(data_get_str(x, "verb"), verb) == 0 &&
		    (!kind || strcmp(data_get_str(x, "kind"), kind) == 0) &&
		    (!name || strcmp(data_get_str(x, "name"), name) == 0))
			return x;
	}
	return NULL;
}

static inline const char *condition(const json_t *plan, const char *type, const char *field)
{
	size_t i;
	const json_t *c;
	json_array_foreach(data_get(plan, "status.conditions"), i, c)
	{
		if (strcmp(data_get_str(c, "type"), type) == 0)
			return data_get_str(c, field);
	}
	return "";
}

static inline const json_t *event(const json_t *plan, const char *reason)
{
	size_t i;
	const json_t *e;
	json_array_foreach(json_object_get(plan, "events"), i, e)
	{
		if (strcmp(data_get_str(e, "reason"), reason) == 0)
			return e;
	}
	return NULL;
}

#endif

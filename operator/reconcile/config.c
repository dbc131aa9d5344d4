/* Restarting pods whose configuration changed: a digest of what needs a restart becomes an annotation of the pod
 * template, but only once it differs from the one that the set was first seen with. So taking a set over, or a
 * new version of this program, restarts nobody. */
#include <stdlib.h>
#include <string.h>

#include "lib/base/vec.h"
#include "lib/data/json.h"
#include "operator/reconcile/config_keys.h"
#include "operator/reconcile/step_priv.h"

#define FIRST "metadata.annotations.roost\\.io/config-first"
#define IN_TEMPLATE "spec.template.metadata.annotations.roost\\.io/config"
#define IN_POD "metadata.annotations.roost\\.io/config"

bool reconcile_restarts_on_change(const struct model_cluster *m, enum model_role role)
{
	const char *policy = data_get_str(m->part[role].spec, "configRestartPolicy");
	return policy ? strcmp(policy, "OnChange") == 0 : m->engine;
}

/* ---- the digest ---- */
typedef VEC(char *) lines_t;

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void key_lines(enum model_role role, struct str text, lines_t *out)
{
	struct str rest = text, line;
	while (str_split(&rest, '\n', &line)) {
		line = str_trim(line);
		size_t n = 0;
		while (n < line.len && line.p[n] != '=' && line.p[n] != ':')
			n++;
		if (line.len == 0 || line.p[0] == '#' || n == line.len)
			continue;
		char *key = str_dup(str_trim((struct str){ line.p, n }));
		if (!reconcile_key_is_dynamic(role, key)) {
			struct str value = model_conf_value(text, key);
			vec_push(out, xasprintf("%s=%.*s", key, (int)value.len, value.p));
		}
		free(key);
	}
}

/* Order, comments and what takes effect without a restart do not count; the last of a key does. */
static void digest_of(const struct step *s, enum model_role role, struct str conf, char out[17])
{
	const char *mounts =
		data_get_str(json_object_get(s->world, "mounts"), MODEL_ROLE_NAME[role]);
	lines_t lines = { 0 };
	json_t *list = json_array();
	key_lines(role, conf, &lines);
	if (lines.n > 0)
		qsort(lines.v, lines.n, sizeof(*lines.v), by_text);
	for (size_t i = 0; i < lines.n; i++) {
		if (i == 0 || strcmp(lines.v[i], lines.v[i - 1]) != 0)
			json_array_append_new(list, json_string(lines.v[i]));
	}
	for (size_t i = 0; i < lines.n; i++)
		free(lines.v[i]);
	vec_free(&lines);
	if (mounts)
		json_array_append_new(list, json_string(mounts));
	reconcile_digest(list, out);
	json_decref(list);
}

/* ---- the annotations ---- */
/* What the pods carry: the template's, or, where the set was just made anew, a pod's. */
static const char *carried(const struct step *s, enum model_role role, const json_t *live)
{
	size_t i;
	const json_t *pod;
	if (live)
		return data_get_str(live, IN_TEMPLATE);
	json_array_foreach(json_object_get(s->world, "pods"), i, pod)
	{
		const char *has =
			reconcile_pod_role(s, pod) == role ? data_get_str(pod, IN_POD) : NULL;
		if (has)
			return has;
	}
	return NULL;
}

void reconcile_config(struct step *s, enum model_role role, const json_t *live, json_t *desired)
{
	const char *conf = data_get_str(json_object_get(s->world, "conf"), MODEL_ROLE_NAME[role]);
	const char *has = carried(s, role, live);
	const char *first = data_get_str(live, FIRST);
	char now[17];
	/* Without the ConfigMap nothing is known: pods that run are not restarted into that. */
	bool known = !s->m->part[role].conf_map || (conf && *conf);
	if (!reconcile_restarts_on_change(s->m, role) || !known) {
		if (has)
			data_set(desired, IN_TEMPLATE, json_string(has));
		if (first)
			data_set(desired, FIRST, json_string(first));
		return;
	}
	digest_of(s, role, str_of(conf ? conf : ""), now);
	if (!first)
		first = now;
	data_set(desired, FIRST, json_string(first));
	if (has || strcmp(first, now) != 0)
		data_set(desired, IN_TEMPLATE, json_string(now));
}

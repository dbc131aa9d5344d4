/* Lists that server-side apply tells apart by a key: with the same key twice the server answers 500, names no field of the CR,
 * and is asked again and again. */
#include <errno.h>
#include <string.h>

#include "lib/data/json.h"
#include "operator/render/render.h"

enum { FEW = 32 };

static const struct list {
	const char *path, *key, *more; /* more: a second part of the key, or NULL */
	const char *hint;              /* where in the CR */
} lists[] = {
	{ "spec.ports", "port", "protocol", "service.ports, or ports of the configuration file" },
	{ "spec.template.spec.containers", "name", NULL,
	  "sidecars; StarRocks' own container has the first of the names" },
	{ "spec.template.spec.initContainers", "name", NULL, "initContainers" },
	{ "spec.template.spec.imagePullSecrets", "name", NULL, "imagePullSecrets" },
	{ "spec.template.spec.hostAliases", "ip", NULL, "hostAliases" },
	{ "spec.template.spec.topologySpreadConstraints", "topologyKey", "whenUnsatisfiable",
	  "topologySpreadConstraints" },
};
static const struct list of_container[] = {
	{ "ports", "containerPort", "protocol", "its ports, or ports of the configuration file" },
	{ "env", "name", NULL, "its env" },
	{ "volumeMounts", "mountPath", NULL, "its volumeMounts" },
	{ "resources.claims", "name", NULL, "its claims" },
};

static char *key_of(const json_t *item, const struct list *l)
{
	const json_t *a = data_get(item, l->key), *b = l->more ? data_get(item, l->more) : NULL;
	if (!a)
		return NULL;
	autofree char *x = data_json_text(a);
	autofree char *y = b ? data_json_text(b) : NULL;
	return y ? xasprintf("%s %s", x, y) : TAKE_PTR(x);
}

static bool same_key(const json_t *a, const json_t *b, const struct list *l)
{
	const json_t *x = data_get(a, l->key), *y = data_get(b, l->key);
	return x && y && json_equal(x, y) &&
	       (!l->more || json_equal(data_get(a, l->more), data_get(b, l->more)));
}

/* The second of two with the same key, or NULL. */
static const json_t *twin(const json_t *list, const struct list *l)
{
	size_t i, j, n = json_array_size(list);
	const json_t *item;
	if (n <= FEW) {
		for (i = 1; i < n; i++)
			for (j = 0; j < i; j++)
				if (same_key(json_array_get(list, i), json_array_get(list, j), l))
					return json_array_get(list, i);
		return NULL;
	}
	_cleanup_json_ json_t *seen = json_object();
	json_array_foreach((json_t *)(uintptr_t)list, i, item)
	{
		autofree char *key = key_of(item, l);
		if (key && json_object_get(seen, key))
			return item;
		if (key)
			json_object_set_new(seen, key, json_true());
	}
	return NULL;
}

static int check(const json_t *object, const struct list *l, const char *whose, struct err *err)
{
	const json_t *second = twin(data_get(object, l->path), l);
	autofree char *key = second ? key_of(second, l) : NULL;
	return key ? err_set(err, -EINVAL, "%stwo entries have the %s %s: see %s", whose, l->key,
	                     key, l->hint)
	           : 0;
}

int render_check_lists(const json_t *object, struct err *err)
{
	static const char *const kinds[] = { "containers", "initContainers" };
	const json_t *pod = data_get(object, "spec.template.spec");
	size_t i;
	const json_t *c;
	int rc = 0;
	for (size_t k = 0; rc == 0 && k < ARRAY_LEN(lists); k++)
		rc = check(object, &lists[k], "", err);
	for (size_t k = 0; rc == 0 && k < ARRAY_LEN(kinds); k++) {
		json_array_foreach(json_object_get(pod, kinds[k]), i, c)
		{
			const char *name = data_get_str(c, "name");
			autofree char *whose = xasprintf("container %s: ", name ? name : "");
			for (size_t j = 0; rc == 0 && j < ARRAY_LEN(of_container); j++)
				rc = check(c, &of_container[j], whose, err);
		}
	}
	return rc;
}

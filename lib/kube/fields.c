#include "lib/kube/fields.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

static bool same(const json_t *entry, const char *key, const char *text)
{
	const char *value = data_get_str(entry, key);
	return value && strcmp(value, text) == 0;
}

static bool entry_is(const json_t *entry, const struct kube_owner *who)
{
	const char *sub = data_get_str(entry, "subresource");
	return same(entry, "manager", who->manager) && same(entry, "operation", who->operation) &&
	       (!sub || !*sub);
}

/* The entry's fields in two parts: the kept annotations, and the rest. Either may come out NULL. */
static void split(const json_t *fields, const char *const *kept, json_t **ret_kept,
                  json_t **ret_rest)
{
	_cleanup_json_ json_t *mine = json_object();
	json_t *rest = json_deep_copy(fields);
	json_t *metadata = json_object_get(rest, "f:metadata");
	json_t *annotations = json_object_get(metadata, "f:annotations");
	for (size_t i = 0; kept && kept[i]; i++) {
		autofree char *key = xasprintf("f:%s", kept[i]);
		json_t *field = json_object_get(annotations, key);
		if (field) {
			json_object_set(mine, key, field);
			json_object_del(annotations, key);
		}
	}
	/* The map itself (".") is nobody's once its keys are gone. */
	if (json_object_size(annotations) == (json_object_get(annotations, ".") ? 1u : 0u))
		json_object_del(metadata, "f:annotations");
	if (json_object_size(metadata) == 0)
		json_object_del(rest, "f:metadata");
	*ret_kept = json_object_size(mine)
	                    ? json_pack("{s:{s:O}}", "f:metadata", "f:annotations", mine)
	                    : NULL;
	*ret_rest = json_object_size(rest) ? rest : NULL;
	if (!*ret_rest)
		json_decref(rest);
}

bool kube_fields_owned(const json_t *object, const struct kube_owner *who, const char *const *kept)
{
	size_t i;
	const json_t *entry;
	json_array_foreach(data_get(object, "metadata.managedFields"), i, entry)
	{
		_cleanup_json_ json_t *stays = NULL, *rest = NULL;
		if (!entry_is(entry, who))
			continue;
		split(json_object_get(entry, "fieldsV1"), kept, &stays, &rest);
		if (rest)
			return true;
	}
	return false;
}

static json_t *entry_with(const json_t *like, const struct kube_owner *who, json_t *fields)
{
	json_t *entry = json_deep_copy(like);
	json_object_set_new(entry, "manager", json_string(who->manager));
	json_object_set_new(entry, "operation", json_string(who->operation));
	json_object_set_new(entry, "fieldsV1", fields);
	return entry;
}

/* Adds to the entry that `who` has already; there is one for each manager, operation and apiVersion. */
static void give(json_t *entries, const json_t *like, const struct kube_owner *who, json_t *fields)
{
	size_t i;
	json_t *entry;
	const char *api = data_get_str(like, "apiVersion");
	json_array_foreach(entries, i, entry)
	{
		if (!entry_is(entry, who) || !api || !same(entry, "apiVersion", api))
			continue;
		json_object_update_recursive(json_object_get(entry, "fieldsV1"), fields);
		json_decref(fields);
		return;
	}
	json_array_append_new(entries, entry_with(like, who, fields));
}

json_t *kube_fields_move(const json_t *object, const struct kube_owner *from,
                         const struct kube_owner *to, const char *const *kept)
{
	json_t *ret = json_array();
	size_t i;
	const json_t *entry;
	const json_t *all = data_get(object, "metadata.managedFields");
	json_array_foreach(all, i, entry)
	{
		if (!entry_is(entry, from))
			json_array_append_new(ret, json_deep_copy(entry));
	}
	json_array_foreach(all, i, entry)
	{
		json_t *stays = NULL, *rest = NULL;
		if (!entry_is(entry, from))
			continue;
		split(json_object_get(entry, "fieldsV1"), kept, &stays, &rest);
		if (rest)
			give(ret, entry, to, rest);
		if (stays)
			json_array_append_new(ret, entry_with(entry, from, stays));
	}
	return ret;
}

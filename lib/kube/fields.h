/* Who owns which fields of an object: metadata.managedFields as server-side apply keeps them.
 *
 * Thread: safe, pure. Ownership: results are the caller's. An entry counts when it is of the object itself
 * (no subresource). `kept` names annotations (NULL-terminated, or NULL) that stay with their owner. */
#ifndef ROOST_KUBE_FIELDS_H
#define ROOST_KUBE_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

struct kube_owner {
	const char *manager, *operation; /* "Apply" or "Update" */
};

/* Whether `who` owns anything besides the kept annotations. */
bool kube_fields_owned(const json_t *object, const struct kube_owner *who, const char *const *kept);
/* The object's managedFields with what `from` owned, besides the kept annotations, in the hands of `to`. */
json_t *kube_fields_move(const json_t *object, const struct kube_owner *from,
                         const struct kube_owner *to, const char *const *kept);

#endif

/* What the headers of a Stream Load ask for, in the executor's words.
 *
 * Thread: plain values. What StarRocks knows and we do not do yet is refused by the header's name. */
#ifndef ROOST_ENGINE_NODE_LOAD_SPEC_H
#define ROOST_ENGINE_NODE_LOAD_SPEC_H

#include <jansson.h>

#include "lib/base/err.h"

enum { NODE_LABEL_MAX = 128, NODE_LOAD_DEFAULT_S = 600, NODE_LOAD_MAX_S = 259200 };

struct node_load_spec {
	char label[NODE_LABEL_MAX + 1]; /* "": the FE makes one */
	const char *format;             /* "csv" or "json" */
	int64_t timeout_ms;
	json_t *columns; /* names of the "columns" header; empty when there is none */
	json_t *options; /* of the executor's INPUT "file" */
};
/* header(arg, name): the header's text or NULL. -EINVAL names the header and what is allowed. */
int node_load_spec(const char *(*header)(void *arg, const char *name), void *arg,
                   struct node_load_spec *ret, struct err *err);
void node_load_spec_free(struct node_load_spec *s);

#endif

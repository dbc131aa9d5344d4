/* A task as it comes from the coordinator, checked field by field before anything is done with it.
 *
 * Thread: plain values. Ownership: `inputs` and `output` point into `body`. */
#ifndef ROOST_ENGINE_NODE_TASK_H
#define ROOST_ENGINE_NODE_TASK_H

#include <jansson.h>

#include "engine/store/spill.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

enum {
	NODE_INPUTS_MAX = 256,
	NODE_FILES_MAX = 100000, /* rowsets, objects or parts of one input */
	NODE_NAME_MAX = 1024,
	NODE_TASK_MS_MAX = 24 * 3600 * 1000,
};

struct node_task {
	struct store_attempt id;
	int64_t timeout_ms;
	json_t *body;
	const json_t *inputs, *output;
};
/* Takes a reference to message. -EINVAL names the wrong field and what is allowed. */
int node_task_decode(json_t *message, struct node_task *ret, struct err *err);
void node_task_free(struct node_task *t);

/* A heartbeat of the FE; fe is borrowed from the message. */
struct node_hello {
	int64_t cluster, node;
	const char *fe; /* "host:port" */
};
int node_hello_decode(const json_t *message, struct node_hello *ret, struct err *err);

/* An OUTPUT alone, as load/begin answers it. */
int node_output_check(const json_t *output, struct err *err);
/* "query/stage/task/attempt", as paths carry it. */
int node_attempt_parse(struct str path, struct store_attempt *ret, struct err *err);
/* "host:port", the host a name, an IPv4 or a bracketed IPv6 address. */
bool node_address_valid(const char *text);
/* A ROWSET {id, bytes, crc} of a tablet. */
int node_rowset_decode(const json_t *from, int64_t tablet, struct store_rowset *ret,
                       struct err *err);

#endif

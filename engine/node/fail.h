/* Why a request failed, in the words of engine/rpc.h, and the answers made of it.
 *
 * Thread: plain values. */
#ifndef ROOST_ENGINE_NODE_FAIL_H
#define ROOST_ENGINE_NODE_FAIL_H

#include <stdbool.h>

#include <jansson.h>

#include "engine/rpc.h"
#include "lib/base/err.h"
#include "lib/net/http_server.h"

enum { NODE_ADDR_MAX = 280 };

struct node_fail {
	const char *code; /* RPC_E_…; NULL while nothing failed */
	bool retryable;
	char message[ERR_MSG_MAX];
	int stage, task; /* RPC_E_INPUT_LOST: whose output, and where it was */
	char node[NODE_ADDR_MAX];
};

/* Fills f unless it says something already (the first failure counts); returns -1. */
int node_fail(struct node_fail *f, const char *code, bool retryable, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* From an err of the store, the cache or a call: its code decides what kind it is. */
int node_fail_err(struct node_fail *f, const struct err *err);
/* From an executor's or a peer's {"error":{code,message,retryable?}}; also when that is missing. */
int node_fail_json(struct node_fail *f, const json_t *reply, const char *who);

int node_fail_status(const struct node_fail *f);
char *node_fail_text(const struct node_fail *f); /* the JSON body, malloc'd */
void node_fail_answer(const struct node_fail *f, struct http_req *req);

/* Text that may hold anything (a cut character, bytes of a file) as a JSON string: what is not UTF-8 reads "?". */
json_t *node_json_text(const char *text);

/* The request's JSON object of a version that we read; answers by itself and returns NULL when it is not. */
json_t *node_message(struct http_req *req);

#endif

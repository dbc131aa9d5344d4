/* Inside the room: one Stream Load from its first byte to its answer.
 *
 * The transaction is begun before the body is taken, as StarRocks does: so a stranger's body never reaches the disk, and
 * a used label or an unknown table is told before gigabytes are sent.
 * Thread: the server's for the head, one of the begin pool's for begin, the server's for the body, one of the load
 * pool's for the rest; each hands over to the next. */
#ifndef ROOST_ENGINE_NODE_LOAD_H
#define ROOST_ENGINE_NODE_LOAD_H

#include "engine/node/load_spec.h"
#include "engine/node/node_priv.h"

struct node_load {
	struct node *node;
	struct http_req *req;
	char *db, *table, *user, *password;
	struct node_load_spec spec;
	struct node_ctx ctx; /* its fail, too */
	struct node_fail fail;
	pthread_mutex_t fail_lock;
	char *path; /* the body, in ctx.scratch */
	int fd;
	int64_t bytes;
	int64_t announced; /* Content-Length; 0: not said */
	int64_t start_ms, body_ms, read_ms, begin_ms, write_ms,
		commit_ms; /* monotonic, then durations */
	/* Of load/begin. */
	int64_t txn;
	bool open; /* begun, and neither committed nor aborted */
	char label[NODE_LABEL_MAX + 1], existing[32];
	json_t *columns, *output;
	/* Of the executor. */
	int64_t total, loaded, filtered, unselected;
	char *first_error;
	char error_file[RPC_ID_LEN + 1];
};

enum node_load_status {
	NODE_LOAD_SUCCESS,
	NODE_LOAD_PUBLISH_TIMEOUT,
	NODE_LOAD_LABEL_EXISTS,
	NODE_LOAD_FAIL,
};
/* Asks the front end, which checks user and password: NODE_LOAD_SUCCESS, _LABEL_EXISTS or _FAIL. */
enum node_load_status node_load_begin(struct node_load *l);
/* The rest of the transaction: write, commit or abort. */
enum node_load_status node_load_run(struct node_load *l);
void node_load_abort(struct node_load *l);
/* StarRocks' answer. */
char *node_load_answer(const struct node_load *l, enum node_load_status status);
/* Writes first_error where ErrorURL finds it. */
void node_load_keep_error(struct node_load *l);

#endif

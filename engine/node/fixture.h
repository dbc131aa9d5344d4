/* For tests: nodes in this process, and a front end that answers as it is told.
 *
 * Thread: the test's; the front end's handler runs on its server's thread and locks. Include it into one test file
 * only; with FIXTURE_REAL_EXEC defined the executors are roost-duck, else those of fake_exec.h. */
#ifndef ROOST_ENGINE_NODE_FIXTURE_H
#define ROOST_ENGINE_NODE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/node/fail.h"
#ifdef FIXTURE_REAL_EXEC
#include "engine/exchange/format.h"
#include "engine/exec/exec.h"
#include "engine/rpc.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"
#else
#include "engine/node/fake_exec.h"
#endif
#include "engine/node/node.h"
#include "engine/node/task.h"
#include "lib/net/http_client.h"
#include "lib/net/http_server.h"

#define QUERY "000000000000000000000000000000a1"
#define TOKEN "a-token-of-the-test"

struct fe { /* what it was asked, and what it is to say */
	struct http_server *server;
	pthread_mutex_t lock;
	char began[2048], committed[2048], aborted[1024], drained[256];
	int begins, commits, aborts;
	int fail_commits; /* so many commits are done but answered 500 */
	bool refuse_commit, label_exists, refuse_user;
	char replica[2][NODE_ADDR_MAX];
	char scratch[96]; /* a glob of the nodes' scratch folders */
	size_t spooled;   /* how many there were when a load was begun */
};

struct place {
	char root[64], token[96];
	struct node *nodes[2];
	struct fe fe;
	struct http_client *client;
};

static void fe_keep(char *to, size_t size, struct http_req *req)
{
	struct str body = http_req_body(req);
	(void)snprintf(to, size, "%.*s", STR_ARG(body));
}

static void fe_begin(struct fe *fe, struct http_req *req)
{
	glob_t found = { 0 };
	fe->begins++;
	fe->spooled = glob(fe->scratch, GLOB_NOSORT, NULL, &found) == 0 ? found.gl_pathc : 0;
	globfree(&found);
	fe_keep(fe->began, sizeof(fe->began), req);
	if (fe->refuse_user) {
		http_answer_json(req, 401,
		                 "{\"v\":1,\"error\":{\"code\":\"auth\",\"message\":"
		                 "\"Access denied\",\"retryable\":false}}");
		return;
	}
	if (fe->label_exists) {
		http_answer_json(req, 200,
		                 "{\"v\":1,\"outcome\":\"label_exists\",\"label\":\"l1\","
		                 "\"existing\":\"FINISHED\"}");
		return;
	}
	autofree char *answer = xasprintf(
		"{\"v\":1,\"txn\":77,\"label\":\"l1\",\"query\":\"" QUERY "\","
		"\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\",\"nullable\":true}],"
		"\"output\":{\"kind\":\"tablets\",\"table\":5,\"columns\":[{\"name\":\"a\","
		"\"type\":"
		"\"INTEGER\",\"nullable\":true}],\"distribution\":[\"a\"],\"tablets\":[{\"id\":11,"
		"\"bucket\":0,\"replicas\":[\"%s\",\"%s\"]}]}}",
		fe->replica[0], fe->replica[1]);
	http_answer_json(req, 200, answer);
}

static void fe_commit(struct fe *fe, struct http_req *req)
{
	fe->commits++;
	fe_keep(fe->committed, sizeof(fe->committed), req);
	if (fe->refuse_commit)
		http_answer_json(req, 400,
		                 "{\"v\":1,\"error\":{\"code\":\"sql\",\"message\":\"the "
		                 "transaction is unknown\",\"retryable\":false}}");
	else if (fe->fail_commits-- > 0)
		http_answer_json(req, 500, "{}");
	else
		http_answer_json(req, 200, "{\"v\":1,\"version\":2}");
}

static void fe_serve(void *arg, struct http_req *req)
{
	struct fe *fe = arg;
	struct str path = http_req_path(req);
	(void)pthread_mutex_lock(&fe->lock);
	if (str_ends(path, "/load/begin")) {
		fe_begin(fe, req);
	} else if (str_ends(path, "/load/commit")) {
		fe_commit(fe, req);
	} else {
		bool abort_ = str_ends(path, "/load/abort");
		fe->aborts += abort_;
		if (abort_)
			fe_keep(fe->aborted, sizeof(fe->aborted), req);
		else
			fe_keep(fe->drained, sizeof(fe->drained), req);
		http_answer_json(req, 200, "{\"v\":1}");
	}
	(void)pthread_mutex_unlock(&fe->lock);
}

static struct http_route fe_routes[] = {
	{ .method = "POST", .path = "/rpc/v1/*", .handler = fe_serve, .token = true }
};

static void fe_start(struct place *p)
{
	(void)pthread_mutex_init(&p->fe.lock, NULL);
	fe_routes[0].arg = &p->fe;
	const struct http_server_config config = {
		.listen = "127.0.0.1:0", .routes = fe_routes, .n_routes = 1, .token_file = p->token
	};
	assert_int_equal(http_server_start(&config, &p->fe.server, NULL), 0);
}

static void node_up(struct place *p, size_t i, enum node_role role)
{
	autofree char *storage = xasprintf("%s/node%zu", p->root, i);
	const struct node_config config = { .role = role,
		                            .bind_address = (char *)(uintptr_t)"127.0.0.1",
		                            .be_port = 9060,
		                            .storage_path = storage,
		                            .cache_bytes = 1 << 20,
		                            .mem_limit = 1 << 30,
		                            .slots = 2,
		                            .token_file = p->token,
		                            .load_max_bytes = 1000,
		                            .drain_timeout_ms = 3000,
		                            .drain_accept_ms = 100 };
	struct err err = ERR_INIT;
	if (node_start(&config, &p->nodes[i], &err) < 0)
		fail_msg("%s", err.msg);
}

struct answer {
	int status;
	json_t *json; /* may be NULL */
	char crc[64];
	char text[4096];
};

static void answer_free(struct answer *a)
{
	json_decref(a->json);
}
#define _answer_ __attribute__((cleanup(answer_free))) struct answer

/* One call with the token and, for the web port, root's credentials. */
static int call_with(struct http_client *client, const char *method, const char *url,
                     const char *const *headers, const char *body, struct answer *ret)
{
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	const struct http_call call = { .method = method,
		                        .url = url,
		                        .headers = headers,
		                        .bearer = headers ? NULL : TOKEN,
		                        .body = str_of(body),
		                        .by = deadline_in(30000) };
	*ret = (struct answer){ .status = 0 };
	int rc = http_call(client, &call, &reply, NULL);
	if (rc < 0)
		return rc;
	ret->status = reply.status;
	(void)snprintf(ret->crc, sizeof(ret->crc), "%s", reply.crc);
	(void)snprintf(ret->text, sizeof(ret->text), "%s", buf_cstr(&reply.body));
	(void)data_json_parse((struct str){ buf_cstr(&reply.body), reply.body.len }, &ret->json,
	                      NULL);
	return 0;
}

__attribute__((unused)) static struct answer rpc(struct place *p, size_t i, const char *method,
                                                 const char *path, const char *body)
{
	struct answer a;
	autofree char *url = xasprintf("http://127.0.0.1:%d%s", node_brpc_port(p->nodes[i]), path);
	assert_int_equal(call_with(p->client, method, url, NULL, body, &a), 0);
	return a;
}

static struct answer heartbeat(struct place *p, size_t i, int cluster)
{
	struct answer a;
	autofree char *url =
		xasprintf("http://127.0.0.1:%d/rpc/v1/heartbeat", node_heartbeat_port(p->nodes[i]));
	autofree char *body = xasprintf(
		"{\"v\":1,\"cluster_id\":%d,\"node_id\":%zu,\"fe\":\"127.0.0.1:%d\",\"ts\":1}",
		cluster, i + 1, http_server_port(p->fe.server));
	assert_int_equal(call_with(p->client, "POST", url, NULL, body, &a), 0);
	return a;
}

static int setup(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	(void)snprintf(p->root, sizeof(p->root), "/tmp/roost_node_XXXXXX");
	assert_non_null(mkdtemp(p->root));
	(void)snprintf(p->token, sizeof(p->token), "%s/token", p->root);
	assert_int_equal(fd_write_file(p->token, TOKEN "\n", strlen(TOKEN) + 1, 0600, NULL), 0);
	assert_int_equal(http_client_new(NULL, &p->client, NULL), 0);
	(void)snprintf(p->fe.scratch, sizeof(p->fe.scratch), "%s/node*/spill/work/*", p->root);
	fe_start(p);
#ifndef FIXTURE_REAL_EXEC
	atomic_store(&fake.runs, 0);
	atomic_store(&fake.wait_ms, 0);
	atomic_store(&fake.fail_next, 0);
	atomic_store(&fake.no_rows, 0);
#endif
	for (size_t i = 0; i < 2; i++) {
		node_up(p, i, NODE_BE);
		_answer_ a = heartbeat(p, i, 9);
		assert_int_equal(a.status, 200);
		(void)snprintf(p->fe.replica[i], NODE_ADDR_MAX, "127.0.0.1:%d",
		               node_brpc_port(p->nodes[i]));
	}
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	http_client_free(p->client);
	for (size_t i = 0; i < 2; i++)
		node_stop(p->nodes[i]);
	http_server_stop(p->fe.server, 100);
	(void)pthread_mutex_destroy(&p->fe.lock);
	(void)fd_rm_rf(p->root, NULL);
	free(p);
	return 0;
}

#endif

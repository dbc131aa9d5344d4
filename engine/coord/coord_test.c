/* coord_run() against workers that are stubs in this process, with faults on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/admit/admit.h"
#include "engine/coord/coord.h"
#include "engine/exchange/format.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"
#include "lib/net/http_server.h"

enum { NODES = 4, HELD_MAX = 16, BROKEN = NODES - 1 };

enum fault { OK, NOT_JSON, DRAINING, CRASHED, LOST, RETRYABLE, FATAL, SQL, OOM, HANG, LOST_RESULT };

struct rule { /* the fault of a task on its first `times` attempts */
	int stage, task;
	enum fault fault;
	int times;
};

struct world {
	pthread_mutex_t lock;
	struct http_server *servers[NODES];
	char address[NODES][32];
	const struct rule *rules;
	size_t n_rules;
	int hits[4]; /* by rule */
	int attempts, deletes, fetches, replayed /* producers run again before their consumer */;
	struct http_req *held[HELD_MAX];
	int n_held;
	int closer; /* a listener that closes every connection: node BROKEN */
	pthread_t closer_thread;
};

struct stub {
	struct world *w;
	int node;
};
static struct stub stubs[NODES];
static struct world world;

static enum fault find_fault(struct world *w, int64_t stage, int64_t task)
{
	for (size_t i = 0; i < w->n_rules; i++) {
		const struct rule *r = &w->rules[i];
		if (r->stage == stage && r->task == task && w->hits[i] < r->times) {
			w->hits[i]++;
			return r->fault;
		}
	}
	return OK;
}

static void refuse(struct http_req *req, const char *code, const char *message, bool retryable,
                   json_t *input)
{
	_cleanup_json_ json_t *e =
		json_pack("{s:i, s:{s:s, s:s, s:b}}", "v", RPC_VERSION, "error", "code", code,
	                  "message", message, "retryable", retryable);
	if (input)
		json_object_set_new(e, "input", input);
	autofree char *text = data_json_text(e);
	http_answer_json(req, 500, text);
}

static void answer_task(struct world *w, struct http_req *req, const json_t *task, enum fault f)
{
	const json_t *part = data_get(task, "inputs.0.parts.0");
	switch (f) {
	case NOT_JSON:
		http_answer(req, 502, "text/plain", STR_LIT("a proxy's page"));
		return;
	case DRAINING:
		refuse(req, RPC_E_DRAINING, "draining", true, NULL);
		return;
	case CRASHED:
		refuse(req, RPC_E_CRASHED, "the executor died", true, NULL);
		return;
	case LOST:
		refuse(req, RPC_E_INPUT_LOST, "no such exchange", true,
		       json_pack("{s:I, s:I, s:s}", "stage",
		                 (json_int_t)data_get_int(part, "stage", -1), "task",
		                 (json_int_t)data_get_int(part, "task", -1), "node",
		                 data_get_str(part, "addr")));
		return;
	case RETRYABLE:
	case FATAL:
		refuse(req, RPC_E_INTERNAL, "disk trouble", f == RETRYABLE, NULL);
		return;
	case SQL:
		refuse(req, RPC_E_SQL, "Conversion Error: x", false, NULL);
		return;
	case OOM:
		refuse(req, RPC_E_OOM, "Memory of query exceed limit.", false, NULL);
		return;
	case HANG:
		http_hold(req);
		w->held[w->n_held++] = req;
		return;
	case OK:
	case LOST_RESULT:
		break;
	}
	/* A consumer's input names the newest attempts. */
	w->replayed += data_get_int(part, "attempt", 0) > 0;
	http_answer_json(
		req, 200,
		"{\"v\":1,\"rows\":3,\"bytes\":30,\"partitions\":[{\"rows\":3,\"bytes\":30}],"
		"\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"stats\":{}}");
}

static void on_task(void *arg, struct http_req *req)
{
	struct stub *s = arg;
	struct err err = ERR_INIT;
	_cleanup_json_ json_t *task = NULL;
	if (data_json_parse(http_req_body(req), &task, &err) < 0) {
		http_answer_error(req, 400, "%s", err.msg);
		return;
	}
	int64_t stage = data_get_int(task, "stage", -1);
	int64_t number = data_get_int(task, "task", -1);
	pthread_mutex_lock(&s->w->lock);
	s->w->attempts++;
	answer_task(s->w, req, task, find_fault(s->w, stage, number));
	pthread_mutex_unlock(&s->w->lock);
}

static void on_delete(void *arg, struct http_req *req)
{
	struct stub *s = arg;
	pthread_mutex_lock(&s->w->lock);
	s->w->deletes++;
	pthread_mutex_unlock(&s->w->lock);
	http_answer_json(req, 200, "{\"v\":1}");
}

/* Three rows of one INTEGER column. */
static void on_exchange(void *arg, struct http_req *req)
{
	struct stub *s = arg;
	struct err err = ERR_INIT;
	struct xchg_column column = { (char *)(uintptr_t)"a", XCHG_INTEGER, 0, 0 };
	const int32_t values[] = { 7, 8, 9 };
	struct xchg_vector v = { .data = (const uint8_t *)values };
	struct xchg_block b = { 3, &v };
	const uint64_t *rows, *bytes;
	pthread_mutex_lock(&s->w->lock);
	s->w->fetches++;
	enum fault f = find_fault(s->w, -1, -1);
	pthread_mutex_unlock(&s->w->lock);
	if (f == LOST_RESULT) {
		refuse(req, RPC_E_INPUT_LOST, "gone", true, NULL);
		return;
	}
	int fd = memfd_create("x", 0);
	_cleanup_(xchg_writer_freep) struct xchg_writer *w = NULL;
	if (xchg_writer_new(fd, &column, 1, XCHG_LZ4, 1, &w, &err) < 0 ||
	    xchg_writer_block(w, 0, &b, &err) < 0 || xchg_writer_finish(w, &rows, &bytes, &err) < 0)
		http_answer_error(req, 500, "%s", err.msg);
	else
		http_answer_file(req, "application/octet-stream", dup(fd), 0,
		                 (uint64_t)lseek(fd, 0, SEEK_END));
	close(fd);
}

static void *close_all(void *arg)
{
	struct world *w = arg;
	for (;;) {
		int fd = accept(w->closer, NULL, NULL);
		if (fd < 0)
			return NULL;
		close(fd);
	}
}

static int world_start(void **state)
{
	(void)state;
	struct world *w = &world;
	pthread_mutex_init(&w->lock, NULL);
	for (int i = 0; i < BROKEN; i++) {
		stubs[i] = (struct stub){ w, i };
		static struct http_route routes[BROKEN][3];
		routes[i][0] = (struct http_route){ .method = "POST",
			                            .path = "/rpc/v1/tasks",
			                            .handler = on_task,
			                            .arg = &stubs[i] };
		routes[i][1] = (struct http_route){ .method = "DELETE",
			                            .path = "/rpc/v1/queries/*",
			                            .handler = on_delete,
			                            .arg = &stubs[i] };
		routes[i][2] = (struct http_route){ .method = "GET",
			                            .path = "/rpc/v1/exchange/*",
			                            .handler = on_exchange,
			                            .arg = &stubs[i] };
		struct http_server_config config = { .listen = "127.0.0.1:0",
			                             .routes = routes[i],
			                             .n_routes = 3 };
		struct err err = ERR_INIT;
		if (http_server_start(&config, &w->servers[i], &err) < 0)
			fail_msg("%s", err.msg);
		snprintf(w->address[i], sizeof(w->address[i]), "127.0.0.1:%d",
		         http_server_port(w->servers[i]));
	}
	struct sockaddr_in at = { .sin_family = AF_INET,
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	w->closer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->closer, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(w->closer, 8), 0);
	assert_int_equal(getsockname(w->closer, (struct sockaddr *)&at, &len), 0);
	snprintf(w->address[BROKEN], sizeof(w->address[BROKEN]), "127.0.0.1:%d",
	         ntohs(at.sin_port));
	return pthread_create(&w->closer_thread, NULL, close_all, w);
}

static int world_stop(void **state)
{
	(void)state;
	shutdown(world.closer, SHUT_RDWR);
	pthread_join(world.closer_thread, NULL);
	close(world.closer);
	for (int i = 0; i < BROKEN; i++)
		http_server_stop(world.servers[i], 1000);
	pthread_mutex_destroy(&world.lock);
	return 0;
}

static void set_rules(const struct rule *rules, size_t n)
{
	pthread_mutex_lock(&world.lock);
	world.rules = rules;
	world.n_rules = n;
	memset(world.hits, 0, sizeof(world.hits));
	world.attempts = world.deletes = world.fetches = world.replayed = 0;
	pthread_mutex_unlock(&world.lock);
}

static int attempts(void)
{
	pthread_mutex_lock(&world.lock);
	int n = world.attempts;
	pthread_mutex_unlock(&world.lock);
	return n;
}

static void answer_held(void)
{
	pthread_mutex_lock(&world.lock);
	while (world.n_held > 0)
		refuse(world.held[--world.n_held], RPC_E_CANCELLED, "late", true, NULL);
	pthread_mutex_unlock(&world.lock);
}

/* Stage 0: two tasks on nodes a and b; stage 1: one task on node c; others: who may stand in. */
static struct coord_dag *make_dag(size_t a, size_t b, size_t c, bool stand_ins)
{
	struct coord_dag *d = coord_dag_new();
	d->n_nodes = NODES;
	d->nodes = xcalloc(NODES, sizeof(*d->nodes));
	for (int i = 0; i < NODES; i++) {
		d->nodes[i] = (struct coord_node){ .id = i + 1, .role = META_BE };
		snprintf(d->nodes[i].rpc, sizeof(d->nodes[i].rpc), "%s", world.address[i]);
	}
	const size_t where[] = { a, b, c };
	for (int i = 0; i < 2; i++) {
		struct coord_stage *s = coord_dag_stage(d, META_BE);
		s->ast = json_object();
		s->output = json_pack("{s:s, s:i}", "kind", "exchange", "partitions", 1);
		for (int t = 0; t < (i ? 1 : 2); t++) {
			struct coord_task *task = coord_stage_task(s, where[i ? 2 : t]);
			task->others = xcalloc(NODES, sizeof(size_t));
			for (size_t n = 0; stand_ins && n < BROKEN; n++)
				if (n != task->node)
					task->others[task->n_others++] = n;
		}
	}
	coord_stage_link(&d->stages[1], 0, "__p");
	struct err err = ERR_INIT;
	assert_int_equal(coord_dag_finish(d, &err), 0);
	return d;
}

static struct coord *make_coord(void)
{
	struct coord *c = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(coord_new(&(struct coord_config){ .spool_dir = "/tmp" }, &c, &err), 0);
	return c;
}

static const char query_id[] = "0123456789abcdef0123456789abcdef";

static int run_once(struct coord *c, const struct coord_dag *d, int64_t ms,
                    bool (*cancelled)(void *), int64_t *ret_rows, struct err *err)
{
	/* It holds a slot of the first node; those of the others are taken task by task. */
	struct admit_node slots[NODES];
	for (int i = 0; i < NODES; i++)
		slots[i] = (struct admit_node){ i + 1, false, 1 };
	const int64_t first = 1;
	struct admit_request rq = { .be = &first, .n_be = 1, .by = deadline_in(20000) };
	struct admit *admit = NULL;
	struct admit_ticket *ticket = NULL;
	assert_int_equal(admit_new(&admit, err), 0);
	admit_set_nodes(admit, slots, NODES);
	assert_int_equal(admit_enter(admit, &rq, &ticket, err), 0);
	struct coord_job job = { .query_id = query_id,
		                 .by = deadline_in(ms),
		                 .ticket = ticket,
		                 .cancelled = cancelled };
	_cleanup_(xchg_reader_freep) struct xchg_reader *rows = NULL;
	_cleanup_json_ json_t *answer = NULL;
	int rc = coord_run(c, d, &job, &answer, &rows, err);
	/* Whatever became of it, each slot was given back: the next one gets all of them. */
	admit_leave(ticket);
	const int64_t all[] = { 1, 2, 3, 4 };
	rq = (struct admit_request){ .be = all, .n_be = NODES, .by = deadline_in(20000) };
	struct err none = ERR_INIT;
	assert_int_equal(admit_enter(admit, &rq, &ticket, &none), 0);
	admit_leave(ticket);
	admit_free(admit);
	*ret_rows = rows ? (int64_t)xchg_reader_rows(rows) : -1;
	if (rc == 0)
		assert_int_equal(data_get_int(answer, "rows", 0), 3);
	return rc;
}

static const struct {
	const char *name;
	size_t a, b, c;
	bool stand_ins;
	struct rule rule;
	int rc, attempts;
	const char *words;
} fault_cases[] = {
	{ "all is well", 0, 1, 0, true, { 9, 9, OK, 0 }, 0, 3, "" },
	{ "a proxy answers", 0, 1, 0, true, { 0, 1, NOT_JSON, 1 }, 0, 4, "" },
	{ "draining", 0, 1, 0, true, { 0, 1, DRAINING, 1 }, 0, 4, "" },
	{ "draining, nobody else",
	  0,
	  1,
	  0,
	  false,
	  { 0, 1, DRAINING, 1 },
	  COORD_REPLAN,
	  -1, /* the other task of the stage may or may not have been sent by then */
	  "draining" },
	{ "one crash", 0, 1, 0, true, { 1, 0, CRASHED, 1 }, 0, 4, "" },
	{ "two crashes", 0, 1, 0, true, { 1, 0, CRASHED, 2 }, SQL_ERR(1105), 4, "died" },
	{ "an input is lost", 0, 1, 0, true, { 1, 0, LOST, 1 }, 0, 5, "" },
	{ "and lost again", 0, 1, 0, true, { 1, 0, LOST, 3 }, 0, 9, "" },
	{ "and always", 0, 1, 0, true, { 1, 0, LOST, 99 }, SQL_ERR(1105), -1, "4 times" },
	{ "trouble of the worker", 0, 1, 0, true, { 0, 0, RETRYABLE, 2 }, 0, 5, "" },
	{ "lasting trouble", 0, 1, 0, true, { 0, 0, RETRYABLE, 99 }, SQL_ERR(1105), -1, "4 times" },
	{ "trouble for good", 0, 1, 0, true, { 0, 0, FATAL, 1 }, SQL_ERR(1105), -1, "disk" },
	{ "the statement's fault",
	  0,
	  1,
	  0,
	  true,
	  { 1, 0, SQL, 1 },
	  SQL_ERR(1064),
	  3,
	  "Conversion Error" },
	{ "memory", 0, 1, 0, true, { 0, 1, OOM, 1 }, 0, 4, "" },
	{ "memory, alone, too",
	  0,
	  1,
	  0,
	  true,
	  { 0, 1, OOM, 2 },
	  SQL_ERR(1064),
	  -1,
	  "exceed limit" },
	{ "connections break", 0, BROKEN, 0, true, { 9, 9, OK, 0 }, 0, 3, "" },
	{ "of the last stage", 0, 1, BROKEN, true, { 9, 9, OK, 0 }, 0, 3, "" },
	{ "and nobody else", 0, BROKEN, 0, false, { 9, 9, OK, 0 }, COORD_REPLAN, -1, "connection" },
	{ "the result is lost", 0, 1, 0, true, { -1, -1, LOST_RESULT, 1 }, 0, 4, "" },
};

static void faults_cost_time_not_results(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fault_cases); i++) {
		/* Its own coordinator, whose end waits for its calls: a case does not count in the next. */
		_cleanup_(coord_freep) struct coord *c = make_coord();
		_cleanup_(coord_dag_freep) struct coord_dag *d =
			make_dag(fault_cases[i].a, fault_cases[i].b, fault_cases[i].c,
		                 fault_cases[i].stand_ins);
		struct err err = ERR_INIT;
		int64_t rows;
		set_rules(&fault_cases[i].rule, 1);
		int rc = run_once(c, d, 20000, NULL, &rows, &err);
		if (rc != fault_cases[i].rc || (rc == 0 && rows != 3) ||
		    !strstr(err.msg, fault_cases[i].words))
			fail_msg("%s: %d, %lld rows, %s", fault_cases[i].name, rc, (long long)rows,
			         err.msg);
		if (fault_cases[i].attempts >= 0 && attempts() != fault_cases[i].attempts)
			fail_msg("%s: %d attempts", fault_cases[i].name, attempts());
		if (fault_cases[i].rule.fault == LOST && rc == 0)
			assert_int_equal(world.replayed, 1);
	}
}

static void what_ended_is_dropped(void **state)
{
	(void)state;
	struct coord *c = make_coord();
	_cleanup_(coord_dag_freep) struct coord_dag *d = make_dag(0, 1, 2, true);
	struct err err = ERR_INIT;
	int64_t rows;
	set_rules(NULL, 0);
	assert_int_equal(run_once(c, d, 20000, NULL, &rows, &err), 0);
	coord_free(c); /* waits for its calls */
	assert_int_equal(world.deletes, 3);
	assert_int_equal(world.fetches, 1);
}

static void a_query_ends_in_time(void **state)
{
	(void)state;
	static const struct rule hang = { 0, 1, HANG, 99 };
	_cleanup_(coord_freep) struct coord *c = make_coord();
	_cleanup_(coord_dag_freep) struct coord_dag *d = make_dag(0, 1, 0, true);
	struct err err = ERR_INIT;
	int64_t rows, before = clock_mono_ms();
	set_rules(&hang, 1);
	assert_int_equal(run_once(c, d, 300, NULL, &rows, &err), SQL_ERR(3024));
	assert_true(clock_mono_ms() - before < 30000);
	answer_held();
}

static void a_node_with_one_slot_gets_one_task(void **state)
{
	(void)state;
	static const struct rule hang = { 0, 0, HANG, 99 };
	_cleanup_(coord_freep) struct coord *c = make_coord();
	_cleanup_(coord_dag_freep) struct coord_dag *d = make_dag(0, 0, 1, true);
	struct err err = ERR_INIT;
	int64_t rows;
	set_rules(&hang, 1);
	assert_int_equal(run_once(c, d, 1000, NULL, &rows, &err), SQL_ERR(3024));
	assert_int_equal(attempts(), 1); /* the other one waited */
	answer_held();
}

static bool after_a_while(void *arg)
{
	static int asked;
	(void)arg;
	return ++asked > 3;
}

static void a_client_that_left_ends_it(void **state)
{
	(void)state;
	static const struct rule hang = { 1, 0, HANG, 99 };
	_cleanup_(coord_freep) struct coord *c = make_coord();
	_cleanup_(coord_dag_freep) struct coord_dag *d = make_dag(0, 1, 0, true);
	struct err err = ERR_INIT;
	int64_t rows;
	set_rules(&hang, 1);
	assert_int_equal(run_once(c, d, 60000, after_a_while, &rows, &err), SQL_ERR(1317));
	answer_held();
}

static void a_dag_knows_its_slots(void **state)
{
	(void)state;
	_cleanup_(coord_dag_freep) struct coord_dag *a = make_dag(0, 1, 0, true);
	_cleanup_(coord_dag_freep) struct coord_dag *b = make_dag(1, 1, 0, true);
	assert_int_equal(a->slots_be, 2);
	assert_int_equal(b->slots_be, 1);
	assert_int_equal(a->slots_cn, 0);
	/* Where tasks run does not matter to a digest, what they do does. */
	assert_string_equal(a->stages[1].digest, b->stages[1].digest);
	assert_string_not_equal(a->stages[0].digest, a->stages[1].digest);
	json_object_set_new(b->stages[0].ast, "x", json_true());
	struct err err = ERR_INIT;
	assert_int_equal(coord_dag_finish(b, &err), 0);
	assert_string_not_equal(a->stages[1].digest, b->stages[1].digest);
}

static void a_fragment_has_a_depth(void **state)
{
	(void)state;
	_cleanup_(coord_dag_freep) struct coord_dag *d = make_dag(0, 1, 0, true);
	struct err err = ERR_INIT;
	for (int i = 0; i < 490; i++)
		d->stages[0].ast = json_pack("[o]", d->stages[0].ast);
	assert_int_equal(coord_dag_finish(d, &err), 0);
	for (int i = 0; i < 10; i++)
		d->stages[0].ast = json_pack("[o]", d->stages[0].ast);
	assert_int_equal(coord_dag_finish(d, &err), SQL_ERR(1064));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(faults_cost_time_not_results),
		cmocka_unit_test(what_ended_is_dropped),
		cmocka_unit_test(a_query_ends_in_time),
		cmocka_unit_test(a_node_with_one_slot_gets_one_task),
		cmocka_unit_test(a_client_that_left_ends_it),
		cmocka_unit_test(a_dag_knows_its_slots),
		cmocka_unit_test(a_fragment_has_a_depth),
	};
	return cmocka_run_group_tests(tests, world_start, world_stop);
}

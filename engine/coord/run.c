/* The life of one query: which task runs when, what its end means, and what is done again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/admit/admit.h"
#include "engine/coord/coord_priv.h"
#include "engine/exchange/format.h"
#include "engine/rpc.h"
#include "engine/sqlerr.h"
#include "lib/base/log.h"
#include "lib/data/json.h"

enum { TOKEN_MAX = 4096, SLACK_MS = 2000 /* a worker's own timeout comes first */ };

static size_t task_count(const struct coord_dag *d)
{
	size_t n = 0;
	for (size_t i = 0; i < d->n_stages; i++)
		n += d->stages[i].n_tasks;
	return n;
}

static void run_init(struct run *r)
{
	size_t at = 0;
	const struct coord_dag *d = r->d;
	r->tasks = xcalloc(task_count(d) + 1, sizeof(*r->tasks));
	r->first = xcalloc(d->n_stages + 1, sizeof(*r->first));
	r->gone = xcalloc(d->n_nodes + 1, sizeof(bool));
	r->closed = xcalloc(d->n_nodes + 1, sizeof(bool));
	r->used = xcalloc(d->n_nodes + 1, sizeof(bool));
	for (size_t s = 0; s < d->n_stages; s++) {
		r->first[s] = at;
		for (size_t i = 0; i < d->stages[s].n_tasks; i++)
			r->tasks[at++] = (struct run_task){ .stage = s,
				                            .task = i,
				                            .node = d->stages[s].tasks[i].node,
				                            .reply = HTTP_REPLY_INIT };
	}
}

static void run_free(struct run *r)
{
	size_t n = task_count(r->d);
	for (size_t i = 0; r->tasks && i < n; i++) {
		struct run_task *t = &r->tasks[i];
		json_decref(t->answer);
		free(t->url);
		free(t->body);
		http_reply_free(&t->reply);
	}
	free(r->tasks);
	free(r->first);
	free(r->gone);
	free(r->closed);
	free(r->used);
	http_reply_free(&r->fetched);
	buf_free(&r->token);
}

static bool stage_done(const struct run *r, size_t stage)
{
	for (size_t i = 0; i < r->d->stages[stage].n_tasks; i++) {
		if (r->tasks[r->first[stage] + i].state != TASK_DONE)
			return false;
	}
	return true;
}

static bool stage_ready(const struct run *r, size_t stage)
{
	const struct coord_stage *s = &r->d->stages[stage];
	for (size_t i = 0; i < s->n_links; i++) {
		if (!stage_done(r, s->links[i].stage))
			return false;
	}
	return true;
}

/* Whether somebody still has to read what the stage made. */
static bool stage_needed(const struct run *r, size_t stage)
{
	if (stage + 1 == r->d->n_stages)
		return true;
	for (size_t s = stage + 1; s < r->d->n_stages; s++) {
		for (size_t i = 0; i < r->d->stages[s].n_links; i++) {
			if (r->d->stages[s].links[i].stage == stage && !stage_done(r, s))
				return true;
		}
	}
	return false;
}

static void wait_again(struct run_task *t)
{
	t->state = TASK_WAITING;
	json_decref(t->answer);
	t->answer = NULL;
}

/* What it held is lost: its tasks that somebody still needs run again, later stages first. */
static void node_gone(struct run *r, size_t node)
{
	if (r->gone[node])
		return;
	r->gone[node] = true;
	coord_suspect(r->c, &r->d->nodes[node]);
	for (size_t s = r->d->n_stages; s-- > 0;) {
		for (size_t i = 0; i < r->d->stages[s].n_tasks; i++) {
			struct run_task *t = &r->tasks[r->first[s] + i];
			if (t->state == TASK_DONE && t->node == node && stage_needed(r, s))
				wait_again(t);
		}
	}
}

static bool reads_from(const struct run *r, const struct run_task *t, size_t stage)
{
	const struct coord_stage *s = &r->d->stages[t->stage];
	for (size_t i = 0; i < s->n_links; i++) {
		if (s->links[i].stage == stage)
			return true;
	}
	return false;
}

static void recall(struct run *r, struct run_task *t)
{
	if (t->state != TASK_RUNNING || t->recalled)
		return;
	t->recalled = true;
	http_batch_cancel(r->batch, t);
}

/* What runs on the node, and what elsewhere reads from it: neither's connection breaks. */
static void lose_silent(struct run *r, size_t node)
{
	size_t n = task_count(r->d);
	log_warn("query=%s node=%lld address=%s event=silent", r->job->query_id,
	         (long long)r->d->nodes[node].id, r->d->nodes[node].rpc);
	for (size_t i = 0; i < n; i++) {
		if (r->tasks[i].node != node)
			continue;
		recall(r, &r->tasks[i]);
		for (size_t k = 0; k < n && r->tasks[i].state == TASK_DONE; k++) {
			if (reads_from(r, &r->tasks[k], r->tasks[i].stage))
				recall(r, &r->tasks[k]);
		}
	}
	node_gone(r, node);
}

static void look_at_nodes(struct run *r)
{
	int64_t now = clock_mono_ms();
	if (now < r->look_ms)
		return;
	r->look_ms = now + COORD_LOOK_MS;
	for (size_t i = 0; i < r->d->n_nodes; i++) {
		if (r->used[i] && !r->gone[i] && coord_is_silent(r->c, &r->d->nodes[i]))
			lose_silent(r, i);
	}
}

static bool usable(const struct run *r, size_t node)
{
	return !r->gone[node] && !r->closed[node];
}

enum choice { CHOSEN, NO_SLOT, NOBODY };

/* Asks for a slot of the node; one that left the cluster, or drains, gets nothing new. */
static enum choice try_node(struct run *r, size_t node, size_t *ret)
{
	enum admit_task a = admit_task_begin(r->job->ticket, r->d->nodes[node].id);
	if (a == ADMIT_TASK_GONE)
		r->closed[node] = true;
	if (a != ADMIT_TASK_GO)
		return a == ADMIT_TASK_WAIT ? NO_SLOT : NOBODY;
	*ret = node;
	return CHOSEN;
}

/* Where the next attempt runs: where it was planned, else a stand-in, rather one with a free slot; after a failure rather
 * on another. */
static enum choice choose_node(struct run *r, const struct run_task *t, size_t *ret)
{
	const struct coord_task *plan = &r->d->stages[t->stage].tasks[t->task];
	enum choice best = NOBODY;
	for (size_t i = 0; i < plan->n_others + 1; i++) {
		size_t node = i == 0 ? plan->node : plan->others[i - 1];
		if (!usable(r, node) || (t->avoid && node == t->node))
			continue;
		enum choice now = try_node(r, node, ret);
		if (now == CHOSEN || (now == NO_SLOT && i == 0))
			return now;
		best = now == NO_SLOT ? now : best;
	}
	return best == NOBODY && usable(r, t->node) ? try_node(r, t->node, ret) : best;
}

static int launch(struct run *r, struct run_task *t)
{
	if (t->attempts >= RPC_ATTEMPTS_MAX)
		return err_set(r->err, SQL_ERR(1105), "task %zu.%zu failed %d times: %.400s",
		               t->stage, t->task, t->attempts, t->last.msg);
	enum choice choice = choose_node(r, t, &t->node);
	if (choice == NO_SLOT) {
		r->waits = true;
		return 0;
	}
	if (choice == NOBODY) {
		*r->err = t->last;
		return COORD_REPLAN;
	}
	t->attempts++;
	_cleanup_json_ json_t *request = coord_request(r, t);
	free(t->url);
	free(t->body);
	t->url = xasprintf("http://%s/rpc/v1/tasks", r->d->nodes[t->node].rpc);
	t->body = data_json_text(request);
	http_reply_free(&t->reply);
	t->reply = (struct http_reply)HTTP_REPLY_INIT;
	t->state = TASK_RUNNING;
	r->used[t->node] = true;
	t->call = (struct http_call){
		.method = "POST",
		.url = t->url,
		.bearer = r->token.len ? buf_cstr(&r->token) : NULL,
		.body = str_of(t->body),
		.content_type = "application/json",
		.by = { r->job->by.at_ms + SLACK_MS },
		.body_max = RPC_BODY_MAX,
	};
	if (t->attempts > 1)
		log_info("query=%s task=%zu.%zu attempt=%d node=%s event=retry reason=\"%s\"",
		         r->job->query_id, t->stage, t->task, t->attempts - 1,
		         r->d->nodes[t->node].rpc, t->last.msg);
	return http_batch_add(r->batch, &t->call, &t->reply, t, r->err);
}

static int launch_ready(struct run *r)
{
	r->waits = false;
	for (size_t s = 0; s < r->d->n_stages; s++) {
		if (!stage_ready(r, s))
			continue;
		for (size_t i = 0; i < r->d->stages[s].n_tasks; i++) {
			struct run_task *t = &r->tasks[r->first[s] + i];
			int rc = t->state == TASK_WAITING ? launch(r, t) : 0;
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

/* The task that the worker misses is run again, unless a newer attempt of it is there already. */
static void input_lost(struct run *r, const json_t *input)
{
	int64_t stage = data_get_int(input, "stage", -1), task = data_get_int(input, "task", -1);
	const char *node = data_get_str(input, "node");
	if (stage < 0 || (size_t)stage >= r->d->n_stages || task < 0 ||
	    (size_t)task >= r->d->stages[stage].n_tasks)
		return;
	struct run_task *t = &r->tasks[r->first[stage] + (size_t)task];
	if (t->state == TASK_DONE && (!node || strcmp(node, r->d->nodes[t->node].rpc) == 0)) {
		t->last = (struct err){ .code = SQL_ERR(1105), .msg = "its output was lost" };
		t->avoid = true; /* perhaps only workers cannot reach that node */
		wait_again(t);
	}
}

static int fail(struct run *r, int mysql_errno, const char *message)
{
	return err_set(r->err, SQL_ERR(mysql_errno), "%s", message);
}

/* An answer that is not 200: 0 when the task is to be tried again. */
static int task_refused(struct run *r, struct run_task *t)
{
	_cleanup_json_ json_t *answer = NULL;
	struct err err = ERR_INIT;
	struct str body = { buf_cstr(&t->reply.body), t->reply.body.len };
	if (data_json_parse(body, &answer, &err) < 0) {
		/* Not one of ours, or cut: as good as a broken connection. */
		err_set(&t->last, -EPROTO, "%s answered with status %d", r->d->nodes[t->node].rpc,
		        t->reply.status);
		return 0;
	}
	const json_t *e = json_object_get(answer, "error");
	const char *code = data_get_str(e, "code"), *message = data_get_str(e, "message");
	code = code ? code : RPC_E_INTERNAL;
	message = message ? message : "no message";
	err_set(&t->last, SQL_ERR(1105), "%s: %s", r->d->nodes[t->node].rpc, message);
	if (strcmp(code, RPC_E_SQL) == 0)
		return fail(r, 1064, message);
	if (strcmp(code, RPC_E_TIMEOUT) == 0)
		return fail(r, 3024, message);
	bool oom = strcmp(code, RPC_E_OOM) == 0;
	if (oom || strcmp(code, RPC_E_CRASHED) == 0)
		/* Perhaps another task was to blame: once more, alone, and there, where the executor is new. */
		return t->crashes++ ? fail(r, oom ? 1064 : 1105, message) : 0;
	t->avoid = strcmp(code, RPC_E_INPUT_LOST) != 0;
	if (strcmp(code, RPC_E_DRAINING) == 0) {
		r->closed[t->node] = true;
	} else if (strcmp(code, RPC_E_INPUT_LOST) == 0) {
		input_lost(r, json_object_get(answer, "input"));
	} else if (strcmp(code, RPC_E_CANCELLED) != 0 && !data_get_bool(e, "retryable", false)) {
		return fail(r, 1105, t->last.msg);
	}
	return 0;
}

static int task_ended(struct run *r, struct run_task *t, const struct http_done *done)
{
	t->state = TASK_WAITING;
	admit_task_end(r->job->ticket, r->d->nodes[t->node].id);
	if (t->recalled) {
		t->recalled = false;
		err_set(&t->last, SQL_ERR(1105), "%s, or where its input lies, is silent",
		        r->d->nodes[t->node].rpc);
		return 0;
	}
	if (done->rc < 0) {
		err_set(&t->last, SQL_ERR(1105), "connection to %s: %s", r->d->nodes[t->node].rpc,
		        done->err.msg);
		if (done->rc == -ETIMEDOUT && deadline_passed(r->job->by))
			return 0; /* the loop says so */
		if (done->rc == -E2BIG)
			return fail(r, 1105, t->last.msg);
		node_gone(r, t->node);
		return 0;
	}
	if (t->reply.status != 200)
		return task_refused(r, t);
	struct str body = { buf_cstr(&t->reply.body), t->reply.body.len };
	int rc = data_json_parse(body, &t->answer, &t->last);
	if (rc < 0)
		return 0;
	t->state = TASK_DONE;
	return 0;
}

static int check_time(struct run *r)
{
	if (r->job->cancelled && r->job->cancelled(r->job->arg))
		return fail(r, 1317, "Query execution was interrupted");
	if (deadline_passed(r->job->by))
		return fail(r, 3024, "Query exceeded its time limit (query_timeout)");
	return 0;
}

/* Until the last stage is done. */
static int run_stages(struct run *r)
{
	while (!stage_done(r, r->d->n_stages - 1)) {
		look_at_nodes(r);
		int rc = check_time(r);
		if (rc == 0)
			rc = launch_ready(r);
		if (rc != 0)
			return rc;
		struct http_done done;
		rc = http_batch_next(r->batch, deadline_in(COORD_TICK_MS), &done, r->err);
		if (rc < 0)
			return rc;
		if (rc == HTTP_BATCH_IDLE && r->waits)
			clock_sleep_ms(COORD_TICK_MS);
		else if (rc == HTTP_BATCH_IDLE)
			return err_set(r->err, -EIO, "a query with nothing left to run");
		if (rc == 0)
			rc = task_ended(r, done.tag, &done);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int run_result(struct run *r, json_t **ret_answer, struct xchg_reader **ret_rows)
{
	const struct coord_stage *last = &r->d->stages[r->d->n_stages - 1];
	struct run_task *t = &r->tasks[r->first[r->d->n_stages - 1]];
	bool rows =
		strcmp(json_string_value(json_object_get(last->output, "kind")), "exchange") == 0;
	for (;;) {
		int rc = run_stages(r);
		if (rc != 0)
			return rc;
		bool again = false;
		if (rows && ret_rows)
			rc = coord_fetch(r, t, ret_rows, &again);
		if (rc == 0)
			break;
		if (!again)
			return rc;
		t->last = *r->err;
		if (rc != -EIO && rc != -EBADMSG)
			node_gone(r, t->node);
		wait_again(t);
	}
	if (ret_answer)
		*ret_answer = json_incref(t->answer);
	return 0;
}

/* Gives back the slots of what still runs; true when nothing does. */
static bool all_quiet(const struct run *r)
{
	bool quiet = true;
	for (size_t i = 0; i < task_count(r->d); i++) {
		if (r->tasks[i].state != TASK_RUNNING)
			continue;
		quiet = false;
		admit_task_end(r->job->ticket, r->d->nodes[r->tasks[i].node].id);
	}
	return quiet;
}

int coord_run(struct coord *c, const struct coord_dag *d, const struct coord_job *job,
              json_t **ret_answer, struct xchg_reader **ret_rows, struct err *err)
{
	struct err own = ERR_INIT;
	struct run r = {
		.c = c, .d = d, .job = job, .err = err ? err : &own, .token = BUF_INIT(TOKEN_MAX)
	};
	if (ret_rows)
		*ret_rows = NULL;
	if (d->n_stages == 0)
		return err_set(r.err, -EINVAL, "a plan without stages");
	int rc = coord_token(c, &r.token, r.err);
	if (rc == 0)
		rc = coord_take_batch(c, &r.batch, r.err);
	if (rc < 0) {
		buf_free(&r.token);
		return rc;
	}
	run_init(&r);
	rc = run_result(&r, ret_answer, ret_rows);
	/* What still runs is broken off; the DELETE that follows ends it on the worker as well. */
	bool quiet = all_quiet(&r);
	if (rc == 0 && quiet)
		coord_give_batch(c, r.batch);
	else
		http_batch_free(r.batch);
	coord_forget(c, job->query_id, d, r.used);
	run_free(&r);
	return rc;
}

#include "engine/node/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

static const struct {
	const char *code;
	int status;
	bool retryable;
} kinds[] = {
	{ RPC_E_SQL, 400, false },       { RPC_E_OOM, 507, false },
	{ RPC_E_CANCELLED, 409, false }, { RPC_E_TIMEOUT, 504, false },
	{ RPC_E_DRAINING, 503, true },   { RPC_E_INPUT_LOST, 404, true },
	{ RPC_E_CRASHED, 502, true },    { RPC_E_CLUSTER, 409, false },
	{ RPC_E_AUTH, 401, false },      { RPC_E_INTERNAL, 500, false },
};

static size_t kind_of(const char *code)
{
	size_t i = 0;
	while (i + 1 < ARRAY_LEN(kinds) && (!code || strcmp(kinds[i].code, code) != 0))
		i++;
	return i; /* what is not known is internal */
}

int node_fail(struct node_fail *f, const char *code, bool retryable, const char *fmt, ...)
{
	va_list args;
	if (f->code)
		return -1;
	f->code = code;
	f->retryable = retryable;
	va_start(args, fmt);
	(void)vsnprintf(f->message, sizeof(f->message), fmt, args);
	va_end(args);
	return -1;
}

int node_fail_err(struct node_fail *f, const struct err *err)
{
	switch (err->code) {
	case -ECANCELED:
		return node_fail(f, RPC_E_CANCELLED, false, "%s", err->msg);
	case -ETIMEDOUT:
		return node_fail(f, RPC_E_TIMEOUT, false, "%s", err->msg);
	case -EINVAL:
	case -EACCES:
		return node_fail(f, RPC_E_INTERNAL, false, "%s", err->msg);
	default:
		return node_fail(f, RPC_E_INTERNAL, true, "%s", err->msg);
	}
}

int node_fail_json(struct node_fail *f, const json_t *reply, const char *who)
{
	const char *code = reply ? data_get_str(reply, "error.code") : NULL;
	const char *message = reply ? data_get_str(reply, "error.message") : NULL;
	size_t kind = kind_of(code);
	bool retryable = kinds[kind].retryable;
	if (!code)
		return node_fail(f, RPC_E_INTERNAL, true, "%s failed without a reason", who);
	return node_fail(f, kinds[kind].code, data_get_bool(reply, "error.retryable", retryable),
	                 "%s", message ? message : code);
}

int node_fail_status(const struct node_fail *f)
{
	return kinds[kind_of(f->code)].status;
}

json_t *node_json_text(const char *text)
{
	json_t *j = json_string(text);
	if (j)
		return j;
	autofree char *plain = xstrdup(text);
	for (char *p = plain; *p; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	return json_string(plain);
}

char *node_fail_text(const struct node_fail *f)
{
	_cleanup_json_ json_t *body =
		json_pack("{s:i, s:{s:s, s:b}}", "v", RPC_VERSION, "error", "code",
	                  f->code ? f->code : RPC_E_INTERNAL, "retryable", (int)f->retryable);
	(void)json_object_set_new(json_object_get(body, "error"), "message",
	                          node_json_text(f->message));
	if (f->node[0])
		(void)json_object_set_new(body, "input",
		                          json_pack("{s:i, s:i, s:s}", "stage", f->stage, "task",
		                                    f->task, "node", f->node));
	return data_json_text(body);
}

void node_fail_answer(const struct node_fail *f, struct http_req *req)
{
	autofree char *text = node_fail_text(f);
	if (strcmp(f->code ? f->code : "", RPC_E_DRAINING) == 0)
		http_answer_header(req, "Retry-After", "1");
	http_answer_json(req, node_fail_status(f), text);
}

json_t *node_message(struct http_req *req)
{
	struct node_fail fail = { .code = NULL };
	struct err err = ERR_INIT;
	json_t *message = NULL;
	if (data_json_parse(http_req_body(req), &message, &err) < 0) {
		(void)node_fail(&fail, RPC_E_INTERNAL, false, "body: %s", err.msg);
	} else {
		int64_t v = data_get_int(message, "v", -1);
		if (json_is_object(message) && v >= RPC_VERSION - 1 && v <= RPC_VERSION && v >= 0)
			return message;
		json_decref(message);
		(void)node_fail(&fail, RPC_E_INTERNAL, false,
		                "message version %lld: this node reads %d and %d", (long long)v,
		                RPC_VERSION - 1, RPC_VERSION);
	}
	node_fail_answer(&fail, req);
	return NULL;
}

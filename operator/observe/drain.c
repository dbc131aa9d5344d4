/* Compute nodes that are to leave get no more work: POST /api/roost/drain of each FE, since each keeps marks of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/data/json.h"
#include "operator/observe/ask_priv.h"
#include "operator/observe/metrics.h"

enum { CALL_MS = 1000, URL_MAX = 64 * 1024 };

int64_t observe_cached_bytes(const char *text)
{
	static const char units[] = "KMGTP";
	const char *at = text ? strstr(text, "DiskUsage: ") : NULL;
	char *end = NULL;
	double n = at ? strtod(at + 11, &end) : 0;
	if (!at || end == at + 11 || !(n >= 0))
		return 0;
	const char *unit = *end ? strchr(units, *end) : NULL;
	for (const char *u = units; unit && u <= unit; u++)
		n *= 1024;
	return n < 1e15 ? (int64_t)n : INT64_C(1000000000000000);
}

/* The token that FE, BE and CN of the cluster share. */
static char *token_of(struct ask *a)
{
	autofree char *name = xasprintf("%s-roost-token", data_get_str(a->target, "name"));
	char *secret = observe_secret(a, name, "token");
	char *token = secret ? str_dup(str_trim(str_of(secret))) : NULL;
	mem_free_secret(secret);
	return token;
}

static int url_of(const struct ask *a, const json_t *intent, const char *fe, struct buf *out)
{
	size_t i;
	const json_t *node;
	buf_adds(out, "http://");
	http_host_port(fe, (int)data_get_int(a->target, "http_port", 8030), out);
	buf_adds(out, "/api/roost/drain?node=");
	json_array_foreach(json_object_get(intent, "nodes"), i, node)
	{
		if (i)
			buf_addc(out, ',');
		http_url_encode(str_of(json_string_value(node)), false, out);
	}
	buf_addf(out, "&seconds=%lld", (long long)data_get_int(intent, "seconds", 0));
	return out->overflow ? -E2BIG : 0;
}

static void mark_at(struct ask *a, struct http_client *http, const json_t *intent, const char *fe,
                    const char *token)
{
	_cleanup_buf_ struct buf url = BUF_INIT(URL_MAX);
	_cleanup_http_reply_ struct http_reply reply = HTTP_REPLY_INIT;
	struct err err = ERR_INIT;
	if (url_of(a, intent, fe, &url) < 0)
		return;
	struct http_call call = {
		.method = "POST", .url = url.p, .bearer = token, .by = deadline_in(CALL_MS)
	};
	int rc = http_call(http, &call, &reply, &err);
	/* 404: none of them is there any more. */
	bool done = rc == 0 && (reply.status == 200 || reply.status == 404);
	observe_count(OBSERVE_SQL, "POST drain", done ? "ok" : "failed");
	if (!done)
		log_warn("cluster=%s/%s FE %s takes no drain mark: %s (HTTP %d)",
		         data_get_str(a->target, "ns"), data_get_str(a->target, "name"), fe,
		         rc ? err.msg : "refused", rc ? 0 : reply.status);
}

void observe_drain(struct ask *a, struct http_client *http, const json_t *intents)
{
	size_t i, j;
	const json_t *intent, *fe;
	char *token = NULL;
	json_array_foreach((json_t *)(uintptr_t)intents, i, intent)
	{
		const char *act = data_get_str(intent, "do");
		if (!act || strcmp(act, "drain") != 0 || !a->config->may_write(a->config->arg))
			continue;
		token = token ? token : token_of(a);
		json_array_foreach(json_object_get(intent, "fes"), j, fe)
			mark_at(a, http, intent, json_string_value(fe), token);
	}
	mem_free_secret(token);
}

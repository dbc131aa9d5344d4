#include "scaler/serve/serve.h"

#include <errno.h>

#include <jansson.h>

#include "lib/base/clock.h"
#include "lib/data/json.h"
#include "lib/net/prom.h"
#include "scaler/serve/query.h"
#include "scaler/serve/scribe.h"

enum { METRICS_MAX = 64 * 1024 * 1024, KEY_MAX = 800, ROUTES = 6, GRACE_MS = 1000 };
#define RETRY_AFTER_S "1"

struct serve {
	struct http_server *server;
	struct serve_pools *pools;
	struct serve_scribe *scribe; /* for what walks through all pools */
	struct http_route routes[ROUTES];
};

/* ---- a pool ----------------------------------------------------------------------------------- */

/* "{ns}/clusters/{cluster}/pools/{pool}" to "ns/cluster/pool". */
static bool pool_key(struct str tail, char key[KEY_MAX])
{
	struct str part[6], rest = tail;
	size_t n = 0;
	while (n < 6 && str_split(&rest, '/', &part[n]))
		n++;
	if (n != 5 || rest.p || !str_eqs(part[1], "clusters") || !str_eqs(part[3], "pools") ||
	    !part[0].len || !part[2].len || !part[4].len || tail.len >= KEY_MAX)
		return false;
	(void)snprintf(key, KEY_MAX, "%.*s/%.*s/%.*s", STR_ARG(part[0]), STR_ARG(part[2]),
	               STR_ARG(part[4]));
	return true;
}

static void answer_pool(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	char key[KEY_MAX];
	_cleanup_buf_ struct buf out = BUF_INIT(SERVE_DOCUMENT_MAX);
	struct err err = ERR_INIT;
	if (!pool_key(http_req_tail(r), key)) {
		http_answer_error(r, 404, "the path is /v1/namespaces/{ns}/clusters/{c}/pools/{p}");
		return;
	}
	enum serve_found found = serve_pools_document(s->pools, key, &out, &err);
	if (found == SERVE_FRESH) {
		http_answer_header(r, "Cache-Control", "no-store");
		http_answer_json(r, 200, buf_cstr(&out));
	} else if (found == SERVE_UNKNOWN && serve_pools_are_complete(s->pools)) {
		http_answer_error(r, 404, "no such pool");
	} else {
		http_answer_header(r, "Retry-After", RETRY_AFTER_S);
		http_answer_error(r, 503, "%s",
		                  found == SERVE_STALE ? err.msg : "pools are being read");
	}
}

static void write_decisions(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	_cleanup_buf_ struct buf out = BUF_INIT(METRICS_MAX);
	serve_pools_decisions(s->pools, &out);
	http_answer_json(r, 200, buf_cstr(&out));
}

/* For the other replicas. */
static void answer_decisions(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	serve_scribe_hand(s->scribe, r, write_decisions, s);
}

/* ---- Prometheus ------------------------------------------------------------------------------- */

static void expose(void *arg, const struct serve_sample *s)
{
	struct buf *of = arg; /* each series */
	for (int i = 0; i < SERVE_SERIES; i++)
		if (s->known && (s->fresh || i == SERVE_AGE))
			prom_series(&of[i], serve_series_names[i], s->value[i], "namespace", s->ns,
			            "cluster", s->cluster, "pool", s->pool, NULL);
}

static void write_metrics(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	struct buf of[SERVE_SERIES];
	_cleanup_buf_ struct buf out = BUF_INIT(METRICS_MAX);
	for (int i = 0; i < SERVE_SERIES; i++) {
		of[i] = (struct buf)BUF_INIT(METRICS_MAX);
		prom_family(&of[i], serve_series_names[i], "gauge", serve_series_help[i]);
	}
	serve_pools_each(s->pools, expose, of);
	for (int i = 0; i < SERVE_SERIES; i++) {
		(void)buf_add(&out, of[i].p, of[i].len);
		buf_free(&of[i]);
	}
	http_answer(r, 200, "text/plain; version=0.0.4; charset=utf-8",
	            (struct str){ buf_cstr(&out), out.len });
}

static void answer_metrics(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	serve_scribe_hand(s->scribe, r, write_metrics, s);
}

struct lookup {
	const struct serve_query *query;
	enum serve_series series;
	json_t *result;
	size_t matched, stale;
	double now_s;
};

static void look_up(void *arg, const struct serve_sample *s)
{
	struct lookup *l = arg;
	char value[40];
	if (!serve_query_matches(l->query, s->ns, s->cluster, s->pool))
		return;
	l->matched++;
	if (!s->known || (!s->fresh && l->series != SERVE_AGE)) {
		l->stale++;
		return;
	}
	(void)snprintf(value, sizeof(value), "%.15g", s->value[l->series]);
	json_array_append_new(l->result, json_pack("{s:{s:s,s:s,s:s,s:s},s:[f,s]}", "metric",
	                                           "__name__", serve_series_names[l->series],
	                                           "namespace", s->ns, "cluster", s->cluster,
	                                           "pool", s->pool, "value", l->now_s, value));
}

static void answer_prom_error(struct http_req *r, int status, const char *type, const char *text)
{
	_cleanup_json_ json_t *j =
		json_pack("{s:s,s:s,s:s}", "status", "error", "errorType", type, "error", text);
	autofree char *json = j ? data_json_text(j) : xstrdup("{\"status\":\"error\"}");
	if (status == 503)
		http_answer_header(r, "Retry-After", RETRY_AFTER_S);
	http_answer_json(r, status, json);
}

/* false: it is answered, for it is none. */
static bool read_query(struct http_req *r, struct serve_query *q, enum serve_series *ret_series)
{
	const char *text = http_req_query(r, "query");
	struct err err = ERR_INIT;
	if (!text || serve_query_parse(str_of(text), q, &err) < 0) {
		answer_prom_error(r, 400, "bad_data",
		                  text ? err.msg : "the parameter query is missing");
		return false;
	}
	for (int i = 0; i < SERVE_SERIES; i++)
		if (str_eqs(q->name, serve_series_names[i])) {
			*ret_series = (enum serve_series)i;
			return true;
		}
	answer_prom_error(r, 400, "bad_data", "no such series");
	return false;
}

/* key: NULL when the query is not for one pool. */
static void answer_lookup(struct serve *s, struct http_req *r, const struct serve_query *q,
                          enum serve_series series, const char *key)
{
	struct lookup l = { .query = q,
		            .series = series,
		            .result = json_array(),
		            .now_s = (double)clock_real_ms() / 1000 };
	if (key)
		serve_pools_one(s->pools, key, look_up, &l);
	else
		serve_pools_each(s->pools, look_up, &l);
	/* An empty result would read as 0 to KEDA, and scale in. */
	if (l.matched == 0 || l.stale > 0) {
		json_decref(l.result);
		answer_prom_error(r, 503, "unavailable",
		                  l.matched ? "the load of a pool is not known now"
		                            : "no such pool");
		return;
	}
	_cleanup_json_ json_t *j = json_pack("{s:s,s:{s:s,s:o}}", "status", "success", "data",
	                                     "resultType", "vector", "result", l.result);
	autofree char *json = data_json_text(j);
	http_answer_json(r, 200, json);
}

static void write_query(void *arg, struct http_req *r)
{
	struct serve_query q;
	enum serve_series series;
	if (read_query(r, &q, &series))
		answer_lookup(arg, r, &q, series, NULL);
}

static void answer_query(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	char key[KEY_MAX];
	struct serve_query q;
	enum serve_series series;
	if (!read_query(r, &q, &series))
		return;
	if (serve_query_key(&q, key, sizeof(key)))
		answer_lookup(s, r, &q, series, key);
	else
		serve_scribe_hand(s->scribe, r, write_query, s);
}

/* ---- probes, start and stop ------------------------------------------------------------------- */

static void answer_health(void *arg, struct http_req *r)
{
	(void)arg;
	http_answer(r, 200, "text/plain", STR_LIT("ok\n"));
}

static void answer_ready(void *arg, struct http_req *r)
{
	struct serve *s = arg;
	if (serve_pools_are_complete(s->pools))
		http_answer(r, 200, "text/plain", STR_LIT("ok\n"));
	else
		http_answer(r, 503, "text/plain", STR_LIT("the list of pools is not read yet\n"));
}

/* By its digits: a name that begins like it may stand for any address. */
static bool loopback(const char *listen_on)
{
	struct str s = str_of(listen_on);
	size_t digits = strspn(listen_on, "0123456789.");
	return (str_starts(s, "127.") && listen_on[digits] == ':') || str_starts(s, "[::1]:") ||
	       str_starts(s, "localhost:");
}

int serve_start(const struct serve_config *config, struct serve **ret, struct err *err)
{
	if (!config->token_file && !config->client_ca && !loopback(config->listen))
		return err_set(
			err, -EINVAL,
			"listening on %s needs a token (tokenFile, --token-file) or --client-ca; "
			"without one only a loopback address is served",
			config->listen);
	bool token = config->token_file != NULL;
	struct serve *s = xcalloc(1, sizeof(*s));
	s->pools = config->pools;
	const struct http_route routes[ROUTES] = {
		{ .method = "GET",
		  .path = "/v1/namespaces/*",
		  .handler = answer_pool,
		  .token = token,
		  .arg = s },
		{ .method = "GET",
		  .path = "/v1/decisions",
		  .handler = answer_decisions,
		  .token = token,
		  .arg = s },
		{ .method = "GET",
		  .path = "/metrics",
		  .handler = answer_metrics,
		  .token = token,
		  .arg = s },
		{ .method = "GET",
		  .path = "/api/v1/query",
		  .handler = answer_query,
		  .token = token,
		  .arg = s },
		{ .method = "GET", .path = "/healthz", .handler = answer_health, .arg = s },
		{ .method = "GET", .path = "/readyz", .handler = answer_ready, .arg = s },
	};
	memcpy(s->routes, routes, sizeof(routes));
	struct http_server_config c = {
		.listen = config->listen,
		.routes = s->routes,
		.n_routes = ROUTES,
		.limits = { .connections = 4096,
		            .header_bytes = 8192,
		            .body_bytes = 1024,
		            .header_s = 5,
		            .body_s = 5,
		            .idle_s = 120 },
		.token_file = config->token_file,
		.tls_cert = config->tls_cert,
		.tls_key = config->tls_key,
		.client_ca = config->client_ca,
	};
	int rc = serve_scribe_start(&s->scribe, err);
	if (rc == 0)
		rc = http_server_start(&c, &s->server, err);
	if (rc < 0) {
		serve_scribe_free(s->scribe);
		free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

int serve_port(const struct serve *s)
{
	return http_server_port(s->server);
}

void serve_stop(struct serve *s)
{
	if (!s)
		return;
	serve_scribe_stop(s->scribe);
	http_server_stop(s->server, GRACE_MS);
	serve_scribe_free(s->scribe);
	free(s);
}

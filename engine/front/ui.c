/* The web page: three embedded files and the document that they show. */
#include "engine/front/front_priv.h"
#include "engine/meta/txn.h"
#include "lib/data/json.h"

#define EMBED(name, file)                                                         \
	__asm__(".section .rodata\n"                                              \
	        "front_" #name "_start:\n.incbin \"engine/front/web/" file "\"\n" \
	        "front_" #name "_end:\n.byte 0\n.previous\n");                    \
	extern const char front_##name##_start[], front_##name##_end[]

EMBED(index, "index.html");
EMBED(script, "app.js");
EMBED(style, "style.css");

static const struct {
	const char *path, *type;
	const char *start, *end;
} files[] = {
	{ "/", "text/html; charset=utf-8", front_index_start, front_index_end },
	{ "/web/app.js", "text/javascript; charset=utf-8", front_script_start, front_script_end },
	{ "/web/style.css", "text/css; charset=utf-8", front_style_start, front_style_end },
};

void front_page(void *arg, struct http_req *r)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!str_eqs(http_req_path(r), files[i].path))
			continue;
		http_answer_header(r, "Cache-Control", "no-cache");
		http_answer_header(r, "X-Content-Type-Options", "nosniff");
		http_answer_header(r, "Content-Security-Policy",
		                   "default-src 'none'; script-src 'self'; style-src 'self'; "
		                   "connect-src 'self'; img-src data:; frame-ancestors 'none'");
		http_answer(
			r, 200, files[i].type,
			(struct str){ files[i].start, (size_t)(files[i].end - files[i].start) });
		return;
	}
	http_answer_error(r, 404, "there is no such page");
}

/* A text that may have been cut inside a character: JSON takes whole ones only. */
static json_t *whole_text(const char *text)
{
	size_t len = strlen(text);
	json_t *j = json_stringn(text, len);
	for (size_t cut = 1; !j && cut < 4 && cut < len; cut++)
		j = json_stringn(text, len - cut);
	return j ? j : json_string("?");
}

static json_t *nodes_json(struct front *f)
{
	size_t n = 0;
	autofree struct cluster_node *nodes =
		cluster_list(f->config.cluster, 1U << META_BE | 1U << META_CN, &n);
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct cluster_node *d = &nodes[i];
		json_array_append_new(
			list,
			json_pack("{s:I, s:s, s:s, s:i, s:b, s:b, s:b, s:i, s:i, s:I, s:I, s:I, "
		                  "s:i, s:s, s:o}",
		                  "id", (json_int_t)d->id, "role", d->role == META_BE ? "BE" : "CN",
		                  "host", d->host, "port", d->heartbeat_port, "alive", d->alive,
		                  "draining", d->draining, "decommissioned", d->decommissioned,
		                  "slots", d->slots, "running", d->running, "tablets",
		                  (json_int_t)d->tablets, "mem_used", (json_int_t)d->mem_used,
		                  "mem_limit", (json_int_t)d->mem_limit, "cpu_cores", d->cpu_cores,
		                  "version", d->version, "error",
		                  whole_text(d->alive ? "" : d->error)));
	}
	return list;
}

/* sql: whether statements and users are shown. */
static json_t *queries_json(struct front *f, bool sql)
{
	autofree struct admit_query *queries = xcalloc(FRONT_QUERIES_SHOWN, sizeof(*queries));
	size_t n = admit_queries(f->config.admit, queries, FRONT_QUERIES_SHOWN);
	int64_t now = clock_real_ms();
	json_t *list = json_array();
	for (size_t i = 0; i < n; i++) {
		const struct admit_query *q = &queries[i];
		json_t *j =
			json_pack("{s:s, s:b, s:I, s:i}", "id", q->query_id, "pending", q->pending,
		                  "age_ms", (json_int_t)(now - q->since_ts), "slots", q->slots);
		if (sql) {
			json_object_set_new(j, "sql", whole_text(q->sql));
			json_object_set_new(j, "user", whole_text(q->user));
		}
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *document(struct front *f, bool sql)
{
	struct admit_load l;
	struct front_stats s = front_get_stats(f);
	int be = 0, cn = 0;
	admit_get_load(f->config.admit, &l);
	cluster_slots(f->config.cluster, &be, &cn);
	json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:b, s:b}", "name", f->config.name, "version",
	                      f->config.version, "now", (json_int_t)clock_real_ms(), "start",
	                      (json_int_t)f->start_ts, "draining", atomic_load(&f->draining), "sql",
	                      sql);
	json_object_set_new(j, "queue",
	                    json_pack("{s:i, s:i, s:f, s:i, s:i, s:i, s:i, s:I, s:I}", "pending",
	                              l.pending, "running", l.running, "oldest_wait_s",
	                              l.oldest_wait_s, "required_slots", l.required_slots,
	                              "running_slots_cn", l.running_slots_cn, "slots_be", be,
	                              "slots_cn", cn, "timeouts", (json_int_t)l.timeouts,
	                              "rejected", (json_int_t)l.rejected));
	json_object_set_new(j, "totals",
	                    json_pack("{s:I, s:I, s:I, s:f, s:f, s:I}", "connections",
	                              (json_int_t)s.connections, "queries", (json_int_t)s.queries,
	                              "errors", (json_int_t)s.query_errors, "p50_s",
	                              l.service_p50_s, "p95_s", l.service_p95_s, "loads",
	                              (json_int_t)meta_txn_running(f->config.meta)));
	json_object_set_new(j, "nodes", nodes_json(f));
	json_object_set_new(j, "queries", queries_json(f, sql));
	return j;
}

/* Without root's password the page is open, but shows neither statements nor users to one who has not signed in. */
void front_ui(void *arg, struct http_req *r)
{
	struct front *f = arg;
	autofree char *user = NULL;
	char *password = NULL;
	bool given = http_req_basic(r, &user, &password);
	bool signed_in = given && meta_password_ok(f->config.meta, user, password);
	mem_free_secret(password);
	bool open = meta_password_ok(f->config.meta, "root", "");
	bool asked = given || http_req_query(r, "login");
	if (!signed_in && (!open || asked)) {
		http_answer_header(r, "WWW-Authenticate", "Basic realm=\"roost\"");
		http_answer_error(r, 401, "sign in as a user of the database");
		return;
	}
	http_answer_header(r, "Cache-Control", "no-store");
	front_answer(r, 200, document(f, signed_in));
}

#include <errno.h>

#include "engine/front/front_priv.h"
#include "engine/meta/txn.h"
#include "lib/base/log.h"
#include "lib/data/json.h"
#include "lib/net/http_client.h"

enum { LOCATION_MAX = 4096 };

/* StarRocks' Stream Load answer, as clients parse it. */
static void refuse(struct http_req *r, int status, const char *message)
{
	const char *label = http_req_header(r, "label");
	front_answer(r, status,
	             json_pack("{s:i, s:s, s:s, s:s}", "TxnId", -1, "Label", label ? label : "",
	                       "Status", "Fail", "Message", message));
}

/* "{db}/{table}/_stream_load"; db and table point into the path. */
static bool parse_path(struct str tail, struct str *ret_db, struct str *ret_table)
{
	struct str verb, extra;
	return str_split(&tail, '/', ret_db) && str_split(&tail, '/', ret_table) &&
	       str_split(&tail, '/', &verb) && !str_split(&tail, '/', &extra) && ret_db->len > 0 &&
	       ret_table->len > 0 && str_eqs(verb, "_stream_load");
}

/* An alive worker that takes loads: BEs in turn, a CN where there is no BE. */
static bool choose(struct front *f, struct cluster_node *ret)
{
	size_t n = 0, best = 0;
	autofree struct cluster_node *nodes =
		cluster_list(f->config.cluster, 1U << META_BE | 1U << META_CN, &n);
	for (int role = META_BE; role <= META_CN; role++) {
		best = 0;
		for (size_t i = 0; i < n; i++)
			if (nodes[i].alive && !nodes[i].draining && (int)nodes[i].role == role)
				nodes[best++] = nodes[i];
		if (best) {
			*ret = nodes[atomic_fetch_add(&f->next_worker, 1) % best];
			return true;
		}
	}
	return false;
}

static int location(const struct cluster_node *to, struct str db, struct str table, struct buf *out)
{
	(void)buf_adds(out, "http://");
	(void)http_host_port(to->host, to->http_port, out);
	(void)buf_adds(out, "/api/");
	(void)http_url_encode(db, false, out);
	(void)buf_addc(out, '/');
	(void)http_url_encode(table, false, out);
	(void)buf_adds(out, "/_stream_load");
	return out->overflow ? -E2BIG : 0;
}

/* No byte of the body is read here: a client that sent Expect: 100-continue has not sent any. */
static void on_head(void *arg, struct http_req *r, void **state)
{
	struct front *f = arg;
	struct str db, table;
	autofree char *user = NULL;
	char *password = NULL;
	(void)state;
	if (!parse_path(http_req_tail(r), &db, &table)) {
		http_answer_error(r, 404, "PUT /api/{db}/{table}/_stream_load is what there is");
		return;
	}
	bool given = http_req_basic(r, &user, &password);
	bool ok = given && meta_password_ok(f->config.meta, user, password);
	mem_free_secret(password);
	if (!ok) {
		http_answer_header(r, "WWW-Authenticate", "Basic realm=\"roost\"");
		refuse(r, 401,
		       given ? "Access denied: wrong user or password"
		             : "Access denied: HTTP Basic credentials are needed");
		return;
	}
	struct cluster_node to;
	_cleanup_buf_ struct buf out = BUF_INIT(LOCATION_MAX);
	if (!choose(f, &to)) {
		http_answer_header(r, "Retry-After", "5");
		refuse(r, 503, "No alive backend or compute node in warehouse default_warehouse.");
	} else if (location(&to, db, table, &out) < 0) {
		refuse(r, 400, "the names of database and table are too long");
	} else {
		http_answer_header(r, "Location", buf_cstr(&out));
		http_answer(r, 307, "text/plain", (struct str){ "", 0 });
	}
}

static int on_piece(void *arg, struct http_req *r, void *state, const char *data, size_t len)
{
	(void)arg, (void)r, (void)state, (void)data, (void)len;
	return -1; /* answered at the head: never called */
}

static void on_end(void *arg, struct http_req *r, void *state)
{
	(void)arg, (void)r, (void)state;
}

static void on_free(void *arg, void *state)
{
	(void)arg, (void)state;
}

const struct http_stream front_stream_load = {
	.on_head = on_head,
	.on_piece = on_piece,
	.on_end = on_end,
	.on_free = on_free,
};

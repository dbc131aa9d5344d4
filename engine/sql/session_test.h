/* What session_test.c and show_test.c share: a session over a real catalog, with a cluster, a queue and a planner that
 * say what they were asked. Included once by each. */
#ifndef ROOST_ENGINE_SQL_SESSION_TEST_H
#define ROOST_ENGINE_SQL_SESSION_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/admit/admit.h"
#include "engine/cluster/cluster.h"
#include "engine/sql/connections.h"
#include "engine/sql/query.h"
#include "engine/sql/session.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"

/* The catalog is the real one; the cluster, the queue and the planner are these. */
static struct cluster_node nodes[8];
static size_t n_nodes;
static struct buf planned = BUF_INIT(1 << 20);

size_t cluster_nodes(struct cluster *c, unsigned roles, struct cluster_node *out, size_t max)
{
	size_t n = 0;
	(void)c;
	for (size_t i = 0; i < n_nodes && n < max; i++) {
		if (roles & 1u << nodes[i].role)
			out[n++] = nodes[i];
	}
	return n;
}

bool cluster_node(struct cluster *c, int64_t id, struct cluster_node *out)
{
	(void)c;
	for (size_t i = 0; i < n_nodes; i++) {
		if (nodes[i].id == id) {
			*out = nodes[i];
			return true;
		}
	}
	return false;
}

void cluster_kick(struct cluster *c)
{
	(void)c;
}

int cluster_can_decommission(struct cluster *c, int64_t node, struct err *err)
{
	(void)c;
	return node == 0 ? err_set(err, SQL_ERR(1064), "no") : 0;
}

size_t admit_queries(struct admit *a, struct admit_query *out, size_t max)
{
	(void)a;
	if (!max)
		return 0;
	*out = (struct admit_query){
		.query_id = "q1", .group = "default_wg", .pending = true, .slots = 2
	};
	return 1;
}

int sql_query_run(const struct sql_query_context *cx, struct str sql, enum sql_query_kind kind,
                  struct sql_sink *sink, struct err *err)
{
	buf_reset(&planned);
	(void)buf_addf(&planned, "%s|%s|%d|%.*s", cx->db, cx->user, kind, STR_ARG(sql));
	return sink->ok(sink, 0, "planned", err);
}

int sql_query_insert(const struct sql_query_context *cx, const char *db, const char *table,
                     const char *const *columns, size_t n, struct str query, const char *label,
                     uint64_t *ret_rows, struct err *err)
{
	(void)cx;
	(void)err;
	buf_reset(&planned);
	(void)buf_addf(&planned, "%s.%s|%zu%s|%.*s|%s", db, table, n, n ? columns[0] : "",
	               STR_ARG(query), strncmp(label, "insert_", 7) == 0 ? "made" : label);
	*ret_rows = 7;
	return 0;
}

/* A sink that writes what it hears: "a,b\n1,NULL\n" or "OK 7 info". */
struct text_sink {
	struct sql_sink sink;
	struct buf out;
};

static int on_columns(struct sql_sink *sink, const struct sql_column *columns, size_t n,
                      struct err *err)
{
	struct buf *b = &((struct text_sink *)sink)->out;
	(void)err;
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s%s", i ? "," : "", columns[i].name);
	return buf_addc(b, '\n');
}

static int on_row(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err)
{
	struct buf *b = &((struct text_sink *)sink)->out;
	(void)err;
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s%.*s", i ? "," : "", cells[i].p ? (int)cells[i].len : 4,
		               cells[i].p ? cells[i].p : "NULL");
	return buf_addc(b, '\n');
}

static int on_done(struct sql_sink *sink, struct err *err)
{
	(void)sink;
	(void)err;
	return 0;
}

static int on_ok(struct sql_sink *sink, uint64_t rows, const char *info, struct err *err)
{
	(void)err;
	return buf_addf(&((struct text_sink *)sink)->out, "OK %d %s", (int)rows, info ? info : "");
}

static bool on_cancelled(struct sql_sink *sink)
{
	(void)sink;
	return false;
}

struct fixture {
	char dir[64];
	struct sql_server server;
	struct sql_session *s;
};

static void add_node(enum meta_role role, int64_t id, bool alive)
{
	struct cluster_node *n = &nodes[n_nodes++];
	*n = (struct cluster_node){ .id = id,
		                    .role = role,
		                    .heartbeat_port = 9050,
		                    .be_port = 9060,
		                    .http_port = 8040,
		                    .brpc_port = 8060,
		                    .alive = alive,
		                    .cpu_cores = 4,
		                    .mem_limit = 2048,
		                    .mem_used = 512,
		                    .disk_total = 1000,
		                    .disk_avail = 500,
		                    .start_ts = 1700000000000,
		                    .last_heartbeat_ts = 1700000001000 };
	(void)snprintf(n->host, sizeof(n->host), "%s-%d.svc", role == META_BE ? "be" : "cn",
	               (int)id);
	(void)snprintf(n->version, sizeof(n->version), "v1");
	if (!alive)
		(void)snprintf(n->error, sizeof(n->error), "connection refused");
}

__attribute__((unused)) static char *ran(struct fixture *f, const char *sql)
{
	struct text_sink t = { .sink = { .columns = on_columns,
		                         .row = on_row,
		                         .done = on_done,
		                         .ok = on_ok,
		                         .cancelled = on_cancelled },
		               .out = BUF_INIT(1 << 20) };
	struct err err = ERR_INIT;
	int rc = sql_session_run(f->s, str_of(sql), &t.sink, &err);
	if (rc < 0) {
		buf_reset(&t.out);
		(void)buf_addf(&t.out, "error %d %s", sql_err_no(rc), err.msg);
	}
	return buf_take(&t.out);
}

__attribute__((unused)) static void check(struct fixture *f, const char *sql, const char *want)
{
	autofree char *got = ran(f, sql);
	bool prefix = strncmp(want, "error", 5) == 0;
	if (prefix ? strncmp(got, want, strlen(want)) : strcmp(got, want))
		fail_msg("%s\n got: %s\nwant: %s", sql, got, want);
}

__attribute__((unused)) static void check_has(struct fixture *f, const char *sql, const char *part)
{
	autofree char *got = ran(f, sql);
	if (!strstr(got, part))
		fail_msg("%s\n got: %s\nwant: …%s…", sql, got, part);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err = ERR_INIT;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-sql-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (meta_open(f->dir, &f->server.meta, &err) < 0)
		fail_msg("%s", err.msg);
	f->server.fe_host = "fe-0.svc";
	f->server.http_port = 8030;
	f->server.rpc_port = 9020;
	f->server.query_port = 9030;
	f->server.edit_log_port = 9010;
	f->server.start_ts = 1700000000000;
	f->server.version = "8.0.33-roost-0.1.0";
	f->server.connections = sql_connections_new();
	assert_int_equal(sql_session_new(&f->server, 7, "root", "10.0.0.1:555", &f->s, &err), 0);
	n_nodes = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	sql_session_free(f->s);
	sql_connections_free(f->server.connections);
	meta_close(f->server.meta);
	(void)fd_rm_rf(f->dir, NULL);
	free(f);
	buf_free(&planned);
	return 0;
}

#endif

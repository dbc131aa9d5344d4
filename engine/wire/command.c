#include "engine/wire/command.h"

#include <errno.h>

#include "engine/sql/lex.h"
#include "engine/wire/cell.h"
#include "engine/wire/handshake.h"
#include "engine/wire/result.h"

int wire_dispatch(struct wire_conn *c, struct str packet)
{
	struct err err = ERR_INIT;
	if (packet.len) {
		struct str payload = { packet.p + 1, packet.len - 1 };
		switch ((uint8_t)packet.p[0]) {
#define X(code, name) \
	case code:    \
		return wire_do_##name(c, payload);
			WIRE_COMMANDS(X)
#undef X
		default:
			break;
		}
	}
	(void)err_set(&err, SQL_ERR(1047), "Unknown command");
	return wire_send_failure(c, &err);
}

int wire_do_quit(struct wire_conn *c, struct str payload)
{
	(void)c;
	(void)payload;
	return -ESHUTDOWN;
}

int wire_do_ping(struct wire_conn *c, struct str payload)
{
	(void)payload;
	return wire_send_ok(c);
}

int wire_do_init_db(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	autofree char *db = str_dup(payload);
	if (sql_session_use(c->session, db, &err) < 0)
		return wire_send_failure(c, &err);
	return wire_send_ok(c);
}

static int run_one(struct wire_conn *c, struct str sql, bool binary, bool more, bool *ret_failed)
{
	struct err err = ERR_INIT;
	struct wire_result r;
	wire_result_init(&r, &c->io, c->session, c->caps, binary, more);
	int rc = sql_session_run(c->session, sql, &r.sink, &err);
	*ret_failed = rc < 0;
	rc = wire_result_end(&r, rc, &err);
	wire_result_free(&r);
	return rc;
}

int wire_do_query(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	struct str rest = payload, one, next;
	int have = sql_split(&rest, &one, &err);
	if (have == 0)
		have = err_set(&err, SQL_ERR(1065), "Query was empty");
	while (have > 0) {
		/* The result of one statement says whether another follows, so the next is cut first; an error in
		 * what follows is a result as well. */
		int follows = sql_split(&rest, &next, &err);
		if (follows && !(c->caps & WIRE_CAP_MULTI_STATEMENTS)) {
			size_t at = follows > 0 ? (size_t)(next.p - payload.p)
			                        : (size_t)(rest.p - payload.p);
			have = sql_syntax_error(payload, at, &err,
			                        "several statements, which the client did not ask "
			                        "to send (MULTI_STATEMENTS)");
			break;
		}
		bool failed = false;
		int rc = run_one(c, one, false, follows != 0, &failed);
		if (rc < 0 || failed || follows == 0)
			return rc;
		one = next;
		have = follows;
	}
	return wire_send_failure(c, &err);
}

/* COM_FIELD_LIST asks for definitions only: each row of SHOW COLUMNS becomes one. */
struct field_sink {
	struct sql_sink sink;
	struct wire_conn *conn;
};

static int field_columns(struct sql_sink *sink, const struct sql_column *columns, size_t n,
                         struct err *err)
{
	(void)sink;
	(void)columns;
	(void)n;
	(void)err;
	return 0;
}

static int field_row(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err)
{
	struct field_sink *f = (struct field_sink *)sink;
	autofree char *name = n && cells[0].p ? xstrndup(cells[0].p, cells[0].len) : xstrdup("");
	struct sql_column column = { .name = name, .type = SQL_TYPE_VARCHAR };
	wire_begin(&f->conn->io);
	wire_put_column(&f->conn->io.out, &column, true);
	return wire_end(&f->conn->io, err);
}

static int field_done(struct sql_sink *sink, struct err *err)
{
	struct field_sink *f = (struct field_sink *)sink;
	struct buf *out = &f->conn->io.out;
	wire_begin(&f->conn->io);
	if (f->conn->caps & WIRE_CAP_DEPRECATE_EOF)
		wire_put_ok(out, 0xfe, 0, WIRE_STATUS_AUTOCOMMIT, NULL);
	else
		wire_put_eof(out, WIRE_STATUS_AUTOCOMMIT);
	return wire_end(&f->conn->io, err);
}

static bool field_cancelled(struct sql_sink *sink)
{
	(void)sink;
	return false;
}

int wire_do_field_list(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	struct wire_cursor cursor = wire_cursor_of(payload);
	struct str table = wire_get_cstr(&cursor);
	_cleanup_buf_ struct buf sql = BUF_INIT(4096);
	(void)buf_adds(&sql, "SHOW COLUMNS FROM `");
	for (size_t i = 0; i < table.len; i++)
		(void)buf_adds(&sql, table.p[i] == '`' ? "``" : (char[]){ table.p[i], '\0' });
	(void)buf_addc(&sql, '`');
	struct field_sink f = { .sink = { .columns = field_columns,
		                          .row = field_row,
		                          .done = field_done,
		                          .cancelled = field_cancelled },
		                .conn = c };
	if (sql_session_run(c->session, (struct str){ buf_cstr(&sql), sql.len }, &f.sink, &err) < 0)
		return wire_send_failure(c, &err);
	return wire_flush(&c->io, NULL);
}

int wire_do_statistics(struct wire_conn *c, struct str payload)
{
	(void)payload;
	wire_begin(&c->io);
	(void)buf_addf(&c->io.out, "Uptime: %zu  Threads: %zu", wire_uptime_s(c->wire),
	               wire_connections(c->wire));
	return wire_end(&c->io, NULL) < 0 ? -EPIPE : wire_flush(&c->io, NULL);
}

int wire_do_process_kill(struct wire_conn *c, struct str payload)
{
	struct wire_cursor cursor = wire_cursor_of(payload);
	char sql[32];
	bool failed = false;
	(void)snprintf(sql, sizeof(sql), "KILL %u", (unsigned)wire_get_int(&cursor, 4));
	return run_one(c, str_of(sql), false, false, &failed);
}

int wire_do_change_user(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	struct wire_hello hello;
	struct str response;
	int rc = wire_parse_change_user(payload, c->caps, &hello, &err);
	if (rc < 0)
		return wire_send_failure(c, &err) < 0 ? -EPIPE : rc;
	autofree char *user = str_dup(hello.user);
	autofree char *db = str_dup(hello.db);
	rc = wire_ask_password(c, deadline_in(WIRE_HANDSHAKE_MS), &response, &err);
	if (rc == 0)
		rc = wire_login(c, user, response, &err);
	if (rc == 0 && db[0])
		rc = sql_session_use(c->session, db, &err);
	if (rc < 0) {
		(void)wire_send_failure(c, &err);
		return rc; /* whoever may not be that user is nobody now */
	}
	wire_conn_drop_stmts(c);
	return wire_send_ok(c);
}

int wire_do_reset_connection(struct wire_conn *c, struct str payload)
{
	(void)payload;
	wire_conn_drop_stmts(c);
	sql_session_reset(c->session);
	return wire_send_ok(c);
}

int wire_do_set_option(struct wire_conn *c, struct str payload)
{
	struct wire_cursor cursor = wire_cursor_of(payload);
	if (wire_get_int(&cursor, 2) == 0)
		c->caps |= WIRE_CAP_MULTI_STATEMENTS;
	else
		c->caps &= ~(uint32_t)WIRE_CAP_MULTI_STATEMENTS;
	wire_begin(&c->io);
	if (c->caps & WIRE_CAP_DEPRECATE_EOF)
		wire_put_ok(&c->io.out, 0xfe, 0, WIRE_STATUS_AUTOCOMMIT, NULL);
	else
		wire_put_eof(&c->io.out, WIRE_STATUS_AUTOCOMMIT);
	return wire_end(&c->io, NULL) < 0 ? -EPIPE : wire_flush(&c->io, NULL);
}

static struct wire_stmt *find_stmt(struct wire_conn *c, uint32_t id, size_t *ret_at)
{
	for (size_t i = 0; i < c->stmts.n; i++) {
		if (c->stmts.v[i]->id == id) {
			if (ret_at)
				*ret_at = i;
			return c->stmts.v[i];
		}
	}
	return NULL;
}

static int unknown_stmt(struct wire_conn *c, uint32_t id)
{
	struct err err = ERR_INIT;
	(void)err_set(&err, SQL_ERR(1243), "Unknown prepared statement handler (%u)", id);
	return wire_send_failure(c, &err);
}

static int send_prepared(struct wire_conn *c, const struct wire_stmt *s)
{
	/* The columns are told with each execution: they are not known before it is planned. */
	wire_begin(&c->io);
	(void)buf_addle(&c->io.out, 0, 1);
	(void)buf_addle(&c->io.out, s->id, 4);
	(void)buf_addle(&c->io.out, 0, 2);
	(void)buf_addle(&c->io.out, s->n_params, 2);
	(void)buf_addle(&c->io.out, 0, 1);
	(void)buf_addle(&c->io.out, 0, 2);
	int rc = wire_end(&c->io, NULL);
	for (size_t i = 0; rc == 0 && i < s->n_params; i++) {
		struct sql_column column = { .name = "?", .type = SQL_TYPE_VARCHAR };
		wire_begin(&c->io);
		wire_put_column(&c->io.out, &column, false);
		rc = wire_end(&c->io, NULL);
	}
	if (rc == 0 && s->n_params && !(c->caps & WIRE_CAP_DEPRECATE_EOF)) {
		wire_begin(&c->io);
		wire_put_eof(&c->io.out, WIRE_STATUS_AUTOCOMMIT);
		rc = wire_end(&c->io, NULL);
	}
	return rc < 0 ? -EPIPE : wire_flush(&c->io, NULL);
}

int wire_do_stmt_prepare(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	struct wire_stmt *s = NULL;
	int rc = 0;
	if (c->stmts.n >= WIRE_STMTS_MAX || c->stmt_bytes + payload.len > WIRE_STMTS_BYTES_MAX)
		rc = err_set(&err, SQL_ERR(1461),
		             "Can't create more than %d prepared statements of together %d bytes",
		             WIRE_STMTS_MAX, WIRE_STMTS_BYTES_MAX);
	if (rc == 0)
		rc = wire_stmt_new(payload, ++c->last_stmt, &s, &err);
	if (rc < 0)
		return wire_send_failure(c, &err);
	vec_push(&c->stmts, s);
	c->stmt_bytes += s->sql_len;
	return send_prepared(c, s);
}

int wire_do_stmt_execute(struct wire_conn *c, struct str payload)
{
	struct err err = ERR_INIT;
	struct wire_cursor cursor = wire_cursor_of(payload);
	uint32_t id = (uint32_t)wire_get_int(&cursor, 4);
	struct wire_stmt *s = find_stmt(c, id, NULL);
	if (!s)
		return unknown_stmt(c, id);
	_cleanup_buf_ struct buf sql = BUF_INIT(WIRE_PACKET_MAX);
	int rc = wire_stmt_bind(s, wire_get_bytes(&cursor, wire_left(&cursor)), &sql, &err);
	wire_stmt_reset(s);
	if (rc < 0)
		return wire_send_failure(c, &err);
	bool failed = false;
	return run_one(c, (struct str){ buf_cstr(&sql), sql.len }, true, false, &failed);
}

int wire_do_stmt_send_long_data(struct wire_conn *c, struct str payload)
{
	struct wire_cursor cursor = wire_cursor_of(payload);
	struct wire_stmt *s = find_stmt(c, (uint32_t)wire_get_int(&cursor, 4), NULL);
	size_t param = (size_t)wire_get_int(&cursor, 2);
	/* The protocol has no answer to this command. */
	if (s && !cursor.bad)
		wire_stmt_long_data(s, param, wire_get_bytes(&cursor, wire_left(&cursor)));
	return 0;
}

int wire_do_stmt_close(struct wire_conn *c, struct str payload)
{
	struct wire_cursor cursor = wire_cursor_of(payload);
	size_t at = 0;
	struct wire_stmt *s = find_stmt(c, (uint32_t)wire_get_int(&cursor, 4), &at);
	if (s) {
		c->stmt_bytes -= s->sql_len;
		wire_stmt_free(s);
		c->stmts.v[at] = c->stmts.v[--c->stmts.n];
	}
	return 0;
}

int wire_do_stmt_reset(struct wire_conn *c, struct str payload)
{
	struct wire_cursor cursor = wire_cursor_of(payload);
	uint32_t id = (uint32_t)wire_get_int(&cursor, 4);
	struct wire_stmt *s = find_stmt(c, id, NULL);
	if (!s)
		return unknown_stmt(c, id);
	wire_stmt_reset(s);
	return wire_send_ok(c);
}

#include "engine/wire/conn.h"

#include <errno.h>
#include <sys/socket.h>

#include "engine/wire/command.h"
#include "engine/wire/handshake.h"
#include "lib/base/log.h"

int wire_send_ok(struct wire_conn *c)
{
	wire_begin(&c->io);
	wire_put_ok(&c->io.out, 0, 0, WIRE_STATUS_AUTOCOMMIT, NULL);
	return wire_end(&c->io, NULL) < 0 ? -EPIPE : wire_flush(&c->io, NULL);
}

int wire_send_failure(struct wire_conn *c, const struct err *err)
{
	wire_begin(&c->io);
	wire_put_failure(&c->io.out, err);
	return wire_end(&c->io, NULL) < 0 ? -EPIPE : wire_flush(&c->io, NULL);
}

/* The killer's thread: the connection's own thread then reads the end of the stream. */
static void on_kill(void *arg)
{
	struct wire_conn *c = arg;
	(void)shutdown(c->io.fd, SHUT_RD);
}

int wire_ask_password(struct wire_conn *c, struct deadline by, struct str *ret, struct err *err)
{
	/* The greeting's scramble again, as MySQL does: some clients answer a change of user with no other. */
	wire_begin(&c->io);
	wire_put_auth_switch(&c->io.out, c->scramble);
	int rc = wire_end(&c->io, err);
	if (rc == 0)
		rc = wire_flush(&c->io, err);
	if (rc == 0)
		rc = wire_read(&c->io, by, true, &c->in, err);
	if (rc == WIRE_CLOSED)
		return err_set(err, -ECONNRESET, "the client went away during the login");
	if (rc < 0)
		return rc;
	*ret = (struct str){ buf_cstr(&c->in), c->in.len };
	return 0;
}

int wire_login(struct wire_conn *c, const char *user, struct str response, struct err *err)
{
	char hash[SQL_PASSWORD_HASH_MAX] = "";
	bool known = sql_server_password(c->server, user, hash);
	/* The same work for a user that does not exist. */
	if (!known)
		(void)snprintf(hash, sizeof(hash), "*%040d", 0);
	bool good = wire_auth_check(hash, c->scramble, response);
	if (!good || !known) {
		char host[sizeof(c->peer)];
		(void)snprintf(host, sizeof(host), "%s", c->peer);
		char *colon = strrchr(host, ':');
		if (colon)
			*colon = '\0';
		return err_set(err, SQL_ERR(1045),
		               "Access denied for user '%s'@'%s' (using password: %s)", user, host,
		               response.len ? "YES" : "NO");
	}
	_cleanup_(sql_session_freep) struct sql_session *session = NULL;
	int rc = sql_session_new(c->server, c->id, user, c->peer, &session, err);
	if (rc < 0)
		return rc;
	sql_session_on_kill(session, on_kill, c);
	sql_session_free(c->session);
	c->session = TAKE_PTR(session);
	(void)snprintf(c->user, sizeof(c->user), "%s", user);
	return 0;
}

/* Greeting to OK. A failure that the client may hear of is left in err with *ret_tell. */
static int handshake(struct wire_conn *c, bool *ret_tell, struct err *err)
{
	struct deadline by = deadline_in(WIRE_HANDSHAKE_MS);
	wire_scramble(c->scramble);
	wire_begin(&c->io);
	wire_put_greeting(&c->io.out, c->version, c->id, c->scramble);
	int rc = wire_end(&c->io, err);
	if (rc == 0)
		rc = wire_flush(&c->io, err);
	if (rc == 0)
		rc = wire_read(&c->io, by, true, &c->in, err);
	if (rc)
		return rc < 0 ? rc : err_set(err, -ECONNRESET, "closed before the login");
	*ret_tell = true;
	struct wire_hello hello;
	rc = wire_parse_hello((struct str){ buf_cstr(&c->in), c->in.len }, &hello, err);
	if (rc < 0)
		return err_set(err, SQL_ERR(1043), "%s", err->msg);
	c->caps = hello.caps;
	autofree char *user = str_dup(hello.user);
	autofree char *db = str_dup(hello.db);
	struct str response = hello.auth;
	bool other = hello.caps & WIRE_CAP_PLUGIN_AUTH && hello.plugin.len &&
	             !str_eqs(hello.plugin, WIRE_NATIVE);
	if (other) {
		rc = wire_ask_password(c, by, &response, err);
		if (rc < 0)
			return rc;
	}
	rc = wire_login(c, user, response, err);
	if (rc == 0 && db[0])
		rc = sql_session_use(c->session, db, err);
	return rc;
}

static struct deadline idle_deadline(struct wire_conn *c)
{
	enum { WAIT_TIMEOUT_S = 28800 };
	return deadline_in(1000 * sql_session_int(c->session, "wait_timeout", WAIT_TIMEOUT_S));
}

static void serve(struct wire_conn *c)
{
	struct err err = ERR_INIT;
	for (;;) {
		c->io.seq = 0;
		int rc = wire_read(&c->io, idle_deadline(c), false, &c->in, &err);
		if (rc == -E2BIG || rc == -EPROTO) {
			(void)err_set(&err, SQL_ERR(rc == -E2BIG ? 1153 : 1156), "%s", err.msg);
			(void)wire_send_failure(c, &err);
		}
		if (rc || sql_session_killed(c->session, true) || !wire_conn_begin(c))
			return;
		rc = wire_dispatch(c, (struct str){ buf_cstr(&c->in), c->in.len });
		wire_conn_end(c);
		if (rc < 0 || sql_session_killed(c->session, true))
			return;
		if (c->in.cap > 4 * (size_t)WIRE_FLUSH)
			buf_free(&c->in);
	}
}

void wire_conn_drop_stmts(struct wire_conn *c)
{
	for (size_t i = 0; i < c->stmts.n; i++)
		wire_stmt_free(c->stmts.v[i]);
	vec_free(&c->stmts);
	c->stmt_bytes = 0;
}

void wire_conn_run(struct wire_conn *c)
{
	struct err err = ERR_INIT;
	bool tell = false;
	c->in = (struct buf)BUF_INIT(WIRE_HANDSHAKE_MAX);
	int rc = handshake(c, &tell, &err);
	if (rc < 0) {
		log_debug("peer=%s connection=%u login failed: %s", c->peer, c->id, err.msg);
		if (tell)
			(void)wire_send_failure(c, &err);
	} else if (wire_send_ok(c) == 0) {
		c->in.max = WIRE_PACKET_MAX;
		serve(c);
	}
	wire_conn_drop_stmts(c);
	sql_session_free(c->session);
	c->session = NULL;
	buf_free(&c->in);
	wire_io_free(&c->io);
}

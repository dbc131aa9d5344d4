/* A client's session and the one entry for statements: what the wire calls.
 *
 * Thread: a session is used by one thread; session_kill() may come from any. */
#ifndef ROOST_ENGINE_SQL_SESSION_H
#define ROOST_ENGINE_SQL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/sql/sink.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct meta;
struct cluster;
struct admit;
struct exec;
struct coord;
struct sql_connections;

/* What the FE is made of; made once by fe_main, borrowed by all sessions. */
struct sql_server {
	struct meta *meta;
	struct cluster *cluster;
	struct admit *admit;
	struct exec *parser; /* engine/exec in parse mode */
	struct coord *coord;
	const char *fe_host; /* of SHOW FRONTENDS */
	int http_port, rpc_port, query_port, edit_log_port;
	int64_t start_ts;
	const char *version; /* "8.0.33-roost-0.1.0": what the handshake says */
	const char *
		s3_json; /* the default storage volume as rpc.h's S3 object, or NULL: none configured */
	const char *s3_path; /* prefix inside the bucket */
	/* Made by wire_start() when NULL. It outlives the wire, since /metrics may still read it: the owner of this
	 * struct frees it (sql_connections_free) once nothing does. NULL: no SHOW PROCESSLIST, no KILL. */
	struct sql_connections *connections;
};

struct sql_session;
int sql_session_new(struct sql_server *server, uint32_t connection_id, const char *user,
                    const char *peer, struct sql_session **ret, struct err *err);
void sql_session_free(struct sql_session *s);
int sql_session_use(struct sql_session *s, const char *db,
                    struct err *err);                    /* COM_INIT_DB, handshake */
const char *sql_session_db(const struct sql_session *s); /* "" when none */
/* Runs one statement (the wire splits multi-statements by sql_split()). */
int sql_session_run(struct sql_session *s, struct str sql, struct sql_sink *sink, struct err *err);

/* Ends the running statement (error 1317), and with `connection` the session as well; from any thread. */
void sql_session_kill(struct sql_session *s, bool connection);
/* Whether the running statement, or with `connection` the session, was killed. */
bool sql_session_killed(struct sql_session *s, bool connection);
/* fn runs in the killer's thread, once a kill of the connection: it must only wake up the session's thread. */
void sql_session_on_kill(struct sql_session *s, void (*fn)(void *arg), void *arg);
/* COM_RESET_CONNECTION: variables as at the start; the database stays. */
void sql_session_reset(struct sql_session *s);
/* An integer system variable as the session sees it; absent when there is none. */
int64_t sql_session_int(struct sql_session *s, const char *variable, int64_t absent);

/* Copies the user's password hash ("*" + 40 hex digits, "" = none asked); false: no such user. */
enum { SQL_PASSWORD_HASH_MAX = 48 };
bool sql_server_password(struct sql_server *server, const char *user,
                         char out[SQL_PASSWORD_HASH_MAX]);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct sql_session, sql_session_free)

#endif

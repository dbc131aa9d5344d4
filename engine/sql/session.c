#include "engine/sql/session.h"

#include "engine/sql/connections.h"
#include "engine/sql/infoschema.h"
#include "engine/sql/mode.h"
#include "engine/sql/query.h"
#include "engine/sql/run.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"

int sql_session_new(struct sql_server *server, uint32_t connection_id, const char *user,
                    const char *peer, struct sql_session **ret, struct err *err)
{
	(void)err;
	struct sql_session *s = xcalloc(1, sizeof(*s));
	s->server = server;
	s->id = connection_id;
	(void)snprintf(s->user, sizeof(s->user), "%s", user);
	(void)snprintf(s->peer, sizeof(s->peer), "%s", peer);
	s->variables = map_new(free);
	s->user_variables = map_new(free);
	pthread_mutex_init(&s->lock, NULL);
	if (server->connections)
		sql_connections_add(server->connections, s->id, s, user, peer);
	*ret = s;
	return 0;
}

void sql_session_free(struct sql_session *s)
{
	if (!s)
		return;
	if (s->server->connections)
		sql_connections_del(s->server->connections, s->id, s);
	map_free(s->variables);
	map_free(s->user_variables);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void sql_session_reset(struct sql_session *s)
{
	map_free(s->variables);
	map_free(s->user_variables);
	s->variables = map_new(free);
	s->user_variables = map_new(free);
}

void sql_session_on_kill(struct sql_session *s, void (*fn)(void *arg), void *arg)
{
	pthread_mutex_lock(&s->lock);
	s->on_kill = fn;
	s->on_kill_arg = arg;
	pthread_mutex_unlock(&s->lock);
}

void sql_session_kill(struct sql_session *s, bool connection)
{
	/* The larger first: who sees the statement killed must also see that the connection is. */
	if (connection)
		s->killed_connection = true;
	s->killed = true;
	if (!connection)
		return;
	pthread_mutex_lock(&s->lock);
	if (s->on_kill)
		s->on_kill(s->on_kill_arg);
	pthread_mutex_unlock(&s->lock);
}

bool sql_session_killed(struct sql_session *s, bool connection)
{
	return connection ? s->killed_connection : s->killed;
}

const char *sql_session_db(const struct sql_session *s)
{
	return s->db;
}

static bool database_exists(struct sql_session *s, const char *db)
{
	if (str_caseeqs(str_of(db), "information_schema"))
		return true;
	meta_rdlock(s->server->meta);
	bool there = meta_has_db(s->server->meta, db);
	meta_rdunlock(s->server->meta);
	return there;
}

int sql_session_use(struct sql_session *s, const char *db, struct err *err)
{
	/* COM_INIT_DB and USE also change catalog and warehouse in StarRocks; there is one of each. */
	static const char *const words[][2] = { { "catalog ", "default_catalog" },
		                                { "warehouse ", "default_warehouse" } };
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t n = strlen(words[i][0]);
		if (strncasecmp(db, words[i][0], n) != 0)
			continue;
		if (strcmp(db + n, words[i][1]) == 0)
			return 0;
		return err_set(err, SQL_ERR(1064), "Unknown %s'%s'", words[i][0], db + n);
	}
	const char *dot = strchr(db, '.');
	if (dot && strncmp(db, "default_catalog.", 16) == 0)
		db = dot + 1;
	if (strlen(db) >= sizeof(s->db) || !database_exists(s, db))
		return err_set(err, SQL_ERR(1049), "Unknown database '%s'", db);
	(void)snprintf(s->db, sizeof(s->db), "%s", db);
	if (s->server->connections)
		sql_connections_doing(s->server->connections, s->id, (struct str){ NULL, 0 },
		                      s->db);
	return 0;
}

int sql_session_resolve(struct sql_session *s, const char *db, const char **ret, struct err *err)
{
	*ret = db && db[0] ? db : s->db;
	if (!(*ret)[0])
		return err_set(err, SQL_ERR(1046), "No database selected");
	return 0;
}

int sql_session_submit(struct sql_session *s, enum meta_command command, json_t *payload,
                       struct err *err)
{
	if (!payload)
		return err_set(err, SQL_ERR(1064), "a name or a text is not UTF-8");
	return meta_submit(s->server->meta, command, payload, NULL, err);
}

bool sql_server_password(struct sql_server *server, const char *user,
                         char out[SQL_PASSWORD_HASH_MAX])
{
	meta_rdlock(server->meta);
	const char *hash = meta_password_hash(server->meta, user);
	if (hash)
		(void)snprintf(out, SQL_PASSWORD_HASH_MAX, "%s", hash);
	meta_rdunlock(server->meta);
	return hash != NULL;
}

static int run(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
               struct err *err)
{
	switch (st->kind) {
#define X(NAME, name)              \
	case SQL_STATEMENT_##NAME: \
		return sql_run_##name(s, st, sink, err);
		SQL_STATEMENTS(X)
#undef X
	}
	return err_set(err, SQL_ERR(1105), "a statement of unknown kind");
}

/* What others may read of a statement in SHOW PROCESSLIST: never a password. */
static struct str shown(const struct sql_statement *st, struct str sql)
{
	for (size_t i = 0; i < st->sets.n; i++) {
		if (st->sets.v[i].kind == SQL_SET_PASSWORD)
			return STR_LIT("SET PASSWORD = ***");
	}
	return sql;
}

int sql_session_run(struct sql_session *s, struct str sql, struct sql_sink *sink, struct err *err)
{
	struct sql_connections *c = s->server->connections;
	_cleanup_(sql_statement_freep) struct sql_statement *st = NULL;
	s->killed = s->killed_connection;
	int rc = sql_statement_parse(sql, s->db[0] ? s->db : NULL, &st, err);
	if (rc < 0)
		return rc;
	int64_t from = clock_mono_us();
	if (c)
		sql_connections_doing(c, s->id, shown(st, sql), s->db);
	rc = run(s, st, sink, err);
	if (c) {
		bool query = st->kind == SQL_STATEMENT_QUERY || st->kind == SQL_STATEMENT_INSERT;
		sql_connections_doing(c, s->id, (struct str){ NULL, 0 }, s->db);
		sql_connections_count(c, query, rc < 0, (double)(clock_mono_us() - from) / 1e6);
	}
	return rc;
}

static unsigned modes(struct sql_session *s)
{
	autofree char *value = NULL;
	unsigned ret = 0;
	if (sql_var_get(s, "sql_mode", SQL_SCOPE_SESSION, &value, NULL, NULL) == 0)
		(void)sql_mode_parse(value, &ret,
		                     NULL); /* one of an older version: as if not set */
	return ret;
}

static struct sql_query_context context(struct sql_session *s)
{
	fd_random_hex(s->query_id, 16);
	return (struct sql_query_context){
		.server = s->server,
		.db = s->db,
		.user = s->user,
		.query_id = s->query_id,
		.query_timeout_ms = 1000 * sql_session_int(s, "query_timeout", 300),
		.pending_timeout_ms =
			1000 * sql_session_int(s, "query_queue_pending_timeout_second", 300),
		.connection_id = s->id,
		.modes = modes(s),
	};
}

int sql_run_query(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                  struct err *err)
{
	int rc = sql_literal_select(s, st->query, sink, err);
	if (rc == SQL_NOT_MINE)
		rc = sql_infoschema_select(s, st->query, sink, err);
	_cleanup_buf_ struct buf rewritten = BUF_INIT(SQL_TEXT_MAX);
	struct str text = st->query;
	if (rc == SQL_INFOSCHEMA_REWRITE) {
		rc = sql_infoschema_rewrite(s, st->query, &rewritten, err);
		text = (struct str){ buf_cstr(&rewritten), rewritten.len };
		if (rc == 0)
			rc = SQL_NOT_MINE;
	}
	if (rc != SQL_NOT_MINE)
		return rc;
	struct sql_query_context cx = context(s);
	return sql_query_run(&cx, text, SQL_QUERY_SELECT, sink, err);
}

int sql_run_explain(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                    struct err *err)
{
	struct sql_query_context cx = context(s);
	return sql_query_run(&cx, st->query, SQL_QUERY_EXPLAIN, sink, err);
}

int sql_run_insert(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                   struct err *err)
{
	const char *db = NULL;
	int rc = sql_session_resolve(s, st->db, &db, err);
	if (rc < 0)
		return rc;
	struct sql_query_context cx = context(s);
	uint64_t rows = 0;
	autofree char *label = st->label ? xstrdup(st->label) : xasprintf("insert_%s", cx.query_id);
	rc = sql_query_insert(&cx, db, st->name, (const char *const *)st->names.v, st->names.n,
	                      st->query, label, &rows, err);
	if (rc < 0)
		return rc;
	autofree char *info = xasprintf("{'label':'%s', 'status':'VISIBLE'}", label);
	return sink->ok(sink, rows, info, err);
}

int sql_run_nothing(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                    struct err *err)
{
	(void)s;
	(void)st;
	return sink->ok(sink, 0, NULL, err);
}

int sql_run_use(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                struct err *err)
{
	int rc = sql_session_use(s, st->name, err);
	return rc < 0 ? rc : sink->ok(sink, 0, NULL, err);
}

int sql_run_kill(struct sql_session *s, const struct sql_statement *st, struct sql_sink *sink,
                 struct err *err)
{
	struct sql_connections *c = s->server->connections;
	if (!c || !sql_connections_kill(c, (uint32_t)st->number, !st->kill_query))
		return err_set(err, SQL_ERR(1094), "Unknown thread id: %lld",
		               (long long)st->number);
	return sink->ok(sink, 0, NULL, err);
}

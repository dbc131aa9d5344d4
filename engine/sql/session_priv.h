/* What the files of sql/ that run statements share about a session. */
#ifndef ROOST_ENGINE_SQL_SESSION_PRIV_H
#define ROOST_ENGINE_SQL_SESSION_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/meta/meta.h"
#include "engine/sql/session.h"
#include "lib/base/map.h"

struct sql_session {
	struct sql_server *server;
	uint32_t id;
	char user[64], peer[64], db[META_NAME_MAX];
	struct map *variables;      /* name -> text: what SET SESSION changed */
	struct map *user_variables; /* @name -> text; "" of NULL is not kept apart */
	char query_id[33];          /* of the last query */
	atomic_bool killed, killed_connection;
	pthread_mutex_t lock; /* guards on_kill */
	void (*on_kill)(void *arg);
	void *on_kill_arg;
};

/* The database that an unqualified name is in: db, or the session's; 1046 when there is none. */
int sql_session_resolve(struct sql_session *s, const char *db, const char **ret, struct err *err);
/* meta_submit() without a result; payload is stolen. */
int sql_session_submit(struct sql_session *s, enum meta_command command, json_t *payload,
                       struct err *err);

#endif

/* SHOW: the table of them; each fills rows, which are then filtered and sent.
 *
 * Thread: the session's. */
#ifndef ROOST_ENGINE_SQL_SHOW_H
#define ROOST_ENGINE_SQL_SHOW_H

#include "engine/sql/filter.h"
#include "engine/sql/rows.h"
#include "engine/sql/session_priv.h"

/* What may follow the words of a SHOW. */
enum {
	SQL_SHOW_PLAIN = 0,
	SQL_SHOW_DB = 1,    /* [FROM|IN db] */
	SQL_SHOW_TABLE = 2, /* FROM|IN [db.]table [FROM|IN db], asked for */
	SQL_SHOW_NAME = 4,  /* [db.]name, asked for */
	SQL_SHOW_PATH = 8,  /* 'text', asked for */
	SQL_SHOW_USER = 16, /* [FOR user] */
};

/* X(name, words, follows): the first whose words match wins. Each has sql_show_<name>(). */
#define SQL_SHOWS(X)                                          \
	X(databases, "DATABASES", SQL_SHOW_PLAIN)             \
	X(databases, "SCHEMAS", SQL_SHOW_PLAIN)               \
	X(table_status, "TABLE STATUS", SQL_SHOW_DB)          \
	X(tables, "TABLES", SQL_SHOW_DB)                      \
	X(columns, "COLUMNS", SQL_SHOW_TABLE)                 \
	X(columns, "FIELDS", SQL_SHOW_TABLE)                  \
	X(indexes, "INDEX", SQL_SHOW_TABLE)                   \
	X(indexes, "INDEXES", SQL_SHOW_TABLE)                 \
	X(indexes, "KEYS", SQL_SHOW_TABLE)                    \
	X(tablets, "TABLET", SQL_SHOW_TABLE)                  \
	X(tablets, "TABLETS", SQL_SHOW_TABLE)                 \
	X(create_table, "CREATE TABLE", SQL_SHOW_NAME)        \
	X(create_database, "CREATE DATABASE", SQL_SHOW_NAME)  \
	X(create_database, "CREATE SCHEMA", SQL_SHOW_NAME)    \
	X(variables, "VARIABLES", SQL_SHOW_PLAIN)             \
	X(status, "STATUS", SQL_SHOW_PLAIN)                   \
	X(warnings, "WARNINGS", SQL_SHOW_PLAIN)               \
	X(warnings, "ERRORS", SQL_SHOW_PLAIN)                 \
	X(engines, "STORAGE ENGINES", SQL_SHOW_PLAIN)         \
	X(engines, "ENGINES", SQL_SHOW_PLAIN)                 \
	X(collation, "COLLATION", SQL_SHOW_PLAIN)             \
	X(charset, "CHARACTER SET", SQL_SHOW_PLAIN)           \
	X(charset, "CHARSET", SQL_SHOW_PLAIN)                 \
	X(plugins, "PLUGINS", SQL_SHOW_PLAIN)                 \
	X(privileges, "PRIVILEGES", SQL_SHOW_PLAIN)           \
	X(routines, "PROCEDURE STATUS", SQL_SHOW_PLAIN)       \
	X(routines, "FUNCTION STATUS", SQL_SHOW_PLAIN)        \
	X(triggers, "TRIGGERS", SQL_SHOW_DB)                  \
	X(events, "EVENTS", SQL_SHOW_DB)                      \
	X(processlist, "PROCESSLIST", SQL_SHOW_PLAIN)         \
	X(frontends, "FRONTENDS", SQL_SHOW_PLAIN)             \
	X(backends, "BACKENDS", SQL_SHOW_PLAIN)               \
	X(compute_nodes, "COMPUTE NODES", SQL_SHOW_PLAIN)     \
	X(running_queries, "RUNNING QUERIES", SQL_SHOW_PLAIN) \
	X(load, "LOAD", SQL_SHOW_DB)                          \
	X(resource_groups, "RESOURCE GROUPS", SQL_SHOW_PLAIN) \
	X(storage_volumes, "STORAGE VOLUMES", SQL_SHOW_PLAIN) \
	X(warehouses, "WAREHOUSES", SQL_SHOW_PLAIN)           \
	X(catalogs, "CATALOGS", SQL_SHOW_PLAIN)               \
	X(grants, "GRANTS", SQL_SHOW_USER)                    \
	X(proc, "PROC", SQL_SHOW_PATH)

struct sql_show {
	size_t kind; /* the row of SQL_SHOWS */
	bool full, global;
	char *db, *name, *path, *like;
	struct sql_filter *where;
	int64_t limit; /* -1: none */
};

#define X(name, words, follows)                                              \
	int sql_show_##name(struct sql_session *s, const struct sql_show *q, \
	                    struct sql_rows *rows, struct err *err);
SQL_SHOWS(X)
#undef X

/* At SHOW. db: the session's. */
int sql_parse_show(struct sql_parser *p, const char *db, struct sql_show *ret);
/* The row with these words, which must be there. */
size_t sql_show_kind(const char *words);
void sql_show_free(struct sql_show *q);

/* A table in a database ("" or NULL: the session's) for the rows; NULL with 1046, 1049 or 1146. Under meta's lock. */
const struct meta_table *sql_show_find(struct sql_session *s, const char *db, const char *name,
                                       struct err *err);

/* "1.234 GB", as StarRocks shows sizes; and "12.34 %". */
void sql_rows_add_bytes(struct sql_rows *rows, int64_t bytes);
void sql_rows_add_percent(struct sql_rows *rows, int64_t part, int64_t whole);
void sql_rows_add_time(struct sql_rows *rows, int64_t ts); /* ms since 1970; 0: "" */

#endif

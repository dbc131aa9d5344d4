/* Statements as structs: what our own grammar makes of everything but the inside of a query.
 *
 * Thread: plain values. Ownership: a statement owns its strings; views point into the text it was parsed from.
 * Errors: 1064 with place and what is allowed; 1235 for what is known but not built, by name. */
#ifndef ROOST_ENGINE_SQL_STATEMENT_H
#define ROOST_ENGINE_SQL_STATEMENT_H

#include "engine/sql/create_table.h"
#include "engine/sql/filter.h"
#include "engine/sql/show.h"
#include "engine/sql/syntax.h"
#include "engine/sql/vars.h"
#include "lib/base/vec.h"

/* X(NAME, name): each has sql_run_<name>() in one of the run files. */
#define SQL_STATEMENTS(X)                   \
	X(QUERY, query)                     \
	X(EXPLAIN, explain)                 \
	X(INSERT, insert)                   \
	X(CREATE_DATABASE, create_database) \
	X(DROP_DATABASE, drop_database)     \
	X(CREATE_TABLE, create_table)       \
	X(DROP_TABLE, drop_table)           \
	X(TRUNCATE_TABLE, truncate_table)   \
	X(USE, use)                         \
	X(SET, set)                         \
	X(SHOW, show)                       \
	X(ALTER_SYSTEM, alter_system)       \
	X(KILL, kill)                       \
	X(NOTHING, nothing)

enum sql_statement_kind {
#define X(NAME, name) SQL_STATEMENT_##NAME,
	SQL_STATEMENTS(X)
#undef X
};

enum sql_value_kind {
	SQL_VALUE_TEXT,
	SQL_VALUE_NULL,
	SQL_VALUE_DEFAULT,
	SQL_VALUE_SYSVAR,
	SQL_VALUE_USERVAR
};
struct sql_value {
	enum sql_value_kind kind;
	char *text; /* the text, or the variable's name */
};

enum sql_set_kind { SQL_SET_VARIABLE, SQL_SET_USER_VARIABLE, SQL_SET_PASSWORD, SQL_SET_NAMES };
struct sql_assignment {
	enum sql_set_kind kind;
	enum sql_scope scope;
	char *name; /* the variable; of a password, the user ("" : oneself) */
	struct sql_value value;
	bool hashed; /* a password given as its hash */
};

struct sql_address {
	char *host;
	int port;
};

enum sql_alter { SQL_ALTER_ADD, SQL_ALTER_DROP, SQL_ALTER_DECOMMISSION, SQL_ALTER_CANCEL };

struct sql_statement {
	enum sql_statement_kind kind;
	bool if_exists; /* IF EXISTS, IF NOT EXISTS */
	bool force;
	char *db, *name, *label;
	struct str query;  /* QUERY, EXPLAIN, INSERT: the text for the planner */
	VEC(char *) names; /* INSERT's columns */
	struct sql_create_table *create;
	VEC(struct sql_assignment) sets;
	struct sql_show show;
	enum sql_alter alter;
	enum meta_role role;
	VEC(struct sql_address) nodes;
	int64_t number; /* KILL */
	bool kill_query;
};

/* db: the session's, or NULL. */
int sql_statement_parse(struct str sql, const char *db, struct sql_statement **ret,
                        struct err *err);
void sql_statement_free(struct sql_statement *st);
DEFINE_CLEANUP(struct sql_statement, sql_statement_free)

/* The rules in other files; the first word has been looked at, not taken. */
int sql_parse_set(struct sql_parser *p, struct sql_statement *st);
int sql_parse_alter(struct sql_parser *p, struct sql_statement *st);
int sql_parse_cancel(struct sql_parser *p, struct sql_statement *st);
int sql_parse_kill(struct sql_parser *p, struct sql_statement *st);
int sql_parse_insert(struct sql_parser *p, struct sql_statement *st);

/* "host:port", "[v6]:port"; 1064 otherwise. */
int sql_parse_address(struct str text, struct sql_address *ret, struct err *err);

#endif

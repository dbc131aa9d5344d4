#include "engine/sql/statement.h"

#include "lib/base/mem.h"

void sql_statement_free(struct sql_statement *st)
{
	if (!st)
		return;
	free(st->db);
	free(st->name);
	free(st->label);
	for (size_t i = 0; i < st->names.n; i++)
		free(st->names.v[i]);
	vec_free(&st->names);
	sql_create_table_free(st->create);
	for (size_t i = 0; i < st->sets.n; i++) {
		free(st->sets.v[i].name);
		mem_free_secret(st->sets.v[i].value.text);
	}
	vec_free(&st->sets);
	sql_show_free(&st->show);
	for (size_t i = 0; i < st->nodes.n; i++)
		free(st->nodes.v[i].host);
	vec_free(&st->nodes);
	free(st);
}

static struct str rest_of(const struct sql_parser *p)
{
	return (struct str){ p->sql.p + p->t.at, p->sql.len - p->t.at };
}

static bool at_query(const struct sql_parser *p)
{
	return sql_at(p, "SELECT") || sql_at(p, "WITH") || sql_at(p, "VALUES") || sql_at(p, "(");
}

static int parse_query(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_QUERY;
	st->query = rest_of(p);
	return 0;
}

/* DESC and EXPLAIN of a table are SHOW COLUMNS; of a query, its plan. */
static int parse_explain(struct sql_parser *p, struct sql_statement *st)
{
	sql_advance(p);
	if (sql_at(p, "ANALYZE"))
		return sql_not_built(p, "EXPLAIN ANALYZE");
	if (sql_at_all(p, "LOGICAL SELECT") || sql_at_all(p, "VERBOSE SELECT") ||
	    sql_at_all(p, "COSTS SELECT") || sql_at_all(p, "LOGICAL WITH") ||
	    sql_at_all(p, "VERBOSE WITH") || sql_at_all(p, "COSTS WITH"))
		sql_advance(p);
	if (at_query(p)) {
		st->kind = SQL_STATEMENT_EXPLAIN;
		st->query = rest_of(p);
		return 0;
	}
	if (sql_at(p, "INSERT") || sql_at(p, "UPDATE") || sql_at(p, "DELETE"))
		return sql_not_built(p, "EXPLAIN of anything but a query");
	st->kind = SQL_STATEMENT_SHOW;
	st->show.kind = sql_show_kind("COLUMNS");
	st->show.limit = -1;
	int rc = sql_expect_qualified(p, "a query or a table", &st->show.db, &st->show.name);
	(void)sql_accept(p, "ALL");
	return rc < 0 ? rc : sql_expect_end(p);
}

int sql_parse_insert(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_INSERT;
	sql_advance(p);
	if (sql_at(p, "OVERWRITE"))
		return sql_not_built(p, "INSERT OVERWRITE");
	(void)sql_accept(p, "INTO");
	(void)sql_accept(p, "TABLE");
	if (sql_at_all(p, "FILES (") || sql_at_all(p, "BLACKHOLE ("))
		return sql_not_built(p, "INSERT INTO a table function");
	int rc = sql_expect_qualified(p, "a table", &st->db, &st->name);
	if (sql_at(p, "PARTITION") || sql_at(p, "PARTITIONS") || sql_at(p, "TEMPORARY"))
		return sql_not_built(p, "INSERT into a partition");
	if (sql_accept(p, "WITH LABEL"))
		rc = p->t.kind == SQL_TOK_STRING ? sql_expect_string(p, "a label", &st->label)
		                                 : sql_expect_name(p, "a label", &st->label);
	/* "(" begins either the columns or a query. */
	bool query = sql_at_all(p, "( SELECT") || sql_at_all(p, "( WITH") ||
	             sql_at_all(p, "( VALUES") || sql_at_all(p, "( (");
	if (!query && sql_accept(p, "(")) {
		do {
			char *name = NULL;
			rc = sql_expect_name(p, "a column", &name);
			if (name)
				vec_push(&st->names, name);
		} while (rc == 0 && sql_accept(p, ","));
		(void)sql_expect(p, ")");
	}
	if (p->rc == 0 && !at_query(p))
		return sql_unexpected(p, "VALUES or a query");
	st->query = rest_of(p);
	return p->rc;
}

static int parse_create(struct sql_parser *p, struct sql_statement *st)
{
	sql_advance(p);
	if (sql_accept(p, "DATABASE") || sql_accept(p, "SCHEMA")) {
		char *catalog = NULL;
		st->kind = SQL_STATEMENT_CREATE_DATABASE;
		st->if_exists = sql_accept(p, "IF NOT EXISTS");
		(void)sql_expect_qualified(p, "a database", &catalog, &st->name);
		bool other = catalog && strcmp(catalog, "default_catalog") != 0;
		free(catalog);
		if (p->rc == 0 && other)
			return sql_not_built(p, "a database in an external catalog");
		/* Clients for MySQL say which character set; there is only one. */
		while (sql_accept(p, "DEFAULT") || sql_accept(p, "CHARACTER") ||
		       sql_accept(p, "SET") || sql_accept(p, "CHARSET") ||
		       sql_accept(p, "COLLATE") || sql_accept(p, "=") || sql_accept(p, "utf8mb4") ||
		       sql_accept(p, "utf8") || sql_accept(p, "utf8mb4_general_ci"))
			;
		return sql_expect_end(p);
	}
	if (sql_accept(p, "WAREHOUSE")) {
		st->kind = SQL_STATEMENT_NOTHING;
		st->if_exists = sql_accept(p, "IF NOT EXISTS");
		(void)sql_expect_name(p, "a warehouse", &st->name);
		if (p->rc == 0 && (!st->if_exists || strcmp(st->name, "default_warehouse") != 0))
			return sql_not_built(p, "CREATE WAREHOUSE (there is default_warehouse)");
		return sql_expect_end(p);
	}
	if (!sql_accept(p, "TABLE")) {
		static const char *const words[] = {
			"EXTERNAL", "TEMPORARY", "VIEW",       "MATERIALIZED", "USER",
			"ROLE",     "INDEX",     "FUNCTION",   "GLOBAL",       "RESOURCE",
			"CATALOG",  "STORAGE",   "ROUTINE",    "REPOSITORY",   "PIPE",
			"ANALYZE",  "OR",        "DICTIONARY", "FILE",         "SECURITY",
		};
		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			if (sql_at(p, words[i])) {
				autofree char *what = xasprintf("CREATE %s", words[i]);
				return sql_not_built(p, what);
			}
		}
		return sql_unexpected(p, "DATABASE, SCHEMA or TABLE");
	}
	st->kind = SQL_STATEMENT_CREATE_TABLE;
	st->if_exists = sql_accept(p, "IF NOT EXISTS");
	int rc = sql_expect_qualified(p, "a table", &st->db, &st->name);
	if (sql_at(p, "LIKE"))
		return sql_not_built(p, "CREATE TABLE LIKE");
	if (sql_at(p, "AS"))
		return sql_not_built(p, "CREATE TABLE AS SELECT");
	return rc < 0 ? rc : sql_parse_create_table(p, &st->create);
}

static int parse_drop(struct sql_parser *p, struct sql_statement *st)
{
	sql_advance(p);
	bool database = sql_accept(p, "DATABASE") || sql_accept(p, "SCHEMA");
	if (!database && !sql_accept(p, "TABLE")) {
		static const char *const words[] = { "VIEW",     "MATERIALIZED", "USER",
			                             "ROLE",     "WAREHOUSE",    "CATALOG",
			                             "RESOURCE", "FUNCTION",     "INDEX",
			                             "STORAGE",  "TEMPORARY",    "STATS" };
		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			if (sql_at(p, words[i])) {
				autofree char *what = xasprintf("DROP %s", words[i]);
				return sql_not_built(p, what);
			}
		}
		return sql_unexpected(p, "DATABASE, SCHEMA or TABLE");
	}
	st->kind = database ? SQL_STATEMENT_DROP_DATABASE : SQL_STATEMENT_DROP_TABLE;
	st->if_exists = sql_accept(p, "IF EXISTS");
	if (database)
		(void)sql_expect_name(p, "a database", &st->name);
	else
		(void)sql_expect_qualified(p, "a table", &st->db, &st->name);
	st->force = sql_accept(p, "FORCE");
	if (sql_at(p, ","))
		return sql_not_built(p, "DROP of several at once");
	return sql_expect_end(p);
}

static int parse_truncate(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_TRUNCATE_TABLE;
	sql_advance(p);
	(void)sql_accept(p, "TABLE");
	(void)sql_expect_qualified(p, "a table", &st->db, &st->name);
	if (sql_at(p, "PARTITION"))
		return sql_not_built(p, "TRUNCATE of a partition");
	return sql_expect_end(p);
}

static int parse_use(struct sql_parser *p, struct sql_statement *st)
{
	autofree char *catalog = NULL;
	st->kind = SQL_STATEMENT_USE;
	sql_advance(p);
	/* USE 'catalog x' is how clients of StarRocks change the catalog. */
	if (p->t.kind == SQL_TOK_STRING)
		(void)sql_expect_string(p, "a database", &st->name);
	else
		(void)sql_expect_qualified(p, "a database", &catalog, &st->name);
	if (p->rc == 0 && catalog && strcmp(catalog, "default_catalog") != 0)
		return sql_not_built(p, "an external catalog");
	return sql_expect_end(p);
}

/* No transaction spans statements, so their brackets do nothing. */
static int parse_nothing(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_NOTHING;
	bool start = sql_at(p, "START");
	sql_advance(p);
	if (start)
		(void)sql_expect(p, "TRANSACTION");
	if (sql_accept(p, "WITH CONSISTENT SNAPSHOT") || sql_accept(p, "READ ONLY") ||
	    sql_accept(p, "READ WRITE") || sql_accept(p, "WORK") || sql_accept(p, "AND NO CHAIN") ||
	    sql_accept(p, "TRANSACTION"))
		return sql_expect_end(p);
	return sql_expect_end(p);
}

static int parse_one(struct sql_parser *p, const char *db, struct sql_statement *st)
{
	static const struct {
		const char *word;
		int (*parse)(struct sql_parser *p, struct sql_statement *st);
	} rules[] = {
		{ "SELECT", parse_query },      { "WITH", parse_query },
		{ "VALUES", parse_query },      { "(", parse_query },
		{ "EXPLAIN", parse_explain },   { "DESC", parse_explain },
		{ "DESCRIBE", parse_explain },  { "INSERT", sql_parse_insert },
		{ "CREATE", parse_create },     { "DROP", parse_drop },
		{ "TRUNCATE", parse_truncate }, { "USE", parse_use },
		{ "SET", sql_parse_set },       { "ALTER", sql_parse_alter },
		{ "CANCEL", sql_parse_cancel }, { "KILL", sql_parse_kill },
		{ "BEGIN", parse_nothing },     { "START", parse_nothing },
		{ "COMMIT", parse_nothing },    { "ROLLBACK", parse_nothing },
	};
	static const char *const not_built[] = {
		"UPDATE",  "DELETE",     "MERGE",   "GRANT",     "REVOKE",    "ADMIN",  "ANALYZE",
		"BACKUP",  "RESTORE",    "EXPORT",  "LOAD",      "REFRESH",   "SUBMIT", "RECOVER",
		"PAUSE",   "RESUME",     "STOP",    "INSTALL",   "SYNC",      "CLEAN",  "EXECUTE",
		"PREPARE", "DEALLOCATE", "CALL",    "LOCK",      "UNLOCK",    "FLUSH",  "SAVEPOINT",
		"RELEASE", "REPLACE",    "HANDLER", "UNINSTALL", "TRANSLATE",
	};
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		if (sql_at(p, rules[i].word))
			return rules[i].parse(p, st);
	}
	if (sql_at(p, "SHOW")) {
		st->kind = SQL_STATEMENT_SHOW;
		return sql_parse_show(p, db, &st->show);
	}
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		if (sql_at(p, not_built[i]))
			return sql_not_built(p, not_built[i]);
	}
	return sql_unexpected(p, "a statement (SELECT, INSERT, CREATE, DROP, SHOW, SET, ...)");
}

int sql_statement_parse(struct str sql, const char *db, struct sql_statement **ret, struct err *err)
{
	_cleanup_(sql_statement_freep) struct sql_statement *st = xcalloc(1, sizeof(*st));
	struct sql_parser p;
	sql_parser_init(&p, sql, err);
	if (p.rc == 0 && p.t.kind == SQL_TOK_END)
		return err_set(err, SQL_ERR(1065), "Query was empty");
	int rc = p.rc < 0 ? p.rc : parse_one(&p, db, st);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(st);
	return 0;
}

#include "engine/sql/statement.h"

#include "lib/base/mem.h"

/* A name or an address that a resolver could take: not "user@host", not a path. */
static bool is_host(struct str host, bool bracketed)
{
	for (size_t i = 0; i < host.len; i++) {
		char c = host.p[i];
		bool alnum =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && !strchr(bracketed ? ":.%-_" : ".-_", c))
			return false;
		if (!c)
			return false;
	}
	return host.len > 0 && host.p[0] != '-';
}

int sql_parse_address(struct str text, struct sql_address *ret, struct err *err)
{
	const char *colon = text.len ? memrchr(text.p, ':', text.len) : NULL;
	struct str host = { text.p, colon ? (size_t)(colon - text.p) : 0 };
	struct str port = { colon ? colon + 1 : "", colon ? text.len - host.len - 1 : 0 };
	int64_t n = 0;
	bool bracketed = host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
	if (bracketed)
		host = (struct str){ host.p + 1, host.len - 2 };
	bool bare_v6 = !bracketed && host.len && memchr(host.p, ':', host.len);
	if (!is_host(host, bracketed) || bare_v6 || str_to_i64(port, &n) < 0 || n < 1 || n > 65535)
		return err_set(
			err, SQL_ERR(1064),
			"Invalid host port: '%.*s' (wanted: \"host:port\" or \"[IPv6]:port\")",
			text.len > 200 ? 200 : (int)text.len, text.p);
	*ret = (struct sql_address){ .host = str_dup(host), .port = (int)n };
	return 0;
}

static int parse_addresses(struct sql_parser *p, struct sql_statement *st)
{
	do {
		autofree char *text = NULL;
		struct sql_address a;
		if (sql_expect_string(p, "\"host:port\"", &text) < 0)
			return p->rc;
		p->rc = sql_parse_address(str_of(text), &a, p->err);
		if (p->rc < 0)
			return p->rc;
		vec_push(&st->nodes, a);
	} while (sql_accept(p, ","));
	return 0;
}

static int parse_warehouse(struct sql_parser *p)
{
	autofree char *name = NULL;
	if (!sql_accept(p, "FROM WAREHOUSE") && !sql_accept(p, "INTO WAREHOUSE") &&
	    !sql_accept(p, "TO WAREHOUSE"))
		return 0;
	if (sql_expect_name(p, "a warehouse", &name) < 0)
		return p->rc;
	if (strcmp(name, "default_warehouse") != 0)
		return p->rc = err_set(
			       p->err, SQL_ERR(1064),
			       "Warehouse name: %s not exist. (There is default_warehouse.)", name);
	return 0;
}

int sql_parse_alter(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_ALTER_SYSTEM;
	sql_advance(p);
	if (!sql_accept(p, "SYSTEM")) {
		static const char *const words[] = { "TABLE",    "DATABASE",     "USER",
			                             "VIEW",     "MATERIALIZED", "WAREHOUSE",
			                             "RESOURCE", "CATALOG",      "ROLE",
			                             "STORAGE" };
		for (size_t i = 0; i < ARRAY_LEN(words); i++) {
			if (sql_at(p, words[i])) {
				autofree char *what = xasprintf("ALTER %s", words[i]);
				return sql_not_built(p, what);
			}
		}
		return sql_unexpected(p, "SYSTEM");
	}
	bool decommission = sql_accept(p, "DECOMMISSION");
	bool drop = !decommission && sql_accept(p, "DROP");
	if (!decommission && !drop && !sql_at(p, "ADD"))
		return sql_unexpected(p, "ADD, DROP or DECOMMISSION");
	if (!decommission && !drop)
		sql_advance(p);
	st->alter = decommission ? SQL_ALTER_DECOMMISSION : drop ? SQL_ALTER_DROP : SQL_ALTER_ADD;
	if (sql_at(p, "FOLLOWER") || sql_at(p, "OBSERVER"))
		return sql_not_built(p, "more than one front end (FOLLOWER, OBSERVER)");
	if (sql_at(p, "BROKER"))
		return sql_not_built(p, "BROKER");
	if (sql_accept(p, "COMPUTE NODE"))
		st->role = META_CN;
	else if (sql_expect(p, "BACKEND") < 0)
		return p->rc;
	if (decommission && st->role == META_CN)
		return sql_not_built(
			p, "DECOMMISSION of a compute node (it holds no tablets: DROP it)");
	(void)parse_addresses(p, st);
	(void)parse_warehouse(p);
	if (drop)
		st->force = sql_accept(p, "FORCE");
	(void)parse_warehouse(p);
	return sql_expect_end(p);
}

int sql_parse_cancel(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_ALTER_SYSTEM;
	st->alter = SQL_ALTER_CANCEL;
	sql_advance(p);
	if (!sql_accept(p, "DECOMMISSION BACKEND"))
		return sql_not_built(p, "CANCEL of anything but DECOMMISSION BACKEND");
	(void)parse_addresses(p, st);
	return sql_expect_end(p);
}

int sql_parse_kill(struct sql_parser *p, struct sql_statement *st)
{
	st->kind = SQL_STATEMENT_KILL;
	sql_advance(p);
	st->kill_query = sql_accept(p, "QUERY");
	if (!st->kill_query)
		(void)sql_accept(p, "CONNECTION");
	(void)sql_expect_integer(p, "a connection id", 0, UINT32_MAX, &st->number);
	return sql_expect_end(p);
}

/* The right side of an assignment. */
static int parse_value(struct sql_parser *p, struct sql_value *ret)
{
	ret->kind = SQL_VALUE_TEXT;
	bool minus = sql_accept(p, "-");
	if (minus && p->t.kind != SQL_TOK_NUMBER)
		return sql_unexpected(p, "a number");
	autofree char *text = sql_token_value(&p->t);
	switch (p->t.kind) {
	case SQL_TOK_WORD:
		if (sql_at(p, "NULL"))
			ret->kind = SQL_VALUE_NULL;
		if (sql_at(p, "DEFAULT"))
			ret->kind = SQL_VALUE_DEFAULT;
		break;
	case SQL_TOK_SYSVAR:
		ret->kind = SQL_VALUE_SYSVAR;
		break;
	case SQL_TOK_USERVAR:
		ret->kind = SQL_VALUE_USERVAR;
		break;
	case SQL_TOK_STRING:
	case SQL_TOK_QUOTED:
	case SQL_TOK_NUMBER:
		break;
	default:
		return sql_unexpected(p, "a value");
	}
	sql_advance(p);
	if (sql_at(p, "("))
		return sql_not_built(p, "a function call in SET");
	ret->text = minus ? xasprintf("-%s", text) : TAKE_PTR(text);
	return p->rc;
}

/* Takes "global." and the like off a variable's name. */
static void take_scope(char *name, enum sql_scope *scope)
{
	static const struct {
		const char *word;
		enum sql_scope scope;
	} scopes[] = { { "global.", SQL_SCOPE_GLOBAL },
		       { "persist.", SQL_SCOPE_GLOBAL },
		       { "session.", SQL_SCOPE_SESSION },
		       { "local.", SQL_SCOPE_SESSION } };
	for (size_t i = 0; i < ARRAY_LEN(scopes); i++) {
		size_t n = strlen(scopes[i].word);
		if (strncasecmp(name, scopes[i].word, n) == 0) {
			*scope = scopes[i].scope;
			memmove(name, name + n, strlen(name + n) + 1);
			return;
		}
	}
}

/* PASSWORD [FOR user[@host]] = PASSWORD('x') | 'hash' */
static int parse_password(struct sql_parser *p, struct sql_assignment *a)
{
	a->kind = SQL_SET_PASSWORD;
	if (sql_accept(p, "FOR")) {
		if (p->t.kind == SQL_TOK_STRING)
			(void)sql_expect_string(p, "a user", &a->name);
		else
			(void)sql_expect_name(p, "a user", &a->name);
		if (p->t.kind == SQL_TOK_USERVAR)
			sql_advance(p); /* @'host': there is one entry a user */
	}
	(void)sql_expect(p, "=");
	a->hashed = !sql_accept(p, "PASSWORD (");
	(void)sql_expect_string(p, "PASSWORD('text') or a hash in quotes", &a->value.text);
	return a->hashed ? p->rc : sql_expect(p, ")");
}

static int parse_names(struct sql_parser *p, struct sql_assignment *a)
{
	a->kind = SQL_SET_NAMES;
	int rc = parse_value(p, &a->value);
	if (rc == 0 && sql_accept(p, "COLLATE")) {
		struct sql_value collation = { 0 };
		rc = parse_value(p, &collation);
		free(collation.text);
	}
	return rc;
}

static int parse_assignment(struct sql_parser *p, struct sql_assignment *a)
{
	if (sql_accept(p, "GLOBAL") || sql_accept(p, "PERSIST"))
		a->scope = SQL_SCOPE_GLOBAL;
	else if (sql_accept(p, "SESSION") || sql_accept(p, "LOCAL"))
		a->scope = SQL_SCOPE_SESSION;
	if (p->t.kind == SQL_TOK_USERVAR || p->t.kind == SQL_TOK_SYSVAR) {
		a->kind = p->t.kind == SQL_TOK_USERVAR ? SQL_SET_USER_VARIABLE : SQL_SET_VARIABLE;
		a->name = sql_token_value(&p->t);
		sql_advance(p);
	} else {
		(void)sql_expect_name(p, "a variable", &a->name);
	}
	if (p->rc < 0)
		return p->rc;
	if (a->kind == SQL_SET_VARIABLE)
		take_scope(a->name, &a->scope);
	if (!sql_accept(p, "=") && !sql_accept(p, ":="))
		return sql_unexpected(p, "=");
	return parse_value(p, &a->value);
}

static int parse_set_item(struct sql_parser *p, struct sql_statement *st)
{
	struct sql_assignment *a = vec_more(&st->sets);
	*a = (struct sql_assignment){ .scope = SQL_SCOPE_SESSION };
	if (sql_accept(p, "NAMES") || sql_accept(p, "CHARACTER SET") || sql_accept(p, "CHARSET"))
		return parse_names(p, a);
	if (sql_at_all(p, "PASSWORD =") || sql_at_all(p, "PASSWORD FOR")) {
		sql_advance(p);
		return parse_password(p, a);
	}
	return parse_assignment(p, a);
}

int sql_parse_set(struct sql_parser *p, struct sql_statement *st)
{
	static const char *const not_built[] = { "ROLE", "DEFAULT ROLE", "PROPERTY" };
	st->kind = SQL_STATEMENT_SET;
	sql_advance(p);
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		if (sql_at_all(p, not_built[i])) {
			autofree char *what = xasprintf("SET %s", not_built[i]);
			return sql_not_built(p, what);
		}
	}
	if (sql_accept(p, "TRANSACTION") || sql_accept(p, "SESSION TRANSACTION") ||
	    sql_accept(p, "GLOBAL TRANSACTION")) {
		/* Isolation levels and READ ONLY: each statement is its own transaction. */
		st->kind = SQL_STATEMENT_NOTHING;
		while (p->t.kind == SQL_TOK_WORD || sql_at(p, ","))
			sql_advance(p);
		return sql_expect_end(p);
	}
	bool catalog = sql_accept(p, "CATALOG");
	if (catalog || sql_at_all(p, "WAREHOUSE default_warehouse")) {
		if (!catalog)
			sql_advance(p);
		st->kind = SQL_STATEMENT_NOTHING;
		(void)sql_accept(p, "=");
		(void)sql_expect_name(p, "default_catalog", &st->name);
		if (p->rc == 0 && catalog && strcmp(st->name, "default_catalog") != 0)
			return sql_not_built(p, "an external catalog");
		return sql_expect_end(p);
	}
	do {
		if (parse_set_item(p, st) < 0)
			return p->rc;
	} while (sql_accept(p, ","));
	return sql_expect_end(p);
}

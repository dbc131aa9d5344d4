/* SELECT without FROM of variables, literals and session functions: what clients send when they connect and to see
 * whether the server lives, so it must not wait for a node. */
#include "engine/sql/run.h"
#include "lib/base/clock.h"

struct item {
	char *name;
	char *value; /* NULL: SQL NULL */
	struct sql_column column;
};

struct select {
	VEC(struct item) items;
	int64_t limit;
};

static void select_clear(struct select *q)
{
	for (size_t i = 0; i < q->items.n; i++) {
		free(q->items.v[i].name);
		free(q->items.v[i].value);
	}
	vec_free(&q->items);
}
#define _cleanup_select_ __attribute__((cleanup(select_clear)))

static int eval_sysvar(struct sql_session *s, const struct sql_token *t, struct item *it,
                       struct err *err)
{
	autofree char *full = sql_token_value(t);
	enum sql_scope scope = SQL_SCOPE_SESSION;
	enum sql_var_type type;
	const char *name = full;
	if (strncasecmp(full, "global.", 7) == 0) {
		scope = SQL_SCOPE_GLOBAL;
		name += 7;
	} else if (strncasecmp(full, "session.", 8) == 0) {
		name += 8;
	} else if (strncasecmp(full, "local.", 6) == 0) {
		name += 6;
	}
	int rc = sql_var_get(s, name, scope, &it->value, &type, err);
	if (rc < 0)
		return rc;
	it->column.type = type == SQL_VAR_STRING ? SQL_TYPE_VARCHAR : SQL_TYPE_BIGINT;
	if (type == SQL_VAR_BOOL) {
		bool on = strcmp(it->value, "true") == 0;
		free(it->value);
		it->value = xstrdup(on ? "1" : "0");
	}
	return 0;
}

/* An integer or a decimal number as it stands; others are the engine's to print. */
static int eval_number(const struct sql_token *t, bool minus, struct item *it)
{
	struct str s = t->text;
	const char *dot = memchr(s.p, '.', s.len);
	int64_t v = 0;
	for (size_t i = 0; i < s.len; i++) {
		if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '.')
			return SQL_NOT_MINE;
	}
	if (dot && (s.p[0] == '.' || dot + 1 == s.p + s.len || s.len > 38))
		return SQL_NOT_MINE;
	if (!dot && (str_to_i64(s, &v) < 0 || (s.len > 1 && s.p[0] == '0')))
		return SQL_NOT_MINE;
	it->value = xasprintf("%s%.*s", minus ? "-" : "", STR_ARG(s));
	it->column.type = dot ? SQL_TYPE_DECIMAL : v <= INT32_MAX ? SQL_TYPE_INT : SQL_TYPE_BIGINT;
	if (dot) {
		it->column.precision = (unsigned)s.len - 1;
		it->column.scale = (unsigned)(s.p + s.len - dot - 1);
	}
	return 0;
}

static char *quoted_user(const struct sql_session *s, bool with_peer)
{
	const char *colon = strrchr(s->peer, ':');
	if (with_peer)
		return xasprintf("'%s'@'%.*s'", s->user,
		                 (int)(colon ? (size_t)(colon - s->peer) : strlen(s->peer)),
		                 s->peer);
	return xasprintf("'%s'@'%%'", s->user);
}

enum function {
	DATABASE,
	VERSION,
	CURRENT_VERSION,
	USER,
	CURRENT_USER,
	CONNECTION,
	CATALOG,
	LAST_QUERY,
	LAST_INSERT,
	ROLE
};

static void eval_function(const struct sql_session *s, enum function f, struct item *it)
{
	it->column.type = SQL_TYPE_VARCHAR;
	switch (f) {
	case DATABASE:
		it->value = s->db[0] ? xstrdup(s->db) : NULL;
		break;
	case VERSION:
		it->value = xstrdup(s->server->version);
		break;
	case CURRENT_VERSION: {
		/* "8.0.33-roost-0.1.0": ours is what follows MySQL's. */
		const char *own = strstr(s->server->version, "roost-");
		it->value = xstrdup(own ? own : s->server->version);
		break;
	}
	case USER:
	case CURRENT_USER:
		it->value = quoted_user(s, f == USER);
		break;
	case CONNECTION:
	case LAST_INSERT:
		it->column.type = SQL_TYPE_BIGINT;
		it->value = xasprintf("%u", f == CONNECTION ? s->id : 0);
		break;
	case CATALOG:
		it->value = xstrdup("default_catalog");
		break;
	case LAST_QUERY:
		it->value = s->query_id[0] ? xstrdup(s->query_id) : NULL;
		break;
	case ROLE:
		it->value = xstrdup("root");
		break;
	}
}

static int parse_function(struct sql_session *s, struct sql_parser *p, struct item *it)
{
	static const struct {
		const char *words;
		enum function f;
	} functions[] = {
		{ "DATABASE ( )", DATABASE },
		{ "SCHEMA ( )", DATABASE },
		{ "VERSION ( )", VERSION },
		{ "CURRENT_VERSION ( )", CURRENT_VERSION },
		{ "USER ( )", USER },
		{ "SESSION_USER ( )", USER },
		{ "SYSTEM_USER ( )", USER },
		{ "CURRENT_USER ( )", CURRENT_USER },
		{ "CURRENT_USER", CURRENT_USER },
		{ "CONNECTION_ID ( )", CONNECTION },
		{ "CATALOG ( )", CATALOG },
		{ "LAST_QUERY_ID ( )", LAST_QUERY },
		{ "LAST_INSERT_ID ( )", LAST_INSERT },
		{ "CURRENT_ROLE ( )", ROLE },
	};
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		if (sql_accept(p, functions[i].words)) {
			eval_function(s, functions[i].f, it);
			return 0;
		}
	}
	return SQL_NOT_MINE;
}

static int parse_value(struct sql_session *s, struct sql_parser *p, struct item *it,
                       struct err *err)
{
	int rc = 0;
	it->column.type = SQL_TYPE_VARCHAR;
	bool minus = sql_accept(p, "-");
	if (p->t.kind == SQL_TOK_NUMBER) {
		rc = eval_number(&p->t, minus, it);
	} else if (minus) {
		return SQL_NOT_MINE;
	} else if (p->t.kind == SQL_TOK_SYSVAR) {
		rc = eval_sysvar(s, &p->t, it, err);
	} else if (p->t.kind == SQL_TOK_USERVAR) {
		autofree char *name = sql_token_value(&p->t);
		const char *value = map_get(s->user_variables, name);
		it->value = value ? xstrdup(value) : NULL;
	} else if (p->t.kind == SQL_TOK_STRING) {
		it->value = sql_token_value(&p->t);
	} else if (sql_at(p, "NULL")) {
		it->column.type = SQL_TYPE_NULL;
	} else if (sql_at(p, "TRUE") || sql_at(p, "FALSE")) {
		it->column.type = SQL_TYPE_BOOL;
		it->value = xstrdup(sql_at(p, "TRUE") ? "1" : "0");
	} else {
		return parse_function(s, p, it);
	}
	if (rc == 0)
		sql_advance(p);
	return rc;
}

static int parse_item(struct sql_session *s, struct sql_parser *p, struct item *it, struct err *err)
{
	size_t from = p->t.at;
	int rc = parse_value(s, p, it, err);
	if (rc)
		return rc;
	it->name = xstrndup(p->sql.p + from, p->last_end - from);
	bool as = sql_accept(p, "AS");
	bool word = p->t.kind == SQL_TOK_WORD && !sql_at(p, "FROM") && !sql_at(p, "LIMIT");
	if (p->t.kind == SQL_TOK_STRING)
		rc = as ? sql_expect_string(p, "an alias", &it->name) : SQL_NOT_MINE;
	else if (as || word || p->t.kind == SQL_TOK_QUOTED)
		rc = sql_expect_name(p, "an alias", &it->name);
	return rc < 0 ? SQL_NOT_MINE : rc;
}

static int parse_select(struct sql_session *s, struct sql_parser *p, struct select *q,
                        struct err *err)
{
	enum { ITEMS_MAX = 4096 };
	if (!sql_accept(p, "SELECT"))
		return SQL_NOT_MINE;
	do {
		struct item *it = vec_more(&q->items);
		*it = (struct item){ 0 };
		int rc = parse_item(s, p, it, err);
		if (rc)
			return rc;
	} while (q->items.n < ITEMS_MAX && sql_accept(p, ","));
	(void)sql_accept(p, "FROM DUAL");
	if (sql_accept(p, "LIMIT"))
		(void)sql_expect_integer(p, "a limit", 0, INT64_MAX, &q->limit);
	return sql_expect_end(p) < 0 ? SQL_NOT_MINE : 0;
}

int sql_literal_select(struct sql_session *s, struct str sql, struct sql_sink *sink,
                       struct err *err)
{
	_cleanup_select_ struct select q = { .limit = 1 };
	struct sql_parser p;
	sql_parser_init(&p, sql, NULL);
	int rc = parse_select(s, &p, &q, err);
	if (rc)
		return rc;
	autofree struct sql_column *columns = xcalloc(q.items.n, sizeof(*columns));
	autofree struct sql_cell *cells = xcalloc(q.items.n, sizeof(*cells));
	for (size_t i = 0; i < q.items.n; i++) {
		const struct item *it = &q.items.v[i];
		columns[i] = it->column;
		columns[i].name = it->name;
		cells[i] = (struct sql_cell){ it->value, it->value ? strlen(it->value) : 0 };
	}
	rc = sink->columns(sink, columns, q.items.n, err);
	if (rc == 0 && q.limit > 0)
		rc = sink->row(sink, cells, q.items.n, err);
	return rc < 0 ? rc : sink->done(sink, err);
}

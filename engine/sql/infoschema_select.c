#include "engine/sql/filter.h"
#include "engine/sql/infoschema.h"
#include "engine/sql/run.h"
#include "engine/sql/syntax.h"

enum item_kind { ITEM_COLUMN, ITEM_ALL, ITEM_LITERAL, ITEM_COUNT };

struct item {
	enum item_kind kind;
	char *column, *value, *name; /* name: of the result */
};

struct order {
	char *name; /* a column, an alias, or the number of an item */
	bool descending;
};

struct select {
	bool distinct;
	VEC(struct item) items;
	char *table;
	struct sql_filter *where;
	VEC(struct order) orders;
	int64_t offset, limit; /* limit -1: none */
};

static void select_clear(struct select *q)
{
	for (size_t i = 0; i < q->items.n; i++) {
		free(q->items.v[i].column);
		free(q->items.v[i].value);
		free(q->items.v[i].name);
	}
	vec_free(&q->items);
	for (size_t i = 0; i < q->orders.n; i++)
		free(q->orders.v[i].name);
	vec_free(&q->orders);
	free(q->table);
	sql_filter_free(q->where);
}
#define _cleanup_select_ __attribute__((cleanup(select_clear)))

static int parse_item(struct sql_parser *p, const char *db, struct item *it)
{
	size_t from = p->t.at;
	struct sql_parser ahead = *p;
	if (p->t.kind == SQL_TOK_WORD || p->t.kind == SQL_TOK_QUOTED)
		sql_advance(&ahead);
	if (sql_at_all(&ahead, ". *")) /* alias.* */
		*p = ahead;
	if (sql_accept(p, "*") || sql_accept(p, ". *")) {
		it->kind = ITEM_ALL;
		return p->rc;
	}
	if (sql_accept(p, "COUNT ( * )") || sql_accept(p, "COUNT ( 1 )")) {
		it->kind = ITEM_COUNT;
	} else if (sql_accept(p, "DATABASE ( )") || sql_accept(p, "SCHEMA ( )")) {
		it->kind = ITEM_LITERAL;
		it->value = db ? xstrdup(db) : NULL;
	} else if (p->t.kind == SQL_TOK_STRING || p->t.kind == SQL_TOK_NUMBER ||
	           sql_at(p, "NULL")) {
		it->kind = ITEM_LITERAL;
		it->value = sql_at(p, "NULL") ? NULL : sql_token_value(&p->t);
		sql_advance(p);
	} else {
		autofree char *table = NULL;
		(void)sql_expect_qualified(p, "a column, a literal or COUNT(*)", &table,
		                           &it->column);
		if (sql_at(p, "("))
			return sql_not_built(p, "a function over information_schema");
	}
	if (p->rc < 0)
		return p->rc;
	it->name = it->column ? xstrdup(it->column) : xstrndup(p->sql.p + from, p->last_end - from);
	bool as = sql_accept(p, "AS");
	if (p->t.kind == SQL_TOK_STRING)
		return sql_expect_string(p, "an alias", &it->name);
	if (as || p->t.kind == SQL_TOK_QUOTED || (p->t.kind == SQL_TOK_WORD && !sql_at(p, "FROM")))
		return sql_expect_name(p, "an alias", &it->name);
	return p->rc;
}

static int parse_from(struct sql_parser *p, const char *db, struct select *q)
{
	autofree char *schema = NULL;
	(void)sql_expect(p, "FROM");
	(void)sql_expect_qualified(p, "a table", &schema, &q->table);
	if (p->rc == 0 && !str_caseeqs(str_of(schema ? schema : db), "information_schema"))
		return sql_not_built(p, "information_schema together with other tables");
	static const char *const more[] = { ",",     "JOIN",  "LEFT",   "INNER",
		                            "CROSS", "RIGHT", "NATURAL" };
	static const char *const next[] = { "WHERE", "ORDER", "LIMIT", "GROUP", "HAVING", "UNION" };
	bool ends = p->t.kind != SQL_TOK_WORD && p->t.kind != SQL_TOK_QUOTED;
	for (size_t i = 0; i < ARRAY_LEN(next); i++)
		ends = ends || sql_at(p, next[i]);
	for (size_t i = 0; i < ARRAY_LEN(more); i++)
		ends = ends || sql_at(p, more[i]);
	autofree char *alias = NULL;
	if (sql_accept(p, "AS") || !ends)
		(void)sql_expect_name(p, "an alias", &alias);
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		if (sql_at(p, more[i]))
			return sql_not_built(p, "a join of information_schema's tables");
	}
	return p->rc;
}

static int parse_order(struct sql_parser *p, struct select *q)
{
	do {
		struct order o = { 0 };
		autofree char *table = NULL;
		if (p->t.kind == SQL_TOK_NUMBER) {
			o.name = sql_token_value(&p->t);
			sql_advance(p);
		} else {
			(void)sql_expect_qualified(p, "a column", &table, &o.name);
		}
		o.descending = sql_accept(p, "DESC");
		if (!o.descending)
			(void)sql_accept(p, "ASC");
		if (!o.name)
			return p->rc;
		vec_push(&q->orders, o);
	} while (sql_accept(p, ","));
	return p->rc;
}

static int parse_limit(struct sql_parser *p, struct select *q)
{
	(void)sql_expect_integer(p, "a limit", 0, INT64_MAX, &q->limit);
	if (sql_accept(p, "OFFSET"))
		return sql_expect_integer(p, "an offset", 0, INT64_MAX, &q->offset);
	if (!sql_accept(p, ","))
		return p->rc;
	q->offset = q->limit;
	return sql_expect_integer(p, "a limit", 0, INT64_MAX, &q->limit);
}

static int parse_select(struct sql_parser *p, const char *db, struct select *q)
{
	(void)sql_expect(p, "SELECT");
	q->limit = -1;
	q->distinct = sql_accept(p, "DISTINCT");
	do {
		struct item *it = vec_more(&q->items);
		*it = (struct item){ 0 };
		if (parse_item(p, db, it) < 0)
			return p->rc;
	} while (sql_accept(p, ","));
	(void)parse_from(p, db, q);
	if (sql_accept(p, "WHERE"))
		(void)sql_filter_parse(p, db, &q->where);
	if (sql_at(p, "GROUP") || sql_at(p, "HAVING") || sql_at(p, "UNION"))
		return sql_not_built(p, "GROUP BY, HAVING or UNION over information_schema");
	if (sql_accept(p, "ORDER BY"))
		(void)parse_order(p, q);
	if (sql_accept(p, "LIMIT"))
		(void)parse_limit(p, q);
	return sql_expect_end(p);
}

static int unknown_column(const char *name, const char *where, struct err *err)
{
	return err_set(err, SQL_ERR(1054), "Unknown column '%s' in '%s'", name, where);
}

/* The column of the source that an ORDER BY means. */
static int order_column(const struct select *q, const struct sql_rows *source, const char *name,
                        struct err *err)
{
	int64_t n = 0;
	const struct item *it = NULL;
	if (str_to_i64(str_of(name), &n) == 0 && n >= 1 && (size_t)n <= q->items.n)
		it = &q->items.v[n - 1];
	for (size_t i = 0; !it && i < q->items.n; i++) {
		if (q->items.v[i].name && str_caseeq(str_of(q->items.v[i].name), str_of(name)))
			it = &q->items.v[i];
	}
	if (it && it->kind != ITEM_COLUMN && it->kind != ITEM_ALL)
		return -1; /* one value for all rows: any order is right */
	const char *column = it && it->kind == ITEM_COLUMN ? it->column : name;
	int at = sql_rows_column(source, str_of(column));
	return at >= 0 ? at : unknown_column(name, "order clause", err);
}

static int sort(const struct select *q, struct sql_rows *source, struct err *err)
{
	/* The sort is stable, so the least significant goes first. */
	for (size_t i = q->orders.n; i > 0; i--) {
		const struct order *o = &q->orders.v[i - 1];
		int at = order_column(q, source, o->name, err);
		if (at < -1)
			return at;
		if (at >= 0)
			sql_rows_sort(source, (size_t)at, o->descending);
	}
	return 0;
}

/* The shape of the result: for each column its place in the source, or its item. */
struct output {
	int at; /* -1: the item's value */
	const struct item *item;
};

static int shape(const struct select *q, const struct sql_rows *source, struct output **ret,
                 size_t *ret_n, struct err *err)
{
	VEC(struct output) out = { 0 };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < q->items.n; i++) {
		const struct item *it = &q->items.v[i];
		for (size_t k = 0; it->kind == ITEM_ALL && k < source->n_columns; k++)
			vec_push(&out, (struct output){ (int)k, NULL });
		if (it->kind == ITEM_ALL)
			continue;
		int at = it->kind == ITEM_COLUMN ? sql_rows_column(source, str_of(it->column)) : -1;
		if (it->kind == ITEM_COLUMN && at < 0)
			rc = unknown_column(it->column, "field list", err);
		if (it->kind == ITEM_COUNT && q->items.n > 1)
			rc = err_set(
				err, SQL_ERR(1235),
				"COUNT(*) beside columns of information_schema is not supported");
		vec_push(&out, (struct output){ at, it });
	}
	*ret = out.v;
	*ret_n = out.n;
	return rc;
}

static void project(const struct sql_rows *source, const struct output *out, size_t n,
                    struct sql_rows *result)
{
	result->columns = xcalloc(n, sizeof(*result->columns));
	result->n_columns = n;
	for (size_t i = 0; i < n; i++) {
		bool column = out[i].at >= 0;
		const char *name =
			out[i].item ? out[i].item->name : source->columns[out[i].at].name;
		result->columns[i] =
			(struct sql_column){ .name = xstrdup(name),
			                     .type = column ? source->columns[out[i].at].type
			                                    : SQL_TYPE_VARCHAR };
	}
	for (size_t row = 0; row < sql_rows_count(source); row++) {
		for (size_t i = 0; i < n; i++)
			sql_rows_add(result, out[i].at >= 0
			                             ? source->cells.v[row * source->n_columns +
			                                               (size_t)out[i].at]
			                             : out[i].item->value);
	}
}

/* Drops rows that came before. */
static void make_distinct(struct sql_rows *r)
{
	enum { KEY_MAX_ = 1024 * 1024 };
	_cleanup_(map_freep) struct map *seen = map_new(NULL);
	struct sql_rows kept = *r;
	kept.cells.v = NULL;
	kept.cells.n = kept.cells.cap = 0;
	for (size_t row = 0; row < sql_rows_count(r); row++) {
		char **cells = &r->cells.v[row * r->n_columns];
		_cleanup_buf_ struct buf key = BUF_INIT(KEY_MAX_);
		for (size_t i = 0; i < r->n_columns; i++)
			(void)buf_addf(&key, "%s\x1f", cells[i] ? cells[i] : "\x1e");
		bool first = !map_get(seen, buf_cstr(&key));
		if (first)
			map_put(seen, buf_cstr(&key), r);
		for (size_t i = 0; i < r->n_columns; i++) {
			if (first)
				vec_push(&kept.cells, cells[i]);
			else
				free(cells[i]);
		}
	}
	vec_free(&r->cells);
	*r = kept;
}

static int run(struct sql_session *s, const struct select *q, struct sql_sink *sink,
               struct err *err)
{
	_cleanup_sql_rows_ struct sql_rows source = { 0 }, result = { 0 };
	int rc = sql_infoschema_rows(s, q->table, &source, err);
	if (rc == 0 && q->where)
		rc = sql_rows_filter(&source, q->where, err);
	if (rc == 0)
		rc = sort(q, &source, err);
	autofree struct output *out = NULL;
	size_t n = 0;
	if (rc == 0)
		rc = shape(q, &source, &out, &n, err);
	if (rc < 0)
		return rc;
	if (q->items.v[0].kind == ITEM_COUNT) {
		sql_rows_init(&result, "count:l");
		free((char *)(uintptr_t)result.columns[0].name);
		result.columns[0].name = xstrdup(q->items.v[0].name);
		sql_rows_addf(&result, "%zu", sql_rows_count(&source));
	} else {
		project(&source, out, n, &result);
	}
	if (q->distinct)
		make_distinct(&result);
	if (q->limit >= 0)
		sql_rows_limit(&result, q->offset, q->limit);
	return sql_rows_send(&result, sink, err);
}

int sql_infoschema_select(struct sql_session *s, struct str sql, struct sql_sink *sink,
                          struct err *err)
{
	if (!sql_infoschema_reads(s, sql))
		return SQL_NOT_MINE;
	_cleanup_select_ struct select q = { 0 };
	struct sql_parser p;
	sql_parser_init(&p, sql, err);
	if (parse_select(&p, s->db[0] ? s->db : NULL, &q) < 0)
		return SQL_INFOSCHEMA_REWRITE;
	return run(s, &q, sink, err);
}

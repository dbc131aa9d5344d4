#include "engine/sql/create_table.h"

#include "engine/meta/meta.h"
#include "lib/base/mem.h"

void sql_names_free(sql_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	vec_free(names);
}

void sql_create_table_free(struct sql_create_table *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->columns.n; i++) {
		free(c->columns.v[i].name);
		free(c->columns.v[i].default_text);
		free(c->columns.v[i].comment);
	}
	vec_free(&c->columns);
	sql_names_free(&c->keys);
	sql_names_free(&c->distribution);
	sql_names_free(&c->order_by);
	free(c->comment);
	json_decref(c->properties);
	free(c);
}

/* DEFAULT: a literal, NULL or CURRENT_TIMESTAMP; the value is kept without its quotes. */
static int parse_default(struct sql_parser *p, char **ret)
{
	bool minus = sql_accept(p, "-");
	autofree char *text = sql_token_value(&p->t);
	if (p->t.kind == SQL_TOK_NUMBER) {
		*ret = xasprintf("%s%s", minus ? "-" : "", text);
	} else if (minus) {
		return sql_unexpected(p, "a number");
	} else if (p->t.kind == SQL_TOK_STRING) {
		*ret = TAKE_PTR(text);
	} else if (sql_at(p, "CURRENT_TIMESTAMP")) {
		*ret = xstrdup("CURRENT_TIMESTAMP");
		sql_advance(p);
		(void)sql_accept(p, "( )");
		return p->rc;
	} else if (sql_at(p, "TRUE") || sql_at(p, "FALSE")) {
		*ret = xstrdup(sql_at(p, "TRUE") ? "1" : "0");
	} else if (sql_at(p, "(")) {
		return sql_not_built(p, "an expression as DEFAULT");
	} else if (!sql_at(p, "NULL")) {
		return sql_unexpected(p, "a literal, NULL or CURRENT_TIMESTAMP");
	}
	sql_advance(p);
	return p->rc;
}

static int parse_column_options(struct sql_parser *p, struct sql_column_def *c)
{
	static const char *const aggregates[] = { "SUM",
		                                  "MAX",
		                                  "MIN",
		                                  "REPLACE",
		                                  "REPLACE_IF_NOT_NULL",
		                                  "BITMAP_UNION",
		                                  "HLL_UNION",
		                                  "PERCENTILE_UNION" };
	for (;;) {
		if (sql_accept(p, "NOT NULL")) {
			c->nullable = false;
		} else if (sql_accept(p, "NULL")) {
			c->nullable = true;
		} else if (sql_accept(p, "DEFAULT")) {
			if (c->default_text)
				return sql_unexpected(p, "one DEFAULT only");
			(void)parse_default(p, &c->default_text);
		} else if (sql_accept(p, "COMMENT")) {
			if (c->comment)
				return sql_unexpected(p, "one COMMENT only");
			(void)sql_expect_string(p, "a comment", &c->comment);
		} else if (sql_at(p, "AUTO_INCREMENT")) {
			return sql_not_built(p, "AUTO_INCREMENT");
		} else if (sql_at(p, "AS")) {
			return sql_not_built(p, "a generated column");
		} else if (sql_at(p, "KEY") || sql_at_all(p, "PRIMARY KEY") ||
		           sql_at_all(p, "UNIQUE KEY")) {
			return sql_not_built(
				p, "KEY at a column (say DUPLICATE KEY(...) after the columns)");
		} else {
			break;
		}
		if (p->rc < 0)
			return p->rc;
	}
	for (size_t i = 0; i < ARRAY_LEN(aggregates); i++) {
		if (sql_at(p, aggregates[i]))
			return sql_not_built(p, "a column that aggregates (AGGREGATE KEY tables)");
	}
	return p->rc;
}

static int parse_columns(struct sql_parser *p, struct sql_create_table *c)
{
	if (sql_expect(p, "(") < 0)
		return p->rc;
	do {
		if (sql_at_all(p, "INDEX") || sql_at_all(p, "PRIMARY KEY (") ||
		    sql_at_all(p, "UNIQUE KEY ("))
			return sql_not_built(p, "INDEX and keys among the columns");
		if (c->columns.n >= META_COLUMNS_MAX)
			return sql_unexpected(p, "at most 4096 columns");
		struct sql_column_def *d = vec_more(&c->columns);
		*d = (struct sql_column_def){ .nullable = true };
		if (sql_expect_name(p, "a column", &d->name) < 0 ||
		    sql_parse_type(p, &d->type) < 0 || parse_column_options(p, d) < 0)
			return p->rc;
	} while (sql_accept(p, ","));
	return sql_expect(p, ")");
}

static int parse_names(struct sql_parser *p, sql_names *names)
{
	if (names->n)
		return sql_unexpected(p, "this clause only once");
	(void)sql_expect(p, "(");
	do {
		char *name = NULL;
		if (sql_expect_name(p, "a column", &name) < 0)
			return p->rc;
		vec_push(names, name);
	} while (sql_accept(p, ","));
	return sql_expect(p, ")");
}

static int parse_distribution(struct sql_parser *p, struct sql_create_table *c)
{
	c->random = sql_accept(p, "RANDOM");
	if (!c->random) {
		(void)sql_expect(p, "HASH");
		(void)parse_names(p, &c->distribution);
	}
	if (sql_accept(p, "BUCKETS") && !sql_accept(p, "AUTO"))
		(void)sql_expect_integer(p, "buckets", 1, META_BUCKETS_MAX, &c->buckets);
	return p->rc;
}

static int parse_properties(struct sql_parser *p, struct sql_create_table *c)
{
	(void)sql_expect(p, "(");
	do {
		autofree char *name = NULL, *value = NULL;
		(void)sql_expect_string(p, "a property in quotes", &name);
		(void)sql_expect(p, "=");
		if (sql_expect_string(p, "a value in quotes", &value) < 0)
			break;
		if (json_object_set_new(c->properties, name, json_string(value)) < 0)
			return p->rc = err_set(p->err, SQL_ERR(1064), "property '%s': not UTF-8",
			                       name);
	} while (sql_accept(p, ","));
	return sql_expect(p, ")");
}

static int parse_engine(struct sql_parser *p)
{
	(void)sql_accept(p, "=");
	if (sql_accept(p, "OLAP"))
		return p->rc;
	return sql_not_built(p, "ENGINE other than OLAP");
}

/* What follows the columns, in any order. */
static int parse_options(struct sql_parser *p, struct sql_create_table *c)
{
	static const char *const not_built[] = { "PRIMARY KEY",  "UNIQUE KEY", "AGGREGATE KEY",
		                                 "PARTITION BY", "ROLLUP",     "AS SELECT",
		                                 "AS WITH" };
	while (p->rc == 0 && p->t.kind != SQL_TOK_END && !sql_at(p, ";")) {
		for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
			if (sql_at_all(p, not_built[i])) {
				autofree char *what =
					xasprintf("CREATE TABLE ... %s", not_built[i]);
				return sql_not_built(p, what);
			}
		}
		if (sql_accept(p, "ENGINE"))
			(void)parse_engine(p);
		else if (sql_accept(p, "DUPLICATE KEY"))
			(void)parse_names(p, &c->keys);
		else if (sql_accept(p, "COMMENT"))
			(void)sql_expect_string(p, "a comment", &c->comment);
		else if (sql_accept(p, "DISTRIBUTED BY"))
			(void)parse_distribution(p, c);
		else if (sql_accept(p, "ORDER BY"))
			(void)parse_names(p, &c->order_by);
		else if (sql_accept(p, "PROPERTIES"))
			(void)parse_properties(p, c);
		else
			return sql_unexpected(p, "ENGINE, DUPLICATE KEY, COMMENT, DISTRIBUTED BY, "
			                         "ORDER BY or PROPERTIES");
	}
	return sql_expect_end(p);
}

static const struct sql_column_def *find(const struct sql_create_table *c, const char *name)
{
	for (size_t i = 0; i < c->columns.n; i++) {
		if (str_caseeq(str_of(c->columns.v[i].name), str_of(name)))
			return &c->columns.v[i];
	}
	return NULL;
}

static int check_names(struct sql_parser *p, const struct sql_create_table *c,
                       const sql_names *names, const char *clause)
{
	for (size_t i = 0; i < names->n; i++) {
		if (!find(c, names->v[i]))
			return p->rc = err_set(p->err, SQL_ERR(1064),
			                       "%s column '%s' does not exist in the table", clause,
			                       names->v[i]);
	}
	return 0;
}

static int check(struct sql_parser *p, const struct sql_create_table *c)
{
	for (size_t i = 0; i < c->columns.n; i++) {
		if (find(c, c->columns.v[i].name) != &c->columns.v[i])
			return p->rc = err_set(p->err, SQL_ERR(1060), "Duplicate column name '%s'",
			                       c->columns.v[i].name);
	}
	if (check_names(p, c, &c->keys, "Key") < 0 ||
	    check_names(p, c, &c->distribution, "Distribution") < 0 ||
	    check_names(p, c, &c->order_by, "Order by") < 0)
		return p->rc;
	for (size_t i = 0; i < c->keys.n; i++) {
		const struct sql_column_def *d = &c->columns.v[i];
		if (!str_caseeq(str_of(d->name), str_of(c->keys.v[i])))
			return p->rc = err_set(
				       p->err, SQL_ERR(1064),
				       "Key columns should be a ordered prefix of the schema. "
				       "KeyColumns[%zu] is '%s', the column there is '%s'",
				       i, c->keys.v[i], d->name);
		if (!d->type.can_be_key)
			return p->rc = err_set(p->err, SQL_ERR(1064),
			                       "Invalid data type of key column '%s': '%s'",
			                       d->name, d->type.declared);
	}
	return 0;
}

/* StarRocks' choice without DUPLICATE KEY: up to three first columns, none after a text. */
static void choose_keys(struct sql_create_table *c)
{
	enum { DEFAULT_KEYS = 3 };
	for (size_t i = 0; c->keys.n == i && i < c->columns.n && i < DEFAULT_KEYS; i++) {
		const struct sql_column_def *d = &c->columns.v[i];
		if (!d->type.can_be_key)
			return;
		vec_push(&c->keys, xstrdup(d->name));
		if (d->type.is_text)
			return;
	}
}

int sql_parse_create_table(struct sql_parser *p, struct sql_create_table **ret)
{
	_cleanup_(sql_create_table_freep) struct sql_create_table *c = xcalloc(1, sizeof(*c));
	c->properties = json_object();
	if (parse_columns(p, c) < 0 || parse_options(p, c) < 0 || check(p, c) < 0)
		return p->rc;
	if (!c->keys.n)
		choose_keys(c);
	*ret = TAKE_PTR(c);
	return 0;
}

#include "engine/duck/types.h"

#include <errno.h>

#include "lib/data/json.h"

static void quoted(struct buf *sql, const char *text, char quote)
{
	(void)buf_addc(sql, quote);
	for (; *text; text++) {
		if (*text == quote)
			(void)buf_addc(sql, quote);
		(void)buf_addc(sql, *text);
	}
	(void)buf_addc(sql, quote);
}

void duck_ident(struct buf *sql, const char *name)
{
	quoted(sql, name, '"');
}

void duck_literal(struct buf *sql, const char *text)
{
	quoted(sql, text, '\'');
}

static const struct {
	enum xchg_type ours;
	duckdb_type theirs;
} pairs[] = {
	{ XCHG_BOOLEAN, DUCKDB_TYPE_BOOLEAN },     { XCHG_TINYINT, DUCKDB_TYPE_TINYINT },
	{ XCHG_SMALLINT, DUCKDB_TYPE_SMALLINT },   { XCHG_INTEGER, DUCKDB_TYPE_INTEGER },
	{ XCHG_BIGINT, DUCKDB_TYPE_BIGINT },       { XCHG_HUGEINT, DUCKDB_TYPE_HUGEINT },
	{ XCHG_FLOAT, DUCKDB_TYPE_FLOAT },         { XCHG_DOUBLE, DUCKDB_TYPE_DOUBLE },
	{ XCHG_DECIMAL, DUCKDB_TYPE_DECIMAL },     { XCHG_DATE, DUCKDB_TYPE_DATE },
	{ XCHG_TIMESTAMP, DUCKDB_TYPE_TIMESTAMP }, { XCHG_VARCHAR, DUCKDB_TYPE_VARCHAR },
	{ XCHG_BLOB, DUCKDB_TYPE_BLOB },           { XCHG_UTINYINT, DUCKDB_TYPE_UTINYINT },
	{ XCHG_USMALLINT, DUCKDB_TYPE_USMALLINT }, { XCHG_UINTEGER, DUCKDB_TYPE_UINTEGER },
	{ XCHG_UBIGINT, DUCKDB_TYPE_UBIGINT },     { XCHG_NULL, DUCKDB_TYPE_SQLNULL },
};

bool duck_type_of(duckdb_logical_type type, struct xchg_column *ret)
{
	duckdb_type id = duckdb_get_type_id(type);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		if (pairs[i].theirs != id)
			continue;
		ret->type = pairs[i].ours;
		bool decimal = id == DUCKDB_TYPE_DECIMAL;
		ret->precision = decimal ? duckdb_decimal_width(type) : 0;
		ret->scale = decimal ? duckdb_decimal_scale(type) : 0;
		return true;
	}
	ret->type = XCHG_VARCHAR;
	ret->precision = ret->scale = 0;
	return false;
}

duckdb_logical_type duck_type_new(const struct xchg_column *c)
{
	if (c->type == XCHG_DECIMAL)
		return duckdb_create_decimal_type(c->precision, c->scale);
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
		if (pairs[i].ours == c->type)
			return duckdb_create_logical_type(pairs[i].theirs);
	return duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
}

void duck_columns_clear(struct duck_columns *c)
{
	xchg_columns_free(c->v, c->n);
	free(c->nullable);
	free(c->max_bytes);
	*c = (struct duck_columns){ 0 };
}

int duck_columns_parse(const json_t *list, struct duck_columns *ret, struct err *err)
{
	size_t n = json_array_size(list);
	if (n == 0 || n > XCHG_COLUMNS_MAX)
		return err_set(err, -EINVAL, "columns: %zu, 1 to %d are possible", n,
		               XCHG_COLUMNS_MAX);
	_cleanup_columns_ struct duck_columns c = { 0 };
	c.v = xcalloc(n, sizeof(*c.v));
	c.nullable = xcalloc(n, sizeof(*c.nullable));
	c.max_bytes = xcalloc(n, sizeof(*c.max_bytes));
	for (; c.n < n; c.n++) {
		const json_t *item = json_array_get(list, c.n);
		const char *name = data_get_str(item, "name"), *type = data_get_str(item, "type");
		if (!name || !type)
			return err_set(err, -EINVAL, "columns.%zu: name and type are needed", c.n);
		int rc = xchg_type_parse(type, &c.v[c.n], err);
		if (rc < 0)
			return err_wrap(err, "column %s", name);
		c.v[c.n].name = xstrdup(name);
		c.nullable[c.n] = data_get_bool(item, "nullable", true);
		c.max_bytes[c.n] = xchg_text_max(data_get_str(item, "declared"));
	}
	*ret = c;
	c = (struct duck_columns){ 0 };
	return 0;
}

size_t duck_columns_find(const struct duck_columns *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (str_caseeqs(str_of(c->v[i].name), name))
			return i;
	return c->n;
}

json_t *duck_column_json(const struct xchg_column *c)
{
	_cleanup_buf_ struct buf type = BUF_INIT(64);
	(void)xchg_type_name(c, &type);
	return json_pack("{s:s, s:s}", "name", c->name, "type", buf_cstr(&type));
}

void duck_cast(struct buf *sql, const struct xchg_column *c, const char *source)
{
	if (c->type == XCHG_NULL) {
		(void)buf_adds(sql, source);
		return;
	}
	(void)buf_addf(sql, "CAST(%s AS ", source);
	(void)xchg_type_name(c, sql);
	(void)buf_addc(sql, ')');
}

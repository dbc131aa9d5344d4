#include "engine/exchange/format.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/base/str.h"

static const struct {
	const char *name;
	enum xchg_type type;
	size_t width;
} types[] = {
	{ "BOOLEAN", XCHG_BOOLEAN, 1 },   { "TINYINT", XCHG_TINYINT, 1 },
	{ "SMALLINT", XCHG_SMALLINT, 2 }, { "INTEGER", XCHG_INTEGER, 4 },
	{ "BIGINT", XCHG_BIGINT, 8 },     { "HUGEINT", XCHG_HUGEINT, 16 },
	{ "FLOAT", XCHG_FLOAT, 4 },       { "DOUBLE", XCHG_DOUBLE, 8 },
	{ "DATE", XCHG_DATE, 4 },         { "TIMESTAMP", XCHG_TIMESTAMP, 8 },
	{ "VARCHAR", XCHG_VARCHAR, 0 },   { "BLOB", XCHG_BLOB, 0 },
	{ "UTINYINT", XCHG_UTINYINT, 1 }, { "USMALLINT", XCHG_USMALLINT, 2 },
	{ "UINTEGER", XCHG_UINTEGER, 4 }, { "UBIGINT", XCHG_UBIGINT, 8 },
	{ "\"NULL\"", XCHG_NULL, 0 },
};

size_t xchg_width(const struct xchg_column *c)
{
	if (c->type == XCHG_DECIMAL)
		return c->precision <= 4 ? 2 : c->precision <= 9 ? 4 : c->precision <= 18 ? 8 : 16;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == c->type)
			return types[i].width;
	return 0;
}

int xchg_type_name(const struct xchg_column *c, struct buf *out)
{
	if (c->type == XCHG_DECIMAL)
		return buf_addf(out, "DECIMAL(%u,%u)", c->precision, c->scale);
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (types[i].type == c->type)
			return buf_adds(out, types[i].name);
	return -EINVAL;
}

/* "(18,2)" or "(18)"; nothing means DuckDB's DECIMAL(18,3). */
static bool decimal_parse(struct str s, struct xchg_column *ret)
{
	uint64_t precision = 18, scale = 3;
	if (s.len) {
		if (s.p[0] != '(' || s.p[s.len - 1] != ')')
			return false;
		struct str rest = { s.p + 1, s.len - 2 }, p = { 0 }, q = { 0 };
		scale = 0;
		if (!str_split(&rest, ',', &p) || str_to_u64(str_trim(p), &precision) < 0)
			return false;
		if (str_split(&rest, ',', &q) && str_to_u64(str_trim(q), &scale) < 0)
			return false;
		if (rest.p)
			return false;
	}
	if (precision < 1 || precision > 38 || scale > precision)
		return false;
	ret->type = XCHG_DECIMAL;
	ret->precision = (uint8_t)precision;
	ret->scale = (uint8_t)scale;
	return true;
}

int64_t xchg_text_max(const char *declared)
{
	static const char *const names[] = { "varchar(", "char(" };
	for (size_t i = 0; declared && i < ARRAY_LEN(names); i++) {
		struct str rest = str_of(declared), digits;
		int64_t n = 0;
		if (str_starts(rest, names[i])) {
			rest.p += strlen(names[i]);
			rest.len -= strlen(names[i]);
			if (str_split(&rest, ')', &digits) && str_to_i64(digits, &n) == 0 && n > 0)
				return n;
		}
	}
	return 0;
}

int xchg_type_parse(const char *name, struct xchg_column *ret, struct err *err)
{
	struct str s = str_trim(str_of(name));
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (str_caseeqs(s, types[i].name)) {
			ret->type = types[i].type;
			ret->precision = ret->scale = 0;
			return 0;
		}
	struct str head = { s.p, s.len < 7 ? s.len : 7 };
	if (str_caseeqs(head, "DECIMAL") && decimal_parse((struct str){ s.p + 7, s.len - 7 }, ret))
		return 0;
	return err_set(err, -EINVAL, "type %.64s is not one that tasks exchange", name);
}

void xchg_columns_free(struct xchg_column *columns, size_t n)
{
	for (size_t i = 0; columns && i < n; i++)
		free(columns[i].name);
	free(columns);
}

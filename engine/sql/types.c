#include "engine/sql/create_table.h"
#include "lib/base/mem.h"

enum args { NONE, WIDTH /* (n), of no meaning */, LENGTH, DECIMAL };
enum { LENGTH_MAX = 1048576, DECIMAL_MAX = 38, KEY = 1, TEXT = 2 };

/* Ours and StarRocks' other names for them; DuckDB's spelling beside. */
static const struct {
	const char *word, *type, *declared;
	enum args args;
	int flags;
} types[] = {
	{ "BOOLEAN", "BOOLEAN", "boolean", NONE, KEY },
	{ "BOOL", "BOOLEAN", "boolean", NONE, KEY },
	{ "TINYINT", "TINYINT", "tinyint", WIDTH, KEY },
	{ "SMALLINT", "SMALLINT", "smallint", WIDTH, KEY },
	{ "INT", "INTEGER", "int", WIDTH, KEY },
	{ "INTEGER", "INTEGER", "int", WIDTH, KEY },
	{ "BIGINT", "BIGINT", "bigint", WIDTH, KEY },
	{ "LARGEINT", "HUGEINT", "largeint", WIDTH, KEY },
	{ "FLOAT", "FLOAT", "float", NONE, 0 },
	{ "DOUBLE", "DOUBLE", "double", NONE, 0 },
	{ "DECIMAL", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "DECIMALV2", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "DECIMAL32", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "DECIMAL64", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "DECIMAL128", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "NUMERIC", "DECIMAL", "decimal", DECIMAL, KEY },
	{ "DATE", "DATE", "date", NONE, KEY },
	{ "DATETIME", "TIMESTAMP", "datetime", WIDTH, KEY },
	{ "TIMESTAMP", "TIMESTAMP", "datetime", WIDTH, KEY },
	{ "CHAR", "VARCHAR", "char", LENGTH, KEY | TEXT },
	{ "VARCHAR", "VARCHAR", "varchar", LENGTH, KEY | TEXT },
	{ "STRING", "VARCHAR", "string", NONE, KEY | TEXT },
	{ "TEXT", "VARCHAR", "string", NONE, KEY | TEXT },
	{ "VARBINARY", "BLOB", "varbinary", LENGTH, 0 },
	{ "BINARY", "BLOB", "varbinary", LENGTH, 0 },
};
static const char *const not_built[] = { "JSON", "ARRAY",      "MAP",  "STRUCT",     "BITMAP",
	                                 "HLL",  "PERCENTILE", "TIME", "DECIMAL256", "VARIANT" };

static int parse_length(struct sql_parser *p, enum args args, struct sql_type_name *ret)
{
	int64_t n = 0;
	if (!sql_accept(p, "("))
		return 0;
	if (args == LENGTH && sql_accept(p, "*"))
		n = LENGTH_MAX;
	else if (sql_expect_integer(p, args == LENGTH ? "a length" : "a width",
	                            args == LENGTH ? 1 : 0, LENGTH_MAX, &n) < 0)
		return p->rc;
	size_t used = strlen(ret->declared);
	if (args == LENGTH)
		(void)snprintf(ret->declared + used, sizeof(ret->declared) - used, "(%lld)",
		               (long long)n);
	return sql_expect(p, ")");
}

static int parse_decimal(struct sql_parser *p, struct sql_type_name *ret)
{
	int64_t precision = 10, scale = 0;
	if (sql_accept(p, "(")) {
		(void)sql_expect_integer(p, "a precision", 1, DECIMAL_MAX, &precision);
		if (sql_accept(p, ","))
			(void)sql_expect_integer(p, "a scale", 0, precision, &scale);
		(void)sql_expect(p, ")");
	}
	(void)snprintf(ret->type, sizeof(ret->type), "DECIMAL(%d,%d)", (int)precision, (int)scale);
	(void)snprintf(ret->declared, sizeof(ret->declared), "decimal(%d,%d)", (int)precision,
	               (int)scale);
	return p->rc;
}

int sql_parse_type(struct sql_parser *p, struct sql_type_name *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(not_built); i++) {
		if (sql_at(p, not_built[i])) {
			autofree char *what = xasprintf("the type %s", not_built[i]);
			return sql_not_built(p, what);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (!sql_accept(p, types[i].word))
			continue;
		*ret = (struct sql_type_name){ .can_be_key = types[i].flags & KEY,
			                       .is_text = types[i].flags & TEXT };
		(void)snprintf(ret->type, sizeof(ret->type), "%s", types[i].type);
		(void)snprintf(ret->declared, sizeof(ret->declared), "%s", types[i].declared);
		if (types[i].args == DECIMAL)
			return parse_decimal(p, ret);
		int rc = types[i].args == NONE ? 0 : parse_length(p, types[i].args, ret);
		if (rc == 0 && sql_at(p, "UNSIGNED"))
			return sql_not_built(p, "UNSIGNED");
		/* StarRocks' CHAR without a length is CHAR(1), VARCHAR the longest. */
		if (rc == 0 && strcmp(ret->declared, "char") == 0)
			(void)snprintf(ret->declared, sizeof(ret->declared), "char(1)");
		return rc;
	}
	return sql_unexpected(
		p, "a type (INT, BIGINT, DECIMAL(p,s), DATE, DATETIME, VARCHAR(n), ...)");
}

#include "engine/wire/cell.h"

#include <errno.h>

#include "engine/wire/handshake.h"
#include "engine/wire/packet.h"

enum { FLAG_BINARY = 128, DECIMALS_ANY = 31 };

/* How a client sees each type: StarRocks' choices, since Connector/J converts by them. */
static const struct {
	uint8_t code;
	uint32_t length;
	bool text;
	bool binary; /* MySQL's BINARY flag; with it on a number Connector/J gives bytes for a BOOLEAN */
} shown[] = {
	[SQL_TYPE_NULL] = { 6, 0, false, false },
	[SQL_TYPE_BOOL] = { 1, 1, false, false },
	[SQL_TYPE_TINYINT] = { 1, 4, false, false },
	[SQL_TYPE_SMALLINT] = { 2, 6, false, false },
	[SQL_TYPE_INT] = { 3, 11, false, false },
	[SQL_TYPE_BIGINT] = { 8, 20, false, false },
	[SQL_TYPE_LARGEINT] = { 254, 40 * 4, true, false },
	[SQL_TYPE_FLOAT] = { 4, 12, false, false },
	[SQL_TYPE_DOUBLE] = { 5, 22, false, false },
	[SQL_TYPE_DECIMAL] = { 246, 0, false, false },
	[SQL_TYPE_DATE] = { 10, 10, false, true },
	[SQL_TYPE_DATETIME] = { 12, 26, false, true },
	[SQL_TYPE_VARCHAR] = { 253, 65533 * 4, true, false },
	[SQL_TYPE_VARBINARY] = { 252, 1024 * 1024, false, true },
};

void wire_put_column(struct buf *out, const struct sql_column *column, bool field_list)
{
	uint32_t length = shown[column->type].length;
	unsigned decimals = 0;
	if (column->type == SQL_TYPE_DECIMAL) {
		length = column->precision + 2;
		decimals = column->scale;
	} else if (column->type == SQL_TYPE_FLOAT || column->type == SQL_TYPE_DOUBLE) {
		decimals = DECIMALS_ANY;
	}
	size_t name = strlen(column->name);
	wire_put_lenstr(out, "def", 3);
	wire_put_lenenc(out, 0); /* schema, table and original table: unknown for an expression */
	wire_put_lenenc(out, 0);
	wire_put_lenenc(out, 0);
	wire_put_lenstr(out, column->name, name);
	wire_put_lenstr(out, column->name, name);
	wire_put_lenenc(out, 0x0c);
	(void)buf_addle(out, shown[column->type].text ? WIRE_CHARSET : WIRE_CHARSET_BINARY, 2);
	(void)buf_addle(out, length, 4);
	(void)buf_addle(out, shown[column->type].code, 1);
	(void)buf_addle(out, shown[column->type].binary ? FLAG_BINARY : 0, 2);
	(void)buf_addle(out, decimals, 1);
	(void)buf_addle(out, 0, 2);
	if (field_list)
		(void)buf_addle(out, 0xfb, 1);
}

static int not_of_type(struct sql_cell cell, const char *type, struct err *err)
{
	return err_set(err, -EINVAL, "'%.*s' is no %s", cell.len > 40 ? 40 : (int)cell.len, cell.p,
	               type);
}

static int put_integer(struct buf *out, struct sql_cell cell, size_t bytes, struct err *err)
{
	int64_t v = 0;
	if (str_to_i64((struct str){ cell.p, cell.len }, &v) < 0)
		return not_of_type(cell, "integer", err);
	return buf_addle(out, (uint64_t)v, bytes);
}

static int put_float(struct buf *out, struct sql_cell cell, bool single, struct err *err)
{
	char text[64], *end = NULL;
	if (cell.len == 0 || cell.len >= sizeof(text))
		return not_of_type(cell, "number", err);
	memcpy(text, cell.p, cell.len);
	text[cell.len] = '\0';
	double d = strtod(text, &end); /* also nan and inf, which a result may hold */
	if (*end)
		return not_of_type(cell, "number", err);
	if (single) {
		float f = (float)d;
		return buf_add(out, &f, sizeof(f));
	}
	return buf_add(out, &d, sizeof(d));
}

/* The next run of digits of at most max, and the separator after it (0: none wanted). */
static bool take_number(struct str *s, size_t max, char after, unsigned *ret)
{
	unsigned v = 0;
	size_t n = 0;
	while (n < s->len && n < max && s->p[n] >= '0' && s->p[n] <= '9')
		v = v * 10 + (unsigned)(s->p[n++] - '0');
	if (!n)
		return false;
	*s = (struct str){ s->p + n, s->len - n };
	*ret = v;
	if (!after)
		return true;
	if (!s->len || s->p[0] != after)
		return false;
	*s = (struct str){ s->p + 1, s->len - 1 };
	return true;
}

static int put_datetime(struct buf *out, struct sql_cell cell, bool date_only, struct err *err)
{
	struct str s = { cell.p, cell.len };
	unsigned year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, micro = 0;
	bool good = take_number(&s, 4, '-', &year) && take_number(&s, 2, '-', &month) &&
	            take_number(&s, 2, 0, &day);
	if (good && s.len && (s.p[0] == ' ' || s.p[0] == 'T')) {
		s = (struct str){ s.p + 1, s.len - 1 };
		good = take_number(&s, 2, ':', &hour) && take_number(&s, 2, ':', &minute) &&
		       take_number(&s, 2, 0, &second);
	}
	if (good && s.len > 1 && s.p[0] == '.') {
		s = (struct str){ s.p + 1, s.len - 1 };
		size_t digits = s.len;
		good = take_number(&s, 6, 0, &micro);
		for (; good && digits < 6; digits++)
			micro *= 10;
	}
	if (!good || s.len)
		return not_of_type(cell, date_only ? "date" : "datetime", err);
	unsigned size = date_only ? 4 : micro ? 11 : 7;
	(void)buf_addle(out, size, 1);
	(void)buf_addle(out, year, 2);
	(void)buf_addle(out, month, 1);
	(void)buf_addle(out, day, 1);
	if (size > 4) {
		(void)buf_addle(out, hour, 1);
		(void)buf_addle(out, minute, 1);
		(void)buf_addle(out, second, 1);
	}
	return size > 7 ? buf_addle(out, micro, 4) : 0;
}

int wire_put_binary(struct buf *out, enum sql_type type, struct sql_cell cell, struct err *err)
{
	switch (type) {
	case SQL_TYPE_BOOL:
	case SQL_TYPE_TINYINT:
		return put_integer(out, cell, 1, err);
	case SQL_TYPE_SMALLINT:
		return put_integer(out, cell, 2, err);
	case SQL_TYPE_INT:
		return put_integer(out, cell, 4, err);
	case SQL_TYPE_BIGINT:
		return put_integer(out, cell, 8, err);
	case SQL_TYPE_FLOAT:
	case SQL_TYPE_DOUBLE:
		return put_float(out, cell, type == SQL_TYPE_FLOAT, err);
	case SQL_TYPE_DATE:
	case SQL_TYPE_DATETIME:
		return put_datetime(out, cell, type == SQL_TYPE_DATE, err);
	default:
		wire_put_lenstr(out, cell.p, cell.len);
		return 0;
	}
}

#include "engine/wire/stmt.h"

#include <errno.h>
#include <math.h>

#include "engine/sql/lex.h"
#include "engine/sql/sink.h"
#include "engine/wire/packet.h"
#include "engine/wire/wire.h"
#include "lib/base/vec.h"

enum { UNSIGNED = 0x8000 };

int wire_stmt_new(struct str sql, uint32_t id, struct wire_stmt **ret, struct err *err)
{
	struct str rest = sql, one, more;
	int rc = sql_split(&rest, &one, err);
	if (rc == 0)
		return err_set(err, SQL_ERR(1065), "Query was empty");
	if (rc < 0)
		return rc;
	rc = sql_split(&rest, &more, err);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return sql_syntax_error(sql, (size_t)(more.p - sql.p), err,
		                        "a prepared statement is one statement");
	_cleanup_(wire_stmt_freep) struct wire_stmt *s = xcalloc(1, sizeof(*s));
	s->id = id;
	s->sql = str_dup(one);
	s->sql_len = one.len;
	struct sql_lexer lx;
	struct sql_token t;
	VEC(struct wire_param) params = { 0 };
	sql_lex_init(&lx, (struct str){ s->sql, s->sql_len });
	while ((rc = sql_lex_next(&lx, &t, err)) == 0 && t.kind != SQL_TOK_END) {
		if (t.kind != SQL_TOK_PARAM)
			continue;
		vec_push(&params,
		         (struct wire_param){ .at = t.at, .data = BUF_INIT(WIRE_PACKET_MAX) });
		if (params.n > WIRE_PARAMS_MAX)
			break;
	}
	s->params = params.v;
	s->n_params = params.n;
	if (rc < 0)
		return rc;
	if (s->n_params > WIRE_PARAMS_MAX)
		return err_set(err, SQL_ERR(1390),
		               "Prepared statement contains too many placeholders: at most %d",
		               WIRE_PARAMS_MAX);
	*ret = TAKE_PTR(s);
	return 0;
}

void wire_stmt_free(struct wire_stmt *s)
{
	if (!s)
		return;
	wire_stmt_reset(s);
	free(s->params);
	free(s->sql);
	free(s);
}

void wire_stmt_reset(struct wire_stmt *s)
{
	for (size_t i = 0; i < s->n_params; i++) {
		buf_free(&s->params[i].data);
		s->params[i].long_data = false;
	}
	s->long_bytes = 0;
	s->too_long = false;
}

void wire_stmt_long_data(struct wire_stmt *s, size_t param, struct str data)
{
	if (param >= s->n_params || data.len > WIRE_PACKET_MAX - s->long_bytes) {
		s->too_long = true;
		return;
	}
	s->long_bytes += data.len;
	s->params[param].long_data = true;
	(void)buf_add(&s->params[param].data, data.p, data.len);
}

static void put_quoted(struct buf *out, struct str s)
{
	(void)buf_addc(out, '\'');
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (c == '\'' || c == '\\')
			(void)buf_addc(out, '\\');
		if (c)
			(void)buf_addc(out, c);
		else
			(void)buf_adds(out, "\\0");
	}
	(void)buf_addc(out, '\'');
}

static bool is_plain_decimal(struct str s)
{
	size_t digits = 0, dots = 0;
	for (size_t i = s.len && s.p[0] == '-'; i < s.len; i++) {
		if (s.p[i] == '.')
			dots++;
		else if (s.p[i] >= '0' && s.p[i] <= '9')
			digits++;
		else
			return false;
	}
	return digits && dots <= 1;
}

/* A blank before each number: "a-?" with -5 must not become a comment. */
static void put_integer(struct wire_cursor *c, size_t bytes, bool is_unsigned, struct buf *out)
{
	uint64_t v = wire_get_int(c, bytes);
	unsigned unused = (unsigned)(64 - 8 * bytes);
	if (is_unsigned)
		(void)buf_addf(out, " %llu", (unsigned long long)v);
	else
		(void)buf_addf(out, " %lld", (long long)((int64_t)(v << unused) >> unused));
}

static int put_float(struct wire_cursor *c, bool single, struct buf *out, struct err *err)
{
	struct str s = wire_get_bytes(c, single ? sizeof(float) : sizeof(double));
	double d = 0;
	if (single && s.len) {
		float f = 0;
		memcpy(&f, s.p, sizeof(f));
		d = (double)f;
	} else if (s.len) {
		memcpy(&d, s.p, sizeof(d));
	}
	if (!isfinite(d))
		return err_set(err, SQL_ERR(1210), "a parameter that is not a finite number");
	/* With an exponent, since digits alone would be a DECIMAL. */
	(void)buf_addf(out, single ? " %.8e" : " %.16e", d);
	return 0;
}

static int put_date(struct wire_cursor *c, struct buf *out, struct err *err)
{
	uint64_t n = wire_get_int(c, 1);
	if (n != 0 && n != 4 && n != 7 && n != 11)
		return err_set(err, SQL_ERR(1210), "a date parameter of %u bytes", (unsigned)n);
	unsigned year = n ? (unsigned)wire_get_int(c, 2) : 0;
	unsigned month = n ? (unsigned)wire_get_int(c, 1) : 0;
	unsigned day = n ? (unsigned)wire_get_int(c, 1) : 0;
	(void)buf_addf(out, "'%04u-%02u-%02u", year, month, day);
	if (n > 4) {
		unsigned h = (unsigned)wire_get_int(c, 1), m = (unsigned)wire_get_int(c, 1);
		(void)buf_addf(out, " %02u:%02u:%02u", h, m, (unsigned)wire_get_int(c, 1));
	}
	if (n > 7)
		(void)buf_addf(out, ".%06u", (unsigned)wire_get_int(c, 4));
	(void)buf_addc(out, '\'');
	return 0;
}

static int put_time(struct wire_cursor *c, struct buf *out, struct err *err)
{
	uint64_t n = wire_get_int(c, 1);
	if (n != 0 && n != 8 && n != 12)
		return err_set(err, SQL_ERR(1210), "a time parameter of %u bytes", (unsigned)n);
	bool negative = n && wire_get_int(c, 1);
	unsigned days = n ? (unsigned)wire_get_int(c, 4) : 0;
	unsigned h = n ? (unsigned)wire_get_int(c, 1) : 0;
	unsigned m = n ? (unsigned)wire_get_int(c, 1) : 0;
	unsigned s = n ? (unsigned)wire_get_int(c, 1) : 0;
	(void)buf_addf(out, "'%s%02llu:%02u:%02u", negative ? "-" : "",
	               (unsigned long long)days * 24 + h, m, s);
	if (n > 8)
		(void)buf_addf(out, ".%06u", (unsigned)wire_get_int(c, 4));
	(void)buf_addc(out, '\'');
	return 0;
}

static int put_value(struct wire_cursor *c, uint16_t type, struct buf *out, struct err *err)
{
	bool is_unsigned = type & UNSIGNED;
	switch (type & 0xff) {
	case 1:
		put_integer(c, 1, is_unsigned, out);
		return 0;
	case 2:  /* SHORT */
	case 13: /* YEAR */
		put_integer(c, 2, is_unsigned, out);
		return 0;
	case 3: /* LONG */
	case 9: /* INT24 */
		put_integer(c, 4, is_unsigned, out);
		return 0;
	case 8:
		put_integer(c, 8, is_unsigned, out);
		return 0;
	case 4:
	case 5:
		return put_float(c, (type & 0xff) == 4, out, err);
	case 7:  /* TIMESTAMP */
	case 10: /* DATE */
	case 12: /* DATETIME */
		return put_date(c, out, err);
	case 11:
		return put_time(c, out, err);
	case 0:
	case 246: {
		struct str s = wire_get_lenstr(c);
		if (is_plain_decimal(s))
			(void)buf_addf(out, " %.*s", STR_ARG(s));
		else
			put_quoted(out, s);
		return 0;
	}
	case 15: /* VARCHAR, BIT, JSON, ENUM, SET, the blobs, VAR_STRING, STRING */
	case 16:
	case 245:
	case 247 ... 254:
		put_quoted(out, wire_get_lenstr(c));
		return 0;
	default:
		return err_set(err, SQL_ERR(1210), "a parameter of type %u is not supported",
		               type & 0xffu);
	}
}

static void read_types(struct wire_stmt *s, struct wire_cursor *c)
{
	for (size_t i = 0; i < s->n_params; i++)
		s->params[i].type = (uint16_t)wire_get_int(c, 2);
}

static int bind_params(struct wire_stmt *s, struct wire_cursor *c, struct buf *out, struct err *err)
{
	struct str nulls = wire_get_bytes(c, (s->n_params + 7) / 8);
	if (wire_get_int(c, 1) == 1)
		read_types(s, c);
	size_t from = 0;
	for (size_t i = 0; i < s->n_params && !c->bad; i++) {
		struct wire_param *p = &s->params[i];
		(void)buf_add(out, s->sql + from, p->at - from);
		from = p->at + 1;
		if (nulls.p[i / 8] >> (i % 8) & 1 || (p->type & 0xff) == 6) {
			(void)buf_adds(out, " NULL ");
		} else if (p->long_data) {
			put_quoted(out, (struct str){ buf_cstr(&p->data), p->data.len });
		} else {
			int rc = put_value(c, p->type, out, err);
			if (rc < 0)
				return rc;
		}
	}
	(void)buf_add(out, s->sql + from, s->sql_len - from);
	return 0;
}

int wire_stmt_bind(struct wire_stmt *s, struct str payload, struct buf *out, struct err *err)
{
	struct wire_cursor c = wire_cursor_of(payload);
	(void)wire_get_int(&c,
	                   1); /* cursor type: rows are sent without one, as the protocol allows */
	(void)wire_get_int(&c, 4);
	if (s->too_long)
		return err_set(err, SQL_ERR(1105), "long data of more than %d bytes or for no ?",
		               WIRE_PACKET_MAX);
	int rc = 0;
	if (s->n_params)
		rc = bind_params(s, &c, out, err);
	else
		(void)buf_add(out, s->sql, s->sql_len);
	if (rc < 0)
		return rc;
	if (c.bad)
		return err_set(err, SQL_ERR(1210), "COM_STMT_EXECUTE: the packet is cut short");
	if (out->overflow)
		return err_set(err, SQL_ERR(1153), "a statement of more than %zu bytes", out->max);
	return 0;
}

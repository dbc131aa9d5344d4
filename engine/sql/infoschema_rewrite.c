#include "engine/sql/infoschema.h"

#include "engine/sql/syntax.h"

/* A reference to a table of information_schema at p (p moves behind it); bare: also without the database's name. */
static bool take_reference(struct sql_session *s, struct sql_parser *p, bool bare, char **ret_table)
{
	autofree char *db = NULL;
	bool inside = bare && str_caseeqs(str_of(s->db), "information_schema");
	struct sql_parser ahead = *p;
	ahead.err = NULL;
	if (sql_expect_qualified(&ahead, "a table", &db, ret_table) < 0)
		return false;
	if (db ? !str_caseeqs(str_of(db), "information_schema")
	       : !inside || str_caseeqs(str_of(*ret_table), "dual"))
		return false;
	ahead.err = p->err;
	*p = ahead;
	return true;
}

bool sql_infoschema_reads(struct sql_session *s, struct str sql)
{
	struct sql_parser p;
	sql_parser_init(&p, sql, NULL);
	while (p.rc == 0 && p.t.kind != SQL_TOK_END) {
		bool from = sql_at(&p, "FROM") || sql_at(&p, "JOIN");
		sql_advance(&p);
		autofree char *table = NULL;
		if (from && take_reference(s, &p, true, &table))
			return true;
	}
	return false;
}

static void put_literal(struct buf *out, const struct sql_column *c, const char *text, bool typed)
{
	bool integer = c->type == SQL_TYPE_BIGINT;
	if (typed)
		(void)buf_adds(out, "CAST(");
	if (!text) {
		(void)buf_adds(out, "NULL");
	} else if (integer) {
		(void)buf_adds(out, text);
	} else {
		(void)buf_addc(out, '\'');
		for (; *text; text++) {
			if (*text == '\'' || *text == '\\')
				(void)buf_addc(out, '\\');
			(void)buf_addc(out, *text);
		}
		(void)buf_addc(out, '\'');
	}
	if (typed)
		(void)buf_adds(out, integer ? " AS BIGINT)" : " AS VARCHAR)");
}

/* (SELECT * FROM (VALUES (…), …) AS v(columns)): the first row gives the types; without rows it is kept out. */
static void put_rows(struct buf *out, const struct sql_rows *rows)
{
	size_t n = sql_rows_count(rows);
	(void)buf_adds(out, "(SELECT * FROM (VALUES ");
	for (size_t row = 0; row < (n ? n : 1); row++) {
		(void)buf_adds(out, row ? ", (" : "(");
		for (size_t i = 0; i < rows->n_columns; i++) {
			if (i)
				(void)buf_adds(out, ", ");
			put_literal(out, &rows->columns[i],
			            n ? rows->cells.v[row * rows->n_columns + i] : NULL, row == 0);
		}
		(void)buf_addc(out, ')');
	}
	(void)buf_adds(out, ") AS v(");
	for (size_t i = 0; i < rows->n_columns; i++)
		(void)buf_addf(out, "%s`%s`", i ? ", " : "", rows->columns[i].name);
	(void)buf_adds(out, n ? "))" : ") WHERE 1 = 0)");
}

/* What may stand behind a table that has no alias. */
static bool has_alias(const struct sql_parser *p)
{
	static const char *const clauses[] = { "WHERE",  "ORDER",    "GROUP",   "HAVING", "LIMIT",
		                               "UNION",  "JOIN",     "INNER",   "LEFT",   "RIGHT",
		                               "FULL",   "CROSS",    "NATURAL", "ON",     "USING",
		                               "EXCEPT", "INTERSECT" };
	if (p->t.kind == SQL_TOK_QUOTED)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(clauses); i++) {
		if (sql_at(p, clauses[i]))
			return false;
	}
	return p->t.kind == SQL_TOK_WORD;
}

static int put_table(struct sql_session *s, struct sql_parser *p, const char *table,
                     struct buf *out, struct err *err)
{
	_cleanup_sql_rows_ struct sql_rows rows = { 0 };
	int rc = sql_infoschema_rows(s, table, &rows, err);
	if (rc < 0)
		return rc;
	(void)buf_addc(out, ' ');
	put_rows(out, &rows);
	if (!has_alias(p))
		(void)buf_addf(out, " AS `%s`", table);
	(void)buf_addc(out, ' ');
	return 0;
}

/* MySQL's UPPER takes numbers, and Connector/J gives it some: each argument is cast. */
struct casts {
	int depths[SQL_DEPTH_MAX + 1]; /* of the parentheses that are open and have a cast inside */
	size_t n;
};

/* At a "(" or ")" of UPPER: writes what belongs beside it, the text before it included. */
static void put_casts(struct casts *c, const struct sql_parser *p, bool upper, size_t *copied,
                      struct buf *out)
{
	bool open = upper && sql_at(p, "(");
	/* The lexer stands behind the token: inside after "(", outside after ")". */
	bool close = c->n && sql_at(p, ")") && p->lx.depth == c->depths[c->n - 1] - 1;
	if (!open && !close)
		return;
	size_t upto = open ? p->lx.at : p->t.at;
	(void)buf_add(out, p->sql.p + *copied, upto - *copied);
	*copied = upto;
	(void)buf_adds(out, open ? "CAST(" : " AS VARCHAR)");
	if (open)
		c->depths[c->n++] = p->lx.depth;
	else
		c->n--;
}

/* Where a HAVING of the outermost query, and the ORDER BY behind it, begin and end. */
struct having {
	size_t at, after, order, end;
	bool found, grouped;
};

static struct having find_having(struct str sql)
{
	struct having h = { .order = sql.len, .end = sql.len };
	struct sql_parser p;
	sql_parser_init(&p, sql, NULL);
	for (; p.rc == 0 && p.t.kind != SQL_TOK_END; sql_advance(&p)) {
		if (p.lx.depth)
			continue;
		h.grouped = h.grouped || sql_at(&p, "GROUP");
		if (sql_at(&p, "HAVING")) {
			h.found = true;
			h.at = p.t.at;
			h.after = p.lx.at;
		} else if (h.found && sql_at_all(&p, "ORDER BY")) {
			h.order = p.t.at;
		} else if (h.found && sql_at(&p, "LIMIT")) {
			h.end = p.t.at;
		}
	}
	if (h.order > h.end)
		h.order = h.end;
	return h;
}

/* SELECT … HAVING c ORDER BY o LIMIT l  ->  SELECT * FROM (SELECT … ORDER BY o) AS h WHERE c LIMIT l */
static void move_having(struct buf *b)
{
	struct having h = find_having((struct str){ buf_cstr(b), b->len });
	if (!h.found || h.grouped)
		return;
	struct buf moved = BUF_INIT(b->max);
	(void)buf_adds(&moved, "SELECT * FROM (");
	(void)buf_add(&moved, b->p, h.at);
	(void)buf_add(&moved, b->p + h.order, h.end - h.order);
	(void)buf_adds(&moved, ") AS h WHERE ");
	(void)buf_add(&moved, b->p + h.after, h.order - h.after);
	(void)buf_addc(&moved, ' ');
	(void)buf_add(&moved, b->p + h.end, b->len - h.end);
	buf_free(b);
	*b = moved;
}

int sql_infoschema_rewrite(struct sql_session *s, struct str sql, struct buf *out, struct err *err)
{
	struct sql_parser p;
	struct casts casts = { .n = 0 };
	size_t copied = 0;
	bool from = false, comma = false, upper = false; /* what the token before was */
	sql_parser_init(&p, sql, err);
	while (p.rc == 0 && p.t.kind != SQL_TOK_END) {
		autofree char *table = NULL;
		size_t at = p.t.at;
		if ((from || comma) && take_reference(s, &p, from, &table)) {
			(void)buf_add(out, sql.p + copied, at - copied);
			copied = p.last_end;
			from = comma = upper = false;
			int rc = put_table(s, &p, table, out, err);
			if (rc < 0)
				return rc;
			continue; /* the token behind the table is looked at next */
		}
		put_casts(&casts, &p, upper, &copied, out);
		from = sql_at(&p, "FROM") || sql_at(&p, "JOIN");
		comma = sql_at(&p, ",");
		upper = sql_at(&p, "UPPER") || sql_at(&p, "LOWER");
		sql_advance(&p);
	}
	if (p.rc < 0)
		return p.rc;
	(void)buf_add(out, sql.p + copied, sql.len - copied);
	move_having(out);
	if (out->overflow)
		return err_set(
			err, SQL_ERR(1235),
			"this query over information_schema (%zu bytes with its rows) is not "
			"supported",
			out->max);
	return 0;
}

#include "engine/sql/normalise.h"

#include <errno.h>
#include <string.h>

#include "engine/sql/keyword.h"
#include "engine/sql/lex.h"
#include "engine/sql/mode.h"
#include "engine/sqlerr.h"
#include "lib/base/mem.h"
#include "lib/base/vec.h"

enum { JOINS_MAX = 16 }; /* that wait for their ON at once; a plain chain has one */

struct join {
	size_t at; /* of JOIN, INNER or CROSS in the output */
	enum { PLAIN, INNER, CROSS, OUTER } kind;
};

struct frame { /* of one open parenthesis */
	bool cast, concat;
	bool type;       /* after the AS of a CAST */
	bool interval;   /* after INTERVAL: a unit comes */
	unsigned nots;   /* "(NOT" of ! that end with the operand */
	size_t order_at; /* where ORDER BY begins in the output, of a GROUP_CONCAT; 0: nowhere */
	size_t limit_at; /* where the first number of LIMIT begins; 0: nowhere */
	bool from;       /* in a FROM clause */
	bool tables;     /* all of it is a list of tables: FROM a, (b, c) */
	bool comma;      /* with a comma in it */
	struct join joins[JOINS_MAX];
	size_t n_joins;
};

struct norm {
	struct str sql;
	unsigned modes;
	struct sql_lexer lx;
	struct buf *out;
	struct err *err;
	struct sql_token back[2]; /* back[0] is the token before this one */
	struct sql_token last;    /* the one that was read last */
	struct sql_token next;    /* the one after it */
	size_t back_at;           /* where back[0] begins in the output */
	VEC(struct frame) frames;
};

static bool is_word(const struct sql_token *t, const char *word)
{
	return t->kind == SQL_TOK_WORD && str_caseeqs(t->text, word);
}

static bool is_op(const struct sql_token *t, const char *op)
{
	return t->kind == SQL_TOK_OP && str_eqs(t->text, op);
}

static int refuse(struct norm *n, const struct sql_token *t, const char *what)
{
	return sql_syntax_error(n->sql, t->at, n->err, "%s", what);
}

/* The token with its quotes changed: doubled inside. */
static int put_quoted(struct norm *n, const struct sql_token *t, char quote)
{
	_cleanup_buf_ struct buf value = BUF_INIT(SQL_TEXT_MAX);
	int rc = sql_token_bytes(t, &value);
	if (rc < 0 || memchr(buf_cstr(&value), '\0', value.len))
		return refuse(n, t, "a zero byte or too long a text inside quotes");
	if (quote == '"' && value.len == 0)
		return refuse(n, t, "a name is empty");
	(void)buf_addc(n->out, quote);
	for (size_t i = 0; i < value.len; i++) {
		if (value.p[i] == quote)
			(void)buf_addc(n->out, quote);
		(void)buf_addc(n->out, value.p[i]);
	}
	return buf_addc(n->out, quote);
}

static int advance(struct norm *n, struct sql_token *ret)
{
	*ret = n->last = n->next;
	return sql_lex_next(&n->lx, &n->next, n->err);
}

static bool ends_expression(const struct sql_token *t)
{
	return t->kind == SQL_TOK_NUMBER || t->kind == SQL_TOK_QUOTED || is_op(t, ")");
}

/* 'a' "b" is one string; after AS or an expression a string is an alias. */
static int put_string(struct norm *n, struct sql_token *t)
{
	if (is_word(&n->back[0], "AS") || ends_expression(&n->back[0]))
		return put_quoted(n, t, '"');
	size_t at = n->out->len;
	int rc = put_quoted(n, t, '\'');
	while (rc == 0 && n->next.kind == SQL_TOK_STRING) {
		rc = advance(n, t);
		n->out->len--; /* the closing quote of the one before */
		size_t joint = n->out->len;
		if (rc == 0)
			rc = put_quoted(n, t, '\'');
		if (rc == 0) { /* and the opening one of this */
			memmove(n->out->p + joint, n->out->p + joint + 1, n->out->len - joint - 1);
			n->out->p[--n->out->len] = '\0';
		}
	}
	if (rc < 0)
		return rc;
	struct str text = { n->out->p + at, n->out->len - at };
	if (is_word(&n->back[0], "LIKE") && memchr(text.p, '\\', text.len) &&
	    !is_word(&n->next, "ESCAPE"))
		rc = buf_adds(n->out, " ESCAPE '\\'");
	return rc;
}

/* a NOT REGEXP b: DuckDB's operators are ~ and !~. */
static int put_regexp(struct norm *n)
{
	if (!is_word(&n->back[0], "NOT"))
		return buf_adds(n->out, " ~ ");
	n->out->len = n->back_at;
	return buf_adds(n->out, " !~ ");
}

static int insert(struct norm *n, size_t at, const char *text, size_t len)
{
	if (buf_add(n->out, text, len) < 0)
		return -E2BIG;
	memmove(n->out->p + at + len, n->out->p + at, n->out->len - len - at);
	memcpy(n->out->p + at, text, len);
	return 0;
}

/* MySQL's joins: ON may be absent after JOIN and INNER JOIN, and may be there after CROSS JOIN. */
static void note_join(struct norm *n, struct frame *f)
{
	const struct sql_token *b = &n->back[0];
	struct join j = { .at = n->out->len, .kind = PLAIN };
	if (is_word(b, "NATURAL") || is_word(&n->back[1], "NATURAL"))
		return;
	if (is_word(b, "INNER") || is_word(b, "CROSS")) {
		j.kind = is_word(b, "INNER") ? INNER : CROSS;
		j.at = n->back_at + (n->out->p[n->back_at] == ' ');
	} else if (is_word(b, "LEFT") || is_word(b, "RIGHT") || is_word(b, "FULL") ||
	           is_word(b, "OUTER") || is_word(b, "SEMI") || is_word(b, "ANTI")) {
		j.kind = OUTER;
	}
	if (f->n_joins < JOINS_MAX)
		f->joins[f->n_joins++] = j;
}

static bool has_outer(const struct frame *f)
{
	for (size_t i = 0; i < f->n_joins; i++) {
		if (f->joins[i].kind == OUTER)
			return true;
	}
	return false;
}

/* ON and USING are the last join's that has none; an outer join must have one, a CROSS JOIN behind it need not. */
static void note_condition(struct norm *n, struct frame *f)
{
	if (f->n_joins == 0)
		return;
	struct join j = f->joins[--f->n_joins];
	while (j.kind == CROSS && has_outer(f))
		j = f->joins[--f->n_joins];
	if (j.kind == CROSS)
		memcpy(n->out->p + j.at, "INNER", 5);
}

/* The FROM clause, or a part of it, ends: joins that got no ON are cross joins. */
static int end_joins(struct norm *n, struct frame *f)
{
	while (f->n_joins > 0) {
		const struct join *j = &f->joins[--f->n_joins];
		if (j->kind == INNER)
			memcpy(n->out->p + j->at, "CROSS", 5);
		else if (j->kind == PLAIN && insert(n, j->at, "CROSS ", 6) < 0)
			return -E2BIG;
	}
	return 0;
}

/* Before each token. */
static int follow_from(struct norm *n, const struct sql_token *t)
{
	static const char *const ends[] = { "WHERE",  "GROUP",   "HAVING",    "ORDER",
		                            "LIMIT",  "UNION",   "EXCEPT",    "MINUS",
		                            "WINDOW", "QUALIFY", "INTERSECT", "SELECT" };
	struct frame *f = &n->frames.v[n->frames.n - 1];
	bool over = is_op(t, ")");
	for (size_t i = 0; i < ARRAY_LEN(ends) && !over; i++)
		over = is_word(t, ends[i]);
	if (is_word(t, "FROM") && !is_word(&n->back[0], "DISTINCT"))
		f->from = true;
	if (f->tables && f->comma && (is_word(t, "RIGHT") || is_word(t, "FULL")))
		return refuse(n, t,
		              "an outer join of the right side beside a comma in parentheses");
	if (over || is_op(t, ",") || is_op(t, ";")) {
		int rc = end_joins(n, f);
		if (rc < 0)
			return rc;
	}
	f->from = f->from && !over;
	return 0;
}

/* ( after FROM, a comma or JOIN: a list of tables unless it is a query. */
static bool begins_tables(const struct norm *n, const struct frame *f)
{
	const struct sql_token *b = &n->back[0];
	bool place = is_word(b, "FROM") || is_op(b, ",") || is_word(b, "JOIN") ||
	             (f->tables && is_op(b, "("));
	return f->from && place && !is_word(&n->next, "SELECT") && !is_word(&n->next, "WITH") &&
	       !is_word(&n->next, "VALUES");
}

/* SEPARATOR 'x' becomes the second argument, which stands before ORDER BY. */
static int put_separator(struct norm *n, struct frame *f)
{
	struct sql_token t;
	int rc = advance(n, &t);
	if (rc < 0)
		return rc;
	if (t.kind != SQL_TOK_STRING)
		return refuse(n, &t, "SEPARATOR takes a string constant");
	size_t end = n->out->len;
	(void)buf_adds(n->out, ", ");
	rc = put_quoted(n, &t, '\'');
	if (rc < 0)
		return rc;
	(void)buf_addc(n->out, ' ');
	autofree char *text = xstrndup(n->out->p + end, n->out->len - end);
	n->out->len = end;
	return insert(n, f->order_at ? f->order_at : end, text, strlen(text));
}

/* LIMIT a, b: the first number, which is in the output, goes behind the second. */
static int put_limit_comma(struct norm *n, struct frame *f)
{
	struct sql_token t;
	int rc = advance(n, &t);
	if (rc < 0)
		return rc;
	if (t.kind != SQL_TOK_NUMBER)
		return refuse(n, &t, "LIMIT a, b takes two numbers");
	autofree char *offset = xstrndup(n->out->p + f->limit_at, n->out->len - f->limit_at);
	n->out->len = f->limit_at;
	f->limit_at = 0;
	return buf_addf(n->out, " %.*s OFFSET%s", STR_ARG(t.text), offset);
}

/* INTERVAL n DAY: DuckDB wants parentheses around what is no plain number or string. */
static int put_interval(struct norm *n)
{
	struct sql_token t = n->next;
	n->frames.v[n->frames.n - 1].interval = true;
	(void)buf_adds(n->out, "INTERVAL ");
	bool sign = is_op(&t, "-") || is_op(&t, "+");
	bool name = t.kind == SQL_TOK_WORD || t.kind == SQL_TOK_QUOTED;
	if (!sign && !name)
		return 0;
	(void)buf_addc(n->out, '(');
	int rc = advance(n, &t);
	if (rc == 0 && sign) {
		(void)buf_add(n->out, t.text.p, t.text.len);
		rc = advance(n, &t);
	}
	for (;; rc = advance(n, &t)) {
		if (rc < 0)
			return rc;
		if (t.kind == SQL_TOK_QUOTED)
			rc = put_quoted(n, &t, '"');
		else if (t.kind == SQL_TOK_STRING)
			rc = put_quoted(n, &t, '\'');
		else
			rc = buf_add(n->out, t.text.p, t.text.len);
		if (rc < 0 || (!is_op(&n->next, ".") && !is_op(&t, ".")))
			break;
	}
	return rc < 0 ? rc : buf_addc(n->out, ')');
}

/* Words that are spelled otherwise. *ret_done: it was one of them. */
static int put_keyword(struct norm *n, const struct sql_token *t, bool *ret_done)
{
	static const struct {
		const char *from, *to;
	} words[] = { { "DIV", " // " }, { "MOD", " % " } };
	struct frame *f = &n->frames.v[n->frames.n - 1];
	bool call = is_op(&n->next, "(");
	*ret_done = true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (is_word(t, words[i].from) && (!call || ends_expression(&n->back[0])))
			return buf_adds(n->out, words[i].to);
	}
	if (is_word(t, "REGEXP") && !call)
		return put_regexp(n);
	if (is_word(t, "RLIKE"))
		return put_regexp(n);
	if (is_word(t, "INTERVAL") && !is_op(&n->next, ")") && !is_op(&n->next, ","))
		return put_interval(n);
	if (is_word(t, "SEPARATOR") && f->concat)
		return put_separator(n, f);
	if ((is_word(t, "SEMI") || is_word(t, "ANTI")) && is_word(&n->back[0], "LEFT")) {
		n->out->len = n->back_at; /* LEFT SEMI JOIN: what DuckDB calls SEMI JOIN */
		(void)buf_addc(n->out, ' ');
	}
	if (is_word(t, "FROM") && is_word(&n->next, "DUAL")) {
		struct sql_token dual;
		return advance(n, &dual);
	}
	if (is_word(t, "LATERAL"))
		return refuse(n, t, "LATERAL is not supported");
	if (f->type && (is_word(t, "INTEGER") || is_word(t, "INT")) &&
	    (is_word(&n->back[0], "SIGNED") || is_word(&n->back[0], "UNSIGNED")))
		return 0;
	*ret_done = false;
	return 0;
}

/* Whether a word is a name here that DuckDB would take for one of its keywords. */
static bool is_name(struct norm *n, const struct sql_token *t)
{
	struct frame *f = &n->frames.v[n->frames.n - 1];
	const struct sql_token *back = &n->back[0];
	if (is_word(t, "OFFSET"))
		return n->next.kind != SQL_TOK_NUMBER && !is_op(&n->next, "(");
	if (sql_keyword_hard(t->text))
		return !is_op(&n->next, "(");
	if (!sql_keyword_soft(t->text))
		return false;
	if (f->interval) {
		f->interval = false;
		return false;
	}
	bool ends =
		n->next.kind == SQL_TOK_END || is_op(&n->next, ",") || is_word(&n->next, "FROM");
	return ends && !f->type &&
	       (ends_expression(back) || back->kind == SQL_TOK_WORD ||
	        back->kind == SQL_TOK_STRING);
}

static int put_word(struct norm *n, const struct sql_token *t)
{
	bool done;
	int rc = put_keyword(n, t, &done);
	if (rc < 0 || done)
		return rc;
	struct frame *f = &n->frames.v[n->frames.n - 1];
	if (is_word(t, "AS") && f->cast)
		f->type = true;
	if (is_word(t, "ORDER") && f->concat)
		f->order_at = n->out->len;
	if (is_word(t, "LIMIT"))
		f->limit_at = n->out->len + t->text.len;
	if (is_word(t, "JOIN") && f->from)
		note_join(n, f);
	if ((is_word(t, "ON") || is_word(t, "USING")) && f->from)
		note_condition(n, f);
	if (is_name(n, t))
		return put_quoted(n, t, '"');
	return buf_add(n->out, t->text.p, t->text.len);
}

/* ! binds tighter than any other operator, NOT looser than a comparison: parentheses around the operand. */
static int put_not(struct norm *n, struct frame *f)
{
	if (is_word(&n->next, "CASE")) /* its end is far */
		return buf_adds(n->out, " NOT ");
	f->nots++;
	return buf_adds(n->out, "(NOT ");
}

/* After the token t: whether the operand of ! ends here. */
static int end_nots(struct norm *n, const struct sql_token *t)
{
	struct frame *f = &n->frames.v[n->frames.n - 1];
	bool prefix = t->kind == SQL_TOK_OP && !is_op(t, ")");
	if (!f->nots || prefix || is_op(&n->next, ".") || is_op(&n->next, "("))
		return 0;
	for (; f->nots; f->nots--)
		(void)buf_addc(n->out, ')');
	return n->out->overflow ? -E2BIG : 0;
}

static int put_op(struct norm *n, const struct sql_token *t)
{
	static const struct {
		const char *from, *to;
	} ops[] = { { "<=>", " IS NOT DISTINCT FROM " }, { "&&", " AND " }, { "||", " OR " } };
	struct frame *f = &n->frames.v[n->frames.n - 1];
	if (is_op(t, "!"))
		return put_not(n, f);
	bool concat = n->modes & SQL_MODE_PIPES_AS_CONCAT && is_op(t, "||");
	for (size_t i = 0; i < ARRAY_LEN(ops) && !concat; i++) {
		if (is_op(t, ops[i].from))
			return buf_adds(n->out, ops[i].to);
	}
	if (is_op(t, "^"))
		return refuse(n, t, "^ is not supported: write bitxor(a, b)");
	if (strchr(":[]{}", t->text.p[0]) || is_op(t, "->") || is_op(t, "->>") || is_op(t, "=>"))
		return refuse(n, t, "not an operator here");
	if (is_op(t, ",") && f->limit_at && n->back[0].kind == SQL_TOK_NUMBER &&
	    is_word(&n->back[1], "LIMIT"))
		return put_limit_comma(n, f);
	if (is_op(t, ",") && f->tables) {
		f->comma = true;
		return buf_adds(n->out, " CROSS JOIN ");
	}
	bool tables = begins_tables(n, f);
	if (is_op(t, "("))
		vec_push(&n->frames, (struct frame){ .cast = is_word(&n->back[0], "CAST") ||
		                                             is_word(&n->back[0], "TRY_CAST"),
		                                     .concat = is_word(&n->back[0], "GROUP_CONCAT"),
		                                     .from = tables,
		                                     .tables = tables });
	if (is_op(t, ")") && n->frames.n > 1)
		n->frames.n--;
	return buf_add(n->out, t->text.p, t->text.len);
}

/* 0x4a is bytes, as x'4a' is. */
static int put_number(struct norm *n, const struct sql_token *t)
{
	if (t->text.len < 3 || !str_caseeqs((struct str){ t->text.p, 2 }, "0x"))
		return buf_add(n->out, t->text.p, t->text.len);
	return buf_addf(n->out, "x'%s%.*s'", t->text.len % 2 ? "0" : "", (int)t->text.len - 2,
	                t->text.p + 2);
}

static int put(struct norm *n, struct sql_token *t)
{
	switch (t->kind) {
	case SQL_TOK_WORD:
		return put_word(n, t);
	case SQL_TOK_STRING:
		return put_string(n, t);
	case SQL_TOK_QUOTED:
		return put_quoted(n, t, '"');
	case SQL_TOK_NUMBER:
		return put_number(n, t);
	case SQL_TOK_OP:
		return put_op(n, t);
	case SQL_TOK_SYSVAR:
	case SQL_TOK_USERVAR:
		return refuse(n, t, "variables inside a query are not supported");
	case SQL_TOK_PARAM:
		return refuse(n, t, "? without a value");
	case SQL_TOK_END:
		break;
	}
	return 0;
}

static int normalise(struct norm *n)
{
	size_t end = 0; /* of the token before, in the text */
	int rc = sql_lex_next(&n->lx, &n->next, n->err);
	while (rc == 0 && n->next.kind != SQL_TOK_END) {
		struct sql_token t;
		rc = advance(n, &t);
		if (rc < 0)
			return rc;
		rc = follow_from(n, &t);
		if (rc < 0)
			return n->err->code ? rc : refuse(n, &t, "the statement is too long");
		if (is_op(&t, ";") && n->next.kind == SQL_TOK_END)
			return 0;
		size_t at = n->out->len;
		/* One space where there was white space or a comment: names of columns come from this text. */
		if (at > 0 && t.at > end)
			(void)buf_addc(n->out, ' ');
		rc = put(n, &t);
		if (rc == 0)
			rc = end_nots(n, &n->last);
		if (rc < 0)
			return n->err->code ? rc : refuse(n, &t, "the statement is too long");
		end = n->last.at + n->last.text.len;
		n->back[1] = n->back[0];
		n->back[0] = n->last;
		n->back_at = at;
	}
	return rc < 0 ? rc : end_joins(n, &n->frames.v[0]);
}

int sql_normalise(struct str sql, unsigned modes, struct buf *out, struct err *err)
{
	struct err own = ERR_INIT;
	struct norm n = { .sql = sql, .modes = modes, .out = out, .err = err ? err : &own };
	n.err->code = 0;
	sql_lex_init(&n.lx, sql);
	vec_push(&n.frames, (struct frame){ 0 });
	int rc = normalise(&n);
	vec_free(&n.frames);
	return rc;
}

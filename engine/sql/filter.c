#include "engine/sql/filter.h"

#include "lib/base/vec.h"

enum filter_op { F_AND, F_OR, F_NOT, F_EQ, F_NE, F_LT, F_LE, F_GT, F_GE, F_LIKE, F_IN, F_IS_NULL };
enum truth { NO, YES, UNKNOWN };
enum { COMPARISONS_MAX = 1000 }; /* the tree is walked by recursion */

struct scope {
	const char *db;
	size_t comparisons;
};

struct operand {
	bool is_column;
	char *text; /* the column's name, or the value; NULL: the value NULL */
};

struct sql_filter {
	enum filter_op op;
	struct sql_filter *left, *right; /* AND, OR, NOT (left) */
	struct operand subject;
	VEC(struct operand) values; /* one, or those of IN */
};

void sql_filter_free(struct sql_filter *f)
{
	if (!f)
		return;
	sql_filter_free(f->left);
	sql_filter_free(f->right);
	free(f->subject.text);
	for (size_t i = 0; i < f->values.n; i++)
		free(f->values.v[i].text);
	vec_free(&f->values);
	free(f);
}

static struct sql_filter *join(enum filter_op op, struct sql_filter *left, struct sql_filter *right)
{
	struct sql_filter *f = xcalloc(1, sizeof(*f));
	f->op = op;
	f->left = left;
	f->right = right;
	return f;
}

/* A literal, DATABASE(), or a column with or without its table's name. */
static int parse_operand(struct sql_parser *p, struct scope *scope, struct operand *ret)
{
	if (sql_accept(p, "DATABASE ( )") || sql_accept(p, "SCHEMA ( )")) {
		ret->text = scope->db ? xstrdup(scope->db) : NULL;
		return p->rc;
	}
	if (sql_accept(p, "NULL"))
		return p->rc;
	if (sql_at(p, "TRUE") || sql_at(p, "FALSE")) {
		ret->text = xstrdup(sql_at(p, "TRUE") ? "1" : "0");
		sql_advance(p);
		return p->rc;
	}
	bool negative = sql_accept(p, "-");
	if (p->t.kind == SQL_TOK_STRING || p->t.kind == SQL_TOK_NUMBER) {
		autofree char *value = sql_token_value(&p->t);
		ret->text = xasprintf("%s%s", negative ? "-" : "", value);
		sql_advance(p);
		return p->rc;
	}
	if (negative)
		return sql_unexpected(p, "a number");
	autofree char *table = NULL;
	ret->is_column = true;
	return sql_expect_qualified(p, "a column or a literal", &table, &ret->text);
}

static int parse_in(struct sql_parser *p, struct scope *scope, struct sql_filter *f)
{
	f->op = F_IN;
	int rc = sql_expect(p, "(");
	do {
		struct operand o = { 0 };
		rc = parse_operand(p, scope, &o);
		vec_push(&f->values, o);
	} while (rc == 0 && sql_accept(p, ","));
	return rc < 0 ? rc : sql_expect(p, ")");
}

static int parse_comparison(struct sql_parser *p, struct scope *scope, struct sql_filter **ret)
{
	static const struct {
		const char *word;
		enum filter_op op;
	} ops[] = { { "=", F_EQ },  { "<>", F_NE }, { "!=", F_NE }, { "<", F_LT },
		    { "<=", F_LE }, { ">", F_GT },  { ">=", F_GE }, { "LIKE", F_LIKE } };
	_cleanup_(sql_filter_freep) struct sql_filter *f = join(F_EQ, NULL, NULL);
	if (++scope->comparisons > COMPARISONS_MAX)
		return sql_unexpected(p, "at most 1000 comparisons");
	int rc = parse_operand(p, scope, &f->subject);
	if (rc < 0)
		return rc;
	bool negated = false;
	if (sql_accept(p, "IS")) {
		negated = sql_accept(p, "NOT");
		f->op = F_IS_NULL;
		rc = sql_expect(p, "NULL");
	} else {
		negated = sql_accept(p, "NOT");
		size_t i = 0;
		while (i < ARRAY_LEN(ops) && !sql_at(p, ops[i].word))
			i++;
		if (sql_accept(p, "IN")) {
			rc = parse_in(p, scope, f);
		} else if (i < ARRAY_LEN(ops) && (!negated || ops[i].op == F_LIKE)) {
			struct operand o = { 0 };
			sql_advance(p);
			f->op = ops[i].op;
			rc = parse_operand(p, scope, &o);
			vec_push(&f->values, o);
		} else {
			rc = sql_unexpected(
				p, "=, <>, <, <=, >, >=, [NOT] LIKE, [NOT] IN or IS [NOT] NULL");
		}
	}
	if (rc < 0)
		return rc;
	*ret = negated ? join(F_NOT, TAKE_PTR(f), NULL) : TAKE_PTR(f);
	return 0;
}

static int parse_or(struct sql_parser *p, struct scope *scope, struct sql_filter **ret);

static int parse_not(struct sql_parser *p, struct scope *scope, struct sql_filter **ret)
{
	bool negated = false;
	while (sql_accept(p, "NOT"))
		negated = !negated;
	int rc;
	if (sql_accept(p, "(")) {
		rc = parse_or(p, scope, ret);
		if (rc == 0)
			rc = sql_expect(p, ")");
	} else {
		rc = parse_comparison(p, scope, ret);
	}
	if (rc == 0 && negated)
		*ret = join(F_NOT, *ret, NULL);
	return rc;
}

static int parse_and(struct sql_parser *p, struct scope *scope, struct sql_filter **ret)
{
	int rc = parse_not(p, scope, ret);
	while (rc == 0 && (sql_accept(p, "AND") || sql_accept(p, "&&"))) {
		*ret = join(F_AND, *ret, NULL);
		rc = parse_not(p, scope, &(*ret)->right);
	}
	return rc;
}

static int parse_or(struct sql_parser *p, struct scope *scope, struct sql_filter **ret)
{
	int rc = parse_and(p, scope, ret);
	while (rc == 0 && (sql_accept(p, "OR") || sql_accept(p, "||"))) {
		*ret = join(F_OR, *ret, NULL);
		rc = parse_and(p, scope, &(*ret)->right);
	}
	return rc;
}

int sql_filter_parse(struct sql_parser *p, const char *db, struct sql_filter **ret)
{
	_cleanup_(sql_filter_freep) struct sql_filter *f = NULL;
	struct scope scope = { .db = db };
	int rc = parse_or(p, &scope, &f);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(f);
	return 0;
}

static char fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool sql_like(struct str text, struct str pattern)
{
	size_t t = 0, p = 0, back_t = 0, back_p = SIZE_MAX;
	while (t < text.len) {
		if (p < pattern.len && pattern.p[p] == '%') {
			back_p = ++p;
			back_t = t;
			continue;
		}
		bool escaped = p + 1 < pattern.len && pattern.p[p] == '\\';
		char want = p < pattern.len ? pattern.p[p + escaped] : '\0';
		if (p < pattern.len &&
		    ((want == '_' && !escaped) || fold(want) == fold(text.p[t]))) {
			p += 1u + escaped;
			t++;
			continue;
		}
		if (back_p == SIZE_MAX)
			return false;
		p = back_p;
		t = ++back_t;
	}
	while (p < pattern.len && pattern.p[p] == '%')
		p++;
	return p == pattern.len;
}

struct row_at_hand {
	sql_filter_cell_fn cell;
	void *arg;
	struct err *err;
	int rc;
};

static const char *value_of(const struct operand *o, struct row_at_hand *row)
{
	if (!o->is_column)
		return o->text;
	bool known = false;
	const char *text = row->cell(row->arg, str_of(o->text), &known);
	if (!known && row->rc == 0)
		row->rc = err_set(row->err, SQL_ERR(1054), "Unknown column '%s' in 'where clause'",
		                  o->text);
	return text;
}

static int compare(const char *a, const char *b)
{
	int64_t x = 0, y = 0;
	if (str_to_i64(str_of(a), &x) == 0 && str_to_i64(str_of(b), &y) == 0)
		return x < y ? -1 : x > y;
	return strcmp(a, b);
}

static enum truth compared(enum filter_op op, const char *a, const char *b)
{
	if (!a || !b)
		return UNKNOWN;
	if (op == F_LIKE)
		return sql_like(str_of(a), str_of(b)) ? YES : NO;
	int c = compare(a, b);
	bool yes = op == F_EQ || op == F_IN ? c == 0
	           : op == F_NE             ? c != 0
	           : op == F_LT             ? c < 0
	           : op == F_LE             ? c <= 0
	           : op == F_GT             ? c > 0
	                                    : c >= 0;
	return yes ? YES : NO;
}

static enum truth eval(const struct sql_filter *f, struct row_at_hand *row)
{
	if (f->op == F_NOT) {
		enum truth t = eval(f->left, row);
		return t == UNKNOWN ? UNKNOWN : t == YES ? NO : YES;
	}
	if (f->op == F_AND || f->op == F_OR) {
		enum truth a = eval(f->left, row), b = eval(f->right, row);
		enum truth strong = f->op == F_AND ? NO : YES;
		if (a == strong || b == strong)
			return strong;
		return a == UNKNOWN || b == UNKNOWN ? UNKNOWN : strong == NO ? YES : NO;
	}
	const char *subject = value_of(&f->subject, row);
	if (f->op == F_IS_NULL)
		return subject ? NO : YES;
	enum truth found = NO;
	for (size_t i = 0; i < f->values.n; i++) {
		enum truth t = compared(f->op, subject, value_of(&f->values.v[i], row));
		if (t == YES)
			return YES;
		if (t == UNKNOWN)
			found = UNKNOWN;
	}
	return found;
}

int sql_filter_keeps(const struct sql_filter *f, sql_filter_cell_fn cell, void *arg,
                     struct err *err)
{
	struct row_at_hand row = { .cell = cell, .arg = arg, .err = err };
	enum truth t = eval(f, &row);
	return row.rc < 0 ? row.rc : t == YES;
}

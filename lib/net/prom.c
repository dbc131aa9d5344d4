#include "lib/net/prom.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

/* ---- writing ---------------------------------------------------------------------------------- */

static void add_escaped(struct buf *out, const char *text, bool quotes)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\\')
			(void)buf_adds(out, "\\\\");
		else if (*p == '\n')
			(void)buf_adds(out, "\\n");
		else if (*p == '"' && quotes)
			(void)buf_adds(out, "\\\"");
		else
			(void)buf_addc(out, *p);
	}
}

void prom_family(struct buf *out, const char *name, const char *type, const char *help)
{
	(void)buf_addf(out, "# HELP %s ", name);
	add_escaped(out, help, false);
	(void)buf_addf(out, "\n# TYPE %s %s\n", name, type);
}

/* The shortest text that reads back as the same number. */
static void add_value(struct buf *out, double v)
{
	if (!isfinite(v)) {
		(void)buf_adds(out, isnan(v) ? " NaN\n" : v > 0 ? " +Inf\n" : " -Inf\n");
		return;
	}
	char text[40];
	double back = 0;
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(text, sizeof(text), "%.*g", digits, v);
		if (str_to_double(str_of(text), &back) == 0 && back <= v && back >= v)
			break;
	}
	(void)buf_addf(out, " %s\n", text);
}

void prom_series(struct buf *out, const char *name, double value, ...)
{
	va_list ap;
	va_start(ap, value);
	(void)buf_adds(out, name);
	char before = '{';
	for (const char *label = va_arg(ap, const char *); label;
	     label = va_arg(ap, const char *)) {
		(void)buf_addf(out, "%c%s=\"", before, label);
		add_escaped(out, va_arg(ap, const char *), true);
		(void)buf_addc(out, '"');
		before = ',';
	}
	if (before == ',')
		(void)buf_addc(out, '}');
	va_end(ap);
	add_value(out, value);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool name_char(char c, bool first, bool colon)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (colon && c == ':') || (!first && c >= '0' && c <= '9');
}

static void skip(struct str *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static void skip_blanks(struct str *s)
{
	while (s->len && (s->p[0] == ' ' || s->p[0] == '\t'))
		skip(s, 1);
}

static struct str take_name(struct str *s, bool colon)
{
	size_t n = 0;
	while (n < s->len && name_char(s->p[n], n == 0, colon))
		n++;
	struct str name = { s->p, n };
	skip(s, n);
	return name;
}

/* name="value"; NULL or what is wrong. */
static const char *take_label(struct str *s, struct prom_label *ret)
{
	ret->name = take_name(s, false);
	if (!ret->name.len)
		return "a label needs a name";
	skip_blanks(s);
	if (!s->len || s->p[0] != '=')
		return "'=' is missing after a label's name";
	skip(s, 1);
	skip_blanks(s);
	if (!s->len || s->p[0] != '"')
		return "a label's value must be quoted";
	skip(s, 1);
	size_t n = 0;
	while (n < s->len && s->p[n] != '"')
		n += s->p[n] == '\\' ? 2 : 1;
	if (n >= s->len)
		return "a label's value does not end";
	ret->value = (struct str){ s->p, n };
	skip(s, n + 1);
	return NULL;
}

static const char *take_labels(struct str *s, struct prom_label labels[PROM_LABELS_MAX], size_t *n)
{
	skip(s, 1);
	for (;;) {
		skip_blanks(s);
		if (s->len && s->p[0] == '}')
			break;
		if (*n == PROM_LABELS_MAX)
			return "too many labels";
		const char *problem = take_label(s, &labels[*n]);
		if (problem)
			return problem;
		(*n)++;
		skip_blanks(s);
		if (s->len && s->p[0] == ',')
			skip(s, 1);
		else if (!s->len || s->p[0] != '}')
			return "',' or '}' is missing after a label";
	}
	skip(s, 1);
	return NULL;
}

static int to_value(struct str s, double *ret)
{
	if (str_caseeqs(s, "nan"))
		*ret = (double)NAN;
	else if (str_caseeqs(s, "+inf") || str_caseeqs(s, "inf"))
		*ret = (double)INFINITY;
	else if (str_caseeqs(s, "-inf"))
		*ret = -(double)INFINITY;
	else
		return str_to_double(s, ret);
	return 0;
}

struct line {
	struct str name;
	struct prom_label labels[PROM_LABELS_MAX];
	size_t n;
	double value;
};

static const char *parse_line(struct str s, struct line *ret)
{
	ret->n = 0;
	ret->name = take_name(&s, true);
	if (!ret->name.len)
		return "a series needs a name";
	skip_blanks(&s);
	if (s.len && s.p[0] == '{') {
		const char *problem = take_labels(&s, ret->labels, &ret->n);
		if (problem)
			return problem;
	}
	struct str rest = str_trim(s), value, stamp;
	int64_t ms = 0;
	size_t n = 0;
	while (n < rest.len && rest.p[n] != ' ' && rest.p[n] != '\t')
		n++;
	value = (struct str){ rest.p, n };
	stamp = str_trim((struct str){ rest.p + n, rest.len - n });
	if (to_value(value, &ret->value) < 0)
		return "the value is not a number";
	if (stamp.len && str_to_i64(stamp, &ms) < 0)
		return "the time is not an integer";
	return NULL;
}

int prom_parse(struct str text, prom_fn fn, void *arg, struct err *err)
{
	struct str rest = text, raw;
	size_t number = 0, series = 0;
	struct line line;
	while (str_split(&rest, '\n', &raw)) {
		number++;
		struct str s = str_trim(raw);
		if (!s.len || s.p[0] == '#')
			continue;
		if (series++ == PROM_SERIES_MAX)
			return err_set(err, -E2BIG, "more than %d series", PROM_SERIES_MAX);
		const char *problem = parse_line(s, &line);
		if (problem)
			return err_set(err, -EINVAL, "metrics line %zu: %s", number, problem);
		if (fn(arg, line.name, line.labels, line.n, line.value) != 0)
			return 0;
	}
	return 0;
}

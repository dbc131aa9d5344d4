#include "scaler/serve/query.h"

#include <errno.h>
#include <stdio.h>

static void skip(struct str *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static void skip_blanks(struct str *s)
{
	while (s->len && strchr(" \t\r\n", s->p[0]) && s->p[0])
		skip(s, 1);
}

static struct str take_name(struct str *s)
{
	size_t n = 0;
	while (n < s->len &&
	       ((s->p[n] >= 'a' && s->p[n] <= 'z') || (s->p[n] >= 'A' && s->p[n] <= 'Z') ||
	        s->p[n] == '_' || s->p[n] == ':' || (n > 0 && s->p[n] >= '0' && s->p[n] <= '9')))
		n++;
	struct str name = { s->p, n };
	skip(s, n);
	return name;
}

/* A quoted value; backslash only before itself, a quote or "n". */
static int take_value(struct str *s, char *out, size_t size)
{
	char quote = s->len ? s->p[0] : '\0';
	size_t n = 0;
	if (quote != '"' && quote != '\'')
		return -EINVAL;
	for (skip(s, 1); s->len && s->p[0] != quote; skip(s, 1)) {
		char c = s->p[0];
		if (c == '\\') {
			skip(s, 1);
			if (!s->len || !strchr("\\\"'n", s->p[0]) || !s->p[0])
				return -EINVAL;
			c = s->p[0] == 'n' ? '\n' : s->p[0];
		}
		if (n + 1 >= size || !c)
			return -EINVAL;
		out[n++] = c;
	}
	out[n] = '\0';
	if (!s->len)
		return -EINVAL;
	skip(s, 1);
	return 0;
}

static int take_matcher(struct str *s, struct serve_matcher *m, struct err *err)
{
	m->label = take_name(s);
	if (!str_eqs(m->label, "namespace") && !str_eqs(m->label, "cluster") &&
	    !str_eqs(m->label, "pool"))
		return err_set(err, -EINVAL,
		               "label \"%.*s\": the labels are namespace, cluster and pool",
		               (int)(m->label.len > 60 ? 60 : m->label.len), m->label.p);
	skip_blanks(s);
	if (str_starts(*s, "=~") || str_starts(*s, "!~"))
		return err_set(err, -EINVAL, "regular expressions (=~, !~) are not supported");
	m->negated = str_starts(*s, "!=");
	if (!m->negated && !str_starts(*s, "="))
		return err_set(err, -EINVAL, "= or != is missing after the label");
	skip(s, m->negated ? 2 : 1);
	skip_blanks(s);
	if (take_value(s, m->value, sizeof(m->value)) < 0)
		return err_set(err, -EINVAL, "a label's value must be a short quoted text");
	return 0;
}

static int take_matchers(struct str *s, struct serve_query *q, struct err *err)
{
	for (skip(s, 1);;) {
		skip_blanks(s);
		if (str_starts(*s, "}"))
			break;
		if (q->n == SERVE_MATCHERS_MAX)
			return err_set(err, -EINVAL, "more than %d matchers", SERVE_MATCHERS_MAX);
		int rc = take_matcher(s, &q->matchers[q->n], err);
		if (rc < 0)
			return rc;
		q->n++;
		skip_blanks(s);
		if (str_starts(*s, ","))
			skip(s, 1);
		else if (!str_starts(*s, "}"))
			return err_set(err, -EINVAL, "\",\" or \"}\" is missing after a matcher");
	}
	skip(s, 1);
	return 0;
}

int serve_query_parse(struct str text, struct serve_query *ret, struct err *err)
{
	struct str s = text;
	ret->n = 0;
	if (text.len > SERVE_QUERY_MAX)
		return err_set(err, -EINVAL, "the query is longer than %d characters",
		               SERVE_QUERY_MAX);
	skip_blanks(&s);
	ret->name = take_name(&s);
	if (!ret->name.len)
		return err_set(err, -EINVAL,
		               "the query must be the name of a series, with matchers in {}");
	skip_blanks(&s);
	if (str_starts(s, "{")) {
		int rc = take_matchers(&s, ret, err);
		if (rc < 0)
			return rc;
	}
	skip_blanks(&s);
	if (s.len)
		return err_set(err, -EINVAL,
		               "functions, ranges and operators are not supported: only "
		               "name{label=\"value\"}");
	return 0;
}

bool serve_query_matches(const struct serve_query *q, const char *ns, const char *cluster,
                         const char *pool)
{
	for (size_t i = 0; i < q->n; i++) {
		const struct serve_matcher *m = &q->matchers[i];
		const char *is = str_eqs(m->label, "namespace") ? ns
		                 : str_eqs(m->label, "cluster") ? cluster
		                                                : pool;
		if ((strcmp(is, m->value) == 0) == m->negated)
			return false;
	}
	return true;
}

static const char *wanted(const struct serve_query *q, const char *label)
{
	for (size_t i = 0; i < q->n; i++)
		if (!q->matchers[i].negated && str_eqs(q->matchers[i].label, label))
			return q->matchers[i].value;
	return NULL;
}

bool serve_query_key(const struct serve_query *q, char *key, size_t size)
{
	const char *ns = wanted(q, "namespace"), *cluster = wanted(q, "cluster"),
		   *pool = wanted(q, "pool");
	return ns && cluster && pool &&
	       (size_t)snprintf(key, size, "%s/%s/%s", ns, cluster, pool) < size;
}

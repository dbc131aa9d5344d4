#include "lib/data/yaml.h"

#include <errno.h>
#include <string.h>

#include <yaml.h>

#include "lib/base/mem.h"
#include "lib/data/json.h"

/* A collection that is being filled, and the key that waits for its value. */
struct level {
	json_t *node; /* borrowed from the level below, or from the document */
	char *key;
};

struct reader {
	yaml_parser_t parser;
	struct level levels[JSON_DEPTH_MAX];
	int depth;
	json_t *root; /* of the current document */
	struct err *err;
};

static int bad(const struct reader *r, yaml_mark_t at, const char *what)
{
	return err_set(r->err, -EINVAL, "YAML line %zu column %zu: %s", at.line + 1, at.column + 1,
	               what);
}

/* ---- scalars ---------------------------------------------------------------------------------- */

static size_t digits(struct str s, size_t at)
{
	size_t n = 0;
	while (at + n < s.len && s.p[at + n] >= '0' && s.p[at + n] <= '9')
		n++;
	return n;
}

enum number { NOT_A_NUMBER, INTEGER, REAL };

/* JSON's grammar, so that "007", "1_000" and ".5" stay text. */
static enum number number_kind(struct str s)
{
	size_t at = s.len && s.p[0] == '-' ? 1 : 0;
	size_t whole = digits(s, at);
	if (whole == 0 || (whole > 1 && s.p[at] == '0'))
		return NOT_A_NUMBER;
	at += whole;
	enum number kind = INTEGER;
	if (at < s.len && s.p[at] == '.') {
		size_t n = digits(s, at + 1);
		if (n == 0)
			return NOT_A_NUMBER;
		at += 1 + n;
		kind = REAL;
	}
	if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
		at++;
		if (at < s.len && (s.p[at] == '+' || s.p[at] == '-'))
			at++;
		size_t n = digits(s, at);
		if (n == 0)
			return NOT_A_NUMBER;
		at += n;
		kind = REAL;
	}
	return at == s.len ? kind : NOT_A_NUMBER;
}

static json_t *plain_value(struct str s, const char **ret_problem)
{
	int64_t i = 0;
	double d = 0;
	if (s.len == 0 || str_eqs(s, "null"))
		return json_null();
	if (str_eqs(s, "true"))
		return json_true();
	if (str_eqs(s, "false"))
		return json_false();
	switch (number_kind(s)) {
	case INTEGER:
		if (str_to_i64(s, &i) == 0)
			return json_integer(i);
		*ret_problem = "the integer does not fit into 64 bits (quote it if it is text)";
		return NULL;
	case REAL:
		if (str_to_double(s, &d) == 0)
			return json_real(d);
		*ret_problem = "the number is too large or too long (quote it if it is text)";
		return NULL;
	case NOT_A_NUMBER:
		break;
	}
	return json_stringn(s.p, s.len);
}

static int scalar_value(const struct reader *r, const yaml_event_t *e, json_t **ret)
{
	struct str s = { (const char *)e->data.scalar.value, e->data.scalar.length };
	const char *problem = "text that is not UTF-8";
	if (s.len && memchr(s.p, '\0', s.len))
		return bad(r, e->start_mark, "a NUL character is not allowed");
	json_t *j = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain_value(s, &problem)
	                                                            : json_stringn(s.p, s.len);
	if (!j)
		return bad(r, e->start_mark, problem);
	*ret = j;
	return 0;
}

/* ---- building --------------------------------------------------------------------------------- */

/* Hangs value (stolen) where the document is. */
static int attach(struct reader *r, json_t *value)
{
	if (r->depth == 0) {
		r->root = value;
		return 0;
	}
	struct level *top = &r->levels[r->depth - 1];
	int rc = 0;
	if (json_is_array(top->node)) {
		rc = json_array_append_new(top->node, value);
	} else {
		rc = json_object_set_new(top->node, top->key, value);
		free(top->key);
		top->key = NULL;
	}
	return rc < 0 ? err_set(r->err, -EINVAL, "YAML: a key that is not UTF-8") : 0;
}

static bool wants_key(const struct reader *r)
{
	return r->depth && json_is_object(r->levels[r->depth - 1].node) &&
	       !r->levels[r->depth - 1].key;
}

static int take_key(struct reader *r, const yaml_event_t *e)
{
	struct str s = { (const char *)e->data.scalar.value, e->data.scalar.length };
	struct level *top = &r->levels[r->depth - 1];
	if (s.len && memchr(s.p, '\0', s.len))
		return bad(r, e->start_mark, "a NUL character is not allowed");
	if (str_eqs(s, "<<") && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return bad(r, e->start_mark, "merge keys (<<) are not supported");
	top->key = str_dup(s);
	if (json_object_get(top->node, top->key))
		return bad(r, e->start_mark, "the key is there twice");
	return 0;
}

static int on_scalar(struct reader *r, const yaml_event_t *e)
{
	if (e->data.scalar.anchor)
		return bad(r, e->start_mark, "anchors (&) are not supported");
	if (e->data.scalar.tag)
		return bad(r, e->start_mark, "tags (!) are not supported");
	if (wants_key(r))
		return take_key(r, e);
	json_t *value = NULL;
	int rc = scalar_value(r, e, &value);
	return rc < 0 ? rc : attach(r, value);
}

static int on_start(struct reader *r, const yaml_event_t *e, const void *anchor, const void *tag,
                    json_t *node)
{
	const char *problem = NULL;
	if (anchor)
		problem = "anchors (&) are not supported";
	else if (tag)
		problem = "tags (!) are not supported";
	else if (wants_key(r))
		problem = "a key must be text";
	else if (r->depth == JSON_DEPTH_MAX)
		problem = "nested too deep";
	if (problem) {
		json_decref(node);
		return bad(r, e->start_mark, problem);
	}
	int rc = attach(r, node);
	if (rc == 0)
		r->levels[r->depth++] = (struct level){ .node = node };
	return rc;
}

static int on_event(struct reader *r, const yaml_event_t *e)
{
	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return on_scalar(r, e);
	case YAML_ALIAS_EVENT:
		return bad(r, e->start_mark, "aliases (*) are not supported");
	case YAML_MAPPING_START_EVENT:
		return on_start(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag,
		                json_object());
	case YAML_SEQUENCE_START_EVENT:
		return on_start(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag,
		                json_array());
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		r->depth--;
		return 0;
	default:
		return 0;
	}
}

static int next_event(struct reader *r, yaml_event_t *e)
{
	if (yaml_parser_parse(&r->parser, e))
		return 0;
	const char *what = r->parser.problem ? r->parser.problem : "cannot be read";
	yaml_mark_t at = r->parser.problem_mark;
	if (r->parser.error == YAML_READER_ERROR)
		return err_set(r->err, -EINVAL, "YAML byte %zu: %s", r->parser.problem_offset,
		               what);
	return bad(r, at, what);
}

static int read_all(struct reader *r, json_t *documents)
{
	for (;;) {
		yaml_event_t e;
		int rc = next_event(r, &e);
		if (rc < 0)
			return rc;
		yaml_event_type_t type = e.type;
		rc = on_event(r, &e);
		yaml_event_delete(&e);
		if (rc < 0 || type == YAML_STREAM_END_EVENT)
			return rc;
		if (type != YAML_DOCUMENT_END_EVENT)
			continue;
		json_t *document = TAKE_PTR(r->root);
		if (json_is_null(document))
			json_decref(document);
		else
			(void)json_array_append_new(documents, document);
	}
}

int data_yaml_parse_all(struct str text, json_t **ret_array, struct err *err)
{
	if (text.len > JSON_TEXT_MAX)
		return err_set(err, -EINVAL, "YAML text of %zu bytes; at most %d are read",
		               text.len, JSON_TEXT_MAX);
	struct reader *r = xcalloc(1, sizeof(*r));
	_cleanup_json_ json_t *documents = json_array();
	r->err = err;
	if (!yaml_parser_initialize(&r->parser))
		abort();
	yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)(text.len ? text.p : ""),
	                             text.len);
	int rc = read_all(r, documents);
	yaml_parser_delete(&r->parser);
	json_decref(r->root);
	for (int i = 0; i < r->depth; i++)
		free(r->levels[i].key);
	free(r);
	if (rc == 0)
		*ret_array = TAKE_PTR(documents);
	return rc;
}

int data_yaml_parse(struct str text, json_t **ret, struct err *err)
{
	_cleanup_json_ json_t *documents = NULL;
	int rc = data_yaml_parse_all(text, &documents, err);
	if (rc < 0)
		return rc;
	if (json_array_size(documents) != 1)
		return err_set(err, -EINVAL, "YAML line 1 column 1: %zu documents; one is wanted",
		               json_array_size(documents));
	*ret = json_incref(json_array_get(documents, 0));
	return 0;
}

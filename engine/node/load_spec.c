#include "engine/node/load_spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

enum { SEPARATOR_MAX = 50, COLUMNS_MAX = 4096, SKIP_MAX = 1000000 };

struct from {
	const char *(*header)(void *arg, const char *name);
	void *arg;
};

static const char *get(const struct from *f, const char *name)
{
	const char *text = f->header(f->arg, name);
	return text && *text ? text : NULL;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* "\x01" (any number of them), "\t", "\n", "\r", "\\" and plain bytes; a backslash alone is one. */
static int unescape(const char *text, struct buf *out)
{
	if (strcmp(text, "\\") == 0)
		return buf_addc(out, '\\');
	for (const char *p = text; *p; p++) {
		if (*p != '\\') {
			(void)buf_addc(out, *p);
			continue;
		}
		p++;
		int high = *p == 'x' ? hex_digit(p[1]) : -1;
		int low = high >= 0 ? hex_digit(p[2]) : -1;
		if (low >= 0) {
			(void)buf_addc(out, (char)(high * 16 + low));
			p += 2;
			continue;
		}
		static const char names[] = "tnr\\", bytes[] = "\t\n\r\\";
		const char *at = *p ? strchr(names, *p) : NULL;
		if (!at)
			return -EINVAL;
		(void)buf_addc(out, bytes[at - names]);
	}
	return out->overflow || !out->len || strlen(out->p) != out->len ? -EINVAL : 0;
}

static int text_option(const struct from *f, struct node_load_spec *s, const char *name, size_t max,
                       struct err *err)
{
	const char *text = get(f, name);
	_cleanup_buf_ struct buf bytes = BUF_INIT(SEPARATOR_MAX);
	if (!text)
		return 0;
	if (unescape(text, &bytes) < 0 || bytes.len > max)
		return err_set(err, -EINVAL,
		               "%s: must be 1 to %zu bytes; \\xHH, \\t, \\n, \\r and \\\\ are read",
		               name, max);
	json_t *value = json_stringn(bytes.p, bytes.len);
	if (!value)
		return err_set(err, -EINVAL, "%s: must be UTF-8 text", name);
	return json_object_set_new(s->options, name, value);
}

static int row_delimiter(const struct from *f, struct node_load_spec *s, struct err *err)
{
	int rc = text_option(f, s, "row_delimiter", SEPARATOR_MAX, err);
	const char *is = data_get_str(s->options, "row_delimiter");
	if (rc == 0 && is && strcmp(is, "\n") != 0 && strcmp(is, "\r\n") != 0)
		return err_set(err, -EINVAL,
		               "row_delimiter: only \\n and \\r\\n are supported yet");
	return rc;
}

static int bool_option(const struct from *f, struct node_load_spec *s, const char *name,
                       const char *option, struct err *err)
{
	const char *text = get(f, name);
	bool yes = text && strcasecmp(text, "true") == 0;
	if (!text)
		return 0;
	if (!yes && strcasecmp(text, "false") != 0)
		return err_set(err, -EINVAL, "%s: must be true or false", name);
	return json_object_set_new(s->options, option, json_boolean(yes));
}

static int number_options(const struct from *f, struct node_load_spec *s, struct err *err)
{
	const char *skip = get(f, "skip_header"), *ratio = get(f, "max_filter_ratio");
	const char *timeout = get(f, "timeout");
	int64_t n = NODE_LOAD_DEFAULT_S;
	double share = 0;
	if (timeout && (str_to_i64(str_of(timeout), &n) < 0 || n < 1 || n > NODE_LOAD_MAX_S))
		return err_set(err, -EINVAL, "timeout: must be 1 to %d seconds", NODE_LOAD_MAX_S);
	s->timeout_ms = n * 1000;
	if (ratio && (str_to_double(str_of(ratio), &share) < 0 || share < 0 || share > 1))
		return err_set(err, -EINVAL, "max_filter_ratio: must be 0 to 1");
	(void)json_object_set_new(s->options, "max_filter_ratio", json_real(share));
	if (!skip)
		return 0;
	if (str_to_i64(str_of(skip), &n) < 0 || n < 0 || n > SKIP_MAX)
		return err_set(err, -EINVAL, "skip_header: must be 0 to %d lines", SKIP_MAX);
	return json_object_set_new(s->options, "skip_header", json_integer(n));
}

static int add_column(struct node_load_spec *s, struct str name, struct err *err)
{
	name = str_trim(name);
	if (name.len > 2 && name.p[0] == '`' && name.p[name.len - 1] == '`') {
		name.p++;
		name.len -= 2;
	}
	for (size_t k = 0; k < name.len; k++)
		if (strchr("=()+*`'\"", name.p[k]))
			return err_set(err, -EINVAL,
			               "columns: expressions are not supported yet; "
			               "only names of fields, as in a,b,c");
	size_t i;
	json_t *other;
	json_array_foreach(s->columns, i, other)
	{
		if (str_caseeqs(name, json_string_value(other)))
			return err_set(err, -EINVAL, "columns: %.*s is named twice",
			               name.len > 64 ? 64 : (int)name.len, name.p);
	}
	json_t *value = name.len ? json_stringn(name.p, name.len) : NULL;
	if (!value || json_array_size(s->columns) == COLUMNS_MAX) {
		json_decref(value);
		return err_set(err, -EINVAL, "columns: must be 1 to %d names with commas between",
		               COLUMNS_MAX);
	}
	return json_array_append_new(s->columns, value);
}

static int columns(const struct from *f, struct node_load_spec *s, struct err *err)
{
	const char *text = get(f, "columns");
	struct str rest = str_of(text), name;
	int rc = 0;
	while (text && rc == 0 && str_split(&rest, ',', &name))
		rc = add_column(s, name, err);
	if (rc == 0 && text)
		rc = json_object_set(s->options, "columns", s->columns);
	return rc;
}

static int jsonpaths(const struct from *f, struct node_load_spec *s, struct err *err)
{
	const char *text = get(f, "jsonpaths");
	_cleanup_json_ json_t *paths = NULL;
	size_t i;
	json_t *item;
	if (!text)
		return 0;
	if (data_json_parse(str_of(text), &paths, NULL) < 0 || !json_is_array(paths))
		return err_set(err, -EINVAL,
		               "jsonpaths: must be a JSON list of texts, as in "
		               "[\"$.a\",\"$.b\"]");
	json_array_foreach(paths, i, item) if (!json_is_string(item)) return err_set(
		err, -EINVAL, "jsonpaths[%zu]: must be text", i);
	if (json_array_size(s->columns) && json_array_size(s->columns) != json_array_size(paths))
		return err_set(err, -EINVAL, "jsonpaths: must be as many as columns (%zu)",
		               json_array_size(s->columns));
	return json_object_set(s->options, "jsonpaths", paths);
}

static int refuse(const struct from *f, struct err *err)
{
	/* off: the value that asks for what is done anyway; connectors say it unasked. */
	static const struct {
		const char *name, *off;
	} headers[] = {
		{ "where", NULL },
		{ "partitions", NULL },
		{ "temporary_partitions", NULL },
		{ "partial_update", "false" },
		{ "merge_condition", NULL },
		{ "json_root", NULL },
		{ "compression", "none" },
		{ "negative", "false" },
	};
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		const char *value = get(f, headers[i].name);
		if (value && !(headers[i].off && str_caseeqs(str_of(value), headers[i].off)))
			return err_set(err, -EINVAL, "%s: is not supported yet", headers[i].name);
	}
	return 0;
}

static int label_and_format(const struct from *f, struct node_load_spec *s, struct err *err)
{
	const char *label = get(f, "label"), *format = get(f, "format");
	if (label && (strlen(label) > NODE_LABEL_MAX ||
	              label[strspn(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                                  "0123456789-_")]))
		return err_set(err, -EINVAL, "label: must be 1 to %d letters, digits, '-' and '_'",
		               NODE_LABEL_MAX);
	(void)snprintf(s->label, sizeof(s->label), "%s", label ? label : "");
	s->format = "csv";
	if (format && strcasecmp(format, "json") == 0)
		s->format = "json";
	else if (format && strcasecmp(format, "csv") != 0)
		return err_set(err, -EINVAL, "format: must be csv or json");
	return 0;
}

int node_load_spec(const char *(*header)(void *arg, const char *name), void *arg,
                   struct node_load_spec *ret, struct err *err)
{
	const struct from f = { header, arg };
	struct node_load_spec s = { .columns = json_array(), .options = json_object() };
	int rc = refuse(&f, err);
	if (rc == 0)
		rc = label_and_format(&f, &s, err);
	if (rc == 0)
		rc = number_options(&f, &s, err);
	if (rc == 0)
		rc = columns(&f, &s, err);
	if (rc == 0)
		rc = text_option(&f, &s, "column_separator", SEPARATOR_MAX, err);
	if (rc == 0)
		rc = row_delimiter(&f, &s, err);
	if (rc == 0)
		rc = text_option(&f, &s, "enclose", 1, err);
	if (rc == 0)
		rc = text_option(&f, &s, "escape", 1, err);
	if (rc == 0)
		rc = bool_option(&f, &s, "trim_space", "trim_space", err);
	if (rc == 0)
		rc = bool_option(&f, &s, "strict_mode", "strict", err);
	if (rc == 0)
		rc = bool_option(&f, &s, "strip_outer_array", "strip_outer_array", err);
	if (rc == 0)
		rc = jsonpaths(&f, &s, err);
	if (rc < 0) {
		node_load_spec_free(&s);
		return rc;
	}
	*ret = s;
	return 0;
}

void node_load_spec_free(struct node_load_spec *s)
{
	json_decref(s->columns);
	json_decref(s->options);
	*s = (struct node_load_spec){ .format = NULL };
}

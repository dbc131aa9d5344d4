#include "lib/data/json.h"

#include <errno.h>
#include <string.h>

#include "lib/base/mem.h"

enum { PATH_PART_MAX = 512 };

void data_json_decrefp(json_t **j)
{
	json_decref(*j);
	*j = NULL;
}

/* jansson's own maximum is four times ours and cannot be set; strings are skipped, all else is left
 * to the parser. */
static int check_depth(struct str text, struct err *err)
{
	int depth = 0, line = 1;
	size_t line_start = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		if (c == '\n') {
			line++;
			line_start = i + 1;
		} else if (in_string && c == '\\') {
			i++;
		} else if (c == '"') {
			in_string = !in_string;
		} else if (!in_string && (c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX) {
			return err_set(err, -EINVAL,
			               "JSON line %d column %zu: deeper than %d levels", line,
			               i - line_start + 1, JSON_DEPTH_MAX);
		} else if (!in_string && (c == ']' || c == '}')) {
			depth--;
		}
	}
	return 0;
}

int data_json_parse(struct str text, json_t **ret, struct err *err)
{
	if (text.len > JSON_TEXT_MAX)
		return err_set(err, -EINVAL, "JSON text of %zu bytes; at most %d are read",
		               text.len, JSON_TEXT_MAX);
	int rc = check_depth(text, err);
	if (rc < 0)
		return rc;
	json_error_t e;
	json_t *j = json_loadb(text.len ? text.p : "", text.len,
	                       JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
	if (!j) {
		/* What follows is a piece of the text, which may be a secret. */
		char *near = strstr(e.text, " near '");
		if (near)
			*near = '\0';
		return err_set(err, -EINVAL, "JSON line %d column %d: %s", e.line, e.column,
		               e.text);
	}
	*ret = j;
	return 0;
}

static int dump_piece(const char *data, size_t len, void *arg)
{
	return buf_add(arg, data, len) < 0 ? -1 : 0;
}

int data_json_dump(const json_t *j, struct buf *out)
{
	size_t before = out->len;
	int rc = json_dump_callback(j, dump_piece, out,
	                            JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	if (rc < 0 && out->p) { /* half a value is worth nothing */
		out->len = before;
		out->p[before] = '\0';
	}
	return rc < 0 ? -E2BIG : 0;
}

char *data_json_text(const json_t *j)
{
	_cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX / 4);
	(void)data_json_dump(j, &out);
	return buf_take(&out);
}

/* The next part of a path, unescaped; false at its end or when a part is too long to be a key. */
static bool next_part(const char **path, char part[PATH_PART_MAX])
{
	const char *p = *path;
	if (!p)
		return false;
	size_t n = 0;
	for (; *p && *p != '.'; p++) {
		if (*p == '\\' && (p[1] == '.' || p[1] == '\\'))
			p++;
		if (n + 1 == PATH_PART_MAX)
			return false;
		part[n++] = *p;
	}
	part[n] = '\0';
	*path = *p ? p + 1 : NULL;
	return true;
}

static json_t *step(const json_t *at, const char *part)
{
	uint64_t index = 0;
	if (json_is_object(at))
		return json_object_get(at, part);
	if (json_is_array(at) && str_to_u64(str_of(part), &index) == 0)
		return json_array_get(at, index);
	return NULL;
}

json_t *data_get(const json_t *root, const char *path)
{
	char part[PATH_PART_MAX];
	/* jansson has no const getters; the value is only handed on. */
	json_t *at = (json_t *)(uintptr_t)root;
	const char *rest = path;
	while (at && rest) {
		if (!next_part(&rest, part))
			return NULL;
		at = step(at, part);
	}
	return at;
}

const char *data_get_str(const json_t *root, const char *path)
{
	return json_string_value(data_get(root, path));
}

int64_t data_get_int(const json_t *root, const char *path, int64_t absent)
{
	const json_t *j = data_get(root, path);
	return json_is_integer(j) ? json_integer_value(j) : absent;
}

bool data_get_bool(const json_t *root, const char *path, bool absent)
{
	const json_t *j = data_get(root, path);
	return json_is_boolean(j) ? json_is_true(j) : absent;
}

double data_get_num(const json_t *root, const char *path, double absent)
{
	const json_t *j = data_get(root, path);
	return json_is_number(j) ? json_number_value(j) : absent;
}

bool data_has(const json_t *array, const char *text)
{
	size_t i;
	const json_t *one;
	json_array_foreach((json_t *)(uintptr_t)array, i, one)
	{
		if (json_is_string(one) && strcmp(json_string_value(one), text) == 0)
			return true;
	}
	return false;
}

static int set_last(json_t *at, const char *part, json_t *value)
{
	uint64_t index = 0;
	if (json_is_object(at))
		return json_object_set_new(at, part, value) < 0 ? -EINVAL : 0;
	if (json_is_array(at) && str_to_u64(str_of(part), &index) == 0)
		return json_array_set_new(at, index, value) < 0 ? -EINVAL : 0;
	json_decref(value);
	return -EINVAL;
}

int data_set(json_t *root, const char *path, json_t *value)
{
	char part[PATH_PART_MAX];
	json_t *at = root;
	const char *rest = path;
	for (;;) {
		if (!next_part(&rest, part)) {
			json_decref(value);
			return -EINVAL;
		}
		if (!rest)
			return set_last(at, part, value);
		json_t *next = step(at, part);
		if (!next && json_is_object(at)) {
			next = json_object();
			if (json_object_set_new(at, part, next) < 0)
				next = NULL;
		}
		if (!json_is_object(next) && !json_is_array(next)) {
			json_decref(value);
			return -EINVAL;
		}
		at = next;
	}
}

static const char *type_name(const json_t *j)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static const char *const wanted_name[] = {
	[DATA_STR] = "a string", [DATA_INT] = "an integer", [DATA_BOOL] = "a boolean",
	[DATA_NUM] = "a number", [DATA_JSON] = "a value",
};

static bool decode_one(const json_t *j, enum data_type type, void *to)
{
	switch (type) {
	case DATA_STR:
		if (!json_is_string(j))
			return false;
		free(*(char **)to);
		*(char **)to = xstrndup(json_string_value(j), json_string_length(j));
		return true;
	case DATA_INT:
		if (json_is_integer(j))
			*(int64_t *)to = json_integer_value(j);
		return json_is_integer(j);
	case DATA_BOOL:
		if (json_is_boolean(j))
			*(bool *)to = json_is_true(j);
		return json_is_boolean(j);
	case DATA_NUM:
		if (json_is_number(j))
			*(double *)to = json_number_value(j);
		return json_is_number(j);
	case DATA_JSON:
		*(const json_t **)to = j;
		return true;
	}
	return false;
}

int data_decode(const json_t *root, const struct data_field *table, size_t count, void *object,
                struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct data_field *f = &table[i];
		const json_t *j = data_get(root, f->path);
		if (!j || json_is_null(j)) {
			if (f->required)
				return err_set(err, -EINVAL, "%s is missing; it must be %s",
				               f->path, wanted_name[f->type]);
			continue;
		}
		if (!decode_one(j, f->type, (char *)object + f->offset))
			return err_set(err, -EINVAL, "%s is %s; it must be %s", f->path,
			               type_name(j), wanted_name[f->type]);
	}
	return 0;
}

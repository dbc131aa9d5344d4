#include "operator/render/template.h"

#include <errno.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

enum { DEPTH_MAX = 64, TEXT_MAX = 64 * 1024, PATH_MAX_ = 256 };
enum { ABSENT = 1 };

static int expand(const json_t *t, const json_t *ctx, int depth, json_t **ret, struct err *err);

/* Cuts "${path}" off the front of text; 0, or -1 when text does not begin with one. */
static int cut_path(struct str *text, char path[PATH_MAX_])
{
	if (!str_starts(*text, "${"))
		return -1;
	const char *end = memchr(text->p, '}', text->len);
	size_t n = end ? (size_t)(end - text->p) - 2 : 0;
	if (n == 0 || n >= PATH_MAX_)
		return -1;
	memcpy(path, text->p + 2, n);
	path[n] = '\0';
	text->len -= n + 3;
	text->p += n + 3;
	return 0;
}

static bool whole_path(const json_t *t, char path[PATH_MAX_])
{
	if (!json_is_string(t))
		return false;
	struct str text = { json_string_value(t), json_string_length(t) };
	return cut_path(&text, path) == 0 && text.len == 0;
}

static int add_value(struct buf *out, const json_t *v, const char *path, struct err *err)
{
	if (json_is_string(v))
		buf_add(out, json_string_value(v), json_string_length(v));
	else if (json_is_integer(v))
		buf_addf(out, "%lld", (long long)json_integer_value(v));
	else
		return err_set(err, -EINVAL, "${%s} inside text must be a string or an integer",
		               path);
	return 0;
}

static int expand_text(const json_t *t, const json_t *ctx, json_t **ret, struct err *err)
{
	_cleanup_buf_ struct buf out = BUF_INIT(TEXT_MAX);
	struct str rest = { json_string_value(t), json_string_length(t) };
	char path[PATH_MAX_];
	while (rest.len > 0) {
		if (cut_path(&rest, path) == 0) {
			int rc = add_value(&out, data_get(ctx, path), path, err);
			if (rc < 0)
				return rc;
			continue;
		}
		buf_addc(&out, *rest.p);
		rest.p++;
		rest.len--;
	}
	if (out.overflow)
		return err_set(err, -E2BIG, "a text passes %d bytes", TEXT_MAX);
	*ret = json_stringn(buf_cstr(&out), out.len);
	if (!*ret)
		return err_set(err, -EINVAL, "a text is not UTF-8");
	return 0;
}

static int expand_scalar(const json_t *t, const json_t *ctx, json_t **ret, struct err *err)
{
	char path[PATH_MAX_];
	if (!json_is_string(t)) {
		*ret = json_deep_copy(t);
		return 0;
	}
	if (!whole_path(t, path))
		return expand_text(t, ctx, ret, err);
	const json_t *v = data_get(ctx, path);
	if (!v || json_is_null(v))
		return ABSENT;
	*ret = json_deep_copy(v);
	return 0;
}

static int expand_object(const json_t *t, const json_t *ctx, int depth, json_t **ret,
                         struct err *err)
{
	_cleanup_json_ json_t *out = json_object();
	const char *key;
	json_t *value;
	json_object_foreach((json_t *)(uintptr_t)t, key, value)
	{
		json_t *v = NULL;
		int rc = expand(value, ctx, depth + 1, &v, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			json_object_set_new(out, key, v);
	}
	if (json_object_size(t) > 0 && json_object_size(out) == 0)
		return ABSENT;
	*ret = TAKE_PTR(out);
	return 0;
}

static int expand_array(const json_t *t, const json_t *ctx, int depth, json_t **ret,
                        struct err *err)
{
	_cleanup_json_ json_t *out = json_array();
	char path[PATH_MAX_];
	size_t i;
	json_t *value;
	json_array_foreach((json_t *)(uintptr_t)t, i, value)
	{
		_cleanup_json_ json_t *v = NULL;
		int rc = expand(value, ctx, depth + 1, &v, err);
		if (rc < 0)
			return rc;
		if (rc == ABSENT)
			continue;
		if (whole_path(value, path) && json_is_array(v))
			json_array_extend(out, v);
		else
			json_array_append_new(out, TAKE_PTR(v));
	}
	*ret = TAKE_PTR(out);
	return 0;
}

static int expand(const json_t *t, const json_t *ctx, int depth, json_t **ret, struct err *err)
{
	if (depth > DEPTH_MAX)
		return err_set(err, -EINVAL, "a template is nested deeper than %d", DEPTH_MAX);
	if (json_is_object(t))
		return expand_object(t, ctx, depth, ret, err);
	if (json_is_array(t))
		return expand_array(t, ctx, depth, ret, err);
	return expand_scalar(t, ctx, ret, err);
}

int render_expand(const json_t *template, const json_t *context, json_t **ret, struct err *err)
{
	int rc = expand(template, context, 0, ret, err);
	return rc == ABSENT ? err_set(err, -EINVAL, "nothing of the template is left") : rc;
}

static int text_paths(const json_t *t, int (*fn)(void *arg, const char *path), void *arg)
{
	struct str rest = { json_string_value(t), json_string_length(t) };
	char path[PATH_MAX_];
	while (rest.len > 0) {
		if (cut_path(&rest, path) < 0) {
			rest.p++;
			rest.len--;
			continue;
		}
		int rc = fn(arg, path);
		if (rc)
			return rc;
	}
	return 0;
}

int render_paths(const json_t *template, int (*fn)(void *arg, const char *path), void *arg)
{
	const char *key;
	json_t *value;
	size_t i;
	int rc = 0;
	json_t *t = (json_t *)(uintptr_t)template;
	if (json_is_string(t))
		return text_paths(t, fn, arg);
	json_object_foreach(t, key, value)
	{
		if ((rc = render_paths(value, fn, arg)))
			return rc;
	}
	json_array_foreach(t, i, value)
	{
		if ((rc = render_paths(value, fn, arg)))
			return rc;
	}
	return rc;
}

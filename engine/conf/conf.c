#include "engine/conf/conf.h"

#include <errno.h>

#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/map.h"

enum { ENV_NAME_MAX = 256, SECRET_MAX = 16 * 1024 };

struct conf {
	char *name;
	struct map *values;
};

void conf_free(struct conf *c)
{
	if (!c)
		return;
	map_free(c->values);
	free(c->name);
	free(c);
}

/* Appends value to out with each ${NAME} replaced; what has no closing brace stays as it is. */
static void interpolate(struct str value, struct buf *out)
{
	while (value.len) {
		const char *close = NULL;
		if (value.len > 2 && value.p[0] == '$' && value.p[1] == '{')
			close = memchr(value.p, '}', value.len);
		size_t name_len = close ? (size_t)(close - value.p) - 2 : 0;
		if (close && name_len < ENV_NAME_MAX) {
			autofree char *name = xstrndup(value.p + 2, name_len);
			const char *text = getenv(name);
			(void)buf_adds(out, text ? text : "");
			value.len -= name_len + 3;
			value.p += name_len + 3;
		} else {
			(void)buf_addc(out, *value.p);
			value.p++;
			value.len--;
		}
	}
}

static int parse_line(struct conf *c, struct str line, int number, struct err *err)
{
	line = str_trim(line);
	if (line.len == 0 || line.p[0] == '#')
		return 0;
	if (memchr(line.p, '\0', line.len))
		return err_set(err, -EINVAL, "%s line %d: holds a NUL byte", c->name, number);
	const char *equals = memchr(line.p, '=', line.len);
	if (!equals)
		return err_set(err, -EINVAL, "%s line %d: not of the form key = value", c->name,
		               number);
	struct str key = str_trim((struct str){ line.p, (size_t)(equals - line.p) });
	struct str value =
		str_trim((struct str){ equals + 1, line.len - (size_t)(equals - line.p) - 1 });
	if (key.len == 0)
		return err_set(err, -EINVAL, "%s line %d: no key before '='", c->name, number);
	_cleanup_buf_ struct buf out = BUF_INIT(CONF_LINE_MAX);
	interpolate(value, &out);
	if (out.overflow)
		return err_set(err, -EINVAL, "%s line %d: the value of %.*s is over %d bytes",
		               c->name, number, STR_ARG(key), CONF_LINE_MAX);
	autofree char *name = str_dup(key);
	map_put(c->values, name, xstrdup(buf_cstr(&out)));
	return 0;
}

int conf_parse(struct str text, const char *name, struct conf **ret, struct err *err)
{
	_cleanup_(conf_freep) struct conf *c = xcalloc(1, sizeof(*c));
	c->name = xstrdup(name);
	c->values = map_new(free);
	struct str line;
	for (int number = 1; str_split(&text, '\n', &line); number++) {
		int rc = parse_line(c, line, number, err);
		if (rc < 0)
			return rc;
	}
	*ret = TAKE_PTR(c);
	return 0;
}

int conf_load(const char *path, struct conf **ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(CONF_FILE_MAX);
	int rc = fd_read_file(path, &text, err);
	if (rc < 0)
		return rc;
	return conf_parse((struct str){ buf_cstr(&text), text.len }, path, ret, err);
}

bool conf_has(const struct conf *c, const char *key)
{
	return c && map_get(c->values, key);
}

const char *conf_str(const struct conf *c, const char *key, const char *fallback)
{
	const char *v = c ? map_get(c->values, key) : NULL;
	return v && *v ? v : fallback;
}

int conf_int(const struct conf *c, const char *key, int64_t fallback, int64_t min, int64_t max,
             int64_t *ret, struct err *err)
{
	const char *text = conf_str(c, key, NULL);
	int64_t v = fallback;
	if (text && (str_to_i64(str_of(text), &v) < 0 || v < min || v > max))
		return err_set(err, -EINVAL, "%s: %s = %.64s: a whole number from %lld to %lld",
		               c->name, key, text, (long long)min, (long long)max);
	*ret = v;
	return 0;
}

int conf_bool(const struct conf *c, const char *key, bool fallback, bool *ret, struct err *err)
{
	const char *text = conf_str(c, key, NULL);
	if (!text)
		*ret = fallback;
	else if (str_caseeqs(str_of(text), "true"))
		*ret = true;
	else if (str_caseeqs(str_of(text), "false"))
		*ret = false;
	else
		return err_set(err, -EINVAL, "%s: %s = %.64s: true or false", c->name, key, text);
	return 0;
}

/* "10", "10K", "1.5G", "2GB"; false when it is none of these. */
static bool size_of(struct str text, uint64_t *ret)
{
	static const char units[] = "KMGTP";
	double factor = 1, number = 0;
	if (text.len && (text.p[text.len - 1] == 'B' || text.p[text.len - 1] == 'b'))
		text.len--;
	for (size_t u = 0; text.len && units[u]; u++) {
		if ((text.p[text.len - 1] & ~0x20) == units[u]) {
			text.len--;
			for (size_t i = 0; i <= u; i++)
				factor *= 1024;
			break;
		}
	}
	if (str_to_double(text, &number) < 0 || number < 0 || number * factor > 9e18)
		return false;
	*ret = (uint64_t)(number * factor);
	return true;
}

int conf_bytes(const struct conf *c, const char *key, const char *fallback, uint64_t whole,
               uint64_t *ret, struct err *err)
{
	const char *value = conf_str(c, key, fallback);
	struct str text = str_trim(str_of(value));
	double percent = 0;
	uint64_t bytes = 0;
	if (text.len && text.p[text.len - 1] == '%') {
		text.len--;
		if (str_to_double(str_trim(text), &percent) == 0 && percent > 0 && percent <= 100) {
			*ret = (uint64_t)((double)whole * percent / 100);
			return 0;
		}
	} else if (size_of(text, &bytes)) {
		*ret = bytes;
		return 0;
	}
	return err_set(err, -EINVAL, "%s: %s = %.64s: bytes (512M, 10G, …) or 1%% to 100%%",
	               c ? c->name : "built in", key, value);
}

int conf_secret(const struct conf *c, const char *key, char **ret, struct err *err)
{
	const char *value = conf_str(c, key, NULL);
	autofree char *file_key = xasprintf("%s_file", key);
	const char *path = conf_str(c, file_key, NULL);
	char *secret = NULL;
	if (value) {
		secret = xstrdup(value);
	} else if (path) {
		_cleanup_buf_ struct buf text = BUF_INIT(SECRET_MAX);
		int rc = fd_read_file(path, &text, err);
		if (rc < 0)
			return err_wrap(err, "%s: %s", c->name, file_key);
		secret = str_dup(str_trim((struct str){ buf_cstr(&text), text.len }));
		if (text.p)
			explicit_bzero(text.p, text.len);
	}
	*ret = secret;
	return 0;
}

void conf_log_unknown(const struct conf *c, const char *const *known)
{
	size_t at = 0;
	const char *key = NULL;
	void *value = NULL;
	while (c && map_next(c->values, &at, &key, &value)) {
		size_t i = 0;
		while (known[i] && strcmp(known[i], key) != 0)
			i++;
		if (!known[i])
			log_debug("conf=%s key=%s is not used here", c->name, key);
	}
}

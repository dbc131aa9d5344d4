#include "engine/meta/state.h"

#include "lib/data/json.h"

enum { TYPE_MAX = 128, DEFAULT_MAX = 4096, COMMENT_MAX = 4096, KEY_MAX = 1024 };
enum { COLUMN_COMMENT_MAX = 1024 }; /* MySQL's */

/* A string of at least min and at most max bytes without control characters. */
static const char *text_of(const json_t *p, const char *field, size_t min, size_t max,
                           struct err *err)
{
	const json_t *j = json_object_get(p, field);
	size_t len = json_string_length(j);
	const char *text = json_string_value(j);
	bool plain = text != NULL && len >= min && len <= max;
	for (size_t i = 0; plain && i < len; i++)
		plain = (unsigned char)text[i] >= ' ' && text[i] != 127;
	if (plain)
		return text;
	(void)err_set(err, SQL_ERR(1064),
	              "%s: text of %zu to %zu bytes without control characters is wanted", field,
	              min, max);
	return NULL;
}

const char *meta_name(const json_t *p, const char *field, struct err *err)
{
	return text_of(p, field, 1, META_NAME_MAX - 1, err);
}

int meta_int(const json_t *p, const char *field, int64_t min, int64_t max, int64_t *ret,
             struct err *err)
{
	const json_t *j = json_object_get(p, field);
	if (!json_is_integer(j) || json_integer_value(j) < min || json_integer_value(j) > max)
		return err_set(err, SQL_ERR(1064), "%s: a whole number from %lld to %lld is wanted",
		               field, (long long)min, (long long)max);
	*ret = json_integer_value(j);
	return 0;
}

int meta_replicas_decode(const json_t *p, size_t min, int64_t out[META_REPLICAS_MAX], size_t *ret_n,
                         struct err *err)
{
	size_t n = json_array_size(p);
	if (!json_is_array(p) || n < min || n > META_REPLICAS_MAX)
		return err_set(err, SQL_ERR(1064), "replicas: %zu to %d node ids are wanted", min,
		               META_REPLICAS_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(p, i);
		if (!json_is_integer(id) || json_integer_value(id) < 1)
			return err_set(err, SQL_ERR(1064), "replicas: node ids are wanted");
		out[i] = json_integer_value(id);
		for (size_t k = 0; k < i; k++)
			if (out[k] == out[i])
				return err_set(err, SQL_ERR(1064), "replicas: node %lld twice",
				               (long long)out[i]);
	}
	*ret_n = n;
	return 0;
}

static bool hex_of(const char *text, size_t len)
{
	if (!text || strlen(text) != len)
		return false;
	return strspn(text, "0123456789abcdef") == len;
}

int meta_rowset_decode(const json_t *p, struct meta_rowset *ret, struct err *err)
{
	struct meta_rowset r = { 0 };
	const char *id = json_string_value(json_object_get(p, "id"));
	const char *crc = json_string_value(json_object_get(p, "crc"));
	int64_t rows = 0, bytes = 0;
	if (!hex_of(id, 32) || !hex_of(crc, 8))
		return err_set(err, SQL_ERR(1064),
		               "rowset: an id of 32 and a crc of 8 hexadecimal digits are wanted");
	int rc = meta_int(p, "rows", 0, INT64_MAX, &rows, err);
	if (rc == 0)
		rc = meta_int(p, "bytes", 0, INT64_MAX, &bytes, err);
	if (rc < 0)
		return rc;
	memcpy(r.id, id, 33);
	r.crc = (uint32_t)strtoul(crc, NULL, 16);
	r.rows = (uint64_t)rows;
	r.bytes = (uint64_t)bytes;
	*ret = r;
	return 0;
}

int meta_object_decode(const json_t *p, struct meta_object *ret, struct err *err)
{
	const char *key = text_of(p, "key", 1, KEY_MAX, err);
	const char *etag = key ? text_of(p, "etag", 0, KEY_MAX, err) : NULL;
	int64_t rows = 0, bytes = 0;
	if (!etag)
		return SQL_ERR(1064);
	int rc = meta_int(p, "rows", 0, INT64_MAX, &rows, err);
	if (rc == 0)
		rc = meta_int(p, "bytes", 0, INT64_MAX, &bytes, err);
	if (rc == 0)
		*ret = (struct meta_object){ .key = xstrdup(key),
			                     .etag = xstrdup(etag),
			                     .rows = (uint64_t)rows,
			                     .bytes = (uint64_t)bytes };
	return rc;
}

static int decode_column(const json_t *p, struct meta_column *c, struct err *err)
{
	const char *name = meta_name(p, "name", err);
	const char *type = name ? text_of(p, "type", 1, TYPE_MAX, err) : NULL;
	const char *declared = type ? text_of(p, "declared", 1, TYPE_MAX, err) : NULL;
	if (!declared)
		return SQL_ERR(1064);
	const json_t *fallback = json_object_get(p, "default");
	if (fallback && !json_is_null(fallback) &&
	    (!json_is_string(fallback) || json_string_length(fallback) > DEFAULT_MAX))
		return err_set(err, SQL_ERR(1067), "Invalid default value for '%s'", name);
	const char *comment = data_get_str(p, "comment");
	if (comment && strlen(comment) > COLUMN_COMMENT_MAX)
		return err_set(err, SQL_ERR(1629), "Comment for field '%s' is too long (max = %d)",
		               name, COLUMN_COMMENT_MAX);
	c->name = xstrdup(name);
	c->type = xstrdup(type);
	c->declared = xstrdup(declared);
	c->nullable = data_get_bool(p, "nullable", true);
	c->key = data_get_bool(p, "key", false);
	c->comment = comment ? xstrdup(comment) : NULL;
	c->default_text = json_is_string(fallback) ? xstrdup(json_string_value(fallback)) : NULL;
	return 0;
}

static bool same_name(const char *a, const char *b)
{
	return str_caseeq(str_of(a), str_of(b));
}

static int decode_columns(const json_t *p, struct meta_table *t, struct err *err)
{
	const json_t *list = json_object_get(p, "columns");
	size_t n = json_array_size(list);
	if (n < 1 || n > META_COLUMNS_MAX)
		return err_set(err, SQL_ERR(1113), "A table has 1 to %d columns", META_COLUMNS_MAX);
	_cleanup_(map_freep) struct map *seen = map_new(NULL);
	t->columns = xcalloc(n, sizeof(*t->columns));
	for (size_t i = 0; i < n; i++) {
		struct meta_column *c = &t->columns[t->n_columns++];
		int rc = decode_column(json_array_get(list, i), c, err);
		if (rc < 0)
			return rc;
		autofree char *folded = xstrdup(c->name);
		for (char *f = folded; *f; f++)
			*f = (char)(*f >= 'A' && *f <= 'Z' ? *f + 32 : *f);
		if (map_get(seen, folded))
			return err_set(err, SQL_ERR(1060), "Duplicate column name '%s'", c->name);
		map_put(seen, folded, c);
	}
	return 0;
}

static int decode_distribution(const json_t *p, struct meta_table *t, struct err *err)
{
	const json_t *list = json_object_get(p, "distribution");
	size_t n = json_array_size(list);
	if (n > t->n_columns)
		return err_set(err, SQL_ERR(1064), "distribution: more columns than the table has");
	t->distribution = xcalloc(n + 1, sizeof(*t->distribution));
	for (size_t i = 0; i < n; i++) {
		const char *name = json_string_value(json_array_get(list, i));
		const struct meta_column *c = name ? meta_table_column(t, name) : NULL;
		if (!c)
			return err_set(err, SQL_ERR(1054), "distribution: unknown column '%.64s'",
			               name ? name : "");
		t->distribution[t->n_distribution++] = xstrdup(c->name);
	}
	return 0;
}

static int decode_scalars(const json_t *p, struct meta_table *t, struct err *err)
{
	const char *db = meta_name(p, "db", err);
	const char *name = db ? meta_name(p, "name", err) : NULL;
	if (!name)
		return SQL_ERR(1064);
	t->db = xstrdup(db);
	t->name = xstrdup(name);
	int64_t buckets = 0, replicas = 0;
	int rc = meta_int(p, "buckets", 1, META_BUCKETS_MAX, &buckets, err);
	if (rc == 0)
		rc = meta_int(p, "replication_num", 1, META_REPLICAS_MAX, &replicas, err);
	if (rc < 0)
		return rc;
	t->buckets = (int)buckets;
	t->replication_num = (int)replicas;
	const char *storage = data_get_str(p, "storage");
	if (!storage || (strcmp(storage, "local") != 0 && strcmp(storage, "bucket") != 0))
		return err_set(err, SQL_ERR(1064), "storage: local or bucket is wanted");
	t->storage = storage[0] == 'l' ? META_LOCAL : META_BUCKET;
	const char *keys_type = data_get_str(p, "keys_type");
	if (keys_type && strcmp(keys_type, "DUPLICATE") != 0)
		return err_set(err, SQL_ERR(1064), "keys_type: only DUPLICATE is supported");
	t->keys_type = xstrdup("DUPLICATE");
	const char *comment = data_get_str(p, "comment");
	if (comment && strlen(comment) > COMMENT_MAX)
		return err_set(err, SQL_ERR(1628), "Comment for table '%s' is too long (max = %d)",
		               name, COMMENT_MAX);
	t->comment = comment ? xstrdup(comment) : NULL;
	return 0;
}

int meta_table_decode(const json_t *p, struct meta_table **ret, struct err *err)
{
	_cleanup_(meta_table_freep) struct meta_table *t = xcalloc(1, sizeof(*t));
	t->version = 1;
	int rc = decode_scalars(p, t, err);
	if (rc == 0)
		rc = decode_columns(p, t, err);
	if (rc == 0)
		rc = decode_distribution(p, t, err);
	if (rc < 0)
		return rc;
	const json_t *properties = json_object_get(p, "properties");
	t->properties = json_is_object(properties) ? json_deep_copy(properties) : json_object();
	*ret = TAKE_PTR(t);
	return 0;
}

static json_t *encode_columns(const struct meta_table *t)
{
	json_t *columns = json_array();
	for (size_t i = 0; i < t->n_columns; i++) {
		const struct meta_column *c = &t->columns[i];
		json_t *j =
			json_pack("{s:s, s:s, s:s, s:b, s:b, s:s*, s:s*}", "name", c->name, "type",
		                  c->type, "declared", c->declared, "nullable", c->nullable, "key",
		                  c->key, "default", c->default_text, "comment", c->comment);
		json_array_append_new(columns, j);
	}
	return columns;
}

json_t *meta_table_encode(const struct meta_table *t)
{
	json_t *distribution = json_array();
	for (size_t i = 0; i < t->n_distribution; i++)
		json_array_append_new(distribution, json_string(t->distribution[i]));
	return json_pack("{s:s, s:s, s:s*, s:o, s:o, s:s, s:i, s:i, s:s, s:O}", "db", t->db, "name",
	                 t->name, "comment", t->comment, "columns", encode_columns(t),
	                 "distribution", distribution, "keys_type", t->keys_type, "buckets",
	                 t->buckets, "replication_num", t->replication_num, "storage",
	                 t->storage == META_LOCAL ? "local" : "bucket", "properties",
	                 t->properties);
}

const struct meta_column *meta_table_column(const struct meta_table *t, const char *name)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (same_name(t->columns[i].name, name))
			return &t->columns[i];
	return NULL;
}

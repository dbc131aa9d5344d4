#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "engine/duck/input.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* The table that a file is read into; its columns are those of the input. */
#define TABLE "temp.main.\"__roost_load\""
/* Whether a value did not convert; strict loads hold such rows back. */
#define BAD "\"__roost_bad\""

struct load {
	struct duck_task *t;
	const json_t *input, *options;
	const struct duck_columns *columns;
	bool json, strict;
};

static const char *option(const struct load *l, const char *name, const char *absent)
{
	const char *text = data_get_str(l->options, name);
	return text ? text : absent;
}

/* The fields of the file: options.columns, else the columns themselves. */
static size_t field_count(const struct load *l)
{
	size_t n = json_array_size(data_get(l->options, "columns"));
	return n ? n : l->columns->n;
}

static const char *field_name(const struct load *l, size_t at)
{
	const json_t *names = data_get(l->options, "columns");
	if (json_array_size(names) == 0)
		return l->columns->v[at].name;
	const char *name = json_string_value(json_array_get(names, at));
	return name ? name : "";
}

/* The field that column c comes from; field_count() for none. */
static size_t field_of(const struct load *l, size_t c)
{
	size_t n = field_count(l);
	for (size_t i = 0; i < n; i++)
		if (str_caseeqs(str_of(field_name(l, i)), l->columns->v[c].name))
			return i;
	return n;
}

static void named_literal(struct buf *sql, const char *name, const char *value)
{
	(void)buf_addf(sql, ", %s = ", name);
	duck_literal(sql, value);
}

static void csv_source(const struct load *l, struct buf *sql)
{
	(void)buf_adds(sql, "read_csv(");
	duck_literal(sql, data_get_str(l->input, "path"));
	(void)buf_adds(sql, ", auto_detect = false, header = false, store_rejects = true");
	named_literal(sql, "delim", option(l, "column_separator", "\t"));
	named_literal(sql, "quote", option(l, "enclose", ""));
	/* Without an escape an enclose inside is doubled, as in RFC 4180 and StarRocks. */
	named_literal(sql, "escape", option(l, "escape", option(l, "enclose", "")));
	named_literal(sql, "nullstr", option(l, "null_marker", "\\N"));
	(void)buf_addf(sql, ", skip = %" PRId64, data_get_int(l->options, "skip_header", 0));
	(void)buf_adds(sql, ", columns = {");
	for (size_t i = 0; i < field_count(l); i++) {
		size_t c = duck_columns_find(l->columns, field_name(l, i));
		(void)buf_addf(sql, "%s'f%zu': '", i ? ", " : "", i);
		if (l->strict && c < l->columns->n && l->columns->v[c].type != XCHG_NULL)
			(void)xchg_type_name(&l->columns->v[c], sql);
		else
			(void)buf_adds(sql, "VARCHAR");
		(void)buf_addc(sql, '\'');
	}
	(void)buf_adds(sql, "})");
}

static void json_source(const struct load *l, struct buf *sql)
{
	bool array = data_get_bool(l->options, "strip_outer_array", false);
	(void)buf_adds(sql, "read_json_objects(");
	duck_literal(sql, data_get_str(l->input, "path"));
	named_literal(sql, "format", array ? "array" : "unstructured");
	(void)buf_adds(sql, ", maximum_object_size = 67108864)");
}

/* The text of the field of column c, as the source gives it. */
static void field_text(const struct load *l, size_t c, struct buf *sql)
{
	size_t field = field_of(l, c);
	if (field == field_count(l)) {
		(void)buf_adds(sql, "NULL");
		return;
	}
	if (!l->json) {
		bool trim = data_get_bool(l->options, "trim_space", false) && !l->strict;
		(void)buf_addf(sql, trim ? "trim(f%zu)" : "f%zu", field);
		return;
	}
	const char *path =
		json_string_value(json_array_get(data_get(l->options, "jsonpaths"), field));
	_cleanup_buf_ struct buf own = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&own, "$.");
	duck_ident(&own, field_name(l, field));
	(void)buf_adds(sql, "json_extract_string(json, ");
	duck_literal(sql, path ? path : buf_cstr(&own));
	(void)buf_addc(sql, ')');
}

static int read_table(const struct load *l, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX), bad = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "CREATE TEMP TABLE \"__roost_load\" AS SELECT ");
	(void)buf_adds(&bad, "false");
	for (size_t c = 0; c < l->columns->n; c++) {
		_cleanup_buf_ struct buf text = BUF_INIT(DUCK_SQL_MAX);
		field_text(l, c, &text);
		if (l->columns->v[c].type != XCHG_NULL)
			(void)buf_adds(&sql, "TRY_");
		duck_cast(&sql, &l->columns->v[c], buf_cstr(&text));
		(void)buf_adds(&sql, " AS ");
		duck_ident(&sql, l->columns->v[c].name);
		(void)buf_adds(&sql, ", ");
		if (!l->strict || l->columns->v[c].type == XCHG_NULL)
			continue;
		(void)buf_addf(&bad, " OR (%s IS NOT NULL AND TRY_", buf_cstr(&text));
		duck_cast(&bad, &l->columns->v[c], buf_cstr(&text));
		(void)buf_adds(&bad, " IS NULL)");
	}
	(void)buf_addf(&sql, "(%s) AS " BAD " FROM ", buf_cstr(&bad));
	(l->json ? json_source : csv_source)(l, &sql);
	return duck_run(&l->t->session, buf_cstr(&sql), err);
}

/* Whether the text is longer than VARCHAR(n) lets it be; never NULL. */
static void too_long(const struct load *l, size_t c, struct buf *sql)
{
	(void)buf_adds(sql, "coalesce(strlen(");
	duck_ident(sql, l->columns->v[c].name);
	(void)buf_addf(sql, ") > %" PRId64 ", false)", l->columns->max_bytes[c]);
}

/* A condition that is true for rows to hold back, false for others, never NULL. */
static void held_back(const struct load *l, struct buf *sql)
{
	(void)buf_adds(sql, "(" BAD);
	for (size_t c = 0; c < l->columns->n; c++) {
		if (l->columns->max_bytes[c]) {
			(void)buf_adds(sql, " OR ");
			too_long(l, c, sql);
		}
		if (l->columns->nullable[c])
			continue;
		(void)buf_adds(sql, " OR ");
		duck_ident(sql, l->columns->v[c].name);
		(void)buf_adds(sql, " IS NULL");
	}
	(void)buf_addc(sql, ')');
}

/* options.where is a tree of SELECT <condition>: the condition's SQL, or "true". */
static int condition(const struct load *l, struct buf *sql, struct err *err)
{
	const json_t *where = data_get(l->options, "where");
	if (!where || json_is_null(where))
		return buf_adds(sql, "true");
	autofree char *text = NULL;
	int rc = duck_task_sql(l->t, where, &text, err);
	if (rc < 0)
		return err_wrap(err, "options.where");
	/* As a scalar subquery it needs no cutting; unqualified names in it are the row's columns. */
	(void)buf_addf(sql, "coalesce((%s), false)", text);
	return 0;
}

static int first_error(const struct load *l, int64_t rejected, char **ret, struct err *err)
{
	struct duck_session *s = &l->t->session;
	if (rejected > 0)
		return duck_value(s,
		                  "SELECT 'line ' || line || ': ' || error_message FROM "
		                  "reject_errors ORDER BY line LIMIT 1",
		                  ret, err);
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "SELECT CASE ");
	for (size_t c = 0; c < l->columns->n; c++) {
		_cleanup_buf_ struct buf text = BUF_INIT(DUCK_SQL_MAX);
		if (l->columns->max_bytes[c]) {
			(void)buf_addf(&text,
			               "column %s: the text is longer than %" PRId64 " bytes",
			               l->columns->v[c].name, l->columns->max_bytes[c]);
			(void)buf_adds(&sql, "WHEN ");
			too_long(l, c, &sql);
			(void)buf_adds(&sql, " THEN ");
			duck_literal(&sql, buf_cstr(&text));
			(void)buf_addc(&sql, ' ');
			buf_reset(&text);
		}
		if (l->columns->nullable[c])
			continue;
		(void)buf_addf(&text, "column %s has no value and is not nullable",
		               l->columns->v[c].name);
		(void)buf_adds(&sql, "WHEN NOT " BAD " AND ");
		duck_ident(&sql, l->columns->v[c].name);
		(void)buf_adds(&sql, " IS NULL THEN ");
		duck_literal(&sql, buf_cstr(&text));
		(void)buf_addc(&sql, ' ');
	}
	(void)buf_adds(&sql, "WHEN " BAD " THEN 'a value does not fit the type of its column' "
	                     "END || ' (row ' || (rowid + 1) || ')' FROM " TABLE " WHERE ");
	held_back(l, &sql);
	(void)buf_adds(&sql, " ORDER BY rowid LIMIT 1");
	return duck_value(s, buf_cstr(&sql), ret, err);
}

struct counts {
	int64_t read, rejected, held, unselected;
};

static int count(const struct load *l, const char *held, const char *where, struct counts *ret,
                 struct err *err)
{
	struct duck_session *s = &l->t->session;
	int rc = duck_number(s, "SELECT count(*) FROM " TABLE, &ret->read, err);
	if (rc == 0 && !l->json)
		rc = duck_number(s, "SELECT count(DISTINCT line) FROM reject_errors",
		                 &ret->rejected, err);
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_addf(&sql, "SELECT count(*) FROM " TABLE " WHERE %s", held);
	if (rc == 0)
		rc = duck_number(s, buf_cstr(&sql), &ret->held, err);
	buf_reset(&sql);
	(void)buf_addf(&sql, "SELECT count(*) FROM " TABLE " WHERE NOT %s AND NOT %s", held, where);
	if (rc == 0 && strcmp(where, "true") != 0)
		rc = duck_number(s, buf_cstr(&sql), &ret->unselected, err);
	return rc;
}

/* Fills t->load; too many bad rows are the statement's fault. */
static int judge(const struct load *l, const struct counts *n, struct err *err)
{
	int64_t filtered = n->rejected + n->held;
	int64_t loaded = n->read - n->held - n->unselected;
	autofree char *first = NULL;
	int rc = filtered ? first_error(l, n->rejected, &first, err) : 0;
	if (rc < 0)
		return rc;
	json_decref(l->t->load);
	l->t->load = json_pack("{s:I, s:I, s:I, s:I, s:s}", "total",
	                       (json_int_t)(n->read + n->rejected), "loaded", (json_int_t)loaded,
	                       "filtered", (json_int_t)filtered, "unselected",
	                       (json_int_t)n->unselected, "first_error", first ? first : "");
	double ratio = filtered ? (double)filtered / (double)(filtered + loaded) : 0;
	if (ratio > data_get_num(l->options, "max_filter_ratio", 0))
		return err_set(err, -EINVAL,
		               "too many filtered rows: %" PRId64 " of %" PRId64 "; %s", filtered,
		               filtered + loaded, first ? first : "");
	return 0;
}

int duck_input_file(struct duck_task *t, const json_t *input, const struct duck_columns *columns,
                    struct err *err)
{
	const char *name = data_get_str(input, "name"), *path = data_get_str(input, "path");
	struct load l = { t, input, data_get(input, "options"), columns, false, false };
	l.json = strcmp(option(&(struct load){ .options = input }, "format", "csv"), "json") == 0;
	l.strict = data_get_bool(l.options, "strict", false);
	struct stat st;
	if (!path || stat(path, &st) < 0)
		return err_set(err, -EINVAL, "input %s: no file to load", name);
	t->input_bytes += (uint64_t)st.st_size;
	_cleanup_buf_ struct buf held = BUF_INIT(DUCK_SQL_MAX), where = BUF_INIT(DUCK_SQL_MAX);
	held_back(&l, &held);
	struct counts n = { 0 };
	int rc = condition(&l, &where, err);
	if (rc == 0)
		rc = read_table(&l, err);
	if (rc == 0)
		rc = count(&l, buf_cstr(&held), buf_cstr(&where), &n, err);
	if (rc == 0)
		rc = judge(&l, &n, err);
	if (rc < 0)
		return rc;
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_addf(&sql, "SELECT * EXCLUDE (" BAD ") FROM " TABLE " WHERE NOT %s AND %s",
	               buf_cstr(&held), buf_cstr(&where));
	return duck_task_view(t, name, buf_cstr(&sql), err);
}

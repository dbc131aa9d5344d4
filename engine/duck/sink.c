#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/duck/output.h"
#include "lib/base/crc.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

#define STAGE "temp.main.\"__roost_stage\""

/* One value of the target: the fragment's column, cast; NULL where none may be stops the statement. */
static void target_value(const struct duck_columns *columns, size_t i, struct buf *sql)
{
	char source[32];
	(void)snprintf(source, sizeof(source), "c%zu", i);
	if (columns->nullable[i]) {
		duck_cast(sql, &columns->v[i], source);
		return;
	}
	_cleanup_buf_ struct buf text = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_addf(&text, "Column '%s' cannot be null", columns->v[i].name);
	(void)buf_addf(sql, "CASE WHEN %s IS NULL THEN error(", source);
	duck_literal(sql, buf_cstr(&text));
	(void)buf_adds(sql, ") ELSE ");
	duck_cast(sql, &columns->v[i], source);
	(void)buf_adds(sql, " END");
}

/* SELECT the target's columns FROM the fragment, matched by position. */
static void target_select(struct duck_task *t, const struct duck_columns *columns, struct buf *sql)
{
	(void)buf_adds(sql, "SELECT ");
	for (size_t i = 0; i < columns->n; i++) {
		(void)buf_adds(sql, i ? ", " : "");
		target_value(columns, i, sql);
		(void)buf_adds(sql, " AS ");
		duck_ident(sql, columns->v[i].name);
	}
	(void)buf_addf(sql, " FROM (%s) AS f(", t->fragment);
	for (size_t i = 0; i < columns->n; i++)
		(void)buf_addf(sql, "%sc%zu", i ? ", " : "", i);
	(void)buf_addc(sql, ')');
}

/* "a", "b": the named columns, or all when `names` is empty and `all`. */
static int name_list(const struct duck_columns *columns, const json_t *names, bool all,
                     const char *prefix, const char *suffix, struct buf *sql, struct err *err)
{
	size_t n = json_array_size(names);
	for (size_t i = 0; i < (n ? n : all ? columns->n : 0); i++) {
		const char *name =
			n ? json_string_value(json_array_get(names, i)) : columns->v[i].name;
		size_t at = duck_columns_find(columns, name ? name : "");
		if (at == columns->n)
			return err_set(err, -EINVAL, "output: no column %s", name ? name : "?");
		(void)buf_addf(sql, "%s%s", i ? ", " : "", prefix);
		duck_ident(sql, columns->v[at].name);
		(void)buf_adds(sql, suffix);
	}
	return 0;
}

/* RPC_BUCKET_HASH over the distribution columns (all, for a random distribution), then sorted by bucket and key. */
static int stage(struct duck_task *t, const json_t *output, const struct duck_columns *columns,
                 int64_t buckets, struct err *err)
{
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX), keys = BUF_INIT(DUCK_SQL_MAX);
	int rc = name_list(columns, data_get(output, "distribution"), true, "CAST(", " AS VARCHAR)",
	                   &keys, err);
	if (rc < 0)
		return rc;
	(void)buf_addf(&sql,
	               "CREATE TEMP TABLE \"__roost_stage\" AS SELECT *, "
	               "CAST(hash(%s) %% %" PRId64 " AS UINTEGER) AS \"__roost_bucket\" FROM (",
	               buf_cstr(&keys), buckets);
	target_select(t, columns, &sql);
	(void)buf_adds(&sql, ") ORDER BY \"__roost_bucket\"");
	buf_reset(&keys);
	rc = name_list(columns, data_get(output, "sort"), false, "", "", &keys, err);
	if (rc == 0 && keys.len)
		(void)buf_addf(&sql, ", %s", buf_cstr(&keys));
	return rc < 0 ? rc : duck_run(&t->session, buf_cstr(&sql), err);
}

static int file_crc(const char *path, uint32_t *ret_crc, uint64_t *ret_bytes, struct err *err)
{
	enum { PIECE = 1024 * 1024 };
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, -EIO, "cannot read %s", path);
	autofree char *piece = xmalloc(PIECE);
	*ret_crc = 0;
	*ret_bytes = 0;
	for (;;) {
		ssize_t n = read(fd, piece, PIECE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, -EIO, "cannot read %s", path);
		if (n == 0)
			return 0;
		*ret_crc = crc32c(*ret_crc, piece, (size_t)n);
		*ret_bytes += (uint64_t)n;
	}
}

static void remove_rowset(const char *path)
{
	autofree char *wal = xasprintf("%s.wal", path);
	(void)unlink(path);
	(void)unlink(wal);
}

static int run_and_reset(struct duck_task *t, struct buf *sql, struct err *err)
{
	int rc = duck_run(&t->session, buf_cstr(sql), err);
	buf_reset(sql);
	return rc;
}

/* Writes one rowset file from the staged rows of a bucket: table t, checkpointed and closed. */
static int write_rowset(struct duck_task *t, const struct duck_columns *columns, int64_t bucket,
                        const char *path, struct err *err)
{
	static atomic_ulong counter;
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	autofree char *name = xasprintf("w%lu", atomic_fetch_add(&counter, 1));
	remove_rowset(path);
	(void)buf_adds(&sql, "ATTACH ");
	duck_literal(&sql, path);
	(void)buf_addf(&sql, " AS %s (TYPE duckdb)", name);
	int rc = run_and_reset(t, &sql, err);
	if (rc < 0)
		return rc;
	(void)buf_addf(&sql, "CREATE TABLE %s.main.t AS SELECT ", name);
	rc = name_list(columns, NULL, true, "", "", &sql, err);
	(void)buf_addf(&sql, " FROM " STAGE " WHERE \"__roost_bucket\" = %" PRId64, bucket);
	if (rc == 0)
		rc = run_and_reset(t, &sql, err);
	(void)buf_addf(&sql, "CHECKPOINT %s", name);
	if (rc == 0)
		rc = run_and_reset(t, &sql, err);
	buf_reset(&sql);
	(void)buf_addf(&sql, "DETACH %s", name);
	duckdb_result result; /* not duck_run(): a cancelled task detaches, too */
	(void)duckdb_query(t->session.con, buf_cstr(&sql), &result);
	duckdb_destroy_result(&result);
	if (rc < 0)
		remove_rowset(path);
	return rc;
}

/* The staged buckets and their rows, as [[bucket, rows]…]. */
static int staged_buckets(struct duck_task *t, json_t **ret, struct err *err)
{
	autofree char *text = NULL;
	int rc = duck_value(&t->session,
	                    "SELECT CAST(coalesce(to_json(list([b, n])), '[]') AS VARCHAR) FROM "
	                    "(SELECT CAST(\"__roost_bucket\" AS BIGINT) AS b, count(*) AS n "
	                    "FROM " STAGE " GROUP BY 1 ORDER BY 1)",
	                    &text, err);
	if (rc < 0)
		return rc;
	json_error_t why;
	*ret = json_loads(text ? text : "[]", 0, &why);
	return *ret ? 0 : err_set(err, -EIO, "buckets: %s", why.text);
}

static int add_rowset(struct duck_task *t, const json_t *output, const struct duck_columns *columns,
                      const json_t *bucket, json_t *list, struct err *err)
{
	int64_t number = json_integer_value(json_array_get(bucket, 0));
	int64_t rows = json_integer_value(json_array_get(bucket, 1));
	autofree char *path = xasprintf("%s/%s%" PRId64 ".duckdb", data_get_str(output, "dir"),
	                                data_get_str(output, "prefix"), number);
	uint32_t crc = 0;
	uint64_t bytes = 0;
	int rc = write_rowset(t, columns, number, path, err);
	if (rc == 0)
		rc = file_crc(path, &crc, &bytes, err);
	if (rc < 0)
		return rc;
	char hex[9];
	(void)snprintf(hex, sizeof(hex), "%08x", crc);
	(void)json_array_append_new(list, json_pack("{s:I, s:s, s:I, s:I, s:s}", "bucket",
	                                            (json_int_t)number, "path", path, "rows",
	                                            (json_int_t)rows, "bytes", (json_int_t)bytes,
	                                            "crc", hex));
	return 0;
}

/* Sums rows and bytes of the list into the answer and hands it the list. */
static void total(json_t *reply, const char *name, json_t *list /* stolen */)
{
	int64_t rows = 0, bytes = 0;
	size_t i = 0;
	json_t *item = NULL;
	json_array_foreach(list, i, item)
	{
		rows += data_get_int(item, "rows", 0);
		bytes += data_get_int(item, "bytes", 0);
	}
	(void)json_object_set_new(reply, "rows", json_integer((json_int_t)rows));
	(void)json_object_set_new(reply, "bytes", json_integer((json_int_t)bytes));
	(void)json_object_set_new(reply, name, list);
}

static void remove_all(const json_t *list)
{
	size_t i = 0;
	json_t *item = NULL;
	json_array_foreach(list, i, item) remove_rowset(data_get_str(item, "path"));
}

static int needs_dir(const json_t *output, struct err *err)
{
	if (!data_get_str(output, "dir") || !data_get_str(output, "prefix"))
		return err_set(err, -EINVAL, "output: dir and prefix are needed");
	return 0;
}

int duck_output_tablets(struct duck_task *t, const json_t *output, json_t *reply, struct err *err)
{
	int64_t buckets = data_get_int(output, "buckets", 0);
	if (buckets < 1 || buckets > UINT32_MAX)
		return err_set(err, -EINVAL, "output.buckets: %" PRId64 ", at least 1", buckets);
	_cleanup_columns_ struct duck_columns columns = { 0 };
	int rc = needs_dir(output, err);
	if (rc == 0)
		rc = duck_columns_parse(data_get(output, "columns"), &columns, err);
	if (rc == 0)
		rc = stage(t, output, &columns, buckets, err);
	_cleanup_json_ json_t *staged = NULL;
	if (rc == 0)
		rc = staged_buckets(t, &staged, err);
	if (rc < 0)
		return rc;
	json_t *list = json_array();
	for (size_t i = 0; i < json_array_size(staged) && rc == 0; i++)
		rc = add_rowset(t, output, &columns, json_array_get(staged, i), list, err);
	if (rc < 0) {
		remove_all(list);
		json_decref(list);
		return rc;
	}
	total(reply, "rowsets", list);
	return 0;
}

/* Moves the files that COPY wrote into folder to dir/prefix<n>.parquet, and lists those with rows. */
static int collect_objects(const json_t *output, const char *folder, duckdb_result *stats,
                           json_t *list, struct err *err)
{
	idx_t n = duckdb_row_count(stats), at = 0;
	for (idx_t i = 0; i < n; i++) {
		char *from = duckdb_value_varchar(stats, 0, i);
		int64_t rows = duckdb_value_int64(stats, 1, i);
		autofree char *path =
			xasprintf("%s/%s%" PRIu64 ".parquet", data_get_str(output, "dir"),
		                  data_get_str(output, "prefix"), (uint64_t)at);
		struct stat st = { 0 };
		bool moved = rows > 0 && rename(from, path) == 0 && stat(path, &st) == 0;
		duckdb_free(from);
		if (rows > 0 && !moved)
			return err_errno(err, "cannot move an object of %s", folder);
		if (rows == 0)
			continue;
		at++;
		(void)json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "path", path, "rows",
		                                            (json_int_t)rows, "bytes",
		                                            (json_int_t)st.st_size));
	}
	return 0;
}

static int copy_objects(struct duck_task *t, const json_t *output, const char *folder,
                        const struct duck_columns *columns, json_t *list, struct err *err)
{
	enum { GROUP = 122880 };
	int64_t rows = data_get_int(output, "rows_per_object", 0);
	rows = rows > 0 ? rows : 16 * GROUP;
	int64_t group = rows < GROUP ? rows : GROUP;
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "COPY (");
	target_select(t, columns, &sql);
	(void)buf_adds(&sql, ") TO ");
	duck_literal(&sql, folder);
	(void)buf_addf(&sql,
	               " (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE %" PRId64
	               ", ROW_GROUPS_PER_FILE %" PRId64 ", RETURN_STATS true)",
	               group, (rows + group - 1) / group);
	duckdb_prepared_statement statement = NULL;
	int rc = duck_prepare(&t->session, buf_cstr(&sql), &statement, err);
	if (rc < 0)
		return rc;
	duckdb_result stats = { 0 };
	if (duckdb_execute_prepared(statement, &stats) == DuckDBError)
		rc = duck_fail(&t->session, duckdb_result_error_type(&stats),
		               duckdb_result_error(&stats), err);
	if (rc == 0)
		rc = collect_objects(output, folder, &stats, list, err);
	duckdb_destroy_result(&stats);
	duckdb_destroy_prepare(&statement);
	return rc;
}

int duck_output_objects(struct duck_task *t, const json_t *output, json_t *reply, struct err *err)
{
	_cleanup_columns_ struct duck_columns columns = { 0 };
	int rc = needs_dir(output, err);
	if (rc == 0)
		rc = duck_columns_parse(data_get(output, "columns"), &columns, err);
	if (rc < 0)
		return rc;
	autofree char *folder = xasprintf("%s/%s.writing", data_get_str(output, "dir"),
	                                  data_get_str(output, "prefix"));
	rc = fd_rm_rf(folder, err);
	json_t *list = json_array();
	if (rc == 0)
		rc = copy_objects(t, output, folder, &columns, list, err);
	struct err ignored = ERR_INIT;
	(void)fd_rm_rf(folder, &ignored);
	if (rc < 0) {
		remove_all(list);
		json_decref(list);
		return rc;
	}
	total(reply, "objects", list);
	return 0;
}

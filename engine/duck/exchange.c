#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "engine/duck/output.h"
#include "engine/exchange/shuffle.h"
#include "lib/base/fd.h"
#include "lib/base/str.h"
#include "lib/data/json.h"

/* A chunk of DuckDB's as a block: text is laid out anew, the rest is borrowed from the chunk. */
struct converter {
	struct duck_columns columns;
	struct xchg_vector *vectors;
	uint32_t (*offsets)[XCHG_BLOCK_ROWS + 1];
	struct buf *texts;
};

static void converter_clear(struct converter *c)
{
	for (size_t i = 0; c->texts && i < c->columns.n; i++)
		buf_free(&c->texts[i]);
	free(c->texts);
	free(c->offsets);
	free(c->vectors);
	duck_columns_clear(&c->columns);
}

static int convert_text(duckdb_vector from, uint32_t rows, struct buf *bytes, uint32_t *offsets,
                        struct xchg_vector *to, struct err *err)
{
	duckdb_string_t *strings = duckdb_vector_get_data(from);
	buf_reset(bytes);
	offsets[0] = 0;
	for (uint32_t i = 0; i < rows; i++) {
		bool valid = !to->validity || (to->validity[i / 8] >> (i % 8) & 1);
		if (valid && buf_add(bytes, duckdb_string_t_data(&strings[i]),
		                     duckdb_string_t_length(strings[i])) < 0)
			return err_set(err, -EINVAL, "a block of text is larger than 2 GB");
		offsets[i + 1] = (uint32_t)bytes->len;
	}
	to->data = (const uint8_t *)buf_cstr(bytes);
	to->offsets = offsets;
	return 0;
}

static int convert(struct converter *c, duckdb_data_chunk chunk, struct xchg_block *ret,
                   struct err *err)
{
	uint32_t rows = (uint32_t)duckdb_data_chunk_get_size(chunk);
	for (size_t i = 0; i < c->columns.n; i++) {
		duckdb_vector from = duckdb_data_chunk_get_vector(chunk, i);
		struct xchg_vector *to = &c->vectors[i];
		*to = (struct xchg_vector){ 0 };
		if (c->columns.v[i].type == XCHG_NULL)
			continue;
		to->validity = (const uint8_t *)duckdb_vector_get_validity(from);
		to->data = duckdb_vector_get_data(from);
		int rc = 0;
		if (xchg_width(&c->columns.v[i]) == 0)
			rc = convert_text(from, rows, &c->texts[i], c->offsets[i], to, err);
		if (rc < 0)
			return rc;
	}
	*ret = (struct xchg_block){ rows, c->vectors };
	return 0;
}

/* The columns of a planned statement; false when one travels only as text. */
static bool columns_of(duckdb_prepared_statement statement, struct duck_columns *ret)
{
	bool plain = true;
	size_t n = (size_t)duckdb_prepared_statement_column_count(statement);
	ret->v = xcalloc(n, sizeof(*ret->v));
	ret->nullable = xcalloc(n, sizeof(*ret->nullable));
	ret->max_bytes = xcalloc(n, sizeof(*ret->max_bytes));
	for (; ret->n < n; ret->n++) {
		const char *name = duckdb_prepared_statement_column_name(statement, ret->n);
		duckdb_logical_type type =
			duckdb_prepared_statement_column_logical_type(statement, ret->n);
		ret->v[ret->n].name = xstrdup(name ? name : "");
		duckdb_free((void *)(uintptr_t)name);
		plain = duck_type_of(type, &ret->v[ret->n]) && plain;
		duckdb_destroy_logical_type(&type);
	}
	return plain;
}

/* Plans the fragment, once more with casts when its columns are not all of exchanged types. */
static int plan(struct duck_task *t, duckdb_prepared_statement *ret, struct duck_columns *columns,
                struct err *err)
{
	int rc = duck_prepare(&t->session, t->fragment, ret, err);
	if (rc < 0 || columns_of(*ret, columns))
		return rc;
	duckdb_destroy_prepare(ret);
	_cleanup_buf_ struct buf sql = BUF_INIT(DUCK_SQL_MAX), names = BUF_INIT(DUCK_SQL_MAX);
	(void)buf_adds(&sql, "SELECT ");
	for (size_t i = 0; i < columns->n; i++) {
		char source[32];
		(void)snprintf(source, sizeof(source), "c%zu", i);
		(void)buf_adds(&sql, i ? ", " : "");
		duck_cast(&sql, &columns->v[i], source);
		(void)buf_adds(&sql, " AS ");
		duck_ident(&sql, columns->v[i].name);
		(void)buf_addf(&names, "%s%s", i ? ", " : "", source);
	}
	(void)buf_addf(&sql, " FROM (%s) AS f(%s)", t->fragment, buf_cstr(&names));
	duck_columns_clear(columns);
	rc = duck_prepare(&t->session, buf_cstr(&sql), ret, err);
	if (rc == 0 && !columns_of(*ret, columns))
		rc = err_set(err, -EIO, "columns did not become exchangeable");
	return rc;
}

struct sink {
	struct converter converter;
	size_t *keys;
	size_t n_keys;
	uint32_t partitions, turn;
	struct xchg_writer *writer;   /* for one partition */
	struct xchg_shuffle *shuffle; /* for several */
};

static int take_block(struct sink *s, const struct xchg_block *b, struct err *err)
{
	if (s->writer)
		return xchg_writer_block(s->writer, 0, b, err);
	uint64_t hash[XCHG_BLOCK_ROWS] = { 0 };
	uint32_t partition[XCHG_BLOCK_ROWS];
	for (size_t k = 0; k < s->n_keys; k++)
		xchg_hash(&s->converter.columns.v[s->keys[k]], &b->columns[s->keys[k]], b->rows,
		          hash);
	for (uint32_t i = 0; i < b->rows; i++)
		partition[i] =
			(uint32_t)(s->n_keys ? hash[i] % s->partitions : s->turn++ % s->partitions);
	return xchg_shuffle_add(s->shuffle, b, partition, err);
}

static int stream(struct duck_task *t, duckdb_prepared_statement statement, struct sink *s,
                  struct err *err)
{
	duckdb_pending_result pending = NULL;
	duckdb_result result = { 0 };
	int rc = 0;
	if (duckdb_pending_prepared_streaming(statement, &pending) == DuckDBError)
		rc = duck_fail(&t->session, DUCKDB_ERROR_INVALID, duckdb_pending_error(pending),
		               err);
	if (rc == 0 && duckdb_execute_pending(pending, &result) == DuckDBError)
		rc = duck_fail(&t->session, duckdb_result_error_type(&result),
		               duckdb_result_error(&result), err);
	while (rc == 0) {
		duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
		struct xchg_block b;
		if (!chunk)
			break;
		if (duckdb_data_chunk_get_size(chunk) > 0)
			rc = convert(&s->converter, chunk, &b, err);
		if (rc == 0 && duckdb_data_chunk_get_size(chunk) > 0)
			rc = take_block(s, &b, err);
		duckdb_destroy_data_chunk(&chunk);
		if (rc == 0 && atomic_load(&t->session.cancelled))
			rc = err_set(err, -ECANCELED, "cancelled");
	}
	/* The end of a stream and its failure look alike until one asks. */
	if (rc == 0 && duckdb_result_error(&result))
		rc = duck_fail(&t->session, duckdb_result_error_type(&result),
		               duckdb_result_error(&result), err);
	duckdb_destroy_result(&result);
	duckdb_destroy_pending(&pending);
	return rc;
}

static int find_keys(struct sink *s, const json_t *keys, struct err *err)
{
	s->n_keys = json_array_size(keys);
	s->keys = xcalloc(s->n_keys, sizeof(*s->keys));
	for (size_t i = 0; i < s->n_keys; i++) {
		const char *name = json_string_value(json_array_get(keys, i));
		s->keys[i] = duck_columns_find(&s->converter.columns, name ? name : "");
		if (s->keys[i] == s->converter.columns.n)
			return err_set(err, -EINVAL, "output.keys: no column %s",
			               name ? name : "?");
	}
	return 0;
}

/* -EIO whatever the reason: -ENOENT would read as an input that is lost. */
static int create(const char *path, struct err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	(void)err_errno(err, "cannot create %s", path);
	err->code = -EIO;
	return -EIO;
}

static int open_spill(const char *path, struct err *err)
{
	autofree char *temp = xasprintf("%s.spill", path);
	int fd = create(temp, err);
	if (fd >= 0)
		(void)unlink(temp);
	return fd;
}

static int open_sink(struct sink *s, int fd, const json_t *output, struct err *err)
{
	static const char *const codecs[] = { "raw", "lz4", "zstd" };
	const char *name = data_get_str(output, "codec");
	size_t codec = XCHG_LZ4;
	for (size_t i = 0; name && i < ARRAY_LEN(codecs); i++)
		if (strcmp(name, codecs[i]) == 0)
			codec = i;
	struct converter *c = &s->converter;
	size_t n = c->columns.n;
	c->vectors = xcalloc(n, sizeof(*c->vectors));
	c->offsets = xcalloc(n, sizeof(*c->offsets));
	c->texts = xcalloc(n, sizeof(*c->texts));
	for (size_t i = 0; i < n; i++)
		c->texts[i].max = INT32_MAX;
	int rc = find_keys(s, data_get(output, "keys"), err);
	if (rc < 0)
		return rc;
	if (s->partitions == 1)
		return xchg_writer_new(fd, c->columns.v, n, (enum xchg_codec)codec, 1, &s->writer,
		                       err);
	int spill = open_spill(data_get_str(output, "path"), err);
	if (spill < 0)
		return spill;
	return xchg_shuffle_new(fd, spill, c->columns.v, n, (enum xchg_codec)codec, s->partitions,
	                        &s->shuffle, err);
}

static void sink_clear(struct sink *s)
{
	converter_clear(&s->converter);
	free(s->keys);
	xchg_writer_free(s->writer);
	xchg_shuffle_free(s->shuffle);
}

static int finish(struct sink *s, json_t *reply, struct err *err)
{
	const uint64_t *rows = NULL, *bytes = NULL;
	int rc = s->writer ? xchg_writer_finish(s->writer, &rows, &bytes, err)
	                   : xchg_shuffle_finish(s->shuffle, &rows, &bytes, err);
	if (rc < 0)
		return rc;
	json_t *partitions = json_array(), *columns = json_array();
	uint64_t all_rows = 0, all_bytes = 0;
	for (uint32_t i = 0; i < s->partitions; i++) {
		all_rows += rows[i];
		all_bytes += bytes[i];
		(void)json_array_append_new(partitions,
		                            json_pack("{s:I, s:I}", "rows", (json_int_t)rows[i],
		                                      "bytes", (json_int_t)bytes[i]));
	}
	for (size_t i = 0; i < s->converter.columns.n; i++)
		(void)json_array_append_new(columns, duck_column_json(&s->converter.columns.v[i]));
	(void)json_object_set_new(reply, "rows", json_integer((json_int_t)all_rows));
	(void)json_object_set_new(reply, "bytes", json_integer((json_int_t)all_bytes));
	(void)json_object_set_new(reply, "partitions", partitions);
	(void)json_object_set_new(reply, "columns", columns);
	return 0;
}

int duck_output_exchange(struct duck_task *t, const json_t *output, json_t *reply, struct err *err)
{
	const char *path = data_get_str(output, "path");
	int64_t partitions = data_get_int(output, "partitions", 1);
	if (!path || partitions < 1 || partitions > XCHG_PARTITIONS_MAX)
		return err_set(err, -EINVAL, "output: a path and 1 to %d partitions are needed",
		               XCHG_PARTITIONS_MAX);
	__attribute__((cleanup(sink_clear))) struct sink s = { .partitions = (uint32_t)partitions };
	duckdb_prepared_statement statement = NULL;
	int rc = plan(t, &statement, &s.converter.columns, err);
	if (rc < 0)
		return rc;
	_cleanup_(fd_closep) int fd = create(path, err);
	rc = fd < 0 ? fd : 0;
	if (rc == 0)
		rc = open_sink(&s, fd, output, err);
	if (rc == 0)
		rc = stream(t, statement, &s, err);
	if (rc == 0)
		rc = finish(&s, reply, err);
	duckdb_destroy_prepare(&statement);
	if (rc < 0)
		(void)unlink(path);
	return rc;
}

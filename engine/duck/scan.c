#include "engine/duck/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "engine/duck/db.h"
#include "lib/base/fd.h"
#include "lib/base/map.h"
#include "lib/data/json.h"

struct part {
	char *path;
	int64_t from, to; /* to < 0: all */
};

/* What a token stands for. */
struct input {
	struct xchg_column *columns;
	size_t n_columns;
	struct part *parts;
	size_t n_parts;
	uint64_t rows;
};

/* One scan of an input: its readers are its own, so that an input may be scanned twice at once. */
struct scan {
	pthread_mutex_t lock;
	const struct input *input;
	struct xchg_reader **readers;
	size_t at;
	size_t n_wanted;
	idx_t *wanted; /* projected columns */
};

static struct {
	pthread_mutex_t lock;
	struct map *inputs;
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void input_free(void *p)
{
	struct input *in = p;
	xchg_columns_free(in->columns, in->n_columns);
	for (size_t i = 0; i < in->n_parts; i++)
		free(in->parts[i].path);
	free(in->parts);
	free(in);
}

static int open_part(const struct part *p, struct xchg_reader **ret, struct err *err)
{
	int fd = open(p->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "exchange file %s", p->path);
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
	int rc = xchg_reader_open_fd(fd, &r, err);
	if (rc == 0 && p->to >= 0)
		rc = xchg_reader_seek(r, (uint32_t)p->from, (uint32_t)p->to, err);
	if (rc < 0)
		return err_wrap(err, "exchange file %s", p->path);
	*ret = TAKE_PTR(r);
	return 0;
}

/* Takes the types from the first part and holds the others to them. */
static int check_part(struct input *in, size_t at, uint64_t *bytes, struct err *err)
{
	_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
	struct stat st;
	int rc = open_part(&in->parts[at], &r, err);
	if (rc < 0)
		return rc;
	size_t n = 0;
	const struct xchg_column *columns = xchg_reader_columns(r, &n);
	if (n != in->n_columns)
		return err_set(err, -EBADMSG, "exchange file %s has %zu columns, wanted %zu",
		               in->parts[at].path, n, in->n_columns);
	for (size_t i = 0; i < n; i++) {
		struct xchg_column *c = &in->columns[i];
		if (at > 0 && (c->type != columns[i].type || c->precision != columns[i].precision ||
		               c->scale != columns[i].scale))
			return err_set(err, -EBADMSG,
			               "exchange file %s: column %s has another type",
			               in->parts[at].path, c->name);
		c->type = columns[i].type;
		c->precision = columns[i].precision;
		c->scale = columns[i].scale;
	}
	in->rows += xchg_reader_rows(r);
	if (stat(in->parts[at].path, &st) == 0)
		*bytes += (uint64_t)st.st_size;
	return 0;
}

static int parse_part(const json_t *file, struct part *ret, struct err *err)
{
	const char *path =
		json_is_string(file) ? json_string_value(file) : data_get_str(file, "path");
	if (!path)
		return err_set(err, -EINVAL, "inputs.files: a path is missing");
	ret->from = data_get_int(file, "from", 0);
	ret->to = data_get_int(file, "to", -1);
	if (ret->from < 0 || ret->to > XCHG_PARTITIONS_MAX || (ret->to >= 0 && ret->from > ret->to))
		return err_set(err, -EINVAL, "inputs.files: partitions are out of range");
	ret->path = xstrdup(path);
	return 0;
}

int duck_scan_add(const json_t *files, const struct duck_columns *columns,
                  struct xchg_column *types, char token[DUCK_TOKEN_LEN + 1], uint64_t *ret_rows,
                  uint64_t *ret_bytes, struct err *err)
{
	struct input *in = xcalloc(1, sizeof(*in));
	in->n_columns = columns->n;
	in->columns = xcalloc(columns->n, sizeof(*in->columns));
	for (size_t i = 0; i < columns->n; i++) {
		in->columns[i] = columns->v[i];
		in->columns[i].name = xstrdup(columns->v[i].name);
	}
	in->parts = xcalloc(json_array_size(files), sizeof(*in->parts));
	size_t at = 0;
	json_t *file = NULL;
	int rc = 0;
	uint64_t bytes = 0;
	json_array_foreach(files, at, file)
	{
		rc = parse_part(file, &in->parts[at], err);
		if (rc < 0)
			break;
		in->n_parts++;
		rc = check_part(in, at, &bytes, err);
		if (rc < 0)
			break;
	}
	if (rc < 0) {
		input_free(in);
		return rc;
	}
	for (size_t i = 0; i < columns->n; i++)
		types[i] = in->columns[i];
	fd_random_hex(token, DUCK_TOKEN_LEN / 2);
	*ret_rows = in->rows;
	*ret_bytes = bytes;
	(void)pthread_mutex_lock(&registry.lock);
	if (!registry.inputs)
		registry.inputs = map_new(input_free);
	map_put(registry.inputs, token, in);
	(void)pthread_mutex_unlock(&registry.lock);
	return 0;
}

void duck_scan_drop(const char *token)
{
	(void)pthread_mutex_lock(&registry.lock);
	(void)map_del(registry.inputs, token);
	(void)pthread_mutex_unlock(&registry.lock);
}

static void scan_bind(duckdb_bind_info info)
{
	duckdb_value value = duckdb_bind_get_parameter(info, 0);
	char *token = duckdb_get_varchar(value);
	(void)pthread_mutex_lock(&registry.lock);
	const struct input *in = registry.inputs ? map_get(registry.inputs, token) : NULL;
	(void)pthread_mutex_unlock(&registry.lock);
	duckdb_free(token);
	duckdb_destroy_value(&value);
	if (!in) {
		duckdb_bind_set_error(info, "no such input");
		return;
	}
	for (size_t i = 0; i < in->n_columns; i++) {
		duckdb_logical_type type = duck_type_new(&in->columns[i]);
		duckdb_bind_add_result_column(info, in->columns[i].name, type);
		duckdb_destroy_logical_type(&type);
	}
	duckdb_bind_set_cardinality(info, in->rows, true);
	/* Borrowed: a token outlives the connection that may name it. */
	duckdb_bind_set_bind_data(info, (void *)(uintptr_t)in, NULL);
}

static void scan_free(void *p)
{
	struct scan *s = p;
	for (size_t i = 0; s->readers && i < s->input->n_parts; i++)
		xchg_reader_free(s->readers[i]);
	free(s->readers);
	free(s->wanted);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

static void scan_init(duckdb_init_info info)
{
	enum { ROWS_A_THREAD = 32 * 1024 };
	struct err err = ERR_INIT;
	struct scan *s = xcalloc(1, sizeof(*s));
	s->input = duckdb_init_get_bind_data(info);
	(void)pthread_mutex_init(&s->lock, NULL);
	s->n_wanted = (size_t)duckdb_init_get_column_count(info);
	s->wanted = xcalloc(s->n_wanted, sizeof(*s->wanted));
	for (size_t i = 0; i < s->n_wanted; i++)
		s->wanted[i] = duckdb_init_get_column_index(info, i);
	s->readers = xcalloc(s->input->n_parts, sizeof(struct xchg_reader *));
	int rc = 0;
	for (size_t i = 0; i < s->input->n_parts && rc == 0; i++)
		rc = open_part(&s->input->parts[i], &s->readers[i], &err);
	if (rc < 0) {
		scan_free(s);
		(void)err_wrap(&err, DUCK_INPUT_LOST);
		duckdb_init_set_error(info, err.msg);
		return;
	}
	duckdb_init_set_max_threads(info, 1 + s->input->rows / ROWS_A_THREAD);
	duckdb_init_set_init_data(info, s, scan_free);
}

static void scratch_free(void *p)
{
	xchg_scratch_free(p);
}

static void scan_local_init(duckdb_init_info info)
{
	duckdb_init_set_init_data(info, xchg_scratch_new(), scratch_free);
}

static void fill(duckdb_vector to, const struct xchg_column *c, const struct xchg_vector *from,
                 uint32_t rows)
{
	bool none = c->type == XCHG_NULL;
	if (none || from->validity) {
		duckdb_vector_ensure_validity_writable(to);
		uint64_t *mask = duckdb_vector_get_validity(to);
		if (none)
			memset(mask, 0, (rows + 7) / 8);
		else
			memcpy(mask, from->validity, (rows + 7) / 8);
	}
	size_t width = xchg_width(c);
	if (none)
		return;
	if (width) {
		memcpy(duckdb_vector_get_data(to), from->data, rows * width);
		return;
	}
	for (uint32_t i = 0; i < rows; i++) {
		bool valid = !from->validity || (from->validity[i / 8] >> (i % 8) & 1);
		if (valid)
			duckdb_unsafe_vector_assign_string_element_len(
				to, i, (const char *)from->data + from->offsets[i],
				from->offsets[i + 1] - from->offsets[i]);
	}
}

static int claim(struct scan *s, struct xchg_frame *frame, const struct xchg_reader **ret,
                 struct err *err)
{
	int rc = XCHG_END;
	(void)pthread_mutex_lock(&s->lock);
	for (; s->at < s->input->n_parts; s->at++) {
		rc = xchg_reader_claim(s->readers[s->at], frame, err);
		*ret = s->readers[s->at];
		if (rc != XCHG_END)
			break;
	}
	(void)pthread_mutex_unlock(&s->lock);
	return rc;
}

static bool wants_values(const struct scan *s)
{
	bool any = false;
	for (size_t i = 0; i < s->n_wanted; i++)
		any = any || s->wanted[i] < s->input->n_columns;
	return any;
}

static void scan_function(duckdb_function_info info, duckdb_data_chunk output)
{
	struct scan *s = duckdb_function_get_init_data(info);
	struct xchg_scratch *scratch = duckdb_function_get_local_init_data(info);
	struct err err = ERR_INIT;
	struct xchg_frame frame;
	const struct xchg_reader *reader = NULL;
	struct xchg_block b = { 0 };
	int rc = claim(s, &frame, &reader, &err);
	b.rows = rc == 0 ? frame.rows : 0;
	if (rc == 0 && wants_values(s)) /* a count needs no block */
		rc = xchg_reader_load(reader, &frame, scratch, &b, &err);
	if (rc < 0) {
		(void)err_wrap(&err, DUCK_INPUT_LOST);
		duckdb_function_set_error(info, err.msg);
		return;
	}
	for (size_t i = 0; b.columns && i < s->n_wanted; i++)
		if (s->wanted[i] < s->input->n_columns)
			fill(duckdb_data_chunk_get_vector(output, i),
			     &s->input->columns[s->wanted[i]], &b.columns[s->wanted[i]], b.rows);
	duckdb_data_chunk_set_size(output, b.rows);
}

int duck_scan_register(duckdb_connection con, struct err *err)
{
	duckdb_table_function f = duckdb_create_table_function();
	duckdb_table_function_set_name(f, "roost_exchange");
	duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
	duckdb_table_function_add_parameter(f, text);
	duckdb_destroy_logical_type(&text);
	duckdb_table_function_supports_projection_pushdown(f, true);
	duckdb_table_function_set_bind(f, scan_bind);
	duckdb_table_function_set_init(f, scan_init);
	duckdb_table_function_set_local_init(f, scan_local_init);
	duckdb_table_function_set_function(f, scan_function);
	duckdb_state state = duckdb_register_table_function(con, f);
	duckdb_destroy_table_function(&f);
	return state == DuckDBError ? err_set(err, -EIO, "cannot register roost_exchange") : 0;
}

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/exchange/format.h"
#include "engine/exchange/shuffle.h"
#include "lib/base/fd.h"

static int scratch_file(void)
{
	int fd = memfd_create("exchange", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static char *file_bytes(int fd, size_t *ret_len)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *p = xmalloc((size_t)len);
	assert_int_equal(pread(fd, p, (size_t)len, 0), len);
	*ret_len = (size_t)len;
	return p;
}

/* One cell of each type: its bytes and MySQL's text. */
static const struct {
	const char *type;
	union {
		int64_t i[2];
		double d;
		float f;
		const char *s;
	} value;
	const char *text;
} cells[] = {
	{ "BOOLEAN", { .i = { 1 } }, "1" },
	{ "TINYINT", { .i = { -128 } }, "-128" },
	{ "SMALLINT", { .i = { -2 } }, "-2" },
	{ "INTEGER", { .i = { INT32_MIN } }, "-2147483648" },
	{ "BIGINT", { .i = { INT64_MIN } }, "-9223372036854775808" },
	{ "HUGEINT", { .i = { 0, INT64_MIN } }, "-170141183460469231731687303715884105728" },
	{ "HUGEINT", { .i = { -1, -1 } }, "-1" },
	{ "HUGEINT", { .i = { 0, 1 } }, "18446744073709551616" },
	{ "FLOAT", { .f = 0.1f }, "0.1" },
	{ "DOUBLE", { .d = 0.1 }, "0.1" },
	{ "DOUBLE", { .d = 1e300 }, "1e+300" },
	{ "DOUBLE", { .d = 0.1 + 0.2 }, "0.30000000000000004" },
	{ "DECIMAL(4,1)", { .i = { -5 } }, "-0.5" },
	{ "DECIMAL(9,9)", { .i = { 1 } }, "0.000000001" },
	{ "DECIMAL(18,2)", { .i = { 150 } }, "1.50" },
	{ "DECIMAL(18,0)", { .i = { 0 } }, "0" },
	{ "DECIMAL(38,10)", { .i = { -1, -1 } }, "-0.0000000001" },
	{ "DECIMAL(38,0)",
	  { .i = { 687399551400673279, 5421010862427522170 } },
	  "99999999999999999999999999999999999999" },
	{ "DATE", { .i = { 0 } }, "1970-01-01" },
	{ "DATE", { .i = { 11016 } }, "2000-02-29" },
	{ "DATE", { .i = { -719528 } }, "0000-01-01" },
	{ "DATE", { .i = { INT32_MAX } }, "infinity" },
	{ "TIMESTAMP", { .i = { 0 } }, "1970-01-01 00:00:00" },
	{ "TIMESTAMP", { .i = { -1 } }, "1969-12-31 23:59:59.999999" },
	{ "TIMESTAMP", { .i = { 1795255200000000 } }, "2026-11-21 10:00:00" },
	{ "TIMESTAMP", { .i = { INT64_MAX } }, "infinity" },
	{ "VARCHAR", { .s = "na\xc3\xafve" }, "na\xc3\xafve" },
	{ "VARCHAR", { .s = "" }, "" },
	{ "BLOB", { .s = "\x01\x02" }, "\x01\x02" },
	{ "UTINYINT", { .i = { 255 } }, "255" },
	{ "USMALLINT", { .i = { 65535 } }, "65535" },
	{ "UINTEGER", { .i = { UINT32_MAX } }, "4294967295" },
	{ "UBIGINT", { .i = { -1 } }, "18446744073709551615" },
};

enum { COLUMNS = ARRAY_LEN(cells) + 1, ROWS = 5 };

/* Every cell in rows 0, 2, 4 of its column; rows 1 and 3 are NULL. The last column is of type NULL. */
struct sample {
	struct xchg_column columns[COLUMNS];
	struct xchg_vector vectors[COLUMNS];
	uint8_t data[COLUMNS][ROWS * 16];
	uint32_t offsets[COLUMNS][ROWS + 1];
	uint8_t validity;
	char names[COLUMNS][8];
};

static void sample_fill_text(struct sample *s, size_t c, const char *text)
{
	size_t len = strlen(text);
	s->vectors[c].offsets = s->offsets[c];
	for (size_t r = 0; r < ROWS; r++) {
		size_t n = r % 2 ? 0 : len;
		memcpy(s->data[c] + s->offsets[c][r], text, n);
		s->offsets[c][r + 1] = s->offsets[c][r] + (uint32_t)n;
	}
}

static void sample_fill(struct sample *s)
{
	memset(s, 0, sizeof(*s));
	s->validity = 0x15;
	for (size_t c = 0; c < COLUMNS; c++) {
		struct err err = ERR_INIT;
		(void)snprintf(s->names[c], sizeof(s->names[c]), "c%zu", c);
		s->columns[c].name = s->names[c];
		const char *type = c < ARRAY_LEN(cells) ? cells[c].type : "\"NULL\"";
		assert_int_equal(xchg_type_parse(type, &s->columns[c], &err), 0);
		if (c == ARRAY_LEN(cells))
			continue;
		s->vectors[c].data = s->data[c];
		s->vectors[c].validity = &s->validity;
		size_t width = xchg_width(&s->columns[c]);
		if (width == 0)
			sample_fill_text(s, c, cells[c].value.s);
		for (size_t r = 0; r < ROWS; r += 2)
			memcpy(s->data[c] + r * width, &cells[c].value, width);
	}
}

static void check_sample_block(const struct xchg_column *columns, const struct xchg_block *b)
{
	for (uint32_t r = 0; r < b->rows; r++)
		for (size_t c = 0; c < COLUMNS; c++) {
			_cleanup_buf_ struct buf text = BUF_INIT(256);
			bool is = xchg_cell_text(&columns[c], &b->columns[c], r, &text);
			assert_int_equal(is, c < ARRAY_LEN(cells) && r % 2 == 0);
			assert_string_equal(buf_cstr(&text), is ? cells[c].text : "");
		}
}

static void every_type_round_trips(void **state)
{
	(void)state;
	struct sample s;
	sample_fill(&s);
	struct xchg_block b = { ROWS, s.vectors };
	check_sample_block(s.columns, &b);
	for (enum xchg_codec codec = XCHG_RAW; codec <= XCHG_ZSTD; codec++) {
		struct err err = ERR_INIT;
		_cleanup_(fd_closep) int fd = scratch_file();
		_cleanup_(xchg_writer_freep) struct xchg_writer *w = NULL;
		assert_int_equal(xchg_writer_new(fd, s.columns, COLUMNS, codec, 3, &w, &err), 0);
		assert_int_equal(xchg_writer_block(w, 0, &b, &err), 0);
		assert_int_equal(xchg_writer_block(w, 2, &b, &err), 0);
		assert_int_equal(xchg_writer_block(w, 2, &b, &err), 0);
		struct err backwards = ERR_INIT;
		assert_int_equal(xchg_writer_block(w, 1, &b, &backwards), -EINVAL);
		const uint64_t *rows = NULL, *bytes = NULL;
		assert_int_equal(xchg_writer_finish(w, &rows, &bytes, &err), 0);
		assert_int_equal(rows[0], ROWS);
		assert_int_equal(rows[1], 0);
		assert_int_equal(rows[2], 2 * ROWS);
		assert_int_equal(bytes[1], 0);
		_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
		assert_int_equal(xchg_reader_open_fd(dup(fd), &r, &err), 0);
		assert_int_equal(xchg_reader_rows(r), 3 * ROWS);
		size_t n = 0, blocks = 0;
		const struct xchg_column *columns = xchg_reader_columns(r, &n);
		assert_int_equal(n, COLUMNS);
		struct xchg_block got;
		for (; xchg_reader_next(r, &got, &err) == 0; blocks++)
			check_sample_block(columns, &got);
		assert_int_equal(err.code, 0);
		assert_int_equal(blocks, 3);
		assert_int_equal(xchg_reader_seek(r, 1, 2, &err), 0);
		assert_int_equal(xchg_reader_next(r, &got, &err), XCHG_END);
		assert_int_equal(xchg_reader_seek(r, 2, 4, &err), -EINVAL);
	}
}

static void types_are_named_as_duckdb_does(void **state)
{
	(void)state;
	static const struct {
		const char *name, *back;
	} names[] = {
		{ "decimal(38, 4)", "DECIMAL(38,4)" },
		{ " Integer ", "INTEGER" },
		{ "DECIMAL(7)", "DECIMAL(7,0)" },
		{ "DECIMAL", "DECIMAL(18,3)" },
		{ "DECIMAL(39,1)", NULL },
		{ "DECIMAL(5,6)", NULL },
		{ "DECIMAL(5,1,1)", NULL },
		{ "DECIMAL()", NULL },
		{ "DECIMAL(5", NULL },
		{ "STRUCT(a INTEGER)", NULL },
		{ "", NULL },
		{ "INTEGER[]", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct err err = ERR_INIT;
		struct xchg_column c = { 0 };
		int rc = xchg_type_parse(names[i].name, &c, &err);
		assert_int_equal(rc, names[i].back ? 0 : -EINVAL);
		_cleanup_buf_ struct buf text = BUF_INIT(64);
		if (rc == 0)
			assert_int_equal(xchg_type_name(&c, &text), 0);
		assert_string_equal(buf_cstr(&text), names[i].back ? names[i].back : "");
	}
}

/* A file of n rows (k BIGINT, t VARCHAR) in `partitions` by xchg_hash. */
static int shuffled_file(uint32_t n, uint32_t partitions, size_t text_len)
{
	struct err err = ERR_INIT;
	char k[] = "k", t[] = "t";
	struct xchg_column columns[] = { { k, XCHG_BIGINT, 0, 0 }, { t, XCHG_VARCHAR, 0, 0 } };
	int fd = scratch_file();
	_cleanup_(xchg_shuffle_freep) struct xchg_shuffle *s = NULL;
	assert_int_equal(
		xchg_shuffle_new(fd, scratch_file(), columns, 2, XCHG_LZ4, partitions, &s, &err),
		0);
	autofree uint8_t *text = xcalloc(2048, text_len);
	for (uint32_t from = 0; from < n; from += 2048) {
		uint32_t rows = n - from < 2048 ? n - from : 2048, part[2048],
			 offsets[2049] = { 0 };
		int64_t keys[2048];
		uint64_t hash[2048] = { 0 };
		for (uint32_t i = 0; i < rows; i++) {
			keys[i] = from + i;
			memset(text + i * text_len, 'a' + (int)(keys[i] % 26), text_len);
			offsets[i + 1] = offsets[i] + (uint32_t)text_len;
		}
		struct xchg_vector v[] = { { NULL, (const uint8_t *)keys, NULL },
			                   { NULL, text, offsets } };
		xchg_hash(&columns[0], &v[0], rows, hash);
		for (uint32_t i = 0; i < rows; i++)
			part[i] = (uint32_t)(hash[i] % partitions);
		struct xchg_block b = { rows, v };
		assert_int_equal(xchg_shuffle_add(s, &b, part, &err), 0);
	}
	const uint64_t *rows = NULL, *bytes = NULL;
	assert_int_equal(xchg_shuffle_finish(s, &rows, &bytes, &err), 0);
	uint64_t sum = 0;
	for (uint32_t i = 0; i < partitions; i++)
		sum += rows[i];
	assert_int_equal(sum, n);
	return fd;
}

/* Every key of [0, n) once, each with its text; returns the number of rows seen. */
static uint32_t check_rows(struct xchg_reader *r, uint8_t *seen, size_t text_len)
{
	struct err err = ERR_INIT;
	struct xchg_block b;
	uint32_t rows = 0;
	while (xchg_reader_next(r, &b, &err) == 0)
		for (uint32_t i = 0; i < b.rows; i++, rows++) {
			int64_t key = 0;
			memcpy(&key, b.columns[0].data + i * sizeof(key), sizeof(key));
			assert_false(seen[key]);
			seen[key] = 1;
			const uint32_t *o = b.columns[1].offsets;
			assert_int_equal(o[i + 1] - o[i], text_len);
			for (uint32_t at = o[i]; at < o[i + 1]; at++)
				assert_int_equal(b.columns[1].data[at], 'a' + (int)(key % 26));
		}
	assert_int_equal(err.code, 0);
	return rows;
}

static void shuffles_lose_nothing_and_slices_add_up(void **state)
{
	(void)state;
	static const struct {
		uint32_t rows, partitions;
		size_t text_len;
	} cases[] = {
		{ 0, 4, 1 }, { 1, 1, 0 }, { 10000, 7, 3 }, { 20000, 4096, 9 }, { 3000, 5, 20000 }
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		_cleanup_(fd_closep) int fd =
			shuffled_file(cases[i].rows, cases[i].partitions, cases[i].text_len);
		autofree uint8_t *seen = xcalloc(cases[i].rows + 1, 1);
		uint32_t rows = 0, half = cases[i].partitions / 2;
		uint32_t cuts[] = { 0, half, cases[i].partitions };
		for (size_t c = 0; c + 1 < ARRAY_LEN(cuts); c++) {
			_cleanup_buf_ struct buf stream = BUF_INIT(512 * 1024 * 1024);
			uint64_t offset = 0, len = 0;
			assert_int_equal(
				xchg_slice(fd, cuts[c], cuts[c + 1], &stream, &offset, &len, &err),
				0);
			char *to = buf_reserve(&stream, len);
			assert_int_equal(pread(fd, to, len, (off_t)offset), len);
			stream.len += len;
			_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
			assert_int_equal(xchg_reader_open_mem(stream.p, stream.len, &r, &err), 0);
			rows += check_rows(r, seen, cases[i].text_len);
		}
		assert_int_equal(rows, cases[i].rows);
	}
}

/* Every single-byte change and every truncation is refused, or changes nothing that is read. */
static void damage_is_noticed(void **state)
{
	(void)state;
	_cleanup_(fd_closep) int fd = shuffled_file(50, 2, 3);
	size_t len = 0;
	autofree char *bytes = file_bytes(fd, &len);
	for (size_t at = 0; at < len; at++)
		for (int mode = 0; mode < 2; mode++) {
			autofree char *bad = xmalloc(mode ? at + 1 : len);
			memcpy(bad, bytes, mode ? at : len);
			if (!mode)
				bad[at] = (char)(bad[at] ^ 0x41);
			struct err err = ERR_INIT;
			_cleanup_(xchg_reader_freep) struct xchg_reader *r = NULL;
			struct xchg_block b;
			int rc = xchg_reader_open_mem(bad, mode ? at : len, &r, &err);
			while (rc == 0)
				rc = xchg_reader_next(r, &b, &err);
			assert_int_equal(rc, -EBADMSG);
		}
}

static uint64_t hash_of(const char *type, const void *value, bool valid)
{
	struct err err = ERR_INIT;
	struct xchg_column c = { 0 };
	assert_int_equal(xchg_type_parse(type, &c, &err), 0);
	uint8_t bit = valid;
	uint32_t offsets[2] = { 0, c.type == XCHG_VARCHAR ? (uint32_t)strlen(value) : 0 };
	struct xchg_vector v = { &bit, value, offsets };
	uint64_t hash = 0;
	xchg_hash(&c, &v, 1, &hash);
	return hash;
}

static void equal_values_meet(void **state)
{
	(void)state;
	const int8_t i8 = -7;
	const int32_t i32 = -7;
	const int64_t wide[2] = { -7, -1 }, d1 = 150, other = 8;
	const int32_t d2 = 15;
	const double zero = 0.0, minus = -0.0, half = 0.5;
	const float fhalf = 0.5f;
	assert_true(hash_of("TINYINT", &i8, true) == hash_of("INTEGER", &i32, true));
	assert_true(hash_of("TINYINT", &i8, true) == hash_of("HUGEINT", wide, true));
	assert_true(hash_of("DECIMAL(18,2)", &d1, true) == hash_of("DECIMAL(9,1)", &d2, true));
	assert_true(hash_of("DOUBLE", &zero, true) == hash_of("DOUBLE", &minus, true));
	assert_true(hash_of("DOUBLE", &half, true) == hash_of("FLOAT", &fhalf, true));
	assert_true(hash_of("INTEGER", &i32, false) == hash_of("VARCHAR", "x", false));
	assert_false(hash_of("BIGINT", &d1, true) == hash_of("BIGINT", &other, true));
	assert_false(hash_of("VARCHAR", "abcdefgh1", true) ==
	             hash_of("VARCHAR", "abcdefgh2", true));
}

struct shared {
	struct xchg_reader *reader;
	pthread_mutex_t lock;
	uint64_t rows;
};

static void *claims(void *arg)
{
	struct shared *s = arg;
	struct err err = ERR_INIT;
	_cleanup_(xchg_scratch_freep) struct xchg_scratch *scratch = xchg_scratch_new();
	for (;;) {
		struct xchg_frame frame;
		struct xchg_block b;
		(void)pthread_mutex_lock(&s->lock);
		int rc = xchg_reader_claim(s->reader, &frame, &err);
		(void)pthread_mutex_unlock(&s->lock);
		if (rc || xchg_reader_load(s->reader, &frame, scratch, &b, &err) < 0)
			return NULL;
		(void)__atomic_fetch_add(&s->rows, b.rows, __ATOMIC_RELAXED);
	}
}

static void threads_share_a_reader(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	struct shared s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	assert_int_equal(xchg_reader_open_fd(shuffled_file(50000, 3, 5), &s.reader, &err), 0);
	pthread_t threads[4];
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claims, &s), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	assert_int_equal(s.rows, 50000);
	xchg_reader_free(s.reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_round_trips),
		cmocka_unit_test(types_are_named_as_duckdb_does),
		cmocka_unit_test(shuffles_lose_nothing_and_slices_add_up),
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(equal_values_meet),
		cmocka_unit_test(threads_share_a_reader),
	};
	return cmocka_run_group_tests_name("engine/exchange", tests, NULL, NULL);
}

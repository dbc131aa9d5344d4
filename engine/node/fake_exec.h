/* For tests: an engine/exec that runs nothing. Its "rows" are bytes: an output file holds the name of its task and
 * the bytes of all its inputs, so that a test sees what travelled.
 *
 * Thread: safe. Include it into one test file only; its functions take the place of the archive's. */
#ifndef ROOST_ENGINE_NODE_FAKE_EXEC_H
#define ROOST_ENGINE_NODE_FAKE_EXEC_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "engine/exchange/format.h"
#include "engine/exec/exec.h"
#include "engine/rpc.h"
#include "lib/base/buf.h"
#include "lib/base/crc.h"
#include "lib/base/fd.h"
#include "lib/data/json.h"

struct exec {
	struct exec_config config;
};

static struct {
	atomic_int runs;
	atomic_int wait_ms;   /* how long a run takes; it looks at should_stop meanwhile */
	atomic_int fail_next; /* so many runs fail with RPC_E_OOM */
	atomic_int no_rows;   /* loads find none */
	char last_input[4096];
	pthread_mutex_t lock;
} fake = { .lock = PTHREAD_MUTEX_INITIALIZER };

int exec_open(const struct exec_config *config, struct exec **ret, struct err *err)
{
	(void)err;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->config = *config;
	return 0;
}

void exec_close(struct exec *e)
{
	free(e);
}

void exec_stats(struct exec *e, struct exec_stats *ret)
{
	(void)e;
	*ret = (struct exec_stats){ .pid = 1 };
}

/* One column "v", partition p holds one row each with value p. */
static void fake_exchange(const char *path, uint32_t partitions)
{
	struct xchg_column column = { .name = (char *)(uintptr_t)"v", .type = XCHG_BIGINT };
	struct xchg_writer *w = NULL;
	const uint64_t *rows, *bytes;
	FILE *f = fopen(path, "w+");
	if (!f || xchg_writer_new(fileno(f), &column, 1, XCHG_LZ4, partitions, &w, NULL) < 0)
		abort();
	for (uint32_t p = 0; p < partitions; p++) {
		int64_t value = p;
		const struct xchg_vector v = { .data = (const uint8_t *)&value };
		const struct xchg_block block = { .rows = 1, .columns = &v };
		if (xchg_writer_block(w, p, &block, NULL) < 0)
			abort();
	}
	if (xchg_writer_finish(w, &rows, &bytes, NULL) < 0)
		abort();
	xchg_writer_free(w);
	(void)fclose(f);
}

/* "[from,to)=sum" of an exchange file, or the bytes of any other. */
static void fake_read(const json_t *file, struct buf *out)
{
	const char *path =
		json_is_string(file) ? json_string_value(file) : data_get_str(file, "path");
	if (json_is_string(file)) {
		(void)fd_read_file(path, out, NULL);
		return;
	}
	struct xchg_reader *r = NULL;
	struct xchg_block block;
	int64_t sum = 0;
	FILE *f = fopen(path, "r");
	if (!f || xchg_reader_open_fd(dup(fileno(f)), &r, NULL) < 0 ||
	    xchg_reader_seek(r, (uint32_t)data_get_int(file, "from", 0),
	                     (uint32_t)data_get_int(file, "to", 0), NULL) < 0)
		abort();
	while (xchg_reader_next(r, &block, NULL) == 0)
		for (uint32_t i = 0; i < block.rows; i++)
			sum += ((const int64_t *)(const void *)block.columns[0].data)[i];
	(void)buf_addf(out, "sum=%lld ", (long long)sum);
	xchg_reader_free(r);
	(void)fclose(f);
}

static void fake_inputs(const json_t *request)
{
	struct buf seen = BUF_INIT(sizeof(fake.last_input) - 1);
	size_t i, k;
	json_t *input, *file;
	json_array_foreach(json_object_get(request, "inputs"), i, input)
	{
		const char *path = data_get_str(input, "path");
		if (path)
			(void)fd_read_file(path, &seen, NULL);
		json_array_foreach(json_object_get(input, "files"), k, file) fake_read(file, &seen);
	}
	(void)pthread_mutex_lock(&fake.lock);
	(void)snprintf(fake.last_input, sizeof(fake.last_input), "%s", buf_cstr(&seen));
	(void)pthread_mutex_unlock(&fake.lock);
	buf_free(&seen);
}

static json_t *fake_rowsets(const json_t *output)
{
	json_t *list = json_array();
	int64_t buckets = data_get_int(output, "buckets", 1);
	for (int64_t b = 0; b < buckets; b++) {
		char text[32], crc[16];
		int len = snprintf(text, sizeof(text), "bucket %lld", (long long)b);
		autofree char *path = xasprintf("%s/%s%lld.duckdb", data_get_str(output, "dir"),
		                                data_get_str(output, "prefix"), (long long)b);
		if (fd_write_file(path, text, (size_t)len, 0600, NULL) < 0)
			abort();
		(void)snprintf(crc, sizeof(crc), "%08x", crc32c(0, text, (size_t)len));
		(void)json_array_append_new(list, json_pack("{s:I, s:s, s:i, s:i, s:s}", "bucket",
		                                            (json_int_t)b, "path", path, "rows", 1,
		                                            "bytes", len, "crc", crc));
	}
	return list;
}

static json_t *fake_objects(const json_t *output)
{
	autofree char *path = xasprintf("%s/%s0.parquet", data_get_str(output, "dir"),
	                                data_get_str(output, "prefix"));
	if (fd_write_file(path, "PAR1", 4, 0600, NULL) < 0)
		abort();
	return json_pack("[{s:s, s:i, s:i}]", "path", path, "rows", 1, "bytes", 4);
}

static json_t *fake_reply(const json_t *request)
{
	const json_t *output = json_object_get(request, "output");
	const char *kind = data_get_str(output, "kind");
	json_t *reply = json_pack("{s:b, s:i, s:i, s:[], s:[]}", "ok", 1, "rows", 3, "bytes", 30,
	                          "partitions", "columns");
	if (strcmp(kind, "exchange") == 0)
		fake_exchange(data_get_str(output, "path"),
		              (uint32_t)data_get_int(output, "partitions", 1));
	else if (strcmp(kind, "tablets") == 0)
		(void)json_object_set_new(reply, "rowsets", fake_rowsets(output));
	else
		(void)json_object_set_new(reply, "objects", fake_objects(output));
	int loaded = atomic_load(&fake.no_rows) ? 0 : 3;
	(void)json_object_set_new(reply, "load",
	                          json_pack("{s:i, s:i, s:i, s:i, s:s}", "total", 4, "loaded",
	                                    loaded, "filtered", 1, "unselected", 0, "first_error",
	                                    "line 2: 'x' is no INT"));
	return reply;
}

int exec_run(struct exec *e, json_t *request, struct deadline by, bool (*should_stop)(void *),
             void *arg, json_t **ret_reply, struct err *err)
{
	int64_t until = clock_mono_ms() + atomic_load(&fake.wait_ms);
	const char *code = NULL;
	(void)e;
	(void)by;
	(void)err;
	atomic_fetch_add(&fake.runs, 1);
	fake_inputs(request);
	while (!code && clock_mono_ms() < until) {
		clock_sleep_ms(5);
		if (should_stop && should_stop(arg))
			code = RPC_E_CANCELLED;
	}
	if (!code && atomic_fetch_sub(&fake.fail_next, 1) > 0)
		code = RPC_E_OOM;
	*ret_reply = code ? json_pack("{s:b, s:{s:s, s:s}}", "ok", 0, "error", "code", code,
	                              "message", "as the test wants")
	                  : fake_reply(request);
	json_decref(request);
	return code ? EXEC_FAILED : 0;
}

#endif

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/sql/infoschema.h"
#include "engine/sql/run.h"
#include "lib/base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_columns(struct sql_sink *sink, const struct sql_column *columns, size_t n,
                      struct err *err)
{
	(void)sink;
	(void)err;
	for (size_t i = 0; i < n; i++) {
		if (!columns[i].name)
			abort();
	}
	return 0;
}

static int on_row(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err)
{
	(void)sink;
	(void)cells;
	(void)n;
	(void)err;
	return 0;
}

static int on_done(struct sql_sink *sink, struct err *err)
{
	(void)sink;
	(void)err;
	return 0;
}

static struct sql_session *session(void)
{
	static struct sql_server server = { .fe_host = "fe", .version = "8.0.33-roost-0" };
	static struct sql_session *s;
	char dir[] = "/tmp/roost-fuzz-XXXXXX";
	if (s)
		return s;
	if (!mkdtemp(dir) || meta_open(dir, &server.meta, NULL) < 0 ||
	    sql_session_new(&server, 1, "root", "p:1", &s, NULL) < 0)
		abort();
	(void)fd_rm_rf(dir, NULL);
	return s;
}

/* Selects that are answered here, and the text that is made for the planner: no input may harm. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str sql = { (const char *)data, size };
	struct sql_sink sink = { .columns = on_columns, .row = on_row, .done = on_done };
	struct sql_session *s = session();
	struct err err = ERR_INIT;
	(void)snprintf(s->db, sizeof(s->db), "%s", size % 2 ? "information_schema" : "");
	int rc = sql_literal_select(s, sql, &sink, &err);
	if (rc == SQL_NOT_MINE)
		rc = sql_infoschema_select(s, sql, &sink, &err);
	if (rc == SQL_INFOSCHEMA_REWRITE) {
		_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
		(void)sql_infoschema_rewrite(s, sql, &out, &err);
	}
	return 0;
}

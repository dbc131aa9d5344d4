#include "engine/wire/result.h"

#include <errno.h>

#include "engine/wire/cell.h"
#include "engine/wire/handshake.h"
#include "lib/base/mem.h"

enum { PEEK_MS = 100 };

static int end_packet(struct wire_result *r, struct err *err)
{
	int rc = wire_end(r->io, err);
	/* A row that is too large ends the statement; anything else is a connection that failed. */
	if (rc < 0 && rc != -E2BIG)
		r->broken = true;
	return rc;
}

static int on_columns(struct sql_sink *sink, const struct sql_column *columns, size_t n,
                      struct err *err)
{
	struct wire_result *r = (struct wire_result *)sink;
	r->types = xcalloc(n ? n : 1, sizeof(*r->types));
	r->n_columns = n;
	wire_begin(r->io);
	wire_put_lenenc(&r->io->out, n);
	int rc = end_packet(r, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		r->types[i] = columns[i].type;
		wire_begin(r->io);
		wire_put_column(&r->io->out, &columns[i], false);
		rc = end_packet(r, err);
	}
	if (rc < 0 || r->caps & WIRE_CAP_DEPRECATE_EOF)
		return rc;
	wire_begin(r->io);
	wire_put_eof(&r->io->out, r->status);
	return end_packet(r, err);
}

static int put_binary_row(struct wire_result *r, const struct sql_cell *cells, struct err *err)
{
	struct buf *out = &r->io->out;
	(void)buf_addle(out, 0, 1);
	size_t bitmap = out->len, bytes = (r->n_columns + 7 + 2) / 8;
	for (size_t i = 0; i < bytes; i++)
		(void)buf_addc(out, '\0');
	for (size_t i = 0; i < r->n_columns; i++) {
		if (!cells[i].p) {
			if (!out->overflow)
				out->p[bitmap + (i + 2) / 8] |= (char)(1 << (i + 2) % 8);
			continue;
		}
		int rc = wire_put_binary(out, r->types[i], cells[i], err);
		if (rc < 0 && !out->overflow) {
			out->len = r->io->begun; /* nothing of the row is sent */
			return rc;
		}
	}
	return 0;
}

static int on_row(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err)
{
	struct wire_result *r = (struct wire_result *)sink;
	if (n != r->n_columns)
		return err_set(err, -EIO, "a row of %zu cells in a result of %zu columns", n,
		               r->n_columns);
	wire_begin(r->io);
	if (r->binary) {
		int rc = put_binary_row(r, cells, err);
		if (rc < 0)
			return rc;
		return end_packet(r, err);
	}
	for (size_t i = 0; i < n; i++) {
		if (cells[i].p)
			wire_put_lenstr(&r->io->out, cells[i].p, cells[i].len);
		else
			(void)buf_addle(&r->io->out, 0xfb, 1);
	}
	return end_packet(r, err);
}

static int on_done(struct sql_sink *sink, struct err *err)
{
	struct wire_result *r = (struct wire_result *)sink;
	wire_begin(r->io);
	if (r->caps & WIRE_CAP_DEPRECATE_EOF)
		wire_put_ok(&r->io->out, 0xfe, 0, r->status, NULL);
	else
		wire_put_eof(&r->io->out, r->status);
	r->finished = true;
	return end_packet(r, err);
}

static int on_ok(struct sql_sink *sink, uint64_t affected_rows, const char *info, struct err *err)
{
	struct wire_result *r = (struct wire_result *)sink;
	wire_begin(r->io);
	wire_put_ok(&r->io->out, 0, affected_rows, r->status, info);
	r->finished = true;
	return end_packet(r, err);
}

static bool on_cancelled(struct sql_sink *sink)
{
	struct wire_result *r = (struct wire_result *)sink;
	if (r->broken || sql_session_killed(r->session, false))
		return true;
	int64_t now = clock_mono_ms();
	if (now < r->next_peek_ms)
		return false;
	r->next_peek_ms = now + PEEK_MS;
	r->broken = wire_peer_gone(r->io);
	return r->broken;
}

void wire_result_init(struct wire_result *r, struct wire_io *io, struct sql_session *session,
                      uint32_t caps, bool binary, bool more)
{
	*r = (struct wire_result){
		.sink = { .columns = on_columns,
		          .row = on_row,
		          .done = on_done,
		          .ok = on_ok,
		          .cancelled = on_cancelled },
		.io = io,
		.session = session,
		.caps = caps,
		.status =
			(uint16_t)(WIRE_STATUS_AUTOCOMMIT | (more ? WIRE_STATUS_MORE_RESULTS : 0)),
		.binary = binary,
	};
}

void wire_result_free(struct wire_result *r)
{
	free(r->types);
	r->types = NULL;
}

int wire_result_end(struct wire_result *r, int rc, struct err *err)
{
	if (r->broken)
		return -EPIPE;
	struct err own = ERR_INIT;
	if (rc == 0 && !r->finished) {
		rc = err_set(&own, -EIO, "the statement ended without a result");
		err = &own;
	}
	/* After the end of a result nothing may follow it, so a late failure costs the connection. */
	if (rc < 0 && r->finished)
		return -EPIPE;
	if (rc < 0) {
		wire_begin(r->io);
		wire_put_failure(&r->io->out, err);
		if (wire_end(r->io, NULL) < 0)
			return -EPIPE;
	}
	return wire_flush(r->io, NULL) < 0 ? -EPIPE : 0;
}

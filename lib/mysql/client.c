#include "lib/mysql/client.h"

#include <errno.h>
#include <mariadb/errmsg.h>
#include <mariadb/mysql.h>
#include <mariadb/mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"

/* libmariadb's own timeouts count whole seconds for each read, so that a server which drips a byte a second
 * never times out. Its non-blocking calls are used instead: every wait is ours and ends at the deadline. */

enum { RESULT_BYTES_MAX = 64 * 1024 * 1024, ASK_EVERY_MS = 200 };

struct mysqlc {
	MYSQL *m;
	int ca;      /* a file in memory; -1: plain */
	bool broken; /* a call was given up half-way: the stream can no longer be trusted */
	bool (*should_stop)(void *arg);
	void *arg;
};

/* ---- waiting ---- */
static bool stopped(const struct mysqlc *c)
{
	return c->should_stop && c->should_stop(c->arg);
}

/* poll() until then; 0: it passed, or we are to stop. */
static int poll_by(const struct mysqlc *c, struct pollfd *p, struct deadline by)
{
	int rc = 0;
	while (!stopped(c)) {
		int64_t left = deadline_left_ms(by),
			most = c->should_stop ? ASK_EVERY_MS : INT32_MAX;
		rc = poll(p, 1, (int)(left > most ? most : left));
		if (rc > 0 || (rc < 0 && errno != EINTR) || deadline_passed(by))
			break;
	}
	return rc;
}

/* Waits for what libmariadb wants; returns the events, or 0 when the deadline passed. */
static int wait_for(const struct mysqlc *c, int wanted, struct deadline by)
{
	struct pollfd p = { .fd = mysql_get_socket(c->m), .events = 0 };
	if (wanted & MYSQL_WAIT_READ)
		p.events |= POLLIN;
	if (wanted & MYSQL_WAIT_WRITE)
		p.events |= POLLOUT;
	if (wanted & MYSQL_WAIT_EXCEPT)
		p.events |= POLLPRI;
	if (poll_by(c, &p, by) <= 0)
		return 0;
	int got = 0;
	if (p.revents & (POLLIN | POLLHUP | POLLERR))
		got |= MYSQL_WAIT_READ;
	if (p.revents & (POLLOUT | POLLHUP | POLLERR))
		got |= MYSQL_WAIT_WRITE;
	if (p.revents & POLLPRI)
		got |= MYSQL_WAIT_EXCEPT;
	return got & wanted ? got & wanted : wanted & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE);
}

static int late(struct mysqlc *c, const char *what, struct err *err)
{
	c->broken = true;
	if (stopped(c))
		return err_set(err, -ECANCELED, "%s: given up", what);
	return err_set(err, -ETIMEDOUT, "%s: no answer before the deadline", what);
}

#define DRIVE(c, by, wanted, again, what, err)                    \
	do {                                                      \
		while (wanted) {                                  \
			int got_ = wait_for((c), (wanted), (by)); \
			if (!got_)                                \
				return late((c), (what), (err));  \
			(wanted) = (again);                       \
		}                                                 \
	} while (0)

/* ---- failures ---- */
static int failure(struct mysqlc *c, const char *what, unsigned *ret_errno, struct err *err)
{
	unsigned n = mysql_errno(c->m);
	int code = -EPROTO;
	if (n == ER_ACCESS_DENIED_ERROR)
		code = -EACCES;
	else if (n == CR_CONNECTION_ERROR || n == CR_CONN_HOST_ERROR || n == CR_UNKNOWN_HOST)
		code = -ECONNREFUSED;
	else if (n == CR_SSL_CONNECTION_ERROR)
		code = -EKEYREJECTED;
	else if (n == CR_SERVER_GONE_ERROR || n == CR_SERVER_LOST)
		code = -ECONNRESET;
	err_set(err, code, "%s: %.400s (%u)", what, mysql_error(c->m), n);
	if (n >= CR_MIN_ERROR && n <= CR_MAX_ERROR) {
		c->broken = true;
		return code;
	}
	if (ret_errno)
		*ret_errno = n;
	return n == ER_ACCESS_DENIED_ERROR ? code : MYSQLC_REFUSED;
}

/* ---- connections ---- */
static void set_options(MYSQL *m)
{
	unsigned off = 0;
	unsigned long packet = 16UL * 1024 * 1024;
	mysql_options(m, MYSQL_OPT_NONBLOCK, NULL);
	mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
	/* Else a hostile server could ask for any file that this process may read. */
	mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &off);
	mysql_options(m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
}

/* The library takes the CA by a file's name only: a file without one elsewhere. */
static int set_tls(struct mysqlc *c, const char *pem, struct deadline by, struct err *err)
{
	my_bool yes = 1;
	char path[64];
	unsigned seconds = (unsigned)(deadline_left_ms(by) / 1000 + 1);
	size_t n = strlen(pem);
	c->ca = memfd_create("ca", MFD_CLOEXEC);
	if (c->ca < 0 || write(c->ca, pem, n) != (ssize_t)n)
		return err_errno(err, "the CA");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", c->ca);
	mysql_options(c->m, MYSQL_OPT_SSL_CA, path);
	mysql_options(c->m, MYSQL_OPT_SSL_ENFORCE, &yes);
	mysql_options(c->m, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &yes);
	/* The handshake blocks in the library: these bound each of its reads and writes. */
	mysql_options(c->m, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(c->m, MYSQL_OPT_READ_TIMEOUT, &seconds);
	mysql_options(c->m, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	return 0;
}

static void library_init(void)
{
	mysql_server_init(0, NULL, NULL);
}

int mysqlc_open(const struct mysqlc_address *a, struct deadline by, struct mysqlc **ret,
                struct err *err)
{
	_cleanup_(mysqlc_closep) struct mysqlc *c = xcalloc(1, sizeof(*c));
	autofree char *what = xasprintf("%s:%d", a->host, a->port);
	MYSQL *done = NULL;
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, library_init);
	c->ca = -1;
	c->should_stop = a->should_stop;
	c->arg = a->arg;
	c->m = mysql_init(NULL);
	if (!c->m)
		return err_set(err, -ENOMEM, "%s: out of memory", what);
	set_options(c->m);
	if (a->tls_ca && set_tls(c, a->tls_ca, by, err) < 0)
		return -EKEYREJECTED;
	int wanted = mysql_real_connect_start(&done, c->m, a->host, a->user,
	                                      a->password ? a->password : "", NULL,
	                                      (unsigned)a->port, NULL, 0);
	DRIVE(c, by, wanted, mysql_real_connect_cont(&done, c->m, got_), what, err);
	if (!done) {
		int rc = failure(c, what, NULL, err);
		/* The handshake was refused by number ("too many connections"): no session either way. */
		return rc < 0 ? rc : -ECONNREFUSED;
	}
	*ret = TAKE_PTR(c);
	return 0;
}

void mysqlc_close(struct mysqlc *c)
{
	if (!c)
		return;
	if (c->m) {
		/* COM_QUIT is a courtesy: it must not wait for a peer that hangs. */
		if (c->broken && mysql_get_socket(c->m) != MARIADB_INVALID_SOCKET)
			shutdown((int)mysql_get_socket(c->m), SHUT_RDWR);
		mysql_close(c->m);
	}
	fd_closep(&c->ca);
	free(c);
}

/* ---- results ---- */
void mysqlc_result_free(struct mysqlc_result *r)
{
	for (size_t i = 0; i < r->n_columns && r->columns; i++)
		free(r->columns[i]);
	for (size_t i = 0; i < r->n_columns * r->n_rows && r->cells; i++)
		free(r->cells[i]);
	free(r->columns);
	free(r->cells);
	*r = (struct mysqlc_result){ 0 };
}

struct reading {
	MYSQL_RES *res;
	VEC(char *) cells;
	size_t bytes, n_columns, n_rows;
};

static void reading_free(struct reading *r)
{
	for (size_t i = 0; i < r->cells.n; i++)
		free(r->cells.v[i]);
	vec_free(&r->cells);
}

static int keep_row(struct reading *r, MYSQL_ROW row, const char *what, struct err *err)
{
	const unsigned long *lengths = mysql_fetch_lengths(r->res);
	if (r->n_rows == MYSQLC_ROWS_MAX)
		return err_set(err, -E2BIG, "%s: more than %d rows", what, MYSQLC_ROWS_MAX);
	for (size_t i = 0; i < r->n_columns; i++) {
		r->bytes += lengths[i];
		if (lengths[i] > MYSQLC_CELL_MAX || r->bytes > RESULT_BYTES_MAX)
			return err_set(err, -E2BIG, "%s: a cell or the result is too large", what);
		vec_push(&r->cells, row[i] ? xstrndup(row[i], lengths[i]) : NULL);
	}
	r->n_rows++;
	return 0;
}

static int read_rows(struct mysqlc *c, struct reading *r, struct deadline by, const char *what,
                     unsigned *ret_errno, struct err *err)
{
	for (;;) {
		MYSQL_ROW row = NULL;
		int wanted = mysql_fetch_row_start(&row, r->res);
		DRIVE(c, by, wanted, mysql_fetch_row_cont(&row, r->res, got_), what, err);
		if (!row)
			return mysql_errno(c->m) ? failure(c, what, ret_errno, err) : 0;
		int rc = keep_row(r, row, what, err);
		if (rc < 0) {
			c->broken = true;
			return rc;
		}
	}
}

static void hand_over(struct reading *r, struct mysqlc_result *ret)
{
	const MYSQL_FIELD *fields = mysql_fetch_fields(r->res);
	*ret = (struct mysqlc_result){ .n_columns = r->n_columns, .n_rows = r->n_rows };
	ret->columns = xcalloc(r->n_columns + 1, sizeof(*ret->columns));
	for (size_t i = 0; i < r->n_columns; i++)
		ret->columns[i] = xstrdup(fields[i].name ? fields[i].name : "");
	ret->cells = TAKE_PTR(r->cells.v);
	r->cells.n = r->cells.cap = 0;
}

int mysqlc_query(struct mysqlc *c, const char *sql, struct deadline by, struct mysqlc_result *ret,
                 struct err *err)
{
	_cleanup_(reading_free) struct reading r = { 0 };
	char what[64];
	int failed = 0;
	/* The first words only: a statement may carry a password. */
	snprintf(what, sizeof(what), "%.24s…", sql);
	*ret = (struct mysqlc_result){ 0 };
	if (c->broken)
		return err_set(err, -ECONNRESET, "the connection was given up earlier");
	int wanted = mysql_real_query_start(&failed, c->m, sql, strlen(sql));
	DRIVE(c, by, wanted, mysql_real_query_cont(&failed, c->m, got_), what, err);
	if (failed)
		return failure(c, what, &ret->server_errno, err);
	if (mysql_field_count(c->m) == 0)
		return 0;
	r.res = mysql_use_result(c->m);
	if (!r.res)
		return failure(c, what, &ret->server_errno, err);
	r.n_columns = mysql_num_fields(r.res);
	int rc = read_rows(c, &r, by, what, &ret->server_errno, err);
	if (rc == 0)
		hand_over(&r, ret);
	/* Freeing an unfinished result reads on to its end: cut the line first. */
	if (c->broken)
		shutdown((int)mysql_get_socket(c->m), SHUT_RDWR);
	mysql_free_result(r.res);
	return rc;
}

const char *mysqlc_cell(const struct mysqlc_result *r, size_t row, const char *column)
{
	for (size_t i = 0; i < r->n_columns; i++)
		if (row < r->n_rows && strcasecmp(r->columns[i], column) == 0)
			return r->cells[row * r->n_columns + i];
	return NULL;
}

/* ---- quoting ---- */
int mysqlc_quote(struct buf *out, const char *text)
{
	buf_addc(out, '\'');
	for (const char *p = text; *p; p++) {
		if (*p == '\'' || *p == '\\')
			buf_addc(out, '\\');
		buf_addc(out, *p);
	}
	return buf_addc(out, '\'');
}

int mysqlc_quote_id(struct buf *out, const char *name)
{
	buf_addc(out, '`');
	for (const char *p = name; *p; p++) {
		if (*p == '`')
			buf_addc(out, '`');
		buf_addc(out, *p);
	}
	return buf_addc(out, '`');
}

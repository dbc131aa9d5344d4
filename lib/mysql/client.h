/* Statements to a MySQL-speaking FE, over libmariadb, each within a deadline.
 *
 * Thread: one connection is one thread's. Ownership: a result owns its text until freed.
 * Limits: MYSQLC_ROWS_MAX rows and MYSQLC_CELL_MAX bytes a cell; more is -E2BIG.
 * Errors: -EACCES (1045), -EKEYREJECTED (TLS: no TLS there, or a certificate that is not trusted), -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET, -EPROTO; a statement that the server
 * refused is the positive outcome MYSQLC_REFUSED with its errno and text in err. */
#ifndef ROOST_MYSQL_CLIENT_H
#define ROOST_MYSQL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

enum { MYSQLC_ROWS_MAX = 100000, MYSQLC_CELL_MAX = 1024 * 1024 };
enum { MYSQLC_REFUSED = 1 };

struct mysqlc;
struct mysqlc_address {
	const char *host;
	int port;
	const char *user;
	const char *password; /* may be NULL or "" */
	const char *
		tls_ca; /* PEM text: TLS or nothing, and the certificate is for host; NULL: plain */
	/* Asked a few times a second while an answer is waited for, by mysqlc_query() too; true ends it with -ECANCELED. */
	bool (*should_stop)(void *arg);
	void *arg;
};
int mysqlc_open(const struct mysqlc_address *a, struct deadline by, struct mysqlc **ret,
                struct err *err);
void mysqlc_close(struct mysqlc *c);

struct mysqlc_result {
	size_t n_columns, n_rows;
	char **columns;
	char **cells;          /* n_rows * n_columns, row by row; NULL is SQL NULL */
	unsigned server_errno; /* with MYSQLC_REFUSED */
};
void mysqlc_result_free(struct mysqlc_result *r);
#define _cleanup_mysqlc_result_ __attribute__((cleanup(mysqlc_result_free)))

int mysqlc_query(struct mysqlc *c, const char *sql, struct deadline by, struct mysqlc_result *ret,
                 struct err *err);
/* By column name (ASCII case folded); NULL for SQL NULL or when there is no such column. */
const char *mysqlc_cell(const struct mysqlc_result *r, size_t row, const char *column);

/* Appends a quoted literal / identifier. */
struct buf;
int mysqlc_quote(struct buf *out, const char *text);
int mysqlc_quote_id(struct buf *out, const char *name);

#include "lib/base/mem.h"
DEFINE_CLEANUP(struct mysqlc, mysqlc_close)

#endif

#include <stddef.h>
#include <stdint.h>

#include "engine/sql/lex.h"
#include "engine/wire/stmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* However the values look, the text stays one statement of the same shape: nothing breaks out of its literal. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(wire_stmt_freep) struct wire_stmt *s = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(1024 * 1024);
	if (wire_stmt_new(str_of("insert into t values (?, ?, a-?)"), 1, &s, NULL) < 0)
		abort();
	if (size && data[0] & 1)
		wire_stmt_long_data(s, 1, (struct str){ (const char *)data, size });
	if (wire_stmt_bind(s, (struct str){ (const char *)data, size }, &out, NULL) < 0)
		return 0;
	struct sql_lexer lx;
	struct sql_token t;
	size_t n = 0, minus = 0;
	sql_lex_init(&lx, (struct str){ out.p, out.len });
	for (;; n++) {
		if (sql_lex_next(&lx, &t, NULL) < 0)
			abort();
		if (t.kind == SQL_TOK_END)
			break;
		minus += str_eqs(t.text, "-");
	}
	if (n - minus != 12)
		abort();
	return 0;
}

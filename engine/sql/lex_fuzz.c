#include <stddef.h>
#include <stdint.h>

#include "engine/sql/lex.h"
#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Tokens lie inside the text, move forward, and splitting ends. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str sql = { (const char *)data, size };
	struct sql_lexer lx;
	struct sql_token t;
	size_t last = 0;
	sql_lex_init(&lx, sql);
	while (sql_lex_next(&lx, &t, NULL) == 0 && t.kind != SQL_TOK_END) {
		if (t.at < last || t.text.len == 0 || t.at + t.text.len > size)
			abort();
		last = t.at + t.text.len;
		autofree char *value = sql_token_value(&t);
		(void)value;
	}
	struct str rest = sql, one;
	size_t left = rest.len;
	while (sql_split(&rest, &one, NULL) > 0) {
		if (one.len == 0 || rest.len >= left)
			abort();
		left = rest.len;
	}
	return 0;
}

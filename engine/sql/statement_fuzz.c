#include <stddef.h>
#include <stdint.h>

#include "engine/sql/statement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Any text is a statement or an error with a code and a message. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(sql_statement_freep) struct sql_statement *st = NULL;
	struct err err = ERR_INIT;
	int rc = sql_statement_parse((struct str){ (const char *)data, size }, "db", &st, &err);
	if ((rc < 0) != (err.code < 0) || (rc < 0 && !err.msg[0]) || (rc == 0) != (st != NULL))
		abort();
	return 0;
}

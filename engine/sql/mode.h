/* sql_mode: which of MySQL's modes change something here.
 *
 * Thread: any. PIPES_AS_CONCAT is done; the modes that forbid what is never done here, or ask for what always is, are
 * taken; those that would give a statement another meaning than it gets are refused by name. */
#ifndef ROOST_ENGINE_SQL_MODE_H
#define ROOST_ENGINE_SQL_MODE_H

#include "lib/base/err.h"

enum { SQL_MODE_PIPES_AS_CONCAT = 1 };

/* value: names with commas between them, or MySQL's number. *ret: SQL_MODE_… bits; SQL_ERR(1231) names what is not known. */
int sql_mode_parse(const char *value, unsigned *ret, struct err *err);

#endif

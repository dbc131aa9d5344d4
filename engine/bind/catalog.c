#include <errno.h>

#include "engine/bind/bind.h"
#include "engine/sqlerr.h"

static int copy_table(void *arg, const char *db, const char *name, struct plan_table **ret,
                      struct err *err)
{
	struct meta *m = arg;
	meta_rdlock(m);
	bool has_db = meta_has_db(m, db);
	const struct meta_table *t = has_db ? meta_table(m, db, name) : NULL;
	struct plan_table *copy = t ? plan_table_copy(t) : NULL;
	meta_rdunlock(m);
	if (!has_db)
		return err_set(err, SQL_ERR(1049), "Unknown database '%.200s'", db);
	if (!copy)
		return err_set(err, SQL_ERR(1146), "Table '%.200s.%.200s' doesn't exist", db, name);
	*ret = copy;
	return 0;
}

struct bind_catalog bind_meta(struct meta *m)
{
	return (struct bind_catalog){ copy_table, m };
}

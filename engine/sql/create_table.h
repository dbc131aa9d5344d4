/* CREATE TABLE: columns, keys, distribution, properties.
 *
 * Thread: plain values. Ownership: the struct owns everything in it. */
#ifndef ROOST_ENGINE_SQL_CREATE_TABLE_H
#define ROOST_ENGINE_SQL_CREATE_TABLE_H

#include <jansson.h>

#include "engine/sql/syntax.h"
#include "lib/base/vec.h"

struct sql_type_name {
	char type[40];     /* DuckDB's spelling */
	char declared[40]; /* as DESC shows it */
	bool can_be_key;
	bool is_text; /* a default key ends with it */
};
/* At the type's first word. Known types that are not built are error 1235. */
int sql_parse_type(struct sql_parser *p, struct sql_type_name *ret);

struct sql_column_def {
	char *name, *default_text /* the value, without quotes; NULL: none */,
		*comment /* NULL: none */;
	struct sql_type_name type;
	bool nullable;
};
typedef VEC(char *) sql_names;

struct sql_create_table {
	VEC(struct sql_column_def) columns;
	sql_names keys, distribution, order_by;
	bool random;
	int64_t buckets; /* 0: ours to choose */
	char *comment;
	json_t *properties; /* name -> text */
};

void sql_names_free(sql_names *names);
/* At the "(" after the table's name. Checks that keys and distribution name columns. */
int sql_parse_create_table(struct sql_parser *p, struct sql_create_table **ret);
void sql_create_table_free(struct sql_create_table *c);
DEFINE_CLEANUP(struct sql_create_table, sql_create_table_free)

#endif

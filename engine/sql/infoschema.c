#include "engine/sql/infoschema.h"

#include "engine/sql/show.h"

typedef void (*fill_fn)(struct sql_session *s, struct sql_rows *rows);

static void fill_nothing(struct sql_session *s, struct sql_rows *rows)
{
	(void)s;
	(void)rows;
}

static void add_schema(struct sql_rows *rows, const char *name)
{
	sql_rows_add(rows, "def");
	sql_rows_add(rows, name);
	sql_rows_add(rows, "utf8");
	sql_rows_add(rows, "utf8_general_ci");
	sql_rows_add(rows, NULL);
}

static void fill_schemata(struct sql_session *s, struct sql_rows *rows)
{
	struct meta *m = s->server->meta;
	size_t at = 0;
	add_schema(rows, "information_schema");
	meta_rdlock(m);
	for (const char *db = meta_next_db(m, &at); db; db = meta_next_db(m, &at))
		add_schema(rows, db);
	meta_rdunlock(m);
}

static void add_table(struct sql_rows *rows, const char *db, const char *name,
                      const struct meta_table *t)
{
	sql_rows_add(rows, "def");
	sql_rows_add(rows, db);
	sql_rows_add(rows, name);
	sql_rows_add(rows, t ? "BASE TABLE" : "SYSTEM VIEW");
	sql_rows_add(rows, t ? "StarRocks" : "MEMORY");
	sql_rows_addn(rows, 2, NULL);
	sql_rows_addf(rows, "%llu", (unsigned long long)(t ? t->rows : 0));
	sql_rows_addf(rows, "%llu", (unsigned long long)(t && t->rows ? t->bytes / t->rows : 0));
	sql_rows_addf(rows, "%llu", (unsigned long long)(t ? t->bytes : 0));
	sql_rows_addn(rows, 7, NULL);
	sql_rows_add(rows, "utf8_general_ci");
	sql_rows_addn(rows, 2, NULL);
	sql_rows_add(rows, t && t->comment ? t->comment : "");
}

static void fill_tables(struct sql_session *s, struct sql_rows *rows)
{
	struct meta *m = s->server->meta;
	size_t at = 0;
	for (size_t i = 0; sql_infoschema_table(i); i++)
		add_table(rows, "information_schema", sql_infoschema_table(i), NULL);
	meta_rdlock(m);
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at))
		add_table(rows, t->db, t->name, t);
	meta_rdunlock(m);
}

/* Precision and scale of a type in DuckDB's spelling; -1: none. */
static void numeric_size(const char *type, int *precision, int *scale)
{
	static const struct {
		const char *type;
		int precision;
	} integers[] = { { "TINYINT", 3 },  { "SMALLINT", 5 }, { "INTEGER", 10 }, { "BIGINT", 19 },
		         { "HUGEINT", 39 }, { "FLOAT", 7 },    { "DOUBLE", 15 } };
	*precision = *scale = -1;
	for (size_t i = 0; i < ARRAY_LEN(integers); i++) {
		if (strcmp(type, integers[i].type) == 0) {
			*precision = integers[i].precision;
			*scale = 0;
		}
	}
	if (strncmp(type, "DECIMAL(", 8) == 0) {
		char *end = NULL;
		*precision = (int)strtol(type + 8, &end, 10);
		*scale = *end == ',' ? (int)strtol(end + 1, NULL, 10) : 0;
	}
}

static void add_number(struct sql_rows *rows, int n)
{
	if (n < 0)
		sql_rows_add(rows, NULL);
	else
		sql_rows_addf(rows, "%d", n);
}

/* The number in the parentheses of varchar(20); the longest text for string; -1 for what is no text. */
static int text_length(const struct meta_column *c)
{
	enum { LONGEST = 65533 };
	const char *open = strchr(c->declared, '(');
	if (strcmp(c->type, "VARCHAR") != 0)
		return -1;
	return open ? (int)strtol(open + 1, NULL, 10) : LONGEST;
}

static void add_column(struct sql_rows *rows, const struct meta_table *t, size_t i)
{
	const struct meta_column *c = &t->columns[i];
	int precision, scale, length = text_length(c);
	numeric_size(c->type, &precision, &scale);
	sql_rows_add(rows, "def");
	sql_rows_add(rows, t->db);
	sql_rows_add(rows, t->name);
	sql_rows_add(rows, c->name);
	sql_rows_addf(rows, "%zu", i + 1);
	sql_rows_add(rows, c->default_text);
	sql_rows_add(rows, c->nullable ? "YES" : "NO");
	const char *open = strchr(c->declared, '(');
	sql_rows_addf(rows, "%.*s", open ? (int)(open - c->declared) : (int)strlen(c->declared),
	              c->declared); /* DATA_TYPE */
	add_number(rows, length);
	add_number(rows, length < 0 ? -1 : length * 3);
	add_number(rows, precision);
	add_number(rows, scale);
	add_number(rows, strcmp(c->type, "TIMESTAMP") == 0 ? 6 : -1);
	sql_rows_addn(rows, 2, NULL);
	sql_rows_add(rows, c->declared);
	sql_rows_add(rows, c->key ? "DUP" : "");
	sql_rows_addn(rows, 2, "");
	sql_rows_add(rows, c->comment ? c->comment : "");
	add_number(rows, precision >= 0 ? precision : length); /* COLUMN_SIZE */
	add_number(rows, scale);
	sql_rows_addn(rows, 2, NULL);
}

static void fill_columns(struct sql_session *s, struct sql_rows *rows)
{
	struct meta *m = s->server->meta;
	size_t at = 0;
	meta_rdlock(m);
	for (const struct meta_table *t = meta_next_table(m, NULL, &at); t;
	     t = meta_next_table(m, NULL, &at)) {
		for (size_t i = 0; i < t->n_columns; i++)
			add_column(rows, t, i);
	}
	meta_rdunlock(m);
}

static void fill_engines(struct sql_session *s, struct sql_rows *rows)
{
	(void)s;
	sql_rows_add(rows, "OLAP");
	sql_rows_add(rows, "YES");
	sql_rows_add(rows, "Default storage engine");
	sql_rows_addn(rows, 3, "NO");
}

static void fill_character_sets(struct sql_session *s, struct sql_rows *rows)
{
	(void)s;
	sql_rows_add(rows, "utf8mb4");
	sql_rows_add(rows, "utf8mb4_general_ci");
	sql_rows_add(rows, "UTF-8 Unicode");
	sql_rows_add(rows, "4");
}

static void fill_collations(struct sql_session *s, struct sql_rows *rows)
{
	(void)s;
	sql_rows_add(rows, "utf8mb4_general_ci");
	sql_rows_add(rows, "utf8mb4");
	sql_rows_add(rows, "45");
	sql_rows_addn(rows, 2, "Yes");
	sql_rows_add(rows, "1");
}

static const struct infotable {
	const char *name, *columns;
	fill_fn fill;
} tables[] = {
	{ "character_sets", "CHARACTER_SET_NAME,DEFAULT_COLLATE_NAME,DESCRIPTION,MAXLEN:l",
	  fill_character_sets },
	{ "collations", "COLLATION_NAME,CHARACTER_SET_NAME,ID:l,IS_DEFAULT,IS_COMPILED,SORTLEN:l",
	  fill_collations },
	{ "columns",
	  "TABLE_CATALOG,TABLE_SCHEMA,TABLE_NAME,COLUMN_NAME,ORDINAL_POSITION:l,COLUMN_DEFAULT,"
	  "IS_NULLABLE,DATA_TYPE,CHARACTER_MAXIMUM_LENGTH:l,CHARACTER_OCTET_LENGTH:l,"
	  "NUMERIC_PRECISION:l,NUMERIC_SCALE:l,DATETIME_PRECISION:l,CHARACTER_SET_NAME,"
	  "COLLATION_NAME,COLUMN_TYPE,COLUMN_KEY,EXTRA,PRIVILEGES,COLUMN_COMMENT,COLUMN_SIZE:l,"
	  "DECIMAL_DIGITS:l,GENERATION_EXPRESSION,SRS_ID:l",
	  fill_columns },
	{ "engines", "ENGINE,SUPPORT,COMMENT,TRANSACTIONS,XA,SAVEPOINTS", fill_engines },
	{ "events", "EVENT_CATALOG,EVENT_SCHEMA,EVENT_NAME,DEFINER,TIME_ZONE,STATUS",
	  fill_nothing },
	{ "key_column_usage",
	  "CONSTRAINT_CATALOG,CONSTRAINT_SCHEMA,CONSTRAINT_NAME,TABLE_CATALOG,TABLE_SCHEMA,"
	  "TABLE_NAME,COLUMN_NAME,ORDINAL_POSITION:l,POSITION_IN_UNIQUE_CONSTRAINT:l,"
	  "REFERENCED_TABLE_SCHEMA,REFERENCED_TABLE_NAME,REFERENCED_COLUMN_NAME",
	  fill_nothing },
	{ "materialized_views",
	  "MATERIALIZED_VIEW_ID:l,TABLE_SCHEMA,TABLE_NAME,REFRESH_TYPE,IS_ACTIVE", fill_nothing },
	{ "parameters",
	  "SPECIFIC_CATALOG,SPECIFIC_SCHEMA,SPECIFIC_NAME,ORDINAL_POSITION:l,PARAMETER_MODE,"
	  "PARAMETER_NAME,DATA_TYPE",
	  fill_nothing },
	{ "referential_constraints",
	  "CONSTRAINT_CATALOG,CONSTRAINT_SCHEMA,CONSTRAINT_NAME,UNIQUE_CONSTRAINT_CATALOG,"
	  "UNIQUE_CONSTRAINT_SCHEMA,UNIQUE_CONSTRAINT_NAME,MATCH_OPTION,UPDATE_RULE,DELETE_RULE,"
	  "TABLE_NAME,REFERENCED_TABLE_NAME",
	  fill_nothing },
	{ "routines",
	  "SPECIFIC_NAME,ROUTINE_CATALOG,ROUTINE_SCHEMA,ROUTINE_NAME,ROUTINE_TYPE,DATA_TYPE,"
	  "ROUTINE_DEFINITION,SQL_DATA_ACCESS,CREATED,LAST_ALTERED,ROUTINE_COMMENT,DEFINER",
	  fill_nothing },
	{ "schemata",
	  "CATALOG_NAME,SCHEMA_NAME,DEFAULT_CHARACTER_SET_NAME,DEFAULT_COLLATION_NAME,SQL_PATH",
	  fill_schemata },
	{ "statistics",
	  "TABLE_CATALOG,TABLE_SCHEMA,TABLE_NAME,NON_UNIQUE:l,INDEX_SCHEMA,INDEX_NAME,"
	  "SEQ_IN_INDEX:l,COLUMN_NAME,COLLATION,CARDINALITY:l,SUB_PART:l,PACKED,NULLABLE,"
	  "INDEX_TYPE,COMMENT",
	  fill_nothing },
	{ "table_constraints",
	  "CONSTRAINT_CATALOG,CONSTRAINT_SCHEMA,CONSTRAINT_NAME,TABLE_SCHEMA,TABLE_NAME,"
	  "CONSTRAINT_TYPE",
	  fill_nothing },
	{ "tables",
	  "TABLE_CATALOG,TABLE_SCHEMA,TABLE_NAME,TABLE_TYPE,ENGINE,VERSION:l,ROW_FORMAT,"
	  "TABLE_ROWS:l,AVG_ROW_LENGTH:l,DATA_LENGTH:l,MAX_DATA_LENGTH:l,INDEX_LENGTH:l,"
	  "DATA_FREE:l,AUTO_INCREMENT:l,CREATE_TIME,UPDATE_TIME,CHECK_TIME,TABLE_COLLATION,"
	  "CHECKSUM:l,CREATE_OPTIONS,TABLE_COMMENT",
	  fill_tables },
	{ "triggers",
	  "TRIGGER_CATALOG,TRIGGER_SCHEMA,TRIGGER_NAME,EVENT_MANIPULATION,EVENT_OBJECT_SCHEMA,"
	  "EVENT_OBJECT_TABLE",
	  fill_nothing },
	{ "views",
	  "TABLE_CATALOG,TABLE_SCHEMA,TABLE_NAME,VIEW_DEFINITION,CHECK_OPTION,IS_UPDATABLE,DEFINER,"
	  "SECURITY_TYPE,CHARACTER_SET_CLIENT,COLLATION_CONNECTION",
	  fill_nothing },
};

const char *sql_infoschema_table(size_t i)
{
	return i < ARRAY_LEN(tables) ? tables[i].name : NULL;
}

static const struct infotable *find(const char *name, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (str_caseeqs(str_of(name), tables[i].name))
			return &tables[i];
	}
	(void)err_set(err, SQL_ERR(1109), "Unknown table '%s' in information_schema", name);
	return NULL;
}

int sql_infoschema_rows(struct sql_session *s, const char *table, struct sql_rows *rows,
                        struct err *err)
{
	const struct infotable *t = find(table, err);
	if (!t)
		return SQL_ERR(1109);
	sql_rows_init(rows, t->columns);
	t->fill(s, rows);
	return 0;
}

int sql_infoschema_columns(const char *table, bool full, struct sql_rows *rows, struct err *err)
{
	const struct infotable *t = find(table, err);
	if (!t)
		return SQL_ERR(1109);
	_cleanup_sql_rows_ struct sql_rows shape = { 0 };
	sql_rows_init(&shape, t->columns);
	for (size_t i = 0; i < shape.n_columns; i++) {
		sql_rows_add(rows, shape.columns[i].name);
		sql_rows_add(rows,
		             shape.columns[i].type == SQL_TYPE_BIGINT ? "bigint" : "varchar(512)");
		if (full)
			sql_rows_add(rows, NULL);
		sql_rows_add(rows, "YES");
		sql_rows_add(rows, full ? "" : "false");
		sql_rows_add(rows, NULL);
		sql_rows_add(rows, "");
		if (full)
			sql_rows_addn(rows, 2, "");
	}
	return 0;
}

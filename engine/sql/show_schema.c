#include "engine/sql/infoschema.h"
#include "engine/sql/show.h"
#include "lib/data/json.h"

int sql_show_databases(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                       struct err *err)
{
	struct meta *m = s->server->meta;
	size_t at = 0;
	(void)q;
	(void)err;
	sql_rows_init(rows, "Database");
	sql_rows_add(rows, "information_schema");
	meta_rdlock(m);
	for (const char *db = meta_next_db(m, &at); db; db = meta_next_db(m, &at))
		sql_rows_add(rows, db);
	meta_rdunlock(m);
	sql_rows_sort(rows, 0, false);
	return 0;
}

/* The database of a SHOW, which must exist. */
static int resolve(struct sql_session *s, const struct sql_show *q, const char **ret,
                   struct err *err)
{
	int rc = sql_session_resolve(s, q->db, ret, err);
	if (rc < 0 || str_caseeqs(str_of(*ret), "information_schema"))
		return rc;
	meta_rdlock(s->server->meta);
	bool there = meta_has_db(s->server->meta, *ret);
	meta_rdunlock(s->server->meta);
	return there ? 0 : err_set(err, SQL_ERR(1049), "Unknown database '%s'", *ret);
}

int sql_show_tables(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                    struct err *err)
{
	struct meta *m = s->server->meta;
	const char *db = NULL;
	size_t at = 0;
	int rc = resolve(s, q, &db, err);
	if (rc < 0)
		return rc;
	sql_rows_init(rows, q->full ? "Tables,Table_type" : "Tables");
	free((char *)(uintptr_t)rows->columns[0].name);
	rows->columns[0].name = xasprintf("Tables_in_%s", db);
	if (str_caseeqs(str_of(db), "information_schema")) {
		for (size_t i = 0; sql_infoschema_table(i); i++) {
			sql_rows_add(rows, sql_infoschema_table(i));
			if (q->full)
				sql_rows_add(rows, "SYSTEM VIEW");
		}
		return 0;
	}
	meta_rdlock(m);
	for (const struct meta_table *t = meta_next_table(m, db, &at); t;
	     t = meta_next_table(m, db, &at)) {
		sql_rows_add(rows, t->name);
		if (q->full)
			sql_rows_add(rows, "BASE TABLE");
	}
	meta_rdunlock(m);
	sql_rows_sort(rows, 0, false);
	return 0;
}

int sql_show_table_status(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                          struct err *err)
{
	struct meta *m = s->server->meta;
	const char *db = NULL;
	size_t at = 0;
	int rc = resolve(s, q, &db, err);
	if (rc < 0)
		return rc;
	sql_rows_init(rows,
	              "Name,Engine,Version:l,Row_format,Rows:l,Avg_row_length:l,Data_length:l,"
	              "Max_data_length:l,Index_length:l,Data_free:l,Auto_increment:l,"
	              "Create_time,Update_time,Check_time,Collation,Checksum:l,"
	              "Create_options,Comment");
	meta_rdlock(m);
	for (const struct meta_table *t = meta_next_table(m, db, &at); t;
	     t = meta_next_table(m, db, &at)) {
		sql_rows_add(rows, t->name);
		sql_rows_add(rows, "StarRocks");
		sql_rows_addn(rows, 2, NULL);
		sql_rows_addf(rows, "%llu", (unsigned long long)t->rows);
		sql_rows_addf(rows, "%llu", (unsigned long long)(t->rows ? t->bytes / t->rows : 0));
		sql_rows_addf(rows, "%llu", (unsigned long long)t->bytes);
		sql_rows_addn(rows, 7, NULL);
		sql_rows_add(rows, "utf8_general_ci");
		sql_rows_addn(rows, 2, NULL);
		sql_rows_add(rows, t->comment ? t->comment : "");
	}
	meta_rdunlock(m);
	return 0;
}

static void add_column(struct sql_rows *rows, const struct meta_column *c, bool full)
{
	sql_rows_add(rows, c->name);
	sql_rows_add(rows, c->declared);
	if (full)
		sql_rows_add(rows, strcmp(c->type, "VARCHAR") == 0 ? "utf8_general_ci" : NULL);
	sql_rows_add(rows, c->nullable ? "YES" : "NO");
	if (full)
		sql_rows_add(rows, c->key ? "YES" : "");
	else
		sql_rows_add(rows, c->key ? "true" : "false");
	sql_rows_add(rows, c->default_text);
	sql_rows_add(rows, "");
	if (full) {
		sql_rows_add(rows, "");
		sql_rows_add(rows, c->comment ? c->comment : "");
	}
}

int sql_show_columns(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                     struct err *err)
{
	const char *db = NULL;
	int rc = sql_session_resolve(s, q->db, &db, err);
	if (rc < 0)
		return rc;
	sql_rows_init(rows,
	              q->full ? "Field,Type,Collation,Null,Key,Default,Extra,Privileges,Comment"
	                      : "Field,Type,Null,Key,Default,Extra");
	if (str_caseeqs(str_of(db), "information_schema"))
		return sql_infoschema_columns(q->name, q->full, rows, err);
	struct meta *m = s->server->meta;
	meta_rdlock(m);
	const struct meta_table *t = sql_show_find(s, db, q->name, err);
	for (size_t i = 0; t && i < t->n_columns; i++)
		add_column(rows, &t->columns[i], q->full);
	meta_rdunlock(m);
	return t ? 0 : err->code;
}

static void add_names(struct buf *b, char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s`%s`", i ? ", " : "", names[i]);
}

/* A text in double quotes, which both StarRocks and we read back. */
static void add_quoted(struct buf *b, const char *text)
{
	(void)buf_addc(b, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			(void)buf_addc(b, '\\');
		if (*c == '\n')
			(void)buf_adds(b, "\\n");
		else
			(void)buf_addc(b, *c);
	}
	(void)buf_addc(b, '"');
}

static void add_column_ddl(struct buf *b, const struct meta_column *c)
{
	(void)buf_addf(b, "  `%s` %s %s", c->name, c->declared, c->nullable ? "NULL" : "NOT NULL");
	if (c->default_text && strcmp(c->default_text, "CURRENT_TIMESTAMP") == 0) {
		(void)buf_adds(b, " DEFAULT CURRENT_TIMESTAMP");
	} else if (c->default_text) {
		(void)buf_adds(b, " DEFAULT ");
		add_quoted(b, c->default_text);
	}
	if (c->comment && c->comment[0]) {
		(void)buf_adds(b, " COMMENT ");
		add_quoted(b, c->comment);
	}
}

static void add_properties(struct buf *b, const struct meta_table *t)
{
	const char *name;
	json_t *value;
	(void)buf_addf(b, "\nPROPERTIES (\n\"replication_num\" = \"%d\"", t->replication_num);
	json_object_foreach(t->properties, name, value)
	{
		if (strcmp(name, "replication_num") == 0 || strcmp(name, "roost.order_by") == 0)
			continue;
		(void)buf_adds(b, ",\n");
		add_quoted(b, name);
		(void)buf_adds(b, " = ");
		add_quoted(b, json_string_value(value));
	}
	(void)buf_adds(b, "\n);");
}

static void add_table_ddl(struct buf *b, const struct meta_table *t)
{
	size_t keys = 0;
	(void)buf_addf(b, "CREATE TABLE `%s` (\n", t->name);
	for (size_t i = 0; i < t->n_columns; i++) {
		add_column_ddl(b, &t->columns[i]);
		(void)buf_adds(b, i + 1 < t->n_columns ? ",\n" : "\n");
		keys += t->columns[i].key;
	}
	(void)buf_adds(b, ") ENGINE=OLAP");
	for (size_t i = 0; i < keys; i++)
		(void)buf_addf(b, "%s`%s`", i ? ", " : "\nDUPLICATE KEY(", t->columns[i].name);
	if (keys)
		(void)buf_addc(b, ')');
	if (t->comment && t->comment[0]) {
		(void)buf_adds(b, "\nCOMMENT ");
		add_quoted(b, t->comment);
	}
	if (t->n_distribution) {
		(void)buf_adds(b, "\nDISTRIBUTED BY HASH(");
		add_names(b, t->distribution, t->n_distribution);
		(void)buf_addf(b, ") BUCKETS %d", t->buckets);
	} else {
		(void)buf_addf(b, "\nDISTRIBUTED BY RANDOM BUCKETS %d", t->buckets);
	}
	const char *order = data_get_str(t->properties, "roost\\.order_by");
	if (order)
		(void)buf_addf(b, "\nORDER BY(%s)", order);
	add_properties(b, t);
}

int sql_show_create_table(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                          struct err *err)
{
	enum { DDL_MAX = 16 * 1024 * 1024 };
	struct meta *m = s->server->meta;
	_cleanup_buf_ struct buf b = BUF_INIT(DDL_MAX);
	sql_rows_init(rows, "Table,Create Table");
	meta_rdlock(m);
	const struct meta_table *t = sql_show_find(s, q->db, q->name, err);
	if (t)
		add_table_ddl(&b, t);
	meta_rdunlock(m);
	if (!t)
		return err->code;
	sql_rows_add(rows, q->name);
	sql_rows_add(rows, buf_cstr(&b));
	return 0;
}

int sql_show_create_database(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                             struct err *err)
{
	meta_rdlock(s->server->meta);
	bool there = meta_has_db(s->server->meta, q->name);
	meta_rdunlock(s->server->meta);
	if (!there)
		return err_set(err, SQL_ERR(1049), "Unknown database '%s'", q->name);
	sql_rows_init(rows, "Database,Create Database");
	sql_rows_add(rows, q->name);
	sql_rows_addf(rows, "CREATE DATABASE `%s`", q->name);
	return 0;
}

int sql_show_indexes(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                     struct err *err)
{
	struct meta *m = s->server->meta;
	sql_rows_init(rows,
	              "Table,Non_unique,Key_name,Seq_in_index,Column_name,Collation,Cardinality,"
	              "Sub_part,Packed,Null,Index_type,Comment");
	meta_rdlock(m);
	const struct meta_table *t = sql_show_find(s, q->db, q->name, err);
	meta_rdunlock(m);
	return t ? 0 : err->code;
}

int sql_show_tablets(struct sql_session *s, const struct sql_show *q, struct sql_rows *rows,
                     struct err *err)
{
	struct meta *m = s->server->meta;
	sql_rows_init(rows, "TabletId,ReplicaId,BackendId,Version,DataSize,RowCount,State,Bucket");
	meta_rdlock(m);
	const struct meta_table *t = sql_show_find(s, q->db, q->name, err);
	for (size_t i = 0; t && i < t->n_tablets; i++) {
		const struct meta_tablet *tablet = &t->tablets[i];
		uint64_t row_count = 0, bytes = 0;
		for (size_t k = 0; k < tablet->n_rowsets; k++) {
			row_count += tablet->rowsets[k].rows;
			bytes += tablet->rowsets[k].bytes;
		}
		for (size_t r = 0; r < tablet->n_replicas; r++) {
			sql_rows_addf(rows, "%lld", (long long)tablet->id);
			sql_rows_addf(rows, "%lld", (long long)tablet->id);
			sql_rows_addf(rows, "%lld", (long long)tablet->replicas[r]);
			sql_rows_addf(rows, "%lld", (long long)t->version);
			sql_rows_add_bytes(rows, (int64_t)bytes);
			sql_rows_addf(rows, "%llu", (unsigned long long)row_count);
			sql_rows_add(rows, "NORMAL");
			sql_rows_addf(rows, "%d", tablet->bucket);
		}
	}
	meta_rdunlock(m);
	return t ? 0 : err->code;
}

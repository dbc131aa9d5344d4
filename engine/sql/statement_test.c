#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/sql/statement.h"
#include "lib/data/json.h"

static void put_names(struct buf *b, const char *label, char *const *names, size_t n)
{
	(void)buf_addf(b, " %s=", label);
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s%s", i ? "," : "", names[i]);
}

static void put_table(struct buf *b, const struct sql_create_table *c)
{
	for (size_t i = 0; i < c->columns.n; i++) {
		const struct sql_column_def *d = &c->columns.v[i];
		(void)buf_addf(b, " %s:%s/%s%s", d->name, d->type.type, d->type.declared,
		               d->nullable ? "" : "!");
		if (d->default_text)
			(void)buf_addf(b, "=%s", d->default_text);
	}
	put_names(b, "keys", c->keys.v, c->keys.n);
	put_names(b, "dist", c->distribution.v, c->distribution.n);
	autofree char *properties = data_json_text(c->properties);
	(void)buf_addf(b, " buckets=%d %s", (int)c->buckets, properties);
}

static void put_sets(struct buf *b, const struct sql_statement *st)
{
	for (size_t i = 0; i < st->sets.n; i++) {
		const struct sql_assignment *a = &st->sets.v[i];
		(void)buf_addf(b, " %d/%d:%s=%d:%s%s", a->kind, a->scope, a->name ? a->name : "",
		               a->value.kind, a->value.text ? a->value.text : "",
		               a->hashed ? "#" : "");
	}
}

/* A statement in one line, or "error N message". */
static char *parsed(const char *sql)
{
	static const char *const kinds[] = {
#define X(NAME, name) #name,
		SQL_STATEMENTS(X)
#undef X
	};
	_cleanup_(sql_statement_freep) struct sql_statement *st = NULL;
	struct err err = ERR_INIT;
	int rc = sql_statement_parse(str_of(sql), "db0", &st, &err);
	if (rc < 0)
		return xasprintf("error %d %s", sql_err_no(rc), err.msg);
	struct buf b = BUF_INIT(65536);
	(void)buf_adds(&b, kinds[st->kind]);
	if (st->name)
		(void)buf_addf(&b, " %s%s%s", st->db ? st->db : "", st->db ? "." : "", st->name);
	if (st->if_exists)
		(void)buf_adds(&b, " if");
	if (st->force)
		(void)buf_adds(&b, " force");
	if (st->label)
		(void)buf_addf(&b, " label=%s", st->label);
	if (st->names.n)
		put_names(&b, "columns", st->names.v, st->names.n);
	if (st->query.len)
		(void)buf_addf(&b, " [%.*s]", STR_ARG(st->query));
	if (st->create)
		put_table(&b, st->create);
	put_sets(&b, st);
	for (size_t i = 0; i < st->nodes.n; i++)
		(void)buf_addf(&b, " %d/%d:%s:%d", st->alter, st->role, st->nodes.v[i].host,
		               st->nodes.v[i].port);
	if (st->kind == SQL_STATEMENT_KILL)
		(void)buf_addf(&b, " %s%d", st->kill_query ? "query " : "", (int)st->number);
	if (st->kind == SQL_STATEMENT_SHOW)
		(void)buf_addf(&b, "%s db=%s name=%s like=%s where=%d limit=%d",
		               st->show.full ? " full" : "", st->show.db ? st->show.db : "",
		               st->show.name ? st->show.name : "",
		               st->show.like ? st->show.like : "", st->show.where != NULL,
		               (int)st->show.limit);
	return buf_take(&b);
}

struct parse_case {
	const char *sql, *want;
};

static void check(const struct parse_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		autofree char *got = parsed(cases[i].sql);
		bool prefix = strncmp(cases[i].want, "error", 5) == 0;
		if (prefix ? strncmp(got, cases[i].want, strlen(cases[i].want))
		           : strcmp(got, cases[i].want))
			fail_msg("%s\n got: %s\nwant: %s", cases[i].sql, got, cases[i].want);
	}
}

static void queries_and_inserts(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{ "select 1", "query [select 1]" },
		{ "/* c */ (select 1) union (select 2)", "query [(select 1) union (select 2)]" },
		{ "with a as (select 1) select * from a",
		  "query [with a as (select 1) select * from a]" },
		{ "explain select 1", "explain [select 1]" },
		{ "EXPLAIN COSTS select 1", "explain [select 1]" },
		{ "explain analyze select 1", "error 1235 EXPLAIN ANALYZE" },
		{ "desc d.t", "show db=d name=t like= where=0 limit=-1" },
		{ "insert into d.t values (1)", "insert d.t [values (1)]" },
		{ "INSERT INTO `t` WITH LABEL l1 (a, `b`) SELECT 1, 2",
		  "insert t label=l1 columns=a,b [SELECT 1, 2]" },
		{ "insert into t (select 1)", "insert t [(select 1)]" },
		{ "insert into t (a) (select 1)", "insert t columns=a [(select 1)]" },
		{ "insert into default_catalog.d.t values (1)", "insert d.t [values (1)]" },
		{ "insert into hive.d.t values (1)", "error 1064 Unknown catalog 'hive'" },
		{ "insert into t (a b) values (1)",
		  "error 1064 Getting syntax error at line 1, column 17, near 'b) values (1)'" },
		{ "insert into t set a=1", "error 1064" },
		{ "insert overwrite t select 1", "error 1235 INSERT OVERWRITE" },
		{ "insert into t partition(p) values (1)", "error 1235" },
		{ "", "error 1065" },
		{ "-- nothing", "error 1065" },
		{ "frobnicate",
		  "error 1064 Getting syntax error at line 1, column 0, near 'frobnicate'" },
		{ "update t set a=1",
		  "error 1235 UPDATE is not supported by this version of Roost" },
		{ "delete from t", "error 1235 DELETE" },
		{ "'x'", "error 1064" },
		{ "use d", "use d" },
		{ "use default_catalog.d;", "use d" },
		{ "use hive.d", "error 1235" },
		{ "begin", "nothing" },
		{ "START TRANSACTION WITH CONSISTENT SNAPSHOT", "nothing" },
		{ "commit work", "nothing" },
		{ "rollback to x", "error 1064" },
		{ "kill 5", "kill 5" },
		{ "kill query 5", "kill query 5" },
		{ "kill x", "error 1064" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void definitions(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{ "create database if not exists d", "create_database d if" },
		{ "create schema d default character set utf8mb4", "create_database d" },
		{ "create database d e", "error 1064" },
		{ "drop database if exists d force", "drop_database d if force" },
		{ "drop table d.t", "drop_table d.t" },
		{ "drop table a, b", "error 1235" },
		{ "drop view v", "error 1235 DROP VIEW" },
		{ "truncate table t", "truncate_table t" },
		{ "create warehouse w", "error 1235 CREATE WAREHOUSE" },
		{ "create warehouse if not exists default_warehouse",
		  "nothing default_warehouse if" },
		{ "create view v as select 1", "error 1235 CREATE VIEW" },
		{ "create table t (a int)",
		  "create_table t a:INTEGER/int keys=a dist= buckets=0 {}" },
		{ "CREATE TABLE IF NOT EXISTS `d`.`t` (k BIGINT NOT NULL COMMENT 'it''s', v "
		  "VARCHAR(20) "
		  "DEFAULT 'x', p decimal(10, 2) NULL DEFAULT -1.5, ts datetime default "
		  "current_timestamp, "
		  "s string) ENGINE=OLAP DUPLICATE KEY(k, `v`) COMMENT \"c\" DISTRIBUTED BY "
		  "HASH(k) BUCKETS 4 "
		  "ORDER BY (v) PROPERTIES (\"replication_num\" = \"1\", 'compression'=\"LZ4\");",
		  "create_table d.t if k:BIGINT/bigint! v:VARCHAR/varchar(20)=x "
		  "p:DECIMAL(10,2)/decimal(10,2)=-1.5 ts:TIMESTAMP/datetime=CURRENT_TIMESTAMP "
		  "s:VARCHAR/string keys=k,v dist=k buckets=4 "
		  "{\"compression\":\"LZ4\",\"replication_num\":\"1\"}" },
		{ "create table t (a boolean, b tinyint(4), c smallint, d largeint, e float, f "
		  "double, g date, "
		  "h char(3), i varbinary, j bool) distributed by random buckets 2",
		  "create_table t a:BOOLEAN/boolean b:TINYINT/tinyint c:SMALLINT/smallint "
		  "d:HUGEINT/largeint e:FLOAT/float f:DOUBLE/double g:DATE/date h:VARCHAR/char(3) "
		  "i:BLOB/varbinary j:BOOLEAN/boolean keys=a,b,c dist= buckets=2 {}" },
		{ "create table t (s varchar(5), a int)",
		  "create_table t s:VARCHAR/varchar(5) a:INTEGER/int keys=s dist= buckets=0 {}" },
		{ "create table t (d double, a int)",
		  "create_table t d:DOUBLE/double a:INTEGER/int keys= dist= buckets=0 {}" },
		{ "create table t", "error 1064" },
		{ "create table t ()", "error 1064" },
		{ "create table t (a)", "error 1064" },
		{ "create table t (a int, A bigint)", "error 1060 Duplicate column name 'A'" },
		{ "create table t (a text2)",
		  "error 1064 Getting syntax error at line 1, column 18" },
		{ "create table t (a json)", "error 1235 the type JSON" },
		{ "create table t (a array<int>)", "error 1235 the type ARRAY" },
		{ "create table t (a int unsigned)", "error 1235 UNSIGNED" },
		{ "create table t (a int auto_increment)", "error 1235 AUTO_INCREMENT" },
		{ "create table t (a int sum)", "error 1235" },
		{ "create table t (a decimal(39,2))", "error 1064" },
		{ "create table t (a decimal(5,6))", "error 1064" },
		{ "create table t (a int) primary key(a)",
		  "error 1235 CREATE TABLE ... PRIMARY KEY" },
		{ "create table t (a int) partition by (a)",
		  "error 1235 CREATE TABLE ... PARTITION BY" },
		{ "create table t (a int) engine=hive", "error 1235 ENGINE" },
		{ "create table t (a int) distributed by hash(b)",
		  "error 1064 Distribution column 'b'" },
		{ "create table t (a int, b int) duplicate key(b)",
		  "error 1064 Key columns should be" },
		{ "create table t (a double) duplicate key(a)",
		  "error 1064 Invalid data type of key" },
		{ "create table t (a int) distributed by hash(a) buckets 0", "error 1064" },
		{ "create table t (a int) distributed by hash(a) buckets 100000", "error 1064" },
		{ "create table t (a int) properties (a=b)", "error 1064" },
		{ "create table t like u", "error 1235" },
		{ "create table t as select 1", "error 1235" },
		{ "create external table t (a int)", "error 1235 CREATE EXTERNAL" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void assignments(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{ "set a = 1, global b = 'x', @@session.c := on, @@global.d = default, @u = @@e",
		  "set 0/0:a=0:1 0/1:b=0:x 0/0:c=0:on 0/1:d=2:default 1/0:u=3:e" },
		{ "SET NAMES utf8mb4 COLLATE utf8mb4_general_ci", "set 3/0:=0:utf8mb4" },
		{ "set character set 'utf8'", "set 3/0:=0:utf8" },
		{ "SET character_set_results = NULL", "set 0/0:character_set_results=1:NULL" },
		{ "set password = password('x')", "set 2/0:=0:x" },
		{ "set password for root@'%' = '*AA'", "set 2/0:root=0:*AA#" },
		{ "set password for 'root' = PASSWORD('y')", "set 2/0:root=0:y" },
		{ "set sql_mode = concat(@@sql_mode, 'x')", "error 1235" },
		{ "set a", "error 1064" },
		{ "set a = -5", "set 0/0:a=0:-5" },
		{ "set session transaction isolation level read committed", "nothing" },
		{ "set role all", "error 1235 SET ROLE" },
		{ "set catalog default_catalog", "nothing default_catalog" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void administration(void **state)
{
	(void)state;
	static const struct parse_case cases[] = {
		{ "ALTER SYSTEM ADD BACKEND \"h:9050\"", "alter_system 0/0:h:9050" },
		{ "alter system add compute node 'a.b.c:9050', \"[::1]:9051\" into warehouse "
		  "default_warehouse",
		  "alter_system 0/1:a.b.c:9050 0/1:::1:9051" },
		{ "ALTER SYSTEM DROP COMPUTE NODE \"h:9050\" FROM WAREHOUSE default_warehouse",
		  "alter_system 1/1:h:9050" },
		{ "alter system drop backend 'h:1' force", "alter_system force 1/0:h:1" },
		{ "alter system decommission backend 'h:1'", "alter_system 2/0:h:1" },
		{ "cancel decommission backend 'h:1', 'i:2'", "alter_system 3/0:h:1 3/0:i:2" },
		{ "alter system add backend 'h'", "error 1064 Invalid host port: 'h'" },
		{ "alter system add backend 'root@h:9050'",
		  "error 1064 Invalid host port: 'root@h:9050'" },
		{ "alter system add compute node 'http://h:9050'",
		  "error 1064 Invalid host port: 'http://h:9050'" },
		{ "alter system add compute node 'h h:9050'",
		  "error 1064 Invalid host port: 'h h:9050'" },
		{ "alter system drop compute node '-h:9050'",
		  "error 1064 Invalid host port: '-h:9050'" },
		{ "alter system add backend 'h:0'", "error 1064" },
		{ "alter system add backend 'h:70000'", "error 1064" },
		{ "alter system add backend '::1:9050'", "error 1064" },
		{ "alter system add backend ':9050'", "error 1064" },
		{ "alter system add backend h:9050", "error 1064" },
		{ "alter system add backend", "error 1064" },
		{ "alter system add follower 'h:9010'", "error 1235 more than one front end" },
		{ "alter system add observer 'h:9010'", "error 1235" },
		{ "alter system drop compute node 'h:1' from warehouse w",
		  "error 1064 Warehouse name: w" },
		{ "alter system decommission compute node 'h:1'", "error 1235" },
		{ "alter table t add column a int", "error 1235 ALTER TABLE" },
		{ "show databases like 'a%'", "show db= name= like=a% where=0 limit=-1" },
		{ "SHOW FULL TABLES FROM `d` WHERE table_type != 'VIEW'",
		  "show full db=d name= like= where=1 limit=-1" },
		{ "show full columns from t from d like '%'",
		  "show full db=d name=t like=% where=0 limit=-1" },
		{ "show create table d.t", "show db=d name=t like= where=0 limit=-1" },
		{ "show global variables where variable_name = 'a' or variable_name in ('b', 'c') "
		  "and not "
		  "(value is null)",
		  "show db= name= like= where=1 limit=-1" },
		{ "show load from d limit 5", "show db=d name= like= where=0 limit=5" },
		{ "show columns", "error 1064" },
		{ "show variables where a", "error 1064" },
		{ "show frobs", "error 1235 SHOW frobs" },
		{ "show", "error 1064" },
		{ "show tables from d x", "error 1064" },
	};
	check(cases, ARRAY_LEN(cases));
}

static void likes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *pattern;
		bool want;
	} cases[] = {
		{ "abc", "abc", true },
		{ "abc", "ABC", true },
		{ "abc", "a%", true },
		{ "abc", "%c", true },
		{ "abc", "%b%", true },
		{ "abc", "a_c", true },
		{ "abc", "_", false },
		{ "abc", "", false },
		{ "", "", true },
		{ "", "%", true },
		{ "a_c", "a\\_c", true },
		{ "abc", "a\\_c", false },
		{ "aXbXc", "a%b%c", true },
		{ "aaab", "%aab", true },
		{ "abc", "a%d", false },
		{ "100%", "100\\%", true },
		{ "1000", "100\\%", false },
		{ "mississippi", "%iss%ip%", true },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (sql_like(str_of(cases[i].text), str_of(cases[i].pattern)) != cases[i].want)
			fail_msg("'%s' LIKE '%s'", cases[i].text, cases[i].pattern);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queries_and_inserts),
		cmocka_unit_test(definitions),
		cmocka_unit_test(assignments),
		cmocka_unit_test(administration),
		cmocka_unit_test(likes),
	};
	return cmocka_run_group_tests_name("engine/sql/statement", tests, NULL, NULL);
}

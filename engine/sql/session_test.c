#include <pthread.h>

#include "engine/sql/session_test.h"

static void selects_that_need_no_node(void **state)
{
	struct fixture *f = *state;
	check(f, "select 1", "1\n1\n");
	check(f, "SELECT @@version_comment LIMIT 1",
	      "@@version_comment\nRoost (StarRocks' dialect)\n");
	check(f, "select -5 as a, 'it''s' b, null, true, 1.50 `c d`",
	      "a,b,null,true,c d\n-5,it's,NULL,1,1.50\n");
	check(f,
	      "select database(), version(), current_version(), user(), current_user(), "
	      "connection_id()",
	      "database(),version(),current_version(),user(),current_user(),connection_id()\n"
	      "NULL,8.0.33-roost-0.1.0,roost-0.1.0,'root'@'10.0.0.1','root'@'%',7\n");
	check(f, "select @@session.autocommit, @@global.wait_timeout, @@tx_isolation from dual",
	      "@@session.autocommit,@@global.wait_timeout,@@tx_isolation\n1,28800,REPEATABLE-"
	      "READ\n");
	check(f, "select 1 limit 0", "1\n");
	check(f, "select @@nonsense", "error 1193 Unknown system variable 'nonsense'");
	/* Connector/J's. */
	check_has(f,
	          "/* mysql-connector-j-8.3.0 */SELECT  @@session.auto_increment_increment AS "
	          "auto_increment_increment, @@character_set_client AS character_set_client, "
	          "@@character_set_connection AS character_set_connection, @@character_set_results "
	          "AS "
	          "character_set_results, @@character_set_server AS character_set_server, "
	          "@@collation_server AS collation_server, @@collation_connection AS "
	          "collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS "
	          "interactive_timeout, @@license AS license, @@lower_case_table_names AS "
	          "lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, "
	          "@@net_write_timeout AS net_write_timeout, @@performance_schema AS "
	          "performance_schema, @@sql_mode AS sql_mode, @@system_time_zone AS "
	          "system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS "
	          "transaction_isolation, @@wait_timeout AS wait_timeout",
	          ",28800\n");
	static const char *const others[] = { "select 1 + 1",
		                              "select 1e5",
		                              "select 0x10",
		                              "select count(*) from t",
		                              "select 1 union select 2",
		                              "values (1)",
		                              "select 'a' 'b'",
		                              "select upper('x')" };
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		check(f, others[i], "OK 0 planned");
		autofree char *want = xasprintf("|root|0|%s", others[i]);
		assert_string_equal(planned.p, want);
	}
}

static void variables(void **state)
{
	struct fixture *f = *state;
	check(f, "set query_timeout = 9, @x = 'y', autocommit=off", "OK 0 ");
	check(f, "select @@query_timeout, @x, @@autocommit, @nothing",
	      "@@query_timeout,@x,@@autocommit,@nothing\n9,y,0,NULL\n");
	check(f, "set query_timeout = default", "OK 0 ");
	check(f, "set global query_timeout = 77", "OK 0 ");
	check(f, "show variables like 'query_timeou%'", "Variable_name,Value\nquery_timeout,77\n");
	check(f, "set @old = @@sql_mode, sql_mode = 'ANSI_QUOTES'", "error 1231");
	check(f, "set @old = @@sql_mode, sql_mode = 'PIPES_AS_CONCAT', sql_mode = @old", "OK 0 ");
	check(f, "show variables where Variable_name = 'sql_mode' or variable_name = 'language'",
	      "Variable_name,Value\nlanguage,en\nsql_mode,ONLY_FULL_GROUP_BY\n");
	check(f, "show variables where nope = 1", "error 1054 Unknown column 'nope'");
	check(f, "set nonsense = 1", "error 1193");
	check(f, "set version = 'x'", "error 1238");
	check(f, "set query_timeout = 'soon'", "error 1232");
	check(f, "set query_timeout = 0", "error 1231");
	check(f, "set autocommit = maybe", "error 1231");
	check(f, "set names gbk", "error 1115");
	check(f, "set names utf8", "OK 0 ");
	check(f, "select @@character_set_results", "@@character_set_results\nutf8\n");
	check(f, "set sql_dialect = 'trino'", "error 1235");
	sql_session_reset(f->s);
	check(f, "select @@character_set_results, @x",
	      "@@character_set_results,@x\nutf8mb4,NULL\n");
	assert_int_equal(sql_session_int(f->s, "query_timeout", 1), 77);
	assert_int_equal(sql_session_int(f->s, "sql_mode", 5), 5);
}

static void passwords(void **state)
{
	struct fixture *f = *state;
	char hash[SQL_PASSWORD_HASH_MAX];
	assert_true(sql_server_password(&f->server, "root", hash));
	assert_string_equal(hash, "");
	assert_false(sql_server_password(&f->server, "other", hash));
	check(f, "set password = password('mypass')", "OK 0 ");
	assert_true(sql_server_password(&f->server, "root", hash));
	assert_string_equal(hash, "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4");
	check(f, "set password for root = ''", "OK 0 ");
	assert_true(sql_server_password(&f->server, "root", hash));
	assert_string_equal(hash, "");
	check(f, "set password for other = password('x')", "error 1133");
	check(f, "set password = 'plain'", "error 1372");
}

static void tables(void **state)
{
	struct fixture *f = *state;
	check(f, "create table t (a int)", "error 1046 No database selected");
	check(f, "create database d", "OK 0 ");
	check(f, "create database d", "error 1007");
	check(f, "create database if not exists d", "OK 0 ");
	check(f, "use nope", "error 1049 Unknown database 'nope'");
	check(f, "use d", "OK 0 ");
	check(f, "create table t (a int)",
	      "error 1064 Table replication num should be less than or equal to the number of "
	      "available");
	check(f, "alter system add backend 'be-1.svc:9050'", "OK 0 ");
	check(f, "alter system add backend 'be-2.svc:9050'", "OK 0 ");
	struct meta *m = f->server.meta;
	meta_rdlock(m);
	int64_t one = meta_node_at(m, META_BE, "be-1.svc", 9050)->id;
	int64_t two = meta_node_at(m, META_BE, "be-2.svc", 9050)->id;
	meta_rdunlock(m);
	add_node(META_BE, one, true);
	add_node(META_BE, two, true);
	check(f,
	      "create table t (k bigint not null, v varchar(20) default 'it\"s', d decimal(10,2)) "
	      "distributed by hash(k) buckets 3 order by (v) properties('replication_num'='1')",
	      "OK 0 ");
	meta_rdlock(m);
	const struct meta_table *t = meta_table(m, "d", "t");
	assert_non_null(t);
	assert_int_equal(t->n_tablets, 3);
	/* Spread over the least loaded. */
	assert_int_equal(t->tablets[0].replicas[0], one);
	assert_int_equal(t->tablets[1].replicas[0], two);
	assert_int_equal(t->tablets[2].replicas[0], one);
	meta_rdunlock(m);
	check(f, "create table t (a int)", "error 1050");
	check(f, "create table if not exists t (a int)", "OK 0 ");
	check(f, "create table u (a int)", "OK 0 ");
	check_has(f, "show create table u", "BUCKETS 2");
	check_has(f, "show create table u", "\"replication_num\" = \"2\"");
	check(f, "create table w (a int) properties('replication_num'='3')", "error 1064");
	check(f, "create table w (a int) properties('nope'='3')", "error 1064 Unknown properties");
	check(f, "create table w (a int) properties('storage_volume'='builtin_storage_volume')",
	      "error 1064 storage_volume");
	f->server.s3_json = "{}";
	check(f, "create table w (a int) properties('storage_volume'='builtin_storage_volume')",
	      "OK 0 ");
	check(f, "show tables", "Tables_in_d\nt\nu\nw\n");
	check(f, "show full tables like 't'", "Tables_in_d,Table_type\nt,BASE TABLE\n");
	check(f, "desc t",
	      "Field,Type,Null,Key,Default,Extra\nk,bigint,NO,true,NULL,\n"
	      "v,varchar(20),YES,true,it\"s,\nd,decimal(10,2),YES,false,NULL,\n");
	check(f, "show create table t",
	      "Table,Create Table\nt,CREATE TABLE `t` (\n  `k` bigint NOT NULL,\n  `v` varchar(20) "
	      "NULL "
	      "DEFAULT \"it\\\"s\",\n  `d` decimal(10,2) NULL\n) ENGINE=OLAP\nDUPLICATE KEY(`k`, "
	      "`v`)\n"
	      "DISTRIBUTED BY HASH(`k`) BUCKETS 3\nORDER BY(`v`)\nPROPERTIES (\n"
	      "\"replication_num\" = \"1\"\n);\n");
	check(f, "desc nope", "error 1146 Table 'd.nope' doesn't exist");
	check(f, "show columns from x.t", "error 1049");
	check_has(f, "insert into t (k) values (1)", "OK 7 {'label':'insert_");
	check(f, "truncate table t", "OK 0 ");
	check(f, "drop table w", "OK 0 ");
	check(f, "drop table w", "error 1051");
	check(f, "drop table if exists w", "OK 0 ");
	check(f, "drop database information_schema", "error 1044");
	check(f, "drop database d", "OK 0 ");
	assert_string_equal(sql_session_db(f->s), "");
}

static void what_show_create_says_can_be_run(void **state)
{
	struct fixture *f = *state;
	add_node(META_BE, 1, true);
	check(f, "alter system add backend 'be-1.svc:9050'", "OK 0 ");
	meta_rdlock(f->server.meta);
	nodes[0].id = meta_node_at(f->server.meta, META_BE, "be-1.svc", 9050)->id;
	meta_rdunlock(f->server.meta);
	check(f, "create database d", "OK 0 ");
	check(f, "use d", "OK 0 ");
	check(f,
	      "create table `a b` (`k 1` bigint comment 'it''s \\\"k\\\"', s string not null "
	      "default 'x\\\\y', t datetime "
	      "default "
	      "current_timestamp) comment 'c\"d' properties('compression'='LZ4')",
	      "OK 0 ");
	autofree char *first = ran(f, "show create table `a b`");
	check(f, "drop table `a b`", "OK 0 ");
	check(f, strstr(first, "CREATE TABLE `"), "OK 0 ");
	autofree char *second = ran(f, "show create table `a b`");
	assert_string_equal(first, second);
	assert_non_null(strstr(first, " COMMENT \"it's \\\"k\\\"\""));
	autofree char *full = ran(f, "show full columns from `a b`");
	assert_non_null(strstr(full, "it's \"k\""));
}

static void inserts(void **state)
{
	struct fixture *f = *state;
	check(f, "insert into t values (1)", "error 1046");
	check(f, "insert into d.t with label l (a, b) values (1, 2)",
	      "OK 7 {'label':'l', 'status':'VISIBLE'}");
	assert_string_equal(planned.p, "d.t|2a|values (1, 2)|l");
	autofree char *got = ran(f, "insert into d.t select 1");
	assert_string_equal(planned.p, "d.t|0|select 1|made");
	check(f, "explain select 1", "OK 0 planned");
	assert_string_equal(planned.p, "|root|1|select 1");
}

struct runner {
	struct fixture *f;
	uint32_t id;
};

static void *run_many(void *arg)
{
	struct runner *r = arg;
	struct fixture own = { .server = r->f->server };
	struct err err = ERR_INIT;
	assert_int_equal(sql_session_new(&r->f->server, r->id, "root", "p:1", &own.s, &err), 0);
	for (int i = 0; i < 50; i++) {
		free(ran(&own, "show processlist"));
		free(ran(&own, "set global query_timeout = 10"));
		autofree char *kill = xasprintf("kill query %u", 100u + (unsigned)i % 4);
		free(ran(&own, kill));
	}
	sql_session_free(own.s);
	return NULL;
}

static void sessions_meet(void **state)
{
	struct fixture *f = *state;
	struct runner runners[4];
	pthread_t threads[4];
	for (uint32_t i = 0; i < 4; i++) {
		runners[i] = (struct runner){ f, 100 + i };
		assert_int_equal(pthread_create(&threads[i], NULL, run_many, &runners[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	check(f, "kill 100", "error 1094 Unknown thread id: 100");
	check(f, "set password = password('secret')", "OK 0 ");
	autofree char *list = ran(f, "show full processlist");
	assert_null(strstr(list, "secret"));
	assert_non_null(strstr(list, "7,root,10.0.0.1:555,,Query,"));
	assert_false(sql_session_killed(f->s, false));
	check(f, "kill 7", "OK 0 ");
	assert_true(sql_session_killed(f->s, true));
	struct sql_stats stats;
	sql_connections_stats(f->server.connections, &stats);
	assert_int_equal(stats.connections, 1);
	assert_true(stats.statements > 400);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(selects_that_need_no_node, setup, teardown),
		cmocka_unit_test_setup_teardown(variables, setup, teardown),
		cmocka_unit_test_setup_teardown(passwords, setup, teardown),
		cmocka_unit_test_setup_teardown(tables, setup, teardown),
		cmocka_unit_test_setup_teardown(what_show_create_says_can_be_run, setup, teardown),
		cmocka_unit_test_setup_teardown(inserts, setup, teardown),
		cmocka_unit_test_setup_teardown(sessions_meet, setup, teardown),
	};
	return cmocka_run_group_tests_name("engine/sql/session", tests, NULL, NULL);
}

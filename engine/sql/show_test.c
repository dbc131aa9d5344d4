#include "engine/sql/session_test.h"

static void membership(void **state)
{
	struct fixture *f = *state;
	check(f, "alter system add backend 'be-1.svc:9050'", "OK 0 ");
	check(f, "alter system add backend 'be-1.svc:9050'",
	      "error 1064 Same backend already exists[be-1.svc:9050]");
	check(f, "alter system add compute node 'be-1.svc:9050'",
	      "error 1064 Same backend already exists");
	check(f, "alter system add compute node 'cn-1.svc:9050', 'cn-2.svc:9050'", "OK 0 ");
	check(f, "alter system add compute node 'cn-3.svc:9050', 'cn-2.svc:9050'",
	      "error 1064 Same compute");
	struct meta *m = f->server.meta;
	meta_rdlock(m);
	assert_null(meta_node_at(m, META_CN, "cn-3.svc", 9050));
	int64_t be = meta_node_at(m, META_BE, "be-1.svc", 9050)->id;
	int64_t cn = meta_node_at(m, META_CN, "cn-2.svc", 9050)->id;
	meta_rdunlock(m);
	add_node(META_BE, be, true);
	add_node(META_CN, cn, false);
	check(f, "alter system drop compute node 'cn-9.svc:9050'",
	      "error 1064 compute node does not exists[cn-9.svc:9050]");
	check(f, "create database d", "OK 0 ");
	check(f, "create table d.t (a int)", "OK 0 ");
	check(f, "alter system drop backend 'be-1.svc:9050'",
	      "error 1064 Tables such as [d.t] on the backend[be-1.svc:9050] have only one "
	      "replica");
	check(f, "alter system decommission backend 'be-1.svc:9050'", "OK 0 ");
	meta_rdlock(m);
	assert_true(meta_node_by_id(m, be)->decommissioned);
	meta_rdunlock(m);
	check(f, "cancel decommission backend 'be-1.svc:9050'", "OK 0 ");
	meta_rdlock(m);
	assert_false(meta_node_by_id(m, be)->decommissioned);
	meta_rdunlock(m);
	check(f, "alter system drop backend 'be-1.svc:9050' force", "OK 0 ");
	check(f,
	      "alter system drop compute node \"cn-2.svc:9050\" from warehouse default_warehouse",
	      "OK 0 ");
	/* Columns in the contract's order, no NULL anywhere. */
	char cells[512];
	(void)snprintf(
		cells, sizeof(cells),
		"\n%d,be-%d.svc,9050,9060,8040,8060,2023-11-14 22:13:20,2023-11-14 22:13:21,true,"
		"false,false,0,0.000 B,500.000 B,1000.000 B,50.00 %%,50.00 %%,,v1,{",
		(int)be, (int)be);
	check_has(f, "show backends", cells);
	check_has(f, "show proc '/backends'", cells);
	(void)snprintf(
		cells, sizeof(cells),
		"%d,cn-%d.svc,9050,9060,8040,8060,2023-11-14 22:13:20,2023-11-14 22:13:21,false,"
		"false,false,connection refused,v1,4,0,25.00 %%,0.0 %%,true,0,%d,"
		"default_warehouse,0\n",
		(int)cn, (int)cn, (int)cn);
	check_has(f, "show compute nodes", cells);
	autofree char *fe = ran(f, "show frontends");
	assert_non_null(strstr(
		fe, "Name,IP,EditLogPort,HttpPort,QueryPort,RpcPort,Role,ClusterId,Join,Alive,"
		    "ReplayedJournalId,LastHeartbeat,IsHelper,ErrMsg,StartTime,Version\n"
		    "fe-0.svc_9010_1700000000000,fe-0.svc,9010,8030,9030,9020,LEADER,"));
	static const char *const all[] = { "show frontends", "show backends",
		                           "show compute nodes" };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		autofree char *got = ran(f, all[i]);
		assert_null(strstr(got, "NULL"));
	}
	check(f, "show proc '/nope'", "error 1064");
}

static void every_show_answers(void **state)
{
	static const char *const all[] = {
		"show databases",
		"show schemas",
		"show table status",
		"show engines",
		"show storage engines",
		"show collation",
		"show character set",
		"show charset",
		"show warnings",
		"show errors",
		"show status",
		"show processlist",
		"show full processlist",
		"show running queries",
		"show load",
		"show resource groups",
		"show storage volumes",
		"show warehouses",
		"show catalogs",
		"show grants",
		"show grants for root",
		"show plugins",
		"show privileges",
		"show proc '/'",
		"show procedure status where db = 'd'",
		"show function status",
		"show triggers from d",
		"show events",
		"show create database d",
		"show tablet from t",
		"show index from t",
		"show full columns from t",
		"show session variables",
		"show all resource groups",
		"show table status from d like 't'",
	};
	struct fixture *f = *state;
	add_node(META_BE, 1, true);
	check(f, "alter system add backend 'be-1.svc:9050'", "OK 0 ");
	meta_rdlock(f->server.meta);
	nodes[0].id = meta_node_at(f->server.meta, META_BE, "be-1.svc", 9050)->id;
	meta_rdunlock(f->server.meta);
	check(f, "create database d", "OK 0 ");
	check(f, "use d", "OK 0 ");
	check(f, "create table t (a int, b varchar(5))", "OK 0 ");
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		autofree char *got = ran(f, all[i]);
		if (strncmp(got, "error", 5) == 0 || !strchr(got, '\n'))
			fail_msg("%s: %s", all[i], got);
		/* As many cells as columns in each row. */
		size_t columns = 0, cells = 0;
		for (const char *c = got; *c && *c != '\n'; c++)
			columns += *c == ',';
		const char *row = strchr(got, '\n') + 1;
		for (const char *c = row; *c && *c != '\n' && *row != '\0'; c++)
			cells += *c == ',';
		if (*row && cells < columns)
			fail_msg("%s: %zu columns, %zu cells: %s", all[i], columns + 1, cells + 1,
			         got);
	}
	check(f, "show grants for nobody", "error 1141");
	check(f, "show running queries",
	      "QueryId,ResourceGroupId,StartTime,PendingTimeout,QueryTimeout,State,Slots,Frontend,"
	      "FeStartTime\nq1,default_wg,,1970-01-01 00:05:00,1970-01-01 "
	      "00:05:00,PENDING,2,fe-0.svc,"
	      "2023-11-14 22:13:20\n");
}

static void information_schema(void **state)
{
	struct fixture *f = *state;
	add_node(META_BE, 1, true);
	check(f, "alter system add backend 'be-1.svc:9050'", "OK 0 ");
	meta_rdlock(f->server.meta);
	nodes[0].id = meta_node_at(f->server.meta, META_BE, "be-1.svc", 9050)->id;
	meta_rdunlock(f->server.meta);
	check(f, "create database d", "OK 0 ");
	check(f, "create table d.t (a int, b varchar(5) not null, c decimal(9,3))", "OK 0 ");
	check(f, "create table d.u (a int)", "OK 0 ");
	check(f, "use d", "OK 0 ");
	check(f,
	      "select table_name, TABLE_TYPE as k, 'x' from information_schema.tables t where "
	      "t.table_schema = database() order by 1 desc",
	      "table_name,k,'x'\nu,BASE TABLE,x\nt,BASE TABLE,x\n");
	check(f,
	      "select column_name, data_type, column_type, ordinal_position, numeric_precision, "
	      "is_nullable from INFORMATION_SCHEMA.columns where table_schema='d' and table_name "
	      "in "
	      "('t') order by ordinal_position",
	      "column_name,data_type,column_type,ordinal_position,numeric_precision,is_nullable\n"
	      "a,int,int,1,10,YES\nb,varchar,varchar(5),2,NULL,NO\nc,decimal,decimal(9,3),3,9,"
	      "YES\n");
	check(f, "select schema_name from information_schema.schemata",
	      "schema_name\ninformation_schema\nd\n");
	check(f, "select count(*) from information_schema.tables where table_schema = 'd'",
	      "count(*)\n2\n");
	check(f, "select distinct table_schema from information_schema.columns limit 1 offset 0",
	      "table_schema\nd\n");
	check(f, "select * from information_schema.views",
	      "TABLE_CATALOG,TABLE_SCHEMA,TABLE_NAME,"
	      "VIEW_DEFINITION,CHECK_OPTION,IS_UPDATABLE,"
	      "DEFINER,SECURITY_TYPE,CHARACTER_SET_CLIENT,"
	      "COLLATION_CONNECTION\n");
	check(f, "select t.* from information_schema.schemata t where schema_name like 'D' limit 1",
	      "CATALOG_NAME,SCHEMA_NAME,DEFAULT_CHARACTER_SET_NAME,DEFAULT_COLLATION_NAME,SQL_"
	      "PATH\n"
	      "def,d,utf8,utf8_general_ci,NULL\n");
	check(f, "select nope from information_schema.tables", "error 1054 Unknown column 'nope'");
	check(f, "select table_name from information_schema.tables where nope = 1", "error 1054");
	check(f, "select table_name from information_schema.nope", "error 1109");
	check(f, "use information_schema", "OK 0 ");
	check(f, "select table_name from tables where table_schema = 'd'", "table_name\nt\nu\n");
	check_has(f, "show tables", "key_column_usage\n");
	check_has(f, "desc tables", "TABLE_ROWS,bigint,YES");
	check(f, "select * from d.t", "OK 0 planned");
}

static void information_schema_beyond_the_small_select(void **state)
{
	struct fixture *f = *state;
	check(f, "create database d", "OK 0 ");
	check(f, "use d", "OK 0 ");
	check(f,
	      "select upper(SPECIFIC_NAME) from information_schema.routines where 1=1 having x in "
	      "('y') order "
	      "by 1 limit 2",
	      "OK 0 planned");
	assert_string_equal(
		planned.p,
		"d|root|0|SELECT * FROM (select upper(CAST(SPECIFIC_NAME AS VARCHAR)) from  "
		"(SELECT * FROM (VALUES "
		"(CAST(NULL AS "
		"VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), "
		"CAST(NULL AS "
		"VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), "
		"CAST(NULL AS "
		"VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR))) "
		"AS "
		"v(`SPECIFIC_NAME`, `ROUTINE_CATALOG`, `ROUTINE_SCHEMA`, `ROUTINE_NAME`, "
		"`ROUTINE_TYPE`, "
		"`DATA_TYPE`, `ROUTINE_DEFINITION`, `SQL_DATA_ACCESS`, `CREATED`, `LAST_ALTERED`, "
		"`ROUTINE_COMMENT`, `DEFINER`) WHERE 1 = 0) AS `routines`  where 1=1 order by 1 ) "
		"AS h WHERE  x "
		"in ('y')  limit 2");
	check(f,
	      "select case when a.CATALOG_NAME='def' then 1 end from "
	      "default_catalog.information_schema.schemata "
	      "a, t",
	      "OK 0 planned");
	assert_string_equal(planned.p, "d|root|0|select case when a.CATALOG_NAME='def' then 1 end "
	                               "from  (SELECT * FROM (VALUES (CAST('def' AS "
	                               "VARCHAR), CAST('information_schema' AS VARCHAR), "
	                               "CAST('utf8' AS VARCHAR), CAST('utf8_general_ci' "
	                               "AS VARCHAR), CAST(NULL AS VARCHAR)), ('def', 'd', 'utf8', "
	                               "'utf8_general_ci', NULL)) AS "
	                               "v(`CATALOG_NAME`, `SCHEMA_NAME`, "
	                               "`DEFAULT_CHARACTER_SET_NAME`, `DEFAULT_COLLATION_NAME`, "
	                               "`SQL_PATH`))  a, t");
	check(f, "select upper(lower((1)) || f(2)), g() from information_schema.views v",
	      "OK 0 planned");
	assert_non_null(strstr(
		planned.p,
		"select upper(CAST(lower(CAST((1) AS VARCHAR)) || f(2) AS VARCHAR)), g() from "));
	check(f, "select upper((select x from information_schema.views)), 2", "OK 0 planned");
	assert_non_null(strstr(planned.p, "AS `views` ) AS VARCHAR)), 2"));
	check(f, "select upper(x) from information_schema.nope", "error 1109");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(membership, setup, teardown),
		cmocka_unit_test_setup_teardown(every_show_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(information_schema, setup, teardown),
		cmocka_unit_test_setup_teardown(information_schema_beyond_the_small_select, setup,
		                                teardown),
	};
	return cmocka_run_group_tests_name("engine/sql/show", tests, NULL, NULL);
}

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/admit/admit.h"
#include "engine/cluster/cluster.h"
#include "engine/sql/connections.h"
#include "engine/sql/query.h"
#include "engine/sql/session.h"
#include "lib/base/fd.h"
#include "lib/base/vec.h"

/* The catalog is the real one; the cluster, the queue and the planner are these. */
static struct cluster_node nodes[8];
static size_t n_nodes;
static struct buf planned = BUF_INIT(1 << 20);

size_t cluster_nodes(struct cluster *c, unsigned roles, struct cluster_node *out, size_t max)
{
	size_t n = 0;
	(void)c;
	for (size_t i = 0; i < n_nodes && n < max; i++) {
		if (roles & 1u << nodes[i].role)
			out[n++] = nodes[i];
	}
	return n;
}

bool cluster_node(struct cluster *c, int64_t id, struct cluster_node *out)
{
	(void)c;
	for (size_t i = 0; i < n_nodes; i++) {
		if (nodes[i].id == id) {
			*out = nodes[i];
			return true;
		}
	}
	return false;
}

void cluster_kick(struct cluster *c)
{
	(void)c;
}

int cluster_can_decommission(struct cluster *c, int64_t node, struct err *err)
{
	(void)c;
	return node == 0 ? err_set(err, SQL_ERR(1064), "no") : 0;
}

size_t admit_queries(struct admit *a, struct admit_query *out, size_t max)
{
	(void)a;
	if (!max)
		return 0;
	*out = (struct admit_query){
		.query_id = "q1", .group = "default_wg", .pending = true, .slots = 2
	};
	return 1;
}

int sql_query_run(const struct sql_query_context *cx, struct str sql, enum sql_query_kind kind,
                  struct sql_sink *sink, struct err *err)
{
	buf_reset(&planned);
	(void)buf_addf(&planned, "%s|%s|%d|%.*s", cx->db, cx->user, kind, STR_ARG(sql));
	return sink->ok(sink, 0, "planned", err);
}

int sql_query_insert(const struct sql_query_context *cx, const char *db, const char *table,
                     const char *const *columns, size_t n, struct str query, const char *label,
                     uint64_t *ret_rows, struct err *err)
{
	(void)cx;
	(void)err;
	buf_reset(&planned);
	(void)buf_addf(&planned, "%s.%s|%zu%s|%.*s|%s", db, table, n, n ? columns[0] : "",
	               STR_ARG(query), strncmp(label, "insert_", 7) == 0 ? "made" : label);
	*ret_rows = 7;
	return 0;
}

/* A sink that writes what it hears: "a,b\n1,NULL\n" or "OK 7 info". */
struct text_sink {
	struct sql_sink sink;
	struct buf out;
};

static int on_columns(struct sql_sink *sink, const struct sql_column *columns, size_t n,
                      struct err *err)
{
	struct buf *b = &((struct text_sink *)sink)->out;
	(void)err;
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s%s", i ? "," : "", columns[i].name);
	return buf_addc(b, '\n');
}

static int on_row(struct sql_sink *sink, const struct sql_cell *cells, size_t n, struct err *err)
{
	struct buf *b = &((struct text_sink *)sink)->out;
	(void)err;
	for (size_t i = 0; i < n; i++)
		(void)buf_addf(b, "%s%.*s", i ? "," : "", cells[i].p ? (int)cells[i].len : 4,
		               cells[i].p ? cells[i].p : "NULL");
	return buf_addc(b, '\n');
}

static int on_done(struct sql_sink *sink, struct err *err)
{
	(void)sink;
	(void)err;
	return 0;
}

static int on_ok(struct sql_sink *sink, uint64_t rows, const char *info, struct err *err)
{
	(void)err;
	return buf_addf(&((struct text_sink *)sink)->out, "OK %d %s", (int)rows, info ? info : "");
}

static bool on_cancelled(struct sql_sink *sink)
{
	(void)sink;
	return false;
}

struct fixture {
	char dir[64];
	struct sql_server server;
	struct sql_session *s;
};

static void add_node(enum meta_role role, int64_t id, bool alive)
{
	struct cluster_node *n = &nodes[n_nodes++];
	*n = (struct cluster_node){ .id = id,
		                    .role = role,
		                    .heartbeat_port = 9050,
		                    .be_port = 9060,
		                    .http_port = 8040,
		                    .brpc_port = 8060,
		                    .alive = alive,
		                    .cpu_cores = 4,
		                    .mem_limit = 2048,
		                    .mem_used = 512,
		                    .disk_total = 1000,
		                    .disk_avail = 500,
		                    .start_ts = 1700000000000,
		                    .last_heartbeat_ts = 1700000001000 };
	(void)snprintf(n->host, sizeof(n->host), "%s-%d.svc", role == META_BE ? "be" : "cn",
	               (int)id);
	(void)snprintf(n->version, sizeof(n->version), "v1");
	if (!alive)
		(void)snprintf(n->error, sizeof(n->error), "connection refused");
}

static char *ran(struct fixture *f, const char *sql)
{
	struct text_sink t = { .sink = { .columns = on_columns,
		                         .row = on_row,
		                         .done = on_done,
		                         .ok = on_ok,
		                         .cancelled = on_cancelled },
		               .out = BUF_INIT(1 << 20) };
	struct err err = ERR_INIT;
	int rc = sql_session_run(f->s, str_of(sql), &t.sink, &err);
	if (rc < 0) {
		buf_reset(&t.out);
		(void)buf_addf(&t.out, "error %d %s", sql_err_no(rc), err.msg);
	}
	return buf_take(&t.out);
}

static void check(struct fixture *f, const char *sql, const char *want)
{
	autofree char *got = ran(f, sql);
	bool prefix = strncmp(want, "error", 5) == 0;
	if (prefix ? strncmp(got, want, strlen(want)) : strcmp(got, want))
		fail_msg("%s\n got: %s\nwant: %s", sql, got, want);
}

static void check_has(struct fixture *f, const char *sql, const char *part)
{
	autofree char *got = ran(f, sql);
	if (!strstr(got, part))
		fail_msg("%s\n got: %s\nwant: …%s…", sql, got, part);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err err = ERR_INIT;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/roost-sql-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	if (meta_open(f->dir, &f->server.meta, &err) < 0)
		fail_msg("%s", err.msg);
	f->server.fe_host = "fe-0.svc";
	f->server.http_port = 8030;
	f->server.rpc_port = 9020;
	f->server.query_port = 9030;
	f->server.edit_log_port = 9010;
	f->server.start_ts = 1700000000000;
	f->server.version = "8.0.33-roost-0.1.0";
	f->server.connections = sql_connections_new();
	assert_int_equal(sql_session_new(&f->server, 7, "root", "10.0.0.1:555", &f->s, &err), 0);
	n_nodes = 0;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	sql_session_free(f->s);
	sql_connections_free(f->server.connections);
	meta_close(f->server.meta);
	(void)fd_rm_rf(f->dir, NULL);
	free(f);
	buf_free(&planned);
	return 0;
}

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
	check(f, "set @old = @@sql_mode, sql_mode = 'ANSI', sql_mode = @old", "OK 0 ");
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
	      "create table `a b` (`k 1` bigint, s string not null default 'x\\\\y', t datetime "
	      "default "
	      "current_timestamp) comment 'c\"d' properties('compression'='LZ4')",
	      "OK 0 ");
	autofree char *first = ran(f, "show create table `a b`");
	check(f, "drop table `a b`", "OK 0 ");
	check(f, strstr(first, "CREATE TABLE `"), "OK 0 ");
	autofree char *second = ran(f, "show create table `a b`");
	assert_string_equal(first, second);
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
	check(f, "select max(table_name) from information_schema.tables",
	      "error 1235 information_schema");
	check(f,
	      "select 1 from information_schema.tables a join information_schema.columns b on 1=1",
	      "error 1235");
	check(f, "select * from t, (select * from information_schema.tables) x", "error 1");
	check(f, "use information_schema", "OK 0 ");
	check(f, "select table_name from tables where table_schema = 'd'", "table_name\nt\nu\n");
	check_has(f, "show tables", "key_column_usage\n");
	check_has(f, "desc tables", "TABLE_ROWS,bigint,YES");
	check(f, "select * from d.t", "OK 0 planned");
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
		cmocka_unit_test_setup_teardown(membership, setup, teardown),
		cmocka_unit_test_setup_teardown(every_show_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(information_schema, setup, teardown),
		cmocka_unit_test_setup_teardown(sessions_meet, setup, teardown),
	};
	return cmocka_run_group_tests_name("engine/sql/session", tests, NULL, NULL);
}

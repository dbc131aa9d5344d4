"""MySQL clients against roost-fe: what they send when they connect, and what they must see."""

import concurrent.futures
import os
import socket
import subprocess
import threading
import time

import pymysql
import pytest

from engine_fixture import Engine


@pytest.fixture(scope="module")
def engine():
    """One FE without workers: whatever a client asks before its first query must work."""
    with Engine(be=0) as e:
        yield e


def cli(engine, *args, stdin=None):
    argv = ["mysql", "--no-defaults", "-h", "127.0.0.1", "-P", str(engine.query_port), "-u", "root", *args]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60)


def fails_with(errno, engine, statement, **options):
    with pytest.raises(pymysql.MySQLError) as caught:
        engine.sql(statement, **options)
    assert caught.value.args[0] == errno, caught.value
    return caught.value.args[1]


def test_pymysql(engine):
    connection = engine.connect(charset="utf8mb4", autocommit=True)
    assert connection.get_server_info().startswith("8.0.33-roost")
    connection.ping(reconnect=False)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s AS a, %s, %s", (1, "it's \\ ü", None))
        assert cursor.fetchall() == ((1, "it's \\ ü", None),)
        assert [d[0] for d in cursor.description][0] == "a"
        cursor.execute("SELECT CONNECTION_ID()")
        assert cursor.fetchone()[0] == connection.thread_id()
    connection.begin()
    connection.commit()
    connection.rollback()
    connection.close()


def test_errors_have_their_numbers(engine):
    assert "no_such" in fails_with(1049, engine, "SELECT 1", database="no_such")
    assert "near 'frob x'" in fails_with(1064, engine, "frob x")
    fails_with(1045, engine, "SELECT 1", user="nobody")
    fails_with(1045, engine, "SELECT 1", password="wrong")
    fails_with(1193, engine, "SET no_such_variable = 1")
    fails_with(1235, engine, "UPDATE t SET a = 1")
    fails_with(1046, engine, "SHOW TABLES")
    fails_with(1065, engine, "-- nothing")


def test_mysql_cli(engine):
    done = cli(engine, "-N", "-B", "-e", "CREATE DATABASE IF NOT EXISTS cli; SHOW DATABASES; SELECT DATABASE()", "-D",
               "information_schema")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["cli", "information_schema", "information_schema"]
    done = cli(engine, "-e", "SELECT 1; frob; SELECT 2")
    assert done.returncode == 1 and "1" in done.stdout and "2" not in done.stdout
    assert "ERROR 1064 (42000)" in done.stderr
    # Names for completion are read with COM_FIELD_LIST; the status asks for variables and COM_STATISTICS.
    done = cli(engine, "--auto-rehash", "-D", "information_schema", stdin="status\nselect version();\n")
    assert done.returncode == 0, done.stderr
    assert "8.0.33-roost" in done.stdout and "Uptime:" in done.stdout and "Threads:" in done.stdout
    done = cli(engine, "-D", "nope", "-e", "SELECT 1")
    assert done.returncode == 1 and "ERROR 1049 (42000)" in done.stderr


CONNECTOR_J = """/* mysql-connector-j-8.3.0 (Revision: x) */SELECT  @@session.auto_increment_increment AS
auto_increment_increment, @@character_set_client AS character_set_client, @@character_set_connection AS
character_set_connection, @@character_set_results AS character_set_results, @@character_set_server AS
character_set_server, @@collation_server AS collation_server, @@collation_connection AS collation_connection,
@@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license,
@@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS
net_write_timeout, @@performance_schema AS performance_schema, @@query_cache_size AS query_cache_size,
@@query_cache_type AS query_cache_type, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS
time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout"""


@pytest.mark.parametrize("traffic", [
    [CONNECTOR_J, "SET NAMES utf8mb4", "SET character_set_results = NULL", "SET autocommit=1",
     "SHOW VARIABLES WHERE Variable_name ='language' OR Variable_name = 'net_write_timeout'", "SHOW WARNINGS",
     "SELECT @@session.transaction_read_only", "SHOW FULL TABLES FROM `information_schema` LIKE '%'",
     "SHOW COLLATION", "/* ping */ SELECT 1", "rollback"],
    ["SET NAMES utf8", "SELECT @@max_allowed_packet", "SELECT VERSION()", "SELECT CURRENT_VERSION()",
     "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION", "COMMIT"],
    ["SELECT @@version_comment LIMIT 1", "SELECT DATABASE()", "SHOW ENGINES", "SHOW PLUGINS", "SHOW CHARSET",
     "SELECT * FROM information_schema.schemata", "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.tables "
     "WHERE TABLE_SCHEMA = 'information_schema' AND TABLE_TYPE IN ('SYSTEM VIEW','BASE TABLE') ORDER BY TABLE_NAME",
     "SELECT * FROM information_schema.columns WHERE table_schema='x' AND table_name='y' ORDER BY ORDINAL_POSITION",
     "SELECT * FROM information_schema.key_column_usage", "SELECT * FROM information_schema.routines",
     "SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'", "SHOW STATUS", "SHOW PROCESSLIST"],
], ids=["connector-j", "sqlalchemy", "tools"])
def test_what_clients_send_when_they_connect(engine, traffic):
    connection = engine.connect()
    with connection.cursor() as cursor:
        for statement in traffic:
            cursor.execute(statement)
            rows = cursor.fetchall()
            if statement == CONNECTOR_J:
                values = dict(zip([d[0] for d in cursor.description], rows[0]))
                assert values["wait_timeout"] == 28800 and values["lower_case_table_names"] == 0
    connection.close()


def test_several_statements_and_large_packets(engine):
    multi = pymysql.constants.CLIENT.MULTI_STATEMENTS
    connection = engine.connect(client_flag=multi)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; SET @a = 'x'; SELECT @a")
        assert cursor.fetchall() == ((1,),)
        assert cursor.nextset() and cursor.nextset()
        assert cursor.fetchall() == (("x",),)
        assert not cursor.nextset()
    # The largest statement there is goes in two parts.
    text = "y" * (16 * 1024 * 1024 - len("SELECT ''"))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT '{text}'")
        assert cursor.fetchone()[0] == text
        with pytest.raises(pymysql.MySQLError) as caught:
            cursor.execute(f"SELECT '{text}yy'")
        assert caught.value.args[0] == 1064
        cursor.execute("SELECT 1")
    connection.close()


def test_passwords(engine):
    engine.sql("SET PASSWORD = PASSWORD('new \"secret\"')")
    try:
        fails_with(1045, engine, "SELECT 1")
        fails_with(1045, engine, "SELECT 1", password="new")
        assert engine.sql("SELECT 1", password='new "secret"') == ((1,),)
        # Clients that open with MySQL 8's default method are switched to the one we have.
        done = cli(engine, '-pnew "secret"', "--default-auth=caching_sha2_password", "-NBe", "SELECT 5")
        assert done.stdout == "5\n", done.stderr
        assert "secret" not in engine.processes["fe"].tail(1000)
    finally:
        engine.sql("SET PASSWORD FOR root = ''", password='new "secret"')
    assert engine.sql("SELECT 1") == ((1,),)


def test_kill_and_processlist(engine):
    victim = engine.connect()
    listed = {row[0]: row for row in engine.sql("SHOW FULL PROCESSLIST")}
    assert listed[victim.thread_id()][1] == "root" and listed[victim.thread_id()][4] == "Sleep"
    engine.sql(f"KILL {victim.thread_id()}")
    with pytest.raises(pymysql.MySQLError):
        victim.cursor().execute("SELECT 1")
    engine.wait("it left the list",
                lambda: victim.thread_id() not in [r[0] for r in engine.sql("SHOW PROCESSLIST")])
    fails_with(1094, engine, "KILL 999999")


def test_membership_statements(engine):
    engine.sql('ALTER SYSTEM ADD COMPUTE NODE "cn-0.cn-search.ns.svc.cluster.local:9050"')
    message = fails_with(1064, engine, 'ALTER SYSTEM ADD COMPUTE NODE "cn-0.cn-search.ns.svc.cluster.local:9050"')
    assert "already exists" in message
    engine.sql('ALTER SYSTEM ADD BACKEND "be-0.be-search.ns.svc.cluster.local:9050"')
    node = engine.nodes("cn")[0]
    assert list(node) == (
        "ComputeNodeId IP HeartbeatPort BePort HttpPort BrpcPort LastStartTime LastHeartbeat Alive "
        "SystemDecommissioned ClusterDecommissioned ErrMsg Version CpuCores NumRunningQueries MemUsedPct CpuUsedPct "
        "HasStoragePath StarletPort WorkerId WarehouseName TabletNum").split()
    assert node["IP"] == "cn-0.cn-search.ns.svc.cluster.local" and node["WarehouseName"] == "default_warehouse"
    assert None not in node.values() and node["Alive"] == "false"
    backend = engine.nodes("be")[0]
    assert len(backend) == 29 and None not in backend.values() and backend["TabletNum"] == "0"
    frontend = engine.rows("SHOW FRONTENDS")[0]
    assert frontend["Role"] == "LEADER" and list(frontend)[1] == "IP" and None not in frontend.values()
    # The operator's words for scale-in.
    engine.sql('ALTER SYSTEM DROP COMPUTE NODE "cn-0.cn-search.ns.svc.cluster.local:9050" '
               "FROM WAREHOUSE default_warehouse")
    engine.sql('ALTER SYSTEM DROP BACKEND "be-0.be-search.ns.svc.cluster.local:9050"')
    assert engine.nodes("cn") == [] and engine.nodes("be") == []


def test_strangers_do_no_harm(engine):
    for said in (b"GET / HTTP/1.1\r\n\r\n", b"\xff\xff\xff\x01", b"\x00" * 64, os.urandom(512)):
        with socket.create_connection(("127.0.0.1", engine.query_port), timeout=15) as s:
            try:
                s.sendall(said)
                s.shutdown(socket.SHUT_WR)
                while s.recv(4096):
                    pass
            except OSError as error:
                # It may have closed already, with bytes unread.
                assert not isinstance(error, TimeoutError), said
    assert engine.sql("SELECT 1") == ((1,),)


def test_many_sessions_at_once(engine):
    def session(i):
        connection = engine.connect()
        with connection.cursor() as cursor:
            for n in range(20):
                cursor.execute(f"SELECT {n}, CONNECTION_ID()")
                assert cursor.fetchone() == (n, connection.thread_id())
        connection.close()
        return i

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        assert sorted(pool.map(session, range(200))) == list(range(200))


def test_limit_of_connections_and_a_graceful_end():
    with Engine(be=0, fe_conf="qe_max_connection = 3") as e:
        e.wait("the probe's connections are gone", lambda: len(e.sql("SHOW PROCESSLIST")) == 1)
        # Each may come before the end of the one before it is known.
        held = [e.wait("room", e.connect) for _ in range(3)]
        fails_with(1040, e, "SELECT 1")
        held.pop().close()
        e.wait("room again", lambda: e.sql("SELECT 1") == ((1,),))
        # Idle sessions do not hold the end up.
        start = time.monotonic()
        assert e.processes["fe"].stop() == 0
        assert time.monotonic() - start < 10
        with pytest.raises(pymysql.MySQLError):
            held[0].cursor().execute("SELECT 1")


def test_the_catalog_outlives_the_process():
    with Engine(be=0) as e:
        e.sql("CREATE DATABASE kept")
        e.sql("SET GLOBAL query_timeout = 123")
        e.processes["fe"].popen.kill()
        e.processes["fe"].popen.wait(10)
        e.start_fe()
        assert ("kept",) in e.sql("SHOW DATABASES")
        assert e.sql("SELECT @@query_timeout") == ((123,),)


def test_tables_rows_and_kill_query():
    with Engine(be=1, cn=1) as e:
        e.sql("CREATE DATABASE d")
        e.sql("CREATE TABLE d.t (k BIGINT NOT NULL COMMENT 'whose', v VARCHAR(20), x DOUBLE, p DECIMAL(10,2), day DATE, ts DATETIME) "
              "DISTRIBUTED BY HASH(k) BUCKETS 2")
        assert e.sql("SELECT COLUMN_COMMENT FROM information_schema.columns WHERE TABLE_SCHEMA = 'd' AND COLUMN_NAME IN ('k', 'v') "
                     "ORDER BY ORDINAL_POSITION") == (("whose",), ("",))
        assert [r["Comment"] for r in e.rows("SHOW FULL COLUMNS FROM d.t")][:2] == ["whose", ""]
        fails_with(1629, e, f"CREATE TABLE d.u (k BIGINT COMMENT '{'x' * 1025}')")
        assert [r["Field"] for r in e.rows("DESC d.t")] == ["k", "v", "x", "p", "day", "ts"]
        assert sum(int(n["TabletNum"]) for n in e.nodes("be")) == 2
        e.sql("INSERT INTO d.t VALUES (1, 'one', 1.5, 1.25, '2024-02-29', '2024-02-29 01:02:03'), "
              "(2, NULL, NULL, NULL, NULL, NULL)")
        rows = e.sql("SELECT k, v, x, p, day, ts FROM d.t ORDER BY k")
        assert rows[1] == (2, None, None, None, None, None)
        assert rows[0][:3] == (1, "one", 1.5) and str(rows[0][3]) == "1.25"
        assert str(rows[0][4]) == "2024-02-29" and str(rows[0][5]) == "2024-02-29 01:02:03"
        assert [int(n) for n in e.sql("SELECT count(*), sum(k) FROM d.t")[0]] == [2, 3]
        message = fails_with(1064, e, f'ALTER SYSTEM DROP BACKEND "{e.addresses["be0"]}"')
        assert "have only one replica" in message
        assert "CREATE TABLE `t`" in e.sql("SHOW CREATE TABLE d.t")[0][1]

        # What JDBC's metadata calls send goes beyond the small SELECT that needs no node.
        assert e.sql("SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, TABLE_NAME, CASE WHEN "
                     "TABLE_TYPE='BASE TABLE' THEN 'TABLE' ELSE TABLE_TYPE END AS TABLE_TYPE FROM "
                     "INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'd' HAVING TABLE_TYPE IN ('TABLE','VIEW') "
                     "ORDER BY TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME") == (("d", None, "t", "TABLE"),)
        assert e.sql("SELECT a.COLUMN_NAME, UPPER(a.DATA_TYPE) FROM information_schema.columns a JOIN "
                     "information_schema.tables b ON a.TABLE_NAME = b.TABLE_NAME AND a.TABLE_SCHEMA = b.TABLE_SCHEMA "
                     "WHERE b.TABLE_SCHEMA = 'd' ORDER BY a.ORDINAL_POSITION LIMIT 2") == (
                         ("k", "BIGINT"), ("v", "VARCHAR"))

        # A query that takes long is ended from another session.
        for i in range(10):
            e.sql(f"INSERT INTO d.t SELECT k + {2 ** (i + 1)}, v, x, p, day, ts FROM d.t")
        victim = e.connect()
        seen = []

        def run():
            try:
                victim.cursor().execute("SELECT sum(a.k * b.k) FROM d.t a, d.t b, d.t c WHERE a.k <> b.k AND b.k <> c.k")
            except pymysql.MySQLError as error:
                seen.append(error.args[0])

        thread = threading.Thread(target=run)
        thread.start()
        e.wait("it runs", lambda: any(r[0] == victim.thread_id() and r[4] == "Query"
                                      for r in e.sql("SHOW PROCESSLIST")))
        time.sleep(0.5)
        e.sql(f"KILL QUERY {victim.thread_id()}")
        thread.join(30)
        assert seen == [1317]
        victim.close()
        e.sql("TRUNCATE TABLE d.t")
        assert e.sql("SELECT count(*) FROM d.t") == ((0,),)
        e.sql("DROP TABLE d.t")

"""Who may ask for what: the node-to-node token on every message of engine/rpc.h, MySQL users, hostile statements that
must not reach a file, a setting or another session and must not take a process down, secrets that must not be logged,
and what the programs say about bad input."""

import base64
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pymysql
import pytest

from engine_fixture import BUILD, REPO, free_ports
from faults_fixture import Faulty, call, child_of

PASSWORD = "canary-of-root-5e1f"
TOKEN = "canary-of-nodes-" + "a7" * 16
HEX = "0123456789abcdef" * 2


def messages():
    """(port's key, method, path) of every message in engine/rpc.h: a new one is tested from its first day."""
    port, found = None, []
    for line in (REPO / "engine/rpc.h").read_text().splitlines():
        if section := re.match(r" \* == .*: (heartbeat|brpc|rpc)_port", line):
            port = section[1]
        elif message := re.match(r" \* (GET|POST|PUT|DELETE)\s+(/rpc/v1/\S+)", line):
            path = re.sub(r"\{(query|rowset)\}", HEX, message[2].split("?")[0])
            found.append((port, message[1], re.sub(r"\{\w+\}", "1", path)))
    return found


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN + "\n")
    own = f"roost_token_file = {token}"
    with Faulty(be=1, cn=1, fe_conf=f"{own}\nroost_load_needs_token = true", worker_conf=own) as e:
        e.sql("CREATE DATABASE d")
        e.sql("CREATE TABLE d.t (k BIGINT NOT NULL, v VARCHAR(20)) DISTRIBUTED BY HASH(k) BUCKETS 2")
        e.sql("CREATE TABLE d.b (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 1 "
              "PROPERTIES ('storage_volume' = 'builtin_storage_volume')")
        e.sql("INSERT INTO d.t VALUES (1, 'one'), (2, 'two')")
        e.sql("INSERT INTO d.b VALUES (5), (6)")
        yield e


def ports(engine, kind):
    if kind == "rpc":
        return [engine.rpc_port]
    key = {"heartbeat": "heartbeat_service_port", "brpc": "brpc_port"}[kind]
    return [int(engine.conf(name)[key]) for name in ("be0", "cn0")]


def state(engine):
    """What a message could change: files of the workers, loads, membership, drains."""
    files = sorted(str(p) for name in ("be0", "cn0") for p in (engine.folder / name / "data").rglob("*") if p.is_file())
    nodes = [(r["IP"], r["HeartbeatPort"], r["Alive"], r["ErrMsg"]) for role in ("be", "cn") for r in engine.nodes(role)]
    return files, nodes, engine.sql("SHOW LOAD FROM d"), engine.sql("SELECT count(*) FROM d.t")


def bodies(engine, path):
    """A body that would do something if it were let through."""
    tablet = pathlib.Path(next(p for p in (engine.folder / "be0/data").rglob("*") if p.is_file()))
    known = {
        "/rpc/v1/heartbeat": {"cluster_id": 4711, "node_id": 1, "fe": "127.0.0.1:1", "ts": 0},
        "/rpc/v1/tablets/keep": {"tablets": [], "grace_ms": 0},
        "/rpc/v1/node/draining": {"node_id": int(engine.nodes("be")[0]["BackendId"]), "role": "be", "draining": True},
        "/rpc/v1/load/begin": {"db": "d", "table": "t", "label": "forged", "user": "root", "password": "", "bytes": 1,
                               "columns": [], "timeout_ms": 1000, "worker": "127.0.0.1:1"},
        "/rpc/v1/tablets/clone": {"tablet": 1, "rowsets": [], "from": str(tablet)},
    }
    return json.dumps({"v": 1, **known.get(path, {})})


@pytest.mark.parametrize("kind,method,path", messages(), ids=lambda x: x)
def test_messages_need_the_token(engine, kind, method, path):
    before = state(engine)
    body = bodies(engine, path)
    for port in ports(engine, kind):
        for given in (None, "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN[:-1]}8",
                      f"Bearer {TOKEN}x", f"Bearer {TOKEN.upper()}", f"Basic {TOKEN}", TOKEN):
            headers = {} if given is None else {"Authorization": given}
            status, _, text = call(port, method, path, body, {**headers, "X-Roost-Crc": "00000000"})
            assert status == 401, (given, status, text)
            assert TOKEN not in text
        assert call(port, method, f"{path}?token={TOKEN}", body)[0] == 401
        # The path is one that is served; with the token it is the message that is refused, not the caller.
        if path != "/rpc/v1/drain":
            status, _, text = call(port, method, path, '{"v":99}', {"Authorization": f"Bearer {TOKEN}"})
            assert status != 401 and "not know" not in text and '"error"' in text or status == 200, (status, text)
    assert state(engine) == before


def test_messages_are_all_known():
    assert len(messages()) >= 14 and {m[0] for m in messages()} == {"heartbeat", "brpc", "rpc"}


def test_the_web_ports_do_not_serve_messages(engine):
    for port in (engine.http_port, int(engine.conf("be0")["be_http_port"]), int(engine.conf("cn0")["be_http_port"])):
        for _, method, path in messages():
            assert call(port, method, path, "{}")[0] in (401, 404, 405), path


def test_the_load_document(engine):
    assert call(engine.http_port, "GET", "/api/roost/load")[0] == 401
    assert call(engine.http_port, "GET", "/api/roost/load", headers={"Authorization": "Bearer wrong"})[0] == 401
    status, _, body = call(engine.http_port, "GET", "/api/roost/load", headers={"Authorization": f"Bearer {TOKEN}"})
    assert status == 200 and json.loads(body)["v"] == 1
    # Probes need no secret.
    for port in (engine.http_port, int(engine.conf("be0")["be_http_port"])):
        assert call(port, "GET", "/api/health")[0] == 200 and call(port, "GET", "/metrics")[0] == 200


def test_users(engine):
    for options in ({"user": "nobody"}, {"user": "root", "password": "x"}, {"user": "root'@'%"},
                    {"user": "x" * 200}):
        with pytest.raises(pymysql.MySQLError) as caught:
            engine.sql("SELECT 1", **options)
        assert caught.value.args[0] == 1045, (options, caught.value)
    answer = engine.stream_load("d", "t", "3\tthree\n", password="wrong")
    assert answer["http"] == 401 and answer["Status"] == "Fail"
    # A worker asks the FE as well: going around the redirect helps nobody.
    answer = engine.stream_load("d", "t", "3\tthree\n", password="wrong", port=int(engine.conf("be0")["be_http_port"]))
    assert answer["http"] == 401 and answer["Status"] == "Fail"
    assert engine.scalar("SELECT count(*) FROM d.t") == 2


def put(port, password, expect, body=b""):
    """What a peer hears that sends a load's head and, without waiting, the body."""
    basic = base64.b64encode(f"root:{password}".encode()).decode()
    head = (f"PUT /api/d/t/_stream_load HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\n"
            f"Content-Length: {len(body) or 10}\r\n" + ("Expect: 100-continue\r\n" if expect else "") + "\r\n")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(head.encode())
        try:
            for at in range(0, len(body), 1 << 16):
                s.sendall(body[at:at + (1 << 16)])
        except OSError:
            pass  # the answer came in the middle, and then the end
        try:
            return s.recv(65536).decode()
        except ConnectionResetError:
            return ""


def test_a_load_body_waits_for_the_password(engine):
    """Neither is a stranger invited to send, nor does what they send uninvited reach the disk."""
    def spooled():
        return [p for name in ("be0", "cn0") for p in (engine.folder / name / "spill").rglob("*") if p.is_file()]
    seen, over = [], threading.Event()
    for name in ("be0", "cn0"):
        port = int(engine.conf(name)["be_http_port"])
        assert put(port, "wrong", True).startswith("HTTP/1.1 401 ")
        assert put(port, "", True).startswith("HTTP/1.1 100 ")

        def look():
            while not over.is_set():
                seen.extend(spooled())
                time.sleep(0.005)
        engine.wait("the load that broke off is gone", lambda: not spooled())
        watch = threading.Thread(target=look)
        watch.start()
        answer = put(port, "wrong", False, b"3\tthree\n" * (4 << 20))
        over.set()
        watch.join()
        over.clear()
        assert answer == "" or answer.startswith("HTTP/1.1 401 "), answer
        assert not seen
    assert put(engine.http_port, "wrong", True).startswith("HTTP/1.1 401 ")
    # What broke off has let go of its label at once.
    engine.wait("no load is running", lambda: "RUNNING" not in str(engine.sql("SHOW LOAD FROM d")))
    assert engine.scalar("SELECT count(*) FROM d.t") == 2


REFUSED = [
    "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM read_csv_auto('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM `/etc/passwd`", "SELECT * FROM read_text('/etc/passwd')", "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')", "SELECT * FROM read_parquet('/tmp/*')", "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT * FROM parquet_metadata('/tmp/x')", "SELECT getenv('HOME')",
    "SELECT GETENV ('HOME')", "SELECT * FROM duckdb_settings()", "SELECT * FROM duckdb_logs()",
    "SELECT * FROM duckdb_secrets()", "SELECT * FROM duckdb_temporary_files()", "SELECT * FROM duckdb_tables()",
    "SELECT * FROM pragma_database_list()", "SELECT * FROM pragma_version()", "SELECT current_setting('memory_limit')",
    "SELECT * FROM query('SELECT 1')", "SELECT * FROM query_table('t')", "SELECT * FROM query_table(['d.t'])",
    "SELECT * FROM enable_logging('QueryLog')", "SELECT * FROM disable_logging()", "SELECT * FROM checkpoint()",
    "SELECT * FROM force_checkpoint()", "SELECT * FROM truncate_duckdb_logs()", "CALL enable_logging()",
    "SELECT * FROM (SELECT * FROM read_text('/etc/passwd')) x", "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "WITH x AS (SELECT * FROM query('SELECT 1')) SELECT * FROM x", "SELECT 1 UNION SELECT getenv('HOME')",
    "SELECT k FROM d.t WHERE v IN (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT k FROM d.t ORDER BY getenv('HOME')", "SELECT sum(k) OVER (ORDER BY getenv('HOME')) FROM d.t",
    "INSERT INTO d.t SELECT 1, content FROM read_text('/etc/passwd')", "INSERT INTO d.t VALUES (1, getenv('HOME'))",
    "COPY d.t TO '/tmp/out.csv'", "COPY (SELECT 1) TO '/tmp/out.csv'", "COPY d.t FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/x'", "IMPORT DATABASE '/tmp/x'", "ATTACH '/tmp/x.db'", "ATTACH ':memory:' AS m",
    "DETACH memory", "USE memory", "INSTALL httpfs", "LOAD httpfs", "LOAD '/tmp/x.duckdb_extension'", "FORCE INSTALL x",
    "PRAGMA database_list", "PRAGMA enable_profiling", "CHECKPOINT", "VACUUM", "CREATE SECRET s (TYPE s3)",
    "CREATE MACRO m() AS 1", "CREATE FUNCTION m() AS 1", "CREATE TYPE e AS ENUM ('x')", "CREATE SEQUENCE s",
    "CREATE TABLE d.x AS SELECT * FROM read_text('/etc/passwd')", "PREPARE p AS SELECT getenv('HOME')", "EXECUTE p",
    "SET memory_limit = '1TB'", "SET threads = 100", "SET GLOBAL enable_external_access = true",
    "SET lock_configuration = false", "SET allowed_directories = ['/']", "SET temp_directory = '/tmp'", "RESET ALL",
    "SET search_path = 'x'", "SET schema = 'x'", "SET VARIABLE x = 1", "SELECT getvariable('x')",
    "SELECT nextval('s')", "SELECT pg_sleep(100)", "SELECT load_extension('x')", "SELECT write_log('x')",
    "SELECT * FROM d.t AT (VERSION => 1)", "SELECT * FROM information_schema.character_sets, read_text('/etc/passwd')",
    "SELECT * FROM sqlite_master", "SELECT * FROM pg_catalog.pg_tables", "SELECT * FROM main.x", "SELECT * FROM temp.x",
    "SELECT LOAD_FILE('/etc/passwd')", "SELECT 'x' INTO OUTFILE '/tmp/x'", "SELECT * FROM FILES('path' = '/etc/passwd')",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE d.t", "SELECT add_parquet_key('k', 'x')",
    "FROM read_text('/etc/passwd')", "TABLE d.t", "DESCRIBE SELECT getenv('HOME')", "SUMMARIZE d.t",
    "SHOW TABLES; SELECT getenv('HOME')", "SELECT getenv('HOME') /*", "SELECT /*! getenv('HOME') */", "SELECT get\u0435nv('HOME')",
    "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')", "EXPLAIN SELECT * FROM read_text('/etc/passwd')",
    "SELECT \"getenv\"('HOME')", "SELECT `getenv`('HOME')", "SELECT main.getenv('HOME')", "SELECT system.main.getenv('HOME')",
    "SELECT 'HOME'.getenv()", "SELECT list_transform(['HOME'], x -> getenv(x))", "SELECT list_apply([1], lambda x: x)",
    "SELECT * FROM json_execute_serialized_sql('x')", "SELECT json_serialize_sql('SELECT 1')", "SELECT * FROM test_all_types()",
    "SELECT * FROM seq_scan('d')", "SELECT * FROM arrow_scan(1, 2, 3)", "SELECT * FROM arrow_scan_dumb(1, 2, 3)",
    "SELECT * FROM repeat_row(1, num_rows = 100000000000)", "SELECT * FROM which_secret('x', 'y')",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_hostile_statements_are_refused(engine, statement):
    with pytest.raises(pymysql.MySQLError) as caught:
        print(engine.sql(statement))
    number, message = caught.value.args
    assert 1000 <= number < 6000 and "root:" not in message and os.environ.get("HOME", "/root") not in message, caught.value
    assert number not in (1105, 2006, 2013), caught.value


SECONDS = 120  # for any of them, on a busy machine
HUGE = {
    "parentheses": "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "parentheses, open": "SELECT " + "(" * 100_000,
    "brackets": "SELECT " + "[" * 50_000 + "1" + "]" * 50_000,
    "case": "SELECT " + "CASE WHEN 1=1 THEN " * 20_000 + "1" + " END" * 20_000,
    "not": "SELECT " + "NOT " * 100_000 + "TRUE",
    "minus": "SELECT " + "- " * 100_000 + "1",
    "subqueries": "SELECT * FROM " + "(SELECT * FROM " * 900 + "d.t" + ") x" * 900,
    "sums of 900": "SELECT " + "+".join(["1"] * 900),
    "sums of 100k": "SELECT " + "+".join(["1"] * 100_000),
    "ands of 900": "SELECT count(*) FROM d.t WHERE " + " AND ".join(["k > 0"] * 900),
    "list of 100k": "SELECT count(*) FROM d.t WHERE k IN (" + ",".join(map(str, range(100_000))) + ")",
    "functions of 900": "SELECT " + "abs(" * 900 + "1" + ")" * 900,
    "sums of 150": "SELECT " + "+".join(["k"] * 150) + " FROM d.t",
    "casts of 150": "SELECT " + "cast(" * 150 + "k" + " AS BIGINT)" * 150 + " FROM d.t",
    "arguments of 20k": "SELECT concat(" + ",".join(["v"] * 20_000) + ") FROM d.t",
    "list of 10k": "SELECT count(*) FROM d.t WHERE k IN (" + ",".join(map(str, range(10_000))) + ")",
    "unions of 900": " UNION ALL ".join(["SELECT 1"] * 900),
    "joins of 100": "SELECT count(*) FROM d.t t0 " + " ".join(f"JOIN d.t t{i} ON t{i}.k = t0.k" for i in range(1, 101)),
    "joins of 200": "SELECT count(*) FROM d.t t0 " + " ".join(f"JOIN d.t t{i} ON t{i}.k = t0.k" for i in range(1, 200)),
    "columns of 20k": "SELECT " + ",".join(["k"] * 20_000) + " FROM d.t",
    "quote, open": "SELECT '" + "x" * 1_000_000,
    "comments": "SELECT 1 " + "/* x */" * 100_000,
    "name": "SELECT * FROM `" + "x" * 100_000 + "`",
    "zero byte": "SELECT 'a\0b', k FROM d.t",
    "not utf-8": b"SELECT '\xff\xfe\x80', k FROM d.t",
    "repeat 2e9": "SELECT length(repeat('a', 2000000000))",
    "repeat 2e9 of rows": "SELECT length(repeat(v, 2000000000)) FROM d.t",
    "repeat in repeat": "SELECT length(repeat(repeat(v, 100000), 100000)) FROM d.t",
    "lpad": "SELECT length(lpad(v, 2000000000, 'x')) FROM d.t",
    "range": "SELECT len(range(2000000000))",
    "range of rows": "SELECT count(*) FROM d.t WHERE len(range(k * 1000000000)) > 5",
    "group_concat": ("SELECT length(group_concat(repeat(a.v, 1000000))) FROM d.t a, d.t b, d.t c, d.t d, d.t e, d.t f, d.t g, "
                     "d.t h, d.t i, d.t j, d.t k"),
    "regexp": "SELECT regexp_like(repeat('a', 1000), '(((a+)+)+)+$b') FROM d.t",
}


@pytest.mark.parametrize("name", HUGE)
def test_huge_statements_are_bounded(engine, name):
    """Answered or refused within a bound; FE with its parser, BE and CN are the processes that they were, and the next
    query works."""
    statement = HUGE[name]
    pids = {n: p.popen.pid for n, p in engine.processes.items()}
    parser = child_of(pids["fe"], "roost-duck")
    connection = engine.connect(read_timeout=SECONDS, autocommit=True)
    start = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET query_timeout = 4")
            try:
                # Bytes that are no text go as they are.
                connection._execute_command(pymysql.constants.COMMAND.COM_QUERY,
                                            statement if isinstance(statement, bytes) else statement.encode())
                connection._read_query_result()
            except pymysql.MySQLError as error:
                # 1105 would be a failure of ours instead of a refusal.
                assert error.args[0] in (1046, 1064, 1116, 1117, 3024), error
    finally:
        connection.close()
    assert time.monotonic() - start < SECONDS
    for n, process in engine.processes.items():
        assert process.alive() and process.popen.pid == pids[n], f"{n} ended:\n{process.tail()}"
    assert child_of(pids["fe"], "roost-duck") == parser, \
        "the parser, which all sessions share, was lost:\n" + engine.processes["fe"].tail(30)
    rss = max(int(pathlib.Path(f"/proc/{p.popen.pid}/statm").read_text().split()[1]) * 4096 for n, p in engine.processes.items()
              if n != "s3")
    assert rss < 1 << 30, f"{rss >> 20} MB resident"
    engine.wait("the next query works", lambda: engine.sql("SELECT sum(k) FROM d.t") and engine.sql("SELECT sum(k) FROM d.b"))


def test_secrets_are_in_no_log(engine):
    engine.sql(f"SET PASSWORD = PASSWORD('{PASSWORD}')")
    try:
        assert engine.sql("SELECT count(*) FROM d.t", password=PASSWORD)
        with pytest.raises(pymysql.MySQLError):
            engine.sql(f"SET PASSWORD FOR root = PASSWORD('{PASSWORD}' frob", password=PASSWORD)
        assert engine.stream_load("d", "b", "7\n", password=PASSWORD)["Status"] == "Success"
        assert engine.stream_load("d", "nope", "7\n", password=PASSWORD)["Status"] == "Fail"
        assert engine.stream_load("d", "b", "x\n", password=PASSWORD)["Status"] == "Fail"
        processes = engine.sql("SHOW FULL PROCESSLIST", password=PASSWORD)
        page = call(engine.http_port, "GET", "/api/roost/ui")[2] + call(engine.http_port, "GET", "/metrics")[2]
        variables = repr(engine.sql("SHOW VARIABLES", password=PASSWORD)) + repr(processes) + page
    finally:
        engine.sql("SET PASSWORD = ''", password=PASSWORD)
    conf = engine.conf("fe")
    secrets = {"password": PASSWORD, "token": TOKEN, "key of the bucket": conf["aws_s3_secret_key"]}
    texts = {str(p): p.read_text(errors="replace") for p in engine.folder.rglob("*") if p.is_file() and
             (p.suffix == ".log" or "error_log" in p.parts) and p.name != "s3.log"}
    assert len(texts) >= 3
    for name, process in engine.processes.items():
        for pid in filter(None, (process.popen.pid, child_of(process.popen.pid, "roost-duck"))):
            if name != "s3":
                texts[f"{name} {pid}"] = "".join(pathlib.Path(f"/proc/{pid}/{f}").read_text(errors="replace")
                                                 for f in ("cmdline", "environ"))
    texts["shown"] = variables
    for what, secret in secrets.items():
        for where, text in texts.items():
            assert secret not in text, f"the {what} is in {where}"


def test_secret_files_are_for_the_owner_alone(engine):
    for name in ("be0", "cn0", "meta"):
        mode = (engine.folder / name).stat().st_mode
        assert mode & 0o077 == 0, f"{name}: {mode:o}"


# ---- what the programs say about bad input ----

def program(*argv, env=None, timeout=20):
    environment = {k: v for k, v in os.environ.items() if k != "ROOST_TOKEN_FILE"}
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          env={**environment, **(env or {})})


def confs(folder):
    """fe.conf and be.conf that would start."""
    p = free_ports(8)
    (folder / "token").write_text("x" * 32)
    common = f"roost_bind_address = 127.0.0.1\nroost_token_file = {folder}/token\n"
    fe = common + f"http_port = {p[0]}\nrpc_port = {p[1]}\nquery_port = {p[2]}\nedit_log_port = {p[3]}\nmeta_dir = {folder}/meta\n"
    be = common + (f"be_port = {p[4]}\nbe_http_port = {p[5]}\nheartbeat_service_port = {p[6]}\nbrpc_port = {p[7]}\n"
                   f"storage_root_path = {folder}/storage\nmem_limit = 512M\n")
    return fe, be


def says_one_line(done, *words):
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode > 0, done
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])


@pytest.mark.parametrize("argv,word", [
    (["roost-fe", "--frob"], "--frob"), (["roost-be", "--frob"], "--frob"), (["roost-fe"], "--conf"),
    (["roost-be", "--role", "be"], "--conf"), (["roost-be", "--role", "frob", "--conf", "x"], "be or cn"),
    (["roost-be", "--conf", "x"], "--role"), (["roost-fe", "--conf"], "--conf"), (["roost-duck"], "--exec"),
    (["roost-fe", "--conf", "/nowhere/fe.conf"], "/nowhere/fe.conf"),
    (["roost-be", "--role", "cn", "--conf", "/nowhere/cn.conf"], "/nowhere/cn.conf"),
    (["roost-operator", "--frob"], "--frob"), (["roost-scaler", "--frob"], "--frob"),
], ids=lambda x: " ".join(x) if isinstance(x, list) else None)
def test_bad_flags(argv, word):
    done = program(BUILD / argv[0], *argv[1:])
    assert done.returncode > 0 and word in done.stderr.splitlines()[0], done


@pytest.mark.parametrize("which,line,words", [
    ("fe", "http_port = http", ("http_port",)), ("fe", "query_port = 70000", ("query_port", "65535")),
    ("fe", "qe_max_connection = 0", ("qe_max_connection",)), ("fe", "run_mode = frob", ("run_mode", "shared_data")),
    ("fe", "no equals sign", ("fe.conf",)), ("fe", "meta_dir =", ("meta_dir",)),
    ("fe", "roost_token_file = /nowhere/token", ("roost_token_file", "/nowhere/token")),
    ("fe", "roost_bind_address = frob", ("frob",)), ("fe", "query_timeout = -1", ("query_timeout",)),
    ("be", "brpc_port = 0", ("brpc_port", "65535")), ("be", "mem_limit = 1K", ("mem_limit", "256M")),
    ("be", "mem_limit = lots", ("mem_limit",)), ("be", "storage_root_path = here", ("storage_root_path", "absolute")),
    ("be", "storage_root_path = /proc/x", ("storage_root_path",)), ("be", "roost_slots = 0", ("roost_slots", "1024")),
    ("be", "roost_token_file =", ("roost_token_file",)), ("be", "roost_token_file = /nowhere/token", ("/nowhere/token",)),
    ("be", "roost_bind_address = frob", ("frob",)),
], ids=lambda x: x if isinstance(x, str) else None)
def test_bad_configuration(tmp_path, which, line, words):
    fe, be = confs(tmp_path)
    conf = tmp_path / f"{which}.conf"
    conf.write_text((fe if which == "fe" else be) + line + "\n")
    argv = ["roost-fe", "--conf", conf] if which == "fe" else ["roost-be", "--role", "be", "--conf", conf]
    says_one_line(program(BUILD / argv[0], *argv[1:]), *words)


@pytest.mark.parametrize("which,key", [("fe", "http_port"), ("fe", "rpc_port"), ("fe", "query_port"), ("be", "be_http_port"),
                                       ("be", "brpc_port"), ("be", "heartbeat_service_port")])
def test_a_port_in_use(tmp_path, which, key):
    fe, be = confs(tmp_path)
    conf = tmp_path / f"{which}.conf"
    conf.write_text(fe if which == "fe" else be)
    port = int(re.search(rf"^{key} = (\d+)", conf.read_text(), re.M)[1])
    argv = ["roost-fe", "--conf", conf] if which == "fe" else ["roost-be", "--role", "be", "--conf", conf]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        says_one_line(program(BUILD / argv[0], *argv[1:]), str(port), key.split("_")[0])


def test_without_a_token_only_loopback_is_bound(tmp_path):
    fe, be = confs(tmp_path)
    conf = tmp_path / "fe.conf"
    conf.write_text("\n".join(line for line in fe.splitlines() if not line.startswith("roost_")) + "\n")
    says_one_line(program(BUILD / "roost-fe", "--conf", conf), "token")
    conf.write_text("\n".join(line for line in be.splitlines() if not line.startswith("roost_")) + "\n")
    says_one_line(program(BUILD / "roost-be", "--role", "be", "--conf", conf), "token")


def test_without_its_executor_program(tmp_path):
    """A worker whose roost-duck is missing says so instead of failing every query later."""
    _, be = confs(tmp_path)
    conf = tmp_path / "be.conf"
    conf.write_text(be)
    shutil.copy(BUILD / "roost-be", tmp_path / "roost-be")
    says_one_line(program(tmp_path / "roost-be", "--role", "be", "--conf", conf), "roost-duck")


def test_a_damaged_catalog_is_not_started_from(tmp_path):
    fe, _ = confs(tmp_path)
    conf = tmp_path / "fe.conf"
    conf.write_text(fe)
    (tmp_path / "meta").write_text("a file, not a folder")
    says_one_line(program(BUILD / "roost-fe", "--conf", conf), "meta")

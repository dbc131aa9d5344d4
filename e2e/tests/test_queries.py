"""Queries through a MySQL client against FE, BE and CN processes, compared with DuckDB over the same rows: the planner's
golden cases, MySQL's dialect, errors, and queries while nodes die."""
import datetime
import decimal
import json
import math
import os
import random
import signal
import subprocess
import threading

import duckdb
import pymysql
import pytest

from engine_fixture import REPO, Engine, free_ports

DATA = REPO / "engine/plan/testdata"
CATALOG = json.loads((DATA / "catalog.json").read_text())
CASES = dict(line.split(": ", 1) for line in (DATA / "cases.txt").read_text().splitlines())
ROWS = {"fact": 3000, "dates": 30, "customer": 40, "part": 25, "sales": 900, "hollow": 0, "other": 300}
SEED = int(os.environ.get("ROOST_SEED", "7"))

# MySQL's spelling, and DuckDB's where that differs.
DIALECT = [
    ("select at, at + 1 offset from (select k at from fact where k < 3) glob order by at", "select k, k + 1 from fact where k < 3 order by k"),
    ("select k day, year(date '2020-01-01') year from fact where k = 4", "select 4, 2020"),
    ("select extract(month from date '2020-05-01'), date '2020-05-01' + interval 1 year from fact where k = 4", "select 5, timestamp '2021-05-01'"),
    ("select `k`, \"it's\" as 'a name' from fact where k < 3 order by `k`", "select k, 'it''s' from fact where k < 3 order by k"),
    ("select k from fact order by k limit 5, 3", "select k from fact order by k limit 3 offset 5"),
    ("select count(*) from fact where note <=> null", "select count(*) from fact where note is not distinct from null"),
    ("select k div 7, k mod 7, mod(k, 5) from fact where k < 20 order by k", "select k // 7, k % 7, k % 5 from fact where k < 20 order by k"),
    ("select count(*) from fact where note regexp '^n[12]$' && !(k = 3)", "select count(*) from fact where regexp_matches(note, '^n[12]$') and k <> 3"),
    ("select count(*) from fact where note not rlike '1'", "select count(*) from fact where not regexp_matches(note, '1')"),
    ("select cast(k as signed), cast(k as char) from fact where k = 4", "select 4, '4'"),
    ("select cast('12' as unsigned integer) + 1", "select 13"),
    ("select group_concat(note order by k desc separator ';') from fact where k < 9", "select string_agg(note, ';' order by k desc) from fact where k < 9"),
    ("select concat(note, '-', k), concat('a', null) from fact where k < 5 order by k", "select note || '-' || k, null from fact where k < 5 order by k"),
    ("select date_format(ts, '%Y/%m/%d %H:%i:%s') from fact where k < 5 order by k", "select strftime(ts, '%Y/%m/%d %H:%M:%S') from fact where k < 5 order by k"),
    ("select date_add('2020-01-31', interval 1 month), date_sub('2020-03-01', interval 1 day)", "select timestamp '2020-02-29', timestamp '2020-02-29'"),
    ("select datediff('2020-03-01', '2020-02-01'), timestampdiff(month, '2020-01-31', '2020-03-01')", "select 29, 1"),
    ("select dayofweek('2021-01-03'), weekday('2021-01-03'), last_day(date '2020-02-02')", "select 1, 6, date '2020-02-29'"),
    ("select if(1 > 2, 'a', 'b'), ifnull(null, 3), nvl(null, 4), nullif(1, 1), coalesce(null, 5)", "select 'b', 3, 4, null, 5"),
    ("select left('roost', 2), right('roost', 2), substring('roost', 2, 3), locate('o', 'roost'), length('é'), char_length('é')", "select 'ro', 'st', 'oos', 2, 2, 1"),
    ("select 1 from dual", "select 1"),
    ("select 1/0, 5 % 0", "select null, null"),
    ("select unix_timestamp('1970-01-02 00:00:00'), from_unixtime(86400)", "select 86400, timestamp '1970-01-02'"),
    ("select count(*) from fact where note like 'n\\\\_'", "select count(*) from fact where note like 'n\\_' escape '\\'"),
    ("select ck, sum(qty) s from fact group by 1 having s > 20 order by s desc, 1 limit 3", None),
    ("select database(), current_user()", "select 'q', '''root''@''%'''"),
    ("select year(now()) > 2000, curdate() = date(now())", "select true, true"),
    ("select note, k from fact where k < 40 order by note desc, k", None),
    ("select c.ck from customer c left semi join sales s on s.pk = c.ck order by 1", "select c.ck from customer c semi join sales s on s.pk = c.ck order by 1"),
    ("select d.year, s.kind, sum(s.amount) from sales s, dates d where s.dk = d.dk and d.year > 0 group by 1, 2 order by 1, 2", None),
    ("select upper(kind), round(avg(amount), 2) from sales where kind in ('kind1', 'kind2') group by upper(kind) order by 1", None),
    ("select * from (select dk, sum(qty) q from fact group by dk) t where q > (select avg(x) from (select sum(qty) x from fact group by dk) u) order by 1", None),
    ("select true, false, -1.50, 1e3, 'x', null, 170141183460469231731687303715884105727", None),
    ("select cast('2020-02-03' as date), cast('2020-02-03 04:05:06' as datetime), cast(1.25 as decimal(10, 1))", "select date '2020-02-03', timestamp '2020-02-03 04:05:06', 1.3::decimal(10,1)"),
    ("select lag(k) over (order by k), sum(qty) over (partition by dk order by k) from fact where k < 12 order by k", None),
    ("select greatest(1, null), least(null, 3), greatest(1, 5, 2), least(2.5, 1), sum(greatest(qty, dk)) from fact",
     "select null, null, 5, 1.0, sum(case when qty is not null then greatest(qty, dk) end) from fact"),
    ("select substring('roost', 0, 2), substr('roost', -2), substr('abc', 2, -1), left('ab', -1), right('ab', -1), substr('abc', null)", "select '', 'st', '', '', '', null"),
    ("select substr('abc', instr('abc', 'x')), left('ab', k), right('ab', k - 1) from fact where k < 3 order by k",
     "select '', ['', 'a', 'ab'][k + 1], ['', '', 'b'][k + 1] from fact where k < 3 order by k"),
    ("select !5 = 0, !!3, !(1 = 2), ! k from fact where k < 2 order by k", "select true, true, true, k = 0 from fact where k < 2 order by k"),
    ("select 1 || 0, 0 || 0, 1 = 2 || 2 = 2", "select true, false, true"),
    ("select -7 div 2, 7 div -2, 7.5 div 2, 7 div 0, 7 div 0.5, sum(k div 7) from fact", "select -3, -3, 3, null, 14, sum(k // 7) from fact"),
    ("select ln(0), log10(-1), sqrt(-1), acos(2), exp(1000), pow(0, -1), pow(2, 10), sqrt(4)", "select null, null, null, null, null, null, 1024, 2"),
    ("select unix_timestamp('1970-01-01 00:00:00.7')", "select 0"),
    ("select 0x41 = 'A', 0x4 = x'04'", "select true, true"),
    ("select count(*), count(k), count(h.k), count(d.k) from hollow h full join (select dk k from dates) d using (k)", "select 30, 30, 0, 30"),
    ("select k, count(p.k), count(r.k) from (select 1 k) p right join (select 2 k) r using (k) group by k", "select 2, 0, 1"),
    ("select p.* from (select 1 k, 2 v) p right join (select 3 k) r using (k)", "select null, null"),
    ("select count(*), max(d.year) from hollow h left join dates d on h.k = d.dk", "select 0, null"),
    ("select d.year, count(d.dk) from dates d left join customer c on d.dk = c.ck and c.name like 'zz%' group by d.year having sum(d.dk) > 3 order by 1",
     "select d.year, count(d.dk) from dates d group by d.year having sum(d.dk) > 3 order by 1"),
    ("select count(distinct ck, dk), count(distinct note, qty) from fact",
     "select count(distinct (ck, dk)), count(distinct case when note is not null and qty is not null then (note, qty) end) from fact"),
]
ERRORS = [
    (1146, "select * from nothere"), (1054, "select nope from fact"), (1052, "select pk from fact, part"),
    (1066, "select 1 from fact, fact"), (1049, "select * from nodb.t"), (1064, "select * from read_csv('/etc/passwd')"),
    (1064, "select getenv('HOME')"), (1064, "selec 1"), (1064, "select (1"), (1064, "select 1 +"),
    (1064, "select cast('x' as int)"),
    (1064, "select " + "not " * 400 + "true"), (1064, "select " + "(" * 300 + "1" + ")" * 300), (1222, "select 1 union select 1, 2"),
    (1136, "insert into hollow values (1)"), (1054, "insert into hollow (k, z) values (1, 2)"), (1110, "insert into hollow (k, k) values (1, 2)"),
    (1146, "insert into nothere values (1)"),
]


def value(rng, table, column, kind, i):
    if column in ("k", "id") or (table, column) in (("dates", "dk"), ("customer", "ck"), ("part", "pk")):
        return i
    if column in ("dk", "ck", "pk"):
        return rng.randrange(45)
    if column == "year":
        return i % 4
    if rng.random() < 0.07:
        return None
    if kind.startswith("DECIMAL"):
        return decimal.Decimal(rng.randrange(-5000, 50000)) / 100
    if kind == "DOUBLE":
        return rng.random()
    if kind == "TIMESTAMP":
        return f"20{rng.randrange(18, 24)}-03-{rng.randrange(1, 29):02} 10:00:00"
    if kind == "DATE":
        return f"2021-01-{i % 28 + 1:02}"
    if kind == "VARCHAR":
        return {"note": "n%d", "region": "r%d", "kind": "kind%d"}.get(column, "v%d") % rng.randrange(4)
    return rng.randrange(12)


def literal(v):
    return "NULL" if v is None else repr(v) if isinstance(v, (int, float)) else f"'{v}'"


class Cluster(Engine):
    """With an object store, and nodes that die and come back."""

    def start_fe(self):
        build = subprocess.run([REPO / "e2e/cluster/build-bin", "minio"], capture_output=True, text=True)
        assert build.returncode == 0, build.stdout + build.stderr
        (self.folder / "s3/roost").mkdir(parents=True)
        port, console = free_ports(2)
        self.start("s3", "env", "MINIO_ROOT_USER=roost-test", "MINIO_ROOT_PASSWORD=roost-test", "MINIO_BROWSER=off",
                   f"HOME={self.folder}", build.stdout.split()[-1], "server", self.folder / "s3",
                   "--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}")
        self.fe_conf += (f"aws_s3_path = roost\naws_s3_endpoint = http://127.0.0.1:{port}\naws_s3_region = us-east-1\n"
                         "aws_s3_access_key = roost-test\naws_s3_secret_key = roost-test\n")
        super().start_fe()

    def alive(self, role):
        return sum(r["Alive"] == "true" for r in self.nodes(role))

    def kill(self, name):
        self.processes.pop(name).stop(signal.SIGKILL)

    def back(self, name):
        self.start(name, REPO / "build/roost-be", "--role", name[:2], "--conf", self.folder / f"{name}.conf")


@pytest.fixture(scope="module")
def oracle():
    db = duckdb.connect(config={"default_null_order": "nulls_first_on_asc_last_on_desc"})
    db.execute("set error_on_division_by_zero = false")
    db.execute("set timezone = 'UTC'")
    return db


@pytest.fixture(scope="module")
def engine(oracle):
    rng = random.Random(SEED)
    with Cluster(be=3, cn=2) as e:
        e.sql("create database q")
        for t in CATALOG["tables"]:
            columns = ", ".join(f"`{n}` {k.replace('TIMESTAMP', 'DATETIME')}" for n, k in t["columns"])
            oracle.execute(f"create table {t['name']} ({', '.join(f'{n} {k}' for n, k in t['columns'])})")
            local = "tablets" in t
            copies = max(len(nodes) for _, nodes in t["tablets"]) if local else 1
            e.sql(f"create table {t['name']} ({columns}) distributed by hash({t['columns'][0][0]}) "
                  f"buckets {len(t['tablets']) if local else 1} properties "
                  + (f"('replication_num' = '{copies}')" if local else "('storage_volume' = 'builtin_storage_volume')"), database="q")
            rows = [tuple(value(rng, t["name"], n, k, i) for n, k in t["columns"]) for i in range(ROWS[t["name"]])]
            step = max(1, len(rows) // 3 + 1)
            for i in range(0, len(rows), step):
                values = ", ".join("(" + ", ".join(map(literal, r)) + ")" for r in rows[i:i + step])
                e.sql(f"insert into {t['name']} values {values}", database="q")
                oracle.execute(f"insert into {t['name']} values {values}")
        yield e


def normal(v):
    if isinstance(v, bool):
        return int(v)
    if isinstance(v, decimal.Decimal):
        return float(v)
    if isinstance(v, datetime.datetime):
        return v.isoformat(" ")
    if isinstance(v, datetime.date):
        return f"{v.isoformat()} 00:00:00"
    return v


def same(a, b):
    a, b = normal(a), normal(b)
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
    return a == b


def key(row):
    return [(v is not None, f"{v:.10g}" if isinstance(v, (int, float)) else str(v)) for v in map(normal, row)]


def compare(sql, got, want):
    if "order by" not in sql.rsplit(")", 1)[-1]:
        got, want = sorted(got, key=key), sorted(want, key=key)
    assert len(got) == len(want), (sql, got[:5], want[:5])
    for a, b in zip(got, want):
        assert len(a) == len(b) and all(map(same, a, b)), (sql, a, b)


@pytest.mark.parametrize("name", CASES)
def test_golden_cases(engine, oracle, name):
    sql = CASES[name]
    compare(sql, engine.sql(sql, database="q"), oracle.execute(sql).fetchall())


@pytest.mark.parametrize("sql,duck", DIALECT, ids=range(len(DIALECT)))
def test_dialect(engine, oracle, sql, duck):
    compare(sql, engine.sql(sql, database="q"), oracle.execute(duck or sql).fetchall())


@pytest.mark.parametrize("errno,sql", ERRORS, ids=[s[:40] for _, s in ERRORS])
def test_errors(engine, errno, sql):
    with pytest.raises(pymysql.MySQLError) as e:
        engine.sql(sql, database="q")
    assert e.value.args[0] == errno, e.value


def test_pipes_are_what_sql_mode_says(engine, oracle):
    connection = engine.connect(database="q")
    try:
        with connection.cursor() as cursor:
            cursor.execute("select count(*) from fact where k = 1 || k = 2")
            assert cursor.fetchall() == ((2,),)
            cursor.execute("set sql_mode = 'ONLY_FULL_GROUP_BY,PIPES_AS_CONCAT'")
            sql = "select note || '-' || k, 'a' || null, 1 || 2, 'x' || date '2020-01-02' from fact where k < 9 order by k"
            cursor.execute(sql)
            compare(sql, cursor.fetchall(), oracle.execute(sql).fetchall())
            cursor.execute("select count(*) from fact where note || 'x' = 'n1x' or note || 'x' like 'n2%'")
            assert cursor.fetchall() == tuple(oracle.execute("select count(*) from fact where note in ('n1', 'n2')").fetchall())
            with pytest.raises(pymysql.MySQLError) as e:
                cursor.execute("set sql_mode = 'ANSI_QUOTES'")
            assert e.value.args[0] == 1231 and "ANSI_QUOTES is not supported; PIPES_AS_CONCAT is" in e.value.args[1]
    finally:
        connection.close()


def test_names_of_columns(engine):
    with engine.connect(database="q") as c, c.cursor() as cursor:
        cursor.execute("select K, sum(qty), count(*) as `how many`, 1 + 1, 'txt', f.dk from fact f group by K, f.dk limit 1")
        assert [d[0] for d in cursor.description] == ["K", "sum(qty)", "how many", "1 + 1", "txt", "dk"]


@pytest.mark.parametrize("sql,want", [
    ("select sum(k), sum(k) + 1, count(*) from fact where k < 4", [(8, 6), (8, 7), (8, 4)]),
    ("select sum(k) from fact where k < 0", [(8, None)]),
    ("select s from (select sum(k) s from fact where k < 4 union all select 1) x order by 1", [(8, 1)]),
    ("select sum(x) from (select 9000000000000000000 x union all select 9000000000000000000) t", [(246, decimal.Decimal(18 * 10**18))]),
    ("select cast(sum(k) as largeint) from fact where k < 4", [(246, 6)]),
    ("select sum(price) from fact where k < 0", [(None, None)]),
])
def test_sums_of_integers_are_bigint(engine, sql, want):
    """As StarRocks' users know them; only a sum that a BIGINT cannot hold is a DECIMAL, where StarRocks wraps."""
    connection = engine.connect(database="q")
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            row = cursor.fetchone()
            assert [(d[1] if w[0] else None, v) for d, v, w in zip(cursor.description, row, want)] == want
    finally:
        connection.close()


def test_texts_are_as_long_as_declared(engine):
    """Bytes, as in StarRocks: a longer one is a filtered row of a load and the end of an INSERT."""
    engine.sql("create table short (k int not null, v varchar(4), c char(2)) distributed by hash(k) buckets 1", database="q")
    engine.sql("insert into short values (1, 'abcd', 'ab'), (2, null, null), (3, 'ää', '')", database="q")
    for values in ("(4, 'abcde', 'a')", "(4, 'ääx', 'a')", "(4, 'a', 'abc')", "(4, 'a', 'a'), (5, '12345', 'a')"):
        with pytest.raises(pymysql.MySQLError) as caught:
            engine.sql(f"insert into short values {values}", database="q")
        assert caught.value.args[0] == 1064 and "too long" in caught.value.args[1], caught.value
    with pytest.raises(pymysql.MySQLError):
        engine.sql("insert into short select k, concat('12', k, '4567'), null from fact where k < 4", database="q")
    engine.sql("insert into short select k + 10, k, k from fact where k < 2", database="q")
    assert engine.sql("select k, v, c from short order by k", database="q") == (
        (1, "abcd", "ab"), (2, None, None), (3, "ää", ""), (10, "0", "0"), (11, "1", "1"))


def test_distinct_ordered_by_what_is_not_selected(engine):
    """Which row of a value orders it is nobody's promise; how many values there are is."""
    rows = engine.sql("select distinct dk from fact order by k limit 5 offset 35", database="q")
    assert len(rows) == len(set(rows)) == 5, rows


def test_large_result(engine, oracle):
    sql = "select f.k, c.ck, f.note from fact f, customer c order by f.k, c.ck"
    compare(sql, engine.sql(sql, database="q"), oracle.execute(sql).fetchall())


def test_insert_select_and_defaults(engine):
    engine.sql("create table copy (id bigint not null, what varchar(10) default 'dflt', n int) distributed by hash(id) buckets 4 "
               "properties ('replication_num' = '2')", database="q")
    engine.sql("insert into copy (n, id) select qty, k from fact where k < 100", database="q")
    assert engine.sql("select count(*), min(what), max(what), count(n) <= 100 from copy", database="q") == ((100, "dflt", "dflt", 1),)
    with pytest.raises(pymysql.MySQLError) as e:
        engine.sql("insert into copy (n) values (1)", database="q")
    assert e.value.args[0] == 1364
    with pytest.raises(pymysql.MySQLError):
        engine.sql("insert into copy (id, n) values (null, 1)", database="q")
    with pytest.raises(pymysql.MySQLError):
        engine.sql("insert into copy (id, n) values ('not a number', 1)", database="q")
    assert engine.sql("select count(*) from copy", database="q") == ((100,),)


def test_explain(engine):
    rows = list(engine.sql("explain " + CASES["star_join"], database="q", cursorclass=pymysql.cursors.DictCursor))
    assert rows[-1]["Name"] == "final" and any("broadcast" in r["Reason"] for r in rows), rows


ENDLESS = "select count(*) from range(1000000) a, range(1000000) b where a.range * b.range % 7 = 3"


def test_kill_ends_a_query(engine):
    with engine.connect() as victim:
        failed = []

        def endless():
            try:
                victim.cursor().execute(ENDLESS)
            except pymysql.MySQLError as e:
                failed.append(e.args[0])

        t = threading.Thread(target=endless)
        t.start()
        engine.wait("it runs", lambda: any("range" in str(r["Info"]) for r in engine.rows("show processlist")))
        engine.sql(f"kill query {victim.thread_id()}")
        t.join(20)
        assert failed == [1317]
        with victim.cursor() as cursor:
            cursor.execute("select 1")
            assert cursor.fetchall() == ((1,),)
    engine.wait("its task ends", lambda: all(int(r["NumRunningQueries"]) == 0 for r in engine.nodes("be")))


def test_a_query_ends_at_its_timeout(engine):
    with engine.connect() as c, c.cursor() as cursor:
        cursor.execute("set query_timeout = 1")
        with pytest.raises(pymysql.MySQLError) as e:
            cursor.execute(ENDLESS)
        assert e.value.args[0] == 3024
        cursor.execute("select 1")


def test_losing_nodes_costs_time_not_results(engine, oracle):
    """Four clients; meanwhile a CN and then a BE are killed and come back. Every answer is right."""
    names = ["star_join", "aggregates", "cte", "subquery_in", "local_colocated", "rows_top", "sales_like"]
    queries = [CASES.get(n, "select kind, count(*), sum(amount) from sales group by kind order by kind") for n in names]
    # Tables with one replica cannot survive a BE: only those with copies are read while it is away.
    copies = ["select kind, count(*), sum(amount) from sales group by kind order by kind", CASES["local_colocated"],
              "select d.year, count(*) from fact f join dates d on f.dk = d.dk group by d.year order by 1"]
    wants = {q: oracle.cursor().execute(q).fetchall() for q in queries + copies}
    stop, wrong, counted = threading.Event(), [], []
    current = [queries]

    def client(i):
        rng = random.Random(i)
        while not stop.is_set():
            q = rng.choice(current[0])
            try:
                compare(q, engine.sql(q, database="q"), wants[q])
                counted.append(q)
            except (AssertionError, pymysql.MySQLError) as e:
                wrong.append((q, repr(e)))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        stop.wait(1.5)
        engine.kill("cn0")
        stop.wait(2)
        engine.back("cn0")
        engine.wait_alive()
        current[0] = copies
        stop.wait(1.5)
        engine.kill("be2")
        stop.wait(2)
        engine.back("be2")
        engine.wait_alive()
        stop.wait(1)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not wrong, wrong[:5]
    assert len(counted) > 20, len(counted)


def test_a_query_without_compute_nodes_waits(engine, oracle):
    for name in ("cn0", "cn1"):
        engine.kill(name)
    engine.wait("no CN lives", lambda: engine.alive("cn") == 0)
    got = []
    t = threading.Thread(target=lambda: got.append(engine.sql(CASES["count"], database="q")))
    t.start()
    t.join(2)
    assert not got and t.is_alive()
    # What needs no CN is not held up.
    assert engine.sql("select count(*) from dates", database="q") == ((ROWS["dates"],),)
    for name in ("cn0", "cn1"):
        engine.back(name)
    t.join(30)
    assert got == [((ROWS["fact"],),)]
    engine.wait_alive()

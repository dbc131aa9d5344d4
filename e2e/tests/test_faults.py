"""Processes that die, leave or hang while queries and loads run: answers stay right (compared with DuckDB over the same
rows), no query fails, and what was acknowledged is there afterwards. Random moments by ROOST_SEED; ROOST_SOAK=1: ten
times as many."""

import os
import signal
import threading
import time

import duckdb
import pymysql
import pytest

from faults_fixture import Clients, Faulty, child_of, rng, rounds

QUERIES = [
    "SELECT g, count(*), sum(k), min(v), max(v) FROM d.f GROUP BY g",
    "SELECT count(*), sum(a.k + b.k) FROM d.f a JOIN d.t b ON a.k = b.k WHERE b.g < 9",
    "SELECT g, v, count(*) FROM d.t GROUP BY g, v",
    "SELECT t.v, sum(f.k) FROM d.f f JOIN d.t t ON t.k = f.k GROUP BY t.v HAVING count(*) > 10",
    "SELECT count(*) FROM d.f WHERE k IN (SELECT k FROM d.t WHERE g = 3)",
    # About a second: what is killed or told to go is in the middle of it.
    "SELECT count(*), sum((a.k * b.k) % 7) FROM d.f a JOIN d.f b ON a.g = b.g",
]
LOCAL = [q for q in QUERIES if "d.f" not in q]
ROWS = 30000


def plain(value):
    return float(value) if isinstance(value, (int, float)) or type(value).__name__ == "Decimal" else value


class Rows(Clients):
    """Compares by value: MySQL's DECIMAL of a sum is DuckDB's HUGEINT."""

    def ask(self, query):
        return [tuple(map(plain, row)) for row in super().ask(query)]


@pytest.fixture(scope="module")
def engine():
    # The fixture's five seconds to drain would be too few for the slow query on a busy machine.
    with Faulty(be=2, cn=2, fe_conf="min_graceful_exit_time_second = 1",
                worker_conf="roost_drain_timeout_s = 60\nroost_drain_accept_ms = 300") as e:
        e.sql("CREATE DATABASE d")
        for table, how in (("f", "BUCKETS 1 PROPERTIES ('storage_volume' = 'builtin_storage_volume')"),
                           ("t", "BUCKETS 4 PROPERTIES ('replication_num' = '2')")):
            e.sql(f"CREATE TABLE d.{table} (k BIGINT NOT NULL, g INT, v VARCHAR(20)) DISTRIBUTED BY HASH(k) {how}")
            for part in range(3):
                body = "".join(f"{i}\t{i % 17}\tv{i % 5}\n" for i in range(part, ROWS, 3))
                assert e.stream_load("d", table, body)["Status"] == "Success"
        yield e


@pytest.fixture(scope="module")
def answers():
    db = duckdb.connect()
    db.execute("CREATE SCHEMA d")
    for table in "ft":
        db.execute(f"CREATE TABLE d.{table} AS SELECT i AS k, (i % 17)::INT AS g, 'v' || (i % 5) AS v FROM range({ROWS}) r(i)")
    return {q: sorted([tuple(map(plain, row)) for row in db.execute(q).fetchall()], key=repr) for q in QUERIES}


def all_alive(engine, role, n=2):
    engine.wait(f"{n} {role} alive", lambda: engine.alive(role) == n)


def test_sigterm_lets_running_queries_finish(engine, answers):
    chance, n = rng("sigterm"), rounds(3, 30)
    with Rows(engine, answers, 4, seed="sigterm") as clients:
        clients.more(5)
        for i in range(n):
            for name in ("cn%d" % chance.randrange(2), "be%d" % chance.randrange(2)):
                time.sleep(chance.random())
                assert engine.kill(name, signal.SIGTERM, 90) == 0
                engine.back(name)
                all_alive(engine, name[:2])
        clients.more(5)
    print(f"{2 * n} SIGTERM, {clients.right} queries, 0 failed")


def test_sigkill_of_a_compute_node(engine, answers):
    chance, n = rng("sigkill cn"), rounds(10, 100)
    with Rows(engine, answers, 3, seed="sigkill cn") as clients:
        for i in range(n):
            name = "cn%d" % chance.randrange(2)
            time.sleep(chance.random() * 0.7)
            engine.kill(name)
            time.sleep(chance.random() * 0.3)
            engine.back(name)
            all_alive(engine, "cn")
        clients.more(5)
    print(f"{n} SIGKILL of a CN, {clients.right} queries, 0 failed")


def test_sigkill_of_a_backend_whose_tablets_have_copies(engine, answers):
    chance, n = rng("sigkill be"), rounds(4, 40)
    with Rows(engine, answers, 3, seed="sigkill be") as clients:
        for i in range(n):
            name = "be%d" % chance.randrange(2)
            time.sleep(chance.random() * 0.7)
            engine.kill(name)
            clients.more(3)
            engine.back(name)
            all_alive(engine, "be")
    print(f"{n} SIGKILL of a BE, {clients.right} queries, 0 failed")


def test_sigkill_of_executors(engine, answers):
    """The executor takes the blame for a query that goes wrong: its node lives, and the others' queries are run again."""
    chance, n = rng("sigkill executor"), rounds(8, 80)
    pids = {name: p.popen.pid for name, p in engine.processes.items()}
    with Rows(engine, answers, 2, seed="sigkill executor") as clients:
        for i in range(n):
            name = chance.choice(["be0", "be1", "cn0", "cn1"])
            time.sleep(chance.random() * 0.5)
            pid = engine.executor(name)
            if pid:
                os.kill(pid, signal.SIGKILL)
            engine.wait("another executor", lambda: engine.executor(name) not in (None, pid))
            clients.each_more()  # a task is given one crash, not two
    for name, pid in pids.items():
        assert engine.processes[name].popen.pid == pid and engine.processes[name].alive(), name
    print(f"{n} SIGKILL of an executor, {clients.right} queries, 0 failed")


def test_sigkill_of_the_parser(engine, answers):
    chance, n = rng("sigkill parser"), rounds(5, 50)
    with Rows(engine, {q: answers[q] for q in LOCAL}, 2, seed="sigkill parser") as clients:
        for i in range(n):
            time.sleep(chance.random() * 0.4)
            pid = child_of(engine.processes["fe"].popen.pid, "roost-duck")
            if pid:
                os.kill(pid, signal.SIGKILL)
            clients.more(2)
    print(f"{n} SIGKILL of the parser, {clients.right} queries, 0 failed")


def test_a_node_that_hangs_is_worked_around(engine, answers):
    """No connection breaks when a machine stops dead: its silence must be enough."""
    chance = rng("hang")
    # The task of the slow query runs on every CN; its output, once done, lies there for the last stage.
    query = QUERIES[-1]
    for name in ("cn%d" % chance.randrange(2), "be%d" % chance.randrange(2))[:rounds(2, 2)]:
        process = engine.processes[name].popen
        mine = {q: answers[q] for q in (LOCAL if name[:2] == "be" else [query])}
        with Rows(engine, mine, 2, seed="hang") as clients:
            clients.more(1)
            os.kill(process.pid, signal.SIGSTOP)
            try:
                clients.more(4)
            finally:
                os.kill(process.pid, signal.SIGCONT)
        all_alive(engine, name[:2])


def test_a_worker_that_forgets_its_queries(engine, answers):
    """A CN that was killed and is back before anybody looked has none of the files that the next stage wants."""
    with Rows(engine, {QUERIES[-1]: answers[QUERIES[-1]]}, 3, seed="forget") as clients:
        for i in range(rounds(4, 40)):
            engine.kill("cn1")
            engine.back("cn1")
            clients.more(2)
    all_alive(engine, "cn")


class Ledger:
    """What was acknowledged, and what may be: each load is a range of keys of its own under a label of its own."""

    def __init__(self, engine):
        self.engine = engine
        self.loads, self.maybe, self.tables, self.maybe_tables = {}, {}, set(), set()
        self.next = 0

    def load(self, again=None):
        label, keys = again or (f"l{self.next}", range(self.next * 10, self.next * 10 + 10))
        if not again:
            self.next += 1
        self.maybe[label] = keys
        answer = self.engine.stream_load("d", "ledger", "".join(f"{k}\n" for k in keys), label=label, timeout=30,
                                         port=int(self.engine.conf("be0")["be_http_port"]))
        if answer["Status"] == "Success" or answer["Status"] == "Label Already Exists" and \
                answer["ExistingJobStatus"] == "FINISHED":
            self.loads[label] = self.maybe.pop(label)
        return answer

    def insert(self):
        label, keys = f"i{self.next}", range(self.next * 10, self.next * 10 + 10)
        self.next += 1
        self.maybe[label] = keys
        self.engine.sql(f"INSERT INTO d.ledger WITH LABEL {label} VALUES " + ",".join(f"({k})" for k in keys))
        self.loads[label] = self.maybe.pop(label)

    def create(self):
        name = f"t{self.next}"
        self.next += 1
        self.maybe_tables.add(name)
        self.engine.sql(f"CREATE TABLE d.{name} (k BIGINT) DISTRIBUTED BY HASH(k) BUCKETS 1")
        self.maybe_tables.discard(name)
        self.tables.add(name)

    def drop(self):
        if self.tables:
            name = sorted(self.tables)[0]
            self.tables.discard(name)
            self.maybe_tables.add(name)
            self.engine.sql(f"DROP TABLE d.{name} FORCE")
            self.maybe_tables.discard(name)

    def check(self):
        have = [k for (k,) in self.engine.sql("SELECT k FROM d.ledger")]
        there = set(have)
        assert len(have) == len(there), "a load was applied twice"
        for label, keys in self.loads.items():
            assert there.issuperset(keys), f"the acknowledged load {label} is lost"
        for label, keys in self.maybe.items():
            assert there.issuperset(keys) or there.isdisjoint(keys), f"load {label} is torn"
        known = {k for keys in [*self.loads.values(), *self.maybe.values()] for k in keys}
        assert there <= known, "rows of nobody"
        tables = {name for (name,) in self.engine.sql("SHOW TABLES FROM d")} - {"ledger"}
        assert self.tables <= tables <= self.tables | self.maybe_tables, (self.tables ^ tables, self.maybe_tables)
        self.tables, self.maybe_tables = tables, set()
        for name in tables:
            assert self.engine.sql(f"SELECT count(*) FROM d.{name}") == ((0,),)


def test_sigkill_of_the_front_end_loses_nothing_acknowledged():
    """A writer loads, inserts, creates and drops without a pause; the FE is killed at random moments and comes back. After
    each time: all that was acknowledged, whole; nothing else but what was under way, whole or not at all; and a load that is
    sent again under its label is there once."""
    chance, n = rng("sigkill fe"), rounds(20, 200)
    with Faulty(be=1, cn=0, s3=False) as e:
        e.sql("CREATE DATABASE d")
        e.sql("CREATE TABLE d.ledger (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 2")
        ledger = Ledger(e)
        stop = threading.Event()

        def write():
            acts = [ledger.load, ledger.load, ledger.insert, ledger.create, ledger.drop]
            while not stop.is_set():
                try:
                    chance_of_writer.choice(acts)()
                except (pymysql.MySQLError, OSError, AssertionError):
                    return  # the FE is gone

        again = 0
        for i in range(n):
            chance_of_writer = rng(f"writer {i}")
            writer = threading.Thread(target=write)
            writer.start()
            time.sleep(0.05 + chance.random() * 0.6)
            e.kill("fe")
            stop.set()
            e.start_fe()
            writer.join(60)
            assert not writer.is_alive()
            stop.clear()
            e.wait_alive()
            ledger.check()
            # Loads whose end nobody heard are asked for again under their label: once, whatever came of them.
            for label, keys in list(ledger.maybe.items()):
                again += 1
                if label.startswith("l"):
                    answer = ledger.load((label, keys))
                    assert label in ledger.loads, answer
                else:
                    try:
                        e.sql(f"INSERT INTO d.ledger WITH LABEL {label} VALUES " + ",".join(f"({k})" for k in keys))
                    except pymysql.MySQLError as error:
                        assert "has already been used" in error.args[1], error
                    ledger.loads[label] = ledger.maybe.pop(label)
            ledger.check()
        # And once more each, at the end: all are known.
        for label, keys in chance.sample(sorted(ledger.loads.items()), min(20, len(ledger.loads))):
            answer = e.stream_load("d", "ledger", f"{keys[0]}\n", label=label)
            assert answer["Status"] == "Label Already Exists" and answer["ExistingJobStatus"] == "FINISHED", answer
        ledger.check()
        print(f"{n} SIGKILL of the FE, {len(ledger.loads)} acknowledged loads, {again} asked for again, 0 lost, 0 twice")


def test_sigkill_of_everything_at_once():
    """As when the machine loses its power, but for what the kernel holds."""
    with Faulty(be=2, cn=1) as e:
        e.sql("CREATE DATABASE d")
        e.sql("CREATE TABLE d.t (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 2 PROPERTIES ('replication_num' = '2')")
        e.sql("CREATE TABLE d.b (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 1 "
              "PROPERTIES ('storage_volume' = 'builtin_storage_volume')")
        done = 0
        for i in range(rounds(3, 30)):
            for table in "tb":
                e.sql(f"INSERT INTO d.{table} VALUES ({i}), ({i})")
                assert e.stream_load("d", table, f"{i}\n{i}\n")["Status"] == "Success"
            done += 4
            for name in ("fe", "be0", "be1", "cn0"):
                e.processes[name].popen.send_signal(signal.SIGKILL)
            for name in ("fe", "be0", "be1", "cn0"):
                e.kill(name)
            for name in ("fe", "be0", "be1", "cn0"):
                e.back(name)
            e.wait_alive()
            for table in "tb":
                assert e.sql(f"SELECT count(*), count(DISTINCT k) FROM d.{table}") == ((done, i + 1),)


def test_a_front_end_that_is_told_to_go_lets_queries_finish(engine, answers):
    """SIGUSR1: what runs is finished, health says 500 meanwhile; then the process is back with its catalog."""
    query = QUERIES[-1]
    got = []
    thread = threading.Thread(target=lambda: got.append(engine.sql(query)))
    thread.start()
    engine.wait("it runs", lambda: engine.sql("SHOW RUNNING QUERIES"))
    assert engine.kill("fe", signal.SIGUSR1, 90) == 0
    thread.join(60)
    assert [tuple(map(plain, row)) for row in got[0]] == answers[query]
    engine.start_fe()
    engine.wait_alive()
    assert engine.scalar("SELECT count(*) FROM d.f") == ROWS


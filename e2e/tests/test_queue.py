"""The admission queue on a small engine: many clients and few slots give no failure and no node more tasks than it has
slots, queries without a compute node wait for one, a new one has work at once, and a node that somebody is about to take away is marked (POST /api/roost/drain) and gets no more work."""

import json
import os
import signal
import threading
import time

import pytest

from faults_fixture import SOAK, Faulty, call

CLIENTS = 1000 if SOAK else 200
LOCAL = "SELECT sum(k), count(*) FROM q.local WHERE k >= %d"
BUCKET = "SELECT sum(k), count(*) FROM q.bucket WHERE k >= %d"
ROWS = 500
SLOW = "SELECT count(*) FROM q.{0} a, q.{0} b, q.{0} c WHERE (a.k * b.k + c.k) % 7 < 9"  # some tenths of a second of work


@pytest.fixture(scope="module")
def engine():
    with Faulty(be=1, cn=2, worker_conf="roost_slots = 1\nroost_drain_accept_ms = 300") as e:
        e.sql("CREATE DATABASE q")
        e.sql("CREATE TABLE q.local (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 2")
        e.sql("CREATE TABLE q.bucket (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 1 "
              "PROPERTIES ('storage_volume' = 'builtin_storage_volume')")
        values = ",".join(f"({i})" for i in range(ROWS))
        for table in ("local", "bucket"):
            e.sql(f"INSERT INTO q.{table} VALUES {values}")
        yield e


def right(start):
    return ((sum(range(start, ROWS)), ROWS - start),)


def drain(engine, nodes, seconds=None, token=True):
    path = f"/api/roost/drain?node={nodes}" + ("" if seconds is None else f"&seconds={seconds}")
    headers = {"Authorization": f"Bearer {engine.token()}"} if token else {}
    status, _, body = call(engine.http_port, "POST", path, headers=headers)
    return status, json.loads(body)


def draining(engine):
    return {n["id"]: n["draining"] for n in engine.load_document()["nodes"]}


def metric(engine, name, series):
    """A worker's own number."""
    status, _, body = call(int(engine.conf(name)["be_http_port"]), "GET", "/metrics")
    assert status == 200, body
    return sum(float(line.split()[-1]) for line in body.splitlines() if line.split("{")[0].split(" ")[0] == series)


def at_once(engine):
    """How many tasks each worker ran at once at most, as it counted them itself."""
    return {name: metric(engine, name, "roost_tasks_running_max") for name in engine.addresses}


class Client(threading.Thread):
    """One statement on a connection of its own; .rows or .error."""

    def __init__(self, engine, statement):
        super().__init__(daemon=True)
        self.engine, self.statement, self.rows, self.error = engine, statement, None, None
        self.start()

    def run(self):
        try:
            self.rows = self.engine.sql(self.statement, read_timeout=580, connect_timeout=60)
        except Exception as error:  # noqa: BLE001: whatever it is, the test tells
            self.error = error


def test_many_clients_and_few_slots(engine):
    work, clients, most = [], [], 0
    for i in range(CLIENTS):
        table = ("local", "bucket")[i % 2]
        if i % 10 < 2:  # they hold the slots, behind which the others wait
            work.append((SLOW.format(table), ((ROWS**3,),)))
        else:
            work.append(((LOCAL if i % 2 else BUCKET) % (i % ROWS), right(i % ROWS)))
        clients.append(Client(engine, work[-1][0]))
        if i % 20 == 0:
            most = max(most, engine.load_document()["pending"])
    while any(c.is_alive() for c in clients):
        most = max(most, engine.load_document()["pending"])
        time.sleep(0.2)
    failed = [c.error for c in clients if c.error]
    wrong = [(c.statement, c.rows) for c, (_, want) in zip(clients, work) if not c.error and c.rows != want]
    print(f"{CLIENTS} clients at once, {len(failed)} failed, {len(wrong)} wrong, {most} waiting at most")
    assert not failed and not wrong, (failed[:3], wrong[:3])
    assert most > 8, "nobody had to wait: the queue was not tried"
    assert at_once(engine) == {"be0": 1, "cn0": 1, "cn1": 1}, "a node ran more tasks than it has slots, or none"
    engine.wait("nothing is left", lambda: [engine.load_document()[k] for k in ("pending", "running", "required_slots")] == [0, 0, 0])


def test_a_node_that_joins_has_work_at_once(engine):
    clients = [Client(engine, SLOW.format("bucket")) for _ in range(16)]
    engine.wait("most of them wait", lambda: engine.load_document()["pending"] >= 8, timeout=60)
    engine.start_worker("cn", "cn2")
    engine.wait("it works", lambda: metric(engine, "cn2", "roost_tasks_total") > 0, timeout=120)
    for c in clients:
        c.join(300)
        assert c.rows == ((ROWS**3,),), c.error
    most = at_once(engine)
    print(f"tasks at once at most, with one slot each: {most}")
    assert set(most.values()) == {1}
    assert engine.kill("cn2", how=15, timeout=60) == 0
    engine.sql(f'ALTER SYSTEM DROP COMPUTE NODE "{engine.addresses.pop("cn2")}"')


def test_a_drain_needs_the_token_and_a_node(engine):
    before = draining(engine)
    node = next(iter(before))
    assert drain(engine, node, token=False)[0] == 401
    assert drain(engine, "nobody")[0] == 404
    assert drain(engine, node, seconds="x")[0] == 400
    assert draining(engine) == before and not any(before.values())


def test_a_marked_node_gets_no_more_work(engine):
    marked, other = sorted(draining(engine))
    address = {int(r["ComputeNodeId"]): f"{r['IP']}:{r['HeartbeatPort']}" for r in engine.nodes("cn")}
    status, answer = drain(engine, address[marked], seconds=300)
    assert status == 200 and [(n["id"], n["draining"]) for n in answer["nodes"]] == [(marked, True)], answer
    assert draining(engine) == {marked: True, other: False}
    for i in range(20):
        assert engine.sql(BUCKET % i) == right(i)
    stages = json.dumps(engine.sql("EXPLAIN " + BUCKET % 1))
    assert f"cn:{marked}" not in stages
    # It goes in the middle of queries: nobody notices.
    name = next(n for n, a in engine.addresses.items() if a == address[marked])
    clients = [Client(engine, BUCKET % i) for i in range(20)]
    assert engine.kill(name, how=15, timeout=60) == 0
    for i, c in enumerate(clients):
        c.join(120)
        assert c.rows == right(i), (i, c.error)
    engine.back(name)
    engine.wait("it is back, and still marked", lambda: draining(engine) == {marked: True, other: False}, timeout=60)
    assert drain(engine, marked, seconds=0)[0] == 200
    # What the process before it said of itself when it ended counts until the new one's first heartbeat.
    engine.wait("it serves again", lambda: draining(engine) == {marked: False, other: False}, timeout=60)


def test_a_mark_that_nobody_renews_ends(engine):
    node = min(draining(engine))
    assert drain(engine, node, seconds=1)[0] == 200
    engine.wait("the mark is over", lambda: not draining(engine)[node], timeout=60)


def test_a_query_waits_while_every_compute_node_is_marked(engine):
    both = ",".join(map(str, draining(engine)))
    assert drain(engine, both, seconds=300)[0] == 200
    try:
        waiting = [Client(engine, BUCKET % i) for i in range(5)]
        engine.wait("they wait", lambda: engine.load_document()["pending"] == 5, timeout=60)
        # What needs no compute node overtakes them.
        assert engine.sql(LOCAL % 7) == right(7)
        assert engine.load_document()["pending"] == 5
    finally:
        assert drain(engine, both, seconds=0)[0] == 200
    for i, c in enumerate(waiting):
        c.join(120)
        assert c.rows == right(i), (i, c.error)


def test_a_hung_replica_ends_a_load_soon():
    """A backend that takes connections and no bytes costs a load its success, not a minute and a half of its client."""
    with Faulty(be=2, s3=False) as e:
        e.sql("CREATE DATABASE q")
        e.sql("CREATE TABLE q.two (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 1 PROPERTIES ('replication_num' = '2')")
        hung = e.processes["be1"].popen
        e.processes.pop("be1")  # not one whose end the fixture would report
        os.kill(hung.pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            answer = e.stream_load("q", "two", "1\n2\n", port=int(e.conf("be0")["be_http_port"]), timeout=300)
            assert answer["Status"] == "Fail", answer
            assert time.monotonic() - start < 90
            assert e.scalar("SELECT count(*) FROM q.two") == 0
        finally:
            os.kill(hung.pid, signal.SIGCONT)
        e.wait("it is back", lambda: e.alive("be") == 2)
        assert e.stream_load("q", "two", "1\n2\n", timeout=300)["Status"] == "Success"
        assert e.scalar("SELECT count(*) FROM q.two") == 2
        hung.terminate()
        hung.wait(60)


def test_a_query_without_any_compute_node_waits_for_the_first():
    with Faulty(be=1, cn=1) as e:
        e.sql("CREATE DATABASE q")
        e.sql("CREATE TABLE q.bucket (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 1 "
              "PROPERTIES ('storage_volume' = 'builtin_storage_volume')")
        e.sql("INSERT INTO q.bucket VALUES (1), (2), (3)")
        address = e.addresses["cn0"]
        assert e.kill("cn0", how=15, timeout=60) == 0
        e.sql(f'ALTER SYSTEM DROP COMPUTE NODE "{address}"')
        assert e.nodes("cn") == []
        waiting = [Client(e, BUCKET % i) for i in range(3)]
        e.wait("they wait", lambda: e.load_document()["pending"] == 3, timeout=60)
        load = e.load_document()
        assert load["required_slots"] >= 3 and load["nodes"] == []
        e.start_worker("cn", "cn1")
        for i, c in enumerate(waiting):
            c.join(120)
            assert c.rows == ((sum(k for k in (1, 2, 3) if k >= i), sum(k >= i for k in (1, 2, 3))),), c.error

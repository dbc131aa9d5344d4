"""Scale-in takes no query with it: compute nodes come and go as the operator makes them (a new process with a new address;
one is told to go, and leaves the catalog when it has ended) under a load that never pauses.

A sample in `make test`; ROOST_SOAK=1: 1,000 scale-ins. ROOST_SCALE_INS says another number.
"""

import concurrent.futures
import os
import signal
import time

import duckdb
import pytest

from faults_fixture import Faulty, rng, rounds
from test_faults import ROWS, Rows, plain

QUERIES = [
    "SELECT g, count(*), sum(k), min(v), max(v) FROM d.f GROUP BY g",
    "SELECT count(*), sum(a.k + b.k) FROM d.f a JOIN d.f b ON a.k = b.k WHERE b.g < 9",
    "SELECT count(*), sum((a.k * b.k) % 7) FROM d.f a JOIN d.f b ON a.g = b.g WHERE a.k < 9000",
]
SCALE_INS = int(os.environ.get("ROOST_SCALE_INS", rounds(6, 1000)))
AT_ONCE = rounds(2, 10)


@pytest.fixture(scope="module")
def engine():
    """Tables in a bucket: compute nodes do all the work."""
    with Faulty(be=0, cn=2, worker_conf="roost_drain_timeout_s = 100\nroost_drain_accept_ms = 300") as e:
        e.sql("CREATE DATABASE d")
        e.sql("CREATE TABLE d.f (k BIGINT NOT NULL, g INT, v VARCHAR(20)) DISTRIBUTED BY HASH(k) BUCKETS 3 "
              "PROPERTIES ('storage_volume' = 'builtin_storage_volume')")
        body = "".join(f"{i}\t{i % 17}\tv{i % 5}\n" for i in range(ROWS))
        assert e.stream_load("d", "f", body)["Status"] == "Success"
        yield e


@pytest.fixture(scope="module")
def answers():
    db = duckdb.connect()
    db.execute("CREATE SCHEMA d")
    db.execute(f"CREATE TABLE d.f AS SELECT i AS k, (i % 17)::INT AS g, 'v' || (i % 5) AS v FROM range({ROWS}) r(i)")
    return {q: sorted([tuple(map(plain, row)) for row in db.execute(q).fetchall()], key=repr) for q in QUERIES}


def running(engine):
    """What each compute node runs now, by its name in the fixture."""
    load = {n["id"]: n["running"] for n in engine.load_document()["nodes"]}
    port = {f'127.0.0.1:{r["HeartbeatPort"]}': int(r["ComputeNodeId"]) for r in engine.nodes("cn")}
    return {name: load.get(port[engine.addresses[name]], 0) for name in engine.processes if name.startswith("cn")}


def leave(engine, victims):
    """As the operator takes them away: all are told to go, and each leaves the catalog when it has ended."""
    with concurrent.futures.ThreadPoolExecutor(len(victims)) as pool:
        codes = list(pool.map(lambda v: engine.kill(v, signal.SIGTERM, 120), victims))
    assert not any(codes), f"one of them ended before its work did: {victims} {codes}"
    for victim in victims:
        engine.sql(f'ALTER SYSTEM DROP COMPUTE NODE "{engine.addresses.pop(victim)}"')


def test_no_query_is_killed_by_a_scale_in(engine, answers):
    chance, busy, number, gone, began = rng("scale-in"), 0, 2, 0, time.monotonic()
    with Rows(engine, answers, 4, seed="scale-in") as clients:
        clients.more(4)
        while gone < SCALE_INS:
            for _ in range(AT_ONCE):
                engine.start_worker("cn", f"cn{number}")
                number += 1
            engine.wait("the new compute nodes are alive", lambda: engine.alive("cn") == 2 + AT_ONCE, 60)
            time.sleep(chance.random())
            now = running(engine)
            # Half of them the hard way: an operator whose picture of the load is old takes the busy ones.
            victims = sorted(now, key=now.get, reverse=chance.random() < 0.5)[:AT_ONCE]
            busy += sum(now[v] > 0 for v in victims)
            leave(engine, victims)
            gone += AT_ONCE
            assert not clients.wrong, clients.wrong[:3]
            if gone % 100 == 0:
                print(f"{gone} scale-ins, {clients.right} queries, {time.monotonic() - began:.0f} s", flush=True)
        clients.more(4)
    print(f"{gone} scale-ins ({busy} of nodes that ran something) in {time.monotonic() - began:.0f} s, {clients.right} queries, "
          f"{len(clients.wrong)} killed")
    assert len(engine.nodes("cn")) == 2, "ghosts"


def test_a_node_that_is_told_to_go_finishes_what_it_runs(engine, answers):
    """The busiest one, in the middle of a query: it ends by itself, after its work, and not before."""
    slow = QUERIES[2]
    with Rows(engine, {slow: answers[slow]}, 4, seed="busy") as clients:
        clients.more(2)
        engine.wait("somebody runs something", lambda: max(running(engine).values()) > 0, 60)
        now = running(engine)
        name = max(now, key=now.get)
        assert engine.kill(name, signal.SIGTERM, 120) == 0
        assert "drained: running=0" in (engine.folder / f"{name}.log").read_text()
        engine.back(name)
        clients.more(4)

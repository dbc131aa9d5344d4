"""Invariant I5, at most one pod of a group disrupted, while operators are killed in the middle of an upgrade of three FEs,
three BEs and compute nodes: the oracle looks at the group's pods before each delete that the operator asks for.

The strict FE double stands behind the FE Service. A learning run counts the writes W; plans are 3 x W as in
test_operator_crash.py, all of them with ROOST_SOAK=1, else SAMPLE by ROOST_SEED.
"""

import concurrent.futures
import contextlib
import os

import pytest

from conftest import wait_until
from double_fixture import World, double_plane
from fault_plane import SEED, SOAK, Kept, actions, sample, scene

SAMPLE = 3
JOBS = int(os.environ.get("ROOST_JOBS", "4" if SOAK else "2"))
WHEN = ("before", "unanswered", "after")
WRITE = "PATCH|POST|PUT|DELETE"
NEW = {"image": "starrocks/x:3.4.0"}


@pytest.fixture(scope="module")
def plane_of_doubles():
    with double_plane() as p:
        p.crds()
        yield p


@contextlib.contextmanager
def highly_available(plane, folder):
    """Settled, the second FE leads."""
    with scene(plane, folder) as s:
        w = World(plane, s.namespace, s.start)
        try:
            w.create(fe=(3, {}), be=(3, {}), cn=(2, {}))
            s.settle()
            with w.double.lock:
                for f in w.double.frontends.values():
                    f.role = "LEADER" if f.host.startswith("c-fe-1") else "FOLLOWER"
            s.quiet(2)
            w.kubelet.changes.clear()
            w.kubelet.low.clear()
            yield s, w
            assert w.double.violations == []
        finally:
            if w.kubelet:
                w.kubelet.stop()
            if w.double:
                w.double.close()


def check(s, w):
    order = [(r, p) for r, p, image in w.kubelet.changes if image.endswith(":3.4.0")]
    assert [r for r, _ in order] == ["be"] * 3 + ["cn"] * 2 + ["fe"] * 3, order
    assert [p for r, p in order if r == "fe"][-1] == "c-fe-1", order
    assert s.oracle.disruptions == 6, s.oracle.disruptions
    assert w.kubelet.low["fe"] == w.kubelet.low["be"] == 2, w.kubelet.low


def upgrade(s, w):
    w.patch(fe=NEW, be=NEW, cn=NEW)


@pytest.fixture(scope="module")
def learnt(plane_of_doubles, tmp_path_factory):
    with highly_available(plane_of_doubles, tmp_path_factory.mktemp("learn")) as (s, w):
        first = len(s.own_writes())
        upgrade(s, w)
        s.settle(timeout=240)
        check(s, w)
        return len(s.own_writes()) - first


def crash(plane, folder, k, when):
    with highly_available(plane, folder) as (s, w):
        doomed = s.operator
        rule = s.proxy.rule(actions.crash(when, lambda: doomed.process.pid), verb=WRITE, identity="operator", skip=k, times=1)
        upgrade(s, w)
        wait_until("the crash, or the end", lambda: doomed.process.poll() is not None or s.is_settled(), 240, 0.1)
        rule.times = rule.fired
        if doomed.process.poll() is not None:
            s.start()
        s.settle(timeout=240)
        check(s, w)
        return rule.fired


def test_one_pod_of_a_group_at_a_time(plane_of_doubles, tmp_path, learnt):
    plans = [(k, when) for k in range(learnt) for when in WHEN]
    kept, bad = Kept("groups"), []
    todo = [p for p in sample(plans, SAMPLE) if f"{p[0]}/{p[1]}" not in kept.passed]

    def one(plan):
        try:
            kept.add(f"{plan[0]}/{plan[1]}", "crashed" if crash(plane_of_doubles, tmp_path, *plan) else "not reached")
        except AssertionError as error:
            bad.append(f"{plan}: {error}")
            print(bad[-1], flush=True)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, todo))
    words = list(kept.passed.values())
    print(f"I5: {len(words)} of {len(plans)} crash plans of an upgrade of 3 FE, 3 BE and 2 CN (seed {SEED}), {words.count('crashed')} "
          f"crashed as planned: {len(bad)} disrupted two of a group, left the order or did not end")
    assert not bad, "\n".join(bad[:5])

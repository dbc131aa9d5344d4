"""Crash plans (Sieve's way): kill -9 of the operator at each of its writes, before it is forwarded, after it is committed
but unanswered, and after the answer; a new one must end where the undisturbed life ended, with the same creates and deletes.

A learning run of each scenario counts its writes W; its plans are 3 x W. ROOST_SOAK=1 runs all of them, and keeps what
passed in build/soak/crash.json, so that a second call goes on; else SAMPLE by ROOST_SEED. ROOST_JOBS plans run side by side
(2, in the soak 5), each in a namespace of its own with an operator of its own.
"""

import concurrent.futures
import os
import time

import pytest

from conftest import wait_until
from fault_plane import SEED, SOAK, Kept, Oracle, actions, cluster_cr, difference, sample, scene
from operator_fixture import cr, part
from test_adoption import all_ready, make, volumes_for

SAMPLE = 12
WHEN = ("before", "unanswered", "after")
JOBS = int(os.environ.get("ROOST_JOBS", "5" if SOAK else "2"))
WRITE = "PATCH|POST|PUT|DELETE"
# What a soak found once is tried each time: Ready was told while the FE's new image was still to be written.
FOUND = [("upgrade", 4, "unanswered")]


# ---- scenarios: what is there before, what happens, when it is over ----
def settled(s):
    s.settle(timeout=240)


def absent(s):
    pass


def there(s):
    s.apply(cluster_cr(s.namespace))
    settled(s)


def create(s):
    s.apply(cluster_cr(s.namespace))


def create_engine(s):
    """Our engine's token, an autoscaler, the proxy, budgets."""
    o = cr(s.namespace, starRocksFeSpec=part(3), starRocksBeSpec=part(3),
           starRocksCnSpec={**part(1), "autoScalingPolicy": {"minReplicas": 1, "maxReplicas": 3, "hpaPolicy": {
               "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]}}},
           starRocksFeProxySpec={"replicas": 1})
    s.apply(o)


def scale(s):
    s.patch({"spec": {role: {"replicas": 3} for role in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec")}})


def upgrade(s):
    s.patch({"spec": {role: {"image": "roost/pause:2"} for role in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec")}})


def edit(s):
    s.patch({"spec": {"starRocksFeSpec": {"service": {"annotations": {"a": "b"}, "type": "NodePort"}, "podLabels": {"x": "y"}},
                      "starRocksBeSpec": {"beEnvVars": [{"name": "A", "value": "b"}]}, "starRocksCnSpec": {"annotations": {"p": "q"}}}})


def remove_cn(s):
    s.patch({"spec": {"starRocksCnSpec": None}})


def cn_gone(s):
    wait_until("the compute nodes' objects are gone", lambda: not [
        o for plural in ("deployments", "services") for o in s.api.items(plural) if o["metadata"]["name"].startswith("c-cn")], 240, 0.1)
    settled(s)


def hibernate(s):
    s.patch({"spec": {"hibernate": True}})


def asleep(s):
    wait_until("no pods are left", lambda: not s.api.items("pods"), 240, 0.1)
    wait_until("the status is of this generation", lambda: s.cr()["status"]["observedGeneration"] == s.cr()["metadata"]["generation"], 60)


def wake(s):
    s.patch({"spec": {"hibernate": False}})


def sleeping(s):
    there(s)
    hibernate(s)
    asleep(s)


def delete(s):
    s.api.delete("starrocksclusters", "c")


def gone(s):
    wait_until("no orphans (I6)", lambda: not [o for plural in (
        "starrocksclusters", "statefulsets", "deployments", "services", "horizontalpodautoscalers", "poddisruptionbudgets", "pods")
        for o in s.api.items(plural)], 240, 0.1)


def upstreams(s):
    """A cluster of upstream's operator that ours does not touch yet."""
    s.name = make(s.plane, s.namespace, "with-cn", {"roost.io/released": "true"})
    wait_until("upstream's pods are ready", lambda: all_ready(s.plane, s.namespace), 240)


def adopt(s):
    s.patch({"metadata": {"annotations": {"roost.io/released": None}}}, s.name)


def adopted(s):
    def gone_over():
        volumes_for(s.plane, s.namespace)
        return not s.api.get("statefulsets", f"{s.name}-cn")
    wait_until("the compute nodes are a Deployment's", gone_over, 240)
    s.settle(s.name, 240)


SCENARIOS = {"create": (absent, create, settled), "create-engine": (absent, create_engine, settled), "scale": (there, scale, settled),
             "upgrade": (there, upgrade, settled), "edit": (there, edit, settled), "remove-cn": (there, remove_cn, cn_gone),
             "adopt": (upstreams, adopt, adopted), "delete": (there, delete, gone), "hibernate": (there, hibernate, asleep),
             "wake": (sleeping, wake, settled)}


# ---- runs ----
def oracle_of(name):
    """Hibernation is the user's word that every set may go to 0; nothing else lowers FE or BE here."""
    return Oracle(may_lower=lambda plural, set_name, before, now: now == 0 and name in ("hibernate", "wake"))


def learn(plane, folder, name):
    """(W, end state, counts) of the undisturbed life."""
    before, act, after = SCENARIOS[name]
    with scene(plane, folder, oracle_of(name)) as s:
        s.start()
        before(s)
        s.quiet(2)
        first = len(s.own_writes())
        act(s)
        after(s)
        s.quiet(2)
        return len(s.own_writes()) - first, s.state(), dict(s.oracle.counts(s.namespace))


def crash(plane, folder, plan, learnt):
    """None, or what went wrong; a plan that its life never reached (fewer writes than learnt) is no failure."""
    name, k, when = plan
    before, act, after = SCENARIOS[name]
    _, state, counts = learnt
    try:
        with scene(plane, folder, oracle_of(name)) as s:
            first = s.start()
            before(s)
            s.quiet(2)
            rule = s.proxy.rule(actions.crash(when, lambda: first.process.pid), verb=WRITE, identity="operator", skip=k,
                                times=0 if when == "at once" else 1)
            act(s)
            if when == "at once":
                first.process.kill()
                first.process.wait(30)
            # A life with fewer writes than the learnt one ends without the crash.
            wait_until("the crash", lambda: first.process.poll() is not None or idle_since(s) > 20, 120, 0.05)
            rule.times = rule.fired
            if first.process.poll() is not None:
                s.start()
            after(s)
            s.quiet(2)
            wrong = difference(s.state(), state)
            if dict(s.oracle.counts(s.namespace)) != counts:
                wrong.append(f"counts {s.oracle.counts(s.namespace)} instead of {counts}; "
                             f"written: {s.own_writes()}; refused: {dict(s.oracle.refused)}")
            return (rule.fired or when == "at once", "\n".join(wrong) or None)
    except AssertionError as error:
        return (1, str(error))


def idle_since(s):
    """Seconds since the operator's last write."""
    return time.monotonic() - max([w.at for w in s.own_writes()], default=s.began)


def label(plan):
    return "/".join(map(str, plan))


@pytest.fixture(scope="module")
def learnt(kwok_plane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    for i in range(1, 8):
        kwok_plane.fake_node(f"fake-{i}")
    names = SCENARIOS if SOAK else dict.fromkeys([*sample(SCENARIOS, 4), *(name for name, _, _ in FOUND)])
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        return dict(zip(names, pool.map(lambda n: learn(kwok_plane, folder, n), names)))


def test_a_crash_at_any_write_converges(kwok_plane, tmp_path, learnt):
    plans = [(name, k, when) for name, (w, _, _) in learnt.items() for k in range(w) for when in WHEN]
    # Deleting costs the operator no write (the garbage collector does it): it dies as soon as the cluster is deleted.
    plans += [(name, 0, "at once") for name in learnt]
    kept = Kept("crash")
    chosen = [p for p in dict.fromkeys([*sample(plans, SAMPLE), *(p for p in FOUND if p in plans)]) if label(p) not in kept.passed]
    print(f"writes: { {n: v[0] for n, v in learnt.items()} }; {len(plans)} plans, {len(kept.passed)} passed before, "
          f"{len(chosen)} to run (seed {SEED})", flush=True)
    bad, began = [], time.monotonic()

    def one(plan):
        fired, wrong = crash(kwok_plane, tmp_path, plan, learnt[plan[0]])
        if wrong:
            bad.append(f"{label(plan)}: {wrong}")
            print(bad[-1], flush=True)
        else:
            kept.add(label(plan), "crashed" if fired else "not reached")
            if SOAK and len(kept.passed) % 20 == 0:
                print(f"[{time.monotonic() - began:.0f} s] {len(kept.passed)} of {len(plans)} passed, {len(bad)} failed", flush=True)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, chosen))
    words = list(kept.passed.values())
    print(f"crash plans: {len(chosen) - len(bad)} of {len(chosen)} converged now; {len(words)} of {len(plans)} in all, "
          f"{words.count('crashed')} of them crashed as planned")
    assert not bad, f"{len(bad)} plans failed:\n" + "\n".join(bad[:5])

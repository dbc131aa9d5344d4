"""Crash plans (Sieve's way): kill -9 of the operator at each of its writes, before it is forwarded, after it is committed
but unanswered, and after the answer; a new one must end where the undisturbed life ended, with the same creates and deletes.

A learning run of each scenario counts its writes W; its plans are 3 x W. ROOST_SOAK=1 runs all of them, and keeps what
passed in build/soak/crash.json, so that a second call goes on; else SAMPLE by ROOST_SEED. ROOST_JOBS plans run side by side (2).
"""

import concurrent.futures
import json
import os
import subprocess

import pytest

from conftest import REPO, wait_until
from fault_plane import SEED, SOAK, Oracle, actions, cluster_cr, difference, sample, scene
from operator_fixture import cr, part
from test_adoption import all_ready, make, volumes_for

SAMPLE = 12
WHEN = ("before", "unanswered", "after")
STATE = REPO / "build" / "soak" / "crash.json"
WRITE = "PATCH|POST|PUT|DELETE"


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
    wait_until("the compute nodes' objects are gone", lambda: "c-cn" not in s.plane.kubectl(
        "-n", s.namespace, "get", "deploy,svc", "-o", "name"), 240)
    settled(s)


def hibernate(s):
    s.patch({"spec": {"hibernate": True}})


def asleep(s):
    wait_until("no pods are left", lambda: not s.plane.get("-n", s.namespace, "pods")["items"], 240)
    wait_until("the status is of this generation", lambda: s.cr()["status"]["observedGeneration"] == s.cr()["metadata"]["generation"], 60)


def wake(s):
    s.patch({"spec": {"hibernate": False}})


def sleeping(s):
    there(s)
    hibernate(s)
    asleep(s)


def delete(s):
    s.plane.kubectl("-n", s.namespace, "delete", "src", "c", "--wait=false")


def gone(s):
    wait_until("no orphans (I6)", lambda: not s.plane.kubectl("-n", s.namespace, "get", "src,sts,deploy,svc,hpa,pdb,pods", "-o", "name"), 240)


def upstreams(s):
    """A cluster of upstream's operator that ours does not touch yet."""
    s.name = make(s.plane, s.namespace, "with-cn", {"roost.io/released": "true"})
    wait_until("upstream's pods are ready", lambda: all_ready(s.plane, s.namespace), 240)


def adopt(s):
    s.patch({"metadata": {"annotations": {"roost.io/released": None}}}, s.name)


def adopted(s):
    wait_until("the compute nodes are a Deployment's", lambda: (volumes_for(s.plane, s.namespace), f"{s.name}-cn" not in s.plane.kubectl(
        "-n", s.namespace, "get", "sts", "-o", "name"))[1], 240)
    s.settle(s.name, 240)


SCENARIOS = {"create": (absent, create, settled), "create-engine": (absent, create_engine, settled), "scale": (there, scale, settled),
             "upgrade": (there, upgrade, settled), "edit": (there, edit, settled), "remove-cn": (there, remove_cn, cn_gone),
             "adopt": (upstreams, adopt, adopted), "delete": (there, delete, gone)}
if any("hibernate" in p.read_text() for p in (REPO / "operator").glob("*/*.c")):
    SCENARIOS |= {"hibernate": (there, hibernate, asleep), "wake": (sleeping, wake, settled)}


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
            rule = s.proxy.rule(actions.crash(when, lambda: first.process.pid), verb=WRITE, identity="operator", skip=k, times=1)
            act(s)
            try:
                first.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
            if first.process.poll() is not None:
                s.start()
            after(s)
            s.quiet(2)
            wrong = difference(s.state(), state)
            if dict(s.oracle.counts(s.namespace)) != counts:
                wrong.append(f"counts {s.oracle.counts(s.namespace)} instead of {counts}")
            return (rule.fired, "\n".join(wrong) or None)
    except AssertionError as error:
        return (1, str(error))


def label(plan):
    return "/".join(map(str, plan))


@pytest.fixture(scope="module")
def learnt(kwok_plane, tmp_path_factory):
    folder = tmp_path_factory.mktemp("learn")
    for i in range(1, 8):
        kwok_plane.fake_node(f"fake-{i}")
    names = SCENARIOS if SOAK else sample(SCENARIOS, 4)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("ROOST_JOBS", "2"))) as pool:
        return dict(zip(names, pool.map(lambda n: learn(kwok_plane, folder, n), names)))


def passed_before():
    tree = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPO, capture_output=True, text=True).stdout.strip()
    try:
        kept = json.loads(STATE.read_text())
        return kept if SOAK and kept["tree"] == tree else {"tree": tree, "passed": []}
    except (OSError, ValueError, KeyError):
        return {"tree": tree, "passed": []}


def test_a_crash_at_any_write_converges(kwok_plane, tmp_path, learnt):
    plans = [(name, k, when) for name, (w, _, _) in learnt.items() for k in range(w) for when in WHEN]
    kept = passed_before()
    chosen = [p for p in sample(plans, SAMPLE) if label(p) not in kept["passed"]]
    print(f"writes: { {n: v[0] for n, v in learnt.items()} }; {len(plans)} plans, {len(kept['passed'])} passed before, "
          f"{len(chosen)} to run (seed {SEED})", flush=True)
    bad, reached = [], 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("ROOST_JOBS", "2"))) as pool:
        for plan, (fired, wrong) in zip(chosen, pool.map(lambda p: crash(kwok_plane, tmp_path, p, learnt[p[0]]), chosen)):
            reached += fired > 0
            if wrong:
                bad.append(f"{label(plan)}: {wrong}")
                print(bad[-1], flush=True)
                continue
            kept["passed"].append(label(plan))
            if SOAK:
                STATE.parent.mkdir(parents=True, exist_ok=True)
                STATE.write_text(json.dumps(kept))
    print(f"crash plans: {len(chosen) - len(bad)} of {len(chosen)} converged, {reached} of them crashed as planned; "
          f"{len(kept['passed'])} of {len(plans)} in all")
    assert not bad, f"{len(bad)} plans failed:\n" + "\n".join(bad[:5])

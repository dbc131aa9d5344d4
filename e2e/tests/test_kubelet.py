"""What only a kubelet shows, with the engine's own pods: scale-ins, an eviction, an upgrade and a hibernation take no query
and no row with them. 3 scale-ins in `make test`, 50 with ROOST_SOAK=1."""

import json
import os
import random
import time

import pytest

from conftest import run, wait_until
from kubelet_fixture import IMAGE, NAME, QUICK, QUICK_ROWS, Asking, Quick, roost
from operator_fixture import condition

SCALE_INS = int(os.environ.get("ROOST_KUBELET_SCALE_INS", "50" if os.environ.get("ROOST_SOAK") == "1" else "3"))


@pytest.fixture(scope="module")
def quick(cluster):
    if cluster.foreign:
        pytest.skip("images are built for the local cluster only")
    name = f"t-kubelet-{random.randrange(10**6)}"
    cluster.kubectl("create", "namespace", name)
    wait_until("service account", lambda: cluster.kubectl("-n", name, "get", "sa", "default", check=False))
    with roost(cluster):
        q = Quick(cluster, name, {"replicas": 2})
        q.start()
        wait_until("two compute nodes", lambda: q.settled(2), 120)
        q.load()
        q.sql("CREATE TABLE d.kept (k BIGINT NOT NULL) DISTRIBUTED BY HASH(k) BUCKETS 3")
        q.sql("INSERT INTO d.kept SELECT r.range FROM range(1000) r")
        yield q
        cluster.kubectl("-n", name, "delete", "src", "--all", "--wait=true", check=False, timeout=180)
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.mark.timeout(3600)
def test_no_query_is_killed_by_a_scale_in(quick):
    chance, done, began = random.Random(int(os.environ.get("ROOST_SEED", "1"))), 0, time.monotonic()
    with Asking(quick) as asking:
        asking.more(4)
        n = 2
        while done < SCALE_INS:
            up = chance.randint(1, 2)
            quick.scale(n + up)
            wait_until(f"{n + up} compute nodes", lambda: quick.settled(n + up), 120)
            asking.more(2)
            down = up if chance.random() < 0.5 else 1
            for _ in range(up // down):
                n_now = len(quick.pods())
                quick.scale(n_now - down)
                wait_until(f"{n_now - down} compute nodes, no ghost", lambda: quick.settled(n_now - down), 180)
                done += down
            assert not asking.wrong, asking.wrong[:3]
        asking.more(4)
    print(f"{done} pods left by scale-in in {time.monotonic() - began:.0f} s; {asking.right} queries answered, {len(asking.wrong)} failed")


def test_an_evicted_compute_node_takes_no_query_with_it(quick):
    """As `kubectl drain` does it: through the Eviction API, which asks the PodDisruptionBudget."""
    with Asking(quick) as asking:
        asking.more(4)
        victim = quick.pods()[0]["metadata"]["name"]
        path = f"/api/v1/namespaces/{quick.namespace}/pods/{victim}/eviction"
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": victim, "namespace": quick.namespace}}
        wait_until("the eviction is granted", lambda: quick.cluster.kubectl(
            "create", "--raw", path, "-f", "-", stdin=json.dumps(eviction), check=False), 60)
        wait_until("another has taken its place", lambda: quick.settled(2) and victim not in
                   [p["metadata"]["name"] for p in quick.pods()], 180)
        asking.more(8)


@pytest.mark.timeout(900)
def test_an_upgrade_goes_role_by_role_and_keeps_every_row(quick):
    """Another tag of the same image: backends, then compute nodes, then the FE."""
    run("ctr", "-a", "/run/roost-cluster/containerd.sock", "-n", "k8s.io", "images", "tag", "--force", f"docker.io/{IMAGE}",
        "docker.io/roost/engine:next")
    order, before = [], {r: {p["metadata"]["uid"] for p in quick.pods(r)} for r in ("fe", "be", "cn")}
    quick.patch({part: {"image": "roost/engine:next"} for part in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec")})

    def done():
        now = {role: quick.pods(role) for role in ("be", "cn", "fe")}
        for role, pods in now.items():
            if role not in order and any(p["metadata"]["uid"] not in before[role] for p in pods):
                order.append(role)
        return all(pods and all(p["spec"]["containers"][0]["image"] == "roost/engine:next" for p in pods) for pods in now.values()) \
            and condition(quick.cluster, quick.namespace, "Ready", NAME).get("status") == "True" and quick.settled(2)

    wait_until("everything runs the next image", lambda: probe(done), 600)
    assert order == ["be", "cn", "fe"], order
    assert quick.sql(QUICK) == QUICK_ROWS
    assert quick.sql("SELECT count(*), sum(k) FROM d.kept") == ((1000, 499500),)


@pytest.mark.timeout(900)
def test_a_hibernation_keeps_every_row(quick):
    quick.patch({"hibernate": True})
    wait_until("no pod is left", lambda: not any(quick.pods(r) for r in ("fe", "be", "cn")), 240)
    assert condition(quick.cluster, quick.namespace, "Hibernated", NAME).get("status") == "True"
    quick.patch({"hibernate": False})
    wait_until("everybody is back", lambda: probe(lambda: quick.settled(2)), 300)
    wait_until("the backend is back", lambda: any(n["Alive"] == "true" for n in quick.nodes("BACKENDS")), 120)
    assert quick.sql(QUICK) == QUICK_ROWS
    assert quick.sql("SELECT count(*), sum(k) FROM d.kept") == ((1000, 499500),)


def probe(question):
    """False while the FE is away."""
    try:
        return question()
    except Exception:  # noqa: BLE001: a closed port, a lost connection, an old answer
        return False

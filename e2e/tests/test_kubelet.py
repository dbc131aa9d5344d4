"""What only a kubelet shows, with the engine's own pods: scale-ins and an eviction take no query
with them. 3 scale-ins in `make test`, 50 with ROOST_SOAK=1."""

import json
import os
import random
import time

import pytest

from conftest import wait_until
from kubelet_fixture import Asking, Quick, roost

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

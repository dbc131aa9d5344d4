"""KEDA's operator and adapter in pods, our operator and scaler from the chart, our engine: the whole chain on the real
Kubernetes. Left out where KEDA is not built (10 minutes cold); ROOST_SOAK=1 builds it.
"""

import pytest

from conftest import TOOLS, run, wait_until
from kubelet_fixture import Quick, Scaler, is_built, roost, timeline

SCALING = {"minReplicas": 0, "maxReplicas": 3, "slotsPerNode": 2, "waitTargetSeconds": 1, "scaleInWindowSeconds": 5,
           "keda": {"cooldownSeconds": 5}}


@pytest.mark.timeout(1500)
def test_keda_scales_our_cluster_from_none_to_many_and_back(cluster, namespace):
    if cluster.foreign:
        pytest.skip("KEDA, images and the chart are put on the local cluster only")
    if not is_built("keda-operator", "keda-adapter"):
        pytest.skip("keda-operator and keda-adapter not built (e2e/cluster/build-bin, 10 min; ROOST_SOAK=1 does)")
    run(TOOLS / "up", "--with", "keda", timeout=2400)
    with roost(cluster):
        quick = Quick(cluster, namespace, {"roostAutoscaling": SCALING})
        quick.start()
        wait_until("KEDA's HPA follows the cluster", lambda: cluster.get("-n", namespace, "hpa")["items"], 120)
        quick.load()  # nobody is there yet: it waits for the first
        wait_until("nobody is left", lambda: quick.replicas() == 0 and not quick.pods() and not quick.nodes(), 240)
        rows, answered, failed = timeline(quick, Scaler(cluster, namespace))
        for row in rows:
            print("%6.1f s: wanted %d, replicas %d, pods %d, alive %d, waiting %d, answered %d" % row)
        assert answered and not failed, failed[:3]
        assert max(r[4] for r in rows) >= 2, "it did not grow"
        assert rows[-1][1:5] == (0, 0, 0, 0), "it did not go back"
        scaled = cluster.get("-n", namespace, "scaledobject", "quickstart-cn")
        assert {c["type"]: c["status"] for c in scaled["status"]["conditions"]}["Ready"] == "True"
        cluster.kubectl("-n", namespace, "delete", "src", "--all", "--wait=true", timeout=180)

"""Karpenter's real controller with its kwok provider on a control plane of a test's own: our NodePools place FE, BE and CN,
spot first; the operator takes startup taints away and drains at an interruption. Machines and pods exist in the API only.

Karpenter is not built here: `e2e/cluster/build-bin karpenter` (3 min cold), or ROOST_SOAK=1.
"""

import json
import os

import pytest
import yaml

import go_modules
from conftest import REPO, run, wait_until
from engine_fixture import free_ports
from keda_fixture import StubScaler
from operator_fixture import operators
from plane_fixture import BIN, TOOLS, Plane

KARPENTER = REPO / "manifests/karpenter"
WORKERS = {"r6i.24xlarge", "m6in.24xlarge", "r6in.24xlarge", "m5n.24xlarge"}
TYPES = {"fe": {"c6i.8xlarge", "c6in.8xlarge", "m5.8xlarge"}, "be": WORKERS, "cn": WORKERS}


class KarpenterPlane(Plane):
    def __init__(self):
        super().__init__(kwok=True)

    def start_karpenter(self, types):
        self.stop("karpenter")
        (self.folder / "types.json").write_text(json.dumps(types))
        metrics, probes = free_ports(2)
        env = {"KUBECONFIG": self.kubeconfig, "INSTANCE_TYPES_FILE_PATH": f"{self.folder}/types.json", "DISABLE_LEADER_ELECTION": "true",
               "METRICS_PORT": metrics, "HEALTH_PROBE_PORT": probes, "SYSTEM_NAMESPACE": "kube-system", "LOG_LEVEL": "info",
               "BATCH_IDLE_DURATION": "1s"}
        self.start("karpenter", "env", *(f"{k}={v}" for k, v in env.items()), BIN / "karpenter")

    def machines(self, role=None):
        nodes = self.get("nodes", "-l", f"roost.io/role={role}" if role else "roost.io/role")["items"]
        return {n["metadata"]["name"]: n for n in nodes}


@pytest.fixture(scope="module")
def types():
    return json.loads((KARPENTER / "kwok/instance-types.json").read_text())


@pytest.fixture(scope="module")
def karpenter(types):
    if os.environ.get("ROOST_SOAK") == "1":
        run(TOOLS / "build-bin", "karpenter", timeout=2400)
    if not (BIN / "karpenter").exists():
        pytest.skip("karpenter is not built (e2e/cluster/build-bin karpenter, 3 min; ROOST_SOAK=1 does)")
    with KarpenterPlane() as p:
        p.crds()
        go_modules.install(p, go_modules.karpenter_crds())
        p.kubectl("apply", "-k", str(KARPENTER / "kwok"))
        p.start_karpenter(types)
        yield p


@pytest.fixture
def placed(karpenter, tmp_path):
    """manifests/karpenter/cluster.yaml as it is, but for volumes that nobody here would make."""
    namespace = karpenter.new_namespace()
    doc = next(d for d in yaml.safe_load_all((KARPENTER / "cluster.yaml").read_text()) if d["kind"] == "StarRocksCluster")
    doc["metadata"]["namespace"] = namespace
    for part in doc["spec"].values():
        part.pop("storageVolumes", None)
    (tmp_path / "token").write_text("stub-token\n")
    with StubScaler(2) as scaler, operators(karpenter, namespace, tmp_path) as start:
        karpenter.apply([doc])
        start(f"--scaler-url={scaler.url}", f"--scaler-token-file={tmp_path}/token", "--watch-nodes=karpenter.sh/nodepool")
        yield namespace, scaler
        karpenter.kubectl("-n", namespace, "delete", "src", "--all")
        wait_until("its pods are gone", lambda: not karpenter.get("-n", namespace, "pods")["items"], 120)
        karpenter.kubectl("delete", "nodeclaims", "--all", "--wait=false")
        wait_until("its machines are gone", lambda: not karpenter.machines(), 120)


def pods(plane, namespace, role):
    return [p for p in plane.get("-n", namespace, "pods", "-l", f"app.kubernetes.io/component={role}")["items"]
            if "deletionTimestamp" not in p["metadata"]]


def ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


def wait_placed(plane, namespace, role, n):
    return wait_until(f"{n} {role} run", lambda: (lambda ps: ps if len(ps) == n and all(map(ready, ps)) else None)(
        pods(plane, namespace, role)), 240)


def label(node, key):
    return node["metadata"]["labels"][key]


def test_each_role_on_its_machines_spot_first(karpenter, placed):
    namespace, scaler = placed
    for role, n in (("fe", 3), ("be", 3), ("cn", 2)):
        on = [p["spec"]["nodeName"] for p in wait_placed(karpenter, namespace, role, n)]
        nodes = [karpenter.machines(role)[name] for name in on]
        assert len(set(on)) == n, "one to a machine"
        assert {label(x, "node.kubernetes.io/instance-type") for x in nodes} <= TYPES[role]
        assert {label(x, "karpenter.sh/capacity-type") for x in nodes} == {"spot" if role == "cn" else "on-demand"}
        if role != "cn":
            assert len({label(x, "topology.kubernetes.io/zone") for x in nodes}) == 3, f"{role} in three zones"
        else:
            assert {label(x, "karpenter.sh/nodepool") for x in nodes} == {"roost-cn-spot"}
    # The startup taint is the operator's to take away; Karpenter then calls the machine initialised.
    wait_until("no startup taint", lambda: not [t for n in karpenter.machines("cn").values() for t in n["spec"].get("taints", [])
                                               if t["key"] == "roost.io/starting"], 60)
    wait_until("the machines are initialised", lambda: all(
        label(n, "karpenter.sh/initialized") == "true" for n in karpenter.machines("cn").values()), 60)

    # An interruption, as Karpenter's own handling of the queue begins it; nobody but the operator may move the pod.
    pod = pods(karpenter, namespace, "cn")[0]
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    karpenter.kubectl("-n", namespace, "annotate", "pod", name, "karpenter.sh/do-not-disrupt=true")
    claim = next(c for c in karpenter.get("nodeclaims")["items"] if c["status"].get("nodeName") == node)["metadata"]["name"]
    karpenter.kubectl("delete", "nodeclaim", claim, "--wait=false")
    wait_until("the pod leaves", lambda: name not in {p["metadata"]["name"] for p in pods(karpenter, namespace, "cn")}, 60)
    moved = wait_placed(karpenter, namespace, "cn", 2)
    assert node not in {p["spec"]["nodeName"] for p in moved}
    wait_until("the machine is gone", lambda: node not in karpenter.machines("cn"), 120)

    # Fewer are wanted: the machine that is empty goes (consolidateAfter 2m; not waited for in a sample).
    scaler.desired = 1
    wait_placed(karpenter, namespace, "cn", 1)


def test_on_demand_when_there_is_no_spot(karpenter, types, placed):
    namespace, _ = placed
    without = [{**t, "offerings": [o for o in t["offerings"] if "spot" not in json.dumps(o)]} for t in types]
    karpenter.start_karpenter(without)
    try:
        on = [p["spec"]["nodeName"] for p in wait_placed(karpenter, namespace, "cn", 2)]
        pools = {label(karpenter.machines("cn")[n], "karpenter.sh/nodepool") for n in on}
        assert pools == {"roost-cn-on-demand"}
    finally:
        karpenter.start_karpenter(types)

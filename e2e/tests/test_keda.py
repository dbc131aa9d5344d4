"""The ScaledObject that the operator makes, the fast path beside it, and that the two do not fight: with KEDA's CRDs alone,
and with KEDA's real operator, adapter and the HPA where their programs are built.
"""

import contextlib
import json
import time

import pytest

import go_modules
from conftest import wait_until
from keda_fixture import KedaPlane, StubScaler, keda_programs
from operator_fixture import cr, operators, part
from plane_fixture import Plane


def cluster_of(namespace, **scaling):
    return cr(namespace, starRocksFeSpec=part(), starRocksCnSpec={
        k: v for k, v in part(roostAutoscaling={"maxReplicas": 40, **scaling}).items() if k != "replicas"})


def scaled(plane, namespace):
    found = plane.kubectl("-n", namespace, "get", "scaledobject", "c-cn", "-o", "json", check=False)
    return json.loads(found) if found else None


def replicas(plane, namespace):
    return plane.get("-n", namespace, "src", "c")["spec"]["starRocksCnSpec"].get("replicas", 1)


def bounds(plane, namespace):
    spec = (scaled(plane, namespace) or {}).get("spec", {})
    return spec.get("minReplicaCount"), spec.get("maxReplicaCount")


@contextlib.contextmanager
def roost(plane, tmp_path, desired=0, **scaling):
    """A namespace with a cluster, the operator that serves it, and its scaler."""
    namespace = plane.new_namespace()
    (tmp_path / "token").write_text("stub-token\n")
    with StubScaler(desired) as scaler, operators(plane, namespace, tmp_path) as start:
        plane.apply([cluster_of(namespace, **scaling)])
        operator = start(f"--scaler-url={scaler.url}", f"--scaler-token-file={tmp_path}/token")
        yield namespace, scaler, operator


# ---- KEDA's definitions, and nobody who acts on them ----
@pytest.fixture(scope="module")
def bare():
    with Plane() as p:
        p.crds()
        yield p


def test_operator_follows_keda_as_it_is_installed(bare, tmp_path):
    """First without KEDA: only /scale is patched. Then its CRDs appear, and the objects with them, valid to the letter."""
    with roost(bare, tmp_path, desired=3) as (namespace, scaler, _):
        wait_until("the fast path patches /scale", lambda: replicas(bare, namespace) == 3, 30)
        assert bare.kubectl("get", "crd", "scaledobjects.keda.sh", check=False) == ""
        go_modules.install(bare, go_modules.keda_crds())
        found = wait_until("a ScaledObject", lambda: scaled(bare, namespace), 60)
        trigger = found["spec"]["triggers"][0]
        assert trigger["metadata"]["url"] == f"{scaler.url}/v1/namespaces/{namespace}/clusters/c/pools/cn"
        assert scaler.asked[0] == trigger["metadata"]["url"].removeprefix(scaler.url), "one path for both"
        assert found["spec"]["fallback"] == {"failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher"}
        auth = bare.get("-n", namespace, "triggerauthentication", trigger["authenticationRef"]["name"])
        secret = auth["spec"]["secretTargetRef"][0]
        data = bare.get("-n", namespace, "secret", secret["name"])
        assert data["data"][secret["key"]] == "c3R1Yi10b2tlbg==" and data["immutable"]
        # Drift is put right; what is no longer wanted goes.
        bare.kubectl("-n", namespace, "patch", "scaledobject", "c-cn", "--type=merge", "-p", '{"spec":{"pollingInterval":99}}')
        wait_until("the interval is put right", lambda: scaled(bare, namespace)["spec"]["pollingInterval"] == 1, 30)
        bare.kubectl("-n", namespace, "patch", "src", "c", "--type=merge", "-p",
                     '{"spec":{"starRocksCnSpec":{"roostAutoscaling":{"keda":{"enabled":false}}}}}')
        wait_until("the ScaledObject goes", lambda: not scaled(bare, namespace), 30)
        assert not bare.get("-n", namespace, "triggerauthentication")["items"]
        scaler.desired = 5
        wait_until("the fast path goes on", lambda: replicas(bare, namespace) == 5, 30)


def test_a_step_is_pinned_in_its_direction_and_let_go(bare, tmp_path):
    go_modules.install(bare, go_modules.keda_crds())
    with roost(bare, tmp_path, desired=11) as (namespace, scaler, _):
        wait_until("eleven", lambda: replicas(bare, namespace) == 11 and scaled(bare, namespace), 60)
        scaler.desired = 12
        wait_until("twelve, and not below", lambda: bounds(bare, namespace) == (12, 40), 30)
        wait_until("/scale says twelve", lambda: replicas(bare, namespace) == 12, 30)
        scaler.desired = 11
        wait_until("eleven, and not above", lambda: bounds(bare, namespace) == (0, 11), 30)
        wait_until("/scale says eleven", lambda: replicas(bare, namespace) == 11, 30)
        wait_until("both are let go", lambda: bounds(bare, namespace) == (0, 40), 90)
        scaler.desired = None
        time.sleep(3)
        assert replicas(bare, namespace) == 11, "503 changes nothing"


def test_a_warehouse_has_a_scaled_object_of_its_own(bare, tmp_path):
    """On its own /scale, with a Secret that goes when it goes; its cluster has none."""
    go_modules.install(bare, go_modules.keda_crds())
    namespace = bare.new_namespace()
    (tmp_path / "token").write_text("stub-token\n")
    labels = {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": "w-warehouse-cn"}
    with StubScaler(3) as scaler, operators(bare, namespace, tmp_path) as start:
        bare.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe-conf"}, "data": {"fe.conf": "run_mode = shared_data\n"}},
                    {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c"}, "spec": {
                        "starRocksFeSpec": part(configMapInfo={"configMapName": "fe-conf", "resolveKey": "fe.conf"})}},
                    {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": "w"}, "spec": {
                        "starRocksCluster": "c", "template": {"image": "none", "replicas": 1, "roostAutoscaling": {"maxReplicas": 5}}}}], namespace)
        uid = bare.get("-n", namespace, "starrockswarehouses", "w")["metadata"]["uid"]
        # Its nodes are there already, as after an operator's restart: no FE answers here.
        bare.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "w-warehouse-cn", "labels": {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": "w-warehouse"},
            "ownerReferences": [{"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "name": "w", "uid": uid}]},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels}, "spec": {"containers": [{"name": "cn", "image": "none"}]}}}}], namespace)
        start(f"--scaler-url={scaler.url}", f"--scaler-token-file={tmp_path}/token")
        wait_until("the FE's pod", lambda: bare.kubectl("-n", namespace, "get", "pod", "c-fe-0", check=False), 60)
        bare.set_status(namespace, "pod", "c-fe-0", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
        text = wait_until("a ScaledObject", lambda: bare.kubectl("-n", namespace, "get", "scaledobject", "w-warehouse-cn", "-o", "json",
                                                                check=False), 60)
        spec = json.loads(text)["spec"]
        assert spec["scaleTargetRef"] == {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "name": "w"}
        path = f"/v1/namespaces/{namespace}/clusters/w-warehouse/pools/cn"
        assert spec["triggers"][0]["metadata"]["url"] == scaler.url + path and path in scaler.asked
        auth = bare.get("-n", namespace, "triggerauthentication", spec["triggers"][0]["authenticationRef"]["name"])
        secret = bare.get("-n", namespace, "secret", auth["spec"]["secretTargetRef"][0]["name"])
        assert secret["data"]["token"] == "c3R1Yi10b2tlbg=="
        assert [(o["kind"], o["name"], o["uid"]) for o in secret["metadata"]["ownerReferences"]] == [("StarRocksWarehouse", "w", uid)]
        wait_until("the fast path patches its /scale", lambda: bare.get(
            "-n", namespace, "starrockswarehouses", "w")["spec"]["template"]["replicas"] == 3, 30)
        assert len(bare.get("-n", namespace, "scaledobject")["items"]) == 1


# ---- KEDA and the HPA at work ----
@pytest.fixture(scope="module", params=[False, True], ids=["without-tolerance", "with-tolerance"])
def keda(request):
    keda_programs()
    with KedaPlane(gate=request.param) as p:
        p.gate = request.param
        p.crds()
        p.start_keda()
        p.fake_node("fake-0")
        yield p


def hpa(plane, namespace):
    found = plane.get("-n", namespace, "hpa")["items"]
    return found[0] if found else {}


def condition(obj, kind):
    return next((c["status"] for c in obj.get("status", {}).get("conditions", []) if c["type"] == kind), None)


def stays(plane, namespace, n, seconds):
    """Every value of spec.replicas that is seen while the HPA syncs again and again."""
    end, seen = time.monotonic() + seconds, []
    while time.monotonic() < end:
        seen.append(replicas(plane, namespace))
        time.sleep(0.2)
    return {v for v in seen if v != n}


def settled(plane, namespace, n, scaler):
    """n is asked, patched, run by kwok, and computed by the HPA."""
    scaler.desired = n
    wait_until(f"/scale says {n}", lambda: replicas(plane, namespace) == n, 60)
    wait_until(f"{n} pods are ready", lambda: plane.get("-n", namespace, "deploy", "c-cn")["status"].get("readyReplicas", 0) == n, 120)
    return wait_until(f"the HPA wants {n}", lambda: (lambda h: h if h.get("status", {}).get("desiredReplicas") == n else None)(
        hpa(plane, namespace)), 90)


def test_eleven_to_twelve_and_back(keda, tmp_path):
    """A step of one at twelve nodes is inside an HPA's tolerance: it happens within seconds all the same, and stays."""
    with roost(keda, tmp_path, desired=11) as (namespace, scaler, _):
        wait_until("the HPA reads the scaler", lambda: condition(hpa(keda, namespace), "ScalingActive") == "True", 120)
        settled(keda, namespace, 11, scaler)
        kept = hpa(keda, namespace)["spec"]["behavior"]["scaleUp"].get("tolerance")
        assert (kept is not None) == keda.gate
        settled(keda, namespace, 12, scaler)
        assert not stays(keda, namespace, 12, 40), "written back"
        settled(keda, namespace, 11, scaler)
        assert not stays(keda, namespace, 11, 40), "written back"


def test_the_pin_holds_without_the_operator(keda, tmp_path):
    """The operator dies in the middle of a step: the HPA carries it out, since it may not go below the pin."""
    with roost(keda, tmp_path, desired=11) as (namespace, scaler, operator):
        wait_until("the HPA reads the scaler", lambda: condition(hpa(keda, namespace), "ScalingActive") == "True", 120)
        settled(keda, namespace, 11, scaler)
        scaler.desired = 12
        wait_until("the pin reached the HPA", lambda: hpa(keda, namespace)["spec"].get("minReplicas") == 12, 60)
        operator.stop()
        keda.kubectl("-n", namespace, "patch", "src", "c", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":11}}')
        wait_until("the HPA puts twelve back", lambda: replicas(keda, namespace) == 12, 90)


def test_zero_to_many_to_zero_and_unknown_is_held(keda, tmp_path):
    with roost(keda, tmp_path, desired=0, keda={"cooldownSeconds": 5, "fallbackReplicas": 2}) as (namespace, scaler, _):
        wait_until("zero", lambda: replicas(keda, namespace) == 0 and scaled(keda, namespace), 60)
        settled(keda, namespace, 5, scaler)
        scaler.desired = None
        assert not stays(keda, namespace, 5, 40), "503 holds what is there"
        scaler.desired = 0
        wait_until("zero again", lambda: replicas(keda, namespace) == 0, 60)
        assert not stays(keda, namespace, 0, 20)
    assert scaler.refused == 0

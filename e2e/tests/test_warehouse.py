"""A StarRocksWarehouse on a real API server: what it waits for, its objects, its status, and how it leaves.

No FE answers on a control plane, so that what an FE says is covered by operator/reconcile/warehouse_test.c; a Deployment that
is there already (as after an operator's restart) is carried on without asking.
"""

import json

import pytest

from conftest import wait_until
from operator_fixture import operators, part


@pytest.fixture
def start(plane, tmp_path):
    """An operator for the two namespaces of a test."""
    a, b = plane.new_namespace(), plane.new_namespace()
    with operators(plane, f"{a},{b}", tmp_path) as go:
        yield a, b, go
    for name in (a, b):
        plane.kubectl("delete", "namespace", name, "--wait=false", check=False)


def warehouse(namespace, name="big-loads", **spec):
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": name, "namespace": namespace},
            "spec": {"starRocksCluster": "c", "template": {"image": "none", "replicas": 2}, **spec}}


def degraded(plane, namespace, name="big-loads"):
    status = plane.get("-n", namespace, "starrockswarehouses", name).get("status", {})
    return {c["type"]: c["reason"] for c in status.get("conditions", []) if c["status"] == "True"}


def test_a_warehouse_from_its_cluster_to_its_end(plane, start):
    data, etl, go = start
    go()
    plane.apply([warehouse(etl, starRocksClusterNamespace=data)])
    wait_until("no such cluster", lambda: degraded(plane, etl).get("Degraded") == "ClusterMissing", 60)

    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe-conf", "namespace": data},
            "data": {"fe.conf": "run_mode = shared_data\nquery_port = 9031\n"}}
    cluster = {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c", "namespace": data},
               "spec": {"starRocksFeSpec": {"image": "none", **part(configMapInfo={"configMapName": "fe-conf", "resolveKey": "fe.conf"})}}}
    plane.apply([conf, cluster])
    wait_until("not for this namespace", lambda: degraded(plane, etl).get("Degraded") == "NamespaceNotAllowed", 60)
    cluster["spec"]["warehouseNamespaces"] = [etl]
    plane.apply([cluster])
    wait_until("the FE's pod", lambda: plane.kubectl("-n", data, "get", "pod", "c-fe-0", check=False), 60)
    wait_until("it waits for the FE", lambda: "Degraded" not in degraded(plane, etl) and degraded(plane, etl).get("Progressing"), 60)
    assert not plane.get("-n", etl, "deploy")["items"], "nothing is made before the FE is ready and offers warehouses"
    plane.set_status(data, "pod", "c-fe-0", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})

    uid = plane.get("-n", etl, "starrockswarehouses", "big-loads")["metadata"]["uid"]
    plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
        "name": "big-loads-warehouse-cn", "namespace": etl,
        "labels": {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": "big-loads-warehouse"},
        "ownerReferences": [{"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "name": "big-loads", "uid": uid}]},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app.kubernetes.io/component": "cn",
                                                            "app.starrocks.ownerreference/name": "big-loads-warehouse-cn"}},
                 "template": {"metadata": {"labels": {"app.kubernetes.io/component": "cn",
                                                      "app.starrocks.ownerreference/name": "big-loads-warehouse-cn"}},
                              "spec": {"containers": [{"name": "cn", "image": "none"}]}}}}])

    def made():
        set_ = plane.get("-n", etl, "deploy", "big-loads-warehouse-cn")
        env = {e["name"]: e.get("value") for e in set_["spec"]["template"]["spec"]["containers"][0].get("env", [])}
        return set_["spec"]["replicas"] == 2 and env if env.get("KUBE_STARROCKS_MULTI_WAREHOUSE") == "big_loads" else None

    env = wait_until("its nodes", made, 60)
    assert env["FE_SERVICE_NAME"] == f"c-fe-service.{data}" and env["FE_QUERY_PORT"] == "9031" and env["HOST_TYPE"] == "IP"
    for service in ("big-loads-warehouse-cn-service", "big-loads-warehouse-cn-search"):
        plane.get("-n", etl, "service", service)
    live = wait_until("its status", lambda: (lambda w: w if w.get("status", {}).get(
        "creatingInstances") and w["status"].get("replicas") == 2 else None)(
        plane.get("-n", etl, "starrockswarehouses", "big-loads")), 60)
    assert live["metadata"]["finalizers"] == ["roost.io/warehouse"]
    assert live["status"]["serviceName"] == "big-loads-warehouse-cn-service"
    assert "starRocksCnStatus" not in live["status"]

    # It scales by its own /scale, and a lost Service comes back.
    plane.kubectl("-n", etl, "scale", "starrockswarehouses/big-loads", "--replicas=3")
    wait_until("three nodes", lambda: plane.get("-n", etl, "deploy", "big-loads-warehouse-cn")["spec"]["replicas"] == 3, 60)
    plane.kubectl("-n", etl, "delete", "service", "big-loads-warehouse-cn-search")
    wait_until("the Service again", lambda: plane.kubectl("-n", etl, "get", "service", "big-loads-warehouse-cn-search", check=False), 60)

    # The FE does not answer: the nodes go, and the warehouse stays until DROP WAREHOUSE is done, or is not wanted.
    plane.kubectl("-n", etl, "delete", "starrockswarehouses", "big-loads", "--wait=false")
    wait_until("its nodes are gone", lambda: not plane.get("-n", etl, "deploy")["items"] and not plane.get("-n", etl, "pods")["items"], 90)
    assert plane.get("-n", etl, "starrockswarehouses", "big-loads")["metadata"]["finalizers"]
    plane.kubectl("-n", etl, "annotate", "starrockswarehouses", "big-loads", "roost.io/keep-warehouse=true")
    wait_until("it is gone", lambda: not plane.get("-n", etl, "starrockswarehouses")["items"], 60)


def test_a_warehouse_without_a_cluster_may_always_go(plane, start):
    data, _, go = start
    plane.apply([{**warehouse(data), "metadata": {"name": "w", "namespace": data, "finalizers": ["roost.io/warehouse"]}}])
    go()
    plane.kubectl("-n", data, "delete", "starrockswarehouses", "w", "--wait=false")
    wait_until("it is gone", lambda: not json.loads(plane.kubectl("-n", data, "get", "starrockswarehouses", "-o", "json"))["items"], 60)

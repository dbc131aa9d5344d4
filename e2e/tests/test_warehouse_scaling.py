"""A warehouse's nodes follow the warehouse's own queue: the scaler asks the strict double of StarRocks' FE, the operator carries it
out. Its cluster's nodes and those of a warehouse in another namespace follow theirs, and nobody's queue is anybody else's.
"""

import json
import os
import re
import urllib.error
import urllib.request

import pytest
import yaml

import double_fixture
from conftest import REPO, wait_until
from double_fixture import FeDouble, Kubelet
from engine_fixture import BUILD, Process, free_ports
from operator_fixture import operators

SCALED = {"minReplicas": 1, "maxReplicas": 3, "scaleInWindowSeconds": 1}


class Scene:
    """Cluster c and its warehouse in one namespace, another warehouse of it in a second one."""

    def __init__(self, plane, folder, go, data, far):
        self.plane, self.folder, self.go, self.data, self.far = plane, folder, go, data, far
        self.double, self.kubelets, self.port = None, [], free_ports(1)[0]
        self.pools = {"c": (data, "c"), "near": (data, "near-etl-warehouse"), "far": (far, "far-warehouse")}

    def create(self):
        conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe-conf"}, "data": {"fe.conf": "run_mode = shared_data\n"}}
        cluster = {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c"}, "spec": {
            "warehouseNamespaces": [self.far],
            "starRocksFeSpec": {"image": "starrocks/fe:3.5.0", "replicas": 1,
                                "configMapInfo": {"configMapName": "fe-conf", "resolveKey": "fe.conf"}},
            "starRocksCnSpec": {"image": "starrocks/cn:3.5.0", "replicas": 1, "roostAutoscaling": SCALED}}}
        self.plane.apply([conf, cluster], self.data)
        self.plane.apply([self.warehouse("near-etl")], self.data)
        self.plane.apply([self.warehouse("far", starRocksClusterNamespace=self.data)], self.far)
        self.go(f"--scaler-url=http://127.0.0.1:{self.port}")
        address = wait_until("the FE Service's address", lambda: self.plane.kubectl(
            "-n", self.data, "get", "svc", "c-fe-service", "-o", "jsonpath={.spec.clusterIP}", check=False), 60)
        self.double = FeDouble(address, shared_data=True)
        self.double.open_web()
        self.kubelets = [Kubelet(self.plane, namespace, self.double) for namespace in (self.data, self.far)]
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} c-fe-service.{self.data}.svc\n")
        self.start_scaler()

    def warehouse(self, name, replicas=1, **spec):
        return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": name}, "spec": {
            "starRocksCluster": "c", **spec,
            "template": {"image": "starrocks/cn:3.5.0", "replicas": replicas, "roostAutoscaling": SCALED}}}

    def start_scaler(self):
        """With the Role of the chart in the two namespaces, and the scene's /etc/hosts."""
        rules = yaml.safe_load((REPO / "e2e/tests/golden/roost-scaler-rules.yaml").read_text())
        self.plane.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "scaler"}}], self.data)
        for namespace in (self.data, self.far):
            self.plane.apply([{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "scaler"}, "rules": rules},
                              {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "scaler"},
                               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "scaler"},
                               "subjects": [{"kind": "ServiceAccount", "name": "scaler", "namespace": self.data}]}], namespace)
        token = self.plane.kubectl("-n", self.data, "create", "token", "scaler").strip()
        start = self.folder / "scaler"
        start.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {self.folder / 'hosts'} /etc/hosts && "
                         f"exec {BUILD / 'roost-scaler'} \"$@\"' -- \"$@\"\n")
        start.chmod(0o755)
        self.scaler = Process("scaler", [start, "--kubeconfig", self.plane.write_kubeconfig(self.folder / "scaler.kubeconfig", token),
                                         "--namespace", f"{self.data},{self.far}", "--listen", f"127.0.0.1:{self.port}"], self.folder)

    def says(self, pool):
        namespace, name = self.pools[pool]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1/namespaces/{namespace}/clusters/{name}/pools/cn",
                                        timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def unknown(self, pool, pattern):
        return wait_until(f"{pool} is not known: {pattern}", lambda: (lambda s, t: t if s == 503 and re.search(pattern, t) else None)(
            *self.says(pool)), 120)

    def knows(self, pool, pending):
        def known():
            status, text = self.says(pool)
            return text if status == 200 and json.loads(text)["queue"]["pending"] == pending else None
        return wait_until(f"{pool} has {pending} in its queue", known, 120)

    def queue(self, house, pending, running=0):
        """So many wait and run, as long as it stands."""
        with self.double.lock:
            one = self.double.warehouses[house]
            one.queue, one.pending, one.running = True, pending, running
            nodes = self.double.living_in(house)
            for node in nodes:
                node.running = running // len(nodes)

    def nodes(self):
        """Of each pool: as the Deployment has it."""
        found = {}
        for pool, (namespace, name) in self.pools.items():
            text = self.plane.kubectl("-n", namespace, "get", "deploy", f"{name}-cn", "-o", "jsonpath={.spec.replicas}", check=False)
            found[pool] = int(text or 0)
        return found

    def become(self, timeout=120, **want):
        wait_until(f"nodes {want}", lambda: self.nodes() == want, timeout)

    def status(self, namespace, name):
        return self.plane.get("-n", namespace, "starrockswarehouses", name).get("status", {})

    def stop(self):
        if self.double:
            self.scaler.stop()
            for kubelet in self.kubelets:
                kubelet.stop()
            self.double.close()


@pytest.fixture
def s(plane_of_doubles, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    plane = plane_of_doubles
    data, far = plane.new_namespace(), plane.new_namespace()
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    with operators(plane, f"{data},{far}", tmp_path) as go:
        scene = Scene(plane, tmp_path, go, data, far)
        try:
            scene.create()
            yield scene
            assert scene.double.violations == []
        finally:
            scene.stop()
            for namespace in (data, far):
                plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def test_each_pool_follows_its_own_queue(s):
    s.become(c=1, near=1, far=1)
    wait_until("they have joined", lambda: sorted(n.warehouse for n in s.double.nodes.values()) ==
               [double_fixture.DEFAULT, "far", "near_etl"], 60)
    # StarRocks tells of no queue that is off, and that is not 0.
    print(s.unknown("near", "no queue of warehouse near_etl.*ALTER WAREHOUSE near_etl SET"))
    s.unknown("far", "no queue of warehouse far")
    for house in (double_fixture.DEFAULT, "near_etl", "far"):
        s.queue(house, 0)
    for pool in s.pools:
        s.knows(pool, 0)
    reasons = [c["reason"] for c in s.status(s.data, "near-etl")["conditions"] if c["type"] == "Degraded"]
    assert reasons == ["AsExpected"]

    s.queue("near_etl", 40, 4)
    s.knows("near", 40)
    s.become(c=1, near=3, far=1)
    wait_until("its status", lambda: (lambda t: t.get("replicas") == 3 and t.get("lastScale") == 3)(s.status(s.data, "near-etl")), 60)
    s.knows("c", 0)
    # A manifest that is applied again does not take them away.
    s.plane.apply([s.warehouse("near-etl", replicas=1)], s.data)
    wait_until("it is put back", lambda: "ReplicasPutBack" in s.plane.kubectl("-n", s.data, "get", "events", "-o", "jsonpath={..reason}"), 60)
    wait_until("three again", lambda: s.plane.get("-n", s.data, "starrockswarehouses", "near-etl")["spec"]["template"]["replicas"] == 3, 60)
    s.become(c=1, near=3, far=1)

    # Another namespace's, and the cluster's own.
    s.queue("far", 40, 4)
    s.become(c=1, near=3, far=3)
    s.queue(double_fixture.DEFAULT, 40, 4)
    s.become(c=3, near=3, far=3)

    # Idle: one by one to the least; the others still wait.
    s.queue("near_etl", 0)
    s.become(c=3, near=1, far=3, timeout=240)
    wait_until("the FE forgets them", lambda: len([n for n in s.double.nodes.values() if n.warehouse == "near_etl"]) == 1, 120)
    assert any("FROM WAREHOUSE near_etl" in words for words in s.double.log)

    # A queue that is switched off again is not an empty one: nothing changes.
    s.double.warehouses["far"].queue = False
    s.unknown("far", "no queue of warehouse far")
    # Nor is a warehouse that its cluster no longer lets in.
    s.plane.kubectl("-n", s.data, "patch", "src", "c", "--type=merge", "-p", json.dumps({"spec": {"warehouseNamespaces": []}}))
    wait_until("it is no pool", lambda: s.says("far")[0] == 404, 60)
    assert s.nodes() == {"c": 3, "near": 1, "far": 3}

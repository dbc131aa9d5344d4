"""A machine that is about to go, on a control plane: each way in which the operator hears of it makes its compute nodes leave at
once with at most 110 s to finish, and they are replaced.
"""

import datetime
import json
import subprocess
import threading
import time

import pytest

import go_modules
from conftest import wait_until
from operator_fixture import cr, operators, part
from plane_fixture import BIN

MACHINES = 5
GRACE_S = 110


@pytest.fixture(scope="module")
def machines(kwok_plane):
    go_modules.install(kwok_plane, go_modules.karpenter_crds())
    for i in range(MACHINES):
        kwok_plane.fake_node(f"spot-{i}", {"karpenter.sh/nodepool": "p", "of": "spot-test"})
    yield kwok_plane
    for i in range(MACHINES):
        kwok_plane.kubectl("delete", "node", f"spot-{i}", "--wait=false", check=False)


def alone(n):
    """n compute nodes, one to a machine, that would like 300 s to finish."""
    return part(n, nodeSelector={"of": "spot-test"}, terminationGracePeriodSeconds=300, affinity={"podAntiAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "cn"}}}]}})


@pytest.fixture
def placed(machines, kwok_namespace, tmp_path):
    with operators(machines, kwok_namespace, tmp_path) as start:
        machines.apply([cr(kwok_namespace, starRocksFeSpec=part(1), starRocksCnSpec=alone(2))])
        start("--watch-nodes=karpenter.sh/nodepool")
        wait_until("both run", lambda: len(serving(machines, kwok_namespace)) == 2, 120)
        yield machines, kwok_namespace
        machines.kubectl("-n", kwok_namespace, "delete", "src", "c")


def pods(plane, namespace):
    return plane.get("-n", namespace, "pods", "-l", "app.kubernetes.io/component=cn")["items"]


def serving(plane, namespace):
    """By machine."""
    return {p["spec"]["nodeName"]: p for p in pods(plane, namespace) if "deletionTimestamp" not in p["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in p.get("status", {}).get("conditions", []))}


def taint(plane, node):
    plane.kubectl("taint", "node", node, "karpenter.sh/disrupted:NoSchedule")


def termination_handler(plane, node):
    plane.kubectl("taint", "node", node, "aws-node-termination-handler/spot-itn=x:NoSchedule")


def claim_deleted(plane, node):
    """The claim has Karpenter's finalizer, as each has: it is there, and being deleted."""
    name = f"claim-of-{node}"
    plane.apply([{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": name, "finalizers": ["karpenter.sh/termination"]},
                  "spec": {"requirements": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}],
                           "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "x"}}}])
    plane.kubectl("patch", "nodeclaim", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": {"nodeName": node}}))
    plane.kubectl("delete", "nodeclaim", name, "--wait=false")


def event(reason):
    def emit(plane, node):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        plane.apply([{"apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{node}.{reason.lower()}", "namespace": "default"},
                      "type": "Warning", "reason": reason, "message": "", "firstTimestamp": now, "lastTimestamp": now, "count": 1,
                      "source": {"component": "karpenter"},
                      "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": node}}])
    return emit


NOTICES = {"disrupted taint": taint, "termination handler's taint": termination_handler, "NodeClaim deleted": claim_deleted,
           "SpotInterrupted": event("SpotInterrupted"), "rebalance": event("SpotRebalanceRecommendation")}


def recover(plane, node):
    """The machine is replaced by another of its name, as on EKS, where names are addresses."""
    plane.kubectl("patch", "nodeclaim", f"claim-of-{node}", "--type=merge", "-p", '{"metadata":{"finalizers":null}}', check=False)
    plane.kubectl("delete", "node", node)
    plane.fake_node(node, {"karpenter.sh/nodepool": "p", "of": "spot-test"})


class Farewell:
    """Watches a pod: kwok ends it as soon as it is told to leave, so what it was given is seen in passing."""

    def __init__(self, plane, namespace, pod):
        self.leaving = None
        self.process = subprocess.Popen([str(BIN / "kubectl"), f"--kubeconfig={plane.kubeconfig}", "-n", namespace, "get", "pod", pod,
                                         "--watch", "-o", "json"], stdout=subprocess.PIPE, text=True)
        self.began = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        assert self.began.wait(30)

    def read(self):
        text, decoder = "", json.JSONDecoder()
        for line in self.process.stdout:
            text += line
            if line != "}\n":
                continue
            pod, _ = decoder.raw_decode(text)
            text = ""
            self.began.set()
            if "deletionTimestamp" in pod["metadata"] and not self.leaving:
                self.leaving = pod["metadata"]

    def close(self):
        self.process.kill()
        self.process.wait(10)


def test_each_notice_drains_within_its_time(placed):
    plane, namespace = placed
    for what, give in NOTICES.items():
        node, pod = next(iter(serving(plane, namespace).items()))
        name, other = pod["metadata"]["name"], {p["metadata"]["name"] for p in serving(plane, namespace).values()} - {pod["metadata"]["name"]}
        farewell = Farewell(plane, namespace, name)
        begun = time.time()
        give(plane, node)
        leaving = wait_until(f"{what}: its compute node leaves", lambda farewell=farewell: farewell.leaving, 60)
        farewell.close()
        grace = leaving["deletionGracePeriodSeconds"]
        end = datetime.datetime.fromisoformat(leaving["deletionTimestamp"].replace("Z", "+00:00")).timestamp()
        print(f"{what}: told to leave {end - grace - begun:.1f} s after the notice, {grace} s to finish")
        assert grace == GRACE_S, "not the 300 s that the pod would like"
        found = wait_until(f"{what}: a replacement serves", lambda name=name: (
            s if len(s := serving(plane, namespace)) == 2 and name not in {p["metadata"]["name"] for p in s.values()} else None), 90)
        assert other <= {p["metadata"]["name"] for p in found.values()}, "the one on a good machine stays"
        moved = {p["metadata"]["name"] for p in found.values()}
        recover(plane, node)
        # The new machine of that name is no worse than others, and whoever is there already is left alone.
        time.sleep(2)
        assert {p["metadata"]["name"] for p in serving(plane, namespace).values()} == moved or node in found


def test_a_recommendation_does_not_chase_its_own_replacement(placed):
    """Nobody taints a machine that is only recommended to be left: what is scheduled there after that may stay."""
    plane, namespace = placed
    on = serving(plane, namespace)
    node, pod = next(iter(on.items()))
    for i in range(MACHINES):
        if f"spot-{i}" not in on:
            plane.kubectl("cordon", f"spot-{i}")
    try:
        time.sleep(1.1)  # times of events and pods are whole seconds
        event("SpotRebalanceRecommendation")(plane, node)
        wait_until("it is replaced, on the only machine with room", lambda: (
            serving(plane, namespace).get(node, pod)["metadata"]["name"] != pod["metadata"]["name"]), 60)
        time.sleep(2)  # one that came in the same second may be taken for an earlier one
        replaced = wait_until("both serve", lambda: s if len(s := serving(plane, namespace)) == 2 else None, 60)
        time.sleep(5)
        assert {p["metadata"]["name"] for p in pods(plane, namespace)} == {p["metadata"]["name"] for p in replaced.values()}
    finally:
        for i in range(MACHINES):
            plane.kubectl("uncordon", f"spot-{i}")

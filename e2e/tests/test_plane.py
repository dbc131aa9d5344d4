"""The control plane that operator tests run on, and the operator's objects there."""

import json

import json
import os

import pytest

from conftest import wait_until
from operator_fixture import cr, operators, part
from plane_fixture import BIN, Plane


def test_an_operator_makes_its_objects_on_a_plane(plane, plane_namespace, plane_start):
    plane_start()
    plane.apply([cr(plane_namespace, starRocksFeSpec=part())])
    wait_until("the FE's set", lambda: plane.kubectl("-n", plane_namespace, "get", "sts", "c-fe", check=False), 60)
    wait_until("the controller's pod", lambda: plane.kubectl("-n", plane_namespace, "get", "pod", "c-fe-0", check=False), 60)


def test_kwok_plays_the_kubelet(kwok_plane, kwok_namespace):
    kwok_plane.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                       "spec": {"containers": [{"name": "c", "image": "none"}]}}], kwok_namespace)
    kwok_plane.wait_pod(kwok_namespace, "p", timeout=60)
    assert json.loads(kwok_plane.kubectl("get", "node", "fake-0", "-o", "json"))["metadata"]["name"] == "fake-0"


@pytest.mark.skipif(os.environ.get("ROOST_SOAK") != "1" and not (BIN / "hyperkube-1.29").exists(),
                    reason="builds Kubernetes 1.29: ROOST_SOAK=1")
def test_the_oldest_kubernetes_takes_crds_and_objects(tmp_path):
    with Plane(oldest=True) as plane:
        assert json.loads(plane.kubectl("version", "-o", "json"))["serverVersion"]["minor"] == "29"
        plane.crds()
        namespace = plane.new_namespace()
        with operators(plane, namespace, tmp_path) as start:
            start()
            plane.apply([cr(namespace, starRocksFeSpec=part(3), starRocksBeSpec=part(), starRocksCnSpec=part())])
            wait_until("the FE's pods", lambda: plane.kubectl("-n", namespace, "get", "pod", "c-fe-2", check=False), 60)
            plane.set_status(namespace, "pod", "c-fe-0", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
            wait_until("the compute nodes", lambda: plane.kubectl("-n", namespace, "get", "deploy", "c-cn", check=False), 60)
            status = wait_until("a status", lambda: plane.get("-n", namespace, "src", "c").get("status"), 60)
            assert status["phase"] == "reconciling" and status["observedGeneration"] == 1
            refused = wait_until("the schema refuses in words", lambda: refusal(plane, namespace), 60)
            assert "below a majority" in refused


def refusal(plane, namespace):
    """What the API server says to an FE scale-in below the quorum; its CEL rules need 1.29."""
    try:
        plane.kubectl("-n", namespace, "patch", "src", "c", "--type=merge", "-p", '{"spec":{"starRocksFeSpec":{"replicas":1}}}')
    except AssertionError as error:
        return str(error)
    return ""

"""The control plane that operator tests run on, and the operator's objects there."""

import json

from conftest import wait_until
from operator_fixture import cr, part


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

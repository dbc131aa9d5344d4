"""What Flux, Argo CD and kpt wait by: kstatus' own library (sigs.k8s.io/cli-utils) reads our objects in each state."""

import json
import shutil
import subprocess

import pytest

from conftest import TOOLS, run, wait_until
from operator_fixture import condition, cr, part
from plane_fixture import BIN
from test_status import generic_status, make_ready, pods


@pytest.fixture(scope="module")
def kstatus():
    """A function: the verdict on an object. Where there is no Go the module cannot be built, and is left out by name."""
    if not shutil.which("go") and not (BIN / "kstatus").exists():
        pytest.skip("kstatus is built with go, which is not here")
    run(TOOLS / "build-bin", "kstatus", timeout=900)

    def verdict(obj):
        done = subprocess.run([BIN / "kstatus"], input=json.dumps(obj) + "\n", text=True, capture_output=True, timeout=60, check=True)
        seen = json.loads(done.stdout)
        # The rules that other tests go by are the library's.
        assert seen["status"] == generic_status(obj), (seen, obj.get("status"))
        return seen

    return verdict


def test_each_state_is_what_it_is(plane, plane_namespace, plane_start, kstatus):
    ns = plane_namespace

    def seen():
        return kstatus(plane.get("-n", ns, "src", "c"))

    def becomes(state):
        return wait_until(f"kstatus says {state}", lambda: (lambda s: s if s["status"] == state else None)(seen()), 60)

    plane.apply([cr(ns, starRocksFeSpec=part())])
    assert seen()["status"] == "InProgress", "nobody has looked at it yet"
    plane_start()
    wait_until("the FE's pod", lambda: pods(plane, ns, "fe"), 60)
    assert "0 of 1 pods are ready" in wait_until("why", lambda: (lambda m: m if "fe" in m else None)(becomes("InProgress")["message"]), 60)
    plane.set_status(ns, "pod", "c-fe-0", {"phase": "Pending", "containerStatuses": [
        {"name": "fe", "ready": False, "restartCount": 9, "image": "i", "imageID": "i",
         "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}]})
    assert "c-fe-0" in becomes("Failed")["message"]
    plane.set_status(ns, "pod", "c-fe-0", {"containerStatuses": None})
    wait_until("it is ready", lambda: make_ready(plane, ns, "fe") or condition(plane, ns, "Ready").get("status") == "True", 60)
    becomes("Current")
    # A new generation is not ready because the last one was.
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec":{"starRocksFeSpec":{"image":"other"}}}')
    assert seen()["status"] == "InProgress" or condition(plane, ns, "Ready")["status"] == "True"
    becomes("InProgress")
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"metadata":{"finalizers":["test.example/hold"]}}')
    plane.kubectl("-n", ns, "delete", "src", "c", "--wait=false")
    becomes("Terminating")
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def test_a_warehouse_nobody_has_looked_at_is_not_done(plane, plane_namespace, kstatus):
    plane.apply([{"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": "w", "namespace": plane_namespace},
                  "spec": {"starRocksCluster": "c", "template": {"image": "none"}}}])
    assert kstatus(plane.get("-n", plane_namespace, "starrockswarehouses", "w"))["status"] == "InProgress"

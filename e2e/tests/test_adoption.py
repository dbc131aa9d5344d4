"""Clusters that upstream's operator made (testdata/upstream-objects) change hands and nothing restarts.

The objects are created as upstream's operator left them, under its field manager; a real controller-manager makes
revisions and pods, kwok runs them. Revisions, pod uids and managed fields are looked at before and after.
"""

import copy
import json
import os
import pathlib
import re

import pytest

from conftest import REPO, run, wait_until
from operator_fixture import OPERATOR, condition, operators

FIXTURES = pathlib.Path(os.environ.get("ROOST_UPSTREAM_OBJECTS", REPO / "e2e/tests/testdata/upstream-objects"))
CASES = sorted(p.stem for p in FIXTURES.glob("*.json"))
UPSTREAM = "sroperator"


def plain(o):
    """What a client would send to make the object."""
    o = copy.deepcopy(o)
    for key in ("uid", "resourceVersion", "creationTimestamp", "generation"):
        o["metadata"].pop(key, None)
    o.pop("status", None)
    if o["kind"] == "Service" and o["spec"].get("clusterIP") != "None":
        o["spec"].pop("clusterIP", None)
        o["spec"].pop("clusterIPs", None)
    return json.dumps(o)


def make(plane, namespace, case, annotations=None):
    """Creates everything as upstream's operator did; gives the CR's name."""
    for i in range(1, 7):
        plane.fake_node(f"fake-{i}")
    text = (FIXTURES / f"{case}.json").read_text()
    first = json.loads(text)["items"][0]
    was = first["metadata"]["namespace"]
    # Also inside pod templates, environment values and the annotation that holds JSON.
    text = re.sub(rf'(?<=[".]){was}(?=\\*")', namespace, text)
    cr = json.loads(text)["items"][0]
    cr["metadata"]["annotations"].update(annotations or {})
    plane.kubectl("-n", namespace, "create", "-f", "-", stdin=plain(cr))
    name = first["metadata"]["name"]
    uid = plane.get("-n", namespace, "src", name)["metadata"]["uid"]
    for o in json.loads(text.replace(first["metadata"]["uid"], uid))["items"][1:]:
        manager = UPSTREAM if o["metadata"].get("ownerReferences") else "kubectl"
        plane.kubectl("-n", namespace, "create", f"--field-manager={manager}", "-f", "-", stdin=plain(o))
    return name


def volumes_for(plane, namespace):
    """No provisioner here: claims that wait get a volume of their own."""
    for claim in plane.get("-n", namespace, "pvc")["items"]:
        if claim["status"].get("phase") != "Bound":
            plane.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"pv-{claim['metadata']['uid']}"},
                          "spec": {"capacity": claim["spec"]["resources"]["requests"], "accessModes": ["ReadWriteOnce"],
                                   "storageClassName": claim["spec"].get("storageClassName", ""), "hostPath": {"path": "/none"},
                                   "claimRef": {"namespace": namespace, "name": claim["metadata"]["name"]}}}])


def sets_of(plane, namespace, kind="sts"):
    return {o["metadata"]["name"]: o for o in plane.get("-n", namespace, kind)["items"]}


def all_ready(plane, namespace):
    volumes_for(plane, namespace)
    return all(o["status"].get("readyReplicas", 0) == o["spec"]["replicas"] and o["status"].get("updateRevision")
               for o in sets_of(plane, namespace).values())


def seen(plane, namespace):
    """What must not change: FE and BE revisions and pod uids."""
    kept = {n: o for n, o in sets_of(plane, namespace).items() if not n.endswith("-cn")}
    pods = {p["metadata"]["name"]: p["metadata"]["uid"] for p in plane.get("-n", namespace, "pods")["items"]
            if p["metadata"]["labels"]["app.kubernetes.io/component"] in ("fe", "be")}
    return {n: (o["metadata"]["uid"], o["status"]["currentRevision"], o["status"]["updateRevision"]) for n, o in kept.items()}, pods


def managers(o):
    return {(m["manager"], m["operation"]) for m in o["metadata"]["managedFields"]
            if not m.get("subresource") and set(m["fieldsV1"]) != {"f:metadata"}}


def objects_of(plane, namespace):
    kinds = "sts,svc,hpa"
    text = plane.kubectl("-n", namespace, "get", kinds, "-l", "app.starrocks.ownerreference/name", "-o", "json", "--show-managed-fields")
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in json.loads(text)["items"]}


@pytest.mark.parametrize("case", CASES)
def test_a_cluster_of_upstream_changes_hands_and_back(kwok_plane, kwok_namespace, tmp_path, case):
    plane, ns = kwok_plane, kwok_namespace
    name = make(plane, ns, case)
    wait_until("upstream's pods are ready", lambda: all_ready(plane, ns), 120)
    sets, pods = seen(plane, ns)
    templates = {n: o["spec"]["template"] for n, o in sets_of(plane, ns).items()}
    with operators(plane, ns, tmp_path) as start:
        operator = start()
        ours = lambda: all(("roost-operator", "Apply") in managers(o) and (UPSTREAM, "Update") not in managers(o)
                           for k, o in objects_of(plane, ns).items() if not k.endswith("-cn"))
        wait_until("the fields are ours", ours, 60)
        wait_until("the status is ours", lambda: condition(plane, ns, "Ready", name), 60)
        if f"{name}-cn" in sets_of(plane, ns):
            wait_until("the compute nodes' set is a Deployment now",
                       lambda: (volumes_for(plane, ns), f"{name}-cn" not in sets_of(plane, ns))[1], 90)
        operator.stop()
        start()  # a restart is inert
        wait_until("the second one has looked", lambda: "lists=complete" in (tmp_path / "operator-1.log").read_text(), 30)
        after_sets, after_pods = seen(plane, ns)
        print(f"{case}: " + "; ".join(f"{n} {r[2]} -> {after_sets[n][2]}" for n, r in sorted(sets.items()))
              + f"; {len(pods)} pods, {sum(after_pods.get(p) == u for p, u in pods.items())} with the same uid")
        assert (after_sets, after_pods) == (sets, pods)
        for key, o in objects_of(plane, ns).items():
            if o["kind"] == "StatefulSet":
                assert o["metadata"]["annotations"]["app.starrocks.components/hash"], key
                assert o["spec"]["template"] == templates[o["metadata"]["name"]], f"{key}: its template was written"

        told = release(plane, ns, name)
        assert "given back" in told
        for key, o in objects_of(plane, ns).items():
            if "-cn" in key:
                continue
            assert (UPSTREAM, "Update") in managers(o) and ("roost-operator", "Apply") not in managers(o), key
            if o["kind"] == "StatefulSet":
                last = json.loads(o["metadata"]["annotations"]["starrocks.kubernetes.operator/last-applied-configuration"])
                assert last["spec"]["template"]["spec"]["containers"], key
    # Upstream's write after the swap back: the whole object as it would make it.
    for key, o in objects_of(plane, ns).items():
        if o["kind"] == "StatefulSet" and not key.endswith("-cn"):
            plane.kubectl("-n", ns, "replace", f"--field-manager={UPSTREAM}", "-f", "-", stdin=json.dumps(o))
    assert seen(plane, ns) == (sets, pods)


def release(plane, namespace, name):
    return run("env", f"KUBECONFIG={plane.kubeconfig}", OPERATOR, "release", f"{namespace}/{name}", timeout=60).stdout


def test_what_the_cr_drops_is_dropped_from_adopted_objects(kwok_plane, kwok_namespace, tmp_path):
    """Without the hand-over of managed fields, upstream's signature keeps a removed field alive."""
    plane, ns = kwok_plane, kwok_namespace
    name = make(plane, ns, "with-no-ha")
    with operators(plane, ns, tmp_path) as start:
        start()
        container = lambda: sets_of(plane, ns)[f"{name}-be"]["spec"]["template"]["spec"]["containers"][0]
        assert container()["resources"]["limits"]
        wait_until("the status is ours", lambda: condition(plane, ns, "Ready", name), 60)
        plane.kubectl("-n", ns, "patch", "src", name, "--type=json",
                      "-p", '[{"op":"remove","path":"/spec/starRocksBeSpec/limits"}]')
        wait_until("limits are gone", lambda: "limits" not in container()["resources"], 30)


@pytest.mark.parametrize("case", ["with-cn", "with-fe-proxy"])
def test_a_cluster_that_is_not_well_changes_hands_too(plane, plane_namespace, tmp_path, case):
    """No pod ever becomes ready (an image that cannot be pulled): whose the objects are does not wait for that."""
    ns = plane_namespace
    name = make(plane, ns, case)
    wait_until("upstream's pods", lambda: plane.get("-n", ns, "pods")["items"], 60)
    for pod in plane.get("-n", ns, "pods")["items"]:
        role = pod["metadata"]["labels"]["app.kubernetes.io/component"]
        plane.set_status(ns, "pod", pod["metadata"]["name"], {"phase": "Pending", "containerStatuses": [
            {"name": role, "ready": False, "restartCount": 0, "image": "i", "imageID": "",
             "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]})
    wait_until("revisions", lambda: all(o["status"].get("updateRevision") for o in sets_of(plane, ns).values()), 60)
    before = seen(plane, ns)
    with operators(plane, ns, tmp_path) as start:
        start()
        theirs = lambda: [k for k, o in objects_of(plane, ns).items() if k != f"StatefulSet/{name}-cn" and
                          (("roost-operator", "Apply") not in managers(o) or (UPSTREAM, "Update") in managers(o))]
        wait_until("the objects are ours", lambda: not theirs(), 60)
        wait_until("the status says why", lambda: condition(plane, ns, "Degraded", name).get("reason") == "ImagePullBackOff", 60)
        assert seen(plane, ns) == before

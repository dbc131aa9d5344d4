"""Conditions, Events, pause, hibernation, the window and what the operator says about itself, on a control plane: the pods'
status is patched by the test, as a kubelet would.
"""

import json
import time
import urllib.error
import urllib.request
import zlib

import pytest

from conftest import wait_until
from engine_fixture import free_ports
from operator_fixture import condition, cr, part

NOW = "2020-01-01T00:00:00Z"


def pods(plane, ns, role):
    found = plane.get("-n", ns, "pods", "-l", f"app.kubernetes.io/component={role}")["items"]
    return [p for p in found if "deletionTimestamp" not in p["metadata"]]


def make_ready(plane, ns, *roles):
    """The kubelet that the plane has not: every pod of these roles becomes ready, every deleted one ends."""
    for role in roles:
        for pod in plane.get("-n", ns, "pods", "-l", f"app.kubernetes.io/component={role}")["items"]:
            name = pod["metadata"]["name"]
            if "deletionTimestamp" in pod["metadata"]:
                plane.kubectl("-n", ns, "delete", "pod", name, "--force", "--grace-period=0", check=False)
            elif pod["status"].get("phase") != "Running":
                number = zlib.crc32(pod["metadata"]["uid"].encode())
                ip = f"10.1.{number % 250 + 1}.{number // 250 % 250 + 1}"
                plane.set_status(ns, "pod", name, {
                    "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                    "conditions": [{"type": t, "status": "True", "lastTransitionTime": NOW} for t in ("Ready", "ContainersReady")],
                    "containerStatuses": [{"name": role, "ready": True, "started": True, "restartCount": 0, "image": "i",
                                           "imageID": "i", "state": {"running": {"startedAt": NOW}}}]})


def wait_cluster_ready(plane, ns, roles=("fe",), timeout=120):
    def ready():
        make_ready(plane, ns, *roles)
        c = condition(plane, ns, "Ready")
        return c.get("status") == "True" and c["observedGeneration"] == plane.get("-n", ns, "src", "c")["metadata"]["generation"]

    wait_until("the cluster is ready", ready, timeout, every=1)


def events(plane, ns, reason=None):
    found = plane.get("-n", ns, "events")["items"]
    return [e for e in found if e["involvedObject"]["kind"] == "StarRocksCluster" and reason in (None, e["reason"])]


def generic_status(obj):
    """kstatus' published rules for a resource it has no special case for
    (github.com/kubernetes-sigs/cli-utils, pkg/kstatus/README.md): what Flux, Argo CD's health of conditions and Helm wait by."""
    status = obj.get("status", {})
    by_type = {c["type"]: c["status"] for c in status.get("conditions", [])}
    if "deletionTimestamp" in obj["metadata"]:
        return "Terminating"
    if status.get("observedGeneration", obj["metadata"]["generation"]) != obj["metadata"]["generation"]:
        return "InProgress"
    if by_type.get("Reconciling") == "True":
        return "InProgress"
    if by_type.get("Stalled") == "True":
        return "Failed"
    if by_type.get("Ready", "True") != "True":
        return "InProgress"
    return "Current"


@pytest.mark.parametrize("status, reason, seen_as", [
    ({"containerStatuses": [{"name": "fe", "ready": False, "restartCount": 3, "image": "i", "imageID": "i", "state": {
        "waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": {
            "terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}, "CrashLoopBackOff", "Failed"),
    ({"containerStatuses": [{"name": "fe", "ready": False, "restartCount": 0, "image": "i", "imageID": "i", "state": {
        "waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}]}, "ImagePullBackOff", "Failed"),
    ({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]},
     "Unschedulable", "InProgress"),
])
def test_a_pods_own_reason_is_the_clusters(plane, plane_namespace, plane_start, status, reason, seen_as):
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_until("the FE's pod", lambda: pods(plane, ns, "fe"), 60)
    plane.set_status(ns, "pod", "c-fe-0", {"phase": "Pending", **status})
    wait_until(f"Degraded by {reason}", lambda: condition(plane, ns, "Degraded").get("reason") == reason, 30)
    assert "c-fe-0" in condition(plane, ns, "Degraded")["message"]
    assert generic_status(plane.get("-n", ns, "src", "c")) == seen_as
    wait_until("an Event tells it", lambda: events(plane, ns, reason), 30)
    assert events(plane, ns, reason)[0]["type"] == "Warning"
    plane.set_status(ns, "pod", "c-fe-0", {"conditions": None, "containerStatuses": None})
    wait_cluster_ready(plane, ns)
    assert generic_status(plane.get("-n", ns, "src", "c")) == "Current"
    assert not condition(plane, ns, "Stalled")
    wait_until("and that it is over", lambda: events(plane, ns, "Recovered"), 30)


def test_a_quota_that_forbids_pods_is_named(plane, plane_namespace, plane_start):
    """A StatefulSet has no condition for it: only Events tell."""
    ns = plane_namespace
    plane.apply([{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}}], ns)
    wait_until("the quota counts", lambda: plane.get("-n", ns, "resourcequota", "no-pods").get("status", {}).get("hard"), 60)
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_until("Degraded by the quota", lambda: condition(plane, ns, "Degraded").get("reason") == "QuotaExceeded", 60)
    assert "no-pods" in condition(plane, ns, "Degraded")["message"]
    plane.kubectl("-n", ns, "delete", "resourcequota", "no-pods")
    wait_until("the pod", lambda: pods(plane, ns, "fe"), 120)
    wait_cluster_ready(plane, ns)


def test_no_generation_is_called_ready_before_it_rolled_out(plane, plane_namespace, plane_start):
    """Every status that says Ready for a generation must stand beside a set that has that generation's image."""
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_cluster_ready(plane, ns)
    for round_ in range(3):
        image = f"registry.test/fe:{round_}"
        plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p",
                      json.dumps({"spec": {"starRocksFeSpec": {"image": image}}}))
        want = plane.get("-n", ns, "src", "c")["metadata"]["generation"]
        end = time.monotonic() + 60
        while time.monotonic() < end:
            ready = condition(plane, ns, "Ready")
            if ready.get("observedGeneration") == want and ready["status"] == "True":
                # Read after the status: what it tells must hold by now.
                live = pods(plane, ns, "fe")
                assert [p["spec"]["containers"][0]["image"] for p in live] == [image]
                break
            make_ready(plane, ns, "fe")
        else:
            raise AssertionError(f"never ready: {plane.get('-n', ns, 'src', 'c')['status']}")


def test_the_same_event_is_told_once(plane, plane_namespace, plane_start):
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_cluster_ready(plane, ns)
    bad = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}]}
    for _ in range(3):
        plane.set_status(ns, "pod", "c-fe-0", bad)
        wait_until("Degraded", lambda: condition(plane, ns, "Degraded").get("status") == "True", 30)
        wait_cluster_ready(plane, ns)
    told = events(plane, ns, "Unschedulable")
    assert len(told) == 1, told
    assert len(events(plane, ns, "Ready")) == 1


def test_a_paused_cluster_is_left_alone(plane, plane_namespace, plane_start):
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_cluster_ready(plane, ns)
    plane.kubectl("-n", ns, "annotate", "src", "c", "roost.io/paused=true")
    wait_until("it says so", lambda: condition(plane, ns, "Paused").get("status") == "True", 30)
    plane.kubectl("-n", ns, "delete", "service", "c-fe-service")
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec": {"starRocksFeSpec": {"replicas": 3}}}')
    wait_until("what waits is told", lambda: "paused" in condition(plane, ns, "Progressing").get("message", ""), 30)
    time.sleep(3)
    assert plane.get("-n", ns, "sts", "c-fe")["spec"]["replicas"] == 1
    assert not plane.kubectl("-n", ns, "get", "service", "c-fe-service", "--ignore-not-found")
    plane.kubectl("-n", ns, "annotate", "src", "c", "roost.io/paused-")
    wait_until("it goes on", lambda: plane.get("-n", ns, "sts", "c-fe")["spec"]["replicas"] == 3
               and plane.kubectl("-n", ns, "get", "service", "c-fe-service", "--ignore-not-found"), 30)


def test_hibernation_keeps_volumes_and_wakes_intact(plane, plane_namespace, plane_start):
    ns = plane_namespace
    plane_start()
    storage = [{"name": "data", "mountPath": "/opt/starrocks/be/storage", "storageSize": "1Gi"}]
    plane.apply([cr(ns, starRocksFeSpec=part(), starRocksBeSpec=part(2, storageVolumes=storage), starRocksCnSpec=part(2))])
    roles = ("fe", "be", "cn")
    wait_cluster_ready(plane, ns, roles)
    claims = {c["metadata"]["uid"] for c in plane.get("-n", ns, "pvc")["items"]}
    assert len(claims) == 2

    def hold(role, finalizers):
        for pod in plane.get("-n", ns, "pods", "-l", f"app.kubernetes.io/component={role}")["items"]:
            plane.kubectl("-n", ns, "patch", "pod", pod["metadata"]["name"], "--type=merge", "-p",
                          json.dumps({"metadata": {"finalizers": finalizers}}))

    def replicas():
        return [plane.get("-n", ns, kind, f"c-{role}")["spec"]["replicas"]
                for kind, role in (("sts", "fe"), ("sts", "be"), ("deploy", "cn"))]

    # Pods that take their time to end: the next role waits for them.
    for role in ("cn", "be"):
        hold(role, ["roost.test/hold"])
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec": {"hibernate": true}}')
    wait_until("compute nodes stop", lambda: replicas()[2] == 0, 60)
    time.sleep(3)
    assert replicas() == [1, 2, 0]
    hold("cn", [])
    wait_until("backends stop", lambda: replicas()[1] == 0, 60)
    time.sleep(3)
    assert replicas() == [1, 0, 0]
    hold("be", [])
    wait_until("it sleeps", lambda: condition(plane, ns, "Hibernated").get("reason") == "Hibernated", 120)
    assert replicas() == [0, 0, 0]
    assert not plane.get("-n", ns, "pods")["items"]
    assert {c["metadata"]["uid"] for c in plane.get("-n", ns, "pvc")["items"]} == claims
    assert condition(plane, ns, "Ready")["status"] == "False"
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec": {"hibernate": false}}')
    # No BE before the FE is ready: nobody plays the kubelet yet.
    wait_until("the FE's pod", lambda: pods(plane, ns, "fe"), 60)
    time.sleep(2)
    assert not pods(plane, ns, "be") and not pods(plane, ns, "cn")
    wait_cluster_ready(plane, ns, roles)
    assert len(pods(plane, ns, "be")) == 2 and len(pods(plane, ns, "cn")) == 2
    assert {c["metadata"]["uid"] for c in plane.get("-n", ns, "pvc")["items"]} == claims
    wait_until("Hibernated is gone", lambda: not condition(plane, ns, "Hibernated"), 30)
    assert {e["reason"] for e in events(plane, ns)} >= {"Hibernated", "Resumed"}


def test_a_restart_waits_for_the_window_and_scaling_does_not(plane, plane_namespace, plane_start):
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part(), starRocksBeSpec=part(1))])
    wait_cluster_ready(plane, ns, ("fe", "be"))
    # A window that opens in some hours, whatever the time is.
    later = time.strftime("%H:%M", time.gmtime(time.time() + 6 * 3600))
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", json.dumps({"spec": {
        "maintenanceWindow": {"start": later, "durationMinutes": 30},
        "starRocksBeSpec": {"image": "registry.test/be:2", "replicas": 2}}}))
    wait_until("it scales", lambda: plane.get("-n", ns, "sts", "c-be")["spec"]["replicas"] == 2, 30)
    wait_until("what waits is told", lambda: "c-be" in condition(plane, ns, "Progressing").get("message", "")
               and "window" in condition(plane, ns, "Progressing")["message"], 30)

    def image():
        return plane.get("-n", ns, "sts", "c-be")["spec"]["template"]["spec"]["containers"][0]["image"]

    assert image() != "registry.test/be:2"
    now = time.strftime("%H:%M", time.gmtime(time.time() - 60))
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p",
                  json.dumps({"spec": {"maintenanceWindow": {"start": now, "durationMinutes": 600}}}))
    wait_until("it changes", lambda: image() == "registry.test/be:2", 30)


def test_a_fenced_pod_is_kept_and_out_of_service(plane, plane_namespace, plane_start):
    ns = plane_namespace
    plane_start()
    plane.apply([cr(ns, starRocksFeSpec=part(), starRocksBeSpec=part(2), starRocksCnSpec=part(1))])
    wait_cluster_ready(plane, ns, ("fe", "be", "cn"))
    pod = plane.get("-n", ns, "pod", "c-be-0")
    cn = pods(plane, ns, "cn")[0]["metadata"]

    def served(name):
        selector = plane.get("-n", ns, "svc", "c-be-service")["spec"]["selector"]
        return selector.items() <= plane.get("-n", ns, "pod", name)["metadata"]["labels"].items()

    wait_until("it is served", lambda: served("c-be-0") and served("c-be-1"), 30)
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", json.dumps({"spec": {"fence": ["c-be-0", cn["name"]]}}))
    wait_until("it says so", lambda: "c-be-0" in condition(plane, ns, "Fenced").get("message", ""), 30)
    wait_until("it is served no more", lambda: not served("c-be-0") and served("c-be-1"), 30)
    wait_until("another compute node", lambda: {p["metadata"]["name"] for p in pods(plane, ns, "cn")} - {cn["name"]}, 30)
    # Its set wants it back and cannot have it; the pod itself is as it was.
    time.sleep(3)
    kept = plane.get("-n", ns, "pod", "c-be-0")
    assert kept["metadata"]["uid"] == pod["metadata"]["uid"] and kept["spec"] == pod["spec"]
    assert [o["kind"] for o in kept["metadata"]["ownerReferences"]] == ["StarRocksCluster"]
    assert plane.get("-n", ns, "pod", cn["name"])["metadata"]["uid"] == cn["uid"]
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec": {"fence": null}}')
    wait_until("it is served again", lambda: served("c-be-0"), 60)
    wait_until("its set has it back", lambda: [o["kind"] for o in plane.get("-n", ns, "pod", "c-be-0")["metadata"].get(
        "ownerReferences", [])] == ["StatefulSet"], 60)
    assert plane.get("-n", ns, "pod", "c-be-0")["metadata"]["uid"] == pod["metadata"]["uid"]
    wait_cluster_ready(plane, ns, ("fe", "be", "cn"))


def test_what_the_operator_says_about_itself(plane, plane_namespace, plane_start, tmp_path):
    ns = plane_namespace
    metrics, probes = free_ports(2)
    plane_start(f"--metrics-bind-address=127.0.0.1:{metrics}", f"--health-probe-bind-address=127.0.0.1:{probes}")

    def get(port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    wait_until("ready", lambda: get(probes, "/readyz")[0] == 200, 60)
    plane.apply([cr(ns, starRocksFeSpec=part())])
    wait_cluster_ready(plane, ns)
    plane.kubectl("-n", ns, "delete", "service", "c-fe-service")
    wait_until("healed", lambda: plane.kubectl("-n", ns, "get", "service", "c-fe-service", "--ignore-not-found"), 30)
    text = get(metrics, "/metrics")[1]
    series = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}
    assert series['roost_operator_api_writes_total{verb="apply",kind="Service"}'] >= 3
    assert series['roost_operator_api_writes_total{verb="apply",kind="StatefulSet"}'] >= 1
    assert series['roost_operator_api_writes_total{verb="status",kind="StarRocksCluster"}'] >= 1
    assert series["roost_operator_reconcile_seconds_count"] >= 1
    assert series['roost_operator_reconcile_seconds_bucket{le="+Inf"}'] == series["roost_operator_reconcile_seconds_count"]
    assert series["roost_operator_leader"] == 1
    assert "roost_operator_queue_depth" in series and "roost_operator_ask_seconds_count" in series
    assert get(probes, "/healthz") == (200, "ok\n")
    says = lambda what, n: f'\nroost_operator_clusters{{kind="StarRocksCluster",condition="{what}"}} {n}\n' in get(metrics, "/metrics")[1]
    wait_until("it counts as ready", lambda: says("Ready", 1) and says("Degraded", 0) and says("Progressing", 0), 30)
    log = (tmp_path / "operator-0.log").read_text()
    line = next(line for line in log.splitlines() if "object=StatefulSet/c-fe" in line)
    assert f"cluster={ns}/c" in line and "generation=1" in line and "verb=apply" in line
    plane.kubectl("-n", ns, "patch", "src", "c", "--type=merge", "-p", '{"spec": {"starRocksFeSpec": {"observers": 1}}}')
    wait_until("it counts as degraded", lambda: says("Degraded", 1) and says("Ready", 0), 30)
    plane.kubectl("-n", ns, "delete", "src", "c")
    wait_until("it counts no more", lambda: says("Degraded", 0) and says("Ready", 0), 30)

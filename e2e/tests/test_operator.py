"""The operator on a real node, with pods that only sleep: objects, order, healing, status (adoption: test_adoption.py).

The programs in the pods are the pause image: what a set of pods does with the operator's objects is Kubernetes' part,
and what an FE answers is covered by operator/reconcile/step_test.c and by the main job.
"""

import json

import pytest

from conftest import REPO, run, wait_until
from operator_fixture import OPERATOR, PAUSE, condition, cr, operators, part, wait_ready


@pytest.fixture(scope="session")
def crds(cluster):
    if not OPERATOR.exists():
        run("make", "-C", REPO, timeout=1800)
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", REPO / "crds" / "starrocks.com_starrocksclusters.yaml",
                    "-f", REPO / "crds" / "starrocks.com_starrockswarehouses.yaml")
    for kind in ("starrocksclusters", "starrockswarehouses"):
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{kind}.starrocks.com", "--timeout=30s")


@pytest.fixture
def start(cluster, crds, namespace, tmp_path):
    with operators(cluster, namespace, tmp_path) as go:
        yield go


def test_a_cluster_lives_and_goes(cluster, namespace, start):
    start()
    cluster.apply([
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe", "namespace": namespace},
         "data": {"fe.conf": "http_port = 8030\n"}},
        cr(namespace, starRocksFeSpec=part(configMapInfo={"configMapName": "fe", "resolveKey": "fe.conf"}),
           starRocksBeSpec=part(), starRocksCnSpec=part(2))])
    wait_ready(cluster, namespace)
    names = {o["kind"] + "/" + o["metadata"]["name"] for o in cluster.get("-n", namespace, "sts,deploy,svc,secret")["items"]}
    assert names == {"StatefulSet/c-fe", "StatefulSet/c-be", "Deployment/c-cn", "Secret/c-roost-token"} | {
        f"Service/c-{role}-{what}" for role in ("fe", "be", "cn") for what in ("service", "search")}
    status = cluster.get("-n", namespace, "src", "c")["status"]
    assert status["phase"] == "running"
    assert status["starRocksCnStatus"]["replicas"] == 2
    assert status["starRocksFeStatus"]["runningInstances"] == ["c-fe-0"]

    # A deleted child comes back, an edited one is put right, an edited configuration reaches the Service.
    cluster.kubectl("-n", namespace, "delete", "service", "c-be-service")
    wait_until("the Service is back", lambda: cluster.kubectl("-n", namespace, "get", "svc", "c-be-service", check=False), 60)
    cluster.kubectl("-n", namespace, "patch", "svc", "c-fe-service", "--type=merge", "-p", '{"spec":{"selector":{"x":"y"}}}')
    wait_until("the selector is put right", lambda: "x" not in cluster.get("-n", namespace, "svc", "c-fe-service")[
        "spec"]["selector"], 60)
    cluster.kubectl("-n", namespace, "patch", "cm", "fe", "--type=merge", "-p", '{"data":{"fe.conf":"http_port = 18030"}}')
    wait_until("the port follows fe.conf", lambda: cluster.get("-n", namespace, "svc", "c-fe-service")["spec"]["ports"][0][
        "port"] == 18030, 60)

    # /scale is the CR's: kubectl, an HPA and KEDA use it alike.
    cluster.kubectl("-n", namespace, "scale", "src", "c", "--replicas=3")
    wait_until("three compute nodes", lambda: cluster.get("-n", namespace, "deploy", "c-cn")["status"].get(
        "readyReplicas") == 3, 90)

    cluster.kubectl("-n", namespace, "delete", "src", "c")
    wait_until("everything is gone", lambda: not cluster.get("-n", namespace, "sts,deploy,svc,secret,pod")["items"], 90)


def test_what_is_wrong_is_said_and_passes(cluster, namespace, start):
    start()
    cluster.apply([cr(namespace, starRocksFeSpec=part()), cr(namespace, "good", starRocksFeSpec=part())])
    wait_ready(cluster, namespace)
    cluster.kubectl("-n", namespace, "patch", "src", "c", "--type=merge", "-p",
                    '{"spec":{"starRocksFeSpec":{"image":"roost.invalid/none:1"}}}')
    degraded = wait_until("Degraded names the pod", lambda: (lambda c: c if c.get("status") == "True" else None)(
        condition(cluster, namespace, "Degraded")), 90)
    assert degraded["reason"] in ("ErrImagePull", "ImagePullBackOff")
    assert "c-fe-0" in degraded["message"]
    assert condition(cluster, namespace, "Ready", "good")["status"] == "True"
    cluster.kubectl("-n", namespace, "patch", "src", "c", "--type=merge", "-p",
                    json.dumps({"spec": {"starRocksFeSpec": {"image": PAUSE}}}))
    wait_ready(cluster, namespace)


@pytest.mark.parametrize("patch, says", [
    ({"starRocksFeSpec": {"replicas": 1}}, "below a majority"),
    ({"starRocksFeSpec": {"replicas": 0}}, "below a majority"),
    ({"starRocksFeSpec": None}, "cannot be removed"),
    ({"starRocksBeSpec": {"image": PAUSE, "storageVolumes": [
        {"name": "d", "mountPath": "/d", "storageSize": "abc10Gi"}]}}, "storageSize"),
    ({"starRocksCnSpec": {"image": PAUSE, "cnEnvVars": [{"name": "HOST_TYPE", "value": "FQDN"}]}}, "HOST_TYPE=FQDN"),
    ({"starRocksCnSpec": {"image": PAUSE, "roostAutoscaling": {"minReplicas": 3, "maxReplicas": 2}}}, "minReplicas"),
    ({"starRocksCnSpec": {"image": PAUSE, "roostAutoscaling": {"maxReplicas": 2},
                          "autoScalingPolicy": {"maxReplicas": 2}}}, "keep one of them"),
])
def test_the_schema_refuses_in_words(cluster, crds, namespace, patch, says):
    cluster.apply([cr(namespace, starRocksFeSpec=part(3))])
    done = run(REPO / "e2e" / "cluster" / "kubectl", "-n", namespace, "patch", "src", "c", "--type=merge", "-p",
               json.dumps({"spec": patch}), check=False)
    assert done.returncode != 0 and says in done.stderr


def test_one_leads_and_another_takes_over(cluster, namespace, start):
    start("--leader-elect")
    lease = ("-n", namespace, "lease", "c6c79638.starrocks.com")
    holder = wait_until("somebody leads", lambda: json.loads(cluster.kubectl("get", *lease, "-o", "json", check=False)
                                                             or "{}").get("spec", {}).get("holderIdentity"), 60)
    first, second = start.operators[0], start("--leader-elect")
    cluster.apply([cr(namespace, starRocksFeSpec=part())])
    wait_ready(cluster, namespace)
    assert cluster.get(*lease)["spec"]["holderIdentity"] == holder
    # Without a word: its lease has to run out first.
    first.process.kill()
    first.process.wait()
    wait_until("the other leads", lambda: cluster.get(*lease)["spec"]["holderIdentity"] not in ("", holder), 90)
    cluster.kubectl("-n", namespace, "delete", "service", "c-fe-service")
    wait_until("it heals", lambda: cluster.kubectl("-n", namespace, "get", "svc", "c-fe-service", check=False), 60)
    second.stop()
    # With a word: the next one need not wait.
    assert cluster.get(*lease)["spec"].get("holderIdentity", "") == ""

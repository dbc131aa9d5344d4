"""The parts that `up --with` brings: S3, kwok's nodes, KEDA, Karpenter."""

import base64
import os

import boto3
import pytest

from conftest import TOOLS, run, wait_until

# KEDA and Karpenter compile for a quarter of an hour on a cold machine.
long_build = pytest.mark.skipif(os.environ.get("ROOST_SOAK") != "1", reason="builds KEDA or Karpenter: ROOST_SOAK=1")


def with_part(cluster, part):
    if cluster.foreign:
        pytest.skip("a cluster of one's own has its own parts")
    run(TOOLS / "up", "--with", part, timeout=3000)


def test_s3_stores_and_lists(cluster):
    with_part(cluster, "s3")
    ip = cluster.get("-n", "roost-s3", "service", "minio")["spec"]["clusterIP"]
    secret = cluster.get("-n", "roost-s3", "secret", "s3-credentials")["data"]
    s3 = boto3.client("s3", endpoint_url=f"http://{ip}:9000", region_name="us-east-1",
                      aws_access_key_id=base64.b64decode(secret["accessKey"]).decode(),
                      aws_secret_access_key=base64.b64decode(secret["secretKey"]).decode())
    s3.put_object(Bucket="roost", Key="test/cluster-parts", Body=b"abc")
    assert s3.get_object(Bucket="roost", Key="test/cluster-parts", Range="bytes=1-1")["Body"].read() == b"b"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="roost", Prefix="test/cluster-parts")["Contents"]] == ["test/cluster-parts"]
    s3.delete_object(Bucket="roost", Key="test/cluster-parts")


def fake_node(name):
    size = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"kubernetes.io/hostname": name, "roost-test": name}},
        "spec": {"taints": [{"key": "kwok", "effect": "NoSchedule"}]},
        "status": {"capacity": size, "allocatable": size},
    }


def test_kwok_nodes_and_pods_become_ready(cluster, namespace):
    with_part(cluster, "kwok")
    node = f"fake-{namespace}"
    cluster.apply([fake_node(node)])
    try:
        cluster.apply([{
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeSelector": {"roost-test": node}, "tolerations": [{"operator": "Exists"}], "containers": [{"name": "c", "image": "none"}]},
        }], namespace)
        cluster.wait_pod(namespace, "p", timeout=60)
    finally:
        cluster.kubectl("delete", "node", node, check=False)


@long_build
def test_keda_answers_on_the_aggregation_layer(cluster, namespace):
    """A ScaledObject makes an HPA: KEDA watches, and the API server reaches its adapter."""
    with_part(cluster, "keda")
    conditions = cluster.get("apiservice", "v1beta1.external.metrics.k8s.io")["status"]["conditions"]
    assert [c["status"] for c in conditions if c["type"] == "Available"] == ["True"]
    cluster.apply([
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"a": "d"}},
            "template": {"metadata": {"labels": {"a": "d"}}, "spec": {"containers": [{"name": "c", "image": "none"}]}}}},
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "s"}, "spec": {
            "scaleTargetRef": {"name": "d"}, "pollingInterval": 1, "minReplicaCount": 0, "maxReplicaCount": 3,
            "triggers": [{"type": "cron", "metadata": {
                "timezone": "UTC", "start": "0 0 * * *", "end": "59 23 * * *", "desiredReplicas": "2"}}]}},
    ], namespace)
    wait_until("KEDA's HPA", lambda: cluster.get("-n", namespace, "hpa")["items"], timeout=60)
    wait_until("KEDA scales from zero", lambda: cluster.get("-n", namespace, "deployment", "d")["spec"]["replicas"] >= 1, timeout=60)


@long_build
def test_karpenter_makes_a_node_for_a_pod(cluster, namespace):
    with_part(cluster, "karpenter")
    pool = f"pool-{namespace}"
    label = {"roost-test": namespace}
    cluster.apply([
        {"apiVersion": "karpenter.kwok.sh/v1alpha1", "kind": "KWOKNodeClass", "metadata": {"name": pool}},
        {"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": pool}, "spec": {
            "template": {"metadata": {"labels": label}, "spec": {
                "taints": [{"key": "kwok", "effect": "NoSchedule"}],
                "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": pool},
                "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}},
            "disruption": {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "5s"}}},
    ])
    try:
        cluster.apply([{
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"nodeSelector": label, "tolerations": [{"operator": "Exists"}],
                     "containers": [{"name": "c", "image": "none", "resources": {"requests": {"cpu": "1"}}}]},
        }], namespace)
        cluster.wait_pod(namespace, "p", timeout=90)
        cluster.kubectl("-n", namespace, "delete", "pod", "p", "--now")
        wait_until("the empty node is removed", lambda: not cluster.get("nodes", "-l", f"roost-test={namespace}")["items"], timeout=120)
    finally:
        cluster.kubectl("delete", "nodepool", pool, "--wait=false", check=False)
        cluster.kubectl("delete", "kwoknodeclass", pool, "--wait=false", check=False)

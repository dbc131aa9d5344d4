"""Who belongs to a cluster, with the engine's own pods: backends leave without losing a row, dead compute nodes are
forgotten by identity."""

import os

import pytest

from conftest import TOOLS, run, wait_until
from operator_fixture import cr, wait_ready
from test_operator import crds, start  # noqa: F401 (fixtures)

IMAGE = os.environ.get("ROOST_ENGINE_IMAGE", "roost/engine:dev")


@pytest.fixture(scope="module")
def engine_image(cluster):
    if not cluster.foreign:
        run(TOOLS / "image", "engine", timeout=1800)
    elif "ROOST_ENGINE_IMAGE" not in os.environ:
        pytest.skip("a cluster of one's own: name the image it can pull in ROOST_ENGINE_IMAGE")


def node(replicas, memory="256Mi"):
    return {"image": IMAGE, "replicas": replicas, "runAsNonRoot": True, "readOnlyRootFilesystem": True,
            "requests": {"cpu": "20m", "memory": memory}, "limits": {"memory": "1Gi"}, "terminationGracePeriodSeconds": 20}


@pytest.mark.timeout(600)
def test_nodes_come_and_go(cluster, engine_image, namespace, start):  # noqa: F811
    def sql(text):
        out = cluster.kubectl("-n", namespace, "exec", "c-fe-0", "--", "mysql", "-h127.0.0.1", "-P9030", "-uroot", "-N", "-e", text)
        return [line.split("\t") for line in out.splitlines()]

    start()
    cluster.apply([cr(namespace, starRocksFeSpec=node(1), starRocksBeSpec=node(3), starRocksCnSpec=node(2))])
    wait_ready(cluster, namespace, timeout=180)
    wait_until("all nodes are alive", lambda: [r[8] for r in sql("SHOW BACKENDS") + sql("SHOW COMPUTE NODES")] == ["true"] * 5, 60)
    sql('CREATE DATABASE d; CREATE TABLE d.t (a INT, b INT) DISTRIBUTED BY HASH(a) BUCKETS 6 PROPERTIES ("replication_num" = "1");'
        "INSERT INTO d.t VALUES (1,1),(2,2),(3,3),(4,4),(5,5),(6,6),(7,7)")
    assert sum(int(r[11]) for r in sql("SHOW BACKENDS")[1:]) > 0, "the backends that are to leave hold nothing: no test"

    # Three backends to one: each is drained, dropped, and only then one replica less.
    cluster.kubectl("-n", namespace, "patch", "src", "c", "--type=merge", "-p", '{"spec":{"starRocksBeSpec":{"replicas":1}}}')
    wait_until("one backend is left", lambda: cluster.get("-n", namespace, "sts", "c-be")["spec"]["replicas"] == 1, 120)
    assert [r[1].split(".")[0] for r in sql("SHOW BACKENDS")] == ["c-be-0"]
    assert sql("SELECT count(*), sum(a) FROM d.t") == [["7", "28"]]

    # A compute node that dies without a word leaves no ghost, and no living node is dropped.
    pods = ("-n", namespace, "pods", "-l", "app.kubernetes.io/component=cn,app.starrocks.ownerreference/name=c-cn")
    victim = cluster.get(*pods)["items"][0]
    cluster.kubectl("-n", namespace, "delete", "pod", victim["metadata"]["name"], "--grace-period=0", "--force")

    def settled():
        living = {p["status"].get("podIP") for p in cluster.get(*pods)["items"]}
        known = {r[1]: r[8] for r in sql("SHOW COMPUTE NODES")}
        return len(living) == 2 and set(known) == living and set(known.values()) == {"true"} and \
            victim["status"]["podIP"] not in known

    wait_until("the FE knows exactly the living pods", settled, 120)
    assert sql("SELECT count(*), sum(a) FROM d.t") == [["7", "28"]]

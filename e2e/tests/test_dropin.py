"""In the place of upstream's operator: its Deployment's own arguments, its lease, and the chart's values for the way over."""

import json

import pytest
import yaml

from conftest import REPO, TOOLS, run, wait_until
from operator_fixture import OPERATOR, condition, cr, operators, part

# The arguments of upstream's deploy/operator.yaml, and what its chart adds.
UPSTREAMS = ("--leader-elect", "--zap-time-encoding=iso8601", "--zap-encoder=console", "--volume-name-with-hash=true",
             "--dns-domain-suffix=", "--deny-list=kube-system, kube-public", "--zap-devel", "--zap-log-level=4")


@pytest.fixture
def start(plane, plane_namespace, tmp_path):
    with operators(plane, plane_namespace, tmp_path) as go:
        yield go


def test_upstreams_arguments_are_taken(plane, plane_namespace, start):
    start(*UPSTREAMS)
    plane.apply([cr(plane_namespace, starRocksFeSpec=part())])
    wait_until("it is served", lambda: condition(plane, plane_namespace, "Progressing"), 60)
    lease = plane.get("-n", plane_namespace, "lease", "c6c79638.starrocks.com")
    assert lease["spec"]["holderIdentity"].startswith("operator-")


def test_what_was_recorded_is_replayed(plane, plane_namespace, start, tmp_path, monkeypatch):
    monkeypatch.setenv("ROOST_RECORD", str(tmp_path))
    start()
    plane.apply([cr(plane_namespace, starRocksFeSpec=part(3))])
    wait_until("it is served", lambda: condition(plane, plane_namespace, "Progressing"), 60)
    file = tmp_path / f"{plane_namespace}.c.json"
    wait_until("its state is kept", lambda: file.exists() and json.loads(file.read_text())["objects"], 30)
    kept = tmp_path / "kept.json"
    kept.write_bytes(file.read_bytes())
    first, second = (run(OPERATOR, "replay", kept).stdout for _ in range(2))
    assert first == second and json.loads(first)["status"]["observedGeneration"] == 1
    assert file.stat().st_mode & 0o777 == 0o600
    # What was there is not made again; what was not, is.
    world = json.loads(kept.read_text())
    world["objects"] = {}
    kept.write_text(json.dumps(world))
    assert "StatefulSet" in [w["kind"] for w in json.loads(run(OPERATOR, "replay", kept).stdout)["writes"]]


@pytest.mark.parametrize("flags, says", [
    (["--leader-elect=perhaps"], "--leader-elect is \"perhaps\"; it must be true or false"),
    (["--watch-idle-seconds=0"], "must be 1 to 3600"),
    (["bogus"], "bogus is not a flag"),
    (["release", "a", "--kubeconfig=/none"], "cannot open /none"),
])
def test_a_wrong_flag_is_named(flags, says):
    done = run(OPERATOR, *flags, check=False)
    assert done.returncode and says in done.stderr, done.stderr


def operator(*values):
    text = run(TOOLS / "helm", "template", "r", REPO / "charts/roost", "--kube-version", "1.34.0",
               *(x for v in values for x in ("--set", v))).stdout
    docs = [d for d in yaml.safe_load_all(text) if d and d["kind"] == "Deployment" and d["metadata"]["name"] == "roost-operator"]
    return docs[0]["spec"]["template"]["spec"]


def test_the_chart_hands_over_what_upstreams_chart_can_say():
    pod = operator("operator.env[0].name=KUBE_STARROCKS_UNSUPPORTED_ENVS", "operator.env[0].value=TZ\\,HOST_IP",
                   "operator.volumeNameWithHash=false", "operator.denyList=a\\,b",
                   "operator.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0].key=x")
    container = pod["containers"][0]
    assert {"name": "KUBE_STARROCKS_UNSUPPORTED_ENVS", "value": "TZ,HOST_IP"} in container["env"]
    assert {"--volume-name-with-hash=false", "--deny-list=a,b"} <= set(container["args"]) and "nodeAffinity" in pod["affinity"]


def test_machines_are_watched_without_the_scaler_and_no_scaler_is_asked():
    args = operator("scaler.enabled=false", "operator.watchNodes=karpenter.sh/nodepool")["containers"][0]["args"]
    assert "--watch-nodes=karpenter.sh/nodepool" in args and "--scaler-url=" in args
    with_it = operator("operator.watchNodes=x")["containers"][0]["args"]
    assert "--watch-nodes=x" in with_it and "--scaler-url=" not in with_it and any(a.startswith("--scaler-url=http") for a in with_it)


# ---- giving back ----
WAREHOUSE = "w-warehouse-cn"


def a_cluster_with_a_warehouse(plane, ns):
    """Carried on as after an operator's restart: its Deployment is there, so that no FE has to offer warehouses first."""
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe-conf", "namespace": ns}, "data": {"fe.conf": "run_mode = shared_data\n"}}
    spec = {"starRocksFeSpec": {"image": "none", "replicas": 1, "configMapInfo": {"configMapName": "fe-conf", "resolveKey": "fe.conf"}}}
    plane.apply([conf, {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c", "namespace": ns}, "spec": spec},
                 {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": "w", "namespace": ns},
                  "spec": {"starRocksCluster": "c", "template": {"image": "none"}}}])
    labels = {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": WAREHOUSE}
    owner = {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "name": "w",
             "uid": plane.get("-n", ns, "starrockswarehouses", "w")["metadata"]["uid"]}
    plane.apply([{"apiVersion": "apps/v1", "kind": "Deployment",
                  "metadata": {"name": WAREHOUSE, "namespace": ns, "ownerReferences": [owner],
                               "labels": {**labels, "app.starrocks.ownerreference/name": "w-warehouse"}},
                  "spec": {"replicas": 0, "selector": {"matchLabels": labels},
                           "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "cn", "image": "none"}]}}}}])


def signed_by(plane, ns, kind, name):
    text = plane.kubectl("-n", ns, "get", kind, name, "-o", "json", "--show-managed-fields")
    return {m["manager"] for m in json.loads(text)["metadata"]["managedFields"] if not m.get("subresource")}


def account(plane, ns):
    """The operator's own, with the chart's rights and no more; its kubeconfig."""
    text = run(TOOLS / "helm", "template", "r", REPO / "charts/roost", "--kube-version", "1.34.0", "--namespace", ns,
               "--set", f"watchNamespaces={{{ns}}}", "--show-only", "templates/rbac.yaml").stdout
    plane.apply([d for d in yaml.safe_load_all(text) if d and d["metadata"]["name"] == "roost-operator"])
    token = plane.kubectl("-n", ns, "create", "token", "roost-operator").strip()
    return plane.write_kubeconfig(plane.folder / f"{ns}.kubeconfig", token)


def test_what_is_given_back_is_left_alone_warehouses_too(plane, plane_namespace, start):
    ns = plane_namespace
    a_cluster_with_a_warehouse(plane, ns)
    start()
    wait_until("the FE's pod", lambda: plane.kubectl("-n", ns, "get", "pod", "c-fe-0", check=False), 60)
    plane.set_status(ns, "pod", "c-fe-0", {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]})
    warehouse = lambda: plane.get("-n", ns, "starrockswarehouses", "w")["metadata"]
    wait_until("the warehouse is served", lambda: warehouse().get("finalizers") and plane.kubectl(
        "-n", ns, "get", "service", f"{WAREHOUSE}-service", check=False), 60)

    def release(kubeconfig, name="c"):
        return run(OPERATOR, "release", f"{ns}/{name}", "--kubeconfig", kubeconfig, check=False)

    nobody = release(plane.kubeconfig, "nobody")
    assert nobody.returncode and "not found" in nobody.stderr
    # From inside the operator's pod: a person marks it first.
    own = account(plane, ns)
    refused = release(own)
    assert refused.returncode and f"kubectl -n {ns} annotate src c roost.io/released=true" in refused.stderr, refused.stderr
    assert "roost.io/released" not in plane.get("-n", ns, "src", "c")["metadata"].get("annotations", {}) and warehouse()["finalizers"]
    plane.kubectl("-n", ns, "annotate", "src", "c", "roost.io/released=true")
    done = release(own)
    assert done.returncode == 0 and f"StarRocksWarehouse {ns}/w: given back" in done.stdout, done.stderr
    assert not warehouse().get("finalizers") and warehouse()["annotations"]["roost.io/released"] == "true"
    for service in ("c-fe-service", f"{WAREHOUSE}-service"):
        assert "sroperator" in signed_by(plane, ns, "service", service), service
    # Left alone: nothing comes back, and it goes at once.
    plane.kubectl("-n", ns, "delete", "service", f"{WAREHOUSE}-search")
    plane.kubectl("-n", ns, "delete", "starrockswarehouses", "w", "--timeout=30s")
    assert not plane.kubectl("-n", ns, "get", "service", f"{WAREHOUSE}-search", "--ignore-not-found")

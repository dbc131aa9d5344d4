"""manifests/: what they say is what the issue and the article ask for, and real CRDs on a real API server take them."""

import json
import re

import pytest
import yaml

import go_modules
from conftest import REPO

MANIFESTS = REPO / "manifests"
FE_TYPES = {"c6i.8xlarge", "c6in.8xlarge", "m5.8xlarge"}
WORKER_TYPES = {"r6i.24xlarge", "m6in.24xlarge", "r6in.24xlarge", "m5n.24xlarge"}


def docs_of(path):
    return [d for d in yaml.safe_load_all((MANIFESTS / path).read_text()) if d]


def named(docs, kind, name):
    return next(d for d in docs if d["kind"] == kind and d["metadata"]["name"] == name)


def requirement(pool, key):
    return {v for r in pool["spec"]["template"]["spec"]["requirements"] if r["key"] == key for v in r["values"]}


@pytest.fixture(scope="module")
def pools():
    return docs_of("karpenter/aws/nodepools.yaml")


@pytest.fixture(scope="module")
def judge(plane):
    """The API server with the CRDs of KEDA, Karpenter and its AWS provider, and ours."""
    plane.crds()
    go_modules.install(plane, go_modules.keda_crds() + go_modules.karpenter_crds() + go_modules.aws_crds())
    return plane


def accepted(plane, docs, namespace="default"):
    for doc in docs:
        if "namespace" in doc["metadata"]:
            doc = {**doc, "metadata": {**doc["metadata"], "namespace": namespace}}
        # strict: a field that the schema does not know is an error, not dropped.
        plane.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(doc))


@pytest.mark.parametrize("pool,types,capacity,zones", [
    ("roost-fe", FE_TYPES, {"on-demand"}, 3), ("roost-be", WORKER_TYPES, {"on-demand"}, 3),
    ("roost-cn-spot", WORKER_TYPES, {"spot"}, 3), ("roost-cn-on-demand", WORKER_TYPES, {"on-demand"}, 3)])
def test_pools_buy_the_machines_of_the_article(pools, pool, types, capacity, zones):
    pool = named(pools, "NodePool", pool)
    role = pool["metadata"]["name"].split("-")[1]
    spec = pool["spec"]["template"]["spec"]
    assert requirement(pool, "node.kubernetes.io/instance-type") == types
    assert requirement(pool, "karpenter.sh/capacity-type") == capacity
    assert len(requirement(pool, "topology.kubernetes.io/zone")) == zones
    assert requirement(pool, "kubernetes.io/arch") == {"amd64"}
    assert spec["taints"] == [{"key": "roost.io/role", "value": role, "effect": "NoSchedule"}]
    assert pool["spec"]["template"]["metadata"]["labels"] == {"roost.io/role": role}
    assert pool["spec"]["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert pool["spec"]["limits"]


def test_spot_first_and_on_demand_after_it(pools):
    spot, fallback = named(pools, "NodePool", "roost-cn-spot")["spec"], named(pools, "NodePool", "roost-cn-on-demand")["spec"]
    assert (spot["weight"], fallback["weight"]) == (50, 10)
    for pool in (spot, fallback):
        assert pool["template"]["spec"]["startupTaints"] == [{"key": "roost.io/starting", "effect": "NoSchedule"}]
        assert {"nodes": "100%", "reasons": ["Empty"]} in pool["disruption"]["budgets"]
        assert any(b["nodes"] == "10%" and "Drifted" in b["reasons"] for b in pool["disruption"]["budgets"])


def test_backends_are_not_disrupted_outside_their_window(pools):
    spec = named(pools, "NodePool", "roost-be")["spec"]
    assert spec["template"]["spec"]["expireAfter"] == "Never"
    assert "terminationGracePeriod" not in spec["template"]["spec"]
    closed = next(b for b in spec["disruption"]["budgets"] if b["nodes"] == "0")
    # Weekly, and the window that is left over is two hours.
    assert re.fullmatch(r"\d+ \d+ \* \* \d", closed["schedule"])
    assert 7 * 24 - int(closed["duration"].removesuffix("h")) == 2


def gp3_faults(where, size_gib, iops, throughput):
    """The bounds of a gp3 volume, which no CRD checks: a quarter MiB/s for each of the IOPS, 500 IOPS a GiB."""
    rules = [(3000 <= iops <= 16000, "iops are 3,000 to 16,000"), (125 <= throughput <= 1000, "throughput is 125 to 1,000 MB/s"),
             (throughput <= iops / 4, f"{throughput} MB/s need {throughput * 4} iops, not {iops}"),
             (size_gib is None or iops <= 500 * size_gib, "500 iops for each GiB at most")]
    return [f"{where}: {text}" for ok, text in rules if not ok]


def gib(text):
    assert text.endswith("Gi"), text
    return int(text.removesuffix("Gi"))


def test_gp3_volumes_are_possible_and_fast_where_data_is_read():
    faults = []
    for doc in docs_of("karpenter/aws/ec2nodeclasses.yaml"):
        for disk in doc["spec"]["blockDeviceMappings"]:
            ebs = disk["ebs"]
            assert ebs["volumeType"] == "gp3" and ebs["encrypted"]
            faults += gp3_faults(doc["metadata"]["name"], gib(ebs["volumeSize"]), ebs["iops"], ebs["throughput"])
            if doc["metadata"]["name"] == "roost-cn":
                assert ebs["throughput"] == 1000 and ebs["iops"] >= 4000, "the CN's cache"
    for doc in docs_of("karpenter/aws/storageclass.yaml"):
        p = doc["parameters"]
        faults += gp3_faults(doc["metadata"]["name"], None, int(p["iops"]), int(p["throughput"]))
        assert (p["type"], p["csi.storage.k8s.io/fstype"], doc["volumeBindingMode"]) == ("gp3", "xfs", "WaitForFirstConsumer")
    assert not faults
    cluster = named(docs_of("karpenter/cluster.yaml"), "StarRocksCluster", "analytics")
    data = cluster["spec"]["starRocksBeSpec"]["storageVolumes"][0]["storageClassName"]
    assert named(docs_of("karpenter/aws/storageclass.yaml"), "StorageClass", data)["parameters"]["throughput"] == "1000", "BE data"


@pytest.mark.parametrize("size,iops,throughput", [(100, 3000, 1000), (100, 2999, 125), (4, 3000, 125), (1000, 16001, 1000),
                                                  (1000, 6000, 1001), (1000, 6000, 124)])
def test_gp3_check_sees_what_aws_would_refuse(size, iops, throughput):
    assert gp3_faults("x", size, iops, throughput)


def test_cluster_fits_its_pools(pools):
    """Each role chooses its pool, tolerates all of its taints, and asks for no more than the smallest of its machines."""
    cluster = named(docs_of("karpenter/cluster.yaml"), "StarRocksCluster", "analytics")["spec"]
    types = {t["name"]: t for t in json.loads((MANIFESTS / "karpenter/kwok/instance-types.json").read_text())}
    for part, pool in (("starRocksFeSpec", "roost-fe"), ("starRocksBeSpec", "roost-be"), ("starRocksCnSpec", "roost-cn-spot"),
                       ("starRocksCnSpec", "roost-cn-on-demand")):
        pool = named(pools, "NodePool", pool)
        template = pool["spec"]["template"]
        assert cluster[part]["nodeSelector"] == template["metadata"]["labels"]
        tolerated = {t["key"] for t in cluster[part]["tolerations"]}
        assert {t["key"] for t in template["spec"]["taints"] + template["spec"].get("startupTaints", [])} <= tolerated
        for name in requirement(pool, "node.kubernetes.io/instance-type"):
            assert int(cluster[part]["requests"]["cpu"]) < int(types[name]["resources"]["cpu"]), name
            assert gib(cluster[part]["requests"]["memory"]) < gib(types[name]["resources"]["memory"]), name


def test_catalogue_of_kwok_has_every_type_in_every_zone(pools):
    types = json.loads((MANIFESTS / "karpenter/kwok/instance-types.json").read_text())
    assert {t["name"] for t in types} == FE_TYPES | WORKER_TYPES
    zones = requirement(named(pools, "NodePool", "roost-cn-spot"), "topology.kubernetes.io/zone")
    for t in types:
        offered = {tuple(sorted((r["key"], r["values"][0]) for r in o["Requirements"])) for o in t["offerings"]}
        assert len(offered) == 2 * len(zones)
        assert {z for o in offered for k, z in o if k == "topology.kubernetes.io/zone"} == zones


def kustomized(plane, folder):
    return [d for d in yaml.safe_load_all(plane.kubectl("kustomize", str(MANIFESTS / folder))) if d]


def test_karpenter_for_aws_is_accepted(judge):
    docs = kustomized(judge, "karpenter/aws")
    assert sorted(d["kind"] for d in docs).count("EC2NodeClass") == 3
    accepted(judge, docs)


def test_karpenter_for_kwok_differs_in_the_node_class_only(judge):
    docs, aws = kustomized(judge, "karpenter/kwok"), kustomized(judge, "karpenter/aws")
    assert {d["kind"] for d in docs} == {"NodePool", "KWOKNodeClass"}
    for pool in docs:
        if pool["kind"] == "NodePool":
            assert pool["spec"]["template"]["spec"].pop("nodeClassRef")["kind"] == "KWOKNodeClass"
            twin = named(aws, "NodePool", pool["metadata"]["name"])
            twin["spec"]["template"]["spec"].pop("nodeClassRef")
            assert pool["spec"] == twin["spec"]
    accepted(judge, kustomized(judge, "karpenter/kwok"))


def test_placed_cluster_is_accepted(judge):
    accepted(judge, [d for d in docs_of("karpenter/cluster.yaml") if d["kind"] != "Namespace"])


@pytest.mark.parametrize("file", sorted((MANIFESTS / "keda").glob("*.yaml")), ids=lambda p: p.name)
def test_keda_manifests_are_accepted(judge, file):
    docs = docs_of(file.relative_to(MANIFESTS))
    accepted(judge, docs)
    scaled = next(d for d in docs if d["kind"] == "ScaledObject")["spec"]
    assert len(scaled["triggers"]) == 1 and 1 <= scaled["pollingInterval"] <= 5
    assert scaled["fallback"]["replicas"] > 0 and scaled["fallback"]["behavior"] == "currentReplicasIfHigher"
    metadata = scaled["triggers"][0]["metadata"]
    assert metadata.get("targetValue", metadata.get("threshold")) == "1"
    assert int(metadata["timeout"].removesuffix("ms")) <= 1000
    assert metadata.get("ignoreNullValues", "false") == "false"
    names = {d["metadata"]["name"] for d in docs if d["kind"] == "TriggerAuthentication"}
    assert scaled["triggers"][0]["authenticationRef"]["name"] in names


def test_judge_refuses_what_is_wrong(judge):
    """The API server does check: a field it does not know, and a budget that is none."""
    pool = docs_of("karpenter/aws/nodepools.yaml")[0]
    for change in ({"weigth": 5}, {"weight": 101}, {"disruption": {"consolidateAfter": "1h", "budgets": [{"nodes": "many"}]}}):
        with pytest.raises(AssertionError):
            accepted(judge, [{**pool, "spec": {**pool["spec"], **change}}])


# Where /scale writes, by the CRDs.
POINTERS = {"StarRocksCluster": ["/spec/starRocksCnSpec/replicas"], "StarRocksWarehouse": ["/spec/template/replicas"]}


def test_the_pointers_are_where_scale_writes():
    for path in (REPO / "crds").glob("*.yaml"):
        crd = yaml.safe_load(path.read_text())
        for version in crd["spec"]["versions"]:
            assert POINTERS[crd["spec"]["names"]["kind"]] == [version["subresources"]["scale"]["specReplicasPath"].replace(".", "/")]


@pytest.mark.parametrize("kind,spec", [
    ("StarRocksCluster", {"starRocksFeSpec": {"image": "i", "replicas": 1}, "starRocksCnSpec": {"image": "i", "roostAutoscaling": {"maxReplicas": 9}}}),
    ("StarRocksWarehouse", {"starRocksCluster": "c", "template": {"image": "i", "roostAutoscaling": {"maxReplicas": 9}}})])
def test_what_git_leaves_out_stays_the_scalers(judge, kind, spec):
    """As Argo CD and Flux apply it, again and again, by force."""
    namespace = judge.new_namespace()
    doc = json.dumps({"apiVersion": "starrocks.com/v1", "kind": kind, "metadata": {"name": "c", "namespace": namespace}, "spec": spec})
    for wanted in (None, 7, 2):
        if wanted:
            judge.kubectl("-n", namespace, "scale", kind.lower(), "c", f"--replicas={wanted}")
        judge.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=argocd-controller", "-f", "-", stdin=doc)
        if wanted:
            at = "{." + POINTERS[kind][0].strip("/").replace("/", ".") + "}"
            assert judge.kubectl("-n", namespace, "get", kind.lower(), "c", "-o", f"jsonpath={at}") == str(wanted)


def test_gitops_leaves_the_number_of_compute_nodes_alone(plane):
    argo = docs_of("gitops/argocd/application.yaml")
    analytics = named(argo, "Application", "analytics")["spec"]
    assert {i["kind"]: i["jsonPointers"] for i in analytics["ignoreDifferences"]} == POINTERS
    assert {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= set(analytics["syncPolicy"]["syncOptions"])
    release = named(docs_of("gitops/flux/roost.yaml"), "HelmRelease", "roost")["spec"]
    assert release["driftDetection"]["ignore"][0]["paths"] == ["/spec/starRocksCnSpec/replicas"]
    go_modules.install(plane, go_modules.argo_crds())
    accepted(plane, argo)


def test_flux_manifests_are_accepted(plane):
    go_modules.install(plane, go_modules.flux_crds())
    docs = docs_of("gitops/flux/roost.yaml")
    assert {d["kind"] for d in docs} >= {"GitRepository", "Kustomization", "HelmRelease"}
    accepted(plane, docs)
    for kind in ("Kustomization", "HelmRelease"):
        one = next(d for d in docs if d["kind"] == kind)
        with pytest.raises(AssertionError):
            accepted(plane, [{**one, "spec": {**one["spec"], "intervall": "1m"}}])


def test_monitors_and_rules_are_accepted_by_prometheus_operator(plane):
    go_modules.install(plane, go_modules.monitoring_crds())
    docs = docs_of("monitoring/monitors.yaml") + docs_of("monitoring/prometheusrule.yaml")
    assert {d["kind"] for d in docs} == {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    accepted(plane, docs)
    with pytest.raises(AssertionError):
        monitor = next(d for d in docs if d["kind"] == "ServiceMonitor")
        accepted(plane, [{**monitor, "spec": {**monitor["spec"], "endpoint": []}}])

"""What the operator renders, judged by a real API server: our examples, the golden cases, and upstream's own examples where a
copy of its repository lies beside the project.
"""

import importlib.machinery
import importlib.util
import pathlib
import subprocess

import pytest
import yaml

from conftest import REPO

UPSTREAM = pathlib.Path("/work/.mirror/StarRocks+starrocks-kubernetes-operator/repo")
EXAMPLES = sorted((REPO / "manifests" / "examples").glob("*.yaml"))
# Those that a plain server refuses rightly: two address families, a device claim of a pod that has none.
NOT_HERE = ("extras", "fields", "fields-warehouse")
CASES = [p for p in sorted((REPO / "operator" / "render" / "testdata").glob("*/cr.yaml")) if p.parent.name not in NOT_HERE]


def tool():
    loader = importlib.machinery.SourceFileLoader("render_golden", str(REPO / "e2e/tools/render_golden"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("render_golden", loader))
    loader.exec_module(module)
    return module


def judge(plane, namespace, documents):
    """The CRs and everything rendered from them, as the server would take them. Node ports are the server's to give."""
    documents = [d for d in documents if d and d["kind"] in ("StarRocksCluster", "StarRocksWarehouse", "ConfigMap")]
    documents.sort(key=lambda d: d["kind"] == "ConfigMap")
    clusters = [d for d in documents if d["kind"] == "StarRocksCluster"]
    rendered = []
    for i, cr in enumerate([d for d in documents if d["kind"] != "ConfigMap"]):
        cr["metadata"].setdefault("namespace", "any")
        cr["metadata"].setdefault("uid", f"11111111-2222-3333-4444-{i:012}")
        if cr["kind"] == "StarRocksWarehouse" and not clusters:
            clusters = [{"kind": "StarRocksCluster", "metadata": {"name": cr["spec"]["starRocksCluster"], "namespace": "any"},
                         "spec": {"starRocksFeSpec": {"image": "i", "configMapInfo": {"configMapName": "c", "resolveKey": "fe.conf"}}}}]
            documents.append(clusters[0])
            documents.append({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"fe.conf": "run_mode = shared_data\n"}})
        rendered += tool().rendered([cr, *(d for d in documents if d is not cr)])
    assert rendered
    crs = [{**d, "metadata": {"name": d["metadata"]["name"]}} for d in documents if d["kind"] != "ConfigMap" and "apiVersion" in d]
    for o in rendered:
        o["metadata"]["namespace"] = namespace
        o["metadata"].pop("ownerReferences", None)
        o.get("spec", {}).get("template", {}).get("metadata", {}).pop("namespace", None)
    for d in crs + rendered:
        d.pop("status", None)
        d["metadata"].pop("namespace", None)
    plane.kubectl("-n", namespace, "apply", "--server-side", "--dry-run=server", "-f", "-",
                  stdin="---\n".join(yaml.safe_dump(d) for d in crs + rendered))
    return len(rendered)


@pytest.mark.parametrize("path", EXAMPLES + CASES, ids=lambda p: p.stem if p.stem != "cr" else p.parent.name)
def test_the_server_takes_what_is_rendered(plane, plane_namespace, path):
    documents = list(yaml.safe_load_all(path.read_text()))
    if not any(d and d.get("kind", "").startswith("StarRocks") for d in documents):
        pytest.skip(f"{path.name} holds no StarRocksCluster")
    judge(plane, plane_namespace, documents)


@pytest.mark.skipif(not UPSTREAM.exists(), reason="no copy of StarRocks/starrocks-kubernetes-operator beside the project")
def test_upstreams_own_examples_are_taken(plane, plane_namespace):
    def git(*args):
        return subprocess.run(["git", "-C", UPSTREAM, *args], capture_output=True, text=True, check=True).stdout

    names = [n for n in git("ls-tree", "-r", "--name-only", "HEAD", "examples/starrocks/").split() if n.endswith(".yaml")]
    assert len(names) >= 10
    for name in names:
        assert judge(plane, plane_namespace, list(yaml.safe_load_all(git("show", f"HEAD:{name}")))) >= 6, name

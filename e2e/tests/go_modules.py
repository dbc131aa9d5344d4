"""Files out of pinned Go modules: the CRDs of KEDA, Karpenter and others, so that a real API server judges our manifests."""

import functools
import json
import os
import pathlib
import subprocess
import tempfile

import pytest
import yaml

from conftest import REPO, wait_until

KEDA = "github.com/kedacore/keda/v2@v2.21.0"
KARPENTER = "sigs.k8s.io/karpenter@v1.14.1"
KARPENTER_AWS = "github.com/aws/karpenter-provider-aws@v1.14.1"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
# Of Flux' helm-controller the proxy has the types only (the controller itself: 403): a CRD is made of them, as its own build does.
HELM_RELEASE = REPO / "e2e/cluster/go-flux"
FLUX_KUSTOMIZE = "github.com/fluxcd/kustomize-controller@v1.7.3"
FLUX_SOURCE = "github.com/fluxcd/source-controller@v1.8.5"
ARGO_CD = "github.com/argoproj/argo-cd/v3@v3.1.8"


@functools.cache
def module(name):
    """The folder of a module; downloaded, not built. Where the proxy cannot be reached the test is left out by name."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["go", "mod", "download", "-json", name], cwd=folder, text=True, capture_output=True, timeout=600,
                              env={**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOWORK": "off"})
    found = json.loads(done.stdout) if done.stdout.strip() else {}
    if "Dir" not in found:
        pytest.skip(f"Go module {name} cannot be had: {found.get('Error') or done.stderr.strip()}"[:300])
    return pathlib.Path(found["Dir"])


def crds(*files):
    """The definitions in these files; text, as kubectl takes it."""
    docs = []
    for file in files:
        docs += [d for d in yaml.safe_load_all(file.read_text()) if d and d["kind"] == "CustomResourceDefinition"]
    assert docs, files
    return docs


def keda_crds():
    return crds(*sorted((module(KEDA) / "config/crd/bases").glob("keda.sh_*.yaml")))


def karpenter_crds():
    core = module(KARPENTER) / "kwok"
    return crds(*sorted((core / "charts/crds").glob("*.yaml")), *sorted((core / "apis/crds").glob("*.yaml")))


def aws_crds():
    return crds(module(KARPENTER_AWS) / "pkg/apis/crds/karpenter.k8s.aws_ec2nodeclasses.yaml")


def argo_crds():
    return crds(module(ARGO_CD) / "manifests/crds/application-crd.yaml")


def monitoring_crds():
    folder = module(PROMETHEUS_OPERATOR) / "example/prometheus-operator-crd"
    return crds(*(folder / f"monitoring.coreos.com_{kind}.yaml" for kind in ("podmonitors", "prometheusrules", "servicemonitors")))


def flux_crds():
    return crds(module(FLUX_KUSTOMIZE) / "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
                module(FLUX_SOURCE) / "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml") + helm_release_crds()


@functools.cache
def helm_release_crds():
    done = subprocess.run(["go", "run", "sigs.k8s.io/controller-tools/cmd/controller-gen", "crd",
                           "paths=github.com/fluxcd/helm-controller/api/v2", "output:crd:stdout"], cwd=HELM_RELEASE, text=True,
                          capture_output=True, timeout=600, env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"})
    if done.returncode and ("Forbidden" in done.stderr or "dial tcp" in done.stderr):
        pytest.skip(f"Flux' types cannot be had: {done.stderr.strip()}"[:300])
    assert done.returncode == 0, done.stderr
    return [d for d in yaml.safe_load_all(done.stdout) if d and d["kind"] == "CustomResourceDefinition"]


def install(plane, docs):
    """Server-side: KEDA's are too large for a client's annotation."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": docs})
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text, timeout=300)
    for d in docs:
        name = f"crd/{d['metadata']['name']}"
        wait_until(f"{name} is established", lambda name=name: plane.kubectl(
            "wait", "--for=condition=Established", name, "--timeout=60s", check=False), timeout=120)

"""The Helm chart: what it renders, and that a real API server takes it under the restricted Pod Security Standard."""

import json
import pathlib
import subprocess

import pytest
import yaml

from conftest import REPO, TOOLS, run

pytestmark = pytest.mark.cluster
GOLDEN = pathlib.Path(__file__).parent / "golden"


def template(*args):
    done = run(TOOLS / "helm", "template", "roost", REPO / "charts/roost", "--namespace", "roost-system",
               "--kube-version", "1.34.4", *args)
    return [doc for doc in yaml.safe_load_all(done.stdout) if doc]


def named(docs, kind, name):
    found = [d for d in docs if d["kind"] == kind and d["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)} rendered"
    return found[0]


@pytest.fixture(scope="module", autouse=True)
def crds(cluster):
    """A dry run of a StarRocksCluster needs its definition to be there."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(REPO / "crds"))


@pytest.mark.parametrize("program", ["roost-operator", "roost-scaler"])
def test_role_is_the_golden_one(cluster, program):
    """More rights than the list in golden/ are a change that somebody must look at."""
    rules = named(template(), "ClusterRole", program)["rules"]
    golden = yaml.safe_load((GOLDEN / f"{program}-rules.yaml").read_text())
    assert rules == golden
    text = json.dumps(rules)
    assert "*" not in text and "escalate" not in text and "bind" not in text.replace("binding", "")
    for rule in rules:
        if "secrets" in rule["resources"]:
            assert not {"list", "watch", "delete"} & set(rule["verbs"]), "Secrets are read by name only"


def test_the_scaler_reads_only_the_secrets_that_are_named(cluster):
    def secrets(docs, kind):
        return [r for r in named(docs, kind, "roost-scaler")["rules"] if "secrets" in r["resources"]]

    names = ["a-roost-token", "b-root-password"]
    docs = template("--set", f"scaler.secretNames={{{','.join(names)}}}", "--set", "watchNamespaces={team-a}")
    assert secrets(docs, "Role") == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names}]
    assert secrets(template(), "ClusterRole") == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]


def test_named_namespaces_get_roles_and_no_cluster_role(cluster):
    docs = template("--set", "watchNamespaces={team-a,team-b}")
    assert not [d for d in docs if d["kind"].startswith("ClusterRole")]
    spaces = {d["metadata"]["namespace"] for d in docs if d["kind"] == "Role" and d["metadata"]["name"] == "roost-operator"}
    assert spaces == {"team-a", "team-b"}
    args = named(docs, "Deployment", "roost-operator")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--namespace=team-a,team-b" in args


def test_crds_are_kept_on_uninstall(cluster):
    crds = [d for d in template() if d["kind"] == "CustomResourceDefinition"]
    assert {d["spec"]["names"]["kind"] for d in crds} == {"StarRocksCluster", "StarRocksWarehouse"}
    for crd in crds:
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_one_service_account_per_program(cluster):
    docs = template()
    for program in ("roost-operator", "roost-scaler"):
        assert named(docs, "ServiceAccount", program)
        assert named(docs, "Deployment", program)["spec"]["template"]["spec"]["serviceAccountName"] == program


def test_api_server_takes_everything_in_a_restricted_namespace(cluster, namespace):
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted", "--overwrite")
    docs = [d for d in template("--set", "cluster.enabled=true", "--namespace", namespace)
            if d["kind"] in ("Deployment", "Job", "NetworkPolicy", "Service", "StarRocksCluster", "Secret", "ConfigMap")]
    assert len(docs) > 10
    done = subprocess.run([str(TOOLS / "kubectl"), "apply", "--server-side", "--dry-run=server", "-n", namespace, "-f", "-"],
                          input=yaml.safe_dump_all(docs), text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "would violate PodSecurity" not in done.stderr


def test_generated_password_is_long_and_different_each_time(cluster):
    def password():
        return named(template("--set", "cluster.enabled=true"), "Secret", "roost-root-password")["data"]["password"]

    first, second = password(), password()
    assert first != second and len(first) >= 32


@pytest.mark.parametrize("file", sorted((REPO / "manifests/examples").glob("*.yaml")), ids=lambda p: p.name)
def test_examples_are_accepted(cluster, file):
    docs = [d for d in yaml.safe_load_all(file.read_text()) if d["kind"] in ("StarRocksCluster", "StarRocksWarehouse")]
    for doc in docs:
        doc["metadata"]["namespace"] = "default"
        cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(doc))

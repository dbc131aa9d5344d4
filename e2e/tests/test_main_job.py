"""The main job as a user runs it (make run), then what deleting the cluster leaves: nothing of ours."""

import re
import subprocess

import pytest

from conftest import REPO, TOOLS, run, wait_until

pytestmark = pytest.mark.cluster
NAMESPACE = "roost-quickstart"


@pytest.fixture(scope="module")
def printed(cluster):
    if cluster.foreign:
        pytest.skip("make run builds and imports images, which only the local cluster takes")
    done = subprocess.run([str(REPO / "e2e/tools/run")], cwd=REPO, text=True, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    yield done.stdout
    # Other tests start an operator of their own; two would write against each other.
    run(TOOLS / "helm", "uninstall", "roost", "--namespace", "roost-system", "--wait", timeout=180)
    cluster.kubectl("delete", "namespace", NAMESPACE, "roost-system", "--wait=true", timeout=180)


def test_all_thirteen_answers_are_duckdbs(printed):
    assert len(re.findall(r"q\d\.\d: +\d+ rows in +\d+ ms, equal to DuckDB's", printed)) == 13


def test_a_compute_node_came_and_left_and_no_query_failed(printed):
    assert re.search(r"a compute node joined after [\d.]+ s of load", printed)
    assert re.search(r"load ended: \d+ queries done, 0 failed", printed)
    assert re.search(r"SHOW COMPUTE NODES lists 1: no ghost", printed)


def test_it_says_how_to_connect(printed):
    assert "mysql -h " in printed and "http://" in printed and "e2e/cluster/kubectl" in printed


def test_pods_are_restricted_and_own_no_token_of_the_api(printed, cluster):
    for component in ("fe", "be", "cn"):
        pods = cluster.get("pods", "-n", NAMESPACE, "-l", f"app.starrocks.ownerreference/name=quickstart-{component}")["items"]
        assert pods
        for pod in pods:
            assert pod["spec"]["automountServiceAccountToken"] is False
            for container in pod["spec"]["containers"]:
                security = container["securityContext"]
                assert security["readOnlyRootFilesystem"] is True
                assert security["allowPrivilegeEscalation"] is False
                assert security["capabilities"]["drop"] == ["ALL"]
            text = run(REPO / "e2e/cluster/kubectl", "-n", NAMESPACE, "exec", pod["metadata"]["name"], "--", "id", "-u").stdout
            assert text.strip() == "1000"


def test_no_secret_in_any_log(printed, cluster):
    import base64

    token = cluster.get("secret", "-n", NAMESPACE, "quickstart-roost-token")["data"]["token"]
    secrets = [base64.b64decode(token).decode().strip(), "quickstart-only"]
    for pod in cluster.get("pods", "-n", NAMESPACE)["items"]:
        log = cluster.kubectl("-n", NAMESPACE, "logs", pod["metadata"]["name"], "--all-containers")
        assert not [s for s in secrets if s in log], pod["metadata"]["name"]
    for program in ("roost-operator", "roost-scaler"):
        log = cluster.kubectl("-n", "roost-system", "logs", f"deploy/{program}")
        assert not [s for s in secrets if s in log], program


def test_delete_leaves_nothing_of_the_cluster(printed, cluster):
    cluster.kubectl("-n", NAMESPACE, "delete", "starrockscluster", "quickstart", "--wait=true", timeout=180)

    def gone():
        kinds = "statefulsets,deployments,services,pods"
        left = [i["metadata"]["name"] for i in cluster.get(kinds, "-n", NAMESPACE)["items"]
                if i["metadata"]["name"].startswith("quickstart-")]
        assert not left, left
        return True

    wait_until("no object of the cluster is left", gone, timeout=180)

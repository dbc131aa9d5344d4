"""In the place of upstream's operator: its Deployment's own arguments, its lease, and the chart's values for the way over."""

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

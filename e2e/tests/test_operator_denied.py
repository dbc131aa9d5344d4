"""RBAC takes one right at a time from the operator, each (resource, verb) that the chart gives it, by the API server's own
authorizer: what is missing is named in the log or in a condition, nothing is destroyed, and with the right given back the
cluster ends where it would have ended. ROOST_SOAK=1 takes all of them, else SAMPLE by ROOST_SEED and one on which words only depend.
"""

import concurrent.futures
import functools
import os
import time

import pytest
import yaml

from conftest import REPO, run, wait_until
from fault_plane import SEED, SOAK, Kept, account, difference, sample, scene
from operator_fixture import part

SAMPLE, WORDS = 3, ("", "events", "patch")
JOBS = int(os.environ.get("ROOST_JOBS", "4" if SOAK else "2"))
# What this life does not need: no KEDA here, no Ingress, no warehouse, no claim to grow, no FE that would let a pod go, no set that
# is made anew, and finalizers are for a check that this API server does not make. What is read by name is read only when a write
# meets something that the watches do not show, what KEDA's kinds are is
# asked by a list that says they are not there, and events are listed only while something is stuck.
UNUSED = {("statefulsets", "delete"), ("persistentvolumeclaims", "get"), ("starrocksclusters/scale", "patch"), ("pods", "get"),
          ("starrocksclusters/finalizers", "update"), ("pods", "patch"), ("pods", "delete"), ("poddisruptionbudgets", "delete"),
          ("persistentvolumeclaims", "delete"), ("scaledobjects", "watch"), ("triggerauthentications", "watch"), ("events", "list")} | {
    (r, "get") for r in ("services", "deployments", "horizontalpodautoscalers", "poddisruptionbudgets", "secrets")} | {
    ("ingresses", v) for v in ("get", "create", "patch", "delete")} | {("scaledobjects", v) for v in ("get", "create", "patch", "delete")} | {
    ("triggerauthentications", v) for v in ("get", "create", "patch", "delete")} | {
    ("starrockswarehouses", "get"), ("starrockswarehouses", "patch"), ("starrockswarehouses/status", "patch"),
    ("starrockswarehouses/scale", "patch"),
    ("starrockswarehouses/finalizers", "update"), ("persistentvolumeclaims", "patch")}


def chart_rules():
    text = run(REPO / "e2e/cluster/helm", "template", "r", REPO / "charts/roost", "--kube-version", "1.29.0",
               "--show-only", "templates/rbac.yaml").stdout
    return next(o["rules"] for o in yaml.safe_load_all(text) if o and o["kind"] == "ClusterRole" and o["metadata"]["name"] == "roost-operator")


@functools.cache
def rights():
    return [(group, resource, verb) for rule in chart_rules() for group in rule["apiGroups"] for resource in rule["resources"]
            for verb in rule["verbs"]]


def role(namespace, without=None):
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "op", "namespace": namespace},
            "rules": [{"apiGroups": [g], "resources": [r], "verbs": [v]} for g, r, v in rights() if (g, r, v) != without]}


def user(s, without):
    """A service account that may do all but one thing; its token."""
    return account(s, role(s.namespace, without)["rules"])


def cluster(s):
    hpa = {"minReplicas": 1, "maxReplicas": 3, "hpaPolicy": {"metrics": [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]}}
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster",
            "metadata": {"name": "c", "namespace": s.namespace, "annotations": {"roost.io/engine": "true"}},
            "spec": {"starRocksFeSpec": {**part(1), "configMapInfo": {"configMapName": "conf", "resolveKey": "fe.conf"}},
                     "starRocksBeSpec": part(3), "starRocksCnSpec": {**part(1), "autoScalingPolicy": hpa}, "starRocksFeProxySpec": {"replicas": 1}}}


def first_half(s):
    s.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": s.namespace},
             "data": {"fe.conf": "http_port = 8031\n"}}, cluster(s))


def second_half(s):
    """Everything that was made is changed, and what belongs to compute nodes and the proxy is taken away."""
    s.patch({"spec": {"starRocksFeSpec": {"podLabels": {"x": "y"}, "service": {"annotations": {"a": "b"}}}, "starRocksFeProxySpec": None,
                      "starRocksCnSpec": None, "starRocksBeSpec": {"service": {"annotations": {"a": "b"}}}}})


def over(s):
    s.settle(timeout=240)
    wait_until("what is not wanted is gone", lambda: not [o for plural in ("deployments", "services", "horizontalpodautoscalers")
                                                          for o in s.api.items(plural) if "-cn" in o["metadata"]["name"]], 120, 0.1)


@pytest.fixture(scope="module")
def undisturbed(kwok_plane, tmp_path_factory):
    with scene(kwok_plane, tmp_path_factory.mktemp("rights")) as s:
        s.start(token=user(s, None))
        first_half(s)
        s.settle(timeout=240)
        second_half(s)
        over(s)
        s.quiet()
        assert not refusals(s), refusals(s)
        return s.state()


def refusals(s):
    return {f"{r.verb} {r.plural}{'/' + r.sub if r.sub else ''}" for r in list(s.proxy.requests) if r.status == 403}


def deny(plane, folder, right, undisturbed):
    """"named" or "unused"; raises when the operator does worse."""
    _, resource, verb = right
    with scene(plane, folder) as s:
        s.start(token=user(s, right))
        first_half(s)
        # As far as it comes: settled, or it says what is missing.
        wait_until("it is settled, or says why not", lambda: s.is_settled() or named(s, resource, verb), 120, 0.2)
        if s.is_settled():
            second_half(s)
            time.sleep(1)
            wait_until("it is settled again, or says why not", lambda: s.is_settled() or named(s, resource, verb), 120, 0.2)
            time.sleep(2)
        else:
            time.sleep(2)
        assert s.alive()
        refused = refusals(s)
        if refused:  # perhaps this moment: it is said when the answer is dealt with
            wait_until(f"refused {refused}, and somebody says that {verb} of {resource} is missing", lambda: named(s, resource, verb), 60, 0.2)
        said = named(s, resource, verb)
        data = [w for w in s.deletes() if w.plural in ("statefulsets", "persistentvolumeclaims")]
        assert not data, data
        s.apply(role(s.namespace))
        s.patch({"metadata": {"annotations": {"test": "given-back"}}})
        if not s.cr()["spec"].get("starRocksBeSpec", {}).get("service"):
            s.settle(timeout=240)
            second_half(s)
        over(s)
        # A kind that could not be read is looked for again in a while, and what was not made of it comes then.
        wait_until("it ends where it would have ended", lambda: not difference(without_mark(s.state()), undisturbed), 60, 0.5)
        s.quiet(2)
        assert not (found := difference(without_mark(s.state()), undisturbed)), "\n".join(found)
        return "named" if said else "unused"


def without_mark(state):
    for o in state.values():
        (o["metadata"].get("annotations") or {}).pop("test", None)
    return state


def named(s, resource, verb):
    """In the log or in a condition, by the API server's own words."""
    texts = [s.logs()] + [c.get("message", "") for c in (s.cr() or {}).get("status", {}).get("conditions", [])]
    return any(f'cannot {verb} resource "{resource}"' in t for t in texts)


def test_every_right_that_is_missing_is_named(kwok_plane, tmp_path, undisturbed):
    kept, bad = Kept("rights"), []
    todo = [r for r in dict.fromkeys([WORDS, *sample(rights(), SAMPLE)]) if "/".join(r) not in kept.passed]

    def one(right):
        try:
            kept.add("/".join(right), deny(kwok_plane, tmp_path, right, undisturbed))
        except AssertionError as error:
            bad.append(f"{right}: {error}")
            print(bad[-1], flush=True)

    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, todo))
    unused = {k for k, v in kept.passed.items() if v == "unused"}
    print(f"rights: {len(kept.passed)} of {len(rights())} taken away one at a time (seed {SEED}), {len(bad)} bad; "
          f"{len(kept.passed) - len(unused)} named in log or condition, not needed by this life: {sorted(unused)}")
    assert not bad, "\n".join(bad[:5])
    surprising = {u for u in unused if tuple(u.split("/", 1)[1].rsplit("/", 1)) not in UNUSED}
    assert not surprising, f"a right that nothing used: {surprising}"

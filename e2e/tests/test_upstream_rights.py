"""The operator in upstream's place with no more rights than upstream's operator has: clusters that need no more are served, and
what they would have besides is told once, and made when the right for it is given.
"""

import json
import time

from conftest import wait_until
from fault_plane import Oracle, account, cluster_cr, scene

# Of upstream's deploy/operator.yaml, as a Role in the one namespace that is served here.
UPSTREAMS = [
    {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["*"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["*"]},
    {"apiGroups": ["batch"], "resources": ["cronjobs"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["configmaps", "serviceaccounts", "services"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["endpoints", "pods", "secrets"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["starrocks.com"], "resources": ["starrocksclusters", "starrockswarehouses"], "verbs": ["*"]},
    {"apiGroups": ["starrocks.com"], "resources": ["starrocksclusters/finalizers", "starrockswarehouses/finalizers"], "verbs": ["update"]},
    {"apiGroups": ["starrocks.com"], "resources": ["starrocksclusters/status", "starrockswarehouses/status"], "verbs": ["get", "patch", "update"]},
]
BUDGETS = {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}


def test_a_cluster_is_served_with_the_rights_of_upstreams_operator(kwok_plane, tmp_path):
    with scene(kwok_plane, tmp_path) as s:
        s.start("operator", "--watch-idle-seconds=90", token=account(s, UPSTREAMS))
        s.apply(cluster_cr(s.namespace, fe=3, be=3, cn=2))
        s.settle()
        assert not s.degraded() and not s.api.items("poddisruptionbudgets")
        told = wait_until("it says what is missing", lambda: s.condition("RightsMissing"), 30)
        assert 'cannot list resource "poddisruptionbudgets"' in told["message"], told
        assert "Ingress" not in told["message"] and "ScaledObject" not in told["message"], told
        first = s.logs()
        time.sleep(12)
        more = s.logs().removeprefix(first).splitlines()
        lines = [line for line in s.logs().splitlines() if "is forbidden" in line]
        print(f"{len(lines)} lines about rights since the start, {len(more)} lines in 12 s at rest")
        assert len(more) <= 2 and len(lines) <= 10, s.logs()
        # Asked for by the CR: degraded until it is there.
        s.patch({"spec": {"ingress": {"host": "sr.example"}}})
        wait_until("the Ingress is missed", lambda: (c := s.degraded()) and c["reason"] == "Forbidden" and 'resource "ingresses"' in c["message"], 60)
        s.patch({"spec": {"ingress": None}})
        wait_until("and no more", lambda: not s.degraded(), 60)
        account(s, [*UPSTREAMS, BUDGETS])
        wait_until("the right is taken up", lambda: s.api.items("poddisruptionbudgets"), 90)
        wait_until("and no longer missed", lambda: not s.condition("RightsMissing"), 60)
        s.settle()
        s.quiet()
        assert s.alive() and not s.deletes()


def test_upstreams_operator_beside_ours_is_told(kwok_plane, tmp_path):
    with scene(kwok_plane, tmp_path) as s:
        s.start()
        s.apply(cluster_cr(s.namespace))
        s.settle()
        path = s.api.path("services", "c-fe-service")

        def signed():
            return {m["manager"] for m in s.api.get("services", "c-fe-service")["metadata"]["managedFields"]}

        for i in range(3):
            assert not s.condition("AnotherOperator"), i
            status, o = s.api.call("PATCH", path + "?fieldManager=sroperator", {"metadata": {"annotations": {"turn": str(i)}}},
                                   "application/merge-patch+json")
            assert status == 200, o
            wait_until("it is ours again", lambda: "sroperator" not in signed(), 30, 0.1)
        told = wait_until("it says so", lambda: s.condition("AnotherOperator"), 60)
        assert "sroperator" in told["message"] and "Service/c-fe-service" in told["message"], told
        assert any(e["reason"] == "AnotherOperator" for e in s.api.items("events"))
        s.quiet()


# ---- CRDs that are older than the operator ----
def drops(*names):
    """As an API server does whose CRD does not know these fields."""
    def strip(value):
        for key in list(value) if isinstance(value, dict) else ():
            if key in names:
                del value[key]
            else:
                strip(value[key])

    async def act(x):
        body = x.request.json()
        strip(body["status"])
        x.request.body = json.dumps(body).encode()
    return act


def status_writes(s):
    return sum(r.verb == "PATCH" and r.sub == "status" for r in list(s.proxy.requests))


def test_a_status_that_is_not_kept_is_not_written_again_and_again(kwok_plane, tmp_path):
    with scene(kwok_plane, tmp_path) as s:
        s.proxy.rule(drops("conditions", "observedGeneration", "lastScale", "hibernatedReplicas"), verb="PATCH", path="/status")
        s.start()
        s.apply(cluster_cr(s.namespace))
        wait_until("it runs", lambda: (s.cr().get("status") or {}).get("phase") == "running", 90, 0.1)
        s.quiet(3)
        assert "conditions" not in s.cr()["status"]
        n = status_writes(s)
        for i in range(5):
            s.patch({"metadata": {"annotations": {"look": str(i)}}})
            time.sleep(1)
        print(f"{status_writes(s) - n} writes of status in 5 looks, {n} before")
        assert status_writes(s) - n <= 1
        told = [e for e in s.api.items("events") if e["reason"] == "Ready"]
        assert len(told) == 1 and told[0]["count"] == 1, told


def test_nothing_stops_before_its_number_is_kept(kwok_plane, tmp_path):
    asleep = Oracle(may_lower=lambda plural, name, before, now: now == 0)
    with scene(kwok_plane, tmp_path, asleep) as s:
        s.proxy.rule(drops("hibernatedReplicas"), verb="PATCH", path="/status")
        s.start()
        s.apply(cluster_cr(s.namespace))
        s.settle()
        s.patch({"spec": {"hibernate": True}})
        wait_until("it says why it does not sleep", lambda: (c := s.degraded()) and c["reason"] == "OldCrd", 60)
        n = status_writes(s)
        time.sleep(5)
        assert status_writes(s) - n <= 1
        assert s.api.get("statefulsets", "c-fe")["spec"]["replicas"] == 1
        s.proxy.calm()  # the CRDs are applied anew, and the operator with them
        s.operator.process.kill()
        s.operator.process.wait(10)
        s.start()
        wait_until("it sleeps", lambda: s.api.get("statefulsets", "c-fe")["spec"]["replicas"] == 0, 90)
        assert not s.degraded()

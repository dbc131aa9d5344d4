"""Membership and change against the strict double of StarRocks' FE, on a real control plane (P4..P11, P13)."""

import json
import os
import random

import pytest

from conftest import wait_until
from double_fixture import world


@pytest.fixture
def w(plane_of_doubles, tmp_path):
    with world(plane_of_doubles, tmp_path) as one:
        yield one


def statements(w, word):
    with w.double.lock:
        return [s for s in w.double.log if word in s]


# ---- P4 ----
def test_backends_leave_empty_and_one_by_one(w):
    w.create(fe=(1, {}), be=(4, {}))
    w.settle()
    w.double.replication = 2
    w.double.tablets_per_second = 2
    w.patch(be={"replicas": 2})
    # Called off half way: the drain is cancelled, nobody has left.
    wait_until("a drain", lambda: statements(w, "DECOMMISSION BACKEND"), 60)
    w.patch(be={"replicas": 4})
    wait_until("it is called off", lambda: statements(w, "CANCEL DECOMMISSION"), 60)
    w.settle()
    assert w.replicas("be") == 4 and not statements(w, "DROP BACKEND")
    w.double.tablets_per_second = 100
    w.patch(be={"replicas": 2})
    wait_until("two are left", lambda: w.replicas("be") == 2, 120)
    w.settle()
    assert w.hosts(w.double.backends) == ["c-be-0", "c-be-1"]
    assert [s.split('"')[1].split(".")[0] for s in statements(w, "DROP BACKEND")] == ["c-be-3", "c-be-2"]
    # One fewer would not hold two copies.
    w.patch(be={"replicas": 1})
    assert "replication_num 2" in w.degraded("BeScaleInRefused")
    assert w.replicas("be") == 2
    w.double.partitions_meta = False
    wait_until("the FE is asked again", lambda: "does not say" in w.condition("Degraded").get("message", ""), 60)
    assert w.replicas("be") == 2 and not any(b.decommissioned for b in w.double.backends.values())


def test_starrocks_may_drop_a_drained_backend_itself_and_a_hung_fe_drops_nothing(w):
    w.create(fe=(1, {}), be=(3, {"decommission": {"timeoutSeconds": 1}}))
    w.settle()
    w.double.drop_after_decommission = True
    w.double.tablets_per_second = 1
    w.patch(be={"replicas": 2})
    assert "still holds" in w.degraded("DecommissionTimeout")
    wait_until("one has left", lambda: w.replicas("be") == 2, 120)
    w.double.hang = "SHOW BACKENDS"
    w.patch(be={"replicas": 1})
    wait_until("it waits for the FE", lambda: "FE to answer" in w.condition("Progressing").get("message", ""), 90)
    # An FE that has forgotten everybody is not believed.
    w.double.lie["SHOW BACKENDS"] = (["IP", "HeartbeatPort", "Alive", "TabletNum"], [])
    w.double.hang = None
    wait_until("it is not believed", lambda: "lists no live backend" in w.condition("Progressing").get("message", ""), 90)
    assert w.replicas("be") == 2
    w.double.lie.clear()
    w.double.tablets_per_second = 100
    wait_until("the second has left", lambda: w.replicas("be") == 1, 120)


# ---- P5 ----
def test_followers_leave_and_the_majority_stays(w):
    w.create(fe=(3, {}))
    w.settle()
    # Our CRD says it before the operator has to.
    with pytest.raises(AssertionError, match="below a majority"):
        w.patch(fe={"replicas": 1})
    assert w.replicas("fe") == 3 and not w.double.log
    # The one that is to leave leads: it is restarted, and another leads before it is dropped.
    with w.double.lock:
        for f in w.double.frontends.values():
            f.role = "LEADER" if f.host.startswith("c-fe-2") else "FOLLOWER"
    w.patch(fe={"replicas": 2})
    wait_until("two are left", lambda: w.replicas("fe") == 2, 120)
    w.settle()
    # One that was restarted may have registered itself once more before its end.
    wait_until("the FE knows two", lambda: w.hosts(w.double.frontends) == ["c-fe-0", "c-fe-1"], 60)
    assert {s.split('"')[1].split(".")[0] for s in statements(w, "DROP FOLLOWER")} == {"c-fe-2"}
    with w.double.lock:
        for f in w.double.frontends.values():
            f.role = "LEADER" if f.host.startswith("c-fe-0") else "FOLLOWER"
    w.patch(fe={"replicas": 1})
    wait_until("one is left", lambda: w.replicas("fe") == 1, 120)
    assert w.hosts(w.double.frontends) == ["c-fe-0"]


def test_a_dead_follower_keeps_the_others(w):
    w.create(fe=(3, {}))
    w.settle()
    with w.double.lock:
        dead = next(f for f in w.double.frontends.values() if f.host.startswith("c-fe-1"))
        if dead.role == "LEADER":
            next(f for f in w.double.frontends.values() if f.host.startswith("c-fe-0")).role = "LEADER"
            dead.role = "FOLLOWER"
        dead.alive = False
    w.patch(fe={"replicas": 2})
    assert "no majority" in w.degraded("FeScaleInRefused")
    assert w.replicas("fe") == 3 and not statements(w, "DROP")
    with w.double.lock:
        dead.alive = True
    wait_until("two are left", lambda: w.replicas("fe") == 2, 120)


META = [{"name": "fe-meta", "mountPath": "/opt/starrocks/fe/meta", "storageSize": "1Gi"}]


def claims(w):
    return {c["metadata"]["name"]: c["metadata"]["uid"] for c in w.get("pvc")["items"]}


def test_a_dropped_fe_takes_its_claims_along(w):
    w.create(fe=(3, {"storageVolumes": META}))
    w.settle()
    before = claims(w)
    assert sorted(before) == [f"fe-meta-c-fe-{i}" for i in range(3)]
    w.patch(fe={"replicas": 2})
    wait_until("two are left", lambda: w.replicas("fe") == 2, 120)
    wait_until("the third one's claim is gone", lambda: sorted(claims(w)) == ["fe-meta-c-fe-0", "fe-meta-c-fe-1"], 60)
    assert all(before[n] == u for n, u in claims(w).items())
    w.settle()
    # One that comes again begins with nothing.
    w.patch(fe={"replicas": 3})
    wait_until("a new claim", lambda: claims(w).get("fe-meta-c-fe-2"), 60)
    assert claims(w)["fe-meta-c-fe-2"] != before["fe-meta-c-fe-2"]
    w.settle()
    w.plane.kubectl("-n", w.namespace, "annotate", "src", "c", "roost.io/keep-claims=true")
    w.patch(fe={"replicas": 2})
    wait_until("two are left", lambda: w.replicas("fe") == 2, 120)
    w.settle()
    assert "fe-meta-c-fe-2" in claims(w)


# ---- P30: observers ----
def roles_of(w):
    with w.double.lock:
        return {host.split(".")[0]: ("FOLLOWER" if f.role == "LEADER" else f.role, f.alive) for (host, _), f in w.double.frontends.items()}


def behind(w, service):
    """The pods that a Service selects (its addresses need nodes, which nobody has here)."""
    selector = ",".join(f"{k}={v}" for k, v in w.get("svc", service)["spec"]["selector"].items())
    return sorted(p["metadata"]["name"] for p in w.get("pods", "-l", selector)["items"])


def test_observers_join_without_a_vote_and_change_before_those_that_vote(w):
    w.create(fe=(1, {"observers": 2, "storageVolumes": META}), be=(1, {}))
    w.settle()
    assert roles_of(w) == {"c-fe-0": ("FOLLOWER", True), "c-fe-observer-1": ("OBSERVER", True), "c-fe-observer-2": ("OBSERVER", True)}
    assert w.status()["starRocksFeObserverStatus"]["phase"] == "running"
    assert w.status()["starRocksFeStatus"]["runningInstances"] == ["c-fe-0"]
    assert behind(w, "c-fe-observer-service") == ["c-fe-observer-1", "c-fe-observer-2"]
    assert behind(w, "c-fe-service") == ["c-fe-0"]
    assert w.get("pdb", "c-fe-observer")["spec"]["maxUnavailable"] == 1
    # A new image: backends, then observers, and the FE that votes last.
    w.kubelet.changes.clear()
    w.patch(fe={"image": "starrocks/x:3.4.0"}, be={"image": "starrocks/x:3.4.0"})
    wait_until("the FE that votes has it", lambda: "fe" in dict(roles_in_order(w, ":3.4.0")), 120)
    w.settle()
    assert [r for r, _ in roles_in_order(w, ":3.4.0")] == ["be", "fe-observer", "fe-observer", "fe"]
    # One that dies harms no quorum: those that vote may leave and come.
    with w.double.lock:
        next(f for (h, _), f in w.double.frontends.items() if h.startswith("c-fe-observer-2")).alive = False
    w.patch(fe={"replicas": 2})
    wait_until("a second one votes", lambda: roles_of(w).get("c-fe-1") == ("FOLLOWER", True), 90)
    w.patch(fe={"replicas": 1})
    wait_until("and leaves", lambda: w.replicas("fe") == 1, 120)
    # They leave one by one, dropped first, with all that was theirs.
    w.patch(fe={"observers": 0})
    wait_until("all is gone", lambda: not w.plane.kubectl(
        "-n", w.namespace, "get", "sts,svc,pdb", "-l", "app.kubernetes.io/component=fe-observer", "-o", "name"), 120)
    w.settle()
    assert roles_of(w) == {"c-fe-0": ("FOLLOWER", True)}
    assert [s.split('"')[1].split(".")[0] for s in statements(w, "OBSERVER")] == ["c-fe-observer-1", "c-fe-observer-2",
                                                                                  "c-fe-observer-2", "c-fe-observer-1"]
    assert not [n for n in claims(w) if "observer" in n] and "fe-meta-c-fe-0" in claims(w)
    assert "starRocksFeObserverStatus" not in w.status()


# ---- P6 ----
@pytest.mark.parametrize("shared_data", [False, True], ids=["shared_nothing", "shared_data"])
def test_no_ghosts_after_random_kills(w, shared_data):
    seed = int(os.environ.get("ROOST_SEED", "7"))
    kills = 100 if os.environ.get("ROOST_SOAK") == "1" else 8
    pick = random.Random(seed)
    w.create(shared_data=shared_data, fe=(1, {}), cn=(4, {}))
    w.settle()
    for _ in range(kills):
        how = pick.choice(["delete", "force", "fail", "silent"])
        victim = pick.choice([p for p in w.pods("cn") if p.get("status", {}).get("podIP")])
        name, ip = victim["metadata"]["name"], victim["status"]["podIP"]
        if how == "fail":
            # Evicted by its node: the pod stays, with its address, and is no node any more.
            w.plane.set_status(w.namespace, "pod", name, {"phase": "Failed", "reason": "Evicted"})
            with w.double.lock:
                if (ip, 9050) in w.double.nodes:
                    w.double.nodes[(ip, 9050)].alive = False
        elif how == "silent":
            # The FE calls it dead while its pod runs (a partition, or the address of a dead one is in use again): not ours to drop.
            with w.double.lock:
                if (ip, 9050) in w.double.nodes:
                    w.double.nodes[(ip, 9050)].alive = False
        else:
            w.plane.kubectl("-n", w.namespace, "delete", "pod", name, "--wait=false",
                            *(["--grace-period=0", "--force"] if how == "force" else []))

    def exact():
        living = sorted(p["status"].get("podIP", "") for p in w.pods("cn") if p["status"].get("phase") == "Running")
        with w.double.lock:
            return len(living) == 4 and sorted(h for h, _ in w.double.nodes) == living

    wait_until("the FE knows exactly the living pods", exact, 180)
    asked = w.double.asks
    wait_until("the FE is asked twice more", lambda: w.double.asks >= asked + 2, 60)
    assert exact(), "a node that a pod still has was dropped"


# ---- P3 ----
def test_a_statefulset_of_compute_nodes_becomes_a_deployment(w):
    w.plane.apply([w.cr(fe=(1, {}), cn=(2, {}))])
    uid = w.get("src", "c")["metadata"]["uid"]
    labels = {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": "c-cn"}
    w.plane.apply([{"apiVersion": "apps/v1", "kind": "StatefulSet",
                    "metadata": {"name": "c-cn", "namespace": w.namespace,
                                 "labels": {"app.kubernetes.io/component": "cn", "app.starrocks.ownerreference/name": "c"},
                                 "ownerReferences": [{"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "name": "c", "uid": uid,
                                                      "controller": True, "blockOwnerDeletion": True}]},
                    "spec": {"replicas": 2, "serviceName": "c-cn-search", "podManagementPolicy": "Parallel",
                             "selector": {"matchLabels": labels},
                             "template": {"metadata": {"labels": labels},
                                          "spec": {"containers": [{"name": "cn", "image": "starrocks/cn:3.3.1"}]}}}}])
    wait_until("upstream's pods", lambda: len(w.pods("cn")) == 2, 60)
    w.create(fe=(1, {}), cn=(2, {}))
    wait_until("both kinds have been there", lambda: w.kubelet.high.get("cn", 0) == 4, 90)
    wait_until("the StatefulSet is gone", lambda: not w.plane.kubectl("-n", w.namespace, "get", "sts", "c-cn", "--ignore-not-found"), 90)
    w.settle()
    living = {p["status"]["podIP"] for p in w.pods("cn")}
    wait_until("the old nodes are forgotten", lambda: {h for h, _ in w.double.nodes} == living, 90)
    assert len(living) == 2 and w.kubelet.low["cn"] >= 2


# ---- P8, P9 ----
def roles_in_order(w, image):
    order = []
    for role, pod, has in w.kubelet.changes:
        if has.endswith(image):
            order.append((role, pod))
    return order


def test_an_upgrade_goes_role_by_role_and_the_leader_last(w):
    w.create(fe=(3, {}), be=(3, {}), cn=(2, {}))
    w.settle()
    revisions = {r: w.get("sts", f"c-{r}")["status"]["updateRevision"] for r in ("fe", "be")}
    with w.double.lock:
        for f in w.double.frontends.values():
            f.role = "LEADER" if f.host.startswith("c-fe-1") else "FOLLOWER"
        w.double.unhealthy = 3
    new = {"image": "starrocks/x:3.4.0"}
    w.patch(fe=new, be=new, cn=new)
    wait_until("it waits for the tablets", lambda: "3 tablets" in w.condition("Progressing").get("message", ""), 60)
    assert roles_in_order(w, ":3.4.0") == []
    with w.double.lock:
        w.double.unhealthy = 0
    wait_until("the first backend", lambda: roles_in_order(w, ":3.4.0"), 60)
    w.settle(240)
    order = roles_in_order(w, ":3.4.0")
    assert [r for r, _ in order] == ["be"] * 3 + ["cn"] * 2 + ["fe"] * 3
    assert [p for r, p in order if r == "be"] == ["c-be-2", "c-be-1", "c-be-0"]
    assert [p for r, p in order if r == "fe"] == ["c-fe-2", "c-fe-0", "c-fe-1"]
    for role in ("fe", "be"):
        s = w.get("sts", f"c-{role}")
        assert s["spec"]["updateStrategy"]["type"] == "RollingUpdate" and s["status"]["updateRevision"] != revisions[role]
    # And down again, the other way round.
    w.kubelet.changes.clear()
    old = {"image": "starrocks/x:3.3.9"}
    w.patch(fe=old, be=old, cn=old)
    w.settle(240)
    assert [r for r, _ in roles_in_order(w, ":3.3.9")] == ["fe"] * 3 + ["cn"] * 2 + ["be"] * 3


def test_an_upgrade_halts_at_what_fails(w):
    w.create(fe=(1, {}), be=(3, {}), cn=(1, {}))
    w.settle()
    w.kubelet.broken.add("starrocks/x:3.4.0")
    new = {"image": "starrocks/x:3.4.0"}
    w.patch(fe=new, be=new, cn=new)
    assert "c-be-2" in w.degraded("CrashLoopBackOff", 90)
    assert sum(p["spec"]["containers"][0]["image"].endswith(":3.4.0") for p in w.pods("be")) == 1
    assert w.get("deploy", "c-cn")["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":3.3.1")
    # Scaling goes on meanwhile, and the way back is open.
    w.patch(cn={"replicas": 2})
    wait_until("a second compute node", lambda: w.replicas("cn") == 2, 60)
    w.patch(**{r: {"image": f"starrocks/{r}:3.3.1"} for r in ("fe", "be", "cn")})
    w.settle(180)


# ---- P10 ----
def test_only_what_needs_a_restart_restarts_and_only_its_users(w):
    conf = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "be-conf", "namespace": w.namespace},
            "data": {"be.conf": "mem_limit = 80%\nwrite_buffer_size = 1\n"}}
    w.plane.apply([conf])
    w.create(fe=(1, {}), be=(2, {"configMapInfo": {"configMapName": "be-conf", "resolveKey": "be.conf"},
                                 "configRestartPolicy": "OnChange"}))
    w.settle()
    uids = {p["metadata"]["uid"] for p in w.pods("be")}
    other = {p["metadata"]["uid"] for p in w.pods("fe")}
    conf["data"]["be.conf"] = "# a comment\nmem_limit = 80%\nwrite_buffer_size = 2\nheartbeat_service_port = 9051\n"
    w.plane.apply([conf])
    # The port reaches the Service and restarts the pods (it is in their template); what is dynamic alone does not.
    wait_until("both restart", lambda: not uids & {p["metadata"]["uid"] for p in w.pods("be")}, 120)
    w.settle()
    uids = {p["metadata"]["uid"] for p in w.pods("be")}
    conf["data"]["be.conf"] = conf["data"]["be.conf"].replace("write_buffer_size = 2", "write_buffer_size = 3")
    w.plane.apply([conf])
    conf["data"]["be.conf"] += "brpc_port = 8066\n"
    generation = w.get("sts", "c-be")["metadata"]["generation"]
    wait_until("nothing happens", lambda: w.get("sts", "c-be")["metadata"]["generation"] == generation)
    assert uids == {p["metadata"]["uid"] for p in w.pods("be")}
    conf["data"]["be.conf"] = conf["data"]["be.conf"].replace("mem_limit = 80%", "mem_limit = 70%")
    w.plane.apply([conf])
    wait_until("both restart", lambda: not uids & {p["metadata"]["uid"] for p in w.pods("be")}, 120)
    assert other == {p["metadata"]["uid"] for p in w.pods("fe")}


# ---- P11 ----
def test_volumes_grow_around_running_pods(w):
    w.plane.apply([{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "grows"},
                    "provisioner": "test/none", "allowVolumeExpansion": True}])

    def volume(size):
        return {"storageVolumes": [{"name": "be-data", "mountPath": "/opt/starrocks/be/storage", "storageSize": size,
                                    "storageClassName": "grows"}]}

    w.create(fe=(1, {}), be=(2, volume("10Gi")))
    w.settle()
    for i in range(2):
        # Bound, as a provisioner would have it: only such a claim may grow.
        w.plane.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"{w.namespace}-{i}"},
                        "spec": {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "grows",
                                 "hostPath": {"path": "/tmp"},
                                 "claimRef": {"namespace": w.namespace, "name": f"be-data-c-be-{i}"}}}])
    wait_until("bound claims", lambda: all(p["status"].get("phase") == "Bound" for p in w.get("pvc")["items"]), 60)
    uids = {p["metadata"]["uid"] for p in w.pods("be")}
    before = w.get("sts", "c-be")
    w.patch(be=volume("20Gi"))
    wait_until("claims grow", lambda: all(p["spec"]["resources"]["requests"]["storage"] == "20Gi" for p in w.get("pvc")["items"]), 60)
    wait_until("the set is made anew", lambda: w.plane.kubectl(
        "-n", w.namespace, "get", "sts", "c-be", "-o", "jsonpath={.spec.volumeClaimTemplates[0].spec.resources.requests.storage}",
        check=False) == "20Gi", 60)
    w.settle()
    after = w.get("sts", "c-be")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["updateRevision"] == before["status"]["updateRevision"]
    assert uids == {p["metadata"]["uid"] for p in w.pods("be")}


# ---- P13 ----
def test_an_autoscaled_number_survives_an_apply(w):
    scaling = {"roostAutoscaling": {"enabled": True, "minReplicas": 0, "maxReplicas": 9}}
    manifest = w.cr(fe=(1, {}), cn=(2, scaling))
    w.create(fe=(1, {}), cn=(2, scaling))
    w.settle()
    w.plane.kubectl("-n", w.namespace, "scale", "src", "c", "--replicas=5")
    wait_until("five", lambda: w.replicas("cn") == 5, 60)
    wait_until("it is kept", lambda: w.status()["starRocksCnStatus"].get("lastScale") == 5, 60)
    w.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(manifest))
    wait_until("it is put back", lambda: w.get("src", "c")["spec"]["starRocksCnSpec"]["replicas"] == 5, 60)
    assert w.replicas("cn") == 5
    wait_until("an Event says so", lambda: any(e["reason"] == "ReplicasPutBack" for e in w.get("events")["items"]), 60)
    # To 0 and up again: nobody signs what follows a /scale to 0 (decision 0265).
    for number in (0, 3, 1, 4):
        w.plane.kubectl("-n", w.namespace, "scale", "src", "c", f"--replicas={number}")
        wait_until(f"{number} is kept", lambda n=number: w.status()["starRocksCnStatus"].get("lastScale") == n and w.replicas("cn") == n, 60)
        assert w.get("src", "c")["spec"]["starRocksCnSpec"]["replicas"] == number
    w.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(manifest))
    wait_until("four again", lambda: w.get("src", "c")["spec"]["starRocksCnSpec"]["replicas"] == 4, 60)
    # Without an autoscaler a manifest is the word.
    w.plane.kubectl("-n", w.namespace, "patch", "src", "c", "--type=merge", "-p",
                    '{"spec":{"starRocksCnSpec":{"replicas":3,"roostAutoscaling":{"enabled":false}}}}')
    wait_until("three", lambda: w.replicas("cn") == 3, 60)

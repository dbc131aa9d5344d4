"""The CRDs on a real API server: each rule with an object that it takes and one that it refuses, in the user's terms; columns,
short names, /scale, /status; and what upstream's looser schema let in stays usable.
"""

import copy
import json
import subprocess

import pytest
import yaml

from conftest import REPO, run
from plane_fixture import BIN

CRDS = [REPO / "crds" / f"starrocks.com_{kind}.yaml" for kind in ("starrocksclusters", "starrockswarehouses")]
FE = {"image": "starrocks/fe-ubuntu:3.5.6", "replicas": 3}
BE = {"image": "starrocks/be-ubuntu:3.5.6", "replicas": 3}
CN = {"image": "starrocks/cn-ubuntu:3.5.6"}
HPA = {"maxReplicas": 3, "minReplicas": 1}


def cluster(**spec):
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c"},
            "spec": {"starRocksFeSpec": dict(FE), **spec}}


def warehouse(**template):
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksWarehouse", "metadata": {"name": "w"},
            "spec": {"starRocksCluster": "c", "template": {**CN, **template}}}


def kubectl(plane, namespace, *args, stdin=None):
    """(whether it was taken, what kubectl printed)"""
    done = subprocess.run([BIN / "kubectl", f"--kubeconfig={plane.kubeconfig}", "-n", namespace, *args], input=stdin, text=True,
                          capture_output=True, timeout=60, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def apply(plane, namespace, objects, *more):
    return kubectl(plane, namespace, "apply", *more, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))


def volume(size, name="fe-meta", **more):
    return {"name": name, "mountPath": f"/{name}", "storageSize": size, **more}


# A name, a good object, a bad one, what the message must say.
CREATED = {
    "replicas below 0": (cluster(), cluster(starRocksBeSpec={**BE, "replicas": -1}), "greater than or equal to 0"),
    "storageSize": (cluster(starRocksFeSpec={**FE, "storageVolumes": [volume("10Gi")]}),
                    cluster(starRocksFeSpec={**FE, "storageVolumes": [volume("abc10Gi")]}), "storageSize"),
    "host type": (cluster(starRocksCnSpec={**CN, "cnEnvVars": [{"name": "HOST_TYPE", "value": "IP"}]}),
                  cluster(starRocksCnSpec={**CN, "cnEnvVars": [{"name": "HOST_TYPE", "value": "FQDN"}]}),
                  "compute nodes are pods of a Deployment"),
    "two autoscalers": (cluster(starRocksCnSpec={**CN, "autoScalingPolicy": HPA, "roostAutoscaling": {"maxReplicas": 3, "enabled": False}}),
                        cluster(starRocksCnSpec={**CN, "autoScalingPolicy": HPA, "roostAutoscaling": {"maxReplicas": 3}}),
                        "would both set the replicas"),
    "roost min and max": (cluster(starRocksCnSpec={**CN, "roostAutoscaling": {"minReplicas": 0, "maxReplicas": 3}}),
                          cluster(starRocksCnSpec={**CN, "roostAutoscaling": {"minReplicas": 4, "maxReplicas": 3}}),
                          "minReplicas must not be above maxReplicas"),
    "hpa min and max": (cluster(starRocksCnSpec={**CN, "autoScalingPolicy": HPA}),
                        cluster(starRocksCnSpec={**CN, "autoScalingPolicy": {"maxReplicas": 3, "minReplicas": 4}}),
                        "autoScalingPolicy: minReplicas must not be above maxReplicas"),
    "budget": (cluster(starRocksBeSpec={**BE, "podDisruptionBudget": {"disabled": True}}),
               cluster(starRocksBeSpec={**BE, "podDisruptionBudget": {"disabled": True, "maxUnavailable": 1}}), "contradict each other"),
    "window": (cluster(maintenanceWindow={"start": "23:30", "durationMinutes": 90, "days": ["Sat", "Sun"], "timeZone": "+08:00"}),
               cluster(maintenanceWindow={"start": "24:00", "durationMinutes": 90}), "maintenanceWindow.start"),
    "window zone": (cluster(maintenanceWindow={"start": "00:00", "durationMinutes": 1, "timeZone": "UTC"}),
                    cluster(maintenanceWindow={"start": "00:00", "durationMinutes": 1, "timeZone": "Mars"}), "timeZone"),
    "window days": (cluster(maintenanceWindow={"start": "00:00", "durationMinutes": 1, "days": ["Mon"]}),
                    cluster(maintenanceWindow={"start": "00:00", "durationMinutes": 1, "days": ["Monday"]}), "Unsupported value"),
    "restart policy": (cluster(starRocksBeSpec={**BE, "configRestartPolicy": "OnChange"}),
                       cluster(starRocksBeSpec={**BE, "configRestartPolicy": "Sometimes"}), "Unsupported value"),
    "ingress": (cluster(ingress={"host": "fe.example.org"}), cluster(ingress={"host": "http://fe"}), "ingress.host"),
    "families": (cluster(ipFamilies=["IPv6"], ipFamilyPolicy="SingleStack"), cluster(ipFamilies=["IPX"]), "Unsupported value"),
    "password": (cluster(rootPasswordSecret={"name": "s"}), cluster(rootPasswordSecret={"key": "k"}), "rootPasswordSecret"),
    "observers": (cluster(starRocksFeSpec={**FE, "observers": 2}), cluster(starRocksFeSpec={**FE, "observers": 65}), "less than or equal to 64"),
    "sql user": (cluster(sqlUser={"enabled": True}), cluster(sqlUser={"name": "operator"}), "enabled"),
    "sql user's name": (cluster(sqlUser={"enabled": True, "name": "op_1"}), cluster(sqlUser={"enabled": True, "name": "root"}),
                        "choose another name"),
    "tls name": (cluster(tls={"secretName": "s", "serverName": "fe.example.org"}),
                 cluster(tls={"secretName": "s", "serverName": "https://fe"}), "tls.serverName"),
    "warehouse host type": (warehouse(), warehouse(envVars=[{"name": "HOST_TYPE", "value": "FQDN"}]),
                            "compute nodes are pods of a Deployment"),
    "warehouse autoscalers": (warehouse(autoScalingPolicy=HPA), warehouse(autoScalingPolicy=HPA, roostAutoscaling={"maxReplicas": 2}),
                              "would both set the replicas"),
    "warehouse cluster": (warehouse(), {**warehouse(), "spec": {"template": CN}}, "starRocksCluster"),
}


@pytest.fixture(scope="module")
def here(plane):
    """A namespace for all of these: most write nothing."""
    plane.kubectl("create", "namespace", "crds")
    yield "crds"
    plane.kubectl("delete", "namespace", "crds", "--wait=false", check=False)


@pytest.mark.parametrize("rule", CREATED)
def test_an_object_is_taken_or_refused_with_a_reason(plane, here, rule):
    good, bad, message = CREATED[rule]
    taken, said = apply(plane, here, [good], "--dry-run=server")
    assert taken, said
    taken, said = apply(plane, here, [bad], "--dry-run=server")
    assert not taken and message in said, said


def fe(replicas):
    return cluster(starRocksFeSpec={**FE, "replicas": replicas})


def with_volumes(role, *volumes):
    return cluster(**{f"starRocks{role}Spec": {**(FE if role == "Fe" else BE), "storageVolumes": list(volumes)}})


# before, a good step from there, a bad one, what the message must say
CHANGED = {
    "FE by one": (fe(3), fe(2), fe(1), "below a majority in one step"),
    "FE five to three": (fe(5), fe(3), fe(2), "below a majority in one step"),
    "FE to none": (fe(1), fe(3), fe(0), "spec.hibernate"),
    "FE three to none": (fe(3), fe(4), fe(0), "spec.hibernate"),
    "FE from none": (fe(0), fe(3), {**fe(0), "spec": {}}, "starRocksFeSpec cannot be removed"),
    "FE removed": (cluster(starRocksBeSpec=BE), cluster(), {**cluster(), "spec": {"starRocksBeSpec": BE}},
                   "starRocksFeSpec cannot be removed"),
    "FE volume": (with_volumes("Fe", volume("10Gi")), with_volumes("Fe", volume("10.5Gi"), volume("1Gi", "fe-log")),
                  with_volumes("Fe", volume("9Gi")), "storageSize cannot be lowered"),
    "BE volume, other unit": (with_volumes("Be", volume("1Ti")), with_volumes("Be", volume("1024Gi")),
                              with_volumes("Be", volume("1023Gi")), "storageSize cannot be lowered"),
    "BE volume, moved in the list": (with_volumes("Be", volume("5Gi", "a"), volume("1Gi", "b")),
                                     with_volumes("Be", volume("1Gi", "b"), volume("5Gi", "a")),
                                     with_volumes("Be", volume("1Gi", "b"), volume("4Gi", "a")), "storageSize cannot be lowered"),
    "emptyDir has no size to keep": (with_volumes("Be", volume("5Gi", storageClassName="EmptyDir")),
                                     with_volumes("Be", volume("1Gi", storageClassName="EmptyDir")),
                                     with_volumes("Be", volume("1Gi")), "storageSize cannot be lowered"),
    "warehouse of another cluster": (warehouse(), warehouse(replicas=4),
                                     {**warehouse(), "spec": {"starRocksCluster": "other", "template": CN}}, "cannot be changed"),
}


@pytest.mark.parametrize("rule", CHANGED)
def test_a_change_is_taken_or_refused_with_a_reason(plane, here, rule):
    name = {"metadata": {"name": f"changed-{list(CHANGED).index(rule)}"}}
    before, good, bad, message = CHANGED[rule]
    taken, said = apply(plane, here, [{**before, **name}])
    assert taken, said
    taken, said = apply(plane, here, [{**good, **name}], "--dry-run=server")
    assert taken, said
    taken, said = kubectl(plane, here, "replace", "--dry-run=server", "-f", "-", stdin=json.dumps({**bad, **name}))
    assert not taken and message in said, said


def test_names_columns_and_subresources(plane, plane_namespace):
    assert apply(plane, plane_namespace, [cluster(starRocksCnSpec=CN), warehouse()])[0]
    plane.set_status(plane_namespace, "starrocksclusters", "c", {
        "phase": "running", "starRocksFeStatus": {"phase": "running"}, "starRocksBeStatus": {"phase": "failed"},
        "starRocksCnStatus": {"phase": "reconciling", "replicas": 1, "selector": "a=b"}, "starRocksFeProxyStatus": {"phase": "running"}})
    plane.set_status(plane_namespace, "starrockswarehouses", "w", {"phase": "running", "reason": "none", "replicas": 2, "selector": "a=b"})
    header, row = kubectl(plane, plane_namespace, "get", "src")[1].splitlines()
    assert header.split() == ["NAME", "PHASE", "FESTATUS", "BESTATUS", "CNSTATUS", "FEPROXYSTATUS"]
    assert row.split() == ["c", "running", "running", "failed", "reconciling", "running"]
    header, row = kubectl(plane, plane_namespace, "get", "warehouses")[1].splitlines()
    assert header.split() == ["NAME", "STATUS", "REASON"] and row.split() == ["w", "running", "none"]

    for kind, path in (("starrocksclusters/c", ("starRocksCnSpec",)), ("starrockswarehouses/w", ("template",))):
        scale = json.loads(plane.kubectl("get", "--raw", f"/apis/starrocks.com/v1/namespaces/{plane_namespace}/{kind}/scale"))
        assert scale["spec"]["replicas"] == 1 and scale["status"]["selector"] == "a=b"
        assert kubectl(plane, plane_namespace, "scale", kind, "--replicas=5")[0]
        spec = plane.get("-n", plane_namespace, kind)["spec"]
        assert spec[path[0]]["replicas"] == 5
    # /status writes no spec, and a write of the object no status.
    kubectl(plane, plane_namespace, "patch", "src", "c", "--subresource=status", "--type=merge", "-p", '{"spec":{"serviceAccount":"x"}}')
    kubectl(plane, plane_namespace, "patch", "src", "c", "--type=merge", "-p", '{"status":{"phase":"lost"}}')
    now = plane.get("-n", plane_namespace, "src", "c")
    assert "serviceAccount" not in now["spec"] and now["status"]["phase"] == "running"


def loosened(crd):
    """The CRD as upstream has it, as far as rules go: no CEL, no limits of ours."""
    def strip(schema):
        if isinstance(schema, dict):
            schema.pop("x-kubernetes-validations", None)
            for key in ("maxItems", "maxLength"):
                schema.pop(key, None)
            if schema.get("pattern", "").startswith("^(0|"):
                schema["pattern"] = r"(^0|([0-9]*l[.])?[0-9]+((M|G|T|E|P)i))$"
            for value in schema.values():
                strip(value)
        elif isinstance(schema, list):
            for value in schema:
                strip(value)
    crd = copy.deepcopy(crd)
    strip(crd["spec"]["versions"][0]["schema"])
    return crd


def test_what_upstreams_schema_let_in_stays_usable(plane, plane_namespace):
    """An upgrade of the CRDs must not lock objects that break a rule: changes elsewhere, /scale and /status go on."""
    crds = [yaml.safe_load(path.read_text()) for path in CRDS]
    old = cluster(
        starRocksFeSpec={**FE, "storageVolumes": [volume("abc10Gi")]},
        starRocksCnSpec={**CN, "cnEnvVars": [{"name": "HOST_TYPE", "value": "FQDN"}],
                         "autoScalingPolicy": {"maxReplicas": 1, "minReplicas": 4}})
    plane.apply([loosened(c) for c in crds])
    try:
        taken, said = apply(plane, plane_namespace, [old, warehouse(envVars=[{"name": "HOST_TYPE", "value": "FQDN"}])])
        assert taken, said
    finally:
        plane.crds()
    assert not apply(plane, plane_namespace, [{**old, "metadata": {"name": "new"}}])[0], "our rules are not back"
    for patch in ('{"spec":{"starRocksBeSpec":{"image":"x"}}}', '{"metadata":{"labels":{"a":"b"}}}', '{"spec":{"starRocksFeSpec":{"image":"y"}}}'):
        taken, said = kubectl(plane, plane_namespace, "patch", "src", "c", "--type=merge", "-p", patch)
        assert taken, said
    taken, said = kubectl(plane, plane_namespace, "scale", "src", "c", "--replicas=2")
    assert taken, said
    plane.set_status(plane_namespace, "src", "c", {"phase": "running"})
    taken, said = kubectl(plane, plane_namespace, "patch", "warehouses", "w", "--type=merge", "-p", '{"metadata":{"finalizers":["a.b/c"]}}')
    assert taken, said
    kubectl(plane, plane_namespace, "patch", "warehouses", "w", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    # What breaks a rule may be put right, and what is right may not be broken again.
    taken, said = kubectl(plane, plane_namespace, "patch", "src", "c", "--type=merge", "-p",
                          '{"spec":{"starRocksFeSpec":{"storageVolumes":[{"name":"fe-meta","mountPath":"/m","storageSize":"10Gi"}]}}}')
    assert taken, said


def test_the_crds_say_what_they_are(plane):
    for path in CRDS:
        crd = yaml.safe_load(path.read_text())
        live = json.loads(run(BIN / "kubectl", f"--kubeconfig={plane.kubeconfig}", "get", "crd", crd["metadata"]["name"], "-o", "json").stdout)
        conditions = {c["type"]: c["status"] for c in live["status"]["conditions"]}
        assert conditions["Established"] == "True" and conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"

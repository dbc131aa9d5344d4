"""Mutated CRs (Acto's way): each leaf field of our CRD with primitive values, and semantic sequences.

What the API server accepts, the operator must answer with a condition for that very generation and stay alive; putting
the CR back must bring it back. Two lanes: every mutation through the pure step (`roost-operator replay`), and on a real
control plane a sample of SAMPLE by ROOST_SEED, or all of them with ROOST_SOAK=1.
"""

import concurrent.futures
import copy
import http.client
import json
import random
import ssl
import subprocess
import time

import yaml

from conftest import REPO, wait_until
from fault_plane import SEED, SOAK, cluster_cr, scene
from operator_fixture import OPERATOR

CRD = yaml.safe_load((REPO / "crds/starrocks.com_starrocksclusters.yaml").read_text())
SPEC = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
SAMPLE = 60
VALUES = {
    "string": ["x", "", "../../etc/passwd\n{{a}}${b}", "y" * 300],
    "integer": [0, -1, 1, 2147483648],
    "boolean": [True, False],
    "array": [[]],
    "map": [{}, {"a\nb": "c"}, {"a": "b"}],
    "any": ["x", 80, ""],
}
PLAUSIBLE = {"storageSize": "1Gi", "mountPath": "/m", "name": "n", "image": "i:2", "cpu": "1", "key": "k", "operator": "Exists",
             "topologyKey": "kubernetes.io/hostname", "weight": 1, "whenUnsatisfiable": "DoNotSchedule", "maxSkew": 1, "port": 80,
             "containerPort": 9030, "fieldPath": "metadata.name", "resource": "limits.cpu", "type": "ClusterIP", "ip": "10.0.0.1"}


def plain(schema, name=""):
    """The least value that the schema allows."""
    if name in PLAUSIBLE and schema.get("type") in ("string", "integer", None):
        return PLAUSIBLE[name]
    if "default" in schema:
        return schema["default"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object":
        return {k: plain(schema["properties"][k], k) for k in schema.get("required", []) if k in schema.get("properties", {})}
    return {"array": [], "string": "x", "integer": 1, "boolean": True, "number": 1}.get(kind, 1)


def leaves(schema, path=()):
    """(path, kind) of every leaf; an array of objects is entered by its first element, written 0."""
    kind = schema.get("type")
    if kind == "object" and schema.get("properties"):
        for key, value in schema["properties"].items():
            yield from leaves(value, path + (key,))
    elif kind == "array" and schema["items"].get("properties"):
        yield path, "array"
        yield from leaves(schema["items"], path + (0,))
    else:
        yield path, "map" if kind == "object" else kind if kind in VALUES else "any"


def put(spec, path, value):
    """Sets a leaf; what must stand beside it is made up from the schema."""
    schema, at = SPEC, spec
    for i, step in enumerate(path):
        last = i == len(path) - 1
        if step == 0:
            schema = schema["items"]
            if not at:
                at.append(plain(schema))
            if last:
                at[0] = value
            at = at[0]
            continue
        schema = schema["properties"][step]
        if last:
            at[step] = value
        elif not isinstance(at.get(step), (dict, list)) or (schema["type"] == "array") != isinstance(at.get(step), list):
            at[step] = plain(schema, step)
        at = at[step] if not last else None


def base():
    return cluster_cr("NS")["spec"]


def primitive():
    for path, kind in leaves(SPEC):
        for value in VALUES[kind]:
            spec = base()
            put(spec, path, value)
            yield ".".join(map(str, path)) + f"={json.dumps(value)[:40]}", [spec]


def semantic(many=1000):
    """Sequences of specs; `many` pods are more than a plane on two cores carries a hundred times."""
    def spec(**changes):
        out = base()
        for role, change in changes.items():
            if change is None:
                out.pop(role, None)
            else:
                out[role] = {**out.get(role, {}), **change}
        return out

    for role in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec"):
        for name, ns in {"zero": [0], "up-down": [3, 1], "down-up": [0, 2], "thousand": [many], "flap": [2, 1, 2, 1]}.items():
            yield f"{role}.replicas {name}", [spec(**{role: {"replicas": n}}) for n in ns]
        yield f"{role} removed and back", [spec(**{role: None}), base()]
        yield f"{role}.image twice", [spec(**{role: {"image": "a:1"}}), spec(**{role: {"image": "b:2"}})]
        volume = {"name": f"{role[9:11].lower()}-data", "mountPath": "/data", "storageSize": "10Gi"}
        yield f"{role} storage shrinks", [spec(**{role: {"storageVolumes": [volume]}}),
                                          spec(**{role: {"storageVolumes": [{**volume, "storageSize": "1Gi"}]}})]
        yield f"{role} class changes", [spec(**{role: {"storageVolumes": [{**volume, "storageClassName": c}]}}) for c in ("a", "b")]
        yield f"{role} everything odd", [spec(**{role: {"limits": {"cpu": "many"}, "replicas": 2, "nodeSelector": {"a b": "c"}}})]
    yield "empty", [{}]


def mutations():
    return list(primitive()) + list(semantic())


# ---- the pure step, all of them ----
def replay(item):
    name, specs = item
    world = {"now_ms": 1, "cr": {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster",
                                 "metadata": {"name": "c", "namespace": "n", "uid": "u", "generation": 7}, "spec": specs[-1]}}
    done = subprocess.run([OPERATOR, "replay", "/dev/stdin"], input=json.dumps(world), capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        return f"{name}: exit {done.returncode}: {done.stderr[-200:]}"
    status = json.loads(done.stdout)["status"]
    if not status.get("conditions") or any(c["observedGeneration"] != 7 for c in status["conditions"]):
        return f"{name}: no condition: {status}"
    return None


def test_every_mutation_through_the_step():
    items = mutations()
    assert len(items) >= 1000
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        bad = [line for line in pool.map(replay, items) if line]
    print(f"replayed {len(items)} mutations of {sum(1 for _ in leaves(SPEC))} leaf fields, {len(bad)} bad")
    assert not bad, "\n".join(bad[:20])


# ---- a real control plane ----
class Api:
    """One kept connection: kubectl is too slow for thousands of patches."""

    def __init__(self, plane, namespace):
        self.plane, self.path = plane, f"/apis/starrocks.com/v1/namespaces/{namespace}/starrocksclusters/c"
        self.context = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")
        self.connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=self.context, timeout=30)

    def call(self, method, body=None):
        headers = {"Authorization": f"Bearer {self.plane.token}", "Content-Type": "application/json"}
        try:
            self.connection.request(method, self.path, json.dumps(body) if body else None, headers)
            answer = self.connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise

    def replace(self, spec):
        """(accepted, object or message)"""
        for _ in range(50):
            _, cr = self.call("GET")
            status, answer = self.call("PUT", {**cr, "spec": copy.deepcopy(spec)})
            if status != 409:
                return status == 200, answer
        raise AssertionError("conflicts without end")

    def observed(self, generation, timeout=60):
        """The CR once its status speaks of this generation."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            _, cr = self.call("GET")
            status = cr.get("status", {})
            if status.get("observedGeneration", 0) >= generation and status.get("conditions"):
                return cr
            time.sleep(0.02)
        raise AssertionError(f"generation {generation} was not observed: {cr.get('status')}")


def put_back(s, api, good, name):
    """The good spec again. A rule of the CRD may refuse the way back (FE 1000 to 1): then the cluster is made anew."""
    accepted, answer = api.replace(good)
    if accepted:
        return answer, False
    assert answer["reason"] == "Invalid" and len(answer["message"]) > 80, f"{name}: {answer}"
    s.plane.kubectl("-n", s.namespace, "delete", "src", "c", timeout=180)
    wait_until("its objects are gone", lambda: not s.plane.kubectl("-n", s.namespace, "get", "sts,deploy,svc", "-o", "name"), 180)
    s.apply({**cluster_cr(s.namespace), "spec": good})
    s.oracle.replicas.clear()
    return api.call("GET")[1], True


def one(s, api, specs):
    """What became of a mutation: refused, or the operator's own words."""
    verdict = "refused"
    for spec in specs:
        accepted, answer = api.replace(spec)
        if accepted:
            cr = api.observed(answer["metadata"]["generation"])
            verdict = next((c["reason"] for c in cr["status"]["conditions"] if c["type"] == "Degraded" and c["status"] == "True"), "taken")
    assert s.alive(), "the operator died"
    return verdict


def chosen():
    primitives, semantics = list(primitive()), list(semantic(30))
    if SOAK:
        return primitives + semantics
    pick = random.Random(SEED)
    return pick.sample(primitives, SAMPLE - 12) + pick.sample(semantics, 12)


def test_mutated_clusters_on_a_control_plane(kwok_plane, tmp_path):
    with scene(kwok_plane, tmp_path) as s:
        s.start()
        s.apply(cluster_cr(s.namespace))
        s.settle()
        api, seen, items, again = Api(kwok_plane, s.namespace), {}, chosen(), 0
        good = s.cr()["spec"]
        for i, (name, specs) in enumerate(items):
            verdict = one(s, api, specs)
            seen[verdict] = seen.get(verdict, 0) + 1
            answer, anew = put_back(s, api, good, name)
            again += anew
            if verdict != "refused":
                api.observed(answer["metadata"]["generation"])
            if SOAK and i % 100 == 99:
                recover(s, name)
                print(f"{i + 1} of {len(items)}: {seen}", flush=True)
        recover(s, "the last one")
        print(f"{len(items)} of {len(mutations())} mutations on the control plane: {seen}; the operator lived, the good spec came back ({again} times by a new cluster, since a rule forbids the way back)")
        assert sum(seen.values()) == len(items) and seen.get("refused", 0) < len(items)


def recover(s, name):
    """Reverted, the cluster is what it was."""
    def is_back():
        be = s.plane.get("-n", s.namespace, "sts", "c-fe")["spec"]["template"]["spec"]["containers"][0]["image"]
        return be == cluster_cr("x")["spec"]["starRocksFeSpec"]["image"]
    wait_until(f"recovered after {name}", is_back, 120)

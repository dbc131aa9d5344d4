"""Mutated CRs (Acto's way): each leaf field of our CRD with primitive values, and semantic sequences.

What the API server accepts, the operator must answer with a condition for that very generation and stay alive; putting
the CR back must bring every object back to what it was. Two lanes: every mutation through the pure step
(`roost-operator replay`), and on a real control plane a sample of SAMPLE by ROOST_SEED, or all of them with ROOST_SOAK=1.
"""

import collections
import concurrent.futures
import copy
import json
import os
import queue
import random
import re
import subprocess
import time

import yaml

from conftest import REPO, wait_until
from fault_plane import SEED, SOAK, Kept, cluster_cr, difference, normal, scene
from operator_fixture import OPERATOR

CRD = yaml.safe_load((REPO / "crds/starrocks.com_starrocksclusters.yaml").read_text())
SPEC = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
SAMPLE = 60
JOBS = int(os.environ.get("ROOST_JOBS", "6"))
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
class Victim:
    """One cluster that is mutated and put back; several stand side by side under one operator."""

    WATCHED = ("statefulsets", "deployments", "services", "horizontalpodautoscalers", "poddisruptionbudgets", "configmaps")

    def __init__(self, s, name):
        self.s, self.name, self.anew = s, name, 0
        self.make()
        self.good, self.baseline = self.cr()["spec"], self.objects()

    def make(self):
        self.s.apply(cluster_cr(self.s.namespace, self.name))
        self.s.settle(self.name)

    def cr(self):
        return self.s.cr(self.name)

    def objects(self):
        """The specs of its objects, as two clusters may share them."""
        out = {}
        for plural in self.WATCHED:
            for o in self.s.api.items(plural, f"app.starrocks.ownerreference%2Fname={self.name}"):
                spec = normal({k: o.get(k) for k in ("spec", "data")}, self.s.namespace)
                out[f"{o['kind']}/{o['metadata']['name']}"] = {**spec, "labels": o["metadata"].get("labels"),
                                                             "annotations": user_annotations(o)}
        return out

    def replace(self, spec):
        """(accepted, object or message)"""
        path = self.s.api.path("starrocksclusters", self.name)
        for _ in range(50):
            _, cr = self.s.api.call("GET", path)
            status, answer = self.s.api.call("PUT", path, {**cr, "spec": copy.deepcopy(spec)})
            if status != 409:
                return status == 200, answer
        raise AssertionError("conflicts without end")

    def observed(self, generation, timeout=90):
        """The CR once its status speaks of this generation."""
        def speaks():
            cr = self.cr()
            status = cr.get("status", {})
            return cr if status.get("observedGeneration", 0) >= generation and status.get("conditions") else None
        return wait_until(f"generation {generation} of {self.name} is observed", speaks, timeout, 0.05)

    def mutate(self, specs):
        """What became of it: refused, or the operator's own words."""
        verdict = "refused"
        for spec in specs:
            accepted, answer = self.replace(spec)
            if accepted:
                conditions = self.observed(answer["metadata"]["generation"])["status"]["conditions"]
                verdict = next((c["reason"] for c in conditions if c["type"] == "Degraded" and c["status"] == "True"), "taken")
        assert self.s.alive(), "the operator died"
        return verdict

    def put_back(self):
        """The good spec again, and every object as it was. Where a rule of the CRD forbids the way back (FE 1000 to 1), or where
        only an FE could say that a pod may leave (there is none here), the cluster is made anew."""
        accepted, answer = self.replace(self.good)
        if not accepted:
            assert answer["reason"] == "Invalid" and len(answer["message"]) > 80, answer
            return self.again()
        self.observed(answer["metadata"]["generation"])
        left = []

        def is_back():
            left[:] = difference(self.objects(), self.baseline)
            # Those that may not leave yet keep their budget, if it was made in time.
            wait = [re.match(r"\.StatefulSet/[^.]+-(fe|be)\.spec\.replicas:", line) for line in left]
            return not left or any(wait) and all(w or re.match(r"\.PodDisruptionBudget/[^.]+-(fe|be):", line) for w, line in zip(wait, left))
        try:
            wait_until("back", is_back, 120, 0.1)
        except AssertionError:
            raise AssertionError(f"put back, {self.name} is not what it was:\n" + "\n".join(left[:6])
                                 + f"\n{self.cr().get('status', {}).get('conditions')}") from None
        return self.again() if left else None

    def again(self):
        self.s.api.delete("starrocksclusters", self.name)
        wait_until(f"{self.name} is gone", lambda: not self.cr() and not self.objects() and not self.s.api.items(
            "pods", f"app.starrocks.ownerreference%2Fname+in+({','.join(f'{self.name}-{r}' for r in ('fe', 'be', 'cn'))})"), 180, 0.2)
        for key in [k for k in self.s.oracle.replicas if k[1].startswith(f"{self.name}-")]:
            del self.s.oracle.replicas[key]
        self.make()
        self.anew += 1


def user_annotations(o):
    return {k: v for k, v in (o["metadata"].get("annotations") or {}).items() if not k.startswith("deployment.kubernetes.io/")}


# What a soak found once is tried each time: the server keeps the alias of a name that goes.
FOUND = ['starRocksBeSpec.serviceAccount="x"']


def chosen():
    """(name, specs); the soak takes all of them in a random order, so that a part of it is a fair sample."""
    primitives, semantics, pick = list(primitive()), list(semantic(30)), random.Random(SEED)
    if SOAK:
        items = [(f"{i} {name}", specs) for i, (name, specs) in enumerate(primitives + semantics)]
        return pick.sample(items, len(items))
    sample = pick.sample(primitives, SAMPLE - 12) + pick.sample(semantics, 12)
    return list(dict([*sample, *(p for p in primitives if p[0] in FOUND)]).items())


def test_mutated_clusters_on_a_control_plane(kwok_plane, tmp_path):
    """JOBS clusters side by side under one operator; in the soak what was done before with this program is not done again."""
    kept, bad, began = Kept("mutations"), [], time.monotonic()
    todo = queue.SimpleQueue()
    items = chosen()
    for item in items:
        if item[0] not in kept.passed:
            todo.put(item)
    with scene(kwok_plane, tmp_path) as s:
        s.start()

        def work(n):
            v = Victim(s, f"m{n}")
            while True:
                try:
                    name, specs = todo.get_nowait()
                except queue.Empty:
                    return v.anew
                try:
                    verdict = v.mutate(specs)
                    if verdict != "refused":
                        v.put_back()
                    kept.add(name, verdict)
                except AssertionError as error:
                    bad.append(f"{name}: {error}")
                    print(bad[-1], flush=True)
                    if not s.alive():
                        raise
                    v.again()
                if SOAK and len(kept.passed) % 200 == 0:
                    print(f"[{time.monotonic() - began:.0f} s] {len(kept.passed)} of {len(items)} done, {len(bad)} bad", flush=True)

        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            anew = sum(pool.map(work, range(JOBS)))
        rss = int(next(line for line in open(f"/proc/{s.operator.process.pid}/status") if line.startswith("VmRSS")).split()[1])
        verdicts = collections.Counter(kept.passed.values())
        print(f"{len(kept.passed)} of {len(items)} mutations on the control plane ({len(mutations())} generated), {len(bad)} bad: "
              f"{dict(verdicts.most_common())}; the operator lived (VmRSS {rss} kB), each cluster came back ({anew} times by a new one)")
        assert not bad, "\n".join(bad[:10])
        assert sum(verdicts.values()) == len(items) and verdicts["refused"] < len(items) and rss < 200 * 1024

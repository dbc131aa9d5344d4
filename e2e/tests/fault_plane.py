"""Scenes for fault tests: an operator behind the fault proxy, a control plane whose kubelet is kwok, and what is compared."""

import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import random
import ssl
import sys
import threading
import time
import types
import uuid

from conftest import REPO, wait_until
from operator_fixture import OPERATOR, Operator, part

sys.path.insert(0, str(REPO / "e2e"))
from faultproxy import actions  # noqa: E402,F401
from faultproxy.oracle import Oracle, end_state, normal  # noqa: E402,F401
from faultproxy.proxy import Proxy, certificate  # noqa: E402,F401

SOAK = os.environ.get("ROOST_SOAK") == "1"
SEED = int(os.environ.get("ROOST_SEED", "1"))
PATIENCE = 120


def sample(items, n):
    """All of them in the soak, a seeded n of them else."""
    items = list(items)
    return items if SOAK or n >= len(items) else random.Random(SEED).sample(items, n)


def cluster_cr(namespace, name="c", fe=1, be=1, cn=1, **more):
    """An upstream cluster: no Secret of ours, nothing to wait for but pods."""
    spec = {"starRocksFeSpec": part(fe), "starRocksBeSpec": part(be), "starRocksCnSpec": part(cn)}
    for role, extra in more.items():
        spec[role] = {**spec.get(role, {}), **extra} if isinstance(extra, dict) else extra
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


PLURALS = {"Ingress": "ingresses"}


class Api:
    """The API server past the proxy, over one kept connection a thread: kubectl would be a process for each look."""

    GROUPS = {"starrocksclusters": "apis/starrocks.com/v1", "starrockswarehouses": "apis/starrocks.com/v1",
              "statefulsets": "apis/apps/v1", "deployments": "apis/apps/v1", "replicasets": "apis/apps/v1",
              "horizontalpodautoscalers": "apis/autoscaling/v2", "poddisruptionbudgets": "apis/policy/v1",
              "leases": "apis/coordination.k8s.io/v1", "roles": "apis/rbac.authorization.k8s.io/v1",
              "ingresses": "apis/networking.k8s.io/v1"}

    def __init__(self, plane, namespace):
        self.plane, self.namespace, self.local = plane, namespace, threading.local()
        self.context = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")

    def path(self, plural, name=None):
        return f"/{self.GROUPS.get(plural, 'api/v1')}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def call(self, method, path, body=None, kind="application/json"):
        """(status, object). Reads are tried again; a write whose answer was lost is not."""
        headers = {"Authorization": f"Bearer {self.plane.token}", "Content-Type": kind}
        data = None if body is None else json.dumps(body)
        for last in (method != "GET", True):
            try:
                if getattr(self.local, "used", 0) < time.monotonic() - 20:
                    self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.plane.port, context=self.context, timeout=60)
                self.local.connection.request(method, path, data, headers)
                answer = self.local.connection.getresponse()
                self.local.used, text = time.monotonic(), answer.read()
                return answer.status, json.loads(text)
            except (OSError, http.client.HTTPException):
                self.local.used = 0
                if last:
                    raise
        return None

    def get(self, plural, name):
        """The object, or None when there is none."""
        status, o = self.call("GET", self.path(plural, name))
        return o if status == 200 else None

    def items(self, plural, labels=""):
        status, found = self.call("GET", self.path(plural) + (f"?labelSelector={labels}" if labels else ""))
        assert status == 200, found
        kind = found["kind"].removesuffix("List")
        return [{"apiVersion": found["apiVersion"], "kind": kind, **o} for o in found["items"]]

    def patch(self, plural, name, patch):
        status, o = self.call("PATCH", self.path(plural, name), patch, "application/merge-patch+json")
        assert status == 200, o
        return o

    def apply(self, o):
        """Server-side, as a user."""
        plural = PLURALS.get(o["kind"], o["kind"].lower() + "s")
        path = f"/{'apis' if '/' in o['apiVersion'] else 'api'}/{o['apiVersion']}/namespaces/{self.namespace}/{plural}/{o['metadata']['name']}"
        status, answer = self.call("PATCH", path + "?fieldManager=user&force=true", o, "application/apply-patch+yaml")
        assert status in (200, 201), answer
        return answer

    def delete(self, plural, name):
        status, answer = self.call("DELETE", self.path(plural, name))
        assert status in (200, 202, 404), answer


def namespace_of_its_own(plane):
    """As Plane.new_namespace, without processes."""
    api = Api(plane, f"t-{uuid.uuid4().hex[:8]}")
    status, answer = api.call("POST", "/api/v1/namespaces", {"metadata": {"name": api.namespace}})
    assert status == 201, answer
    wait_until("service account default", lambda: api.get("serviceaccounts", "default"), 60, 0.05)
    return api.namespace


def built():
    """Names the operator under test: what a soak kept is good for the same program only."""
    return hashlib.sha256(OPERATOR.read_bytes()).hexdigest()


class Kept:
    """What passed in a soak, in build/soak/NAME.json, so that a second call goes on; nothing is kept else."""

    def __init__(self, name):
        self.file, self.lock = REPO / "build" / "soak" / f"{name}.json", threading.Lock()
        self.operator, self.passed = built(), {}
        if SOAK and self.file.exists():
            kept = json.loads(self.file.read_text())
            self.passed = kept["passed"] if kept["operator"] == self.operator else {}

    def add(self, name, word="passed"):
        with self.lock:
            self.passed[name] = word
            if SOAK:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                half = self.file.with_suffix(".half")
                half.write_text(json.dumps({"operator": self.operator, "passed": self.passed}))
                half.replace(self.file)


class Scene:
    """One namespace, one proxy, operators that see the API server through it; the test itself looks past the proxy."""

    def __init__(self, plane, namespace, folder, proxy):
        self.plane, self.namespace, self.folder, self.proxy = plane, namespace, pathlib.Path(folder), proxy
        self.oracle, self.started, self.gates = proxy.oracle, [], {}
        self.api, self.began = Api(plane, namespace), time.monotonic()
        self.oracle.pods = lambda: self.api.items("pods")

    def start(self, identity="operator", *flags, token=None):
        if identity not in self.gates:
            self.gates[identity] = str(self.proxy.gate(identity, token))
        log = self.folder / f"{identity}-{len(self.started)}.log"
        with open(log, "w", encoding="utf-8") as out:
            operator = Operator(types.SimpleNamespace(kubeconfig=self.gates[identity]), self.namespace, out,
                                "--watch-idle-seconds=3", *flags)
        operator.log = log
        self.started.append(operator)
        return operator

    @property
    def operator(self):
        return self.started[-1]

    def alive(self):
        return self.operator.process.poll() is None

    def logs(self):
        return "".join(o.log.read_text(errors="replace") for o in self.started)

    def apply(self, *objects):
        """Past the proxy."""
        for o in objects:
            self.api.apply(o)

    def cr(self, name="c"):
        return self.api.get("starrocksclusters", name)

    def patch(self, patch, name="c", plural="starrocksclusters"):
        return self.api.patch(plural, name, patch)

    def condition(self, kind, name="c"):
        conditions = (self.cr(name) or {}).get("status", {}).get("conditions", [])
        return next((c for c in conditions if c["type"] == kind), {})

    def degraded(self, name="c"):
        c = self.condition("Degraded", name)
        return c.get("status") == "True" and c

    def is_settled(self, name="c"):
        cr = self.cr(name)
        if not cr:
            return False
        status = cr.get("status", {})
        ready = [c for c in status.get("conditions", []) if c["type"] == "Ready"]
        return (status.get("observedGeneration") == cr["metadata"]["generation"] and ready and ready[0]["status"] == "True"
                and ready[0]["observedGeneration"] == cr["metadata"]["generation"])

    def settle(self, name="c", timeout=PATIENCE):
        wait_until(f"{name} is settled", lambda: self.is_settled(name), timeout, 0.1)

    def quiet(self, seconds=4):
        """I7: at rest, no write."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            n = len(self.own_writes())
            time.sleep(seconds)
            if len(self.own_writes()) == n:
                return
        raise AssertionError(f"writes at rest: {self.own_writes()[-6:]}")

    def own_writes(self):
        return [w for w in list(self.oracle.writes) if w.plural != "leases"]

    def deletes(self):
        return [w for w in self.own_writes() if w.verb == "DELETE"]

    def state(self):
        return end_state(self.api)

    def close(self):
        for operator in self.started:
            if operator.process.poll() is None:
                operator.process.kill()
                operator.process.wait(10)


@contextlib.contextmanager
def scene(plane, folder, oracle=None, namespace=None):
    namespace = namespace or namespace_of_its_own(plane)
    folder = pathlib.Path(folder) / uuid.uuid4().hex[:6]
    folder.mkdir()
    with Proxy(plane, oracle or Oracle()) as proxy:
        s = Scene(plane, namespace, folder, proxy)
        try:
            yield s
            proxy.calm()
            s.oracle.verdict(s.logs())
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- operator:\n{s.logs()[-3000:]}\n--- writes: {s.own_writes()[-12:]}"
                                 f"\n--- refused: {dict(s.oracle.refused)}") from error
        finally:
            s.close()
            s.api.call("DELETE", f"/api/v1/namespaces/{namespace}")


def account(s, rules, name="op"):
    """A service account with these rights in the namespace; its token."""
    n = s.namespace
    s.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": n}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name, "namespace": n}, "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": n},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": n}]})
    status, answer = s.api.call("POST", s.api.path("serviceaccounts", name) + "/token",
                                {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}})
    assert status == 201, answer
    return answer["status"]["token"]


def difference(a, b):
    """The paths at which two end states differ, for a message."""
    out = []

    def walk(x, y, path):
        if isinstance(x, dict) and isinstance(y, dict):
            for key in sorted({*x, *y}):
                walk(x.get(key), y.get(key), f"{path}.{key}")
        elif isinstance(x, list) and isinstance(y, list) and len(x) == len(y):
            for i, (p, q) in enumerate(zip(x, y)):
                walk(p, q, f"{path}[{i}]")
        elif x != y:
            out.append(f"{path}: {x!r} instead of {y!r}"[:300])

    walk(a, b, "")
    return out

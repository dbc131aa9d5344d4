"""Scenes for fault tests: an operator behind the fault proxy, a control plane whose kubelet is kwok, and what is compared."""

import contextlib
import json
import os
import pathlib
import random
import sys
import time
import types
import uuid

from conftest import REPO, wait_until
from operator_fixture import Operator, condition, part

sys.path.insert(0, str(REPO / "e2e"))
from faultproxy import actions  # noqa: E402,F401
from faultproxy.oracle import Oracle, end_state  # noqa: E402
from faultproxy.proxy import Proxy  # noqa: E402

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


class Scene:
    """One namespace, one proxy, operators that see the API server through it; the test itself looks past the proxy."""

    def __init__(self, plane, namespace, folder, proxy):
        self.plane, self.namespace, self.folder, self.proxy = plane, namespace, pathlib.Path(folder), proxy
        self.oracle, self.started, self.gates = proxy.oracle, [], {}

    def start(self, identity="operator", *flags):
        if identity not in self.gates:
            self.gates[identity] = str(self.proxy.gate(identity))
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
        """Past the proxy; retried, since a plane on a loaded machine may be slow."""
        self.plane.apply(objects)

    def cr(self, name="c"):
        return self.plane.get("-n", self.namespace, "src", name)

    def patch(self, patch, name="c", kind="src"):
        self.plane.kubectl("-n", self.namespace, "patch", kind, name, "--type=merge", "-p", json.dumps(patch))

    def degraded(self, name="c"):
        c = condition(self.plane, self.namespace, "Degraded", name)
        return c.get("status") == "True" and c

    def is_settled(self, name="c"):
        cr = self.cr(name)
        status = cr.get("status", {})
        ready = [c for c in status.get("conditions", []) if c["type"] == "Ready"]
        return (status.get("observedGeneration") == cr["metadata"]["generation"] and ready and ready[0]["status"] == "True"
                and ready[0]["observedGeneration"] == cr["metadata"]["generation"])

    def settle(self, name="c", timeout=PATIENCE):
        wait_until(f"{name} is settled", lambda: self.is_settled(name), timeout, 0.3)

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
        return end_state(self.plane, self.namespace)

    def close(self):
        for operator in self.started:
            if operator.process.poll() is None:
                operator.process.kill()
                operator.process.wait(10)


@contextlib.contextmanager
def scene(plane, folder, oracle=None, namespace=None):
    namespace = namespace or plane.new_namespace()
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
            plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


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

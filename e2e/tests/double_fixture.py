"""A cluster of StarRocks that nobody runs: a control plane with a kubelet that only reports, and the double of the FE behind the FE
Service. Service addresses are loopback addresses here, so that the operator reaches the double as it reaches an FE.
"""

import contextlib
import datetime
import http.client
import itertools
import json
import pathlib
import ssl
import sys
import threading

from conftest import REPO, wait_until
from operator_fixture import operators
from plane_fixture import Plane

sys.path.insert(0, str(REPO / "e2e" / "doubles"))
from fe_double import DEFAULT, FeDouble, Node, Warehouse  # noqa: E402

ADDRESSES = itertools.count(1)


def double_plane():
    return Plane(apiserver_flags=("--service-cluster-ip-range=127.96.0.0/16",))


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Api:
    """The API server over one kept connection: kubectl would be a process for each look."""

    def __init__(self, plane):
        self.plane = plane
        self.context = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")
        self.connection = None

    def call(self, method, path, body=None, kind="application/merge-patch+json"):
        for last in (False, True):
            try:
                if not self.connection:
                    self.connection = http.client.HTTPSConnection("127.0.0.1", self.plane.port, context=self.context, timeout=30)
                self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                        {"Authorization": f"Bearer {self.plane.token}", "Content-Type": kind})
                answer = self.connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                self.connection = None
                if last:
                    raise
        return None


class Kubelet(threading.Thread):
    """Reports pods as running, and tells the double which of its nodes live. `broken`: images whose pods never become ready;
    `changes`: (role, pod, image) in the order in which pods became ready; `mute`: pods that have no address yet;
    `high`, `low`: the most and the fewest ready pods of a role."""

    def __init__(self, plane, namespace, double, tablets=4):
        super().__init__(daemon=True)
        self.api, self.namespace, self.double, self.tablets = Api(plane), namespace, double, tablets
        self.known, self.broken, self.mute, self.changes = {}, set(), False, []
        self.high, self.low, self.ended, self.error = {}, {}, threading.Event(), None
        self.start()

    def run(self):
        while not self.ended.wait(0.1):
            try:
                self.look()
            except OSError as error:
                self.error = error

    def stop(self):
        self.ended.set()
        self.join(10)

    def look(self):
        _, pods = self.api.call("GET", f"/api/v1/namespaces/{self.namespace}/pods")
        if "items" not in pods:
            return
        seen = {p["metadata"]["uid"]: p for p in pods["items"]}
        with self.double.lock:
            for uid in [u for u in self.known if u not in seen]:
                self.gone(self.known.pop(uid))
        for uid, pod in seen.items():
            if uid not in self.known and not self.mute:
                self.begin(uid, pod)

        for role in ("fe", "be", "cn"):
            # The fewest there were since there were at least two.
            n = sum(e["ready"] for e in self.known.values() if e["role"] == role)
            self.high[role] = max(n, self.high.get(role, 0))
            if self.high[role] >= 2:
                self.low[role] = min(n, self.low.get(role, n))

    def address(self, _role):
        n = next(ADDRESSES)
        return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"

    def begin(self, uid, pod):
        role = pod["metadata"]["labels"].get("app.kubernetes.io/component")
        ip = self.address(role)
        image = pod["spec"]["containers"][0]["image"]
        ready = image not in self.broken
        status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "hostIP": "127.0.0.1",
                  "conditions": [{"type": t, "status": str(ready), "lastTransitionTime": now()} for t in ("Ready", "ContainersReady")],
                  "containerStatuses": [{"name": role, "image": image, "imageID": "", "ready": ready, "started": ready, "restartCount": 0,
                                         "state": {"running": {"startedAt": now()}} if ready else
                                         {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}}]}
        house = next((e.get("value") for e in pod["spec"]["containers"][0].get("env", []) if e["name"] == "KUBE_STARROCKS_MULTI_WAREHOUSE"),
                     DEFAULT)
        entry = {"role": role, "name": pod["metadata"]["name"], "ip": ip, "image": image, "ready": ready, "house": house}
        with self.double.lock:  # an entrypoint joins before its pod is ready: nobody is answered in between
            code, _ = self.api.call("PATCH", f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status",
                                    {"metadata": {"uid": uid}, "status": status})
            if code != 200:
                return
            self.known[uid] = entry
            if ready:
                self.joined(entry)

    # ---- what an entrypoint does ----
    def joined(self, entry):
        d, name, ip = self.double, entry["name"], entry["ip"]
        self.changes.append((entry["role"], name, entry["image"]))
        if entry["role"] == "fe":
            key = (f"{name}.c-fe-search.{self.namespace}.svc.cluster.local", 9010)
            d.frontends.setdefault(key, Node(*key)).alive = True
            d.elect()
        elif entry["role"] == "fe-observer":
            key = (f"{name}.c-fe-observer-search.{self.namespace}.svc.cluster.local", 9010)
            row = d.frontends.get(key)
            if not row or row.role != "OBSERVER":
                # An image that knows nothing of observers joins as a follower then.
                d.violations.append(f"{name} started before the FE knew it as an observer")
            row = d.frontends.setdefault(key, Node(*key))
            row.alive = row.join = True
        elif entry["role"] == "be":
            key = (f"{name}.c-be-search.{self.namespace}.svc.cluster.local", 9050)
            d.backends.setdefault(key, Node(*key, tablets=self.tablets)).alive = True
        elif entry["role"] == "cn":
            if entry["house"] != DEFAULT:
                d.warehouses.setdefault(entry["house"], Warehouse())
            d.nodes.setdefault((ip, 9050), Node(ip, 9050, warehouse=entry["house"])).alive = True

    def gone(self, entry):
        d = self.double
        for group in (d.frontends, d.backends, d.nodes):
            for (host, _), node in group.items():
                if host == entry["ip"] or host.split(".")[0] == entry["name"]:
                    node.alive = False
        if entry["role"] == "be":
            for (host, _), b in d.backends.items():
                if host.split(".")[0] == entry["name"] and b.decommissioned and b.tablets:
                    d.violations.append(f"pod {entry['name']} went while it held {b.tablets} tablets")
        voters = d.voters()
        alive = sum(v.alive for v in voters)
        if entry["role"] == "fe" and voters and 2 * alive <= len(voters) and len(voters) > 2:
            d.violations.append(f"{alive} of {len(voters)} voting FEs alive")
        d.elect()


class World:
    def __init__(self, plane, namespace, go):
        self.plane, self.namespace, self.go = plane, namespace, go
        self.double = self.kubelet = None
        self.more = {}  # of the CR's spec

    def create(self, shared_data=False, **parts):
        """Parts as (replicas, more); the double stands behind the Service before the first FE pod is ready."""
        self.plane.apply([self.cr(**parts)])
        self.go()
        address = wait_until("the FE Service's address", lambda: self.plane.kubectl(
            "-n", self.namespace, "get", "svc", "c-fe-service", "-o", "jsonpath={.spec.clusterIP}", check=False), 60)
        self.double = FeDouble(address, shared_data=shared_data)
        self.kubelet = Kubelet(self.plane, self.namespace, self.double)
        return self

    def cr(self, **parts):
        spec = dict(self.more)
        for role, (replicas, more) in parts.items():
            spec[f"starRocks{role.capitalize()}Spec"] = {"image": f"starrocks/{role}:3.3.1", "replicas": replicas, **more}
        return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": "c", "namespace": self.namespace},
                "spec": spec}

    def patch(self, **parts):
        spec = {f"starRocks{role.capitalize()}Spec": more for role, more in parts.items()}
        self.plane.kubectl("-n", self.namespace, "patch", "src", "c", "--type=merge", "-p", json.dumps({"spec": spec}))

    def get(self, *args):
        return self.plane.get("-n", self.namespace, *args)

    def status(self):
        return self.get("src", "c").get("status", {})

    def condition(self, kind):
        return next((c for c in self.status().get("conditions", []) if c["type"] == kind), {})

    def replicas(self, role):
        return self.get("deploy" if role == "cn" else "sts", f"c-{role}")["spec"]["replicas"]

    def settle(self, timeout=120):
        def done():
            cr = self.get("src", "c")
            ready = self.condition("Ready")
            return ready.get("status") == "True" and ready["observedGeneration"] == cr["metadata"]["generation"]
        wait_until("the cluster is ready", done, timeout)

    def pods(self, role):
        return self.get("pods", "-l", f"app.starrocks.ownerreference/name=c-{role}")["items"]

    def degraded(self, reason, timeout=60):
        return wait_until(f"Degraded says {reason}", lambda: (lambda c: c if c.get("reason") == reason else None)(
            self.condition("Degraded")), timeout)["message"]

    def hosts(self, group):
        with self.double.lock:
            return sorted(host.split(".")[0] for host, _ in group)


@contextlib.contextmanager
def world(plane, folder):
    namespace = plane.new_namespace()
    with operators(plane, namespace, pathlib.Path(folder)) as go:
        w = World(plane, namespace, go)
        try:
            yield w
            assert not w.double or w.double.violations == [], w.double.violations
        finally:
            if w.kubelet:
                w.kubelet.stop()
            if w.double:
                w.double.close()
            plane.kubectl("delete", "namespace", namespace, "--wait=false", check=False)

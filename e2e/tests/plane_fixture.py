"""A Kubernetes control plane of a test's own: etcd, kube-apiserver, kube-controller-manager, on free loopback ports.

No kubelet: pods exist and are never run, unless kwok plays the kubelet (`Plane(kwok=True)`, which brings the scheduler as
well). For everything about the operator that needs no running program; several may run side by side, in any network
namespace that has a loopback interface. The `cluster` fixture is the real thing.

    def test_something(plane, plane_namespace):     # fixtures of conftest.py
        plane.apply([...])
"""

import ctypes
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.request
import ssl
import uuid

from conftest import REPO, Cluster, run, wait_until
from engine_fixture import free_ports

TOOLS = REPO / "e2e" / "cluster"
BIN = REPO / "build" / "cluster" / "bin"
GATES = "--feature-gates=HPAConfigurableTolerance=true"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Plane(Cluster):
    """`admin` is the token in the kubeconfig; more users: tokens={"name": "token"}, without rights until RBAC gives some.
    oldest: the API server and the controllers of the oldest Kubernetes that Roost supports, 1.29."""

    def __init__(self, kwok=False, tokens=None, apiserver_flags=(), controller_flags=(), oldest=False):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-plane-"))
        self.kwok = kwok
        self.hyperkube = "hyperkube-1.29" if oldest else "hyperkube"
        self.gates = () if oldest else (GATES,)
        self.etcd_port, self.peer_port, self.port, self.controller_port, self.scheduler_port, self.kwok_port = free_ports(6)
        self.url = f"https://127.0.0.1:{self.port}"
        self.token = secrets.token_hex(16)
        self.tokens = tokens or {}
        self.apiserver_flags, self.controller_flags = apiserver_flags, controller_flags
        self.processes = {}
        super().__init__(str(self.folder / "kubeconfig"), foreign=False)

    def __enter__(self):
        try:
            run(TOOLS / "build-bin", "etcd", "hyperkube", self.hyperkube, *(["kwok"] if self.kwok else []), timeout=2400)
            self.write_files()
            self.start_etcd()
            self.start_apiserver()
            self.start_controllers()
            wait_until("the plane makes service accounts",
                       lambda: self.kubectl("-n", "default", "get", "sa", "default", check=False), 120)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        for name in reversed(list(self.processes)):
            self.stop(name, signal.SIGKILL)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- processes ----
    def start(self, name, *argv):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    cwd=self.folder, preexec_fn=die_with_parent)
        return self.processes[name]

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name, None)
        if process and process.poll() is None:
            process.send_signal(how)
            process.wait(30)

    def tail(self, name, lines=20):
        return "\n".join((self.folder / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])

    def start_etcd(self):
        client, peer = f"http://127.0.0.1:{self.etcd_port}", f"http://127.0.0.1:{self.peer_port}"
        self.start("etcd", BIN / "etcd", "--name=plane", f"--data-dir={self.folder}/etcd", "--log-level=warn", "--unsafe-no-fsync",
                   f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
                   f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=plane={peer}")

    def start_apiserver(self):
        self.start("apiserver", BIN / self.hyperkube, "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}",
                   "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self.port}",
                   "--endpoint-reconciler-type=none", f"--cert-dir={self.folder}/apiserver", "--authorization-mode=RBAC",
                   f"--token-auth-file={self.folder}/tokens.csv", "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true",
                   "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self.folder}/sa.pub",
                   f"--service-account-signing-key-file={self.folder}/sa.key", "--profiling=false", *self.gates,
                   *self.apiserver_flags)
        wait_until("the API server is ready", self.is_ready, 120)

    def start_controllers(self):
        common = (f"--kubeconfig={self.kubeconfig}", f"--authentication-kubeconfig={self.kubeconfig}",
                  f"--authorization-kubeconfig={self.kubeconfig}", "--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false")
        self.start("controllers", BIN / self.hyperkube, "kube-controller-manager", *common, f"--secure-port={self.controller_port}",
                   f"--cert-dir={self.folder}/controllers", "--use-service-account-credentials=true",
                   f"--service-account-private-key-file={self.folder}/sa.key", f"--root-ca-file={self.folder}/apiserver/apiserver.crt",
                   "--allocate-node-cidrs=false", *self.gates, *self.controller_flags)
        if self.kwok:
            self.start("scheduler", BIN / "kube-scheduler", *common, f"--secure-port={self.scheduler_port}",
                       f"--cert-dir={self.folder}/scheduler")
            self.start("kwok", BIN / "kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=false",
                       "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", f"--server-address=127.0.0.1:{self.kwok_port}",
                       "--node-lease-duration-seconds=40")

    def is_ready(self):
        process = self.processes["apiserver"]
        if process.poll() is not None:
            raise RuntimeError(f"kube-apiserver ended with {process.returncode}:\n{self.tail('apiserver')}")
        try:
            context = ssl.create_default_context(cafile=self.folder / "apiserver/apiserver.crt")
            request = urllib.request.Request(self.url + "/readyz", headers={"Authorization": f"Bearer {self.token}"})
            with urllib.request.urlopen(request, context=context, timeout=5) as answer:
                return answer.read() == b"ok"
        except (OSError, ValueError):
            return False

    # ---- files ----
    def write_files(self):
        run("openssl", "genrsa", "-out", self.folder / "sa.key", "2048")
        run("openssl", "rsa", "-in", self.folder / "sa.key", "-pubout", "-out", self.folder / "sa.pub")
        lines = [f"{self.token},admin,admin,system:masters"]
        lines += [f"{token},{name},{name}" for name, token in self.tokens.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n")
        self.write_kubeconfig(pathlib.Path(self.kubeconfig), self.token)

    def write_kubeconfig(self, path, token, url=None, ca=None):
        """A kubeconfig for another user, or for a proxy in front of the API server."""
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "plane",
            "clusters": [{"name": "plane", "cluster": {
                "server": url or self.url, "certificate-authority": str(ca or self.folder / "apiserver/apiserver.crt")}}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": "user"}}]}))
        return path

    # ---- what tests do ----
    def kubectl(self, *args, stdin=None, check=True, timeout=120):
        return run(BIN / "kubectl", f"--kubeconfig={self.kubeconfig}", *args, stdin=stdin, check=check, timeout=timeout).stdout

    def crds(self):
        """Our CRDs, established."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", REPO / "crds" / "starrocks.com_starrocksclusters.yaml",
                     "-f", REPO / "crds" / "starrocks.com_starrockswarehouses.yaml")
        for kind in ("starrocksclusters", "starrockswarehouses"):
            # A definition that is younger than its first condition makes kubectl wait fail at once.
            wait_until(f"{kind} is established", lambda kind=kind: self.kubectl(
                "wait", "--for=condition=Established", f"crd/{kind}.starrocks.com", "--timeout=60s", check=False))

    def new_namespace(self):
        name = f"t-{uuid.uuid4().hex[:8]}"
        self.kubectl("create", "namespace", name)
        wait_until("service account default", lambda: self.kubectl("-n", name, "get", "sa", "default", check=False))
        return name

    def set_status(self, namespace, kind, name, status):
        """What a kubelet or a controller would report."""
        self.kubectl("-n", namespace, "patch", kind, name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))

    def fake_node(self, name, labels=None, taints=()):
        """A node that kwok keeps Ready; pods scheduled to it become Ready without running."""
        size = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
        self.apply([{"apiVersion": "v1", "kind": "Node",
                     "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"},
                                  "labels": {"kubernetes.io/hostname": name, "type": "kwok", **(labels or {})}},
                     "spec": {"taints": list(taints)}, "status": {"capacity": size, "allocatable": size}}])

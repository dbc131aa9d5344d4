"""KEDA's operator and metrics adapter as plain processes beside a control plane of a test's own, and a scaler that says
what a test tells it. Nothing is built here: where build/cluster/bin has no KEDA the test is left out with the reason
(`e2e/cluster/build-bin keda-operator keda-adapter`, 10 minutes cold; ROOST_SOAK=1 builds them).
"""

import http.server
import json
import os
import shutil
import threading

import pytest
import yaml

import go_modules
from conftest import run, wait_until
from engine_fixture import free_ports
from plane_fixture import BIN, TOOLS, Plane

HEADERS = ("--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
           "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-allowed-names=front-proxy-client")


def keda_programs():
    if os.environ.get("ROOST_SOAK") == "1":
        run(TOOLS / "build-bin", "keda-operator", "keda-adapter", timeout=3600)
    missing = [n for n in ("keda-operator", "keda-adapter") if not (BIN / n).exists()]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not built (e2e/cluster/build-bin {' '.join(missing)}, 10 min; ROOST_SOAK=1 does)")


class StubScaler:
    """The scaler's pool document over HTTP: desired is a number, or None for a 503."""

    def __init__(self, desired=0, token="stub-token"):
        self.desired, self.token, self.asked, self.refused = desired, token, [], 0
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                if self.headers.get("Authorization") != f"Bearer {stub.token}":
                    stub.refused += 1
                    return self.reply(401, "{}")
                stub.asked.append(self.path)
                if stub.desired is None:
                    return self.reply(503, '{"error":"stale"}')
                return self.reply(200, json.dumps({"desired": stub.desired, "active": int(stub.desired > 0), "current": 0}))

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.server.shutdown()
        self.server.server_close()


class KedaPlane(Plane):
    """A Plane with kwok's pods and the aggregation layer; KEDA runs after start_keda(). gate: per-HPA tolerance."""

    def __init__(self, gate):
        off = () if gate else ("--feature-gates=HPAConfigurableTolerance=false",)
        super().__init__(kwok=True, apiserver_flags=(*HEADERS, *off), controller_flags=off)
        self.apiserver_flags += tuple(f"--{flag}={self.folder}/front/{file}" for flag, file in (
            ("requestheader-client-ca-file", "ca.crt"), ("proxy-client-cert-file", "proxy.crt"), ("proxy-client-key-file", "proxy.key")))

    def write_files(self):
        super().write_files()
        self.certificates("front", "proxy", "front-proxy-client", "DNS:front-proxy-client")

    def certificates(self, folder, name, common_name, names):
        """An authority of its own, and one pair signed by it."""
        at = self.folder / folder
        at.mkdir()
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", at / "ca.key", "-out", at / "ca.crt",
            "-subj", f"/CN={folder}")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", at / f"{name}.key", "-out", at / "req", "-subj", f"/CN={common_name}")
        (at / "ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("openssl", "x509", "-req", "-in", at / "req", "-CA", at / "ca.crt", "-CAkey", at / "ca.key", "-CAcreateserial", "-days", "2",
            "-out", at / f"{name}.crt", "-extfile", at / "ext")
        return at

    def keda_objects(self):
        """KEDA's own manifests, without its Deployments: it runs beside the cluster."""
        copy = self.folder / "keda-config"
        shutil.copytree(go_modules.module(go_modules.KEDA) / "config", copy)
        run("chmod", "-R", "u+w", copy)
        docs = [d for d in yaml.safe_load_all(self.kubectl("kustomize", str(copy / "minimal"))) if d]
        return [d for d in docs if d["kind"] not in ("Deployment", "APIService", "Service")]

    def start_keda(self):
        grpc, metrics, probes, secure = free_ports(4)
        docs = self.keda_objects()
        definitions = [d for d in docs if d["kind"] == "CustomResourceDefinition"]
        go_modules.install(self, definitions)
        # The CRDs are there: kubectl orders what is left by itself.
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [d for d in docs if d not in definitions]})
        wait_until("KEDA's objects are accepted", lambda: self.kubectl("apply", "--server-side", "-f", "-", stdin=text, check=False))
        names = ["localhost", "keda-operator.keda.svc", "keda-metrics-apiserver.keda.svc", "keda-operator.keda.svc.cluster.local"]
        certs = self.certificates("keda", "tls", "keda", ",".join(["IP:127.0.0.1", *(f"DNS:{n}" for n in names)]))
        token = self.kubectl("-n", "keda", "create", "token", "keda-operator", "--duration=24h").strip()
        # As its own account, not as an administrator: what its rights do not allow must show.
        config = self.write_kubeconfig(self.folder / "keda.kubeconfig", token)
        env = {"POD_NAMESPACE": "keda", "KEDA_CLUSTER_OBJECT_NAMESPACE": "keda", "WATCH_NAMESPACE": "", "KUBECONFIG": str(config)}
        self.start("keda-operator", "env", *(f"{k}={v}" for k, v in env.items()), BIN / "keda-operator", f"--cert-dir={certs}",
                   f"--metrics-service-bind-address=127.0.0.1:{grpc}", f"--metrics-bind-address=127.0.0.1:{metrics}",
                   f"--health-probe-bind-address=127.0.0.1:{probes}", "--zap-log-level=info")
        self.start("keda-adapter", "env", *(f"{k}={v}" for k, v in env.items()), BIN / "keda-adapter", f"--secure-port={secure}",
                   f"--tls-cert-file={certs}/tls.crt", f"--tls-private-key-file={certs}/tls.key", f"--cert-dir={certs}",
                   f"--client-ca-file={certs}/ca.crt", f"--lister-kubeconfig={config}", f"--authentication-kubeconfig={config}",
                   f"--authorization-kubeconfig={config}", f"--metrics-service-address=127.0.0.1:{grpc}", "--bind-address=127.0.0.1")
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "keda-metrics-apiserver", "namespace": "keda"},
             "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": secure}]}},
            {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
             "spec": {"service": {"name": "keda-metrics-apiserver", "namespace": "keda", "port": secure},
                      "group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                      "insecureSkipTLSVerify": True}}]))
        wait_until("KEDA's adapter is reached through the API server", self.adapter_answers, 120)

    def adapter_answers(self):
        for name in ("keda-operator", "keda-adapter"):
            if self.processes[name].poll() is not None:
                raise RuntimeError(f"{name} ended:\n{self.tail(name)}")
        return self.kubectl("get", "--raw", "/apis/external.metrics.k8s.io/v1beta1", check=False)

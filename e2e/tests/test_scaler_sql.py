"""As whom and over what the scaler asks an FE of StarRocks: the operator's own user and TLS of the CR, with the rights of the
chart, against the strict double. Nothing is said as root or in the clear that the CR wants otherwise.
"""

import base64
import http.server
import json
import os
import re
import threading
import time
import urllib.error
import urllib.request

import pytest
import yaml

import double_fixture
import operator_fixture
from conftest import REPO, wait_until
from double_fixture import world
from engine_fixture import BUILD, Process, free_ports
from test_tls import authority, put

USER = "roost_operator"
ASKED = "SHOW RUNNING QUERIES"  # by nobody but a scaler


class Fe(double_fixture.FeDouble):
    """The double, and what a scaler asks besides: the queue, by SQL and on the HTTP port."""

    def __init__(self, host, **more):
        super().__init__(host, **more)
        self.web = http.server.ThreadingHTTPServer((host, 8030), Metrics)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()

    def close(self):
        self.web.shutdown()
        self.web.server_close()
        super().close()

    def show(self, words):
        now = time.time()
        if words == ASKED:
            start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - 5))
            return ["QueryId", "StartTime", "State", "Slots"], [[f"q{i}", start, "PENDING", "1"] for i in range(7)]
        if words == "SELECT NOW() AS now":
            return ["now"], [[time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))]]
        return super().show(words)


class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"starrocks_fe_query_queue_pending 7\n"
        self.send_response(200 if self.path == "/metrics" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Scaler:
    """With the Role of the chart in this namespace, and the test's /etc/hosts."""

    def __init__(self, w, folder):
        plane, ns = w.plane, w.namespace
        rules = yaml.safe_load((REPO / "e2e/tests/golden/roost-scaler-rules.yaml").read_text())
        plane.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "scaler"}},
                     {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "scaler"}, "rules": rules},
                     {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "scaler"},
                      "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "scaler"},
                      "subjects": [{"kind": "ServiceAccount", "name": "scaler", "namespace": ns}]}], ns)
        kubeconfig = plane.write_kubeconfig(folder / "scaler.kubeconfig", plane.kubectl("-n", ns, "create", "token", "scaler").strip())
        self.port = free_ports(1)[0]
        self.path = f"/v1/namespaces/{ns}/clusters/c/pools/cn"
        self.process = Process("scaler", [w.in_hosts(folder / "scaler", BUILD / "roost-scaler"), "--kubeconfig", kubeconfig, "--namespace", ns,
                                          "--listen", f"127.0.0.1:{self.port}"], folder)

    def pool(self):
        """(status, what it says)."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def knows(self, timeout=90):
        said = wait_until("the load is known", lambda: (lambda s, t: t if s == 200 else None)(*self.pool()), timeout)
        assert json.loads(said)["queue"]["pending"] == 7

    def says(self, pattern, timeout=90):
        """503, and why."""
        return wait_until(f"the scaler says {pattern}", lambda: (lambda s, t: t if s == 503 and re.search(pattern, t, re.I) else None)(
            *self.pool()), timeout)


class FileScaler(Scaler):
    """The same pool by --config."""

    def __init__(self, w, folder, entry):
        self.port, self.path = free_ports(1)[0], "/v1/namespaces/ns/clusters/c/pools/cn"
        (folder / "scaler.json").write_text(json.dumps({"clusters": [{"namespace": "ns", "name": "c", "maxReplicas": 6, **entry}]}))
        self.process = Process("filescaler", [w.in_hosts(folder / "filescaler", BUILD / "roost-scaler"), "--config", folder / "scaler.json",
                                              "--listen", f"127.0.0.1:{self.port}"], folder)


@pytest.fixture
def w(plane_of_doubles, tmp_path, monkeypatch):
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")

    def in_hosts(start, program):
        start.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {hosts} /etc/hosts && exec {program} \"$@\"' -- \"$@\"\n")
        start.chmod(0o755)
        return start

    monkeypatch.setattr(operator_fixture, "OPERATOR", in_hosts(tmp_path / "operator", operator_fixture.OPERATOR))
    monkeypatch.setattr(double_fixture, "FeDouble", Fe)
    with world(plane_of_doubles, tmp_path) as one:
        one.in_hosts, one.scaler, one.folder = in_hosts, None, tmp_path
        one.more = {"sqlUser": {"enabled": True}}
        try:
            yield one
        finally:
            if one.scaler:
                one.scaler.process.stop()


def begin(w):
    w.create(fe=(1, {}), cn=(1, {"roostAutoscaling": {"maxReplicas": 6}}))
    service = f"c-fe-service.{w.namespace}.svc"
    (w.folder / "hosts").write_text(f"127.0.0.1 localhost\n{w.double.server.getsockname()[0]} {service} {service}.cluster.local\n")
    w.scaler = Scaler(w, w.folder)
    return w.scaler


def askers(w, forget=False):
    """Who asked for the queue."""
    with w.double.lock:
        found = {user for user, words in w.double.by if words == ASKED}
        if forget:
            w.double.by.clear()
    return found


def cut(w):
    """The scaler's connection ends at its next question."""
    askers(w, forget=True)
    w.double.reset = ASKED
    wait_until("it asks anew", lambda: w.scaler.pool()[0] == 503, 60)
    askers(w, forget=True)
    w.double.reset = None


def test_it_asks_as_the_operators_user_and_follows_its_password(w):
    scaler = begin(w)
    scaler.knows()
    assert askers(w) == {USER}
    # The Secret goes, the next one has another password, which the FE then wants.
    first = w.double.users[USER].password
    w.plane.kubectl("-n", w.namespace, "delete", "secret", "c-roost-sql")
    wait_until("another password", lambda: w.double.users[USER].password != first, 120)
    cut(w)
    scaler.knows()
    assert askers(w) == {USER}
    # An FE that refuses such a user: the operator says so, and only then the scaler goes as root, and says so, too.
    w.double.knows_users = False
    with w.double.lock:
        w.double.users.clear()
    wait_until("root goes on", lambda: "root" in askers(w), 120)
    assert w.condition("RootSql").get("status") == "True"
    scaler.knows()
    assert "is asked as root" in scaler.process.log.read_text()
    told = scaler.process.log.read_text() + json.dumps(w.plane.get("-n", w.namespace, "events"))
    assert first not in told


def by_a_file(w, folder, name, ours, other):
    """A pool of --config: over TLS by sqlCaFile or not at all; another file counts at once, also for a connection that is kept."""
    for file, text in (("user", USER), ("password", w.double.users[USER].password), ("ca.crt", ours["ca"])):
        (folder / file).write_text(text)
    askers(w, forget=True)
    scaler = w.scaler = FileScaler(w, folder, {"fe": f"{name}:8030", "userFile": str(folder / "user"), "passwordFile": str(folder / "password"),
                                               "sqlCaFile": str(folder / "ca.crt")})
    print(scaler.says("certificate must be for"))
    assert not w.double.by
    (folder / "ca.crt").write_text(other["ca"])
    scaler.knows()
    assert askers(w) == {USER}
    (folder / "ca.crt").write_text(ours["ca"])
    print(scaler.says("certificate must be for"))


def test_over_tls_with_a_certificate_that_holds_or_not_at_all(w, tmp_path):
    name = f"c-fe-service.{w.namespace}.svc.cluster.local"
    ours, other, wrong = (authority(tmp_path / n, host) for n, host in (("ours", name), ("other", name), ("wrong", "elsewhere.example")))
    w.more["tls"] = {"secretName": "fe-tls"}
    scaler = begin(w)
    print(scaler.says("Secret fe-tls is not there"))
    # An FE that speaks in the clear only.
    put(w, ours["ca"])
    print(scaler.says(f"certificate must be for {name}.*9030"))
    assert not w.double.by, "nobody said anything in the clear"
    for served, ca, reason in ((ours["expired"], ours["ca"], "expired"), (other["good"], ours["ca"], "signature|issuer|self"),
                               (wrong["good"], wrong["ca"], "name|validation")):
        w.double.tls = served
        put(w, ca)
        print(scaler.says(f"certificate must be for.*9030: .*({reason})"))
        assert not w.double.by
    w.double.tls = ours["good"]
    at = put(w, ours["ca"])
    scaler.knows(120)
    assert askers(w) == {USER}
    # The FE has a certificate of another CA by now: the Secret's new content is enough.
    w.double.tls = other["good"]
    data = {"data": {"ca.crt": base64.b64encode(other["ca"].encode()).decode()}}
    w.plane.kubectl("-n", w.namespace, "patch", "secret", at, "--type=merge", "-p", json.dumps(data))
    cut(w)
    scaler.knows(120)
    assert askers(w) == {USER}
    scaler.process.stop()
    by_a_file(w, tmp_path, name, ours, other)

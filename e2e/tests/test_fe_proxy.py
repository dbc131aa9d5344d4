"""The FE proxy's nginx.conf under a real nginx, before doubles of an FE and a BE.

The hop rules are the point: an FE sees a stream load without its body, redirects to the leader or to a BE, and only the
BE is sent the body. Without an nginx on the machine there is nothing to run it on.
"""

import http.client
import http.server
import json
import shutil
import socket
import struct
import subprocess
import sys
import threading

import pytest
import yaml

from conftest import REPO, wait_until
from engine_fixture import free_ports

sys.path.insert(0, str(REPO / "e2e" / "tools"))
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin")
CASE = REPO / "operator" / "render" / "testdata" / "with-fe-proxy" / "cr.yaml"

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (apt-get install nginx-light)")


class Server(http.server.ThreadingHTTPServer):
    """Answers by a function (method, path, body) -> (status, headers, text) and keeps what it saw."""

    def __init__(self, answer, silent=False):
        self.answer, self.silent, self.seen = answer, silent, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def go(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, body, dict(self.headers)))
        status, headers, text = self.server.answer(self.command, self.path, body)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def handle_expect_100(self):
        # An FE says nothing here. A BE says "100 Continue", which nginx takes for the answer.
        return self.server.silent or super().handle_expect_100()

    do_GET = do_PUT = do_POST = go

    def log_message(self, *args):
        pass


def name_server():
    """Every name is 127.0.0.1; AAAA has no answer."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def serve():
        while True:
            query, peer = sock.recvfrom(512)
            question = query[12:query.index(b"\0", 12) + 5]
            a = question[-4:-2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH4B", 5, 4, 127, 0, 0, 1) if a else b""
            sock.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", int(a)) + b"\0\0\0\0" + question + answer, peer)

    threading.Thread(target=serve, daemon=True).start()
    return sock.getsockname()[1]


def rendered_conf(fe_port):
    """nginx.conf as the operator renders it for one of upstream's examples, with fe.conf's http_port."""
    import importlib.machinery
    import importlib.util
    loader = importlib.machinery.SourceFileLoader("render_golden", str(REPO / "e2e/tools/render_golden"))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("render_golden", loader))
    loader.exec_module(tool)
    documents = list(yaml.safe_load_all(CASE.read_text()))
    documents[0]["spec"]["starRocksFeSpec"]["configMapInfo"] = {"configMapName": "fe", "resolveKey": "fe.conf"}
    documents.append({"kind": "ConfigMap", "metadata": {"name": "fe"}, "data": {"fe.conf": f"http_port = {fe_port}\n"}})
    for o in tool.rendered(documents):
        if o["kind"] == "ConfigMap":
            return o["metadata"]["name"].removesuffix("-fe-proxy"), o["data"]["nginx.conf"]
    raise AssertionError("no ConfigMap was rendered")


@pytest.fixture
def proxy(tmp_path):
    be = Server(lambda method, path, body: (200, {}, json.dumps({"Status": "Success", "n": len(body)})))
    hops = {}
    fe = Server(lambda method, path, body: hops["fe"](method, path, body), silent=True)
    cluster, conf = rendered_conf(fe.port)
    port = free_ports(1)[0]
    for old, new in (("listen 8080", f"listen 127.0.0.1:{port}"), ("/tmp/", f"{tmp_path}/"),
                     ("resolver kube-dns.kube-system.svc.cluster.local", f"resolver 127.0.0.1:{name_server()}")):
        assert old in conf, old
        conf = conf.replace(old, new)
    (tmp_path / "nginx.conf").write_text("user root;\ndaemon off;\nerror_log stderr;\n" + conf.replace("http {", "http {\naccess_log off;", 1))
    process = subprocess.Popen([NGINX, "-p", tmp_path, "-c", tmp_path / "nginx.conf"], stderr=(tmp_path / "log").open("w"))

    def call(method, path, body=None, headers=None):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        c.request(method, path, body=body, headers=headers or {})
        answer = c.getresponse()
        return answer.status, answer.read()

    def up():
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return call("GET", "/nginx/health")[0] == 200
        except OSError:
            return False

    wait_until("nginx serves", up, 30)
    yield cluster, fe, be, hops, call
    process.terminate()
    process.wait(20)
    fe.shutdown()
    be.shutdown()


def test_a_load_reaches_the_be_with_its_body(proxy):
    cluster, fe, be, hops, call = proxy
    hops["fe"] = lambda m, p, b: (307, {"Location": f"http://{cluster}-be-0.{cluster}-be-search.ns.svc.cluster.local:{be.port}{p}"}, "")
    body = b"1,a\n" * 500_000
    status, text = call("PUT", "/api/db/t/_stream_load", body,
                        {"Expect": "100-continue", "Authorization": "Basic cm9vdDo=", "column_separator": ",", "label": "l1"})
    assert status == 200 and json.loads(text)["n"] == len(body)
    assert [(m, p, len(b)) for m, p, b, _ in fe.seen] == [("PUT", "/api/db/t/_stream_load", 0)]
    assert be.seen[0][2] == body
    assert fe.seen[0][3]["Expect"] == "100-continue"
    # Headers with underscores and the client's credentials arrive at both.
    for seen in (fe.seen[0][3], be.seen[0][3]):
        assert seen["column_separator"] == "," and seen["Authorization"] == "Basic cm9vdDo=", seen


def test_a_redirect_to_the_leader_is_followed_without_a_body(proxy):
    cluster, fe, be, hops, call = proxy
    search = f"{cluster}-fe-2.{cluster}-fe-search.ns.svc.cluster.local"

    def answer(method, path, body):
        if len(fe.seen) == 1:
            return 307, {"Location": f"http://{search}:{fe.port}{path}"}, ""
        return 307, {"Location": f"http://10-0-0-7.x:{be.port}{path}"}, ""

    hops["fe"] = answer
    status, _ = call("POST", "/api/transaction/load", b"row" * 1000)
    assert status == 200
    assert [len(b) for _, _, b, _ in fe.seen] == [0, 0]
    assert be.seen[0][2] == b"row" * 1000


def test_other_calls_and_refusals_pass_unchanged(proxy):
    _, fe, be, hops, call = proxy
    hops["fe"] = lambda m, p, b: (200, {}, "metrics") if p.startswith("/metrics") else (401, {}, "no")
    assert call("GET", "/metrics?type=json") == (200, b"metrics")
    assert fe.seen[0][1] == "/metrics?type=json"
    assert call("PUT", "/api/db/t/_stream_load", b"x") == (401, b"no")
    # The places that redirects are followed through are nobody's to call.
    assert call("GET", "/-/node")[0] == 404
    assert be.seen == []

"""roost-scaler ends in time, whatever hangs: the API server, FEs of both kinds, a file that the start reads."""

import http.server
import json
import os
import signal
import threading
import time

import pytest

from conftest import wait_until
from engine_fixture import BUILD, Process, free_ports
from scaler_double import PASSWORD, TOKEN, FeDouble
from test_scaler_cells import Scaler, healthy

POOLS = 20
# 5 s are declared. Unbounded it is 2 s for each history and 10 s for a list; a machine that is loaded gets the difference.
LIMIT_S = 25


class ApiServer:
    """Of Kubernetes only what the scaler asks for: leases and histories that are not there yet, no clusters."""

    def __init__(self):
        self.hangs, self.released, self.slow = threading.Event(), threading.Event(), False
        self.asked_while_hanging = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer is one packet

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if outer.hangs.is_set():
                    outer.asked_while_hanging.append(f"{self.command} {self.path.split('?')[0]}")
                    outer.released.wait(0.8 if outer.slow else 120)
                    if not outer.slow:
                        return
                if self.command != "GET":
                    self.answer(201, json.loads(body))
                elif "watch=1" in self.path:
                    outer.released.wait(120)
                elif self.path.split("?")[0].endswith(("/starrocksclusters", "/starrockswarehouses")):
                    self.answer(200, {"metadata": {"resourceVersion": "1"}, "items": []})
                else:
                    self.answer(404, {"kind": "Status", "message": "not there", "reason": "NotFound"})

            do_GET = do_POST = do_PUT = do_PATCH = handle_one

            def answer(self, status, document):
                data = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                try:
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the scaler has given this call up

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def api():
    server = ApiServer()
    yield server
    server.close()


def kubeconfig(folder, port):
    (folder / "kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{port}"}}], "users": [{"name": "x", "user": {"token": "x"}}]}))
    return folder / "kubeconfig"


@pytest.mark.parametrize("slow", [False, True])
def test_everything_hangs(api, tmp_path, slow):
    """slow: each call to the API server takes 0.8 s, which is 16 s for all histories."""
    api.slow = slow
    (tmp_path / "fe-token").write_text(TOKEN)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    fes = [FeDouble("roost", tmp_path), *(FeDouble("starrocks", tmp_path) for _ in range(4))]
    entries = [{**fes[0].config(f"c{i}"), "tokenFile": str(tmp_path / "fe-token")} for i in range(POOLS)]
    entries += [fe.config(f"s{i}") for i, fe in enumerate(fes[1:])]
    scaler = Scaler(tmp_path, {"clusters": entries}, "--kubeconfig", kubeconfig(tmp_path, api.port), "--lease", "ns/roost-scaler")
    try:
        wait_until("the scaler answers", lambda: healthy(scaler), 60)
        names = [e["name"] for e in entries]
        wait_until("all are known, and it leads", lambda: all(
            status == 200 and json.loads(body)["epoch"] == 1 for status, _, body in map(scaler.pool, names)), 60)
        for fe in fes:
            fe.mode = "slow-60"
        api.hangs.set()
        wait_until("a call to the API server hangs", lambda: api.asked_while_hanging, 30)
        begun = time.monotonic()
        assert scaler.process.stop(signal.SIGTERM, LIMIT_S) == 0
        print(f"ended {time.monotonic() - begun:.2f} s after SIGTERM")
        log = scaler.process.tail(400)
        assert "histories are not kept" in log
        assert slow or "the lease is not given up and runs out by itself" in log
        assert "something still waits" not in log, "cut in order, not left as it was"
        assert not [line for line in log[log.index("stopping on"):].splitlines() if "load unknown" in line], "we cut; the FE did not fail"
    finally:
        if scaler.process.alive():
            scaler.process.stop(signal.SIGKILL)
        for fe in fes:
            fe.close()


def test_the_api_server_never_answered(api, tmp_path):
    api.hangs.set()
    scaler = Process("scaler", [BUILD / "roost-scaler", "--kubeconfig", kubeconfig(tmp_path, api.port), "--lease", "ns/roost-scaler",
                                "--listen", f"127.0.0.1:{free_ports(1)[0]}"], tmp_path)
    try:
        wait_until("a list hangs", lambda: any(a.endswith("clusters") for a in api.asked_while_hanging), 30)
        assert scaler.stop(signal.SIGTERM, LIMIT_S) == 0
        assert "something still waits" not in scaler.tail(), "the list is cut"
    finally:
        if scaler.alive():
            scaler.stop(signal.SIGKILL)


def test_what_answers_is_told(api, tmp_path):
    """The same end with an API server that is well: nothing is left out, for more pools than one batch of histories."""
    fe = FeDouble("roost", tmp_path)
    (tmp_path / "fe-token").write_text(TOKEN)
    written, read = [], set()
    answer = api.server.RequestHandlerClass.handle_one
    pools = 230

    def note(handler):
        if handler.command in ("PATCH", "PUT"):
            written.append(handler.path.split("?")[0])
        answer(handler)
        if handler.command == "GET" and "/configmaps/" in handler.path:
            read.add(handler.path)

    handlers = api.server.RequestHandlerClass
    handlers.do_GET = handlers.do_PATCH = handlers.do_PUT = note
    entries = [{**fe.config(f"c{i}"), "tokenFile": str(tmp_path / "fe-token")} for i in range(pools)]
    scaler = Scaler(tmp_path, {"clusters": entries}, "--kubeconfig", kubeconfig(tmp_path, api.port))
    try:
        wait_until("the scaler answers", lambda: healthy(scaler), 60)
        wait_until("all are known", lambda: all(scaler.pool(e["name"])[0] == 200 for e in entries), 60)
        wait_until("their histories were looked for", lambda: len(read) == pools, 60)
        time.sleep(1)  # and noted in the next answer of the FE
        assert scaler.process.stop(signal.SIGTERM, LIMIT_S) == 0
        left_out = "histories are not kept" in scaler.process.tail(400)
        assert left_out or len(set(written)) == pools, f"{len(set(written))} of {pools} histories, and nothing said"
    finally:
        if scaler.process.alive():
            scaler.process.stop(signal.SIGKILL)
        fe.close()


def test_a_start_that_hangs(tmp_path):
    """A configuration on a file system that does not answer: here a pipe that nobody writes to."""
    os.mkfifo(tmp_path / "config")
    scaler = Process("scaler", [BUILD / "roost-scaler", "--config", tmp_path / "config", "--listen", f"127.0.0.1:{free_ports(1)[0]}"], tmp_path)
    try:
        # There is a writer from when there is a reader; it writes nothing.
        writer = wait_until("it is being read", lambda: os.open(tmp_path / "config", os.O_WRONLY | os.O_NONBLOCK), 60, 0.05)
        assert scaler.alive()
        assert scaler.stop(signal.SIGTERM, LIMIT_S) == 0
        assert "something still waits" in scaler.tail()
        os.close(writer)
    finally:
        if scaler.alive():
            scaler.stop(signal.SIGKILL)


@pytest.mark.parametrize("wait_ms", [0, 3, 10, 30, 100])
def test_a_signal_during_the_start(tmp_path, wait_ms):
    """At whatever moment of the start it comes, it is not missed."""
    entries = [{"namespace": "ns", "name": f"c{i}", "fe": "127.0.0.1:9", "maxReplicas": 6, "slotsPerNode": 2} for i in range(2000)]
    (tmp_path / "config").write_text(json.dumps({"clusters": entries}))
    scaler = Process("scaler", [BUILD / "roost-scaler", "--config", tmp_path / "config", "--listen", f"127.0.0.1:{free_ports(1)[0]}"], tmp_path)
    time.sleep(wait_ms / 1000)
    assert scaler.stop(signal.SIGTERM, LIMIT_S) in (0, -signal.SIGTERM)

"""Compute nodes that leave are chosen by what they run and what their cache holds, and Roost's FEs are told before replicas fall
(issue 5, operator side), on a real control plane: pods, ReplicaSet and costs are real, FEs are doubles that take marks.
"""

import http.server
import json
import threading
import time
import urllib.parse

import pytest

from conftest import wait_until
from double_fixture import Kubelet, World, double_plane
from fe_double import FeDouble
from operator_fixture import operators

MIB = 1024 * 1024


class Fronts:
    """HTTP of every FE: at the Service's address the load document, at each pod's own the marks."""

    def __init__(self):
        self.lock, self.marks, self.nodes, self.servers = threading.RLock(), [], {}, []
        self.tokens = set()

    def listen(self, address):
        fronts = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                with fronts.lock:
                    nodes = [{"id": i, "address": ip, "slots": 2, "role": "cn", **n} for i, (ip, n) in enumerate(fronts.nodes.items())]
                self.say({"v": 1, "ts": time.time(), "epoch": 1, "pending": 0, "oldest_wait_s": 0, "required_slots": 0, "running": 0,
                          "nodes": nodes, "service_time_s": {"p50": 1, "p95": 2}})

            def do_POST(self):
                url = urllib.parse.urlparse(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                assert url.path == "/api/roost/drain"
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with fronts.lock:
                    fronts.tokens.add(self.headers.get("Authorization"))
                    for ip in query["node"].split(","):
                        fronts.marks.append((address, ip, int(query["seconds"])))
                        if ip in fronts.nodes:
                            fronts.nodes[ip]["draining"] = query["seconds"] != "0"
                self.say({"v": 1, "nodes": []})

            def say(self, answer):
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = http.server.ThreadingHTTPServer((address, 8030), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)

    def close(self):
        for server in self.servers:
            server.shutdown()
            server.server_close()


class EngineKubelet(Kubelet):
    """FE pods have loopback addresses, where their doubles listen."""

    def __init__(self, *args, fronts):
        self.fronts, self.fes = fronts, 0
        super().__init__(*args)

    def address(self, role):
        if role != "fe":
            return super().address(role)
        self.fes += 1
        address = f"127.95.0.{self.fes}"
        self.fronts.listen(address)
        return address

    def joined(self, entry):
        super().joined(entry)
        if entry["role"] == "cn":
            with self.fronts.lock:
                self.fronts.nodes[entry["ip"]] = {"running": 0, "draining": False, "cached_bytes": 0}

    def gone(self, entry):
        super().gone(entry)
        with self.fronts.lock:
            node = self.fronts.nodes.pop(entry["ip"], None)
        if node and node["running"]:
            self.double.violations.append(f"{entry['name']} went with {node['running']} tasks")


@pytest.fixture
def w(tmp_path):
    fronts = Fronts()
    with double_plane() as plane:
        plane.crds()
        namespace = plane.new_namespace()
        with operators(plane, namespace, tmp_path) as go:
            world = World(plane, namespace, go)
            world.fronts = fronts
            cr = world.cr(fe=(2, {}), cn=(3, {}))
            cr["metadata"]["annotations"] = {"roost.io/engine": "true"}
            plane.apply([cr])
            go()
            address = wait_until("the FE Service's address", lambda: plane.kubectl(
                "-n", namespace, "get", "svc", "c-fe-service", "-o", "jsonpath={.spec.clusterIP}", check=False), 60)
            world.double = FeDouble(address)
            fronts.listen(address)
            world.kubelet = EngineKubelet(plane, namespace, world.double, fronts=fronts)
            yield world
            world.kubelet.stop()
            world.double.close()
    fronts.close()
    assert world.double.violations == []


def addresses(w):
    return {p["metadata"]["name"]: p["status"].get("podIP") for p in w.pods("cn") if "deletionTimestamp" not in p["metadata"]}


def marked(w):
    with w.fronts.lock:
        return {ip for _, ip, seconds in w.fronts.marks if seconds}


def test_the_coldest_idle_node_leaves_after_the_fes_were_told(w):
    wait_until("three compute nodes", lambda: len(w.fronts.nodes) == 3 and all(addresses(w).values()), 120)
    busy, hot, cold = sorted(addresses(w).values())
    with w.fronts.lock:
        w.fronts.nodes[busy].update(running=1)
        w.fronts.nodes[hot].update(cached_bytes=900 * MIB)
        w.fronts.nodes[cold].update(cached_bytes=10 * MIB)
    w.patch(cn={"replicas": 2})
    wait_until("one has left", lambda: len(addresses(w)) == 2, 60)
    # An answer from before may have had another one marked for a moment.
    assert sorted(addresses(w).values()) == [busy, hot] and cold in marked(w)
    with w.fronts.lock:
        assert {fe for fe, _, _ in w.fronts.marks} == {"127.95.0.1", "127.95.0.2"}, "each FE keeps marks of its own"
        assert len(w.fronts.tokens) == 1 and next(iter(w.fronts.tokens)).startswith("Bearer ")

    # The busiest of both stays; the other leaves when its query has ended, and not before.
    with w.fronts.lock:
        w.fronts.nodes[hot].update(running=3)
    w.patch(cn={"replicas": 1})
    # A choice made on an answer from before is put right.
    def alone():
        assert [w.fronts.nodes[ip]["draining"] for ip in (busy, hot)] == [True, False], (w.fronts.marks[-6:], w.status())
        return True
    wait_until("it alone is marked", alone, 60)
    for _ in range(10):
        time.sleep(0.5)
        assert w.replicas("cn") == 2, "replicas fell below a running query"
    assert "get no more work" in w.condition("Progressing").get("message", ""), w.status()
    # Called off: it serves again, and its mark is gone.
    w.patch(cn={"replicas": 2})
    wait_until("the mark is taken back", lambda: not w.fronts.nodes[busy]["draining"], 60)
    w.patch(cn={"replicas": 1})
    wait_until("it is marked again", lambda: w.fronts.nodes[busy]["draining"], 60)
    with w.fronts.lock:
        w.fronts.nodes[busy].update(running=0)
    wait_until("it has left", lambda: sorted(addresses(w).values()) == [hot], 60)
    wait_until("the status is settled", lambda: "drain" not in w.status()["starRocksCnStatus"], 60)

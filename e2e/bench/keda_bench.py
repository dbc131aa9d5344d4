#!/usr/bin/env python3
"""From the first waiting query to its answer by a compute node that was not there: with the operator's fast path, with KEDA
and the HPA alone, and a timeline of both together from zero to many and back.

Real: FE, compute nodes, scaler, operator, KEDA's operator and adapter, API server, controller manager (HPA). Not real: the
kubelet. This script starts and stops a compute node process for each replica that the StarRocksCluster has, so the figures
hold no image pull, no scheduling and no sandbox.
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import ssl
import statistics
import sys
import tempfile
import threading
import time
import urllib.request

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "e2e"), str(REPO / "e2e/tests")]
from engine_fixture import BUILD, free_ports  # noqa: E402
from faults_fixture import Faulty  # noqa: E402
from keda_fixture import KedaPlane  # noqa: E402
from operator_fixture import cr, operators, part  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "10"))
ROWS = 20000
QUICK = "SELECT g, count(*) FROM d.f GROUP BY g"
SLOW = "SELECT count(*), sum((a.k * b.k) % 7) FROM d.f a JOIN d.f b ON a.g = b.g"


class Kubelet(threading.Thread):
    """A compute node process for each replica of the CR; the youngest leaves first."""

    def __init__(self, plane, namespace, engine):
        super().__init__(daemon=True)
        self.plane, self.engine, self.number, self.replicas, self.end = plane, engine, 0, None, threading.Event()
        self.url = f"{plane.url}/apis/starrocks.com/v1/namespaces/{namespace}/starrocksclusters/c"
        self.tls = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")

    def wanted(self):
        request = urllib.request.Request(self.url, headers={"Authorization": f"Bearer {self.plane.token}"})
        with urllib.request.urlopen(request, context=self.tls, timeout=5) as answer:
            return json.load(answer)["spec"]["starRocksCnSpec"].get("replicas", 1)

    def nodes(self):
        return [n for n in self.engine.processes if n.startswith("pod")]

    def run(self):
        while not self.end.wait(0.1):
            with contextlib.suppress(OSError, AssertionError):
                self.replicas = self.wanted()
                while len(self.nodes()) < self.replicas:
                    self.number += 1
                    self.engine.start_worker("cn", f"pod{self.number}")
                while len(self.nodes()) > self.replicas:
                    name = self.nodes()[-1]
                    self.engine.kill(name, signal.SIGTERM, 60)
                    self.engine.sql(f'ALTER SYSTEM DROP COMPUTE NODE "{self.engine.addresses.pop(name)}"')


def until(what, probe, timeout=180):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        with contextlib.suppress(AssertionError, OSError):
            if probe():
                return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout} s")


def load_table(engine):
    engine.start_worker("cn", "loader")
    engine.wait("the loader is alive", lambda: engine.alive("cn") == 1)
    engine.sql("CREATE DATABASE d")
    engine.sql("CREATE TABLE d.f (k BIGINT NOT NULL, g INT) DISTRIBUTED BY HASH(k) BUCKETS 2 PROPERTIES ('storage_volume' = "
               "'builtin_storage_volume')")
    assert engine.stream_load("d", "f", "".join(f"{i}\t{i % 17}\n" for i in range(ROWS)))["Status"] == "Success"
    engine.kill("loader", signal.SIGTERM)
    engine.sql(f'ALTER SYSTEM DROP COMPUTE NODE "{engine.addresses.pop("loader")}"')


def rounds_of(kubelet, engine):
    took = []
    for _ in range(ROUNDS):
        until("no compute node", lambda: kubelet.replicas == 0 and not kubelet.nodes())
        time.sleep(2)
        began = time.monotonic()
        engine.sql(QUICK, read_timeout=170)
        took.append(time.monotonic() - began)
        print(f"  {took[-1]:.1f} s", flush=True)
    return took


def timeline(kubelet, engine, scaler):
    """What changes while eight clients ask slow queries for 25 s; every query must be answered."""
    until("no compute node", lambda: kubelet.replicas == 0 and not kubelet.nodes())
    began, answered, failed, lines, last = time.monotonic(), [], [], [], None

    def client():
        while time.monotonic() < began + 25:
            try:
                engine.sql(SLOW, read_timeout=170)
                answered.append(time.monotonic() - began)
            except Exception as error:  # noqa: BLE001: whatever it was, a query was lost
                failed.append(repr(error))

    threads = [threading.Thread(target=client, daemon=True) for _ in range(8)]
    for t in threads:
        t.start()
    while time.monotonic() < began + 240 and (any(t.is_alive() for t in threads) or kubelet.replicas):
        with contextlib.suppress(OSError, AssertionError):
            doc = json.loads(scaler())
            now = (doc["desired"], kubelet.replicas, engine.alive("cn"), doc["queue"]["pending"])
            if now[:3] != last:
                last = now[:3]
                lines.append((time.monotonic() - began, *now, len(answered)))
        time.sleep(0.2)
    return lines, answered, failed


def measure(out):
    ports = free_ports(1)
    result = {}
    with tempfile.TemporaryDirectory() as folder, KedaPlane(gate=False) as plane, \
            Faulty(be=0, cn=0, worker_conf="roost_slots = 2\nroost_drain_accept_ms = 300") as engine:
        folder = pathlib.Path(folder)
        plane.crds()
        plane.fake_node("fake-0")
        namespace = plane.new_namespace()
        load_table(engine)
        (folder / "token").write_text("bench\n")
        (folder / "scaler.yaml").write_text(json.dumps({"tokenFile": str(folder / "token"), "clusters": [{
            "namespace": namespace, "name": "c", "pool": "cn", "fe": f"127.0.0.1:{engine.http_port}", "slotsPerNode": 2,
            "minReplicas": 0, "maxReplicas": 3, "waitTarget": 1, "scaleInWindow": 3, "tokenFile": str(engine.folder / "meta/token")}]}))
        engine.start("scaler", BUILD / "roost-scaler", "--config", folder / "scaler.yaml", "--listen", f"127.0.0.1:{ports[0]}")
        scaling = {"minReplicas": 0, "maxReplicas": 3, "keda": {"cooldownSeconds": 5}}
        plane.apply([cr(namespace, starRocksFeSpec=part(), starRocksCnSpec={
            k: v for k, v in part(roostAutoscaling=scaling).items() if k != "replicas"})])
        kubelet = Kubelet(plane, namespace, engine)

        def scaler():
            request = urllib.request.Request(f"http://127.0.0.1:{ports[0]}/v1/namespaces/{namespace}/clusters/c/pools/cn",
                                             headers={"Authorization": "Bearer bench"})
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.read()

        with operators(plane, namespace, folder) as start:
            flags = (f"--scaler-url=http://127.0.0.1:{ports[0]}", f"--scaler-token-file={folder}/token")
            operator = start(*flags)
            kubelet.start()
            print("fast path, no KEDA", flush=True)
            result["the operator's fast path, KEDA not installed"] = rounds_of(kubelet, engine)
            plane.start_keda()
            until("the HPA reads the scaler", lambda: plane.get("-n", namespace, "hpa")["items"])
            lines, answered, failed = timeline(kubelet, engine, scaler)
            operator.stop()
            print("KEDA and the HPA alone", flush=True)
            result["KEDA and the HPA alone (the operator is away)"] = rounds_of(kubelet, engine)
        kubelet.end.set()
        kubelet.join(90)
    write(out, result, lines, answered, failed)


def write(out, result, lines, answered, failed):
    text = ["# From a waiting query to a compute node", "",
            f"`make bench PART=keda`. {os.cpu_count()} cores, load average {os.getloadavg()[0]:.0f} at the end. FE, compute nodes, scaler, operator, KEDA "
            "2.21 and Kubernetes 1.34 as processes; instead of a kubelet, a process for each replica of the StarRocksCluster: no image, "
            "no scheduling. Zero nodes, one query waits: until its answer.", "",
            "The same with a kubelet, images and pods: [kubelet.md](kubelet.md).", "",
            "| scaled by | median s | worst s | rounds |", "|---|---|---|---|"]
    for name, took in result.items():
        text.append(f"| {name} | {statistics.median(took):.1f} | {max(took):.1f} | {len(took)} |")
    text += ["", f"Both together: eight clients ask slow queries for 25 s. {len(answered)} queries answered, {len(failed)} failed.", "",
             "| s | wanted | replicas | alive | waiting | answered |", "|---|---|---|---|---|---|"]
    text += [f"| {t:.1f} | {d} | {r} | {a} | {p} | {n} |" for t, d, r, a, p, n in lines]
    out.write_text("\n".join(text) + "\n")
    print("\n".join(text), *failed[:3], sep="\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    measure(parser.parse_args().out)


if __name__ == "__main__":
    main()

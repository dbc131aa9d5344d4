#!/usr/bin/env python3
"""The operator's figures on a real API server and controller-manager with kwok nodes; writes docs/benchmarks/operator.md.

    operator_bench.py [--clusters 50,200] [--foreign 10000] [--idle 600] [--out FILE]

UPSTREAM_OPERATOR=/path measures that binary for memory, time and CPU in the same run. Run it where 10.96.0.0/16 leads
nowhere (a network namespace with a loopback only): the row about black holes adds routes there.
"""

import argparse
import concurrent.futures
import datetime
import http.client
import json
import os
import pathlib
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "e2e"), str(ROOT / "e2e" / "tests")]
from conftest import wait_until  # noqa: E402
from engine_fixture import free_ports  # noqa: E402
from faultproxy.proxy import Proxy  # noqa: E402
from plane_fixture import Plane  # noqa: E402

OURS = ROOT / "build" / "roost-operator"
NS = "bench"


class Api:
    """Kept connections, one for each thread."""

    def __init__(self, plane):
        self.plane, self.local = plane, threading.local()
        self.context = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")

    def call(self, method, path, body=None, kind="application/json"):
        for again in (True, False):
            if not getattr(self.local, "c", None):
                self.local.c = http.client.HTTPSConnection("127.0.0.1", self.plane.port, context=self.context, timeout=60)
            try:
                self.local.c.request(method, path, json.dumps(body) if body is not None else None,
                                     {"Authorization": f"Bearer {self.plane.token}", "Content-Type": kind})
                answer = self.local.c.getresponse()
                return answer.status, json.loads(answer.read() or b"null")
            except (http.client.HTTPException, OSError):
                self.local.c = None
                if not again:
                    raise

    def merge(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


def cluster(name, hpa=False):
    part = {"image": "none", "replicas": 1, "requests": {"cpu": "10m"}}
    spec = {"starRocksFeSpec": {**part}, "starRocksBeSpec": {**part}}
    if hpa:
        spec["starRocksCnSpec"] = {**part, "autoScalingPolicy": {"minReplicas": 1, "maxReplicas": 3}}
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster", "metadata": {"name": name, "namespace": NS}, "spec": spec}


CRS = f"/apis/starrocks.com/v1/namespaces/{NS}/starrocksclusters"
SVC = f"/api/v1/namespaces/{NS}/services"
STS = f"/apis/apps/v1/namespaces/{NS}/statefulsets"
HPA = f"/apis/autoscaling/v2/namespaces/{NS}/horizontalpodautoscalers"
OBJECTS = [(SVC, "fe-search"), (SVC, "fe-service"), (STS, "fe"), (SVC, "be-search"), (SVC, "be-service"), (STS, "be")]


class Program:
    def __init__(self, plane, binary, *flags, kubeconfig=None):
        self.metrics, probes = free_ports(2)
        self.ours = binary == OURS
        flags = list(flags) + ["--scaler-url="] if self.ours else []
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [binary, *flags, f"--metrics-bind-address=127.0.0.1:{self.metrics}", f"--health-probe-bind-address=127.0.0.1:{probes}"],
            stderr=open(plane.folder / "operator.log", "ab"), stdout=subprocess.DEVNULL,
            env=dict(os.environ, KUBECONFIG=str(kubeconfig or plane.kubeconfig), POD_NAMESPACE=NS, ENABLE_WEBHOOKS="false"))

    def memory(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return tuple(int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024 for key in ("RssAnon", "VmRSS"))

    def cpu(self):
        parts = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def total(self, name):
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=10).read().decode()
        return sum(float(x) for x in re.findall(rf"^roost_operator_{name}(?:\{{[^}}]*\}})? (\S+)", text, re.M))

    def writes(self):
        return self.total("writes_total")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def exists(api, name, objects=OBJECTS):
    return all(api.call("GET", f"{path}/{name}-{what}")[0] == 200 for path, what in objects)


def until(probe, timeout=300, every=0.003):
    """Seconds until probe() is true."""
    began = time.monotonic()
    while not probe():
        if time.monotonic() - began > timeout:
            raise AssertionError("not in time")
        time.sleep(every)
    return time.monotonic() - began


def count(api, path):
    """Without reading them: the lists of hundreds of objects would be most of what the machine does."""
    page = api.call("GET", path + "?limit=1")[1]
    return len(page["items"]) + page["metadata"].get("remainingItemCount", 0)


def make_clusters(api, first, n):
    """Applies n clusters at once; seconds until all their objects exist."""
    services, sets = count(api, SVC), count(api, STS)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: api.call("POST", CRS, cluster(f"k{first + i}")), range(n)))
    until(lambda: count(api, SVC) >= services + 4 * n and count(api, STS) >= sets + 2 * n, 900, 0.2)
    seconds = time.monotonic() - began
    assert all(exists(api, f"k{first + i}") for i in range(n))
    return seconds


def settle(program, seconds=8, timeout=300):
    """Until the process has used next to no CPU for a while."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        before = program.cpu()
        time.sleep(seconds)
        if program.cpu() - before <= 0.02 * seconds:
            return


def bare_writer(api, n):
    """The same objects of n clusters, made by a client that only writes: eight connections, nothing read. Seconds."""
    items = [(path, api.call("GET", f"{path}/k0-{what}")[1]) for path, what in OBJECTS]
    def clean(o, i):
        for key in ("uid", "resourceVersion", "managedFields", "creationTimestamp", "generation", "ownerReferences"):
            o["metadata"].pop(key, None)
        o.pop("status", None)
        if o["spec"].get("clusterIP") != "None":
            o["spec"].pop("clusterIP", None)
            o["spec"].pop("clusterIPs", None)
        return json.loads(json.dumps(o).replace("k0-", f"w{i}-").replace('"k0"', f'"w{i}"'))
    made = [[(path, clean(json.loads(json.dumps(o)), i)) for path, o in items] for i in range(n)]
    began = time.monotonic()
    def write(objects):
        for path, o in objects:
            status, answer = api.call("POST", path, o)
            assert status == 201, answer
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, made))
    seconds = time.monotonic() - began
    # They carry the operator's labels and would count as its clusters' afterwards.
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: api.call("DELETE", f"{item[0]}/{item[1]['metadata']['name']}", {"propagationPolicy": "Background"}),
                      [item for objects in made for item in objects]))
    until(lambda: not [p for p in api.call("GET", f"/api/v1/namespaces/{NS}/pods")[1]["items"] if p["metadata"]["name"].startswith("w")], 600, 3)
    return seconds


def foreign(api, n):
    """n objects that are nobody's business: a third each of pods, Secrets, ConfigMaps."""
    api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "foreign"}})
    pod = {"spec": {"nodeName": "none", "containers": [{"name": "c", "image": "none", "env": [{"name": "A", "value": "x" * 500}]}]}}
    kinds = [("pods", pod), ("secrets", {"stringData": {"a": "x" * 1000}}), ("configmaps", {"data": {"a": "x" * 1000}})]
    def make(i):
        plural, body = kinds[i % 3]
        return api.call("POST", f"/api/v1/namespaces/foreign/{plural}", {"metadata": {"name": f"f{i}"}, **body})[0]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(status == 201 for status in pool.map(make, range(n)))


def heal(api, path, name):
    time.sleep(1)
    uid = api.call("GET", f"{path}/{name}")[1]["metadata"]["uid"]
    api.call("DELETE", f"{path}/{name}", {"propagationPolicy": "Background"})
    return until(lambda: (a := api.call("GET", f"{path}/{name}"))[0] == 200 and a[1]["metadata"]["uid"] != uid, 300)


def reaction(api, names):
    """Milliseconds from a CR's change to its Service, for each; p50 and p99."""
    times = []
    for i, name in enumerate(names):
        stamp = f"{time.monotonic()}"
        began = time.monotonic()
        api.merge(f"{CRS}/{name}", {"spec": {"starRocksFeSpec": {"service": {"annotations": {"stamp": stamp}}}}})
        until(lambda: api.call("GET", f"{SVC}/{name}-fe-service")[1]["metadata"].get("annotations", {}).get("stamp") == stamp, 60)
        times.append(1000 * (time.monotonic() - began))
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]


class Bench:
    def __init__(self, args, plane):
        self.args, self.plane, self.api, self.rows = args, plane, Api(plane), []

    def row(self, measure, value, reach):
        self.rows.append((measure, value, reach))
        print(f"{measure}: {value} (reach: {reach})", flush=True)

    def memory(self, program, label, reach):
        settle(program)
        anon, rss = program.memory()
        self.row(f"memory, {label}", f"{anon:.1f} MiB anonymous, {rss:.1f} MiB resident", reach)
        return anon

    def one_cluster(self):
        """Through the proxy, so that every request is counted from outside."""
        with Proxy(self.plane) as proxy:
            program = Program(self.plane, OURS, "--kubeconfig", str(proxy.gate("operator")))
            time.sleep(2)
            self.api.call("POST", CRS, cluster("one"))
            until(lambda: exists(self.api, "one"), 60)
            settle(program, 3)
            by = {}
            for w in proxy.writes:
                by[f"{w.verb} {w.plural}{'/' + w.sub if w.sub else ''}"] = by.get(f"{w.verb} {w.plural}{'/' + w.sub if w.sub else ''}", 0) + 1
            self.row("API writes for one cluster without HA (6 objects)",
                     f"{len(proxy.writes)} accepted ({', '.join(f'{n} {k}' for k, n in sorted(by.items()))}), {sum(proxy.oracle.refused.values())} refused",
                     "the objects + one status write per observed change, 0 refused")
            program.stop()
            self.api.call("DELETE", f"{CRS}/one")

    def apply_to_exist(self):
        times = []
        for i in range(7):
            began = time.monotonic()
            self.api.call("POST", CRS, cluster(f"t{i}"))
            until(lambda: exists(self.api, f"t{i}"), 60)
            exist = time.monotonic() - began
            until(lambda: self.fe_ready(f"t{i}"), 60)
            ready = time.monotonic()
            until(lambda: self.api.call("GET", f"{STS}/t{i}-be")[1]["spec"]["replicas"] == 1, 60)
            times.append((exist, time.monotonic() - ready))
        exist, filled = (sorted(column)[3] for column in zip(*times))
        self.row("apply to all 6 objects existing", f"{exist:.3f} s, median of 7; BE's set has its pods {filled:.3f} s after the FE pod "
                 "is ready", "under 0.1 s")

    def fe_ready(self, name):
        status, pod = self.api.call("GET", f"/api/v1/namespaces/{NS}/pods/{name}-fe-0")
        return status == 200 and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))

    def heals(self):
        self.api.call("POST", CRS, cluster("h", hpa=True))
        until(lambda: self.api.call("GET", f"{HPA}/h-cn-autoscaler")[0] == 200, 60)
        time.sleep(2)
        self.row("heal a deleted Service", f"{sorted(heal(self.api, SVC, 'h-fe-service') for _ in range(5))[2]:.3f} s", "0.015 to 0.03 s")
        self.row("heal a deleted StatefulSet", f"{sorted(heal(self.api, STS, 'h-be') for _ in range(5))[2]:.3f} s", "0.015 to 0.03 s")
        self.row("heal a deleted HPA", f"{sorted(heal(self.api, HPA, 'h-cn-autoscaler') for _ in range(5))[2]:.3f} s", "under 0.5 s")
        maps = f"/api/v1/namespaces/{NS}/configmaps"
        self.api.call("POST", maps, {"metadata": {"name": "conf"}, "data": {"fe.conf": "http_port = 8030\n"}})
        self.api.merge(f"{CRS}/h", {"spec": {"starRocksFeSpec": {"configMapInfo": {"configMapName": "conf", "resolveKey": "fe.conf"}}}})
        time.sleep(2)
        port = lambda: self.api.call("GET", f"{SVC}/h-fe-service")[1]["spec"]["ports"][0]["port"]
        times = []
        for n in range(8101, 8106):
            began = time.monotonic()
            self.api.merge(f"{maps}/conf", {"data": {"fe.conf": f"http_port = {n}\n"}})
            until(lambda: port() == n, 120)
            times.append(time.monotonic() - began)
        self.row("edited fe.conf port reaches the Service", f"{sorted(times)[2]:.3f} s", "under 2 s")

    def black_holes(self, names):
        """A quarter of the FEs swallow packets."""
        before = reaction(self.api, names[-60:])
        holes = [self.api.call("GET", f"{SVC}/{n}-fe-service")[1]["spec"]["clusterIP"] for n in names[: len(names) // 4]]
        for ip in holes:
            subprocess.run(["ip", "route", "add", f"{ip}/32", "dev", "lo"], check=False, capture_output=True)
        time.sleep(15)
        during = reaction(self.api, names[-60:])
        for ip in holes:
            subprocess.run(["ip", "route", "del", f"{ip}/32", "dev", "lo"], check=False, capture_output=True)
        self.row(f"other clusters' reaction with {len(holes)} of {len(names)} FEs black-holed",
                 f"p50 {during[0]:.0f} ms, p99 {during[1]:.0f} ms; with none p50 {before[0]:.0f}, p99 {before[1]:.0f}", "within noise of none")

    def first_reconcile(self, name, label):
        """Of five starts, each from the process's first moment: until it has its lists and looks at clusters, and until a Service
        of one of them, lost while it was away, is there again."""
        looks, backs, program = [], [], None
        for _ in range(5):
            if program:
                settle(program, 2)
                program.stop()
            self.api.call("DELETE", f"{SVC}/{name}-fe-service")
            log = self.plane.folder / "operator.log"
            size = log.stat().st_size
            program = Program(self.plane, OURS)
            until(lambda: self.api.call("GET", f"{SVC}/{name}-fe-service")[0] == 200, 60)
            backs.append(time.monotonic() - program.began)
            looks.append(int(re.search(r"lists=complete after_ms=(\d+)", log.read_text()[size:])[1]) / 1000)
        self.row(f"start to first reconcile, {label}", f"{sorted(looks)[2]:.3f} s, median of 5; a Service that was lost meanwhile is back "
                 f"after {sorted(backs)[2]:.3f} s", "under 0.3 s")
        return program

    def run(self):
        a, sizes = self.args, [int(n) for n in self.args.clusters.split(",")]
        self.one_cluster()
        program = Program(self.plane, OURS)
        time.sleep(3)
        self.memory(program, "idle", "8 MiB anonymous")
        self.apply_to_exist()
        self.heals()
        program.stop()
        program = self.first_reconcile("t0", "8 clusters")
        have = 0
        for size, reach in zip(sizes, ("12 MiB anonymous", "24 MiB anonymous")):
            more = size - have
            began = program.cpu(), program.total("reconcile_seconds_count"), program.writes()
            seconds = make_clusters(self.api, have, more)
            used = program.cpu() - began[0]
            settle(program)
            quiet = program.cpu() - began[0]
            looks, writes = program.total("reconcile_seconds_count") - began[1], program.writes() - began[2]
            if have:
                bare = bare_writer(self.api, more)
                self.row(f"{more} more clusters at once, all objects existing",
                         f"{seconds:.1f} s; a bare writer of the same objects {bare:.1f} s: {seconds / bare:.2f}x", "1.3x, and under 15 s")
                self.row(f"CPU seconds for those {more}", f"{used:.2f} s until all exist, {quiet:.2f} s until all is quiet; "
                         f"{looks / more:.1f} reconciles and {writes / more:.1f} writes a cluster", "under 1.5 s")
            have = size
            anon = self.memory(program, f"{size} clusters", reach)
        if a.foreign:
            made = foreign(self.api, a.foreign)
            settle(program)
            self.row(f"more memory with {made} foreign pods, Secrets and ConfigMaps", f"{program.memory()[0] - anon:+.1f} MiB anonymous", "none")
        self.black_holes([f"k{i}" for i in range(have)])
        settle(program)
        before = program.writes()
        time.sleep(a.idle)
        self.row(f"writes in {a.idle} idle seconds with {have} clusters", f"{program.writes() - before:.0f}", "0 besides the lease")
        program.stop()
        program = self.first_reconcile("k0", f"{have + 8} clusters")
        self.memory(program, f"{have} clusters, restarted with everything there", "24 MiB anonymous")
        program.stop()
        if os.environ.get("UPSTREAM_OPERATOR"):
            self.upstream(os.environ["UPSTREAM_OPERATOR"], sizes[-1] - (sizes[-2] if len(sizes) > 1 else 0))

    def upstream(self, binary, more):
        program = Program(self.plane, pathlib.Path(binary))
        time.sleep(20)
        settle(program)
        anon, rss = program.memory()
        self.row("upstream's operator, the same clusters", f"{anon:.1f} MiB anonymous, {rss:.1f} MiB resident, {program.cpu():.1f} CPU s", "")
        times = []
        for i in range(7):
            began = time.monotonic()
            self.api.call("POST", CRS, cluster(f"u{i}"))
            until(lambda: exists(self.api, f"u{i}"), 60)
            times.append(time.monotonic() - began)
        self.row("upstream's operator, apply to all 6 objects existing", f"{sorted(times)[3]:.3f} s median of 7", "")
        for what, path, name in (("Service", SVC, "u0-fe-service"), ("StatefulSet", STS, "u0-be")):
            self.row(f"upstream's operator, heal a deleted {what}", f"{sorted(heal(self.api, path, name) for _ in range(5))[2]:.3f} s", "")
        cpu = program.cpu()
        seconds = make_clusters(self.api, 1000, more)
        used = program.cpu() - cpu
        settle(program)
        self.row(f"upstream's operator, {more} more clusters at once", f"{seconds:.1f} s; {used:.2f} CPU s until all "
                 f"exist, {program.cpu() - cpu:.2f} s until all is quiet", "")
        program.stop()

    def text(self, load):
        cpus = os.cpu_count()
        head = [f"# Operator\n\n`{' '.join(['e2e/bench/operator_bench.py', *sys.argv[1:]])}`, {datetime.date.today()}: real kube-apiserver, etcd,",
                f"controller-manager, scheduler and kwok on the same {cpus} cores; load average before {load[0]:.1f}, after {os.getloadavg()[0]:.1f}",
                "(times are as good as the load was low; memory, CPU seconds and counts do not depend on it).\n",
                "| measure | Roost | reach |", "|---|---|---|"]
        return "\n".join(head + [f"| {m} | {v} | {r} |" for m, v, r in self.rows]) + "\n" + self.notes()

    def notes(self):
        """What people wrote below the table stays."""
        old = pathlib.Path(self.args.out)
        text = old.read_text() if old.exists() else ""
        return text[text.index("\n## "):] if "\n## " in text else ""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--clusters", default="50,200")
    parser.add_argument("--foreign", type=int, default=10000)
    parser.add_argument("--idle", type=int, default=600)
    parser.add_argument("--out", default=str(ROOT / "docs/benchmarks/operator.md"))
    args = parser.parse_args()
    load = os.getloadavg()
    with Plane(kwok=True) as plane:
        plane.crds()
        for i in range(10):
            plane.fake_node(f"fake-{i}")
        plane.kubectl("create", "namespace", NS)
        wait_until("account", lambda: plane.kubectl("-n", NS, "get", "sa", "default", check=False))
        bench = Bench(args, plane)
        bench.run()
        pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        pathlib.Path(args.out).write_text(bench.text(load))


if __name__ == "__main__":
    main()

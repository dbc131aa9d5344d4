#!/usr/bin/env python3
"""Figures of roost-scaler's server: requests a second on one core, latency of an open loop in trouble, memory, freshness.

Beside each other on the same machine in the same run: roost-scaler, a Go net/http twin (gotwin/) and nginx with a static
file. The server is held to one core, the client to another. CPU time of the server is what other programs cannot disturb.
Usage: scaler_bench.py --out docs/benchmarks/scaler.md [--seconds N]
"""
import argparse
import json
import math
import os
import pathlib
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATH = "/v1/namespaces/ns/clusters/c0/pools/cn"
LOAD = ('{"v":1,"ts":1,"epoch":42,"pending":7,"oldest_wait_s":3.25,"required_slots":9,"running":2,"nodes":[{"id":1,"address":"h",'
        '"slots":2,"running":2,"draining":false,"role":"cn"}],"service_time_s":{"p50":10,"p95":20}}')
DOCUMENT = ('{"v":1,"desired":5,"active":1,"current":1,"draining":0,"queue":{"pending":7,"oldest_wait_s":3.250,"required_slots":9},'
            '"running":2,"age_ms":180,"ts":1764352800.123,"epoch":42,"reason":"panic: 7 slots wait up to 3.2 s, 2 run"}')
CORES = sorted(os.sched_getaffinity(0))
START = time.monotonic()
TICK = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, name, argv, port, core=None):
        self.name, self.port = name, port
        pin = ["taskset", "-c", str(core)] if core is not None else []
        self.popen = subprocess.Popen([*pin, *map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{name} does not listen")

    def pids(self):
        out = subprocess.run(["pgrep", "-P", str(self.popen.pid)], capture_output=True, text=True).stdout.split()
        return [self.popen.pid, *map(int, out)]

    def cpu_s(self):
        total = 0.0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / TICK
        return total

    def anon_kib(self):
        text = pathlib.Path(f"/proc/{self.popen.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("RssAnon"))

    def stop(self):
        self.popen.send_signal(signal.SIGCONT)
        self.popen.terminate()
        self.popen.wait(20)


def nginx(folder, name, body, uri, core=None, every_address=False):
    """nginx with one worker and one static file."""
    port, home = free_port(), folder / name.replace(" ", "-")
    file = home / "html" / uri.lstrip("/")
    file.parent.mkdir(parents=True)
    file.write_text(body)
    (home / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {home}/pid; error_log /dev/null;\nevents {{ worker_connections 20000; }}\n"
        f"http {{ access_log off; keepalive_requests 1000000000; default_type application/json; open_file_cache max=10;\n"
        f" client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3; uwsgi_temp_path {home}/t4;"
        f" scgi_temp_path {home}/t5;\n server {{ listen {port if every_address else f'127.0.0.1:{port}'}; root {home}/html; }} }}\n")
    os.chmod(folder, 0o755)
    return Server(name, ["nginx", "-c", home / "nginx.conf", "-p", home], port, core)


def scaler(folder, name, pools, fe_port, core=None, fes=0):
    """fes: the pools' FEs have so many addresses of 127/8, so that no two of them share a call or a connection."""
    port, home = free_port(), folder / name.replace(" ", "-")
    home.mkdir()
    (home / "token").write_text("caller\n")
    (home / "config.json").write_text(json.dumps({"maxAge": "5s", "clusters": [
        {"namespace": "ns", "name": f"c{i}", "fe": f"{address(i % fes) if fes else '127.0.0.1'}:{fe_port}", "maxReplicas": 6, "slotsPerNode": 2} for i in range(pools)]}))
    return Server(name, [ROOT / "build/roost-scaler", "--config", home / "config.json", "--token-file", home / "token", "--listen",
                         f"127.0.0.1:{port}"], port, core)


def address(i):
    return f"127.1.{i >> 8}.{i & 255}"


def load(server, connections, rate, seconds, uri=PATH):
    cpu = server.cpu_s()
    out = subprocess.run(["taskset", "-c", str(CORES[-1]), ROOT / "build/httpload", str(server.port), uri, "caller", str(connections),
                          str(rate), str(seconds)], capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    result["cpu_s"] = server.cpu_s() - cpu
    return result


def ages(server, pools, samples=400):
    """Ages of snapshots in seconds, as callers meet them at random times."""
    seen = []
    for _ in range(samples):
        i = random.randrange(pools)
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/v1/namespaces/ns/clusters/c{i}/pools/cn",
                                         headers={"Authorization": "Bearer caller"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                seen.append(json.load(answer)["age_ms"] / 1000)
        except urllib.error.HTTPError:
            seen.append(math.inf)  # older than maxAge: 503
        time.sleep(random.uniform(0.005, 0.025))
    return sorted(seen)


class Loris:
    """n sockets, each with a header that never ends; those that the server cuts are opened again."""

    def __init__(self, port, n):
        self.stop, self.cut = False, 0
        self.sockets = [self.dial(port) for _ in range(n)]
        self.thread = threading.Thread(target=self.drip, args=(port,))
        self.thread.start()

    @staticmethod
    def dial(port):
        s = socket.create_connection(("127.0.0.1", port), 5)
        s.sendall(b"GET /v1/namespaces HTTP/1.1\r\nHost: x\r\n")
        return s

    def drip(self, port):
        os.nice(10)  # this thread alone: what it takes of a core must not be read as the server's latency
        while not self.stop:
            for i, s in enumerate(self.sockets):
                if i % 10 == 0:
                    time.sleep(0.01)
                try:
                    s.sendall(b"X-a: b\r\n")
                    if s.recv(1, socket.MSG_DONTWAIT) == b"":
                        raise ConnectionError
                except BlockingIOError:
                    pass
                except OSError:
                    self.cut += 1
                    s.close()
                    self.sockets[i] = self.dial(port)

    def close(self):
        self.stop = True
        self.thread.join()
        for s in self.sockets:
            s.close()


def say(text):
    print(f"[{time.monotonic() - START:5.1f}s] {text}", file=sys.stderr, flush=True)


def throughput(folder, fe, seconds, rows):
    uri = "/d"
    twin = free_port()
    servers = [(scaler(folder, "roost-scaler", 10, fe.port, CORES[0]), PATH),
               (Server("go net/http twin", [ROOT / "build/gotwin", f"127.0.0.1:{twin}"], twin, CORES[0]), PATH),
               (nginx(folder, "nginx static", DOCUMENT, uri, CORES[0]), uri)]
    time.sleep(2)
    got = {s.name: [] for s, _ in servers}
    for _ in range(3):
        for server, path in servers:
            got[server.name].append(load(server, 64, 0, seconds, path))
    for server, _ in servers:
        runs = got[server.name]
        assert all(r["ok"] and not r["other"] and not r["unavailable"] for r in runs), (server.name, runs)
        per_cpu = statistics.median((r["ok"] / r["cpu_s"]) for r in runs)
        rps = statistics.median(r["rps"] for r in runs)
        p99 = statistics.median(r["p99_us"] for r in runs) / 1000
        say(f"{server.name}: {runs}")
        rows.append((f"requests/s, 64 keep-alive connections, one core: {server.name}",
                     f"{per_cpu:,.0f} per second of its CPU time; {rps:,.0f} by the clock, p99 {p99:.1f} ms, RssAnon {server.anon_kib() / 1024:.1f} MiB"))
    servers[1][0].stop()
    return servers[0][0], servers[2][0]


def p(runs):
    """The median of several runs, each figure for itself."""
    def ms(key):
        return statistics.median(r[key] for r in runs) / 1000
    answers, refused, broken = (sum(r[k] for r in runs) for k in ("ok", "unavailable", "broken"))
    return (f"p50 {ms('p50_us'):.2f} ms, p99 {ms('p99_us'):.2f} ms, p99.9 {ms('p999_us'):.1f} ms ({answers + refused:,} answers, "
            f"{refused:,} of them 503, {broken} broken off)")


def trouble(server, still, fe, seconds, rows):
    """Open loops in quiet and in trouble, round by round, each with nginx's static file right after it: the machine's own noise."""
    names = ["2,000 requests/s open loop", "the same with 1,000 slow-loris sockets", "the same with every FE stalled"]
    got = {name: ([], []) for name in names}
    cut = 0

    def pair(name):
        got[name][0].append(load(server, 64, 2000, seconds))
        got[name][1].append(load(still, 64, 2000, seconds, "/d"))

    for _ in range(5):
        pair(names[0])
        loris = Loris(server.port, 1000)
        time.sleep(2)
        pair(names[1])
        cut += loris.cut
        loris.close()
        for pid in fe.pids():
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        pair(names[2])
        for pid in fe.pids():
            os.kill(pid, signal.SIGCONT)
        time.sleep(1)
    for name in names:
        ours, theirs = got[name]
        sockets = f", {cut:,} sockets cut" if name == names[1] else ""
        rows.append((f"{name}, median of 5", f"{p(ours)}{sockets}; nginx static in the same minutes {p(theirs)}"))


def age_text(age):
    at = [f"{v:.2f} s" if v < math.inf else "over 5 s (503)" for v in (age[len(age) // 2], age[int(len(age) * 0.99)])]
    return f"p50 {at[0]}, p99 {at[1]}"


def opened():
    """TCP connections that were opened in this network namespace."""
    names, values = (line.split() for line in pathlib.Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("ActiveOpens")])


def many_pools(folder, name, fe, rows, pools, base, fes):
    what = f"{pools:,} pools, " + ("each with an FE of its own" if fes == pools else f"{fes:,} FEs" if fes else "one FE for all")
    many = scaler(folder, name, pools, fe.port, fes=fes)
    say(what)
    time.sleep(20)
    cpu, new, begin = many.cpu_s(), opened(), time.monotonic()
    time.sleep(5)
    took = time.monotonic() - begin
    cpu, new, full = (many.cpu_s() - cpu) / took, (opened() - new) / took, many.anon_kib()
    rows.append((f"RssAnon with {what}", f"{full / 1024:.1f} MiB: {(full - base) / (pools - 10):.2f} KiB a pool"))
    rows.append((f"snapshot age with {what}", f"{age_text(ages(many, pools))}, at {cpu:.2f} cores and {new:,.0f} new connections a second"))
    many.stop()


class Scraper:
    """Asks for all series, and for all decisions as another replica does, once a second each."""

    def __init__(self, port):
        self.stop, self.bytes, self.took = False, 0, []
        self.thread = threading.Thread(target=self.scrape, args=(port,))
        self.thread.start()

    def scrape(self, port):
        os.nice(10)
        while not self.stop:
            begun = time.monotonic()
            for path in ("/metrics", "/v1/decisions"):
                with socket.create_connection(("127.0.0.1", port), 10) as s:
                    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer caller\r\nConnection: close\r\n\r\n".encode())
                    n, buffer = 0, bytearray(1 << 20)
                    while (got := s.recv_into(buffer)):
                        n += got
                self.bytes = max(self.bytes, n)
            self.took.append(time.monotonic() - begun)
            time.sleep(1)

    def close(self):
        self.stop = True
        self.thread.join()


def scrapes(folder, fe, seconds, rows, pools):
    many = scaler(folder, "scraped", pools, fe.port)
    time.sleep(5)
    quiet, busy, took = [], [], []
    for _ in range(5):
        quiet.append(load(many, 64, 2000, seconds))
        scraper = Scraper(many.port)
        busy.append(load(many, 64, 2000, seconds))
        scraper.close()
        took += scraper.took
    rows.append((f"{pools:,} pools, 2,000 requests/s open loop, median of 5", p(quiet)))
    rows.append(("the same while all series and all decisions are read each second",
                 f"{p(busy)}; {scraper.bytes / 1e6:.1f} MB in {statistics.median(took) * 1000:.0f} ms"))
    many.stop()


def memory(folder, fe, rows, pools):
    few = scaler(folder, "few", 10, fe.port)
    time.sleep(5)
    base = few.anon_kib()
    rows.append(("snapshot age with 10 pools", age_text(ages(few, 10))))
    few.stop()
    rows.append(("RssAnon with 10 pools", f"{base / 1024:.2f} MiB"))
    for fes in (0, pools // 10, pools):
        many_pools(folder, f"many{fes}", fe, rows, pools, base, fes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--pools", type=int, default=10000)
    args = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-scaler-bench-"))
    subprocess.run(["gcc", "-O2", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-o", ROOT / "build/httpload", ROOT / "e2e/bench/httpload.c"], check=True)
    subprocess.run(["go", "build", "-o", ROOT / "build/gotwin", "."], cwd=ROOT / "e2e/bench/gotwin", check=True,
                   env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": "-mod=mod"})
    say("clients are built")
    fe, rows = nginx(folder, "fe", LOAD, "/api/roost/load", every_address=True), []
    before = os.getloadavg()[0]
    server, still = throughput(folder, fe, args.seconds, rows)
    trouble(server, still, fe, args.seconds, rows)
    server.stop()
    still.stop()
    say(rows)
    scrapes(folder, fe, args.seconds, rows, args.pools)
    memory(folder, fe, rows, args.pools)
    fe.stop()
    lines = ["# roost-scaler's server", "",
             f"`make bench PART=scaler` (e2e/bench/scaler_bench.py, client e2e/bench/httpload.c), {time.strftime('%Y-%m-%d')}, "
             f"{len(CORES)} shared cores, load average {before:.1f} before the run and {os.getloadavg()[0]:.1f} after it: what the clock "
             "says is the machine's as much as the server's; CPU time and memory are the server's own.", "",
             "| what | measured |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows), ""]
    print("\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines))
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Through a real kubelet: from the first waiting query, with no compute node, to its answer by one that was not there, with
the operator's fast path, with KEDA beside it, and with KEDA alone; where the time goes; and a timeline of a scale-out and in.

Everything is real: the local Kubernetes of e2e/cluster (kubelet, containerd, scheduler), images on the node, the chart's
operator and scaler, KEDA's operator and adapter in pods, the engine in pods. ROUNDS (10) of each.
"""
import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "e2e"), str(REPO / "e2e/tests")]
from conftest import TOOLS, Cluster, run, wait_until  # noqa: E402
from kubelet_fixture import NAME, QUICK, QUICK_ROWS, Quick, Scaler, helm_roost, images, timeline  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "10"))
NAMESPACE = "roost-bench"
SCALING = {"minReplicas": 0, "maxReplicas": 3, "slotsPerNode": 2, "waitTargetSeconds": 1, "scaleInWindowSeconds": 5}
STEPS = ("replicas patched", "pod made", "pod placed", "container runs", "answer")


class Watch:
    """When what was seen, by the clock of this process."""

    def __init__(self, quick):
        self.quick, self.end, self.lock, self.first = quick, threading.Event(), threading.Lock(), {}
        base = f"/api/v1/namespaces/{quick.namespace}/pods?watch=1&labelSelector=app.starrocks.ownerreference/name%3D{NAME}-cn"
        quick.api.watch(base, self.end, self.pod)
        quick.api.watch(f"/apis/starrocks.com/v1/namespaces/{quick.namespace}/starrocksclusters?watch=1", self.end, self.cluster)

    def mark(self, step):
        with self.lock:
            self.first.setdefault(step, time.monotonic())

    def cluster(self, _, o):
        if o["spec"]["starRocksCnSpec"].get("replicas", 1) > 0:
            self.mark("replicas patched")

    def pod(self, kind, o):
        if kind == "DELETED" or "deletionTimestamp" in o["metadata"]:
            return
        self.mark("pod made")
        if o["spec"].get("nodeName"):
            self.mark("pod placed")
        if any("running" in c["state"] for c in o["status"].get("containerStatuses", [])):
            self.mark("container runs")

    def begin(self):
        with self.lock:
            self.first = {}
        return time.monotonic()


def rounds_of(quick, watch):
    took, steps = [], {s: [] for s in STEPS}
    for _ in range(ROUNDS):
        wait_until("no compute node", lambda: quick.replicas() == 0 and not quick.pods() and not quick.nodes(), 180)
        time.sleep(3)
        began = watch.begin()
        rows = quick.sql(QUICK)
        took.append(time.monotonic() - began)
        watch.mark("answer")
        assert rows == QUICK_ROWS, rows
        for s in STEPS:
            if s in watch.first:
                steps[s].append(watch.first[s] - began)
        print(f"  {took[-1]:.1f} s  " + ", ".join(f"{s} {watch.first[s] - began:.2f}" for s in STEPS if s in watch.first), flush=True)
    return took, {s: statistics.median(v) for s, v in steps.items() if v}


def scaled_objects(cluster):
    return cluster.get("-n", NAMESPACE, "scaledobjects.keda.sh")["items"]


def keda_alone(cluster, quick):
    """The operator without its fast path; the ScaledObject that it made is kept in the user's name."""
    made = cluster.get("-n", NAMESPACE, "scaledobject", f"{NAME}-cn")
    auth = cluster.get("-n", NAMESPACE, "triggerauthentication", made["spec"]["triggers"][0]["authenticationRef"]["name"])
    secret = cluster.get("-n", NAMESPACE, "secret", auth["spec"]["secretTargetRef"][0]["name"])
    for o, name in ((secret, "own-token"), (auth, "own"), (made, "own")):
        o["metadata"] = {"name": name, "namespace": NAMESPACE}
        o.pop("status", None)
    auth["spec"]["secretTargetRef"][0]["name"] = "own-token"
    made["spec"]["triggers"][0]["authenticationRef"]["name"] = "own"
    quick.patch({"starRocksCnSpec": {"roostAutoscaling": {"keda": {"enabled": False}}}})
    wait_until("the operator's ScaledObject goes", lambda: not scaled_objects(cluster), 60)
    cluster.kubectl("-n", "roost-system", "patch", "deployment", "roost-operator", "--type=json", "-p",
                    '[{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--scaler-url="}]')
    cluster.kubectl("-n", "roost-system", "rollout", "status", "deployment/roost-operator", "--timeout=120s")
    cluster.apply([secret, auth, made])
    wait_until("its HPA", lambda: cluster.get("-n", NAMESPACE, "hpa")["items"], 60)


def measure(out):
    run(TOOLS / "up", "--with", "keda", timeout=2400)
    cluster = Cluster(str(REPO / "build/cluster/kubeconfig"), False)
    images()
    helm_roost()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--ignore-not-found", timeout=180)
    cluster.kubectl("create", "namespace", NAMESPACE)
    quick, result = Quick(cluster, NAMESPACE, {"roostAutoscaling": {**SCALING, "keda": {"enabled": False, "cooldownSeconds": 5}}}), {}
    quick.start()
    quick.load()
    watch = Watch(quick)
    print("fast path, no KEDA", flush=True)
    result["the operator's fast path, no KEDA"] = rounds_of(quick, watch)
    quick.patch({"starRocksCnSpec": {"roostAutoscaling": {"keda": {"enabled": True}}}})
    wait_until("KEDA's HPA", lambda: cluster.get("-n", NAMESPACE, "hpa")["items"], 120)
    print("both", flush=True)
    result["both, as shipped where KEDA is installed"] = rounds_of(quick, watch)
    wait_until("no compute node", lambda: quick.replicas() == 0 and not quick.pods() and not quick.nodes(), 180)
    rows, answered, failed = timeline(quick, Scaler(cluster, NAMESPACE))
    print("KEDA alone", flush=True)
    keda_alone(cluster, quick)
    result["KEDA and the HPA alone (the operator's fast path is off)"] = rounds_of(quick, watch)
    watch.end.set()
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    helm_roost()
    write(out, result, rows, answered, failed)


def write(out, result, rows, answered, failed):
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=REPO, text=True, capture_output=True).stdout.strip()
    text = ["# From a waiting query to a compute node, through a kubelet", "",
            f"`make bench PART=kubelet`, {head}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end. Kubernetes 1.34 "
            "with kubelet and containerd, the chart's operator and scaler, KEDA 2.21 in pods; images on the node. No compute node, one "
            "query waits: until its answer. Goals: under 4 s without KEDA, under 20 s with it.", "",
            "| scaled by | median s | worst s | rounds | " + " | ".join(f"{s} (median)" for s in STEPS[:-1]) + " |",
            "|---|---|---|---|" + "---|" * (len(STEPS) - 1)]
    for name, (took, steps) in result.items():
        text.append(f"| {name} | {statistics.median(took):.1f} | {max(took):.1f} | {len(took)} | " + " | ".join(
            f"{steps[s]:.2f}" if s in steps else "" for s in STEPS[:-1]) + " |")
    text += ["", f"KEDA and the fast path together, 16 clients that ask slow queries for 30 s: {len(answered)} queries answered, "
             f"{len(failed)} failed.", "", "| s | wanted | replicas | pods | alive | waiting | answered |", "|---|---|---|---|---|---|---|"]
    text += [f"| {t:.1f} | {d} | {r} | {p} | {a} | {w} | {n} |" for t, d, r, p, a, w, n in rows]
    out.write_text("\n".join(text) + "\n")
    print("\n".join(text), *failed[:3], sep="\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    with contextlib.suppress(KeyboardInterrupt):
        measure(parser.parse_args().out)


if __name__ == "__main__":
    main()

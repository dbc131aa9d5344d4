"""`down` leaves nothing, after a quiet life and after a violent one.

It ends the machine's one cluster, so it runs only on request:
ROOST_TEST_DOWN=1 pytest -m down e2e/tests/test_cluster_down.py
"""

import os
import pathlib
import signal
import subprocess
import time

import pytest

from conftest import TOOLS, run, wait_until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.down,
    pytest.mark.skipif(os.environ.get("ROOST_TEST_DOWN") != "1", reason="ends the cluster: set ROOST_TEST_DOWN=1"),
    pytest.mark.timeout(900),
]

NOTHING = "left: processes 0, mounts 0, netns 0, interfaces 0, iptables rules 0, cgroups 0"
RUN = pathlib.Path("/run/roost-cluster")
BUSY = """
apiVersion: v1
kind: Service
metadata: {name: busy}
spec: {type: NodePort, selector: {app: busy}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: busy}
spec:
  serviceName: busy
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      containers:
      - name: main
        image: docker.io/library/debian:bookworm-slim
        imagePullPolicy: IfNotPresent
        command: [sh, -c, "trap '' TERM; while :; do sleep 1; done"]
        volumeMounts: [{name: data, mountPath: /data}]
        ports: [{containerPort: 80, hostPort: 18080}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""


def left():
    """Our own count, which shares no code with the scripts'."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        name = os.path.basename(argv[0]).decode(errors="replace")
        if name.startswith(("kube-", "kubelet", "containerd", "coredns")) or name == "etcd":
            found.append(f"process {entry.name} {name}")
    found += [m for m in pathlib.Path("/proc/mounts").read_text().splitlines()
              if "roost-cluster" in m or "build/cluster" in m or "/netns/" in m]
    found += [i.name for i in pathlib.Path("/sys/class/net").iterdir() if i.name.startswith(("roost-", "veth", "cni"))]
    for save in ("iptables-save", "ip6tables-save"):
        found += [r for r in run(save).stdout.splitlines() if any(c in r for c in ("KUBE-", "CNI-", "ROOST-"))]
    found += [str(c) for c in pathlib.Path("/sys/fs/cgroup").glob("**/roost-cluster")]
    found += [str(c) for c in pathlib.Path("/sys/fs/cgroup").glob("**/kubepods")]
    return found


def up(*args):
    return run(TOOLS / "up", *args, timeout=1800).stdout


def make_busy():
    run(TOOLS / "image", "base", timeout=900)
    run(TOOLS / "kubectl", "apply", "-f", "-", stdin=BUSY)
    wait_until("a busy pod", lambda: "Running" in run(TOOLS / "kubectl", "get", "pods", "-l", "app=busy").stdout)


def test_down_of_a_busy_cluster_leaves_nothing():
    before = pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text()
    run(TOOLS / "down", timeout=120)
    up()
    make_busy()
    done = run(TOOLS / "down", timeout=120)
    assert done.stdout.strip().splitlines()[-1] == NOTHING
    assert left() == []
    assert pathlib.Path("/proc/sys/net/ipv4/ip_forward").read_text() in (before, "0\n")
    # Again, with nothing there.
    assert run(TOOLS / "down", timeout=60).stdout.strip().splitlines()[-1] == NOTHING


def test_up_again_changes_nothing():
    up()
    before = {f.name: f.read_text() for f in RUN.glob("*.pid")}
    up()
    time.sleep(3)
    up()
    assert {f.name: f.read_text() for f in RUN.glob("*.pid")} == before


def test_up_repairs_a_half_dead_cluster():
    up()
    make_busy()
    for victim in ("kubelet", "etcd", "containerd"):
        os.kill(int((RUN / f"{victim}.pid").read_text()), signal.SIGKILL)
    time.sleep(1)
    assert "starting it again" in up()
    assert run(TOOLS / "status", timeout=60).returncode == 0
    # The cluster's objects and its pods have lived on.
    assert "busy" in run(TOOLS / "kubectl", "get", "statefulset", "busy").stdout
    wait_until("a busy pod", lambda: "Running" in run(TOOLS / "kubectl", "get", "pods", "-l", "app=busy").stdout)
    # Everything dead at once, as after a reboot.
    for name in ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", "kube-apiserver", "etcd", "containerd"):
        os.kill(int((RUN / f"{name}.pid").read_text()), signal.SIGKILL)
    assert "is up" in up()
    assert run(TOOLS / "down", timeout=120).stdout.strip().splitlines()[-1] == NOTHING
    assert left() == []


@pytest.mark.parametrize("after", [1.0, 3.0, 6.0, 10.0])
def test_interrupted_up_can_be_run_again(after):
    run(TOOLS / "down", timeout=120)
    first = subprocess.Popen([TOOLS / "up"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    time.sleep(after)
    os.killpg(first.pid, signal.SIGINT)
    first.wait(30)
    assert "is up" in up()
    assert run(TOOLS / "status", timeout=60).returncode == 0
    run(TOOLS / "down", timeout=120)
    assert left() == []


def test_port_in_use_names_the_holder():
    run(TOOLS / "down", timeout=120)
    import socket

    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 10249))
    holder.listen()
    try:
        done = run(TOOLS / "up", check=False, timeout=60)
    finally:
        holder.close()
    assert done.returncode != 0
    message = done.stderr.strip()
    assert len(message.splitlines()) == 1 and "10249" in message and str(os.getpid()) in message


@pytest.mark.parametrize("setting, word", [("ROOST_MIN_MEMORY_MB", "memory"), ("ROOST_MIN_DISK_MB", "disk")])
def test_too_small_a_machine_is_refused(setting, word):
    run(TOOLS / "down", timeout=120)
    done = subprocess.run([TOOLS / "up"], env={**os.environ, setting: "99999999"}, text=True, capture_output=True, timeout=60)
    assert done.returncode != 0 and word in done.stderr and len(done.stderr.strip().splitlines()) == 1

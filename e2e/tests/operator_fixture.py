"""The operator as a process beside a test, on the real cluster or on a control plane: everything that takes a `cluster`
takes either.
"""

import contextlib
import os
import subprocess
import uuid

from conftest import REPO, wait_until

OPERATOR = REPO / "build" / "roost-operator"
PAUSE = os.environ.get("ROOST_PAUSE_IMAGE", "roost/pause:1")


class Operator:
    def __init__(self, cluster, namespace, log, *flags):
        self.cluster, self.namespace = cluster, namespace
        self.process = subprocess.Popen(
            [OPERATOR, "--kubeconfig", cluster.kubeconfig, "--namespace", namespace, "--metrics-bind-address=0",
             "--health-probe-bind-address=0", "--scaler-url=", *flags], stderr=log,
            env=dict(os.environ, POD_NAMESPACE=namespace, POD_NAME=f"operator-{uuid.uuid4().hex[:6]}"))

    def stop(self):
        self.process.terminate()
        assert self.process.wait(timeout=20) == 0


@contextlib.contextmanager
def operators(cluster, namespace, folder):
    """Gives a function that starts operators which serve only this namespace; what still runs at the end is stopped."""
    started = []

    def go(*flags):
        with open(folder / f"operator-{len(started)}.log", "w", encoding="utf-8") as log:
            started.append(Operator(cluster, namespace, log, *flags))
        return started[-1]

    go.operators = started
    try:
        yield go
    finally:
        for operator in started:
            if operator.process.poll() is None:
                operator.stop()


def part(replicas=1, **more):
    return {"image": PAUSE, "command": ["/pause"], "replicas": replicas, "startupProbeFailureSeconds": 0,
            "livenessProbeFailureSeconds": 0, "readinessProbeFailureSeconds": 0, "terminationGracePeriodSeconds": 1, **more}


def cr(namespace, name="c", **parts):
    return {"apiVersion": "starrocks.com/v1", "kind": "StarRocksCluster",
            "metadata": {"name": name, "namespace": namespace, "annotations": {"roost.io/engine": "true"}}, "spec": parts}


def condition(cluster, namespace, kind, name="c"):
    status = cluster.get("-n", namespace, "src", name).get("status", {})
    for c in status.get("conditions", []):
        if c["type"] == kind:
            return c
    return {}


def wait_ready(cluster, namespace, name="c", timeout=90):
    wait_until(f"{name} is ready", lambda: condition(cluster, namespace, "Ready", name).get("status") == "True"
               and cluster.get("-n", namespace, "src", name)["metadata"]["generation"]
               == condition(cluster, namespace, "Ready", name)["observedGeneration"], timeout=timeout)

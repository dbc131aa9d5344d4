"""Fixtures for tests that run on a real cluster.

`cluster` brings the local Kubernetes up (or uses the user's, with
ROOST_USE_KUBECONFIG=1) and leaves it up: the next run is quick, and `make down`
ends it. `namespace` gives each test a namespace of its own.
"""

import json
import os
import pathlib
import subprocess
import time
import uuid

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent
TOOLS = REPO / "e2e" / "cluster"


def run(*args, timeout=120, check=True, stdin=None):
    """Runs a command; a failure shows what it printed, not only its number."""
    done = subprocess.run(
        [str(a) for a in args], input=stdin, text=True, capture_output=True, timeout=timeout
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def wait_until(what, probe, timeout=60, every=0.5):
    """Polls until probe() is true and returns its value; `what` names it in the failure. Whoever does not answer is asked again."""
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = probe()
            if last:
                return last
        except (AssertionError, OSError) as error:
            last = error
        time.sleep(every)
    raise AssertionError(f"{what}: not within {timeout} s; last: {last!r}")


class Cluster:
    def __init__(self, kubeconfig, foreign):
        self.kubeconfig = kubeconfig
        self.foreign = foreign

    def kubectl(self, *args, stdin=None, check=True, timeout=120):
        """Standard output of kubectl."""
        return run(TOOLS / "kubectl", *args, stdin=stdin, check=check, timeout=timeout).stdout

    def get(self, *args):
        """An object, or a list of them, as JSON."""
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def apply(self, manifest, namespace=None):
        """Applies YAML text, or Python objects."""
        if not isinstance(manifest, str):
            manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifest)})
        where = ("-n", namespace) if namespace else ()
        return self.kubectl(*where, "apply", "-f", "-", stdin=manifest)

    def wait_pod(self, namespace, pod, condition="Ready", timeout=90):
        self.kubectl(
            "-n", namespace, "wait", f"pod/{pod}", f"--for=condition={condition}",
            f"--timeout={timeout}s", timeout=timeout + 10,
        )


def pytest_configure(config):
    config.addinivalue_line("markers", "cluster: runs on a real Kubernetes")
    config.addinivalue_line("markers", "down: ends the local Kubernetes")


def pytest_collection_modifyitems(items):
    """A test that asks for the cluster is marked so, and can be left out with -m "not cluster"."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster():
    foreign = os.environ.get("ROOST_USE_KUBECONFIG") == "1" and bool(os.environ.get("KUBECONFIG"))
    # Cold, this compiles Kubernetes.
    run(TOOLS / "up", timeout=2400)
    kubeconfig = os.environ["KUBECONFIG"] if foreign else str(REPO / "build" / "cluster" / "kubeconfig")
    return Cluster(kubeconfig, foreign)


@pytest.fixture(scope="session")
def debian_image(cluster):
    """The name of an image with a shell that the node has."""
    if not cluster.foreign:
        run(TOOLS / "image", "base", timeout=900)
    return "docker.io/library/debian:bookworm-slim"


@pytest.fixture
def namespace(cluster):
    name = f"t-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    # A pod that is made before its account exists is refused.
    wait_until("service account default",
               lambda: cluster.kubectl("-n", name, "get", "sa", "default", check=False))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture(scope="session")
def plane():
    """A control plane for the session (tests/plane_fixture.py), without kwok, with our CRDs."""
    from plane_fixture import Plane

    with Plane() as p:
        p.crds()
        yield p


@pytest.fixture(scope="module")
def plane_of_doubles():
    """A control plane for the module where Services have addresses that doubles of the FE listen on, with our CRDs."""
    from double_fixture import double_plane

    with double_plane() as p:
        p.crds()
        yield p


@pytest.fixture(scope="session")
def kwok_plane():
    """The same with the scheduler, kwok and one large fake node."""
    from plane_fixture import Plane

    with Plane(kwok=True) as p:
        p.crds()
        p.fake_node("fake-0")
        yield p


@pytest.fixture
def plane_namespace(plane):
    name = plane.new_namespace()
    yield name
    plane.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def kwok_namespace(kwok_plane):
    name = kwok_plane.new_namespace()
    yield name
    kwok_plane.kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.fixture
def plane_start(plane, plane_namespace, tmp_path):
    """Starts operators for plane_namespace: plane_start("--leader-elect") gives operator_fixture.Operator."""
    from operator_fixture import operators

    with operators(plane, plane_namespace, tmp_path) as go:
        yield go

"""A cluster of our engine on the real Kubernetes, from manifests/examples/quickstart.yaml in a namespace of one's own:
tables in a bucket, so that compute nodes do all the work. Used by tests and by e2e/bench/kubelet_bench.py.
"""

import base64
import contextlib
import http.client
import json
import os
import ssl
import tempfile
import threading
import time
import urllib.request

import pymysql
import yaml

from conftest import REPO, TOOLS, run, wait_until

NAME = "quickstart"
IMAGE = "roost/engine:dev"
ROWS = 20000
QUICK = "SELECT g, count(*) FROM d.f GROUP BY g ORDER BY g"
QUICK_ROWS = tuple((g, len(range(g, ROWS, 17))) for g in range(17))
SLOW = "SELECT count(*), sum((a.k * b.k) % 7) FROM d.f a JOIN d.f b ON a.g = b.g"
SLOW_PAIRS = sum(n * n for _, n in QUICK_ROWS)


class Api:
    """The API server without a kubectl, which costs a tenth of a second of processor each time."""

    def __init__(self, kubeconfig):
        with open(kubeconfig, encoding="utf-8") as text:
            config = yaml.safe_load(text)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.url = cluster["server"]
        self.tls = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            pair.flush()
            self.tls.load_cert_chain(pair.name)

    def open(self, path, timeout):
        return urllib.request.urlopen(self.url + path, context=self.tls, timeout=timeout)

    def get(self, path):
        with self.open(path, 10) as answer:
            return json.load(answer)

    def watch(self, path, end, seen):
        """seen(type, object) for each event, in a thread of its own, until `end` is set."""
        def follow():
            while not end.is_set():
                with contextlib.suppress(OSError, ValueError, http.client.HTTPException), self.open(path, 600) as events:
                    for line in events:
                        if end.is_set():
                            return
                        event = json.loads(line)
                        seen(event["type"], event["object"])
        threading.Thread(target=follow, daemon=True).start()


class Quick:
    """The cluster `quickstart`. cn: fields of starRocksCnSpec; with roostAutoscaling in it nobody sets replicas here."""

    def __init__(self, cluster, namespace, cn):
        self.cluster, self.namespace = cluster, namespace
        self.api = Api(cluster.kubeconfig)
        self.of = ("-n", namespace)
        text = (REPO / "manifests/examples/quickstart.yaml").read_text().replace("roost-quickstart", namespace)
        self.objects = [d for d in yaml.safe_load_all(text) if d and d["kind"] != "Namespace"]
        spec = next(d for d in self.objects if d["kind"] == "StarRocksCluster")["spec"]
        del spec["starRocksCnSpec"]["roostAutoscaling"]
        spec["starRocksCnSpec"].update(cn)
        # Several of them share a small machine with whatever else is tested.
        for part in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec"):
            spec[part]["requests"] = {"cpu": "20m", "memory": "192Mi"}
        self.fe = None

    def start(self, timeout=240):
        self.cluster.apply(self.objects, self.namespace)
        self.fe = wait_until("the FE's Service", lambda: self.cluster.get(*self.of, "svc", f"{NAME}-fe-service")["spec"]["clusterIP"], 60)
        wait_until("the FE answers", lambda: self.try_sql("SELECT 1"), timeout)
        wait_until("a backend is alive", lambda: any(n["Alive"] == "true" for n in self.nodes("BACKENDS")), timeout)

    def load(self):
        """d.f in the bucket; with no compute node yet the INSERT waits for the first."""
        self.sql("CREATE DATABASE d")
        self.sql("CREATE TABLE d.f (k BIGINT NOT NULL, g INT) DISTRIBUTED BY HASH(k) BUCKETS 2 PROPERTIES ('storage_volume' = "
                 "'builtin_storage_volume')")
        self.sql(f"INSERT INTO d.f SELECT r.range, r.range % 17 FROM range({ROWS}) r")

    def sql(self, statement, **options):
        settings = {"host": self.fe, "port": 9030, "user": "root", "connect_timeout": 10, "read_timeout": 280, "autocommit": True}
        connection = pymysql.connect(**{**settings, **options})
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def try_sql(self, statement):
        try:
            return self.sql(statement, read_timeout=10)
        except (pymysql.MySQLError, OSError) as error:
            raise AssertionError(repr(error)) from error

    def nodes(self, kind="COMPUTE NODES"):
        return list(self.sql(f"SHOW {kind}", cursorclass=pymysql.cursors.DictCursor))

    def alive(self):
        return sum(n["Alive"] == "true" for n in self.nodes())

    def load_document(self):
        with urllib.request.urlopen(f"http://{self.fe}:8030/api/roost/load", timeout=10) as answer:
            return json.load(answer)

    def object(self):
        return self.api.get(f"/apis/starrocks.com/v1/namespaces/{self.namespace}/starrocksclusters/{NAME}")

    def replicas(self):
        return self.object()["spec"]["starRocksCnSpec"].get("replicas", 1)

    def pods(self, role="cn"):
        """Those that have not ended."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector=app.starrocks.ownerreference/name%3D{NAME}-{role}")
        return [p for p in found["items"] if p["status"].get("phase") in ("Pending", "Running")]

    def patch(self, spec, kind="src", name=NAME):
        self.cluster.kubectl(*self.of, "patch", kind, name, "--type=merge", "-p", json.dumps({"spec": spec}))

    def scale(self, n):
        self.cluster.kubectl(*self.of, "scale", "src", NAME, f"--replicas={n}")

    def settled(self, n):
        """n compute nodes, all alive, no ghost, no pod that is about to end."""
        pods = self.pods()
        nodes = self.nodes()
        return len(pods) == n == len(nodes) and all(x["Alive"] == "true" for x in nodes) and \
            {p["status"].get("podIP") for p in pods} == {x["IP"] for x in nodes}


class Asking:
    """Clients that ask without a pause; each answer must be right."""

    def __init__(self, quick, clients=4, slow_every=3):
        self.quick, self.slow_every, self.right, self.wrong = quick, slow_every, 0, []
        self.end, self.lock = threading.Event(), threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(clients)]

    def run(self, number):
        while not self.end.is_set():
            number += 1
            try:
                if self.slow_every and number % self.slow_every == 0:
                    fine = self.quick.sql(SLOW)[0][0] == SLOW_PAIRS
                else:
                    fine = self.quick.sql(QUICK) == QUICK_ROWS
                problem = None if fine else "a wrong answer"
            except (pymysql.MySQLError, OSError) as error:
                problem = repr(error)
            with self.lock:
                self.right += problem is None
                if problem:
                    self.wrong.append(problem)
                    time.sleep(0.5)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.end.set()
        for thread in self.threads:
            thread.join(300)
        if kind is None:
            assert not self.wrong, f"{len(self.wrong)} of {len(self.wrong) + self.right} failed: {self.wrong[:3]}"

    def more(self, n, timeout=180):
        goal = self.right + n
        wait_until(f"{n} more answers", lambda: self.right >= goal or self.wrong, timeout, every=0.1)
        assert not self.wrong, self.wrong[:3]


def images():
    run(TOOLS / "image", "engine", "operator", "minio", timeout=1800)


def helm_roost():
    """The operator and the scaler as a user installs them."""
    run(TOOLS / "helm", "upgrade", "--install", "roost", REPO / "charts/roost", "--namespace", "roost-system", "--create-namespace",
        "--take-ownership", "--wait", "--timeout", "180s", timeout=240)


@contextlib.contextmanager
def roost(cluster):
    """Installed from the chart; gone at the end unless it was there before, since other tests run an operator of their own."""
    was = cluster.kubectl("-n", "roost-system", "get", "deployment", "roost-operator", "--ignore-not-found")
    if not was:
        images()
        helm_roost()
    yield
    if not was:
        run(TOOLS / "helm", "uninstall", "roost", "--namespace", "roost-system", "--wait", timeout=180, check=False)
        cluster.kubectl("delete", "namespace", "roost-system", "--wait=true", check=False, timeout=180)


class Scaler:
    """roost-scaler's pool document, asked from this machine."""

    def __init__(self, cluster, namespace):
        ip = cluster.get("-n", "roost-system", "svc", "roost-scaler")["spec"]["clusterIP"]
        data = cluster.get("-n", "roost-system", "secret", "roost-scaler-token")["data"]["token"]
        self.request = urllib.request.Request(f"http://{ip}:9091/v1/namespaces/{namespace}/clusters/{NAME}/pools/cn",
                                              headers={"Authorization": f"Bearer {base64.b64decode(data).decode().strip()}"})

    def document(self):
        with urllib.request.urlopen(self.request, timeout=5) as answer:
            return json.load(answer)


def timeline(quick, scaler, seconds=30, clients=16, limit=300):
    """From no compute node to many and back, while clients ask slow queries for so long: rows of (seconds, wanted, replicas,
    pods, alive, waiting, answered), one a change; and what was answered and what failed."""
    began, answered, failed, rows, last = time.monotonic(), [], [], [], None

    def client():
        while time.monotonic() < began + seconds:
            try:
                assert quick.sql(SLOW)[0][0] == SLOW_PAIRS
                answered.append(time.monotonic() - began)
            except Exception as error:  # noqa: BLE001: whatever it was, a query was lost
                failed.append(repr(error))
                time.sleep(1)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for t in threads:
        t.start()
    while time.monotonic() < began + limit:
        with contextlib.suppress(OSError, pymysql.MySQLError, AssertionError):
            doc = scaler.document()
            now = (doc["desired"], quick.replicas(), len(quick.pods()), quick.alive(), doc["queue"]["pending"])
            if now[:4] != last:
                last = now[:4]
                rows.append((time.monotonic() - began, *now, len(answered)))
            if not any(t.is_alive() for t in threads) and now[:4] == (0, 0, 0, 0):
                break
        time.sleep(0.2)
    for t in threads:
        t.join(60)
    return rows, answered, failed


def is_built(*programs):
    return all((REPO / "build/cluster/bin" / p).exists() for p in programs) or os.environ.get("ROOST_SOAK") == "1"

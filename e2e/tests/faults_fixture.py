"""What the tests of faults, trust, loads and membership share: an engine with an object store whose processes are killed
and come back, Stream Load, executors, clients that count wrong answers.

ROOST_SEED picks the random samples, ROOST_SOAK=1 takes more of them (rounds()).
"""

import base64
import http.client
import json
import operator
import os
import pathlib
import random
import signal
import subprocess
import threading
import urllib.parse

import pymysql

from engine_fixture import BUILD, REPO, Engine, free_ports

SEED = int(os.environ.get("ROOST_SEED", "1"))
SOAK = os.environ.get("ROOST_SOAK") == "1"
S3_USER = S3_PASSWORD = "roost-test"


def rounds(few, many):
    """How often a random fault is tried."""
    return many if SOAK else few


def rng(name):
    """Random numbers of one test, the same for the same ROOST_SEED."""
    return random.Random(f"{SEED}/{name}")


def minio():
    done = subprocess.run([REPO / "e2e/cluster/build-bin", "minio"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()[-1]


class Faulty(Engine):
    """FE, BEs, CNs and MinIO; kill() and back() by name ("fe", "be0", "cn1")."""

    def __init__(self, *args, s3=True, **options):
        super().__init__(*args, **options)
        if s3:
            self.start_s3()

    def start_s3(self):
        (self.folder / "s3/roost").mkdir(parents=True)
        port, console = free_ports(2)
        self.start("s3", "env", f"MINIO_ROOT_USER={S3_USER}", f"MINIO_ROOT_PASSWORD={S3_PASSWORD}", "MINIO_BROWSER=off",
                   f"HOME={self.folder}", minio(), "server", self.folder / "s3",
                   "--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{console}")
        self.fe_conf += (f"\naws_s3_path = roost\naws_s3_endpoint = http://127.0.0.1:{port}\naws_s3_region = us-east-1\n"
                         f"aws_s3_access_key = {S3_USER}\naws_s3_secret_key = {S3_PASSWORD}\n")

    def alive(self, role):
        return sum(r["Alive"] == "true" for r in self.nodes(role))

    def kill(self, name, how=signal.SIGKILL, timeout=30):
        """Ends a process; its exit code."""
        return self.processes.pop(name).stop(how, timeout)

    def back(self, name):
        if name == "fe":
            self.start_fe()
        else:
            self.start(name, BUILD / "roost-be", "--role", name[:2], "--conf", self.folder / f"{name}.conf")

    def conf(self, name):
        """A process' configuration as a dictionary."""
        lines = (self.folder / f"{name}.conf").read_text().splitlines()
        return dict(map(str.strip, line.split("=", 1)) for line in lines if "=" in line)

    def token(self):
        return pathlib.Path(self.conf("be0" if "be0.conf" in os.listdir(self.folder) else "cn0")["roost_token_file"]).read_text().strip()

    def executor(self, name):
        """The pid of a worker's executor; None while there is none."""
        return child_of(self.processes[name].popen.pid, "roost-duck")

    def scalar(self, statement, **options):
        return self.sql(statement, **options)[0][0]

    def load_document(self):
        status, _, body = call(self.http_port, "GET", "/api/roost/load")
        assert status == 200, body
        return json.loads(body)

    def stream_load(self, db, table, body, user="root", password="", port=None, timeout=60, **headers):
        """A Stream Load through the FE's redirect (or straight to port); the answer as a dictionary, with "http"."""
        headers = {k.replace("_http_", ""): str(v) for k, v in headers.items()}
        headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        path = f"/api/{urllib.parse.quote(db)}/{urllib.parse.quote(table)}/_stream_load"
        if port is None:
            status, answer, text = call(self.http_port, "PUT", path, headers=headers, timeout=timeout)
            if status != 307:
                return {"http": status, **json.loads(text)}
            port = urllib.parse.urlsplit(answer["Location"]).port
        data = body.encode() if isinstance(body, str) else body
        status, _, text = call(port, "PUT", path, data, headers, timeout)
        return {"http": status, **json.loads(text)}


def call(port, method, path, body=None, headers=None, timeout=30):
    """One HTTP call on loopback: status, headers, text."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode(errors="replace")
    finally:
        connection.close()


def child_of(pid, name):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            try:
                if name in pathlib.Path(f"/proc/{child}/cmdline").read_text():
                    return int(child)
            except OSError:
                pass
    return None


class Clients:
    """Threads that ask random queries until stop; every answer must be what `answers` says (rows sorted)."""

    def __init__(self, engine, answers, n=3, database=None, seed=0):
        self.engine, self.answers, self.database = engine, answers, database
        self.right, self.wrong = 0, []
        self.end, self.lock = threading.Event(), threading.Lock()
        self.each = [0] * n
        self.threads = [threading.Thread(target=self.run, args=(i, random.Random(f"{SEED}/{seed}/{i}"))) for i in range(n)]

    def ask(self, query):
        return self.engine.sql(query, database=self.database)

    def run(self, number, chance):
        while not self.end.is_set():
            query = chance.choice(list(self.answers))
            try:
                got = sorted(self.ask(query), key=repr)
                problem = None if got == self.answers[query] else f"got {got[:5]}, want {self.answers[query][:5]}"
            except (pymysql.MySQLError, OSError) as error:
                problem = repr(error)
            with self.lock:
                if problem:
                    self.wrong.append((query, problem))
                else:
                    self.right += 1
                self.each[number] += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self.end.set()
        for thread in self.threads:
            thread.join(120)
        if kind is None:
            assert not any(t.is_alive() for t in self.threads), "a client hangs"
            assert not self.wrong, f"{len(self.wrong)} of {len(self.wrong) + self.right} failed: {self.wrong[:3]}"

    def each_more(self, timeout=60):
        """Waits until what each of them asks now is answered, and one more."""
        goal = [n + 2 for n in self.each]
        self.engine.wait("an answer for each client", lambda: all(map(operator.ge, self.each, goal)) or self.wrong, timeout)

    def more(self, n, timeout=60):
        """Waits until n more queries were answered."""
        goal = self.right + n
        self.engine.wait(f"{n} more answers", lambda: self.right >= goal or self.wrong, timeout)

"""The engine as plain processes on private loopback ports: FE, BEs and CNs in a folder of their own.

    with Engine(be=1, cn=1) as engine:
        engine.sql("SELECT 1")

Needs build/roost-fe, build/roost-be and build/roost-duck (`make`). Everything started is ended by its pid, and the
folder is removed unless the test failed inside the `with`.
"""

import itertools
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pymysql

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("ROOST_BUILD", REPO / "build"))


PORTS = itertools.cycle(range(14000, 30000))
for _ in range(random.SystemRandom().randrange(16000)):
    next(PORTS)


def free_ports(n):
    """n ports that nobody uses now, each given once. They lie below those that the kernel gives to whoever binds port 0 or
    connects, since minutes may pass until their process binds them, or binds them again."""
    ports = []
    while len(ports) < n:
        port = next(PORTS)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                s.listen()
            except OSError:
                continue
        ports.append(port)
    return ports


class Process:
    def __init__(self, name, argv, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen([str(a) for a in argv], cwd=folder, stdin=subprocess.DEVNULL, stdout=log,
                                          stderr=log, start_new_session=True)

    def tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def alive(self):
        return self.popen.poll() is None

    def stop(self, how=signal.SIGINT, timeout=20):
        """Ends it; returns its exit code (negative: the signal that killed it)."""
        if self.alive():
            self.popen.send_signal(how)
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(10)
            raise AssertionError(f"{self.name} did not end within {timeout} s of {how.name}:\n{self.tail()}") from None


class Engine:
    def __init__(self, be=1, cn=0, fe_conf="", worker_conf=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="roost-engine-"))
        self.want = {"be": be, "cn": cn}
        self.fe_conf = fe_conf
        self.worker_conf = worker_conf
        self.processes = {}
        self.addresses = {}
        self.http_port, self.rpc_port, self.query_port, self.edit_log_port = free_ports(4)

    def __enter__(self):
        try:
            self.start_fe()
            for role, n in self.want.items():
                for i in range(n):
                    self.start_worker(role, f"{role}{i}")
            self.wait_alive()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        problems = []
        # Workers first: they tell the FE that they leave.
        for process in sorted(self.processes.values(), key=lambda p: p.name == "fe"):
            try:
                process.stop()
            except AssertionError as error:
                problems.append(str(error))
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
        if problems and kind is None:
            raise AssertionError("\n".join(problems))

    def start(self, name, *argv):
        process = Process(name, argv, self.folder)
        self.processes[name] = process
        return process

    def start_fe(self):
        conf = self.folder / "fe.conf"
        conf.write_text(
            f"http_port = {self.http_port}\nrpc_port = {self.rpc_port}\nquery_port = {self.query_port}\n"
            f"edit_log_port = {self.edit_log_port}\nmeta_dir = {self.folder}/meta\n"
            f"roost_bind_address = 127.0.0.1\nroost_fe_host = 127.0.0.1\n{self.fe_conf}\n")
        self.start("fe", BUILD / "roost-fe", "--conf", conf)
        self.wait("FE answers", lambda: self.sql("SELECT 1"))

    def start_worker(self, role, name):
        be_port, http_port, heartbeat_port, brpc_port = free_ports(4)
        conf = self.folder / f"{name}.conf"
        conf.write_text(
            f"be_port = {be_port}\nbe_http_port = {http_port}\nheartbeat_service_port = {heartbeat_port}\n"
            f"brpc_port = {brpc_port}\nstorage_root_path = {self.folder}/{name}\nmem_limit = 512M\n"
            f"roost_bind_address = 127.0.0.1\nself_host = 127.0.0.1\n"
            f"roost_token_file = {self.folder}/meta/token\nroost_drain_timeout_s = 5\n{self.worker_conf}\n")
        self.start(name, BUILD / "roost-be", "--role", role, "--conf", conf)
        self.addresses[name] = f"127.0.0.1:{heartbeat_port}"
        kind = "BACKEND" if role == "be" else "COMPUTE NODE"
        self.sql(f'ALTER SYSTEM ADD {kind} "{self.addresses[name]}"')

    def nodes(self, role):
        """Rows of SHOW BACKENDS or SHOW COMPUTE NODES as dictionaries."""
        return self.rows("SHOW BACKENDS" if role == "be" else "SHOW COMPUTE NODES")

    def wait_alive(self):
        for role, n in self.want.items():
            self.wait(f"{n} {role} alive",
                      lambda role=role, n=n: sum(r["Alive"] == "true" for r in self.nodes(role)) == n)

    def wait(self, what, probe, timeout=30):
        end = time.monotonic() + timeout
        last = None
        while time.monotonic() < end:
            for process in self.processes.values():
                assert process.alive(), f"{process.name} ended:\n{process.tail()}"
            try:
                last = probe()
                if last:
                    return last
            except (AssertionError, OSError, pymysql.MySQLError) as error:
                last = error
            time.sleep(0.1)
        logs = "\n".join(f"== {p.name}\n{p.tail()}" for p in self.processes.values())
        raise AssertionError(f"{what}: not within {timeout} s; last: {last!r}\n{logs}")

    def connect(self, **options):
        settings = {"host": "127.0.0.1", "port": self.query_port, "user": "root", "connect_timeout": 10,
                    "read_timeout": 120}
        return pymysql.connect(**{**settings, **options})

    def sql(self, statement, **options):
        """The rows of one statement on a connection of its own."""
        connection = self.connect(**options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall()
        finally:
            connection.close()

    def rows(self, statement):
        return list(self.sql(statement, cursorclass=pymysql.cursors.DictCursor))

"""A strict double of an FE, Roost's or StarRocks' own, that can be made to fail in each way of contract/faults.md section 3.

    fe = FeDouble("roost", folder)          # or "starrocks"; listens on loopback, `fe.config(name)` is its --config entry
    fe.mode = "nan"                         # see FAULTS; "ok" heals it

Strict: what a scaler must not ask (another path, another statement, a wrong token, two calls at once) is kept in
`fe.violations`. Requests are counted in `fe.asked`. `fe.watch_recovery()` heals and counts from then on: `fe.cost` is the number
of requests up to the end of the first whole, good reading (None: not yet), and `fe.due` whether a request came after it: one
call is in flight per cluster, so whoever asks again has dealt with the answer.
"""

import hashlib
import socket
import ssl
import struct
import subprocess
import threading
import time

FAULTS = ("down", "slow-5", "slow-60", "rst", "wrong-password", "not-leader", "half-rows", "garbage", "nan", "negative", "1e308",
          "restarting", "cert-expired")
TOKEN, PASSWORD = "the-token", "the-password"
PENDING, SLOTS = 7, 9
SALT = b"abcdefgh" + b"ijklmnopqrst"


def certificates(folder, san="IP:127.0.0.1"):
    """ca.pem, good.pem and expired.pem (with their keys in them) for 127.0.0.1, or for another name."""
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "30",
            "-subj", "/CN=test ca")
    (folder / "san").write_text(f"subjectAltName={san}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "fe.key", "-out", folder / "fe.csr", "-subj", "/CN=fe")
    (folder / "index.txt").write_text("")
    (folder / "ca.conf").write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nrand_serial=yes\nnew_certs_dir={folder}\ndefault_md=sha256\npolicy=p\n"
        "[p]\ncommonName=supplied\n")
    for name, start, end in (("good", "20250101000000Z", "20450101000000Z"), ("expired", "20200101000000Z", "20210101000000Z")):
        openssl("ca", "-batch", "-config", folder / "ca.conf", "-cert", folder / "ca.pem", "-keyfile", folder / "ca.key", "-in",
                folder / "fe.csr", "-out", folder / f"{name}.crt", "-startdate", start, "-enddate", end, "-extfile", folder / "san",
                "-notext")
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / "fe.key").read_text())
        (folder / "index.txt").write_text("")


class Stop(Exception):
    """Ends a connection."""


class FeDouble:
    def __init__(self, kind, folder, tls=False):
        self.kind, self.folder, self.tls = kind, folder, tls
        self.violations, self.asked = [], 0
        self.lock, self.in_flight, self.open = threading.Lock(), 0, set()
        self.http, self.sql = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        self.http_port, self.sql_port = self.http.getsockname()[1], self.sql.getsockname()[1]
        self._mode = "ok"
        self.healed_at, self.began, self.before, self.cost, self.due = 0, 0.0, None, None, False
        self.quiet = False  # nobody waits
        for listener, serve in ((self.http, self.serve_http), (self.sql, self.serve_sql)):
            threading.Thread(target=self.accept, args=(listener, serve), daemon=True).start()

    def config(self, name):
        scheme = "https://" if self.tls else ""
        entry = {"namespace": "ns", "name": name, "fe": f"{scheme}127.0.0.1:{self.http_port}", "maxReplicas": 6, "waitTarget": 5,
                 "slotsPerNode": 2, "scaleInWindow": 15}
        if self.kind == "starrocks":
            entry.update(queryPort=self.sql_port, passwordFile=str(self.folder / "password"))
        return entry

    @property
    def mode(self):
        return self._mode

    @mode.setter
    def mode(self, mode):
        """The connections that are open end: what is asked next meets the new mode."""
        assert mode == "ok" or mode == "slow-1" or mode in FAULTS, mode
        self._mode = mode
        with self.lock:
            for connection in list(self.open):
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def watch_recovery(self):
        with self.lock:
            self.healed_at, self.cost, self.due = self.asked, None, False
        self.mode = "ok"

    def read_whole(self):
        """One reading went out. One that took us long may have met the caller's deadline, and does not count."""
        with self.lock:
            if self.cost is None and self.mode == "ok" and time.monotonic() - self.began < 1.5:
                self.cost = self.asked - self.healed_at

    def close(self):
        self.mode = "down"
        self.http.close()
        self.sql.close()

    # ---- connections ----
    def accept(self, listener, serve):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection, serve), daemon=True).start()

    def converse(self, connection, serve):
        with self.lock:
            self.open.add(connection)
        try:
            if self.mode in ("down", "restarting"):
                reset(connection)
                return
            serve(connection)
        except (OSError, Stop, ssl.SSLError, struct.error):
            pass
        finally:
            with self.lock:
                self.open = {c for c in self.open if c.fileno() >= 0 and c is not connection}
            connection.close()

    def begin(self, what):
        """A call that its caller gave up is over within moments; what is still there then is a second one."""
        end = time.monotonic() + 2
        while self.in_flight and time.monotonic() < end:
            time.sleep(0.02)
        with self.lock:
            self.asked += 1
            self.in_flight += 1
            self.due = self.cost is not None
            if self.kind == "roost" or what == "login" or (what == b"SHOW FRONTENDS" and self.before != "login"):
                self.began = time.monotonic()
            self.before = what
            if self.in_flight > 1:
                self.violations.append(f"{self.in_flight} calls at once: {what}")

    def end(self):
        with self.lock:
            self.in_flight -= 1

    def misbehave(self, connection):
        """What fails alike over HTTP and SQL, before an answer."""
        mode = self.mode
        if mode.startswith("slow-"):
            end = time.monotonic() + int(mode[5:])
            while time.monotonic() < end and self.mode == mode:
                if gone(connection):
                    raise Stop
                time.sleep(0.05)
        if mode in ("rst", "down", "restarting"):
            reset(connection)
            raise Stop

    # ---- HTTP ----
    def serve_http(self, connection):
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.folder / ("expired.pem" if self.mode == "cert-expired" else "good.pem"))
            connection = context.wrap_socket(connection, server_side=True)
            with self.lock:
                self.open.add(connection)
        stream = connection.makefile("rb")
        while True:
            line = stream.readline()
            if not line:
                return
            headers = {}
            while (header := stream.readline().strip()):
                name, _, value = header.decode().partition(":")
                headers[name.lower()] = value.strip()
            path = line.split()[1].decode()
            self.begin(path)
            try:
                self.answer(connection, path, headers)
            finally:
                self.end()

    def answer(self, connection, path, headers):
        wanted = "/api/roost/load" if self.kind == "roost" else "/metrics"
        if path != wanted or (self.kind == "roost" and headers.get("authorization") != f"Bearer {TOKEN}"):
            self.violations.append(f"GET {path} {headers.get('authorization')}")
        mode = self.mode
        self.misbehave(connection)
        status, body = 200, (self.load() if self.kind == "roost" else self.metrics())
        if self.mode == "wrong-password" and self.kind == "roost":
            status, body = 401, "{}"
        elif self.mode == "not-leader" and self.kind == "roost":
            status, body = 503, '{"error":{"message":"not the leader"}}'
        elif self.mode == "garbage":
            body = "<html>\0\xff busy"
        data = body.encode("latin-1")
        sent = data[:len(data) // 2] if self.mode == "half-rows" else data
        connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n\r\n".encode() + sent)
        if mode == "ok":
            self.read_whole()
        if sent is not data:
            raise Stop

    def number(self):
        return {"nan": "NaN", "negative": "-3", "1e308": "1e308"}.get(self.mode, str(PENDING))

    def load(self):
        if self.quiet:
            return self.text(0, 0, 2)
        return self.text(self.number(), 3.25, SLOTS)

    @staticmethod
    def text(pending, wait, slots):
        return (f'{{"v":1,"ts":1,"epoch":42,"pending":{pending},"oldest_wait_s":{wait},"required_slots":{slots},"running":2,'
                '"nodes":[{"id":1,"address":"h","slots":2,"running":2,"draining":false,"role":"cn"}],'
                '"service_time_s":{"p50":10,"p95":20}}')

    def metrics(self):
        return ("# TYPE starrocks_fe_query_queue_pending gauge\n"
                f"starrocks_fe_query_queue_pending {self.number()}\n"
                'starrocks_fe_query_latency_ms{quantile="0.75"} 10000\nstarrocks_fe_query_latency_ms{quantile="0.95"} 20000\n')

    # ---- MySQL ----
    def serve_sql(self, connection):
        if self.kind != "starrocks":
            self.violations.append("SQL to Roost's FE")
            return
        stream = connection.makefile("rb")
        self.begin("login")
        try:
            self.misbehave(connection)
            send(connection, 0, b"\x0a8.0.33\0" + struct.pack("<I", 1) + SALT[:8] + b"\0" + struct.pack("<HBHH", 0xa201, 33, 2, 0x0008)
                 + b"\x15" + b"\0" * 10 + SALT[8:] + b"\0mysql_native_password\0")
            _, login = receive(stream)
            if self.mode == "wrong-password" or not proves(login):
                if self.mode != "wrong-password":
                    self.violations.append("wrong password sent")
                send(connection, 2, b"\xff" + struct.pack("<H", 1045) + b"#28000Access denied")
                return
            send(connection, 2, b"\0\0\0\2\0\0\0")
        finally:
            self.end()
        while True:
            sequence, packet = receive(stream)
            if packet[:1] != b"\x03":
                return
            self.begin(packet[1:])
            try:
                self.misbehave(connection)
                self.statement(connection, packet[1:].decode())
            finally:
                self.end()

    def statement(self, connection, sql):
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 3))
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        if self.mode == "garbage":
            connection.sendall(b"\x05\0\0\x01\xffgarbage")
            raise Stop
        slots = {"nan": "NaN", "negative": "-3", "1e308": "1e308"}.get(self.mode, "1")
        tables = {
            "SHOW FRONTENDS": (("Name", "IP", "HttpPort", "QueryPort", "Role", "Alive", "StartTime"), [
                ("a", "127.0.0.1", self.http_port, self.sql_port, "FOLLOWER" if self.mode == "not-leader" else "LEADER", "true", "2026-11-28 10:00:00")]),
            "SELECT NOW() AS now": (("now",), [(now,)]),
            "SHOW RUNNING QUERIES": (("QueryId", "StartTime", "State", "Slots"),
                                     [(f"q{i}", start, "RUNNING" if i < 2 else "PENDING", slots) for i in range(SLOTS)]),
            "SHOW COMPUTE NODES": (("ComputeNodeId", "IP", "Alive", "SystemDecommissioned", "ClusterDecommissioned", "CpuCores",
                                    "NumRunningQueries"), [("1", "10.0.0.1", "true", "false", "false", "2", "2"),
                                                           ("2", "10.0.0.2", "false", "false", "false", "0", "0")]),
        }
        if sql not in tables:
            self.violations.append(sql)
            raise Stop
        columns, rows = tables[sql]
        send(connection, 1, bytes([len(columns)]))
        sequence = 2
        for column in columns:
            send(connection, sequence, b"\x03def" + lenenc("") * 3 + lenenc(column) * 2 + b"\x0c" + struct.pack("<HIBHBH", 33, 255, 253, 0, 0, 0))
            sequence += 1
        send(connection, sequence, b"\xfe\0\0\2\0")
        sequence += 1
        cut = len(rows) // 2 if self.mode == "half-rows" and sql == "SHOW RUNNING QUERIES" else None
        for row in rows[:cut]:
            send(connection, sequence, b"".join(lenenc(str(cell)) for cell in row))
            sequence += 1
        if cut is not None:
            raise Stop
        send(connection, sequence, b"\xfe\0\0\2\0")


def gone(connection):
    """Whether the peer has hung up."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def lenenc(text):
    return bytes([len(text)]) + text.encode()


def send(connection, sequence, body):
    connection.sendall(struct.pack("<I", len(body))[:3] + bytes([sequence % 256]) + body)


def receive(stream):
    head = stream.read(4)
    if len(head) < 4:
        raise Stop
    return head[3], stream.read(int.from_bytes(head[:3], "little"))


def proves(login):
    """mysql_native_password: SHA1(password) XOR SHA1(salt + SHA1(SHA1(password)))."""
    one = hashlib.sha1(PASSWORD.encode()).digest()
    two = hashlib.sha1(SALT + hashlib.sha1(one).digest()).digest()
    return b"root\0" in login and bytes(a ^ b for a, b in zip(one, two)) in login

"""A strict double of StarRocks' FE, as far as its operator talks to it: MySQL protocol, membership statements, the lists.

It refuses what StarRocks refuses, in its words (ERROR 1064). DECOMMISSION takes time; the FE group commits only with a
living majority of its voters. `violations` collects what no operator may do, whoever asked for it. Misbehaviour:
`hang`, `reset` and `fail` (regular expressions on statements), `lie` {statement: rows}. `log` holds every statement
that changes something, `by` who sent which. Users have StarRocks' rights: cluster_admin holds NODE, OPERATE is granted.
With `tls` (an ssl.SSLContext) nobody logs in in the clear. With shared_data nodes live in `warehouses`; open_web() serves what
an FE's HTTP port says of them. Thread: one a connection; everything under one lock.
"""

import hashlib
import http.server
import json
import os
import re
import socket
import struct
import threading
import time

FRONTENDS = ("Name IP EditLogPort HttpPort QueryPort RpcPort Role ClusterId Join Alive ReplayedJournalId LastHeartbeat IsHelper ErrMsg "
             "StartTime Version").split()
BACKENDS = ("BackendId IP HeartbeatPort BePort HttpPort BrpcPort LastStartTime LastHeartbeat Alive SystemDecommissioned "
            "ClusterDecommissioned TabletNum DataUsedCapacity AvailCapacity TotalCapacity UsedPct MaxDiskUsedPct ErrMsg Version Status "
            "DataTotalCapacity DataUsedPct CpuCores MemLimit NumRunningQueries MemUsedPct CpuUsedPct DataCacheMetrics Location").split()
NODES = ("ComputeNodeId IP HeartbeatPort BePort HttpPort BrpcPort LastStartTime LastHeartbeat Alive SystemDecommissioned "
         "ClusterDecommissioned ErrMsg Version CpuCores NumRunningQueries MemUsedPct CpuUsedPct HasStoragePath StarletPort WorkerId "
         "WarehouseName TabletNum").split()
WAREHOUSES = ("Id Name State NodeCount CurrentClusterCount MaxClusterCount StartedClusters RunningSql QueuedSql CreatedOn ResumedOn "
              "UpdatedOn Property Comment").split()
RUNNING = "QueryId ResourceGroupId StartTime PendingTimeout QueryTimeout State Slots Fragments DOP Frontend FeStartTime".split()
DEFAULT = "default_warehouse"
STATISTIC = ("DbId DbName TableNum PartitionNum IndexNum TabletNum ReplicaNum UnhealthyTabletNum InconsistentTabletNum CloningTabletNum "
             "ErrorStateTabletNum").split()


class Refused(Exception):
    """What the real one answers with ERROR 1064 (HY000)."""


class Denied(Refused):
    """ERROR 5203 (42000)."""


class User:
    def __init__(self, password):
        self.password, self.roles, self.default, self.rights = password, set(), set(), set()

    def may(self, right):
        return right in self.rights or (right == "NODE" and "cluster_admin" in self.roles & self.default)


class Node:
    def __init__(self, host, port, **more):
        self.host, self.port, self.alive, self.decommissioned, self.tablets, self.running = host, port, True, False, 0, 0
        self.role, self.join, self.drained_from, self.warehouse = "FOLLOWER", True, None, DEFAULT
        self.__dict__.update(more)


class Warehouse:
    """Nobody queues in it before `queue` (its enable_query_queue), and nobody is told of it."""

    def __init__(self):
        self.queue, self.pending, self.running = False, 0, 0


class FeDouble:
    def __init__(self, host, port=9030, shared_data=False, password=""):
        self.lock = threading.RLock()
        self.frontends, self.backends, self.nodes = {}, {}, {}
        self.replication, self.unhealthy, self.tablets_per_second = 1, 0, 20
        self.shared_data, self.password, self.drop_after_decommission = shared_data, password, False
        self.partitions_meta = True
        self.hang = self.reset = self.fail = None
        self.lie, self.log, self.violations, self.asks = {}, [], [], 0
        self.users, self.by, self.knows_users, self.tls, self.hang_tls = {}, [], True, None, False
        self.warehouses, self.web = {DEFAULT: Warehouse()} if shared_data else {}, None
        self.server = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.open = True
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.open = False
        self.server.close()
        if self.web:
            self.web.shutdown()
            self.web.server_close()

    # ---- warehouses ----
    def open_web(self, port=8030):
        self.web = http.server.ThreadingHTTPServer((self.server.getsockname()[0], port), Web)
        self.web.double = self
        threading.Thread(target=self.web.serve_forever, daemon=True).start()

    def living_in(self, house):
        return [n for n in self.nodes.values() if n.warehouse == house and n.alive]

    def metrics(self):
        """Of the leader: a follower tells of no warehouse."""
        with self.lock:
            lines = [f"starrocks_fe_query_queue_pending {sum(w.pending for w in self.warehouses.values())}"]
            for number, (name, w) in enumerate(self.warehouses.items()):
                slots = 4 * len(self.living_in(name))
                fields = {"query_pending_length": w.pending, "query_running_length": w.running, "max_query_queue_length": 1024,
                          "earliest_query_wait_time": 20.5 if w.pending else 0.0, "max_query_pending_time_second": 600,
                          "max_required_slots": int(w.pending > 0), "sum_required_slots": w.pending,
                          "remain_slots": max(0, slots - w.running), "max_slots": slots}
                lines += [f'starrocks_fe_warehouse_query_queue{{field="{f}", warehouse_id="{number}", warehouse_name="{name}"}} {v}'
                          for f, v in fields.items() if w.queue]
            return "\n".join(lines) + "\n"

    def queries(self):
        """SHOW RUNNING QUERIES: of all warehouses, and not of which."""
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() - 20))
        states = [s for w in self.warehouses.values() if w.queue for s in ["PENDING"] * w.pending + ["RUNNING"] * w.running]
        return RUNNING, [[f"q{i}", "-", start, start, start, s, "1", "1", "1", "fe", start] for i, s in enumerate(states)]

    def drop_warehouse(self, name, if_exists):
        if name == DEFAULT or (name not in self.warehouses and not if_exists):
            raise Refused(f"Warehouse {name} does not exist." if name != DEFAULT else "Can't drop the default_warehouse.")
        if self.living_in(name):
            self.violations.append(f"warehouse {name} dropped with living nodes")
        self.warehouses.pop(name, None)

    # ---- the group of FEs ----
    def voters(self):
        return [f for f in self.frontends.values() if f.role != "OBSERVER"]

    def elect(self):
        """A leader that died is replaced while a majority lives."""
        voters = self.voters()
        alive = [f for f in voters if f.alive]
        for f in voters:
            if f.role == "LEADER" and not f.alive:
                f.role = "FOLLOWER"
        if voters and not any(f.role == "LEADER" for f in voters) and 2 * len(alive) > len(voters):
            alive[0].role = "LEADER"

    def commit(self):
        self.elect()
        if not any(f.role == "LEADER" for f in self.voters()):
            raise Refused("Failed to write edit log: no majority of the FEs is alive")

    # ---- DECOMMISSION takes time ----
    def drain(self):
        for key, b in list(self.backends.items()):
            if not b.decommissioned:
                continue
            gone = int((time.monotonic() - b.drained_from) * self.tablets_per_second)
            moved = min(gone, b.tablets)
            b.drained_from += moved / self.tablets_per_second if moved else 0
            b.tablets -= moved
            others = [o for o in self.backends.values() if o is not b and o.alive and not o.decommissioned]
            for i in range(moved):
                others[i % len(others)].tablets += 1
            if b.tablets == 0 and self.drop_after_decommission:
                del self.backends[key]

    # ---- statements ----
    def alter(self, verb, kind, host, port, force, house):
        key = (host, port)
        self.commit()
        if kind in ("FOLLOWER", "OBSERVER"):
            return self.alter_frontend(verb, kind, key)
        group = self.backends if kind == "BACKEND" else self.nodes
        if verb == "ADD":
            if key in self.backends or key in self.nodes:
                raise Refused(f"{'Backend' if key in self.backends else 'Compute node'} already exists with same host {host} and port {port}")
            group[key] = Node(host, port)
        elif verb == "DROP":
            if key not in group:
                raise Refused(f"{'backend' if kind == 'BACKEND' else 'compute node'} does not exists[{host}:{port}]")
            if kind == "COMPUTE NODE" and self.shared_data and group[key].warehouse != (house or DEFAULT):
                raise Refused(f"compute node does not exists[{host}:{port}]")
            self.drop(kind, group, key, force)
        elif kind != "BACKEND":
            raise Refused("Getting syntax error: unexpected input")
        else:
            self.decommission(key)

    def drop(self, kind, group, key, force):
        node = group[key]
        if kind == "BACKEND" and node.tablets > 0:
            if self.replication == 1 and not force:
                raise Refused(f"Tables such as [d.t] on the backend[{key[0]}:{key[1]}] have only one replica. To avoid data loss, please "
                              "change the replication_num of [d.t] to three. ALTER SYSTEM DROP BACKEND <backends> FORCE can be used to "
                              "forcibly drop the backend. ")
            self.violations.append(f"backend {key[0]} dropped with {node.tablets} tablets")
        if kind == "COMPUTE NODE" and node.alive:
            self.violations.append(f"compute node {key[0]} dropped alive")
        del group[key]

    def decommission(self, key):
        b = self.backends.get(key)
        if not b:
            raise Refused(f"Backend does not exist[{key[0]}:{key[1]}]")
        if b.decommissioned:
            return
        stay = [o for o in self.backends.values() if o is not b and o.alive and not o.decommissioned]
        if len(stay) < self.replication:
            raise Refused("It will cause insufficient BE number if these BEs are decommissioned because the table d.t requires "
                          f"{self.replication} replicas.")
        if sum(o.decommissioned for o in self.backends.values()) > 0:
            self.violations.append("two backends drain at once")
        b.decommissioned, b.drained_from = True, time.monotonic()

    def alter_frontend(self, verb, kind, key):
        f = self.frontends.get(key)
        if verb == "ADD":
            if f:
                raise Refused(f"FE with the same host: {key[0]} already exists")
            self.frontends[key] = Node(*key, role=kind, alive=False, join=False)
            return
        if f and f.role == "LEADER":
            raise Refused("can not drop current master node.")
        if not f:
            raise Refused(f"frontend does not exist[{key[0]}:{key[1]}]")
        if f.role != kind:
            raise Refused(f"{kind} does not exist[{key[0]}:{key[1]}]")
        del self.frontends[key]
        voters = self.voters()
        if 2 * sum(v.alive for v in voters) <= len(voters):
            self.violations.append(f"dropping {key[0]} left no majority")

    # ---- users ----
    def account(self, words):
        """Whether it was a statement about users."""
        if not re.match(r"(CREATE|ALTER) USER |GRANT |SET DEFAULT ROLE ", words, re.I):
            return False
        if not self.knows_users:
            raise Refused(f"Getting syntax error from line 1, column 0. Detail message: Unexpected input '{words[:6]}'.")
        m = re.fullmatch(r"(CREATE|ALTER) USER (?:IF NOT EXISTS )?'(\w+)'@'%' IDENTIFIED BY '([^']*)'(?: DEFAULT ROLE '(\w+)')?", words, re.I)
        g = re.fullmatch(r"GRANT (?:'(\w+)'|(OPERATE) ON SYSTEM) TO USER '(\w+)'@'%'", words, re.I)
        d = re.fullmatch(r"SET DEFAULT ROLE '(\w+)' TO '(\w+)'@'%'", words, re.I)
        name = m[2] if m else g[3] if g else d[2] if d else None
        if not name:
            raise Refused(f"Getting syntax error. Detail message: Unexpected input '{words[:20]}'.")
        self.log.append(re.sub("BY '[^']*'", "BY '***'", words))
        if m and m[1].upper() == "CREATE":
            user = self.users.setdefault(name, User(m[3]))
            if m[4]:
                user.roles.add(m[4])
                user.default.add(m[4])
            return True
        if name not in self.users:
            raise Refused(f"cannot find user '{name}'@'%'!")
        user = self.users[name]
        if m:
            user.password = m[3]
        elif g:
            (user.roles if g[1] else user.rights).add(g[1] or "OPERATE")
        elif d[1] not in user.roles:
            raise Refused(f"Role {d[1]} is not granted to '{name}'@'%'")
        else:
            user.default.add(d[1])
        return True

    def check(self, user, words):
        """What StarRocks asks for before each; `user` is not root."""
        u, w = self.users.get(user), words.upper()
        node = w.startswith(("ALTER SYSTEM", "CANCEL DECOMMISSION"))
        shows = w.startswith("SHOW ")
        if not u or (node and not u.may("NODE")) or (shows and not (u.may("NODE") or u.may("OPERATE"))) or \
           (w.startswith("SHOW PROC") and not u.may("OPERATE")):
            raise Denied(f"Access denied; you need (at least one of) the {'NODE' if node else 'OPERATE'} privilege(s) on SYSTEM for this "
                         "operation.")
        if not node and not shows and not w.startswith("SELECT "):
            raise Denied("Access denied; you need (at least one of) the GRANT privilege(s) on SYSTEM for this operation.")

    def execute(self, sql, user="root"):
        """(columns, rows), or None for OK."""
        words = " ".join(sql.strip().rstrip(";").split())
        with self.lock:
            self.by.append((user, re.sub("BY '[^']*'", "BY '***'", words)))
            self.drain()
            self.elect()
            if user != "root":
                self.check(user, words)
                if "INFORMATION_SCHEMA.PARTITIONS_META" in words.upper() and self.partitions_meta:
                    # Rows of tables on which the user has some right: of none.
                    return ["n"], [[None]]
            if self.account(words):
                return None
            m = re.fullmatch(r'ALTER SYSTEM (ADD|DROP|DECOMMISSION) (FOLLOWER|OBSERVER|BACKEND|COMPUTE NODE) "(\[[^]]+\]|[^":]+):(\d+)"'
                             r"( FORCE)?(?: FROM WAREHOUSE (\w+))?", words, re.I)
            if m:
                self.log.append(words)
                return self.alter(m[1].upper(), m[2].upper(), m[3].strip("[]"), int(m[4]), bool(m[5]), m[6])
            m = re.fullmatch(r"DROP WAREHOUSE (IF EXISTS )?`(\w+)`", words, re.I)
            if m:
                self.log.append(words)
                return self.drop_warehouse(m[2], bool(m[1]))
            m = re.fullmatch(r'CANCEL DECOMMISSION BACKEND "([^":]+):(\d+)"', words, re.I)
            if m:
                self.log.append(words)
                return self.cancel((m[1], int(m[2])))
            if words in self.lie:
                return self.lie[words]
            return self.show(words)

    def cancel(self, key):
        self.commit()
        if key not in self.backends:
            raise Refused(f"Backend does not exists[{key[0]}]")
        self.backends[key].decommissioned = False

    def show(self, words):
        w = words.upper()
        if w in ("SHOW FRONTENDS", "SHOW PROC '/FRONTENDS'"):
            return FRONTENDS, [self.frontend(f) for f in self.frontends.values()]
        if w in ("SHOW BACKENDS", "SHOW PROC '/BACKENDS'"):
            return BACKENDS, [self.backend(i, b) for i, b in enumerate(self.backends.values())]
        if w in ("SHOW COMPUTE NODES", "SHOW PROC '/COMPUTE_NODES'"):
            self.asks += 1
            return NODES, [self.node(i, n) for i, n in enumerate(self.nodes.values())]
        if w == "SHOW PROC '/STATISTIC'":
            return STATISTIC, [["10001", "d"] + ["1"] * 5 + [str(self.unhealthy), "0", "0", "0"],
                               ["Total", "1"] + ["1"] * 5 + [str(self.unhealthy), "0", "0", "0"]]
        if w == "SHOW PROC '/CLUSTER_BALANCE'":
            return ["Item", "Number"], [["pending_tablets", "0"], ["running_tablets", "0"], ["history_tablets", "7"]]
        if "INFORMATION_SCHEMA.PARTITIONS_META" in w:
            if not self.partitions_meta:
                raise Refused("Getting analyzing error. Detail message: Unknown table 'information_schema.partitions_meta'.")
            return ["n"], [[str(self.replication)]]
        if w == "SHOW RUNNING QUERIES":
            return self.queries()
        if w == "SHOW WAREHOUSES" and self.shared_data:
            # The two numbers of queries are not built there: always 0.
            return WAREHOUSES, [[str(i), name, "AVAILABLE", str(len(self.living_in(name))), "1", "1", "1", "0", "0", "", "", "", "", ""]
                                for i, name in enumerate(self.warehouses)]
        if w == "SELECT NOW() AS NOW":
            return ["now"], [[time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())]]
        if w.startswith(("SET ", "SELECT 1", "SELECT @@")):
            return None if w.startswith("SET ") else (["1"], [["1"]])
        raise Refused(f"Getting syntax error from line 1, column 0. Detail message: Unexpected input '{words[:20]}'.")

    # ---- rows ----
    def frontend(self, f):
        return [f"{f.host}_{f.port}_1", f.host, str(f.port), "8030", "9030", "9020", f.role, "1", *(str(x).lower() for x in (f.join, f.alive)),
                "7", "2026-01-01 00:00:00", str(f.role != "OBSERVER").lower(), "", "2026-01-01 00:00:00", "3.5.0-double"]

    def head(self, i, n):
        gone = str(n.decommissioned).lower()
        return [str(10000 + i), n.host, str(n.port), "9060", "8040", "8060", "2026-01-01 00:00:00", "2026-01-01 00:00:00",
                str(n.alive).lower(), gone, "false"]

    def backend(self, i, b):
        rest = [str(b.tablets), "0.000 ", "1.000 GB", "1.000 GB", "0.00 %", "0.00 %", "", "3.5.0-double", "{}", "0.000 ", "0.00 %", "4",
                "1.000GB", str(b.running), "0.00 %", "0.0 %", "N/A", ""]
        return self.head(i, b) + rest

    def node(self, i, n):
        return self.head(i, n) + ["", "3.5.0-double", "4", str(n.running), "0.00 %", "0.0 %", "true", "9070", str(i),
                                  n.warehouse if self.shared_data else "", "0"]

    # ---- the wire ----
    def accept(self):
        while self.open:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer:
            try:
                peer, user = self.handshake(peer)
                while user and self.command(peer, user):
                    pass
            except (OSError, EOFError):
                pass

    def handshake(self, peer):
        """The stream, encrypted where it is, and who logged in; None: nobody."""
        salt = bytes(b % 94 + 33 for b in os.urandom(20))
        caps = 0x1 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x80000 | (0x800 if self.tls else 0)
        send(peer, 0, b"\x0a8.0.33\0" + struct.pack("<I", 1) + salt[:8] + b"\0" + struct.pack("<H", caps & 0xffff) + b"\x21\x02\0" +
             struct.pack("<H", caps >> 16) + bytes([21]) + bytes(10) + salt[8:] + b"\0mysql_native_password\0")
        seq, answer = receive(peer)
        while self.open and self.hang_tls:
            time.sleep(0.1)
        if self.tls and len(answer) == 32:
            peer = self.tls.wrap_socket(peer, server_side=True)
            seq, answer = receive(peer)
        elif self.tls:
            self.violations.append("somebody logs in in the clear")
            return peer, None
        user_end = answer.index(b"\0", 32)
        user, size = answer[32:user_end].decode(), answer[user_end + 1]
        with self.lock:
            known = self.users.get(user)
        password = self.password if user == "root" else known.password if known else None
        if password is None or answer[user_end + 2:user_end + 2 + size] != scramble(password, salt):
            send(peer, seq + 1, error(1045, "28000", f"Access denied for user '{user}' (using password: YES)"))
            return peer, None
        send(peer, seq + 1, b"\0\0\0\2\0\0\0")
        return peer, user

    def command(self, peer, user):
        seq, body = receive(peer)
        if body[0] == 1:
            return False
        if body[0] != 3:
            send(peer, seq + 1, b"\0\0\0\2\0\0\0")
            return True
        sql = body[1:].decode()
        if self.hang and re.search(self.hang, sql):
            while self.open and self.hang:
                time.sleep(0.1)
            return False
        if self.reset and re.search(self.reset, sql):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        try:
            if self.fail and re.search(self.fail, sql):
                raise Refused("planted failure")
            result = self.execute(sql, user)
        except Refused as refusal:
            denied = isinstance(refusal, Denied)
            send(peer, seq + 1, error(5203 if denied else 1064, "42000" if denied else "HY000", str(refusal)))
            return True
        if result is None:
            send(peer, seq + 1, b"\0\0\0\2\0\0\0")
        else:
            send_rows(peer, seq + 1, *result)
        return True


class Web(http.server.BaseHTTPRequestHandler):
    """What takes no credential."""

    def do_GET(self):
        double = self.server.double
        body = {"/metrics": double.metrics,
                "/api/v2/feature": lambda: json.dumps({"features": [{"name": "multi-warehouse"}] if double.shared_data else []})}.get(self.path)
        data = body().encode() if body else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def scramble(password, salt):
    if not password:
        return b""
    one = hashlib.sha1(password.encode()).digest()
    two = hashlib.sha1(salt + hashlib.sha1(one).digest()).digest()
    return bytes(a ^ b for a, b in zip(one, two))


def exactly(peer, n):
    data = b""
    while len(data) < n:
        more = peer.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive(peer):
    head = exactly(peer, 4)
    return head[3], exactly(peer, int.from_bytes(head[:3], "little"))


def send(peer, seq, body):
    peer.sendall(len(body).to_bytes(3, "little") + bytes([seq & 255]) + body)


def error(number, state, text):
    return b"\xff" + struct.pack("<H", number) + b"#" + state.encode() + text.encode()


def text_of(value):
    data = value.encode()
    return (bytes([len(data)]) if len(data) < 251 else b"\xfc" + struct.pack("<H", len(data))) + data


def send_rows(peer, seq, columns, rows):
    send(peer, seq, bytes([len(columns)]))
    for name in columns:
        seq += 1
        send(peer, seq, text_of("def") + text_of("") * 3 + text_of(name) * 2 + b"\x0c\x21\0" + struct.pack("<I", 1024) + b"\xfd\0\0\0\0\0")
    send(peer, seq + 1, b"\xfe\0\0\2\0")
    seq += 2
    for row in rows:
        send(peer, seq, b"".join(b"\xfb" if cell is None else text_of(cell) for cell in row))
        seq += 1
    send(peer, seq, b"\xfe\0\0\2\0")

"""A TLS-terminating proxy in front of an API server: HTTP/1.1, one gate for each client, rules that hurt it."""

import asyncio
import itertools
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse

from faultproxy.oracle import Oracle

HEAD_MAX = 1 << 20
IDLE_S = 5
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


class Request:
    """One request: verb is GET, LIST, WATCH, POST, PUT, PATCH, DELETE."""

    def __init__(self, identity, method, target, headers, body):
        self.identity, self.method, self.target, self.headers, self.body = identity, method, target, headers, body
        url = urllib.parse.urlsplit(target)
        self.path, self.query = url.path, urllib.parse.parse_qs(url.query)
        part = re.match(r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/([^/]+)(?=/))?/([^/]+)(?:/([^/]+))?(?:/([^/]+))?$", self.path)
        self.namespace, self.plural, self.name, self.sub = part.groups() if part else (None, "", None, None)
        self.verb, self.status = self.method, None
        if self.method == "GET" and "watch" in self.query:
            self.verb = "WATCH"
        elif self.method == "GET" and not self.name:
            self.verb = "LIST"

    @property
    def is_write(self):
        return self.method in ("POST", "PUT", "PATCH", "DELETE")

    def json(self):
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None

    def __repr__(self):
        return f"{self.identity} {self.verb} {self.target}"


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        try:
            return json.loads(self.body) if self.body else None
        except ValueError:
            return None


class Cut(Exception):
    """Ends the client's connection; abrupt means RST."""

    def __init__(self, abrupt=True):
        super().__init__()
        self.abrupt = abrupt


class Exchange:
    """A request under way, for an action: forward() asks the API server, send() answers the client."""

    def __init__(self, proxy, request, reader, writer):
        self.proxy, self.request, self.reader, self.writer = proxy, request, reader, writer
        self.answered = False

    async def forward(self):
        """The API server's answer, whole; a write that it accepted is logged."""
        if self.request.is_write:
            await asyncio.to_thread(self.proxy.oracle.about_to, self.request)
        reader, writer = await self.proxy.ask(self.request, keep=True)
        try:
            status, headers = await read_reply_head(reader)
            reply = Reply(status, headers, await read_body(reader, headers))
        except BaseException:
            writer.close()
            raise
        self.proxy.keep(headers, reader, writer)
        if self.request.is_write:
            self.proxy.oracle.wrote(self.request, reply)
        return reply

    async def send(self, reply):
        self.answered, self.request.status = True, reply.status
        self.writer.write(head_of(reply, len(reply.body)) + reply.body)
        await self.writer.drain()

    async def stream(self, on_event):
        """Passes a watch on; on_event(n, line) gives the lines to send instead, and may raise Cut."""
        reader, writer = await self.proxy.ask(self.request)
        self.answered = True
        try:
            status, headers = await read_reply_head(reader)
            if status != 200:
                return await self.send(Reply(status, headers, await read_body(reader, headers)))
            self.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            n, rest = 0, b""
            async for data in chunks_of(reader):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.startswith(b'{"type":"ERROR"'):
                        self.request.status = json.loads(line)["object"].get("code")
                    for out in await on_event(n, line) if on_event else [line]:
                        self.writer.write(b"%x\r\n%s\n\r\n" % (len(out) + 1, out))
                    n += 1
                await self.writer.drain()
            self.writer.write(b"0\r\n\r\n")
            await self.writer.drain()
        finally:
            writer.close()


class Rule:
    def __init__(self, act, verb=None, path="", identity=None, skip=0, times=None):
        self.act, self.verb, self.path, self.identity, self.skip, self.times = act, verb, re.compile(path), identity, skip, times
        self.seen = self.fired = 0
        self.exchanges = []  # [began, ended or None] of each that it took, by the monotonic clock

    def takes(self, request):
        if (self.verb and request.verb not in self.verb.split("|")) or (self.identity and request.identity != self.identity):
            return False
        if not self.path.search(request.target):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    async def spoil(self, x):
        span = [time.monotonic(), None]
        self.exchanges.append(span)
        try:
            await self.act(x)
        finally:
            span[1] = time.monotonic()

    def last(self, now):
        """When its fault was last at work: the end of an exchange; of one that is open, its beginning unless it hides all along."""
        return max((end or (now if getattr(self.act, "lasts", False) else began) for began, end in self.exchanges), default=0)


def head_of(reply, length):
    lines = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {length}"]
    lines += [f"{k}: {v}" for k, v in reply.headers.items() if k.lower() in ("content-type", "retry-after")]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def read_head(reader):
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.rstrip().split("\r\n")
    return first, {k.strip().lower(): v.strip() for k, v in (line.split(":", 1) for line in lines)}


async def read_reply_head(reader):
    first, headers = await read_head(reader)
    return int(first.split()[1]), headers


async def chunks_of(reader):
    while True:
        size = int((await reader.readuntil(b"\r\n")).strip() or b"0", 16)
        data = await reader.readexactly(size)
        await reader.readexactly(2)
        if not size:
            return
        yield data


async def read_body(reader, headers):
    if headers.get("transfer-encoding") == "chunked":
        return b"".join([c async for c in chunks_of(reader)])
    return await reader.readexactly(int(headers.get("content-length", 0)))


def certificate(folder):
    """cert.pem and key.pem for 127.0.0.1; a month old where libfaketime is, for clients whose clock goes after."""
    past = {"LD_PRELOAD": FAKETIME, "FAKETIME": "-30d"} if os.path.exists(FAKETIME) else {}
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365",
                    "-subj", "/CN=fault proxy", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True, env={**os.environ, **past})


NUMBERS = itertools.count()


class Proxy:
    """`with Proxy(plane) as p: kubeconfig = p.gate("operator")`; rules with p.rule(...), gone with p.calm()."""

    def __init__(self, plane, oracle=None):
        self.plane, self.rules, self.requests = plane, [], []
        self.oracle = oracle or Oracle()
        self.folder = plane.folder / f"proxy-{next(NUMBERS)}"
        self.host, self.port = "127.0.0.1", plane.port
        self.up = ssl.create_default_context(cafile=plane.folder / "apiserver/apiserver.crt")
        self.connections, self.idle = set(), []
        self.serving = set()  # asyncio lets go of a task whose client has died, although a write of it is on its way

    # ---- life ----
    def __enter__(self):
        self.folder.mkdir()
        certificate(self.folder)
        self.down = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.down.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        self.down.set_alpn_protocols(["http/1.1"])
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        async def end():
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(end(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def gate(self, identity, token=None):
        """A kubeconfig whose requests come in under this identity."""
        async def listen():
            server = await asyncio.start_server(lambda r, w: self.serve(identity, r, w), "127.0.0.1", 0, ssl=self.down, limit=HEAD_MAX)
            return server.sockets[0].getsockname()[1]
        port = asyncio.run_coroutine_threadsafe(listen(), self.loop).result(30)
        return self.plane.write_kubeconfig(self.folder / f"{identity}.kubeconfig", token or self.plane.token,
                                           url=f"https://127.0.0.1:{port}", ca=self.folder / "cert.pem")

    def rule(self, act, **where):
        rule = Rule(act, **where)
        self.rules.insert(0, rule)
        return rule

    def calm(self):
        self.rules.clear()

    def cut_all(self):
        """RST on every connection, as when the API server's machine is switched off."""
        def go():
            for writer in list(self.connections):
                reset(writer)
        self.loop.call_soon_threadsafe(go)

    @property
    def writes(self):
        return self.oracle.writes

    # ---- one connection ----
    async def serve(self, identity, reader, writer):
        self.connections.add(writer)
        self.serving.add(asyncio.current_task())
        try:
            while True:
                first, headers = await read_head(reader)
                method, target, _ = first.split()
                body = await read_body(reader, headers)
                request = Request(identity, method, target, headers, body)
                self.requests.append(request)
                await self.exchange(Exchange(self, request, reader, writer))
                request.body = b""
        except Cut as cut:
            if cut.abrupt:
                reset(writer)
        except (OSError, asyncio.IncompleteReadError, ssl.SSLError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            self.connections.discard(writer)
            self.serving.discard(asyncio.current_task())
            writer.close()

    async def exchange(self, x):
        for rule in self.rules:
            if rule.takes(x.request):
                await rule.spoil(x)
                if x.answered:
                    return
                break
        if x.request.verb == "WATCH":
            await x.stream(None)
        else:
            await x.send(await x.forward())

    def keep(self, headers, reader, writer):
        """A connection whose answer was read whole serves the next request."""
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self.idle.append((time.monotonic(), reader, writer))

    async def connect(self):
        """One that was idle for a while may be on its way out: a write must not be lost on it."""
        while self.idle:
            since, reader, writer = self.idle.pop()
            if time.monotonic() - since < IDLE_S and not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self.host, self.port, ssl=self.up, limit=HEAD_MAX * 64)

    async def ask(self, request, keep=False):
        reader, writer = await self.connect()
        lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {self.host}:{self.port}",
                 f"Connection: {'keep-alive' if keep else 'close'}"]
        lines += [f"{k}: {v}" for k, v in request.headers.items()
                  if k not in ("host", "connection", "content-length", "accept-encoding", "transfer-encoding", "expect")]
        lines.append(f"Content-Length: {len(request.body)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + request.body)
        await writer.drain()
        return reader, writer


def reset(writer):
    raw = writer.get_extra_info("socket")
    try:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()

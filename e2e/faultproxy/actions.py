"""What a rule does to an exchange. An action that neither answers nor cuts lets the request through."""

import asyncio
import json
import os
import signal

from faultproxy.proxy import Cut, Reply


def status(code, reason="", message="a fault was planted", retry_after=None):
    """Refuses without asking the API server."""
    async def act(x):
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code}
        headers = {"content-type": "application/json"}
        if retry_after is not None:
            headers["retry-after"] = retry_after
        await x.send(Reply(code, headers, json.dumps(body).encode()))
    return act


async def cut(x):
    """RST before anything is forwarded."""
    raise Cut()


async def hang(x):
    """Neither forwarded nor answered; ends with the client's patience."""
    x.answered = True
    await x.reader.read(1)


async def commit_unanswered(x):
    """The API server carries it out, the client hears nothing."""
    await x.forward()
    raise Cut()


async def commit_hang(x):
    await x.forward()
    await hang(x)


async def truncate(x):
    """Half of the JSON, under the length of the whole."""
    reply = await x.forward()
    x.writer.write(whole_head(reply) + reply.body[: len(reply.body) // 2])
    await x.writer.drain()
    raise Cut(abrupt=False)


async def garbage(x):
    """A complete answer that is not JSON."""
    reply = await x.forward()
    await x.send(Reply(reply.status, reply.headers, b'{"kind": "StatefulSet", "metadata": {' + b"[" * 2000))


async def bad_chunk(x):
    await x.forward()
    x.answered = True
    x.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
    await x.writer.drain()
    raise Cut(abrupt=False)


async def slow(x):
    """One byte a second."""
    reply = await x.forward()
    x.answered = True
    text = whole_head(reply) + reply.body
    for i in range(len(text)):
        x.writer.write(text[i: i + 1])
        await x.writer.drain()
        await asyncio.sleep(1)


def whole_head(reply):
    from faultproxy.proxy import head_of

    return head_of(reply, len(reply.body))


# ---- watches ----
def watch_cut(after):
    async def act(x):
        async def on_event(n, line):
            if n >= after:
                raise Cut()
            return [line]
        await x.stream(on_event)
    return act


def watch_blackhole(after):
    """Half-open: bytes stop after some events, the connection stays."""
    async def act(x):
        async def on_event(n, line):
            return [line] if n < after else []
        await x.stream(on_event)
    act.lasts = True
    return act


def watch_late(seconds):
    """Each event comes so much later."""
    async def act(x):
        async def on_event(n, line):
            await asyncio.sleep(seconds)
            return [line]
        await x.stream(on_event)
    act.lasts = True
    return act


def watch_hide(match):
    """Hides each event that match(event) names."""
    async def act(x):
        async def on_event(n, line):
            return [] if match(json.loads(line)) else [line]
        await x.stream(on_event)
    act.lasts = True
    return act


def watch_gone(after):
    """410 as an ERROR event in a stream that began with 200."""
    gone = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410,
                                        "message": "too old resource version"}}
    async def act(x):
        async def on_event(n, line):
            return [line] if n < after else [json.dumps(gone).encode()]
        await x.stream(on_event)
    return act


async def watch_gone_at_once(x):
    """The same, where nothing else happens in the collection."""
    x.answered = True
    event = json.dumps({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
                                                    "code": 410, "message": "too old resource version"}}).encode()
    x.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    x.writer.write(b"%x\r\n%s\n\r\n0\r\n\r\n" % (len(event) + 1, event))
    await x.writer.drain()


def watch_garbage(after):
    async def act(x):
        async def on_event(n, line):
            return [line] if n < after else [line[: len(line) // 2]]
        await x.stream(on_event)
    return act


# ---- stale reads ----
class Stale:
    """Answers GET and LIST with what the API server said when frozen; watches from then on see nothing new."""

    def __init__(self):
        self.kept = {}

    async def learn(self, x):
        reply = await x.forward()
        self.kept[x.request.target] = reply
        await x.send(reply)

    async def replay(self, x):
        if x.request.target in self.kept:
            await x.send(self.kept[x.request.target])


# ---- processes ----
def crash(when, pid):
    """kill -9 of pid(): "before" the write is forwarded, "unanswered" after it is committed, "after" the answer is sent."""
    async def act(x):
        if when == "before":
            kill(pid)
            raise Cut()
        reply = await x.forward()
        if when == "unanswered":
            kill(pid)
            raise Cut()
        await x.send(reply)
        await asyncio.sleep(0.002)
        kill(pid)
    return act


def kill(pid):
    try:
        os.kill(pid(), signal.SIGKILL)
    except ProcessLookupError:
        pass

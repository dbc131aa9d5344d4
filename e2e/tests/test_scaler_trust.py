"""Who may ask roost-scaler, while it runs: certificate, client CA and bearer token are replaced as a kubelet does it (a link that
changes), and connections that are open go on.
"""

import http.client
import json
import os
import signal
import ssl
import subprocess
import threading

import pytest

from conftest import wait_until
from engine_fixture import BUILD, Process, free_ports
from scaler_double import TOKEN, FeDouble

PATH = "/v1/namespaces/ns/clusters/c/pools/cn"


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def authority(folder):
    """A CA with a server's and a client's certificate of it."""
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "ca.key", "-out", folder / "ca.crt", "-days", "2", "-subj",
            f"/CN={folder.name}")
    for name, more in (("server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth"), ("client", "extendedKeyUsage=clientAuth")):
        (folder / "ext").write_text(more + "\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / f"{name}.key", "-out", folder / "csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", folder / "csr", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", folder / "ext", "-out", folder / f"{name}.crt")
    return folder


class Secret:
    """A folder of files that are links through ..data, which a change replaces in one step: a Secret's volume."""

    def __init__(self, folder):
        self.folder, self.n = folder, 0
        folder.mkdir()

    def put(self, files):
        self.n += 1
        version = self.folder / f"..{self.n}"
        version.mkdir()
        for name, text in files.items():
            (version / name).write_text(text)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..tmp").symlink_to(version.name)
        os.replace(self.folder / "..tmp", self.folder / "..data")


class Caller:
    """One connection that stays."""

    def __init__(self, port, trusts, is_a=None):
        self.context = ssl.create_default_context(cafile=trusts / "ca.crt")
        if is_a:
            self.context.load_cert_chain(is_a / "client.crt", is_a / "client.key")
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=self.context)
        self.connection.connect()
        self.socket = self.connection.sock

    def ask(self, token):
        self.connection.request("GET", PATH, headers={"Authorization": f"Bearer {token}"})
        answer = self.connection.getresponse()
        body = answer.read()
        assert self.connection.sock is self.socket, "over the connection that was open"
        return answer.status, body


def may_ask(port, trusts, is_a, token):
    """The status of a new caller, or None when it gets no connection."""
    try:
        return Caller(port, trusts, is_a).ask(token)[0]
    except OSError:  # also of TLS; with TLS 1.3 a client is told with its first answer
        return None


@pytest.fixture
def world(tmp_path):
    (tmp_path / "fe-token").write_text(TOKEN)
    fe = FeDouble("roost", tmp_path)
    old, new, secret = authority(tmp_path / "old"), authority(tmp_path / "new"), Secret(tmp_path / "secret")

    def files(of, token):
        return {"tls.crt": (of / "server.crt").read_text(), "tls.key": (of / "server.key").read_text(),
                "ca.crt": (of / "ca.crt").read_text(), "token": token}

    secret.put(files(old, "first\n"))
    (tmp_path / "scaler.json").write_text(json.dumps({"clusters": [{**fe.config("c"), "tokenFile": str(tmp_path / "fe-token")}]}))
    port = free_ports(1)[0]
    at = secret.folder
    scaler = Process("scaler", [BUILD / "roost-scaler", "--config", tmp_path / "scaler.json", "--listen", f"127.0.0.1:{port}", "--token-file",
                                at / "token", "--tls-cert", at / "tls.crt", "--tls-key", at / "tls.key", "--client-ca", at / "ca.crt"], tmp_path)
    wait_until("it answers", lambda: may_ask(port, old, old, "first") == 200, 60)
    yield port, old, new, secret, files, scaler
    assert scaler.alive(), "it was never restarted"
    assert scaler.stop(signal.SIGTERM) == 0
    fe.close()


def test_all_is_replaced_while_connections_are_open(world):
    port, old, new, secret, files, _ = world
    kept, stop, statuses = Caller(port, old, old), threading.Event(), []
    assert kept.ask("first")[0] == 200
    busy = Caller(port, old, old)

    def go_on():
        token = "first"
        while not stop.is_set():
            statuses.append(busy.ask(token)[0])
            token = "second" if statuses[-1] == 401 else token

    thread = threading.Thread(target=go_on)
    thread.start()
    assert may_ask(port, old, None, "first") is None, "a client without a certificate"
    assert may_ask(port, old, new, "first") is None, "a client of another CA"
    assert may_ask(port, old, old, "wrong") == 401

    secret.put(files(new, "first\nsecond\n"))  # both tokens for a while, as one rotates them
    assert may_ask(port, new, new, "first") == 200 and may_ask(port, new, new, "second") == 200, "counts at once"
    assert may_ask(port, old, old, "first") is None and may_ask(port, new, old, "first") is None, "the old ones are no good any more"
    assert kept.ask("first")[0] == 200 and kept.ask("second")[0] == 200, "an open connection goes on, and its token is the new one"

    secret.put(files(new, "second\n"))
    assert kept.ask("first")[0] == 401 and kept.ask("second")[0] == 200
    wait_until("the busy one goes on with the new token", lambda: statuses[-1] == 200 and 401 in statuses, 30)
    stop.set()
    thread.join()
    print(f"{len(statuses)} answers over one connection, {statuses.count(401)} of them 401")
    assert set(statuses) == {200, 401} and statuses.count(401) == 1


def test_what_is_no_good_changes_nothing(world):
    """Half a pair, rubbish, an empty token: what was read stays valid until it is good again."""
    port, old, new, secret, files, scaler = world
    good = files(old, "first\n")
    for name, text in (("tls.crt", files(new, "")["tls.crt"]), ("tls.key", "rubbish"), ("ca.crt", ""), ("token", "\n")):
        secret.put({**good, name: text})
        assert may_ask(port, old, old, "first") == 200, name
        assert may_ask(port, old, old, "") == 401, name
    log = scaler.log.read_text()
    assert "TLS certificate kept as it was" in log and "token file kept as it was" in log
    secret.put(files(new, "second\n"))
    assert may_ask(port, new, new, "second") == 200 and may_ask(port, old, old, "first") is None

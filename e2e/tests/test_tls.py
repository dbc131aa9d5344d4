"""TLS to the FE, against the double with real certificates: each that is not to be trusted is refused by name, nothing is said in
the clear, and nobody else notices. The FE's name leads to its Service's address by /etc/hosts, as DNS would.
"""

import base64
import itertools
import json
import os
import re
import ssl

import pytest

import operator_fixture
from conftest import wait_until
from double_fixture import world
from scaler_double import certificates

TURN = itertools.count(1)


@pytest.fixture
def w(plane_of_doubles, tmp_path, monkeypatch):
    """The operator in a mount namespace of its own with /etc/hosts of the test's."""
    if os.geteuid() != 0:
        pytest.skip("a mount namespace takes root")
    hosts, start = tmp_path / "hosts", tmp_path / "operator"
    hosts.write_text("127.0.0.1 localhost\n")
    start.write_text(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {hosts} /etc/hosts && exec {operator_fixture.OPERATOR} \"$@\"' -- \"$@\"\n")
    start.chmod(0o755)
    monkeypatch.setattr(operator_fixture, "OPERATOR", start)
    with world(plane_of_doubles, tmp_path) as one:
        one.hosts = hosts
        yield one


def authority(folder, name):
    """A CA and certificates for that name: {good, expired} as contexts of a server, and ca as text."""
    folder.mkdir()
    certificates(folder, f"DNS:{name}")
    made = {"ca": (folder / "ca.pem").read_text()}
    for which in ("good", "expired"):
        made[which] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made[which].load_cert_chain(folder / f"{which}.pem")
    return made


def put(w, ca):
    """The CA under a new name, so that the FE is asked at once; the old one stays."""
    name = f"ca-{next(TURN)}"
    w.plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"ca.crt": ca}}], w.namespace)
    w.plane.kubectl("-n", w.namespace, "patch", "src", "c", "--type=merge", "-p", json.dumps({"spec": {"tls": {"caSecretName": name}}}))
    return name


def silent(w):
    with w.double.lock:
        return not w.double.by


def test_only_a_certificate_that_holds_is_talked_to(w, tmp_path):
    name = f"c-fe-service.{w.namespace}.svc.cluster.local"
    ours, other, wrong = (authority(tmp_path / n, host) for n, host in (("ours", name), ("other", name), ("wrong", "elsewhere.example")))
    w.more = {"tls": {"secretName": "fe-tls"}}
    w.create(fe=(1, {}), be=(1, {}))
    w.hosts.write_text(f"127.0.0.1 localhost\n{w.double.server.getsockname()[0]} {name}\n")
    # No Secret, then an FE that speaks in the clear only.
    assert "spec.tls: Secret fe-tls cannot be read" in w.degraded("TlsRefused", 90)
    put(w, ours["ca"])
    wait_until("the clear is refused", lambda: "spec.tls" not in w.condition("Degraded").get("message", "spec.tls"), 90)
    assert w.condition("Degraded")["reason"] == "TlsRefused" and silent(w)
    for served, ca, reason in ((ours["expired"], ours["ca"], "expired"), (other["good"], ours["ca"], "signature|issuer|self"),
                               (wrong["good"], wrong["ca"], "name|validation")):
        w.double.tls = served
        put(w, ca)
        said = wait_until(f"it is told: {reason}", lambda reason=reason: (lambda c: c["message"] if c.get("reason") == "TlsRefused" and re.search(
            reason, c["message"].lower().split("9030: ", 1)[-1]) else None)(w.condition("Degraded")), 60)
        print(f"{reason}: {said}")
        assert silent(w), said
    # A handshake that never ends holds up nobody.
    w.double.hang_tls = True
    put(w, ours["ca"])
    w.plane.kubectl("-n", w.namespace, "delete", "svc", "c-be-service")
    wait_until("others are looked after", lambda: w.plane.kubectl("-n", w.namespace, "get", "svc", "c-be-service", check=False), 60)
    assert silent(w)
    w.double.hang_tls = False
    w.double.tls = ours["good"]
    at = put(w, ours["ca"])
    w.settle()
    assert not silent(w)
    # The FE has a certificate of another CA by now: the Secret's new content is enough.
    w.double.tls = other["good"]
    with w.double.lock:
        w.double.by.clear()
    data = {"data": {"ca.crt": base64.b64encode(other["ca"].encode()).decode()}}
    w.plane.kubectl("-n", w.namespace, "patch", "secret", at, "--type=merge", "-p", json.dumps(data))
    wait_until("it is asked over the new one", lambda: not silent(w), 120)



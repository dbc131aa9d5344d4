"""The root password from a Secret and its rotation: the operator on a control plane, the FE a real roost-fe behind the
Service's address.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import threading

import pymysql
import pytest

from conftest import wait_until
from engine_fixture import Engine
from operator_fixture import condition, cr, part
from test_status import events, make_ready


def pump(a, b):
    with contextlib.suppress(OSError):
        while data := a.recv(65536):
            b.sendall(data)
    for s in (a, b):
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def forwarded(address, port, to):
    """What kube-proxy would do: the Service's address leads to the FE's port on the loopback interface."""
    if os.geteuid() != 0:
        pytest.skip("an address on the loopback interface takes root")
    subprocess.run(["ip", "addr", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        with socket.create_server((address, port)) as server:
            def serve():
                with contextlib.suppress(OSError):
                    while True:
                        client, _ = server.accept()
                        fe = socket.create_connection(("127.0.0.1", to))
                        for a, b in ((client, fe), (fe, client)):
                            threading.Thread(target=pump, args=(a, b), daemon=True).start()

            threading.Thread(target=serve, daemon=True).start()
            yield
    finally:
        subprocess.run(["ip", "addr", "del", f"{address}/32", "dev", "lo"], check=True)


def opens(engine, password):
    try:
        engine.sql("SELECT 1", password=password)
        return True
    except pymysql.err.OperationalError as error:
        assert error.args[0] == 1045, error
        return False


def put(plane, ns, **values):
    data = {k: base64.b64encode(v.encode()).decode() if v else None for k, v in values.items()}
    plane.kubectl("-n", ns, "patch", "secret", "root", "--type=merge", "-p", json.dumps({"data": data}))


def test_the_password_follows_the_secret(plane, plane_namespace, plane_start, tmp_path):
    ns, words = plane_namespace, ["fir'st-9f3c", "second-77ab", "third-0d1e", "fourth-5c5c"]
    with Engine(be=0) as engine:
        plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "root"}, "stringData": {"password": words[0]}}], ns)
        operator = plane_start()
        plane.apply([{**cr(ns, starRocksFeSpec=part(), rootPasswordSecret={"name": "root"})}])
        address = wait_until("the Service", lambda: plane.get("-n", ns, "svc", "c-fe-service")["spec"].get("clusterIP"), 60)
        with forwarded(address, 9030, engine.query_port):
            session = engine.connect()
            wait_until("the FE's pod is ready", lambda: make_ready(plane, ns, "fe") or
                       condition(plane, ns, "Ready").get("status") == "True", 60)
            wait_until("the first password", lambda: opens(engine, words[0]), 60)
            assert not opens(engine, "")
            put(plane, ns, password=words[1])
            wait_until("the second", lambda: opens(engine, words[1]), 60)
            assert not opens(engine, words[0])
            # Whoever was connected still is.
            with session.cursor() as cursor:
                cursor.execute("SELECT 1")
                assert cursor.fetchall() == ((1,),) or cursor.rowcount == 1
            # Changed while no operator looks: the Secret says what was before.
            operator.stop()
            put(plane, ns, password=words[2], previous=words[1])
            operator = plane_start()
            wait_until("the third", lambda: opens(engine, words[2]), 60)
            # The same without a word of what was before: nothing is broken, and it is told.
            operator.stop()
            put(plane, ns, password=words[3], previous=None)
            plane_start()
            wait_until("it is told", lambda: condition(plane, ns, "Degraded").get("reason") == "RootPasswordRefused", 60)
            assert opens(engine, words[2])
            put(plane, ns, previous=words[2])
            wait_until("the fourth", lambda: opens(engine, words[3]), 60)
            wait_until("all is well", lambda: condition(plane, ns, "Degraded").get("status") == "False", 60)
            session.close()
    env = plane.get("-n", ns, "sts", "c-fe")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "MYSQL_PWD", "valueFrom": {"secretKeyRef": {"name": "root", "key": "password"}}} in env
    assert events(plane, ns, "RootPasswordChanged")
    told = plane.kubectl("-n", ns, "get", "src,sts,deploy,svc,cm,pods,events", "-o", "json")
    told += "".join(p.read_text() for p in tmp_path.glob("operator-*.log"))
    for word in words:
        assert word not in told and base64.b64encode(word.encode()).decode() not in told

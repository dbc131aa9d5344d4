"""KEDA's own scaler code (its module, e2e/cluster/go-keda/scalerclient) asks our scaler: what KEDA would see, it sees here."""

import json
import os
import subprocess

import pytest

from conftest import REPO, TOOLS, run, wait_until
from scaler_double import TOKEN, FeDouble
from test_scaler_cells import Scaler, healthy

BIN = REPO / "build" / "cluster" / "bin"
PATH = "/v1/namespaces/ns/clusters/c/pools/cn"


@pytest.fixture(scope="module")
def keda():
    """A function: a trigger's kind, metadata and credentials to what KEDA makes of our answer."""
    if not (BIN / "keda-operator").exists() and os.environ.get("ROOST_SOAK") != "1":
        pytest.skip("KEDA's module is not built (8 min when cold): ROOST_SOAK=1 builds it, so does e2e/cluster/build-bin keda-operator")
    run(TOOLS / "build-bin", "scalerclient", timeout=2400)

    def ask(kind, metadata, auth=None, timeout_ms=1000):
        question = json.dumps({"kind": kind, "metadata": metadata, "auth": auth or {}, "timeout_ms": timeout_ms})
        done = subprocess.run([BIN / "scalerclient"], input=question + "\n", text=True, capture_output=True, timeout=60, check=True)
        return json.loads(done.stdout)

    return ask


@pytest.fixture
def world(tmp_path):
    (tmp_path / "fe-token").write_text(TOKEN)
    fe = FeDouble("roost", tmp_path)
    scaler = Scaler(tmp_path, {"clusters": [{**fe.config("c"), "tokenFile": str(tmp_path / "fe-token")}], "maxAge": "2s"})
    wait_until("the scaler answers", lambda: healthy(scaler))
    wait_until("the load is known", lambda: scaler.pool("c")[0] == 200)
    yield fe, scaler
    scaler.process.stop()
    fe.close()


def metrics_api(scaler, **more):
    return {"url": f"http://127.0.0.1:{scaler.port}{PATH}", "valueLocation": "desired", "targetValue": "1", "authMode": "bearer", **more}


def prometheus(scaler, **more):
    return {"serverAddress": f"http://127.0.0.1:{scaler.port}", "query": 'roost_pool_desired{namespace="ns",cluster="c",pool="cn"}',
            "threshold": "1", "authModes": "bearer", **more}


AUTH = {"token": "caller"}, {"bearerToken": "caller"}


def test_the_wanted_number(keda, world):
    _, scaler = world
    assert keda("metrics-api", metrics_api(scaler), AUTH[0]) == {"value": 5, "active": True, "target": "1"}
    assert keda("prometheus", prometheus(scaler), AUTH[1]) == {"value": 5, "active": True, "target": "1"}
    answer = keda("metrics-api", metrics_api(scaler, valueLocation="queue.pending"), AUTH[0])
    assert answer["value"] == 7
    answer = keda("metrics-api", {**metrics_api(scaler), "url": f"http://127.0.0.1:{scaler.port}/metrics", "format": "prometheus",
                                  "valueLocation": 'roost_pool_desired{namespace="ns",cluster="c",pool="cn"}'}, AUTH[0])
    assert answer["value"] == 5


def test_an_unknown_load_is_an_error_and_no_zero(keda, world):
    fe, scaler = world
    fe.mode = "nan"
    wait_until("the load is too old", lambda: scaler.pool("c")[0] == 503)
    for answer in (keda("metrics-api", metrics_api(scaler), AUTH[0]), keda("prometheus", prometheus(scaler), AUTH[1])):
        assert "503" in answer["error"], answer
    fe.mode = "ok"
    wait_until("the load is known", lambda: scaler.pool("c")[0] == 200)
    assert keda("metrics-api", metrics_api(scaler), AUTH[0])["value"] == 5


def test_refusals_are_errors(keda, world):
    _, scaler = world
    assert "401" in keda("metrics-api", metrics_api(scaler), {"token": "wrong"})["error"]
    assert "401" in keda("prometheus", prometheus(scaler), {"bearerToken": "wrong"})["error"]
    missing = {**metrics_api(scaler), "url": metrics_api(scaler)["url"].replace("/c/", "/other/")}
    assert "404" in keda("metrics-api", missing, AUTH[0])["error"]
    assert keda("prometheus", prometheus(scaler, query="sum(roost_pool_desired)"), AUTH[1])["error"]
    assert keda("metrics-api", metrics_api(scaler, valueLocation="no.such"), AUTH[0])["error"]

"""Backends follow the scaler up and never down, on a real control plane with the strict double of StarRocks' FE."""

import time

import pytest

from conftest import wait_until
from double_fixture import double_plane, world
from keda_fixture import StubScaler


@pytest.fixture
def w(tmp_path):
    with double_plane() as plane, StubScaler(0) as scaler:
        plane.crds()
        (tmp_path / "token").write_text(scaler.token + "\n")
        with world(plane, tmp_path) as one:
            go = one.go
            one.go = lambda: go("--scaler-url", scaler.url, "--scaler-token-file", tmp_path / "token")
            one.scaler = scaler
            yield one


def test_out_on_the_signal_and_never_in(w):
    w.create(fe=(1, {}), be=(2, {"roostAutoscaling": {"maxReplicas": 4}}))
    w.settle()
    assert w.replicas("be") == 2
    w.scaler.desired = 3
    wait_until("a third backend", lambda: w.replicas("be") == 3, 60)
    w.settle()
    assert w.status()["starRocksBeStatus"]["scaledTo"] == 3
    # Less, nothing, silence: it stays, and no backend is emptied.
    for desired in (1, 0, None):
        w.scaler.desired = desired
        asked = len(w.scaler.asked)
        wait_until("it is asked again", lambda n=asked: len(w.scaler.asked) > n + 3, 60)
        assert w.replicas("be") == 3
    w.scaler.desired = 40
    wait_until("as many as are allowed", lambda: w.replicas("be") == 4, 60)
    w.scaler.desired = 0
    w.settle()
    # git writes the manifest again: its number is the least, not the number.
    w.patch(be={"replicas": 2})
    time.sleep(3)
    assert w.replicas("be") == 4 and not any("DECOMMISSION" in s for s in w.double.log)
    assert any(path.endswith("/pools/be") for path in w.scaler.asked)
    # A person wants fewer: the limit is lowered, and they leave empty.
    w.patch(be={"roostAutoscaling": {"maxReplicas": 3}})
    wait_until("three again", lambda: w.replicas("be") == 3, 120)
    assert any("DECOMMISSION" in s for s in w.double.log)

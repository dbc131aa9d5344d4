"""A wall clock that jumps by hours below a running operator (libfaketime): leases, deadlines and freshness are monotonic."""

import os
import time

import pytest

from conftest import wait_until
from double_fixture import World
from fault_plane import SOAK, cluster_cr, sample, scene

LIBRARY = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
JUMPS = ["+3h", "-5h", "+0 x2", "+30d", "-1h"]


class Clock:
    """The wall clock of the operators that are started while it is on; set() makes it jump for all of them."""

    def __init__(self, folder, monkeypatch):
        if not os.path.exists(LIBRARY):
            pytest.skip("no libfaketime: e2e/tools/deps check")
        self.file, self.monkeypatch = folder / "clock", monkeypatch
        self.set("+0")
        self.env = {"LD_PRELOAD": LIBRARY, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        half = self.file.with_suffix(".half")
        half.write_text(offset + "\n")
        half.replace(self.file)

    def __enter__(self):
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)

    def __exit__(self, *_):
        for name in self.env:
            self.monkeypatch.delenv(name)


def lease(s):
    spec = s.api.get("leases", "c6c79638.starrocks.com")["spec"]
    return spec["holderIdentity"], spec["leaseTransitions"]


def test_a_clock_that_jumps(kwok_plane, tmp_path, monkeypatch):
    """The leader keeps its lease (a second one waits), serves, and is quiet at rest."""
    clock = Clock(tmp_path, monkeypatch)
    with scene(kwok_plane, tmp_path) as s:
        with clock:
            s.start("operator-a", "--leader-elect")
        s.apply(cluster_cr(s.namespace))
        s.settle()
        s.start("operator-b", "--leader-elect")
        first = lease(s)
        for i, jump in enumerate(JUMPS if SOAK else JUMPS[:2]):
            clock.set(jump)
            s.patch({"spec": {"starRocksCnSpec": {"replicas": 2 + i}}})
            s.settle()
            renewed = s.api.get("leases", "c6c79638.starrocks.com")["spec"]["renewTime"]
            wait_until("the lease is renewed by the new clock", lambda: s.api.get(
                "leases", "c6c79638.starrocks.com")["spec"]["renewTime"] != renewed, 60)
            # Longer than the lease lasts, for a second one that waits for it.
            time.sleep(18 if SOAK or i == 0 else 1)
            assert lease(s) == first, f"the lease went over at {jump}"
            s.quiet()
        assert all(o.process.poll() is None for o in s.started)
        assert {w.identity for w in s.own_writes()} == {"operator-a"}


@pytest.mark.parametrize("offset", sample(["-5h", "+5h"], 1))
def test_an_upgrade_by_a_clock_that_is_wrong(plane_of_doubles, tmp_path, monkeypatch, offset):
    """The FE's answers and the API server's times come from different clocks: neither does the change halt, nor do two pods go
    for one answer."""
    clock = Clock(tmp_path, monkeypatch)
    with scene(plane_of_doubles, tmp_path) as s:
        def go():
            clock.set(offset)
            with clock:
                return s.start()
        w = World(plane_of_doubles, s.namespace, go)
        try:
            w.create(fe=(1, {}), be=(3, {}))
            w.settle()
            # The clock jumps in the middle of the change as well.
            w.patch(be={"image": "starrocks/be:3.4.0"})
            wait_until("the first backend", lambda: any(image.endswith(":3.4.0") for _, _, image in w.kubelet.changes), 90)
            clock.set("+0")
            wait_until("the second backend", lambda: sum(image.endswith(":3.4.0") for _, _, image in w.kubelet.changes) >= 2, 90)
            clock.set(offset)
            w.settle(120)
            assert s.oracle.disruptions == 3 and w.double.violations == []
        finally:
            if w.kubelet:
                w.kubelet.stop()
                w.double.close()

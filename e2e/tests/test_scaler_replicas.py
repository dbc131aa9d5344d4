"""Two scalers with one Lease on a real API server: they agree, and losing one leaves no gap; histories outlive a scaler."""

import json
import signal
import threading
import time

import pytest

from conftest import wait_until
from scaler_double import TOKEN, FeDouble
from test_scaler_cells import Scaler, healthy


@pytest.fixture
def fe(tmp_path):
    (tmp_path / "fe-token").write_text(TOKEN)
    double = FeDouble("roost", tmp_path)
    yield double
    double.close()


def start(folder, plane, namespace, fe, *flags):
    folder.mkdir()
    entry = {**fe.config("c"), "namespace": namespace, "tokenFile": str(fe.folder / "fe-token"), "scaleInWindow": 3600}
    scaler = Scaler(folder, {"clusters": [entry], "maxAge": "10s"}, "--kubeconfig", plane.kubeconfig, *flags)
    wait_until("the scaler answers", lambda: healthy(scaler), 120)
    scaler.path = f"/v1/namespaces/{namespace}/clusters/c/pools/cn"
    return scaler


def document(scaler):
    status, _, body = scaler.get(scaler.path)
    return json.loads(body) if status == 200 else None


def test_two_agree_and_one_is_enough(plane, plane_namespace, fe, tmp_path):
    plane.crds()
    lease = ("--lease", f"{plane_namespace}/roost-scaler")
    a = start(tmp_path / "a", plane, plane_namespace, fe, *lease)
    b = None
    try:
        first = wait_until("a leads", lambda: (d := document(a)) and d["epoch"] == 1 and d, 60)
        assert first["desired"] == 5
        fe.quiet = True
        # Whoever begins now sees one node and no queue, and would say 1 by itself.
        b = start(tmp_path / "b", plane, plane_namespace, fe, *lease)
        wait_until("both say the same", lambda: (x := document(a)) and (y := document(b)) and
                   (x["desired"], x["epoch"]) == (y["desired"], y["epoch"]) == (5, 1), 60)
        for _ in range(20):
            assert document(b)["desired"] == 5
            time.sleep(0.1)
        answers, refused, stop = [], [], threading.Event()

        def ask():
            while not stop.is_set():
                d = document(b)
                (answers if d else refused).append((time.monotonic(), d))
                time.sleep(0.02)

        thread = threading.Thread(target=ask)
        thread.start()
        time.sleep(1)
        a.process.stop(signal.SIGKILL)
        wait_until("b leads", lambda: answers and answers[-1][1]["epoch"] == 2, 60)
        stop.set()
        thread.join()
        gaps = [later[0] - earlier[0] for earlier, later in zip(answers, answers[1:])]
        # Each question was answered; the longest gap is the machine's, too, and told only.
        assert not refused, f"{len(refused)} times it did not know, {max(gaps):.2f} s without an answer"
        assert {d["desired"] for _, d in answers} == {5}
        assert [d["epoch"] for _, d in answers] == sorted(d["epoch"] for _, d in answers)
        print(f"{len(answers)} answers of the one that stayed, longest gap {max(gaps):.3f} s")
        b.process.stop(signal.SIGTERM)
        held = json.loads(plane.kubectl("-n", plane_namespace, "get", "lease", "roost-scaler", "-o", "json"))
        assert not held["spec"].get("holderIdentity"), "given up on SIGTERM"
    finally:
        for scaler in (a, b):
            if scaler and scaler.process.alive():
                scaler.process.stop(signal.SIGKILL)


def test_a_forecast_comes_from_prior_days_and_outlives_a_scaler(plane, plane_namespace, fe, tmp_path):
    plane.crds()
    fe.quiet = True
    today = int(time.time()) // 86400
    history = "\n".join(f"{today - day} 4*1440" for day in (3, 2, 1)) + "\n"
    plane.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c-roost-history", "namespace": plane_namespace},
                  "data": {"cn": history}}])
    a = start(tmp_path / "a", plane, plane_namespace, fe)
    try:
        d = wait_until("prior days raise", lambda: (d := document(a)) and d["desired"] == 4 and d, 60)
        assert d["queue"]["pending"] == 0
        a.process.stop(signal.SIGTERM)
        kept = json.loads(plane.kubectl("-n", plane_namespace, "get", "configmap", "c-roost-history", "-o", "json"))["data"]["cn"]
        assert kept.startswith(history) and len(kept.splitlines()) == 4
        assert kept.splitlines()[3].split()[-1].startswith("1*"), "what was needed is kept, without the forecast"
    finally:
        if a.process.alive():
            a.process.stop(signal.SIGKILL)

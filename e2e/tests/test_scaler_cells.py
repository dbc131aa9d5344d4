"""Every way in which an FE fails, cold, warm and within the declared staleness: never a number that was not measured.

One scaler serves a pool for each (kind of FE, fault); all go through the same phases side by side, so that the waiting is
shared. What is counted is answers and requests, not seconds.
"""

import json
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from conftest import wait_until
from engine_fixture import BUILD, Process, free_ports
from scaler_double import FAULTS, PASSWORD, PENDING, TOKEN, FeDouble, certificates

MAX_AGE_MS, WANTED = 3000, 5
CELLS = [(kind, fault) for kind in ("roost", "starrocks") for fault in (*FAULTS, "slow-1")]


class Scaler:
    def __init__(self, folder, config, *flags):
        (folder / "scaler.json").write_text(json.dumps(config))
        (folder / "caller-token").write_text("caller\n")
        self.port = free_ports(1)[0]
        self.process = Process("scaler", [BUILD / "roost-scaler", "--config", folder / "scaler.json", "--token-file",
                                          folder / "caller-token", "--listen", f"127.0.0.1:{self.port}", *flags], folder)

    def get(self, path, token="caller"):
        """(status, headers, body)."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def pool(self, name):
        return self.get(f"/v1/namespaces/ns/clusters/{name}/pools/cn")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    certificates(folder)
    (folder / "fe-token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD + "\n")
    fes = {f"{kind}-{fault}": FeDouble(kind, folder, tls=fault == "cert-expired") for kind, fault in CELLS}
    for name, fe in fes.items():
        fe.mode = name.split("-", 1)[1]
    entries = [{**fe.config(name), **({"tokenFile": str(folder / "fe-token")} if fe.kind == "roost" else {})} for name, fe in fes.items()]
    scaler = Scaler(folder, {"clusters": entries, "maxAge": f"{MAX_AGE_MS}ms", "feCa": str(folder / "ca.pem")},
                    "--decision-log", folder / "decisions.jsonl")
    wait_until("the scaler answers", lambda: scaler.process.alive() and healthy(scaler))
    story = tell(fes, scaler)
    yield folder, fes, scaler, story
    scaler.process.stop()
    for fe in fes.values():
        fe.close()


def healthy(scaler):
    try:
        return scaler.get("/healthz")[0] == 200
    except OSError:
        return False


def look(scaler, name):
    status, headers, body = scaler.pool(name)
    assert int(headers["Content-Length"]) == len(body) < 1024
    return status, json.loads(body) if status == 200 else None, headers


def watch(fes, scaler, seconds):
    """Each pool's answers for a while: {name: [(status, document or None, headers)]}."""
    seen = {name: [] for name in fes}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in fes:
            seen[name].append(look(scaler, name))
        time.sleep(0.05)
    return seen


def heal(fes, scaler):
    """Heals all; {name: (requests that the FE saw up to its first good answer, whether one was still unknown after it)}."""
    for fe in fes.values():
        fe.watch_recovery()
    known, late = {}, set()
    end = time.monotonic() + 180
    while len(known) < len(fes) and time.monotonic() < end:
        for name, fe in fes.items():
            if name in known:
                continue
            due = fe.due  # before the question: what was dealt with by now must be in its answer
            if scaler.pool(name)[0] == 200 and fe.cost is not None:
                known[name] = (fe.cost, name in late)
            elif due:
                late.add(name)
        time.sleep(0.02)
    missing = sorted(set(fes) - set(known))
    assert not missing, f"not known again: {missing}\n{scaler.process.tail(40)}"
    return known


def tell(fes, scaler):
    story = {"cold": watch(fes, scaler, 4), "cold healed": heal(fes, scaler)}
    asked = {name: fe.asked for name, fe in fes.items()}
    first, begun = {}, time.monotonic()
    for name, fe in fes.items():
        fe.mode = name.split("-", 1)[1]
        first[name] = look(scaler, name)
    story["warm"] = {name: [first[name], *later] for name, later in watch(fes, scaler, 2 * MAX_AGE_MS / 1000 + 3).items()}
    story["warm took"] = time.monotonic() - begun
    story["asked"] = {name: fe.asked - asked[name] for name, fe in fes.items()}
    story["queries"] = {name: scaler.get(f'/api/v1/query?query=roost_pool_desired%7Bcluster%3D%22{name}%22%7D') for name in fes}
    story["metrics"] = scaler.get("/metrics")[2].decode()
    story["warm healed"] = heal(fes, scaler)
    return story


@pytest.mark.parametrize("kind,fault", CELLS)
def test_cold(world, kind, fault):
    _, _, _, story = world
    for status, document, headers in story["cold"][f"{kind}-{fault}"]:
        if fault == "slow-1" and status == 200:
            assert document["desired"] == WANTED
            continue
        assert status == 503 and headers["Retry-After"] == "1", (status, document)


@pytest.mark.parametrize("kind,fault", CELLS)
def test_warm_and_within_staleness(world, kind, fault):
    _, _, _, story = world
    answers = story["warm"][f"{kind}-{fault}"]
    for status, document, headers in answers:
        if status == 200:
            assert document["desired"] == WANTED and document["queue"]["pending"] == PENDING and document["active"] == 1, document
            assert 0 <= document["age_ms"] <= MAX_AGE_MS
        else:
            assert status == 503 and headers["Retry-After"] == "1"
    statuses = [status for status, _, _ in answers]
    assert statuses[0] == 200, "the last value counts within the declared limit"
    if fault == "slow-1":
        return
    assert statuses[-1] == 503
    first = statuses.index(503)
    assert set(statuses[first:]) == {503}, "what was given up stays so until the FE answers"
    status, headers, body = story["queries"][f"{kind}-{fault}"]
    assert status == 503 and json.loads(body)["status"] == "error"
    assert f'roost_pool_desired{{namespace="ns",cluster="{kind}-{fault}"' not in story["metrics"]


@pytest.mark.parametrize("kind,fault", CELLS)
def test_known_again_within_one_poll(world, kind, fault):
    """Counted in what the FE saw: the call that was cut by the healing, then one whole reading (SQL: a login, four
    statements and /metrics)."""
    _, _, _, story = world
    reading = 1 if kind == "roost" else 6
    for healed in ("cold healed", "warm healed"):
        requests, late = story[healed][f"{kind}-{fault}"]
        assert requests <= 2 * reading + 1
        assert not late, "the FE had answered well and was asked again, and the load was still unknown"


@pytest.mark.parametrize("kind", ["roost", "starrocks"])
def test_a_wrong_password_backs_off(world, kind):
    _, _, _, story = world
    assert story["asked"][f"{kind}-wrong-password"] <= 2 + story["warm took"] / 5, "one each 5 s or more"
    assert story["asked"][f"{kind}-rst"] > 4, "others are asked on"


def test_the_fes_were_asked_as_they_want(world):
    _, fes, _, _ = world
    assert {name: fe.violations for name, fe in fes.items() if fe.violations} == {}


def test_the_decision_log_replays_to_the_same_bytes(world):
    folder, fes, scaler, _ = world
    log = (folder / "decisions.jsonl").read_bytes()
    assert len(log.splitlines()) >= len(fes)
    again = subprocess.run([BUILD / "roost-scaler", "replay", folder / "decisions.jsonl"], capture_output=True, check=False)
    assert again.returncode == 0 and again.stdout == log, again.stderr
    (folder / "other.jsonl").write_bytes(log.replace(b'"active":true,"desired":5', b'"active":true,"desired":0'))
    again = subprocess.run([BUILD / "roost-scaler", "replay", folder / "other.jsonl"], capture_output=True, check=False)
    assert again.returncode == 1 and b"differ" in again.stderr


def test_replay_refuses_what_is_no_log(tmp_path):
    (tmp_path / "x").write_text("{}\n")
    done = subprocess.run([BUILD / "roost-scaler", "replay", tmp_path / "x"], capture_output=True, check=False, text=True)
    assert done.returncode == 1 and "line 1" in done.stderr
    assert pathlib.Path(tmp_path / "x").exists()

"""manifests/monitoring: every series that a rule or a panel names is one that our programs export, and a real Prometheus
scrapes them and fires the rules.
"""

import json
import pathlib
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import REPO, wait_until
from engine_fixture import BUILD, Engine, free_ports
from operator_fixture import operators

MONITORING = REPO / "manifests/monitoring"
RULES_TEST = pathlib.Path(__file__).parent / "golden/rules_test.yaml"
# Of Prometheus' language, and labels; everything else in an expression is a series.
WORDS = set("max min sum avg rate increase absent by and or without on for unless humanizeDuration label_values".split())


def expressions_of_rules():
    return [r["expr"] for g in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"] for r in g["rules"]]


def expressions_of_dashboard():
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    found = [t["expr"] for p in board["panels"] for t in p["targets"]]
    return found + [v["query"] for v in board["templating"]["list"] if v["type"] == "query"]


def series_in(expression):
    text = re.sub(r'"[^"]*"', "", expression)
    text = re.sub(r"\{[^}]*\}|\[[^\]]*\]|by \([^)]*\)", "", text)
    text = re.sub(r"label_values\(([a-z_]+)[^)]*\)", r"\1", text)
    return {w for w in re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", text) if w not in WORDS}


def get(url, timeout=10):
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.read().decode()
    except OSError as error:  # what the waits try again
        raise AssertionError(f"{url}: {error}") from error


def names_in(exposition):
    return {re.split(r"[{ ]", line, maxsplit=1)[0] for line in exposition.splitlines() if line and not line.startswith("#")}


class Roost:
    """FE, BE, CN, scaler and operator as processes, and where each answers /metrics."""

    def __init__(self, engine, scaler, operator):
        self.engine, self.scaler, self.operator = engine, scaler, operator

    def targets(self):
        rows = {role: self.engine.rows(f"SHOW {kind}")[0] for role, kind in (("be", "BACKENDS"), ("cn", "COMPUTE NODES"))}
        return {"roost-engine": [f"127.0.0.1:{self.engine.http_port}", *(f"127.0.0.1:{r['HttpPort']}" for r in rows.values())],
                "roost-scaler": [self.scaler], "roost-operator": [self.operator]}


@pytest.fixture
def roost(plane, plane_namespace, tmp_path):
    scaler_port, operator_port = free_ports(2)
    with Engine(be=1, cn=1) as engine, operators(plane, plane_namespace, tmp_path) as start:
        token = engine.folder / "meta/token"
        (tmp_path / "scaler.yaml").write_text(yaml.safe_dump({"clusters": [{
            "namespace": "t", "name": "c", "pool": "cn", "fe": f"127.0.0.1:{engine.http_port}", "slotsPerNode": 2,
            "minReplicas": 0, "maxReplicas": 4, "waitTarget": 1, **({"tokenFile": str(token)} if token.exists() else {})}]}))
        engine.start("scaler", BUILD / "roost-scaler", "--config", tmp_path / "scaler.yaml", "--listen", f"127.0.0.1:{scaler_port}")
        start(f"--metrics-bind-address=127.0.0.1:{operator_port}")
        found = Roost(engine, f"127.0.0.1:{scaler_port}", f"127.0.0.1:{operator_port}")
        found.stop_operator = start.operators[0].stop
        engine.wait("the scaler knows the load", lambda: "roost_pool_desired{" in get(f"http://{found.scaler}/metrics"))
        wait_until("the operator leads", lambda: "roost_operator_leader 1" in get(f"http://{found.operator}/metrics"), 60)
        yield found


def test_names_of_rules_and_panels_are_exported(roost):
    for _ in range(2):
        roost.engine.sql("SELECT 1")
    exported = set()
    for addresses in roost.targets().values():
        for address in addresses:
            exported |= names_in(get(f"http://{address}/metrics"))
    assert len(exported) > 40, exported
    for expression in expressions_of_rules() + expressions_of_dashboard():
        unknown = series_in(expression) - exported
        assert not unknown, f"{expression}: nobody exports {sorted(unknown)}"


def test_both_forms_of_the_rules_are_the_same():
    rule = yaml.safe_load((MONITORING / "prometheusrule.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((MONITORING / "rules.yaml").read_text())


def test_panels_have_units_and_a_chosen_source():
    board = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"]) > 10
    for p in board["panels"]:
        assert p["datasource"]["uid"] == "${datasource}" and p["fieldConfig"]["defaults"]["unit"] and p["targets"]


# ---- a real Prometheus ----
@pytest.fixture(scope="module")
def prometheus_bin():
    """Debian's package, unpacked beside the tree and not installed: no service starts."""
    found = shutil.which("prometheus")
    if found:
        return pathlib.Path(found).parent
    folder = REPO / "build/prometheus"
    if not (folder / "usr/bin/prometheus").exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run("apt-get download prometheus && dpkg -x prometheus_*.deb .", shell=True, cwd=folder,
                              capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"Debian's prometheus cannot be had: {done.stderr.strip()[-200:]}")
    return folder / "usr/bin"


def test_rules_fire_on_recorded_series(prometheus_bin, tmp_path):
    """promtool's own unit tests: each alert with series that must and series that must not raise it."""
    rules = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    for rule in (r for g in rules["groups"] for r in g["rules"]):
        assert rule.pop("annotations")["summary"]  # promtool would want their text repeated in the test
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(RULES_TEST, tmp_path)
    for args in (("check", "rules", MONITORING / "rules.yaml"), ("test", "rules", RULES_TEST.name)):
        done = subprocess.run([prometheus_bin / "promtool", *args], capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    tested = {a["alertname"] for t in yaml.safe_load(RULES_TEST.read_text())["tests"] for a in t["alert_rule_test"] if a["exp_alerts"]}
    assert tested == {r["alert"] for g in rules["groups"] for r in g["rules"]}


def quick(rules):
    """The same rules with short windows, so that a test sees them fire."""
    text = re.sub(r"for: \w+", "for: 1s", rules)
    return re.sub(r"\[\d+m\]", "[10s]", re.sub(r"(age_seconds\)) > 15", r"\1 > 4", text))


def test_prometheus_scrapes_all_and_its_rules_fire(roost, prometheus_bin, tmp_path):
    port = free_ports(1)[0]
    api = f"http://127.0.0.1:{port}/api/v1"
    (tmp_path / "rules.yaml").write_text(quick((MONITORING / "rules.yaml").read_text()))
    ours = {c["job_name"]: c for c in yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]}
    targets = roost.targets()
    assert set(ours) == set(targets)
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": job, "honor_labels": ours[job].get("honor_labels", False),
                            "static_configs": [{"targets": where}]} for job, where in targets.items()]}))
    roost.engine.start("prometheus", prometheus_bin / "prometheus", f"--config.file={tmp_path}/prometheus.yaml",
                       f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}")

    def firing():
        return {a["labels"]["alertname"] for a in json.loads(get(f"{api}/alerts"))["data"]["alerts"] if a["state"] == "firing"}

    def value(query):
        found = json.loads(get(f"{api}/query?" + urllib.parse.urlencode({"query": query})))["data"]["result"]
        return [float(r["value"][1]) for r in found]

    wait_until("every target is up", lambda: len(value("up == 1")) == 5, 60)
    wait_until("a load is known", lambda: value('max(roost_pool_desired{namespace="t",cluster="c",pool="cn"})'), 60)
    wait_until("nothing fires", lambda: not firing(), 60)
    roost.engine.processes.pop("be0").stop()
    wait_until("a lost BE raises its alert", lambda: "RoostBackendDown" in firing(), 90)
    roost.stop_operator()
    wait_until("no leader raises its alert", lambda: "RoostNoLeader" in firing(), 90)
    roost.engine.processes.pop("cn0").stop()
    roost.engine.processes.pop("fe").stop()
    wait_until("an FE that is gone raises its alert", lambda: "RoostLoadUnknown" in firing(), 90)

"""An operator upgrade restarts nothing (P31): the pod template that each case of render/testdata gives has a recorded digest.

A change here restarts every user's pods at the next upgrade. Where that is meant, say so in the commit and record anew:
ROOST_RECORD=1 build/venv/bin/python -m pytest e2e/tests/test_pod_templates.py
"""

import hashlib
import json
import os
import subprocess

import yaml

from conftest import REPO
from operator_fixture import OPERATOR

GOLDEN = REPO / "e2e" / "tests" / "golden" / "pod-templates.txt"
FE_POD = {"kind": "Pod", "metadata": {"name": "fe-0", "labels": {"app.kubernetes.io/component": "fe"}},
          "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def digests():
    for path in sorted((REPO / "operator/render/testdata").glob("*/cr.yaml")):
        cr = next(d for d in yaml.safe_load_all(path.read_text()) if d and d["kind"] == "StarRocksCluster")
        cr["metadata"] = {**cr["metadata"], "uid": "u", "namespace": cr["metadata"].get("namespace", "default")}
        world = {"now_ms": 1, "token": True, "cr": cr, "pods": [FE_POD]}
        done = subprocess.run([OPERATOR, "replay", "/dev/stdin"], input=json.dumps(world), capture_output=True, text=True, check=True)
        for write in json.loads(done.stdout)["writes"]:
            if write["kind"] in ("StatefulSet", "Deployment") and "object" in write:
                template = write["object"]["spec"]["template"]
                # The alias is the server's own doing: with it or without, the object there is the same.
                if template["spec"].get("serviceAccount") == template["spec"].get("serviceAccountName"):
                    template["spec"].pop("serviceAccount", None)
                text = json.dumps(template, sort_keys=True)
                yield f"{path.parent.name} {write['kind']}/{write['name']} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def test_pod_templates_are_those_of_the_last_release():
    now = list(digests())
    assert len(now) >= 12, now
    if os.environ.get("ROOST_RECORD") == "1":
        GOLDEN.write_text("\n".join(now) + "\n")
    was = GOLDEN.read_text().split("\n")[:-1]
    changed = sorted(set(was) - set(now))
    assert not changed, "these pods would restart at an upgrade: " + ", ".join(changed)
    assert set(now) == set(was), f"cases that are not recorded: {sorted(set(now) - set(was))}"

"""What roost-scaler cannot do as it is told, it says, instead of doing something else."""

import json
import subprocess

import pytest

from engine_fixture import BUILD


def run(*args, **more):
    return subprocess.run([BUILD / "roost-scaler", *args], capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.mark.parametrize("lease,code,says", [("x", 2, "NAMESPACE/NAME"), ("/x", 2, "NAMESPACE/NAME"), ("ns/", 2, "NAMESPACE/NAME"),
                                             ("ns/name", 1, "--kubeconfig")])
def test_no_lease_without_a_cluster(tmp_path, lease, code, says):
    """Each of two replicas would decide, and whoever started them would think that one does."""
    (tmp_path / "c.json").write_text(json.dumps({"clusters": [{"namespace": "n", "name": "c", "fe": "127.0.0.1:1"}]}))
    done = run("--config", tmp_path / "c.json", "--listen", "127.0.0.1:0", "--lease", lease,
               env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == code and says in done.stderr, done.stderr


def test_a_log_that_cannot_be_read_is_no_empty_one(tmp_path):
    done = run("replay", tmp_path)
    assert done.returncode == 1 and "cannot read" in done.stderr, done.stderr


def test_a_table_that_cannot_be_written_is_told():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([BUILD / "roost-scaler", "sim", "--seeds", "1", "--hours", "0.01", "--per-hour", "1"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1 and "cannot write" in done.stderr, done.stderr

"""Wrong calls of make: one line that says what is wrong and what to do, and an exit code that is not 0."""

import os
import shutil
import subprocess

import pytest

from conftest import REPO


def make(*args, **env):
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", *args], cwd=REPO, env=clean | env, text=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("args, words", [
    (["CC=tcc"], "CC=tcc is not supported: use CC=gcc or CC=clang"),
    (["SAN=memory"], "SAN=memory is not supported: use SAN=address,undefined or SAN=thread"),
    (["engine", "CN=many"], "CN=many is not a number of compute nodes; 0 to 9 are allowed"),
    (["test", "ROOST_TEST_ONLY=unit"], "ROOST_TEST_ONLY=unit: allowed are check, integration, e2e"),
])
def test_wrong_variable(args, words):
    done = make(*args, ROOST_TEST_ONLY=args[1].split("=")[1] if "ONLY" in args[-1] else "")
    assert done.returncode != 0
    assert words in done.stdout + done.stderr


def test_without_root_it_says_so(tmp_path):
    shutil.copytree(REPO / "e2e/tools", tmp_path / "e2e/tools")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        path.chmod(0o755)
    for parent in tmp_path.parents:
        if not os.access(parent, os.X_OK) or parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "bash", str(tmp_path / "e2e/tools/run")],
                          text=True, capture_output=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("make run: ") and "root" in done.stderr


def test_a_room_without_units_and_one_that_is_not_there():
    """Neither builds everything there is, which is what make does when it is given no target."""
    result = make("t/engine/plan")
    assert result.returncode == 0 and result.stdout.strip() == \
        "engine/plan has no units of its own; engine/plan/README.md says what tests it", result
    result = make("t/engine/nothing")
    assert result.returncode != 0 and "no such room: engine/nothing" in result.stderr, result


def test_lint_sees_what_it_guards():
    """The planted bugs that need no compiler run here too; all of them: e2e/mutants/run."""
    done = subprocess.run([str(REPO / "e2e/mutants/run"), "arrow-up", "unformatted", "banned", "leak"], cwd=REPO, text=True,
                          capture_output=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 planted bugs caught" in done.stdout

"""The image's scripts, run here with programs and a mysql client of our making."""

import os
import shutil
import signal
import subprocess

import pytest

from conftest import REPO

SCRIPTS = REPO / "engine" / "image"

# Keeps the list of nodes in a file; answers like a front end of one.
MYSQL = r"""#!/bin/bash
statement=${@: -1}
echo "$statement" >>"$FAKE/statements"
case $statement in
  'SHOW FRONTENDS') [ -e "$FAKE/no-leader" ] || printf 'fe_1\tfe.host\t9010\t8030\t9030\t9020\tLEADER\n' ;;
  'SHOW BACKENDS' | 'SHOW COMPUTE NODES') cat "$FAKE/nodes" 2>/dev/null ;;
  'ALTER SYSTEM ADD '*)
    [ ! -e "$FAKE/refuse" ] || { echo 'ERROR 1064 (42000) at line 1: no'; exit 1; }
    address=$(sed 's/.*"\(.*\)".*/\1/' <<<"$statement")
    host=${address%:*} host=${host#[} host=${host%]}
    printf '10001\t%s\t%s\n' "$host" "${address##*:}" >>"$FAKE/nodes" ;;
esac
"""
PROGRAM = """#!/bin/bash
echo "$0 $*"
"""


@pytest.fixture
def root(tmp_path):
    """/opt/starrocks as the Dockerfile lays it out."""
    top = tmp_path / "starrocks"
    (top / "scripts").mkdir(parents=True)
    (top / "lib").mkdir()
    for script in SCRIPTS.glob("*.sh"):
        shutil.copy(script, top / "scripts")
    for name in ("roost-fe", "roost-be"):
        (top / "lib" / name).write_text(PROGRAM)
        (top / "lib" / name).chmod(0o755)
    for part in ("fe", "be", "cn"):
        worker = "fe" if part == "fe" else "worker"
        for folder in ("bin", "conf", "log"):
            (top / part / folder).mkdir(parents=True)
        shutil.copy(SCRIPTS / f"{part}.conf", top / part / "conf")
        (top / part / "lib").symlink_to("../lib")
        (top / f"{part}_entrypoint.sh").symlink_to(f"scripts/{worker}_entrypoint.sh")
        (top / part / "bin" / f"start_{part}.sh").symlink_to(f"../../scripts/start_{worker}.sh")
        (top / part / "bin" / f"stop_{part}.sh").symlink_to("../../scripts/stop.sh")
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "mysql").write_text(MYSQL)
    (fake / "mysql").chmod(0o755)
    return top


def call(root, script, *args, timeout=30, **env):
    fake = root.parent / "fake"
    base = {"PATH": f"{fake}:{os.environ['PATH']}", "FAKE": str(fake), "STARROCKS_ROOT": str(root), "LOG_CONSOLE": "1"}
    return subprocess.run([root / script, *args], env={**base, **env}, text=True, capture_output=True, timeout=timeout)


def statements(root):
    return (root.parent / "fake" / "statements").read_text().splitlines()


@pytest.mark.parametrize("part, kind", [("be", "BACKEND"), ("cn", "COMPUTE NODE")])
def test_worker_registers_and_starts(root, part, kind):
    done = call(root, f"{part}_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3")
    assert done.returncode == 0, done.stderr
    assert f'ALTER SYSTEM ADD {kind} "10.1.2.3:9050"' in statements(root)
    assert f"lib/roost-be --role {part} --conf {root}/{part}/log/{part}.effective.conf" in done.stdout


def test_worker_that_is_a_member_is_not_added_again(root):
    (root.parent / "fake" / "nodes").write_text("10001\t10.1.2.3\t9050\n")
    assert call(root, "be_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3").returncode == 0
    assert not [s for s in statements(root) if s.startswith("ALTER")]


def test_another_port_or_a_longer_name_is_another_node(root):
    (root.parent / "fake" / "nodes").write_text("1\t10.1.2.3\t9051\n2\t10.1.2.33\t9050\n")
    assert call(root, "be_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3").returncode == 0
    assert 'ALTER SYSTEM ADD BACKEND "10.1.2.3:9050"' in statements(root)


def test_ipv6_is_bracketed(root):
    assert call(root, "cn_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="fd00::7").returncode == 0
    assert 'ALTER SYSTEM ADD COMPUTE NODE "[fd00::7]:9050"' in statements(root)


def test_config_map_takes_the_place_of_the_images_file(root, tmp_path):
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (mounted / "cn.conf").write_text("heartbeat_service_port = 9150\nstorage_root_path = /mine\n")
    (mounted / "extra.txt").write_text("x")
    done = call(root, "cn_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3", CONFIGMAP_MOUNT_PATH=str(mounted))
    assert done.returncode == 0, done.stderr
    assert 'ALTER SYSTEM ADD COMPUTE NODE "10.1.2.3:9150"' in statements(root)
    assert (root / "cn/conf/cn.conf").resolve() == mounted / "cn.conf"
    assert (root / "cn/conf/extra.txt").resolve() == mounted / "extra.txt"
    effective = (root / "cn/log/cn.effective.conf").read_text()
    assert "storage_root_path = /mine" in effective and effective.count("storage_root_path") == 1


def test_multi_warehouse(root):
    assert call(root, "cn_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3", KUBE_STARROCKS_MULTI_WAREHOUSE="w1").returncode == 0
    assert "CREATE WAREHOUSE IF NOT EXISTS w1" in statements(root)
    assert 'ALTER SYSTEM ADD COMPUTE NODE "10.1.2.3:9050" INTO WAREHOUSE w1' in statements(root)


@pytest.mark.parametrize("fault, words", [("no-leader", "no leader answers"), ("refuse", "does not accept")])
def test_worker_gives_up_and_says_why(root, fault, words):
    (root.parent / "fake" / fault).touch()
    done = call(root, "be_entrypoint.sh", "fe-service", HOST_TYPE="IP", POD_IP="10.1.2.3", REGISTER_TIMEOUT="2")
    assert done.returncode == 1 and words in done.stderr


def test_front_end_zero_founds(root):
    done = call(root, "fe_entrypoint.sh", "svc", POD_NAME="c-fe-0", HOST_TYPE="IP", POD_IP="10.1.2.3")
    assert done.returncode == 0, done.stderr
    assert f"lib/roost-fe --conf {root}/fe/log/fe.effective.conf" in done.stdout
    assert "roost_fe_host = 10.1.2.3" in (root / "fe/log/fe.effective.conf").read_text()


@pytest.mark.parametrize("pod, words", [("c-fe-1", "more than one front end"), ("cfe", "does not end in")])
def test_front_end_that_cannot_be(root, pod, words):
    done = call(root, "fe_entrypoint.sh", "svc", POD_NAME=pod)
    assert done.returncode == 1 and words in done.stderr


def test_wrong_host_type(root):
    done = call(root, "fe_entrypoint.sh", "svc", POD_NAME="c-fe-0", HOST_TYPE="DNS")
    assert done.returncode == 1 and "use FQDN or IP" in done.stderr


def test_log_file_without_console(root):
    assert call(root, "fe/bin/start_fe.sh", "--self", "h", LOG_CONSOLE="0").returncode == 0
    assert "roost-fe --conf" in (root / "fe/log/fe.log").read_text()


def test_stop_without_a_program(root):
    done = call(root, "be/bin/stop_be.sh", "-g")
    assert done.returncode == 1 and "does not run" in done.stderr
    # A stale pid file must never kill somebody else.
    (root / "be/log/be.pid").write_text(str(os.getpid()))
    assert call(root, "be/bin/stop_be.sh").returncode == 1


@pytest.mark.parametrize("part, flag, want", [("be", "-g", signal.SIGTERM), ("cn", "-g", signal.SIGTERM), ("be", "", signal.SIGKILL),
                                              ("fe", "-g", signal.SIGUSR1), ("fe", "", signal.SIGTERM)])
def test_stop_sends_the_signal_and_waits(root, part, flag, want):
    program = root / "lib" / ("roost-fe" if part == "fe" else "roost-be")
    shutil.copy(shutil.which("sleep"), program)
    running = subprocess.Popen([program, "30"])
    (root / part / "log" / f"{part}.pid").write_text(str(running.pid))
    done = call(root, f"{part}/bin/stop_{part}.sh", *([flag] if flag else []))
    assert done.returncode == 0, done.stderr
    assert running.wait(5) == -want
    assert not (root / part / "log" / f"{part}.pid").exists()

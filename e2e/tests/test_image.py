"""What the two images hold, and how the engine's behaves as a locked-down pod."""

import json
import tarfile

import pytest

from conftest import REPO, TOOLS, run, wait_until


@pytest.fixture(scope="module")
def images(cluster):
    """Both images, built from the Dockerfile and on the node."""
    if cluster.foreign:
        pytest.skip("the images of a cluster of one's own are in its registry")
    run(TOOLS / "image", "engine", "operator", timeout=1800)
    return REPO / "build" / "images"


def contents(path):
    """The image's configuration, and its files: name -> tar member."""
    files = {}
    with tarfile.open(path) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))[0]
        config = json.load(archive.extractfile(manifest["Config"]))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                for member in layer:
                    files[member.name.lstrip("./")] = member
    return config["config"], files


def test_operator_image_holds_programs_libraries_and_ca_bundle_only(images):
    config, files = contents(images / "operator.tar")
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/bin/roost-operator"]
    names = [n for n, m in files.items() if not m.isdir()]
    assert {"usr/bin/roost-operator", "usr/bin/roost-scaler", "etc/ssl/certs/ca-certificates.crt", "etc/passwd"} <= set(names)
    # What upstream's Deployment starts.
    assert files["sroperator"].linkname == "usr/bin/roost-operator"
    for name in set(names) - {"sroperator"}:
        known = name.startswith(("usr/bin/roost-", "lib/", "lib64/", "usr/lib/", "var/lib/dpkg/status.d/")) \
            or name in ("etc/ssl/certs/ca-certificates.crt", "etc/passwd", "etc/group", "etc/nsswitch.conf")
        assert known, name
        assert not name.endswith(("/sh", "/bash")), name
        assert not files[name].mode & 0o6000, f"{name} is setuid or setgid"


def test_engine_image_has_the_layout_of_starrocks(images):
    config, files = contents(images / "engine.tar")
    assert config["User"] == "1000:1000"
    for part in ("fe", "be", "cn"):
        for name in (f"{part}_entrypoint.sh", f"{part}/bin/start_{part}.sh", f"{part}/bin/stop_{part}.sh", f"{part}/conf/{part}.conf", f"{part}/log"):
            assert f"opt/starrocks/{name}" in files, name
        assert files[f"opt/starrocks/{part}/lib"].linkname == "../lib"
    for program in ("roost-fe", "roost-be", "roost-duck"):
        assert files[f"opt/starrocks/lib/{program}"].mode & 0o111
    for tool in ("usr/bin/mysql", "usr/bin/ps", "usr/bin/hostname", "bin/hostname", "bin/bash", "usr/bin/bash"):
        if tool.rsplit("/", 1)[1] in ("hostname", "bash"):
            continue
        assert tool in files, tool


def test_spdx_lists_every_program(images):
    for image, programs in (("engine", ("roost-fe", "roost-be", "roost-duck", "libduckdb")), ("operator", ("roost-operator", "roost-scaler"))):
        run(TOOLS / "spdx", image)
        listed = json.loads((images / f"{image}.spdx.json").read_text())
        names = " ".join(f["fileName"] for f in listed["files"])
        assert all(p in names for p in programs)
        assert all(c["checksumValue"] for f in listed["files"] for c in f["checksums"])
        assert any(p["name"] == "libc6" for p in listed["packages"])


def test_an_unchanged_image_is_not_built_again(images):
    run(TOOLS / "image", "engine", timeout=1800)
    before = (images / "engine.tar").stat().st_mtime_ns
    done = run(TOOLS / "image", "engine", timeout=1800)
    # In a tree that others edit meanwhile, the second build is a real one.
    if "building" not in done.stdout:
        assert "up to date" in done.stdout
        assert (images / "engine.tar").stat().st_mtime_ns == before


def fe_set(name, replicas):
    """A front end as the operator makes it: non-root, read-only, no capability."""
    def ref(path):
        return {"valueFrom": {"fieldRef": {"fieldPath": path}}}

    env = [
        {"name": "POD_NAME", **ref("metadata.name")}, {"name": "POD_IP", **ref("status.podIP")},
        {"name": "POD_NAMESPACE", **ref("metadata.namespace")}, {"name": "HOST_TYPE", "value": "FQDN"},
        {"name": "FE_SERVICE_NAME", "value": f"{name}-service"}, {"name": "LOG_CONSOLE", "value": "1"},
        {"name": "CONFIGMAP_MOUNT_PATH", "value": "/etc/starrocks/fe/conf"},
        {"name": "ROOST_TOKEN_FILE", "value": "/etc/roost/token/token"},
    ]
    mounts = {"log": "/opt/starrocks/fe/log", "meta": "/opt/starrocks/fe/meta", "conf": "/etc/starrocks/fe/conf", "token": "/etc/roost/token"}
    labels = {"app": name}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fe-conf"},
         "data": {"fe.conf": "http_port = 8031\nquery_port = 9031\nsome_key_of_starrocks = x\n"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"token": "0123456789abcdef0123456789abcdef"}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"{name}-search"},
         "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": labels, "ports": [{"port": 9031}]}},
        {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": {
            "serviceName": f"{name}-search", "replicas": replicas, "podManagementPolicy": "Parallel", "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
                                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "fe", "image": "roost/engine:dev", "imagePullPolicy": "Never",
                    "command": ["/opt/starrocks/fe_entrypoint.sh"], "args": ["$(FE_SERVICE_NAME)"], "env": env,
                    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
                    "lifecycle": {"preStop": {"exec": {"command": ["/bin/bash", "-c", "/opt/starrocks/fe/bin/stop_fe.sh -g"]}}},
                    "readinessProbe": {"httpGet": {"path": "/api/health", "port": 8031}, "periodSeconds": 1},
                    "volumeMounts": [{"name": n, "mountPath": p} for n, p in mounts.items()],
                }],
                "volumes": [{"name": "log", "emptyDir": {}}, {"name": "meta", "emptyDir": {}},
                            {"name": "conf", "configMap": {"name": "fe-conf"}}, {"name": "token", "secret": {"secretName": "token"}}],
            }},
        }},
    ]


def test_front_end_starts_with_a_read_only_root(cluster, images, namespace):
    cluster.apply(fe_set("x-fe", 2), namespace)
    cluster.wait_pod(namespace, "x-fe-0", timeout=90)
    # The ConfigMap's ports are in force: the probe asks 8031.
    conf = cluster.kubectl("-n", namespace, "exec", "x-fe-0", "--", "cat", "/opt/starrocks/fe/log/fe.effective.conf")
    assert f"roost_fe_host = x-fe-0.x-fe-search.{namespace}.svc.cluster.local" in conf
    assert "meta_dir = /opt/starrocks/fe/meta" in conf
    touch = run(TOOLS / "kubectl", "-n", namespace, "exec", "x-fe-0", "--", "touch", "/opt/starrocks/x", check=False)
    assert touch.returncode != 0 and "Read-only" in touch.stderr
    # The program is process 1, so SIGTERM from the kubelet reaches it.
    assert "roost-fe" in cluster.kubectl("-n", namespace, "exec", "x-fe-0", "--", "readlink", "/proc/1/exe")
    frontends = cluster.kubectl("-n", namespace, "exec", "x-fe-0", "--", "mysql", "-h", "127.0.0.1", "-P", "9031", "-u", "root", "-e", "SHOW FRONTENDS")
    assert "LEADER" in frontends
    # A second front end is not built yet, and says so.
    wait_until("the refusal", lambda: "more than one front end is not supported" in cluster.kubectl(
        "-n", namespace, "logs", "x-fe-1", check=False), timeout=90)
    # The preStop hook ends it long before the grace period.
    cluster.kubectl("-n", namespace, "delete", "pod", "x-fe-0", timeout=90)

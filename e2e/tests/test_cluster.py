"""The local Kubernetes is a real one: what our manifests need of it works."""

import os
import pathlib

import yaml

from conftest import REPO, TOOLS, run, wait_until


def pod(name, image, script="exec sleep 1000", labels=None, volumes=None, mounts=None, **spec):
    """A pod that runs a shell script, locked down as ours are."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "main",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "volumeMounts": mounts or [],
                "securityContext": {
                    "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
            "volumes": volumes or [],
            **spec,
        },
    }


def claim(name):
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def test_node_is_ready_and_of_the_pinned_version(cluster):
    nodes = [n for n in cluster.get("nodes")["items"] if "kwok.x-k8s.io/node" not in n["metadata"].get("annotations", {})]
    assert nodes
    for node in nodes:
        ready = [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert ready == ["True"]
    if not cluster.foreign:
        assert nodes[0]["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.4"
        version = yaml.safe_load(cluster.kubectl("version", "-o", "yaml"))
        assert version["serverVersion"]["gitVersion"] == "v1.34.4"


def test_claim_keeps_data_when_the_pod_goes(cluster, namespace, debian_image):
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    cluster.apply([claim("data")], namespace)
    # WaitForFirstConsumer: without a pod it stays unbound.
    assert cluster.get("-n", namespace, "pvc", "data")["status"]["phase"] == "Pending"
    write = pod("one", debian_image, "echo kept >/data/file && sync; exec sleep 1000", volumes=volumes, mounts=mounts)
    cluster.apply([write], namespace)
    cluster.wait_pod(namespace, "one")
    wait_until("the file", lambda: "kept" in cluster.kubectl("-n", namespace, "exec", "one", "--", "cat", "/data/file"))
    cluster.kubectl("-n", namespace, "delete", "pod", "one")
    cluster.apply([pod("two", debian_image, volumes=volumes, mounts=mounts)], namespace)
    cluster.wait_pod(namespace, "two")
    assert cluster.kubectl("-n", namespace, "exec", "two", "--", "cat", "/data/file") == "kept\n"

    volume = cluster.get("-n", namespace, "pvc", "data")["spec"]["volumeName"]
    path = cluster.get("pv", volume)["spec"].get("hostPath", {}).get("path")
    cluster.kubectl("-n", namespace, "delete", "pod", "two")
    cluster.kubectl("-n", namespace, "delete", "pvc", "data")
    wait_until("the volume is gone", lambda: not cluster.kubectl("get", "pv", volume, "--ignore-not-found"))
    if path and not cluster.foreign:
        assert not pathlib.Path(path).exists()


def test_names_resolve_from_a_pod(cluster, namespace, debian_image):
    def service(name, **spec):
        return {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}], **spec},
        }

    # The pod never becomes ready: its headless name must resolve all the same.
    unready = pod("web-0", debian_image, labels={"app": "web"}, hostname="web-0", subdomain="web-search")
    unready["spec"]["containers"][0]["readinessProbe"] = {"exec": {"command": ["false"]}}
    cluster.apply([
        service("web"),
        service("web-search", clusterIP="None", publishNotReadyAddresses=True),
        unready,
        pod("client", debian_image),
    ], namespace)
    cluster.wait_pod(namespace, "client")

    def lookup(name):
        return cluster.kubectl("-n", namespace, "exec", "client", "--", "getent", "hosts", name, check=False)

    address = wait_until("an address of web-0", lambda: cluster.get("-n", namespace, "pod", "web-0")["status"].get("podIP"))
    cluster_ip = cluster.get("-n", namespace, "service", "web")["spec"]["clusterIP"]
    wait_until("headless name", lambda: address in lookup("web-0.web-search"), timeout=60)
    assert address in lookup(f"web-0.web-search.{namespace}.svc.cluster.local")
    assert cluster_ip in lookup("web")
    assert cluster_ip in lookup(f"web.{namespace}")
    assert lookup("no-such-service") == ""
    # The pod's own idea of its name is what a front end announces.
    assert cluster.kubectl("-n", namespace, "exec", "web-0", "--", "hostname", "-f").strip() \
        == f"web-0.web-search.{namespace}.svc.cluster.local"


def test_service_address_reaches_a_pod(cluster, namespace, debian_image):
    serve = ("exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => 8080, Listen => 5, ReuseAddr => 1) or die;"
             " while ($c = $s->accept) { print $c \"hello\\n\"; close $c }'")
    ask = ("exec perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(PeerAddr => \"web\", PeerPort => 80, Timeout => 5)"
           " or die $!; print <$s>'")
    cluster.apply([
        pod("web", debian_image, serve, labels={"app": "web"}),
        pod("client", debian_image),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
         "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}},
    ], namespace)
    cluster.wait_pod(namespace, "web")
    cluster.wait_pod(namespace, "client")
    wait_until("an answer through the service", lambda: "hello" in cluster.kubectl(
        "-n", namespace, "exec", "client", "--", "sh", "-c", ask, check=False), timeout=60)


def test_logs_and_exec(cluster, namespace, debian_image):
    cluster.apply([pod("talker", debian_image, "echo from-the-pod; exec sleep 1000")], namespace)
    cluster.wait_pod(namespace, "talker")
    wait_until("its log", lambda: cluster.kubectl("-n", namespace, "logs", "talker") == "from-the-pod\n", timeout=60)
    assert cluster.kubectl("-n", namespace, "exec", "talker", "--", "id", "-u") == "1000\n"
    failed = run(TOOLS / "kubectl", "-n", namespace, "exec", "talker", "--", "sh", "-c", "exit 7", check=False)
    assert failed.returncode == 7


def test_network_policy_is_accepted(cluster, namespace):
    cluster.apply([{
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny"},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }], namespace)
    assert cluster.get("-n", namespace, "networkpolicy", "deny")["spec"]["policyTypes"] == ["Ingress"]
    print("NetworkPolicies are stored but not enforced: the bridge CNI of the local cluster has no policies")


def test_hpa_tolerance_is_not_dropped(cluster, namespace):
    """HPAConfigurableTolerance is on: without it the field vanishes silently."""
    if cluster.foreign:
        return
    cluster.apply([{
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "none"}, "maxReplicas": 3,
            "behavior": {"scaleUp": {"tolerance": "0"}},
        },
    }], namespace)
    assert cluster.get("-n", namespace, "hpa", "h")["spec"]["behavior"]["scaleUp"]["tolerance"] == "0"


def test_api_server_is_not_on_the_network(cluster):
    """Everything listens on loopback or on the bridge that has no port."""
    if cluster.foreign:
        return
    listeners = run("ss", "-Hltnp").stdout
    for line in listeners.splitlines():
        if any(p in line for p in ('"kube', '"etcd"', '"containerd"')):
            address = line.split()[3]
            assert address.startswith(("127.0.0.1:", "10.243.0.1:", "[::1]:")), line


def test_wrong_arguments_are_one_line():
    env = {**os.environ, "ROOST_USE_KUBECONFIG": ""}
    import subprocess
    for args in (["up", "--with", "nonsense"], ["up", "--bogus"], ["down", "now"], ["load-image"],
                 ["load-image", "/no/such/file"], ["image", "x"], ["build-bin", "x"]):
        done = subprocess.run([TOOLS / args[0], *args[1:]], text=True, capture_output=True, env=env, cwd=REPO, timeout=60)
        assert done.returncode != 0, args
        assert len(done.stderr.strip().splitlines()) == 1, (args, done.stderr)

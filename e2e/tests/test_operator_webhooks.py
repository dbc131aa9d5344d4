"""Admission webhooks of others on our objects: one that refuses, fails, is slow or is down, and one that changes what we write.
The reason shows in Degraded, nothing is deleted, and with the webhook gone the cluster ends where it would have ended.
"""

import base64
import contextlib
import copy
import http.server
import json
import ssl
import threading
import time

import pytest

from conftest import wait_until
from fault_plane import SOAK, certificate, cluster_cr, difference, sample, scene


class Webhook:
    """An HTTPS server for AdmissionReview; `behave(request)` gives the response without its uid, may sleep or raise."""

    def __init__(self, folder, behave):
        folder.mkdir()
        certificate(folder)
        self.ca, self.asked, outer = (folder / "cert.pem").read_bytes(), 0, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # no connection outlives close()

            def do_POST(self):
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked += 1
                try:
                    answer = behave(review["request"])
                    body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"],
                                       "response": {"uid": review["request"]["uid"], **answer}}).encode()
                    code = 200
                except RuntimeError as error:
                    code, body = 500, str(error).encode()
                with contextlib.suppress(OSError):
                    self.send_response(code)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def webhook(s, behave, kind="Validating", resources=("services", "statefulsets", "deployments")):
    """Registered for this namespace only; what it was asked is in .asked."""
    hook = Webhook(s.folder / "webhook", behave)
    name = f"{s.namespace}.roost.test"
    path = f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}webhookconfigurations"
    status, answer = s.api.call("POST", path, {"metadata": {"name": name}, "webhooks": [{
        "name": name, "clientConfig": {"url": f"https://127.0.0.1:{hook.port}/", "caBundle": base64.b64encode(hook.ca).decode()},
        "rules": [{"apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE", "DELETE"], "resources": list(resources)}],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": s.namespace}}, "failurePolicy": "Fail", "timeoutSeconds": 2,
        "sideEffects": "None", "admissionReviewVersions": ["v1"], **({"reinvocationPolicy": "Never"} if kind == "Mutating" else {})}]})
    assert status == 201, answer
    try:
        # It is in force some time after it is registered.
        probe = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "probe", "namespace": s.namespace}, "spec": {"ports": [{"port": 80}]}}

        def in_force():
            s.api.call("POST", s.api.path("services") + "?dryRun=All", probe)
            return hook.asked
        wait_until("the webhook is asked", in_force, 60, 0.1)
        yield hook
    finally:
        s.api.call("DELETE", f"{path}/{name}")
        hook.close()


def deny(request):
    return {"allowed": request["name"] == "probe", "status": {"message": "the house wants a cost centre", "code": 403}}


def fail(request):
    raise RuntimeError("the webhook's database is away")


def slow(request):
    time.sleep(0 if request["name"] == "probe" else 5)
    return {"allowed": True}


BROKEN = {"deny": (deny, "the house wants a cost centre"), "fail": (fail, "webhook"), "slow": (slow, "webhook"), "down": (None, "webhook")}


@pytest.fixture(scope="module")
def undisturbed(kwok_plane, tmp_path_factory):
    with scene(kwok_plane, tmp_path_factory.mktemp("hooks")) as s:
        s.start()
        s.apply(cluster_cr(s.namespace))
        s.settle()
        s.patch(CHANGE)
        s.settle()
        s.quiet()
        return s.state()


CHANGE = {"spec": {"starRocksFeSpec": {"podLabels": {"x": "y"}, "service": {"annotations": {"a": "b"}}}, "starRocksCnSpec": {"replicas": 2}}}


@pytest.mark.parametrize("how", sample(BROKEN, 2))
@pytest.mark.parametrize("when", ["create", "change"] if SOAK else ["change"])
def test_a_broken_webhook_shows_and_heals(kwok_plane, tmp_path, undisturbed, how, when):
    behave, words = BROKEN[how]
    with scene(kwok_plane, tmp_path) as s:
        s.start()
        if when == "change":
            s.apply(cluster_cr(s.namespace))
            s.settle()
        with webhook(s, behave or (lambda r: {"allowed": True})) as hook:
            if how == "down":
                hook.close()
            if when == "change":
                s.patch(CHANGE)
            else:
                s.apply(cluster_cr(s.namespace))
            seen = wait_until("Degraded says so", lambda: (c := s.degraded()) and words in c["message"] and c, 90)
            print(f"{how}/{when}: {seen['reason']}: {seen['message'][:160]}")
            # At rest with a fault that stays: no hot loop (seven objects, once in some seconds).
            time.sleep(5)
            first = len(s.proxy.requests)
            time.sleep(5)
            tried = sum(r.is_write for r in s.proxy.requests[first:])
            assert tried <= 24, f"a hot loop: {tried} writes tried in 5 s"
            assert s.alive() and not s.deletes()
        if when == "create":
            s.settle(timeout=240)
            s.patch(CHANGE)
        s.settle(timeout=240)
        s.quiet()
        assert not (found := difference(s.state(), undisturbed)), "\n".join(found)


def test_one_object_that_fails_keeps_no_other_back(kwok_plane, tmp_path):
    """Everything else is made, the reason is told, and nothing is taken away meanwhile."""
    def behave(request):
        return fail(request) if request["name"] == "c-fe-search" else {"allowed": True}

    with scene(kwok_plane, tmp_path) as s:
        with webhook(s, behave, resources=("services",)):
            s.start()
            s.apply(cluster_cr(s.namespace))
            for plural, name in (("services", "c-fe-service"), ("statefulsets", "c-fe"), ("services", "c-be-search"), ("statefulsets", "c-be"),
                                 ("services", "c-cn-service"), ("deployments", "c-cn")):
                wait_until(f"{name} is there", lambda p=plural, n=name: s.api.get(p, n), 90, 0.1)
            seen = wait_until("Degraded says so", lambda: (c := s.degraded()) and "c-fe-search" in c["message"] and c, 90)
            assert seen["reason"] == "WriteFails" and not s.api.get("services", "c-fe-search")
            s.patch({"spec": {"starRocksCnSpec": None, "starRocksBeSpec": {"service": {"annotations": {"a": "b"}}}}})
            wait_until("a change goes out", lambda: s.api.get("services", "c-be-service")["metadata"].get("annotations"), 90, 0.1)
            time.sleep(3)
            assert s.alive() and not s.deletes() and s.api.get("deployments", "c-cn")
        s.settle(timeout=240)
        wait_until("what is not wanted goes", lambda: not s.api.get("deployments", "c-cn"), 90)
        assert s.api.get("services", "c-fe-search")
        s.quiet()


# ---- what others change in our objects ----
def patched(request, change):
    o = copy.deepcopy(request["object"])
    if request["operation"] == "DELETE" or request["name"] == "probe":
        return {"allowed": True}
    before = copy.deepcopy(o)
    change(o)
    if o == before:
        return {"allowed": True}
    patch = [{"op": "replace", "path": f"/{k}", "value": o[k]} for k in o if o[k] != before.get(k)]
    return {"allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}


def adds_an_annotation(o):
    o["metadata"].setdefault("annotations", {})["mesh.example/injected"] = "yes"


def adds_a_sidecar(o):
    containers = o["spec"].get("template", {}).get("spec", {}).get("containers", [])
    if containers and all(c["name"] != "mesh" for c in containers):
        containers.append({"name": "mesh", "image": "mesh:1"})


def rewrites_images(o):
    """A house registry: a field that we own."""
    for c in o["spec"].get("template", {}).get("spec", {}).get("containers", []):
        if not c["image"].startswith("registry.house/"):
            c["image"] = "registry.house/" + c["image"]


def overrides_a_label(o):
    o["metadata"].setdefault("labels", {})["app.kubernetes.io/component"] = "house"


MUTATING = {f.__name__: f for f in (adds_an_annotation, adds_a_sidecar, rewrites_images, overrides_a_label)}


@pytest.mark.parametrize("how", dict.fromkeys(["rewrites_images", *sample(MUTATING, 1)]))
def test_a_mutating_webhook_is_not_fought(kwok_plane, tmp_path, how):
    """What it changes stays changed, changes go through it, and at rest nobody writes (I7)."""
    with scene(kwok_plane, tmp_path) as s:
        s.start()
        with webhook(s, lambda r: patched(r, MUTATING[how]), "Mutating"):
            s.apply(cluster_cr(s.namespace, fe=1, be=1, cn=1))
            s.settle(timeout=180)
            s.quiet()
            first = len(s.own_writes())
            s.patch({"spec": {role: {"image": "roost/pause:2"} for role in ("starRocksFeSpec", "starRocksBeSpec", "starRocksCnSpec")}})
            s.settle(timeout=180)
            s.quiet()
            for plural, name in (("statefulsets", "c-fe"), ("statefulsets", "c-be"), ("deployments", "c-cn")):
                image = s.api.get(plural, name)["spec"]["template"]["spec"]["containers"][0]["image"]
                assert image.removeprefix("registry.house/") == "roost/pause:2", (name, image)
            n = len(s.own_writes()) - first
            print(f"{how}: an upgrade of three roles took {n} writes")
            assert n < 40 and s.alive() and not s.deletes()

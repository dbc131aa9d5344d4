"""The log of accepted writes, each judged when it is made, and end states in a form that two runs can share."""

import collections
import copy
import json
import re
import threading
import time

OPERATOR = re.compile(r"^operator")


def is_well(pod):
    """Ready, and not on its way out."""
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))
    return ready and "deletionTimestamp" not in pod["metadata"]


class Write:
    def __init__(self, request, reply):
        self.verb, self.plural, self.namespace, self.sub = request.verb, request.plural, request.namespace, request.sub
        self.identity, self.status, self.sent, self.answer = request.identity, reply.status, request.json(), reply.json()
        meta = (self.answer or {}).get("metadata") or {}
        self.name = request.name or meta.get("name")
        self.created, self.at = reply.status == 201, time.monotonic()
        self.text = request.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"{self.verb} {self.plural}/{self.name}{'/' + self.sub if self.sub else ''} -> {self.status}"


class Oracle:
    """`may_lower(plural, name, before, after)` says whether somebody proved that a set may shrink (I3, I4)."""

    def __init__(self, may_lower=lambda *_: False, may_delete_claims=False):
        self.writes, self.broken = [], []
        self.may_lower, self.may_delete_claims = may_lower, may_delete_claims
        self.replicas, self.secrets, self.foreign, self.sets = {}, set(), set(), {}
        self.set_owners = {}
        self.refused = collections.Counter()
        self.lock = threading.Lock()
        self.pods = lambda: []  # the pods as they are now, past the proxy
        self.disruptions = 0

    def say(self, invariant, write, why):
        self.broken.append(f"{invariant}: {write!r}: {why}")

    def about_to(self, request):
        """I5, before the write is forwarded: a well pod of a group goes only while every other one is well."""
        if not (request.verb == "DELETE" and request.plural == "pods" and OPERATOR.match(request.identity)):
            return
        pods = {p["metadata"]["name"]: p for p in self.pods()}
        victim = pods.get(request.name)
        if not victim or not is_well(victim):
            return
        group = victim["metadata"]["labels"].get("app.starrocks.ownerreference/name")
        unwell = [n for n, p in pods.items() if n != request.name and not is_well(p)
                  and p["metadata"]["labels"].get("app.starrocks.ownerreference/name") == group]
        with self.lock:
            self.disruptions += 1
            if unwell:
                self.broken.append(f"I5: pod {request.name} was ready and is deleted while {unwell} are not")

    def wrote(self, request, reply):
        if not 200 <= reply.status < 300:
            self.refused[reply.status] += 1
            return
        write = Write(request, reply)
        with self.lock:
            self.writes.append(write)
            if write.plural != "leases" and OPERATOR.match(write.identity):
                for check in (self.destructive, self.shrinking, self.owners, self.generations, self.secrecy):
                    check(write)
            # A soak makes a hundred thousand of them.
            write.sent = write.answer = write.text = None

    # ---- the invariants ----
    def destructive(self, w):
        """I2, and that what is deleted is what was looked at."""
        if w.verb != "DELETE":
            return
        if w.plural in ("persistentvolumeclaims", "persistentvolumes", "namespaces", "secrets") and not self.may_delete_claims:
            self.say("I2", w, "data is not the operator's to delete")
        conditions = (w.sent or {}).get("preconditions") or {}
        if not conditions.get("uid") or not conditions.get("resourceVersion"):
            self.say("I2", w, f"no uid and resourceVersion preconditions: {conditions}")

    def shrinking(self, w):
        """I3 and I4: replicas of FE and BE go down only with a proof."""
        if w.plural != "statefulsets" or w.sub or not isinstance(w.answer, dict) or w.verb == "DELETE":
            return
        key, now = (w.namespace, w.name), w.answer.get("spec", {}).get("replicas", 1)
        # What is made for another CR of the same name begins anew.
        owner = w.answer["metadata"].get("ownerReferences", [{}])[0].get("uid")
        before = self.replicas.get(key) if owner == self.set_owners.setdefault(key, owner) else None
        self.set_owners[key] = owner
        if before is not None and now < before and not self.may_lower(w.plural, w.name, before, now):
            self.say("I3" if w.name.endswith("-be") else "I4", w, f"replicas {before} -> {now} without a proof")
        self.replicas[key] = now
        self.sets[key] = w.answer["spec"]

    def owners(self, w):
        """No foreign object is taken over; what is made has exactly one owner (I6)."""
        if w.sub or w.verb == "DELETE" or not isinstance(w.answer, dict) or w.plural in ("pods", "events", "starrocksclusters"):
            return
        if (w.namespace, w.plural, w.name) in self.foreign:
            self.say("I6", w, "a foreign object was written")
        if w.plural in ("persistentvolumeclaims", "configmaps"):
            return
        owners = w.answer["metadata"].get("ownerReferences", [])
        if len(owners) != 1 or owners[0]["kind"] not in ("StarRocksCluster", "StarRocksWarehouse"):
            self.say("I6", w, f"owners {owners}")

    def generations(self, w):
        """I8: status never claims a generation that was not acted upon."""
        if w.plural != "starrocksclusters" or w.sub != "status":
            return
        cr = w.answer
        claims = [cr.get("status", {}).get("observedGeneration")]
        claims += [c.get("observedGeneration") for c in cr.get("status", {}).get("conditions", [])]
        for claim in claims:
            if claim is not None and claim > cr["metadata"]["generation"]:
                self.say("I8", w, f"observedGeneration {claim} of {cr['metadata']['generation']}")
        ready = [c for c in cr.get("status", {}).get("conditions", []) if c["type"] == "Ready" and c["status"] == "True"]
        if ready and ready[0].get("observedGeneration") == cr["metadata"]["generation"]:
            self.ready_is_true(w, cr)

    def ready_is_true(self, w, cr):
        for role, spec in (("fe", "starRocksFeSpec"), ("be", "starRocksBeSpec")):
            want = cr["spec"].get(spec)
            have = self.sets.get((w.namespace, f"{w.name}-{role}"))
            # A webhook may have put a registry of the house before the image.
            image = have["template"]["spec"]["containers"][0]["image"] if have else ""
            if want and have and (have["replicas"] != want.get("replicas", 1) or not f"/{image}".endswith(f"/{want['image']}")):
                self.say("I8", w, f"Ready, but {role} is {have['replicas']} x {image}")

    def secrecy(self, w):
        """I9: a generated token appears nowhere but in its Secret."""
        if w.plural == "secrets":
            for value in ((w.sent or {}).get("stringData") or {}).values():
                self.secrets.add(value)
            for value in ((w.answer or {}).get("data") or {}).values():
                self.secrets.add(value)
            return
        for secret in self.secrets:
            if secret and secret in w.text:
                self.say("I9", w, "a secret is in it")

    # ---- what a test asks ----
    def verdict(self, log=""):
        """Raises with every broken invariant; `log` is what the operator logged."""
        for secret in self.secrets:
            if secret and secret in log:
                self.broken.append("I9: a secret is in the log")
        assert not self.broken, "\n".join(self.broken)

    def counts(self, namespace=None):
        """Creates and deletes for each object: a crash must not make a difference (I1)."""
        out = collections.Counter()
        for w in self.writes:
            if w.plural in ("leases", "events") or (namespace and w.namespace != namespace):
                continue
            if w.created:
                out[f"create {w.plural}/{w.name}"] += 1
            elif w.verb == "DELETE":
                out[f"delete {w.plural}/{w.name}"] += 1
        return out


NOISE = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "deletionTimestamp", "generation", "clusterIP",
         "clusterIPs", "healthCheckNodePort", "nodePort", "lastTransitionTime", "observedGeneration", "generateName", "time",
         "startTime", "podIP", "podIPs", "hostIP", "hostIPs", "controller-uid", "pod-template-hash", "lastUpdateTime", "startedAt",
         "containerID"}


# Hashes of templates hold the namespace; the letters are those that Kubernetes draws from.
HASH = re.compile(r"(-(?:fe|be|cn|fe-proxy))-[bcdfghjklmnpqrstvwxz2456789]{5,10}(-[bcdfghjklmnpqrstvwxz2456789]{5})?\b")


UID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def normal(value, namespace):
    """The object without what differs between two undisturbed runs."""
    if isinstance(value, dict):
        return {k: normal(v, namespace) for k, v in sorted(value.items()) if k not in NOISE}
    if isinstance(value, list):
        return [normal(v, namespace) for v in value]
    if isinstance(value, str):
        return HASH.sub(r"\1-HASH", UID.sub("UID", value.replace(namespace, "NS")))
    return copy.copy(value)


KINDS = ("starrocksclusters", "statefulsets", "deployments", "services", "horizontalpodautoscalers", "poddisruptionbudgets",
         "configmaps", "secrets")


def end_state(api):
    """{"Kind/name": object} in normal form; Secrets by name only, their content is made anew in each run."""
    out, namespace = {}, api.namespace
    for o in (o for plural in KINDS for o in api.items(plural)):
        if o["metadata"]["name"] == "kube-root-ca.crt":
            continue
        if o["kind"] == "Secret":
            o = {"kind": "Secret", "metadata": {"name": o["metadata"]["name"], "labels": o["metadata"].get("labels")}}
        if o["kind"] == "HorizontalPodAutoscaler":
            o.pop("status", None)  # its controller asks for metrics that nobody gives here, when it likes
        out[f"{o['kind']}/{o['metadata']['name']}"] = normal(o, namespace)
    return out

#!/usr/bin/env python3
"""The main job on a running cluster: load the Star Schema Benchmark, check its 13 answers against DuckDB, put load on
the queue until a second compute node joins, end the load and wait until it has left. Prints each step as it happens.

Usage: main_job.py --namespace NS --cluster NAME --data FOLDER --kubectl "CMD…" [--no-scale]
"""
import argparse
import base64
import http.client
import json
import pathlib
import shlex
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import ssb_oracle  # noqa: E402

START = time.monotonic()
STEP_SECONDS = 240
LOAD_SESSIONS = 48
LOAD_SECONDS_MAX = 240
GHOST_SECONDS = 60


def say(text):
    print(f"[{time.monotonic() - START:5.1f}s] {text}", flush=True)


class Failed(Exception):
    """A step that did not come true; the message is for a person."""


class Kube:
    def __init__(self, command, namespace, cluster):
        self.command, self.namespace, self.cluster = shlex.split(command), namespace, cluster

    def get(self, *args):
        out = subprocess.run([*self.command, "-n", self.namespace, "get", *args, "-o", "json"], capture_output=True,
                             text=True, timeout=60)
        if out.returncode != 0:
            raise Failed(f"kubectl get {' '.join(args)}: {out.stderr.strip()}")
        return json.loads(out.stdout)

    def service_ip(self, name):
        return self.get("service", name)["spec"]["clusterIP"]

    def pods(self, component):
        return self.get("pods", "-l", f"app.starrocks.ownerreference/name={self.cluster}-{component}")["items"]

    def pod_ip(self, name):
        return self.get("pod", name)["status"]["podIP"]


class Session:
    """One MySQL connection; statements go in, rows come out."""

    def __init__(self, host, port=9030, database=None):
        import pymysql

        self.con = pymysql.connect(host=host, port=port, user="root", database=database, connect_timeout=10,
                                   read_timeout=STEP_SECONDS, autocommit=True)

    def rows(self, sql):
        with self.con.cursor() as cur:
            cur.execute(sql)
            return [tuple(row) for row in cur.fetchall()]

    def dicts(self, sql):
        with self.con.cursor() as cur:
            cur.execute(sql)
            names = [d[0] for d in cur.description]
            return [dict(zip(names, row)) for row in cur.fetchall()]


def wait_for(what, probe, seconds=STEP_SECONDS):
    """Calls probe until it gives a value; its last complaint is the reason when it never does."""
    until, reason = time.monotonic() + seconds, "never asked"
    while time.monotonic() < until:
        try:
            value = probe()
            if value:
                return value
            reason = "not yet"
        except Exception as e:  # every failure of a probe means: not yet, and why
            reason = str(e)
        time.sleep(0.5)
    raise Failed(f"{what}: not within {seconds} s ({reason})")


def stream_load(fe, kube, table, path):
    """PUT to the FE, which answers 307 with the worker's address; the worker takes the rows."""
    auth = "Basic " + base64.b64encode(b"root:").decode()
    # A label of the content: running again loads nothing twice.
    headers = {"Authorization": auth, "column_separator": "|", "label": f"quickstart_{table}_{path.stat().st_size}",
               "Expect": "100-continue"}
    con = http.client.HTTPConnection(fe, 8030, timeout=30)
    con.request("PUT", f"/api/ssb/{table}/_stream_load", headers=headers)
    reply = con.getresponse()
    if reply.status != 307:
        raise Failed(f"stream load of {table}: FE answered {reply.status} {reply.read()[:200]!r}, not 307")
    target = urllib.parse.urlsplit(reply.headers["Location"])
    host = target.hostname if target.hostname[0].isdigit() else kube.pod_ip(target.hostname.split(".")[0])
    con = http.client.HTTPConnection(host, target.port, timeout=STEP_SECONDS)
    with open(path, "rb") as body:
        con.request("PUT", target.path, body=body, headers=headers | {"Content-Length": str(path.stat().st_size)})
        answer = json.loads(con.getresponse().read())
    if answer["Status"] not in ("Success", "Label Already Exists"):
        raise Failed(f"stream load of {table}: {answer}")
    return answer


def load(fe, kube, session, data):
    for statement in ssb_oracle.schema():
        session.rows(statement)
    for table in ssb_oracle.TABLES:
        answer = stream_load(fe, kube, table, data / f"{table}.csv")
        count = session.rows(f"SELECT COUNT(*) FROM ssb.{table}")[0][0]
        lines = sum(1 for _ in open(data / f"{table}.csv", "rb"))
        say(f"  {table}: {answer['Status']}, {count} rows")
        if int(count) != lines:
            raise Failed(f"{table} holds {count} rows, the file has {lines}")


def check_queries(session, data):
    oracle = ssb_oracle.oracle(data)
    session.rows("USE ssb")
    wrong = 0
    for name, sql in ssb_oracle.queries().items():
        began = time.monotonic()
        got = session.rows(sql)
        took = time.monotonic() - began
        complaint = ssb_oracle.difference(got, oracle.execute(sql).fetchall())
        say(f"  {name}: {len(got):4d} rows in {took * 1000:5.0f} ms, " + (complaint or "equal to DuckDB's"))
        wrong += complaint is not None
    if wrong:
        raise Failed(f"{wrong} of 13 answers differ from DuckDB's")


def alive_cns(session):
    return sum(1 for n in session.dicts("SHOW COMPUTE NODES") if str(n["Alive"]).lower() == "true")


class Load:
    """Sessions that each run the heaviest queries one after the other until told to end."""

    def __init__(self, fe):
        self.fe, self.stop, self.done, self.errors = fe, threading.Event(), 0, []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.one, args=(i,), daemon=True) for i in range(LOAD_SESSIONS)]
        for thread in self.threads:
            thread.start()

    def one(self, number):
        sqls = [sql for name, sql in ssb_oracle.queries().items() if name[1] in "34"]
        try:
            session = Session(self.fe, database="ssb")
            while not self.stop.is_set():
                session.rows(sqls[number % len(sqls)])
                with self.lock:
                    self.done += 1
        except Exception as e:  # reported by end(): a query that failed under load is a failure of the job
            with self.lock:
                self.errors.append(str(e))

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(STEP_SECONDS)
        say(f"  load ended: {self.done} queries done, {len(self.errors)} failed")
        if self.errors:
            raise Failed(f"{len(self.errors)} queries failed under load, the first: {self.errors[0]}")


def scale(fe, session, kube):
    before = alive_cns(session)
    say(f"load: {LOAD_SESSIONS} sessions on the queue; {before} compute node(s) now")
    work = Load(fe)
    try:
        began = time.monotonic()
        wait_for("a second compute node", lambda: alive_cns(session) > before, LOAD_SECONDS_MAX)
        say(f"  a compute node joined after {time.monotonic() - began:.1f} s of load ({alive_cns(session)} alive)")
    finally:
        work.end()
    began = time.monotonic()
    wait_for("the additional compute nodes to leave",
             lambda: alive_cns(session) == before and len(kube.pods("cn")) == before, LOAD_SECONDS_MAX)
    say(f"  back to {before} after {time.monotonic() - began:.1f} s")
    # The operator drops a node only when its pod is gone for good, so its row may stay for some seconds.
    wait_for(f"SHOW COMPUTE NODES to list {before} (no ghost)",
             lambda: len(session.rows("SHOW COMPUTE NODES")) == before, GHOST_SECONDS)
    say(f"  SHOW COMPUTE NODES lists {before}: no ghost")


def run(args):
    kube = Kube(args.kubectl, args.namespace, args.cluster)
    say("waiting for the cluster's status to say running")
    wait_for("phase running", lambda: kube.get("starrockscluster", args.cluster).get("status", {}).get("phase") == "running")
    fe = kube.service_ip(f"{args.cluster}-fe-service")
    session = wait_for("a MySQL session with the FE", lambda: Session(fe))
    wait_for("an alive backend", lambda: any(str(n["Alive"]).lower() == "true" for n in session.dicts("SHOW BACKENDS")))
    wait_for("an alive compute node", lambda: alive_cns(session) >= 1)
    say("the cluster runs: " + ", ".join(f"{p['metadata']['name']}" for c in ("fe", "be", "cn") for p in kube.pods(c)))
    say("loading the Star Schema Benchmark: dimensions to the BE, the fact table to the bucket")
    load(fe, kube, session, args.data)
    say("the benchmark's 13 queries, each answer compared with DuckDB's")
    check_queries(session, args.data)
    if not args.no_scale:
        scale(fe, session, kube)
    say("done. How to connect:")
    print(f"  mysql -h {fe} -P 9030 -u root ssb\n  http://{fe}:8030/\n  e2e/cluster/kubectl -n {args.namespace} get starrocksclusters,pods")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", default="roost-quickstart")
    parser.add_argument("--cluster", default="quickstart")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--kubectl", default="e2e/cluster/kubectl")
    parser.add_argument("--no-scale", action="store_true")
    try:
        run(parser.parse_args())
    except Failed as e:
        say(f"FAILED: {e}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

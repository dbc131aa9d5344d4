#!/usr/bin/env python3
"""The 13 queries of the Star Schema Benchmark through Roost and through one DuckDB on the same rows, interleaved.

Prints and writes a table: median of ROUNDS, the ratio, whether the answers are equal. DuckDB holds all tables in its
own memory; Roost reads the fact table from the bucket through a compute node's cache, joins it with the BE's dimensions.
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import main_job  # noqa: E402
import ssb_oracle  # noqa: E402

REPO = pathlib.Path(__file__).resolve().parents[2]
ROUNDS = 7


def timed(call):
    began = time.perf_counter()
    rows = call()
    return time.perf_counter() - began, rows


def measure(data, out):
    oracle = ssb_oracle.oracle(data)
    oracle.execute("SET threads = 2")
    session = main_job.Session("127.0.0.1", database="ssb")
    lines = ["# The Star Schema Benchmark through Roost and through DuckDB", "",
             f"`make bench PART=engine`. One run, interleaved, median of {ROUNDS}; {data.name}; {os.cpu_count()} cores, FE + BE + CN "
             "+ S3 server as processes on one machine.", "",
             "| query | Roost ms | DuckDB (in memory) ms | ratio | equal |", "|---|---|---|---|---|"]
    for name, sql in ssb_oracle.queries().items():
        ours, theirs, complaint = [], [], None
        for _ in range(ROUNDS):
            took, got = timed(lambda: session.rows(sql))
            ours.append(took)
            took, want = timed(lambda: oracle.execute(sql).fetchall())
            theirs.append(took)
            complaint = complaint or ssb_oracle.difference(got, want)
        a, b = statistics.median(ours) * 1000, statistics.median(theirs) * 1000
        lines.append(f"| {name} | {a:.1f} | {b:.1f} | {a / b:.1f} | {'yes' if complaint is None else complaint} |")
        print(lines[-1], flush=True)
    out.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    args = parser.parse_args()
    scale = os.environ.get("ROOST_SSB_SCALE", "0.1")
    subprocess.run(["make", "--no-print-directory", "engine"], cwd=REPO, env=dict(os.environ, ROOST_SSB_SCALE=scale), check=True)
    try:
        measure(REPO / f"build/ssb-{scale}", args.out)
    finally:
        subprocess.run(["e2e/tools/engine-down"], cwd=REPO, check=False)


if __name__ == "__main__":
    main()

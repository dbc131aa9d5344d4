#!/usr/bin/env python3
"""Records the trees of cases.txt and refused.txt with DuckDB 2.0 (pip install duckdb==2.0.0): asts.json, refused.json."""
import json
import pathlib

import duckdb

here = pathlib.Path(__file__).parent
db = duckdb.connect()


def parse(sql):
    tree = json.loads(db.execute("select json_serialize_sql(?::varchar)", [sql]).fetchone()[0])
    assert not tree["error"], (sql, tree)
    return tree["statements"][0]["node"]


def small(tree):
    """Without what is empty: the reader must do without it as well."""
    if isinstance(tree, dict):
        keep = {k: small(v) for k, v in tree.items() if v not in (None, "", [], {}) or k == "text"}
        if keep.get("query_location", 0) >= 2**63:
            keep["query_location"] = -1
        return keep
    return [small(v) for v in tree] if isinstance(tree, list) else tree


def write(name, lines, left, right):
    (here / name).write_text(left + "\n" + ",\n".join(lines) + "\n" + right + "\n")


def text(tree):
    return json.dumps(small(tree), separators=(",", ":"))


cases = [line.split(": ", 1) for line in (here / "cases.txt").read_text().splitlines()]
write("asts.json", [f' {json.dumps(n)}: {text({"sql": q, "node": parse(q)})}' for n, q in cases], "{", "}")
refused = [line.split(": ", 1) for line in (here / "refused.txt").read_text().splitlines()]
write("refused.json", [text({"errno": int(w[:4]), "words": w[5:], "sql": q, "node": parse(q)}) for w, q in refused], "[", "]")
